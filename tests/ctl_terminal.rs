//! The client at a terminal.

mod ctl_support;
mod support;

use ctl_support::fake::{Fake, HARMLESS, HOSTILE, Reply, process, structure};
use ctl_support::ours;
use ctl_support::terminal::Terminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use supervisord::rpc::wire::Value;
use support::{LONG, text, until};

fn daemon() -> Fake {
    Fake::start(|method, _| match method {
        "supervisor.getVersion" => Reply::Fault(1, ""),
        "supervisor.getAllProcessInfo" => Reply::Value(Value::Array(vec![
            process("cat", "cat", 20, "RUNNING", "pid 4711, uptime 0:00:01"),
            process("web", "web_0", 200, "FATAL", "Exited too quickly (process log may have details)"),
        ])),
        "supervisor.getProcessInfo" => Reply::Value(process("cat", "cat", 20, "RUNNING", "")),
        "supervisor.getSupervisorVersion" => Reply::Value(text("9.8.7")),
        "supervisord.getUsage" => Reply::Value(Value::Array(vec![
            usage("small", 20, 1 << 20),
            usage("large", 20, 9 << 30),
            usage(HOSTILE, 20, 5 << 20),
        ])),
        // As Supervisor.
        "supervisord.getProcessHistory" => Reply::Fault(1, "UNKNOWN_METHOD"),
        "supervisor.startProcess" => {
            std::thread::sleep(std::time::Duration::from_millis(1500));
            Reply::Value(Value::Boolean(true))
        }
        _ => Reply::Value(Value::Boolean(true)),
    })
}

/// What a process uses that has as much memory, which is more than 32 bits can tell.
fn usage(name: &str, state: i32, memory: i64) -> Value {
    structure([
        ("group", text(name)),
        ("name", text(name)),
        ("state", Value::Integer(state)),
        ("statename", text("RUNNING")),
        ("pid", Value::Integer(4711)),
        ("memory_bytes", Value::Double(memory as f64)),
    ])
}

#[test]
fn top_sorts_and_acts_by_keys_and_leaves_the_terminal_as_it_was() {
    let fake = daemon();
    let mut top = ours(&fake.conf());
    let mut top = Terminal::start(top.args(["top", "--interval=0.2"]));
    top.expect("sorted by cpu");
    assert!(!top.echoes());
    top.send("m");
    top.expect("sorted by memory");
    let first = top.expect("small");
    assert!(
        first.contains("9.0G") && first.contains("]0;owned"),
        "the largest first, and nobody's sequences: {first:?}"
    );
    assert!(!first.contains("\x1b]0;owned"), "{first:?}");
    // Nothing is chosen: nothing happens.
    top.send("X");
    top.expect("choose a process first");
    top.send("\x1b[B");
    top.expect("\x1b[7mlarge");
    top.send("X");
    top.expect("stop large? y/n");
    top.send("n");
    top.expect("q end");
    assert!(!fake.take_calls().iter().any(|call| call.contains("stopProcess")), "no is no");
    top.send("X");
    top.expect("stop large? y/n");
    top.send("y");
    top.expect("stop large: done");
    assert!(fake.take_calls().iter().any(|call| call.contains("supervisor.stopProcess")));
    top.send("q");
    top.expect("\x1b[?1049l");
    assert_eq!(top.wait(), 0);
    // Ctrl-C leaves it in order, too.
    let mut top = ours(&fake.conf());
    let mut top = Terminal::start(top.arg("top"));
    top.expect("sorted by cpu");
    top.send("\x03");
    top.expect("\x1b[?1049l");
    assert_eq!(top.wait(), 0);
}

const PROMPT: &str = "supervisor> ";

#[test]
fn the_shell_completes_remembers_and_ends() {
    let fake = daemon();
    let mut shell = Terminal::start(&ours(&fake.conf()));
    shell.expect("cat  ");
    shell.expect(PROMPT);
    shell.send("vers\t\r");
    shell.expect("9.8.7");
    shell.expect(PROMPT);
    shell.send("stop we\t\t");
    let listed = shell.expect("web:*");
    assert!(listed.contains("web:web_0"), "{listed:?}");
    shell.send("web_0\r");
    shell.expect("web:web_0: stopped");
    shell.expect(PROMPT);
    // Up brings the line back.
    shell.send("\x1b[A\x1b[A\r");
    shell.expect("9.8.7");
    shell.expect(PROMPT);
    // Ctrl-D leaves.
    shell.send("\x04");
    assert_eq!(shell.wait(), 0);
    let history = fake.history();
    let lines: Vec<&str> = history.lines().skip(1).map(str::trim_end).collect();
    assert_eq!(lines, ["version", "stop web:web_0", "version"]);

    // The next shell knows it still; Ctrl-C at the prompt leaves as well.
    let mut shell = Terminal::start(&ours(&fake.conf()));
    shell.expect(PROMPT);
    shell.send("\x1b[A\r");
    shell.expect("9.8.7");
    shell.expect(PROMPT);
    shell.send("\x03");
    assert_eq!(shell.wait(), 0);
}

