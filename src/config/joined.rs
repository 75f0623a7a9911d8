//! Values over several lines as supervisord in Go writes them: between `"""` and `"""`, or with a backslash at the end
//! of each line but the last.
//!
//! To Python these are ordinary characters, so a file is read like this only if Python cannot read it at all.

use crate::config::ini::{comment_start, header, key_and_value};
use crate::config::text::{is_space, strip};

const QUOTES: &str = "\"\"\"";

/// A line, or several that make one value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'t> {
    Plain(&'t str),
    Joined { key: &'t str, value: String },
}

/// Joins what belongs together. Every line has the number of its first one. `None` if there is nothing to join, or if a
/// `"""` is never closed.
pub(super) fn lines<'t>(numbered: impl Iterator<Item = (u32, &'t str)>) -> Option<Vec<(u32, Line<'t>)>> {
    let mut rest = numbered.peekable();
    let mut lines = Vec::new();
    let mut n_joined = 0_usize;
    while let Some((number, line)) = rest.next() {
        let Some((key, value)) = setting(line) else {
            lines.push((number, Line::Plain(line)));
            continue;
        };
        let joined = if let Some(first) = value.strip_prefix(QUOTES) {
            Some(quoted(first, rest.by_ref().map(|(_, line)| line))?)
        } else {
            let mut next = || rest.next_if(|(_, line)| may_continue(line)).map(|(_, line)| line);
            continued(line, value, &mut next)
        };
        n_joined += usize::from(joined.is_some());
        lines.push((number, joined.map_or(Line::Plain(line), |value| Line::Joined { key, value })));
    }
    (n_joined > 0).then_some(lines)
}

/// The key of a line and all that stands behind it.
fn setting(line: &str) -> Option<(&str, &str)> {
    let text = strip(line);
    if text.starts_with([';', '#']) || header(text).is_some() {
        return None;
    }
    key_and_value(text)
}

/// A value up to the line that ends with the closing quotes. Nothing in it is a comment.
fn quoted<'t>(first: &str, mut following: impl Iterator<Item = &'t str>) -> Option<String> {
    let mut value = String::new();
    let mut line = first;
    loop {
        if let Some(last) = line.trim_end_matches(is_space).strip_suffix(QUOTES) {
            value.push_str(last);
            return Some(strip(&value).to_string());
        }
        value.push_str(line.trim_end_matches(['\n', '\r']));
        value.push('\n');
        line = following.next()?;
    }
}

/// A value that goes on behind a backslash. `None` if it does not.
fn continued<'t>(line: &str, value: &str, next: &mut impl FnMut() -> Option<&'t str>) -> Option<String> {
    // A line that a comment ends does not end with a backslash.
    let mut part = without_backslash(value).filter(|_| comment_start(line).is_none())?;
    let mut joined = String::new();
    let mut n_lines = 0;
    loop {
        let Some(line) = next() else {
            // Nothing that could go on follows: the backslash stays, as it would on any other line.
            joined.push_str(part);
            joined.push('\\');
            break;
        };
        n_lines += 1;
        joined.push_str(part);
        let line = &line[..comment_start(line).unwrap_or(line.len())];
        let line = line.trim_end_matches(is_space);
        match without_backslash(line) {
            Some(more) => part = more,
            None => {
                joined.push_str(line);
                break;
            }
        }
    }
    (n_lines > 0).then(|| strip(&joined).to_string())
}

/// The text before the backslash that ends it. Two of them are one that was escaped.
fn without_backslash(text: &str) -> Option<&str> {
    let n_backslashes = text.len() - text.trim_end_matches('\\').len();
    (n_backslashes % 2 == 1).then(|| &text[..text.len() - 1])
}

/// Whether a line may be the rest of the one before: a section is never swallowed.
fn may_continue(line: &str) -> bool {
    let text = strip(line);
    !text.is_empty() && !text.starts_with([';', '#']) && header(text).is_none()
}
