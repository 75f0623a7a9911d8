//! What a process waits for before it starts.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// `depends_on` and the keys beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependencies {
    /// All of them must hold.
    pub depends_on: Vec<Dependency>,
    /// How long it waits for them. `None`: for ever.
    pub dependency_timeout: Option<Duration>,
    /// What becomes of it when one that held does not hold any more.
    pub depends_restart: DependsRestart,
}

impl Dependencies {
    /// Whether none of the keys was written.
    pub fn is_default(&self) -> bool {
        *self == Dependencies::default()
    }
}

/// One item of `depends_on`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Dependency {
    /// As written: a program, a group, a process, `group:process`, or a pattern of these with `*`.
    pub target: String,
    /// What must be true of all that it stands for.
    pub condition: Condition,
    /// Only the order matters: it is no obstacle once it is at rest, whatever its state.
    pub is_soft: bool,
}

/// `db:healthy?`, without the condition if that is [`Condition::Ready`].
impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.target)?;
        if self.condition != Condition::Ready {
            write!(f, ":{}", self.condition.word())?;
        }
        f.write_str(if self.is_soft { "?" } else { "" })
    }
}

/// What must be true of a process for those who depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Condition {
    /// RUNNING; with `ready`, once that has succeeded.
    #[default]
    Ready,
    /// RUNNING, and its health check has succeeded.
    Healthy,
    /// It has ended as expected.
    Done,
    /// It has ended.
    Exited,
}

impl Condition {
    /// Its word in a configuration.
    pub fn word(self) -> &'static str {
        match self {
            Condition::Ready => "ready",
            Condition::Healthy => "healthy",
            Condition::Done => "done",
            Condition::Exited => "exited",
        }
    }

    /// The condition with this word, or with the word that other supervisors have for it.
    pub fn from_word(word: &str) -> Option<Condition> {
        Some(match word {
            "ready" | "running" | "started" | "process_started" => Condition::Ready,
            "healthy" | "process_healthy" => Condition::Healthy,
            "done" | "process_completed_successfully" => Condition::Done,
            "exited" | "process_completed" => Condition::Exited,
            _ => return None,
        })
    }
}

/// What becomes of a process when something that it depends on is stopped or restarted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DependsRestart {
    /// It runs on.
    #[default]
    None,
    /// It is stopped, and started when its conditions hold again.
    Restart,
    /// It is stopped at once, and started when its conditions hold again.
    Stop,
}

/// Whether a target is a pattern: it stands for all that it matches but never for the process that depends on it.
pub fn is_pattern(target: &str) -> bool {
    target.contains('*')
}

/// The names of all processes, to find those that a [`Dependency::target`] stands for.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Counts the additions; the number of each is its place in what [`Names::resolve`] answers.
    n_added: u64,
    processes: HashMap<u32, Named>,
    by_program: HashMap<Arc<str>, Numbers>,
    by_group: HashMap<Arc<str>, Numbers>,
    by_process: HashMap<Arc<str>, Numbers>,
    by_namespec: HashMap<(Arc<str>, Arc<str>), u32>,
}

/// Ids in the order of their addition.
type Numbers = BTreeMap<u64, u32>;

#[derive(Clone, Debug)]
struct Named {
    at: u64,
    group: Arc<str>,
    program: Arc<str>,
    process: Arc<str>,
}

impl Names {
    /// Adds a process. One that had the same id is forgotten.
    pub fn add(&mut self, group: &Arc<str>, program: &Arc<str>, process: &Arc<str>, id: u32) {
        self.remove(id);
        self.n_added += 1;
        let at = self.n_added;
        for (index, name) in
            [(&mut self.by_program, program), (&mut self.by_group, group), (&mut self.by_process, process)]
        {
            index.entry(name.clone()).or_default().insert(at, id);
        }
        self.by_namespec.insert((group.clone(), process.clone()), id);
        let named = Named { at, group: group.clone(), program: program.clone(), process: process.clone() };
        self.processes.insert(id, named);
    }

    /// Forgets a process. One that is not there is no mistake.
    pub fn remove(&mut self, id: u32) {
        let Some(Named { at, group, program, process }) = self.processes.remove(&id) else { return };
        for (index, name) in
            [(&mut self.by_program, &program), (&mut self.by_group, &group), (&mut self.by_process, &process)]
        {
            if let Some(numbers) = index.get_mut(name) {
                numbers.remove(&at);
                if numbers.is_empty() {
                    index.remove(name);
                }
            }
        }
        let namespec = (group, process);
        if self.by_namespec.get(&namespec) == Some(&id) {
            self.by_namespec.remove(&namespec);
        }
    }

    /// The processes that a target stands for, in the order in which they were added; nothing if there are none.
    ///
    /// A bare name is a program, else a group, else the only process of that name. `group:process` is that process.
    /// A pattern with `*` on one side of a colon stands for all processes whose names match on both; a bare one for all
    /// whose program, group or name matches. The process that depends on a pattern is among them if it matches: whoever asks
    /// leaves it out.
    pub fn resolve(&self, target: &str) -> Vec<u32> {
        match (target.split_once(':'), is_pattern(target)) {
            (None, false) => self.bare(target),
            (Some((group, process)), false) => {
                let namespec = (Arc::from(group), Arc::from(process));
                self.by_namespec.get(&namespec).copied().into_iter().collect()
            }
            (None, true) => {
                let mut found = Numbers::new();
                for index in [&self.by_program, &self.by_group, &self.by_process] {
                    let matching = index.iter().filter(|(name, _)| is_match(target, name));
                    found.extend(matching.flat_map(|(_, numbers)| numbers));
                }
                found.into_values().collect()
            }
            (Some((group, process)), true) => self.of_groups(group, process),
        }
    }

