//! How busy the machine is while a test runs.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two measurements.
const PAUSE: Duration = Duration::from_millis(50);

/// What is compared with times of a daemon must stay below the second that it tells apart.
const MOST: Duration = Duration::from_millis(900);

/// Measures again and again, until it is dropped, how long it takes to wake up and to run a program that does
/// nothing: what this machine, with all that runs on it, adds to any delay.
pub struct Busyness {
    worst_micros: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Busyness {
    pub fn measure() -> Busyness {
        let (worst_micros, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (worst, stopped) = (Arc::clone(&worst_micros), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let begun = Instant::now();
                std::thread::sleep(PAUSE);
                let _ = Command::new("true").status();
                let took = begun.elapsed().saturating_sub(PAUSE);
                worst.fetch_max(took.as_micros() as u64, Ordering::Relaxed);
            }
        });
        Busyness { worst_micros, stop, thread: Some(thread) }
    }

    /// By how many milliseconds a delay of the daemon may be off: `least` where nothing else runs, 20 times the longest
    /// measurement so far elsewhere, and always less than a second.
    pub fn slack_ms(&self, least: i64) -> i64 {
        let measured = 20 * Duration::from_micros(self.worst_micros.load(Ordering::Relaxed));
        least.max(measured.min(MOST).as_millis() as i64)
    }
}

impl Drop for Busyness {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
