//! What becomes of programs: the same states, the same descriptions and the same lines in the activity log.
//!
//! One program at a time, as the original notices things up to a second late and in no fixed order.

use crate::scenario::Step::{Ctl, Exit, File, Lines, Log, Ours, Signal, Touch, Up, Wait};
use crate::scenario::check;
use nix::sys::signal::Signal::{SIGINT, SIGQUIT, SIGTERM, SIGUSR2};
use supervisord::model::state::ProcessState::{Backoff, Exited, Fatal, Running, Starting};

#[test]
fn up_and_down() {
    check(
        "[program:x]\ncommand=sleep 1000\nstartsecs=4\n",
        &[
            Wait("x", Starting),
            Ctl("status"),
            Wait("x", Running),
            Ctl("status"),
            Ctl("stop x"),
            Ctl("status"),
            Ctl("start x"),
            Ctl("shutdown"),
            Exit,
            Log,
        ],
    );
}

#[test]
fn backing_off_and_giving_up() {
    check(
        "
[program:x]
command=/bin/sh -c 'sleep 0.2; exit 1'
startsecs=3
startretries=2
",
        &[Wait("x", Backoff), Wait("x", Fatal), Ctl("status"), Ctl("stop x"), Ctl("shutdown"), Exit, Log],
    );
}

#[test]
fn what_cannot_be_spawned() {
    check(
        "
[program:x]
command=/nonexistent/program
startretries=3
",
        &[Wait("x", Backoff), Ctl("status"), Wait("x", Fatal), Ctl("status"), Ctl("shutdown"), Exit, Log],
    );
}

#[test]
fn an_expected_exit() {
    check(
        "
[program:x]
command=/bin/sh -c 'while [ ! -e may_end ]; do sleep 0.05; done; exit 2'
directory=%(here)s
startsecs=1
exitcodes=0,2
",
        &[
            Wait("x", Running),
            Touch("may_end"),
            Wait("x", Exited),
            Ctl("status"),
            Ctl("pid x"),
            Ctl("shutdown"),
            Exit,
            Log,
        ],
    );
}

#[test]
fn an_unexpected_exit_and_a_restart() {
    check(
        "
[program:x]
command=/bin/sh -c 'test -e been && exec sleep 1000; touch been; while [ ! -e may_end ]; do sleep 0.05; done; exit 3'
directory=%(here)s
startsecs=1
",
        &[
            Wait("x", Running),
            Touch("may_end"),
            File("supervisord.log", "exited: x"),
            Wait("x", Running),
            Ctl("status"),
            Ctl("shutdown"),
            Exit,
            Log,
        ],
    );
}

#[test]
fn a_death_by_signal() {
    check(
        "
[program:x]
command=sleep 1000
startsecs=0
autorestart=false
",
        &[Up(&["x"]), Ctl("signal KILL x"), Wait("x", Exited), Ctl("status"), Ctl("shutdown"), Exit, Log],
    );
}

#[test]
fn who_does_not_stop_is_killed() {
    check(
        "
[program:x]
command=/bin/sh -c 'trap \"\" TERM; echo ready; while :; do sleep 0.05; done'
startsecs=0
stopwaitsecs=3
stdout_logfile=%(here)s/x.log
",
        &[File("x.log", "ready"), Ctl("stop x"), Ctl("status"), Ctl("shutdown"), Exit, Log],
    );
}

#[test]
fn what_the_child_says_when_it_cannot_become_the_program() {
    check(
        "
[program:x]
command=/bin/cat
directory=/nonexistent
startsecs=3
startretries=0
stderr_logfile=%(here)s/x.log
",
        &[
            File(
                "x.log",
                "supervisor: couldn't chdir to /nonexistent: ENOENT\nsupervisor: child process was not spawned\n",
            ),
            Wait("x", Fatal),
            // The reason itself instead of a hint at the log.
            Ours(
                "status",
                "x                                FATAL     couldn't chdir to /nonexistent: ENOENT\n",
            ),
            Ctl("shutdown"),
            Exit,
            Log,
        ],
    );
}

/// Nothing but the answer "shutting down" is to be had then.
#[test]
fn commands_during_a_shutdown() {
    check(
        "
[program:x]
command=/bin/sh -c 'trap : TERM; echo ready; while [ ! -e may_end ]; do sleep 0.05; done'
directory=%(here)s
startsecs=0
stopwaitsecs=60
stdout_logfile=%(here)s/x.log
",
        &[
            File("x.log", "ready"),
            Ctl("shutdown"),
            File("supervisord.log", "waiting for x to die"),
            Ctl("shutdown"),
            Ctl("reload"),
            Ctl("start x"),
            Ctl("status"),
            Ctl("reread"),
            Touch("may_end"),
            Exit,
        ],
    );
}

