//! Logs of a whole daemon: what only we offer, and what must survive our manager.

mod log_support;
#[path = "log_support/sandbox.rs"]
mod sandbox;
mod support;

use log_support::SmallDisk;
use nix::sys::signal::Signal;
use sandbox::{OWN_DEV, REFUSE_SPLICE};
use std::time::Duration;
use supervisord::log::sinks::rotate::backup_name;
use supervisord::model::state::ProcessState::{Exited, Running};
use support::{Daemon, LONG, Side, Start, has_root, kill, text, until};

fn start(conf: &str) -> Daemon {
    // At level debug all output would be copied to the activity log.
    Start::new(Side::Ours, &format!("[supervisord]\nloglevel=info\n{conf}")).ready()
}

#[test]
fn lines_of_several_programs_stay_whole_on_stdout() {
    let daemon = start(
        "[program:a]
command=sh -c 'for i in 1 2 3 4 5 6 7 8 9; do printf \"one \"; echo two; done'
process_name=a%(process_num)d
numprocs=3
startsecs=0
autorestart=false
redirect_stderr=true
stdout_logfile=/dev/stdout
stdout_logfile_maxbytes=0
stdout_logfile_prefix=%(program_name)s-%(process_num)d:
",
    );
    for number in 0..3 {
        daemon.wait_for_state(&format!("a:a{number}"), Exited, LONG);
    }
    let output = daemon.read("stdout");
    for number in 0..3 {
        let line = format!("a-{number}: one two");
        assert_eq!(output.lines().filter(|found| **found == line).count(), 9, "{output}");
    }
}

#[test]
fn json_tells_who_wrote_a_line() {
    let daemon = start(
        "[group:g]
programs=a
[program:a]
command=sh -c 'echo \"a \\\"line\\\"\"; echo $$ > %(here)s/pid'
startsecs=0
autorestart=false
stdout_logfile=%(here)s/out.json
stdout_logfile_format=json
",
    );
    daemon.wait_for_state("g:a", Exited, LONG);
    let line: serde_json::Value = serde_json::from_str(&daemon.read("out.json")).unwrap();
    assert_eq!(line["line"], "a \"line\"");
    assert_eq!((&line["group"], &line["process"]), (&"g".into(), &"a".into()));
    assert_eq!((&line["program"], &line["stream"]), (&"a".into(), &"stdout".into()));
    assert_eq!(line["pid"].to_string(), daemon.read("pid").trim());
}

#[test]
fn the_first_of_several_logs_is_read() {
    let daemon = start(
        "[program:a]
command=sh -c 'echo text; exec sleep 1000'
stdout_logfile=memory, %(here)s/copy.out
",
    );
    until("the copy is written", LONG, || daemon.read("copy.out") == "text\n");
    let tail = || daemon.call("supervisor.readProcessStdoutLog", vec![text("a"), int(0), int(0)]);
    until("the ring is read", LONG, || format!("{:?}", tail()).contains("text"));
}

fn int(number: i32) -> dxr::Value {
    dxr::Value::Integer(number)
}

#[test]
fn a_usr2_opens_all_logs_anew() {
    let daemon = start(
        "[program:a]
command=sh -c 'while :; do echo line; sleep 0.01; done'
stdout_logfile=%(here)s/a.out
",
    );
    daemon.wait_for_state("a", Running, LONG);
    for name in ["a.out", "supervisord.log"] {
        std::fs::rename(daemon.path(name), daemon.path(&format!("{name}.old"))).unwrap();
    }
    daemon.signal(Signal::SIGUSR2);
    daemon.wait_log("supervisord logreopen");
    until("the new log is written", LONG, || daemon.read("a.out").starts_with("line\n"));
}