    fn bare(&self, name: &str) -> Vec<u32> {
        let programs = self.by_program.get(name).or_else(|| self.by_group.get(name));
        let only = || self.by_process.get(name).filter(|processes| processes.len() == 1);
        programs.or_else(only).into_iter().flat_map(BTreeMap::values).copied().collect()
    }

    fn of_groups(&self, group: &str, process: &str) -> Vec<u32> {
        let members = |numbers: &Numbers| {
            let named = numbers.iter().filter(|(_, id)| {
                process == "*"
                    || self.processes.get(id).is_some_and(|named| is_match(process, &named.process))
            });
            named.map(|(at, id)| (*at, *id)).collect::<Vec<_>>()
        };
        let found: Numbers = if is_pattern(group) {
            let groups = self.by_group.iter().filter(|(name, _)| is_match(group, name));
            groups.flat_map(|(_, numbers)| members(numbers)).collect()
        } else {
            self.by_group.get(group).into_iter().flat_map(members).collect()
        };
        found.into_values().collect()
    }
}

/// Whether a name is as a pattern says, in which `*` stands for any text.
fn is_match(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        match rest.find(piece) {
            // The first place leaves most to the pieces that follow.
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(processes: &[(&str, &str, &str)]) -> Names {
        let mut names = Names::default();
        for (id, (group, program, process)) in (0_u32..).zip(processes) {
            names.add(&Arc::from(*group), &Arc::from(*program), &Arc::from(*process), id);
        }
        names
    }

    #[test]
    fn what_targets_stand_for() {
        let names = names(&[
            ("db", "db", "db"),
            ("web", "web", "web_00"),
            ("web", "web", "web_01"),
            ("apps", "api", "api"),
            ("apps", "mail", "mail"),
            ("apps", "apps", "main"),
            ("more", "api", "api"),
            ("more", "helper", "web_00"),
        ]);
        for (target, expected) in [
            ("db", &[0][..]),
            ("web", &[1, 2]),
            // A program counts more than the group of its name.
            ("apps", &[5]),
            ("apps:*", &[3, 4, 5]),
            ("more", &[6, 7]),
            ("api", &[3, 6]),
            ("more:api", &[6]),
            ("web_01", &[2]),
            // Two processes have that name.
            ("web_00", &[]),
            ("web:web_00", &[1]),
            ("web:web", &[]),
            ("nope", &[]),
            ("nope:*", &[]),
            ("", &[]),
            ("web:*1", &[2]),
            ("*:api", &[3, 6]),
            ("*e*:web_*", &[1, 2, 7]),
            ("web_0*", &[1, 2, 7]),
            ("m*", &[4, 5, 6, 7]),
            ("*", &[0, 1, 2, 3, 4, 5, 6, 7]),
            ("*:*", &[0, 1, 2, 3, 4, 5, 6, 7]),
            ("db*db", &[]),
        ] {
            assert_eq!(names.resolve(target), expected, "{target:?}");
        }
    }

    #[test]
    fn processes_come_and_go() {
        let mut names = names(&[("a", "a", "a"), ("g", "p", "x"), ("h", "q", "x")]);
        assert!(names.resolve("x").is_empty());
        names.remove(1);
        names.remove(1);
        assert_eq!(names.resolve("x"), [2]);
        for gone in ["p", "g", "g:x", "g:*", "*p"] {
            assert!(names.resolve(gone).is_empty(), "{gone}");
        }
        names.add(&Arc::from("a"), &Arc::from("b"), &Arc::from("b"), 0);
        assert_eq!(names.resolve("a"), [0]);
        assert!(names.resolve("a:a").is_empty());
        names.add(&Arc::from("a"), &Arc::from("b"), &Arc::from("c"), 1);
        // The order is that of the additions, not of the ids.
        assert_eq!(names.resolve("*"), [2, 0, 1]);
        // A process whose place in its group was taken is gone without taking the new one along.
        names.add(&Arc::from("a"), &Arc::from("b"), &Arc::from("c"), 5);
        names.remove(1);
        assert_eq!(names.resolve("a:c"), [5]);
        [0, 2, 5].into_iter().for_each(|id| names.remove(id));
        assert!(names.resolve("*").is_empty());
        assert!(names.by_group.is_empty() && names.by_namespec.is_empty());
    }

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("a*", "a", true),
            ("a*a", "a", false),
            ("a*b*c", "axbxbc", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("*ab", "aab", true),
            ("**", "x", true),
            ("ä*", "äx", true),
            ("a", "ab", false),
        ] {
            assert_eq!(is_match(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn dependencies_are_shown_as_they_are_written() {
        for (target, condition, is_soft, expected) in [
            ("db", Condition::Ready, false, "db"),
            ("db", Condition::Healthy, true, "db:healthy?"),
            ("g:p", Condition::Done, false, "g:p:done"),
        ] {
            let dependency = Dependency { target: target.into(), condition, is_soft };
            assert_eq!(dependency.to_string(), expected);
        }
    }
}
