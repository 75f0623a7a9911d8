//! `update` beyond the table of keys: what a change that is applied does, and that nothing is lost on the way.

use crate::start;
use crate::support::{Daemon, LONG, kill, member, until};
use dxr::{TryFromValue, Value};
use nix::sys::signal::Signal;
use std::fmt::Write;
use std::fs;
use supervisord::model::state::ProcessState::{Exited, Fatal, Running, Stopped};

/// A program that goes on when it is asked to stop, until `file` is there.
fn stubborn(name: &str, file: &str) -> String {
    format!(
        "[program:{name}]\ncommand=/bin/sh -c 'trap \"\" TERM; while [ ! -e {file} ]; do sleep 0.02; done'\n\
         stopwaitsecs=600\nautorestart=false\n"
    )
}

/// The lines of `update --plan`.
fn plan(daemon: &Daemon) -> String {
    daemon.ctl(&["update", "--plan"]).stdout
}

const NOTHING: &str = "No config updates to processes\n";

/// How often a program was started.
fn starts(daemon: &Daemon, name: &str) -> usize {
    daemon.log().matches(&format!("spawned: '{name}'")).count()
}

#[test]
fn what_is_applied_counts_at_once() {
    let conf = |keys: &str| {
        format!(
            "[program:a]\ncommand=/bin/sh -c 'trap \"echo int; exit 3\" INT; while :; do sleep 0.02; done'\n\
             stdout_logfile=%(here)s/a.log\n{keys}"
        )
    };
    let daemon = start(&conf("autorestart=true\n"));
    daemon.wait_for_state("a", Running, LONG);
    let pid = daemon.pid_of("a");
    daemon.write_conf(&conf("stopsignal=INT\nautorestart=false\nexitcodes=3\n"));
    assert_eq!(daemon.ctl(&["update"]).stdout, "a: updated process group\n");
    assert_eq!(daemon.pid_of("a"), pid);
    // By its new signal, and with that it would not come back.
    daemon.ctl(&["stop", "a"]);
    assert_eq!(daemon.read("a.log"), "int\n");
    daemon.ctl(&["start", "a"]);
    kill(daemon.pid_of("a"), Signal::SIGKILL);
    daemon.wait_for_state("a", Exited, LONG);
    assert_eq!(starts(&daemon, "a"), 2);
}

#[test]
fn logs_keep_to_their_new_limits_without_a_restart() {
    let conf = |limits: &str| {
        format!(
            "[program:a]\ncommand=/bin/sh -c 'while read line; do echo $line; done'\n\
             stdout_logfile=%(here)s/a.log\n{limits}"
        )
    };
    let daemon = start(&conf("stdout_logfile_maxbytes=1MB\n"));
    daemon.wait_for_state("a", Running, LONG);
    let pid = daemon.pid_of("a");
    let say = |text: &str| {
        let line = Value::String(format!("{text}\n"));
        daemon.call("supervisor.sendProcessStdin", vec![Value::String("a".into()), line]);
    };
    say("first line of the log");
    until("it is logged", LONG, || daemon.read("a.log").contains("first"));
    daemon.write_conf(&conf("stdout_logfile_maxbytes=30\nstdout_logfile_backups=1\n"));
    daemon.ctl(&["update"]);
    for number in 0..6 {
        say(&format!("line {number} with some words"));
        until("it is logged", LONG, || {
            let both = daemon.read("a.log") + &daemon.read("a.log.1");
            both.contains(&format!("line {number}"))
        });
    }
    assert!(daemon.read("a.log").len() < 60 && !daemon.path("a.log.2").exists(), "{}", daemon.read("a.log"));
    assert_eq!(daemon.pid_of("a"), pid);
}

#[test]
fn a_health_check_comes_and_goes_with_the_process_running() {
    let conf = |keys: &str| format!("[program:a]\ncommand=/bin/sleep 1000\nhealth_action=none\n{keys}");
    let daemon = start(&conf(""));
    daemon.wait_for_state("a", Running, LONG);
    let pid = daemon.pid_of("a");
    let health = || daemon.ctl(&["health", "a"]).stdout;
    let check =
        format!("health=file:{}\nhealth_interval=50ms\nhealth_retries=1\n", daemon.path("well").display());
    daemon.write_conf(&conf(&check));
    daemon.ctl(&["update"]);
    until("it is not well", LONG, || health().contains("unhealthy"));
    fs::write(daemon.path("well"), "").expect("written");
    until("it is well", LONG, || !health().contains("unhealthy"));
    daemon.write_conf(&conf(""));
    daemon.ctl(&["update"]);
    assert_eq!(daemon.pid_of("a"), pid);
    assert_eq!(plan(&daemon), NOTHING);
}

