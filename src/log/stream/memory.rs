//! The route through our memory, for a stream that has no spool, or none yet: bytes stay in the pipe until they are
//! written.

use crate::log::sinks::sink::Refusal;
use crate::log::spool::tee;
use crate::log::stream::drain::Drained;
use crate::log::stream::endpoints::Endpoints;
use crate::log::transform::{Moment, Transform};
use std::sync::Arc;

impl Endpoints {
    pub(super) fn move_through_memory(
        &mut self,
        transform: &mut Transform,
        budget: usize,
        drained: &mut Drained,
    ) {
        let waiting = self.n_in_pipe();
        while drained.n_bytes < budget {
            match self.flush_sinks() {
                Some(Refusal::Slow) => return self.wait(drained),
                Some(_) if self.may_hold(transform) => return self.hold(drained),
                _ => {}
            }
            let pipe = Arc::clone(&self.pipe);
            let result = tee::consume(&pipe, |bytes| {
                let moment = Moment::now(self.pid);
                let transformed = transform.feed(bytes, moment);
                drained.output.pieces.extend(self.distribute(transformed, moment));
            });
            match result {
                Ok(0) => {
                    drained.eof = true;
                    return;
                }
                Ok(n_bytes) => drained.n_bytes += n_bytes,
                Err(_) => break,
            }
            if drained.n_bytes >= waiting {
                break;
            }
        }
        drained.more = drained.n_bytes >= budget;
        if matches!(self.flush_sinks(), Some(Refusal::Slow)) {
            self.wait(drained);
        }
    }
}
