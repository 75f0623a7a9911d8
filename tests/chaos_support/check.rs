//! Compares what programs have written down about themselves with what the daemon has written down about them.
//! Knows nothing of how the daemon works.

use crate::program::{COUNT_BYTES, Kind};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use supervisord::log::activity::CUT_OFF;

/// What was found to be in order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub n_lives: usize,
    pub n_lines: usize,
    /// Statuses that the program had announced and the daemon has named.
    pub n_statuses: usize,
}

/// A life as the program has it.
#[derive(Debug)]
struct Life {
    pid: u32,
    /// The exit status or the signal, if it ended by itself.
    end: Option<String>,
}

/// A life as the activity log has it.
#[derive(Debug, Default)]
struct Told {
    pid: u32,
    /// `exit status 3` or `terminated by SIGTERM`, and whether it was stopped.
    end: Option<(String, bool)>,
}

/// Checks one program.
///
/// # Panics
/// If anything is lost, doubled, torn, wrong or without a cause.
pub fn program(directory: &Path, name: &str, kind: Kind, told: &[String]) -> Totals {
    let lives = lives(directory, name);
    let told = told_lives(name, told);
    let n_statuses = compare_lives(name, kind, &lives, &told);
    let n_lines = check_log(directory, name, &lives);
    Totals { n_lives: lives.len(), n_lines, n_statuses }
}

fn lives(directory: &Path, name: &str) -> Vec<Life> {
    let text = fs::read_to_string(directory.join(format!("{name}.lives"))).unwrap_or_default();
    let mut lives: Vec<Life> = Vec::new();
    for line in text.lines() {
        match line.split_once(' ').expect("two words") {
            ("begin", pid) => lives.push(Life { pid: pid.parse().expect("a pid"), end: None }),
            ("end", how) => {
                let end = how
                    .parse::<u8>()
                    .map_or(format!("terminated by {how}"), |code| format!("exit status {code}"));
                let life = lives.last_mut().expect("a life begins before it ends");
                assert!(life.end.is_none(), "{name} ended twice");
                life.end = Some(end);
            }
            _ => panic!("two of {name} lived at the same time: {line}"),
        }
    }
    lives
}

/// The stories of all programs in an activity log: what is said again by another manager counts once.
pub fn stories(log: &str) -> HashMap<String, Vec<String>> {
    let mut stories: HashMap<String, Vec<String>> = HashMap::new();
    for line in log.lines() {
        let Some(text) = line.splitn(4, ' ').nth(3) else { continue };
        if text.ends_with(CUT_OFF) {
            // The next manager says it as a whole.
            continue;
        }
        let name = match text.split_once(": ") {
            Some(("spawned", rest)) => rest.split('\'').nth(1),
            Some(("exited" | "stopped", rest)) => rest.split(' ').next(),
            _ => None,
        };
        let Some(name) = name else { continue };
        let story = stories.entry(name.to_string()).or_default();
        if story.last().is_none_or(|last| last != text) {
            story.push(text.to_string());
        }
    }
    stories
}

fn told_lives(name: &str, story: &[String]) -> Vec<Told> {
    let mut told: Vec<Told> = Vec::new();
    for (number, text) in story.iter().enumerate() {
        let context = &story[number.saturating_sub(4)..=number];
        if let Some(pid) = text.strip_prefix(&format!("spawned: '{name}' with pid ")) {
            assert!(
                told.last().is_none_or(|last| last.end.is_some()),
                "{name} was spawned twice: {context:?}"
            );
            told.push(Told { pid: pid.parse().expect("a pid"), end: None });
            continue;
        }
        let (verb, rest) = text.split_once(&format!(": {name} (")).expect("a story is about one program");
        let how = rest.trim_end_matches(')').split(';').next().unwrap_or_default();
        let last = told.last_mut().unwrap_or_else(|| panic!("{name} ended before it began: {context:?}"));
        assert!(last.end.is_none(), "{name} ended twice: {context:?}");
        last.end = Some((how.to_string(), verb == "stopped"));
    }
    told
}