#[test]
fn dependencies_change_under_who_runs() {
    let conf = |keys: &str| {
        format!("[program:db]\ncommand=/bin/sleep 1000\n[program:web]\ncommand=/bin/sleep 1001\n{keys}")
    };
    let daemon = start(&conf(""));
    daemon.wait_for_state("web", Running, LONG);
    let pid = daemon.pid_of("web");
    daemon.write_conf(&conf("depends_on=db\ndepends_restart=restart\n"));
    assert_eq!(plan(&daemon), "web: would apply it while it runs: depends_on\n");
    // Only what changes something leaves a line.
    let is_audited = || daemon.log().contains("called supervisord.updateGroups");
    assert!(!is_audited());
    daemon.ctl(&["update"]);
    assert!(is_audited());
    assert_eq!(daemon.pid_of("web"), pid);
    daemon.ctl(&["restart", "db"]);
    until("it has followed", LONG, || ![0, pid].contains(&daemon.pid_of("web")));
    daemon.wait_for_state("web", Running, LONG);
    // And back: nobody follows any more.
    let pid = daemon.pid_of("web");
    daemon.write_conf(&conf(""));
    daemon.ctl(&["update"]);
    daemon.ctl(&["restart", "db"]);
    assert_eq!(daemon.pid_of("web"), pid);
}

#[test]
fn who_had_given_up_gets_another_try_and_who_was_stopped_is_changed_at_rest() {
    let conf = |command: &str, keys: &str| {
        format!(
            "[program:broken]\ncommand={command}\nstartretries=0\n\
             [program:off]\ncommand=/bin/sleep 1000\nautostart=false\n{keys}"
        )
    };
    let daemon = start(&conf("/nonexistent", ""));
    daemon.wait_for_state("broken", Fatal, LONG);
    daemon.write_conf(&conf("/bin/sleep 1000", "user=root\nnice=1\n"));
    assert_eq!(
        plan(&daemon),
        "broken: would start it with the new configuration: command\noff: would change it while it is at rest: user, \
         nice\n"
    );
    daemon.ctl(&["update"]);
    daemon.wait_for_state("broken", Running, LONG);
    assert_eq!(daemon.state_of("off"), Stopped);
    assert_eq!(plan(&daemon), NOTHING);
}

#[test]
fn a_stop_meanwhile_is_the_last_word() {
    let daemon = start("");
    let go = daemon.path("go").display().to_string();
    let conf = |keys: &str| format!("{}{keys}", stubborn("a", &go));
    daemon.write_conf(&conf(""));
    daemon.ctl(&["update"]);
    daemon.wait_for_state("a", Running, LONG);
    daemon.write_conf(&conf("nice=1\n"));
    std::thread::scope(|scope| {
        let update = scope.spawn(|| daemon.ctl(&["update"]));
        until("it is asked to stop", LONG, || daemon.ctl(&["status", "a"]).stdout.contains("STOPPING"));
        daemon.call("supervisor.stopProcess", vec![Value::String("a".into()), Value::Boolean(false)]);
        fs::write(&go, "").expect("written");
        assert_eq!(update.join().expect("no panic").code, 0);
    });
    daemon.wait_for_state("a", Stopped, LONG);
    assert_eq!(starts(&daemon, "a"), 1);
    assert_eq!(plan(&daemon), NOTHING);
}

