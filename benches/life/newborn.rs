//! The least program that tells when it came to life: a binary of its own, linked statically, because what a program
//! takes to load is no merit or fault of who starts it.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;

/// The clock that all processes share, as `clock_gettime(2)` numbers it.
const CLOCK_MONOTONIC: i32 = 1;

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanos: i64,
}

unsafe extern "C" {
    fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
}

fn main() {
    let mut now = Timespec { seconds: 0, nanos: 0 };
    // SAFETY: the C library of 64-bit Linux, with a valid place for the time.
    unsafe { clock_gettime(CLOCK_MONOTONIC, &mut now) };
    let born = now.seconds as u64 * 1_000_000_000 + now.nanos as u64;
    let path = std::env::args_os().last().expect("it is started with the path of the pipe");
    let mut record = [0; 16];
    record[..8].copy_from_slice(&u64::from(std::process::id()).to_le_bytes());
    record[8..].copy_from_slice(&born.to_le_bytes());
    let mut pipe = OpenOptions::new().write(true).open(path).expect("the bench made the pipe");
    pipe.write_all(&record).expect("the bench reads the pipe");
    drop(pipe);
    loop {
        std::thread::sleep(Duration::from_secs(1 << 20));
    }
}
