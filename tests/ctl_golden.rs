//! What the client prints and leaves, against a daemon that does what real ones do only rarely.

mod ctl_support;
mod support;

use ctl_support::fake::{Fake, Reply, process, structure};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use supervisord::rpc::wire::Value;
use support::{LONG, text};

/// Checks standard output and exit status.
#[track_caller]
fn check(fake: &Fake, line: &str, expected: &str, exit: i32) {
    let (output, _, left) = fake.run(line);
    assert_eq!((output.as_str(), left), (expected, exit), "{line}");
}

fn processes() -> Value {
    Value::Array(vec![
        process("cat", "cat", 20, "RUNNING", "pid 4711, uptime 0:00:01"),
        process("web", "web_0", 20, "RUNNING", "pid 4711, uptime 0:00:01"),
        process("web", "web_1", 30, "BACKOFF", "Exited too quickly (process log may have details)"),
    ])
}

/// Knows three processes and obeys every order.
fn obliging() -> Fake {
    Fake::start(|method, _| match method {
        "supervisor.getAllProcessInfo" => Reply::Value(processes()),
        "supervisor.getProcessInfo" => Reply::Value(process("cat", "cat", 20, "RUNNING", "")),
        "supervisor.getVersion" => Reply::Fault(1, ""),
        "supervisor.getAllConfigInfo" => {
            Reply::Value(Value::Array(vec![configured("cat", true), configured("fresh", false)]))
        }
        _ => Reply::Value(Value::Boolean(true)),
    })
}

/// A program of the configuration, in use or not yet.
fn configured(name: &str, inuse: bool) -> Value {
    structure([
        ("name", text(name)),
        ("group", text(name)),
        ("inuse", Value::Boolean(inuse)),
        ("autostart", Value::Boolean(true)),
    ])
}

#[test]
fn orders_become_one_call_for_each_name() {
    let fake = obliging();
    check(&fake, "start cat web:web_0", "cat: started\nweb:web_0: started\n", 0);
    let mut calls = fake.take_calls();
    calls.sort();
    assert_eq!(calls, ["supervisor.startProcess(cat)", "supervisor.startProcess(web:web_0)"]);
    check(&fake, "signal HUP,USR1 cat", "cat: signalled\ncat: signalled\n", 0);
    assert_eq!(
        fake.take_calls(),
        ["supervisor.signalProcess(cat,HUP)", "supervisor.signalProcess(cat,USR1)"]
    );
    check(&fake, "signal HUP USR1 cat", "cat: signalled\ncat: signalled\n", 0);
    check(&fake, "stop-group web", "web: stopped\n", 0);
    assert!(fake.take_calls().contains(&"supervisor.stopProcessGroup(web)".to_string()));
}

#[test]
fn options_stand_anywhere_and_choose_the_call() {
    let fake = obliging();
    for (line, expected, calls) in [
        ("start cat --no-wait", "cat: started\n", vec!["supervisor.startProcess(cat,Boolean(false))"]),
        ("start --no-deps cat", "cat: started\n", vec!["supervisord.startProcessAlone(cat)"]),
        (
            "start --no-deps web:* --no-wait",
            "web: started\n",
            vec!["supervisord.startProcessAlone(web:*,Boolean(false))"],
        ),
        (
            "start all --no-deps",
            "cat: started\nweb: started\n",
            vec![
                "supervisor.getAllProcessInfo()",
                "supervisord.startProcessAlone(cat:*)",
                "supervisord.startProcessAlone(web:*)",
            ],
        ),
        ("stop cat --dependents", "cat: stopped\n", vec!["supervisord.stopProcessWithDependents(cat)"]),
        ("stop --dependents all", "", vec!["supervisor.stopAllProcesses()"]),
    ] {
        check(&fake, line, expected, 0);
        let mut made = fake.take_calls();
        made.sort();
        assert_eq!(made, calls, "{line}");
    }
    for (line, exit) in [
        ("start --nope cat", 2),
        ("stop cat --nope", 1),
        ("health --nope", 1),
        ("deps --nope", 1),
        ("scale --nope web=1", 1),
        ("enable --nope cat", 1),
        ("disable cat --nope", 1),
    ] {
        let (output, _, left) = fake.run(line);
        assert!(
            output.starts_with("Error: bad argument --nope\n") && left == exit,
            "{line}: {left} {output}"
        );
    }
    assert_eq!(fake.take_calls(), Vec::<String>::new());
}

