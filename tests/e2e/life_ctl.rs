//! Dependencies, jobs and health from the client's side: what it prints, what it waits for, and with which status it leaves.

use crate::start;
use crate::support::{Daemon, LONG, Run, Side, flag, kill, member, text, until};
use nix::sys::signal::Signal;
use std::process::Stdio;
use supervisord::model::state::ProcessState::{Exited, Fatal, Running, Stopped};

/// Both streams and the status of the client.
#[track_caller]
fn check(run: &Run, stdout: &str, status: i32) {
    assert_eq!((run.stdout.as_str(), run.code), (stdout, status), "{run:?}");
}

/// A program that is not started by itself.
fn idle(name: &str, more: &str) -> String {
    format!("[program:{name}]\ncommand=sleep 1000\nautostart=false\n{more}\n")
}

/// One that records when it is up, which makes it ready, and when it is told to end.
fn recorded(name: &str, more: &str) -> String {
    format!(
        "[program:{name}]\ncommand=/bin/sh -c 'trap \"rm up-{name}; echo down {name} >>record; exit 0\" TERM; \
         echo up {name} >>record; touch up-{name}; while :; do sleep 0.02; done'\ndirectory=%(here)s\n\
         autostart=false\nready=file:%(here)s/up-{name}\nready_interval=20ms\n{more}\n"
    )
}

/// The lines of the programs' own record, once there are so many.
#[track_caller]
fn record(daemon: &Daemon, n_lines: usize) -> Vec<String> {
    until(&format!("{n_lines} lines in the record"), LONG, || {
        daemon.read("record").lines().count() >= n_lines
    });
    daemon.read("record").lines().map(str::to_string).collect()
}

#[test]
fn start_and_stop_go_along_dependencies_unless_told_otherwise() {
    let conf = recorded("db", "") + &recorded("web", "depends_on=db") + &recorded("shop", "depends_on=web");
    let daemon = start(&conf);

    check(&daemon.ctl(&["start", "web", "--no-deps"]), "web: started\n", 0);
    assert_eq!(record(&daemon, 1), ["up web"]);
    assert_eq!(daemon.state_of("db"), Stopped);
    check(&daemon.ctl(&["stop", "web"]), "web: stopped\n", 0);

    check(&daemon.ctl(&["start", "shop"]), "shop: started\n", 0);
    assert_eq!(record(&daemon, 5)[2..], ["up db", "up web", "up shop"]);
    let run = daemon.ctl(&["stop", "db"]);
    check(&run, "db: stopped\n  web depends on it and runs on\n", 0);
    // Those that the same command stops do not run on, and a restart leaves nobody without.
    check(&daemon.ctl(&["start", "db"]), "db: started\n", 0);
    check(&daemon.ctl(&["restart", "db"]), "db: stopped\ndb: started\n", 0);

    let before = record(&daemon, 9).len();
    let run = daemon.ctl(&["stop", "--dependents", "db"]);
    check(&run, "shop: stopped\nweb: stopped\ndb: stopped\n", 0);
    assert_eq!(record(&daemon, before + 3)[before..], ["down shop", "down web", "down db"]);
    // Nobody who could be told of is left.
    check(&daemon.ctl(&["stop", "db"]), "db: ERROR (not running)\n", 0);

    assert!(daemon.ctl(&["start", "web", "--nope"]).stdout.starts_with("Error: bad argument --nope\n"));
}

#[test]
fn a_start_waits_for_what_it_depends_on_and_says_why_it_failed() {
    let conf = "
[program:slow]
command=sleep 1000
startsecs=1
autostart=false

[program:web]
command=sleep 1000
startsecs=0
autostart=false
depends_on=slow

[program:bad]
command=/bin/false
startretries=0
autostart=false

[program:needy]
command=sleep 1000
autostart=false
depends_on=bad
";
    let daemon = start(conf);
    check(&daemon.ctl(&["start", "web"]), "web: started\n", 0);
    assert_eq!((daemon.state_of("slow"), daemon.state_of("web")), (Running, Running));
    check(
        &daemon.ctl(&["restart", "slow", "web"]),
        "slow: stopped\nweb: stopped\nslow: started\nweb: started\n",
        0,
    );

    let run = daemon.ctl(&["start", "needy"]);
    check(&run, "needy: ERROR (depends on bad, which is FATAL)\n", 7);
    // A program that uses nothing of that has Supervisor's words.
    check(&daemon.ctl(&["start", "bad"]), "bad: ERROR (spawn error)\n", 7);
    let why = daemon.ctl(&["why", "needy"]).stdout;
    assert!(
        why.contains(
            "needy: FATAL, it could not be started: depends on bad, which is FATAL; it comes back when its"
        ),
        "{why}"
    );
    assert!(why.contains("\n  bad: does not hold, and will not by itself; bad (FATAL)\n"), "{why}");
    assert!(why.contains("\nnext: it starts when its dependencies hold\n"), "{why}");
}

