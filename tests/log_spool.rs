//! Streams that go through a spool, and managers that end in between: here a manager ends when its stream is dropped.

mod log_support;
mod support;

use log_support::{SmallDisk, numbered_lines, text};
use std::fs::File;
use std::io::Write;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use supervisord::log::drain::handoff::{self, KeeperStore};
use supervisord::log::sinks::file::Limits;
use supervisord::log::sinks::memory::Ring;
use supervisord::log::sinks::open::PLAIN_MODE;
use supervisord::log::sinks::sink::SinkSpec;
use supervisord::log::stream::spec::StreamSpec;
use supervisord::log::stream::{Drained, LogStream, StreamOutput};
use supervisord::log::transform::TransformSpec;
use supervisord::log::transform::lines::LineFormat;
use supervisord::model::config::Timestamps;
use supervisord::model::stream::Stream;
use supervisord::shm::cursor::Cursor;
use supervisord::shm::layout::ManagerMemory;
use supervisord::sys::memory::Mapping;
use support::{LONG, until};

/// Holds what a keeper would. A stream with an odd number finds no room there.
struct Held {
    memory: Mapping<ManagerMemory>,
    spools: Mutex<Vec<(u64, OwnedFd)>>,
}

impl KeeperStore for &'static Held {
    fn register_log(&self, _: &[u64], _: BorrowedFd<'_>) {}

    fn confirm_log(&self, _: u64) {}

    fn discard(&self, _: u64) {}

    fn release(&self, _: u64) {}

    fn register_spool(&self, stream: u64, spool: BorrowedFd<'_>) -> bool {
        let mut spools = self.spools.lock().unwrap();
        spools.retain(|(number, _)| *number != stream);
        if stream.is_multiple_of(2) {
            spools.push((stream, spool.try_clone_to_owned().unwrap()));
        }
        true
    }

    fn register_queue(&self, _: u64, _: BorrowedFd<'_>) {}

    fn is_spool(&self, stream: u64) -> bool {
        self.holds(stream)
    }

    fn holds(&self, stream: u64) -> bool {
        self.spools.lock().unwrap().iter().any(|(number, _)| *number == stream)
    }

    fn cursor(&self, stream: u64) -> Option<&Cursor> {
        self.memory.get().cursors.get(stream as usize).map(|both| &both[0])
    }
}

fn held() -> &'static Held {
    static HELD: OnceLock<&'static Held> = OnceLock::new();
    HELD.get_or_init(|| {
        let memory = Mapping::create("memory").unwrap().1;
        let held: &'static Held = Box::leak(Box::new(Held { memory, spools: Mutex::default() }));
        handoff::install(Box::new(held));
        held
    })
}

fn spool_of(id: u64) -> Option<OwnedFd> {
    let spools = held().spools.lock().unwrap();
    spools.iter().find(|(number, _)| *number == id).map(|(_, spool)| spool.try_clone().unwrap())
}

/// A number for a stream that is kept.
fn fresh_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(2);
    held();
    NEXT.fetch_add(2, Ordering::Relaxed)
}

/// A program's stream, for one manager after the other.
struct Program {
    id: u64,
    spec: StreamSpec,
    pipe: OwnedFd,
    end: File,
    stream: LogStream,
}

impl Program {
    fn new(sinks: Vec<SinkSpec>, transform: TransformSpec) -> Program {
        Program::with_id(fresh_id(), sinks, transform)
    }

