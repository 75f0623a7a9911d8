//! What is wrong with `depends_on` once all processes are known: names that stand for nothing, conditions that can never
//! hold, and cycles.
//!
//! The processes that one text stands for are a *set*, which is made once however many depend on it. The edges go from
//! a process to the sets it waits for, and from a set to its members, so that a layer of a thousand that waits for another one
//! costs two thousand edges and not a million.

use crate::config::document::Document;
use crate::config::section::Context;
use crate::config::values;
use crate::model::config::{Autorestart, GroupConfig, GroupKind, ProcessConfig};
use crate::model::dependency::{Condition, Dependency, Names, is_pattern};
use crate::model::namespec;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// More cycles than anybody reads.
const MOST_CYCLES: usize = 20;
/// More names than anybody reads in one line.
const LONGEST_PATH: usize = 100;

/// Notes every such error at the key of the process that it is about.
pub(super) fn check(context: &Context<'_>, groups: &[Arc<GroupConfig>]) {
    let processes = processes(groups);
    if processes.iter().all(|process| process.config.dependencies.depends_on.is_empty()) {
        return;
    }
    let mut graph = Graph::new(&processes);
    let sections = sections(context.document);
    let error = |process: u32, text: String| {
        let process = &processes[process as usize];
        if let Some(section) = process.section(&sections) {
            context.section(section).error(Some("depends_on"), text);
        }
    };
    // A name may be missing because its section has another error.
    let names_everything = !context.has_errors();
    for (id, process) in (0_u32..).zip(&processes) {
        for dependency in &process.config.dependencies.depends_on {
            let set = graph.set(&dependency.target);
            if graph.is_empty_for(set, id) {
                if !dependency.is_soft && names_everything {
                    let text = unknown(dependency, graph.sets[set].members.is_empty());
                    match process.section(&sections) {
                        // It may be in a file that was left out, whose errors are told.
                        Some(section) if context.document.lacks_files() => {
                            context.section(section).doubt("depends_on", text);
                        }
                        _ => error(id, text),
                    }
                }
            } else if let Some(text) = graph.never_holds(set, dependency.condition, id) {
                error(id, format!("depends_on: {dependency} can never hold: {text}"));
            }
            graph.connect(id, set);
        }
    }
    for path in graph.cycles() {
        error(path[0], format!("it depends on itself: {}", graph.shown(&path)));
    }
}

fn processes(groups: &[Arc<GroupConfig>]) -> Vec<Process<'_>> {
    let all =
        groups.iter().flat_map(|group| group.processes.iter().map(move |config| Process { group, config }));
    all.collect()
}

fn unknown(dependency: &Dependency, stands_for_nothing: bool) -> String {
    let target = &dependency.target;
    if !stands_for_nothing {
        return format!(
            "depends_on: {target} is this process and no other (write {target}? if there may be others)"
        );
    }
    let no_condition = match target.rsplit_once(':') {
        Some((_, word)) if !is_pattern(word) => {
            format!(", and {word} is no condition (these are ready, healthy, done, exited)")
        }
        _ => String::new(),
    };
    let soft = Dependency { is_soft: true, ..dependency.clone() };
    format!(
        "depends_on: no program, group or process is named {target}{no_condition}; write {soft} if it may be missing"
    )
}

struct Process<'c> {
    group: &'c GroupConfig,
    config: &'c ProcessConfig,
}

/// The full names of sections that run something, by kind and name.
type Sections<'d> = HashMap<(&'d str, String), &'d str>;

fn sections(document: &Document) -> Sections<'_> {
    let named = document.sections().filter_map(|section| {
        let (kind, name) = section.split_once(':')?;
        Some(((kind, values::name(name).ok()?.value), section))
    });
    named.collect()
}