#[test]
fn a_reload_says_at_a_terminal_what_it_restarts() {
    let fake = daemon();
    let told =
        "reload restarts supervisord with the process that runs; update does not restart what did not change";
    let mut reload = ours(&fake.conf());
    let mut reload = Terminal::start(reload.arg("reload"));
    reload.expect(told);
    reload.expect("Restarted supervisord");
    assert_eq!(reload.wait(), 0);
    // In the shell it stands before the question.
    let mut shell = Terminal::start(&ours(&fake.conf()));
    shell.expect(PROMPT);
    shell.send("reload\r");
    shell.expect(told);
    shell.expect("Really restart the remote supervisord process y/N? ");
    shell.send("n\r");
    shell.expect(PROMPT);
    shell.send("\x04");
    assert_eq!(shell.wait(), 0);
    // Scripts hear nothing, and ask nothing more of the daemon.
    fake.take_calls();
    assert_eq!(fake.run("reload"), ("Restarted supervisord\n".to_string(), String::new(), 0));
    assert_eq!(fake.take_calls(), ["supervisor.restart()"]);
}

/// The name decides, wherever it comes from: here from a link.
#[test]
fn a_reload_as_supervisorctl_says_what_the_original_says() {
    let fake = daemon();
    let link = fake.conf().with_file_name("supervisorctl");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_supervisord"), &link).unwrap();
    let mut reload = std::process::Command::new(&link);
    let mut reload = Terminal::start(reload.arg("-c").arg(fake.conf()).arg("reload"));
    assert_eq!(reload.expect("Restarted supervisord"), "");
    assert_eq!(reload.wait(), 0);
}

#[test]
fn colours_are_for_the_shell_and_for_those_who_ask() {
    let fake = daemon();
    // Programs read what is printed at terminals of their own.
    let mut plain = ours(&fake.conf());
    let mut status = Terminal::start(plain.arg("status"));
    let shown = status.expect("(process log may have details)");
    assert!(!shown.contains('\x1b') && shown.contains("RUNNING   pid 4711"), "{shown:?}");
    assert_eq!(status.wait(), 3);
    let mut asked = ours(&fake.conf());
    let mut status = Terminal::start(asked.args(["--color=always", "status"]));
    status.expect("\x1b[32mRUNNING   \x1b[0mpid 4711");
    status.expect("\x1b[31mFATAL");
    assert_eq!(status.wait(), 3);
    // So is what Supervisor does not print.
    let mut ours_alone = ours(&fake.conf());
    Terminal::start(ours_alone.args(["why", "cat"])).expect("\x1b[32mRUNNING\x1b[0m");
    let mut shell = Terminal::start(&ours(&fake.conf()));
    shell.expect("\x1b[32mRUNNING   \x1b[0mpid 4711");
    shell.expect(PROMPT);
    for declined in [("NO_COLOR", ""), ("", "--color=never")] {
        let mut command = ours(&fake.conf());
        if declined.1.is_empty() {
            command.env(declined.0, "1")
        } else {
            command.arg(declined.1)
        };
        let mut shell = Terminal::start(&command);
        let shown = shell.expect("pid 4711");
        assert!(!shown.contains("\x1b[3"), "{shown:?}");
    }
    assert!(!fake.run("status").0.contains('\x1b'));
    assert!(fake.run("--color=always status").0.contains("\x1b[32m"));
}

/// Says what no terminal should get, wherever it can.
fn hostile_daemon() -> Fake {
    Fake::start(|method, _| match method {
        "supervisor.getVersion" => Reply::Fault(1, ""),
        "supervisor.getAllProcessInfo" => {
            Reply::Value(Value::Array(vec![process("hostile", "hostile", 20, "RUNNING", HOSTILE)]))
        }
        "supervisor.getProcessInfo" => Reply::Value(process("hostile", "hostile", 20, "RUNNING", "")),
        "supervisor.stopProcess" => Reply::Fault(30, HOSTILE),
        "supervisor.getSupervisorVersion" | "supervisor.readProcessStdoutLog" | "supervisor.readLog" => {
            Reply::Value(text(HOSTILE))
        }
        _ => Reply::Fault(1, ""),
    })
}