#[test]
fn an_original_daemon_knows_none_of_it() {
    let fake = Fake::start(|method, _| match method {
        _ if method.starts_with("supervisord.") => Reply::Fault(1, "UNKNOWN_METHOD"),
        "supervisor.getAllProcessInfo" => Reply::Value(processes()),
        "supervisor.getVersion" => Reply::Fault(1, ""),
        _ => Reply::Value(Value::Boolean(true)),
    });
    check(&fake, "stop cat web:web_0", "cat: stopped\nweb:web_0: stopped\n", 0);
    let asked = fake.take_calls();
    assert_eq!(asked.iter().filter(|call| call.starts_with("supervisord.")).count(), 1, "{asked:?}");
    let unknown =
        "ERROR: this supervisord does not know: it is an original Supervisor, or older than this client\n";
    for line in [
        "start --no-deps cat",
        "stop --dependents cat",
        "health",
        "deps",
        "deps cat",
        "scale",
        "scale web=2",
        "enable cat",
        "disable --now cat",
    ] {
        check(&fake, line, unknown, 1);
    }
    let (output, _, exit) = fake.run("status --json cat");
    let rows: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert!(rows[0].get("life").is_none() && exit == 0, "{output}");
}

/// Two processes in a group and one of the same name as one of them; everybody else is nobody.
fn with_groups() -> Fake {
    let table = || {
        vec![
            process("g", "x", 20, "RUNNING", "pid 4711, uptime 0:00:01"),
            process("g", "twice", 20, "RUNNING", ""),
            process("h", "twice", 20, "RUNNING", ""),
            process("g", "nolog", 20, "RUNNING", ""),
            process("own", "own", 20, "RUNNING", ""),
            process("h", "own", 0, "STOPPED", ""),
        ]
    };
    Fake::start(move |method, params| {
        let known = ["g:x", "g:twice", "h:twice", "g:nolog", "own", "h:own"];
        match (method, params) {
            ("supervisor.getAllProcessInfo", _) => Reply::Value(Value::Array(table())),
            ("supervisor.getAllConfigInfo", _) => Reply::Value(Value::Array(vec![])),
            (_, [Value::String(name), ..]) => match known.iter().position(|known| known == name) {
                None => Reply::Fault(10, "BAD_NAME"),
                Some(index) if method == "supervisor.getProcessInfo" => {
                    Reply::Value(table().swap_remove(index))
                }
                Some(_) if method.starts_with("supervisor.readProcess") => Reply::Value(text("its log")),
                Some(_) if method == "supervisord.getProcessHistory" => Reply::Fault(1, "UNKNOWN_METHOD"),
                Some(_) => Reply::Value(Value::Boolean(true)),
            },
            _ => Reply::Fault(1, ""),
        }
    })
}

#[test]
fn a_bare_name_is_found_in_its_group_if_one_process_bears_it() {
    let fake = with_groups();
    check(&fake, "start x", "g:x: started\n", 0);
    assert_eq!(
        fake.take_calls(),
        ["supervisor.startProcess(x)", "supervisor.getAllProcessInfo()", "supervisor.startProcess(g:x)"]
    );
    let row = "g:x                              RUNNING   pid 4711, uptime 0:00:01\n";
    for (line, expected) in [
        ("stop own x own", "own: stopped\ng:x: stopped\nown: stopped\n"),
        ("restart x", "g:x: stopped\ng:x: started\n"),
        ("restart --rolling x", "g:x: stopped\ng:x: started\n"),
        ("signal HUP x", "g:x: signalled\n"),
        ("clear x", "g:x: cleared\n"),
        ("status x", row),
        ("status own", "own                              RUNNING   \n"),
        ("pid x", "4711\n"),
        ("tail x", "its log\n"),
        ("tail x stderr", "its log\n"),
        ("logtail x", "its log\n"),
    ] {
        check(&fake, line, expected, 0);
    }
    assert!(fake.run("why x").0.starts_with("g:x: RUNNING"), "{}", fake.run("why x").0);
    // Its logs have lines now and then, and nobody types.
    let (output, _, exit) = fake.run("fg x");
    assert!(output.ends_with("Exiting foreground\n") && exit == 0, "{output}");
    // The stream by the name alone is answered with 404.
    let (output, _, _) = fake.run("tail -f nolog");
    assert!(output.starts_with("==> Press Ctrl-C to exit <==\nlast"), "{output}");
    // Two bear that name, so it is for the user to say which.
    for (line, exit) in [("start twice", 1), ("status twice", 4)] {
        let (output, hints, left) = fake.run(line);
        assert_eq!((output.as_str(), left), ("twice: ERROR (no such process)\n", exit), "{line}");
        assert_eq!(hints, "  did you mean g:twice?\n");
    }
}

