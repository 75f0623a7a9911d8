//! What a program finds when it starts: variables, directory, descriptors, signals, user, limits.

use crate::start;
use crate::support::{Daemon, LONG, Side, Start, until};
use supervisord::model::state::ProcessState::{Exited, Running};

/// Runs a shell line as a program and gives what it printed.
fn print(keys: &str, line: &str) -> (String, Daemon) {
    let daemon = start(&format!(
        "
[program:x]
command=/bin/sh -c '{line}'
startsecs=0
autorestart=false
stdout_logfile=%(here)s/x.log
{keys}
"
    ));
    daemon.wait_for_state("x", Exited, LONG);
    (daemon.read("x.log"), daemon)
}

#[test]
fn variables() {
    let (printed, daemon) = print(
        "environment=A=\"one, two\",B=%(program_name)s\n[supervisord]\nenvironment=A=\"global\",C=\"global\"\n",
        "env | sort",
    );
    let has = |line: &str| {
        assert!(printed.lines().any(|printed| printed == line), "{line:?} is missing in\n{printed}")
    };
    has("A=one, two");
    has("B=x");
    has("C=global");
    has("SUPERVISOR_ENABLED=1");
    has("SUPERVISOR_PROCESS_NAME=x");
    has("SUPERVISOR_GROUP_NAME=x");
    has(&format!("SUPERVISOR_SERVER_URL=unix://{}", daemon.path("s.sock").display()));
    has("TZ=UTC");
}

#[test]
fn directory_and_umask() {
    assert_eq!(print("directory=/usr\numask=027\n", "pwd; umask").0, "/usr\n0027\n");
}

/// The daemon takes precedence where it may; its programs are as nice as whoever started it.
#[test]
fn programs_are_as_nice_as_the_daemon_was_started() {
    let mut daemon = Start::new(
        Side::Ours,
        "[program:x]\ncommand=/bin/sh -c 'nice; exec cat /proc/self/sched'\nstartsecs=0\nautorestart=false\n\
         stdout_logfile=%(here)s/x.log\n",
    )
    .under(&["nice", "-n", "3"])
    .spawn();
    daemon.wait_ready();
    daemon.wait_for_state("x", Exited, LONG);
    let ours = std::process::Command::new("nice").output().expect("nice is there").stdout;
    let ours: i32 = String::from_utf8_lossy(&ours).trim().parse().expect("a number");
    let expected = (ours + 3).min(19);
    let printed = daemon.read("x.log");
    assert!(printed.starts_with(&format!("{expected}\n")), "{printed}");
    // Priorities are shown as 120 and the niceness (proc_pid_sched).
    let shown = printed
        .lines()
        .find_map(|line| line.strip_prefix("prio"))
        .map(|rest| rest.trim_start_matches([' ', ':']));
    assert!(shown.is_none_or(|shown| shown == (120 + expected).to_string()), "{printed}");
}

#[test]
fn descriptors_are_three_and_nothing_leaks() {
    // The fourth is the directory that ls reads.
    let (printed, _daemon) = print("", "exec ls /proc/self/fd");
    assert_eq!(printed, "0\n1\n2\n3\n");
}

#[test]
fn standard_input_is_open_and_silent() {
    let daemon = start("[program:x]\ncommand=cat\nstartsecs=1\n");
    daemon.wait_for_state("x", Running, LONG);
    let target = std::fs::read_link(format!("/proc/{}/fd/0", daemon.pid_of("x"))).expect("it runs");
    assert!(target.to_string_lossy().starts_with("pipe:"), "{target:?}");
}

