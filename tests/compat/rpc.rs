//! The texts of answers, byte for byte: clients compare them, and some read them with regular expressions.

use crate::scenario::SIDES;
use crate::support::{Daemon, LONG, Side, Start, http, post};
use supervisord::model::state::ProcessState::{Exited, Running};

const CONF: &str = "
[program:cat]
command=cat
startsecs=0
stdout_logfile=%(here)s/cat.log
stderr_logfile=NONE
environment=A=\"<&>\"

[program:once]
command=/bin/sh -c 'printf \"a < b & c > d\"; exit 3'
startsecs=0
autorestart=false
redirect_stderr=true
stdout_logfile=%(here)s/once.log

[program:a]
command=sleep 1000
startsecs=0
autostart=false
stdout_logfile=NONE
stderr_logfile=NONE
exitcodes=0,2

[group:grp]
programs=a
";

/// A call whose arguments are given as XML.
fn call(method: &str, arguments: &[&str]) -> String {
    let params: String =
        arguments.iter().map(|value| format!("<param><value>{value}</value></param>")).collect();
    format!("<methodCall><methodName>{method}</methodName><params>{params}</params></methodCall>")
}

fn name(text: &str) -> String {
    format!("<string>{text}</string>")
}

/// What is asked, one after the other; the order matters.
fn calls() -> Vec<String> {
    let (cat, once, nope, log) = (name("cat"), name("once"), name("nope"), name("once"));
    let number = |number: i32| format!("<int>{number}</int>");
    let yes = "<boolean>1</boolean>".to_string();
    let multicall = |calls: &[(&str, &str)]| {
        let element = |(method, argument): &(&str, &str)| {
            format!(
                "<value><struct><member><name>methodName</name><value>{}</value></member><member><name>params</name>\
                 <value><array><data>{}</data></array></value></member></struct></value>",
                name(method),
                if argument.is_empty() {
                    String::new()
                } else {
                    format!("<value>{}</value>", name(argument))
                }
            )
        };
        let elements: String = calls.iter().map(element).collect();
        call("system.multicall", &[&format!("<array><data>{elements}</data></array>")])
    };
    vec![
        call("system.listMethods", &[]),
        call("system.methodSignature", &[&name("supervisor.startProcess")]),
        call("system.methodSignature", &[&name("supervisor.nope")]),
        call("supervisor.getAPIVersion", &[]),
        call("supervisor.getVersion", &[]),
        call("supervisor.getIdentification", &[]),
        call("supervisor.getState", &[]),
        call("supervisor.getPID", &[]),
        call("supervisor.getProcessInfo", &[&cat]),
        call("supervisor.getProcessInfo", &[&once]),
        call("supervisor.getProcessInfo", &[&name("grp:a")]),
        call("supervisor.getProcessInfo", &[&nope]),
        call("supervisor.getAllProcessInfo", &[]),
        call("supervisor.getAllConfigInfo", &[]),
        call("supervisor.startProcess", &[&cat]),
        call("supervisor.startProcess", &[&name("grp:a"), &yes]),
        call("supervisor.startProcessGroup", &[&name("grp")]),
        call("supervisor.stopProcess", &[&name("grp:*")]),
        call("supervisor.stopProcess", &[&name("grp:a")]),
        call("supervisor.startProcess", &[&nope, &yes]),
        call("supervisor.startProcess", &[]),
        call("supervisor.nope", &[]),
        call("nope", &[]),
        call("supervisor.signalProcess", &[&cat, &name("CONT")]),
        call("supervisor.signalProcess", &[&cat, &name("NOPE")]),
        call("supervisor.signalProcessGroup", &[&cat, &name("CONT")]),
        call("supervisor.signalAllProcesses", &[&name("CONT")]),
        call("supervisor.readProcessStdoutLog", &[&log, &number(0), &number(0)]),
        call("supervisor.readProcessStdoutLog", &[&log, &number(2), &number(5)]),
        call("supervisor.readProcessStdoutLog", &[&log, &number(-4), &number(1)]),
        call("supervisor.readProcessStdoutLog", &[&nope, &number(0), &number(0)]),
        call("supervisor.readProcessStderrLog", &[&log, &number(0), &number(0)]),
        call("supervisor.tailProcessStdoutLog", &[&log, &number(0), &number(5)]),
        call("supervisor.tailProcessStdoutLog", &[&log, &number(0), &number(500)]),
        call("supervisor.reloadConfig", &[]),
        call("supervisor.addProcessGroup", &[&cat]),
        call("supervisor.removeProcessGroup", &[&cat]),
        call("supervisor.removeProcessGroup", &[&nope]),
        multicall(&[("supervisor.getAPIVersion", ""), ("supervisor.getProcessInfo", "nope"), ("nope", "")]),
        multicall(&[("system.multicall", "")]),
        multicall(&[]),
        call("supervisor.stopProcess", &[&cat]),
        call("supervisor.stopProcess", &[&cat]),
        call("supervisor.stopAllProcesses", &[]),
        call("supervisor.shutdown", &[]),
    ]
}

