//! Turns at computing slow hashes of passwords, which anybody can ask for who knows the user name.
//!
//! Whoever guesses must take neither the processors from the programs nor the turn from those who know the password: so
//! few hashes are computed at a time, few may wait, and fewer of one origin.

use crate::http::guard::admission::Side;
use crate::http::guard::budget::{Budget, Share, Turn};
use crate::http::net::socket::Origin;
use crate::sys::schedule;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// So many different passwords may wait on either side.
const WAITING_MAX: usize = 16;

/// So many of them may come from one origin.
const OF_ONE_ORIGIN: usize = 4;

/// Turns at hashing. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Hashing(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    turns: Budget,
    waiting: Mutex<Vec<Waiting>>,
}

/// A password for whose hash somebody waits.
#[derive(Debug)]
struct Waiting {
    digest: [u8; 20],
    side: Side,
    origin: Origin,
    n_clients: usize,
}

/// That a client waits; ends when it is dropped.
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

    /// Lets a client wait for the hash of the password with this digest; `None` if too many wait. Clients with the same
    /// password are one.
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

    /// Whether somebody else with another password could not wait.
    pub(crate) fn is_full(&self, side: Side, origin: Origin) -> bool {
        is_full(&self.lock(), side, origin)
    }

    /// How long a client that comes now waits for the end of its hash, if each takes so long.
    pub(crate) fn delay(&self, side: Side, each: Duration) -> Duration {
        let n_before = self.lock().iter().filter(|waiting| waiting.side == side).count();
        each * (n_before as u32 + 1)
    }

    /// Waits for a turn. Whoever comes by a unix socket is next.
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
