//! When a stream is drained: at once when it was idle, in batches when it is busy, never otherwise.
//!
//! Waking up for each line costs more than moving it. So after a drain the next one waits until some bytes
//! have gathered: at most [`LONGEST_GATHERING`], and less the faster they come, so that the program does not
//! find its pipe full.

use crate::log::stream::{Drained, LogStream, StreamOutput};
use crate::manager::rt::{Async, Timer};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The most that one turn of one stream moves before others have theirs.
const BUDGET: usize = 1 << 20;

/// How long output may lie in the pipe of a busy program.
const LONGEST_GATHERING: Duration = Duration::from_millis(1);

/// Shorter than this is not worth a timer.
const SHORTEST_GATHERING: Duration = Duration::from_micros(200);

/// Drains a stream until nobody has the other end of its pipe, handing on what was read out of it.
///
/// `Some(pump)` is a future for the runtime; `None`: the stream has a pump already. A pump ends with the last
/// writer, so this is called after every start of the program.
pub fn pump<F>(
    stream: &Arc<Mutex<LogStream>>,
    hand_on: F,
) -> Option<impl Future<Output = ()> + Send + 'static>
where
    F: FnMut(Vec<StreamOutput>) + Send + 'static,
{
    let mut locked = stream.lock().unwrap_or_else(PoisonError::into_inner);
    if std::mem::replace(&mut locked.pumped, true) {
        return None;
    }
    drop(locked);
    Some(run(Arc::clone(stream), hand_on))
}

async fn run<F: FnMut(Vec<StreamOutput>)>(stream: Arc<Mutex<LogStream>>, mut hand_on: F) {
    let pipe = stream.lock().unwrap_or_else(PoisonError::into_inner).pipe();
    let pipe = match Async::new_nonblocking(pipe) {
        Ok(pipe) => pipe,
        Err(error) => {
            ::log::error!("could not wait for the output of a program: {error}");
            stream.lock().unwrap_or_else(PoisonError::into_inner).pumped = false;
            return;
        }
    };
    let mut last = Instant::now() - LONGEST_GATHERING;
    loop {
        // An error here would be the kernel's refusal to watch a pipe; draining is right in any case.
        let _ = pipe.readable().await;
        let mut gathering = LONGEST_GATHERING.saturating_sub(last.elapsed());
        loop {
            if gathering >= SHORTEST_GATHERING {
                Timer::after(gathering).await;
            }
            let since = last.elapsed();
            last = Instant::now();
            let Some(drained) = drain_once(&stream) else { return };
            if !drained.output.is_empty() {
                hand_on(drained.output);
            }
            gathering = match drained.pause {
                Some(pause) => pause,
                None if drained.n_bytes == 0 => break,
                None if drained.more => Duration::ZERO,
                None => gathering_for(drained.n_bytes, since),
            };
            if gathering < SHORTEST_GATHERING {
                futures_lite::future::yield_now().await;
            }
        }
    }
}

/// One turn; `None` once the last writer is gone.
fn drain_once(stream: &Mutex<LogStream>) -> Option<Drained> {
    let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
    let drained = stream.drain(BUDGET);
    if drained.eof {
        // Under the same lock: whoever starts the program after this sees that it needs a new pump.
        stream.pumped = false;
        return None;
    }
    Some(drained)
}

/// How long to let bytes gather that came at this rate, so that they fill a quarter of a large pipe.
fn gathering_for(n_bytes: usize, since: Duration) -> Duration {
    let quarter = (1 << 20) / 4;
    let nanos = since.as_nanos().saturating_mul(quarter) / (n_bytes as u128).max(1);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).min(LONGEST_GATHERING)
}
