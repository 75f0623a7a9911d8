//! Who programs are: which user they run as, with which rights, and under which name.

use crate::start;
use crate::support::{Daemon, LONG, Side, Start, has_root, kill, member, running, text, until, until_some};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use supervisord::model::state::ProcessState::{Fatal, Running};

/// Whether this test can be somebody else; says why if not.
fn is_root() -> bool {
    has_root("takes root, to run programs as another user")
}

/// A line of `/proc/PID/status` without its name.
fn status_of(pid: i32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

const AS_OTHERS: &str = "
[program:number]
command=sleep 1000
user=54321
[program:same]
command=sleep 1000
user=root
startsecs=0
[program:nobody]
command=sleep 1000
user=nobody
startretries=0
";

#[test]
fn a_user_may_be_a_number_that_is_in_no_list() {
    if !is_root() {
        return;
    }
    let daemon = start(AS_OTHERS);
    daemon.wait_for_state("number", Running, LONG);
    let pid = daemon.pid_of("number");
    assert_eq!(status_of(pid, "Uid"), "54321 54321 54321 54321");
    let own_group = nix::unistd::getegid().to_string();
    assert_eq!(status_of(pid, "Gid"), [&*own_group; 4].join(" "));
    let groups = status_of(pid, "Groups");
    assert!(groups.is_empty() || groups == own_group, "it has none of the daemon's other groups: {groups}");
}

/// Without any capability root cannot become anybody; it needs not in order to stay root.
#[test]
fn what_is_so_already_takes_no_capability() {
    if !is_root() {
        return;
    }
    let bare = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
    let daemon =
        Start::new(Side::under_test(), &format!("{AS_OTHERS}[supervisord]\nuser=root\n")).under(&bare);
    let daemon = daemon.ready();
    daemon.wait_for_state("same", Running, LONG);
    let says = |name: &str, end: &str| -> String {
        let spawnerr = || -> String { member(&daemon.info(name), "spawnerr") };
        until_some(&format!("{name}: …{end}"), LONG, || Some(spawnerr()).filter(|why| why.ends_with(end)))
    };
    // Which of the two calls is the first depends on the groups we have.
    let why = says("nobody", ": EPERM (CAP_SETGID is missing)");
    assert!(["setgroups", "setgid"].iter().any(|call| why.contains(&format!(": {call}: "))), "{why}");
    // It keeps the daemon's group.
    let why = says("number", ": EPERM (CAP_SETUID is missing)");
    assert_eq!(why, "couldn't setuid to 54321: setuid: EPERM (CAP_SETUID is missing)");
    daemon.wait_for_state("nobody", Fatal, LONG);
}

/// Whatever the daemon was started with: securebits that keep capabilities with a change of user, ambient ones.
#[test]
fn another_user_has_no_capabilities() {
    if !is_root() {
        return;
    }
    let full = [
        "setpriv",
        "--securebits=+no_setuid_fixup",
        "--inh-caps=+sys_admin,+dac_override",
        "--ambient-caps=+sys_admin,+dac_override",
    ];
    let daemon = Start::new(Side::under_test(), AS_OTHERS).under(&full).ready();
    daemon.wait_for_state("number", Running, LONG);
    daemon.wait_for_state("same", Running, LONG);
    let pid = daemon.pid_of("number");
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status_of(pid, set), "0000000000000000", "{set}");
    }
    assert_ne!(status_of(daemon.pid_of("same"), "CapEff"), "0000000000000000", "root stays root");
}

