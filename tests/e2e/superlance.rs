//! The event listeners that people have: superlance, unmodified, does here what it does with the original.

use crate::support::{Daemon, LONG, Side, Start, until};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use supervisord::model::state::ProcessState::{Fatal, Running};

const SIDES: [Side; 2] = [Side::Ours, Side::Original];

/// Ticks come every five seconds, and some listeners act on the second one only.
const SOME_TICKS: Duration = Duration::from_secs(40);

/// A program of superlance.
fn superlance(name: &str) -> String {
    let venv = std::env::var_os("SUPERVISOR_VENV")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".venv"), PathBuf::from);
    let path = venv.join("bin").join(name);
    assert!(path.exists(), "{} is missing: run `make prepare`, or set SUPERVISOR_VENV", path.display());
    path.display().to_string()
}

/// Starts a daemon with a `sendmail` in its directory that keeps what it gets in `mail`.
fn with_sendmail(side: Side, conf: &str) -> Daemon {
    let mut daemon = Start::new(side, conf).prepare();
    let sendmail = daemon.path("sendmail");
    std::fs::write(&sendmail, "#!/bin/sh\ncat > \"$0.new\"\nmv \"$0.new\" \"${0%/*}/mail\"\n").unwrap();
    std::fs::set_permissions(&sendmail, std::fs::Permissions::from_mode(0o755)).unwrap();
    daemon.start();
    daemon
}

#[test]
fn memmon_restarts_a_grower() {
    for side in SIDES {
        let memmon = superlance("memmon");
        let daemon = with_sendmail(
            side,
            &format!(
                "[eventlistener:memmon]\ncommand={memmon} -p grower=30MB -s %(here)s/sendmail -m me@example.org\n\
                 events=TICK_5\nstartsecs=0\n\
                 [program:grower]\ncommand=python3 -c \"import time; x = 'x' * 100_000_000; time.sleep(1000)\"\n\
                 startsecs=0\n"
            ),
        );
        daemon.wait_for_state("grower", Running, LONG);
        let before = daemon.pid_of("grower");
        until("there is a mail", SOME_TICKS, || daemon.read("mail").contains("restarted"));
        until("another one runs", LONG, || ![0, before].contains(&daemon.pid_of("grower")));
        assert!(daemon.read("mail").contains("To: me@example.org"));
    }
}

#[test]
fn httpok_restarts_a_server_that_hangs() {
    for side in SIDES {
        // Accepts and never answers.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = silent.local_addr().unwrap().port();
        let httpok = superlance("httpok");
        let daemon = with_sendmail(
            side,
            &format!(
                "[eventlistener:httpok]\n\
                 command={httpok} -p server -t 1 -s %(here)s/sendmail -m me@example.org http://127.0.0.1:{port}/\n\
                 events=TICK_5\nstartsecs=0\n\
                 [program:server]\ncommand=sleep 1000\nstartsecs=0\n"
            ),
        );
        daemon.wait_for_state("server", Running, LONG);
        let before = daemon.pid_of("server");
        until("there is a mail", SOME_TICKS, || daemon.read("mail").contains("To: me@example.org"));
        until("another one runs", LONG, || ![0, before].contains(&daemon.pid_of("server")));
    }
}

#[test]
fn crashmail_writes_about_a_crash() {
    for side in SIDES {
        let crashmail = superlance("crashmail");
        let daemon = with_sendmail(
            side,
            &format!(
                "[eventlistener:crashmail]\ncommand={crashmail} -a -s %(here)s/sendmail -m me@example.org\n\
                 events=PROCESS_STATE\nbuffer_size=100\nstartsecs=0\n\
                 [program:crasher]\ncommand=sh -c 'sleep 1.2; exit 3'\nautorestart=false\n"
            ),
        );
        until("there is a mail", LONG, || daemon.read("mail").contains("exited unexpectedly"));
        let mail = daemon.read("mail");
        assert!(mail.contains("Process crasher in group crasher exited unexpectedly (pid "), "{mail}");
        assert!(mail.contains("from state RUNNING"), "{mail}");
    }
}

#[test]
fn fatalmailbatch_writes_about_those_that_gave_up() {
    for side in SIDES {
        let (port, mail) = smtp_server();
        let fatalmailbatch = superlance("fatalmailbatch");
        let daemon = with_sendmail(
            side,
            &format!(
                "[eventlistener:fatalmailbatch]\ncommand={fatalmailbatch} --toEmail=me@example.org \
                 --fromEmail=you@example.org --smtpHost=127.0.0.1:{port} --tickEvent=TICK_5 --interval=0.01\n\
                 events=PROCESS_STATE,TICK_5\nbuffer_size=100\nstartsecs=0\n\
                 [program:broken]\ncommand=false\nstartretries=0\n"
            ),
        );
        daemon.wait_for_state("broken", Fatal, LONG);
        let is_there =
            || mail.lock().unwrap().contains("Process broken:broken failed to start too many times");
        until("there is a mail", SOME_TICKS, is_there);
    }
}

/// A mail server for a few mails: its port, and everything it was told.
fn smtp_server() -> (u16, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let told = Arc::new(Mutex::new(String::new()));
    let server = Arc::clone(&told);
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let _ = serve(&connection, &connection, &server);
        }
    });
    (port, told)
}

fn serve(input: impl Read, mut output: impl Write, told: &Mutex<String>) -> std::io::Result<()> {
    output.write_all(b"220 ready\r\n")?;
    let mut is_data = false;
    for line in BufReader::new(input).lines() {
        let line = line?;
        told.lock().unwrap().push_str(&format!("{line}\n"));
        let answer = match line.split(' ').next() {
            _ if is_data && line == "." => "250 kept",
            _ if is_data => continue,
            Some("data" | "DATA") => "354 go on",
            Some("quit" | "QUIT") => "221 bye",
            _ => "250 ok",
        };
        is_data = answer.starts_with("354");
        output.write_all(format!("{answer}\r\n").as_bytes())?;
    }
    Ok(())
}