#[test]
fn nothing_that_others_say_steers_the_terminal() {
    let fake = hostile_daemon();
    // What XML cannot hold does not come as it is.
    let of_xml = |shown: &str| shown.replace(['\x1b', '\x07'], "?");
    for line in ["status", "tail hostile", "maintail", "version", "stop hostile"] {
        let mut command = ours(&fake.conf());
        let mut client = Terminal::start(command.args(line.split(' ')));
        client.wait();
        until("the last character comes", LONG, || client.rest().contains("b\u{fffd}"));
        let shown = client.rest();
        for c in shown.chars() {
            let acts = c.is_control() && !matches!(c, '\t' | '\r' | '\n')
                || ('\u{202a}'..='\u{202e}').contains(&c)
                || matches!(c, '\u{200f}' | '\u{2066}');
            assert!(!acts, "{line}: {shown:?}");
        }
        assert!(shown.contains("\tb\u{fffd}"), "{line}: {shown:?}");
    }
    for line in ["tail -f hostile", "fg hostile", "tail -f hostile hostile"] {
        let mut command = ours(&fake.conf());
        let mut client = Terminal::start(command.args(line.split(' ')));
        client.expect(HARMLESS);
        client.expect("end");
    }
    for line in ["--raw tail -f hostile", "tail -f hostile --raw"] {
        let mut command = ours(&fake.conf());
        let mut client = Terminal::start(command.args(line.split(' ')));
        client.expect(HOSTILE);
    }
    // Whoever reads from a pipe gets every byte.
    assert!(fake.run("tail -f hostile").0.contains(&format!("{HOSTILE}\nend\n")));
    assert!(of_xml(&fake.run("version").0).contains(&of_xml("\u{9b}2J\u{85}\u{202e}")));
}

#[test]
fn ctrl_c_leaves_a_clean_line() {
    // Nobody is answered before the key is pressed.
    let fake = Fake::start(|method, _| match method {
        "supervisor.getVersion" => Reply::Fault(1, ""),
        "supervisor.startProcess" => {
            std::thread::sleep(LONG);
            Reply::Value(Value::Boolean(true))
        }
        _ => Reply::Value(Value::Boolean(true)),
    });
    let mut shell = ours(&fake.conf());
    let mut start = Terminal::start(shell.args(["--color=always", "restart", "cat"]));
    start.expect("waiting for cat");
    start.send("\x03");
    start.wait_for_signal();
    // What was written last may come after the end.
    until("the line is wiped out", LONG, || {
        let rest = start.rest();
        let last_line = rest.rsplit("\r\x1b[K").next().unwrap_or_default();
        rest.contains("\r\x1b[K") && !last_line.contains("waiting")
    });
}

#[test]
fn following_is_interrupted_and_the_shell_goes_on() {
    let fake = daemon();
    let mut shell = Terminal::start(&ours(&fake.conf()));
    shell.expect(PROMPT);
    shell.send("tail -f cat\r");
    shell.expect("==> Press Ctrl-C to exit <==");
    shell.expect("line 3");
    shell.send("\x03");
    shell.expect(PROMPT);
    shell.send("tail -f cat web:web_0\r");
    shell.expect("cat       |");
    shell.expect("web:web_0 |");
    shell.send("\x03");
    shell.expect(PROMPT);
    shell.send("maintail -f\r");
    shell.expect("line 2");
    shell.send("\x03");
    shell.expect(PROMPT);
    shell.send("status --watch=0.1\r");
    shell.expect("pid 4711");
    shell.expect("pid 4711");
    shell.send("\x03");
    shell.expect(PROMPT);
    shell.send("version\r");
    shell.expect("9.8.7");
    shell.expect(PROMPT);
    shell.send("quit\r");
    assert_eq!(shell.wait(), 0);
}

#[test]
fn fg_passes_lines_both_ways_until_it_is_left() {
    let fake = daemon();
    let mut shell = Terminal::start(&ours(&fake.conf()));
    shell.expect(PROMPT);
    for leave in ["\x03", "\x04"] {
        shell.send("fg cat\r");
        shell.expect("line 2");
        shell.send("hello\r");
        let sent = || fake.take_calls().iter().any(|call| call == "supervisor.sendProcessStdin(cat,hello\n)");
        until("the line arrives", LONG, sent);
        shell.send(leave);
        shell.expect("Exiting foreground");
        shell.expect(PROMPT);
    }
    shell.send("exit\r");
    assert_eq!(shell.wait(), 0);
}