#[test]
fn as_supervisorctl_a_bare_name_means_what_it_means_to_the_original() {
    let fake = with_groups();
    for (line, expected, exit) in [
        ("start x", "x: ERROR (no such process)\n", 1),
        ("restart x", "x: ERROR (no such process)\nx: ERROR (no such process)\n", 1),
        ("signal HUP x", "x: ERROR (no such process)\n", 1),
        ("status x", "x: ERROR (no such process)\n", 4),
        ("pid x", "No such process x\n", 1),
        ("tail x", "x: ERROR (no such process name)\n", 1),
        ("fg x", "ERROR: bad process name supplied\n", 1),
    ] {
        let (output, hints, left) = fake.run_as_supervisorctl(line);
        assert_eq!((output.as_str(), left), (expected, exit), "{line}");
        assert!(hints.ends_with("  did you mean g:x?\n"), "{line}: {hints}");
    }
    let calls = fake.take_calls();
    assert!(!calls.iter().any(|call| call.contains("g:x")), "{calls:?}");
}

#[test]
fn wildcards_become_names() {
    let fake = obliging();
    check(&fake, "stop web*", "web:web_0: stopped\nweb:web_1: stopped\n", 0);
    check(&fake, "clear *:web_?", "web:web_0: cleared\nweb:web_1: cleared\n", 0);
    check(&fake, "clear web:*", "web:web_0: cleared\nweb:web_1: cleared\n", 0);
    check(&fake, "pid w*_0", "4711\n", 0);
    check(
        &fake,
        "status *_1",
        "web:web_1                        BACKOFF   Exited too quickly (process log may have details)\n",
        0,
    );
    let (output, hints, exit) = fake.run("stop wbe*");
    assert_eq!((output.as_str(), exit), ("wbe*: ERROR (no matching process)\n", 1));
    assert_eq!(hints, "");
    let (_, hints, exit) = fake.run("stop cta*");
    assert_eq!((hints.as_str(), exit), ("  did you mean cat?\n", 1));
}

#[test]
fn the_slowest_decides_how_long_several_take() {
    const N_CALLS: usize = 30;
    // Nobody is answered before everybody has been asked for.
    let n_asked = AtomicUsize::new(0);
    let fake = Fake::start(move |method, _| match method {
        "supervisor.getVersion" => Reply::Fault(1, ""),
        _ => {
            n_asked.fetch_add(1, Ordering::Relaxed);
            let deadline = Instant::now() + LONG;
            while n_asked.load(Ordering::Relaxed) < N_CALLS && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
            Reply::Value(Value::Boolean(n_asked.load(Ordering::Relaxed) == N_CALLS))
        }
    });
    let names: Vec<String> = (0..N_CALLS).map(|number| format!("p{number}")).collect();
    let expected: String = names.iter().map(|name| format!("{name}: started\n")).collect();
    check(&fake, &format!("start {}", names.join(" ")), &expected, 0);
    let calls = fake.take_calls();
    assert_eq!(calls.len(), N_CALLS, "each was asked for once: {calls:?}");
}

