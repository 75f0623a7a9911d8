//! What the daemon does without while descriptors are scarce.
//!
//! A program with two outputs and two log files takes seven descriptors of ours. Some of them only make things faster or
//! survive a manager, and 1,024 are a common hard limit. So with every group that is added the manager adds up what all
//! processes take. If that is too much, all of them do with less. A limit that is hit nevertheless has the same effect.

use crate::manager::daemon::Daemon;
use crate::manager::processes::Proc;
use crate::model::config::{ChildLog, LogTarget, ProcessConfig, StreamConfig, StreamFormat, Timestamps};
use crate::sys::limits::{self, Limited};
use std::io;
use std::ops::{AddAssign, SubAssign};
use std::sync::atomic::{AtomicU8, Ordering::*};

/// What is done without, more from one to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Thrift {
    /// Descriptors are plentiful: everything is done.
    Nothing,
    /// Nobody keeps programs' ends of their pipes open: a death wakes up more than the loop.
    Ends,
    /// The keeper alone has programs' inputs, and it has neither their logs nor spools: while there is no manager, outputs
    /// wait in their pipes. Where the keeper cannot be looked into, because the daemon gave up root, inputs stay.
    Most,
}

const LEVELS: [Thrift; 3] = [Thrift::Nothing, Thrift::Ends, Thrift::Most];

static LEVEL: AtomicU8 = AtomicU8::new(Thrift::Nothing as u8);

/// What this manager does without. It never becomes less.
pub fn level() -> Thrift {
    LEVELS[usize::from(LEVEL.load(Relaxed)).min(LEVELS.len() - 1)]
}

/// What the daemon itself has open, what is left free for clients, and what programs take while they are created.
const OWN: u64 = 60;

/// How many descriptors programs take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// At the level of the same place in [`LEVELS`].
    at: [u64; 3],
}

impl Needs {
    /// Those of one process. Logs that several share are counted for each.
    fn of(config: &ProcessConfig, is_listener: bool, strip_ansi: bool) -> Needs {
        let streams = [Some(&config.stdout), (!config.redirect_stderr).then_some(&config.stderr)];
        let streams = streams.into_iter().flatten();
        let n_outputs = streams.clone().count() as u64;
        let n_logs: u64 = streams.clone().map(n_logs).sum();
        let n_spools = streams.filter(|stream| strip_ansi || is_shaped(stream)).count() as u64;
        // The keeper has inputs as well, and the same mailboxes and sockets.
        let always = n_outputs + n_logs.max(1) + u64::from(is_listener) + config.sockets.len() as u64;
        let ends = always + 1 + n_spools;
        Needs { at: [ends + n_outputs, ends, always] }
    }

    fn at(&self, level: Thrift) -> u64 {
        self.at[level as usize]
    }
}

impl AddAssign for Needs {
    fn add_assign(&mut self, other: Needs) {
        self.at.iter_mut().zip(other.at).for_each(|(sum, more)| *sum += more);
    }
}

impl SubAssign for Needs {
    fn sub_assign(&mut self, other: Needs) {
        self.at.iter_mut().zip(other.at).for_each(|(sum, less)| *sum = sum.saturating_sub(less));
    }
}

fn n_logs(stream: &StreamConfig) -> u64 {
    let is_file = matches!(stream.logfile, ChildLog::File(_) | ChildLog::Auto);
    u64::from(is_file) + stream.more.len() as u64 + u64::from(stream.syslog) + u64::from(has_queue(stream))
}

/// Whether it goes to a syslog on the network. What waits for all of these lies in one file.
fn has_queue(stream: &StreamConfig) -> bool {
    stream.more.iter().any(|target| matches!(target, LogTarget::Syslog(_)))
}

fn is_shaped(stream: &StreamConfig) -> bool {
    stream.format != StreamFormat::Raw
        || stream.timestamps != Timestamps::Off
        || !stream.prefix.is_empty()
        || stream.capture_maxbytes > 0
        || stream.events_enabled
        || n_logs(stream) > 1
}

/// Whether there are no descriptors left.
pub fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

impl Daemon {
    /// What one more process takes, or one less.
    fn needs_of(&self, config: &ProcessConfig, is_listener: bool) -> Needs {
        Needs::of(config, is_listener, self.in_force.config().supervisord.strip_ansi)
    }

    /// Reckons with a process that has been added.
    pub fn count_in(&mut self, config: &ProcessConfig, is_listener: bool) {
        self.needs += self.needs_of(config, is_listener);
    }

    /// Reckons without a process that has been taken out.
    pub fn count_out(&mut self, config: &ProcessConfig, is_listener: bool) {
        self.needs -= self.needs_of(config, is_listener);
    }

    /// Does without as much as it takes for all processes to have their descriptors.
    pub fn reckon_descriptors(&mut self) {
        let most = descriptor_limit();
        let fits = |level: &&Thrift| self.needs.at(**level) + OWN <= most;
        self.economize(*LEVELS.iter().find(fits).unwrap_or(&Thrift::Most));
    }

    /// Does without one thing more; false if there is nothing left.
    pub fn economize_more(&mut self) -> bool {
        match level() {
            Thrift::Nothing => self.economize(Thrift::Ends),
            Thrift::Ends => self.economize(Thrift::Most),
            // The keeper may not have had some of them before.
            Thrift::Most => {
                let leaves = |(slot, proc): (_, &Proc)| proc.streams.leave_input(slot, &self.link);
                return self.procs.all().map(leaves).filter(|has_left| *has_left).count() > 0;
            }
        }
        true
    }

    fn economize(&mut self, wanted: Thrift) {
        if wanted <= level() {
            return;
        }
        LEVEL.store(wanted as u8, Relaxed);
        ::log::debug!("descriptors are scarce: doing without conveniences ({wanted:?})");
        let slots: Vec<_> = self.procs.all().map(|(slot, _)| slot).collect();
        for slot in slots {
            if let Some(proc) = self.procs.proc_mut(slot) {
                proc.streams.economize(slot, &self.link);
            }
        }
    }

    /// Says how many programs the limit allows, if that is not all of them.
    pub fn warn_of_descriptor_limit(&self) {
        let most = descriptor_limit();
        let mut needs = Needs::default();
        let n_all = self.procs.all().count();
        let fits = |proc: &Proc| {
            needs += self.needs_of(&proc.config, proc.is_listener);
            needs.at(Thrift::Most) + OWN <= most
        };
        let n_fitting = self.procs.all().map(|(_, proc)| proc).map(fits).take_while(|fits| *fits).count();
        if n_fitting < n_all {
            ::log::warn!(
                "the hard limit of {most} open files is enough for about {n_fitting} of the {n_all} configured \
                 processes; raise it (ulimit -Hn, LimitNOFILE=, --ulimit nofile=), or let them have fewer logs"
            );
        }
    }
}

fn descriptor_limit() -> u64 {
    limits::get(Limited::Descriptors).map_or(u64::MAX, |limit| limit.soft)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_outputs_and_two_logs_take_seven_five_or_four() {
        let file = |name: &str| StreamConfig {
            logfile: ChildLog::File(name.into()),
            ..crate::core::sample::config().stdout
        };
        let config =
            ProcessConfig { stdout: file("out"), stderr: file("err"), ..crate::core::sample::config() };
        assert_eq!(Needs::of(&config, false, false).at, [7, 5, 4]);
        // With a spool each.
        assert_eq!(Needs::of(&config, false, true).at, [9, 7, 4]);
        let config = ProcessConfig { redirect_stderr: true, ..config };
        assert_eq!(Needs::of(&config, false, false).at, [4, 3, 2]);
    }
}