/// Asks everything of one daemon.
fn ask(side: Side) -> Vec<String> {
    let mut daemon = Start::new(side, CONF).ready();
    daemon.wait_for_state("cat", Running, LONG);
    daemon.wait_for_state("once", Exited, LONG);
    let answers = calls().iter().map(|call| answer(&daemon, call)).collect();
    daemon.wait_exit();
    answers
}

fn answer(daemon: &Daemon, call: &str) -> String {
    match http(&daemon.address(), &post(call)) {
        Err(error) => format!("no answer: {error}"),
        Ok(reply) => {
            normalise(&format!("{}\n{}", reply.status, reply.text()), &daemon.directory().to_string_lossy())
        }
    }
}

/// Replaces what no two runs have in common: pids, times and the directory.
fn normalise(body: &str, directory: &str) -> String {
    let mut lines: Vec<String> = body.replace(directory, "DIRECTORY").lines().map(str::to_string).collect();
    for at in 1..lines.len() {
        let varies = ["<name>pid<", "<name>start<", "<name>stop<", "<name>now<"];
        if varies.iter().any(|name| lines[at - 1].starts_with(name))
            && lines[at] != "<value><int>0</int></value>"
        {
            lines[at] = "<value><int>NUMBER</int></value>".to_string();
        }
        if lines[at - 1].starts_with("<name>description<") {
            lines[at] = crate::transcript::normalise(&lines[at].replace(['<', '>'], " "), "-");
        }
    }
    // The answer of getPID is nothing but a number.
    if lines.len() <= 9 {
        lines.iter_mut().for_each(|line| {
            if line.starts_with("<value><int>") {
                *line = "<value><int>NUMBER</int></value>".to_string();
            }
        });
    }
    lines.join("\n")
}

/// There are more methods, and `autorestart` is in the configuration, as in the version after 4.3.
fn answers_the_same(call: &str, expected: &str, actual: &str) -> bool {
    if !["listMethods", "getAllConfigInfo"].iter().any(|name| call.contains(name)) {
        return expected == actual;
    }
    let mut actual = actual.lines();
    expected.lines().all(|expected| actual.any(|actual| actual == expected))
}

#[test]
fn answers_are_the_same_texts() {
    let (expected, played) = std::thread::scope(|scope| {
        let threads = SIDES.map(|side| scope.spawn(move || ask(side)));
        let expected = ask(Side::Original);
        (expected, threads.map(|thread| thread.join().expect("the calls broke off")))
    });
    for answers in played {
        let pairs = calls().into_iter().zip(expected.iter().zip(&answers));
        let differing: Vec<String> = pairs
            .filter(|(call, (expected, actual))| !answers_the_same(call, expected, actual))
            .map(|(call, (expected, actual))| {
                format!("---- {call}\n{expected}\n---- was answered with\n{actual}")
            })
            .collect();
        assert!(differing.is_empty(), "{} answers differ:\n{}", differing.len(), differing.join("\n"));
    }
}
