//! What the kernel keeps programs from: privileges, system calls, files, the machine's `/tmp` and its network. What a
//! program says of itself is compared with its configuration: as root, as an ordinary user, in a user namespace.

use crate::start;
use crate::support::{Daemon, LONG, Side, Start, has_root, member, until_some};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use supervisord::model::state::ProcessState::{Fatal, Running};

const NET_BIND_SERVICE: u64 = 1 << 10;
const CHOWN: u64 = 1;

/// The daemon as an ordinary user, from a copy that this user can execute.
const ORDINARY: [&str; 4] = [
    "sh",
    "-c",
    "cp \"$1\" supervisord; shift; exec setpriv --reuid=54321 --regid=54321 --clear-groups ./supervisord \"$@\"",
    "sh",
];

/// A program that says something with a shell's script and then sleeps. In the script `@` stands for `%`.
fn teller(name: &str, script: &str, keys: &str) -> String {
    let script = script.replace('%', "%%").replace('\n', "; ");
    format!(
        "[program:{name}]\ncommand=/bin/sh -c \"{script}; echo; echo end; exec sleep 1000\"\nredirect_stderr=true\n\
         stdout_logfile=%(here)s/{name}.log\nstartretries=0\n{keys}\n"
    )
}

/// What it says.
#[track_caller]
fn told(daemon: &Daemon, name: &str) -> String {
    let path = daemon.path(&format!("{name}.log"));
    let ended = || fs::read_to_string(&path).ok().filter(|text| text.ends_with("\nend\n"));
    let text = until_some(&format!("{name} has told"), LONG, || {
        if daemon.state_of(name) == Fatal {
            panic!("{name}: {}", member::<String>(&daemon.info(name), "spawnerr"));
        }
        ended()
    });
    text.trim_end_matches("end\n").trim().to_string()
}

#[track_caller]
fn why(daemon: &Daemon, name: &str) -> String {
    daemon.wait_for_state(name, Fatal, LONG);
    member(&daemon.info(name), "spawnerr")
}

/// What it says of its own status.
struct Status(BTreeMap<String, String>);

const STATUS: &str = "grep -E '^(Cap|NoNew|Seccomp:|Uid|Gid)' /proc/self/status";

impl Status {
    #[track_caller]
    fn of(daemon: &Daemon, name: &str) -> Status {
        let text = told(daemon, name);
        let lines = text.lines().filter_map(|line| line.split_once(":\t"));
        Status(lines.map(|(name, value)| (name.to_string(), value.trim().to_string())).collect())
    }

    fn bits(&self, name: &str) -> u64 {
        u64::from_str_radix(&self.0[name], 16).expect(name)
    }

    fn number(&self, name: &str) -> u32 {
        self.0[name].split('\t').next().and_then(|text| text.parse().ok()).expect(name)
    }

    /// Inheritable, permitted, effective, bounding, ambient.
    fn sets(&self) -> [u64; 5] {
        ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|name| self.bits(name))
    }
}

/// Starts a daemon whose directory everybody can write to.
fn start_under(wrapper: &[&str], conf: &str) -> Daemon {
    let mut daemon = Start::new(Side::under_test(), conf).under(wrapper).prepare();
    fs::set_permissions(daemon.directory(), PermissionsExt::from_mode(0o1777)).expect("it is ours");
    daemon.start();
    daemon
}

fn can_make_user_namespaces() -> bool {
    let tried = Command::new("setpriv")
        .args(["--reuid=54321", "--regid=54321", "--clear-groups", "unshare", "-Ur", "true"])
        .status();
    let can = tried.is_ok_and(|status| status.success());
    if !can {
        eprintln!("skipped: an ordinary user can make no user namespace here");
    }
    can
}

fn has_landlock() -> bool {
    let has = supervisord::sys::landlock::why_not().is_none();
    if !has {
        eprintln!("skipped: this kernel has no Landlock that is new enough");
    }
    has
}