    fn with_id(id: u64, sinks: Vec<SinkSpec>, transform: TransformSpec) -> Program {
        held();
        let (pipe, end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let spec = StreamSpec {
            process: "web".into(),
            group: "web".into(),
            channel: Stream::Stdout,
            readable: true,
            sinks,
            transform,
        };
        let mut stream = LogStream::new(spec.clone(), pipe.try_clone().unwrap());
        stream.set_id(id);
        stream.set_pid(7);
        Program { id, spec, pipe, end: end.into(), stream }
    }

    /// The manager ends and another one takes over.
    fn take_over(&mut self) {
        self.stream = LogStream::new(self.spec.clone(), self.pipe.try_clone().unwrap());
        self.stream.resume_as(self.id, spool_of(self.id), None);
        self.stream.finish_lines();
        self.stream.finish_writes();
        self.stream.set_pid(7);
    }

    fn write(&mut self, text: &str) {
        self.end.write_all(text.as_bytes()).unwrap();
    }

    fn drain(&mut self) -> Drained {
        self.stream.drain(1 << 20)
    }

    fn print(&mut self, text: &str) -> Drained {
        self.write(text);
        self.drain()
    }

    fn spooled_blocks(&self) -> i64 {
        rustix::fs::fstat(spool_of(self.id).unwrap()).unwrap().st_blocks
    }
}

fn to_file(path: &Path) -> SinkSpec {
    SinkSpec::Path { path: path.into(), mode: PLAIN_MODE, limits: Limits { maxbytes: 0, backups: 0 } }
}

fn formatted() -> TransformSpec {
    let line_format = LineFormat::Text { timestamps: Timestamps::Off, prefix: "web".to_string() };
    TransformSpec { line_format: Some(line_format), ..TransformSpec::default() }
}

fn captured() -> TransformSpec {
    TransformSpec { capture_maxbytes: 1000, events: true, ..TransformSpec::default() }
}

fn log() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    (dir, path)
}

#[test]
fn lines_go_on_with_the_next_manager() {
    let (_dir, path) = log();
    let mut program = Program::new(vec![to_file(&path)], formatted());
    assert_eq!(program.spooled_blocks(), 0, "an idle stream takes no memory");
    for piece in ["one\ntw", "o", "\nthr", "ee\n"] {
        program.print(piece);
        program.take_over();
    }
    assert_eq!(text(&path), "web one\nweb two\nweb three\n");
    assert_eq!(program.print("four\n").n_bytes, 5);
    assert_eq!(text(&path), "web one\nweb two\nweb three\nweb four\n");
    assert_eq!(program.spooled_blocks(), 0);
}

#[test]
fn what_is_held_back_goes_out_at_the_end_whoever_is_there() {
    let (_dir, path) = log();
    let mut program = Program::new(vec![to_file(&path)], formatted());
    program.print("one\nend");
    program.take_over();
    let _ = program.stream.flush_at_exit();
    assert_eq!(text(&path), "web one\nweb end\n");
    program.take_over();
    let _ = program.stream.flush_at_exit();
    program.stream.set_pid(8);
    program.print("next\n");
    assert_eq!(text(&path), "web one\nweb end\nweb next\n");
}

#[test]
fn what_nobody_has_heard_is_read_out_again() {
    let (_dir, path) = log();
    let mut program = Program::new(vec![to_file(&path)], captured());
    let pieces = |drained: &Drained| drained.output.pieces.clone();
    let log = |text: &str| StreamOutput::Log(text.as_bytes().to_vec());
    let drained = program.print("a\n<!--XSUPERVISOR:BEGIN-->b");
    assert_eq!(pieces(&drained), [log("a\n")]);
    program.take_over();
    let drained = program.drain();
    assert_eq!(pieces(&drained), [log("a\n")]);
    drained.output.receipt.unwrap().acknowledge();
    program.take_over();
    let drained = program.print("c<!--XSUPERVISOR:END-->d\n");
    let expected = [StreamOutput::Communication(b"bc".to_vec()), log("d\n")];
    assert_eq!(pieces(&drained), expected);
    program.take_over();
    let drained = program.drain();
    assert_eq!(pieces(&drained), expected);
    drained.output.receipt.unwrap().acknowledge();
    program.take_over();
    assert_eq!(pieces(&program.drain()), []);
    assert_eq!(text(&path), "a\nd\n");
    assert_eq!(program.spooled_blocks(), 0);
}

