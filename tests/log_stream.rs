//! A program's output on its way from the pipe to its logs.

mod log_support;
mod support;

use log_support::{SmallDisk, numbered_lines, text};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use supervisord::log::drain::pump;
use supervisord::log::sinks::file::Limits;
use supervisord::log::sinks::open::PLAIN_MODE;
use supervisord::log::sinks::sink::SinkSpec;
use supervisord::log::stream::LogStream;
use supervisord::log::stream::spec::StreamSpec;
use supervisord::log::transform::TransformSpec;
use supervisord::log::transform::lines::LineFormat;
use supervisord::model::config::Timestamps;
use supervisord::model::stream::Stream;
use supervisord::rt;
use support::{LONG, until};

const NO_LIMITS: Limits = Limits { maxbytes: 0, backups: 0 };

fn to_file(path: PathBuf, limits: Limits) -> SinkSpec {
    SinkSpec::Path { path, mode: PLAIN_MODE, limits }
}

fn spec(sinks: Vec<SinkSpec>) -> StreamSpec {
    StreamSpec {
        process: "web".into(),
        group: "web".into(),
        channel: Stream::Stdout,
        readable: true,
        sinks,
        transform: TransformSpec::default(),
    }
}

/// A stream and the program's end of its pipe.
fn stream(sinks: Vec<SinkSpec>) -> (LogStream, std::fs::File) {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    (LogStream::new(spec(sinks), read), std::fs::File::from(write))
}

#[test]
fn a_drain_empties_the_pipe_and_tells_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let (mut stream, mut program) = stream(vec![to_file(path.clone(), NO_LIMITS)]);
    assert_eq!(text(&path), "", "the log exists before anything is written");
    program.write_all(b"one\n").unwrap();
    let drained = stream.drain(1 << 20);
    assert_eq!((drained.n_bytes, drained.more, drained.eof), (4, false, false));
    program.write_all(b"two\n").unwrap();
    let drained = stream.drain(2);
    assert_eq!((drained.n_bytes, drained.more, drained.eof), (2, true, false));
    drop(program);
    let drained = stream.drain(1 << 20);
    assert_eq!((drained.n_bytes, drained.more), (2, false));
    assert!(stream.drain(1 << 20).eof);
    assert_eq!(text(&path), "one\ntwo\n");
}

#[test]
fn a_stream_without_logs_is_drained_all_the_same() {
    let (mut stream, mut program) = stream(vec![]);
    program.write_all(&[b'x'; 50_000]).unwrap();
    assert_eq!(stream.drain(1 << 20).n_bytes, 50_000);
}

#[test]
fn several_sinks_get_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let paths = [dir.path().join("one"), dir.path().join("two")];
    let sinks = paths.iter().map(|path| to_file(path.clone(), NO_LIMITS)).collect();
    let (mut stream, mut program) = stream(sinks);
    program.write_all(b"text\n").unwrap();
    stream.drain(1 << 20);
    assert_eq!(paths.map(|path| text(&path)), ["text\n", "text\n"]);
}

#[test]
fn a_pump_runs_until_the_last_writer_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let (stream, mut program) = stream(vec![to_file(path.clone(), NO_LIMITS)]);
    let stream = Arc::new(Mutex::new(stream));
    let task = rt::spawn(pump::pump(&stream, |_| ()).unwrap());
    assert!(pump::pump(&stream, |_| ()).is_none(), "one pump is enough");
    for number in 0..1000 {
        writeln!(program, "line {number}").unwrap();
    }
    let expected: String = (0..1000).map(|number| format!("line {number}\n")).collect();
    until("all lines are logged", LONG, || text(&path) == expected);
    drop(program);
    rt::block_on(task.join());
    assert!(pump::pump(&stream, |_| ()).is_some(), "the next program needs a new pump");
}

#[test]
fn what_waits_while_the_disk_is_full_is_not_lost() {
    let Some(disk) = SmallDisk::mount(1024) else { return };
    let path = disk.path("log");
    let (mut stream, mut program) = stream(vec![to_file(path.clone(), NO_LIMITS)]);
    program.write_all(b"before\n").unwrap();
    stream.drain(1 << 20);
    let filler = disk.fill();
    let lines = numbered_lines(500);
    program.write_all(lines.as_bytes()).unwrap();
    for _ in 0..20 {
        let drained = stream.drain(1 << 20);
        assert!(drained.pause.is_some() || drained.n_bytes > 0, "it is to be tried again");
    }
    std::fs::remove_file(filler).unwrap();
    until("the pipe is empty", LONG, || stream.drain(1 << 20).n_bytes == 0);
    assert_eq!(text(&path), format!("before\n{lines}"));
}

