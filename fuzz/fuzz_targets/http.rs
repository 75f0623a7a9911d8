//! Any bytes on a connection: no panic, the connection ends when the client has said everything, and what
//! comes back are answers. The first byte chooses between an open server and one with a password.
#![no_main]

#[path = "../../tests/http/fake.rs"]
#[allow(dead_code)]
mod fake;

use libfuzzer_sys::fuzz_target;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;
use supervisord::http::Limits;

struct Servers {
    sockets: [PathBuf; 2],
    _daemons: [fake::Daemon; 2],
}

static SERVERS: LazyLock<Servers> = LazyLock::new(|| {
    let limits = Limits { denial_delay: Duration::ZERO, ..Limits::default() };
    let mut daemons = [(); 2].map(|()| fake::Daemon::with_limits(0, limits));
    for daemon in &daemons {
        std::fs::write(daemon.log_of("a"), b"a log \xff\x00 <&>\r\n").expect("the directory can be written");
    }
    let sockets = [daemons[0].on_unix(None), daemons[1].on_unix(Some(fake::Daemon::credentials()))];
    Servers { sockets, _daemons: daemons }
});

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, request)) = bytes.split_first() else { return };
    let socket = &SERVERS.sockets[usize::from(choice % 2)];
    let mut client = UnixStream::connect(socket).expect("the server listens");
    client.set_read_timeout(Some(Duration::from_secs(5))).expect("sockets have time limits");
    // The server may have closed the connection in the middle of this.
    let _ = client.write_all(request);
    let _ = client.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    match client.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("the connection does not end"),
        // A reset.
        Err(_) => {}
    }
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{}", String::from_utf8_lossy(&answer));
});
