//! What /proc says about processes, and how a test gets rid of them.

use super::wait::until;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// A process below another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descendant {
    pub pid: i32,
    pub parent: i32,
    pub cmdline: String,
}

/// Every process below `pid`, nearest first.
pub fn descendants(pid: i32) -> Vec<Descendant> {
    let mut found = Vec::new();
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        for pid in children(parent) {
            found.push(Descendant { pid, parent, cmdline: cmdline(pid) });
            parents.insert(0, pid);
        }
    }
    found
}

fn children(pid: i32) -> Vec<i32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|line| line.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<i32>>())
        .collect()
}

/// The command line with blanks between its words; empty for a process that has ended.
pub fn cmdline(pid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim_end_matches('\0').replace('\0', " ")
}

/// Whether the process exists and has not ended: a zombie has.
pub fn running(pid: i32) -> bool {
    !matches!(stat(pid, 0).as_deref(), None | Some("Z" | "X"))
}

/// How many threads it has; 0 if it has ended.
pub fn n_threads(pid: i32) -> usize {
    stat(pid, 17).and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// The pid of the parent.
pub fn parent(pid: i32) -> Option<i32> {
    stat(pid, 1)?.parse().ok()
}

/// A field of /proc/PID/stat, counted from the one after the name, which may itself hold blanks and brackets.
fn stat(pid: i32, index: usize) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    fields.split_whitespace().nth(index).map(str::to_string)
}

/// The memory of a process in KiB, with what it shares divided among the sharers.
pub fn proportional_kib(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// How often the threads of a process went to sleep by themselves so far; each time something had woken them.
pub fn sleeps(pid: i32) -> u64 {
    sleeps_of_threads(pid).into_values().sum()
}

/// The same for each thread by its number.
pub fn sleeps_of_threads(pid: i32) -> HashMap<i32, u64> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return HashMap::new() };
    let count = |task: fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let line =
            status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:").map(str::trim));
        let number = task.file_name().to_str().and_then(|name| name.parse().ok())?;
        Some((number, line.and_then(|number| number.parse().ok()).unwrap_or(0)))
    };
    tasks.flatten().filter_map(count).collect()
}

/// Whether the test runs as root; if not, prints that it is skipped because of `why`.
pub fn has_root(why: &str) -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        println!("skipped: {why}");
    }
    is_root
}

/// Sends a signal; a process that is gone already is fine.
pub fn kill(pid: i32, signal: Signal) {
    assert!(pid > 1, "a test must not signal pid {pid}");
    let _ = nix::sys::signal::kill(Pid::from_raw(pid), signal);
}

/// Processes recognised by a variable that only one test put into its daemon's environment: they are found even
/// if their parent is gone.
pub struct Leftovers {
    variable: Vec<u8>,
}

impl Leftovers {
    pub fn with(name: &str, value: &str) -> Leftovers {
        Leftovers { variable: format!("{name}={value}").into_bytes() }
    }

    /// The pids of those that are still running.
    pub fn find(&self) -> Vec<i32> {
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|&pid| self.owns(pid) && running(pid)).collect()
    }

    fn owns(&self, pid: i32) -> bool {
        let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { return false };
        environment.split(|&byte| byte == 0).any(|variable| variable == self.variable)
    }
}

/// Waits until none of `pids` is running any more.
///
/// # Panics
/// If one still is after `patience`.
#[track_caller]
pub fn wait_gone(pids: &[i32], patience: Duration) {
    until(&format!("none of {pids:?} is running"), patience, || !pids.iter().any(|&pid| running(pid)));
}