#[test]
fn an_ordinary_user_is_told_where_another_one_stands_and_what_that_takes() {
    if !is_root() {
        return;
    }
    // From where that user can get at it, wherever the project lies.
    let script = "cp \"$1\" supervisord; shift; \
                  exec setpriv --reuid=54321 --regid=54321 --clear-groups ./supervisord \"$@\"";
    let ordinary = ["sh", "-c", script, "sh"];
    let daemon = Start::new(Side::under_test(), "[supervisord]\nuser=root\n").under(&ordinary).prepare();
    fs::set_permissions(daemon.directory(), PermissionsExt::from_mode(0o1777)).expect("ours");
    let run = crate::support::run(&mut daemon.command()).expect(2);
    let wanted = "Error: Can't drop privilege as nonroot user: becoming uid 0 takes root with CAP_SETUID and CAP_SETGID\n";
    assert!(run.stderr.starts_with(wanted), "{run}");
    let conf = fs::read_to_string(daemon.conf()).expect("it is there");
    let line = conf.lines().position(|line| line == "user=root").expect("it is there") + 1;
    let place = format!("At {}:{line}: [supervisord] user\n", daemon.conf().display());
    assert!(run.stderr.contains(&place), "{run}");
}

/// Its supplementary groups, ascending.
fn groups_of(pid: i32) -> Vec<u32> {
    let mut groups: Vec<u32> =
        status_of(pid, "Groups").split_whitespace().map(|number| number.parse().unwrap()).collect();
    groups.sort_unstable();
    groups
}

#[test]
fn groups_may_be_added_to_those_of_the_user() {
    if !is_root() {
        return;
    }
    let daemon = start(
        "
[program:number]
command=sleep 1000
user=54321:1234
supplementary_groups=777, 1234,778
[program:named]
command=sleep 1000
user=daemon
supplementary_groups=777
[program:own]
command=sleep 1000
supplementary_groups=777
",
    );
    for name in ["number", "named", "own"] {
        daemon.wait_for_state(name, Running, LONG);
    }
    let pid = daemon.pid_of("number");
    assert_eq!(status_of(pid, "Gid"), "1234 1234 1234 1234");
    assert_eq!(groups_of(pid), [777, 778, 1234]);
    let of_daemon = nix::unistd::User::from_name("daemon").unwrap().expect("Debian has it");
    assert!(groups_of(daemon.pid_of("named")).contains(&of_daemon.gid.as_raw()));
    let mut wanted = groups_of(daemon.manager());
    wanted.push(777);
    wanted.sort_unstable();
    assert_eq!(groups_of(daemon.pid_of("own")), wanted);
    assert_eq!(status_of(daemon.pid_of("own"), "Uid"), "0 0 0 0");
}

/// A daemon of an ordinary user with these capabilities.
fn with_capabilities(conf: &str, capabilities: &[&str]) -> Daemon {
    let list: Vec<String> = capabilities.iter().map(|name| format!("+{name}")).collect();
    let list = if list.is_empty() { "-all".to_string() } else { list.join(",") };
    let script = format!(
        "cp \"$1\" supervisord; shift; exec setpriv --reuid=54321 --regid=54321 --clear-groups --inh-caps={list} \
         --ambient-caps={list} ./supervisord \"$@\""
    );
    let mut daemon = Start::new(Side::under_test(), conf).under(&["sh", "-c", &script, "sh"]).prepare();
    fs::set_permissions(daemon.directory(), PermissionsExt::from_mode(0o1777)).expect("ours");
    daemon.start();
    daemon
}