#[test]
fn without_room_it_goes_the_old_way() {
    let (_dir, path) = log();
    let mut program = Program::with_id(fresh_id() + 1, vec![to_file(&path)], formatted());
    program.print("one\ntwo\n");
    program.take_over();
    program.print("three\n");
    assert_eq!(text(&path), "web one\nweb two\nweb three\n");
}

#[test]
fn a_spool_that_comes_late_is_used_from_the_next_line_on() {
    let (_dir, path) = log();
    let mut program = Program::new(vec![to_file(&path)], formatted());
    // On its way still.
    let (number, spool) = {
        let mut spools = held().spools.lock().unwrap();
        let index = spools.iter().position(|(number, _)| *number == program.id).unwrap();
        spools.swap_remove(index)
    };
    program.print("one\ntw");
    held().spools.lock().unwrap().push((number, spool));
    program.print("o");
    program.print("\n");
    let size = |program: &Program| rustix::fs::fstat(spool_of(program.id).unwrap()).unwrap().st_size;
    assert_eq!(size(&program), 0, "what had begun outside of it ends outside of it");
    program.print("thr");
    assert_eq!(size(&program), 3);
    program.take_over();
    program.print("ee\n");
    assert_eq!(text(&path), "web one\nweb two\nweb three\n");
}

#[test]
fn what_was_gathered_without_a_manager_is_written_by_the_next() {
    let (_dir, path) = log();
    let mut program = Program::new(vec![to_file(&path)], formatted());
    program.print("0\n1");
    // As the keeper does.
    let spool = spool_of(program.id).unwrap();
    for number in 2..100_000 {
        program.write(&format!("\n{number}"));
        let mut end = rustix::fs::fstat(&spool).unwrap().st_size as u64;
        let flags = rustix::pipe::SpliceFlags::NONBLOCK;
        rustix::pipe::splice(&program.pipe, None, &spool, Some(&mut end), 1 << 16, flags).unwrap();
    }
    program.write("\n");
    program.take_over();
    assert!(program.stream.is_waiting());
    let drained = program.stream.drain(100_000);
    assert_eq!(drained.pause, Some(Duration::ZERO), "there is more, though nothing arrives");
    while program.drain().n_bytes > 0 {}
    let expected: String = (0..100_000).map(|number| format!("web {number}\n")).collect();
    assert!(text(&path) == expected);
    assert!(!program.stream.is_waiting());
    assert_eq!(program.spooled_blocks(), 0);
}

fn numbered_dressed(n_lines: usize) -> String {
    (0..n_lines).map(|number| format!("web {number:>99}\n")).collect()
}

#[test]
fn what_waits_while_the_disk_is_full_is_not_lost() {
    for managers in [1, 3] {
        let Some(disk) = SmallDisk::mount(1024) else { return };
        let path = disk.path("log");
        let mut program = Program::new(vec![to_file(&path)], formatted());
        program.print("before\n");
        let filler = disk.fill();
        program.write(&numbered_lines(500));
        for _ in 0..20 {
            let drained = program.drain();
            assert!(drained.pause.is_some() || drained.n_bytes > 0, "it is to be tried again");
        }
        let spooled = rustix::fs::fstat(spool_of(program.id).unwrap()).unwrap().st_size;
        assert!(spooled <= 7 + (64 << 10), "{spooled} bytes came in: no more than one batch waits there");
        for _ in 1..managers {
            program.take_over();
            program.drain();
        }
        std::fs::remove_file(filler).unwrap();
        until("everything is written", LONG, || {
            program.drain();
            text(&path).len() >= 11 + 500 * 104
        });
        assert_eq!(text(&path), format!("web before\n{}", numbered_dressed(500)));
    }
}

#[test]
fn one_sink_that_fails_does_not_hurt_the_other() {
    let Some(disk) = SmallDisk::mount(64) else { return };
    let (_dir, good) = log();
    let mut program = Program::new(vec![to_file(&disk.path("bad")), to_file(&good)], formatted());
    for round in 0..100 {
        program.print(&numbered_lines(300));
        if round % 10 == 9 {
            program.take_over();
        }
    }
    assert!(text(&good) == numbered_dressed(300).repeat(100));
}

