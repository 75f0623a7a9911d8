//! The interface against its description.

use crate::support::{Client, Side, Start, free_ports};
use crate::web::{PROGRAMS, json, start};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A command that `make prepare` installs for these tests.
pub fn tool(name: &str) -> PathBuf {
    let venv = std::env::var_os("TOOLS_VENV")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv-tools"), PathBuf::from);
    let path = venv.join("bin").join(name);
    assert!(path.exists(), "{} is missing: run `make prepare`, or set TOOLS_VENV", path.display());
    path
}

#[test]
fn every_answer_is_as_described() {
    let [port] = free_ports();
    // A program that was sent SIGSTOP does not hold up whoever stops it.
    let programs = PROGRAMS.replace("startsecs=0", "startsecs=0\nstopwaitsecs=1");
    let conf = format!("[inet_http_server]\nport=127.0.0.1:{port}\nusername=me\npassword=123\n{programs}");
    let daemon = Start::new(Side::under_test(), &conf).ready();
    // Whatever it is waiting for: not for ever.
    let mut command = Command::new("timeout");
    command.arg("400").arg(tool("st"));
    command
        .current_dir(daemon.directory())
        .arg("run")
        .arg(format!("http://127.0.0.1:{port}/api/v1/openapi.json"))
        .args(["--auth", "me:123", "--phases", "examples,coverage,fuzzing", "--max-examples", "2"])
        // What never ends, what ends the daemon, and what starts any number of processes is tried elsewhere.
        .args(["--exclude-path-regex", "(/follow|/events|/scale|/daemon/(shutdown|restart|reload))$"])
        // One worker: with two, what generates the values fails now and then in Python's own parser.
        .args(["--generation-deterministic", "--request-timeout", "60", "--workers", "1", "--no-color"])
        // A busy machine is no reason to give up.
        .args(["--suppress-health-check", "all"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_description_names_every_path_there_is() {
    let daemon = start("");
    let description = json(&daemon, "/api/v1/openapi.json");
    let mut undescribed = BTreeSet::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        let concrete = path
            .replace("{namespec}", "web")
            .replace("{group}", "web")
            .replace("{stream}", "stdout")
            .replace("{program}", "web");
        for method in ["get", "post", "put", "delete"] {
            let is_described = operations.get(method).is_some();
            if is_described && (method == "post" || path.ends_with("follow") || path.ends_with("events")) {
                continue;
            }
            let mut client = Client::unix(&daemon.path("s.sock"));
            let method = method.to_uppercase();
            client.send(format!("{method} {concrete} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"));
            let status = client.response().unwrap().status;
            if is_described != (status == 200) || !is_described && status != 405 {
                undescribed.insert(format!("{method} {path}: {status}"));
            }
        }
    }
    assert_eq!(undescribed, BTreeSet::new());
}
