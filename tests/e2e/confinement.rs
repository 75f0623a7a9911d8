//! What the kernel keeps programs from: privileges, system calls, files, the machine's `/tmp` and its network.

use crate::start;
use crate::support::{Daemon, LONG, Side, Start, has_root, member, until};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use supervisord::model::state::ProcessState::{Exited, Fatal, Running};
use supervisord::sys::landlock;

/// Runs the daemon as a user without any rights, from where that user can get at it.
const AS_ORDINARY: [&str; 4] = [
    "sh",
    "-c",
    "cp \"$1\" supervisord; shift; exec setpriv --reuid=54321 --regid=54321 --clear-groups ./supervisord \"$@\"",
    "sh",
];
/// Runs it as the root of a user namespace.
const IN_NAMESPACE: [&str; 4] = ["sh", "-c", "exec unshare -Ur \"$@\"", "sh"];

/// A line of `/proc/PID/status` without its name.
fn status_of(pid: i32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_default().trim().to_string()
}

fn status(daemon: &Daemon, name: &str, field: &str) -> String {
    daemon.wait_for_state(name, Running, LONG);
    status_of(daemon.pid_of(name), field)
}

/// The bits of a set of capabilities.
fn set(daemon: &Daemon, name: &str, field: &str) -> u64 {
    u64::from_str_radix(&status(daemon, name, field), 16).expect("a set of capabilities")
}

fn why(daemon: &Daemon, name: &str) -> String {
    daemon.wait_for_state(name, Fatal, LONG);
    member(&daemon.info(name), "spawnerr")
}

fn can_make_user_namespaces() -> bool {
    let can = Command::new("unshare").args(["-Ur", "true"]).status().is_ok_and(|status| status.success());
    if !can {
        eprintln!("skipped: no user namespace can be made here");
    }
    can
}

/// A daemon whose directory everybody may write to, not started yet.
fn prepared(wrapper: &[&str], conf: &str) -> Daemon {
    let daemon = Start::new(Side::under_test(), conf).under(wrapper).prepare();
    fs::set_permissions(daemon.directory(), PermissionsExt::from_mode(0o1777))
        .expect("the directory is ours");
    daemon
}

/// Runs a test as whoever runs the tests, and as those that it can become.
fn as_everybody(test: impl Fn(&[&str], &str)) {
    test(&[], "as whoever runs the tests");
    if has_root("takes root, to become others") {
        test(&AS_ORDINARY, "as an ordinary user");
    }
    if can_make_user_namespaces() {
        test(&IN_NAMESPACE, "in a user namespace");
    }
}

/// The output of a program that has ended by itself.
fn output_of(daemon: &Daemon, name: &str) -> String {
    daemon.wait_for_state(name, Exited, LONG);
    let path = format!("{name}.out");
    until("its output is there", LONG, || daemon.read(&path).ends_with("end\n"));
    daemon.read(&path).trim_end_matches("end\n").to_string()
}

/// A program that runs a script of the daemon's directory once, and says `end` behind it.
fn once(name: &str, keys: &str) -> String {
    format!(
        "[program:{name}]\ncommand=sh {name}.sh\nstdout_logfile=%(here)s/{name}.out\nredirect_stderr=true\n\
         autorestart=false\nstartsecs=0\nstartretries=0\n{keys}\n"
    )
}

fn write_script(daemon: &Daemon, name: &str, lines: &str) {
    let path = daemon.path(&format!("{name}.sh"));
    fs::write(&path, format!("{lines}\necho end\n")).expect("the directory is ours");
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("the file is ours");
}

