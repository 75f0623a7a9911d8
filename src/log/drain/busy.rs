//! The busy drain: one thread that drains all busy streams in turn and naps in between.
//!
//! A timer per stream and round costs more than moving the bytes. So a pump hands a busy stream to this thread. The thread
//! drains every stream it has, sleeps until the fastest of them has filled a quarter of its pipe, and starts the next
//! round. It gives a stream that has calmed down back to its pump, and ends with its last stream: an idle daemon has no
//! such thread and does not wake up.

use crate::log::drain::pump::{HandOn, Turn, Way, turn_with};
use crate::log::stream::LogStream;
use crate::sys::schedule;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long output lies in the pipe of a busy program at most.
const LONGEST_NAP: Duration = Duration::from_millis(2);

/// Less is not worth a system call.
const SHORTEST_NAP: Duration = Duration::from_micros(30);

/// A stream that moves less than this in a round is on its way out.
const CALM_BYTES: usize = 2048;

/// After so many calm rounds it goes.
const CALM_ROUNDS: u32 = 12;

/// A stream in the busy drain.
struct BusyStream {
    stream: Arc<Mutex<LogStream>>,
    hand_on: HandOn,
    /// Where it goes back to.
    back: async_channel::Sender<(HandOn, Turn)>,
    drained_at: Instant,
    /// How long it could be left alone when it was drained last.
    nap: Duration,
    n_calm: u32,
}

/// How many bytes the pipes of all busy streams hold together at most, roughly. Few busy programs get large pipes, so
/// that they need not wait for us; many get small ones, because bytes that are still in the processor's caches when they
/// are moved cost half as much.
const ALL_PIPES: usize = 4 << 20;

/// More than this is slower again even for a single program: its pages have left the caches when they are moved.
const BUSY_PIPE: usize = 1 << 19;

/// How long the fastest of programs need to fill a pipe of 1 MiB.
const FASTEST_FILL: Duration = Duration::from_micros(100);

/// With more streams than this, none of their programs is likely to run just while its own pipe is emptied, so
/// moving the bytes aside first is not worth its system calls.
const FEW: usize = 4;

/// The size a pipe has by default (pipe(7)).
const SMALL_PIPE: usize = 1 << 16;

/// The streams that are to join the thread; `None` while there is no thread.
static JOINING: Mutex<Option<Vec<BusyStream>>> = Mutex::new(None);

/// Drains a busy stream until it is calm, has ended, or its log takes nothing; the last turn tells which.
pub async fn drain_until_calm(stream: &Arc<Mutex<LogStream>>, hand_on: HandOn) -> (HandOn, Turn) {
    let (back, given_back) = async_channel::bounded(1);
    let drained_at = Instant::now();
    join(BusyStream {
        stream: Arc::clone(stream),
        hand_on,
        back,
        drained_at,
        nap: Duration::ZERO,
        n_calm: 0,
    });
    match given_back.recv().await {
        Ok(result) => result,
        // The thread has panicked over another stream, and ours with it. Its output has nowhere to go now,
        // but its log has.
        Err(_) => (Box::new(|_| ()), Turn::Empty),
    }
}

fn join(stream: BusyStream) {
    let mut joining = JOINING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(joining) = &mut *joining {
        joining.push(stream);
        return;
    }
    *joining = Some(vec![stream]);
    let thread = std::thread::Builder::new().name("logs".to_string()).spawn(go_round);
    if let Err(error) = thread {
        ::log::warn!("could not start a thread for busy logs: {error}");
        // They go on with their pumps.
        let refused = joining.take().unwrap_or_default();
        refused.into_iter().for_each(|stream| stream.give_back(Turn::Empty));
    }
}