#[test]
fn a_manager_that_is_killed_again_and_again_loses_and_doubles_no_byte() {
    const LINES: usize = 200_000;
    let daemon = start(&format!(
        "[program:a]
command=awk 'BEGIN {{ for (i = 0; i < {LINES}; i++) printf \"%%031d\\n\", i }}'
startsecs=0
autorestart=false
stdout_logfile=%(here)s/a.out
stdout_logfile_maxbytes=100000
stdout_logfile_backups=1000
"
    ));
    let mut n_kills = 0;
    let log_of = || {
        let names = (1..1000).rev().map(|number| backup_name(&daemon.path("a.out"), number));
        let mut bytes: Vec<u8> = names.filter_map(|name| std::fs::read(name).ok()).flatten().collect();
        bytes.extend(std::fs::read(daemon.path("a.out")).unwrap_or_default());
        bytes
    };
    while n_kills < 10 {
        if let Some(manager) = daemon.manager_now() {
            kill(manager, Signal::SIGKILL);
            n_kills += 1;
        }
        // Its successor gets different amounts of time to begin its work.
        std::thread::sleep(Duration::from_millis(n_kills * 7 % 40));
    }
    until("everything is logged", LONG, || log_of().len() >= LINES * 32);
    let expected: String = (0..LINES).map(|number| format!("{number:031}\n")).collect();
    assert!(log_of() == expected.as_bytes(), "every line once and in order");
}

#[test]
fn a_full_disk_costs_activity_log_lines_and_nothing_else() {
    let Some(disk) = SmallDisk::mount(64) else { return };
    let log = disk.path("activity");
    let daemon = start(&format!(
        "[supervisord]\nlogfile={}\n[program:a]\ncommand=sleep 1000\nautostart=false\nstartsecs=0\n",
        log.display()
    ));
    let filler = disk.fill();
    // Enough lines for the page that the file had begun.
    for _ in 0..40 {
        daemon.call("supervisor.startProcess", vec![text("a")]);
        daemon.call("supervisor.stopProcess", vec![text("a")]);
    }
    std::fs::remove_file(filler).unwrap();
    daemon.call("supervisor.startProcess", vec![text("a")]);
    let notice = " lines before this one could not be written\n";
    let later =
        || std::fs::read_to_string(&log).unwrap().split_once(notice).map(|(_, later)| later.to_string());
    until("the log goes on", LONG, || later().is_some_and(|later| later.contains("entered RUNNING state")));
}

#[test]
fn a_full_disk_is_told_once_and_so_is_its_end() {
    let Some(disk) = SmallDisk::mount(256) else { return };
    // The page that the file has begun is full soon.
    let lines = "for i in 1 2 3 4 5 6 7 8 9 10; do echo line; done";
    let daemon = start(&format!(
        "[program:a]\ncommand=sh -c 'while :; do {lines}; sleep 0.01; done'\nstdout_logfile={}\n",
        disk.path("a.out").display()
    ));
    daemon.wait_for_state("a", Running, LONG);
    let filler = disk.fill();
    daemon.wait_log("could not write log file");
    std::fs::remove_file(filler).unwrap();
    daemon.wait_log("works again after");
    let log = daemon.log();
    let count = |text| log.matches(text).count();
    assert_eq!((count("could not write log file"), count("works again after")), (1, 1), "{log}");
    assert!(log.contains("0 bytes were dropped"), "{log}");
    let lines = std::fs::read_to_string(disk.path("a.out")).unwrap();
    assert!(lines.lines().all(|line| line == "line"), "no line was torn");
}

/// Programs that say one thing, into a FIFO that nobody reads: one goes on without another word, one ends.
fn quiet(name: &str, keys: &str) -> String {
    let program = |name: &str, then: &str| {
        format!(
            "[program:{name}]\ncommand=/bin/sh -c 'echo of {name}; {then}'\nstartsecs=0\nautorestart=false\n{keys}\n"
        )
    };
    program(name, "exec sleep 1000") + &program(&format!("{name}_once"), "exit 0")
}

fn make_fifo(daemon: &Daemon, name: &str) {
    nix::unistd::mkfifo(&daemon.path(name), nix::sys::stat::Mode::S_IRWXU).expect("the test's directory");
}

