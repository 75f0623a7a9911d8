//! The program that is supervised: it tells when it came to life and then waits for its end.
//!
//! It is `newborn.rs`, compiled when the bench begins, or with `--self`, or if it cannot be compiled, this very
//! binary, which takes about half a millisecond longer to load.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{ClockId, clock_gettime};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;
use supervisord::model::confinement::PRIVATE_DIRECTORIES;
use tempfile::TempDir;

/// As first argument it makes this binary a program.
pub const WORD: &str = "--program";

/// So long a program may take to come to life; the original takes seconds.
const PATIENCE: Timespec = Timespec { tv_sec: 120, tv_nsec: 0 };

/// Pid and moment, each eight bytes.
const RECORD: usize = 16;

/// Nanoseconds on the clock that all processes share.
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Tells pid and moment to the pipe named by the argument and waits to be killed.
pub fn run(arguments: &[String]) -> ! {
    let born = now();
    tell(arguments.first().expect("the program is started with the path of the pipe"), born);
    loop {
        nix::unistd::pause();
    }
}

/// Tells the own pid and a moment to the pipe.
pub fn tell(path: &str, moment: u64) {
    let mut record = [0; RECORD];
    record[..8].copy_from_slice(&u64::from(std::process::id()).to_le_bytes());
    record[8..].copy_from_slice(&moment.to_le_bytes());
    // So small a write to a pipe is never mixed with another one.
    let mut pipe = OpenOptions::new().write(true).open(path).expect("the bench made the pipe");
    pipe.write_all(&record).expect("the bench reads the pipe");
}

/// What `newborn.rs` was compiled to; `None` if this binary takes its place.
static NEWBORN: OnceLock<Option<PathBuf>> = OnceLock::new();

/// Decides which program is supervised, and says so. To be called once, before anything is measured; the program is
/// there as long as what this returns.
pub fn choose(itself: bool) -> Option<TempDir> {
    let directory = own_directory();
    let newborn = if itself { None } else { compile(directory.path()) };
    let what = if newborn.is_some() { "as small as can be" } else { "this bench itself" };
    println!("the programs are {what}\n");
    let is_needed = newborn.is_some();
    // Nobody asked before.
    let _ = NEWBORN.set(newborn);
    is_needed.then_some(directory)
}

/// Where programs with `private_tmp` see it: beside this binary, unless that lies below `/tmp` itself.
fn own_directory() -> TempDir {
    let this = std::env::current_exe().expect("Linux names the running binary");
    let beside = this.parent().expect("it lies in a directory");
    let is_hidden = PRIVATE_DIRECTORIES.iter().any(|hidden| beside.starts_with(hidden));
    let here = if is_hidden { Path::new("/dev/shm") } else { beside };
    TempDir::with_prefix_in("supervisord-bench-", here).expect("a temporary directory can be made")
}

fn compile(directory: &Path) -> Option<PathBuf> {
    let (binary, source) = (directory.join("newborn"), directory.join("newborn.rs"));
    std::fs::write(&source, include_str!("newborn.rs")).ok()?;
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()));
    rustc.args(["--edition=2024", "-O", "-Cpanic=abort", "-Crelocation-model=static"]);
    rustc.args(["-Clink-arg=-nostartfiles", "-Clink-arg=-nostdlib", "-Clink-arg=-static"]);
    rustc.arg("-o").arg(&binary).arg(source);
    rustc.status().is_ok_and(|status| status.success()).then_some(binary)
}

/// The words of the command that starts a program, without the pipe.
fn words() -> Vec<PathBuf> {
    match NEWBORN.get() {
        Some(Some(binary)) => vec![binary.clone()],
        _ => {
            let this = std::env::current_exe().expect("Linux names the running binary");
            vec![this, PathBuf::from(WORD)]
        }
    }
}

/// A program that came to life.
#[derive(Clone, Copy, Debug)]
pub struct Birth {
    pub pid: i32,
    pub at: u64,
}

/// Where programs tell of their births.
pub struct Births {
    directory: TempDir,
    pipe: File,
}

impl Births {
    pub fn new() -> Births {
        let directory = own_directory();
        let path = directory.path().join("births");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a named pipe can be made");
        // Open for writing as well, so that it never ends.
        let pipe = OpenOptions::new().read(true).write(true).open(&path).expect("it was just made");
        Births { directory, pipe }
    }

    /// The words of the command that starts a program.
    pub fn command(&self) -> Vec<PathBuf> {
        let mut words = words();
        words.push(self.path());
        words
    }

    /// Where the pipe is.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("births")
    }

    /// Waits for the next births.
    pub fn take(&mut self, number: usize) -> Vec<Birth> {
        (0..number).map(|_| self.next()).collect()
    }

    /// Waits for the next birth.
    pub fn next(&mut self) -> Birth {
        let mut ready = [PollFd::new(&self.pipe, PollFlags::IN)];
        let told = poll(&mut ready, Some(&PATIENCE)).expect("a pipe can be waited for");
        assert!(
            told > 0,
            "no program came to life within {} s: it cannot be executed, or cannot get at its pipe",
            PATIENCE.tv_sec
        );
        let mut record = [0; RECORD];
        self.pipe.read_exact(&mut record).expect("a pipe that is open at both ends can be read");
        let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        let pid = i32::try_from(number(&record[..8])).expect("a pid");
        Birth { pid, at: number(&record[8..]) }
    }
}

/// From `begin` until the last of `births`.
pub fn until_last(begin: u64, births: &[Birth]) -> Duration {
    let last = births.iter().map(|birth| birth.at).max().unwrap_or(begin);
    Duration::from_nanos(last.saturating_sub(begin))
}
