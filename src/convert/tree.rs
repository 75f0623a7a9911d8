//! Values of YAML and JSON5, in one shape: what formats are read from and written as.
//!
//! Reading has limits, because aliases make a small YAML file as large as somebody likes: see [`MOST_NODES`] and
//! [`DEEPEST`].

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde::Deserialize;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use std::collections::{HashMap, HashSet};
use std::fmt;

/// More values than any file has that people write, those of aliases included.
const MOST_NODES: usize = 100_000;
/// Lists and mappings inside of each other.
const DEEPEST: usize = 64;

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// Nothing.
    Null,
    /// A number, a truth value, or in YAML any text without quotes.
    Plain(String),
    /// Text that is nothing else.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// A text.
    pub(super) fn text(text: impl Into<String>) -> Node {
        Node::Text(text.into())
    }

    /// A list of texts.
    pub(super) fn texts<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Node {
        Node::List(texts.into_iter().map(Node::text).collect())
    }

    /// A number.
    pub(super) fn number(number: impl fmt::Display) -> Node {
        Node::Plain(number.to_string())
    }

    /// A truth value.
    pub(super) fn bool(value: bool) -> Node {
        Node::Plain(value.to_string())
    }

    /// A mapping without the pairs that have no value.
    pub(super) fn map<'k>(pairs: impl IntoIterator<Item = (&'k str, Option<Node>)>) -> Node {
        let pairs = pairs.into_iter().filter_map(|(key, value)| Some((key.to_string(), value?)));
        Node::Map(pairs.collect())
    }

    /// The text of a value that is neither a list nor a mapping nor nothing.
    pub(super) fn scalar(&self) -> Option<&str> {
        match self {
            Node::Plain(text) | Node::Text(text) => Some(text),
            Node::Null | Node::List(_) | Node::Map(_) => None,
        }
    }

    /// A truth value.
    pub(super) fn as_bool(&self) -> Option<bool> {
        match self.scalar()? {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => None,
        }
    }

    /// A value of a mapping.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        match self {
            Node::Map(pairs) => pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// What it is, for errors.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Node::Null => "nothing",
            Node::Plain(_) | Node::Text(_) => "a text",
            Node::List(_) => "a list",
            Node::Map(_) => "a mapping",
        }
    }

    /// On one line, for lists of what was lost.
    pub(super) fn shown(&self) -> String {
        match self {
            Node::Null => String::new(),
            Node::Plain(text) | Node::Text(text) => text.clone(),
            Node::List(items) => items.iter().map(Node::shown).collect::<Vec<_>>().join(", "),
            Node::Map(pairs) => {
                let pairs = pairs.iter().map(|(key, value)| format!("{key}: {}", value.shown()));
                format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// How many values there are in it, itself included.
    fn size(&self) -> usize {
        1 + match self {
            Node::Null | Node::Plain(_) | Node::Text(_) => 0,
            Node::List(items) => items.iter().map(Node::size).sum(),
            Node::Map(pairs) => pairs.iter().map(|(_, value)| value.size()).sum(),
        }
    }

    /// How deep lists and mappings stand in each other.
    fn depth(&self) -> usize {
        match self {
            Node::Null | Node::Plain(_) | Node::Text(_) => 0,
            Node::List(items) => 1 + items.iter().map(Node::depth).max().unwrap_or(0),
            Node::Map(pairs) => 1 + pairs.iter().map(|(_, value)| value.depth()).max().unwrap_or(0),
        }
    }
}

/// Reads the one document of a YAML text. Merge keys (`<<`) are carried out.
///
/// # Errors
/// What is wrong, with its line.
pub(super) fn yaml(text: &str) -> Result<Node, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser::new_from_str(text);
    let mut builder = Builder::default();
    while let Some(event) = parser.next_event() {
        let (event, span) =
            event.map_err(|error| format!("line {}: not YAML: {}", error.marker().line(), error.info()))?;
        builder.event(event).map_err(|error| format!("line {}: {error}", span.start.line()))?;
    }
    Ok(builder.root.unwrap_or(Node::Null))
}

/// A list or a mapping that has not ended yet.
struct Open {
    anchor: usize,
    node: Node,
    /// The key whose value comes next.
    key: Option<String>,
    /// The keys of a mapping so far.
    keys: HashSet<String>,
}

/// Makes values of events, without recursion.
#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    anchors: HashMap<usize, Node>,
    n_nodes: usize,
    has_document: bool,
}

