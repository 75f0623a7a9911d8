//! What operators type.

use crate::scenario::Step::{Conf, Ctl, Exit, File, Lines, Ours, Shell, Sorted, Up, Wait};
use crate::scenario::check;
use supervisord::model::state::ProcessState::{Backoff, Exited, Fatal, Stopped};

/// Programs of different fates, a group and a numbered program.
const SEVERAL: &str = "
[program:cat]
command=cat
startsecs=0

[program:idle]
command=sleep 1000
autostart=false
startsecs=0

[program:once]
command=/bin/sh -c 'exit 3'
startsecs=0
autorestart=false

[program:a]
command=sleep 1000
startsecs=0

[program:b]
command=sleep 1000
startsecs=0

[group:grp]
programs=b,a

[program:multi]
command=sleep 1000
process_name=%(program_name)s_%(process_num)02d
numprocs=2
startsecs=0
";

const UP: &[&str] = &["cat", "grp:a", "grp:b", "multi:multi_00", "multi:multi_01"];

/// Programs that cannot be started, each in its own way.
const BROKEN: &str = "
[program:missing]
command=/nonexistent/program
autostart=false
startretries=0

[program:data]
command=/etc/passwd
autostart=false
startretries=0

[program:directory]
command=/tmp
autostart=false
startretries=0

[program:quotes]
command=/bin/echo \"one
autostart=false
startretries=0

[program:quick]
command=/bin/sh -c 'sleep 0.1; exit 0'
autostart=false
startsecs=5
startretries=0
";

#[test]
fn status() {
    check(
        SEVERAL,
        &[
            Up(UP),
            Wait("once", Exited),
            Ctl("status"),
            Ctl("status all"),
            Ctl("status cat"),
            Ctl("status idle"),
            Ctl("status grp:*"),
            Ctl("status grp:"),
            Ctl("status multi:*"),
            Ctl("status multi"),
            Ctl("status cat nope multi:* zz:*"),
            Ctl("status cat cat"),
            Ctl("status nope"),
        ],
    );
}

#[test]
fn status_of_nothing() {
    check("", &[Ctl("status"), Ctl("status all"), Ctl("avail"), Ctl("start all"), Ctl("reread")]);
}

#[test]
fn start_stop_restart() {
    check(
        SEVERAL,
        &[
            Up(UP),
            Wait("once", Exited),
            Ctl("start idle"),
            Ctl("start idle"),
            Ctl("stop idle"),
            Ctl("stop idle"),
            Ctl("restart idle"),
            Ctl("restart idle"),
            Sorted("stop grp:*"),
            Ctl("status grp:*"),
            Ctl("start grp:a"),
            Sorted("start grp:*"),
            Sorted("start grp:*"),
            Sorted("restart multi:*"),
            Ctl("start cat grp:b idle"),
            Ctl("stop cat nope grp:b"),
            Ctl("restart cat nope"),
            Ctl("stop multi:multi_00 multi:multi_01"),
            Ctl("status"),
        ],
    );
}

#[test]
fn start_stop_without_or_with_unknown_names() {
    check(
        SEVERAL,
        &[
            Up(UP),
            Ctl("start"),
            Ctl("stop"),
            Ctl("restart"),
            Ctl("start nope"),
            Ctl("stop nope"),
            Ctl("restart nope"),
            Ctl("start nope:*"),
            Ctl("stop nope:*"),
            Ctl("restart nope:*"),
            Ctl("start grp:nope"),
            Ctl("stop grp:nope"),
            Ctl("start multi"),
            Ctl("start :"),
        ],
    );
}

#[test]
fn everything_at_once() {
    check(
        SEVERAL,
        &[
            Up(UP),
            Wait("once", Exited),
            Sorted("stop all"),
            Ctl("status"),
            Sorted("stop all"),
            Ctl("start cat"),
            Ctl("status"),
        ],
    );
}

#[test]
fn programs_that_do_not_start() {
    check(
        BROKEN,
        &[
            Ctl("status"),
            Ctl("start missing"),
            Ctl("start data"),
            Ctl("start directory"),
            Ctl("start quotes"),
            Ctl("start quick"),
            Wait("quick", Fatal),
            Ctl("status"),
            Ctl("stop quick"),
            Ctl("restart missing"),
            Ctl("pid quick"),
            Ctl("signal HUP quick"),
        ],
    );
}

#[test]
fn back_off_and_giving_up() {
    check(
        "
[program:quick]
command=/bin/sh -c 'echo once more >> tries; sleep 0.1; exit 1'
directory=%(here)s
autostart=false
startsecs=5
startretries=100
",
        &[
            Ctl("start quick"),
            // The sixth pause lasts for six seconds. One client that does everything needs much less.
            Lines("tries", 6),
            Wait("quick", Backoff),
            Shell("start quick\nsignal TERM quick\npid quick\nstop quick\nstop quick\n"),
            Wait("quick", Stopped),
        ],
    );
}

#[test]
fn pids() {
    check(
        SEVERAL,
        &[
            Up(UP),
            Wait("once", Exited),
            Ctl("pid"),
            Ctl("pid cat"),
            Ctl("pid idle"),
            Ctl("pid nope"),
            Ctl("pid grp:*"),
            Ctl("pid cat nope idle grp:a"),
            Ctl("pid all"),
            Ctl("pid all nope"),
        ],
    );
}