#[test]
fn capabilities_do_as_well_as_root() {
    if !is_root() {
        return;
    }
    let secret = tempfile::NamedTempFile::new().expect("a file");
    fs::set_permissions(secret.path(), PermissionsExt::from_mode(0o644)).expect("ours");
    fs::write(secret.path(), "secret").expect("ours");
    let conf = format!(
        "[program:other]\ncommand=sleep 1000\nuser=54322:54323\nsupplementary_groups=777\n\
         credential.a={}\n[program:same]\ncommand=sleep 1000\nuser=54321\n",
        secret.path().display()
    );
    let mut daemon = with_capabilities(&conf, &["setuid", "setgid", "kill", "chown"]);
    daemon.wait_for_state("other", Running, LONG);
    let pid = daemon.pid_of("other");
    assert_eq!(status_of(pid, "Uid"), "54322 54322 54322 54322");
    assert_eq!(status_of(pid, "Gid"), "54323 54323 54323 54323");
    assert_eq!(groups_of(pid), [777, 54323]);
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status_of(pid, set), "0000000000000000", "{set}");
    }
    let environment = fs::read(format!("/proc/{pid}/environ")).expect("we are root");
    let directory =
        environment.split(|byte| *byte == 0).find_map(|it| it.strip_prefix(b"CREDENTIALS_DIRECTORY="));
    let directory =
        std::path::PathBuf::from(String::from_utf8_lossy(directory.expect("it has one")).into_owned());
    assert_eq!(fs::read_to_string(directory.join("a")).expect("it is there"), "secret");
    // Everything that concerns it can be done, too.
    daemon.ctl(&["restart", "other"]).expect(0);
    until("its former credentials are removed", LONG, || !directory.exists());
    assert_ne!(daemon.pid_of("other"), pid);
    daemon.ctl(&["shutdown"]).expect(0);
    daemon.wait_exit();
    assert!(!directory.parent().expect("it has one").exists());
}

#[test]
fn the_capability_that_is_missing_is_named() {
    if !is_root() {
        return;
    }
    let conf = "
[program:other]
command=sleep 1000
user=54322
startretries=0
[program:group]
command=sleep 1000
user=54321:54323
startretries=0
[program:same]
command=sleep 1000
user=54321
startsecs=0
";
    for (capabilities, other, group) in [
        (&[][..], "Can't drop privilege as nonroot user", "setgid: EPERM (CAP_SETGID is missing)"),
        (&["setuid", "setgid"], "the daemon could not send it signals (CAP_KILL is missing)", ""),
        (&["setuid", "kill"], "", "setgid: EPERM (CAP_SETGID is missing)"),
    ] {
        let daemon = with_capabilities(conf, capabilities);
        daemon.wait_for_state("same", Running, LONG);
        for (name, why) in [("other", other), ("group", group)] {
            if why.is_empty() {
                daemon.wait_for_state(name, Running, LONG);
                continue;
            }
            daemon.wait_for_state(name, Fatal, LONG);
            let said: String = member(&daemon.info(name), "spawnerr");
            let uid = if name == "other" { 54322 } else { 54321 };
            assert_eq!(said, format!("couldn't setuid to {uid}: {why}"), "{capabilities:?}");
        }
    }
}

#[test]
fn the_manager_is_not_spared_when_memory_runs_out() {
    let daemon = start("[program:x]\ncommand=sleep 1000\nstartsecs=0\n");
    daemon.wait_for_state("x", Running, LONG);
    let score = |pid: i32| fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap_or_default();
    let own = score(std::process::id() as i32);
    let check = |manager: i32| {
        assert_eq!(score(manager), own);
        assert_eq!(score(daemon.pid_of("x")), own);
        if score(daemon.keeper()) == own {
            println!("of little use here: the keeper may not be spared either (CAP_SYS_RESOURCE)");
        }
    };
    let manager = daemon.manager();
    check(manager);
    // The next one is made in another way.
    kill(manager, Signal::SIGKILL);
    daemon.wait_log("the manager was replaced");
    let killed = daemon.pid_of("x");
    kill(killed, Signal::SIGKILL);
    until("it was started again", LONG, || ![0, killed].contains(&daemon.pid_of("x")));
    check(daemon.manager_after(manager));
}

/// A configuration with a program of this name.
fn named(name: &str) -> String {
    format!("[program:{name}]\ncommand=sleep 1234\nstartsecs=0\nstdout_logfile=NONE\nstderr_logfile=NONE\n")
}

#[test]
fn the_longest_name_survives_its_manager() {
    let name = "n".repeat(252);
    let daemon = start(&named(&name));
    daemon.wait_for_state(&name, Running, LONG);
    let pid = daemon.pid_of(&name);
    kill(daemon.manager(), Signal::SIGKILL);
    daemon.wait_log("the manager was replaced (start 2), 1 programs went on running");
    assert_eq!(daemon.pid_of(&name), pid);
    until("there is one of it", LONG, || daemon.programs().len() == 1);
    assert_eq!(daemon.log().matches("spawned: 'n").count(), 1);
}

