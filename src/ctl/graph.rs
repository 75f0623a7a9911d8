//! The graph of dependencies: as the daemon tells it, drawn as a tree, and written for Graphviz.

use crate::ctl::records::{self, Members};
use crate::ctl::screen::{Screen, state_style};
use crate::rpc::client::CallError;
use crate::rpc::wire::Value;
use anstyle::Style;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

/// A tree that goes deeper than this goes on below, so that lines do not grow for ever.
const MOST_DEPTH: usize = 32;

/// So many of the processes that one item stands for are named in a sentence.
const MOST_NAMED: usize = 5;

/// A process that depends on others, or that others depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Node {
    /// Its namespec.
    pub name: String,
    pub state: i64,
    pub statename: String,
    /// Whether it waits for what it depends on.
    pub waits: bool,
    pub needs: Vec<Need>,
    /// The namespecs of those that depend on it directly.
    pub dependents: Vec<String>,
}

/// One item of `depends_on`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Need {
    /// As it is written: `cache:healthy?`.
    pub item: String,
    pub target: String,
    /// `ready`, `healthy`, `done` or `exited`.
    pub condition: String,
    /// Whether only the order matters.
    pub soft: bool,
    /// `met`, `unmet`, or `failed` if it will not hold by itself.
    pub verdict: String,
    /// Those that it stands for.
    pub processes: Vec<Needed>,
}

/// A process that an item stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Needed {
    /// Its namespec.
    pub name: String,
    pub state: i64,
    pub statename: String,
}

impl Node {
    /// Reads one.
    ///
    /// # Errors
    /// [`CallError::Unexpected`] if it is no struct of such members.
    pub(crate) fn read(value: &Value) -> Result<Node, CallError> {
        let members = Members::of(value)?;
        Ok(Node {
            name: members.text("name"),
            state: members.number("state"),
            statename: members.text("statename"),
            waits: members.flag("waits"),
            needs: list(&members, "needs", Need::read)?,
            dependents: list(&members, "dependents", |value| Ok(Members::of(value)?.text("name")))?,
        })
    }
}

impl Need {
    /// Reads one.
    ///
    /// # Errors
    /// [`CallError::Unexpected`] if it is no struct of such members.
    pub(crate) fn read(value: &Value) -> Result<Need, CallError> {
        let members = Members::of(value)?;
        Ok(Need {
            item: members.text("item"),
            target: members.text("target"),
            condition: members.text("condition"),
            soft: members.flag("soft"),
            verdict: members.text("verdict"),
            processes: list(&members, "processes", |value| {
                let members = Members::of(value)?;
                Ok(Needed {
                    name: members.text("name"),
                    state: members.number("state"),
                    statename: members.text("statename"),
                })
            })?,
        })
    }

    /// `cache:healthy: does not hold yet; cache (RUNNING)`.
    pub(crate) fn in_words(&self) -> String {
        let verdict = match self.verdict.as_str() {
            "met" if self.soft => "is in nobody's way",
            "met" => "holds",
            "failed" => "does not hold, and will not by itself",
            _ => "does not hold yet",
        };
        let named = self.processes.iter().take(MOST_NAMED);
        let mut named: Vec<String> =
            named.map(|process| format!("{} ({})", process.name, process.statename)).collect();
        match self.processes.len() {
            0 => named.push("there is no such process".to_string()),
            n if n > MOST_NAMED => named.push(format!("and {} more", n - MOST_NAMED)),
            _ => {}
        }
        format!("{}: {verdict}; {}", self.item, named.join(", "))
    }

    /// What a line of the tree says about it: `healthy, soft, not yet`.
    fn note(&self) -> String {
        let condition = (self.condition != "ready").then_some(self.condition.as_str());
        let verdict = match self.verdict.as_str() {
            "unmet" => Some("not yet"),
            "failed" => Some("will not hold by itself"),
            _ => None,
        };
        let words = [condition, self.soft.then_some("soft"), verdict];
        words.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// What tells several processes apart from other items; one process is told by its own name.
    fn set(&self) -> (&str, Vec<&str>) {
        (&self.target, self.processes.iter().map(|process| process.name.as_str()).collect())
    }
}

fn list<T>(
    members: &Members<'_>,
    name: &str,
    read: impl Fn(&Value) -> Result<T, CallError>,
) -> Result<Vec<T>, CallError> {
    members.get(name).map_or(Ok(Vec::new()), |value| records::array(value)?.iter().map(read).collect())
}

/// Those that depend on a process and go on without it, because they run: only hard items that hold no more count.
pub(crate) fn running_on<'n>(nodes: &'n [Node], name: &str) -> Vec<&'n str> {
    const STARTING: i64 = 10;
    const RUNNING: i64 = 20;
    let is_left = |need: &Need| {
        let is_meant = || need.processes.iter().any(|process| process.name == name);
        !need.soft && need.verdict != "met" && is_meant()
    };
    let runs = |node: &Node| node.state == RUNNING || (node.state == STARTING && !node.waits);
    let left = nodes.iter().filter(|node| runs(node) && node.needs.iter().any(is_left));
    left.map(|node| node.name.as_str()).collect()
}

