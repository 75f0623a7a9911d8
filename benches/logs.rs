//! How fast program output reaches its logs, and what that costs, beside a bare loop and the original.
//!
//! `cargo bench --bench logs -- [MEGABYTES]`; the original is the one in `$SUPERVISOR_VENV`, and without it only
//! the others are shown. Each scenario starts programs that write a volume as fast as they can; the rate is
//! the volume over the time from the first write to the last, the cost the daemon's CPU time per 10^9 bytes.
//!
//! The bare loop waits with poll(2), moves bytes with splice(2), rotates, and does nothing else: less than
//! copying every byte once into the page cache is not to be had, and that is most of what a log costs.

use rustix::event::{PollFd, PollFlags};
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Programs at once, and the size of their writes.
struct Scenario {
    name: &'static str,
    n_writers: usize,
    write_size: usize,
}

const SCENARIOS: [Scenario; 3] = [
    Scenario { name: "100-byte lines", n_writers: 1, write_size: 100 },
    Scenario { name: "4 KiB writes", n_writers: 1, write_size: 4096 },
    Scenario { name: "50 writers, 100-byte lines", n_writers: 50, write_size: 100 },
];

/// What one run showed.
struct Figures {
    megabytes_per_second: f64,
    cpu_seconds_per_gigabyte: f64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("writer") => writer(&arguments[2..]),
        Some("drain") => drain(&arguments[2..]),
        _ => compare(&arguments),
    }
}

fn compare(arguments: &[String]) {
    let megabytes = arguments.iter().find_map(|argument| argument.parse::<u64>().ok()).unwrap_or(1000);
    let only = std::env::var("LOG_BENCH_ONLY").unwrap_or_default();
    let ours = Daemon::Supervisor(env!("CARGO_BIN_EXE_supervisord").into());
    let venv = std::env::var_os("SUPERVISOR_VENV").map(PathBuf::from);
    let original = venv.map(|venv| venv.join("bin/supervisord")).filter(|program| program.exists());
    let original = original.map(Daemon::Supervisor);
    println!("{:<28}{:>20}{:>20}{:>20}", "", "bare loop", "ours", "original");
    for scenario in SCENARIOS.iter().filter(|scenario| scenario.name.contains(&only)) {
        let volume = megabytes * 1_000_000;
        let floor = run(scenario, volume, &Daemon::Bare);
        let ours = run(scenario, volume, &ours);
        let theirs = original.as_ref().map(|program| run(scenario, volume, program));
        print!("{:<28}{:>20}{:>20}", scenario.name, show(&floor), show(&ours));
        println!("{:>20}", theirs.as_ref().map_or("-".to_string(), show));
        println!(
            "{:<28}{:>20}{}",
            "  ours to it",
            ratio(&ours, &floor),
            " ".repeat(20)
                + &match &theirs {
                    Some(theirs) => format!("{:>20}", ratio(&ours, theirs)),
                    None => String::new(),
                }
        );
    }
}

fn ratio(ours: &Figures, others: &Figures) -> String {
    let rate = ours.megabytes_per_second / others.megabytes_per_second;
    let cpu = ours.cpu_seconds_per_gigabyte / others.cpu_seconds_per_gigabyte;
    format!("rate {rate:.2}x CPU {cpu:.2}x")
}

fn show(figures: &Figures) -> String {
    format!("{:.0} MB/s {:.2} s/GB", figures.megabytes_per_second, figures.cpu_seconds_per_gigabyte)
}

/// What takes the output.
enum Daemon {
    Supervisor(PathBuf),
    /// This program, with the bare loop.
    Bare,
}

/// One scenario with one daemon, in a directory of its own.
fn run(scenario: &Scenario, volume: u64, daemon: &Daemon) -> Figures {
    let base = std::env::var_os("LOG_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::Builder::new().prefix("logs").tempdir_in(base).unwrap();
    let mut child = Running(daemon.start(scenario, volume, dir.path()));
    let deadline = Instant::now() + Duration::from_secs(300);
    let times = loop {
        let times = finished(dir.path());
        if times.len() == scenario.n_writers {
            break times;
        }
        assert!(Instant::now() < deadline, "{} is not done after 5 minutes", scenario.name);
        std::thread::sleep(Duration::from_millis(50));
    };
    let cpu = Daemon::cpu_seconds(child.0.id());
    child.end();
    let begin = times.iter().map(|(begin, _)| *begin).fold(f64::MAX, f64::min);
    let end = times.iter().map(|(_, end)| *end).fold(0.0, f64::max);
    Figures {
        megabytes_per_second: volume as f64 / 1e6 / (end - begin),
        cpu_seconds_per_gigabyte: cpu / (volume as f64 / 1e9),
    }
}

/// Ends the daemon, and with it its programs, however the bench ends.
struct Running(Child);

impl Running {
    fn end(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        if matches!(self.0.try_wait(), Ok(None)) {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
            self.0.wait().unwrap();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// The first and last moment of every writer that is done.
fn finished(dir: &Path) -> Vec<(f64, f64)> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    names
        .filter(|path| path.extension().is_some_and(|extension| extension == "time"))
        .filter_map(|path| fs::read_to_string(path).ok())
        .filter_map(|text| text.split_once(' ').map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap())))
        .collect()
}

/// User and system time of a process, by proc_pid_stat(5).
fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    ticks as f64 / 100.0
}

