//! Logs of a whole daemon: what only we offer, and what must survive our manager.

mod log_support;
mod support;

use log_support::SmallDisk;
use nix::sys::signal::Signal;
use std::time::Duration;
use supervisord::log::rotate::backup_name;
use supervisord::model::state::ProcessState::{Exited, Running};
use support::{Daemon, LONG, Side, Start, kill, text, until};

fn start(conf: &str) -> Daemon {
    // At level debug all output would be copied to the activity log.
    Start::new(Side::Ours, &format!("[supervisord]\nloglevel=info\n{conf}")).ready()
}

#[test]
fn lines_of_several_programs_stay_whole_on_stdout() {
    let daemon = start(
        "[program:a]
command=sh -c 'for i in 1 2 3 4 5 6 7 8 9; do printf \"one \"; echo two; done'
process_name=a%(process_num)d
numprocs=3
startsecs=0
autorestart=false
redirect_stderr=true
stdout_logfile=/dev/stdout
stdout_logfile_maxbytes=0
stdout_logfile_prefix=%(program_name)s-%(process_num)d:
",
    );
    for number in 0..3 {
        daemon.wait_for_state(&format!("a:a{number}"), Exited, LONG);
    }
    let output = daemon.read("stdout");
    for number in 0..3 {
        let line = format!("a-{number}: one two");
        assert_eq!(output.lines().filter(|found| **found == line).count(), 9, "{output}");
    }
}

#[test]
fn json_tells_who_wrote_a_line() {
    let daemon = start(
        "[group:g]
programs=a
[program:a]
command=sh -c 'echo \"a \\\"line\\\"\"; echo $$ > %(here)s/pid'
startsecs=0
autorestart=false
stdout_logfile=%(here)s/out.json
stdout_logfile_format=json
",
    );
    daemon.wait_for_state("g:a", Exited, LONG);
    let line: serde_json::Value = serde_json::from_str(&daemon.read("out.json")).unwrap();
    assert_eq!(line["line"], "a \"line\"");
    assert_eq!((&line["group"], &line["process"]), (&"g".into(), &"a".into()));
    assert_eq!((&line["program"], &line["stream"]), (&"a".into(), &"stdout".into()));
    assert_eq!(line["pid"].to_string(), daemon.read("pid").trim());
}

#[test]
fn the_first_of_several_logs_is_read() {
    let daemon = start(
        "[program:a]
command=sh -c 'echo text; exec sleep 1000'
stdout_logfile=memory, %(here)s/copy.out
",
    );
    until("the copy is written", LONG, || daemon.read("copy.out") == "text\n");
    let tail = || daemon.call("supervisor.readProcessStdoutLog", vec![text("a"), int(0), int(0)]);
    until("the ring is read", LONG, || format!("{:?}", tail()).contains("text"));
}

fn int(number: i32) -> dxr::Value {
    dxr::Value::Integer(number)
}

#[test]
fn a_usr2_opens_all_logs_anew() {
    let daemon = start(
        "[program:a]
command=sh -c 'while :; do echo line; sleep 0.01; done'
stdout_logfile=%(here)s/a.out
",
    );
    daemon.wait_for_state("a", Running, LONG);
    for name in ["a.out", "supervisord.log"] {
        std::fs::rename(daemon.path(name), daemon.path(&format!("{name}.old"))).unwrap();
    }
    daemon.signal(Signal::SIGUSR2);
    daemon.wait_log("supervisord logreopen");
    until("the new log is written", LONG, || daemon.read("a.out").starts_with("line\n"));
}

#[test]
fn a_manager_that_is_killed_again_and_again_loses_and_doubles_no_byte() {
    const LINES: usize = 200_000;
    let daemon = start(&format!(
        "[program:a]
command=awk 'BEGIN {{ for (i = 0; i < {LINES}; i++) printf \"%%031d\\n\", i }}'
startsecs=0
autorestart=false
stdout_logfile=%(here)s/a.out
stdout_logfile_maxbytes=100000
stdout_logfile_backups=1000
"
    ));
    let mut n_kills = 0;
    let log_of = || {
        let names = (1..1000).rev().map(|number| backup_name(&daemon.path("a.out"), number));
        let mut bytes: Vec<u8> = names.filter_map(|name| std::fs::read(name).ok()).flatten().collect();
        bytes.extend(std::fs::read(daemon.path("a.out")).unwrap_or_default());
        bytes
    };
    while n_kills < 10 {
        if let Some(manager) = daemon.manager() {
            kill(manager, Signal::SIGKILL);
            n_kills += 1;
        }
        // Its successor gets different amounts of time to begin its work.
        std::thread::sleep(Duration::from_millis(n_kills * 7 % 40));
    }
    until("everything is logged", LONG, || log_of().len() >= LINES * 32);
    let expected: String = (0..LINES).map(|number| format!("{number:031}\n")).collect();
    assert!(log_of() == expected.as_bytes(), "every line once and in order");
}

#[test]
fn a_full_disk_costs_activity_log_lines_and_nothing_else() {
    let Some(disk) = SmallDisk::mount(64) else { return };
    let log = disk.path("activity");
    let daemon = start(&format!(
        "[supervisord]\nlogfile={}\n[program:a]\ncommand=sleep 1000\nautostart=false\nstartsecs=0\n",
        log.display()
    ));
    let filler = disk.fill();
    // Enough lines for the page that the file had begun.
    for _ in 0..40 {
        daemon.call("supervisor.startProcess", vec![text("a")]);
        daemon.call("supervisor.stopProcess", vec![text("a")]);
    }
    std::fs::remove_file(filler).unwrap();
    daemon.call("supervisor.startProcess", vec![text("a")]);
    let notice = " lines before this one could not be written\n";
    let later =
        || std::fs::read_to_string(&log).unwrap().split_once(notice).map(|(_, later)| later.to_string());
    until("the log goes on", LONG, || later().is_some_and(|later| later.contains("entered RUNNING state")));
}

#[test]
fn a_full_disk_is_told_once_and_so_is_its_end() {
    let Some(disk) = SmallDisk::mount(256) else { return };
    let daemon = start(&format!(
        "[program:a]\ncommand=sh -c 'while :; do echo line; sleep 0.01; done'\nstdout_logfile={}\n",
        disk.path("a.out").display()
    ));
    daemon.wait_for_state("a", Running, LONG);
    let filler = disk.fill();
    daemon.wait_log("could not write log file");
    std::fs::remove_file(filler).unwrap();
    daemon.wait_log("works again after");
    let log = daemon.log();
    let count = |text| log.matches(text).count();
    assert_eq!((count("could not write log file"), count("works again after")), (1, 1), "{log}");
    assert!(log.contains("0 bytes were dropped"), "{log}");
    let lines = std::fs::read_to_string(disk.path("a.out")).unwrap();
    assert!(lines.lines().all(|line| line == "line"), "no line was torn");
}