/// Attempts at 0, 1, 3 and 6 seconds, on our side; the original adds up to a second to each pause.
#[test]
fn three_retries_after_one_two_and_three_seconds() {
    check(
        "
[program:x]
command=/bin/sh -c 'echo try >> tries; exit 1'
directory=%(here)s
startsecs=2
startretries=3
",
        &[
            Lines("tries", 1),
            Wait("x", Backoff),
            Lines("tries", 2),
            Wait("x", Backoff),
            Lines("tries", 3),
            Wait("x", Backoff),
            // The longest pause: a client may be slow.
            Ctl("status"),
            Lines("tries", 4),
            Wait("x", Fatal),
            Ctl("status"),
            Ctl("shutdown"),
            Exit,
            Log,
        ],
    );
}

#[test]
fn an_end_before_startsecs_is_a_failure_whatever_its_status() {
    check(
        "
[program:x]
command=/bin/sh -c 'exit 0'
startsecs=3
startretries=0
",
        &[Wait("x", Fatal), Ctl("status"), Ctl("pid x"), Ctl("shutdown"), Exit, Log],
    );
}

/// One after the other, so that the order in which they end is nobody's choice.
#[test]
fn exit_codes() {
    check(
        "
[program:zero]
command=/bin/sh -c 'sleep 0.5; exit 0'
startsecs=0
autostart=false
autorestart=false

[program:seven]
command=/bin/sh -c 'sleep 0.5; exit 7'
startsecs=0
autostart=false
autorestart=false

[program:listed]
command=/bin/sh -c 'sleep 0.5; exit 7'
startsecs=0
autostart=false
autorestart=unexpected
exitcodes=3,7

[program:highest]
command=/bin/sh -c 'sleep 0.5; exit 255'
startsecs=0
autostart=false
autorestart=false

[program:killed]
command=/bin/sh -c 'sleep 0.5; kill -USR1 $$'
startsecs=0
autostart=false
autorestart=false
",
        &[
            Ctl("start zero"),
            Wait("zero", Exited),
            Ctl("start seven"),
            Wait("seven", Exited),
            Ctl("start listed"),
            Wait("listed", Exited),
            Ctl("start highest"),
            Wait("highest", Exited),
            Ctl("start killed"),
            Wait("killed", Exited),
            Ctl("status"),
            Ctl("shutdown"),
            Exit,
            Log,
        ],
    );
}

/// A child in the program's process group writes down that it was told to end. The program waits for it: once it has
/// ended, ours kills what is left of the group.
#[test]
fn stopasgroup_reaches_the_children() {
    check(
        "
[supervisord]
loglevel=debug
[program:x]
command=/bin/sh -c 'trap : TERM; (trap \"echo told > told; exit 0\" TERM; echo ready > ready; while :; do sleep 0.05; done) & wait; wait'
directory=%(here)s
startsecs=0
stopasgroup=true
",
        &[
            File("ready", "ready"),
            Ctl("stop x"),
            File("told", "told"),
            File("supervisord.log", "process group with signal SIGTERM"),
            Ctl("status"),
            Ctl("shutdown"),
            Exit,
            Log,
        ],
    );
}

/// Neither the program nor its child listens to TERM.
#[test]
fn killasgroup_kills_whoever_did_not_stop() {
    check(
        "
[supervisord]
loglevel=debug
[program:x]
command=/bin/sh -c 'trap \"\" TERM; sleep 1000 & echo ready > ready; while :; do wait; done'
directory=%(here)s
startsecs=0
stopwaitsecs=3
killasgroup=true
",
        &[
            File("ready", "ready"),
            Ctl("stop x"),
            File("supervisord.log", "process group with signal SIGKILL"),
            Ctl("status"),
            Ctl("shutdown"),
            Exit,
            Log,
        ],
    );
}

#[test]
fn priorities() {
    check(
        "
[program:last]
command=sleep 1000
startsecs=1
priority=30

[program:first]
command=sleep 1000
startsecs=1
priority=10

[program:middle]
command=sleep 1000
startsecs=1
priority=20
",
        &[Up(&["first", "middle", "last"]), Ctl("status"), Ctl("shutdown"), Exit, Log],
    );
}

#[test]
fn signals_to_the_daemon() {
    for end in [SIGTERM, SIGINT, SIGQUIT] {
        check(
            "[program:x]\ncommand=sleep 1000\nstartsecs=0\n",
            &[
                Up(&["x"]),
                Signal(SIGUSR2),
                File("supervisord.log", "received SIGUSR2"),
                Ctl("status"),
                Signal(end),
                Exit,
                Log,
            ],
        );
    }
}
