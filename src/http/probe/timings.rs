//! Histograms of how long starts and restarts took.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The upper bounds of the buckets, in seconds.
pub const BOUNDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// The histograms that the loop fills. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Timings(Arc<Mutex<Histograms>>);

#[derive(Clone, Copy, Debug, Default)]
struct Histograms {
    starts: Histogram,
    restarts: Histogram,
}

/// A histogram of durations.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Histogram {
    /// How many durations are in each bucket, not cumulative. Longer ones than the last bound are in none.
    pub counts: [u64; BOUNDS.len()],
    /// The number of durations.
    pub count: u64,
    /// The sum of all durations.
    pub sum: Duration,
}

impl Histogram {
    fn add(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        if let Some(class) = BOUNDS.iter().position(|bound| seconds <= *bound) {
            self.counts[class] += 1;
        }
        self.count += 1;
        self.sum += took;
    }
}

impl Timings {
    /// Records a start: `took` is the time from the attempt until RUNNING.
    pub fn record_start(&self, took: Duration) {
        self.lock().starts.add(took);
    }

    /// Records a restart: `took` is the time from the exit of a program that ended by itself until it was RUNNING again.
    pub fn record_restart(&self, took: Duration) {
        self.lock().restarts.add(took);
    }

    /// The histograms of starts and of restarts.
    pub fn histograms(&self) -> (Histogram, Histogram) {
        let histograms = self.lock();
        (histograms.starts, histograms.restarts)
    }

    /// The numbers are valid whenever the lock can be had.
    fn lock(&self) -> MutexGuard<'_, Histograms> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