/// A manager is killed while a process is on its way: the next one brings that to its end.
#[test]
fn a_killed_manager_leaves_nothing_half_done() {
    let daemon = start("");
    let (go, gone) = (daemon.path("go").display().to_string(), daemon.path("gone").display().to_string());
    let conf = |command: &str, keys: &str| {
        format!(
            "{}{keys}{}[program:still]\ncommand=/bin/sleep 1000\n[program:pair]\n\
             command=/bin/sleep 100{command}\nnumprocs=2\nprocess_name=p%(process_num)d\n\
             sockets=unix://%(here)s/pair{command}.sock\n",
            stubborn("a", &go),
            if command == "0" { stubborn("leaves", &gone) } else { String::new() },
        )
    };
    daemon.write_conf(&conf("0", ""));
    daemon.ctl(&["update"]);
    for name in ["a", "leaves", "still", "pair:p0", "pair:p1"] {
        daemon.wait_for_state(name, Running, LONG);
    }
    let (still, pair) = (daemon.pid_of("still"), [daemon.pid_of("pair:p0"), daemon.pid_of("pair:p1")]);
    daemon.write_conf(&conf("1", "nice=1\n"));
    std::thread::scope(|scope| {
        // Its connection ends with the manager.
        scope.spawn(|| daemon.ctl(&["update"]));
        until("they are asked to stop", LONG, || {
            daemon.ctl(&["status", "a", "leaves"]).stdout.matches("STOPPING").count() == 2
        });
        daemon.replace_manager();
        fs::write(daemon.path("go"), "").expect("written");
        until("it runs as it is configured now", LONG, || starts(&daemon, "a") == 2);
        daemon.replace_manager();
        fs::write(daemon.path("gone"), "").expect("written");
        until("it is gone", LONG, || daemon.ctl(&["status", "leaves"]).stdout.contains("no such"));
    });
    until("the pair is back", LONG, || {
        ["pair:p0", "pair:p1"].iter().zip(pair).all(|(name, pid)| ![0, pid].contains(&daemon.pid_of(name)))
    });
    assert_eq!(daemon.pid_of("still"), still);
    assert!(daemon.path("pair1.sock").exists() && !daemon.path("pair0.sock").exists());
    assert_eq!(plan(&daemon), NOTHING);
}

/// A program that gets another name, or another group, wants the port that its predecessor has.
#[test]
fn what_is_new_comes_when_what_goes_has_gone() {
    let daemon = start("");
    let go = daemon.path("go").display().to_string();
    let more = "[program:crew]\ncommand=/bin/sleep 1000\nprocess_name=c%(process_num)d\nnumprocs=";
    daemon.write_conf(&format!("{}{more}1\n", stubborn("old", &go)));
    daemon.ctl(&["update"]);
    daemon.wait_for_state("old", Running, LONG);
    let crew = daemon.pid_of("crew:c0");
    daemon.write_conf(&format!("[program:new]\ncommand=/bin/sleep 1000\n{more}2\n"));
    std::thread::scope(|scope| {
        // Its connection ends with the manager.
        scope.spawn(|| daemon.ctl(&["update"]));
        until("it is asked to stop", LONG, || daemon.ctl(&["status", "old"]).stdout.contains("STOPPING"));
        assert!(daemon.ctl(&["status", "new"]).stdout.contains("no such"), "it is there too early");
        daemon.replace_manager();
        assert!(daemon.ctl(&["status", "new", "crew:c1"]).stdout.matches("no such").count() == 2);
        fs::write(&go, "").expect("written");
        daemon.wait_for_state("new", Running, LONG);
        daemon.wait_for_state("crew:c1", Running, LONG);
    });
    assert_eq!(daemon.pid_of("crew:c0"), crew);
    assert_eq!(plan(&daemon), NOTHING);
    let log = daemon.log();
    assert!(log.find("stopped: old") < log.find("spawned: 'new'"), "{log}");
}

#[test]
fn a_restart_with_reread_takes_one_process_and_leaves_the_others() {
    let conf = |number: u32| {
        format!(
            "[group:g]\nprograms=a,b\n[program:a]\ncommand=/bin/sleep 100{number}\n[program:b]\n\
             command=/bin/sleep 200{number}\n"
        )
    };
    let daemon = start(&conf(1));
    daemon.wait_for_state("g:a", Running, LONG);
    daemon.wait_for_state("g:b", Running, LONG);
    let b = daemon.pid_of("g:b");
    daemon.write_conf(&conf(2));
    // With the old configuration it says so.
    let run = daemon.ctl(&["restart", "g:a"]);
    assert_eq!(run.stdout, "g:a: stopped\ng:a: started\n");
    assert_eq!(run.stderr, "g:a: the file differs: run update\n");
    let command =
        |name: &str| fs::read_to_string(format!("/proc/{}/cmdline", daemon.pid_of(name))).expect("it runs");
    assert!(command("g:a").contains("1001"));
    let run = daemon.ctl(&["restart", "--reread", "g:a"]);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("g:a: stopped\ng:a: started\n", ""));
    assert!(command("g:a").contains("1002"));
    assert_eq!(daemon.pid_of("g:b"), b);
    assert_eq!(plan(&daemon), "g:b: would restart it: command\n");
    // A file that is wrong restarts nobody.
    daemon.write_conf("[program:a]\ncommand=/bin/sleep 1\nautostart=perhaps\n");
    let a = daemon.pid_of("g:a");
    let run = daemon.ctl(&["restart", "--reread", "g:a"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stdout.contains("CANT_REREAD"), "{run:?}");
    assert_eq!(daemon.pid_of("g:a"), a);
    // Nor does one that does not have it any more.
    daemon.write_conf("[program:c]\ncommand=/bin/sleep 1000\n");
    let run = daemon.ctl(&["restart", "--reread", "g:a"]);
    assert!(run.stdout.contains("it is not configured any more: run update"), "{run:?}");
    assert_eq!(daemon.pid_of("g:a"), a);
}

