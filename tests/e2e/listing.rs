//! All processes at once: clients that ask at the same time are told the same, and never what was.

use crate::start;
use crate::support::{Daemon, flag, member, post, text};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use supervisord::model::state::ProcessState::{self, Running, Stopped};

/// More than a socket takes at once.
const CONF: &str = "
[program:p]
command=sleep 1000
process_name=%(program_name)s%(process_num)03d
numprocs=600
autostart=false
[program:q]
command=sleep 1000
startsecs=0
";

fn listed(daemon: &Daemon, name: &str) -> (ProcessState, i32) {
    let all = daemon.rows("supervisor.getAllProcessInfo");
    let info = all.iter().find(|info| member::<String>(info, "name") == name).unwrap();
    (ProcessState::from_code(member(info, "state")).unwrap(), member(info, "pid"))
}

/// Asks about everybody and waits for the beginning of the answer, the rest of which stays with the daemon.
fn slow_reader(daemon: &Daemon) -> UnixStream {
    let mut client = UnixStream::connect(daemon.path("s.sock")).unwrap();
    let call =
        "<?xml version='1.0'?><methodCall><methodName>supervisor.getAllProcessInfo</methodName></methodCall>";
    client.write_all(&post(call)).unwrap();
    client.read_exact(&mut [0]).unwrap();
    client
}

#[test]
fn what_clients_share_is_never_what_was() {
    let daemon = start(CONF);
    for _ in 0..10 {
        let reader = slow_reader(&daemon);
        daemon.call("supervisor.stopProcess", vec![text("q"), flag(true)]);
        assert_eq!(listed(&daemon, "q"), (Stopped, 0));
        drop(reader);
        let reader = slow_reader(&daemon);
        daemon.call("supervisor.startProcess", vec![text("q"), flag(true)]);
        assert_eq!(listed(&daemon, "q"), (Running, daemon.pid_of("q")));
        drop(reader);
    }
}