impl Daemon {
    fn start(&self, scenario: &Scenario, volume: u64, dir: &Path) -> Child {
        let me = std::env::current_exe().unwrap();
        let share = volume / scenario.n_writers as u64;
        let (n_writers, write_size) = (scenario.n_writers, scenario.write_size);
        let (d, me) = (dir.display(), me.display());
        let text = format!(
            "[supervisord]\nnodaemon=true\nlogfile={d}/activity\npidfile={d}/pid\nuser=root\n\
             [program:w]\nprocess_name=w%(process_num)s\nnumprocs={n_writers}\nautorestart=false\n\
             command={me} writer {d}/%(process_num)s.time {write_size} {share}\n\
             stdout_logfile={d}/%(process_num)s.out\n",
        );
        let conf = dir.join("conf");
        fs::write(&conf, text).unwrap();
        let mut command = match self {
            Daemon::Supervisor(program) => Command::new(program),
            Daemon::Bare => {
                let mut command = Command::new(std::env::current_exe().unwrap());
                command
                    .arg("drain")
                    .arg(dir)
                    .args([n_writers, write_size, share as usize].map(|n| n.to_string()));
                command
            }
        };
        command.arg("-c").arg(conf).stdout(Stdio::null()).spawn().unwrap()
    }

    /// User and system time that the daemon has used: all of its processes, none of its programs'.
    fn cpu_seconds(pid: u32) -> f64 {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let exe = |pid: u32| fs::read_link(format!("/proc/{pid}/exe")).ok();
        let children = children.split_whitespace().map(|pid| pid.parse().unwrap());
        // Our daemon's manager is its child, and the same binary; the programs are not.
        let managers = children.filter(|child| exe(*child) == exe(pid));
        cpu_seconds(pid) + managers.map(cpu_seconds).sum::<f64>()
    }
}

/// As `stdout_logfile_maxbytes` and `stdout_logfile_backups` are if they are not set.
const MAXBYTES: u64 = 50 << 20;
const BACKUPS: u32 = 10;

/// One log of the bare loop.
struct Drain {
    pipe: OwnedFd,
    path: PathBuf,
    file: File,
    size: u64,
}

impl Drain {
    /// Moves what is there; `false` at the end.
    fn turn(&mut self) -> bool {
        let room = (MAXBYTES - self.size) as usize;
        let flags = rustix::pipe::SpliceFlags::NONBLOCK;
        let mut offset = self.size;
        match rustix::pipe::splice(&self.pipe, None, &self.file, Some(&mut offset), room, flags) {
            Ok(0) => return false,
            Ok(n_bytes) => self.size += n_bytes as u64,
            Err(errno) => assert_eq!(errno, rustix::io::Errno::AGAIN),
        }
        if self.size == MAXBYTES {
            let backup = |number: u32| format!("{}.{number}", self.path.display());
            let _ = fs::remove_file(backup(BACKUPS));
            for number in (1..BACKUPS).rev() {
                let _ = fs::rename(backup(number), backup(number + 1));
            }
            fs::rename(&self.path, backup(1)).unwrap();
            self.file = File::create(&self.path).unwrap();
            self.size = 0;
        }
        true
    }
}

/// `drain DIR N SIZE SHARE`: N writers and the bare loop; stays until it is killed.
fn drain(arguments: &[String]) {
    let dir = Path::new(&arguments[0]);
    let n_writers: usize = arguments[1].parse().unwrap();
    // What our daemon gives to so many busy programs.
    let pipe_size = (4 << 20) / n_writers.next_power_of_two().max(8);
    let (mut drains, mut writers) = (Vec::new(), Vec::new());
    for number in 0..n_writers {
        let (pipe, write_end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        rustix::pipe::fcntl_setpipe_size(&pipe, pipe_size).unwrap();
        let path = dir.join(format!("{number}.out"));
        drains.push(Drain { pipe, file: File::create(&path).unwrap(), path, size: 0 });
        let mut writer = Command::new(std::env::current_exe().unwrap());
        writer.arg("writer").arg(dir.join(format!("{number}.time"))).args(&arguments[2..4]).stdout(write_end);
        writers.push(writer.spawn().unwrap());
    }
    while !drains.is_empty() {
        let mut waiting: Vec<PollFd> =
            drains.iter().map(|drain| PollFd::new(&drain.pipe, PollFlags::IN)).collect();
        rustix::event::poll(&mut waiting, None).unwrap();
        let mut ready: Vec<bool> = waiting.iter().map(|pipe| !pipe.revents().is_empty()).collect();
        drop(waiting);
        let mut ready = ready.drain(..);
        drains.retain_mut(|drain| !ready.next().unwrap() || drain.turn());
    }
    writers.iter_mut().for_each(|writer| drop(writer.wait()));
    loop {
        std::thread::park();
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// `writer FILE SIZE VOLUME`: writes the volume in pieces, then the first and last moment into the file.
fn writer(arguments: &[String]) {
    let (size, volume): (usize, usize) = (arguments[1].parse().unwrap(), arguments[2].parse().unwrap());
    let mut piece = vec![b'x'; size];
    piece[size - 1] = b'\n';
    let begin = now();
    let mut left = volume;
    while left > 0 {
        left -= rustix::io::write(rustix::stdio::stdout(), &piece[..size.min(left)]).unwrap();
    }
    let times = format!("{begin} {}", now());
    let fresh = format!("{}.new", arguments[0]);
    fs::write(&fresh, times).unwrap();
    fs::rename(&fresh, &arguments[0]).unwrap();
}