/// A single run goes on as it was, and nobody waits for its end.
#[test]
fn a_single_run_is_not_disturbed() {
    let daemon = start("");
    let go = daemon.path("go").display().to_string();
    let conf = |keys: &str| {
        format!(
            "[program:job]\ncommand=/bin/sh -c 'while [ ! -e {go} ]; do sleep 0.02; done; echo done $V'\n\
             autostart=false\nstdout_logfile=%(here)s/job.log\n{keys}"
        )
    };
    daemon.write_conf(&conf(""));
    daemon.ctl(&["update"]);
    std::thread::scope(|scope| {
        let run = scope.spawn(|| daemon.ctl(&["run", "job"]));
        daemon.wait_for_state("job", Running, LONG);
        let pid = daemon.pid_of("job");
        daemon.write_conf(&conf("environment=V=\"two\"\n"));
        assert_eq!(daemon.ctl(&["update"]).code, 0);
        assert_eq!(daemon.pid_of("job"), pid);
        fs::write(&go, "").expect("written");
        assert_eq!(run.join().expect("no panic").code, 0);
    });
    assert_eq!(daemon.read("job.log"), "done\n");
    assert_eq!(plan(&daemon), NOTHING);
    daemon.ctl(&["run", "job"]);
    assert_eq!(daemon.read("job.log"), "done\ndone two\n");
}

#[test]
fn what_the_file_says_no_more_is_not_taken() {
    let conf = |number: u32| format!("[program:a]\ncommand=/bin/sleep 100{number}\n");
    let daemon = start(&conf(1));
    daemon.wait_for_state("a", Running, LONG);
    daemon.write_conf(&conf(2));
    let name = || vec![Value::String("a".into())];
    daemon.call("supervisord.takeConfiguration", name());
    daemon.write_conf(&conf(1));
    assert_eq!(daemon.ctl(&["update"]).stdout, "");
    daemon.ctl(&["restart", "a"]);
    let command = fs::read_to_string(format!("/proc/{}/cmdline", daemon.pid_of("a"))).expect("it runs");
    assert!(command.contains("1001"), "{command}");
    daemon.write_conf(&conf(2));
    daemon.call("supervisord.takeConfiguration", name());
    daemon.write_conf(&conf(1));
    daemon.call("supervisord.takeConfiguration", name());
    daemon.ctl(&["restart", "a"]);
    let command = fs::read_to_string(format!("/proc/{}/cmdline", daemon.pid_of("a"))).expect("it runs");
    assert!(command.contains("1001"), "{command}");
}

#[test]
fn listeners_come_and_go_and_their_pool_stays() {
    let listener = "/bin/sh -c 'echo READY; while read line; do echo \"$line\" >&2; sleep 1000; done'";
    let conf = |numprocs: u32| {
        format!(
            "[eventlistener:l]\ncommand={listener}\nnumprocs={numprocs}\nprocess_name=l%(process_num)d\n\
             events=PROCESS_STATE_STOPPED\nstderr_logfile=%(here)s/%(process_num)d.err\nstopwaitsecs=1\n\
             [program:a]\ncommand=/bin/sleep 1000\n"
        )
    };
    let daemon = start(&conf(1));
    daemon.wait_for_state("l:l0", Running, LONG);
    daemon.wait_for_state("a", Running, LONG);
    let first = daemon.pid_of("l:l0");
    daemon.write_conf(&conf(2));
    daemon.ctl(&["update"]);
    daemon.wait_for_state("l:l1", Running, LONG);
    assert_eq!(daemon.pid_of("l:l0"), first);
    // Each is busy with one event, so the second goes to the new one.
    daemon.ctl(&["restart", "a"]);
    daemon.ctl(&["restart", "a"]);
    until("both have an event", LONG, || {
        !daemon.read("0.err").is_empty() && !daemon.read("1.err").is_empty()
    });
    daemon.replace_manager();
    daemon.write_conf(&conf(1));
    daemon.ctl(&["update"]);
    assert_eq!(daemon.pid_of("l:l0"), first);
    assert!(daemon.ctl(&["status", "l:l1"]).stdout.contains("no such"), "it is still there");
}

