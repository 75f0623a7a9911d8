//! From the moment at which a program says that it is ready to the first instruction of the program that waits for it.

use crate::program::{Births, now, tell};
use crate::support::{Daemon, Side, Start, flag, text};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// As first argument it makes this binary a program that others wait for.
pub const WORD: &str = "--ready";

/// The descriptor that `fd:` names.
const FD: i32 = 7;

/// How a program says it.
#[derive(Clone, Copy, Debug)]
pub enum How {
    Fd,
    Notify,
    Log,
}

impl How {
    pub const ALL: [How; 3] = [How::Fd, How::Notify, How::Log];

    fn word(self) -> &'static str {
        match self {
            How::Fd => "fd",
            How::Notify => "notify",
            How::Log => "log",
        }
    }

    fn probe(self) -> String {
        match self {
            How::Fd => format!("fd:{FD}"),
            How::Notify => "notify".into(),
            How::Log => "log:^ready$".into(),
        }
    }
}

/// Tells the moment to the pipe that the last argument names, then says that it is ready in the way of the first.
pub fn run(arguments: &[String]) -> ! {
    let [how, pipe] = arguments else { panic!("how, and the path of the pipe") };
    tell(pipe, now());
    match how.as_str() {
        "fd" => {
            let path = format!("/proc/self/fd/{FD}");
            let mut ready = OpenOptions::new().write(true).open(path).expect("the daemon gave it to us");
            ready.write_all(b"\n").expect("the daemon reads it");
        }
        "notify" => {
            let path = std::env::var("NOTIFY_SOCKET").expect("the daemon names its socket");
            let socket = UnixDatagram::unbound().expect("a socket can be made");
            socket.send_to(b"READY=1", path).expect("the daemon hears it");
        }
        _ => println!("ready"),
    }
    loop {
        nix::unistd::pause();
    }
}

/// The times of so many starts, sorted.
pub fn measure(how: How, times: usize) -> Vec<Duration> {
    let mut births = Births::new();
    let this = std::env::current_exe().expect("Linux names the running binary");
    let words: Vec<String> = births.command().iter().map(|word| word.display().to_string()).collect();
    let conf = format!(
        "[program:first]\ncommand={} {WORD} {} {}\nautostart=false\nready={}\n\
         [program:second]\ncommand={}\nautostart=false\ndepends_on=first\nstartsecs=0\n",
        this.display(),
        how.word(),
        births.path().display(),
        how.probe(),
        words.join(" ")
    );
    let mut daemon: Daemon = Start::new(Side::under_test(), &conf).spawn();
    daemon.wait_ready();
    let mut round = || {
        daemon.call("supervisor.startProcess", vec![text("second"), flag(true)]);
        let [said, born] = [births.next().at, births.next().at];
        for name in ["second", "first"] {
            daemon.call("supervisor.stopProcess", vec![text(name), flag(true)]);
        }
        Duration::from_nanos(born.saturating_sub(said))
    };
    let mut times: Vec<Duration> = (0..times).map(|_| round()).collect();
    times.sort();
    times
}