#[test]
fn privileges_are_those_that_were_written() {
    if !has_root("takes root, to have capabilities") {
        return;
    }
    let section = |name: &str, keys: &str| teller(name, STATUS, keys);
    let conf: String = [
        section("plain", ""),
        section("forbidden", "no_new_privs=true"),
        section("none", "capabilities=none"),
        section("empty", "capabilities="),
        section("two", "capabilities=NET_BIND_SERVICE, cap_chown"),
        section("user", "capabilities=CHOWN\nuser=nobody"),
        section("ambient", "ambient_capabilities=NET_BIND_SERVICE\nuser=nobody"),
        section(
            "both",
            "capabilities=CHOWN,NET_BIND_SERVICE\nambient_capabilities=NET_BIND_SERVICE\nuser=54322",
        ),
        section("root", "ambient_capabilities=CHOWN"),
        section("filtered", "seccomp=@service\nuser=nobody"),
        section("filtered_root", "seccomp=@service"),
    ]
    .concat();
    let daemon = start_under(&[], &conf);
    let of = |name: &str| Status::of(&daemon, name);
    let plain = of("plain");
    let (all, [_, permitted, _, _, _]) = (plain.bits("CapBnd"), plain.sets());
    assert_eq!((plain.number("NoNewPrivs"), plain.number("Seccomp")), (0, 0));
    assert!(permitted & (CHOWN | NET_BIND_SERVICE) == CHOWN | NET_BIND_SERVICE, "root can do that");
    let forbidden = of("forbidden");
    assert_eq!((forbidden.number("NoNewPrivs"), forbidden.sets()), (1, plain.sets()));
    assert_eq!(of("none").sets(), [0; 5]);
    assert_eq!(of("empty").sets(), [0; 5]);
    let two = CHOWN | NET_BIND_SERVICE;
    assert_eq!(of("two").sets(), [0, two, two, two, 0]);
    let user = of("user");
    assert_eq!((user.sets(), user.number("Uid")), ([0, 0, 0, CHOWN, 0], 65534));
    let one = NET_BIND_SERVICE;
    assert_eq!(of("ambient").sets(), [one, one, one, all, one]);
    let both = of("both");
    assert_eq!((both.sets(), both.number("Uid")), ([one, one, one, two, one], 54322));
    assert_eq!(of("root").bits("CapAmb"), CHOWN);
    let filtered = of("filtered");
    assert_eq!(
        (filtered.number("Seccomp"), filtered.number("NoNewPrivs")),
        (2, 1),
        "it could not be without"
    );
    let filtered = of("filtered_root");
    assert_eq!((filtered.number("Seccomp"), filtered.number("NoNewPrivs")), (2, 0), "with CAP_SYS_ADMIN");
    let told = daemon.ctl(&["why", "both"]).stdout;
    let given = "given: capabilities=CHOWN, NET_BIND_SERVICE; ambient_capabilities=NET_BIND_SERVICE\n";
    assert!(told.contains(given), "{told}");
}

/// An ordinary user's daemon does what the kernel lets it do, and says what it lacks for the rest.
#[test]
fn an_ordinary_user_confines_programs_too_and_is_told_what_it_takes() {
    if !has_root("takes root, to become an ordinary user") {
        return;
    }
    let section = |name: &str, keys: &str| teller(name, STATUS, keys);
    let conf: String = [
        section("forbidden", "no_new_privs=true"),
        section("filtered", "seccomp=@service"),
        section("none", "capabilities=none"),
        section("none_if_possible", "capabilities=-none"),
        section("ambient", "ambient_capabilities=CHOWN"),
        section("ambient_if_possible", "ambient_capabilities=-CHOWN"),
    ]
    .concat();
    let daemon = start_under(&ORDINARY, &conf);
    assert_eq!(Status::of(&daemon, "forbidden").number("NoNewPrivs"), 1);
    let filtered = Status::of(&daemon, "filtered");
    assert_eq!((filtered.number("Seccomp"), filtered.number("NoNewPrivs")), (2, 1));
    assert_eq!(why(&daemon, "none"), "couldn't set capabilities: EPERM (CAP_SETPCAP is missing)");
    assert_eq!(Status::of(&daemon, "none_if_possible").bits("CapPrm"), 0);
    let lacks = "couldn't set ambient_capabilities: EPERM (the daemon does not have all of them)";
    assert_eq!(why(&daemon, "ambient"), lacks);
    assert_eq!(Status::of(&daemon, "ambient_if_possible").bits("CapAmb"), 0);
    daemon.wait_log("'none_if_possible' runs without capabilities, which the kernel refuses");
}

