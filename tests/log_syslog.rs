//! Syslog against rsyslog as Debian has it: over UDP, over TCP and on the local socket. It comes late, is stopped and
//! started again, is gone while more is written than can wait, and the manager is killed meanwhile. What was written,
//! what arrived, what was dropped and what the activity log says of that agree.
//!
//! `SYSLOG_GONE_SECS=60` lets it be gone for a minute.

#[path = "log_support/sandbox.rs"]
mod sandbox;
mod support;

use sandbox::OWN_DEV;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use supervisord::model::state::ProcessState::{Running, Stopped};
use support::{Daemon, LONG, Side, Start, free_ports, has_root, text, until};

/// How many bytes a line has, with its newline.
const LINE: usize = 56;

/// More lines than a queue or a pipe holds.
const MANY: usize = 30_000;

/// A program that writes as many numbered lines as it reads on its standard input, and then says so in a file.
const WRITER: &str = r#"
import os, sys
name, written = sys.argv[1:]
n = 0
for wanted in sys.stdin:
    m = n + int(wanted)
    sys.stdout.write(''.join('%-10s %08d %s\n' % (name, i, 'x' * 35) for i in range(n, m)))
    sys.stdout.flush()
    n = m
    with open(written + '.new', 'w') as f: f.write(str(n))
    os.rename(written + '.new', written)
"#;

fn writer(name: &str, keys: &str) -> String {
    let command = format!("python3 %(here)s/writer.py {name} %(here)s/{name}.written");
    format!("[program:{name}]\ncommand={command}\nstartsecs=0\n{keys}\n")
}

/// A private rsyslog. All messages go to one file.
fn rsyslog_conf(daemon: &Daemon, udp: u16, tcp: u16) -> String {
    format!(
        r#"
global(workDirectory="{here}")
module(load="imudp")
module(load="imtcp")
module(load="imuxsock" SysSock.Use="off")
template(name="all" type="string" string="%pri% %app-name% %procid% %msgid% %hostname% %timereported:::date-rfc3339% %msg%\n")
ruleset(name="all") {{ action(type="omfile" file="{here}/messages" template="all") }}
input(type="imudp" address="127.0.0.1" port="{udp}" rcvbufSize="8m" ruleset="all")
input(type="imtcp" address="127.0.0.1" port="{tcp}" ruleset="all")
input(type="imuxsock" Socket="/dev/log" ruleset="all" RateLimit.Interval="0" ParseTrusted="off")
"#,
        here = daemon.directory().display()
    )
}

const RSYSLOG: &str = "
[program:rsyslog]
command=rsyslogd -n -i %(here)s/rsyslog.pid -f %(here)s/rsyslog.conf
autostart=false
startsecs=0
priority=1
";

/// A daemon with writers, and what they were asked to write.
struct Bench {
    daemon: Daemon,
    n_asked: BTreeMap<&'static str, usize>,
}

impl Bench {
    fn start(mut daemon: Daemon) -> Bench {
        std::fs::write(daemon.path("writer.py"), WRITER).unwrap();
        daemon.start();
        Bench { daemon, n_asked: BTreeMap::new() }
    }

    /// Lets a program write so many more lines, and waits until it has.
    #[track_caller]
    fn write(&mut self, name: &'static str, n_lines: usize) {
        let n_asked = self.n_asked.entry(name).or_default();
        *n_asked += n_lines;
        let expected = n_asked.to_string();
        self.daemon.call("supervisor.sendProcessStdin", vec![text(name), text(&format!("{n_lines}\n"))]);
        until(&format!("{name} was not held"), LONG, || {
            self.daemon.read(&format!("{name}.written")) == expected
        });
    }

    fn rsyslog(&self, starts: bool) {
        let (method, state) =
            if starts { ("supervisor.startProcess", Running) } else { ("supervisor.stopProcess", Stopped) };
        self.daemon.call(method, vec![text("rsyslog")]);
        self.daemon.wait_for_state("rsyslog", state, LONG);
    }

    /// The numbers of a program's lines that have arrived, in order, with how often.
    fn received(&self, name: &str) -> BTreeMap<usize, usize> {
        numbers(&self.daemon.read("messages"), name)
    }