#[test]
fn without_the_keys_a_program_has_what_the_daemon_has() {
    as_everybody(|wrapper, circumstances| {
        let conf = "[program:plain]\ncommand=sleep 1000\n\
                    [program:quiet]\ncommand=sleep 1000\nno_new_privs=true\n\
                    [program:filtered]\ncommand=sleep 1000\nseccomp=@service\n";
        let mut daemon = prepared(wrapper, conf);
        daemon.start();
        let sets = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
        for field in sets.iter().chain(&["NoNewPrivs", "Seccomp"]) {
            let of_plain = status(&daemon, "plain", field);
            assert_eq!(of_plain, status_of(daemon.manager(), field), "{circumstances}: {field}");
        }
        for field in sets {
            let of_plain = set(&daemon, "plain", field);
            assert_eq!(set(&daemon, "quiet", field), of_plain, "{circumstances}: {field}");
            assert_eq!(set(&daemon, "filtered", field), of_plain, "{circumstances}: {field}");
        }
        assert_eq!(status(&daemon, "quiet", "NoNewPrivs"), "1", "{circumstances}");
        assert_eq!(status(&daemon, "filtered", "Seccomp"), "2", "{circumstances}");
        // Who may not confine himself otherwise gives that up too.
        let ordinary = wrapper == AS_ORDINARY;
        assert!(!ordinary || status(&daemon, "filtered", "NoNewPrivs") == "1", "{circumstances}");
        for name in ["quiet", "filtered"] {
            let descriptors = fs::read_dir(format!("/proc/{}/fd", daemon.pid_of(name))).expect("it runs");
            assert_eq!(descriptors.count(), 3, "{circumstances}: {name}");
        }
        let shown = daemon.ctl(&["why", "filtered"]).stdout;
        assert!(shown.contains("given: seccomp=@service\n"), "{shown}");
    });
}

const NET_BIND_SERVICE: u64 = 1 << 10;
const CHOWN: u64 = 1;

#[test]
fn capabilities_are_those_that_are_listed() {
    let root = |wrapper: &[&str], circumstances: &str| {
        let conf = "[program:none]\ncommand=sleep 1000\ncapabilities=\n\
                    [program:few]\ncommand=sleep 1000\ncapabilities=NET_BIND_SERVICE, cap_chown\n\
                    [program:handed]\ncommand=sleep 1000\nambient_capabilities=NET_BIND_SERVICE\n";
        let mut daemon = prepared(wrapper, conf);
        daemon.start();
        for field in ["CapPrm", "CapEff", "CapBnd"] {
            assert_eq!(set(&daemon, "none", field), 0, "{circumstances}: {field}");
            assert_eq!(set(&daemon, "few", field), NET_BIND_SERVICE | CHOWN, "{circumstances}: {field}");
        }
        assert_eq!(set(&daemon, "handed", "CapAmb"), NET_BIND_SERVICE, "{circumstances}");
        assert_eq!(set(&daemon, "handed", "CapInh"), NET_BIND_SERVICE, "{circumstances}");
    };
    if can_make_user_namespaces() {
        root(&IN_NAMESPACE, "in a user namespace");
    }
    if !has_root("takes root, to have capabilities and to become others") {
        return;
    }
    root(&[], "as root");

    let daemon = start(
        "[program:handed]\ncommand=sleep 1000\nuser=54321\nambient_capabilities=NET_BIND_SERVICE\n\
         [program:exact]\ncommand=sleep 1000\nuser=54321\nambient_capabilities=CHOWN\ncapabilities=CHOWN\n\
         [program:bound]\ncommand=sleep 1000\nuser=54321\ncapabilities=NET_BIND_SERVICE\n",
    );
    for field in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(set(&daemon, "handed", field), NET_BIND_SERVICE, "{field}");
        assert_eq!(set(&daemon, "exact", field), CHOWN, "{field}");
        assert_eq!(set(&daemon, "bound", field), 0, "{field}");
    }
    assert_eq!(set(&daemon, "exact", "CapBnd"), CHOWN);
    assert_eq!(set(&daemon, "bound", "CapBnd"), NET_BIND_SERVICE);
    assert_eq!(status(&daemon, "handed", "Uid"), "54321\t54321\t54321\t54321");

    // A successor starts them in the same way.
    let before = daemon.pid_of("exact");
    daemon.kill_manager();
    until("it answers again", LONG, || daemon.answers());
    assert_eq!(daemon.pid_of("exact"), before);
    daemon.ctl(&["restart", "exact"]).expect(0);
    assert_ne!(daemon.pid_of("exact"), before);
    assert_eq!(set(&daemon, "exact", "CapEff"), CHOWN);
}