#[test]
fn two_files_are_completed_each_from_where_it_was() {
    let (dir, one) = log();
    let two = dir.path().join("two");
    // What a manager leaves that was killed when the first file had everything and the second a part.
    let mut program = Program::new(vec![to_file(&one), to_file(&two)], formatted());
    program.print("a\n");
    program.write("b\nc\n");
    let spool = spool_of(program.id).unwrap();
    let mut end = 2;
    let flags = rustix::pipe::SpliceFlags::NONBLOCK;
    rustix::pipe::splice(&program.pipe, None, &spool, Some(&mut end), 1 << 16, flags).unwrap();
    let cursor = held().memory.get().cursors[program.id as usize][0].batch();
    assert_eq!((cursor.done, cursor.n_log), (2, 6));
    let cursor = &held().memory.get().cursors[program.id as usize][0];
    cursor.publish(&supervisord::shm::cursor::Batch {
        done: 2,
        end: 6,
        work: supervisord::shm::cursor::Work::Bytes,
        pid: 7,
        wall: 1,
        n_log: 6,
        n_lines: 0,
    });
    let append = |path: &Path, text: &str| {
        File::options().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    };
    append(&one, "web b\nweb c\n");
    cursor.sinks[0].set_written(18);
    use std::os::unix::fs::MetadataExt;
    let facts = std::fs::metadata(&two).unwrap();
    let (device, inode) = (facts.dev(), facts.ino());
    let intent = supervisord::shm::cursor::WriteIntent { device, inode, offset: 6, length: 12, at: 6 };
    cursor.sinks[1].begin_write(&intent);
    append(&two, "web b\nwe");
    program.take_over();
    program.print("d\n");
    for path in [one, two] {
        assert_eq!(text(&path), "web a\nweb b\nweb c\nweb d\n");
    }
}

#[test]
fn a_line_without_end_is_cut_and_bounded() {
    let (_dir, path) = log();
    let mut program = Program::new(vec![to_file(&path)], formatted());
    for _ in 0..200 {
        program.print(&"x".repeat(50_000));
    }
    let blocks = program.spooled_blocks();
    assert!(blocks * 512 <= (4 << 20) + (1 << 20), "{blocks} blocks");
    program.print("\nend\n");
    let written = text(&path);
    assert_eq!(written.matches('x').count(), 200 * 50_000);
    assert!(written.ends_with("\nweb end\n"));
    assert_eq!(program.spooled_blocks(), 0);
}

#[test]
fn a_number_is_used_again() {
    let (dir, path) = log();
    let mut program = Program::new(vec![to_file(&path)], formatted());
    program.print("one\ntw");
    program.stream.withdraw();
    let other = dir.path().join("other");
    let mut next = Program::with_id(program.id, vec![to_file(&other)], formatted());
    // A pump may hold on to the first for a while. What comes after its end is for nobody.
    program.print("o\n");
    next.print("three\n");
    next.take_over();
    next.print("four\n");
    assert_eq!(text(&path), "web one\n");
    assert_eq!(text(&other), "web three\nweb four\n");
}

#[test]
fn what_cannot_be_spliced_gets_a_spool() {
    let ring = Arc::new(Ring::new(1000));
    let mut program = Program::new(vec![SinkSpec::Memory(Arc::clone(&ring))], TransformSpec::default());
    assert!(spool_of(program.id).is_none());
    program.print("one\n");
    let size = |program: &Program| rustix::fs::fstat(spool_of(program.id).unwrap()).unwrap().st_size;
    assert_eq!(size(&program), 0, "what was under way went the old way");
    program.print("two\n");
    assert_eq!(size(&program), 4);
    program.take_over();
    program.print("three\n");
    assert_eq!((size(&program), ring.len()), (10, 14));
}