    /// How many lines of a program are told to have been dropped.
    #[track_caller]
    fn told(&self, name: &str) -> usize {
        let log = self.daemon.log();
        let lines = log.lines().filter(|line| line.contains(&format!("of '{name}' stdout")));
        let n_bytes: usize = lines
            .filter_map(|line| {
                line.split_once(" bytes were dropped")?.0.rsplit_once(' ')?.1.parse::<usize>().ok()
            })
            .sum();
        assert_eq!(n_bytes % LINE, 0, "whole lines: {n_bytes}");
        n_bytes / LINE
    }

    /// Waits until every line of a program has arrived or is told to have been dropped. At most `n_again` came twice.
    #[track_caller]
    fn agree(&self, name: &'static str, n_again: usize) {
        let n_asked = self.n_asked[name];
        let what = format!("all {n_asked} lines of {name} arrive or are told");
        until(&what, LONG, || self.received(name).len() + self.told(name) >= n_asked);
        let received = self.received(name);
        let (n_received, n_told) = (received.len(), self.told(name));
        let n_twice = received.values().map(|n_times| n_times - 1).sum::<usize>();
        println!(
            "{name}: {n_asked} written, {n_received} received, {n_told} told as dropped, {n_twice} twice"
        );
        assert_eq!(n_received + n_told, n_asked, "{name}");
        assert!(n_twice <= n_again, "{n_twice} lines of {name} came twice");
    }

    fn count(&self, text: &str) -> usize {
        self.daemon.log().matches(text).count()
    }
}

fn numbers(messages: &str, name: &str) -> BTreeMap<usize, usize> {
    let mut numbers = BTreeMap::new();
    let begin = format!(" {name:<10} ");
    for line in messages.lines() {
        if let Some((_, rest)) = line.split_once(&begin)
            && let Some(number) = rest.get(..8).and_then(|digits| digits.parse().ok())
        {
            *numbers.entry(number).or_insert(0) += 1;
        }
    }
    numbers
}

fn gone_secs() -> u64 {
    std::env::var("SYSLOG_GONE_SECS").ok().and_then(|secs| secs.parse().ok()).unwrap_or(5)
}

#[test]
fn what_was_written_arrives_or_is_told_to_be_dropped() {
    if !has_root("needs root, for a /dev of its own") {
        return;
    }
    let [udp, tcp] = free_ports();
    let conf = writer("udp", &format!("stdout_logfile=%(here)s/udp.log, syslog @127.0.0.1:{udp}"))
        + &writer("tcp", &format!("stdout_logfile=syslog @tcp:localhost:{tcp}\nsyslog_facility=local3"))
        + &writer("late_udp", &format!("stdout_logfile=syslog @udp:127.0.0.1:{udp}"))
        + &writer("late_tcp", &format!("stdout_logfile=syslog @tcp:127.0.0.1:{tcp}, NONE"))
        + &writer("local", "stdout_logfile=NONE\nstdout_syslog=true")
        + &writer(
            "keys",
            "stdout_logfile=syslog\nsyslog_facility=LOG_MAIL\nsyslog_tag=tag\nsyslog_stdout_priority=err",
        )
        + RSYSLOG;
    let daemon =
        Start::new(Side::Ours, &format!("[supervisord]\nloglevel=info\n{conf}")).under(&OWN_DEV).prepare();
    std::fs::write(daemon.path("rsyslog.conf"), rsyslog_conf(&daemon, udp, tcp)).unwrap();
    let mut bench = Bench::start(daemon);
    let (network, local) = (["udp", "tcp"], ["local", "keys"]);

    // It comes late, and another manager has come meanwhile.
    let late = ["late_udp", "late_tcp", "local", "keys"];
    late.iter().for_each(|name| bench.write(name, 50));
    for name in late {
        until(&format!("trouble of {name} is told"), LONG, || {
            let log = bench.daemon.log();
            log.lines()
                .any(|line| line.contains("could not write syslog") && line.contains(&format!("'{name}'")))
        });
    }
    bench.daemon.replace_manager();
    bench.rsyslog(true);
    late.iter().for_each(|name| bench.agree(name, 1));

    // It is there.
    // All of it together fits into a queue: datagrams are not sent as fast as lines are written.
    for _ in 0..4 {
        network.iter().for_each(|name| bench.write(name, 800));
        bench.daemon.replace_manager();
    }
    local.iter().for_each(|name| bench.write(name, 50));
    network.iter().chain(&local).for_each(|name| bench.agree(name, 5));
    assert_eq!(bench.told("udp") + bench.told("tcp"), 0);

    // It is gone, more is written than can wait, and the manager is killed twice.
    bench.rsyslog(false);
    let gone = Instant::now();
    network.iter().for_each(|name| bench.write(name, MANY));
    bench.daemon.replace_manager();
    network.iter().chain(&local).for_each(|name| bench.write(name, 100));
    bench.daemon.replace_manager();
    until("it has been gone for a while", Duration::from_secs(gone_secs() + 20), || {
        gone.elapsed() >= Duration::from_secs(gone_secs())
    });
    bench.rsyslog(true);
    network.iter().chain(&local).for_each(|name| bench.agree(name, 7));
    for name in network {
        assert!(bench.told(name) > MANY / 2, "{name}: {}", bench.told(name));
        let lines_about = |text: &str| bench.count(&format!("of '{name}' stdout{text}"));
        until("the end of trouble is told", LONG, || lines_about(" works again after") == 1);
        assert_eq!(lines_about(": Connection refused"), 1, "trouble is told once");
        assert_eq!(lines_about(" takes less"), 0, "{}", bench.daemon.log());
    }

    // It is stopped and started again.
    bench.rsyslog(false);
    bench.rsyslog(true);
    network.iter().chain(&local).for_each(|name| bench.write(name, 100));
    network.iter().chain(&local).for_each(|name| bench.agree(name, 7));
    assert_eq!(bench.daemon.read("udp.log").len(), bench.n_asked["udp"] * LINE, "the file has everything");

    // What messages say.
    let messages = bench.daemon.read("messages");
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    for (name, begin) in [
        ("udp", format!("133 udp {} stdout {host} 20", bench.daemon.pid_of("udp"))),
        ("tcp", format!("157 tcp {} stdout {host} 20", bench.daemon.pid_of("tcp"))),
        ("local", "14 supervisord - - ".to_string()),
        ("keys", "19 tag - - ".to_string()),
    ] {
        let line =
            messages.lines().find(|line| line.contains(&format!(" {name:<10} 0"))).expect("there is one");
        assert!(line.starts_with(&begin), "{name}: {line}");
    }
}