#[test]
fn capabilities_that_the_daemon_lacks_are_named_or_done_without() {
    if !has_root("takes root, to become others") {
        return;
    }
    let conf = "[program:bound]\ncommand=sleep 1000\ncapabilities=\nstartretries=0\n\
                [program:handed]\ncommand=sleep 1000\nambient_capabilities=CHOWN\nstartretries=0\n\
                [program:boundless]\ncommand=sleep 1000\ncapabilities=-none\n\
                [program:unhanded]\ncommand=sleep 1000\nambient_capabilities=-CHOWN\n";
    let mut daemon = prepared(&AS_ORDINARY, conf);
    daemon.start();
    assert_eq!(why(&daemon, "bound"), "couldn't set capabilities: EPERM (CAP_SETPCAP is missing)");
    let handed = why(&daemon, "handed");
    assert_eq!(handed, "couldn't set ambient_capabilities: EPERM (the daemon does not have all of them)");
    assert_eq!((set(&daemon, "boundless", "CapEff"), set(&daemon, "unhanded", "CapEff")), (0, 0));

    // What is kept over the change of user for those that are missing is not left to the program.
    let few = ["setpriv", "--bounding-set=-chown", "--"];
    let conf = "[program:x]\ncommand=sleep 1000\nuser=54321\nambient_capabilities=-CHOWN, NET_BIND_SERVICE\n";
    let daemon = Start::new(Side::under_test(), conf).under(&few).ready();
    for field in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(set(&daemon, "x", field), 0, "{field}");
    }
}

#[test]
fn a_setuid_file_gives_nothing_to_a_program_with_no_new_privs() {
    if !has_root("takes root, to make a setuid file") {
        return;
    }
    let keys = "user=54321\n";
    let conf = [once("free", keys), once("bound", &format!("{keys}no_new_privs=true"))].concat();
    let mut daemon = prepared(&[], &conf);
    fs::copy("/usr/bin/id", daemon.path("id")).expect("id is there");
    fs::set_permissions(daemon.path("id"), PermissionsExt::from_mode(0o4755)).expect("the file is ours");
    for name in ["free", "bound"] {
        write_script(&daemon, name, "./id -u");
    }
    daemon.start();
    if output_of(&daemon, "free") != "0\n" {
        return eprintln!("skipped: setuid files have no effect below {}", daemon.directory().display());
    }
    assert_eq!(output_of(&daemon, "bound"), "54321\n");
}

#[test]
fn system_calls_that_are_not_allowed_fail() {
    as_everybody(|wrapper, circumstances| {
        let conf = [
            once("service", "seccomp=@service"),
            once("offline", "seccomp=offline.calls"),
            once("unknown", "seccomp=unknown.calls"),
            "[program:killed]\ncommand=sh -c 'umask 0; exec sleep 1000'\nautorestart=false\nstartsecs=0\n\
             seccomp=killed.calls\n"
                .to_string(),
            "[program:wrong]\ncommand=sleep 1000\nstartretries=0\nseccomp=wrong.calls\n".to_string(),
            "[program:missing]\ncommand=sleep 1000\nstartretries=0\nseccomp=missing.calls\n".to_string(),
        ];
        let mut daemon = prepared(wrapper, &conf.concat());
        // A user namespace would need nothing else, so that only the filter can be what refuses it.
        write_script(&daemon, "service", "unshare -U true; echo $?; echo works | cat");
        let connect = "perl -MSocket -e 'socket(my $s, AF_INET, SOCK_STREAM, 0) or print \"$!\\n\"'";
        write_script(&daemon, "offline", connect);
        write_script(&daemon, "unknown", connect);
        let calls = [
            ("offline", "# no network\n@service\n-socket\n"),
            ("unknown", "@service\n-socket\ndefault ENOSYS\n"),
            ("killed", "@service\n-umask\ndefault kill\n"),
            ("wrong", "@service\n\nsokket\n"),
        ];
        for (name, text) in calls {
            let path = daemon.path(&format!("{name}.calls"));
            fs::write(&path, text).expect("the directory is ours");
            fs::set_permissions(path, PermissionsExt::from_mode(0o644)).expect("the file is ours");
        }
        daemon.start();
        let service = output_of(&daemon, "service");
        assert!(service.contains("unshare failed: Operation not permitted\n1\nworks\n"), "{service}");
        assert_eq!(output_of(&daemon, "offline"), "Operation not permitted\n", "{circumstances}");
        assert_eq!(output_of(&daemon, "unknown"), "Function not implemented\n", "{circumstances}");
        daemon.wait_log("exited: killed (terminated by SIGSYS");
        let wrong = why(&daemon, "wrong");
        let wanted =
            format!("seccomp {}: line 3: 'sokket' is no system call", daemon.path("wrong.calls").display());
        assert!(wrong.starts_with(&wanted), "{wrong}");
        let missing = why(&daemon, "missing");
        assert!(
            missing.starts_with("seccomp ") && missing.ends_with("No such file or directory"),
            "{missing}"
        );
    });
}

