//! All that confines at once: whoever is confined by it says that it is ready, is asked, and `check` tells what cannot work.

use crate::confine_kit::*;
use crate::support::{LONG, Side, Start, has_root, until};
use std::fs;
use supervisord::model::state::ProcessState::Running;

/// All keys at once: it finds its socket below a `/tmp` that is otherwise its own, and may use that `/tmp`.
#[test]
fn a_program_with_all_keys_says_that_it_is_ready() {
    if !has_landlock() {
        return;
    }
    as_everybody(|wrapper, circumstances| {
        if wrapper == ORDINARY && !can_make_user_namespaces() {
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
        until("its output is there", LONG, || daemon.read("x.out").ends_with('\n'));
        assert_eq!(daemon.read("x.out"), "passwd: Permission denied\n", "{circumstances}");
        for (field, wanted) in [("NoNewPrivs", "1"), ("Seccomp", "2"), ("CapEff", "0000000000000000")] {
            assert_eq!(status(&daemon, "x", field), wanted, "{circumstances}: {field}");
        }
    });
}

/// A notification gets out of every confinement, and a command that asks a program runs where that does.
fn check_readiness(wrapper: &[&str], keys: &str, circumstances: &str) {
    let all = "no_new_privs=true\nprivate_tmp=true\nprivate_network=true\nseccomp=@service\nread_only_paths=/usr,/bin,-/lib,-/lib64,/etc,/proc\n\
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
    for (field, wanted) in [("NoNewPrivs", "1"), ("Seccomp", "2")] {
        assert_eq!(status(&daemon, "notifies", field), wanted, "{circumstances}: {field}");
    }
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
