//! The daemon's own life: it comes up, afresh or in the place of another manager, and ends, or begins anew.
//!
//! [`start`] brings a manager up, [`take_over`] in the place of one that died, [`resume`] where a daemon has ended and left
//! its programs running; [`upgrade`] makes room for another binary. [`shutdown`] stops everything phase by phase, and
//! [`exit_when`] says when that begins by itself.

pub mod exit_when;
pub mod resume;
pub mod servers;
pub mod shutdown;
pub mod start;
pub mod take_over;
pub mod upgrade;

use crate::core::dependencies::StopOrder;
use crate::core::shutdown::Phases;
use crate::manager::processes::SlotId;
use crate::model::config::Config;
use crate::model::state::SupervisorState;
use crate::model::time::Monotonic;

/// How far the daemon is in its own life: it runs, or everything is being stopped, for good or for a new beginning.
pub struct Life {
    state: SupervisorState,
    /// Once an end was asked for.
    ending: Option<Ending>,
}

impl Life {
    /// For a daemon that starts.
    pub fn begin() -> Life {
        Life { state: SupervisorState::Running, ending: None }
    }

    /// What the daemon is doing, as clients see it.
    pub fn state(&self) -> SupervisorState {
        self.state
    }

    /// Whether no end, and no new beginning, was asked for.
    pub fn is_running(&self) -> bool {
        self.state == SupervisorState::Running
    }

    /// Goes on in the state that an earlier manager has published, if it has published any.
    pub fn restore(&mut self, state_code: Option<i32>) {
        let known = [SupervisorState::Shutdown, SupervisorState::Restarting];
        let state = known.into_iter().find(|state| Some(state.code()) == state_code);
        self.state = state.unwrap_or(SupervisorState::Running);
    }

    /// Whether it ends, or is about to, and its programs are to go on without it.
    pub fn leaves_programs(&self) -> bool {
        self.ending.as_ref().is_some_and(|ending| ending.leaves)
    }

    /// Whether programs are started and restarted: until the end begins, and up to the last moment if they are to go
    /// on without the daemon.
    pub fn may_start(&self) -> bool {
        self.is_running() || self.leaves_programs()
    }

    /// When the loop has to look at the end again even though nothing happens.
    pub fn deadline(&self) -> Option<Monotonic> {
        self.ending.as_ref().map(|ending| ending.next_report)
    }
}

/// Who is stopped when.
enum EndOrder {
    /// Group after group, by priority: nobody depends on anybody.
    Phases(Phases<String>),
    /// Dependents before what they depend on.
    Layers(StopOrder),
}

/// How far the end has come.
struct Ending {
    order: EndOrder,
    /// The groups that are stopping now.
    current: Vec<String>,
    next_report: Monotonic,
    /// How many signals asked for the end.
    n_requests: u32,
    /// Its programs are to go on without the daemon.
    leaves: bool,
    /// If so, who was being stopped when the end began.
    stopping: Vec<SlotId>,
    /// What comes after; `None` for the end of the daemon.
    restart_with: Option<Box<Config>>,
}
