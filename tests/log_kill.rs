//! Programs write numbered lines, the process that drains them is killed with SIGKILL every few milliseconds
//! and started again. Every line must be in the files exactly once and in order; where lines are dressed up on
//! their way, at least once.
//!
//! `LOG_KILL_MEGABYTES` sets the volume (16 for each case), `LOG_KILL_SEED` repeats a run.

use rustix::fs::OFlags;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use supervisord::log::file::Limits;
use supervisord::log::lines::Dress;
use supervisord::log::open::PLAIN_MODE;
use supervisord::log::pump;
use supervisord::log::rotate::backup_name;
use supervisord::log::shape::ShapeSpec;
use supervisord::log::sink::SinkSpec;
use supervisord::log::stream::{LogStream, StreamSpec};
use supervisord::log::transfer::{self, Transfer};
use supervisord::manager::rt;
use supervisord::model::config::Timestamps;
use supervisord::rpc::api::Stream;

const LINE: usize = 128;
/// In front of a dressed line, with a blank.
const PREFIX: &str = "web";
const MAXBYTES: u64 = 1_000_000;
const BACKUPS: u32 = 100_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("writer") => writer(&arguments[2]),
        Some("drainer") => drainer(Way::from_name(&arguments[2]), Path::new(&arguments[3]), &arguments[4..]),
        // What `cargo test` passes on, for example a filter or --list, has no meaning here.
        _ => run_all(),
    }
}

fn run_all() {
    let megabytes: usize = variable("LOG_KILL_MEGABYTES").unwrap_or(16);
    let seed = variable("LOG_KILL_SEED").unwrap_or_else(|| {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos() as usize
    });
    println!("seed {seed}");
    for (way, n_writers, volumes) in [(Way::Raw, 1, 1), (Way::Raw, 50, 4), (Way::Dressed, 1, 1)] {
        // The pipes of many programs hold much: only a larger volume outlasts a few kills.
        let n_lines = volumes * megabytes * 1_000_000 / LINE / n_writers;
        let n_kills = kill_while_logging(way, n_writers, n_lines, &mut Random(seed as u64 | 1));
        println!("{way:?}: {n_writers} writers, {n_lines} lines each, {n_kills} kills: nothing was lost");
        assert!(n_kills > 1, "too few kills to mean anything");
    }
}

/// How lines go to their file.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// Inside the kernel.
    Raw,
    /// Through memory.
    Dressed,
}

impl Way {
    fn from_name(name: &str) -> Way {
        if name == "Raw" { Way::Raw } else { Way::Dressed }
    }
}

fn variable(name: &str) -> Option<usize> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Marsaglia's xorshift: enough to be irregular, and repeatable.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Ends what it holds, however the test ends.
struct Guard(Vec<Child>);

impl Drop for Guard {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn kill_while_logging(way: Way, n_writers: usize, n_lines: usize, random: &mut Random) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let me = std::env::current_exe().unwrap();
    let mut writers = Guard(Vec::new());
    // Our reading ends are what the keeper holds: they outlive every drainer.
    let mut pipes: Vec<OwnedFd> = Vec::new();
    for _ in 0..n_writers {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let writer = Command::new(&me).args(["writer", &n_lines.to_string()]).stdout(write).spawn().unwrap();
        writers.0.push(writer);
        pipes.push(read);
    }
    let transfer = Transfer::create().unwrap();
    let held = pipes.iter().map(AsRawFd::as_raw_fd);
    let held = transfer.descriptors().map(|fd| fd.as_raw_fd()).into_iter().chain(held);
    let names: Vec<String> = held.map(|fd| format!("/proc/{}/fd/{fd}", std::process::id())).collect();
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut n_kills = 0;
    loop {
        let mut drainer = Guard(vec![start_drainer(way, &me, dir.path(), &names)]);
        let life = Instant::now() + Duration::from_micros(random.below(8000));
        let ended = wait_until(life, || drainer.0[0].try_wait().unwrap().is_some());
        let done = ended && writers.0.iter_mut().all(|writer| writer.try_wait().unwrap().is_some());
        let all_taken = pipes.iter().all(|pipe| rustix::io::ioctl_fionread(pipe).unwrap() == 0);
        if done && all_taken && transfer.waiting() == 0 {
            break;
        }
        drainer.0[0].kill().unwrap();
        n_kills += 1;
        assert!(Instant::now() < deadline, "the writers are not done after 2 minutes");
    }
    for number in 0..n_writers {
        let path = dir.path().join(number.to_string());
        match way {
            Way::Raw => verify(&path, n_lines),
            Way::Dressed => verify_nothing_is_missing(&path, n_lines),
        }
    }
    n_kills
}

