//! How long things took, counted in classes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The upper bounds of the classes, in seconds.
pub const BOUNDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// What the loop takes down. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Timings(Arc<Mutex<Histograms>>);

#[derive(Clone, Copy, Debug, Default)]
struct Histograms {
    starts: Histogram,
    restarts: Histogram,
}

/// How often something took how long.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Histogram {
    /// One for each bound; what takes longer is in none.
    pub counts: [u64; BOUNDS.len()],
    pub count: u64,
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
    /// A start took so long, from the attempt until it counted as RUNNING.
    pub fn record_start(&self, took: Duration) {
        self.lock().starts.add(took);
    }

    /// A program that had ended by itself was RUNNING again after so long.
    pub fn record_restart(&self, took: Duration) {
        self.lock().restarts.add(took);
    }

    /// Starts and restarts.
    pub fn histograms(&self) -> (Histogram, Histogram) {
        let histograms = self.lock();
        (histograms.starts, histograms.restarts)
    }

    /// The numbers are valid whenever the lock can be had.
    fn lock(&self) -> MutexGuard<'_, Histograms> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
