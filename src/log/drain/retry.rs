//! Trying sinks again by time.
//!
//! While a sink does not work, a program's output waits. If the program writes nothing more, nothing else would lead to
//! another attempt. So every stream that waits for a sink takes part in the next *round*. All of them share one timer,
//! and there is none while no stream waits: an idle daemon does not wake up.

use crate::log::drain::pump::{self, HandOn};
use crate::log::stream::LogStream;
use crate::rt::{self, Timer};
use async_channel::{Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The time from the first who waits to the round.
pub const PERIOD: Duration = Duration::from_secs(1);

/// Who takes part in the next round.
static WAITING: Mutex<Vec<Sender<()>>> = Mutex::new(Vec::new());

/// A channel that gets one note, when the next round begins.
pub fn next_round() -> Receiver<()> {
    let (sender, receiver) = async_channel::bounded(1);
    let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    waiting.push(sender);
    if waiting.len() == 1 {
        rt::spawn(round()).detach();
    }
    receiver
}

async fn round() {
    Timer::after(PERIOD).await;
    let waiting = std::mem::take(&mut *WAITING.lock().unwrap_or_else(PoisonError::into_inner));
    // Whoever has gone has been served by something else.
    for sender in waiting {
        let _ = sender.try_send(());
    }
}

/// Tries in every round to write what waits for the sinks of a stream, until nothing does. For streams without a pump, or
/// whose pump does not know of it because somebody else has drained or fed the stream.
pub fn retry_in_rounds(stream: &Arc<Mutex<LogStream>>, hand_on: impl FnOnce() -> HandOn) {
    let mut locked = stream.lock().unwrap_or_else(PoisonError::into_inner);
    if locked.waits_for_sink() && !std::mem::replace(&mut locked.in_rounds, true) {
        drop(locked);
        rt::spawn(run_rounds(Arc::clone(stream), hand_on())).detach();
    }
}

async fn run_rounds(stream: Arc<Mutex<LogStream>>, mut hand_on: HandOn) {
    loop {
        let _ = next_round().recv().await;
        let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
        pump::drain_once(&mut stream, &mut hand_on, LogStream::try_again);
        if !stream.waits_for_sink() {
            stream.in_rounds = false;
            return;
        }
    }
}
