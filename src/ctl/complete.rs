//! Completes a half-typed line. Pure, except that it asks its [`Source`] for names.

use crate::ctl::commands::{self, COMMANDS, Completes};
use crate::ctl::records::{Configured, Process};
use crate::model::visible;

/// Where names come from.
pub(crate) trait Source {
    /// The processes there are; none if nobody can be asked.
    fn processes(&mut self) -> Vec<Process>;
    /// The processes of the configuration last read.
    fn configured(&mut self) -> Vec<Configured>;
    /// The names of the programs.
    fn programs(&mut self) -> Vec<String>;
}

/// Signals that people send, the usual ones first.
const SIGNALS: [&str; 14] = [
    "TERM", "HUP", "INT", "QUIT", "KILL", "USR1", "USR2", "STOP", "CONT", "ALRM", "WINCH", "ABRT", "PIPE",
    "CHLD",
];

/// Where the word under the cursor begins, and what it could be. A word ends at a blank: colons, stars and hyphens
/// belong to names. Candidates end with a blank, or with the sign in front of a number.
pub(crate) fn complete(line: &str, source: &mut dyn Source) -> (usize, Vec<String>) {
    let start = line.rfind(char::is_whitespace).map_or(0, |blank| blank + 1);
    let (before, word) = line.split_at(start);
    let mut words = before.split_whitespace();
    let candidates = match words.next() {
        None => COMMANDS.iter().map(|command| command.name.to_string()).collect(),
        Some(first) => match commands::find(if first == "?" { "help" } else { first }) {
            Some(command) => arguments(command.completes, words.count(), word, source),
            None => Vec::new(),
        },
    };
    // They are listed as they are, and whoever would choose a name that steers the terminal has to type it.
    let fits = candidates
        .into_iter()
        .filter(|candidate| candidate.starts_with(word) && !candidate.contains(visible::is_invisible));
    // A number follows.
    let ended = |candidate: String| if candidate.ends_with('=') { candidate } else { candidate + " " };
    (start, fits.map(ended).collect())
}

/// What the word behind `n_before` arguments could be.
fn arguments(completes: Completes, n_before: usize, word: &str, source: &mut dyn Source) -> Vec<String> {
    match completes {
        Completes::Nothing => Vec::new(),
        Completes::Commands => COMMANDS.iter().map(|command| command.name.to_string()).collect(),
        Completes::SignalThenProcesses if n_before == 0 => SIGNALS.map(str::to_string).to_vec(),
        Completes::Processes | Completes::SignalThenProcesses => processes(&source.processes(), word),
        Completes::Groups => groups(source.processes().into_iter().map(|process| process.group)),
        Completes::InactiveGroups => groups(inactive(source)),
        Completes::AnyGroups => {
            let active = source.processes().into_iter().map(|process| process.group);
            groups(active.chain(inactive(source)))
        }
        Completes::Programs => source.programs().into_iter().map(|name| name + "=").collect(),
    }
}

fn inactive(source: &mut dyn Source) -> Vec<String> {
    source.configured().into_iter().filter(|process| !process.inuse).map(|process| process.group).collect()
}

/// Every group once, in their order.
fn groups(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut groups: Vec<String> = Vec::new();
    for name in names {
        if !groups.contains(&name) {
            groups.push(name);
        }
    }
    groups
}

/// Every process in the daemon's order; the first member of a group that is named otherwise brings `group:*` along.
/// Who typed a colon is shown the long form.
fn processes(processes: &[Process], word: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut last_group = None;
    for process in processes {
        let long = format!("{}:{}", process.group, process.name);
        names.push(if word.contains(':') { long } else { process.namespec() });
        if process.group != process.name && last_group != Some(&process.group) {
            names.push(format!("{}:*", process.group));
            last_group = Some(&process.group);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Source for Fixed {
        fn processes(&mut self) -> Vec<Process> {
            [("cat", "cat"), ("multi", "m_0"), ("multi", "m_1")]
                .map(|(group, name)| Process { group: group.into(), name: name.into(), ..Process::default() })
                .to_vec()
        }

        fn configured(&mut self) -> Vec<Configured> {
            [("cat", true), ("fresh", false)]
                .map(|(group, inuse)| Configured { group: group.into(), inuse, ..Configured::default() })
                .to_vec()
        }

        fn programs(&mut self) -> Vec<String> {
            vec!["cat".into(), "m".into()]
        }
    }

    #[track_caller]
    fn check(line: &str, start: usize, expected: &[&str]) {
        let (found_start, found) = complete(line, &mut Fixed);
        let found: Vec<&str> = found.iter().map(|candidate| candidate.trim_end()).collect();
        assert_eq!((found_start, found.as_slice()), (start, expected), "{line:?}");
    }

    #[test]
    fn words_are_completed_by_their_place() {
        check("sta", 0, &["start", "start-group", "status"]);
        check("start ", 6, &["cat", "multi:m_0", "multi:*", "multi:m_1"]);
        check("start c", 6, &["cat"]);
        check("start cat:", 6, &["cat:cat"]);
        check("tail -f ca", 8, &["cat"]);
        check("signal H", 7, &["HUP"]);
        check("signal HUP mu", 11, &["multi:m_0", "multi:*", "multi:m_1"]);
        check("remove ", 7, &["cat", "multi"]);
        check("add ", 4, &["fresh"]);
        check("update f", 7, &["fresh"]);
        check("scale ", 6, &["cat=", "m="]);
        check("scale cat=2 m", 12, &["m="]);
        check("help rel", 5, &["reload"]);
        check("version ", 8, &[]);
        check("nope ", 5, &[]);
    }
}
