//! Sockets that programs inherit, and that outlive them.

use crate::support::{Daemon, LONG, Side, Start, free_ports, kill, text, until};
use nix::sys::signal::Signal;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use supervisord::model::state::ProcessState::Running;

/// A FastCGI responder for one request per connection: it answers with its pid.
const RESPONDER: &str = r#"
import os, socket, struct
listener = socket.socket(fileno=0)
def exactly(connection, n):
    data = b''
    while len(data) < n:
        piece = connection.recv(n - len(data))
        if not piece: raise EOFError
        data += piece
    return data
def record(kind, content):
    return struct.pack('!BBHHBB', 1, kind, 1, len(content), 0, 0) + content
while True:
    connection, _ = listener.accept()
    try:
        while True:
            _, kind, _, length, padding, _ = struct.unpack('!BBHHBB', exactly(connection, 8))
            exactly(connection, length + padding)
            if kind == 5 and length == 0: break
        body = b'Content-Type: text/plain\r\n\r\npid %d\n' % os.getpid()
        connection.sendall(record(6, body) + record(6, b'') + record(3, bytes(8)))
    except (EOFError, ConnectionError):
        pass
    connection.close()
"#;

/// A server on the sockets that LISTEN_FDS announces: it answers with their numbers.
const SERVER: &str = r#"
import os, selectors, socket
assert os.environ['LISTEN_PID'] == str(os.getpid())
chosen = selectors.DefaultSelector()
for number in range(3, 3 + int(os.environ['LISTEN_FDS'])):
    chosen.register(socket.socket(fileno=number), selectors.EVENT_READ)
while True:
    for key, _ in chosen.select():
        connection, _ = key.fileobj.accept()
        connection.sendall(b'%d\n' % key.fd)
        connection.close()
"#;

fn with_scripts(conf: &str) -> Daemon {
    let mut daemon = Start::new(Side::under_test(), conf).prepare();
    std::fs::write(daemon.path("responder.py"), RESPONDER).unwrap();
    std::fs::write(daemon.path("server.py"), SERVER).unwrap();
    daemon.start();
    daemon
}

