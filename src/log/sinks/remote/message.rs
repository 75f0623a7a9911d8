//! What a message to a syslog on the network looks like (RFC 5424), and how long it may be.

use crate::log::transform::stamp::Stamp;
use crate::model::syslog::{Facility, Protocol, Severity, SyslogOptions, priority};
use std::borrow::Cow;
use std::time::{Duration, UNIX_EPOCH};

/// The longest HOSTNAME and APP-NAME (RFC 5424, section 6).
const MOST_HOSTNAME: usize = 255;
const MOST_APP_NAME: usize = 48;

/// What stands before a text besides the names: the priority, the version, the longest time and pid, `stdout`, no
/// structured data, and the blanks between them.
const MOST_FIXED: usize = "<191>1 2026-01-31T13:17:20.123456+01:00   4194304 stdout - ".len();

/// How long a message may be. A receiver of datagrams ought to take 2,048 bytes (RFC 5426, 3.2), and common ones take
/// 8,192 over TCP without being told (RFC 5425, 4.3.1, names the same number).
fn most_bytes(protocol: Protocol) -> usize {
    match protocol {
        Protocol::Udp => 2048,
        Protocol::Tcp => 8192,
    }
}

/// What all messages of one stream have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    protocol: Protocol,
    priority: u8,
    hostname: String,
    app_name: String,
    /// The name of the stream: what kind of message it is (MSGID).
    channel: &'static str,
}

impl Format {
    /// Messages over this protocol, from this host, about a stream of a program.
    pub fn new(
        protocol: Protocol,
        options: &SyslogOptions,
        hostname: &str,
        program: &str,
        channel: &'static str,
    ) -> Format {
        let facility = options.facility.unwrap_or(Facility::LOCAL0);
        let severity = options.severity.unwrap_or(Severity::NOTICE);
        let app_name = options.tag.as_deref().unwrap_or(program);
        Format {
            protocol,
            priority: priority(facility, severity),
            hostname: name(hostname, MOST_HOSTNAME),
            app_name: name(app_name, MOST_APP_NAME),
            channel,
        }
    }

    /// The texts of the messages that a line becomes: none if it is empty, several if it is too long for one.
    pub fn texts(&self, line: &[u8]) -> Vec<String> {
        let most = most_bytes(self.protocol) - MOST_FIXED - self.hostname.len() - self.app_name.len();
        // Whatever is not UTF-8 is sent lossily rather than not at all.
        let mut rest: Cow<'_, str> = String::from_utf8_lossy(line);
        if rest.contains('\0') {
            rest = rest.replace('\0', " ").into();
        }
        let mut rest = &*rest;
        let mut texts = Vec::new();
        while !rest.is_empty() {
            let (text, after) = rest.split_at(floor_char_boundary(rest, most));
            texts.push(text.to_string());
            rest = after;
        }
        texts
    }

    /// A message as it is sent. `wall` is in nanoseconds since the epoch.
    pub fn message(&self, wall: u64, pid: i32, text: &str) -> Vec<u8> {
        let Format { priority, hostname, app_name, channel, .. } = self;
        let time = Stamp::at(UNIX_EPOCH + Duration::from_nanos(wall)).rfc3339_micros();
        let pid = if pid > 0 { pid.to_string() } else { "-".to_string() };
        let message = format!("<{priority}>1 {time} {hostname} {app_name} {pid} {channel} - {text}");
        match self.protocol {
            Protocol::Udp => message.into_bytes(),
            Protocol::Tcp => format!("{} {message}", message.len()).into_bytes(),
        }
    }
}

/// A name of printable characters and no blanks; `-` if nothing is left.
fn name(text: &str, most: usize) -> String {
    let shown = |c: char| if c.is_ascii_graphic() { c } else { '_' };
    let name: String = text.trim().chars().take(most).map(shown).collect();
    if name.is_empty() { "-".to_string() } else { name }
}

/// The largest boundary between characters that is not beyond `most`. No character is longer than that.
fn floor_char_boundary(text: &str, most: usize) -> usize {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: u64 = 1_769_865_440_123_456_789;

    fn format(protocol: Protocol, tag: Option<&str>) -> Format {
        let options = SyslogOptions { tag: tag.map(str::to_string), ..SyslogOptions::default() };
        Format::new(protocol, &options, "box.example", "web", "stdout")
    }

    #[test]
    fn messages() {
        let time = Stamp::at(UNIX_EPOCH + Duration::from_nanos(MOMENT)).rfc3339_micros();
        assert!(time.contains(".123456"), "{time}");
        let udp = format(Protocol::Udp, None);
        for (pid, text, expected) in [
            (17, "hello", format!("<133>1 {time} box.example web 17 stdout - hello")),
            (0, "ü", format!("<133>1 {time} box.example web - stdout - ü")),
        ] {
            assert_eq!(String::from_utf8(udp.message(MOMENT, pid, text)).unwrap(), expected);
            let framed = format(Protocol::Tcp, None).message(MOMENT, pid, text);
            assert_eq!(String::from_utf8(framed).unwrap(), format!("{} {expected}", expected.len()));
        }
        let options = SyslogOptions {
            facility: Facility::named("local7"),
            severity: Severity::named("debug"),
            tag: Some("a b\u{fc}".to_string()),
        };
        let message = Format::new(Protocol::Udp, &options, "", "web", "stderr").message(MOMENT, 1, "x");
        assert_eq!(String::from_utf8(message).unwrap(), format!("<191>1 {time} - a_b_ 1 stderr - x"));
    }

    #[test]
    fn names_are_cut_and_printable() {
        for (text, most, expected) in
            [("", 9, "-"), ("  ", 9, "-"), ("a b\tc", 9, "a_b_c"), ("abcdef", 3, "abc"), ("ü", 9, "_")]
        {
            assert_eq!(name(text, most), expected);
        }
    }

    #[test]
    fn lines_become_messages_of_the_permitted_length() {
        for (protocol, limit) in [(Protocol::Udp, 2048), (Protocol::Tcp, 8192)] {
            let format = format(protocol, Some(&"t".repeat(60)));
            for line in ["x".repeat(20_000), "ü".repeat(9_999), "x".repeat(300)] {
                let texts = format.texts(line.as_bytes());
                assert_eq!(texts.concat(), line);
                assert_eq!(texts.len() > 1, line.len() > limit);
                for text in texts {
                    let message = format.message(MOMENT, 4_194_303, &text);
                    // What is before it in a frame does not count.
                    let n_bytes = message.len() - if protocol == Protocol::Tcp { 5 } else { 0 };
                    assert!(n_bytes <= limit, "{n_bytes}");
                }
            }
        }
        let udp = format(Protocol::Udp, None);
        assert_eq!(udp.texts(b""), Vec::<String>::new());
        assert_eq!(udp.texts(b"a\0b\xff"), ["a b\u{fffd}"]);
    }
}
