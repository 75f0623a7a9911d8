//! `stop_scope`: whom stop signals and SIGKILL reach.

use crate::start;
use crate::support::{Daemon, LONG, Side, Start, flag, kill, running, text, until, wait_gone};
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use supervisord::model::state::ProcessState::{Exited, Running, Stopped, Stopping};
use supervisord::sys::cgroup::home;

/// The daemon, and the pids of a program, its child, and one that has left group and session by two forks. All of them
/// execute `trap` first. The program ends when there is a file `over`.
fn family(trap: &str, keys: &str) -> (Daemon, [i32; 3]) {
    family_of(trap, trap, keys)
}

/// The same, where the program itself executes `trap_of_main` first.
fn family_of(trap_of_main: &str, trap: &str, keys: &str) -> (Daemon, [i32; 3]) {
    let daemon = start(&format!(
        "[program:x]\ncommand=sh script\ndirectory=%(here)s\nstartsecs=0\nautorestart=false\nautostart=false\n\
         {keys}\n"
    ));
    let member = |file: &str| {
        format!("{trap}; echo $$ > {file}.new; mv {file}.new {file}; while :; do sleep 0.02; done")
    };
    let script = format!(
        "{trap_of_main}\nsh -c '{}' &\n(setsid sh -c '{}' &)\necho $$ > main.new; mv main.new main\n\
         while ! test -e over; do sleep 0.02; done\n",
        member("child"),
        member("escaped")
    );
    std::fs::write(daemon.path("script"), script).unwrap();
    daemon.call("supervisor.startProcess", vec![text("x")]);
    let pids = ["main", "child", "escaped"].map(|file| {
        until("everybody runs", LONG, || daemon.path(file).exists());
        daemon.read(file).trim().parse().expect("a pid")
    });
    (daemon, pids)
}

fn end(pids: &[i32]) {
    for pid in pids {
        kill(*pid, Signal::SIGKILL);
    }
    wait_gone(pids, LONG);
}

#[test]
fn group_is_as_the_keys_of_supervisor_say_it() {
    let (daemon, [_, child, escaped]) = family(":", "stop_scope=group");
    daemon.call("supervisor.stopProcess", vec![text("x")]);
    wait_gone(&[child], LONG);
    assert!(running(escaped));
    end(&[escaped]);
}

#[test]
fn a_stop_reaches_the_whole_tree() {
    // Whoever is left after the program's end is killed, so the program ends last.
    let last = "trap 'while kill -0 $(cat child) || kill -0 $(cat escaped); do sleep 0.02; done; exit' TERM";
    let (daemon, pids) = family_of(last, ":", "stop_scope=tree\nstopwaitsecs=1000");
    daemon.call("supervisor.stopProcess", vec![text("x")]);
    wait_gone(&pids, LONG);
    let log = daemon.log();
    assert!(!pids.iter().any(|pid| log.contains(&format!("({pid}) with SIGKILL"))), "{log}");
}

/// The daemon is a program of another one, by whose mark its environment is known. Nobody in between makes one variable of two.
#[test]
fn a_tree_within_a_tree_is_told_from_it() {
    let conf = "[program:x]\ncommand=python3 script\ndirectory=%(here)s\nstop_scope=tree\nstartsecs=0\n";
    let outer = ["env", "SUPERVISOR_TREE=00000000000000bb"];
    let mut daemon = Start::new(Side::under_test(), conf).under(&outer).prepare();
    let script = "import os, time\nif os.fork() == 0:\n  os.setsid()\n  if os.fork() == 0:\n    \
                  open('new', 'w').write(str(os.getpid()))\n    os.rename('new', 'escaped')\n    time.sleep(1000)\n  \
                  os._exit(0)\ntime.sleep(1000)\n";
    std::fs::write(daemon.path("script"), script).unwrap();
    daemon.start();
    until("it has started somebody", LONG, || daemon.path("escaped").exists());
    let escaped: i32 = daemon.read("escaped").parse().expect("a pid");
    let environment = std::fs::read_to_string(format!("/proc/{escaped}/environ")).unwrap();
    let marks: Vec<&str> =
        environment.split('\0').filter(|word| word.starts_with("SUPERVISOR_TREE=")).collect();
    assert!(marks.len() == 1 && marks[0].ends_with(":00000000000000bb"), "{marks:?}");
    daemon.call("supervisor.stopProcess", vec![text("x")]);
    wait_gone(&[escaped], LONG);
}