/// Whether this kernel can confine files; says so if not, and shows that a start fails for it.
fn has_landlock() -> bool {
    let Some(lack) = landlock::why_not() else { return true };
    eprintln!("skipped: {lack}");
    let daemon = start(
        "[program:x]\ncommand=sleep 1000\nread_only_paths=/\nstartretries=0\n\
         [program:y]\ncommand=sleep 1000\nread_only_paths=-/\n",
    );
    assert_eq!(why(&daemon, "x"), format!("read_only_paths: {lack}"));
    daemon.wait_for_state("y", Running, LONG);
    false
}

const SYSTEM: &str = "/usr, -/bin, -/sbin, -/lib, -/lib64, -/etc/ld.so.cache";

#[test]
fn files_outside_of_the_paths_cannot_be_reached() {
    if !has_landlock() {
        return;
    }
    as_everybody(|wrapper, circumstances| {
        let here = "%(here)s";
        let keys = format!(
            "read_only_paths={SYSTEM}, /proc, {here}/public, {here}/files.sh, -{here}/nowhere\n\
             read_write_paths={here}/own, /dev/null\ndirectory={here}\ncredential.token={here}/secret/file\n"
        );
        let mut conf = once("files", &keys);
        conf += &format!(
            "[program:gone]\ncommand=sleep 1000\nstartretries=0\nread_only_paths={SYSTEM}, {here}/nowhere\n\
             [program:locked]\ncommand=sleep 1000\nstartretries=0\nread_only_paths=/dev/null\n"
        );
        let mut daemon = prepared(wrapper, &conf);
        for directory in ["public", "secret", "own"] {
            let path = daemon.path(directory);
            fs::create_dir(&path).expect("the directory is ours");
            fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).expect("the directory is ours");
        }
        for (name, text) in [("public/file", "open\n"), ("secret/file", "hidden\n"), ("own/file", "mine\n")] {
            fs::write(daemon.path(name), text).expect("the directory is ours");
            fs::set_permissions(daemon.path(name), PermissionsExt::from_mode(0o666)).expect("ours");
        }
        symlink("../secret/file", daemon.path("public/link")).expect("the directory is ours");
        symlink(daemon.path("secret"), daemon.path("own/link")).expect("the directory is ours");
        write_script(
            &daemon,
            "files",
            r#"here=$PWD
try() { if "$@" >out.txt 2>/dev/null; then echo "reached: $*"; fi; }
cd own
try cat ../public/file
try cat "$CREDENTIALS_DIRECTORY/token"
try cp file copy
try cat ../secret/file
try ls ../secret
try ls ..
try cat ../public/link
try cat link/file
try cat "/proc/self/root$here/secret/file"
try cat "/proc/self/cwd/../secret/file"
try cat /etc/passwd
try cp file ../public/new
try truncate -s 0 ../public/file
try rm ../public/file
try mv file ../public/moved
try ln ../secret/file hard
try cat hard
try mv ../secret/file stolen
try mkdir ../public/directory
try mknod ../public/fifo p
perl -e 'symlink("../../secret/file", "new")'; try cat new
perl -e 'open(my $f, "<", "/proc/'$PPID'/root'$here'/secret/file") and print "reached: parent\n"'
"#,
        );
        daemon.start();
        let reached = output_of(&daemon, "files");
        let token = reached.lines().find(|line| line.ends_with("/token")).unwrap_or_default().to_string();
        assert!(!token.is_empty(), "{circumstances}: {reached}");
        let rest: Vec<&str> = reached.lines().filter(|line| *line != token).collect();
        assert_eq!(rest, ["reached: cat ../public/file", "reached: cp file copy"], "{circumstances}");
        assert_eq!(daemon.read("public/file"), "open\n", "{circumstances}");
        assert_eq!(daemon.read("secret/file"), "hidden\n", "{circumstances}");
        assert_eq!(daemon.read("own/copy"), "mine\n", "{circumstances}");
        let gone = why(&daemon, "gone");
        let wanted =
            format!("read_only_paths {}: No such file or directory", daemon.path("nowhere").display());
        assert_eq!(gone, wanted, "{circumstances}");
        let locked = why(&daemon, "locked");
        assert!(
            locked.contains("EACCES (what it executes, and the loader of that, must lie below"),
            "{locked}"
        );
    });
}

