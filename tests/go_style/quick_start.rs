//! The commands of both manuals, as they are printed there, one after the other in one shell.
//!
//! They use port 9001 and no `-c`, so they get a network of their own where that can be had. Elsewhere the port is
//! another one, and stands in a file that the client finds.

use crate::support::{LONG, free_ports, run_within};
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

/// What stands before the first command: the word `supervisord`, and waiting, which a person does by himself.
const BEFORE: &str = "\
wait_for() {
    for i in $(seq 100); do
        supervisord ctl status 2>/dev/null | awk -v n=\"$1\" '/RUNNING/ {have++} /STARTING/ {other++} \
            END {exit !(have == n && !other)}' && return
        sleep 0.05
    done
    echo 'waited in vain'
}
";

/// Brings up the loopback device of a new network.
const LOOPBACK: &str = "python3 -c '
import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack(\"16sH22x\", b\"lo\", 0x41))
'
";

/// A command, its exit status, and its output without blanks at the ends of lines; `…` is any rest of a line.
type Step = (&'static str, i32, &'static str);

/// Runs the steps in a shell whose `supervisord` is ours, beside this `supervisor.conf`.
fn try_steps(conf: &str, steps: &[Step]) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| directory.path().join(name);
    let isolated =
        Command::new("unshare").args(["--net", "true"]).output().is_ok_and(|ran| ran.status.success());
    let conf = if isolated {
        conf.to_string()
    } else {
        let [port] = free_ports();
        let conf = conf.replace("9001", &port.to_string());
        fs::write(path("supervisord.conf"), &conf).expect("written");
        conf
    };
    fs::write(path("supervisor.conf"), &conf).expect("written");
    fs::create_dir(path("bin")).expect("made");
    symlink(env!("CARGO_BIN_EXE_supervisord"), path("bin/supervisord")).expect("made");
    let mut script = if isolated { LOOPBACK.to_string() } else { String::new() };
    script += BEFORE;
    for (command, _, _) in steps {
        // The output of what stays in the background must not be this one.
        writeln!(script, "echo '>>>'; {{ {command}; }} </dev/null 2>&1; echo \"<<< $?\"").expect("a text");
    }
    let mut command = Command::new(if isolated { "unshare" } else { "sh" });
    if isolated {
        // Whatever happens, nothing is left when the shell has ended.
        command.args(["--net", "--pid", "--fork", "--mount-proc", "--kill-child", "sh"]);
    }
    let search = std::env::var("PATH").unwrap_or_default();
    command.arg("-c").arg(&script).current_dir(directory.path());
    command.env("PATH", format!("{}:{search}", path("bin").display())).env("NETRC", "/nonexistent");
    // A daemon that starts removes the automatic logs of former ones that have its name, and these have the usual one.
    command.env("TMPDIR", directory.path());
    let ran = run_within(&mut command, 3 * LONG);
    let parts: Vec<&str> = ran.stdout.split(">>>\n").skip(1).collect();
    assert_eq!(parts.len(), steps.len(), "{ran}");
    for ((command, code, expected), part) in steps.iter().zip(parts) {
        let (output, status) = part.rsplit_once("<<< ").unwrap_or_else(|| panic!("{command}\n{ran}"));
        assert_eq!(status.trim(), code.to_string(), "$ {command}\n{output}\n{ran}");
        assert!(is_like(output, expected), "$ {command}\n{output}\nexpected\n{expected}\n{ran}");
    }
}

fn is_like(output: &str, expected: &str) -> bool {
    let (got, wanted): (Vec<_>, Vec<_>) = (output.lines().collect(), expected.lines().collect());
    got.len() == wanted.len()
        && got.iter().zip(wanted).all(|(got, wanted)| match wanted.split_once('…') {
            Some((begin, end)) => got.starts_with(begin) && got.trim_end().ends_with(end),
            None => got.trim_end() == wanted,
        })
}

#[test]
fn the_first_steps_lead_where_they_say() {
    try_steps(
        "[program:test]\ncommand = /bin/sleep 1000\n[inet_http_server]\nport=127.0.0.1:9001\n",
        &[
            ("supervisord -c supervisor.conf -d", 0, ""),
            ("wait_for 1", 0, ""),
            ("supervisord ctl status", 0, "test                             RUNNING   pid …"),
            ("supervisord ctl stop test", 0, "test: stopped"),
            ("supervisord ctl status", 3, "test                             STOPPED   …"),
            ("supervisord ctl stop all", 0, ""),
            ("supervisord ctl start test", 0, "test: started"),
            ("supervisord ctl start all", 0, ""),
            ("supervisord ctl -s http://localhost:9001 pid test | grep -c '^[0-9]*$'", 0, "1"),
            ("supervisord ctl signal USR2 test", 0, "test: signalled"),
            ("supervisord ctl shutdown", 0, "Shut down"),
            ("supervisord version | grep -c .", 0, "1"),
        ],
    );
}

#[test]
fn every_command_of_both_manuals_is_understood() {
    let program = |name: &str| format!("[program:{name}]\ncommand = /bin/sleep 1000\n");
    let conf = format!(
        "{}{}{}[group:group]\nprograms=member\n[inet_http_server]\nport=127.0.0.1:9001\nusername=test1\n\
         password=thepassword\n[supervisorctl]\nserverurl=http://127.0.0.1:9001\nusername=test1\n\
         password=thepassword\n",
        program("program-1"),
        program("program-2"),
        program("member")
    );
    let both =
        "program-1                        RUNNING   pid …\nprogram-2                        RUNNING   pid …";
    let with_login = "supervisord ctl -s http://127.0.0.1:9001 -u test1 -P thepassword status program-1";
    try_steps(
        &conf,
        &[
            ("supervisord -c supervisor.conf -d", 0, ""),
            ("supervisord() { command supervisord -c supervisor.conf \"$@\"; }", 0, ""),
            ("wait_for 3", 0, ""),
            ("supervisord ctl status program-1 program-2", 0, both),
            ("supervisord ctl status group:*", 0, "group:member                     RUNNING   pid …"),
            ("supervisord ctl stop program-1 program-2", 0, "program-1: stopped\nprogram-2: stopped"),
            ("supervisord ctl stop group:*", 0, "group:member: stopped"),
            ("supervisord ctl start program-1 program-2", 0, "program-1: started\nprogram-2: started"),
            ("supervisord ctl start group:*", 0, "group:member: started"),
            ("supervisord ctl stop all", 0, "group:member: stopped\nprogram-1: stopped\nprogram-2: stopped"),
            ("supervisord ctl start all", 0, "group:member: started\nprogram-1: started\nprogram-2: started"),
            (with_login, 0, "program-1                        RUNNING   pid …"),
            (
                "supervisord ctl status -v program-1 2>/dev/null",
                0,
                "program-1                        RUNNING   pid …",
            ),
            ("supervisord ctl fg program-1 | head -1", 0, "==> Press Ctrl-C to exit <=="),
            ("supervisord ctl pid program-2 | grep -c '^[0-9]*$'", 0, "1"),
            ("supervisord ctl start-group group", 0, ""),
            (
                "supervisord ctl signal CONT program-1 program-2",
                0,
                "program-1: signalled\nprogram-2: signalled",
            ),
            (
                "supervisord ctl signal all | head -1",
                0,
                "Error: signal requires a signal name and a process name",
            ),
            ("supervisord ctl reload", 0, "Restarted supervisord"),
            ("wait_for 3", 0, ""),
            ("supervisord ctl update", 0, ""),
            ("supervisord ctl shutdown", 0, "Shut down"),
        ],
    );
}
