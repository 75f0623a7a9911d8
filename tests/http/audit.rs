//! The lines that state-changing calls leave in the activity log.

use crate::fake::Daemon;
use crate::support::Client;
use std::sync::{Mutex, Once};
use supervisord::rpc::wire::{self, Value};

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Log;

impl log::Log for Log {
    fn enabled(&self, metadata: &log::Metadata) -> bool {
        metadata.level() <= log::Level::Info
    }

    fn log(&self, record: &log::Record) {
        if self.enabled(record.metadata()) {
            LINES.lock().unwrap().push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// The lines about calls that contain `mark`, which only this test uses.
fn lines_about(mark: &str) -> Vec<String> {
    let lines = LINES.lock().unwrap();
    lines.iter().filter(|line| line.contains(mark) && line.contains(" called ")).cloned().collect()
}

#[test]
fn who_changed_what_is_on_record() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| log::set_logger(&Log).map(|()| log::set_max_level(log::LevelFilter::Info)).unwrap());
    let mut daemon = Daemon::new();
    let socket = daemon.on_unix(Some(Daemon::credentials()));
    let address = daemon.on_tcp(None);
    let text = |text: &str| Value::String(text.to_string());

    let call = wire::encode_call("supervisor.startProcess", &[text("audited\n2026 CRIT forged")]);
    Client::unix(&socket).post("/RPC2", "Authorization: Basic dXNlcjoxMjM=\r\n", call);
    let lines = lines_about("audited");
    assert_eq!(lines.len(), 1, "{lines:?}");
    let (uid, pid) = (rustix::process::getuid().as_raw(), std::process::id());
    let expected = format!(
        "\"user\" at uid {uid} pid {pid} called supervisor.startProcess(\"audited\\n2026 CRIT forged\"): BAD_NAME: \
         audited\u{fffd}2026 CRIT forged"
    );
    assert_eq!(lines[0], expected);

    let mut client = Client::tcp(address);
    let _ = client.call("supervisor.signalProcess", &[text("b"), text("audited-signal")]);
    let _ = client.call("supervisor.sendProcessStdin", &[text("a"), text("audited-secret")]);
    let _ = client.call("supervisor.getProcessInfo", &[text("audited-read")]);
    let lines = lines_about("127.0.0.1");
    assert!(
        lines.iter().any(|line| line.ends_with("called supervisor.sendProcessStdin(\"a\"): ok")),
        "{lines:?}"
    );
    for secret in ["audited-secret", "audited-read"] {
        assert!(lines_about(secret).is_empty());
    }
}