#[test]
fn who_ignores_the_signal_is_killed_wherever_it_is() {
    let (daemon, pids) = family("trap \"\" TERM", "stop_scope=tree\nstopwaitsecs=1");
    daemon.call("supervisor.stopProcess", vec![text("x")]);
    wait_gone(&pids, LONG);
    assert!(daemon.log().contains("killing 'x'"), "{}", daemon.log());
}

#[test]
fn what_is_left_after_an_end_is_killed_and_named() {
    let (daemon, [main, child, escaped]) = family(":", "stop_scope=tree");
    std::fs::write(daemon.path("over"), "").unwrap();
    wait_gone(&[main, child, escaped], LONG);
    daemon.wait_for_state("x", Exited, LONG);
    for pid in [child, escaped] {
        let line = format!("killing 'sh' ({pid}) with SIGKILL, left behind by 'x'");
        until("it is named", LONG, || daemon.log().contains(&line));
    }
    let why = daemon.ctl(&["why", "x"]).expect(0).stdout;
    assert!(why.contains(&format!("sh ({escaped})")), "{why}");
}

#[test]
fn with_stopasgroup_off_the_stop_signal_is_for_the_process_alone() {
    let keys = "stop_scope=tree\nstopasgroup=false\nstopwaitsecs=1000";
    let (daemon, [main, child, escaped]) = family("trap \"touch told; exit 0\" TERM", keys);
    // The program itself does not end by it.
    std::fs::write(daemon.path("script"), "").unwrap();
    daemon.call("supervisor.stopProcess", vec![text("x")]);
    wait_gone(&[main, child, escaped], LONG);
    // Who was told does not have to be killed.
    daemon.wait_log(&format!("({escaped}) with SIGKILL, left behind"));
}

/// By restarts, removal and the end of the daemon as by a stop.
#[test]
fn every_kind_of_end_takes_the_tree_along() {
    for (number, way) in ["max_runtime", "remove", "restart", "shutdown"].into_iter().enumerate() {
        // Long enough for everybody to have come up.
        let keys = if way == "max_runtime" { "stop_scope=tree\nmax_runtime=5" } else { "stop_scope=tree" };
        let (mut daemon, pids) = family("trap \"\" TERM", &format!("stopwaitsecs={}\n{keys}", number % 2));
        match way {
            "remove" => {
                daemon.call("supervisor.stopProcess", vec![text("x")]);
                daemon.call("supervisor.removeProcessGroup", vec![text("x")]);
            }
            "restart" => drop(daemon.ctl(&["restart", "x"])),
            "shutdown" => {
                daemon.signal(Signal::SIGTERM);
                assert_eq!(daemon.wait_exit(), 0);
            }
            _ => {}
        }
        wait_gone(&pids, LONG);
    }
}

#[test]
fn a_successor_kills_the_tree_that_its_predecessor_has_asked_to_end() {
    let (daemon, pids) = family("trap \"\" TERM", "stop_scope=tree\nstopwaitsecs=8");
    daemon.call("supervisor.stopProcess", vec![text("x"), flag(false)]);
    daemon.wait_for_state("x", Stopping, LONG);
    daemon.replace_manager();
    assert!(pids.iter().all(|pid| running(*pid)));
    daemon.wait_for_state("x", Stopped, LONG);
    wait_gone(&pids, LONG);
}

#[test]
fn what_ends_while_there_is_no_manager_leaves_nobody() {
    let (daemon, pids) = family(":", "stop_scope=tree");
    let manager = daemon.manager();
    kill(manager, Signal::SIGSTOP);
    std::fs::write(daemon.path("over"), "").unwrap();
    wait_gone(&pids[..1], LONG);
    assert!(running(pids[2]));
    kill(manager, Signal::SIGKILL);
    wait_gone(&pids, LONG);
}

