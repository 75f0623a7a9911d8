//! Answers while a manager takes over.
//!
//! Finding every pipe and every log again takes longer than everything else in a takeover, the more so with many
//! programs. Clients are not to wait for that. Nor is the takeover to wait for clients, however many there are and
//! however much they ask, because programs have to be restarted. So the two share the time.

use crate::control::ask::Call;
use crate::manager::daemon::Daemon;
use crate::manager::inputs::LoopInputs;
use crate::rt;
use std::time::{Duration, Instant};

/// For so long clients come first: enough for one of them to get its answer.
const HEAD_START: Duration = Duration::from_millis(2);

/// How the time is shared.
pub struct EarlyAnswers<'a> {
    inputs: &'a mut LoopInputs,
    /// Whether the table can tell all processes.
    tells_processes: bool,
    begun: Instant,
    /// How much of the time since then went to clients.
    answering: Duration,
}

impl<'a> EarlyAnswers<'a> {
    /// `tells_processes`: whether the table can tell all processes by now.
    pub fn begin(inputs: &'a mut LoopInputs, tells_processes: bool) -> EarlyAnswers<'a> {
        EarlyAnswers { inputs, tells_processes, begun: Instant::now(), answering: Duration::ZERO }
    }

    /// Answers what the table alone can answer, about processes only if none has ended since it was written.
    /// Everything else waits for the loop. To be called again and again: after a head start clients get as much of
    /// the time as whoever calls this.
    pub fn answer(&mut self, daemon: &mut Daemon) {
        let others = self.begun.elapsed().saturating_sub(self.answering);
        let turn = (HEAD_START + others).saturating_sub(self.answering);
        let since = Instant::now();
        let mut has_answered = false;
        while since.elapsed() < turn && rt::lend_a_hand() {
            // At once: whoever asked first does not wait until everybody has been heard.
            while let Ok(call) = self.inputs.calls.try_recv() {
                if self.is_known(&call, daemon) {
                    daemon.handle(call);
                    has_answered = true;
                } else {
                    self.inputs.postponed.push(call);
                }
            }
        }
        if has_answered {
            // Whoever got an answer was woken on this processor, most probably.
            std::thread::yield_now();
        }
        self.answering += since.elapsed();
    }

    fn is_known(&self, call: &Call, daemon: &Daemon) -> bool {
        match call {
            Call::State(..) | Call::Pid(..) | Call::Identification(..) => true,
            Call::ProcessInfo(..) | Call::AllProcessInfo(..) => {
                self.tells_processes && !daemon.link.has_entries()
            }
            _ => false,
        }
    }
}
