//! Commands that try whether a program is ready or well (`exec:`).
//!
//! A command runs as its program does: as its user, in its directory, with its environment, confined as it is and in its
//! namespaces, in a process group of its own.
//! It is a child of the keeper, so the ledger tells of its end. The slot names its pid, by which a successor finds and ends
//! what a killed manager has left.

use crate::core::process::Pid;
use crate::manager::daemon::Daemon;
use crate::manager::probes::{Answer, Found};
use crate::manager::processes::SlotId;
use crate::model::config::ProcessConfig;
use crate::model::exit::ExitStatus;
use crate::model::probe::Probe;
use crate::model::signal::Signal;
use crate::probe::exec::{self, Output};
use crate::rt;
use crate::sys::spawn::{Progress, Stdio};
use crate::sys::{clock, fd, pidfd, pipe, process, signals};
use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A command that was started and has not ended.
#[derive(Debug)]
pub(super) struct Command {
    /// The try that it belongs to.
    number: u64,
    /// 0 until whoever creates it says so.
    pid: Pid,
    /// The ledger's head when it was about to be created.
    spawn_head: u64,
    timeout: Duration,
    output: Arc<Printed>,
    /// Nobody waits for it any more: its end is near.
    is_over: bool,
    /// It was about a program that is not watched any more.
    is_of_former_start: bool,
    progress: Arc<Progress>,
}

impl Command {
    /// Whether nobody waits for it any more.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether it was about a program that is not watched any more. Its successor is tried when it is gone.
    pub(super) fn is_of_former_start(&self) -> bool {
        self.is_of_former_start
    }
}

/// What it prints.
#[derive(Debug)]
struct Printed {
    pipe: rt::Async<OwnedFd>,
    end: Mutex<Output>,
}

impl Printed {
    fn lock(&self) -> MutexGuard<'_, Output> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what there is; false at the end.
    fn read(&self) -> bool {
        self.lock().read(self.pipe.get_ref().as_fd())
    }
}

impl Daemon {
    /// Starts the command of a try.
    pub(super) fn begin_command(&mut self, slot: SlotId, number: u64, timeout: Duration) {
        if self.probes.commands.contains_key(&slot) {
            let why = "the command of the former try has not ended".to_string();
            return self.end_trial(slot, number, Err(why));
        }
        match self.start_command(slot, number, timeout) {
            Ok(command) => {
                self.probes.commands.insert(slot, command);
                self.probes.set_due(slot, Some(clock::monotonic() + timeout));
            }
            Err(error) => self.end_trial(slot, number, Err(format!("it could not be started: {error}"))),
        }
    }

    fn start_command(&mut self, slot: SlotId, number: u64, timeout: Duration) -> io::Result<Command> {
        let proc = self.procs.proc(slot).ok_or(io::ErrorKind::NotFound)?;
        let watched = self.probes.watched.get(&slot).ok_or(io::ErrorKind::NotFound)?;
        let Some(Probe::Exec(command)) = super::probe(proc, watched.what) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let config =
            ProcessConfig { command: command.clone(), sockets: Vec::new(), ..(*proc.config).clone() };
        let (group, context) = (Arc::clone(&proc.group), Arc::clone(&self.spawn_context));
        let credentials = self.credentials.path_of(slot);
        // In its network and with its files, so that it can ask it.
        let beside = proc.process.state.pid();
        let ours = pipe::output()?;
        let theirs = pipe::writing_end(&ours, pipe::Ends::Own)?;
        let nothing = fd::null()?;
        let output = Arc::new(Printed { pipe: rt::Async::new(ours)?, end: Mutex::new(Output::default()) });
        let mut spawner = self.spawns.borrow_spawner()?;
        let home = self.spawns.home();
        let (link, answers) = (Arc::clone(&self.link), self.probes.answers.0.clone());
        let progress = Arc::new(Progress::default());
        let spawn_head = self.link.head();
        let create = {
            let progress = Arc::clone(&progress);
            move || {
                let created = context
                    .program(&config, &group, credentials.as_deref(), beside)
                    .map_err(|error| error.to_string())
                    .and_then(|mut program| {
                        program.confine = context.confine(&config, credentials.as_deref(), beside)?;
                        Ok(program)
                    });
                let created = created.and_then(|program| {
                    let (out, stdin) = (theirs.as_fd(), nothing.as_fd());
                    let stdio = Stdio { stdin, stdout: out, stderr: out, listeners: &[], other: None };
                    let pid = link.announce_probe(slot);
                    let created = spawner.spawn(&program, stdio, pid, &progress);
                    let (pid, failure) = created.map_err(|error| error.to_string())?;
                    match failure {
                        None => Ok(pid),
                        Some(failure) => Err(failure.describe(&program)),
                    }
                });
                // Nobody wants it at the end of the manager.
                let _ = home.send(spawner);
                let _ = answers.try_send(Answer { slot, number, found: Found::Created(created) });
            }
        };
        let printed = Arc::clone(&output);
        rt::spawn(async move {
            rt::unblock(create).await;
            // So that it never waits for room in its pipe.
            while printed.pipe.readable().await.is_ok() && printed.read() {}
        })
        .detach();
        let (is_over, is_of_former_start) = (false, false);
        Ok(Command { number, pid: 0, spawn_head, timeout, output, is_over, is_of_former_start, progress })
    }

