//! Keeps foreign web pages from using the browsers of their visitors against the daemon.
//!
//! A browser sends requests, with its stored password, on behalf of any page. A page can abuse that in two ways:
//!
//! - **A page of another site sends us something** (CSRF). The browser does not let it read what we answer, so what
//!   changes nothing needs no check. What changes something has to come from a page of ours: the browser says
//!   so (`Sec-Fetch-Site: same-origin`), or `Origin` is where the request is addressed to, by `Host` or by one of the
//!   names in `X-Forwarded-Host`. A foreign page can set none of these: the first three are the browser's, and a header
//!   that the browser does not know makes it ask us beforehand, which we never allow.
//! - **The attacker's host name resolves to our address** (DNS rebinding). For the browser the attacker's page then has our
//!   origin, and may read answers and set every header that is not reserved for the browser. The name in `Host` gives it
//!   away. If the server has a password, the browser has none stored for that name. If not, browsers are let in only under
//!   names that cannot be an attacker's (addresses, `localhost`, this machine's name) or that `allowed_hosts` lists.
//!   `X-Forwarded-Host` never vouches for `Host`.
//!
//! A proxy may drop or change the port, or address us as it knows us (the default of nginx). Then `Origin` and `Host`
//! differ although the page is ours, and where the browser does not say more (over plain HTTP) this cannot be told from a
//! foreign page. What can: the token, which only a page that may read our answers knows, and which is sent in a header
//! that no foreign page can send. So with the token such a request is welcome, without it is not. Against rebinding the
//! token does not help; so without a password the name in `Origin` has to be a known one as well.
//!
//! Why the browser's `same-origin` needs no such care: it is said only over HTTPS and to this machine itself, and for both
//! an attacker's name would have to have a certificate, or be an address.

use crate::http::wire::request::Head;
use crate::model::config::{HttpAddress, HttpServerConfig};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// At most this many characters of a client's text are repeated in messages.
const REPEATED_MAX: usize = 100;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Health and metrics: open to everybody.
    Probe,
    /// Reading the state.
    Read,
    /// Reading the token.
    Secret,
    Change,
}

/// Whether a request is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allowed,
    /// Only with the token.
    WithToken(Refusal),
    Refused(Refusal),
}

/// Why a request is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The server has no password, and the host name is unknown.
    UnknownName { section: String, host: String },
    /// The request comes from a page of another site.
    ForeignPage { origin: String },
    /// The address of the page differs from the one the request was sent to.
    OtherAddress {
        origin: String,
        host: String,
        /// The section, and the name to write into its `allowed_hosts`, if that would help.
        allow: Option<(String, String)>,
    },
}

/// The rules of one server for requests of browsers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    /// For messages.
    section: String,
    has_password: bool,
    /// On a unix socket browsers come only through a proxy, which sends any `Host` it likes.
    is_unix: bool,
    /// Trusted names besides addresses and `localhost`, in lower case. `*.a` means all names below `a`.
    names: Vec<String>,
}

impl Policy {
    pub(crate) fn new(config: &HttpServerConfig) -> Policy {
        let mut names = config.allowed_hosts.clone();
        names.push(crate::sys::process::host_name().to_ascii_lowercase());
        if let HttpAddress::Inet { host, .. } = &config.address {
            names.push(host.to_ascii_lowercase());
        }
        names.retain(|name| !name.is_empty());
        Policy {
            section: config.section.clone(),
            has_password: config.credentials.is_some(),
            is_unix: matches!(config.address, HttpAddress::Unix { .. }),
            names,
        }
    }

