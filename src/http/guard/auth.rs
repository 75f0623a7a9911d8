//! Basic authentication.
//!
//! A stored password is plain text, `{SHA}` with a hexadecimal SHA-1 as in Supervisor, or `{BCRYPT}` with a bcrypt hash as
//! `htpasswd -nB` prints it. A comparison takes the same time whatever is wrong. A bcrypt hash is computed only for the
//! right user name; the answer to a wrong name is delayed by as much.

use crate::http::guard::admission::Side;
use crate::http::guard::hashing::Hashing;
use crate::http::net::socket::Origin;
use crate::model::config::Credentials;
use crate::rt;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha1::{Digest, Sha1};
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;

/// Some clients omit the padding, so it is optional.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How many wrong passwords are remembered. A repeated one costs no other hash.
const WRONG_MAX: usize = 16;

/// The estimated time of one round of a bcrypt hash, used until one was computed. A hash of cost n has 2^n rounds.
const ROUND: Duration = Duration::from_micros(70);

/// Why a client is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The header is missing or malformed, so this is no guess.
    NoCredentials,
    WrongCredentials,
    /// Too many clients wait for a bcrypt hash.
    Busy,
}

/// Where a client comes from; decides its place in the queue for hashes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking {
    pub side: Side,
    pub origin: Origin,
}

/// Checks the passwords of one server.
#[derive(Debug)]
pub(crate) struct Guard {
    /// `None` lets everybody in.
    credentials: Option<Credentials>,
    key: [u64; 2],
    known: Arc<Mutex<Known>>,
    hashing: Hashing,
}

/// The results of former comparisons with a bcrypt hash, so that a client that polls every second does not cost a hash every
/// second. Holds digests under a random key, never passwords.
#[derive(Debug)]
struct Known {
    right: Option<[u8; 20]>,
    wrong: VecDeque<[u8; 20]>,
    /// How long the last hash took.
    took: Duration,
}

impl Known {
    fn judge(&self, digest: &[u8; 20]) -> Option<bool> {
        let is_same = |known: &[u8; 20]| bool::from(known.ct_eq(digest));
        if self.right.as_ref().is_some_and(is_same) {
            return Some(true);
        }
        self.wrong.iter().any(is_same).then_some(false)
    }

    fn learn(&mut self, digest: [u8; 20], fits: bool, took: Duration) {
        self.took = took;
        if fits {
            self.right = Some(digest);
            return;
        }
        if self.wrong.len() == WRONG_MAX {
            self.wrong.pop_front();
        }
        self.wrong.push_back(digest);
    }
}

impl Guard {
    pub(crate) fn new(credentials: Option<Credentials>, hashing: Hashing) -> Guard {
        // The standard library's only source of randomness; each state has keys of its own.
        let key = [RandomState::new().hash_one(0), RandomState::new().hash_one(1)];
        let hash = credentials.as_ref().and_then(|known| known.password.strip_prefix("{BCRYPT}"));
        let cost = hash.and_then(|hash| hash.parse::<bcrypt::HashParts>().ok()).map(|parts| parts.get_cost());
        let took = cost.map_or(Duration::ZERO, |cost| ROUND * 2_u32.pow(cost.min(20)));
        let known = Known { right: None, wrong: VecDeque::new(), took };
        Guard { credentials, key, known: Arc::new(Mutex::new(known)), hashing }
    }

    /// Checks an `Authorization` header. Returns the user name, or `None` if the server asks for no password.
    ///
    /// # Errors
    /// If name and password are missing or wrong, or too many clients wait.
    pub(crate) async fn check(&self, header: Option<&str>, asking: Asking) -> Result<Option<String>, Denied> {
        let Some(expected) = &self.credentials else { return Ok(None) };
        let (username, password) = header.and_then(supplied).ok_or(Denied::NoCredentials)?;
        let username_fits = same(username.as_bytes(), expected.username.as_bytes());
        let password_fits = match expected.password.strip_prefix("{BCRYPT}") {
            Some(hash) if username_fits => self.slow_hash_fits(&password, hash, asking).await?,
            // As for a right name, or this would tell that it is wrong.
            Some(_) if self.hashing.is_full(asking.side, asking.origin) => return Err(Denied::Busy),
            Some(_) => false,
            // Compared in any case, so that the time taken does not tell which was wrong.
            None => quick_fits(&password, &expected.password),
        };
        if username_fits & password_fits { Ok(Some(username)) } else { Err(Denied::WrongCredentials) }
    }

