//! Programs write numbered lines, the process that drains them is killed with SIGKILL every few milliseconds
//! and started again. Every line must be in the files exactly once, in order and whole, whatever becomes of it on its
//! way.
//!
//! `LOG_KILL_MEGABYTES` sets the volume (16 for each case), `LOG_KILL_SEED` repeats a run, `LOG_KILL_ONLY` names one
//! case.

mod support;

use rustix::fs::OFlags;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use supervisord::log::drain::handoff::{self, KeeperStore};
use supervisord::log::drain::pump;
use supervisord::log::sinks::file::Limits;
use supervisord::log::sinks::open::PLAIN_MODE;
use supervisord::log::sinks::rotate::backup_name;
use supervisord::log::sinks::sink::SinkSpec;
use supervisord::log::spool::Spool;
use supervisord::log::spool::transfer::{self, Transfer};
use supervisord::log::stream::LogStream;
use supervisord::log::stream::spec::StreamSpec;
use supervisord::log::transform::TransformSpec;
use supervisord::log::transform::lines::{LineFormat, Whose};
use supervisord::model::config::Timestamps;
use supervisord::model::stream::Stream;
use supervisord::rt;
use supervisord::shm::cursor::Cursor;
use supervisord::shm::layout::ManagerMemory;
use supervisord::sys::memory::Mapping;
use support::Random;

const LINE: usize = 128;
const MAXBYTES: u64 = 1_000_000;
const BACKUPS: u32 = 100_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("writer") => writer(Way::from_name(&arguments[2]), &arguments[3]),
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
    let only = std::env::var("LOG_KILL_ONLY").ok().map(|name| Way::from_name(&name));
    println!("seed {seed}");
    for (way, n_writers, volumes) in [
        (Way::Raw, 1, 1),
        (Way::Raw, 50, 4),
        (Way::Formatted, 1, 1),
        (Way::Formatted, 20, 1),
        (Way::Json, 1, 1),
        (Way::Stripped, 1, 1),
        (Way::Pieces, 1, 1),
        (Way::Twice, 1, 1),
        (Way::Shared, 2, 1),
    ] {
        if only.is_some_and(|only| only != way) {
            continue;
        }
        // The pipes of many programs hold much: only a larger volume outlasts a few kills.
        let n_lines = volumes * megabytes * 1_000_000 / LINE / n_writers;
        let n_kills = kill_while_logging(way, n_writers, n_lines, &mut Random::new(seed as u64));
        println!(
            "{way:?}: {n_writers} writers, {n_lines} lines each, {n_kills} kills: everything is there once"
        );
        assert!(n_kills > 1, "too few kills to mean anything");
    }
}

/// What becomes of lines on their way to their file.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// Nothing: they go inside the kernel.
    Raw,
    /// They get a time and a prefix.
    Formatted,
    Json,
    /// They lose their colours.
    Stripped,
    /// They get a prefix, and are written in pieces that end anywhere.
    Pieces,
    /// They get a prefix and go to two files.
    Twice,
    /// They get a prefix, and all go to one file.
    Shared,
}

impl Way {
    const ALL: [Way; 7] =
        [Way::Raw, Way::Formatted, Way::Json, Way::Stripped, Way::Pieces, Way::Twice, Way::Shared];

    fn from_name(name: &str) -> Way {
        Way::ALL.into_iter().find(|way| format!("{way:?}") == name).expect("the name of a way")
    }

    /// The files of the log of a writer, without rotated ones.
    fn logs(self, dir: &Path, writer: usize) -> Vec<PathBuf> {
        match self {
            Way::Twice => vec![dir.join(format!("{writer}.one")), dir.join(format!("{writer}.two"))],
            Way::Shared => vec![dir.join("all")],
            _ => vec![dir.join(writer.to_string())],
        }
    }

    fn transform(self, writer: usize) -> TransformSpec {
        let text = |timestamps| Some(LineFormat::Text { timestamps, prefix: prefix(writer) });
        let line_format = match self {
            Way::Raw | Way::Stripped => None,
            Way::Formatted => text(Timestamps::Default),
            Way::Pieces | Way::Twice | Way::Shared => text(Timestamps::Off),
            Way::Json => {
                let process = prefix(writer);
                let (program, group, prefix) = (process.clone(), process.clone(), String::new());
                let whose = Whose { program, group, process, stream: "stdout", prefix };
                Some(LineFormat::Json { timestamps: Timestamps::Off, whose })
            }
        };
        TransformSpec { line_format, strip_ansi: self == Way::Stripped, ..TransformSpec::default() }
    }