#[test]
fn a_full_disk_does_not_stop_a_program() {
    let Some(disk) = SmallDisk::mount(4096) else { return };
    let path = disk.path("log");
    let (stream, mut program) = stream(vec![to_file(path.clone(), NO_LIMITS)]);
    let filler = disk.fill();
    let stream = Arc::new(Mutex::new(stream));
    rt::spawn(pump::pump(&stream, |_| ()).unwrap()).detach();
    // Far more than any pipe holds. It has to come to an end although nothing can be written.
    let lines = numbered_lines(100_000);
    let program = std::thread::spawn(move || {
        program.write_all(lines.as_bytes()).unwrap();
        program
    });
    until("the program has written everything", LONG, || program.is_finished());
    std::fs::remove_file(filler).unwrap();
    let mut program = program.join().unwrap();
    program.write_all(b"the end\n").unwrap();
    until("the log works again", LONG, || text(&path).ends_with("the end\n"));
    let kept = text(&path);
    let all = numbered_lines(100_000) + "the end\n";
    assert!(all.ends_with(&kept) && kept.len() > 100_000, "{} bytes kept, and they are the last", kept.len());
}

#[test]
fn one_sink_that_fails_does_not_hurt_the_other() {
    let Some(disk) = SmallDisk::mount(64) else { return };
    let dir = tempfile::tempdir().unwrap();
    let good = dir.path().join("good");
    let sinks = vec![to_file(disk.path("bad"), NO_LIMITS), to_file(good.clone(), NO_LIMITS)];
    let (mut stream, mut program) = stream(sinks);
    let lines = numbered_lines(300);
    for _ in 0..100 {
        program.write_all(lines.as_bytes()).unwrap();
        stream.drain(1 << 20);
    }
    assert_eq!(text(&good), lines.repeat(100));
}

#[test]
fn a_log_that_cannot_be_opened_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let obstacle = dir.path().join("sub");
    std::fs::write(&obstacle, "a file where a directory should be").unwrap();
    let path = obstacle.join("log");
    let (mut stream, mut program) = stream(vec![to_file(path.clone(), NO_LIMITS)]);
    program.write_all(b"patient\n").unwrap();
    assert!(stream.drain(1 << 20).pause.is_some());
    std::fs::remove_file(&obstacle).unwrap();
    until("the log is written", LONG, || stream.drain(1 << 20).n_bytes > 0);
    assert_eq!(text(&path), "patient\n");
}

#[test]
fn a_fifo_gets_what_was_written_before_it_had_a_reader() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let limits = Limits { maxbytes: 10, backups: 1 };
    let (mut stream, mut program) = stream(vec![to_file(path.clone(), limits)]);
    program.write_all(b"longer than the limit\n").unwrap();
    assert!(stream.drain(1 << 20).pause.is_some());
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
    let reader = rustix::fs::open(&path, flags, rustix::fs::Mode::empty()).unwrap();
    until("the FIFO is written to", LONG, || stream.drain(1 << 20).n_bytes > 0);
    let mut buffer = [0; 100];
    let n_bytes = rustix::io::read(&reader, &mut buffer).unwrap();
    assert_eq!(&buffer[..n_bytes], b"longer than the limit\n");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was rotated");
}

/// Whoever waits for such a pipe is told that it can be read, again and again, as long as nobody sees its end.
#[test]
fn the_end_is_seen_though_no_log_can_be_opened() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = |name: &str| {
        let path = dir.path().join(name);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        to_file(path, NO_LIMITS)
    };
    let line_format = LineFormat::Text { timestamps: Timestamps::Off, prefix: "p".into() };
    for (name, sinks, line_format) in [
        ("spliced", vec![fifo("raw")], None),
        ("dressed", vec![fifo("dressed")], Some(line_format)),
        ("of two", vec![fifo("one"), fifo("two")], None),
    ] {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let mut spec = spec(sinks);
        spec.transform.line_format = line_format;
        let mut stream = LogStream::new(spec, read);
        stream.open();
        assert!(!stream.drain(1 << 20).eof, "{name}: the program may write still");
        drop(write);
        let drained = stream.drain(1 << 20);
        assert!(drained.eof && drained.pause.is_none(), "{name}: {drained:?}");
    }
    let (mut stream, mut program) = stream(vec![fifo("waits")]);
    program.write_all(b"waits for a reader\n").unwrap();
    drop(program);
    let drained = stream.drain(1 << 20);
    assert!(!drained.eof && drained.pause.is_some(), "{drained:?}");
}