/// The lines that come out of a FIFO, as many as are wanted, whoever comes first.
fn lines_of_fifo(daemon: &Daemon, name: &str, n_lines: usize) -> Vec<String> {
    let mut reader =
        std::process::Command::new("head").arg(format!("-n{n_lines}")).arg(daemon.path(name)).output();
    let text = std::mem::take(&mut reader.as_mut().expect("head can be executed").stdout);
    let mut lines: Vec<String> = String::from_utf8_lossy(&text).lines().map(str::to_string).collect();
    lines.sort();
    lines
}

/// Waits until the manager sleeps and stays asleep.
fn wait_for_sleep(daemon: &Daemon) {
    let sleeps = || support::sleeps(daemon.manager());
    until("the manager sleeps", LONG, || {
        let before = sleeps();
        // Three rounds of trying again would wake two threads each time.
        std::thread::sleep(Duration::from_secs(3));
        sleeps() <= before + 3
    });
}

/// Whoever reads it comes when the programs have said everything, and another manager has come meanwhile.
#[test]
fn a_log_whose_reader_comes_late_gets_what_was_said_before() {
    let conf = quiet("raw", "stdout_logfile=%(here)s/raw")
        + &quiet("dressed", "stdout_logfile=%(here)s/dressed\nstdout_logfile_prefix=so:")
        + &quiet("several", "stdout_logfile=%(here)s/copy, %(here)s/several")
        + &quiet("event", "stdout_logfile=%(here)s/event\nstdout_events_enabled=true");
    let mut daemon = Start::new(Side::Ours, &format!("[supervisord]\nloglevel=info\n{conf}")).prepare();
    let fifos = ["raw", "dressed", "several", "event"];
    fifos.iter().for_each(|name| make_fifo(&daemon, name));
    daemon.start();
    for name in fifos {
        daemon.wait_for_state(&format!("{name}_once"), Exited, LONG);
        daemon.wait_log(&format!("/{name} of '{name}' stdout: No such device"));
    }
    assert_eq!(lines_of_fifo(&daemon, "several", 2), ["of several", "of several_once"]);
    assert_eq!(lines_of_fifo(&daemon, "event", 2), ["of event", "of event_once"]);
    daemon.replace_manager();
    assert_eq!(lines_of_fifo(&daemon, "raw", 2), ["of raw", "of raw_once"]);
    assert_eq!(lines_of_fifo(&daemon, "dressed", 2), ["so: of dressed", "so: of dressed_once"]);
    wait_for_sleep(&daemon);
}

/// Writes down what syslog gets.
const SYSLOGD: &str = r#"
[program:syslogd]
command=python3 -uc "import socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind('/dev/log'); [print(s.recv(1000).decode().split('supervisord: ')[1]) for _ in range(100)]"
stdout_logfile=%(here)s/messages
autostart=false
startsecs=0
"#;

#[test]
fn a_syslog_that_comes_late_gets_what_was_said_before() {
    if !has_root("needs root, for a /dev of its own") {
        return;
    }
    let conf = quiet("alone", "stdout_logfile=NONE\nstdout_syslog=true")
        + &quiet("beside", "stdout_logfile=%(here)s/%(program_name)s.log\nstdout_syslog=true");
    let daemon = Start::new(Side::Ours, &format!("[supervisord]\nloglevel=info\n{conf}{SYSLOGD}"))
        .under(&OWN_DEV)
        .ready();
    for name in ["alone", "alone_once", "beside", "beside_once"] {
        daemon.wait_log(&format!("could not write syslog of '{name}' stdout"));
    }
    until("the other log has it", LONG, || daemon.read("beside.log") == "of beside\n");
    // What waits for one of several sinks is in the manager; what has a single one waits outside.
    daemon.call("supervisor.startProcess", vec![text("syslogd")]);
    let message = |name: &str| format!("{name} of {name}\n");
    for name in ["alone", "alone_once", "beside", "beside_once"] {
        until("syslog has it", LONG, || daemon.read("messages").contains(&message(name)));
    }
    assert_eq!(daemon.read("messages").lines().count(), 4, "each once");
    wait_for_sleep(&daemon);
}

