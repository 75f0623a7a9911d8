//! Which privileges programs have: capabilities, `no_new_privs`, and none by set-user-ID files.

use crate::confine_kit::*;
use crate::support::{LONG, Side, Start, has_root, until};
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn privileges_are_those_that_were_written() {
    if !has_root("takes root, to have capabilities") {
        return;
    }
    let section = |name: &str, keys: &str| teller(name, STATUS, keys);
    let conf: String = [
        section("plain", ""),
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
    assert_eq!(of("none").sets(), [0; 5]);
    assert_eq!(of("empty").sets(), [0; 5]);
    let two = CHOWN | NET_BIND_SERVICE;
    assert_eq!(of("two").sets(), [0, two, two, two, 0]);
    let user = of("user");
    assert_eq!((user.sets(), user.number("Uid")), ([0, 0, 0, CHOWN, 0], 65534));
    let one = NET_BIND_SERVICE;
    assert_eq!(of("ambient").sets(), [one, one, one, all, one]);
    let both = of("both");
    assert_eq!((both.sets(), &*both.0["Uid"]), ([one, one, one, two, one], "54322\t54322\t54322\t54322"));
    let [inheritable, _, _, _, ambient] = of("root").sets();
    assert_eq!((inheritable, ambient), (CHOWN, CHOWN));
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

    // A successor starts them in the same way.
    let before = daemon.pid_of("both");
    daemon.kill_manager();
    until("it answers again", LONG, || daemon.answers());
    assert_eq!(daemon.pid_of("both"), before);
    daemon.ctl(&["restart", "both"]).expect(0);
    assert_ne!(daemon.pid_of("both"), before);
    for (field, wanted) in [("CapInh", one), ("CapEff", one), ("CapBnd", two), ("CapAmb", one)] {
        assert_eq!(set(&daemon, "both", field), wanted, "{field}");
    }
}

#[test]
fn root_of_a_user_namespace_gives_the_capabilities_that_it_has_there() {
    if !can_be_in_user_namespace() {
        return;
    }
    let conf = "[program:none]\ncommand=sleep 1000\ncapabilities=\n\
                [program:few]\ncommand=sleep 1000\ncapabilities=NET_BIND_SERVICE, cap_chown\n\
                [program:handed]\ncommand=sleep 1000\nambient_capabilities=NET_BIND_SERVICE\n";
    let mut daemon = prepared(&IN_NAMESPACE, conf);
    daemon.start();
    for field in ["CapPrm", "CapEff", "CapBnd"] {
        assert_eq!(set(&daemon, "none", field), 0, "{field}");
        assert_eq!(set(&daemon, "few", field), NET_BIND_SERVICE | CHOWN, "{field}");
    }
    assert_eq!(set(&daemon, "handed", "CapAmb"), NET_BIND_SERVICE);
    assert_eq!(set(&daemon, "handed", "CapInh"), NET_BIND_SERVICE);
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
        let ordinary = wrapper == ORDINARY;
        assert!(!ordinary || status(&daemon, "filtered", "NoNewPrivs") == "1", "{circumstances}");
        for name in ["quiet", "filtered"] {
            let pid = daemon.pid_of(name);
            until("it sleeps", LONG, || status_of(pid, "State").starts_with('S'));
            let descriptors = fs::read_dir(format!("/proc/{}/fd", daemon.pid_of(name))).expect("it runs");
            assert_eq!(descriptors.count(), 3, "{circumstances}: {name}");
        }
        let shown = daemon.ctl(&["why", "filtered"]).stdout;
        assert!(shown.contains("given: seccomp=@service\n"), "{shown}");
    });
}

#[test]
fn capabilities_that_the_daemon_lacks_are_named_or_done_without() {
    if !has_root("takes root, to become an ordinary user") {
        return;
    }
    let section = |name: &str, keys: &str| teller(name, STATUS, keys);
    let conf: String = [
        section("none", "capabilities=none"),
        section("none_if_possible", "capabilities=-none"),
        section("ambient", "ambient_capabilities=CHOWN"),
        section("ambient_if_possible", "ambient_capabilities=-CHOWN"),
    ]
    .concat();
    let daemon = start_under(&ORDINARY, &conf);
    assert_eq!(why(&daemon, "none"), "couldn't set capabilities: EPERM (CAP_SETPCAP is missing)");
    let none = Status::of(&daemon, "none_if_possible");
    assert_eq!((none.bits("CapPrm"), none.bits("CapEff")), (0, 0));
    let lacks = "couldn't set ambient_capabilities: EPERM (the daemon does not have all of them)";
    assert_eq!(why(&daemon, "ambient"), lacks);
    let ambient = Status::of(&daemon, "ambient_if_possible");
    assert_eq!((ambient.bits("CapAmb"), ambient.bits("CapEff")), (0, 0));
    daemon.wait_log("'none_if_possible' runs without capabilities, which the kernel refuses");
}

#[test]
fn a_wish_that_is_refused_leaves_the_other_key_as_it_is() {
    if !has_root("takes root, to become an ordinary user with capabilities") {
        return;
    }
    let own = "+setpcap,+dac_override,+net_raw";
    let script = format!(
        "cp \"$1\" supervisord; shift; exec setpriv --reuid=54321 --regid=54321 --clear-groups --inh-caps=-all,{own} \
         --ambient-caps={own} ./supervisord \"$@\""
    );
    let conf = teller("x", STATUS, "capabilities=NET_RAW, NET_ADMIN\nambient_capabilities=-NET_ADMIN");
    let daemon = start_under(&["sh", "-c", &script, "sh"], &conf);
    let [_, permitted, effective, _, ambient] = Status::of(&daemon, "x").sets();
    let net_raw = 1 << 13;
    assert_eq!([permitted, effective, ambient].map(|set| set & !net_raw), [0; 3]);
    daemon.wait_log("'x' runs without ambient_capabilities, which the kernel refuses");
}

#[test]
fn what_is_kept_for_capabilities_that_are_missing_is_not_left_to_the_program() {
    if !has_root("takes root, to become others") {
        return;
    }
    let few = ["setpriv", "--bounding-set=-chown", "--"];
    let conf = "[program:x]\ncommand=sleep 1000\nuser=54321\nambient_capabilities=-CHOWN, NET_BIND_SERVICE\n";
    let daemon = Start::new(Side::under_test(), conf).under(&few).ready();
    for field in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(set(&daemon, "x", field), 0, "{field}");
    }
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