#[test]
fn a_slow_reader_makes_the_program_wait_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
    let reader = rustix::fs::open(&path, flags, rustix::fs::Mode::empty()).unwrap();
    let (stream, mut program) = stream(vec![to_file(path.clone(), NO_LIMITS)]);
    let stream = Arc::new(Mutex::new(stream));
    rt::spawn(pump::pump(&stream, |_| ()).unwrap()).detach();
    let lines = numbered_lines(30_000);
    let expected = lines.clone();
    let program = std::thread::spawn(move || program.write_all(lines.as_bytes()).unwrap());
    let mut got = Vec::new();
    until("everything has been read", 3 * LONG, || {
        let mut buffer = [0; 10_000];
        if let Ok(n_bytes) = rustix::io::read(&reader, &mut buffer) {
            got.extend_from_slice(&buffer[..n_bytes]);
        }
        got.len() >= expected.len()
    });
    program.join().unwrap();
    assert!(got == expected.as_bytes());
}

#[test]
fn clearing_and_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let (path, moved) = (dir.path().join("log"), dir.path().join("moved"));
    let (mut stream, mut program) = stream(vec![to_file(path.clone(), NO_LIMITS)]);
    program.write_all(b"one\n").unwrap();
    stream.drain(1 << 20);
    stream.clear().unwrap();
    assert_eq!(text(&path), "");
    program.write_all(b"two\n").unwrap();
    stream.drain(1 << 20);
    std::fs::rename(&path, &moved).unwrap();
    stream.reopen();
    program.write_all(b"three\n").unwrap();
    stream.drain(1 << 20);
    assert_eq!((text(&moved), text(&path)), ("two\n".to_string(), "three\n".to_string()));
}

#[test]
fn streams_with_one_file_do_not_overwrite_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("both");
    let limits = Limits { maxbytes: 100_000, backups: 100 };
    let threads = ["o", "e"].map(|letter| {
        let (mut stream, mut program) = stream(vec![to_file(path.clone(), limits)]);
        std::thread::spawn(move || {
            for _ in 0..1000 {
                program.write_all(format!("{}\n", letter.repeat(499)).as_bytes()).unwrap();
                stream.drain(1 << 20);
            }
        })
    });
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let files = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let all: Vec<u8> = files.flat_map(|path| std::fs::read(path).unwrap()).collect();
    let count = |letter| all.iter().filter(|byte| **byte == letter).count();
    assert_eq!((all.len(), count(b'o'), count(b'e')), (1_000_000, 499_000, 499_000));
}

#[test]
fn an_idle_stream_costs_no_wake_ups() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let (stream, mut program) = stream(vec![to_file(path.clone(), NO_LIMITS)]);
    let stream = Arc::new(Mutex::new(stream));
    rt::spawn(pump::pump(&stream, |_| ()).unwrap()).detach();
    // Busy, so that it goes to the mill, then quiet.
    program.write_all(numbered_lines(10_000).as_bytes()).unwrap();
    until("everything is logged", LONG, || text(&path).len() == 1_000_000);
    until("the thread for busy logs has ended", LONG, || !threads().iter().any(|name| name == "logs"));
}

fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|entry| entry.unwrap().path());
    tasks
        .filter_map(|task| Some(std::fs::read_to_string(task.join("comm")).ok()?.trim().to_string()))
        .collect()
}

