//! The types of single values: what each accepts, and what it says to everything else.
//!
//! The texts of errors are Supervisor's (datatypes.py); the range checks it lacks are ours.

use crate::config::text::{integer, octal as python_octal, repr, strip};
use crate::model::config::{Autorestart, Level};
use crate::model::namespec::MAX_NAME_BYTES;
use crate::model::signal::Signal;
use std::time::Duration;

/// What reading a value gives: the value, or a sentence that says what is wrong with it.
pub type Parsed<T> = Result<T, String>;

/// No grace period needs to be longer than a century, and the clock's arithmetic stays far from its limits.
const MAX_SECONDS: i128 = 100 * 366 * 24 * 3600;
/// The number of times, files or bytes beyond which nothing sensible can have been meant.
const MAX_COUNT: i128 = i32::MAX as i128;
const MAX_BYTES: i128 = 1 << 60;

/// `true yes on 1` or `false no off 0`, any case.
pub fn boolean(text: &str) -> Parsed<bool> {
    match text.to_lowercase().as_str() {
        "yes" | "true" | "on" | "1" => Ok(true),
        "no" | "false" | "off" | "0" => Ok(false),
        _ => Err(format!("not a valid boolean value: {}", repr(text))),
    }
}

/// An integer in a range; a number outside is named together with the limit.
fn within(text: &str, value: i128, least: i128, most: i128) -> Parsed<i128> {
    if value < least {
        Err(format!("{} is below lower bound ({least})", strip(text)))
    } else if value > most {
        Err(format!("{} is above upper bound ({most})", strip(text)))
    } else {
        Ok(value)
    }
}

