//! What calls do and are answered with: arguments, faults, every edge of reading logs, multicall.

use crate::support::post;
use crate::{Row, both, check, ours};

fn string(text: &str) -> String {
    format!("<string>{text}</string>")
}

fn int(number: i64) -> String {
    format!("<int>{number}</int>")
}

fn array(values: &[String]) -> String {
    let values: String = values.iter().map(|value| format!("<value>{value}</value>")).collect();
    format!("<array><data>{values}</data></array>")
}

fn call(method: &str, values: &[String]) -> Vec<u8> {
    let params: String =
        values.iter().map(|value| format!("<param><value>{value}</value></param>")).collect();
    post(&format!("<methodCall><methodName>{method}</methodName><params>{params}</params></methodCall>"))
}

fn multicall(calls: &[&str]) -> Vec<u8> {
    let calls: String = calls.iter().map(|call| format!("<value>{call}</value>")).collect();
    call("system.multicall", &[format!("<array><data>{calls}</data></array>")])
}

/// A call inside a multicall, with its parameters as XML.
fn element(method: &str, params: &str) -> String {
    format!(
        "<struct><member><name>methodName</name><value>{method}</value></member><member><name>params</name><value>\
         <array><data>{params}</data></array></value></member></struct>"
    )
}

fn log_rows() -> Vec<Row> {
    let read =
        |offset, length| call("supervisor.readProcessStdoutLog", &[string("idle"), int(offset), int(length)]);
    let tail =
        |offset, length| call("supervisor.tailProcessStdoutLog", &[string("idle"), int(offset), int(length)]);
    let mut rows = Vec::new();
    for (offset, length, answer) in [
        (0, 4, "'0123'"),
        (4, 0, "'456789'"),
        (8, 100, "'89'"),
        (10, 0, "''"),
        (100, 5, "''"),
        (-4, 0, "'6789'"),
        (-100, 0, "'0123456789'"),
        (0, 0, "'0123456789'"),
        (-4, 1, "fault 3 BAD_ARGUMENTS"),
        (0, -1, "fault 3 BAD_ARGUMENTS"),
        (-1, -1, "fault 3 BAD_ARGUMENTS"),
    ] {
        rows.push(both(read(offset, length), answer));
    }
    for (offset, length, answer) in [
        (0, 0, "['',#10,true]"),
        (0, 4, "['6789',#10,true]"),
        (0, 10, "['0123456789',#10,false]"),
        (0, 20, "['0123456789',#10,false]"),
        (4, 3, "['789',#10,true]"),
        (4, 6, "['456789',#10,false]"),
        (4, 100, "['0123456789',#10,false]"),
        (9, 1, "['9',#10,false]"),
        (8, 1, "['9',#10,true]"),
        (10, 5, "['',#10,false]"),
        (100, 5, "['',#10,false]"),
        (10, 0, "['',#10,false]"),
        (-4, 2, "['89',#10,true]"),
        (0, -1, "['',#10,true]"),
    ] {
        rows.push(both(tail(offset, length), &answer.replace(',', "")));
    }
    let read_of = |method: &str, values: &[String]| call(&format!("supervisor.{method}"), values);
    let zeros = |name: &str| [string(name), int(0), int(0)];
    rows.extend([
        both(read_of("readProcessLog", &[string("idle"), string("2"), string(" 3 ")]), "'234'"),
        both(
            read_of(
                "readProcessLog",
                &[string("idle"), "<double>2.9</double>".into(), "<boolean>1</boolean>".into()],
            ),
            "'2'",
        ),
        both(read_of("tailProcessLog", &[string("idle"), int(0), int(2)]), "['89'#10true]"),
        both(read_of("readProcessStderrLog", &zeros("cat")), "fault 20 NO_FILE"),
        both(read_of("readProcessStderrLog", &zeros("idle")), "fault 20 NO_FILE"),
        both(read_of("tailProcessStderrLog", &zeros("cat")), "[''#0false]"),
        both(read_of("readProcessStdoutLog", &zeros("missing")), "fault 20 NO_FILE: DIR/missing.log"),
        both(read_of("tailProcessStdoutLog", &[string("missing"), int(7), int(1)]), "[''#0false]"),
        both(read_of("readProcessStdoutLog", &zeros("nope")), "fault 10 BAD_NAME: nope"),
        both(read_of("readProcessStdoutLog", &zeros("multi:*")), "fault 10 BAD_NAME: multi:*"),
        both(read_of("tailProcessStdoutLog", &zeros("nope")), "fault 10 BAD_NAME: nope"),
        both(read_of("readProcessStdoutLog", &[string("idle")]), "fault 2 INCORRECT_PARAMETERS"),
        both(read_of("readLog", &[int(0), int(-1)]), "fault 3 BAD_ARGUMENTS"),
        ours(read_of("readLog", &[string("x"), int(0)]), "500", "fault 2 INCORRECT_PARAMETERS"),
        ours(
            read_of("readProcessStdoutLog", &[string("idle"), string("x"), int(0)]),
            "500",
            "fault 2 INCORRECT_PARAMETERS",
        ),
    ]);
    rows
}