impl Builder {
    fn event(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::DocumentStart(_) if self.has_document => {
                Err("a second document begins here; put it into a file of its own".to_string())
            }
            Event::DocumentStart(_) => {
                self.has_document = true;
                Ok(())
            }
            Event::Scalar(text, style, anchor, _) => {
                let is_plain = style == ScalarStyle::Plain;
                let node = match &*text {
                    "" | "~" | "null" | "Null" | "NULL" if is_plain => Node::Null,
                    text if is_plain => Node::Plain(text.to_string()),
                    text => Node::Text(text.to_string()),
                };
                self.value(node, anchor)
            }
            Event::SequenceStart(anchor, _) => self.begin(Node::List(Vec::new()), anchor),
            Event::MappingStart(anchor, _) => self.begin(Node::Map(Vec::new()), anchor),
            Event::SequenceEnd | Event::MappingEnd => {
                // The parser ends only what it has begun.
                let Some(Open { anchor, node, .. }) = self.open.pop() else { return Ok(()) };
                self.value(merged(node)?, anchor)
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err("an alias stands inside of what it stands for".to_string());
                };
                self.n_nodes += node.size();
                if self.open.len() + node.depth() > DEEPEST {
                    return Err(too_deep());
                }
                self.value(node, 0)
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn begin(&mut self, node: Node, anchor: usize) -> Result<(), String> {
        if self.open.len() >= DEEPEST {
            return Err(too_deep());
        }
        self.open.push(Open { anchor, node, key: None, keys: HashSet::new() });
        Ok(())
    }

    /// Puts a value where it belongs.
    fn value(&mut self, node: Node, anchor: usize) -> Result<(), String> {
        self.n_nodes += 1;
        if self.n_nodes > MOST_NODES {
            return Err(format!("more than {MOST_NODES} values, those of aliases included"));
        }
        let is_key =
            self.open.last().is_some_and(|open| open.key.is_none() && matches!(open.node, Node::Map(_)));
        if anchor > 0 && !is_key {
            self.n_nodes += node.size();
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.node {
            Node::List(items) => items.push(node),
            Node::Map(pairs) => match open.key.take() {
                Some(key) => pairs.push((key, node)),
                None => {
                    let key = match node {
                        Node::Null => String::new(),
                        Node::Plain(text) | Node::Text(text) => text,
                        other => return Err(format!("{} cannot be a key", other.kind())),
                    };
                    if !open.keys.insert(key.clone()) && key != "<<" {
                        return Err(format!("the key {key} stands twice in one mapping"));
                    }
                    open.key = Some(key);
                }
            },
            _ => {}
        }
        Ok(())
    }
}

fn too_deep() -> String {
    format!("lists and mappings stand more than {DEEPEST} deep in each other")
}

/// Carries out the merge keys of a mapping. What it says itself counts more, then what was merged first.
fn merged(node: Node) -> Result<Node, String> {
    let Node::Map(pairs) = node else { return Ok(node) };
    if !pairs.iter().any(|(key, _)| key == "<<") {
        return Ok(Node::Map(pairs));
    }
    let (merges, mut pairs): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(key, _)| key == "<<");
    let mut known: HashSet<String> = pairs.iter().map(|(key, _)| key.clone()).collect();
    for (_, value) in merges {
        let sources = match value {
            Node::List(sources) => sources,
            source => vec![source],
        };
        for source in sources {
            let Node::Map(source) = source else {
                return Err(format!("<< merges mappings, and this is {}", source.kind()));
            };
            for (key, value) in source {
                if known.insert(key.clone()) {
                    pairs.push((key, value));
                }
            }
        }
    }
    Ok(Node::Map(pairs))
}

/// Reads a JSON5 text, or JSON.
///
/// # Errors
/// What is wrong, with its line.
pub(super) fn json5(text: &str) -> Result<Node, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    json5::from_str::<Document>(text).map(|document| document.0).map_err(|error| error.to_string())
}

/// All of a JSON5 text.
struct Document(Node);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Document, D::Error> {
        Seed { depth: 0, n_nodes: &mut 0 }.deserialize(deserializer).map(Document)
    }
}

/// Makes a value of JSON5, at a depth.
struct Seed<'n> {
    depth: usize,
    n_nodes: &'n mut usize,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        *self.n_nodes += 1;
        if *self.n_nodes > MOST_NODES {
            return Err(serde::de::Error::custom(format!("more than {MOST_NODES} values")));
        }
        deserializer.deserialize_any(self)
    }
}