/// Any integer. What does not fit into 64 bits becomes the nearest number that does.
pub fn any_integer(text: &str) -> Parsed<i64> {
    // The clamp makes the conversion lossless.
    Ok(integer(text)?.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
}

/// A number that is not negative; Supervisor takes negative ones and misbehaves later. What is more than `most`
/// becomes `most`: people write enormous numbers to say "for ever".
fn up_to(text: &str, value: i128, most: i128) -> Parsed<u64> {
    // The range fits into 63 bits.
    within(text, value, 0, i128::MAX).map(|value| value.min(most) as u64)
}

/// A number of things, at most 2^31 - 1.
pub fn count(text: &str) -> Parsed<u32> {
    // The limit fits into 31 bits.
    up_to(text, integer(text)?, MAX_COUNT).map(|value| value as u32)
}

/// Whole seconds, at most a century.
pub fn seconds(text: &str) -> Parsed<Duration> {
    up_to(text, integer(text)?, MAX_SECONDS).map(Duration::from_secs)
}

/// A number of bytes, `KB`, `MB` or `GB` (1024-based, any case).
pub fn bytes(text: &str) -> Parsed<u64> {
    let lower = text.to_lowercase();
    let suffixes = [("kb", 1 << 10), ("mb", 1 << 20), ("gb", 1 << 30)];
    let found = suffixes.iter().find_map(|(suffix, factor)| Some((lower.strip_suffix(suffix)?, *factor)));
    let (number, factor) = found.unwrap_or((&lower, 1));
    up_to(text, integer(number)?.saturating_mul(factor), MAX_BYTES)
}

/// An octal number up to `most`.
pub fn octal(text: &str, most: u32) -> Parsed<u32> {
    let value = python_octal(text).filter(|value| (0..=i128::from(most)).contains(value));
    // The filter leaves only numbers up to a u32.
    value.map(|value| value as u32).ok_or_else(|| format!("{text} can not be converted to an octal type"))
}

/// The umask of a process. The kernel looks at the lowest nine bits only.
pub fn umask(text: &str) -> Parsed<u32> {
    octal(text, 0o7777).map(|mask| mask & 0o777)
}

/// A level of the activity log.
pub fn level(text: &str) -> Parsed<Level> {
    match text.to_lowercase().as_str() {
        "critical" => Ok(Level::Critical),
        "error" => Ok(Level::Error),
        "warn" => Ok(Level::Warn),
        "info" => Ok(Level::Info),
        "debug" => Ok(Level::Debug),
        "trace" => Ok(Level::Trace),
        "blather" => Ok(Level::Blather),
        _ => Err(format!("bad logging level name {}", repr(text))),
    }
}

/// A signal by number or name. 0 is a probe and cannot stop anything.
pub fn signal(text: &str) -> Parsed<Signal> {
    match Signal::parse(text) {
        Some(signal) if signal.raw() != 0 => Ok(signal),
        _ if integer(text).is_ok() => Err(format!("value {} is not a valid signal number", repr(text))),
        _ => Err(format!("value {} is not a valid signal name", repr(text))),
    }
}

/// A list of exit codes; nothing at all is an empty list.
pub fn exit_codes(text: &str) -> Parsed<Vec<u8>> {
    let code = |item: &str| integer(item).ok().and_then(|code| u8::try_from(code).ok());
    let codes: Option<Vec<u8>> = strings(text).into_iter().map(code).collect();
    codes.ok_or_else(|| format!("not a valid list of exit codes: {}", repr(text)))
}

/// Comma separated items, stripped. An empty text is an empty list; a trailing comma makes an empty item.
pub fn strings(text: &str) -> Vec<&str> {
    if text.is_empty() { Vec::new() } else { text.split(',').map(strip).collect() }
}

pub fn autorestart(text: &str) -> Parsed<Autorestart> {
    let lower = text.to_lowercase();
    match boolean(&lower) {
        Ok(true) => Ok(Autorestart::Always),
        Ok(false) => Ok(Autorestart::Never),
        Err(_) if lower == "unexpected" => Ok(Autorestart::Unexpected),
        Err(_) => Err(format!("invalid 'autorestart' value {}", repr(&lower))),
    }
}

/// The name of a program or group: what stands after the colon of its header. Supervisor takes control
/// characters, which no file name of a log and no terminal is better for.
pub fn name(text: &str) -> Parsed<&str> {
    let name = strip(text);
    match name.chars().find(|c| matches!(c, ' ' | ':' | '/') || c.is_control()) {
        None => Ok(name),
        Some(c) => {
            Err(format!("Invalid name: {} because of character: {}", repr(name), repr(&c.to_string())))
        }
    }
}

/// Names of hosts, comma separated: in lower case, `*.a` for all below `a`, `*` for all there are.
pub fn hosts(text: &str) -> Parsed<Vec<String>> {
    strings(text).into_iter().filter(|name| !name.is_empty()).map(host).collect()
}

fn host(text: &str) -> Parsed<String> {
    let lower = text.to_lowercase();
    let name = lower.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(&lower);
    let name = name.strip_suffix('.').unwrap_or(name);
    let below = name.strip_prefix("*.").unwrap_or(if name == "*" { "all" } else { name });
    let is_name = |label: &str| {
        !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    if below.split('.').all(is_name) || name.parse::<std::net::IpAddr>().is_ok() {
        return Ok(name.to_string());
    }
    let words = "names such as ops.example.com or *.example.com, without scheme, port and path, and in ASCII (xn--...)";
    Err(not_one_of(text, "allowed_hosts", words))
}

/// A [`name`] as it is going to be used, all expanded. Supervisor takes longer ones; here nobody could tell them apart
/// after a manager was replaced.
pub fn whole_name(text: &str) -> Parsed<&str> {
    match name(text)? {
        name if name.len() > MAX_NAME_BYTES => Err(format!(
            "Invalid name: {} because it has {} bytes, and at most {MAX_NAME_BYTES} are possible",
            repr(name),
            name.len()
        )),
        name => Ok(name),
    }
}

/// `host:port`, `port`, `:port`, `*:port`, `[IPv6 address]:port`. An empty host is every interface.
pub fn inet_address(text: &str) -> Parsed<(String, u16)> {
    let Some((host, port_text)) = text.rsplit_once(':') else {
        let port = integer(text).and_then(|port| port_number(text, port));
        let port = port.map_err(|_| format!("not a valid port number: {} ", repr(text)))?;
        return Ok((String::new(), port));
    };
    if port_text.is_empty() {
        return Err(format!("no port number specified in {}", repr(port_text)));
    }
    let port = port_number(port_text, integer(port_text)?)?;
    let host = host.to_lowercase();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
    Ok((if host == "*" { String::new() } else { host.to_string() }, port))
}

fn port_number(text: &str, value: i128) -> Parsed<u16> {
    // The range fits into 16 bits.
    within(text, value, 1, 65535).map(|port| port as u16)
}

/// The sentence for a key that knows certain words only.
pub fn not_one_of(text: &str, key: &str, words: &str) -> String {
    format!("invalid '{key}' value {} (expected {words})", repr(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Debug;

    #[track_caller]
    fn check<T: PartialEq + Debug>(parse: impl Fn(&str) -> Parsed<T>, table: &[(&str, Result<T, &str>)]) {
        for (text, expected) in table {
            let found = parse(text);
            assert_eq!(found.as_ref().map_err(String::as_str), expected.as_ref().map_err(|e| *e), "{text:?}");
        }
    }

    #[test]
    fn booleans() {
        check(
            boolean,
            &[
                ("TRUE", Ok(true)),
                ("on", Ok(true)),
                ("1", Ok(true)),
                ("Yes", Ok(true)),
                ("No", Ok(false)),
                ("off", Ok(false)),
                ("0", Ok(false)),
                ("false", Ok(false)),
                ("maybe", Err("not a valid boolean value: 'maybe'")),
                ("", Err("not a valid boolean value: ''")),
                ("t", Err("not a valid boolean value: 't'")),
            ],
        );
        check(
            autorestart,
            &[
                ("true", Ok(Autorestart::Always)),
                ("0", Ok(Autorestart::Never)),
                ("UnExpected", Ok(Autorestart::Unexpected)),
                ("AA", Err("invalid 'autorestart' value 'aa'")),
            ],
        );
    }

    #[test]
    fn sizes_and_counts() {
        check(
            bytes,
            &[
                ("0", Ok(0)),
                ("1000", Ok(1000)),
                ("1KB", Ok(1024)),
                ("50 mb", Ok(50 << 20)),
                ("2gB", Ok(2 << 30)),
                ("1M", Err("invalid literal for int() with base 10: '1m'")),
                ("1.5MB", Err("invalid literal for int() with base 10: '1.5'")),
                ("KB", Err("invalid literal for int() with base 10: ''")),
                ("-1", Err("-1 is below lower bound (0)")),
                ("99999999999GB", Ok(1 << 60)),
            ],
        );
        check(
            count,
            &[("7", Ok(7)), ("9999999999", Ok(i32::MAX as u32)), ("-7", Err("-7 is below lower bound (0)"))],
        );
        check(seconds, &[("7", Ok(Duration::from_secs(7))), ("-1", Err("-1 is below lower bound (0)"))]);
        check(any_integer, &[("-7", Ok(-7)), ("99999999999999999999", Ok(i64::MAX))]);
        check(
            umask,
            &[
                ("022", Ok(0o22)),
                ("0o27", Ok(0o27)),
                ("1022", Ok(0o22)),
                ("9", Err("9 can not be converted to an octal type")),
                ("-1", Err("-1 can not be converted to an octal type")),
                ("", Err(" can not be converted to an octal type")),
            ],
        );
    }

    #[test]
    fn host_names() {
        let joined = |text: &str| hosts(text).map(|names| names.join(" "));
        check(
            joined,
            &[
                ("", Ok(String::new())),
                ("Ops.Example.com., *.lan,", Ok("ops.example.com *.lan".into())),
                ("*, my_box, 10.0.0.1, [::1]", Ok("* my_box 10.0.0.1 ::1".into())),
            ],
        );
        for text in ["http://a", "a:9001", "a/b", "a b", "a.*", "*a", "a..b", "münchen.example"] {
            let error = hosts(text).unwrap_err();
            assert!(error.starts_with(&format!("invalid 'allowed_hosts' value '{text}'")), "{error}");
        }
    }

    #[test]
    fn signals_and_exit_codes() {
        let raw = |text: &str| signal(text).map(Signal::raw);
        check(
            raw,
            &[
                ("term", Ok(15)),
                ("SIGINT", Ok(2)),
                ("9", Ok(9)),
                ("40", Ok(40)),
                ("RTMIN+1", Ok(35)),
                ("FOO", Err("value 'FOO' is not a valid signal name")),
                ("100", Err("value '100' is not a valid signal number")),
                ("0", Err("value '0' is not a valid signal number")),
                ("SIG_DFL", Err("value 'SIG_DFL' is not a valid signal name")),
            ],
        );
        check(
            exit_codes,
            &[
                ("", Ok(vec![])),
                ("0, 2", Ok(vec![0, 2])),
                ("255", Ok(vec![255])),
                ("0,256", Err("not a valid list of exit codes: '0,256'")),
                ("0,", Err("not a valid list of exit codes: '0,'")),
                ("-1", Err("not a valid list of exit codes: '-1'")),
            ],
        );
    }

    #[test]
    fn names() {
        check(
            |text| name(text).map(str::to_string),
            &[
                (" web ", Ok("web".into())),
                ("", Ok("".into())),
                ("a b", Err("Invalid name: 'a b' because of character: ' '")),
                ("a:b", Err("Invalid name: 'a:b' because of character: ':'")),
                ("a/b", Err("Invalid name: 'a/b' because of character: '/'")),
                ("a\tb", Err("Invalid name: 'a\\tb' because of character: '\\t'")),
                ("a\0", Err("Invalid name: 'a\\x00' because of character: '\\x00'")),
            ],
        );
    }

    #[test]
    fn addresses() {
        check(
            inet_address,
            &[
                ("9001", Ok(("".into(), 9001))),
                (":9001", Ok(("".into(), 9001))),
                ("*:9001", Ok(("".into(), 9001))),
                ("LOCALHOST:80", Ok(("localhost".into(), 80))),
                ("[::1]:9001", Ok(("::1".into(), 9001))),
                ("[::]:9001", Ok(("::".into(), 9001))),
                ("foo", Err("not a valid port number: 'foo' ")),
                ("a:foo", Err("invalid literal for int() with base 10: 'foo'")),
                ("a:", Err("no port number specified in ''")),
                ("a:0", Err("0 is below lower bound (1)")),
                ("a:70000", Err("70000 is above upper bound (65535)")),
                ("70000", Err("not a valid port number: '70000' ")),
            ],
        );
    }
}