fn go_round() {
    // Copying is no hurry.
    schedule::give_precedence_up();
    let mut all: Vec<BusyStream> = Vec::new();
    loop {
        {
            let mut joining = JOINING.lock().unwrap_or_else(PoisonError::into_inner);
            all.append(joining.get_or_insert_default());
            if all.is_empty() {
                // Whoever comes next starts another thread.
                *joining = None;
                return;
            }
        }
        let pipe_share = pipe_share(all.len());
        let way = if all.len() <= FEW { LogStream::drain_aside } else { LogStream::drain };
        let mut nap = LONGEST_NAP;
        let mut index = 0;
        while index < all.len() {
            match all[index].drain(way, pipe_share) {
                Ok(until_full) => {
                    nap = nap.min(until_full);
                    index += 1;
                }
                Err(turn) => all.swap_remove(index).give_back(turn),
            }
        }
        if !all.is_empty() && nap >= SHORTEST_NAP {
            std::thread::sleep(nap);
        }
    }
}

impl BusyStream {
    fn give_back(self, turn: Turn) {
        // The pump may have been cancelled meanwhile.
        let _ = self.back.try_send((self.hand_on, turn));
    }

    /// Drains once; how long the pipe may be left alone then, or why the stream is to leave.
    fn drain(&mut self, way: Way, pipe_share: usize) -> Result<Duration, Turn> {
        let now = Instant::now();
        let elapsed = now.duration_since(std::mem::replace(&mut self.drained_at, now));
        match turn_with(&self.stream, &mut self.hand_on, way) {
            Turn::Moved { n_bytes, .. } if n_bytes < CALM_BYTES => self.calm(Turn::Empty),
            Turn::Empty => self.calm(Turn::Empty),
            Turn::Moved { n_bytes, pipe_size } => {
                self.n_calm = 0;
                let too_small = n_bytes >= pipe_size / 2 && pipe_size < pipe_share;
                if too_small || pipe_size > pipe_share {
                    let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
                    stream.resize_pipe(pipe_share);
                }
                self.nap = until_quarter_full(n_bytes, pipe_size, elapsed).min(LONGEST_NAP);
                Ok(self.nap)
            }
            leaving => Err(leaving),
        }
    }

    /// A program that has just been woken because its pipe is empty may be about to fill it again, so the naps
    /// grow by and by.
    fn calm(&mut self, turn: Turn) -> Result<Duration, Turn> {
        self.n_calm += 1;
        self.nap = (self.nap * 2).clamp(SHORTEST_NAP, LONGEST_NAP);
        if self.n_calm > CALM_ROUNDS { Err(turn) } else { Ok(self.nap) }
    }
}

/// What each of so many pipes may hold: a power of two, as the kernel rounds to.
fn pipe_share(n_pipes: usize) -> usize {
    let share = (ALL_PIPES / n_pipes.max(1)).clamp(SMALL_PIPE, BUSY_PIPE);
    1 << share.ilog2()
}

/// How long a pipe that has received so many bytes in that time needs to be a quarter full.
fn until_quarter_full(n_bytes: usize, pipe_size: usize, elapsed: Duration) -> Duration {
    if n_bytes >= pipe_size - pipe_size / 8 {
        // It was full: the program has been waiting, and how fast it is nobody knows. A moment for it to go on
        // undisturbed: a pipe has one lock, and two that fight for it are slower than two that take turns.
        return FASTEST_FILL.mul_f64(pipe_size as f64 / f64::from(1 << 20));
    }
    let nanos = elapsed.as_nanos() * (pipe_size as u128 / 4) / (n_bytes as u128).max(1);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_pipes_are_large_and_many_small() {
        for (n_pipes, share) in [(1, 1 << 19), (8, 1 << 19), (9, 1 << 18), (50, 1 << 16), (5000, 1 << 16)] {
            assert_eq!(pipe_share(n_pipes), share, "{n_pipes}");
        }
    }

    #[test]
    fn naps_follow_the_rate() {
        let millis = Duration::from_millis;
        assert_eq!(until_quarter_full(1 << 17, 1 << 20, millis(1)), millis(2));
        assert_eq!(until_quarter_full(1 << 19, 1 << 20, millis(1)), Duration::from_micros(500));
        assert_eq!(until_quarter_full(1 << 20, 1 << 20, millis(1)), FASTEST_FILL);
    }
}
