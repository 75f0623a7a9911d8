//! YAML as it is written: blocks, and quotes around everything that could be taken for something else than a text.

use crate::convert::tree::Node;
use std::fmt::Write as _;

/// A document.
pub(super) fn document(node: &Node) -> String {
    let mut text = String::new();
    block(node, 0, &mut text);
    text
}

/// Several documents in one file.
pub(super) fn documents(nodes: &[Node]) -> String {
    nodes.iter().map(document).collect::<Vec<_>>().join("---\n")
}

/// Writes a value from the beginning of a line on.
fn block(node: &Node, indent: usize, text: &mut String) {
    match node {
        Node::List(items) if !items.is_empty() => {
            for item in items {
                let mut lines = String::new();
                block(item, indent + 2, &mut lines);
                // The dash stands in front of the first line, where there is nothing but blanks.
                let _ = write!(text, "{:indent$}- {}", "", &lines[indent + 2..]);
            }
        }
        Node::Map(pairs) if !pairs.is_empty() => {
            for (key, value) in pairs {
                let _ = write!(text, "{:indent$}{}:", "", scalar(key));
                if is_block(value) {
                    text.push('\n');
                    block(value, indent + 2, text);
                } else {
                    let _ = writeln!(text, " {}", flow(value));
                }
            }
        }
        other => {
            let _ = writeln!(text, "{:indent$}{}", "", flow(other));
        }
    }
}

/// Whether a value takes lines of its own.
fn is_block(node: &Node) -> bool {
    match node {
        Node::List(items) => !items.is_empty(),
        Node::Map(pairs) => !pairs.is_empty(),
        Node::Null | Node::Plain(_) | Node::Text(_) => false,
    }
}

/// A value that fits on a line.
fn flow(node: &Node) -> String {
    match node {
        Node::Null => "null".to_string(),
        Node::Plain(text) => text.clone(),
        Node::Text(text) => scalar(text),
        Node::List(_) => "[]".to_string(),
        Node::Map(_) => "{}".to_string(),
    }
}

/// A text, in quotes unless every reader of YAML takes it for a text.
pub(super) fn scalar(text: &str) -> String {
    let mut chars = text.chars();
    let begins = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '/');
    let is_plain = begins && chars.all(|c| c.is_ascii_alphanumeric() || "_./-".contains(c));
    if is_plain && !is_reserved(text) { text.to_string() } else { quoted(text) }
}

/// Whether YAML 1.1 or 1.2 takes a word for something else than a text.
fn is_reserved(word: &str) -> bool {
    const WORDS: [&str; 11] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"];
    WORDS.contains(&word.to_ascii_lowercase().as_str())
}

/// Double quotes, with JSON's escapes.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') =>
            {
                let _ = write!(quoted, "\\u{:04x}", c as u32);
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::tree::yaml;
    use proptest::prelude::*;

    #[test]
    fn a_document_is_written_in_blocks() {
        let node = Node::map([
            ("a", Some(Node::texts(["x", "yes", "1e3", "0o7", "null", "", "a b", "~"]))),
            (
                "b",
                Some(Node::List(vec![Node::map([
                    ("c", Some(Node::number(1))),
                    ("d", Some(Node::bool(true))),
                ])])),
            ),
            ("e", Some(Node::List(vec![]))),
            ("f", None),
            ("on", Some(Node::map([("g", Some(Node::Null))]))),
        ]);
        let expected = "a:\n  - x\n  - \"yes\"\n  - \"1e3\"\n  - \"0o7\"\n  - \"null\"\n  - \"\"\n  - \"a b\"\n  - \"~\"\n\
                        b:\n  - c: 1\n    d: true\ne: []\n\"on\":\n  g: null\n";
        assert_eq!(document(&node), expected);
    }

    fn node() -> impl Strategy<Value = Node> {
        let leaf = prop_oneof![
            Just(Node::Null),
            any::<String>().prop_map(Node::Text),
            "(yes|no|on|[0-9.e+:-]{0,6}|[-?:#&*!|>%@`a]{0,4})".prop_map(Node::Text),
        ];
        leaf.prop_recursive(4, 30, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Node::List),
                prop::collection::btree_map("[a-z <]{0,5}", inner, 0..5)
                    .prop_map(|pairs| Node::Map(pairs.into_iter().filter(|(key, _)| key != "<<").collect())),
            ]
        })
    }

    /// Texts without quotes are read as such.
    fn as_read(node: Node) -> Node {
        match node {
            Node::Text(text) if scalar(&text) == text => Node::Plain(text),
            Node::List(items) => Node::List(items.into_iter().map(as_read).collect()),
            Node::Map(pairs) => {
                Node::Map(pairs.into_iter().map(|(key, value)| (key, as_read(value))).collect())
            }
            node => node,
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(node in node()) {
            let text = document(&node);
            prop_assert_eq!(yaml(&text), Ok(as_read(node)), "{}", text);
        }
    }
}
