//! The table: every state against every event.

use super::{After, Cause, Circumstances, Effect, Event, KILLED, Process, Reach, State, StateChange};
use crate::model::config::{Level, ProcessConfig};
use crate::model::exit::ExitStatus;
use crate::model::signal::Signal;

/// Advances one process by one event. The only place where a state changes.
pub fn step(
    process: Process,
    event: Event,
    config: &ProcessConfig,
    at: Circumstances<'_>,
) -> (Process, Vec<Effect>) {
    let mut step = Step { process, config, at, effects: Vec::new() };
    step.run(event);
    (step.process, step.effects)
}

/// A step under way.
pub(super) struct Step<'a> {
    pub(super) process: Process,
    pub(super) config: &'a ProcessConfig,
    pub(super) at: Circumstances<'a>,
    pub(super) effects: Vec<Effect>,
}

impl Step<'_> {
    fn run(&mut self, event: Event) {
        use State::*;
        let now = self.at.now;
        if matches!(event, Event::Start | Event::StartAlone | Event::Stop | Event::ShutDown) {
            self.process.is_to_stop = false;
        }
        match (self.process.state.clone(), event) {
            (Stopped | Exited { .. } | Fatal { .. } | Parked { .. }, Event::Start) => self.start(false),
            (Stopped | Waiting { .. } | Exited { .. } | Fatal { .. } | Parked { .. }, Event::StartAlone) => {
                self.start(true)
            }
            (Stopping { pid, kill_at, then, .. }, event @ (Event::Start | Event::StartAlone)) => {
                // The last word counts here, too.
                self.process.is_alone = event == Event::StartAlone;
                self.process.state = Stopping { pid, kill_at, after: After::Start, then };
            }
            // It is up or on its way, or nobody knows whether it still runs.
            (
                Waiting { .. }
                | Starting { .. }
                | Running { .. }
                | Failing { .. }
                | Backoff { .. }
                | Unknown { .. },
                Event::Start | Event::StartAlone,
            ) => {}

            (Starting { pid: Some(pid), .. } | Running { pid, .. }, Event::Stop | Event::ShutDown) => {
                self.stop(pid, After::Rest);
            }
            (Failing { pid, kill_at, then, .. }, Event::Stop | Event::ShutDown) => {
                self.go_on_stopping(pid, kill_at, then, After::Rest);
            }
            // It has not run one instruction of its own.
            (Starting { pid: None, .. }, Event::Stop | Event::ShutDown) => self.abandon(After::Rest),
            (Waiting { .. }, Event::Stop | Event::ShutDown) => self.stop_waiting(),
            (Backoff { .. }, Event::Stop) => self.stop_backoff(),
            (Exited { start_at: Some(_) } | Fatal { retry_at: Some(_) } | Parked { .. }, Event::Stop) => {
                self.stop_pause();
            }
            // It stays what it is, and is not started again.
            (Exited { start_at: Some(_) }, Event::ShutDown) => self.process.state = Exited { start_at: None },
            (Fatal { retry_at: Some(_) } | Parked { is_fatal: true }, Event::ShutDown) => {
                self.process.state = Fatal { retry_at: None };
            }
            (Parked { is_fatal: false }, Event::ShutDown) => self.process.state = Stopped,
            // BACKOFF -> FATAL: as in Supervisor, process.py, give_up(), which says nothing.
            (Backoff { .. }, Event::ShutDown) => {
                self.process.stop = self.at.wall;
                self.process.failures = 0;
                self.change(Fatal { retry_at: None }, 0);
            }
            // The last word counts: this stop withdraws a start that was waiting.
            (Stopping { pid, kill_at, then, .. }, Event::Stop | Event::ShutDown) => {
                self.process.state = Stopping { pid, kill_at, after: After::Rest, then };
            }
            (
                Stopped | Exited { start_at: None } | Fatal { retry_at: None } | Unknown { .. },
                Event::Stop | Event::ShutDown,
            ) => {}

            (Stopping { .. } | Failing { .. }, Event::Escalate) => self.kill(),
            // There is no grace period that could end.
            (
                Stopped
                | Waiting { .. }
                | Starting { .. }
                | Running { .. }
                | Backoff { .. }
                | Exited { .. }
                | Fatal { .. }
                | Parked { .. }
                | Unknown { .. },
                Event::Escalate,
            ) => {}

            (Starting { pid: None, up_at, .. }, Event::Spawned(pid)) => self.spawned(pid, up_at),
            (Starting { pid: None, .. }, Event::SpawnedLate(pid)) => self.spawned_late(pid),
            (Starting { pid: None, .. }, Event::SpawnFailed(why)) => {
                self.log(Level::Info, format!("spawnerr: {why}"));
                self.back_off(0, why);
            }

            (
                Stopped | Waiting { .. } | Exited { .. } | Fatal { .. } | Parked { .. },
                Event::Adopted { pid, started, start },
            ) => {
                self.adopt(pid, started, start);
            }

            (Starting { pid: Some(pid), .. }, Event::Exited { status, why }) => {
                self.exited_while_starting(pid, status, why);
            }
            (Running { pid, .. }, Event::Exited { status, why }) => self.exited(pid, status, why),
            (Failing { pid, cause, was_up, .. }, Event::Exited { status, .. }) => {
                self.failed(pid, status, cause, was_up);
            }
            (Stopping { pid, after, .. }, Event::Exited { status, .. }) => {
                self.stopped(pid, status, after);
            }
            (Unknown { pid }, Event::Exited { status, .. }) => self.stopped(pid, status, After::Rest),

            (
                Starting { pid: Some(pid), .. }
                | Running { pid, .. }
                | Failing { pid, .. }
                | Stopping { pid, .. },
                Event::SignalFailed(why),
            ) => {
                let name = &self.config.name;
                self.effects.push(Effect::Log(
                    Level::Critical,
                    format!("unknown problem killing {name} ({pid}):{why}"),
                ));
                self.change(Unknown { pid }, pid);
            }

            (state, Event::StopLater) => self.process.is_to_stop = state.is_active(),

            (state @ (Starting { .. } | Running { .. } | Failing { .. }), Event::NeedsLost) => {
                self.needs_are_lost(&state);
            }
            (state, Event::NeedsChanged | Event::NeedsLost) => self.needs_changed(&state),

            (Starting { pid: Some(pid), is_ready: false, .. }, Event::Readiness(result)) => {
                self.readiness(pid, result);
            }
            (Running { pid, .. }, Event::Checked(result)) => self.checked(pid, result),
            (Running { pid, .. }, Event::Silent) => self.fail(pid, Cause::Silent, true),
            (Running { pid, .. }, Event::OverMemory(bytes)) => self.over_memory(pid, bytes, true),
            (Starting { pid: Some(pid), .. }, Event::OverMemory(bytes)) => {
                self.over_memory(pid, bytes, false);
            }

            (Starting { pid: Some(pid), up_at, is_ready: false }, Event::Extend(until))
                if self.config.readiness.is_some() =>
            {
                // Never beyond `max_runtime`.
                let up_at = up_at.max(until).min(self.until());
                self.process.state = Starting { pid: Some(pid), up_at, is_ready: false };
            }
            // Until it is killed, which nobody puts off.
            (Stopping { then, .. } | Failing { then, .. }, Event::Extend(until)) if then != KILLED => {
                self.put_off(until);
            }

            (state, Event::Reconfigured) => self.reconfigured(state),

            (Waiting { give_up_at, is_asked }, Event::Tick) if now >= give_up_at => {
                self.wait(give_up_at, is_asked);
            }
            (Starting { pid: Some(pid), up_at, is_ready }, Event::Tick) if now >= up_at => {
                self.start_is_over(pid, is_ready);
            }
            (Running { pid, until }, Event::Tick) if now >= until => self.fail(pid, Cause::Overtime, true),
            (Backoff { retry_at: due } | Exited { start_at: Some(due) }, Event::Tick)
                if now >= due && self.at.may_start =>
            {
                self.start_again();
            }
            (Fatal { retry_at: Some(due) }, Event::Tick) if now >= due && self.at.may_start => {
                self.start_again();
            }
            (Stopping { kill_at, .. } | Failing { kill_at, .. }, Event::Tick) if now >= kill_at => {
                self.insist();
            }
            // Too early, or nothing to wait for.
            (_, Event::Tick) => {}

            // These would be answers to questions nobody asked: only a live process can exit, fail to take a signal, or
            // say how it is, and only one at rest can get a program.
            (
                _,
                Event::Spawned(_)
                | Event::SpawnedLate(_)
                | Event::SpawnFailed(_)
                | Event::Exited { .. }
                | Event::SignalFailed(_)
                | Event::Adopted { .. }
                | Event::Readiness(_)
                | Event::Checked(_)
                | Event::Silent
                | Event::OverMemory(_)
                | Event::Extend(_),
            ) => {}
        }
    }

    pub(super) fn kill_stragglers(&mut self, pid: super::Pid) {
        let reach = Reach::of_kill(self.config);
        // A tree has no number that could be another's by now.
        if reach == Reach::Tree || (reach == Reach::ProcessGroup && self.at.may_have_stragglers) {
            self.effects.push(Effect::KillStragglers { pid, reach });
        }
    }

    pub(super) fn expects(&self, status: ExitStatus) -> bool {
        matches!(status, ExitStatus::Code(code) if self.config.exitcodes.contains(&code))
    }

    pub(super) fn change(&mut self, to: State, pid: super::Pid) {
        let from = self.process.state.kind();
        self.process.state = to;
        self.publish(from, pid, false);
    }

    pub(super) fn publish(
        &mut self,
        from: crate::model::state::ProcessState,
        pid: super::Pid,
        expected: bool,
    ) {
        let to = self.process.state.kind();
        self.effects.push(Effect::Publish(StateChange {
            from,
            to,
            pid,
            tries: self.process.failures,
            expected,
        }));
    }

    pub(super) fn log(&mut self, level: Level, text: String) {
        self.effects.push(Effect::Log(level, text));
    }

    pub(super) fn log_kill(&mut self, pid: super::Pid, signal: Signal, reach: Reach) {
        let whom = match reach {
            Reach::Process => "",
            Reach::ProcessGroup => "process group ",
            Reach::Tree => "process tree ",
        };
        self.log(
            Level::Debug,
            format!("killing {} (pid {pid}) {whom}with signal {signal}", self.config.name),
        );
    }
}
