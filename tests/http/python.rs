//! Python's own client, which most scripts use.

use crate::fake::Daemon;
use std::process::Command;

const SCRIPT: &str = r#"
import sys, xmlrpc.client
server = xmlrpc.client.ServerProxy(sys.argv[1])
assert server.supervisor.getState() == {'statecode': 1, 'statename': 'RUNNING'}
assert [info['name'] for info in server.supervisor.getAllProcessInfo()] == ['a', 'b', 'x', 'y']
assert server.supervisor.startProcess('b', True) is True
assert server.supervisor.stopProcess('b', False) is True
assert server.supervisor.readProcessStdoutLog('a', 0, 0) == 'caf\xe9 \ufffd[0m\r\n \ufffd'
assert server.supervisor.tailProcessStdoutLog('a', 0, 4) == ['\r\n \ufffd', 14, True]
assert server.supervisor.update('g') == ([], ['g'], [])
assert server.supervisor.restartProcess('a') == (True, True)
calls = [{'methodName': 'supervisor.getPID', 'params': []}, {'methodName': 'supervisor.nope'}]
assert server.system.multicall(calls) == [4711, {'faultCode': 1, 'faultString': 'UNKNOWN_METHOD'}]
try:
    server.supervisor.startProcess('nope')
    raise AssertionError('no fault')
except xmlrpc.client.Fault as fault:
    assert (fault.faultCode, fault.faultString) == (10, 'BAD_NAME: nope')
try:
    xmlrpc.client.ServerProxy(sys.argv[1].replace('user:123@', '')).supervisor.getState()
    raise AssertionError('let in')
except xmlrpc.client.ProtocolError as error:
    assert error.errcode == 401
"#;

#[test]
fn pythons_client_understands_everything() {
    let mut daemon = Daemon::new();
    let address = daemon.on_tcp(Some(Daemon::credentials()));
    std::fs::write(daemon.log_of("a"), b"caf\xc3\xa9 \x1b[0m\r\n \xff").unwrap();
    let url = format!("http://user:123@{address}/RPC2");
    let output = Command::new("python3").args(["-c", SCRIPT, &url]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