#[test]
fn refusals_have_their_words_and_statuses() {
    for (command, code, description, expected, exit) in [
        ("start x", 10, "BAD_NAME: x", "x: ERROR (no such process)", 1),
        ("start x:*", 10, "BAD_NAME: x", "x: ERROR (no such group)", 2),
        ("stop x:*", 10, "BAD_NAME: x", "x: ERROR (no such group)", 1),
        ("start x", 20, "NO_FILE: x", "x: ERROR (no such file)", 1),
        ("start x", 21, "NOT_EXECUTABLE: x", "x: ERROR (file is not executable)", 1),
        (
            "start x",
            30,
            "FAILED: x is in an unknown process state",
            "x: ERROR (FAILED: x is in an unknown process state)",
            1,
        ),
        ("start x", 40, "ABNORMAL_TERMINATION: x", "x: ERROR (abnormal termination)", 7),
        ("start x", 50, "SPAWN_ERROR: x", "x: ERROR (spawn error)", 7),
        ("start x", 60, "ALREADY_STARTED: x", "x: ERROR (already started)", 0),
        ("start x", 777, "ODD: x", "x: ERROR (ODD: x)", 1),
        ("stop x", 30, "FAILED: no", "FAILED: no", 1),
        ("stop x", 70, "NOT_RUNNING: x", "x: ERROR (not running)", 0),
        ("signal HUP x", 70, "NOT_RUNNING: x", "x: ERROR (not running)", 7),
        ("signal HU x", 11, "BAD_SIGNAL: HU", "x: ERROR (bad signal name)", 1),
        ("clear x", 30, "FAILED: x", "x: ERROR (failed)", 1),
        ("tail x", 20, "NO_FILE: x", "x: ERROR (no log file)", 1),
        ("tail x", 30, "FAILED", "x: ERROR (unknown error reading log)", 1),
        ("tail x", 10, "BAD_NAME: x", "x: ERROR (no such process name)", 1),
        ("maintail", 20, "NO_FILE", "supervisord: ERROR (no log file)", 1),
        ("maintail", 30, "FAILED", "supervisord: ERROR (unknown error reading log)", 1),
        ("reread", 92, "CANT_REREAD: bad", "ERROR: CANT_REREAD: bad", 1),
        ("update", 92, "CANT_REREAD: bad", "error: CANT_REREAD: bad", 1),
        ("add x", 90, "ALREADY_ADDED: x", "ERROR: process group already active", 0),
        ("add x", 10, "BAD_NAME: x", "ERROR: no such process/group: x", 1),
        ("remove x", 91, "STILL_RUNNING: x", "ERROR: process/group still running: x", 1),
        ("remove x", 10, "BAD_NAME: x", "ERROR: no such process/group: x", 1),
        ("start x", 6, "SHUTDOWN_STATE", "error: supervisord is shutting down (SHUTDOWN_STATE)", 1),
        ("update", 6, "SHUTDOWN_STATE", "ERROR: already shutting down", 1),
        ("reload", 6, "SHUTDOWN_STATE", "ERROR: already shutting down", 1),
        ("shutdown", 6, "SHUTDOWN_STATE", "ERROR: already shutting down", 0),
        ("reread", 6, "SHUTDOWN_STATE", "ERROR: supervisor shutting down", 1),
        ("avail", 6, "SHUTDOWN_STATE", "ERROR: supervisor shutting down", 1),
        ("add x", 6, "SHUTDOWN_STATE", "ERROR: shutting down", 1),
        ("remove x", 6, "SHUTDOWN_STATE", "error: supervisord is shutting down (SHUTDOWN_STATE)", 1),
        (
            "status _procs",
            1,
            "UNKNOWN_METHOD",
            "ERROR: this supervisord does not know: it is an original Supervisor, or older than this client",
            1,
        ),
    ] {
        let fake = Fake::start(move |method, _| match method {
            "supervisor.getVersion" => Reply::Fault(1, ""),
            _ => Reply::Fault(code, description),
        });
        check(&fake, command, &format!("{expected}\n"), exit);
    }
}

#[test]
fn a_daemon_that_is_not_one_of_ours_is_told_apart() {
    let fake = Fake::start(|method, _| match method {
        "supervisor.getVersion" => Reply::Value(text("4.0")),
        _ => Reply::Http(500),
    });
    let version = "Sorry, this version of supervisorctl expects to talk to a server with API version 3.0, but the remote \
         version is 4.0.\n";
    check(&fake, "version", version, 5);
    check(&fake, "status", version, 4);
    check(&fake, "avail", "error: the server answered HTTP 500 Oh\n", 1);
}

#[test]
fn update_goes_on_when_one_group_fails_and_waits_for_what_is_stopping() {
    let n_removals = std::sync::atomic::AtomicUsize::new(0);
    let list = |names: &[&str]| Value::Array(names.iter().map(|name| text(name)).collect());
    let reread =
        Value::Array(vec![Value::Array(vec![list(&["new"]), list(&["sick", "slow"]), list(&["gone"])])]);
    let fake = Fake::start(move |method, params| match (method, params) {
        ("supervisor.getVersion", _) | ("supervisord.updateGroups", _) => Reply::Fault(1, ""),
        ("supervisor.reloadConfig", _) => Reply::Value(reread.clone()),
        ("supervisor.stopProcessGroup", [Value::String(group)]) if group == "sick" => {
            let line = structure([
                ("name", text("sick")),
                ("group", text("sick")),
                ("status", Value::Integer(30)),
                ("description", text("FAILED: no")),
            ]);
            Reply::Value(Value::Array(vec![line]))
        }
        ("supervisor.stopProcessGroup", _) => Reply::Value(Value::Array(vec![])),
        ("supervisor.getAllProcessInfo", _) => {
            Reply::Value(Value::Array(vec![process("slow", "slow", 40, "STOPPING", "")]))
        }
        ("supervisor.removeProcessGroup", [Value::String(group)]) if group == "slow" => {
            match n_removals.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                0..3 => Reply::Fault(91, "STILL_RUNNING: slow"),
                _ => Reply::Value(Value::Boolean(true)),
            }
        }
        ("supervisor.addProcessGroup", [Value::String(group)]) if group == "new" => {
            Reply::Fault(30, "FAILED: new")
        }
        _ => Reply::Value(Value::Boolean(true)),
    });
    check(
        &fake,
        "update",
        "gone: stopped\ngone: removed process group\nsick: stopped\nsick: has problems; not removing\nslow: \
         stopped\nslow: updated process group\nERROR: new: FAILED: new\n",
        1,
    );
}