    /// What a program writes as its line of this number.
    fn written(self, number: usize) -> Vec<u8> {
        let line = numbered(number);
        match self {
            Way::Stripped => [b"\x1b[1;31m", &line[..LINE - 1], b"\x1b[0m\n"].concat(),
            _ => line,
        }
    }

    /// The writer of a line in a file, and its number; `None` for one that is torn.
    fn parse(self, line: &str) -> Option<(usize, usize)> {
        let line = match self {
            Way::Raw | Way::Stripped => return Some((0, parse_number(line)?)),
            Way::Json => {
                let value: serde_json::Value = serde_json::from_str(line).ok()?;
                format!("{} {}", value["process"].as_str()?, value["line"].as_str()?)
            }
            Way::Formatted => {
                let (time, line) = line.split_at_checked("2000-01-01 00:00:00,000 ".len())?;
                let is_time = time.chars().all(|c| c.is_ascii_digit() || "-: ,".contains(c));
                is_time.then(|| line.to_string())?
            }
            Way::Pieces | Way::Twice | Way::Shared => line.to_string(),
        };
        let (writer, number) = line.strip_prefix("web")?.split_once(' ')?;
        Some((writer.parse().ok()?, parse_number(number)?))
    }
}

/// What stands in front of formatted lines.
fn prefix(writer: usize) -> String {
    format!("web{writer}")
}

fn parse_number(line: &str) -> Option<usize> {
    (line.len() == LINE - 1).then(|| line.parse().ok()).flatten()
}

