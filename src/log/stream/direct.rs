//! The routes on which bytes stay in the kernel: from the pipe into the only sink, or into nothing.

use crate::log::activity;
use crate::log::sinks::sink::{Refusal, Spliced};
use crate::log::spool::{tee, transfer};
use crate::log::stream::LARGE_PIPE;
use crate::log::stream::drain::Drained;
use crate::log::stream::endpoints::Endpoints;
use crate::log::transform::copy_to_activity_log;
use crate::model::config::Level;
use rustix::io::Errno;

/// The kernel does not splice into the sink. Nothing has been moved there.
#[derive(Debug)]
pub(super) struct CannotSplice;

impl Endpoints {
    /// At level debug the activity log shows what leaves the pipe next, as Supervisor's does. How many bytes may leave it
    /// then, at most `max`.
    fn show(&mut self, max: usize) -> usize {
        if !activity::enabled(Level::Debug) {
            self.n_shown = 0;
            return max;
        }
        if self.n_shown == 0 {
            let whose = &self.whose;
            let shown = tee::peek(&self.pipe, |bytes| copy_to_activity_log(bytes, whose, false));
            self.n_shown = shown.unwrap_or(0);
        }
        // At the pipe's end nothing was shown, and that is to be found.
        if self.n_shown == 0 { max } else { max.min(self.n_shown) }
    }

    /// Moves bytes into the only sink.
    ///
    /// # Errors
    /// Another route has to be taken, for what is left of the budget as well.
    pub(super) fn splice(&mut self, budget: usize, drained: &mut Drained) -> Result<(), CannotSplice> {
        while drained.n_bytes < budget {
            let max = self.show(budget - drained.n_bytes);
            match self.sinks[0].splice(&self.pipe, max) {
                Ok(Spliced { n_bytes: 0, .. }) => {
                    drained.eof = true;
                    return Ok(());
                }
                Ok(Spliced { n_bytes, emptied }) => {
                    drained.n_bytes += n_bytes;
                    self.n_shown = self.n_shown.saturating_sub(n_bytes);
                    if emptied {
                        return Ok(());
                    }
                }
                Err(Refusal::Empty) => return Ok(()),
                Err(Refusal::Slow) => {
                    self.wait(drained);
                    return Ok(());
                }
                Err(Refusal::Failing) => {
                    self.hold(drained);
                    return Ok(());
                }
                Err(Refusal::CannotSplice) => return Err(CannotSplice),
            }
        }
        drained.more = true;
        Ok(())
    }

    /// Moves bytes into nothing.
    pub(super) fn discard(&mut self, budget: usize, drained: &mut Drained) {
        while drained.n_bytes < budget {
            let max = self.show(budget - drained.n_bytes);
            match tee::discard(&self.pipe, max) {
                Ok(0) => {
                    drained.eof = true;
                    return;
                }
                Ok(n_bytes) => {
                    drained.n_bytes += n_bytes;
                    self.n_shown = self.n_shown.saturating_sub(n_bytes);
                }
                Err(_) => return,
            }
        }
        drained.more = true;
    }

    /// Whether the bytes of a stream that is spliced may go through the transfer pipe: they go to a file, and a successor
    /// would know whose they are.
    pub(super) fn may_move_aside(&self) -> bool {
        let is_file = self.sinks.first().is_some_and(|sink| sink.file().is_some());
        self.id != 0 && !self.in_transfer && is_file && !activity::enabled(Level::Debug)
    }

    /// Moves bytes into the transfer pipe, and from there to the file. `None` if that pipe is not to be had.
    pub(super) fn move_aside(&mut self, budget: usize) -> Option<Drained> {
        let filled = transfer::installed().and_then(|mut transfer| {
            let free = transfer.reserve(self.id).unwrap_or(false);
            free.then(|| transfer.fill(&self.pipe, budget))
        });
        let mut drained = Drained { pipe_size: self.pipe_size, ..Drained::default() };
        match filled? {
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => return None,
            Ok(0) => drained.eof = true,
            Ok(n_bytes) => {
                drained.n_bytes = n_bytes;
                self.in_transfer = true;
                if !self.finish_transfer() {
                    drained.pause = Some(self.pause);
                }
            }
        }
        Some(drained)
    }

    /// Writes what is in the transfer pipe; whether that is all of it.
    pub(super) fn finish_transfer(&mut self) -> bool {
        let Some(transfer) = transfer::installed() else { return true };
        while transfer.owner() == Some(self.id) {
            match self.sinks.first_mut().map(|sink| sink.splice(transfer.read_end(), LARGE_PIPE)) {
                Some(Ok(_) | Err(Refusal::Empty)) => {}
                Some(Err(Refusal::Failing | Refusal::Slow)) => return false,
                Some(Err(Refusal::CannotSplice)) => {
                    let sink = &mut self.sinks[0];
                    let _ = tee::consume(transfer.read_end(), |bytes| sink.push(bytes));
                }
                // Its configuration says by now that it has no log.
                None => drop(tee::discard(transfer.read_end(), LARGE_PIPE)),
            }
        }
        self.in_transfer = false;
        true
    }
}