    /// About how long a check of a wrong password takes. A wrong user name is answered after the same time.
    pub(crate) fn delay(&self, side: Side) -> Duration {
        self.hashing.delay(side, self.known().took)
    }

    /// Compares a password with a bcrypt hash, or uses the result of a former comparison.
    ///
    /// # Errors
    /// If too many clients wait.
    async fn slow_hash_fits(&self, password: &str, hash: &str, asking: Asking) -> Result<bool, Denied> {
        let digest = self.digest(password);
        let judged = || self.known().judge(&digest);
        if let Some(fits) = judged() {
            return Ok(fits);
        }
        let _waiting = self.hashing.join(asking.side, asking.origin, digest).ok_or(Denied::Busy)?;
        let turn = self.hashing.wait_for_turn(asking.side).await;
        // Somebody else may have come with it meanwhile.
        if let Some(fits) = judged() {
            return Ok(fits);
        }
        let (password, hash, known) = (password.to_string(), hash.to_string(), self.known.clone());
        let compare = move || {
            let begin = Instant::now();
            // A hash that cannot be read fits nothing.
            let fits = bcrypt::verify(password, &hash).unwrap_or(false);
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            known.learn(digest, fits, begin.elapsed());
            // Not before: if the client leaves, its hash is computed all the same.
            drop(turn);
            fits
        };
        rt::run_aside(compare).await.map_err(|_| Denied::Busy)
    }

    /// What is known is whole whenever the lock can be had.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn digest(&self, password: &str) -> [u8; 20] {
        let mut hash = Sha1::new();
        hash.update(self.key[0].to_le_bytes());
        hash.update(self.key[1].to_le_bytes());
        hash.update(password);
        hash.finalize().into()
    }
}

fn quick_fits(password: &str, stored: &str) -> bool {
    match stored.strip_prefix("{SHA}") {
        Some(digest) => same(hex(&Sha1::digest(password)).as_bytes(), digest.to_ascii_lowercase().as_bytes()),
        None => same(password.as_bytes(), stored.as_bytes()),
    }
}

/// Name and password in the header, if it is well-formed. The password may contain colons.
fn supplied(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64.decode(encoded.trim()).ok()?).ok()?;
    let (username, password) = decoded.split_once(':')?;
    Some((username.to_string(), password.to_string()))
}

