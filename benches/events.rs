//! How fast events reach listeners.
//!
//! `cargo bench --bench events` runs our daemon and, if it is installed, the original, with this program as
//! program and as listener:
//!
//! - one listener: events per second through a single listener;
//! - pool of 4: 100,000 events, and whether each arrived exactly once;
//! - logs: 20 programs write 3,000 lines a second each, which become PROCESS_LOG events; how late the latest is.

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::HashSet;
use std::io::{BufRead, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use supervisord::model::state::ProcessState::Running;
use support::{Daemon, Side, Start, until};

/// How long a measurement may take.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["listen", file] => return listen(Path::new(file)),
        ["emit", n_events] => return emit(n_events.parse().expect("a number")),
        ["write"] => return write_lines(),
        _ => {}
    }
    let mut sides = vec![Side::Ours];
    sides.extend(Side::original_is_there().then_some(Side::Original));
    let mut rates = Vec::new();
    for side in sides {
        let rate = through(side, 1, 30_000);
        println!("{side:?}: one listener, {rate:.0} events/s");
        rates.push(rate);
        if side == Side::Ours {
            println!(
                "{side:?}: pool of 4, 100,000 events, {:.0} events/s, none lost",
                through(side, 4, 100_000)
            );
        }
        println!("{side:?}: 20 programs x 3,000 lines/s, the latest {:.3} s late", lateness(side));
    }
    if let [ours, original] = rates[..] {
        println!("one listener: {:.1} times the original", ours / original);
    }
}

fn own_path() -> String {
    std::env::current_exe().expect("this program has a path").display().to_string()
}

fn start(side: Side, pool: &str, program: &str) -> Daemon {
    let me = own_path();
    let conf = format!(
        "[supervisord]\nloglevel=critical\n\
         [eventlistener:l]\ncommand={me} listen %(here)s/heard.%(process_num)d\nprocess_name=%(process_num)d\n\
         stdout_logfile=NONE\nstderr_logfile=NONE\nstartsecs=0\nbuffer_size=1000000\n{pool}\n\
         [program:p]\ncommand={me} {program}\nautostart=false\nstartsecs=0\nautorestart=false\n"
    );
    Start::new(side, &conf).ready()
}

/// Sends so many events through a pool; events per second.
fn through(side: Side, n_listeners: u32, n_events: usize) -> f64 {
    let pool = format!("numprocs={n_listeners}\nevents=PROCESS_COMMUNICATION");
    let program = format!("emit {n_events}\nstdout_capture_maxbytes=1000\nstdout_logfile=NONE");
    let daemon = start(side, &pool, &program);
    for number in 0..n_listeners {
        daemon.wait_for_state(&format!("l:{number}"), Running, PATIENCE);
    }
    let begun = Instant::now();
    daemon.ctl(&["start", "p"]);
    let heard = || -> Vec<String> { (0..n_listeners).map(|n| daemon.read(&format!("heard.{n}"))).collect() };
    let count = |heard: &[String]| heard.iter().map(|text| text.lines().count()).sum::<usize>();
    until("every event was heard", PATIENCE, || {
        std::thread::sleep(Duration::from_millis(20));
        count(&heard()) >= n_events
    });
    let took = begun.elapsed();
    let heard = heard();
    let numbers: HashSet<&str> =
        heard.iter().flat_map(|text| text.lines()).filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!((count(&heard), numbers.len()), (n_events, n_events), "each event is heard once");
    n_events as f64 / took.as_secs_f64()
}

/// How late the latest of some seconds of log lines was heard.
fn lateness(side: Side) -> f64 {
    let program = "write\nprocess_name=%(process_num)d\nnumprocs=20\nstdout_events_enabled=true";
    let daemon = start(side, "events=PROCESS_LOG", program);
    daemon.wait_for_state("l:0", Running, PATIENCE);
    daemon.ctl(&["start", "p:*"]);
    until("every line was heard", PATIENCE, || {
        std::thread::sleep(Duration::from_millis(100));
        daemon.read("heard.0").matches(" end ").count() >= 20
    });
    let late = |line: &str| line.split(' ').next()?.parse::<f64>().ok();
    daemon.read("heard.0").lines().filter_map(late).fold(0.0, f64::max)
}

/// A listener: notes for every event how late it is, if it says when it was made, and its last line.
fn listen(file: &Path) {
    let mut file = std::io::BufWriter::new(std::fs::File::create(file).expect("a file can be made"));
    let mut input = std::io::stdin().lock();
    let mut output = std::io::stdout();
    output.write_all(b"READY\n").expect("we are listened to");
    let mut header = String::new();
    while input.read_line(&mut header).is_ok_and(|n_bytes| n_bytes > 0) {
        let n_bytes = header.trim().rsplit_once("len:").and_then(|(_, length)| length.parse().ok());
        let mut payload = vec![0; n_bytes.expect("a header ends with a length")];
        input.read_exact(&mut payload).expect("the payload follows");
        let payload = String::from_utf8_lossy(&payload);
        let (_, data) = payload.split_once('\n').unwrap_or_default();
        let made = data.lines().next().and_then(|line| line.split(' ').next()?.parse::<f64>().ok());
        let late = made.map_or(0.0, |made| now() - made);
        let last = data.lines().last().unwrap_or_default();
        writeln!(file, "{late:.6} {last} ").and_then(|()| file.flush()).expect("the file can be written");
        output.write_all(b"RESULT 2\nOKREADY\n").expect("we are listened to");
        header.clear();
    }
}

/// A program whose output is nothing but events.
fn emit(n_events: usize) {
    let mut output = std::io::BufWriter::new(std::io::stdout());
    for number in 0..n_events {
        // The original handles what one read brings by recursion, and gives up when that is a thousand of them.
        write!(output, "<!--XSUPERVISOR:BEGIN-->n{number:<200}<!--XSUPERVISOR:END-->")
            .expect("we are listened to");
    }
}

/// A program that writes 3,000 lines a second for three seconds, each with the time, and at last `end`.
fn write_lines() {
    let mut output = std::io::stdout();
    let begun = Instant::now();
    let mut n_written = 0;
    while begun.elapsed() < Duration::from_secs(3) {
        let n_due = (begun.elapsed().as_secs_f64() * 3000.0) as u32;
        while n_written < n_due {
            writeln!(output, "{:.6} line {n_written}", now()).expect("we are listened to");
            n_written += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    writeln!(output, "{:.6} the end ", now()).expect("we are listened to");
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |now| now.as_secs_f64())
}