#[test]
fn update_plan_changes_nothing() {
    let list = |names: &[&str]| Value::Array(names.iter().map(|name| text(name)).collect());
    let reread = Value::Array(vec![Value::Array(vec![list(&["new"]), list(&[]), list(&["cat"])])]);
    let fake = Fake::start(move |method, _| match method {
        "supervisor.reloadConfig" => Reply::Value(reread.clone()),
        "supervisor.getAllProcessInfo" => Reply::Value(processes()),
        "supervisor.getAllConfigInfo" => Reply::Value(Value::Array(vec![structure([
            ("name", text("new")),
            ("group", text("new")),
            ("autostart", Value::Boolean(true)),
        ])])),
        _ => Reply::Fault(1, ""),
    });
    let expected = "cat: would remove the group, stopping cat\nnew: would add the group, starting new\n";
    check(&fake, "update --plan", expected, 0);
    let mut calls = fake.take_calls();
    calls.sort();
    let reading =
        ["supervisor.getAllConfigInfo()", "supervisor.getAllProcessInfo()", "supervisor.reloadConfig()"];
    assert_eq!(calls[..3], reading);
    // The daemon does not know this one.
    assert!(calls[3].starts_with("supervisord.updateGroups("), "{calls:?}");
}

#[test]
fn update_tells_what_became_of_each_process() {
    let list = |names: &[&str]| Value::Array(names.iter().map(|name| text(name)).collect());
    let reread = Value::Array(vec![Value::Array(vec![list(&["new"]), list(&["g", "one"]), list(&["gone"])])]);
    let one = |name: &str, action: &str, keys: &str| {
        structure([("name", text(name)), ("action", text(action)), ("keys", text(keys))])
    };
    let group = |name: &str, action: &str, members, problem: &str, processes: Vec<Value>| {
        structure([
            ("group", text(name)),
            ("action", text(action)),
            ("members", Value::Integer(members)),
            ("keys", text(if name == "g" { "priority" } else { "" })),
            ("problem", text(problem)),
            ("processes", Value::Array(processes)),
        ])
    };
    let answer = Value::Array(vec![
        group("gone", "remove", 1, "", vec![one("gone", "remove", "")]),
        group(
            "g",
            "change",
            3,
            "",
            vec![
                one("b", "remove", "programs"),
                one("a", "restart", "command,user"),
                one("c", "apply", "priority"),
            ],
        ),
        group("one", "change", 1, "", vec![one("one", "restart", "command")]),
        group("pool", "replace", 1, "", vec![one("pool", "restart", "")]),
        group("new", "add", 0, "no room", vec![one("new", "add", "")]),
    ]);
    let fake = Fake::start(move |method, _| match method {
        "supervisor.reloadConfig" => Reply::Value(reread.clone()),
        "supervisord.updateGroups" => Reply::Value(answer.clone()),
        "supervisor.getAllProcessInfo" => Reply::Value(Value::Array(vec![
            process("a", "g", 20, "RUNNING", ""),
            process("one", "one", 0, "STOPPED", ""),
        ])),
        _ => Reply::Value(Value::Array(vec![])),
    });
    check(
        &fake,
        "update",
        "gone: stopped\ngone: removed process group\ng:b: stopped\ng:a: stopped\ng: updated process group\none: \
         stopped\none: updated process group\npool: stopped\npool: updated process group\nERROR: new: no room\n",
        1,
    );
    assert_eq!(
        fake.take_calls(),
        ["supervisord.updateGroups(Array([]),Boolean(false))", "supervisord.getSkippedFiles()"]
    );
    check(
        &fake,
        "update --plan one g",
        "gone: would remove the group\ng: would take over priority of the group\ng:b: would remove it: programs\n\
         g:a: would change it while it is at rest: command, user\ng:c: would change it while it is at rest: priority\n\
         one: would change it while it is at rest: command\npool: would stop and add anew the group\nnew: would add \
         the group\n",
        0,
    );
}

#[test]
fn status_as_json_holds_every_member() {
    let fake = obliging();
    let (output, _, exit) = fake.run("status --json web:*");
    let rows: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!(exit, 0);
    assert_eq!(rows.as_array().map(Vec::len), Some(2));
    assert_eq!(rows[0]["namespec"], "web:web_0");
    assert_eq!(rows[0]["pid"], 4711);
    assert_eq!(rows[1]["statename"], "BACKOFF");
}