#[test]
fn signals() {
    check(
        "
[program:trap]
command=/bin/sh -c 'trap \"echo usr1\" USR1; trap \"echo hup\" HUP; echo ready; while true; do sleep 0.01; done'
startsecs=0
stdout_logfile=%(here)s/trap.log

[program:idle]
command=sleep 1000
autostart=false
startsecs=0

[program:a]
command=sleep 1000
startsecs=0

[group:grp]
programs=a
",
        &[
            Up(&["trap", "grp:a"]),
            File("trap.log", "ready"),
            Ctl("signal USR1 trap"),
            File("trap.log", "usr1"),
            Ctl("signal sighup trap"),
            File("trap.log", "hup"),
            Ctl("signal CONT trap"),
            Ctl("signal 18 trap"),
            Ctl("signal CONT grp:*"),
            Ctl("signal CONT grp:a trap nope"),
            Ctl("signal CONT all"),
            Ctl("signal NOSUCH trap"),
            Ctl("signal 100 trap"),
            Ctl("signal HUP idle"),
            Ctl("signal HUP nope"),
            Ctl("signal HUP nope:*"),
            Ctl("signal HUP"),
            Ctl("signal"),
            Ctl("status trap"),
        ],
    );
}

#[test]
fn reread_and_update() {
    check(
        "
[program:stays]
command=sleep 1000
startsecs=0

[program:changes]
command=sleep 1000
startsecs=0

[program:goes]
command=sleep 1000
startsecs=0
",
        &[
            Up(&["stays", "changes", "goes"]),
            Ctl("reread"),
            Ctl("update"),
            Conf(
                "
[program:stays]
command=sleep 1000
startsecs=0

[program:changes]
command=sleep 1001
startsecs=0

[program:comes]
command=sleep 1000
startsecs=0
",
            ),
            Ctl("reread"),
            Ctl("reread"),
            Ctl("avail"),
            Ctl("status"),
            Ctl("update"),
            Up(&["stays", "changes", "comes"]),
            Ctl("status"),
            Ctl("avail"),
            Ctl("update"),
            Ctl("status goes"),
        ],
    );
}

#[test]
fn update_of_named_groups() {
    check(
        "
[program:one]
command=sleep 1000
startsecs=0

[program:two]
command=sleep 1000
startsecs=0
",
        &[
            Up(&["one", "two"]),
            Conf(
                "
[program:one]
command=sleep 1001
startsecs=0

[program:two]
command=sleep 1001
startsecs=0

[program:three]
command=sleep 1001
startsecs=0
",
            ),
            Ctl("update nope"),
            Ctl("update one"),
            Up(&["one"]),
            Ctl("reread"),
            Ctl("update three nope"),
            Ctl("status"),
            Ctl("update three two"),
            Up(&["two", "three"]),
            Ctl("reread"),
            Ctl("status"),
            Ctl("update all"),
        ],
    );
}

#[test]
fn add_and_remove() {
    check(
        "
[program:one]
command=sleep 1000
startsecs=0
",
        &[
            Up(&["one"]),
            Ctl("add one"),
            Ctl("add nope"),
            Ctl("remove one"),
            Ctl("remove nope"),
            Ctl("stop one"),
            Ctl("remove one"),
            Ctl("remove one"),
            Ctl("status"),
            Ctl("avail"),
            Ctl("add one"),
            Up(&["one"]),
            Ctl("add"),
            Ctl("remove"),
            Conf("[program:two]\ncommand=sleep 1000\nstartsecs=0\n"),
            Ctl("add two"),
            Ctl("reread"),
            Ctl("add two one nope"),
            Up(&["two"]),
            Ctl("status"),
        ],
    );
}

#[test]
fn a_bad_configuration_changes_nothing() {
    check(
        "
[program:one]
command=sleep 1000
startsecs=0
",
        &[
            Up(&["one"]),
            Conf("[program:one]\ncommand=sleep 1000\nstartsecs=maybe\n"),
            Ctl("reread"),
            Ctl("update"),
            Conf("[program:one]\nautostart=true\n"),
            Ctl("reread"),
            Conf("[program:one]\ncommand=sleep 1000\nautorestart=sometimes\n"),
            Ctl("reread"),
            Conf("[group:g]\nprograms=nope\n"),
            // The section and the file are named every time, not only for what is wrong with a program.
            Ours(
                "reread",
                "ERROR: CANT_REREAD: [group:g] names unknown program or fcgi-program nope in section",
            ),
            Ctl("status"),
        ],
    );
}

#[test]
fn avail() {
    check(
        "
[program:one]
command=sleep 1000
startsecs=0
priority=5

[program:two]
command=sleep 1000
autostart=false
startsecs=0

[program:a]
command=sleep 1000
autostart=false
priority=50

[group:grp]
programs=a
priority=20
",
        &[Up(&["one"]), Ctl("avail"), Ctl("avail one")],
    );
}

#[test]
fn words_that_are_no_command() {
    check(
        "",
        &[
            Ctl("nope"),
            Ctl("version one"),
            Ctl("reload now"),
            Ctl("shutdown now"),
            Ctl("reread one"),
            Ctl("help nope"),
            Ctl("-x"),
            Ctl("-i -i status"),
            Ctl("-s foo status"),
            Ctl("-c /nonexistent.conf status"),
        ],
    );
}

#[test]
fn version() {
    check("", &[Ctl("version")]);
}

#[test]
fn shutdown() {
    check(
        SEVERAL,
        &[Up(UP), Ctl("shutdown"), Exit, Ctl("status"), Ctl("start cat"), Ctl("shutdown"), Ctl("pid")],
    );
}

#[test]
fn reload() {
    check(
        SEVERAL,
        &[
            Up(UP),
            Ctl("stop cat"),
            Ctl("reload"),
            Up(UP),
            Wait("once", Exited),
            Ctl("status"),
            Ctl("shutdown"),
            Exit,
        ],
    );
}