impl Process<'_> {
    /// The section it is from.
    fn section<'d>(&self, sections: &Sections<'d>) -> Option<&'d str> {
        let kinds = match self.group.kind {
            GroupKind::EventListener(_) => ["eventlistener", "program", "fcgi-program"],
            _ if self.config.fcgi_socket.is_some() => ["fcgi-program", "program", "eventlistener"],
            // A member of a group may have lost its socket.
            _ => ["program", "fcgi-program", "eventlistener"],
        };
        kinds.into_iter().find_map(|kind| sections.get(&(kind, self.config.program.to_string())).copied())
    }

    fn name(&self) -> String {
        namespec::display(&self.group.name, &self.config.name)
    }

    /// Why a condition can never hold for it.
    fn never(&self, condition: Condition) -> Option<&'static str> {
        let is_oneshot = self.config.is_oneshot();
        match condition {
            Condition::Ready if is_oneshot => Some("is a oneshot and never RUNNING: write :done"),
            Condition::Healthy if is_oneshot => Some("is a oneshot, whose health nobody checks: write :done"),
            Condition::Healthy if self.config.health_check.is_none() => Some("has no health"),
            Condition::Done | Condition::Exited
                if !is_oneshot && self.config.autorestart == Autorestart::Always =>
            {
                Some("never ends for good: it has autorestart=true, and not type=oneshot")
            }
            _ => None,
        }
    }
}

/// The processes that one text stands for.
struct Set {
    members: Vec<u32>,
    /// The same, for a pattern: it never stands for the process that depends on it.
    excludes: Option<HashSet<u32>>,
    /// Of the processes that depend on a pattern, those that it matches.
    inside: Vec<u32>,
    /// For each condition that was asked for, members of which it never holds: one, and one more that a pattern of the
    /// first would leave.
    never: HashMap<Condition, Vec<u32>>,
}

/// A node of the graph.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Node {
    Process(u32),
    Set(usize),
}

struct Graph<'p> {
    processes: &'p [Process<'p>],
    names: Names,
    by_target: HashMap<&'p str, usize>,
    sets: Vec<Set>,
    /// The sets that each process waits for.
    waits_for: Vec<Vec<usize>>,
}

