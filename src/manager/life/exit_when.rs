//! Ending by itself: `exit_when` and `essential`, for containers whose life is that of their programs.

use crate::core::process::StateChange;
use crate::manager::daemon::Daemon;
use crate::manager::processes::{Proc, SlotId};
use crate::model::config::ExitWhen;
use crate::model::exit::ExitStatus;
use crate::model::namespec::Namespec;
use crate::model::state::ProcessState;

/// What a shell calls a death by signal: this and the signal's number.
const KILLED: i32 = 128;

impl Daemon {
    /// Begins the end if what has just happened to a process is what the daemon was told to end with. `ended`
    /// is how its program ended, if that is what happened: it may run again by now.
    pub fn check_exit_condition(&mut self, slot: SlotId, changes: &[StateChange], ended: Option<ExitStatus>) {
        let Some(proc) = self.procs.proc(slot).filter(|_| self.life.is_running()) else { return };
        let Some(reason) = self.reason_to_exit(proc, changes) else { return };
        let status = exit_status(proc, ended);
        let is_end = |change: &&StateChange| matches!(change.to, ProcessState::Exited | ProcessState::Fatal);
        let became = changes.iter().find(is_end).map_or(proc.state(), |change| change.to);
        ::log::warn!(
            "exiting with status {status} because {} has become {became} ({reason})",
            proc.namespec()
        );
        self.in_force.exit_with(status);
        // Before the end begins, which the next manager goes on with if this one dies now.
        self.save();
        self.begin_shutdown();
    }

    /// The setting that asks for the end, as it is written.
    fn reason_to_exit(&self, proc: &Proc, changes: &[StateChange]) -> Option<String> {
        use ProcessState::{Exited, Fatal};
        let became = |state| changes.iter().any(|change| change.to == state);
        let is_over = proc.state().is_stopped() && !proc.is_active() && !changes.is_empty();
        let ended = became(Exited) || became(Fatal);
        if proc.config.essential && ended && is_over {
            return Some("essential=true".to_string());
        }
        match &self.in_force.config().supervisord.exit_when {
            ExitWhen::AnyFatal if became(Fatal) => Some("exit_when=any_fatal".to_string()),
            ExitWhen::AnyExit if ended => Some("exit_when=any_exit".to_string()),
            ExitWhen::AllExited if is_over && !proc.is_listener && self.procs.active_programs() == 0 => {
                Some("exit_when=all_exited".to_string())
            }
            ExitWhen::Named(name) if ended && self.is_end_of(name, proc) => Some(format!("exit_when={name}")),
            _ => None,
        }
    }

    /// Whether the end of this process is that of the process, or the whole group, of this name.
    fn is_end_of(&self, name: &str, proc: &Proc) -> bool {
        let Namespec { group, process } = Namespec::parse(name);
        let is_process = |process: &String| self.procs.member(&group, process).is_some();
        match process.filter(is_process) {
            Some(process) => *proc.group == *group && *proc.config.name == *process,
            None => *proc.group == *group && self.procs.group(&group).is_some_and(|group| group.active == 0),
        }
    }
}

/// The status that a program's end gives the daemon. Giving up is a failure even if the program ended with 0
/// each time.
fn exit_status(proc: &Proc, ended: Option<ExitStatus>) -> u8 {
    let status = match ended.or(proc.process.exit) {
        Some(ExitStatus::Code(code)) => i32::from(code),
        Some(ExitStatus::Signal { signal, .. }) => KILLED + signal.raw(),
        Some(ExitStatus::Unknown) | None => 1,
    };
    match u8::try_from(status) {
        Ok(0) if proc.state() == ProcessState::Fatal => 1,
        Ok(status) => status,
        Err(_) => 1,
    }
}
