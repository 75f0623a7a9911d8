//! The secret that only our own pages know.
//!
//! A browser sends requests, with its stored password, for any page. A browser's request that changes something therefore
//! needs this token. Foreign pages cannot read the token, and cannot send its header without a preflight request, which we
//! never allow. Programs that are no browsers need no token.

use crate::http::wire::request::Head;
use subtle::ConstantTimeEq;

/// The header that carries the token.
pub(crate) const HEADER: &str = "x-supervisord-token";

/// The token of this manager. Pages request a new one when another manager serves them.
pub(crate) struct Token(String);

/// Prints no secret.
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
            // Without randomness no token fits: browsers may read and change nothing.
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

    /// Whether a request may change something: it carries the token, or comes from no browser. `form` is the token in the
    /// body, if that is a form.
    pub(crate) fn admits(&self, head: &Head, form: Option<&str>) -> bool {
        let sent = head.header(HEADER).or(form);
        sent.map_or(!is_from_browser(head), |sent| self.fits(sent))
    }
}

/// Whether a browser sent this. Only browsers send these headers, and programs that pretend to be one.
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
