//! Clients of other languages, which `make prepare` installs: Debian's `libxmlrpc-core-c3-dev` for C, and the
//! package `xmlrpc` from npm, beside this file in `npm/`.

use crate::fake::Daemon;
use std::path::Path;
use std::process::Command;

/// What both programs print about a daemon of ours.
const EXPECTED: &str = "1 RUNNING\n4 processes\nfault 10 BAD_NAME: nope\nstarted\nlog <\u{e9}> \u{fffd}\n";

const C: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <xmlrpc-c/base.h>
#include <xmlrpc-c/client.h>

static xmlrpc_env env;

static void must(void) {
    if (env.fault_occurred) {
        printf("failed: %s\n", env.fault_string);
        exit(1);
    }
}

int main(int argc, char **argv) {
    const char *url = argv[1], *name, *log;
    int code;
    xmlrpc_bool started;
    xmlrpc_value *result;
    xmlrpc_env_init(&env);
    xmlrpc_client_init2(&env, XMLRPC_CLIENT_NO_FLAGS, "test", "1", NULL, 0);
    must();
    result = xmlrpc_client_call(&env, url, "supervisor.getState", "()");
    must();
    xmlrpc_decompose_value(&env, result, "{s:i,s:s,*}", "statecode", &code, "statename", &name);
    must();
    printf("%d %s\n", code, name);
    result = xmlrpc_client_call(&env, url, "supervisor.getAllProcessInfo", "()");
    must();
    printf("%d processes\n", xmlrpc_array_size(&env, result));
    xmlrpc_client_call(&env, url, "supervisor.startProcess", "(sb)", "nope", 1);
    const char *fault = env.fault_string;
    /* The library puts words of its own in front. */
    for (const char *at = fault; *at; at++)
        if (at[0] == 'B' && at[1] == 'A' && at[2] == 'D') fault = at;
    printf("fault %d %s\n", env.fault_code, fault);
    xmlrpc_env_clean(&env);
    xmlrpc_env_init(&env);
    result = xmlrpc_client_call(&env, url, "supervisor.startProcess", "(sb)", "b", 1);
    must();
    xmlrpc_read_bool(&env, result, &started);
    printf(started ? "started\n" : "not started\n");
    result = xmlrpc_client_call(&env, url, "supervisor.readProcessStdoutLog", "(sii)", "a", 0, 0);
    must();
    xmlrpc_read_string(&env, result, &log);
    must();
    printf("%s", log);
    return 0;
}
"#;

const JAVASCRIPT: &str = r#"
const url = new URL(process.argv[1]);
const client = require('xmlrpc').createClient({ host: url.hostname, port: url.port, path: url.pathname });
const call = (method, params) => new Promise((resolve) => {
    client.methodCall(method, params, (error, value) => {
        resolve(error ? `fault ${error.faultCode} ${error.faultString}` : value);
    });
});
(async () => {
    const state = await call('supervisor.getState', []);
    console.log(`${state.statecode} ${state.statename}`);
    console.log(`${(await call('supervisor.getAllProcessInfo', [])).length} processes`);
    console.log(await call('supervisor.startProcess', ['nope', true]));
    console.log(await call('supervisor.startProcess', ['b', true]) === true ? 'started' : 'not started');
    process.stdout.write(await call('supervisor.readProcessStdoutLog', ['a', 0, 0]));
})();
"#;

/// Runs a client against a daemon of its own.
#[track_caller]
fn check(client: impl FnOnce(&Path) -> Command) {
    let mut daemon = Daemon::new();
    let address = daemon.on_tcp(None);
    std::fs::write(daemon.log_of("a"), b"log <\xc3\xa9> \x07\n").unwrap();
    let mut client = client(daemon.dir.path());
    let output = client.arg(format!("http://{address}/RPC2")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said, EXPECTED, "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_compiled_client_understands_everything() {
    check(|dir| {
        let (source, program) = (dir.join("client.c"), dir.join("client"));
        std::fs::write(&source, C).unwrap();
        let libraries = ["-lxmlrpc_client", "-lxmlrpc", "-lxmlrpc_util"];
        let compiled =
            Command::new("cc").arg(&source).arg("-o").arg(&program).args(libraries).output().unwrap();
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        Command::new(program)
    });
}

#[test]
fn a_client_from_npm_understands_everything() {
    check(|_| {
        let mut node = Command::new("node");
        node.args(["-e", JAVASCRIPT]);
        node.env("NODE_PATH", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/http/npm/node_modules"));
        node
    });
}