#[test]
fn a_start_of_a_job_reports_how_it_ended() {
    let conf = "
[program:good]
type=oneshot
command=/bin/sh -c 'while [ ! -e go ]; do sleep 0.02; done; echo done'
directory=%(here)s
autostart=false

[program:bad]
type=oneshot
command=/bin/sh -c 'exit 3'
startretries=0
autostart=false
";
    let daemon = start(conf);
    check(&daemon.ctl(&["start", "--no-wait", "good"]), "good: started\n", 0);
    let why = daemon.ctl(&["why", "good"]).stdout;
    assert!(why.starts_with("good: STARTING, it is a job and runs: pid "), "{why}");
    let health = daemon.ctl(&["health", "good"]);
    check(&health, "good  starting\n", 1);
    std::fs::write(daemon.path("go"), "").unwrap();
    daemon.wait_for_state("good", Exited, LONG);
    check(&daemon.ctl(&["start", "good"]), "good: started\n", 0);
    assert_eq!(daemon.state_of("good"), Exited, "the client has waited for its end");
    assert!(daemon.ctl(&["why", "good"]).stdout.starts_with("good: EXITED, it is a job and is done\n"));
    check(&daemon.ctl(&["restart", "--rolling", "good"]), "good: ERROR (not running)\ngood: started\n", 0);

    check(&daemon.ctl(&["start", "bad"]), "bad: ERROR (Bad exit code 3)\n", 7);
    let fault = daemon.try_call("supervisor.startProcess", vec![text("bad")]).unwrap_err();
    assert_eq!((fault.code(), fault.string()), (50, "SPAWN_ERROR: bad: Bad exit code 3"));
    assert_eq!(daemon.state_of("bad"), Fatal);
    check(&daemon.ctl(&["health"]), "bad   failed     Bad exit code 3\ngood  finished\n", 1);
    check(&daemon.ctl(&["health", "good"]), "good  finished\n", 0);
}

#[test]
fn health_is_for_healthchecks() {
    let conf = "
[program:well]
command=sleep 1000
startsecs=0
health=file:%(here)s/ok
health_interval=20ms
health_retries=1
health_action=none

[program:plain]
command=sleep 1000
startsecs=0

[program:rests]
command=sleep 1000
autostart=false
";
    let daemon = start(conf);
    until("it is unhealthy", LONG, || daemon.ctl(&["health"]).stdout.contains("unhealthy"));
    let run = daemon.ctl(&["health"]);
    assert!(run.stdout.starts_with("plain  running\nrests  stopped\nwell   unhealthy  "), "{run:?}");
    assert_eq!(run.code, 1);
    std::fs::write(daemon.path("ok"), "").unwrap();
    until("it is healthy", LONG, || daemon.ctl(&["health"]).code == 0);
    check(&daemon.ctl(&["health", "well", "plain"]), "well   healthy\nplain  running\n", 0);
    check(&daemon.ctl(&["health", "nobody"]), "nobody: ERROR (no such process)\n", 1);
    let json: serde_json::Value =
        serde_json::from_str(&daemon.ctl(&["health", "--json", "well"]).stdout).unwrap();
    let well = &json[0];
    assert_eq!(
        (&well["namespec"], &well["health"], &well["reason"]),
        (&"well".into(), &"healthy".into(), &"".into())
    );
    let status: serde_json::Value = serde_json::from_str(&daemon.ctl(&["status", "--json"]).stdout).unwrap();
    assert_eq!(status[2]["life"]["healthy"], true, "{status}");
    assert!(status[0].get("life").is_none(), "{status}");
    let why = daemon.ctl(&["why", "well"]).stdout;
    assert!(why.contains("\nhealth: file:") && why.contains("/ok, healthy\n"), "{why}");
}