/// Managers cannot come up any more: the keeper stops everything itself.
#[test]
fn the_keeper_alone_reaches_the_tree_too() {
    for trap in [":", "trap \"\" TERM"] {
        let (mut daemon, pids) = family(trap, "stop_scope=tree\nstopwaitsecs=1");
        kill(daemon.manager(), Signal::SIGSTOP);
        let keeper = daemon.keeper();
        for _ in 0..3 {
            daemon.signal(Signal::SIGTERM);
            until("the keeper has taken the signal", LONG, || {
                let status = std::fs::read_to_string(format!("/proc/{keeper}/status")).unwrap_or_default();
                let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
                pending.is_some_and(|set| set.trim().chars().all(|digit| digit == '0'))
            });
        }
        wait_gone(&pids, LONG);
        daemon.wait_exit();
        assert!(daemon.read("stderr").contains("the manager does not react"), "{}", daemon.read("stderr"));
    }
}

/// A program that multiplies as fast as its limit allows, outside of its group and its session.
#[test]
fn a_fork_bomb_ends() {
    if !nix::unistd::geteuid().is_root() {
        return eprintln!("skipped: takes root, for a user of its own");
    }
    let daemon = start(
        "[program:x]\ncommand=/usr/bin/perl script\ndirectory=%(here)s\nstartsecs=0\nautorestart=false\nstop_scope=tree\n\
         user=64731\nlimit_nproc=60\nautostart=false\nstopwaitsecs=0\nstderr_logfile=NONE\n",
    );
    // A shell would end when it cannot fork.
    let bomb = "use POSIX; $SIG{CHLD} = 'IGNORE'; while (1) { my $child = fork; if (defined $child && $child == 0) { \
                setsid(); my $next = fork; exit if !defined $next || $next; exec $^X, $0 } \
                select undef, undef, undef, 0.01 }\n";
    std::fs::write(daemon.path("script"), bomb).unwrap();
    let n_alive = || {
        let of_bomb = |pid: &i32| {
            use std::os::unix::fs::MetadataExt;
            std::fs::metadata(format!("/proc/{pid}")).is_ok_and(|it| it.uid() == 64731) && running(*pid)
        };
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(of_bomb).count()
    };
    for event in ["stop", "end"] {
        daemon.call("supervisor.startProcess", vec![text("x")]);
        daemon.wait_for_state("x", Running, LONG);
        until("it has multiplied", LONG, || n_alive() > 30);
        match event {
            "stop" => drop(daemon.call("supervisor.stopProcess", vec![text("x")])),
            _ => kill(daemon.pid_of("x"), Signal::SIGKILL),
        }
        until("nobody is left", LONG, || n_alive() == 0);
    }
}

