//! Keeping foreign web pages from using their visitors' browsers against the daemon.
//!
//! A browser sends requests, passwords included, on behalf of any page. Two headers tell: `Origin` (which
//! page asks) and `Host` (under which name we were found; a foreign name that was made to point here shows
//! itself there). Clients that are no browsers send no `Origin` and are never refused.

use super::request::Head;
use std::net::IpAddr;

/// What the judgement knows about the server asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Names besides addresses and `localhost` under which a browser may find us. `None`: any, because a
    /// password is asked for, and a browser does not give that to a foreign name.
    pub hosts: Option<Vec<String>>,
}

/// Whether a page of ours, or no page at all, makes this request.
pub fn is_welcome(head: &Head, expected: &Expected) -> bool {
    let host = head.header("host").unwrap_or_default();
    let from_our_page = match head.header("origin") {
        Some(origin) => {
            is_same(origin, host) || head.header("x-forwarded-host").is_some_and(|host| is_same(origin, host))
        }
        // Following a link from elsewhere changes nothing; anything else a foreign page may not do.
        None => {
            head.method == "GET"
                || head.method == "HEAD"
                || head.header("sec-fetch-site") != Some("cross-site")
        }
    };
    from_our_page && (!is_browser(head) || is_expected(host, expected))
}

/// Whether a page was loaded from the host the request is sent to. `null` is the origin of pages that hide
/// theirs.
fn is_same(origin: &str, host: &str) -> bool {
    match origin.split_once("://") {
        Some((scheme, authority)) => {
            let default_port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
            let plain = |text: &str| {
                let text = text.trim().to_ascii_lowercase();
                text.strip_suffix(default_port).map_or(text.clone(), str::to_string)
            };
            plain(authority) == plain(host)
        }
        None => false,
    }
}

fn is_browser(head: &Head) -> bool {
    head.header("origin").is_some()
        || head.header("sec-fetch-site").is_some()
        || head.header("user-agent").is_some_and(|agent| agent.starts_with("Mozilla/"))
}

fn is_expected(host: &str, expected: &Expected) -> bool {
    let Some(names) = &expected.hosts else { return true };
    let name = name_of(host).to_ascii_lowercase();
    name.parse::<IpAddr>().is_ok()
        || name == "localhost"
        || name.ends_with(".localhost")
        || names.iter().any(|known| known.eq_ignore_ascii_case(&name))
}

/// The host without its port and without the brackets of an IPv6 address.
fn name_of(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    host.split(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, headers: &str) -> Head {
        let text = format!("{method} / HTTP/1.1\r\n{headers}\r\n");
        Head::parse(text.as_bytes()).unwrap().unwrap().0
    }

    #[test]
    fn foreign_pages_are_kept_out_and_nobody_else() {
        let open = Expected { hosts: Some(vec!["box".into()]) };
        let locked = Expected::default();
        for (method, headers, without_password, with_password) in [
            // No browser: whatever the name.
            ("POST", "Host: anything.example:9001\r\n", true, true),
            ("POST", "", true, true),
            ("GET", "Host: evil.example\r\nUser-Agent: curl/8\r\n", true, true),
            // Our own page.
            ("POST", "Host: 127.0.0.1:9001\r\nOrigin: http://127.0.0.1:9001\r\n", true, true),
            ("POST", "Host: [::1]:9001\r\nOrigin: http://[::1]:9001\r\n", true, true),
            ("POST", "Host: BOX\r\nOrigin: http://box:80\r\n", true, true),
            (
                "POST",
                "Host: 127.0.0.1:9001\r\nX-Forwarded-Host: s.example\r\nOrigin: https://s.example\r\n",
                true,
                true,
            ),
            // A foreign page.
            ("POST", "Host: 127.0.0.1:9001\r\nOrigin: http://evil.example\r\n", false, false),
            ("POST", "Host: 127.0.0.1:9001\r\nOrigin: http://127.0.0.1:80\r\n", false, false),
            ("POST", "Host: 127.0.0.1:9001\r\nOrigin: null\r\n", false, false),
            ("GET", "Host: 127.0.0.1:9001\r\nOrigin: http://evil.example\r\n", false, false),
            ("POST", "Host: 127.0.0.1:9001\r\nSec-Fetch-Site: cross-site\r\n", false, false),
            ("GET", "Host: 127.0.0.1:9001\r\nSec-Fetch-Site: cross-site\r\n", true, true),
            // A foreign name that was made to point here.
            ("POST", "Host: evil.example:9001\r\nOrigin: http://evil.example:9001\r\n", false, true),
            ("GET", "Host: evil.example:9001\r\nUser-Agent: Mozilla/5.0\r\n", false, true),
            ("GET", "Host: evil.example:9001\r\nSec-Fetch-Site: none\r\n", false, true),
        ] {
            let head = head(method, headers);
            assert_eq!(is_welcome(&head, &open), without_password, "{method} {headers:?} without password");
            assert_eq!(is_welcome(&head, &locked), with_password, "{method} {headers:?} with password");
        }
    }
}