fn call_rows() -> Vec<Row> {
    let incorrect = "fault 2 INCORRECT_PARAMETERS";
    let of = |method: &str, values: &[String]| call(&format!("supervisor.{method}"), values);
    let no = || string("nope");
    let everyone =
        ["m0", "m1"].map(|name| format!("{{name='{name}';group='multi';status=#80;description='OK';}}"));
    let bulk = format!("[{}]", everyone.concat());
    let unknown = bulk.replace("#80", "#11").replace("OK", "BAD_SIGNAL: NOPE");
    vec![
        both(of("getAPIVersion", &[]), "'3.0'"),
        both(of("getVersion", &[]), "'3.0'"),
        both(of("getIdentification", &[]), "'supervisor'"),
        both(of("getState", &[]), "{statecode=#1;statename='RUNNING';}"),
        both(of("getState", &[int(1)]), incorrect),
        both(of("getProcessInfo", &[no()]), "fault 10 BAD_NAME: nope"),
        both(of("getProcessInfo", &[string("multi")]), "fault 10 BAD_NAME: multi"),
        both(of("getProcessInfo", &[string("multi:*")]), "fault 10 BAD_NAME: multi:*"),
        both(of("getProcessInfo", &[string("multi:")]), "fault 10 BAD_NAME: multi:"),
        both(of("getProcessInfo", &[string("*")]), "fault 10 BAD_NAME: *"),
        both(of("getProcessInfo", &[]), incorrect),
        both(of("startProcess", &[string("cat")]), "fault 60 ALREADY_STARTED: cat"),
        both(
            of("startProcess", &[string("missing")]),
            "fault 20 NO_FILE: can't find command '/nonexistent/program'",
        ),
        both(of("startProcess", &[no()]), "fault 10 BAD_NAME: nope"),
        both(of("startProcessGroup", &[no()]), "fault 10 BAD_NAME: nope"),
        both(of("startProcessGroup", &[string("multi")]), "[]"),
        both(of("stopProcess", &[string("idle")]), "fault 70 NOT_RUNNING: idle"),
        both(of("stopProcess", &[no()]), "fault 10 BAD_NAME: nope"),
        both(of("stopProcessGroup", &[no()]), "fault 10 BAD_NAME: nope"),
        both(of("signalProcess", &[string("cat"), string("CONT")]), "true"),
        both(of("signalProcess", &[string("cat"), string(" sigcont ")]), "true"),
        both(of("signalProcess", &[string("cat"), int(18)]), "true"),
        both(of("signalProcess", &[string("cat"), string("18")]), "true"),
        both(of("signalProcess", &[string("cat"), string("NOPE")]), "fault 11 BAD_SIGNAL: NOPE"),
        both(of("signalProcess", &[string("idle"), string("NOPE")]), "fault 11 BAD_SIGNAL: NOPE"),
        both(of("signalProcess", &[no(), string("NOPE")]), "fault 10 BAD_NAME: nope"),
        both(of("signalProcess", &[string("idle"), string("CONT")]), "fault 70 NOT_RUNNING: idle"),
        both(of("signalProcess", &[string("multi:*"), string("CONT")]), &bulk),
        both(of("signalProcessGroup", &[string("multi"), string("CONT")]), &bulk),
        both(of("signalProcessGroup", &[string("multi"), string("NOPE")]), &unknown),
        both(of("signalProcess", &[string("multi:*"), string("NOPE")]), &unknown),
        both(of("signalProcessGroup", &[string("idle"), string("NOPE")]), "[]"),
        both(of("signalProcessGroup", &[no(), string("NOPE")]), "fault 10 BAD_NAME: nope"),
        both(of("addProcessGroup", &[string("cat")]), "fault 90 ALREADY_ADDED: cat"),
        both(of("addProcessGroup", &[no()]), "fault 10 BAD_NAME: nope"),
        both(of("removeProcessGroup", &[string("cat")]), "fault 91 STILL_RUNNING: cat"),
        both(of("removeProcessGroup", &[no()]), "fault 10 BAD_NAME: nope"),
        both(of("reloadConfig", &[]), "[[[][][]]]"),
        both(of("clearProcessLogs", &[no()]), "fault 10 BAD_NAME: nope"),
        both(of("sendProcessStdin", &[no(), string("x")]), "fault 10 BAD_NAME: nope"),
        both(of("sendProcessStdin", &[string("idle"), string("x")]), "fault 70 NOT_RUNNING: idle"),
        both(of("sendProcessStdin", &[string("cat"), string("x\n")]), "true"),
        both(of("sendProcessStdin", &[string("cat"), int(5)]), "fault 2 INCORRECT_PARAMETERS: 5"),
        both(of("sendRemoteCommEvent", &[string("a"), string("b")]), "true"),
        both(of("sendRemoteCommEvent", &[int(1), "<array><data/></array>".into()]), "true"),
        both(of("nope", &[]), "fault 1 UNKNOWN_METHOD"),
        both(call("system.methodHelp", &[no()]), "fault 4 SIGNATURE_UNSUPPORTED"),
        both(call("system.methodHelp", &[int(1)]), "fault 4 SIGNATURE_UNSUPPORTED"),
        both(
            call("system.methodSignature", &[string("supervisor.tailProcessLog")]),
            "['array''string''int''int']",
        ),
        both(call("system.methodSignature", &[string("system.multicall")]), "['array''array']"),
        both(call("system.methodSignature", &[]), incorrect),
        // stop and start, waiting in order
        both(of("stopProcess", &[string("multi:m0")]), "true"),
        both(of("stopProcess", &[string("multi:m0")]), "fault 70 NOT_RUNNING: multi:m0"),
        both(of("startProcess", &[string("multi:m0"), "<boolean>0</boolean>".into()]), "true"),
        both(of("startProcess", &[string("multi:m0")]), "fault 60 ALREADY_STARTED: multi:m0"),
    ]
}

