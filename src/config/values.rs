//! The types of single values: what each accepts, and the error for everything else.
//!
//! The texts of errors are Supervisor's (datatypes.py). Supervisor accepts some values that mean nothing, such as
//! negative sizes, and a file with one of them must work here, too. Such a value becomes a [`Reading`]: the value that
//! is used, and a sentence for whoever wrote the file. `docs/drop-in.md` lists these values.

use crate::config::text::{integer, octal as python_octal, repr, strip};
use crate::model::config::{Autorestart, Level, NO_LIMIT};
use crate::model::namespec::MAX_NAME_BYTES;
use crate::model::signal::Signal;
use std::time::Duration;

/// What reading a value gives: the value, or a sentence that says what is wrong with it.
pub(crate) type Parsed<T> = Result<T, String>;

/// A value, and a warning if the text does not quite say that value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading<T> {
    pub value: T,
    /// A sentence for the activity log and for `check`; `None` if there is no doubt.
    pub doubt: Option<String>,
}

impl<T> Reading<T> {
    /// A value about which there is no doubt.
    pub(crate) fn plain(value: T) -> Reading<T> {
        Reading { value, doubt: None }
    }

    /// A value that is probably not what was meant.
    pub(crate) fn doubtful(value: T, doubt: String) -> Reading<T> {
        Reading { value, doubt: Some(doubt) }
    }
}

/// The result of reading a value that is accepted with a warning if the text is not quite right.
pub(crate) type Read<T> = Parsed<Reading<T>>;

/// No grace period needs to be longer than a century, and the clock's arithmetic stays far from its limits.
pub(super) const MAX_SECONDS: i128 = 100 * 366 * 24 * 3600;
/// The number of times, files or bytes beyond which nothing sensible can have been meant.
const MAX_COUNT: i128 = i32::MAX as i128;
const MAX_BYTES: i128 = 1 << 60;
/// What a program can make the daemon hold if the file sets no limit.
const UNLIMITED_CAPTURE: u64 = 16 << 20;
/// More than anybody has tried.
const MOST_STOP_SIGNALS: usize = 32;
/// Who may use a socket file if nothing says so: its owner.
pub(super) const DEFAULT_MODE: u32 = 0o700;

