//! Which system calls programs can make.

use crate::confine_kit::*;
use crate::start;
use crate::support::Side;
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn programs_work_with_the_system_calls_of_services() {
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
    let kill = file("kill", "@service\n-socket\ndefault kill\n");
    let wrong = file("wrong", "@service\nopenate\n");
    let without_exec = file("without_exec", "read\nwrite\n");
    let killed = "/usr/bin/python3 -c 'import socket; socket.socket()'\necho $?";
    let conf = [
        teller("denied", perl, "seccomp=@service"),
        teller("work", work, "seccomp=@service"),
        teller("kill", killed, &format!("seccomp={kill}")),
        teller("wrong", "true", &format!("seccomp={wrong}")),
        teller("without_exec", "true", &format!("seccomp={without_exec}")),
    ]
    .concat();
    let daemon = start(&conf);
    if cfg!(target_arch = "x86_64") {
        assert_eq!(told(&daemon, "denied"), "1\n38", "EPERM for mount, ENOSYS for what nobody knows");
    }
    assert_eq!(told(&daemon, "work"), "thread\nchild\nsocket");
    let kill = told(&daemon, "kill");
    assert!(kill.lines().any(|line| line == "159"), "SIGSYS: {kill}");
    assert!(
        why(&daemon, "wrong").starts_with(&format!("seccomp {wrong}: line 2: 'openate' is no system call; "))
    );
    let none =
        format!("seccomp {without_exec}: it does not allow execve, without which no program can be started");
    assert_eq!(why(&daemon, "without_exec"), none);
    let conf = daemon.conf().display().to_string();
    let check = Side::under_test().daemon().args(["check", "-c", &conf]).output().unwrap();
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    for part in [&format!("[program:wrong] seccomp: {wrong}: line 2: 'openate'"), &none["seccomp ".len()..]] {
        assert!(said.contains(part), "{said}");
    }
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
        let wanted = format!("seccomp {}: No such file or directory", daemon.path("missing.calls").display());
        assert_eq!(missing, wanted, "{circumstances}");
    });
}

/// A file that lists calls counts as it is at each start, though the filter is not built anew each time.
#[test]
fn a_list_of_calls_that_was_changed_counts_at_the_next_start() {
    let umask = "perl -e '$! = 0; syscall(95, 0); print $! + 0'";
    if !cfg!(target_arch = "x86_64") {
        return eprintln!("skipped: the number of a call is that of another machine");
    }
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("calls");
    fs::write(&path, "@service\n").unwrap();
    let daemon = start(&teller("x", umask, &format!("seccomp={}", path.display())));
    assert_eq!(told(&daemon, "x"), "0");
    let restarted = || {
        fs::write(daemon.path("x.log"), "").unwrap();
        daemon.ctl(&["restart", "x"]).expect(0);
        told(&daemon, "x")
    };
    assert_eq!(restarted(), "0");
    fs::write(&path, "@service\n-umask\n").unwrap();
    assert_eq!(restarted(), "1", "EPERM");
    // Another file in its place.
    let other = files.path().join("other");
    fs::write(&other, "@service\n-umask\ndefault ENOSYS\n").unwrap();
    fs::rename(&other, &path).unwrap();
    assert_eq!(restarted(), "38", "ENOSYS");
}