/// The methods of our own namespace, which the original does not have.
fn own_rows() -> Vec<Row> {
    let own = |method: &str, values: &[String], answer: &str| {
        ours(call(&format!("supervisord.{method}"), values), "fault 1 UNKNOWN_METHOD", answer)
    };
    let incorrect = "fault 2 INCORRECT_PARAMETERS";
    let mut rows = vec![
        own("startProcessAlone", &[string("nope")], "fault 10 BAD_NAME: nope"),
        own("startProcessAlone", &[string("cat")], "fault 60 ALREADY_STARTED: cat"),
        own(
            "startProcessAlone",
            &[string("missing")],
            "fault 20 NO_FILE: can't find command '/nonexistent/program'",
        ),
        own("startProcessAlone", &[], incorrect),
        own("stopProcessWithDependents", &[string("idle")], "fault 70 NOT_RUNNING: idle"),
        own("stopProcessWithDependents", &[string("nope:*")], "fault 10 BAD_NAME: nope:*"),
        own("stopProcessWithDependents", &[], incorrect),
        own("runProcess", &[string("cat")], "fault 60 ALREADY_STARTED: cat"),
        own("runProcess", &[string("nope")], "fault 10 BAD_NAME: nope"),
        own("runProcess", &[string("idle"), string("x")], incorrect),
        own("runProcess", &[string("multi:*")], incorrect),
        own("runProcess", &[], incorrect),
        own("getHealth", &[string("cat")], "[{group='cat';name='cat';health='running';reason='';}]"),
        own("getHealth", &[string("idle")], "[{group='idle';name='idle';health='stopped';reason='';}]"),
        own("getHealth", &[string("nope")], "fault 10 BAD_NAME: nope"),
        own("getHealth", &[string("cat"), string("idle")], incorrect),
        own("getDependencies", &[], "[]"),
        own("getDependencies", &[string("cat")], "[]"),
        own("getDependencies", &[int(1)], incorrect),
        own("getDependencies", &[string("nope")], "fault 10 BAD_NAME: nope"),
        own("getLife", &[], "[]"),
        own("getLife", &[string("nope")], "fault 10 BAD_NAME: nope"),
        own("scale", &[array(&[string("nope=2")])], "fault 10 BAD_NAME: nope"),
        own(
            "scale",
            &[array(&[string("cat")])],
            "fault 2 INCORRECT_PARAMETERS: \"cat\" is not NAME=NUMBER, NAME=+NUMBER or NAME=-NUMBER",
        ),
        own("scale", &[array(&[])], incorrect),
        own("scale", &[string("cat=2")], incorrect),
        own("scale", &[], incorrect),
        own(
            "scale",
            &[array(&[string("cat=+0")])],
            "{programs=[{program='cat';before=#1;now=#1;configured=#1;}];groups=[];kept='until_end';problem='';}",
        ),
        own(
            "getPrograms",
            &[array(&[string("cat")])],
            "[{program='cat';groups='cat';configured=#1;wanted=#1;processes=#1;kept='';}]",
        ),
        own("getPrograms", &[array(&[string("nope")])], "fault 10 BAD_NAME: nope"),
        own("getPrograms", &[int(1)], incorrect),
        own(
            "enable",
            &[array(&[string("cat")])],
            "{names=[{name='cat';}];processes=[{name='cat';}];kept='until_end';problem='';}",
        ),
        own("disable", &[array(&[string("cat"), string("nope:*")])], "fault 10 BAD_NAME: nope:*"),
        own("disable", &[array(&[])], incorrect),
        own("enable", &[string("cat")], incorrect),
        own("getUsage", &[string("nope")], "fault 10 BAD_NAME: nope"),
        own("getUsage", &[int(1)], incorrect),
        own(
            "updateGroups",
            &["<array><data><value><string>nope</string></value></data></array>".to_string()],
            "fault 10 BAD_NAME: nope",
        ),
        own("updateGroups", &[int(1)], incorrect),
        own("previewUpdate", &[], "[]"),
        own("takeConfiguration", &[string("nope")], "fault 10 BAD_NAME: nope"),
    ];
    for (method, signature) in [
        ("startProcessAlone", "['boolean''string''boolean']"),
        ("stopProcessWithDependents", "['boolean''string''boolean']"),
        ("runProcess", "['struct''string''array']"),
        ("getHealth", "['array''string']"),
        ("getDependencies", "['array''string']"),
        ("getLife", "['array''string']"),
        ("scale", "['struct''array''boolean']"),
        ("getPrograms", "['array''array']"),
        ("enable", "['struct''array']"),
        ("disable", "['struct''array']"),
        ("getUsage", "['array''string']"),
        ("updateGroups", "['array''array''boolean']"),
        ("previewUpdate", "['array']"),
        ("takeConfiguration", "['boolean''string']"),
    ] {
        let name = string(&format!("supervisord.{method}"));
        rows.push(ours(call("system.methodSignature", &[name]), "fault 4 SIGNATURE_UNSUPPORTED", signature));
    }
    rows
}