/// A line of the tree, or what it goes on with.
struct Step<'g> {
    /// What stands before the line.
    before: String,
    /// What stands before the lines below it.
    below: String,
    depth: usize,
    what: What<'g>,
}

enum What<'g> {
    /// A process, by its namespec, its state, and what is said of the item that stands for it.
    Process { name: &'g str, state: (i64, &'g str), note: String },
    /// An item that stands for several processes, or for none.
    Set(&'g Need),
}

/// Draws the processes of the graph below each other, each with what it depends on. `roots` are those at the left margin;
/// if there are none, they are those that nobody depends on. What was drawn before is not drawn again.
pub(crate) fn tree(nodes: &[Node], roots: &[&str], screen: &Screen) -> String {
    let by_name: HashMap<&str, &Node> = nodes.iter().map(|node| (node.name.as_str(), node)).collect();
    let is_free = |node: &&Node| roots.is_empty() && node.dependents.is_empty();
    let mut queue: VecDeque<&str> = roots.iter().copied().collect();
    queue.extend(nodes.iter().filter(is_free).map(|node| node.name.as_str()));
    let (mut drawn, mut drawn_sets) = (HashSet::new(), HashSet::new());
    let mut text = String::new();
    // Processes that wait for each other in a circle have nobody above them.
    let mut rest = nodes.iter().filter(|_| roots.is_empty());
    loop {
        let next = queue.pop_front().or_else(|| {
            let undrawn = rest.find(|node| !node.needs.is_empty() && !drawn.contains(node.name.as_str()));
            undrawn.map(|node| node.name.as_str())
        });
        let Some(node) = next.map(|name| by_name.get(name)) else { return text };
        let Some(node) = node else { continue };
        let note = if node.waits { "waits".to_string() } else { String::new() };
        let what = What::Process { name: &node.name, state: (node.state, &node.statename), note };
        let mut stack = vec![Step { before: String::new(), below: String::new(), depth: 0, what }];
        while let Some(step) = stack.pop() {
            let (line, needs): (String, Vec<What<'_>>) = match step.what {
                What::Process { name, state, note } => {
                    let needs = by_name.get(name).map_or(&[][..], |node| &node.needs);
                    let (more, needs) = if needs.is_empty() {
                        ("", needs)
                    } else if step.depth >= MOST_DEPTH && !drawn.contains(name) {
                        queue.push_back(name);
                        ("goes on below", &[][..])
                    } else if drawn.insert(name) {
                        ("", needs)
                    } else {
                        ("see above", &[][..])
                    };
                    (process_line(name, state, &[&note, more], screen), needs.iter().map(item).collect())
                }
                What::Set(need) => {
                    let is_new = need.processes.is_empty() || drawn_sets.insert(need.set());
                    let count = match need.processes.len() {
                        0 => "no such process".to_string(),
                        n => format!("{n} processes"),
                    };
                    let more = if is_new { "" } else { "see above" };
                    let members = need.processes.iter().filter(|_| is_new).map(|process| What::Process {
                        name: &process.name,
                        state: (process.state, &process.statename),
                        note: String::new(),
                    });
                    let notes = notes(&[&count, &need.note(), more]);
                    (format!("{}{}", screen.shown(&need.target), dim(&notes, screen)), members.collect())
                }
            };
            text.push_str(&format!("{}{line}\n", step.before));
            let n_needs = needs.len();
            let below = needs.into_iter().enumerate().map(|(index, what)| {
                let (branch, stem) =
                    if index + 1 < n_needs { ("├─ ", "│  ") } else { ("└─ ", "   ") };
                Step {
                    before: format!("{}{branch}", step.below),
                    below: format!("{}{stem}", step.below),
                    depth: step.depth + 1,
                    what,
                }
            });
            let below: Vec<Step<'_>> = below.collect();
            stack.extend(below.into_iter().rev());
        }
    }
}