/// Writes so many bytes in pieces of this size to a log with this limit; the sizes of `f`, `f.1`, ... and
/// whether they are the bytes in order.
#[track_caller]
fn check_rotation(n_bytes: usize, piece: usize, maxbytes: u64, backups: u32, sizes: &[usize]) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let (mut stream, mut program) = stream(vec![to_file(path.clone(), Limits { maxbytes, backups })]);
    // Lines of ten bytes, so that a limit that is a multiple of them is met exactly.
    let letter = |number: usize| b'a' + (number / 10 % 26) as u8;
    let bytes: Vec<u8> =
        (0..n_bytes).map(|number| if number % 10 == 9 { b'\n' } else { letter(number) }).collect();
    for piece in bytes.chunks(piece) {
        program.write_all(piece).unwrap();
        stream.drain(1 << 20);
    }
    let backup = |number| supervisord::log::sinks::rotate::backup_name(&path, number);
    let names = std::iter::once(path.clone()).chain((1..).map(backup));
    let files: Vec<Vec<u8>> = names.map_while(|name| std::fs::read(name).ok()).collect();
    let found: Vec<usize> = files.iter().map(Vec::len).collect();
    assert_eq!(found, sizes, "{n_bytes} in pieces of {piece}");
    let kept: Vec<u8> = files.into_iter().rev().flatten().collect();
    assert!(bytes.ends_with(&kept), "{n_bytes} in pieces of {piece}: not the last bytes in order");
}

#[test]
fn the_kernel_rotates_with_the_line_that_reaches_the_limit() {
    for piece in [1, 7, 4096, 50_000] {
        check_rotation(0, piece, 5000, 3, &[0]);
        check_rotation(1, piece, 5000, 3, &[1]);
        check_rotation(4999, piece, 5000, 3, &[4999]);
        check_rotation(5000, piece, 5000, 3, &[0, 5000]);
        check_rotation(5001, piece, 5000, 3, &[1, 5000]);
        check_rotation(49_999, piece, 5000, 3, &[4999, 5000, 5000, 5000]);
        check_rotation(12_000, piece, 5000, 1, &[2000, 5000]);
        check_rotation(12_000, piece, 5000, 0, &[2000]);
        check_rotation(12_000, piece, 0, 3, &[12_000]);
        check_rotation(12_000, piece, 4991, 3, &[2000, 5000, 5000]);
    }
}

#[test]
fn a_thousand_idle_programs_need_little_memory() {
    // In a process of its own: other tests need memory, too.
    if std::env::var_os("ALONE").is_none() {
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        alone.args(["--exact", "a_thousand_idle_programs_need_little_memory", "--nocapture"]);
        assert!(alone.env("ALONE", "yes").status().unwrap().success());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let nofile = rustix::process::Resource::Nofile;
    let limit = rustix::process::getrlimit(nofile).maximum;
    rustix::process::setrlimit(nofile, rustix::process::Rlimit { current: limit, maximum: limit }).unwrap();
    // Six descriptors each, and some for everything else.
    let n_programs = limit.map_or(1000, |limit| (limit / 7).min(1000)) as usize;
    let path = |number: usize, name: &str| dir.path().join(format!("{number}.{name}"));
    let before = resident_kib();
    let mut streams = Vec::new();
    for number in 0..n_programs {
        for name in ["out", "err"] {
            let (stream, program) = stream(vec![to_file(path(number, name), NO_LIMITS)]);
            let stream = Arc::new(Mutex::new(stream));
            rt::spawn(pump::pump(&stream, |_| ()).unwrap()).detach();
            streams.push((stream, program));
        }
    }
    let each = (resident_kib() - before) as f64 / n_programs as f64;
    println!("{each:.1} KiB for each of {n_programs} programs");
    assert!(each <= 4.0);
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

#[test]
fn lines_that_grow_beyond_all_buffers_wait_for_a_slow_reader() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
    let reader = rustix::fs::open(&path, flags, rustix::fs::Mode::empty()).unwrap();
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let mut program = std::fs::File::from(write);
    let prefix = "p".repeat(100);
    let line_format = LineFormat::Text { timestamps: Timestamps::Off, prefix: prefix.clone() };
    let mut spec = spec(vec![to_file(path, NO_LIMITS)]);
    spec.transform.line_format = Some(line_format);
    let mut stream = LogStream::new(spec, read);
    program.write_all("\n".repeat(20_000).as_bytes()).unwrap();
    let expected = format!("{prefix} \n").repeat(20_000);
    let mut got = Vec::new();
    until("everything has been read", LONG, || {
        stream.drain(1 << 20);
        let mut buffer = vec![0; 50_000];
        while let Ok(n_bytes @ 1..) = rustix::io::read(&reader, &mut buffer) {
            got.extend_from_slice(&buffer[..n_bytes]);
        }
        got.len() >= expected.len()
    });
    assert!(got == expected.as_bytes());
}