#[test]
fn longer_names_are_refused_where_they_stand() {
    let (long, short) = ("ü".repeat(127), "n".repeat(252));
    for (conf, line, key) in [
        (named(&long), 1, ""),
        (format!("[group:{long}]\nprograms=x\n{}", named("x")), 1, ""),
        (
            format!("[program:x]\ncommand=true\nprocess_name={short}%(process_num)02d\nnumprocs=2\n"),
            3,
            " process_name",
        ),
    ] {
        let (run, daemon) =
            Start::raw(Side::under_test(), &format!("[supervisord]\n{conf}")).arguments(&["-n"]).run();
        assert_eq!(run.code, 2, "{run}");
        assert!(run.stderr.contains(" bytes, and at most 252 are possible"), "{run}");
        let place = format!("At {}:{}: [", daemon.conf().display(), line + 1);
        assert!(run.stderr.contains(&place) && run.stderr.contains(&format!("]{key}\n")), "{run}");
    }
}

/// Runs `pidproxy` with this pidfile, tells it to end its program, and returns what it says instead.
fn proxy(daemon: &Daemon, pidfile: &str) -> String {
    let output = daemon.path("said");
    let mut command = Side::under_test().daemon();
    daemon.adopt(&mut command);
    command.arg("pidproxy").arg(daemon.path(pidfile)).args(["sleep", "1000"]);
    let file = fs::File::create(&output).expect("the directory is ours");
    let mut child = command.stdout(file).spawn().expect("it can be started");
    let pid = i32::try_from(child.id()).expect("a pid fits");
    let proxied =
        until_some("its command", LONG, || crate::support::descendants(pid).first().map(|it| it.pid));
    kill(pid, Signal::SIGTERM);
    until("it says something", LONG, || daemon.read("said").ends_with('\n'));
    // Its command's end is its own.
    kill(proxied, Signal::SIGKILL);
    child.wait().expect("our own child can be waited for");
    daemon.read("said")
}

#[test]
fn pidproxy_signals_for_root_only_who_has_to_do_with_it() {
    if !is_root() {
        return;
    }
    let daemon = start("[program:victim]\ncommand=sleep 1000\nstartsecs=0\n");
    daemon.wait_for_state("victim", Running, LONG);
    let victim = daemon.pid_of("victim");
    let write = |name: &str, owner: u32| {
        fs::write(daemon.path(name), format!("{victim}\n")).expect("the directory is ours");
        std::os::unix::fs::chown(daemon.path(name), Some(owner), None).expect("we are root");
    };
    write("users.pid", 54321);
    let said = proxy(&daemon, "users.pid");
    assert_eq!(
        said,
        format!("Can't signal process {victim}: it belongs to user 0, and the pidfile to user 54321\n")
    );

    // Who may not write it can still show to another one.
    write("roots.pid", 0);
    let said = proxy(&daemon, "roots.pid");
    assert_eq!(said, format!("Can't signal process {victim}: it was there before the command was started\n"));
    std::os::unix::fs::symlink(daemon.path("roots.pid"), daemon.path("link.pid")).expect("ours");
    std::os::unix::fs::lchown(daemon.path("link.pid"), Some(54321), None).expect("we are root");
    assert!(proxy(&daemon, "link.pid").contains("it is a symbolic link that belongs to user 54321"));

    let fifo = Command::new("mkfifo").arg(daemon.path("fifo.pid")).status();
    assert!(fifo.is_ok_and(|status| status.success()));
    assert!(proxy(&daemon, "fifo.pid").contains("it is no file"));
    assert!(running(victim) && daemon.pid_of("victim") == victim);
    daemon.call("supervisor.stopProcess", vec![text("victim")]);
}
