//! Whether a receiver works, and when that is worth a line in the activity log.
//!
//! Trouble is logged once, and so is its end with what was dropped by then. A receiver that fails every few seconds is
//! not worth two lines each time: what such short trouble has cost is logged later, as one sum.

/// Times are those of the monotonic clock, in nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// Trouble so soon after a recovery is logged only if it lasts as long.
const RELAPSE: u64 = 10 * SECOND;

/// How a receiver is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Health {
    /// Since when it does not work; 0 while it does.
    pub down_since: u64,
    /// Whether the activity log has that.
    pub is_logged: bool,
    /// How many bytes were dropped that no line of the log tells of.
    pub n_dropped: u64,
    /// When it last worked again; 0 for never.
    recovered: u64,
}

/// What to log about the end of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recovery {
    /// It had been logged that it does not work.
    Works { seconds: u64, n_dropped: u64 },
    /// It had not.
    Dropped { n_dropped: u64 },
}

impl Health {
    /// As a predecessor left it.
    pub(super) fn new(down_since: u64, is_logged: bool, n_dropped: u64) -> Health {
        Health { down_since, is_logged, n_dropped, recovered: 0 }
    }

    pub(super) fn is_down(&self) -> bool {
        self.down_since > 0
    }

    /// Notes that it does not work.
    pub(super) fn begin_trouble(&mut self, now: u64) {
        if self.down_since == 0 {
            self.down_since = now.max(1);
        }
    }

    /// The same, by somebody who knows why; whether that is to be logged now.
    pub(super) fn fails(&mut self, now: u64) -> bool {
        self.begin_trouble(now);
        let relapse = self.recovered > 0 && self.down_since < self.recovered.saturating_add(RELAPSE);
        let lasts = now.saturating_sub(self.down_since) >= RELAPSE;
        let logs = !self.is_logged && (!relapse || lasts);
        self.is_logged |= logs;
        logs
    }

    /// Notes that it works; what is to be logged now.
    pub(super) fn works(&mut self, now: u64) -> Option<Recovery> {
        if self.down_since == 0 {
            return None;
        }
        let seconds = now.saturating_sub(self.down_since) / SECOND;
        let was_logged = std::mem::take(&mut self.is_logged);
        let is_rare = self.recovered == 0 || self.recovered.saturating_add(RELAPSE) <= now;
        self.down_since = 0;
        self.recovered = now.max(1);
        if was_logged {
            return Some(Recovery::Works { seconds, n_dropped: std::mem::take(&mut self.n_dropped) });
        }
        let is_worth_it = is_rare && self.n_dropped > 0;
        is_worth_it.then(|| Recovery::Dropped { n_dropped: std::mem::take(&mut self.n_dropped) })
    }

    /// When something is to be logged that was not, if nothing happens until then.
    pub(super) fn due(&self) -> Option<u64> {
        (self.down_since == 0 && self.n_dropped > 0).then(|| self.recovered.saturating_add(RELAPSE))
    }

    /// What is due by now.
    pub(super) fn take_due(&mut self, now: u64) -> Option<Recovery> {
        let is_due = self.due().is_some_and(|due| due <= now);
        is_due.then(|| Recovery::Dropped { n_dropped: std::mem::take(&mut self.n_dropped) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_and_its_end_are_logged_once() {
        let mut health = Health::default();
        assert_eq!(health.works(SECOND), None);
        assert!(health.fails(2 * SECOND));
        assert!(!health.fails(3 * SECOND));
        health.n_dropped = 7;
        assert_eq!(health.works(5 * SECOND), Some(Recovery::Works { seconds: 3, n_dropped: 7 }));
        assert_eq!((health.works(6 * SECOND), health.due()), (None, None));
    }

    #[test]
    fn a_relapse_is_logged_when_it_lasts_and_its_cost_in_any_case() {
        let mut health = Health::default();
        health.fails(SECOND);
        health.works(2 * SECOND);
        assert!(!health.fails(3 * SECOND));
        health.n_dropped = 5;
        assert_eq!(health.works(4 * SECOND), None);
        assert_eq!(health.due(), Some(14 * SECOND));
        assert_eq!(health.take_due(13 * SECOND), None);
        assert_eq!(health.take_due(14 * SECOND), Some(Recovery::Dropped { n_dropped: 5 }));
        assert_eq!((health.due(), health.n_dropped), (None, 0));
        // Within the time after the last recovery, and it lasts.
        assert!(!health.fails(13 * SECOND));
        assert!(health.fails(23 * SECOND));
        assert_eq!(health.works(24 * SECOND), Some(Recovery::Works { seconds: 11, n_dropped: 0 }));
    }

    #[test]
    fn what_a_moment_has_cost_is_logged_at_its_end() {
        let mut health = Health::default();
        health.begin_trouble(SECOND);
        health.n_dropped = 5;
        assert_eq!(health.works(2 * SECOND), Some(Recovery::Dropped { n_dropped: 5 }));
        health.begin_trouble(3 * SECOND);
        health.n_dropped = 6;
        assert_eq!((health.works(4 * SECOND), health.due()), (None, Some(14 * SECOND)));
    }

    #[test]
    fn a_successor_logs_what_its_predecessor_had_begun() {
        let mut health = Health::new(SECOND, true, 9);
        assert!(!health.fails(2 * SECOND));
        assert_eq!(health.works(3 * SECOND), Some(Recovery::Works { seconds: 2, n_dropped: 9 }));
    }
}