#[test]
fn deps_draws_what_hangs_together() {
    let conf = idle("db", "")
        + &idle("migrate", "type=oneshot\ndepends_on=db")
        + &idle("w", "process_name=%(program_name)s_%(process_num)s\nnumprocs=2\ndepends_on=db")
        + &idle("web", "depends_on=db, migrate:done?, w")
        + &idle("alone", "");
    let daemon = start(&conf);
    let tree = "web  STOPPED\n├─ db  STOPPED  will not hold by itself\n├─ migrate  STOPPED  done, soft\n\
                │  └─ db  STOPPED  will not hold by itself\n└─ w  2 processes, will not hold by itself\n   \
                ├─ w:w_0  STOPPED\n   │  └─ db  STOPPED  will not hold by itself\n   └─ w:w_1  STOPPED\n      \
                └─ db  STOPPED  will not hold by itself\n";
    check(&daemon.ctl(&["deps"]), tree, 0);
    let below = "w:w_0  STOPPED\n└─ db  STOPPED  will not hold by itself\nw:w_1  STOPPED\n\
                 └─ db  STOPPED  will not hold by itself\nneeded by web\n";
    for name in ["w", "w:*"] {
        check(&daemon.ctl(&["deps", name]), below, 0);
    }
    check(
        &daemon.ctl(&["deps", "migrate"]),
        "migrate  STOPPED\n└─ db  STOPPED  will not hold by itself\nneeded by web\n",
        0,
    );
    check(&daemon.ctl(&["deps", "db"]), "db  STOPPED\nneeded by migrate, w:w_0, w:w_1, web\n", 0);
    check(&daemon.ctl(&["deps", "alone"]), "alone: depends on nothing, and nothing depends on it\n", 0);
    check(&daemon.ctl(&["deps", "nobody"]), "nobody: ERROR (no such process)\n", 1);

    let json: serde_json::Value = serde_json::from_str(&daemon.ctl(&["deps", "--json"]).stdout).unwrap();
    let web = json.as_array().unwrap().iter().find(|node| node["name"] == "web").unwrap();
    assert_eq!(web["needs"][1]["item"], "migrate:done?");
    let dot = daemon.ctl(&["deps", "--dot"]).stdout;
    assert!(dot.starts_with("digraph dependencies {\n") && dot.ends_with("}\n"), "{dot}");
    assert!(dot.contains("  \"web\" -> \"migrate\" [label=\"done\", style=dashed];\n"), "{dot}");
}

#[test]
fn the_methods_behind_it_answer() {
    let daemon = start(&(idle("db", "") + &idle("web", "depends_on=db\nstartsecs=0")));
    for (method, params) in [
        ("startProcessAlone", vec![text("web")]),
        ("stopProcessWithDependents", vec![text("web"), flag(true)]),
    ] {
        assert_eq!(daemon.call(&format!("supervisord.{method}"), params), flag(true), "{method}");
    }
    for (method, name, code) in [
        ("startProcessAlone", "nobody", 10),
        ("stopProcessWithDependents", "web", 70),
        ("getHealth", "nobody", 10),
        ("getDependencies", "nobody", 10),
        ("getLife", "nobody", 10),
    ] {
        let fault = daemon.try_call(&format!("supervisord.{method}"), vec![text(name)]).unwrap_err();
        assert_eq!(fault.code(), code, "{method}");
        let help = daemon.call("system.methodHelp", vec![text(&format!("supervisord.{method}"))]);
        assert!(help != text(""), "{method}");
    }
    let health = daemon.rows("supervisord.getHealth");
    let first: String = member(&health[0], "health");
    assert_eq!((health.len(), first.as_str()), (2, "stopped"));
    assert_eq!(daemon.rows("supervisord.getLife").len(), 1);
    assert_eq!(daemon.rows("supervisord.getDependencies").len(), 2);
}

/// One that would be started again whenever it ends.
fn restless(name: &str, script: &str, more: &str) -> String {
    format!("[program:{name}]\ncommand=/bin/sh -c '{script}' x\nautostart=false\nautorestart=true\n{more}\n")
}

