//! Names on the command line: wildcards, and suggestions for names that do not exist.

use crate::ctl::records::Process;
use crate::model::namespec::{self, Namespec};
use glob::Pattern;

/// Whether a word is to be matched against names: it holds `*`, `?` or `[`, beyond the `*` of a plain `group:*`.
pub(crate) fn is_wildcard(word: &str) -> bool {
    let word = word.strip_suffix(":*").unwrap_or(word);
    word.contains(['*', '?', '['])
}

/// A pattern for processes.
///
/// With a colon, the parts before and after it match group and name (`*:worker_0?`). Without one, a process
/// matches by its own name or by its group's (`web*`).
pub(crate) struct Wildcard {
    group: Pattern,
    /// `None`: no colon.
    process: Option<Pattern>,
}

impl Wildcard {
    /// Reads a pattern; `None` if its brackets are not closed.
    pub(crate) fn parse(word: &str) -> Option<Wildcard> {
        let (group, process) = match word.split_once(':') {
            None => (word, None),
            Some((group, "")) => (group, Some("*")),
            Some((group, process)) => (group, Some(process)),
        };
        let process = match process {
            Some(process) => Some(Pattern::new(process).ok()?),
            None => None,
        };
        Some(Wildcard { group: Pattern::new(group).ok()?, process })
    }

    pub(crate) fn matches(&self, group: &str, process: &str) -> bool {
        match &self.process {
            Some(pattern) => self.group.matches(group) && pattern.matches(process),
            None => self.group.matches(group) || self.group.matches(process),
        }
    }
}

/// The processes a wildcard means, in the order given.
pub(crate) fn matching<'p>(word: &str, processes: &'p [Process]) -> Vec<&'p Process> {
    // A name that really holds such a character goes before any pattern.
    if let Some(process) = processes.iter().find(|process| process.namespec() == word) {
        return vec![process];
    }
    let Some(wildcard) = Wildcard::parse(word) else { return Vec::new() };
    processes.iter().filter(|process| wildcard.matches(&process.group, &process.name)).collect()
}

/// The only process that bears a name, see [`namespec::bearer`].
pub(crate) fn bearer(word: &str, processes: &[Process]) -> Option<String> {
    namespec::bearer(word, processes.iter().map(|process| (process.group.as_str(), process.name.as_str())))
}

/// What could have been meant by a name nobody has.
pub(crate) fn suggestion(word: &str, processes: &[Process]) -> Option<String> {
    let wanted = Namespec::parse(word);
    if wanted.process.is_some() && processes.iter().any(|process| process.group == word) {
        return Some(format!("{word}:*"));
    }
    if let Some(process) = processes.iter().find(|process| process.name == word) {
        return Some(process.namespec());
    }
    if wanted.process.is_none() {
        let groups = processes.iter().map(|process| process.group.clone());
        return nearest(&wanted.group, groups).map(|group| format!("{group}:*"));
    }
    let bare: String = word.chars().filter(|c| !"*?[]".contains(*c)).collect();
    nearest(&bare, processes.iter().map(Process::namespec))
}

/// The candidate that differs least from `word`, if it does not differ much.
pub(crate) fn nearest(word: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    let tolerance = (word.chars().count() / 3).clamp(1, 4);
    candidates
        .map(|candidate| (distance(word, &candidate), candidate))
        .filter(|(distance, _)| *distance <= tolerance)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The least number of letters to insert, delete, replace or swap with their neighbour to make `a` of `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (above[j] + 1).min(row[j - 1] + 1).min(above[j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn processes() -> Vec<Process> {
        [("web1", "web1"), ("web2", "web2"), ("worker", "worker_00"), ("worker", "worker_10"), ("x", "web9")]
            .map(|(group, name)| Process { group: group.into(), name: name.into(), ..Process::default() })
            .to_vec()
    }

    #[track_caller]
    fn check(word: &str, expected: &[&str]) {
        let processes = processes();
        let found: Vec<String> = matching(word, &processes).into_iter().map(Process::namespec).collect();
        assert_eq!(found, expected, "{word}");
    }

    #[test]
    fn wildcards_match_names_and_groups() {
        check("web*", &["web1", "web2", "x:web9"]);
        check("web?:*", &["web1", "web2"]);
        check("*:worker_0?", &["worker:worker_00"]);
        check("work*", &["worker:worker_00", "worker:worker_10"]);
        check("web[12]", &["web1", "web2"]);
        check("*", &["web1", "web2", "worker:worker_00", "worker:worker_10", "x:web9"]);
        check("nope*", &[]);
        check("web[", &[]);
    }

    #[test]
    fn a_plain_group_is_no_wildcard() {
        for (word, expected) in [
            ("group:*", false),
            ("group:", false),
            ("name", false),
            ("*", true),
            ("*:*", true),
            ("g*:*", true),
            ("a?", true),
        ] {
            assert_eq!(is_wildcard(word), expected, "{word}");
        }
    }

    #[test]
    fn near_misses_are_suggested() {
        for (word, expected) in [
            ("web3", Some("web1")),
            ("wbe1", Some("web1")),
            ("worker", Some("worker:*")),
            ("worker_00", Some("worker:worker_00")),
            ("wroker:*", Some("worker:*")),
            ("database", None),
        ] {
            assert_eq!(suggestion(word, &processes()).as_deref(), expected, "{word}");
        }
    }
}