/// `true yes on 1 t` or `false no off 0 f`, any case; the letters are those of relatives.
pub(crate) fn boolean(text: &str) -> Parsed<bool> {
    let is_one_of = |words: [&str; 5]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    if is_one_of(["yes", "true", "on", "1", "t"]) {
        Ok(true)
    } else if is_one_of(["no", "false", "off", "0", "f"]) {
        Ok(false)
    } else {
        Err(format!("not a valid boolean value: {}", repr(text)))
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
pub(crate) fn any_integer(text: &str) -> Parsed<i64> {
    // The clamp makes the conversion lossless.
    Ok(integer(text)?.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
}

/// A number of something. What is more than `most` becomes `most`: people write enormous numbers to say "for ever".
/// What is less than nothing is nothing, as it is for Supervisor wherever it looks at such a number.
fn up_to(text: &str, value: i128, most: i128) -> Reading<u64> {
    // The range fits into 63 bits.
    let taken = value.clamp(0, most) as u64;
    if value < 0 { Reading::doubtful(taken, understood(text, "0")) } else { Reading::plain(taken) }
}

/// The sentence about a text that was taken for something else.
pub(crate) fn understood(text: &str, meaning: &str) -> String {
    format!("{} is understood as {meaning}", repr(strip(text)))
}

/// A number of things, at most 2^31 - 1; a negative one is none.
pub(crate) fn count(text: &str) -> Read<u32> {
    let Reading { value, doubt } = up_to(text, integer(text)?, MAX_COUNT);
    // The limit fits into 31 bits.
    Ok(Reading { value: value as u32, doubt })
}

/// A number of tries; -1 is [`NO_LIMIT`], though for Supervisor it is fewer than none. So is any other negative number.
pub(crate) fn tries(text: &str) -> Read<u32> {
    match integer(text)? {
        -1 => Ok(Reading::plain(NO_LIMIT)),
        ..0 => Ok(Reading::doubtful(NO_LIMIT, understood(text, "no limit"))),
        _ => count(text),
    }
}

/// Whole seconds, at most a century; a negative number is no time at all.
pub(crate) fn seconds(text: &str) -> Read<Duration> {
    let Reading { value, doubt } = up_to(text, integer(text)?, MAX_SECONDS);
    Ok(Reading { value: Duration::from_secs(value), doubt })
}

/// A number of bytes, `KB`, `MB` or `GB` (1024-based, any case); a negative one is none.
pub(crate) fn bytes(text: &str) -> Read<u64> {
    signed_bytes(text).map(|value| up_to(text, value, MAX_BYTES))
}

/// How much is kept of captured output. With a negative number Supervisor still captures, and keeps what was written
/// last.
pub(crate) fn capture_bytes(text: &str) -> Read<u64> {
    if signed_bytes(text)? < 0 {
        return Ok(Reading::doubtful(UNLIMITED_CAPTURE, understood(text, "no limit, which is 16MB")));
    }
    bytes(text)
}

fn signed_bytes(text: &str) -> Parsed<i128> {
    let lower = text.to_lowercase();
    let suffixes = [("kb", 1 << 10), ("mb", 1 << 20), ("gb", 1 << 30)];
    let found = suffixes.iter().find_map(|(suffix, factor)| Some((lower.strip_suffix(suffix)?, *factor)));
    let (number, factor) = found.unwrap_or((&lower, 1));
    Ok(integer(number)?.saturating_mul(factor))
}

fn octal(text: &str) -> Parsed<i128> {
    python_octal(text).ok_or_else(|| format!("{text} can not be converted to an octal type"))
}

/// The umask of a process. The kernel looks at the lowest nine bits only, also of a negative number.
pub(crate) fn umask(text: &str) -> Read<u32> {
    let value = octal(text)?;
    // The mask leaves nine bits.
    let mask = (value & 0o777) as u32;
    if (0..=0o7777).contains(&value) {
        return Ok(Reading::plain(mask));
    }
    Ok(Reading::doubtful(mask, understood(text, &format!("{mask:03o}"))))
}

/// The mode of a file. A negative number would open it to everybody, so it is not used.
pub(crate) fn mode(text: &str) -> Read<u32> {
    match octal(text)? {
        value @ 0..=0o7777 => Ok(Reading::plain(value as u32)),
        ..0 => Ok(Reading::doubtful(DEFAULT_MODE, understood(text, &format!("{DEFAULT_MODE:04o}")))),
        value => {
            // The mask leaves twelve bits.
            let mode = (value & 0o7777) as u32;
            Ok(Reading::doubtful(mode, understood(text, &format!("{mode:04o}"))))
        }
    }
}

/// A level of the activity log; some have other names among relatives.
pub(crate) fn level(text: &str) -> Parsed<Level> {
    match text.to_lowercase().as_str() {
        "critical" | "fatal" | "panic" => Ok(Level::Critical),
        "error" => Ok(Level::Error),
        "warn" | "warning" => Ok(Level::Warn),
        "info" => Ok(Level::Info),
        "debug" => Ok(Level::Debug),
        "trace" => Ok(Level::Trace),
        "blather" => Ok(Level::Blather),
        _ => Err(format!("bad logging level name {}", repr(text))),
    }
}

/// A signal by number or name. Supervisor also takes 0, and the names of dispositions, for the numbers that Python
/// gives them.
pub(crate) fn signal(text: &str) -> Read<Signal> {
    let nothing = |text: &str| {
        let meaning = "no signal: the process is killed after stopwaitsecs";
        Reading::doubtful(Signal::from_raw(0), understood(text, meaning))
    };
    let number = integer(text).ok();
    let written = number.map_or_else(|| text.to_string(), |number| number.to_string());
    match Signal::parse(&written) {
        Some(signal) if signal.raw() != 0 => return Ok(Reading::plain(signal)),
        Some(_) => return Ok(nothing(text)),
        None if number.is_some() => {
            return Err(format!("value {} is not a valid signal number", repr(text)));
        }
        None => {}
    }
    let upper = strip(text).to_uppercase();
    match upper.strip_prefix("SIG").unwrap_or(&upper) {
        "_DFL" | "_BLOCK" => Ok(nothing(text)),
        "_IGN" | "_UNBLOCK" => Ok(Reading::doubtful(Signal::HUP, understood(text, "HUP, number 1"))),
        "_SETMASK" => Ok(Reading::doubtful(Signal::INT, understood(text, "INT, number 2"))),
        _ => Err(format!("value {} is not a valid signal name", repr(text))),
    }
}

/// Signals separated by blanks, as relatives have them, or one: what is sent one after the other to stop a program. The
/// first one stands apart, because there always is one.
pub(crate) fn stop_signals(text: &str) -> Read<(Signal, Vec<Signal>)> {
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.len() < 2 {
        return signal(text).map(|Reading { value, doubt }| Reading { value: (value, Vec::new()), doubt });
    }
    if words.len() > MOST_STOP_SIGNALS {
        return Err(format!("{} signals, and at most {MOST_STOP_SIGNALS} are allowed", words.len()));
    }
    let read = words.iter().map(|word| signal(word)).collect::<Parsed<Vec<_>>>()?;
    let mut signals: Vec<Signal> = read.iter().map(|reading| reading.value).collect();
    let doubt = read.into_iter().find_map(|reading| reading.doubt);
    let killed = signals.iter().position(|signal| *signal == Signal::KILL);
    let in_vain = killed.filter(|at| at + 1 < signals.len());
    let doubt = doubt.or(in_vain.map(|_| "a signal after KILL never reaches the process".to_string()));
    // Two words were found, so there are signals.
    Ok(Reading { value: (signals.remove(0), signals), doubt })
}

/// A list of exit codes; nothing at all is an empty list.
pub(crate) fn exit_codes(text: &str) -> Parsed<Vec<u8>> {
    let code = |item: &str| integer(item).ok().and_then(|code| u8::try_from(code).ok());
    let codes: Option<Vec<u8>> = strings(text).into_iter().map(code).collect();
    codes.ok_or_else(|| format!("not a valid list of exit codes: {}", repr(text)))
}

/// Comma separated items, stripped. An empty text is an empty list; a trailing comma makes an empty item.
pub(crate) fn strings(text: &str) -> Vec<&str> {
    if text.is_empty() { Vec::new() } else { text.split(',').map(strip).collect() }
}

pub(crate) fn autorestart(text: &str) -> Parsed<Autorestart> {
    let lower = text.to_lowercase();
    match boolean(&lower) {
        Ok(true) => Ok(Autorestart::Always),
        Ok(false) => Ok(Autorestart::Never),
        Err(_) if lower == "unexpected" => Ok(Autorestart::Unexpected),
        Err(_) => Err(format!("invalid 'autorestart' value {}", repr(&lower))),
    }
}

/// The name of a program or group: what stands after the colon of its header. Supervisor takes control
/// characters, which neither a terminal nor XML can show: each becomes an underscore.
pub(crate) fn name(text: &str) -> Read<String> {
    let name = strip(text);
    match name.chars().find(|c| matches!(c, ' ' | ':' | '/')) {
        None => Ok(without_control_characters(name)),
        Some(c) => {
            Err(format!("Invalid name: {} because of character: {}", repr(name), repr(&c.to_string())))
        }
    }
}

/// Names of hosts, comma separated: in lower case, `*.a` for all below `a`, `*` for all there are.
pub(crate) fn hosts(text: &str) -> Parsed<Vec<String>> {
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

/// Whether a name can be used as it is, all expanded. Supervisor takes longer ones; here nobody could tell them apart after
/// a manager was replaced.
///
/// # Errors
/// It is too long.
pub(crate) fn fits(name: &str) -> Result<(), String> {
    if name.len() <= MAX_NAME_BYTES {
        return Ok(());
    }
    Err(format!(
        "Invalid name: {} because it has {} bytes, and at most {MAX_NAME_BYTES} are possible",
        repr(name),
        name.len()
    ))
}

/// A process name after its expansion, in which Supervisor takes everything.
pub(crate) fn expanded_name(text: &str) -> Reading<String> {
    let name = without_control_characters(strip(text));
    match name.value.chars().find(|c| matches!(c, ' ' | ':' | '/')) {
        Some(c) if name.doubt.is_none() => {
            let doubt =
                format!("commands cannot name {}, because of {}", repr(&name.value), repr(&c.to_string()));
            Reading::doubtful(name.value, doubt)
        }
        _ => name,
    }
}

fn without_control_characters(name: &str) -> Reading<String> {
    if !name.contains(char::is_control) {
        return Reading::plain(name.to_string());
    }
    let shown = name.replace(char::is_control, "_");
    let doubt = understood(name, &repr(&shown));
    Reading::doubtful(shown, doubt)
}

/// `host:port`, `port`, `:port`, `*:port`, `[IPv6 address]:port`. An empty host is every interface.
pub(crate) fn inet_address(text: &str) -> Parsed<(String, u16)> {
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
pub(crate) fn not_one_of(text: &str, key: &str, words: &str) -> String {
    format!("invalid '{key}' value {} (expected {words})", repr(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Debug;

    /// A reading without a doubt, and the error of one that is none.
    fn sure<T: Debug>(parse: impl Fn(&str) -> Read<T>) -> impl Fn(&str) -> Parsed<T> {
        move |text| {
            let reading = parse(text)?;
            assert_eq!(reading.doubt, None, "{text:?}");
            Ok(reading.value)
        }
    }

    #[track_caller]
    fn check_doubts<T: PartialEq + Debug>(parse: impl Fn(&str) -> Read<T>, table: &[(&str, T, &str)]) {
        for (text, value, meaning) in table {
            let found = parse(text).expect("there is a reading");
            assert_eq!(&found.value, value, "{text:?}");
            assert_eq!(found.doubt, Some(format!("'{text}' is understood as {meaning}")));
        }
    }

    #[track_caller]
    fn check<T: PartialEq + Debug>(parse: impl Fn(&str) -> Parsed<T>, table: &[(&str, Result<T, &str>)]) {
        for (text, expected) in table {
            let found = parse(text);
            assert_eq!(found.as_ref().map_err(String::as_str), expected.as_ref().map_err(|e| *e), "{text:?}");
        }
    }

    #[test]
    fn lists_of_signals() {
        let then = |first: i32, others: &[i32]| {
            Ok((Signal::from_raw(first), others.iter().copied().map(Signal::from_raw).collect()))
        };
        check(
            sure(stop_signals),
            &[
                ("HUP", then(1, &[])),
                (" 15 ", then(15, &[])),
                ("HUP INT\tSIGTERM", then(1, &[2, 15])),
                ("hup 9", then(1, &[9])),
                ("HUP,INT", Err("value 'HUP,INT' is not a valid signal name")),
                ("HUP NOPE", Err("value 'NOPE' is not a valid signal name")),
            ],
        );
        let late = stop_signals("KILL TERM").expect("there is a reading");
        assert_eq!(late.doubt.as_deref(), Some("a signal after KILL never reaches the process"));
        assert!(stop_signals(&"HUP ".repeat(33)).is_err());
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
                ("t", Ok(true)),
                ("F", Ok(false)),
                ("tr", Err("not a valid boolean value: 'tr'")),
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
            sure(bytes),
            &[
                ("0", Ok(0)),
                ("1000", Ok(1000)),
                ("1KB", Ok(1024)),
                ("50 mb", Ok(50 << 20)),
                ("2gB", Ok(2 << 30)),
                ("1M", Err("invalid literal for int() with base 10: '1m'")),
                ("1.5MB", Err("invalid literal for int() with base 10: '1.5'")),
                ("KB", Err("invalid literal for int() with base 10: ''")),
                ("99999999999GB", Ok(1 << 60)),
            ],
        );
        check(sure(count), &[("7", Ok(7)), ("9999999999", Ok(i32::MAX as u32))]);
        check(sure(seconds), &[("7", Ok(Duration::from_secs(7)))]);
        check(any_integer, &[("-7", Ok(-7)), ("99999999999999999999", Ok(i64::MAX))]);
        check(
            sure(umask),
            &[
                ("022", Ok(0o22)),
                ("0o27", Ok(0o27)),
                ("1022", Ok(0o22)),
                ("9", Err("9 can not be converted to an octal type")),
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
    fn what_means_nothing_is_understood_nevertheless() {
        check_doubts(bytes, &[("-1", 0, "0"), ("-2KB", 0, "0")]);
        check_doubts(capture_bytes, &[("-1", 16 << 20, "no limit, which is 16MB")]);
        check_doubts(count, &[("-7", 0, "0")]);
        check_doubts(tries, &[("-2", NO_LIMIT, "no limit")]);
        check(sure(tries), &[("-1", Ok(NO_LIMIT)), ("3", Ok(3))]);
        check_doubts(seconds, &[("-1", Duration::ZERO, "0")]);
        check_doubts(umask, &[("-1", 0o777, "777"), ("12345", 0o345, "345")]);
        check_doubts(mode, &[("-1", 0o700, "0700"), ("10777", 0o777, "0777")]);
        let nothing = "no signal: the process is killed after stopwaitsecs";
        check_doubts(
            signal,
            &[
                ("0", Signal::from_raw(0), nothing),
                ("SIG_DFL", Signal::from_raw(0), nothing),
                ("sig_ign", Signal::HUP, "HUP, number 1"),
            ],
        );
    }

    #[test]
    fn signals_and_exit_codes() {
        let raw = |text: &str| sure(signal)(text).map(Signal::raw);
        check(
            raw,
            &[
                ("term", Ok(15)),
                ("SIGINT", Ok(2)),
                ("9", Ok(9)),
                ("40", Ok(40)),
                (" +1_5 ", Ok(15)),
                ("RTMIN+1", Ok(35)),
                ("FOO", Err("value 'FOO' is not a valid signal name")),
                ("100", Err("value '100' is not a valid signal number")),
                ("SIG_X", Err("value 'SIG_X' is not a valid signal name")),
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
            sure(name),
            &[
                (" web ", Ok("web".into())),
                ("", Ok("".into())),
                ("a b", Err("Invalid name: 'a b' because of character: ' '")),
                ("a:b", Err("Invalid name: 'a:b' because of character: ':'")),
                ("a/b", Err("Invalid name: 'a/b' because of character: '/'")),
            ],
        );
        let tab = name("a\tb").expect("there is a reading");
        assert_eq!(tab, Reading::doubtful("a_b".to_string(), "'a\\tb' is understood as 'a_b'".to_string()));
        let blank = expanded_name("a b");
        assert_eq!(blank.value, "a b");
        assert_eq!(blank.doubt.as_deref(), Some("commands cannot name 'a b', because of ' '"));
        assert_eq!(expanded_name("a\0").value, "a_");
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