#[test]
fn tables_show_every_member_on_demand() {
    let fake = Fake::start(|method, _| match method {
        "supervisor.getAllInfomapProcessInfo" => Reply::Value(Value::Array(vec![structure([
            ("name", text("cat")),
            ("group", text("cat")),
            ("state", Value::Integer(20)),
            ("statename", text("RUNNING")),
            ("description", text("pid 7, uptime 0:00:01")),
            ("start_ticks", text("123456")),
            ("frozen", Value::Boolean(false)),
        ])])),
        _ => Reply::Fault(1, ""),
    });
    let row = "cat                              RUNNING   pid 7, uptime 0:00:01";
    check(&fake, "status _infomap", &format!("{row}\n"), 0);
    check(&fake, "status _infomap --long", &format!("{row}  frozen=false start_ticks=123456\n"), 0);
    for line in ["status _infomap --json", "status --json _infomap cat", "status --json --long _infomap"] {
        let (output, _, exit) = fake.run(line);
        let rows: serde_json::Value = serde_json::from_str(&output).unwrap();
        assert_eq!((rows.as_array().map(Vec::len), exit), (Some(1), 0), "{line}");
        assert_eq!(
            (&rows[0]["namespec"], &rows[0]["start_ticks"], &rows[0]["frozen"], &rows[0]["state"]),
            (&"cat".into(), &"123456".into(), &false.into(), &20.into())
        );
    }
    let (output, _, exit) = fake.run("status --json _infomap nobody");
    assert_eq!((output.as_str(), exit), ("nobody: ERROR (no such process)\n[]\n", 4));
}

#[test]
fn why_tells_what_the_daemon_remembers() {
    let fake = Fake::start(|method, _| match method {
        "supervisor.getAllProcessInfo" => Reply::Value(processes()),
        "supervisord.getProcessHistory" => Reply::Value(structure([
            ("next", text("start attempt 2 of 4")),
            ("next_in", Value::Integer(2)),
            (
                "exits",
                Value::Array(vec![structure([
                    ("at", Value::Integer(0)),
                    ("pid", Value::Integer(7)),
                    ("status", text("terminated by SIGSEGV")),
                    ("expected", Value::Boolean(false)),
                    ("lasted_ms", Value::Integer(1250)),
                ])]),
            ),
        ])),
        "supervisor.readProcessStderrLog" => Reply::Value(text("one\ntwo\n")),
        _ => Reply::Fault(1, ""),
    });
    check(
        &fake,
        "why web:web_1",
        "web:web_1: BACKOFF, it ended too soon and will be started again\nlast exits:\n  1970-01-01 00:00:00Z  pid 7: \
         terminated by SIGSEGV, not expected, after 1.2 s\nnext: start attempt 2 of 4 in 2 s\nlast lines of its stderr \
         ():\n  one\n  two\n",
        0,
    );
}

#[test]
fn why_tells_when_a_process_is_started_again() {
    let fake = Fake::start(|method, _| match method {
        "supervisor.getAllProcessInfo" => Reply::Value(Value::Array(vec![
            process("bad", "bad", 100, "EXITED", "Jan 01 12:00 AM"),
            process("slow", "slow", 30, "BACKOFF", ""),
        ])),
        "supervisord.getProcessHistory" => Reply::Value(structure([
            ("next", text("it is started again")),
            ("next_in", Value::Integer(1)),
            ("next_in_ms", Value::Integer(560)),
        ])),
        _ => Reply::Fault(1, ""),
    });
    check(
        &fake,
        "why bad slow",
        "bad: EXITED, it ended within a second of its start and waits to be started again\nnext start in 0.6s\n\n\
         slow: BACKOFF, it ended too soon and will be started again\nnext start in 0.6s\n",
        0,
    );
}

#[test]
fn a_rolling_restart_ends_at_the_first_that_does_not_run() {
    let fake = Fake::start(|method, params| match (method, params) {
        ("supervisor.getVersion", _) => Reply::Fault(1, ""),
        ("supervisor.getAllProcessInfo", _) => Reply::Value(processes()),
        ("supervisor.getProcessInfo", [Value::String(name)]) if name == "cat" => {
            Reply::Value(process("cat", "cat", 20, "RUNNING", ""))
        }
        ("supervisor.getProcessInfo", _) => Reply::Value(process("web", "web_0", 30, "BACKOFF", "")),
        ("supervisor.startProcess", [Value::String(name)]) if name == "web:web_0" => {
            Reply::Fault(50, "SPAWN_ERROR: web:web_0")
        }
        _ => Reply::Value(Value::Boolean(true)),
    });
    check(
        &fake,
        "restart --rolling all",
        "cat: stopped\ncat: started\nweb:web_0: stopped\nweb:web_0: ERROR (spawn error)\nERROR: not running after \
         restart: web:web_0; 1 not restarted\n",
        7,
    );
}

