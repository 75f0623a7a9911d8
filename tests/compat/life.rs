//! What becomes of programs: the same states, the same descriptions and the same lines in the activity log.
//!
//! One program at a time, as the original notices things up to a second late and in no fixed order.

use crate::scenario::Step::{Ctl, Exit, File, Log, Ours, Touch, Up, Wait};
use crate::scenario::check;
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
command=/bin/sh -c 'sleep 1.5; exit 2'
startsecs=1
exitcodes=0,2
",
        &[Wait("x", Running), Wait("x", Exited), Ctl("status"), Ctl("pid x"), Ctl("shutdown"), Exit, Log],
    );
}

#[test]
fn an_unexpected_exit_and_a_restart() {
    check(
        "
[program:x]
command=/bin/sh -c 'test -e been && exec sleep 1000; touch been; sleep 1.5; exit 3'
directory=%(here)s
startsecs=1
",
        &[
            Wait("x", Running),
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
stopwaitsecs=1
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