fn start_drainer(way: Way, me: &Path, dir: &Path, pipes: &[String]) -> Child {
    let mut child = Command::new(me)
        .args(["drainer", &format!("{way:?}")])
        .arg(dir)
        .args(pipes)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It says when it has begun, so that its random life is spent draining.
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child
}

fn wait_until(deadline: Instant, mut condition: impl FnMut() -> bool) -> bool {
    while Instant::now() < deadline {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    condition()
}

/// The files of a log, oldest first.
fn files_of(path: &Path) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> =
        (1..).map(|i| backup_name(path, i)).take_while(|name| name.exists()).collect();
    names.reverse();
    names.push(path.to_path_buf());
    names
}

/// Every line must be there with its prefix. A line may be there twice, and behind a piece of one that was being
/// written when the drainer was killed.
#[track_caller]
fn verify_nothing_is_missing(path: &Path, n_lines: usize) {
    let mut seen = vec![false; n_lines];
    for name in files_of(path) {
        let text = std::fs::read_to_string(name).unwrap();
        for line in text.split_inclusive('\n') {
            let Some(begin) = line.len().checked_sub(LINE + PREFIX.len() + 1) else { continue };
            let number = line[begin..].strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix(' '));
            if let Some(number) = number {
                seen[number.trim_end().parse::<usize>().unwrap()] = true;
            }
        }
    }
    assert_eq!(seen.iter().position(|seen| !seen), None, "the first line that is missing");
}

/// The files put together, oldest first, must be the lines in order.
#[track_caller]
fn verify(path: &Path, n_lines: usize) {
    let names = files_of(path);
    let mut text = Vec::new();
    for name in &names {
        let bytes = std::fs::read(name).unwrap_or_default();
        assert!(bytes.len() as u64 <= MAXBYTES, "{} is too long", name.display());
        assert!(name == path || bytes.len() as u64 == MAXBYTES, "{} is too short", name.display());
        text.extend(bytes);
    }
    for (number, line) in text.chunks(LINE).enumerate() {
        let expected = numbered(number);
        assert!(line == expected, "line {number}: {:?}", String::from_utf8_lossy(line));
    }
    assert_eq!(text.len(), n_lines * LINE, "in {} files", names.len());
}

fn numbered(number: usize) -> Vec<u8> {
    format!("{number:0>width$}\n", width = LINE - 1).into_bytes()
}

/// `writer LINES`
fn writer(n_lines: &str) {
    // One write per line, as a program that flushes would.
    let mut stdout = std::fs::File::from(rustix::io::dup(rustix::stdio::stdout()).unwrap());
    for number in 0..n_lines.parse::<usize>().unwrap() {
        stdout.write_all(&numbered(number)).unwrap();
    }
}

/// `drainer WAY DIR TRANSFER TRANSFER TRANSFER PIPE...`: logs each pipe to a numbered file until all have ended.
fn drainer(way: Way, dir: &Path, pipes: &[String]) {
    let prefix = Dress::Text { timestamps: Timestamps::Off, prefix: PREFIX.to_string() };
    let dress = (way == Way::Dressed).then_some(prefix);
    let (transfer, pipes) = pipes.split_at(3);
    let held = [(0, OFlags::RDONLY), (1, OFlags::WRONLY), (2, OFlags::RDWR)];
    let held = held.map(|(number, access)| open(&transfer[number], access));
    transfer::install(Transfer::resume(held).unwrap());
    let mut tasks = Vec::new();
    for (number, pipe) in pipes.iter().enumerate() {
        let pipe = open(pipe, OFlags::RDONLY);
        let limits = Limits { maxbytes: MAXBYTES, backups: BACKUPS };
        let sink = SinkSpec::Path { path: dir.join(number.to_string()), mode: PLAIN_MODE, limits };
        let spec = StreamSpec {
            process: "w".to_string(),
            group: "w".to_string(),
            channel: Stream::Stdout,
            readable: true,
            sinks: vec![sink],
            shape: ShapeSpec { dress: dress.clone(), ..ShapeSpec::default() },
        };
        let mut stream = LogStream::new(spec, pipe);
        stream.resume_as(number as u64 + 1, None);
        let stream = Arc::new(Mutex::new(stream));
        tasks.push(rt::spawn(pump::pump(&stream, |_| ()).unwrap()));
    }
    let mut stdout = BufWriter::new(std::io::stdout());
    writeln!(stdout, "draining").unwrap();
    stdout.flush().unwrap();
    drop(stdout);
    tasks.into_iter().for_each(|task| rt::block_on(task.join()));
}

/// Opens what the test holds. The name of a pipe gives a description of our own of the same pipe.
fn open(name: &str, access: OFlags) -> OwnedFd {
    let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(name, flags, rustix::fs::Mode::empty()).unwrap()
}