/// Asks a FastCGI responder; its answer.
fn ask(mut connection: impl Read + Write) -> std::io::Result<String> {
    let record = |kind: u8, content: &[u8]| {
        let mut record = vec![1, kind, 0, 1, 0, content.len() as u8, 0, 0];
        record.extend_from_slice(content);
        record
    };
    let request = [record(1, &[0, 1, 0, 0, 0, 0, 0, 0]), record(4, b""), record(5, b"")].concat();
    connection.write_all(&request)?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// How the requests of a client ended.
#[derive(Clone, Default)]
struct Tally {
    n_answers: Arc<AtomicU32>,
    /// Their program was killed while it answered.
    n_cut: Arc<AtomicU32>,
}

/// Asks on and on while the manager and all programs are killed in turn; how often an answer was cut off. `ask`
/// says whether it got its answer, and panics if it was refused.
fn ask_while_killing(daemon: &Daemon, programs: &[&str], ask: impl Fn() -> bool + Send + 'static) -> u32 {
    let (stop, tally) = <(Arc<AtomicBool>, Tally)>::default();
    let client = std::thread::spawn({
        let (stop, tally) = (Arc::clone(&stop), tally.clone());
        move || {
            while !stop.load(Ordering::SeqCst) {
                let counter = if ask() { &tally.n_answers } else { &tally.n_cut };
                counter.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    for round in 0..6 {
        let before = tally.n_answers.load(Ordering::SeqCst);
        if round % 2 == 0 {
            daemon.replace_manager();
        } else {
            for name in programs {
                // One that was killed a moment ago may wait for its second to be over.
                daemon.wait_for_state(name, Running, LONG);
                kill(daemon.pid_of(name), Signal::SIGKILL);
            }
        }
        until("answers go on", LONG, || {
            assert!(!client.is_finished(), "the client was refused");
            tally.n_answers.load(Ordering::SeqCst) > before + 20
        });
    }
    stop.store(true, Ordering::SeqCst);
    client.join().expect("nobody was refused");
    tally.n_cut.load(Ordering::SeqCst)
}

#[test]
fn no_client_of_a_fastcgi_program_is_refused() {
    let daemon = with_scripts(
        "[group:web]\nprograms=app\n\
         [fcgi-program:app]\ncommand=python3 %(here)s/responder.py\nsocket=unix://%(here)s/app.sock\n\
         socket_mode=0600\nprocess_name=%(program_name)s_%(process_num)d\nnumprocs=2\nautorestart=true\n\
         startsecs=0\n",
    );
    let names = ["web:app_0", "web:app_1"];
    for name in names {
        daemon.wait_for_state(name, Running, LONG);
    }
    let path = daemon.path("app.sock");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let n_cut = ask_while_killing(&daemon, &names, move || {
        let connection = UnixStream::connect(&path).expect("nobody is ever refused");
        ask(connection).is_ok_and(|answer| answer.contains("pid "))
    });
    assert!(n_cut <= 6, "each kill of a program cuts at most one answer");
    assert_eq!(daemon.log().matches("Creating socket").count(), 1);

    // It may have been killed a moment ago, and then waits for its second to be over.
    until("its input is its socket", LONG, || {
        let fault = daemon.try_call("supervisor.sendProcessStdin", vec![text("web:app_0"), text("x")]);
        let fault = fault.unwrap_err().string().to_string();
        assert!(fault.starts_with("NO_FILE") || fault.starts_with("NOT_RUNNING"), "{fault}");
        fault.starts_with("NO_FILE")
    });
}

#[test]
fn php_answers_a_fastcgi_client_whoever_is_killed() {
    let [port] = free_ports();
    let daemon = with_scripts(&format!(
        "[fcgi-program:php]\ncommand=php-cgi\nsocket=tcp://127.0.0.1:{port}\nnumprocs=2\nautorestart=true\n\
         process_name=%(program_name)s_%(process_num)d\nstartsecs=0\n"
    ));
    let page = daemon.path("page.php");
    std::fs::write(&page, "<?php echo 'pid ', getmypid();").unwrap();
    let names = ["php:php_0", "php:php_1"];
    for name in names {
        daemon.wait_for_state(name, Running, LONG);
    }
    let n_cut = ask_while_killing(&daemon, &names, move || {
        let asked = Command::new("cgi-fcgi")
            .args(["-bind", "-connect", &format!("127.0.0.1:{port}")])
            .env("SCRIPT_FILENAME", &page)
            .env("REQUEST_METHOD", "GET")
            .output()
            .expect("cgi-fcgi of Debian's libfcgi-bin is installed");
        let complaint = String::from_utf8_lossy(&asked.stderr);
        assert!(!complaint.contains("Could not connect"), "{complaint}");
        String::from_utf8_lossy(&asked.stdout).contains("pid ")
    });
    assert!(n_cut <= 6, "each kill of a program cuts at most one answer");
}

#[test]
fn a_socket_goes_with_its_group() {
    let [port] = free_ports();
    let mut daemon = with_scripts(&format!(
        "[fcgi-program:app]\ncommand=python3 %(here)s/responder.py\nsocket=tcp://127.0.0.1:{port}\n\
         [program:other]\ncommand=python3 %(here)s/server.py\nsockets=unix://%(here)s/o.sock\n"
    ));
    daemon.wait_for_state("app", Running, LONG);
    let connect = || TcpStream::connect(("127.0.0.1", port));
    assert!(ask(connect().unwrap()).unwrap().contains(&format!("pid {}", daemon.pid_of("app"))));
    daemon.ctl(&["stop", "app"]).expect(0);
    // It waits for the next start.
    let waiting = connect().expect("a stopped program does not close its socket");
    daemon.ctl(&["start", "app"]).expect(0);
    assert!(ask(waiting).unwrap().contains("pid "));
    daemon.ctl(&["stop", "app"]).expect(0);
    daemon.call("supervisor.removeProcessGroup", vec![text("app")]);
    until("the port is closed", LONG, || connect().is_err());

    assert!(daemon.path("o.sock").exists());
    daemon.signal(Signal::SIGTERM);
    daemon.wait_exit();
    assert!(!daemon.path("o.sock").exists());
}

#[test]
fn any_program_can_have_sockets() {
    let [port] = free_ports();
    let daemon = with_scripts(&format!(
        "[program:server]\ncommand=python3 %(here)s/server.py\n\
         sockets=tcp://127.0.0.1:{port},unix://%(here)s/s1.sock\nautorestart=true\nstartsecs=0\n"
    ));
    let read = |mut connection: Box<dyn Read>| {
        let mut text = String::new();
        connection.read_to_string(&mut text).map(|_| text)
    };
    for _ in 0..2 {
        let tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert_eq!(read(Box::new(tcp)).unwrap(), "3\n");
        let unix = UnixStream::connect(daemon.path("s1.sock")).unwrap();
        assert_eq!(read(Box::new(unix)).unwrap(), "4\n");
        kill(daemon.pid_of("server"), Signal::SIGKILL);
        daemon.replace_manager();
        daemon.wait_for_state("server", Running, LONG);
    }
}

#[test]
fn a_socket_that_cannot_be_made_is_told_at_once() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let fcgi = format!("[fcgi-program:app]\ncommand=sleep 1000\nsocket=tcp://127.0.0.1:{port}\n");
    let (run, daemon) = Start::new(Side::under_test(), &fcgi).run();
    let expected = format!("Error: Could not create FastCGI socket tcp://127.0.0.1:{port}: ");
    assert!(run.stderr.starts_with(&expected), "{run}");
    assert!(!daemon.path("s.sock").exists());
    drop(daemon);

    // Later it is a fault, and the daemon goes on.
    let daemon = Start::new(Side::under_test(), "").ready();
    daemon.write_conf(&fcgi);
    daemon.call("supervisor.reloadConfig", vec![]);
    let fault = daemon.try_call("supervisor.addProcessGroup", vec![text("app")]).unwrap_err();
    assert!(fault.string().contains("Could not create FastCGI socket"), "{}", fault.string());
    drop(taken);
    daemon.call("supervisor.addProcessGroup", vec![text("app")]);
    daemon.wait_for_state("app", Running, LONG);
}

/// File systems without hard links, without modes, or without a rename that replaces nothing (virtiofs, 9p, NFS), and
/// sandboxes in which no thread may have an umask of its own.
#[test]
fn a_file_system_that_cannot_do_everything_has_sockets_all_the_same() {
    for (call, error) in
        [("linkat", "EPERM"), ("fchmodat", "EINVAL"), ("renameat2", "EINVAL"), ("unshare", "EPERM")]
    {
        let inject = format!("inject={call}:error={error}");
        let strace =
            ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject];
        let conf = "[unix_http_server]\nfile=%(here)s/s.sock\nchmod=0770\n";
        let mut daemon = Start::new(Side::under_test(), conf).under(&strace).ready();
        let mode = daemon.path("s.sock").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o770, "{call}: {error}");
        daemon.ctl(&["shutdown"]).expect(0);
        daemon.wait_exit();
        assert!(!daemon.path("s.sock").exists());
    }
}
