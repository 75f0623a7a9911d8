//! Following every system call of a process, and killing it at a certain one.

use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// A process in which nothing has happened for so long, after what was asked for is done, has come to rest.
const REST: Duration = Duration::from_millis(30);

/// How the traced piece of life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ran {
    /// It was killed where it was to be.
    Killed,
    /// It came to rest after so many stops.
    ToItsEnd(usize),
}

/// Traces every thread of `pid`, and whoever it creates until that executes, while `act` runs, and kills the
/// process at the stop with number `kill_at`. Every system call has two: before it and after it.
pub fn run<T>(pid: i32, kill_at: usize, act: impl FnOnce() -> T) -> (Ran, T) {
    let done = Arc::new(AtomicBool::new(false));
    let (attached, is_attached) = mpsc::channel();
    // Whoever traces is a thread, and its end is the end of the tracing.
    let tracer = std::thread::spawn({
        let done = Arc::clone(&done);
        move || Tracer { pid, kill_at, n_stops: 0 }.follow(&attached, &done)
    });
    is_attached.recv().expect("the tracer says when it has attached itself");
    let acted = act();
    done.store(true, Ordering::Release);
    (tracer.join().expect("the tracer does not panic"), acted)
}

struct Tracer {
    pid: i32,
    kill_at: usize,
    n_stops: usize,
}

impl Tracer {
    fn follow(mut self, attached: &mpsc::Sender<()>, done: &AtomicBool) -> Ran {
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACEEXEC;
        for thread in threads(self.pid) {
            // A thread may have ended meanwhile.
            if ptrace::seize(thread, options).is_ok() {
                let _ = ptrace::interrupt(thread);
            }
        }
        let _ = attached.send(());
        let mut last_stop = Instant::now();
        loop {
            // Only what this very thread traces: the test's own children are somebody else's business.
            let flags = WaitPidFlag::WNOHANG | WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
            match waitpid(None, Some(flags)) {
                Ok(WaitStatus::StillAlive) | Err(_) => {
                    if done.load(Ordering::Acquire) && last_stop.elapsed() > REST {
                        return Ran::ToItsEnd(self.n_stops);
                    }
                    std::thread::sleep(Duration::from_micros(20));
                }
                Ok(status) => {
                    last_stop = Instant::now();
                    if self.goes_on_after(status) == Next::Kill {
                        let _ = nix::sys::signal::kill(Pid::from_raw(self.pid), Signal::SIGKILL);
                        // The end of this thread lets everybody go.
                        return Ran::Killed;
                    }
                }
            }
        }
    }

    fn goes_on_after(&mut self, status: WaitStatus) -> Next {
        let (thread, signal) = match status {
            WaitStatus::PtraceSyscall(thread) => {
                self.n_stops += 1;
                if self.n_stops == self.kill_at {
                    return Next::Kill;
                }
                (thread, None)
            }
            // It has become its program, and is of no interest any more.
            WaitStatus::PtraceEvent(thread, _, libc::PTRACE_EVENT_EXEC) => {
                let _ = ptrace::detach(thread, None);
                return Next::GoOn;
            }
            WaitStatus::PtraceEvent(thread, ..) => (thread, None),
            WaitStatus::Stopped(thread, Signal::SIGTRAP) => (thread, None),
            WaitStatus::Stopped(thread, signal) => (thread, Some(signal)),
            _ => return Next::GoOn,
        };
        let _ = ptrace::syscall(thread, signal);
        Next::GoOn
    }
}

#[derive(PartialEq, Eq)]
enum Next {
    GoOn,
    Kill,
}

fn threads(pid: i32) -> Vec<Pid> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let number = |task: fs::DirEntry| task.file_name().to_str()?.parse().ok();
    tasks.flatten().filter_map(number).map(Pid::from_raw).collect()
}
