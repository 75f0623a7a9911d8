//! The secret that only pages of ours know.
//!
//! A browser sends requests, credentials included, for any page that asks it to. What changes anything therefore has to
//! bear this token when a browser asks: foreign pages cannot read it, and cannot send the header without asking us first,
//! which we never allow. Programs that are no browsers need none.

use crate::http::wire::request::Head;
use subtle::ConstantTimeEq;

/// The header that bears it.
pub(crate) const HEADER: &str = "x-supervisord-token";

/// Known to this manager only; pages ask for it again when another one serves them.
pub(crate) struct Token(String);

/// Does not print the secret.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    pub(crate) fn new() -> Token {
        let mut bytes = [0_u8; 32];
        let mut filled = 0;
        // The kernel's generator is ready long before anything is supervised; it only fails where it does not exist.
        while filled < bytes.len() {
            match rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
                Ok(n_bytes) => filled += n_bytes,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => break,
            }
        }
        if filled < bytes.len() {
            // Without it there is no token that fits: browsers may look and change nothing.
            return Token(String::new());
        }
        Token(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Whether this is the token.
    pub(crate) fn fits(&self, sent: &str) -> bool {
        !self.0.is_empty() && bool::from(sent.as_bytes().ct_eq(self.0.as_bytes()))
    }

    /// Whether a request that changes something comes from a page of ours, or from no browser at all. `form` is the
    /// token in the body, if that is a form.
    pub(crate) fn admits(&self, head: &Head, form: Option<&str>) -> bool {
        let sent = head.header(HEADER).or(form);
        sent.map_or(!is_from_browser(head), |sent| self.fits(sent))
    }
}

/// Whether a browser sent this. Each of these headers is sent by browsers only, unless somebody pretends to be one.
fn is_from_browser(head: &Head) -> bool {
    ["origin", "sec-fetch-site", "sec-fetch-mode", "cookie", "referer", "upgrade-insecure-requests"]
        .iter()
        .any(|name| head.header(name).is_some())
        || head.header("user-agent").is_some_and(|agent| agent.starts_with("Mozilla/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_need_the_token_and_others_do_not() {
        let token = Token::new();
        assert_eq!(token.text().len(), 64);
        let other = Token::new();
        assert_ne!(token.text(), other.text());
        let bearing = |token: &Token| format!("X-Supervisord-Token: {}\r\n", token.text());
        for (headers, form, expected) in [
            (String::new(), None, true),
            ("User-Agent: curl/8.0\r\nAuthorization: Basic eDp5\r\n".into(), None, true),
            ("Origin: http://127.0.0.1\r\n".into(), None, false),
            ("Sec-Fetch-Site: same-origin\r\n".into(), None, false),
            ("Cookie: a=b\r\n".into(), None, false),
            ("Referer: http://127.0.0.1/\r\n".into(), None, false),
            ("User-Agent: Mozilla/5.0\r\n".into(), None, false),
            (bearing(&token) + "Origin: http://127.0.0.1\r\n", None, true),
            (bearing(&token), None, true),
            (bearing(&other), None, false),
            ("Origin: http://127.0.0.1\r\n".into(), Some(token.text()), true),
            ("Origin: http://127.0.0.1\r\n".into(), Some(other.text()), false),
            ("Origin: http://127.0.0.1\r\n".into(), Some(""), false),
        ] {
            let text = format!("POST / HTTP/1.1\r\n{headers}\r\n");
            let head = Head::parse(text.as_bytes()).unwrap().unwrap().0;
            assert_eq!(token.admits(&head, form), expected, "{headers:?} {form:?}");
        }
    }

    #[test]
    fn without_randomness_nothing_fits() {
        assert!(!Token(String::new()).fits(""));
    }
}
