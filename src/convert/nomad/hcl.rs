//! HCL as it is written: attributes and blocks.

use crate::convert::tree::Node;
use std::fmt::Write as _;

/// Attributes and blocks, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Body(Vec<Item>);

#[derive(Clone, Debug)]
enum Item {
    Attribute(String, Node),
    Block(String, Option<String>, Body),
}

impl Body {
    /// Adds an attribute, if it has a value.
    pub(super) fn set(&mut self, name: &str, value: Option<Node>) {
        self.0.extend(value.map(|value| Item::Attribute(name.to_string(), value)));
    }

    /// Adds a block, unless it is empty.
    pub(super) fn block(&mut self, name: &str, label: Option<&str>, body: Body) {
        if !body.0.is_empty() {
            self.0.push(Item::Block(name.to_string(), label.map(str::to_string), body));
        }
    }

    /// The text.
    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        self.write(0, &mut text);
        text
    }

    fn write(&self, indent: usize, text: &mut String) {
        let mut after_block = false;
        for (at, item) in self.0.iter().enumerate() {
            let is_block = matches!(item, Item::Block(..));
            if at > 0 && (is_block || after_block) {
                text.push('\n');
            }
            after_block = is_block;
            // Writing to a string cannot fail.
            let _ = match item {
                Item::Attribute(name, node) => {
                    writeln!(text, "{:indent$}{name} = {}", "", value(node))
                }
                Item::Block(name, label, body) => {
                    let label = label.as_ref().map(|label| format!(" {}", quoted(label))).unwrap_or_default();
                    let _ = writeln!(text, "{:indent$}{name}{label} {{", "");
                    body.write(indent + 2, text);
                    writeln!(text, "{:indent$}}}", "")
                }
            };
        }
    }
}

fn value(node: &Node) -> String {
    match node {
        Node::Null => "null".to_string(),
        Node::Plain(text) => text.clone(),
        Node::Text(text) => quoted(text),
        Node::List(items) => format!("[{}]", items.iter().map(value).collect::<Vec<_>>().join(", ")),
        Node::Map(pairs) => {
            let pairs = pairs.iter().map(|(key, node)| format!("{} = {}", quoted(key), value(node)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A text in quotes, in which nothing is expanded.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '$' | '%' if chars.peek() == Some(&'{') => out.extend([c, c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_written_with_their_blocks() {
        let mut task = Body::default();
        task.set("driver", Some(Node::text("raw_exec")));
        task.set("none", None);
        let mut config = Body::default();
        config.set("args", Some(Node::texts(["a\"b", "${x}", "%{y}", "$z\n", "\u{1}"])));
        config.set("count", Some(Node::number(2)));
        config.set("ulimit", Some(Node::map([("nofile", Some(Node::text("1")))])));
        task.block("config", None, config);
        task.block("empty", None, Body::default());
        let mut all = Body::default();
        all.block("task", Some("x"), task);
        assert_eq!(
            all.to_text(),
            "task \"x\" {\n  driver = \"raw_exec\"\n\n  config {\n    \
             args = [\"a\\\"b\", \"$${x}\", \"%%{y}\", \"$z\\n\", \"\\u0001\"]\n    count = 2\n    \
             ulimit = { \"nofile\" = \"1\" }\n  }\n}\n"
        );
    }
}