/// A hundred files, like those of a network's switch, of an application server with its workers, or of a site with its
/// queues. A change in one of them touches its programs and nobody else's.
#[test]
fn one_of_a_hundred_files_touches_its_own_programs() {
    let daemon = start("[include]\nfiles = conf.d/*.conf\n");
    fs::create_dir(daemon.path("conf.d")).expect("created");
    let file = |number: u32, change: &str| {
        let mut text = String::new();
        let _ = match number % 3 {
            0 => writeln!(
                text,
                "[program:queue{number}]\ncommand=/bin/sleep 1000\nnumprocs=2\n\
                 process_name=%(program_name)s_%(process_num)02d\n{change}"
            ),
            1 => writeln!(
                text,
                "[program:odoo{number}]\ncommand=/bin/sleep 1000\n{change}\n[program:cron{number}]\n\
                 command=/bin/sleep 1000\n[group:odoo-{number}]\nprograms=odoo{number},cron{number}"
            ),
            _ => writeln!(
                text,
                "[program:sonic{number}]\ncommand=/bin/sleep 1000\npriority={number}\nstartsecs=0\n{change}"
            ),
        };
        fs::write(daemon.path(&format!("conf.d/{number:03}.conf")), text).expect("written");
    };
    (0..100).for_each(|number| file(number, ""));
    assert_eq!(daemon.ctl(&["update"]).code, 0);
    let pids = || -> Vec<(String, i32)> {
        let rows = daemon.rows("supervisor.getAllProcessInfo");
        let mut pids: Vec<(String, i32)> = rows
            .iter()
            .map(|row| {
                (member::<String>(row, "group") + ":" + &member::<String>(row, "name"), member(row, "pid"))
            })
            .collect();
        pids.sort();
        pids
    };
    until("all run", LONG, || pids().iter().all(|(_, pid)| *pid != 0));
    for (number, change, touched) in [
        (30, "directory=/", &["queue30:queue30_00", "queue30:queue30_01"][..]),
        (31, "directory=/", &["odoo-31:odoo31"]),
        (32, "directory=/", &["sonic32:sonic32"]),
        (33, "stdout_logfile_maxbytes=1MB", &[]),
        (34, "autorestart=true", &[]),
    ] {
        let before = pids();
        file(number, change);
        daemon.ctl(&["update"]);
        until("all run", LONG, || pids().iter().all(|(_, pid)| *pid != 0));
        let after = pids();
        assert_eq!(before.len(), after.len());
        let differing: Vec<&str> = before
            .iter()
            .zip(&after)
            .filter(|(old, new)| old != new)
            .map(|((name, _), _)| name.as_str())
            .collect();
        assert_eq!(differing, touched, "{number}: {change}");
    }
    // A file that goes takes its own programs along.
    let before = pids();
    fs::remove_file(daemon.path("conf.d/031.conf")).expect("removed");
    daemon.ctl(&["update"]);
    let after = pids();
    let gone: Vec<_> =
        before.iter().filter(|one| !after.contains(one)).map(|(name, _)| name.as_str()).collect();
    assert_eq!(gone, ["odoo-31:cron31", "odoo-31:odoo31"]);
    assert_eq!(after.len() + 2, before.len());
}

/// Names of groups that an answer of the method has.
#[test]
fn old_and_new_methods_agree() {
    let daemon = start("[program:a]\ncommand=/bin/sleep 1000\n[program:b]\ncommand=/bin/sleep 1000\n");
    daemon.write_conf(
        "[program:a]\ncommand=/bin/sleep 1000\npriority=5\n[program:c]\ncommand=/bin/sleep 1000\n",
    );
    let answer = daemon.call("supervisor.reloadConfig", vec![]);
    let lists = Vec::<Vec<Vec<String>>>::try_from_value(&answer).expect("an array of an array of arrays");
    assert_eq!(lists, [[["c"], ["a"], ["b"]].map(|names| names.map(str::to_string).to_vec()).to_vec()]);
    let preview = daemon.call("supervisord.previewUpdate", vec![]);
    let groups = Vec::<Value>::try_from_value(&preview).expect("an array");
    let named: Vec<(String, String)> =
        groups.iter().map(|group| (member(group, "group"), member(group, "action"))).collect();
    let expected = [("b", "remove"), ("a", "change"), ("c", "add")];
    assert_eq!(named, expected.map(|(name, action)| (name.to_string(), action.to_string())));
    let answer =
        daemon.try_call("supervisord.updateGroups", vec![Value::Array(vec![Value::String("x".into())])]);
    assert_eq!(answer.expect_err("there is no such group").code(), 10);
}