fn variable(name: &str) -> Option<usize> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
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
        let arguments = ["writer", &format!("{way:?}"), &n_lines.to_string()];
        let writer = Command::new(&me).args(arguments).stdout(write).spawn().unwrap();
        writers.0.push(writer);
        pipes.push(read);
    }
    let transfer = Transfer::create().unwrap();
    let spools: Vec<OwnedFd> = pipes.iter().map(|_| Spool::new_file().unwrap()).collect();
    let (memory, _mapping) = Mapping::<ManagerMemory>::create("memory").unwrap();
    let held = pipes.iter().chain(&spools).map(AsRawFd::as_raw_fd);
    let held =
        transfer.descriptors().map(|fd| fd.as_raw_fd()).into_iter().chain([memory.as_raw_fd()]).chain(held);
    let names: Vec<String> = held.map(|fd| format!("/proc/{}/fd/{fd}", std::process::id())).collect();
    let megabytes = (n_writers * n_lines * LINE / 1_000_000) as u64;
    let patience = Duration::from_secs(120 + megabytes / 2);
    let deadline = Instant::now() + patience;
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
        assert!(Instant::now() < deadline, "the writers are not done after {patience:?}");
    }
    for spool in &spools {
        assert_eq!(rustix::fs::fstat(spool).unwrap().st_blocks, 0, "nothing is kept of what is written");
    }
    match way {
        Way::Raw => (0..n_writers).for_each(|number| verify_raw(&way.logs(dir.path(), number)[0], n_lines)),
        Way::Shared => verify(way, &way.logs(dir.path(), 0)[0], 0..n_writers, n_lines),
        _ => {
            for number in 0..n_writers {
                let logs = way.logs(dir.path(), number);
                logs.iter().for_each(|log| verify(way, log, number..number + 1, n_lines));
            }
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

/// The files of a log, oldest first. Whoever was killed during the last rotation has left out a number, which the next
/// one would have closed.
fn files_of(path: &Path) -> Vec<PathBuf> {
    let exists = |number: &u32| backup_name(path, *number).exists();
    let numbers = (1..).take_while(|number| exists(number) || exists(&(number + 1))).filter(exists);
    let mut names: Vec<PathBuf> = numbers.map(|number| backup_name(path, number)).collect();
    names.reverse();
    names.push(path.to_path_buf());
    names
}

/// The lines of each of these writers must be there once and in order.
#[track_caller]
fn verify(way: Way, path: &Path, writers: std::ops::Range<usize>, n_lines: usize) {
    let mut next = vec![0; writers.end];
    let mut text = String::new();
    for name in files_of(path) {
        let part = std::fs::read_to_string(&name).unwrap();
        let longest = MAXBYTES + part.lines().map(str::len).max().unwrap_or(0) as u64;
        assert!(part.len() as u64 <= longest, "{} is too long", name.display());
        // Who writes in pieces may be so slow that a file does not wait for the rest of a line.
        let whole = way == Way::Pieces || part.is_empty() || part.ends_with('\n');
        assert!(whole, "{} ends within a line", name.display());
        text.push_str(&part);
    }
    for line in text.split_terminator('\n') {
        let Some((writer, number)) = way.parse(line) else { panic!("{}: torn: {line:?}", path.display()) };
        // What is only stripped does not say whose it is.
        let writer = if way == Way::Stripped { writers.start } else { writer };
        assert_eq!(number, next[writer], "of writer {writer} in {}", path.display());
        next[writer] += 1;
    }
    for writer in writers {
        assert_eq!(next[writer], n_lines, "the last line of writer {writer} in {}", path.display());
    }
}

/// The files put together, oldest first, must be the lines in order.
#[track_caller]
fn verify_raw(path: &Path, n_lines: usize) {
    let names = files_of(path);
    let mut text = Vec::new();
    for name in &names {
        let bytes = std::fs::read(name).unwrap_or_default();
        assert!(bytes.len() < MAXBYTES as usize + LINE, "{} is too long", name.display());
        assert!(name == path || bytes.len() as u64 >= MAXBYTES, "{} is too short", name.display());
        assert!(bytes.len() % LINE == 0, "{} ends within a line", name.display());
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

/// `writer WAY LINES`
fn writer(way: Way, n_lines: &str) {
    // One write per line, as a program that flushes would.
    let mut stdout = std::fs::File::from(rustix::io::dup(rustix::stdio::stdout()).unwrap());
    let mut random = Random::new(7);
    let mut rest = Vec::new();
    for number in 0..n_lines.parse::<usize>().unwrap() {
        let line = way.written(number);
        if way != Way::Pieces {
            stdout.write_all(&line).unwrap();
            continue;
        }
        rest.extend(line);
        let n_bytes = random.below(rest.len() as u64 + 1) as usize;
        stdout.write_all(&rest[..n_bytes]).unwrap();
        rest.drain(..n_bytes);
    }
    stdout.write_all(&rest).unwrap();
}

/// What the test holds in the place of a keeper.
struct Held(Mapping<ManagerMemory>);

impl KeeperStore for Held {
    fn register_log(&self, _: &[u64], _: BorrowedFd<'_>) {}

    fn confirm_log(&self, _: u64) {}

    fn discard(&self, _: u64) {}

    fn release(&self, _: u64) {}

    fn register_spool(&self, _: u64, _: BorrowedFd<'_>) -> bool {
        false
    }

    fn register_queue(&self, _: u64, _: BorrowedFd<'_>) {}

    fn is_spool(&self, _: u64) -> bool {
        true
    }

    fn holds(&self, _: u64) -> bool {
        true
    }

    fn cursor(&self, stream: u64) -> Option<&Cursor> {
        self.0.get().cursors.get(stream as usize).map(|both| &both[0])
    }
}

/// `drainer WAY DIR TRANSFER TRANSFER TRANSFER MEMORY PIPE... SPOOL...`: logs what comes out of the pipes until all
/// have ended.
fn drainer(way: Way, dir: &Path, held: &[String]) {
    let (transfer, held) = held.split_at(3);
    let (memory, held) = held.split_at(1);
    let (pipes, spools) = held.split_at(held.len() / 2);
    let ends = [(0, OFlags::RDONLY), (1, OFlags::WRONLY), (2, OFlags::RDWR)];
    let ends = ends.map(|(number, access)| open(&transfer[number], access));
    transfer::install(Transfer::resume(ends).unwrap());
    let memory = Mapping::map(open(&memory[0], OFlags::RDWR)).unwrap();
    handoff::install(Box::new(Held(memory)));
    let mut streams = Vec::new();
    for (number, (pipe, spool)) in pipes.iter().zip(spools).enumerate() {
        let limits = Limits { maxbytes: MAXBYTES, backups: BACKUPS };
        let sink = |path| SinkSpec::Path { path, mode: PLAIN_MODE, limits };
        let spec = StreamSpec {
            process: "w".to_string(),
            group: "w".to_string(),
            channel: Stream::Stdout,
            readable: true,
            sinks: way.logs(dir, number).into_iter().map(sink).collect(),
            transform: way.transform(number),
        };
        let mut stream = LogStream::new(spec, open(pipe, OFlags::RDONLY));
        let spool = (way != Way::Raw).then(|| open(spool, OFlags::RDWR));
        stream.resume_as(number as u64 + 1, spool, None);
        streams.push(Arc::new(Mutex::new(stream)));
    }
    streams.iter().for_each(|stream| stream.lock().unwrap().finish_lines());
    streams.iter().for_each(|stream| stream.lock().unwrap().finish_writes());
    let pump = |stream: &Arc<Mutex<LogStream>>| rt::spawn(pump::pump(stream, |_| ()).unwrap());
    let tasks: Vec<_> = streams.iter().map(pump).collect();
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
