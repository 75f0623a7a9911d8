//! When a stream is drained: at once when it was idle, in batches when it is busy, never otherwise.
//!
//! Waking up for each line costs more than moving it. So after a drain the next one waits a little for bytes
//! to gather, and a stream that gathers many goes to the [busy drain](busy) until it is calm again.

use crate::log::drain::busy;
use crate::log::drain::retry;
use crate::log::stream::{Drained, LogStream, Output};
use crate::rt::{Async, Timer};
use futures_lite::FutureExt;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The most that one turn of one stream moves before others have theirs.
const BUDGET: usize = 1 << 20;

/// How long output may gather in the pipe of a program that writes now and then.
const GATHERING: Duration = Duration::from_millis(1);

/// The same where each piece becomes an event, which costs a listener more than a line costs us: fewer and
/// larger pieces reach it sooner than many small ones. Not where somebody waits for a line (`ready=log:`).
const GATHERING_EVENTS: Duration = Duration::from_millis(10);

/// A stream that has gathered so much by its next turn is busy.
const BUSY_BYTES: usize = 16 * 1024;

/// Takes what was read out of a stream for others. It is called while the stream is locked, so that what a
/// later drain by somebody else reads comes later for everybody; it must not wait.
pub type HandOn = Box<dyn FnMut(Output) + Send>;

/// How one turn at a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// There was nothing.
    Empty,
    /// Bytes left the pipe; more may be on their way.
    Moved {
        /// How many.
        n_bytes: usize,
        /// How many bytes the pipe holds.
        pipe_size: usize,
    },
    /// The log takes nothing now and is to be tried again after this time.
    Pause(Duration),
    /// Nobody has the other end of the pipe.
    End,
}

/// A way of draining a stream, with a budget of bytes.
pub(super) type Way = fn(&mut LogStream, usize) -> Drained;

/// Drains a stream until nobody has the other end of its pipe, handing on what was read out of it.
///
/// `Some(pump)` is a future for the runtime; `None`: the stream has a pump already. A pump ends with the last
/// writer, so this is called after every start of the program.
pub fn pump<F>(
    stream: &Arc<Mutex<LogStream>>,
    hand_on: F,
) -> Option<impl Future<Output = ()> + Send + 'static>
where
    F: FnMut(Output) + Send + 'static,
{
    let mut locked = stream.lock().unwrap_or_else(PoisonError::into_inner);
    if std::mem::replace(&mut locked.pumped, true) {
        return None;
    }
    drop(locked);
    Some(run(Arc::clone(stream), Box::new(hand_on)))
}

async fn run(stream: Arc<Mutex<LogStream>>, mut hand_on: HandOn) {
    let (pipe, may_gather, is_waiting) = {
        let stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
        (stream.pipe(), stream.may_gather_events(), stream.is_waiting())
    };
    let gathering = if may_gather { GATHERING_EVENTS } else { GATHERING };
    let Some(mut watched) = watch(&stream, &pipe) else { return };
    let mut last = Instant::now() - gathering;
    // What an earlier manager left does not arrive once more.
    // The one in which it takes part, while something waits for a sink.
    let mut round: Option<async_channel::Receiver<()>> = None;
    let mut outcome = if is_waiting { Turn::Pause(Duration::ZERO) } else { Turn::Empty };
    loop {
        match outcome {
            Turn::End => {
                // A pipe can be watched only once, so this is over before somebody else begins.
                drop(watched);
                if has_ended(&stream, &mut hand_on) {
                    // Nothing arrives any more, but what has arrived may not have got where it belongs.
                    return retry::retry_in_rounds(&stream, || hand_on);
                }
                let Some(again) = watch(&stream, &pipe) else { return };
                watched = again;
                outcome = Turn::Empty;
                continue;
            }
            Turn::Pause(retry::PERIOD) => drop(retry::next_round().recv().await),
            Turn::Pause(pause) => drop(Timer::after(pause).await),
            Turn::Empty | Turn::Moved { .. } => {
                let waits = stream.lock().unwrap_or_else(PoisonError::into_inner).waits_for_sink();
                if !waits {
                    round = None;
                }
                // An error would be the kernel's refusal to watch a pipe; draining is right in any case.
                let arrived = async { drop(watched.readable().await) };
                if waits {
                    let round = &*round.get_or_insert_with(retry::next_round);
                    arrived.or(async { round.recv().await.unwrap_or_default() }).await;
                } else {
                    arrived.await;
                }
                let gathering = gathering.saturating_sub(last.elapsed());
                if !gathering.is_zero() {
                    Timer::after(gathering).await;
                }
            }
        }
        // Once it has come there is another one.
        round = round.filter(|round| !round.is_closed());
        last = Instant::now();
        outcome = turn(&stream, &mut hand_on);
        if matches!(outcome, Turn::Moved { n_bytes, .. } if n_bytes >= BUSY_BYTES) {
            // A pipe that epoll(7) watches calls it with every write; for short lines that is a sixth of what they
            // cost the program.
            drop(watched);
            (hand_on, outcome) = busy::drain_until_calm(&stream, hand_on).await;
            let Some(again) = watch(&stream, &pipe) else { return };
            watched = again;
        }
    }
}

/// Whether the pipe has no writer still, and the stream therefore no pump any more.
fn has_ended(stream: &Mutex<LogStream>, hand_on: &mut HandOn) -> bool {
    let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
    let drained = drain_once(&mut stream, hand_on, LogStream::drain);
    // Under the same lock: whoever starts the program after this sees that it needs a new pump, and a program that was
    // started before it keeps this one.
    stream.pumped = !drained.eof;
    drained.eof
}

/// Begins to watch the pipe; `None`, and the stream has no pump any more, if the kernel refuses that.
fn watch(stream: &Mutex<LogStream>, pipe: &Arc<OwnedFd>) -> Option<Async<Arc<OwnedFd>>> {
    match Async::new_nonblocking(Arc::clone(pipe)) {
        Ok(watched) => Some(watched),
        Err(error) => {
            ::log::error!("could not wait for the output of a program: {error}");
            stream.lock().unwrap_or_else(PoisonError::into_inner).pumped = false;
            None
        }
    }
}

/// One turn at a stream.
fn turn(stream: &Mutex<LogStream>, hand_on: &mut HandOn) -> Turn {
    turn_with(stream, hand_on, LogStream::drain)
}

/// One turn at a stream, with a way of draining.
pub(super) fn turn_with(stream: &Mutex<LogStream>, hand_on: &mut HandOn, drain: Way) -> Turn {
    let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
    if stream.awaits_spool() {
        return Turn::Pause(stream.lengthen_pause());
    }
    let drained = drain_once(&mut stream, hand_on, drain);
    match (drained.pause, drained.n_bytes) {
        _ if drained.eof => Turn::End,
        (Some(pause), _) => Turn::Pause(pause),
        (None, 0) => Turn::Empty,
        (None, n_bytes) => Turn::Moved { n_bytes, pipe_size: drained.pipe_size },
    }
}

/// Drains within the budget of a turn, and hands on what was read out for others.
pub(super) fn drain_once(stream: &mut LogStream, hand_on: &mut HandOn, drain: Way) -> Drained {
    let mut drained = drain(stream, BUDGET);
    let output = std::mem::take(&mut drained.output);
    if !output.pieces.is_empty() {
        hand_on(output);
    }
    drained
}
