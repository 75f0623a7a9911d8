//! How a message becomes a line.

use crate::log::activity::{JSON, OUTPUT, level_of, name_and_number};
use crate::log::transform::stamp::Stamp;
use crate::model::visible::{escaped, escaped_but, is_invisible};
use ::log::Record;
use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::atomic::Ordering;

/// Whatever a message quotes, it is one line, and does nothing to the terminal that shows it: names of processes, answers
/// of listeners and requests are chosen by others.
pub(super) fn format_line(line: &mut env_logger::fmt::Formatter, record: &Record<'_>) -> io::Result<()> {
    let (name, _) = name_and_number(level_of(record.metadata()));
    if !JSON.load(Ordering::Relaxed) {
        let message = record.args().to_string();
        let message = if record.target() == OUTPUT { output(&message) } else { escaped(&message) };
        return writeln!(line, "{} {name} {message}", Stamp::now().supervisor());
    }
    let object = serde_json::json!({
        "time": Stamp::now().rfc3339(),
        "level": name,
        "module": record.target(),
        "message": record.args().to_string(),
    });
    // JSON itself escapes C0 only.
    let text = object.to_string();
    for c in text.chars() {
        match is_invisible(c) {
            true => write!(line, "\\u{:04x}", u32::from(c))?,
            false => write!(line, "{c}")?,
        }
    }
    writeln!(line)
}

/// What a program wrote keeps its lines, but for those that look like lines of ours: they are indented.
fn output(message: &str) -> Cow<'_, str> {
    let message = escaped_but(message, &['\n', '\t']);
    if !message.lines().any(begins_with_stamp) {
        return message;
    }
    let lines = message.split('\n').map(|line| match begins_with_stamp(line) {
        true => format!(" {line}"),
        false => line.to_string(),
    });
    Cow::Owned(lines.collect::<Vec<_>>().join("\n"))
}

/// Whether a line begins as each of ours does: `2026-11-20 13:24:55,123 `.
fn begins_with_stamp(line: &str) -> bool {
    const SHAPE: &[u8] = b"0000-00-00 00:00:00,000 ";
    let shape = line.bytes().take(SHAPE.len()).map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
    shape.eq(SHAPE.iter().copied())
}