#[test]
fn credentials_come_from_the_environment_or_netrc_and_their_lack_is_one_line() {
    // The words are me:secret.
    let fake = Fake::start_with(Some("Basic bWU6c2VjcmV0".into()), |_, _| Reply::Value(text("3.0")));
    let run = |arguments: &[&str], password: Option<&str>, netrc: Option<&str>| {
        let mut command = ctl_support::ours(&fake.conf());
        command.args(arguments);
        if let Some(password) = password {
            command.env("SUPERVISORCTL_PASSWORD", password);
        }
        if let Some(netrc) = netrc {
            let path = fake.conf().with_file_name("netrc");
            std::fs::write(&path, netrc).unwrap();
            command.env("NETRC", path);
        }
        let output = command.output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
    };
    let refused = ("Server requires authentication\n".to_string(), 1);
    let welcome = ("3.0\n".to_string(), 0);
    assert_eq!(run(&["version"], None, None), refused);
    assert_eq!(run(&["-u", "me", "-p", "wrong", "version"], None, None), refused);
    assert_eq!(run(&["-u", "me", "-p", "secret", "version"], None, None), welcome);
    assert_eq!(run(&["-u", "me", "version"], Some("secret"), None), welcome);
    let netrc = format!("machine {} login me password secret\n", fake.url());
    assert_eq!(run(&["version"], None, Some(&netrc)), welcome);
    assert_eq!(run(&["-u", "you", "version"], None, Some(&netrc)), refused);
}

#[test]
fn an_absent_daemon_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let conf = folder.path().join("conf");
    let socket = folder.path().join("s");
    std::fs::write(&conf, format!("[supervisorctl]\nserverurl=unix://{}\n", socket.display())).unwrap();
    let run = |action: &str| {
        let output = ctl_support::ours(&conf).arg(action).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr), output.status.code().unwrap())
    };
    let line = format!("unix://{} no such file\n", socket.display());
    for (action, exit) in [("status", 4), ("pid", 7), ("version", 7)] {
        let (output, hints, left) = run(action);
        assert_eq!((output.as_str(), left), (line.as_str(), exit));
        assert!(
            hints.contains("supervisord does not run") && hints.contains(&conf.display().to_string()),
            "{hints}"
        );
    }
    let (output, _, left) = run("avail");
    assert_eq!(
        (output, left),
        (format!("error: unix://{}: cannot connect: no such file or directory\n", socket.display()), 1)
    );
    let (output, _, left) = run("shutdown");
    assert_eq!(
        (output, left),
        (format!("ERROR: unix://{} no such file (already shut down?)\n", socket.display()), 1)
    );
    // A file that nobody listens on.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let (output, hints, left) = run("pid");
    assert_eq!((output, left), (format!("unix://{} refused connection\n", socket.display()), 4));
    assert!(hints.contains("nothing listens on this file"), "{hints}");
}

#[test]
fn nobody_reading_is_no_reason_for_a_message() {
    let fake = obliging();
    let mut command = ctl_support::ours(&fake.conf());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.arg("status").stdout(writer).output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(output.status.code(), Some(141));
}

#[test]
fn the_end_of_a_log_that_is_followed_is_told() {
    let fake = obliging();
    let (output, hints, exit) = fake.run("tail -f short");
    assert_eq!((output.as_str(), exit), ("==> Press Ctrl-C to exit <==\nlast", 1));
    assert_eq!(hints, "short: the log stream ended: supervisord closed it\n");
    check(&fake, "tail -f nolog", "nolog: ERROR (no log file)\n", 1);
    let (output, _, exit) = fake.run("tail -f short nolog");
    assert_eq!(
        (output.as_str(), exit),
        ("nolog: ERROR (no log file)\n==> Press Ctrl-C to exit <==\nlast", 1)
    );
}

