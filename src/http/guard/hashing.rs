//! The queue for bcrypt hashes, which anybody who knows the user name can cause.
//!
//! Clients that guess passwords must neither keep the processors busy nor block those that know the password. So few hashes
//! are computed at a time, few may wait, and even fewer of one origin.

use crate::http::guard::admission::Side;
use crate::http::guard::budget::{Budget, Share, Turn};
use crate::http::net::socket::Origin;
use crate::sys::schedule;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many different passwords may wait on either side.
const WAITING_MAX: usize = 16;

/// How many of them may come from one origin.
const OF_ONE_ORIGIN: usize = 4;

/// The queue. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Hashing(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    turns: Budget,
    waiting: Mutex<Vec<Waiting>>,
}

/// A password for whose hash clients wait.
#[derive(Debug)]
struct Waiting {
    digest: [u8; 20],
    side: Side,
    origin: Origin,
    n_clients: usize,
}

/// The place of a client in the queue. Dropping it leaves the queue.
#[derive(Debug)]
pub(crate) struct Ticket {
    hashing: Hashing,
    digest: [u8; 20],
    side: Side,
}

impl Hashing {
    pub(crate) fn new() -> Hashing {
        // Half of the processors are for everything else.
        let at_a_time = (schedule::n_processors() / 2).clamp(1, 2);
        Hashing(Arc::new(Shared { turns: Budget::new(at_a_time), waiting: Mutex::default() }))
    }

    /// Enters the queue for the hash of the password with this digest. Clients with the same password share a place. `None`
    /// if too many wait.
    pub(crate) fn join(&self, side: Side, origin: Origin, digest: [u8; 20]) -> Option<Ticket> {
        let mut waiting = self.lock();
        if let Some(known) = waiting.iter_mut().find(|known| known.side == side && known.digest == digest) {
            known.n_clients += 1;
        } else if is_full(&waiting, side, origin) {
            return None;
        } else {
            waiting.push(Waiting { digest, side, origin, n_clients: 1 });
        }
        Some(Ticket { hashing: self.clone(), digest, side })
    }

    /// Whether a client with a new password could not enter.
    pub(crate) fn is_full(&self, side: Side, origin: Origin) -> bool {
        is_full(&self.lock(), side, origin)
    }

    /// How long a client that enters now waits until its hash is computed, if each hash takes `each`.
    pub(crate) fn delay(&self, side: Side, each: Duration) -> Duration {
        let n_before = self.lock().iter().filter(|waiting| waiting.side == side).count();
        each * (n_before as u32 + 1)
    }

    /// Waits until a hash may be computed. Clients on unix sockets go first.
    pub(crate) async fn wait_for_turn(&self, side: Side) -> Share {
        let turn = if side == Side::Unix { Turn::Next } else { Turn::Last };
        self.0.turns.take_in(turn, 1).await
    }

    /// The list is whole between any two operations.
    fn lock(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_full(waiting: &[Waiting], side: Side, origin: Origin) -> bool {
    let here = || waiting.iter().filter(|known| known.side == side);
    here().count() >= WAITING_MAX || here().filter(|known| known.origin == origin).count() >= OF_ONE_ORIGIN
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut waiting = self.hashing.lock();
        let own = |known: &Waiting| known.side == self.side && known.digest == self.digest;
        waiting.iter_mut().filter(|known| own(known)).for_each(|known| known.n_clients -= 1);
        waiting.retain(|known| known.n_clients > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_may_wait_and_fewer_of_one_origin() {
        let hashing = Hashing::new();
        let join = |side, uid, digest| hashing.join(side, Origin::Uid(uid), [digest; 20]);
        let own: Vec<Ticket> = (0..20).map_while(|digest| join(Side::Network, 1, digest)).collect();
        assert_eq!(own.len(), OF_ONE_ORIGIN);
        // The same password costs nothing more.
        let same = join(Side::Network, 2, 0).unwrap();
        let others: Vec<Ticket> = (50..90).map_while(|n| join(Side::Network, u32::from(n), n)).collect();
        assert_eq!(others.len(), WAITING_MAX - OF_ONE_ORIGIN);
        assert!(hashing.is_full(Side::Network, Origin::Uid(100)));
        assert!(!hashing.is_full(Side::Unix, Origin::Uid(100)));
        assert_eq!(hashing.delay(Side::Network, Duration::from_secs(1)), Duration::from_secs(17));
        drop(own);
        assert!(!hashing.is_full(Side::Network, Origin::Uid(1)));
        drop((same, others));
        assert_eq!(hashing.delay(Side::Network, Duration::from_secs(1)), Duration::from_secs(1));
    }
}
