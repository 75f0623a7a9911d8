//! What is understood of XML.

use crate::support::post;
use crate::{Row, both, check, ours};

/// A call of `startProcess`, whose first argument is quoted in the fault.
fn start(params: &str) -> Vec<u8> {
    post(&format!(
        "<?xml version='1.0'?><methodCall><methodName>supervisor.startProcess</methodName><params>{params}</params>\
         </methodCall>"
    ))
}

fn values(values: &[&str]) -> Vec<u8> {
    let param = |value: &&str| format!("<param><value>{value}</value></param>");
    start(&values.iter().map(param).collect::<String>())
}

fn rows() -> Vec<Row> {
    let nope = "fault 10 BAD_NAME: nope";
    let incorrect = "fault 2 INCORRECT_PARAMETERS";
    let version = "<methodName>supervisor.getAPIVersion</methodName>";
    let call = |inside: &str| post(&format!("<methodCall>{inside}</methodCall>"));
    let waiting = |value: &str| values(&["nope", value]);
    vec![
        both(values(&["nope"]), nope),
        both(values(&["<string>nope</string>"]), nope),
        both(values(&["\n <string>nope</string>\n"]), nope),
        both(values(&[" nope "]), "fault 10 BAD_NAME:  nope "),
        both(values(&["<![CDATA[no]]>pe"]), nope),
        both(values(&["<string>no<!-- x -->pe</string>"]), nope),
        both(values(&["<string>n&#111;p&#x65;</string>"]), nope),
        both(values(&["<string>a&amp;b</string>"]), "fault 10 BAD_NAME: a&amp;b"),
        both(values(&["<base64>\nbm9w\nZQ==\n</base64>"]), nope),
        both(values(&["<unknown>nope</unknown>"]), nope),
        both(values(&["<STRING>nope</STRING>"]), nope),
        both(values(&["<string x='>'>nope</string>"]), nope),
        both(values(&[""]), "fault 10 BAD_NAME: "),
        both(values(&["<string/>"]), "fault 10 BAD_NAME: "),
        both(start("<param><value/></param>"), "fault 10 BAD_NAME: "),
        both(start("<param/>"), "400"),
        both(start(""), incorrect),
        both(start("junk<param><value>nope</value></param>junk"), nope),
        both(waiting("<boolean>1</boolean>"), nope),
        both(waiting("<boolean> 1 </boolean>"), nope),
        both(waiting("<boolean>true</boolean>"), nope),
        ours(waiting("<boolean>2</boolean>"), nope, "400"),
        both(waiting("<int> 1 </int>"), nope),
        both(waiting("<i4>+1</i4>"), nope),
        both(waiting("<i1>1</i1>"), nope),
        both(waiting("<int>99999999999</int>"), nope),
        both(waiting("<biginteger>1</biginteger>"), nope),
        both(waiting("<int>x</int>"), "400"),
        both(waiting("<int></int>"), "400"),
        both(waiting("<double>1.5</double>"), nope),
        both(waiting("<float>1.5</float>"), nope),
        both(waiting("<double>x</double>"), "400"),
        both(waiting("<nil/>"), nope),
        both(waiting("<i8>1</i8>"), nope),
        both(values(&["<dateTime.iso8601>2026-01-01T00:00:00</dateTime.iso8601>"]), "400"),
        // Whatever is no name is an incorrect parameter, not an internal error.
        ours(values(&["<dateTime.iso8601>20260101T00:00:00</dateTime.iso8601>"]), "500", incorrect),
        ours(values(&["<int>1</int>"]), "500", incorrect),
        ours(values(&["<nil/>"]), "500", incorrect),
        ours(values(&["<struct/>"]), "500", incorrect),
        ours(values(&["<array><data/></array>"]), "500", incorrect),
        ours(values(&["<i8>1</i8>"]), "fault 10 BAD_NAME: 1", incorrect),
        ours(values(&["<base64>!!!</base64>"]), "fault 10 BAD_NAME: ", "400"),
        // What XML forbids.
        both(values(&["<string>n\u{1}</string>"]), "400"),
        both(values(&["<string>n&#1;</string>"]), "400"),
        both(values(&["<string>n\u{ffff}</string>"]), "400"),
        both(values(&["<string>&unknown;</string>"]), "400"),
        both(call(version), "'3.0'"),
        both(
            post(&format!(
                "\u{feff}<?xml version='1.0' encoding='latin1'?><methodCall>{version}</methodCall>"
            )),
            "'3.0'",
        ),
        both(post(&format!("<other xmlns:a='b'>{version}</other>")), "'3.0'"),
        both(post(&format!("<methodCall>{version}</methodCall>\n<!-- end -->\n")), "'3.0'"),
        both(call(&format!("<params/>{version}")), "'3.0'"),
        both(call(&format!("{version}<params></params>")), "'3.0'"),
        both(call("<methodName> supervisor.getAPIVersion </methodName>"), "fault 1 UNKNOWN_METHOD"),
        both(call("<methodName></methodName>"), "400"),
        both(call(""), "400"),
        both(post("nonsense"), "400"),
        both(post(&format!("<methodCall>{version}")), "400"),
        both(post(&format!("<methodCall>{version}</methodcall>")), "400"),
        both(post(&format!("<methodCall>{version}</methodCall>junk")), "400"),
        both(post(&format!("<methodCall>{version}</methodCall><more/>")), "400"),
        both(post(&format!("<methodCall a=b>{version}</methodCall>")), "400"),
        // Document types are refused whole; entities need them.
        ours(post(&format!("<!DOCTYPE methodCall><methodCall>{version}</methodCall>")), "'3.0'", "400"),
        ours(
            post(&format!("<!DOCTYPE a [<!ENTITY b 'c'>]><methodCall>{version}</methodCall>")),
            "'3.0'",
            "400",
        ),
        both(
            post(
                "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><methodCall><methodName>&b;</methodName></methodCall>",
            ),
            "400",
        ),
        // Method names lead to methods and nowhere else.
        both(call("<methodName>nope</methodName>"), "fault 1 UNKNOWN_METHOD"),
        both(
            call("<methodName>supervisor.supervisord.options.execve</methodName>"),
            "fault 1 UNKNOWN_METHOD",
        ),
        both(
            call("<methodName>supervisor.supervisord.options.warnings.linecache.os.system</methodName>"),
            "fault 1 UNKNOWN_METHOD",
        ),
        both(call("<methodName>supervisor._update</methodName>"), "fault 1 UNKNOWN_METHOD"),
        both(call("<methodName>supervisor.__class__</methodName>"), "fault 1 UNKNOWN_METHOD"),
        both(call("<methodName>supervisor.supervisord</methodName>"), "fault 1 UNKNOWN_METHOD"),
        both(call("<methodName>system._listMethods</methodName>"), "fault 1 UNKNOWN_METHOD"),
    ]
}

#[test]
fn xml_is_understood_alike() {
    check(&rows());
}
