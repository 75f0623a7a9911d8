//! Basic authentication.

use crate::model::config::Credentials;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

/// Clients differ about the padding; its absence is no reason to keep them out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// Nothing usable was supplied, so nothing was guessed.
    NoCredentials,
    WrongCredentials,
}

/// Judges an `Authorization` header. The name that was authenticated; `None` if the server is open.
///
/// # Errors
/// If the header does not fit.
pub fn check(credentials: Option<&Credentials>, header: Option<&str>) -> Result<Option<String>, Denied> {
    let Some(expected) = credentials else { return Ok(None) };
    let (username, password) = header.and_then(supplied).ok_or(Denied::NoCredentials)?;
    // Both are compared in any case, so that the time taken does not tell which was wrong.
    let username_fits = same(username.as_bytes(), expected.username.as_bytes());
    let password_fits = password_fits(&password, &expected.password);
    if username_fits & password_fits { Ok(Some(username)) } else { Err(Denied::WrongCredentials) }
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

fn password_fits(password: &str, stored: &str) -> bool {
    match stored.strip_prefix("{SHA}") {
        Some(digest) => same(hex(&Sha1::digest(password)).as_bytes(), digest.to_ascii_lowercase().as_bytes()),
        None => same(password.as_bytes(), stored.as_bytes()),
    }
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

    fn credentials(password: &str) -> Credentials {
        Credentials { username: "user".into(), password: password.into() }
    }

    fn basic(text: &str) -> String {
        format!("Basic {}", BASE64.encode(text))
    }

    #[test]
    fn headers_are_judged() {
        let sha_of_a_b = "{SHA}dcea6d9ccd3d20ba1549f6d9b5dde60742158882";
        assert_eq!(hex(&Sha1::digest("a:b")), &sha_of_a_b[5..]);
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
            assert_eq!(check(Some(&credentials(stored)), header.as_deref()), expected, "{stored} {header:?}");
        }
    }

    #[test]
    fn an_open_server_lets_everybody_in() {
        assert_eq!(check(None, None), Ok(None));
        assert_eq!(check(None, Some("Basic nonsense")), Ok(None));
    }
}