/// What stands below a process for one of its items.
fn item(need: &Need) -> What<'_> {
    match &need.processes[..] {
        [process] => What::Process {
            name: &process.name,
            state: (process.state, &process.statename),
            note: need.note(),
        },
        _ => What::Set(need),
    }
}

fn process_line(name: &str, (state, statename): (i64, &str), more: &[&str], screen: &Screen) -> String {
    let state = screen.styled(&screen.shown(statename), state_style(state));
    format!("{}  {state}{}", screen.shown(name), dim(&notes(more), screen))
}

fn notes(words: &[&str]) -> String {
    words.iter().copied().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", ")
}

fn dim(notes: &str, screen: &Screen) -> String {
    match notes {
        "" => String::new(),
        notes => format!("  {}", screen.styled(notes, Style::new().dimmed())),
    }
}

/// The graph in the language of Graphviz. Arrows go from a process to what it depends on.
pub(crate) fn dot(nodes: &[Node]) -> String {
    let mut text = String::from("digraph dependencies {\n  rankdir=LR;\n  node [shape=box];\n");
    // Processes that stand only in items were left out of the nodes.
    let mut states: BTreeMap<&str, (i64, &str)> = BTreeMap::new();
    for node in nodes {
        for process in node.needs.iter().flat_map(|need| &need.processes) {
            states.insert(&process.name, (process.state, &process.statename));
        }
    }
    states.extend(nodes.iter().map(|node| (node.name.as_str(), (node.state, node.statename.as_str()))));
    for (name, (state, statename)) in states {
        let colour = match state {
            20 => "green",
            10 | 40 => "orange",
            30 | 200 | 1000 => "red",
            _ => "gray",
        };
        let label = quoted(&format!("{name}\n{statename}"));
        text.push_str(&format!("  {} [label={label}, color={colour}];\n", quoted(name)));
    }
    let mut sets: HashMap<(&str, Vec<&str>), String> = HashMap::new();
    for node in nodes {
        for need in &node.needs {
            let to = match &need.processes[..] {
                [process] => quoted(&process.name),
                processes => {
                    let number = sets.len() + 1;
                    let mut is_new = false;
                    let id = sets.entry(need.set()).or_insert_with(|| {
                        is_new = true;
                        quoted(&format!("{} #{number}", need.target))
                    });
                    if is_new {
                        let label = quoted(&need.target);
                        text.push_str(&format!("  {id} [label={label}, shape=ellipse];\n"));
                        for process in processes {
                            text.push_str(&format!("  {id} -> {} [style=dotted];\n", quoted(&process.name)));
                        }
                    }
                    id.clone()
                }
            };
            let condition = (need.condition != "ready").then(|| format!("label={}", quoted(&need.condition)));
            let style = need.soft.then(|| "style=dashed".to_string());
            let attributes: Vec<String> = condition.into_iter().chain(style).collect();
            let attributes = match attributes.join(", ") {
                empty if empty.is_empty() => empty,
                attributes => format!(" [{attributes}]"),
            };
            text.push_str(&format!("  {} -> {to}{attributes};\n", quoted(&node.name)));
        }
    }
    text.push_str("}\n");
    text
}