const NAMESPACES: &str =
    "cut -d: -f1 /proc/net/dev | tail -n +3\nls -A /tmp /var/tmp\ntouch /tmp/mine && echo made\nid -u";

/// The network has a loopback, which is up, and nothing else; the directories are empty and can be written to.
fn check_namespaces(wrapper: &[&str], keys: &str, uid: u32, circumstances: &str) {
    let up = "/usr/bin/python3 -c \\\"import socket as s;a=s.socket();a.bind(('127.0.0.1',80));a.listen();\
              b=s.create_connection(('127.0.0.1',80));print('connected')\\\"";
    let bind = format!("{NAMESPACES}\nsysctl -n net.ipv4.ip_unprivileged_port_start");
    let conf = [
        teller("apart", &bind, &format!("private_tmp=true\nprivate_network=true\n{keys}")),
        teller(
            "status",
            STATUS,
            &format!("private_tmp=true\nprivate_network=true\ncapabilities=none\n{keys}"),
        ),
        teller("loopback", &up.replace("80", "8080"), &format!("private_network=true\n{keys}")),
        teller("plain", NAMESPACES, keys),
    ]
    .concat();
    let daemon = start_under(wrapper, &conf);
    let apart = told(&daemon, "apart");
    let mut lines = apart.lines().map(str::trim);
    assert_eq!(lines.next(), Some("lo"), "{circumstances}: {apart}");
    let rest: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    let uid = uid.to_string();
    assert_eq!(rest[..4], ["/tmp:", "/var/tmp:", "made", &uid], "{circumstances}: {apart}");
    let status = Status::of(&daemon, "status");
    assert_eq!(status.sets(), [0; 5], "{circumstances}");
    assert_eq!(status.number("Uid").to_string(), uid, "{circumstances}");
    assert_eq!(told(&daemon, "loopback"), "connected", "{circumstances}");
    assert!(Path::new("/tmp/mine").exists(), "plain has made it");
    let _ = fs::remove_file("/tmp/mine");
    let plain = told(&daemon, "plain");
    let name = daemon.directory().file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(plain.contains(name) && !apart.contains(name), "{circumstances}: {plain}");
}

#[test]
fn tmp_and_network_are_its_own() {
    if !has_root("takes root, to become others") {
        return;
    }
    check_namespaces(&[], "", 0, "as root");
    check_namespaces(&[], "user=nobody", 65534, "as root, with another user");
    if can_make_user_namespaces() {
        check_namespaces(&ORDINARY, "", 54321, "as an ordinary user");
        check_namespaces(&["sh", "-c", "exec unshare -Ur \"$@\"", "sh"], "", 0, "in a user namespace");
    }
}

/// What cannot be had fails the start, by the name of its key, and does not where a dash says so.
#[test]
fn namespaces_that_cannot_be_had_fail_the_start() {
    if !has_root("takes root, to give up capabilities") {
        return;
    }
    let bare = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", "--"];
    let conf = [
        teller("other", STATUS, "private_tmp=true\nuser=nobody"),
        teller("if_possible", STATUS, "private_tmp=-true\nprivate_network=-true\nuser=nobody"),
    ]
    .concat();
    let daemon = start_under(&bare, &conf);
    let expected = "couldn't set private_tmp: CAP_SYS_ADMIN is missing, and the user namespace that would do instead knows \
                    only the daemon's own user, not another user=";
    assert_eq!(why(&daemon, "other"), expected);
    assert_eq!(Status::of(&daemon, "if_possible").number("Uid"), 65534);
    daemon.wait_log("'if_possible' runs without private_tmp: CAP_SYS_ADMIN is missing");
    drop(daemon);
    // As in many containers: nobody can write the maps of a user namespace.
    let ordinary = ORDINARY[2];
    let script = format!("mount -o bind,remount,ro /proc && {ordinary}");
    let read_only = format!("exec unshare -m sh -c 'mount --bind /proc /proc && {script}' sh \"$@\"");
    let conf = [
        teller("apart", "true", "private_network=true"),
        teller("if_possible", "true", "private_network=-true\nno_new_privs=true\nseccomp=@service"),
    ]
    .concat();
    let daemon = start_under(&["sh", "-c", &read_only, "sh"], &conf);
    let why = why(&daemon, "apart");
    let starts = why.starts_with("couldn't set private_network: E");
    let end = "(CAP_SYS_ADMIN is missing, and without it this takes a user namespace and /proc)";
    assert!(starts && why.ends_with(end), "{why}");
    assert_eq!(told(&daemon, "if_possible"), "");
}