/// The original passes on that it ignores SIGPIPE and SIGXFSZ.
#[test]
fn no_signal_is_ignored_or_blocked() {
    let conf = "
[program:x]
command=/bin/grep -E '^Sig(Blk|Ign)' /proc/self/status
startsecs=0
autorestart=false
stdout_logfile=%(here)s/x.log
";
    let daemon = Start::new(Side::under_test(), conf).under(&["nohup"]).ready();
    daemon.wait_for_state("x", Exited, LONG);
    let printed = daemon.read("x.log");
    assert_eq!(printed, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

#[test]
fn a_process_group_of_its_own_in_the_session_of_the_daemon() {
    let daemon = start("[program:x]\ncommand=sleep 1000\nstartsecs=0\n");
    daemon.wait_for_state("x", Running, LONG);
    let pid = nix::unistd::Pid::from_raw(daemon.pid_of("x"));
    let keeper = nix::unistd::Pid::from_raw(daemon.pid());
    assert_eq!(nix::unistd::getpgid(Some(pid)), Ok(pid));
    assert_eq!(nix::unistd::getsid(Some(pid)), nix::unistd::getsid(Some(keeper)));
}

#[test]
fn both_streams_go_where_they_are_told() {
    let (printed, daemon) = print("stderr_logfile=%(here)s/err.log\n", "echo out; echo err >&2");
    assert_eq!((printed.as_str(), daemon.read("err.log").as_str()), ("out\n", "err\n"));
    let (printed, _daemon) = print("redirect_stderr=true\n", "echo out; echo err >&2; echo out");
    assert_eq!(printed, "out\nerr\nout\n");
}

#[test]
fn automatic_logs_stand_in_childlogdir() {
    let daemon = start("[program:x]\ncommand=/bin/sh -c 'echo hello'\nstartsecs=0\nautorestart=false\n");
    daemon.wait_for_state("x", Exited, LONG);
    let find = |stream: &str| {
        let start = format!("x-{stream}---supervisor-");
        let entries = std::fs::read_dir(daemon.directory()).expect("it is there").flatten();
        let mut names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.find(|name| name.starts_with(&start) && name.ends_with(".log"))
    };
    let (stdout, stderr) = (find("stdout").expect("one for stdout"), find("stderr").expect("one for stderr"));
    until("it is logged", LONG, || daemon.read(&stdout) == "hello\n");
    assert_eq!(daemon.read(&stderr), "");
    assert_eq!(
        crate::support::member::<String>(&daemon.info("x"), "stdout_logfile"),
        daemon.path(&stdout).to_string_lossy()
    );
}

#[test]
fn another_user_with_all_of_its_groups() {
    let root = nix::unistd::geteuid().is_root();
    let me = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().expect("I have a name").name;
    let user = if root { "nobody" } else { me.as_str() };
    let id = |option: &str| crate::support::run(std::process::Command::new("id").args([option, user])).stdout;
    let (printed, _daemon) = print(&format!("user={user}\ndirectory=/\n"), "id -u; id -g; id -G");
    assert_eq!(printed, format!("{}{}{}", id("-u"), id("-g"), id("-G")));
}

#[test]
fn a_directory_that_is_missing_is_named_and_nothing_runs() {
    let (printed, daemon) = print("directory=/nonexistent\nstderr_logfile=%(here)s/err.log\n", "echo ran");
    assert_eq!(printed, "");
    let said = daemon.read("err.log");
    assert!(said.starts_with("supervisor: couldn't chdir to /nonexistent: ENOENT\n"), "{said}");
    assert!(daemon.log().contains("exited: x (exit status 127; not expected)"), "{}", daemon.log());
}

/// The daemon may raise its own, but what it was started with is what programs find.
#[test]
fn a_limit_is_not_changed_for_programs() {
    let conf = "
[supervisord]
minfds=200
[program:x]
command=/bin/sh -c 'ulimit -n'
startsecs=0
autorestart=false
stdout_logfile=%(here)s/x.log
";
    let daemon = Start::new(Side::under_test(), conf).under(&["prlimit", "--nofile=300:4096"]).ready();
    daemon.wait_for_state("x", Exited, LONG);
    assert_eq!(daemon.read("x.log"), "300\n");
}