/// A text between quotes, as Graphviz reads it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(item: &str, verdict: &str, processes: &[&str]) -> Need {
        let (item, soft) = item.strip_suffix('?').map_or((item, false), |item| (item, true));
        let (target, condition) = item.split_once(':').unwrap_or((item, "ready"));
        let needed = |name: &&str| Needed { name: name.to_string(), state: 20, statename: "RUNNING".into() };
        Need {
            item: item.into(),
            target: target.into(),
            condition: condition.into(),
            soft,
            verdict: verdict.into(),
            processes: processes.iter().map(needed).collect(),
        }
    }

    fn node(name: &str, needs: Vec<Need>, dependents: &[&str]) -> Node {
        let dependents = dependents.iter().map(|name| name.to_string()).collect();
        Node { name: name.into(), state: 20, statename: "RUNNING".into(), waits: false, needs, dependents }
    }

    fn drawn(nodes: &[Node], roots: &[&str]) -> String {
        tree(nodes, roots, &Screen::to(Box::new(std::io::sink()), Box::new(std::io::sink())))
    }

    #[test]
    fn what_was_drawn_is_referred_to() {
        let nodes = [
            node("api", vec![need("db:healthy", "unmet", &["db"])], &["web"]),
            node("db", vec![need("disk", "met", &["disk"])], &["api", "web"]),
            node("disk", vec![], &["db"]),
            node("web", vec![need("api", "met", &["api"]), need("db?", "met", &["db"])], &[]),
        ];
        let expected = "web  RUNNING\n├─ api  RUNNING\n│  └─ db  RUNNING  healthy, not yet\n\
                        │     └─ disk  RUNNING\n└─ db  RUNNING  soft, see above\n";
        assert_eq!(drawn(&nodes, &[]), expected);
        assert_eq!(drawn(&nodes, &["db"]), "db  RUNNING\n└─ disk  RUNNING\n");
    }

    #[test]
    fn items_for_several_are_drawn_once() {
        let several = || need("w", "met", &["w:0", "w:1"]);
        let nodes =
            [node("a", vec![several(), need("gone?", "met", &[])], &[]), node("b", vec![several()], &[])];
        let expected = "a  RUNNING\n├─ w  2 processes\n│  ├─ w:0  RUNNING\n│  └─ w:1  RUNNING\n\
                        └─ gone  no such process, soft\nb  RUNNING\n└─ w  2 processes, see above\n";
        assert_eq!(drawn(&nodes, &[]), expected);
    }

    /// A ladder, in which each process depends on both of the next rung, has a line for each edge and not one for each way
    /// down; a chain is cut into pieces; a circle ends.
    #[test]
    fn large_graphs_and_circles_end() {
        let mut nodes = Vec::new();
        for rung in 0..200 {
            for side in ["l", "r"] {
                let name = |rung: usize, side: &str| format!("{side}{rung:03}");
                let next = [name(rung + 1, "l"), name(rung + 1, "r")];
                let needs = next.iter().map(|name| need(name, "met", &[name])).collect();
                let above: &[&str] = if rung == 0 { &[] } else { &["somebody"] };
                nodes.push(node(&name(rung, side), needs, above));
            }
        }
        let text = drawn(&nodes, &[]);
        assert!((800..1000).contains(&text.lines().count()), "{}", text.lines().count());
        assert!(text.lines().all(|line| line.chars().count() < 150) && text.contains("goes on below"));
        let circle = [
            node("a", vec![need("b", "unmet", &["b"])], &["b"]),
            node("b", vec![need("a", "unmet", &["a"])], &["a"]),
        ];
        assert_eq!(
            drawn(&circle, &[]),
            "a  RUNNING\n└─ b  RUNNING  not yet\n   └─ a  RUNNING  not yet, see above\n"
        );
    }

    #[test]
    fn graphviz_gets_quoted_names() {
        let nodes =
            [node("a\"\\", vec![need("b:done?", "met", &["b"]), need("c", "met", &["c:0", "c:1"])], &[])];
        let expected = r#"digraph dependencies {
  rankdir=LR;
  node [shape=box];
  "a\"\\" [label="a\"\\\nRUNNING", color=green];
  "b" [label="b\nRUNNING", color=green];
  "c:0" [label="c:0\nRUNNING", color=green];
  "c:1" [label="c:1\nRUNNING", color=green];
  "a\"\\" -> "b" [label="done", style=dashed];
  "c #1" [label="c", shape=ellipse];
  "c #1" -> "c:0" [style=dotted];
  "c #1" -> "c:1" [style=dotted];
  "a\"\\" -> "c #1";
}
"#;
        assert_eq!(dot(&nodes), expected);
    }

    #[test]
    fn only_who_needs_it_runs_on_without_it() {
        let nodes = [
            node("hard", vec![need("db", "failed", &["db"])], &[]),
            node("soft", vec![need("db?", "failed", &["db"])], &[]),
            node("other", vec![need("x", "failed", &["x"])], &[]),
            Node { state: 0, ..node("down", vec![need("db", "failed", &["db"])], &[]) },
            Node { state: 10, waits: true, ..node("waits", vec![need("db", "failed", &["db"])], &[]) },
        ];
        assert_eq!(running_on(&nodes, "db"), ["hard"]);
    }
}