#[test]
fn system_calls_that_are_not_listed_fail_and_programs_work() {
    let perl = "perl -e '$r = syscall(165, 0, 0, 0, 0, 0); print $! + 0, qq(\\n); $r = syscall(100000); print $! + 0, qq(\\n)'";
    let work = "/usr/bin/python3 -c \\\"import threading,subprocess,socket;t=threading.Thread(target=print,args=('thread',));\
                t.start();t.join();print(subprocess.run(['echo','child'],capture_output=True,text=True).stdout.strip());\
                socket.socket();print('socket')\\\"";
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = files.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let no_sockets = file("no_sockets", "# as services, and no network\n@service\n-socket\n");
    let enosys = file("enosys", "@service\n-socket\ndefault ENOSYS\n");
    let kill = file("kill", "@service\n-socket\ndefault kill\n");
    let wrong = file("wrong", "@service\nopenate\n");
    let without_exec = file("without_exec", "read\nwrite\n");
    let missing = files.path().join("missing").display().to_string();
    let socket = "/usr/bin/python3 -c 'import socket; socket.socket()' 2>&1 | tail -1\necho ${PIPESTATUS:-}";
    let killed = "/usr/bin/python3 -c 'import socket; socket.socket()'\necho $?";
    let conf = [
        teller("denied", perl, "seccomp=@service"),
        teller("work", work, "seccomp=@service"),
        teller("no_sockets", socket, &format!("seccomp={no_sockets}")),
        teller("enosys", socket, &format!("seccomp={enosys}")),
        teller("kill", killed, &format!("seccomp={kill}")),
        teller("wrong", "true", &format!("seccomp={wrong}")),
        teller("without_exec", "true", &format!("seccomp={without_exec}")),
        teller("missing", "true", &format!("seccomp={missing}")),
    ]
    .concat();
    let daemon = start(&conf);
    if cfg!(target_arch = "x86_64") {
        assert_eq!(told(&daemon, "denied"), "1\n38", "EPERM for mount, ENOSYS for what nobody knows");
    }
    assert_eq!(told(&daemon, "work"), "thread\nchild\nsocket");
    assert!(told(&daemon, "no_sockets").starts_with("PermissionError: [Errno 1]"));
    assert!(told(&daemon, "enosys").starts_with("OSError: [Errno 38]"));
    let kill = told(&daemon, "kill");
    assert!(kill.lines().any(|line| line == "159"), "SIGSYS: {kill}");
    assert!(
        why(&daemon, "wrong").starts_with(&format!("seccomp {wrong}: line 2: 'openate' is no system call; "))
    );
    let none =
        format!("seccomp {without_exec}: it does not allow execve, without which no program can be started");
    assert_eq!(why(&daemon, "without_exec"), none);
    assert_eq!(why(&daemon, "missing"), format!("seccomp {missing}: No such file or directory"));
    let conf = daemon.conf().display().to_string();
    let check = Side::under_test().daemon().args(["check", "-c", &conf]).output().unwrap();
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    for part in [&format!("[program:wrong] seccomp: {wrong}: line 2: 'openate'"), &none["seccomp ".len()..]] {
        assert!(said.contains(part), "{said}");
    }
}

