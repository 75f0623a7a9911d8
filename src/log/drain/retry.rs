//! Trying again by time where nothing else would lead to it.
//!
//! What a program has written waits while a sink does not work, and a program that says nothing more gives no occasion
//! to try that again. So whoever waits for a sink takes part in the next *round*. There is one timer for all of
//! them, and none while nobody waits: an idle daemon does not wake up.

use crate::log::drain::pump::{self, HandOn};
use crate::log::stream::LogStream;
use crate::rt::{self, Timer};
use async_channel::{Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// From the first who waits to the round.
pub const PERIOD: Duration = Duration::from_secs(1);

/// Who takes part in the next round.
static WAITING: Mutex<Vec<Sender<()>>> = Mutex::new(Vec::new());

/// A channel that gets one note, with the next round.
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

/// Sees to it that what waits for the sinks of a stream gets there, though its pump, if it has one, does not know of
/// it: somebody else has drained it, or fed it.
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
