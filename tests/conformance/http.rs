//! What is understood of HTTP.

use crate::{Row, both, check, ours};

fn raw(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

fn request(method: &str, target: &str) -> Vec<u8> {
    raw(&format!("{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
}

const CALL: &str = "<methodCall><methodName>supervisor.getAPIVersion</methodName></methodCall>";

fn posted(headers: &str) -> Vec<u8> {
    raw(&format!("POST /RPC2 HTTP/1.1\r\nHost: x\r\n{headers}\r\n{CALL}"))
}

fn rows() -> Vec<Row> {
    let length = CALL.len();
    let answered = "'3.0'";
    vec![
        both(request("GET", "/ok.html"), "OK"),
        both(request("GET", "/nope"), "404"),
        both(request("GET", "/rpc2"), "404"),
        both(request("GET", "/RPC2"), "400"),
        both(request("PUT", "/RPC2"), "400"),
        both(request("DELETE", "/nope"), "400"),
        both(request("POST", "/logtail/cat"), "400"),
        both(request("GET", "/logtail/nope"), "404"),
        both(request("GET", "/logtail/cat/nope"), "404"),
        both(request("GET", "/logtail/cat/stderr"), "404"),
        both(request("GET", "/logtail/multi:*"), "404"),
        both(request("GET", "/logtail/multi"), "404"),
        both(request("GET", "/logtail/missing"), "404"),
        both(request("GET", "/../../../etc/passwd"), "404"),
        both(request("GET", "/%2e%2e/%2e%2e/etc/passwd"), "404"),
        both(request("GET", "http://x/ok.html"), "404"),
        // Whole path segments, and no internal error for an incomplete one.
        ours(request("GET", "/logtail"), "500", "404"),
        both(posted(&format!("Content-Length: {length}\r\n")), answered),
        both(posted(&format!("content-length: {length}\r\nContent-Type: nonsense\r\n")), answered),
        ours(posted(&format!("Content-Length:{length}\r\n")), "411", answered),
        both(posted(""), "411"),
        ours(posted("Content-Length: x\r\n"), "500", "400"),
        ours(
            raw(&format!(
                "POST /RPC2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{CALL}\r\n0\r\n\r\n"
            )),
            "411",
            answered,
        ),
        ours(posted(&format!("Content-Length: {length}\r\nContent-Length: 5\r\n")), answered, "400"),
        ours(raw("nonsense\r\n\r\n"), "silence", "400"),
        ours(raw("GET /ok.html HTTP/1.1\r\nHost: x\r\nA: \u{e9}\r\n\r\n"), "OK", "OK"),
        // RFC 9112: one name of the host, one line end.
        ours(raw("GET /ok.html HTTP/1.1\r\n\r\n"), "OK", "400"),
        ours(raw("GET /ok.html HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"), "OK", "400"),
        ours(raw("GET /ok.html HTTP/1.1\nHost: x\n\n"), "silence", "400"),
        both(raw("GET /ok.html HTTP/1.1\r\nHost:\r\n\r\n"), "OK"),
        both(raw("GET /ok.html HTTP/1.0\r\n\r\n"), "OK"),
        both(raw("\r\nGET /ok.html HTTP/1.1\r\nHost: x\r\n\r\n"), "OK"),
    ]
}

#[test]
fn http_is_understood_alike() {
    check(&rows());
}