/// Takes connections one after the other, but reads nothing until a file is there. Prints whole messages, as their
/// lengths say.
const READER: &str = r#"
import os, socket, sys, time
go, port = sys.argv[1:]
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
s.bind(('127.0.0.1', int(port)))
s.listen()
print('listens', flush=True)
while not os.path.exists(go): time.sleep(0.01)
def read(f):
    n = b''
    while not n.endswith(b' '):
        d = f.read(1)
        if not d: return
        n += d
    message = f.read(int(n))
    return message if len(message) == int(n) else None
while True:
    f = s.accept()[0].makefile('rb')
    for message in iter(lambda: read(f), None): print(message.decode(), flush=True)
"#;

/// The program goes on at once, what does not fit is told, and what is in the kernel on its way outlives the manager.
#[test]
fn a_receiver_that_does_not_read_holds_nobody() {
    let [port] = free_ports();
    let reader = format!(
        "[program:reader]\ncommand=python3 %(here)s/reader.py %(here)s/go {port}\nstdout_logfile=%(here)s/messages\n\
         startsecs=0\n"
    );
    let conf = reader + &writer("slow", &format!("stdout_logfile=syslog @tcp:127.0.0.1:{port}"));
    let daemon = Start::new(Side::Ours, &format!("[supervisord]\nloglevel=info\n{conf}")).prepare();
    std::fs::write(daemon.path("reader.py"), READER).unwrap();
    let mut bench = Bench::start(daemon);
    until("the reader listens", LONG, || bench.daemon.read("messages") == "listens\n");
    bench.write("slow", MANY);
    bench
        .daemon
        .wait_log("takes less than is written; what is more than 256 KiB is dropped until it keeps up");
    bench.daemon.replace_manager();
    bench.write("slow", MANY);
    std::fs::write(bench.daemon.path("go"), "").unwrap();
    bench.agree("slow", 1);
    assert!(bench.told("slow") > MANY / 2);
    assert_eq!(bench.count("takes less than is written"), 1, "told once");
    bench.write("slow", 100);
    bench.agree("slow", 1);
}