/// Compares two texts in constant time. Their digests are compared, so that different lengths take the same time too.
fn same(left: &[u8], right: &[u8]) -> bool {
    Sha1::digest(left).as_slice().ct_eq(Sha1::digest(right).as_slice()).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKING: Asking = Asking { side: Side::Network, origin: Origin::Uid(0) };

    fn guard(stored: &str) -> Guard {
        let credentials = Credentials { username: "user".into(), password: stored.into() };
        Guard::new(Some(credentials), Hashing::new())
    }

    fn check(stored: &str, header: Option<&str>) -> Result<Option<String>, Denied> {
        rt::block_on(guard(stored).check(header, ASKING))
    }

    fn basic(text: &str) -> String {
        format!("Basic {}", BASE64.encode(text))
    }

    #[test]
    fn headers_are_judged() {
        let sha_of_a_b = "{SHA}dcea6d9ccd3d20ba1549f6d9b5dde60742158882";
        let ok = Ok(Some("user".to_string()));
        for (stored, header, expected) in [
            ("a:b", Some(basic("user:a:b")), ok.clone()),
            ("a:b", Some(basic("user:a:b").replace("Basic", "bAsIc")), ok.clone()),
            ("a:b", Some(basic("user:a:b").trim_end_matches('=').to_string()), ok.clone()),
            (sha_of_a_b, Some(basic("user:a:b")), ok.clone()),
            (&sha_of_a_b.replace("dcea", "DCEA"), Some(basic("user:a:b")), ok),
            (sha_of_a_b, Some(basic(&format!("user:{sha_of_a_b}"))), Err(Denied::WrongCredentials)),
            ("a:b", Some(basic("user:a")), Err(Denied::WrongCredentials)),
            ("a:b", Some(basic("User:a:b")), Err(Denied::WrongCredentials)),
            ("a:b", None, Err(Denied::NoCredentials)),
            ("a:b", Some("Basic".into()), Err(Denied::NoCredentials)),
            ("a:b", Some("Basic !".into()), Err(Denied::NoCredentials)),
            ("a:b", Some(basic("no colon")), Err(Denied::NoCredentials)),
            ("a:b", Some(format!("Basic {}", BASE64.encode(b"\xff:\xff"))), Err(Denied::NoCredentials)),
            ("a:b", Some("Bearer abc".into()), Err(Denied::NoCredentials)),
        ] {
            assert_eq!(check(stored, header.as_deref()), expected, "{stored} {header:?}");
        }
    }

    #[test]
    fn slow_hashes_are_understood_and_remembered() {
        // From htpasswd's family: the prefix 2y means the same as 2b.
        let hash = bcrypt::hash("secret", 4).unwrap().replace("$2b$", "$2y$");
        let guard = guard(&format!("{{BCRYPT}}{hash}"));
        let judge = |password: &str| {
            let header = basic(&format!("user:{password}"));
            rt::block_on(guard.check(Some(&header), ASKING)).map(|user| user.is_some())
        };
        assert_eq!(judge("guess"), Err(Denied::WrongCredentials));
        assert!(guard.known().right.is_none());
        assert_eq!(guard.known().wrong.len(), 1);
        assert_eq!(judge("secret"), Ok(true));
        assert!(guard.known().right.is_some());
        assert_eq!(judge("secret"), Ok(true));
        assert_eq!(judge("guess"), Err(Denied::WrongCredentials));
        assert_eq!(guard.known().wrong.len(), 1);
        (0..30).for_each(|n| assert!(judge(&n.to_string()).is_err()));
        assert_eq!((judge("secret"), guard.known().wrong.len()), (Ok(true), WRONG_MAX));
        assert_eq!(check("{BCRYPT}nonsense", Some(&basic("user:x"))), Err(Denied::WrongCredentials));
    }

    #[test]
    fn a_wrong_name_costs_no_hash_and_the_number_of_those_who_wait_is_bounded() {
        rt::block_on(async {
            // Takes a good while, but no time at all to make.
            let costly = bcrypt::hash("x", 4).unwrap().replace("$2b$04$", "$2b$12$");
            let guard = guard(&format!("{{BCRYPT}}{costly}"));
            let name = basic("other:x");
            assert_eq!(guard.check(Some(&name), ASKING).await, Err(Denied::WrongCredentials));
            assert!(guard.delay(Side::Network) >= Duration::from_millis(200));
            let mut waiting = Vec::new();
            let refused = loop {
                let header = basic(&format!("user:{}", waiting.len()));
                let guard = &guard;
                let mut check = Box::pin(async move { guard.check(Some(&header), ASKING).await });
                match futures_lite::future::poll_once(&mut check).await {
                    None => waiting.push(check),
                    Some(refused) => break refused,
                }
            };
            assert_eq!((waiting.len(), refused), (4, Err(Denied::Busy)));
            // That must not tell that the name is right.
            assert_eq!(guard.check(Some(&name), ASKING).await, Err(Denied::Busy));
            let elsewhere = Asking { origin: Origin::Uid(1), ..ASKING };
            assert_eq!(guard.check(Some(&name), elsewhere).await, Err(Denied::WrongCredentials));
            // Clients that leave do not keep others out.
            waiting.clear();
            assert_eq!(guard.check(Some(&name), ASKING).await, Err(Denied::WrongCredentials));
        });
    }

    #[test]
    fn an_open_server_lets_everybody_in() {
        for header in [None, Some("Basic nonsense")] {
            assert_eq!(rt::block_on(Guard::new(None, Hashing::new()).check(header, ASKING)), Ok(None));
        }
    }
}