#[test]
fn a_private_tmp_is_empty_and_nobody_elses() {
    as_everybody(|wrapper, circumstances| {
        if wrapper == AS_ORDINARY && !can_make_user_namespaces() {
            return;
        }
        // Its script would lie in /tmp, which it does not see.
        let conf = "[program:x]\n\
                    command=sh -c 'ls -A /tmp /var/tmp; id -u; echo mine > /tmp/file; echo other > /var/tmp/file; cat /tmp/file; \
                    grep Cap /proc/self/status; echo end; exec sleep 1000'\n\
                    private_tmp=true\nstdout_logfile=%(here)s/x.out\nredirect_stderr=true\n\
                    ready=exec:test -e /tmp/file\n\
                    [program:plain]\ncommand=sleep 1000\n";
        let mut daemon = prepared(wrapper, conf);
        daemon.start();
        daemon.wait_for_state("x", Running, LONG);
        until("its output is there", LONG, || daemon.read("x.out").ends_with("end\n"));
        let output = daemon.read("x.out");
        let user = if wrapper == AS_ORDINARY { "54321" } else { "0" };
        let wanted = format!("/tmp:\n\n/var/tmp:\n{user}\nmine\n");
        assert!(
            output.starts_with(&wanted) || !nix::unistd::geteuid().is_root(),
            "{circumstances}: {output}"
        );
        let pid = daemon.pid_of("x");
        let inside = fs::read_to_string(format!("/proc/{pid}/root/tmp/file"));
        assert_eq!(inside.ok().as_deref(), Some("mine\n"), "{circumstances}");
        // The same capabilities as without.
        for field in ["CapEff", "CapPrm", "CapAmb"] {
            assert_eq!(set(&daemon, "x", field), set(&daemon, "plain", field), "{circumstances}: {field}");
        }
        let namespace = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/mnt")).expect("it runs");
        assert_eq!(namespace(daemon.pid_of("plain")), namespace(daemon.manager()), "{circumstances}");
        assert_ne!(namespace(pid), namespace(daemon.manager()), "{circumstances}");
        // Nothing is left of it outside, and nothing was mounted there.
        let mounts = fs::read_to_string(format!("/proc/{}/mounts", daemon.manager())).expect("it runs");
        let own = fs::read_to_string("/proc/self/mounts").expect("it is there");
        assert_eq!(mounts.lines().count(), own.lines().count(), "{circumstances}");
    });
}

#[test]
fn a_private_network_has_nothing_but_a_loopback() {
    as_everybody(|wrapper, circumstances| {
        if wrapper == AS_ORDINARY && !can_make_user_namespaces() {
            return;
        }
        let mut daemon = prepared(wrapper, &once("network", "private_network=true"));
        let outside = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = outside.local_addr().expect("it has one").port();
        let script = r#"tail -n +3 /proc/self/net/dev | cut -d: -f1
perl -MIO::Socket::INET -e '
my $server = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1") or die "listen: $!";
my $client = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $server->sockport) or die "connect: $!";
print "inside\n";
IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => PORT) and print "outside\n";
IO::Socket::INET->new(PeerAddr => "192.0.2.1", PeerPort => 9) or print "$!\n";
'"#;
        write_script(&daemon, "network", &script.replace("PORT", &port.to_string()));
        daemon.start();
        let output = output_of(&daemon, "network");
        let mut lines: Vec<&str> = output.lines().map(str::trim).collect();
        // Some kernels put a tunnel that is down into each.
        lines.retain(|line| !line.ends_with('0'));
        assert_eq!(lines, ["lo", "inside", "Network is unreachable"], "{circumstances}");
    });
}