/// What bash would complete the line to.
fn bash_completions(line: &str) -> Vec<String> {
    let program = env!("CARGO_BIN_EXE_supervisord");
    let script = format!(
        "source <({program} completions bash); COMP_LINE=$0 COMP_POINT=${{#0}}; _supervisor; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    let output = std::process::Command::new("bash").args(["-c", &script, line]).output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_string).collect()
}

#[test]
fn bash_completes_actions_options_and_names() {
    let fake = obliging();
    let program = env!("CARGO_BIN_EXE_supervisord");
    let client = format!("{program} ctl -c {}", fake.conf().display());
    for (line, expected) in [
        (format!("{program} c"), &["ctl", "check", "completions"][..]),
        (format!("{program} completions z"), &["zsh"]),
        (format!("{client} sta"), &["start", "start-group", "status"]),
        (format!("{client} start w"), &["web:web_0", "web:*", "web:web_1"]),
        (format!("{client} start web:w"), &["web_0", "web_1"]),
        (format!("{client} signal KI"), &["KILL"]),
        (format!("{client} signal KILL ca"), &["cat"]),
        (format!("{client} remove "), &["cat", "web"]),
        (format!("{client} add "), &["fresh"]),
        (format!("{client} update "), &["cat", "fresh", "web"]),
        (format!("{client} help upd"), &["update"]),
    ] {
        assert_eq!(bash_completions(&line), expected, "{line}");
    }
}

#[test]
fn calls_a_crowded_daemon_turns_away_are_made_again() {
    let n_calls = std::sync::atomic::AtomicUsize::new(0);
    let fake = Fake::start(move |method, _| match method {
        "supervisor.getVersion" => Reply::Fault(1, ""),
        _ if n_calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 2 => Reply::Http(503),
        _ => Reply::Value(Value::Boolean(true)),
    });
    check(&fake, "start a b c", "a: started\nb: started\nc: started\n", 0);
}

/// What our daemon answers when programs are scaled, enabled and disabled.
fn with_programs(kept: &'static str, problem: &'static str) -> Fake {
    let number = |wanted: i32, kept: &str| {
        structure([
            ("program", Value::String("web".into())),
            ("groups", Value::String("web".into())),
            ("configured", Value::Integer(3)),
            ("wanted", Value::Integer(wanted)),
            ("processes", Value::Integer(2)),
            ("kept", Value::String(kept.into())),
        ])
    };
    let names = |names: &[&str]| {
        let named = names.iter().map(|name| structure([("name", Value::String((*name).into()))]));
        Value::Array(named.collect())
    };
    Fake::start(move |method, _| match method {
        "supervisord.scale" => Reply::Value(structure([
            (
                "programs",
                Value::Array(vec![structure([
                    ("program", Value::String("web".into())),
                    ("before", Value::Integer(3)),
                    ("now", Value::Integer(8)),
                    ("configured", Value::Integer(3)),
                ])]),
            ),
            ("groups", Value::Array(vec![])),
            ("kept", Value::String(kept.into())),
            ("problem", Value::String(problem.into())),
        ])),
        "supervisord.getPrograms" => Reply::Value(Value::Array(vec![number(8, kept)])),
        "supervisord.enable" | "supervisord.disable" => Reply::Value(structure([
            ("names", names(&["web", "g:x", "cat:cat"])),
            ("processes", names(&["web:web_0", "g:x", "cat"])),
            ("kept", Value::String(kept.into())),
            ("problem", Value::String(problem.into())),
        ])),
        "supervisor.getAllProcessInfo" => Reply::Value(processes()),
        "supervisor.getVersion" => Reply::Value(text("3.0")),
        _ => Reply::Value(Value::Boolean(true)),
    })
}

#[test]
fn programs_are_scaled_in_one_call_and_what_holds_is_said() {
    let fake = with_programs("saved", "");
    check(&fake, "scale --save web=8", "web: scaled from 3 to 8\n", 0);
    assert!(fake.take_calls().iter().any(|call| call.starts_with("supervisord.scale(")));
    check(&fake, "scale web", "web  8 processes (2 now), configured 3, saved\n", 0);
    let (output, _, exit) = fake.run("scale web=8 db");
    assert!(output.starts_with("Error: scale requires <program>=<number>") && exit == 1, "{output}");
    let (output, _, exit) = fake.run("scale --save");
    assert!(output.starts_with("Error: scale requires <program>=<number>") && exit == 1, "{output}");

    let fake = with_programs("until_end", "no space left");
    let told = "ERROR: it holds until the daemon ends, the state_file could not be written: no space left\n";
    check(&fake, "scale --save web=8", &format!("web: scaled from 3 to 8\n{told}"), 1);
    check(&fake, "disable cat", &format!("web: disabled\ng:x: disabled\ncat: disabled\n{told}"), 1);

    let fake = with_programs("until_end", "");
    let (_, hint, exit) = fake.run("scale web=8");
    assert!(hint.contains("this holds until the daemon ends; --save keeps it") && exit == 0, "{hint}");
    let (output, hint, exit) = fake.run("enable cat");
    assert_eq!((output.as_str(), exit), ("web: enabled\ng:x: enabled\ncat: enabled\n", 0));
    assert!(hint.contains("this holds until the daemon ends: it has no state_file"), "{hint}");
    let (output, _, exit) = fake.run("enable");
    assert!(output.starts_with("Error: enable requires a process name\n") && exit == 1, "{output}");
}
