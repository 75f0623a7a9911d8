//! Whether a sink works, and when that is worth a line in the activity log.
//!
//! A disk that is full now and then is not worth two lines each time: after a recovery, trouble must last for a while
//! before it is logged.

use std::time::{Duration, Instant};

/// How long a name that could not be opened is left alone: a little less than a [round](crate::log::drain::retry) takes.
const OPEN_AGAIN_AFTER: Duration = Duration::from_millis(900);

/// Trouble so soon after a recovery is logged only if it lasts as long.
const RELAPSE: Duration = Duration::from_secs(10);

/// The trouble that a sink has or had.
#[derive(Debug, Default)]
pub(super) struct Failures {
    trouble: Option<Box<Trouble>>,
    /// When it last worked again, and how many bytes had been dropped by then without a line about it.
    recovered: Option<Box<(Instant, u64)>>,
}

#[derive(Debug)]
struct Trouble {
    since: Instant,
    open_again: Instant,
    n_dropped: u64,
    is_logged: bool,
}

/// The end of trouble that was logged.
#[derive(Debug)]
pub(super) struct Recovery {
    pub(super) seconds: u64,
    pub(super) n_dropped: u64,
}

impl Failures {
    pub(super) fn is_failing(&self) -> bool {
        self.trouble.is_some()
    }

    /// Whether another attempt to open the target is due.
    pub(super) fn may_open(&self) -> bool {
        self.trouble.as_ref().is_none_or(|trouble| trouble.open_again <= Instant::now())
    }

    /// Makes it due.
    pub(super) fn open_at_once(&mut self) {
        if let Some(trouble) = &mut self.trouble {
            trouble.open_again = Instant::now();
        }
    }

    /// Counts bytes that are gone for good.
    pub(super) fn dropped(&mut self, n_bytes: u64) {
        if let Some(trouble) = &mut self.trouble {
            trouble.n_dropped += n_bytes;
        }
    }

    /// Notes that the sink does not work; whether that is to be logged now.
    pub(super) fn begin(&mut self, since: Instant) -> bool {
        let now = Instant::now();
        let relapse = self.recovered.as_ref().is_some_and(|recovered| recovered.0.elapsed() < RELAPSE);
        let n_dropped = self.recovered.as_mut().map_or(0, |recovered| std::mem::take(&mut recovered.1));
        let trouble = self
            .trouble
            .get_or_insert_with(|| Box::new(Trouble { since, open_again: now, n_dropped, is_logged: false }));
        trouble.open_again = now + OPEN_AGAIN_AFTER;
        let logs = !trouble.is_logged && (!relapse || trouble.since.elapsed() >= RELAPSE);
        trouble.is_logged |= logs;
        logs
    }

    /// Notes that the sink works; `Some` if that is to be logged.
    pub(super) fn end(&mut self) -> Option<Recovery> {
        let trouble = self.trouble.take()?;
        let Trouble { since, n_dropped, is_logged, .. } = *trouble;
        self.recovered = Some(Box::new((Instant::now(), if is_logged { 0 } else { n_dropped })));
        is_logged.then(|| Recovery { seconds: since.elapsed().as_secs(), n_dropped })
    }
}
