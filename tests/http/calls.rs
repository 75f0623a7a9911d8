//! Calls and their results.

use crate::fake::Daemon;
use crate::support::Client;
use supervisord::rpc::wire::Value;

fn text(text: &str) -> Value {
    Value::String(text.to_string())
}

fn strings(texts: &[&str]) -> Value {
    Value::Array(texts.iter().map(|name| text(name)).collect())
}

/// What a call answers, faults as `code text`.
fn answer(client: &mut Client, method: &str, params: &[Value]) -> String {
    match client.call(method, params) {
        Ok(value) => format!("{value:?}"),
        Err(fault) => format!("{} {}", fault.code(), fault.string()),
    }
}

#[test]
fn every_method_answers() {
    let mut daemon = Daemon::new();
    let mut client = Client::unix(&daemon.on_unix(None));
    std::fs::write(daemon.log_of("a"), "0123456789").unwrap();
    let int = Value::Integer;
    let done = format!("{:?}", Value::Boolean(true));
    let nothing = format!("{:?}", Value::Array(Vec::new()));
    for (method, params, expected) in [
        ("supervisor.getAPIVersion", vec![], format!("{:?}", text("3.0"))),
        ("supervisor.getVersion", vec![], format!("{:?}", text("3.0"))),
        ("supervisor.getSupervisorVersion", vec![], format!("{:?}", text("4.3.0"))),
        ("supervisor.getIdentification", vec![], format!("{:?}", text("supervisor"))),
        ("supervisor.getPID", vec![], format!("{:?}", int(4711))),
        ("supervisor.startProcess", vec![text("b")], done.clone()),
        ("supervisor.startProcess", vec![text("b")], "60 ALREADY_STARTED: b".into()),
        ("supervisor.stopProcess", vec![text("b"), Value::Boolean(false)], done.clone()),
        ("supervisor.stopProcess", vec![text("b"), int(1)], "70 NOT_RUNNING: b".into()),
        ("supervisor.startProcess", vec![text("nope")], "10 BAD_NAME: nope".into()),
        ("supervisor.startProcess", vec![], "2 INCORRECT_PARAMETERS".into()),
        ("supervisor.startProcess", vec![int(1)], "2 INCORRECT_PARAMETERS".into()),
        ("supervisor.startProcess", vec![text("b"), int(1), int(1)], "2 INCORRECT_PARAMETERS".into()),
        ("supervisor.signalProcess", vec![text("a"), text("USR1")], done.clone()),
        ("supervisor.signalProcess", vec![text("a"), int(15)], done.clone()),
        ("supervisor.signalProcess", vec![text("a"), text("FOO")], "11 BAD_SIGNAL: FOO".into()),
        ("supervisor.signalProcess", vec![text("b"), text("FOO")], "11 BAD_SIGNAL: FOO".into()),
        ("supervisor.signalProcess", vec![text("no"), text("FOO")], "10 BAD_NAME: no".into()),
        ("supervisor.getProcessInfo", vec![text("g:*")], "10 BAD_NAME: g:*".into()),
        ("supervisor.readProcessStdoutLog", vec![text("a"), int(-4), int(0)], format!("{:?}", text("6789"))),
        ("supervisor.readProcessLog", vec![text("a"), text("4"), int(3)], format!("{:?}", text("456"))),
        ("supervisor.readProcessStdoutLog", vec![text("a"), int(0), int(-1)], "3 BAD_ARGUMENTS".into()),
        ("supervisor.readProcessStderrLog", vec![text("a"), int(0), int(0)], "20 NO_FILE".into()),
        (
            "supervisor.readProcessStdoutLog",
            vec![text("b"), int(0), int(-1)],
            format!("20 NO_FILE: {}", daemon.log_of("b").display()),
        ),
        (
            "supervisor.tailProcessStdoutLog",
            vec![text("a"), int(4), int(3)],
            format!("{:?}", Value::Array(vec![text("789"), int(10), Value::Boolean(true)])),
        ),
        (
            "supervisor.tailProcessStdoutLog",
            vec![text("b"), int(4), int(3)],
            format!("{:?}", Value::Array(vec![text(""), int(0), Value::Boolean(false)])),
        ),
        (
            "supervisor.reloadConfig",
            vec![],
            format!(
                "{:?}",
                Value::Array(vec![Value::Array(vec![strings(&["new"]), strings(&["g"]), strings(&[])])])
            ),
        ),
        ("supervisor.addProcessGroup", vec![text("no")], "10 BAD_NAME: no".into()),
        ("supervisor.removeProcessGroup", vec![text("a")], "91 STILL_RUNNING: a".into()),
        ("supervisor.sendProcessStdin", vec![text("a"), int(5)], "2 INCORRECT_PARAMETERS: 5".into()),
        ("supervisor.sendRemoteCommEvent", vec![int(1), Value::Array(vec![int(2)])], done.clone()),
        ("supervisor.clearAllProcessLogs", vec![], nothing.clone()),
        ("supervisor.shutdown", vec![], done.clone()),
        ("supervisor.nope", vec![], "1 UNKNOWN_METHOD".into()),
        ("system.methodSignature", vec![text("supervisor.getState")], format!("{:?}", strings(&["struct"]))),
        ("system.methodSignature", vec![text("nope")], "4 SIGNATURE_UNSUPPORTED".into()),
        ("system.methodHelp", vec![int(1)], "4 SIGNATURE_UNSUPPORTED".into()),
        ("system.multicall", vec![Value::Array(vec![])], nothing),
        ("system.multicall", vec![int(1)], "2 INCORRECT_PARAMETERS".into()),
    ] {
        assert_eq!(answer(&mut client, method, &params), expected, "{method} {params:?}");
    }
}

fn member(name: &str, value: Value) -> (String, Value) {
    (name.to_string(), value)
}

#[test]
fn a_multicall_collects_bare_results_and_faults_in_order() {
    let mut daemon = Daemon::new();
    let mut client = Client::tcp(daemon.on_tcp(None));
    std::fs::write(daemon.log_of("a"), "0123456789").unwrap();
    let call = |method: &str, params: Option<Vec<Value>>| {
        let params = params.map(|params| member("params", Value::Array(params)));
        Value::Struct([member("methodName", text(method))].into_iter().chain(params).collect())
    };
    let calls = vec![
        call("supervisor.stopProcess", Some(vec![text("a")])),
        call("supervisor.startProcess", Some(vec![text("a")])),
        call("supervisor.getPID", None),
        call("supervisor.startProcess", Some(vec![text("nope")])),
        call("system.multicall", Some(vec![Value::Array(vec![])])),
        Value::Struct(Default::default()),
        Value::Integer(1),
        call("supervisor.readProcessLog", Some(vec![text("a"), Value::Integer(8), Value::Integer(0)])),
    ];
    let fault = |code: i32, message: &str| {
        Value::Struct(
            [member("faultCode", Value::Integer(code)), member("faultString", text(message))].into(),
        )
    };
    assert_eq!(
        client.call("system.multicall", &[Value::Array(calls)]),
        Ok(Value::Array(vec![
            Value::Boolean(true),
            Value::Boolean(true),
            Value::Integer(4711),
            fault(10, "BAD_NAME: nope"),
            fault(2, "INCORRECT_PARAMETERS: Recursive system.multicall forbidden"),
            fault(2, "INCORRECT_PARAMETERS: No methodName"),
            fault(2, "INCORRECT_PARAMETERS"),
            text("89"),
        ]))
    );
}