    /// Whether this request is allowed: it comes from a page of ours, or from no page.
    pub(crate) fn judge(&self, head: &Head, purpose: Purpose) -> Verdict {
        if purpose == Purpose::Probe {
            return Verdict::Allowed;
        }
        let host = head.header("host").unwrap_or_default();
        let name_matters = !self.has_password && !self.is_unix && !host.is_empty();
        let is_known = Address::parse(host).is_some_and(|address| self.knows(&address.name));
        if name_matters && !is_known && is_browser(head, purpose) {
            let (section, host) = (self.section.clone(), repeated(host));
            return Verdict::Refused(Refusal::UnknownName { section, host });
        }
        match purpose {
            Purpose::Probe | Purpose::Read => Verdict::Allowed,
            Purpose::Secret => match self.judge_page(head, host) {
                // Foreign pages may lead here, as by a link; only those that mean to read the answer send `Origin`.
                _ if head.header("origin").is_none() => Verdict::Allowed,
                // It is how pages get the token, so it cannot be asked for.
                Verdict::WithToken(refusal) => Verdict::Refused(refusal),
                verdict => verdict,
            },
            Purpose::Change => self.judge_page(head, host),
        }
    }

    /// Whether the page that makes this request is ours. Programs that are no browsers have no page.
    fn judge_page(&self, head: &Head, host: &str) -> Verdict {
        let origin = head.header("origin");
        match head.header("sec-fetch-site") {
            Some("same-origin") => return Verdict::Allowed,
            Some("none") | None => {}
            Some(_) => return foreign(origin.unwrap_or("another site")),
        }
        let Some(origin) = origin else {
            // Every browser sends it with what may change something.
            return Verdict::Allowed;
        };
        // `null` is the origin of pages that hide theirs.
        let Some((scheme, page)) = page_address(origin) else { return foreign(origin) };
        let asked: Vec<Address> = asked_for(head).filter_map(Address::parse).collect();
        if asked.iter().any(|address| address.is_same(&page, scheme)) {
            return Verdict::Allowed;
        }
        let is_same_name = asked.iter().any(|address| address.name == page.name);
        let is_known = self.has_password || self.knows(&page.name);
        let allow = (!is_known).then(|| (self.section.clone(), page.name.clone()));
        let refusal = Refusal::OtherAddress { origin: repeated(origin), host: repeated(host), allow };
        if is_same_name || is_known { Verdict::WithToken(refusal) } else { Verdict::Refused(refusal) }
    }

    /// Whether a name, in lower case, cannot be an attacker's.
    fn knows(&self, name: &str) -> bool {
        name.parse::<IpAddr>().is_ok()
            || name == "localhost"
            || name.ends_with(".localhost")
            || self.names.iter().any(|known| covers(known, name))
    }
}

/// Whether a name is equal to `pattern`, or below it if that is `*.a`.
fn covers(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some("") => true,
        Some(suffix) => name.len() > suffix.len() && name.ends_with(suffix),
        None => pattern == name,
    }
}

fn foreign(origin: &str) -> Verdict {
    Verdict::Refused(Refusal::ForeignPage { origin: repeated(origin) })
}

fn repeated(text: &str) -> String {
    text.chars().take(REPEATED_MAX).collect()
}

/// The hosts to which a request was addressed: `Host`, and those in `X-Forwarded-Host`. Some proxies append the host that they
/// were asked for (Apache, CDNs), others keep what a client sent; so any of them may be the one in the browser.
fn asked_for(head: &Head) -> impl Iterator<Item = &str> {
    head.header("host").into_iter().chain(head.values("x-forwarded-host").flat_map(|list| list.split(',')))
}

/// A host, and the port if one was named.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    /// In lower case, without the brackets of an IPv6 address.
    name: String,
    port: Option<u16>,
}

