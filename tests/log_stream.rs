//! A program's output on its way from the pipe to its logs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use supervisord::log::file::Limits;
use supervisord::log::open::PLAIN_MODE;
use supervisord::log::pump;
use supervisord::log::shape::ShapeSpec;
use supervisord::log::sink::SinkSpec;
use supervisord::log::spec::StreamSpec;
use supervisord::log::stream::LogStream;
use supervisord::manager::rt;
use supervisord::rpc::api::Stream;

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
        shape: ShapeSpec::default(),
    }
}

/// A stream and the program's end of its pipe.
fn stream(sinks: Vec<SinkSpec>) -> (LogStream, std::fs::File) {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    (LogStream::new(spec(sinks), read), std::fs::File::from(write))
}

#[track_caller]
fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "waited 10 seconds until {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
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
    assert_eq!((drained.n_bytes, drained.more, drained.eof), (2, false, true));
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
    wait_until("all lines are logged", || text(&path) == expected);
    drop(program);
    rt::block_on(task.join());
    assert!(pump::pump(&stream, |_| ()).is_some(), "the next program needs a new pump");
}
