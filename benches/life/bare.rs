//! The floor: what the kernel takes for the same, with nobody deciding anything.
//!
//! `std::process::Command` is `posix_spawn` here, which is a `clone` that shares memory until the exec.

use crate::program::{Birth, Births, now, until_last};
use nix::sys::signal::Signal;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Programs of our own, killed when dropped.
pub struct Bare {
    births: Births,
    children: Vec<Child>,
}

impl Bare {
    pub fn new() -> Bare {
        Bare { births: Births::new(), children: Vec::new() }
    }

    /// Starts `number` programs; the time until the last one's first instruction.
    pub fn start(&mut self, number: usize) -> Duration {
        let begin = now();
        for _ in 0..number {
            let child = self.spawn();
            self.children.push(child);
        }
        until_last(begin, &self.births.take(number))
    }

    /// Kills one program, waits for its death and starts another; from the kill to the first instruction.
    pub fn replace_one(&mut self) -> Duration {
        let mut child = self.children.pop().expect("start was called before");
        let begin = now();
        child.kill().expect("our own child can be killed");
        child.wait().expect("our own child can be waited for");
        let child = self.spawn();
        self.children.push(child);
        let Birth { at, .. } = self.births.next();
        Duration::from_nanos(at.saturating_sub(begin))
    }

    /// Kills all of them and starts as many again.
    pub fn replace_all(&mut self) -> Duration {
        let begin = now();
        let number = self.children.len();
        self.children.iter_mut().for_each(|child| child.kill().expect("our own child can be killed"));
        for mut child in std::mem::take(&mut self.children) {
            child.wait().expect("our own child can be waited for");
            let child = self.spawn();
            self.children.push(child);
        }
        until_last(begin, &self.births.take(number))
    }

    /// Terminates all of them and waits for their deaths.
    pub fn stop_all(&mut self) -> Duration {
        let begin = now();
        for child in &self.children {
            crate::support::kill(i32::try_from(child.id()).expect("a pid"), Signal::SIGTERM);
        }
        for mut child in self.children.drain(..) {
            child.wait().expect("our own child can be waited for");
        }
        Duration::from_nanos(now() - begin)
    }

    fn spawn(&self) -> Child {
        let words = self.births.command();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("a program can be started")
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        for child in &mut self.children {
            // Gone already is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
