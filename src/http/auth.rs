//! Basic authentication.
//!
//! A stored password is plain, `{SHA}` and the hexadecimal SHA-1 of it as ever, or `{BCRYPT}` and a bcrypt
//! hash as `htpasswd -nB` prints it. Comparing takes the same time whatever is wrong.

use super::budget::Budget;
use crate::manager::rt;
use crate::model::config::Credentials;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha1::{Digest, Sha1};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use subtle::ConstantTimeEq;

/// Clients differ about the padding; its absence is no reason to keep them out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// So many slow hashes are computed at a time; guessing must not occupy all processors.
const SLOW_AT_A_TIME: usize = 2;

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// Nothing usable was supplied, so nothing was guessed.
    NoCredentials,
    WrongCredentials,
}

/// Lets clients in that know name and password.
#[derive(Debug)]
pub struct Guard {
    /// `None`: everybody is let in.
    credentials: Option<Credentials>,
    /// The last password that a slow hash was found to fit, so that a client that asks every second does not
    /// cost a hash every second. Only a digest under a key of this process.
    remembered: Mutex<Option<[u8; 20]>>,
    key: [u64; 2],
    slow: Budget,
}

impl Guard {
    pub fn new(credentials: Option<Credentials>) -> Guard {
        // The standard library's only source of randomness; each state has keys of its own.
        let key = [RandomState::new().hash_one(0), RandomState::new().hash_one(1)];
        Guard { credentials, remembered: Mutex::new(None), key, slow: Budget::new(SLOW_AT_A_TIME) }
    }

    /// Judges an `Authorization` header. The name that was authenticated; `None` if the server is open.
    ///
    /// # Errors
    /// If the header does not fit.
    pub async fn check(&self, header: Option<&str>) -> Result<Option<String>, Denied> {
        let Some(expected) = &self.credentials else { return Ok(None) };
        let (username, password) = header.and_then(supplied).ok_or(Denied::NoCredentials)?;
        // Both are compared in any case, so that the time taken does not tell which was wrong.
        let username_fits = same(username.as_bytes(), expected.username.as_bytes());
        let password_fits = self.password_fits(&password, &expected.password).await;
        if username_fits & password_fits { Ok(Some(username)) } else { Err(Denied::WrongCredentials) }
    }

    async fn password_fits(&self, password: &str, stored: &str) -> bool {
        if let Some(digest) = stored.strip_prefix("{SHA}") {
            same(hex(&Sha1::digest(password)).as_bytes(), digest.to_ascii_lowercase().as_bytes())
        } else if let Some(hash) = stored.strip_prefix("{BCRYPT}") {
            self.slow_hash_fits(password, hash).await
        } else {
            same(password.as_bytes(), stored.as_bytes())
        }
    }

    async fn slow_hash_fits(&self, password: &str, hash: &str) -> bool {
        let digest = self.digest(password);
        let known = *self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_some_and(|known| known.ct_eq(&digest).into()) {
            return true;
        }
        let _turn = self.slow.take(1).await;
        let (password, hash) = (password.to_string(), hash.to_string());
        // A hash that cannot be read fits nothing.
        let fits = rt::unblock(move || bcrypt::verify(password, &hash).unwrap_or(false)).await;
        if fits {
            *self.remembered.lock().unwrap_or_else(PoisonError::into_inner) = Some(digest);
        }
        fits
    }

    fn digest(&self, password: &str) -> [u8; 20] {
        let mut hash = Sha1::new();
        hash.update(self.key[0].to_le_bytes());
        hash.update(self.key[1].to_le_bytes());
        hash.update(password);
        hash.finalize().into()
    }
}

/// Name and password, if the header holds them. The password may contain colons.
fn supplied(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64.decode(encoded.trim()).ok()?).ok()?;
    let (username, password) = decoded.split_once(':')?;
    Some((username.to_string(), password.to_string()))
}

/// Compares digests of both sides, which have one length whatever the texts have.
fn same(left: &[u8], right: &[u8]) -> bool {
    Sha1::digest(left).as_slice().ct_eq(Sha1::digest(right).as_slice()).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(stored: &str, header: Option<&str>) -> Result<Option<String>, Denied> {
        let credentials = Credentials { username: "user".into(), password: stored.into() };
        rt::block_on(Guard::new(Some(credentials)).check(header))
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
        let credentials = Credentials { username: "user".into(), password: format!("{{BCRYPT}}{hash}") };
        let guard = Guard::new(Some(credentials));
        let judge = |password: &str| {
            rt::block_on(guard.check(Some(&basic(&format!("user:{password}"))))).map(|user| user.is_some())
        };
        assert_eq!(judge("guess"), Err(Denied::WrongCredentials));
        assert!(guard.remembered.lock().unwrap().is_none());
        assert_eq!(judge("secret"), Ok(true));
        assert!(guard.remembered.lock().unwrap().is_some());
        assert_eq!(judge("secret"), Ok(true));
        assert_eq!(judge("guess"), Err(Denied::WrongCredentials));
        assert_eq!(check("{BCRYPT}nonsense", Some(&basic("user:x"))), Err(Denied::WrongCredentials));
    }

    #[test]
    fn an_open_server_lets_everybody_in() {
        for header in [None, Some("Basic nonsense")] {
            assert_eq!(rt::block_on(Guard::new(None).check(header)), Ok(None));
        }
    }
}