impl Seed<'_> {
    fn inner<E: serde::de::Error>(&mut self) -> Result<Seed<'_>, E> {
        if self.depth >= DEEPEST {
            return Err(E::custom(too_deep()));
        }
        Ok(Seed { depth: self.depth + 1, n_nodes: self.n_nodes })
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::number(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::number(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::text(value))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(self.inner()?)? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Node, A::Error> {
        let mut pairs: Vec<(String, Node)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(self.inner()?)?;
            let place = *places.entry(key.clone()).or_insert(pairs.len());
            match pairs.get_mut(place) {
                // As in JavaScript, the last one counts.
                Some((_, known)) => *known = value,
                None => pairs.push((key, value)),
            }
        }
        Ok(Node::Map(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_becomes_values() {
        let node = yaml("a: 1\nb: \"1\"\nc: [x, ~, '']\nd: {e: no}\nf:\n  - g: h\n").expect("right");
        let text = Node::text;
        let plain = |text: &str| Node::Plain(text.to_string());
        let expected = Node::map([
            ("a", Some(plain("1"))),
            ("b", Some(text("1"))),
            ("c", Some(Node::List(vec![plain("x"), Node::Null, text("")]))),
            ("d", Some(Node::map([("e", Some(plain("no")))]))),
            ("f", Some(Node::List(vec![Node::map([("g", Some(plain("h")))])]))),
        ]);
        assert_eq!(node, expected);
        assert_eq!(yaml(""), Ok(Node::Null));
        assert_eq!(yaml("\u{feff}# nothing\n"), Ok(Node::Null));
    }

    #[test]
    fn anchors_and_merge_keys_are_carried_out() {
        let text = "x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\n\
                    z: {<<: [*x, *y], a: 5}\nw:\n  <<: *x\n  d: *y\n";
        let node = yaml(text).expect("right");
        assert_eq!(node.get("z").expect("there").shown(), "{a: 5, b: 2, c: 4}");
        assert_eq!(node.get("w").expect("there").shown(), "{d: {b: 3, c: 4}, a: 1, b: 2}");
    }

    #[track_caller]
    fn is_refused(text: &str, expected: &str) {
        let error = yaml(text).expect_err("wrong");
        assert!(error.contains(expected) && error.starts_with("line "), "{error}");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        is_refused("a: 1\na: 2\n", "line 2: the key a stands twice");
        is_refused("a: 1\n---\nb: 2\n", "a second document begins here");
        is_refused("a: [1\nb: 2\n", "not YAML");
        is_refused("? [a]\n: b\n", "a list cannot be a key");
        is_refused("a: &a [*a]\n", "an alias stands inside of what it stands for");
        is_refused("a: {<<: 5}\n", "<< merges mappings, and this is a text");
        is_refused("a: *nope\n", "");
    }

    #[test]
    fn nothing_grows_beyond_the_limits() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for level in 1..10 {
            let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
            bomb += &format!("a{level}: &a{level} [{aliases}]\n");
        }
        is_refused(&bomb, "more than 100000 values");
        let mut merges = String::from("a0: &a0 {x: y}\n");
        for level in 1..100 {
            merges += &format!("a{level}: &a{level} {{k: *a{}}}\n", level - 1);
        }
        is_refused(&merges, "more than 64 deep");
        is_refused(&"[".repeat(100_000), "");
        is_refused(&"- ".repeat(10_000), "more than 64 deep");
        is_refused(&"{a: ".repeat(10_000), "");
        assert!(json5(&"[".repeat(100_000)).is_err_and(|error| error.contains("more than 64 deep")));
        assert!(json5(&"{a:".repeat(100_000)).is_err_and(|error| error.contains("more than 64 deep")));
        assert!(
            json5(&format!("[{}]", "1,".repeat(200_000))).is_err_and(|error| error.contains("more than"))
        );
    }

    #[test]
    fn json5_becomes_values() {
        let node =
            json5("// x\n{a: 1, 'b': -1.5, c: [true, null,], \"d\": 'x', d: 0x10, e: .5}").expect("right");
        assert_eq!(node.shown(), "{a: 1, b: -1.5, c: true, , d: 16, e: 0.5}");
        for wrong in ["{", "{a: b}", "[1] x", "", "{a: process.env.X}", "{a: `x`}"] {
            assert!(json5(wrong).is_err(), "{wrong}");
        }
    }
}
