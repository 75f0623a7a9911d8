//! Variables in the values of a compose file: `$NAME`, `${NAME}`, `${NAME:-default}` and their kin.
//!
//! A variable becomes an expansion of ours, `%(ENV_NAME)s`, which is put in at the very end: until then it stands between
//! two characters that no text has, so that quoting leaves it alone.

use crate::convert::losses::Losses;
use crate::convert::tree::Node;

const BEGIN: char = '\u{fdd0}';
const END: char = '\u{fdd1}';
/// Defaults inside of defaults.
const DEEPEST: usize = 8;

/// Whether a tree has characters that stand for something else here, even if escapes of YAML made them.
pub(super) fn is_impossible(node: &Node) -> bool {
    let has_marks = |text: &str| text.contains([BEGIN, END]);
    match node {
        Node::Null => false,
        Node::Plain(text) | Node::Text(text) => has_marks(text),
        Node::List(items) => items.iter().any(is_impossible),
        Node::Map(pairs) => pairs.iter().any(|(key, value)| has_marks(key) || is_impossible(value)),
    }
}

/// Marks the variables in all values of a tree; `place` is where it stands in the file.
///
/// # Errors
/// A `$` that begins nothing.
pub(super) fn expanded(node: Node, place: &str, losses: &mut Losses) -> Result<Node, String> {
    Ok(match node {
        Node::Plain(text) if text.contains('$') => Node::Plain(marked(&text, place, 0, losses)?),
        Node::Text(text) if text.contains('$') => Node::Text(marked(&text, place, 0, losses)?),
        Node::List(items) => {
            let items = items.into_iter().map(|item| expanded(item, place, losses));
            Node::List(items.collect::<Result<_, _>>()?)
        }
        Node::Map(pairs) => {
            let mut all = Vec::with_capacity(pairs.len());
            for (key, value) in pairs {
                let place = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
                all.push((key, expanded(value, &place, losses)?));
            }
            Node::Map(all)
        }
        other => other,
    })
}

/// Replaces the marks by our own expansions, in a value that is otherwise finished.
pub(super) fn finished(value: &str) -> String {
    value.replace(BEGIN, "%(ENV_").replace(END, ")s")
}

/// Whether a value begins with a variable.
pub(super) fn begins_with_variable(value: &str) -> bool {
    value.starts_with(BEGIN)
}

/// A value with its variables as they were written, for lists of what was lost.
pub(super) fn shown(value: &str) -> String {
    value.replace(BEGIN, "${").replace(END, "}")
}

fn marked(text: &str, place: &str, depth: usize, losses: &mut Losses) -> Result<String, String> {
    let wrong = |what: &str| Err(format!("{place}: {what} in {text:?}: write $$ for a dollar sign"));
    if depth > DEEPEST {
        return wrong("defaults stand too deep in each other");
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out += &rest[..at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(inside) = rest.strip_prefix('{') {
            let Some(end) = closing(inside) else { return wrong("a ${ does not end") };
            let Some(value) = braced(&inside[..end], place, depth, losses)? else {
                return wrong("a ${ names no variable");
            };
            out += &value;
            rest = &inside[end + 1..];
        } else {
            let (name, after) = split_name(rest);
            if name.is_empty() {
                return wrong("a $ names no variable");
            }
            out += &variable(name, place, losses);
            rest = after;
        }
    }
    out += rest;
    Ok(out)
}

/// Where the brace ends that was opened before the text.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn split_name(text: &str) -> (&str, &str) {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    match text.starts_with(|c: char| c.is_ascii_digit()) {
        true => ("", text),
        false => text.split_at(end),
    }
}

/// What stands between braces. `None`: it is nothing that compose knows.
fn braced(text: &str, place: &str, depth: usize, losses: &mut Losses) -> Result<Option<String>, String> {
    let (name, operator) = split_name(text);
    if name.is_empty() {
        return Ok(None);
    }
    let (sign, word) = match operator.strip_prefix(':').unwrap_or(operator) {
        "" if operator.is_empty() => return Ok(Some(variable(name, place, losses))),
        operator => operator.split_at(operator.chars().next().map_or(0, char::len_utf8)),
    };
    match sign {
        "-" => {
            let why = format!("the default is taken: where {name} is to count, write %(ENV_{name})s");
            losses.note(place, format!("${{{text}}}"), why);
            marked(word, place, depth + 1, losses).map(Some)
        }
        // Ours is an error without a value, too.
        "?" => Ok(Some(variable(name, place, losses))),
        "+" => {
            let why = format!("a value that depends on whether {name} is set: it is left empty");
            losses.note(place, format!("${{{text}}}"), why);
            Ok(Some(String::new()))
        }
        _ => Ok(None),
    }
}

fn variable(name: &str, place: &str, losses: &mut Losses) -> String {
    let why = format!(
        "it becomes %(ENV_{name})s, which is an error where the variable is missing: start supervisord with it, or with \
         --env-file .env"
    );
    losses.note(place, format!("${{{name}}}"), why);
    format!("{BEGIN}{name}{END}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_become_expansions() {
        for (text, expected) in [
            ("a$$b", "a$b"),
            ("$A-${B}", "%(ENV_A)s-%(ENV_B)s"),
            ("${A:-x}${A-y}", "xy"),
            ("${A:-${B:-z}}!", "z!"),
            ("${A:-$B}", "%(ENV_B)s"),
            ("${A:?needed}", "%(ENV_A)s"),
            ("${A:+x}", ""),
            ("${A:-}", ""),
            ("é$A€", "é%(ENV_A)s€"),
        ] {
            let found = marked(text, "x", 0, &mut Losses::default()).expect(text);
            assert_eq!(finished(&found), expected, "{text}");
        }
    }

    #[test]
    fn what_names_no_variable_is_an_error() {
        for text in ["$", "a$ b", "${", "${A", "${}", "${1}", "${A!b}", "$1", "${A:}"] {
            assert!(marked(text, "x", 0, &mut Losses::default()).is_err(), "{text}");
        }
        let deep = format!("{}{}", "${A:-".repeat(100), "}".repeat(100));
        assert!(marked(&deep, "x", 0, &mut Losses::default()).is_err());
    }
}