/// Which ways a program tries to what it may not have, each with what it prints when it gets there.
fn check_files(wrapper: &[&str], keys: &str, circumstances: &str) {
    let files = tempfile::tempdir().unwrap();
    let at = |name: &str| files.path().join(name).display().to_string();
    for name in ["inside", "outside", "readable"] {
        fs::create_dir(at(name)).unwrap();
        fs::set_permissions(at(name), PermissionsExt::from_mode(0o777)).unwrap();
    }
    fs::set_permissions(files.path(), PermissionsExt::from_mode(0o755)).unwrap();
    for name in ["outside/secret", "readable/text"] {
        fs::write(at(name), format!("{name} is read\n")).unwrap();
        fs::set_permissions(at(name), PermissionsExt::from_mode(0o666)).unwrap();
    }
    std::os::unix::fs::symlink(at("outside/secret"), at("inside/link")).unwrap();
    std::os::unix::fs::symlink("../outside", at("inside/directory")).unwrap();
    let (inside, outside, readable) = (at("inside"), at("outside"), at("readable"));
    let script = format!(
        "cat {outside}/secret\ncat {inside}/link\ncat {inside}/directory/secret\ncat {inside}/../outside/secret\n\
         cat /proc/self/root{outside}/secret\ncat /proc/self/cwd/secret\ncat secret\n\
         ln {outside}/secret {inside}/hard && echo linked\nmv {outside}/secret {inside}/moved && echo moved\n\
         ln -P {readable}/text {inside}/hard && echo linked readable\n\
         mount --bind {outside} {inside} 2>/dev/null && echo mounted\necho x >>{readable}/text && echo written\n\
         truncate -s 0 {readable}/text && echo cut\nls /\nls {outside}\n\
         cat {readable}/text\necho kept >{inside}/new\ncat {inside}/new"
    );
    let system = "read_only_paths=/usr,/bin,-/lib,-/lib64,-/etc/ld.so.cache,/proc,";
    let paths =
        format!("{system}{readable}\nread_write_paths={inside},/dev/null\ndirectory={outside}\n{keys}");
    let conf = [
        teller("confined", &script, &paths),
        teller("plain", &format!("cat {outside}/secret"), &format!("directory={outside}\n{keys}")),
    ]
    .concat();
    let daemon = start_under(wrapper, &conf);
    let said = told(&daemon, "confined");
    let reached: Vec<&str> = said.lines().filter(|line| !line.contains(": ")).collect();
    assert_eq!(reached, ["readable/text is read", "kept"], "{circumstances}: {said}");
    assert!(said.contains("Permission denied"), "{circumstances}: {said}");
    assert_eq!(told(&daemon, "plain"), "outside/secret is read", "{circumstances}");
}

#[test]
fn files_that_no_path_names_are_out_of_reach() {
    if !has_landlock() {
        return;
    }
    check_files(&[], "", "as whoever runs the tests");
    if has_root("takes root, to become others") {
        check_files(&[], "user=nobody", "as another user");
        check_files(&ORDINARY, "", "as an ordinary user");
    }
}

#[test]
fn paths_that_are_wrong_are_named() {
    if !has_landlock() {
        return;
    }
    let conf = [
        teller("missing", "true", "read_only_paths=/usr,/nowhere"),
        teller(
            "secret",
            "cat $CREDENTIALS_DIRECTORY/token",
            "read_only_paths=/usr,/bin,-/lib,-/lib64\ncredential.token=/etc/passwd",
        ),
        teller("unneeded", "true", "read_only_paths=/usr,/bin,-/lib,-/lib64,-/nowhere"),
        teller("unreachable", "true", "read_only_paths=/etc"),
    ]
    .concat();
    let daemon = start(&conf);
    assert_eq!(why(&daemon, "missing"), "read_only_paths /nowhere: No such file or directory");
    assert_eq!(told(&daemon, "unneeded"), "");
    assert!(told(&daemon, "secret").contains("root:"), "credentials can be read in any case");
    assert!(why(&daemon, "unreachable").starts_with("couldn't exec /bin/sh: EACCES (what it executes"));
}