#[test]
fn fg_ends_with_its_process() {
    let n_looks = std::sync::atomic::AtomicUsize::new(0);
    let fake = Fake::start(move |method, _| match method {
        "supervisor.getVersion" => Reply::Fault(1, ""),
        "supervisor.getProcessInfo" => match n_looks.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => Reply::Value(process("cat", "cat", 20, "RUNNING", "")),
            _ => Reply::Value(process("cat", "cat", 100, "EXITED", "")),
        },
        _ => Reply::Fault(70, "NOT_RUNNING: cat"),
    });
    let mut command = ours(&fake.conf());
    let mut fg = Terminal::start(command.args(["fg", "cat"]));
    fg.expect("line 2");
    fg.send("hello\r");
    fg.expect("Process got killed");
    fg.expect("Exiting foreground");
    assert_eq!(fg.wait(), 0);
}

#[test]
fn questions_are_asked_where_somebody_can_answer() {
    let fake = daemon();
    let mut shell = Terminal::start(&ours(&fake.conf()));
    shell.expect(PROMPT);
    shell.send("shutdown\r");
    shell.expect("Really shut the remote supervisord process down y/N? ");
    shell.send("n\r");
    shell.expect(PROMPT);
    assert!(!fake.take_calls().iter().any(|call| call == "supervisor.shutdown()"));
    shell.send("reload\r");
    shell.expect("Really restart the remote supervisord process y/N? ");
    shell.send("y\r");
    shell.expect("Restarted supervisord");
    shell.expect(PROMPT);
    shell.send("\x04");
    assert_eq!(shell.wait(), 0);
}

#[test]
fn credentials_are_asked_for_and_the_password_is_not_shown() {
    // The words are me:secret.
    let fake = Fake::start_with(Some("Basic bWU6c2VjcmV0".into()), |method, _| match method {
        "supervisor.getVersion" => Reply::Fault(1, ""),
        _ => Reply::Value(text("9.8.7")),
    });
    let mut command = ours(&fake.conf());
    let mut client = Terminal::start(command.args(["-i", "version"]));
    for (username, password) in [("me", "wrong"), ("me", "secret")] {
        client.expect("Server requires authentication");
        client.expect("Username:");
        client.send(&format!("{username}\r"));
        client.expect("Password:");
        client.send(&format!("{password}\r"));
    }
    let shown = client.expect("9.8.7");
    assert!(!shown.contains("secret"), "{shown:?}");
    // With -i the shell follows.
    client.expect(PROMPT);
    client.send("\x04");
    assert_eq!(client.wait(), 0);
}

#[test]
fn ctrl_c_at_the_password_leaves_a_terminal_that_shows_what_is_typed() {
    let fake = Fake::start_with(Some("Basic nobody".into()), |_, _| Reply::Fault(1, ""));
    let mut command = ours(&fake.conf());
    let mut client = Terminal::start(command.args(["-i", "version"]));
    client.expect("Username:");
    client.send("me\r");
    client.expect("Password:");
    until("the terminal is silent", LONG, || !client.echoes());
    client.send("\x03");
    client.wait_for_signal();
    assert!(client.echoes());
}

#[test]
fn long_operations_show_that_they_go_on() {
    let was_seen = Arc::new(AtomicBool::new(false));
    let is_seen = Arc::clone(&was_seen);
    let fake = Fake::start(move |method, _| match method {
        "supervisor.getVersion" => Reply::Fault(1, ""),
        "supervisor.getAllProcessInfo" => Reply::Value(Value::Array(vec![])),
        "supervisor.startProcess" => {
            // Later than a line would be drawn, and the first time not before it was.
            std::thread::sleep(Duration::from_millis(1500));
            let begun = Instant::now();
            while !is_seen.load(Ordering::SeqCst) && begun.elapsed() < LONG {
                std::thread::sleep(Duration::from_millis(5));
            }
            Reply::Value(Value::Boolean(true))
        }
        _ => Reply::Value(Value::Boolean(true)),
    });
    let mut shell = Terminal::start(&ours(&fake.conf()));
    shell.expect(PROMPT);
    shell.send("start cat\r");
    shell.expect("waiting for cat");
    was_seen.store(true, Ordering::SeqCst);
    // It is wiped out before the line.
    shell.expect("\r\x1b[K");
    shell.expect("cat: started");
    shell.send("\x04");
    assert_eq!(shell.wait(), 0);
    // One command by itself prints what Supervisor prints.
    let mut command = ours(&fake.conf());
    let mut start = Terminal::start(command.args(["start", "cat"]));
    assert_eq!(start.expect("cat: started"), "");
    assert_eq!(start.wait(), 0);
    // In a pipe there is none.
    assert_eq!(fake.run("start cat"), ("cat: started\n".to_string(), String::new(), 0));
}