#[test]
fn run_passes_output_and_exit_status_on() {
    let conf = restless("args", "printf \"<%%s>\" \"$@\"; echo err >&2; exit 5", "")
        + &restless("memory", "echo in memory", "stdout_logfile=MEMORY\nstderr_logfile=NONE")
        + &restless(
            "much",
            "i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); done",
            "redirect_stderr=true",
        )
        + &restless("killed", "kill -KILL $$", "")
        + "[program:job]\ntype=oneshot\ncommand=/bin/sh -c 'exit 3'\nstartretries=5\nautostart=false\n"
        + "[program:needy]\ncommand=/bin/true\nautostart=false\ndepends_on=gone\n"
        + "[program:gone]\ncommand=/bin/false\nstartretries=0\nautostart=false\n"
        + "[program:up]\ncommand=sleep 1000\nstartsecs=0\n";
    let daemon = start(&conf);
    for _ in 0..2 {
        let run = daemon.ctl(&["run", "args", "--", "a b", "it's", "$x", ""]);
        assert_eq!(
            (run.stdout.as_str(), run.stderr.as_str(), run.code),
            ("<a b><it's><$x><>", "err\n", 5),
            "{run}"
        );
        assert_eq!(daemon.state_of("args"), Exited, "nothing starts it again");
        let run = daemon.ctl(&["run", "memory"]);
        let told = "memory: its stderr is not shown: it has no log (NONE)\n";
        assert_eq!((run.stdout.as_str(), run.stderr.as_str(), run.code), ("in memory\n", told, 0), "{run}");
        let run = daemon.ctl(&["run", "much"]);
        let lines: Vec<String> = (0..3000).map(|line| line.to_string()).collect();
        assert!(run.stdout.lines().eq(lines.iter()), "{} lines: {}", run.stdout.lines().count(), run.stderr);
        let told = "much: its stderr is not shown: it goes where its stdout goes (redirect_stderr)\n";
        assert_eq!((run.stderr.as_str(), run.code), (told, 0));
    }
    let run = daemon.ctl(&["run", "killed"]);
    assert_eq!((run.stderr.as_str(), run.code), ("killed: terminated by SIGKILL\n", 137), "{run}");
    check(&daemon.ctl(&["run", "job"]), "", 3);
    assert_eq!(daemon.state_of("job"), Fatal, "a run is one start");
    check(&daemon.ctl(&["run", "needy"]), "needy: ERROR (depends on gone, which is FATAL)\n", 7);
    assert_eq!(daemon.state_of("needy"), Stopped);
    check(&daemon.ctl(&["run", "up"]), "up: ERROR (already started)\n", 1);
    check(&daemon.ctl(&["run", "nobody"]), "nobody: ERROR (no such process)\n", 1);
    for (words, message) in [
        (vec!["run"], "Error: run requires a process name\n"),
        (vec!["run", "--x"], "Error: bad argument --x\n"),
        (vec!["run", "args", "x"], "Error: arguments for the program stand behind --\n"),
    ] {
        let run = daemon.ctl(&words);
        assert!(run.stdout.starts_with(message) && run.code == 1, "{run}");
    }
}

/// The client of a run, which is ended whatever comes.
struct Runner(std::process::Child);

impl Drop for Runner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run_in_background(daemon: &Daemon, words: &[&str]) -> Runner {
    let mut command = Side::under_test().ctl();
    command.arg("-c").arg(daemon.conf()).arg("run").args(words);
    Runner(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the client starts"))
}

#[test]
fn an_interrupted_run_stops_the_program() {
    let script = "trap \"exit 0\" TERM; : >up; while :; do sleep 0.02; done";
    let daemon = start(&restless("x", script, "directory=%(here)s"));
    let mut runner = run_in_background(&daemon, &["x"]);
    until("the program runs", LONG, || daemon.path("up").exists());
    kill(i32::try_from(runner.0.id()).unwrap(), Signal::SIGINT);
    assert_eq!(runner.0.wait().unwrap().code(), Some(130));
    assert_eq!(daemon.state_of("x"), Stopped);
}

/// The next manager knows that it is a run: it does not start it again, and the arguments are gone with it.
#[test]
fn a_run_survives_the_manager_and_is_still_one_run() {
    let script = "echo \"$@\" >>record; while [ ! -e end ]; do sleep 0.02; done";
    let daemon = start(&restless("x", script, "directory=%(here)s\nstartsecs=0"));
    let _runner = run_in_background(&daemon, &["x", "--", "with", "arguments"]);
    assert_eq!(record(&daemon, 1), ["with arguments"]);
    let pid = daemon.pid_of("x");
    daemon.replace_manager();
    assert_eq!(daemon.pid_of("x"), pid);
    std::fs::write(daemon.path("end"), "").unwrap();
    daemon.wait_for_state("x", Exited, LONG);
    daemon.replace_manager();
    assert_eq!((daemon.state_of("x"), daemon.read("record")), (Exited, "with arguments\n".to_string()));
    std::fs::remove_file(daemon.path("end")).unwrap();
    check(&daemon.ctl(&["start", "x"]), "x: started\n", 0);
    assert_eq!(record(&daemon, 2), ["with arguments", ""]);
}