/// Every life is told, in order and with the right end; the number of ends that could be compared.
fn compare_lives(name: &str, kind: Kind, lives: &[Life], told: &[Told]) -> usize {
    let mut told = told.iter();
    let mut n_statuses = 0;
    for (number, life) in lives.iter().enumerate() {
        let found = loop {
            let next =
                told.next().unwrap_or_else(|| panic!("life {number} of {name}, {life:?}, is not told"));
            if next.pid == life.pid {
                break next;
            }
            // Who is stopped before the first instruction leaves no record.
            assert!(
                matches!(&next.end, Some((how, true)) if how == "terminated by SIGTERM"),
                "{name}: {next:?} was told, {life:?} is what there was"
            );
        };
        let Some((how, stopped)) = &found.end else { panic!("the end of {name}'s {life:?} is not told") };
        match &life.end {
            Some(end) => {
                assert_eq!(how, end, "{name}: {found:?} was told of {life:?}");
                n_statuses += 1;
            }
            None => {
                let was_stopped = *stopped && how == "terminated by SIGTERM";
                assert!(was_stopped, "{name} ended without a cause: {life:?}, {found:?}");
                n_statuses += 1;
            }
        }
        assert!(kind == Kind::Restless || *stopped, "{name} does not end by itself: {found:?}");
    }
    n_statuses
}

/// In front of the lines of some programs.
pub const DRESS: &str = "dressed";

/// Every line of every life is in the log once and in order; how many there are.
fn check_log(directory: &Path, name: &str, lives: &[Life]) -> usize {
    let log: String = parts(directory, &format!("{name}.log")).into_iter().map(read).collect();
    assert!(log.is_empty() || log.ends_with('\n'), "the log of {name} ends in the middle of a line");
    let counts = fs::read(directory.join(format!("{name}.counts"))).unwrap_or_default();
    let is_dressed = log.starts_with(DRESS);
    let undressed = |line| {
        let prefix = if is_dressed { format!("{DRESS} ") } else { String::new() };
        str::strip_prefix(line, &prefix).unwrap_or_else(|| panic!("the log of {name} has {line:?}"))
    };
    let mut lines = log.lines().map(undressed).peekable();
    let mut n_lines = 0;
    for (number, life) in lives.iter().enumerate() {
        let count = counts.get(number * COUNT_BYTES..(number + 1) * COUNT_BYTES).unwrap_or_default();
        // A life that ended before its first line has no record, or zeros if a later one has.
        let count: u64 = std::str::from_utf8(count)
            .ok()
            .and_then(|text| text.trim_matches(|c: char| c.is_whitespace() || c == '\0').parse().ok())
            .unwrap_or(0);
        let mut found = 0;
        while let Some(line) = lines.next_if(|line| line.starts_with(&format!("{number} "))) {
            found += 1;
            let padding = &"abcdefghijklmnopqrstuvwxyz"[..(found % 26) as usize];
            assert_eq!(line, format!("{number} {found} {padding}"), "the log of {name} is not what it wrote");
        }
        // Who is stopped between writing a line and counting it has written one more.
        let is_right = found == count || (life.end.is_none() && found == count + 1);
        assert!(is_right, "life {number} of {name} wrote {count} lines, its log has {found}; {life:?}");
        n_lines += found as usize;
    }
    assert_eq!(lines.next(), None, "the log of {name} has more than {name} wrote");
    n_lines
}

fn read(path: PathBuf) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The parts of a log, the oldest first.
fn parts(directory: &Path, name: &str) -> Vec<PathBuf> {
    let number = |file: &str| match file.strip_prefix(name)? {
        "" => Some(0),
        rest => rest.strip_prefix('.')?.parse::<u32>().ok(),
    };
    let entries = fs::read_dir(directory).expect("it is there").flatten();
    let mut found: Vec<(u32, PathBuf)> =
        entries.filter_map(|entry| Some((number(entry.file_name().to_str()?)?, entry.path()))).collect();
    found.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    found.into_iter().map(|(_, path)| path).collect()
}