impl<'p> Graph<'p> {
    fn new(processes: &'p [Process<'p>]) -> Graph<'p> {
        let mut names = Names::default();
        for (id, process) in (0_u32..).zip(processes) {
            names.add(&process.group.name, &process.config.program, &process.config.name, id);
        }
        let waits_for = vec![Vec::new(); processes.len()];
        Graph { processes, names, by_target: HashMap::new(), sets: Vec::new(), waits_for }
    }

    fn set(&mut self, target: &'p str) -> usize {
        if let Some(set) = self.by_target.get(target) {
            return *set;
        }
        let members = self.names.resolve(target);
        let set = self.add_set(members, is_pattern(target));
        self.by_target.insert(target, set);
        set
    }

    fn add_set(&mut self, members: Vec<u32>, is_pattern: bool) -> usize {
        let excludes = is_pattern.then(|| members.iter().copied().collect());
        self.sets.push(Set { members, excludes, inside: Vec::new(), never: HashMap::new() });
        self.sets.len() - 1
    }

    /// Whether a set has nothing to wait for.
    fn is_empty_for(&self, set: usize, process: u32) -> bool {
        let set = &self.sets[set];
        set.members.is_empty() || set.excludes.is_some() && set.members == [process]
    }

    /// Why a condition can never hold for all of a set.
    fn never_holds(&mut self, set: usize, condition: Condition, process: u32) -> Option<String> {
        let Set { members, excludes, never, .. } = &mut self.sets[set];
        let found = never.entry(condition).or_insert_with(|| {
            let never = |id: &&u32| self.processes[**id as usize].never(condition).is_some();
            members.iter().filter(never).take(2).copied().collect()
        });
        let is_meant = |id: &&u32| excludes.is_none() || **id != process;
        let of = &self.processes[*found.iter().find(is_meant)? as usize];
        Some(format!("{} {}", of.name(), of.never(condition)?))
    }

    fn connect(&mut self, process: u32, set: usize) {
        let waits_for = &mut self.waits_for[process as usize];
        // The same target with another condition.
        if waits_for.contains(&set) {
            return;
        }
        waits_for.push(set);
        let set = &mut self.sets[set];
        if set.excludes.as_ref().is_some_and(|members| members.contains(&process)) {
            set.inside.push(process);
        }
    }

    /// Some path for each way in which a process waits for itself, its first process not repeated at the end.
    fn cycles(&mut self) -> Vec<Vec<u32>> {
        let mut found = self.take_out_patterns();
        let mut state = Search {
            processes: vec![Colour::New; self.processes.len()],
            sets: vec![Colour::New; self.sets.len()],
        };
        for process in 0..self.processes.len() as u32 {
            if found.len() < MOST_CYCLES {
                self.search(Node::Process(process), &mut state, &mut found);
            }
        }
        found
    }

    /// Gives a process that a pattern of its own matches a set without it. Two of them wait for each other.
    fn take_out_patterns(&mut self) -> Vec<Vec<u32>> {
        let mut found = Vec::new();
        for set in 0..self.sets.len() {
            let inside = std::mem::take(&mut self.sets[set].inside);
            if let [first, second, ..] = inside[..] {
                found.push(vec![first, second]);
            }
            for process in inside.iter().copied() {
                let waits_for = &mut self.waits_for[process as usize];
                waits_for.retain(|other| *other != set);
                if inside.len() == 1 {
                    let others = self.sets[set].members.iter().copied().filter(|other| *other != process);
                    let others = others.collect();
                    let without = self.add_set(others, false);
                    self.waits_for[process as usize].push(without);
                }
            }
        }
        found.truncate(MOST_CYCLES);
        found
    }

    /// Looks for ways back from what can be reached from a node, without a stack frame for each step.
    fn search(&self, start: Node, state: &mut Search, found: &mut Vec<Vec<u32>>) {
        if state.colour(start) != Colour::New {
            return;
        }
        state.set(start, Colour::OnPath);
        // The way from the start to where the search is, and how many edges of each node were followed.
        let mut path = vec![(start, 0)];
        while let Some((node, n_followed)) = path.last_mut() {
            let node = *node;
            let Some(next) = self.edge(node, *n_followed) else {
                state.set(node, Colour::Done);
                path.pop();
                continue;
            };
            *n_followed += 1;
            match state.colour(next) {
                Colour::New => {
                    state.set(next, Colour::OnPath);
                    path.push((next, 0));
                }
                Colour::OnPath if found.len() < MOST_CYCLES => {
                    let begin = path.iter().position(|(on_path, _)| *on_path == next).unwrap_or_default();
                    found.push(from_the_first(path[begin..].iter().map(|(node, _)| *node)));
                }
                Colour::OnPath | Colour::Done => {}
            }
        }
    }

    fn edge(&self, node: Node, number: usize) -> Option<Node> {
        match node {
            Node::Process(process) => self.waits_for[process as usize].get(number).copied().map(Node::Set),
            Node::Set(set) => self.sets[set].members.get(number).copied().map(Node::Process),
        }
    }

    /// `a -> b -> c -> a`.
    fn shown(&self, path: &[u32]) -> String {
        let name = |id: &u32| self.processes[*id as usize].name();
        let mut names: Vec<String> = path.iter().take(LONGEST_PATH).map(name).collect();
        if let Some(n_more) = path.len().checked_sub(LONGEST_PATH).filter(|n_more| *n_more > 0) {
            names.push(format!("... {n_more} more ..."));
        }
        names.extend(path.first().map(name));
        names.join(" -> ")
    }
}

/// The processes of a cycle, beginning with the one that was read first.
fn from_the_first(nodes: impl Iterator<Item = Node>) -> Vec<u32> {
    let processes = nodes.filter_map(|node| match node {
        Node::Process(process) => Some(process),
        Node::Set(_) => None,
    });
    let mut path: Vec<u32> = processes.collect();
    let first = (0..path.len()).min_by_key(|at| path[*at]).unwrap_or_default();
    path.rotate_left(first);
    path
}