    /// Whoever creates a command says what came of it.
    pub(super) fn command_was_created(&mut self, slot: SlotId, number: u64, created: Result<Pid, String>) {
        let Some(command) = self.probes.commands.get_mut(&slot).filter(|command| command.number == number)
        else {
            return;
        };
        match created {
            Ok(pid) => {
                command.pid = pid;
                if command.is_over {
                    self.kill_command(slot);
                }
            }
            Err(why) => {
                // A child that could not execute it ends by itself, which nobody needs to hear of.
                let has_child = self.link.probe_pid(slot) != 0;
                if has_child {
                    command.is_over = true;
                } else {
                    self.probes.commands.remove(&slot);
                }
                self.end_trial(slot, number, Err(why));
            }
        }
    }

    /// A child of the keeper has ended, which the ledger tells under this number; whether it was such a command.
    pub fn probe_command_ended(&mut self, pid: Pid, status: ExitStatus, sequence: u64) -> bool {
        let of_predecessor =
            self.probes.inherited.iter().find_map(|(slot, of)| (*of == pid).then_some(*slot));
        if let Some(slot) = of_predecessor {
            self.probes.inherited.remove(&slot);
            self.probes.ended.push(slot);
            return true;
        }
        // Whoever ended before it was created had the same number before.
        let is_it = |(slot, command): (&SlotId, &Command)| {
            (self.link.probe_pid(*slot) == pid && command.spawn_head <= sequence).then_some(*slot)
        };
        let Some(slot) = self.probes.commands.iter().find_map(is_it) else { return false };
        let Some(command) = self.probes.commands.remove(&slot) else { return false };
        // A successor that reads of its end once more is to know whose it is.
        self.probes.ended.push(slot);
        command.output.read();
        if !command.is_over {
            let judgement = exec::judge(status, &command.output.lock());
            self.end_trial(slot, command.number, judgement);
        }
        true
    }

    /// The ledger will not tell again of commands that have ended.
    pub(super) fn forget_ended_commands(&mut self) {
        for slot in std::mem::take(&mut self.probes.ended) {
            if !self.probes.commands.contains_key(&slot) && !self.probes.inherited.contains_key(&slot) {
                self.link.announce_probe(slot);
            }
        }
    }

    /// A command has run until the end of its time.
    pub(super) fn command_took_too_long(&mut self, slot: SlotId) {
        let Some(command) = self.probes.commands.get(&slot) else { return };
        command.output.read();
        let why = exec::no_end(command.timeout, &command.output.lock());
        let number = command.number;
        self.end_command(slot);
        self.end_trial(slot, number, Err(why));
    }

    /// Whoever a command is about is not watched any more.
    pub(super) fn leave_command(&mut self, slot: SlotId) {
        if let Some(command) = self.probes.commands.get_mut(&slot) {
            command.is_of_former_start = true;
        }
        self.end_command(slot);
    }

    /// Nobody waits for a command any more.
    fn end_command(&mut self, slot: SlotId) {
        let Some(command) = self.probes.commands.get_mut(&slot) else { return };
        command.is_over = true;
        command.progress.forbid();
        self.kill_command(slot);
    }

    fn kill_command(&self, slot: SlotId) {
        let Some(command) = self.probes.commands.get(&slot) else { return };
        let pid = self.link.probe_pid(slot);
        // Its number may be another's once the keeper has collected it.
        if pid > 0 && !self.link.tells_end(pid, command.spawn_head) {
            let _ = signals::send_group(pid, Signal::KILL);
            let _ = signals::send(pid, Signal::KILL);
        }
    }

    /// Ends what a killed manager was trying a process with, and all that belongs to it. The slot names its pid until the
    /// ledger has told of its end, so that the next manager knows it as well.
    pub(super) fn end_inherited_command(&mut self, slot: SlotId) {
        let pid = self.link.probe_pid(slot);
        if pid <= 0 {
            return;
        }
        let is_anothers = self.procs.has_pid(pid) || self.pending_slot_of(pid).is_some();
        if !is_anothers && pid != std::process::id() as Pid {
            // It may have ended, and its number be another's: it is killed only as a child of the keeper that nobody
            // knows, and of whose end the ledger has nothing to tell.
            let (keeper, link) = (self.link.keeper_pid(), &self.link);
            let is_there = Cell::new(false);
            pidfd::kill_if(pid, || {
                let is_it = process::is_child_of(pid, keeper) && !link.ends_to_come().contains(&pid);
                if is_it {
                    is_there.set(true);
                    let _ = signals::send_group(pid, Signal::KILL);
                }
                is_it
            });
            if is_there.get() || link.ends_to_come().contains(&pid) {
                self.probes.inherited.insert(slot, pid);
                return;
            }
        }
        self.link.announce_probe(slot);
    }
}