impl Address {
    /// Parses a host with an optional port; `None` if it is none. A path after it is ignored: some proxies are configured to
    /// add one (`Host $http_host/supervisor`), because that makes Supervisor's redirects fit.
    fn parse(text: &str) -> Option<Address> {
        let text = text.trim().split(['/', '?', '#']).next()?;
        let (name, rest) = match text.strip_prefix('[') {
            Some(rest) => {
                let (name, rest) = rest.split_once(']')?;
                name.parse::<Ipv6Addr>().ok()?;
                (name, rest)
            }
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        let port = match rest.strip_prefix(':') {
            None if rest.is_empty() => None,
            None => return None,
            Some("") => None,
            Some(port) => Some(port.parse().ok()?),
        };
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        (!name.is_empty() && name.chars().all(is_name)).then_some(Address { name, port })
    }

    /// Whether both are the same for a browser with this scheme.
    fn is_same(&self, other: &Address, scheme: &str) -> bool {
        let usual = if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
        self.name == other.name && self.port.unwrap_or(usual) == other.port.unwrap_or(usual)
    }
}

/// The scheme and the address in the header `Origin`.
fn page_address(origin: &str) -> Option<(&str, Address)> {
    let (scheme, address) = origin.split_once("://")?;
    Some((scheme, Address::parse(address)?))
}

/// Whether a browser may have sent this.
///
/// Browsers send `Origin` with all that may change something, and no page can keep them from it; monitors and scripts that
/// merely call themselves Mozilla do not. Only browsers too old for that are known by their name, and by the languages
/// that every browser asks for. When they read, browsers are as silent as others, and in some of them a page may set the
/// name: there either of the two is enough. (Node.js says `Sec-Fetch-Mode` without `Sec-Fetch-Site`, which no browser
/// does.)
fn is_browser(head: &Head, purpose: Purpose) -> bool {
    let has = |name| head.header(name).is_some();
    let is_mozilla = head.header("user-agent").is_some_and(|agent| agent.starts_with("Mozilla/"));
    let speaks = has("accept-language") && !has("sec-fetch-mode");
    let by_name = if purpose == Purpose::Change { is_mozilla && speaks } else { is_mozilla || speaks };
    has("origin") || has("sec-fetch-site") || by_name
}

impl Refusal {
    /// The origin or host that is refused.
    pub(crate) fn whom(&self) -> &str {
        match self {
            Refusal::UnknownName { host, .. } => host,
            Refusal::ForeignPage { origin } | Refusal::OtherAddress { origin, .. } => origin,
        }
    }
}

/// Says what was refused, why, and what to do about it.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::UnknownName { section, host } => {
                write!(
                    f,
                    "a browser asked for {host:?}, and [{section}] has no password: under a name that is not known here \
                     any page on the web could use its visitors' browsers to control every program (DNS rebinding). "
                )?;
                if let Some(address) = Address::parse(host) {
                    let name = address.name;
                    write!(f, "If the name is right, write allowed_hosts={name} into [{section}], or set ")?;
                } else {
                    f.write_str("Set ")?;
                }
                f.write_str("username and password there, or use an address instead of the name")
            }
            Refusal::ForeignPage { origin } => write!(
                f,
                "a page of another site ({origin:?}) made a browser ask for this; what changes something is done for this \
                 daemon's own pages only"
            ),
            Refusal::OtherAddress { origin, host, allow } => {
                write!(
                    f,
                    "a page of {origin:?} made a browser ask {host:?} for this, as a page of another site would. If a \
                     proxy stands in between, let it pass on by which name it is asked (nginx: proxy_set_header \
                     X-Forwarded-Host $http_host;)"
                )?;
                match allow {
                    Some((section, name)) => write!(f, ", or write allowed_hosts={name} into [{section}]"),
                    None => Ok(()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, headers: &str) -> Head {
        let text = format!("{method} / HTTP/1.1\r\n{headers}\r\n");
        Head::parse(text.as_bytes()).unwrap().unwrap().0
    }

    fn policy(has_password: bool) -> Policy {
        let names = ["box", "ops.example", "*.wild.example"].map(str::to_string).to_vec();
        Policy { section: "inet_http_server".into(), has_password, is_unix: false, names }
    }

    /// What becomes of a request, in one word each for a server without and one with a password.
    #[track_caller]
    fn check(purpose: Purpose, headers: &str, without_password: &str, with_password: &str) {
        let method = if purpose == Purpose::Change { "POST" } else { "GET" };
        for (has_password, expected) in [(false, without_password), (true, with_password)] {
            let found = match policy(has_password).judge(&head(method, headers), purpose) {
                Verdict::Allowed => "welcome",
                Verdict::WithToken(_) => "token",
                Verdict::Refused(_) => "refused",
            };
            assert_eq!(found, expected, "{purpose:?} {headers:?}, password: {has_password}");
        }
    }

    const DIRECT: &str = "Host: 127.0.0.1:9001\r\n";

    #[test]
    fn changes_are_for_pages_of_ours_and_for_those_who_are_no_browsers() {
        let check = |headers: &str, without, with| check(Purpose::Change, headers, without, with);
        let direct = |rest: &str, without, with| check(&format!("{DIRECT}{rest}"), without, with);
        // No browser: whatever the name.
        check("", "welcome", "welcome");
        check("Host: anything.example:9001\r\n", "welcome", "welcome");
        check("Host: anything.example\r\nUser-Agent: Mozilla/5.0 PowerShell/7.4\r\n", "welcome", "welcome");
        // Our own page.
        direct("Origin: http://127.0.0.1:9001\r\n", "welcome", "welcome");
        check("Host: [::1]:9001\r\nOrigin: http://[::1]:9001\r\n", "welcome", "welcome");
        check("Host: BOX\r\nOrigin: http://box:80\r\n", "welcome", "welcome");
        check("Host: a.wild.example\r\nOrigin: https://a.wild.example\r\n", "welcome", "welcome");
        direct("Origin: null\r\nSec-Fetch-Site: same-origin\r\n", "welcome", "welcome");
        // The same behind a proxy that says by which name it was asked.
        direct("X-Forwarded-Host: s.example\r\nOrigin: https://s.example\r\n", "welcome", "welcome");
        direct(
            "X-Forwarded-Host: s.example, 10.0.0.1\r\nOrigin: https://s.example\r\n",
            "welcome",
            "welcome",
        );
        direct("X-Forwarded-Host: cdn, s.example\r\nOrigin: https://s.example\r\n", "welcome", "welcome");
        direct(
            "X-Forwarded-Host: cdn\r\nX-Forwarded-Host: s.example\r\nOrigin: https://s.example\r\n",
            "welcome",
            "welcome",
        );
        check("Host: box:8080/supervisor\r\nOrigin: http://box:8080\r\n", "welcome", "welcome");
        direct("Origin: https://s.example\r\nSec-Fetch-Site: same-origin\r\n", "welcome", "welcome");
        // Behind one that dropped or changed the port, or addresses us as it knows us.
        check("Host: box\r\nOrigin: http://box:8080\r\n", "token", "token");
        check("Host: box:8080\r\nOrigin: https://box\r\n", "token", "token");
        direct("X-Forwarded-Host: s.example\r\nOrigin: https://s.example:8443\r\n", "token", "token");
        direct("Origin: http://ops.example:8080\r\n", "token", "token");
        direct("Origin: http://127.0.0.1:80\r\n", "token", "token");
        direct("Origin: http://s.example\r\n", "refused", "token");
        // A foreign page.
        direct("Origin: null\r\n", "refused", "refused");
        direct("Sec-Fetch-Site: cross-site\r\n", "refused", "refused");
        direct("Sec-Fetch-Site: same-site\r\nOrigin: http://127.0.0.1:9001\r\n", "refused", "refused");
        direct(
            "X-Forwarded-Host: s.example\r\nOrigin: https://s.example\r\nSec-Fetch-Site: cross-site\r\n",
            "refused",
            "refused",
        );
        // A foreign name that was made to point here, whatever else its page says.
        check("Host: evil.example:9001\r\nOrigin: http://evil.example:9001\r\n", "refused", "welcome");
        check(
            "Host: evil.example:9001\r\nUser-Agent: Mozilla/5.0\r\nAccept-Language: en\r\n",
            "refused",
            "welcome",
        );
        check("Host: wild.example\r\nOrigin: http://wild.example\r\n", "refused", "welcome");
        check("Host: evilwild.example\r\nOrigin: http://evilwild.example\r\n", "refused", "welcome");
        check(
            "Host: evil.example\r\nX-Forwarded-Host: box\r\nOrigin: http://evil.example\r\n",
            "refused",
            "welcome",
        );
        for host in ["[::1].evil.example", "box@evil.example", "127.0.0.1.evil.example"] {
            check(&format!("Host: {host}\r\nOrigin: http://evil.example\r\n"), "refused", "token");
        }
    }

    #[test]
    fn looking_is_for_everybody_who_comes_by_a_known_name() {
        for purpose in [Purpose::Read, Purpose::Secret] {
            let check = |headers: &str, without, with| check(purpose, headers, without, with);
            check(DIRECT, "welcome", "welcome");
            check(&format!("{DIRECT}Sec-Fetch-Site: cross-site\r\n"), "welcome", "welcome");
            check("Host: evil.example\r\nUser-Agent: curl/8\r\n", "welcome", "welcome");
            check(
                "Host: evil.example\r\nAccept-Language: *\r\nSec-Fetch-Mode: cors\r\n",
                "welcome",
                "welcome",
            );
            check("Host: evil.example:9001\r\nUser-Agent: Mozilla/5.0\r\n", "refused", "welcome");
            // Pages can change the name of some browsers.
            check(
                "Host: evil.example:9001\r\nUser-Agent: curl/8\r\nAccept-Language: en\r\n",
                "refused",
                "welcome",
            );
            check("Host: evil.example:9001\r\nSec-Fetch-Site: none\r\n", "refused", "welcome");
            check("Host: ops.example\r\nUser-Agent: Mozilla/5.0\r\n", "welcome", "welcome");
        }
        let elsewhere = format!("{DIRECT}Origin: https://ops.example\r\n");
        // As Chromium asks for modules, and as a foreign page would read the token.
        check(Purpose::Read, &elsewhere, "welcome", "welcome");
        check(Purpose::Secret, &elsewhere, "refused", "refused");
        check(Purpose::Probe, "Host: evil.example\r\nUser-Agent: Mozilla/5.0\r\n", "welcome", "welcome");
    }

    #[test]
    fn on_a_unix_socket_the_name_is_the_proxys() {
        let policy = Policy { is_unix: true, ..policy(false) };
        let foreign_name = head("GET", "Host: any.example\r\nUser-Agent: Mozilla/5.0\r\n");
        assert_eq!(policy.judge(&foreign_name, Purpose::Read), Verdict::Allowed);
        let other = head("POST", "Host: localhost\r\nOrigin: http://s.example\r\n");
        assert!(matches!(policy.judge(&other, Purpose::Change), Verdict::Refused(_)));
    }

    #[test]
    fn refusals_say_what_to_do() {
        let told = |headers: &str| match policy(false).judge(&head("POST", headers), Purpose::Change) {
            Verdict::Refused(refusal) => refusal.to_string(),
            verdict => panic!("{verdict:?}"),
        };
        let text = told("Host: Pi.local:9001\r\nOrigin: http://pi.local:9001\r\n");
        assert!(text.contains("write allowed_hosts=pi.local into [inet_http_server]"), "{text}");
        let text = told(&format!("{DIRECT}Origin: http://s.example\r\n"));
        assert!(text.contains("X-Forwarded-Host") && text.contains("allowed_hosts=s.example"), "{text}");
        let text = told(&format!("Host: {}\r\nOrigin: http://x\r\n", "a?".repeat(200)));
        assert!(text.len() < 600, "{text}");
    }
}
