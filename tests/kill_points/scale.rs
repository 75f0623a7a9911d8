//! A program gets another number of processes, for good: it has all of them or none, and the file says what was acknowledged.

use crate::support::{LONG, cmdline, flag, member, text, until};
use crate::{Share, acknowledged, at_points, start};
use dxr::Value;
use std::cell::Cell;

fn order(number: i32) -> Vec<Value> {
    vec![Value::Array(vec![text(&format!("w={number}"))]), flag(true)]
}

#[test]
fn a_scale_happens_as_a_whole() {
    let daemon = start(
        "
[supervisord]
state_file=%(here)s/state.json
[program:w]
command=sleep 1000
process_name=w_%(process_num)d
startsecs=0
",
    );
    let (pid, goes_up) = (Cell::new(0), Cell::new(true));
    at_points(
        &daemon,
        Share::Few,
        || {
            // Up and down in turns, whatever came of the last one.
            let number = if goes_up.get() { 1 } else { 3 };
            daemon.call("supervisord.scale", order(number));
            pid.set(daemon.pid_of("w:w_0"));
        },
        || acknowledged(&daemon, "supervisord.scale", order(if goes_up.get() { 3 } else { 1 })),
        |point, acknowledged| {
            let (before, after) = if goes_up.get() { (1, 3) } else { (3, 1) };
            goes_up.set(!goes_up.get());
            let number = || {
                let rows = daemon.rows("supervisord.getPrograms");
                (member::<i32>(&rows[0], "wanted"), member::<i32>(&rows[0], "processes"))
            };
            until(&format!("it is as it is to be after point {point}"), LONG, || number().0 == number().1);
            let (wanted, _) = number();
            assert!(wanted == after || (wanted == before && !acknowledged), "{wanted} after point {point}");
            assert_eq!(daemon.pid_of("w:w_0"), pid.get(), "point {point}");
            until(&format!("{wanted} run after point {point}"), LONG, || {
                let sleeps = daemon.programs().into_iter().filter(|it| cmdline(it.pid) == "sleep 1000");
                sleeps.count() == usize::try_from(wanted).unwrap_or_default()
            });
            // The number that the configuration says needs no entry.
            let saved = || {
                let text = std::fs::read_to_string(daemon.path("state.json")).unwrap_or_default();
                let file: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
                file["numprocs"]["w"].as_i64().unwrap_or(1)
            };
            if acknowledged {
                assert_eq!(saved(), i64::from(wanted), "point {point}");
            }
            until(&format!("it is in the file after point {point}"), LONG, || saved() == i64::from(wanted));
        },
    );
}