/// Processes that fork, leave group and session, and end at once, for ever: nobody of them lives long enough to be looked at.
#[test]
fn a_chain_of_forks_ends() {
    let mut daemon = start(
        "[program:x]\ncommand=/usr/bin/perl script\ndirectory=%(here)s\nstartsecs=0\nautorestart=false\nstop_scope=tree\n\
         autostart=false\n",
    );
    // All of them hold the FIFO, and a test that fails takes the file along without which they end.
    let chain = "use POSIX; open my $held, '>', 'held'; if (fork) { sleep 1000 } \
                 while (-e 'script') { my $next = fork; exit if $next; setsid() }\n";
    std::fs::write(daemon.path("script"), chain).unwrap();
    mkfifo(&daemon.path("held"), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    for event in ["stop", "end", "shutdown"] {
        let mut held = OpenOptions::new()
            .read(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(daemon.path("held"))
            .unwrap();
        daemon.call("supervisor.startProcess", vec![text("x")]);
        // Without a writer there is nothing to read but the end.
        let is_held = |held: &mut File| held.read(&mut [0]).is_err();
        until("the chain runs", LONG, || is_held(&mut held));
        match event {
            "stop" => drop(daemon.call("supervisor.stopProcess", vec![text("x")])),
            "end" => {
                kill(daemon.pid_of("x"), Signal::SIGKILL);
                daemon.wait_for_state("x", Exited, LONG);
            }
            _ => {
                daemon.signal(Signal::SIGTERM);
                assert_eq!(daemon.wait_exit(), 0);
            }
        }
        until("nobody is left", LONG, || !is_held(&mut held));
        assert!(!daemon.log().contains("cannot tell"), "{}", daemon.log());
    }
}

#[test]
fn cgroup_reaches_all_or_says_what_it_does_instead() {
    let (daemon, pids) = family(":", "stop_scope=cgroup");
    if let Err(why) = home::find(daemon.keeper()) {
        daemon.wait_log(&format!(
            "WARN 'x' starts without stop_scope=cgroup: control groups are not available: {why}"
        ));
    } else {
        let group = std::fs::read_to_string(format!("/proc/{}/cgroup", pids[0])).unwrap_or_default();
        assert!(group.contains(&format!("/supervisord.{}/x/", daemon.keeper())), "{group}");
    }
    daemon.call("supervisor.stopProcess", vec![text("x")]);
    wait_gone(&pids, LONG);
}

/// The kernel kills whoever forks as fast as it can; nobody has to be found.
#[test]
fn what_is_left_in_a_control_group_is_killed_and_named() {
    let (daemon, pids) = family(":", "stop_scope=cgroup");
    kill(daemon.pid_of("x"), Signal::SIGKILL);
    wait_gone(&pids, LONG);
    daemon.wait_log("left behind by 'x'");
    let why = daemon.ctl(&["why", "x"]).stdout;
    assert!(why.contains("left behind and killed: "), "{why}");
}

#[test]
fn spellings_that_contradict_each_other_are_refused() {
    for keys in [
        "stop_scope=process\nstopasgroup=true",
        "stop_scope=process\nkillasgroup=true",
        "stop_scope=tree\nkillasgroup=false",
        "stop_scope=group\nkillasgroup=false",
        "stop_scope=all",
    ] {
        let conf = format!("[program:x]\ncommand=cat\n{keys}\n");
        let (run, _daemon) = Start::new(Side::under_test(), &conf).run();
        assert!(run.code == 2 && run.stderr.contains("stop_scope"), "{keys}: {run}");
    }
}

/// A program that hands its memory to a child; nobody of the two alone has as much as both.
fn greedy(keys: &str) -> Daemon {
    let daemon = start(&format!(
        "[program:x]\ncommand=sh script\ndirectory=%(here)s\nstartsecs=0\nautostart=false\n{keys}\n"
    ));
    let script = "sh -c 'x=$(head -c 12000000 /dev/zero | tr \"\\\\0\" x); sleep 1000; echo $x' &\necho $$ >> pids\nwait\n";
    std::fs::write(daemon.path("script"), script).unwrap();
    daemon.call("supervisor.startProcess", vec![text("x")]);
    daemon
}

#[test]
fn over_its_memory_it_is_started_anew_also_by_a_successor() {
    let daemon = greedy("memory_limit=8MB\nstop_scope=tree");
    let first = daemon.pid_of("x");
    daemon.replace_manager();
    until("it was started anew", LONG, || ![0, first].contains(&daemon.pid_of("x")));
    let log = daemon.log();
    assert!(log.contains("failed: x (used ") && log.contains("more than 8MB (memory_limit)"), "{log}");
    let why = daemon.ctl(&["why", "x"]).expect(0).stdout;
    assert!(why.contains("at most 8MB") && why.contains(" s; used "), "now and of the last exit: {why}");
}

#[test]
fn over_its_memory_it_is_stopped_and_why_says_so() {
    let daemon = greedy("memory_limit=8MB\nmemory_action=stop");
    daemon.wait_for_state("x", Stopped, LONG);
    let why = daemon.ctl(&["why", "x"]).expect(0).stdout;
    assert!(why.contains("it was stopped: it used ") && why.contains("(memory_limit)"), "{why}");
}

#[test]
fn below_its_limit_nothing_happens_and_why_knows_the_figure() {
    let daemon = greedy("memory_limit=1GB");
    until("it was measured", LONG, || {
        let why = daemon.ctl(&["why", "x"]).expect(0).stdout;
        why.lines().any(|line| line.starts_with("memory: ") && line.contains("MB, at most 1GB"))
    });
    assert_eq!(daemon.state_of("x"), Running);
}