#[test]
fn what_waits_for_a_syslog_outlives_managers() {
    if !has_root("needs root, for a /dev of its own") {
        return;
    }
    let conf = quiet("alone", "stdout_logfile=NONE\nstdout_syslog=true");
    let daemon = Start::new(Side::Ours, &format!("[supervisord]\nloglevel=info\n{conf}{SYSLOGD}"))
        .under(&OWN_DEV)
        .ready();
    for name in ["alone", "alone_once"] {
        daemon.wait_log(&format!("could not write syslog of '{name}' stdout"));
    }
    for _ in 0..2 {
        daemon.replace_manager();
    }
    daemon.call("supervisor.startProcess", vec![text("syslogd")]);
    for name in ["alone", "alone_once"] {
        let message = format!("{name} of {name}\n");
        until("syslog has it", LONG, || daemon.read("messages").contains(&message));
    }
    assert_eq!(daemon.read("messages").lines().count(), 2, "each once");
}

/// As in some sandboxes. What was read could not be taken out of the pipe then, and was written again and again.
#[test]
fn without_splice_everything_is_written_once() {
    let lines: String = (0..3000).map(|number| format!("line {number} of a program\n")).collect();
    let errors = [libc::EPERM, libc::EINVAL, libc::ENOSYS].map(|errno| errno.to_string());
    let both = format!("{},{}", libc::EPERM, libc::EPERM);
    for refused in errors.iter().chain([&both]) {
        let program = |name: &str, keys: &str| {
            format!(
                "[program:{name}]\ncommand=/bin/sh -c 'seq -f \"line %%g of a program\" 0 2999; exec sleep 1000'\n{keys}\n"
            )
        };
        let conf = program("raw", "stdout_logfile=%(here)s/raw.log")
            + &program("rotated", "stdout_logfile=%(here)s/rotated.log\nstdout_logfile_maxbytes=20KB")
            + &program("dressed", "stdout_logfile=%(here)s/dressed.log\nstdout_logfile_prefix=so:")
            + &program("two", "stdout_logfile=%(here)s/two.log, %(here)s/copy.log")
            + &program("nowhere", "stdout_logfile=NONE")
            + "[eventlistener:l]\nevents=PROCESS_STATE_RUNNING\ndirectory=%(here)s\nstdout_logfile=NONE\ncommand=/bin/sh -c \
               'while echo READY && read -r header; do len=${header##*len:}; head -c $len >> heard; echo >> heard; \
               printf \"RESULT 2\\nOK\"; done'\n";
        let wrapper = [&REFUSE_SPLICE[..], &[refused]].concat();
        let daemon =
            Start::new(Side::Ours, &format!("[supervisord]\nloglevel=info\n{conf}")).under(&wrapper).ready();
        daemon.wait_log("the system refuses splice(2)");
        until("the listener has heard of all", LONG, || daemon.read("heard").lines().count() >= 6);
        let dressed: String = lines.lines().map(|line| format!("so: {line}\n")).collect();
        for (name, expected) in [("raw", &lines), ("dressed", &dressed), ("two", &lines), ("copy", &lines)] {
            let file = format!("{name}.log");
            until(&format!("{name} is complete ({refused})"), LONG, || {
                daemon.read(&file).len() >= expected.len()
            });
            assert!(daemon.read(&file) == *expected, "{name}, {refused}: {}", daemon.read(&file));
        }
        let rotated = || {
            let older = (1..=10).rev().map(|number| daemon.read(&format!("rotated.log.{number}")));
            older.chain([daemon.read("rotated.log")]).collect::<String>()
        };
        until("all files together are complete", LONG, || rotated().len() >= lines.len());
        assert!(rotated() == lines, "{refused}: {}", rotated());
        wait_for_sleep(&daemon);
    }
}