fn multicall_rows() -> Vec<Row> {
    let version = element("supervisor.getAPIVersion", "");
    let nope = element("supervisor.getProcessInfo", "<value>nope</value>");
    let fault = |code: i32, text: &str| format!("{{faultCode=#{code};faultString='{text}';}}");
    let incorrect = "fault 2 INCORRECT_PARAMETERS";
    vec![
        both(multicall(&[]), "[]"),
        both(
            multicall(&[&version, &nope, &element("nope", "")]),
            &format!("['3.0'{}{}]", fault(10, "BAD_NAME: nope"), fault(1, "UNKNOWN_METHOD")),
        ),
        both(
            multicall(&[
                &element("supervisor.stopProcess", "<value>cat</value>"),
                &element("supervisor.startProcess", "<value>cat</value>"),
                &element("supervisor.startProcess", "<value>cat</value>"),
            ]),
            &format!("[truetrue{}]", fault(60, "ALREADY_STARTED: cat")),
        ),
        both(
            multicall(&[&element("system.multicall", "")]),
            &format!("[{}]", fault(2, "INCORRECT_PARAMETERS: Recursive system.multicall forbidden")),
        ),
        both(multicall(&["<struct/>"]), &format!("[{}]", fault(2, "INCORRECT_PARAMETERS: No methodName"))),
        both(
            multicall(&[
                "<struct><member><name>methodName</name><value>supervisor.getAPIVersion</value></member></struct>",
            ]),
            "['3.0']",
        ),
        both(
            multicall(&[&element("supervisor.startProcess", "")]),
            &format!("[{}]", fault(2, "INCORRECT_PARAMETERS")),
        ),
        both(call("system.multicall", &[int(1)]), incorrect),
        both(call("system.multicall", &[]), incorrect),
        ours(call("system.multicall", &[string("x")]), "500", incorrect),
        ours(multicall(&["x"]), "500", &format!("[{}]", fault(2, "INCORRECT_PARAMETERS"))),
    ]
}

#[test]
fn logs_are_read_alike() {
    check(&log_rows());
}

#[test]
fn calls_are_answered_alike() {
    check(&call_rows());
}

#[test]
fn what_the_original_does_not_have_is_answered_by_ours_alone() {
    check(&own_rows());
}

#[test]
fn multicalls_are_answered_alike() {
    check(&multicall_rows());
}