/// How far the search is with a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Colour {
    New,
    OnPath,
    Done,
}

struct Search {
    processes: Vec<Colour>,
    sets: Vec<Colour>,
}

impl Search {
    fn colour(&self, node: Node) -> Colour {
        match node {
            Node::Process(process) => self.processes[process as usize],
            Node::Set(set) => self.sets[set],
        }
    }

    fn set(&mut self, node: Node, colour: Colour) {
        match node {
            Node::Process(process) => self.processes[process as usize] = colour,
            Node::Set(set) => self.sets[set] = colour,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::args::DaemonArgs;
    use crate::config::{Surroundings, parse};
    use std::fmt::Write;
    use std::path::Path;

    /// The errors of a configuration, as `line: text`.
    fn errors(programs: &str) -> Vec<String> {
        let text = format!("[supervisord]\n{programs}");
        match parse(Path::new("/x.conf"), &text, &DaemonArgs::default(), &Surroundings::of_this_process()) {
            Ok(_) => Vec::new(),
            Err(errors) => {
                let line = |line: Option<u32>| line.map_or("-".to_string(), |line| line.to_string());
                errors.iter().map(|error| format!("{}: {}", line(error.line), error.text)).collect()
            }
        }
    }

    /// Programs of one line each: a name, and further keys behind blanks. The first line is line 2.
    fn programs(lines: &[&str]) -> String {
        let mut text = String::new();
        for line in lines {
            let mut words = line.split(' ');
            let name = words.next().unwrap_or_default();
            let keys: Vec<&str> = words.collect();
            let _ = write!(text, "[program:{name}]\ncommand=/bin/cat\n{}\n", keys.join("\n"));
        }
        text
    }

    #[track_caller]
    fn check(lines: &[&str], expected: &[&str]) {
        assert_eq!(errors(&programs(lines)), expected);
    }

    #[test]
    fn what_can_be_waited_for() {
        check(
            &[
                "db health=tcp:1",
                "job type=oneshot",
                "once autorestart=false",
                "many process_name=m%(process_num)d numprocs=3",
                "web depends_on=db,db:healthy,job:done,once:exited,many,many:m1,m2,nothing?,no*:healthy?,*:exited",
            ],
            &[],
        );
    }

    #[test]
    fn names_that_stand_for_nothing() {
        check(
            &["web depends_on=db", "x depends_on=web:helthy", "y depends_on=nope:*", "z depends_on=z:*:done"],
            &[
                "4: depends_on: no program, group or process is named db; write db? if it may be missing",
                "7: depends_on: no program, group or process is named web:helthy, and helthy is no condition (these are ready, \
                 healthy, done, exited); write web:helthy? if it may be missing",
                "10: depends_on: no program, group or process is named nope:*; write nope:*? if it may be missing",
                "13: depends_on: z:* is this process and no other (write z:*? if there may be others)",
            ],
        );
        // What is wrong with the other one is enough.
        check(
            &["db startsecs=x", "web depends_on=nope"],
            &["4: invalid literal for int() with base 10: 'x'"],
        );
    }

    #[test]
    fn conditions_that_never_hold() {
        check(
            &[
                "db autorestart=true",
                "job type=oneshot",
                "a depends_on=db:done?",
                "b depends_on=db:exited",
                "c depends_on=*:*:healthy health=tcp:1",
                "d depends_on=job",
            ],
            &[
                "10: depends_on: db:done? can never hold: db never ends for good: it has autorestart=true, and not type=oneshot",
                "13: depends_on: db:exited can never hold: db never ends for good: it has autorestart=true, and not type=oneshot",
                "16: depends_on: *:*:healthy can never hold: a has no health",
                "20: depends_on: job can never hold: job is a oneshot and never RUNNING: write :done",
            ],
        );
        // A pattern leaves out who depends on it.
        let healthy = "health=tcp:1";
        check(&[&format!("a {healthy}"), "b depends_on=*:healthy", &format!("c {healthy}")], &[]);
    }

    #[test]
    fn cycles_are_told_with_their_path() {
        check(&["a depends_on=a"], &["4: it depends on itself: a -> a"]);
        check(
            &["c depends_on=a", "b depends_on=c", "a depends_on=b?", "d depends_on=a", "e"],
            // Processes are read by priority and name.
            &["10: it depends on itself: a -> b -> c -> a"],
        );
        check(
            &["w process_name=w%(process_num)d numprocs=2 depends_on=w"],
            &["6: it depends on itself: w:w0 -> w:w0"],
        );
        check(
            &["w process_name=w%(process_num)d numprocs=2 depends_on=w:*"],
            &["6: it depends on itself: w:w0 -> w:w1 -> w:w0"],
        );
        // A process that waits for all others is no cycle, but one of those that waits for it is.
        check(&["all depends_on=*", "b", "c"], &[]);
        check(&["all depends_on=*", "b", "c depends_on=all"], &["4: it depends on itself: all -> c -> all"]);
        check(
            &[
                "a depends_on=b,c",
                "b depends_on=d",
                "c depends_on=d",
                "d",
                "x depends_on=y",
                "y depends_on=x",
            ],
            &["16: it depends on itself: x -> y -> x"],
        );
    }

    #[test]
    fn groups_and_other_sections_are_known() {
        let text = "[group:g]\nprograms=a,f\n[program:a]\ncommand=cat\n[fcgi-program:f]\ncommand=cat\n\
                    socket=unix:///tmp/x\ndepends_on=l\n[eventlistener:l]\ncommand=cat\nevents=TICK_5\ndepends_on=g:a,g:f\n";
        assert_eq!(errors(text), ["13: it depends on itself: l -> g:f -> l"]);
    }

    #[test]
    fn a_chain_of_thousands_needs_no_stack() {
        const N: usize = 10_000;
        let mut chain = String::new();
        for n in 0..N {
            let next = (n + 1) % N;
            let _ = write!(chain, "[program:p{n}]\ncommand=/bin/cat\ndepends_on=p{next}\n");
        }
        let found = errors(&chain);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("4: it depends on itself: p0 -> p1 -> p2 -> "), "{}", &found[0][..60]);
        assert!(found[0].ends_with(" -> p99 -> ... 9900 more ... -> p0"));
    }

    #[test]
    fn layers_cost_as_much_as_they_have_members() {
        let layers = |last: &str| {
            let mut text = String::new();
            for layer in 0..10 {
                let below = if layer < 9 { format!("layer{}:*", layer + 1) } else { last.to_string() };
                let _ = write!(
                    text,
                    "[program:layer{layer}]\ncommand=/bin/cat\nnumprocs=1000\nprocess_name=x%(process_num)d\n\
                     depends_on={below}\n"
                );
            }
            text
        };
        let text = format!("[supervisord]\n{}", layers(""));
        let around = Surroundings::of_this_process();
        let config =
            parse(Path::new("/x.conf"), &text, &DaemonArgs::default(), &around).expect("it is right");
        let processes = processes(&config.groups);
        let mut graph = Graph::new(&processes);
        for (id, process) in (0_u32..).zip(&processes) {
            for dependency in &process.config.dependencies.depends_on {
                let set = graph.set(&dependency.target);
                graph.connect(id, set);
            }
        }
        assert!(graph.cycles().is_empty());
        let n_edges = graph.waits_for.iter().map(Vec::len).sum::<usize>()
            + graph.sets.iter().map(|set| set.members.len()).sum::<usize>();
        // One by one they would be nine million.
        assert_eq!(n_edges, 18_000);
        let path: Vec<String> = (0..11).map(|layer| format!("layer{}:x0", layer % 10)).collect();
        let expected = format!("6: it depends on itself: {}", path.join(" -> "));
        assert_eq!(errors(&layers("layer0:*")), [expected]);
    }
}