#[test]
fn no_setuid_program_gives_privileges_back() {
    if !has_root("takes root, to make a program set-user-ID") {
        return;
    }
    let files = tempfile::tempdir().unwrap();
    fs::set_permissions(files.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let id = files.path().join("id");
    fs::copy("/usr/bin/id", &id).unwrap();
    fs::set_permissions(&id, PermissionsExt::from_mode(0o4755)).unwrap();
    let script = format!("{} -u", id.display());
    let conf = [
        teller("plain", &script, "user=nobody"),
        teller("forbidden", &script, "user=nobody\nno_new_privs=true"),
        teller("filtered", &script, "user=nobody\nseccomp=@service"),
        // It becomes root and finds that root can do nothing.
        teller("powerless", &format!("{script}\n{} /etc/shadow", "cat"), "user=nobody\ncapabilities=none"),
    ]
    .concat();
    let daemon = start_under(&[], &conf);
    if told(&daemon, "plain") != "0" {
        return eprintln!("skipped: set-user-ID programs do not work in {}", files.path().display());
    }
    assert_eq!(told(&daemon, "forbidden"), "65534");
    assert_eq!(told(&daemon, "filtered"), "65534");
    assert!(told(&daemon, "powerless").contains("Permission denied"));
}

/// The directory of these tests lies below `/tmp`, which is replaced: nobody gets there by where he was.
#[test]
fn nobody_gets_out_of_a_private_tmp_by_his_directory() {
    if !has_root("takes root, to make namespaces") {
        return;
    }
    let conf = teller("x", "cat conf 2>/dev/null\nls -A . ..\npwd -P", "private_tmp=true");
    let daemon = start(&conf);
    let said = told(&daemon, "x");
    let name = daemon.directory().file_name().and_then(|name| name.to_str()).expect("a name");
    if daemon.directory().starts_with("/tmp") {
        assert!(!said.contains(name) && !said.contains("s.sock") && said.ends_with("\n/"), "{said}");
    }
}

/// A notification gets out of every confinement, and a command that asks a program runs where that does.
fn check_readiness(wrapper: &[&str], keys: &str, circumstances: &str) {
    let all = "private_tmp=true\nprivate_network=true\nseccomp=@service\nread_only_paths=/usr,/bin,-/lib,-/lib64,/etc,/proc\n\
               read_write_paths=/dev/null";
    let notify = "/usr/bin/python3 -c \\\"import os,socket as s;\
                  s.socket(s.AF_UNIX,s.SOCK_DGRAM).sendto(b'READY=1',os.environ['NOTIFY_SOCKET'])\\\"\necho mine >/tmp/mine && cat /tmp/mine";
    let serve = "/usr/bin/python3 -m http.server 8081 --bind 127.0.0.1 >/dev/null 2>&1 &\ntrue";
    let ask = "exec:/usr/bin/python3 -c \"import socket;socket.create_connection(('127.0.0.1',8081))\"";
    let conf = [
        teller("notifies", notify, &format!("ready=notify\nready_timeout=20\n{all}\n{keys}")),
        teller(
            "serves",
            &serve.replace("&\ntrue", "& true"),
            &format!("ready={ask}\nready_timeout=20\n{all}\n{keys}"),
        ),
        teller("elsewhere", "true", &format!("ready={ask}\nready_timeout=1\nautorestart=false\n{keys}")),
    ]
    .concat();
    let daemon = start_under(wrapper, &conf);
    for name in ["notifies", "serves"] {
        daemon.wait_for_state(name, Running, LONG);
    }
    assert_eq!(told(&daemon, "notifies"), "mine", "{circumstances}");
    assert!(why(&daemon, "elsewhere").contains("not ready"), "{circumstances}: only who joins it can ask");
    // What was confined is so after the manager is another one, and the next start of it, too.
    daemon.replace_manager();
    daemon.ctl(&["restart", "notifies"]).expect(0);
    daemon.wait_for_state("notifies", Running, LONG);
    let network = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    assert_ne!(network(daemon.pid_of("notifies")), network(std::process::id() as i32), "{circumstances}");
}

#[test]
fn notifications_and_probes_work_in_every_confinement() {
    if !has_root("takes root, to make namespaces") || !has_landlock() {
        return;
    }
    check_readiness(&[], "", "as root");
    check_readiness(&[], "user=nobody", "as root, with another user");
    if can_make_user_namespaces() {
        check_readiness(&ORDINARY, "", "as an ordinary user");
    }
}
