//! Reports wrong passwords to the log: one line per minute and origin, with a count.

use crate::http::net::socket::Origin;
use crate::rt::{self, Timer};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The shortest time between two lines about one origin.
const INTERVAL: Duration = Duration::from_secs(60);

/// How many origins are counted separately. All others are counted together, so that memory is bounded.
const ORIGINS_MAX: usize = 1000;

/// The origins of recent wrong passwords. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Guesses {
    interval: Duration,
    origins: Arc<Mutex<HashMap<Key, Count>>>,
}

/// The section of the server, and the origin; `None` for all origins that are counted together.
type Key = (Arc<str>, Option<Origin>);

#[derive(Debug)]
struct Count {
    /// When the last line was written.
    reported: Instant,
    /// How many wrong passwords came since.
    n_since: u64,
}

impl Guesses {
    pub(crate) fn new() -> Guesses {
        Guesses { interval: INTERVAL, origins: Arc::default() }
    }

    /// Counts a wrong user name or password. The first of an origin is logged at once, later ones when a minute has passed.
    pub(crate) fn note(&self, section: &Arc<str>, origin: Origin) {
        let mut origins = self.lock();
        let mut key = (section.clone(), Some(origin));
        if !origins.contains_key(&key) && origins.len() >= ORIGINS_MAX {
            origins.retain(|_, count| count.reported.elapsed() < self.interval);
            key.1 = key.1.filter(|_| origins.len() < ORIGINS_MAX);
        }
        match origins
            .get_mut(&key)
            .filter(|count| count.n_since > 0 || count.reported.elapsed() < self.interval)
        {
            Some(count) => {
                count.n_since += 1;
                if count.n_since == 1 {
                    rt::spawn(self.clone().report_at(count.reported + self.interval, key)).detach();
                }
            }
            None => {
                report(&key, 1);
                origins.insert(key, Count { reported: Instant::now(), n_since: 0 });
            }
        }
    }

    async fn report_at(self, moment: Instant, key: Key) {
        Timer::at(moment).await;
        let mut origins = self.lock();
        if let Some(count) = origins.get_mut(&key) {
            report(&key, count.n_since);
            *count = Count { reported: Instant::now(), n_since: 0 };
        }
    }

    /// The table is whole between any two operations.
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Count>> {
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Neither name nor password is logged, because people type their password into the field of the name.
fn report((section, origin): &Key, n_guesses: u64) {
    let origin = origin.map_or_else(|| "many others".to_string(), |origin| origin.to_string());
    match n_guesses {
        1 => log::warn!("[{section}] refused a wrong user name or password from {origin}"),
        _ => {
            log::warn!(
                "[{section}] refused {n_guesses} wrong user names or passwords from {origin} within a minute"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    fn n_since(guesses: &Guesses, origin: Option<Origin>) -> Option<u64> {
        guesses.lock().iter().find(|(key, _)| key.1 == origin).map(|(_, count)| count.n_since)
    }

    #[test]
    fn each_origin_is_counted_and_there_are_not_too_many() {
        let guesses = Guesses::new();
        let section: Arc<str> = "inet_http_server".into();
        let origin = |n: u32| Origin::Ip(IpAddr::V4(Ipv4Addr::from_bits(n)));
        (0..5).for_each(|_| guesses.note(&section, origin(0)));
        guesses.note(&section, origin(1));
        assert_eq!(n_since(&guesses, Some(origin(0))), Some(4));
        assert_eq!(n_since(&guesses, Some(origin(1))), Some(0));
        (2..2000).for_each(|n| guesses.note(&section, origin(n)));
        assert_eq!(guesses.lock().len(), ORIGINS_MAX + 1);
        assert_eq!(n_since(&guesses, None), Some(999));
    }

    #[test]
    fn what_was_counted_is_told_when_the_time_has_come() {
        let guesses = Guesses { interval: Duration::from_millis(20), ..Guesses::new() };
        let section: Arc<str> = "inet_http_server".into();
        (0..5).for_each(|_| guesses.note(&section, Origin::Uid(1)));
        let deadline = Instant::now() + Duration::from_secs(20);
        while n_since(&guesses, Some(Origin::Uid(1))) != Some(0) {
            assert!(Instant::now() < deadline, "it was never told");
            std::thread::yield_now();
        }
    }
}
