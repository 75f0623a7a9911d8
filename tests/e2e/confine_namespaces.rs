//! A `/tmp` and a network of a program's own, and who gets in and out.

use crate::confine_kit::*;
use crate::start;
use crate::support::{LONG, has_root, until};
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use supervisord::model::state::ProcessState::Running;

/// The file in `/tmp` is one that no other test has: `plain` makes it for everybody to see.
fn namespaces() -> String {
    let file = file_of_all();
    format!(
        "cut -d: -f1 /proc/net/dev | tail -n +3\nls -A /tmp /var/tmp\ntouch {} && echo made\nid -u",
        file.display()
    )
}

fn file_of_all() -> PathBuf {
    format!("/tmp/supervisord-test-mine.{}", std::process::id()).into()
}

/// The network has a loopback, which is up, and nothing else; the directories are empty and can be written to.
fn check_namespaces(wrapper: &[&str], keys: &str, uid: u32, circumstances: &str) {
    let bind = format!("{}\nsysctl -n net.ipv4.ip_unprivileged_port_start", namespaces());
    let conf = [
        teller("apart", &bind, &format!("private_tmp=true\nprivate_network=true\n{keys}")),
        teller(
            "status",
            STATUS,
            &format!("private_tmp=true\nprivate_network=true\ncapabilities=none\n{keys}"),
        ),
        teller("plain", &namespaces(), keys),
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
    let plain = told(&daemon, "plain");
    fs::remove_file(file_of_all()).expect("plain has made it");
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
        check_namespaces(&IN_NAMESPACE, "", 0, "in a user namespace");
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
        teller("without", STATUS, "private_tmp=-true\nprivate_network=-true"),
        teller("plain", STATUS, ""),
        teller("tmp", "true", "private_tmp=true"),
        teller("network", "true", "private_network=true"),
        teller("both", "true", "private_tmp=-true\nprivate_network=true"),
    ]
    .concat();
    let daemon = start_under(&bare, &conf);
    let expected = "couldn't set private_tmp: CAP_SYS_ADMIN is missing, and the user namespace that would do instead knows \
                    only the daemon's own user, not another user=";
    assert_eq!(why(&daemon, "other"), expected);
    assert_eq!(Status::of(&daemon, "if_possible").number("Uid"), 65534);
    daemon.wait_log("'if_possible' runs without private_tmp: CAP_SYS_ADMIN is missing");
    for (name, key) in [("tmp", "private_tmp"), ("network", "private_network"), ("both", "private_network")] {
        assert_eq!(why(&daemon, name), format!("couldn't set {key}: CAP_SYS_ADMIN is missing"));
    }
    assert_eq!(Status::of(&daemon, "without").sets(), Status::of(&daemon, "plain").sets());
    let network = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/net")).expect("it runs");
    assert_eq!(network(daemon.pid_of("without")), network(daemon.manager()));
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
fn a_private_tmp_is_found_by_its_probes_and_by_nobody_outside() {
    as_everybody(|wrapper, circumstances| {
        if wrapper == ORDINARY && !can_make_user_namespaces() {
            return;
        }
        // Its script would lie in /tmp, which it does not see.
        let conf = "[program:x]\n\
                    command=sh -c 'echo mine > /tmp/file; echo other > /var/tmp/file; cat /tmp/file; \
                    grep Cap /proc/self/status; echo end; exec sleep 1000'\n\
                    private_tmp=true\nstdout_logfile=%(here)s/x.out\nredirect_stderr=true\n\
                    ready=exec:test -e /tmp/file\n\
                    [program:plain]\ncommand=sleep 1000\n";
        let mut daemon = prepared(wrapper, conf);
        daemon.start();
        daemon.wait_for_state("x", Running, LONG);
        until("its output is there", LONG, || daemon.read("x.out").ends_with("end\n"));
        let output = daemon.read("x.out");
        assert!(output.starts_with("mine\n"), "{circumstances}: {output}");
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
    let check = |wrapper: &[&str], user: &str, circumstances: &str| {
        if wrapper == ORDINARY && !can_make_user_namespaces() {
            return;
        }
        let mut daemon = prepared(wrapper, &once("network", &format!("private_network=true\n{user}")));
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
    };
    as_everybody(|wrapper, circumstances| check(wrapper, "", circumstances));
    if has_root("takes root, to become others") {
        check(&[], "user=nobody", "as another user");
    }
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