#[test]
fn a_namespace_that_cannot_be_had_fails_the_start_and_is_named() {
    if !has_root("takes root, to give up a capability") {
        return;
    }
    let conf = "[program:tmp]\ncommand=sleep 1000\nprivate_tmp=true\nstartretries=0\n\
                [program:network]\ncommand=sleep 1000\nprivate_network=true\nstartretries=0\n\
                [program:both]\ncommand=sleep 1000\nprivate_tmp=-true\nprivate_network=true\nstartretries=0\n\
                [program:without]\ncommand=sleep 1000\nprivate_tmp=-true\nprivate_network=-true\n";
    let fewer = ["setpriv", "--bounding-set=-sys_admin", "--"];
    let daemon = Start::new(Side::under_test(), conf).under(&fewer).ready();
    assert_eq!(why(&daemon, "tmp"), "couldn't set private_tmp: CAP_SYS_ADMIN is missing");
    assert_eq!(why(&daemon, "network"), "couldn't set private_network: CAP_SYS_ADMIN is missing");
    assert_eq!(why(&daemon, "both"), "couldn't set private_network: CAP_SYS_ADMIN is missing");
    daemon.wait_for_state("without", Running, LONG);
    let network = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/net")).expect("it runs");
    assert_eq!(network(daemon.pid_of("without")), network(daemon.manager()));
    for field in ["CapEff", "CapPrm"] {
        assert_eq!(set(&daemon, "without", field), set_of_manager(&daemon, field), "{field}");
    }
}

fn set_of_manager(daemon: &Daemon, field: &str) -> u64 {
    u64::from_str_radix(&status_of(daemon.manager(), field), 16).expect("a set of capabilities")
}

/// All keys at once: it finds its socket below a `/tmp` that is otherwise its own, and may use that `/tmp`.
#[test]
fn a_program_with_all_keys_says_that_it_is_ready() {
    if !has_landlock() {
        return;
    }
    as_everybody(|wrapper, circumstances| {
        if wrapper == AS_ORDINARY && !can_make_user_namespaces() {
            return;
        }
        let conf = format!(
            "[program:x]\nready=notify\nstdout_logfile=%(here)s/x.out\nredirect_stderr=true\n\
             command=perl -MSocket -e '$| = 1; open(my $f, \">\", \"/tmp/file\") or print \"file: $!\\n\"; \
             socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or print \"socket: $!\\n\"; \
             open(my $p, \"<\", \"/etc/passwd\") or print \"passwd: $!\\n\"; \
             send($s, \"READY=1\", 0, sockaddr_un($ENV{{NOTIFY_SOCKET}})) or print \"send: $!\\n\"; sleep 1000'\n\
             no_new_privs=true\ncapabilities=-none\nseccomp=@service\nread_only_paths={SYSTEM}\n\
             read_write_paths=/dev/null\nprivate_tmp=true\nprivate_network=true\n"
        );
        let mut daemon = prepared(wrapper, &conf);
        daemon.start();
        daemon.wait_for_state("x", Running, LONG);
        assert_eq!(daemon.read("x.out"), "passwd: Permission denied\n", "{circumstances}");
        for (field, wanted) in [("NoNewPrivs", "1"), ("Seccomp", "2"), ("CapEff", "0000000000000000")] {
            assert_eq!(status(&daemon, "x", field), wanted, "{circumstances}: {field}");
        }
        // Where a manager was killed, its successor does the same.
        daemon.kill_manager();
        until("it answers again", LONG, || daemon.answers());
        daemon.ctl(&["restart", "x"]).expect(0);
        assert_eq!(status(&daemon, "x", "NoNewPrivs"), "1", "{circumstances}");
    });
}

#[test]
fn a_check_tells_what_cannot_work() {
    let conf = "[program:x]\ncommand=sleep 1000\ndirectory=/tmp\nread_only_paths=/nowhere\nprivate_tmp=true\n\
                private_network=true\nready=tcp:9\nseccomp=%(here)s/missing.calls\n\
                [program:y]\ncommand=sleep 1000\ncapabilities=CHOWN\nambient_capabilities=KILL\n\
                [program:z]\ncommand=sleep 1000\ncapabilities=ALL\nseccomp=@all\nno_new_privs=perhaps\n";
    let daemon = Start::new(Side::under_test(), conf).prepare();
    let check = || {
        let output = Side::under_test().daemon().args(["check", "-c"]).arg(daemon.conf()).output();
        String::from_utf8_lossy(&output.expect("it runs").stdout).into_owned()
    };
    let told = check();
    for wanted in [
        "KILL is not among capabilities, which are the only ones that it can have",
        "'ALL' is no capability; capabilities(7) lists them",
        "'@all' is no group of system calls: @service is one",
        "no_new_privs",
    ] {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
    daemon.write_conf(conf.split("[program:y]").next().expect("the first program"));
    let told = check();
    for wanted in [
        "read_only_paths: /nowhere: No such file",
        "so it cannot be executed",
        "private_tmp hides '/tmp' from it",
        "nobody outside reaches a program with private_network",
        "missing.calls: No such file",
    ] {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
}
