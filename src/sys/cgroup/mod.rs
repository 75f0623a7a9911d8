//! Control groups, cgroup v2: a few files in a file system of the kernel's, in which nobody can make links.
//!
//! [`place`] finds out where they may be made, [`home`] makes them, [`changes`] hears when one becomes empty, and this file
//! works with one that is there. Every function takes the directory of a control group and means it with all below it.

pub mod changes;
pub mod home;
pub mod place;

use crate::model::cgroup::CgroupUsage;
use crate::model::signal::Signal;
use crate::sys::pidfd;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Control groups deeper than this are not looked at.
const DEEPEST: usize = 32;

/// More processes than this are not listed at once.
const MOST_PROCESSES: usize = 1 << 17;

/// So often a kill is repeated where the kernel cannot do it by itself, for processes that are created meanwhile.
const MOST_ROUNDS: usize = 16;

/// The processes in a control group. Empty if there is no such group.
pub fn processes(directory: &Path) -> Vec<i32> {
    let mut found = Vec::new();
    for_each(directory, DEEPEST, &mut |directory| {
        let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
        let room = MOST_PROCESSES.saturating_sub(found.len());
        found.extend(
            text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0).take(room),
        );
    });
    found
}

/// Whether any process is left in a control group. One that has ended and was not collected yet is not counted.
pub fn is_populated(directory: &Path) -> bool {
    let events = fs::read_to_string(directory.join("cgroup.events")).unwrap_or_default();
    value_of(&events, "populated") == Some(1)
}

/// Sends a signal to every process in a control group. Returns how many got it.
///
/// # Errors
/// A process could not be signalled; the others were.
pub fn signal_all(directory: &Path, signal: Signal) -> io::Result<usize> {
    let (mut sent, mut failure) = (0, None);
    for pid in processes(directory) {
        let Ok(held) = pidfd::hold(pid) else { continue };
        // Nobody else can get the pid any more.
        if !contains(directory, pid) {
            continue;
        }
        match pidfd::send(&held, signal) {
            Ok(()) => sent += 1,
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
            Err(error) => failure = Some(error),
        }
    }
    failure.map_or(Ok(sent), Err)
}

/// Kills every process in a control group, those included that are being created.
///
/// # Errors
/// The system's.
pub fn kill_all(directory: &Path) -> io::Result<()> {
    match fs::write(directory.join("cgroup.kill"), "1") {
        // Linux before 5.14.
        Err(error) if error.kind() == io::ErrorKind::NotFound && directory.is_dir() => kill_frozen(directory),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// What is frozen creates no more processes, and a kill reaches it all the same.
fn kill_frozen(directory: &Path) -> io::Result<()> {
    // The kernel may lack it, too (before 5.2); then the rounds have to do.
    let _ = fs::write(directory.join("cgroup.freeze"), "1");
    let mut killed = Ok(());
    for _ in 0..MOST_ROUNDS {
        match signal_all(directory, Signal::KILL) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => killed = Err(error),
        }
    }
    let _ = fs::write(directory.join("cgroup.freeze"), "0");
    killed
}

/// Removes a control group and those below it, as far as they are empty. Whether nothing of it is left.
pub fn remove(directory: &Path) -> bool {
    remove_below(directory, DEEPEST)
}

fn remove_below(directory: &Path, depth: usize) -> bool {
    if let Some(depth) = depth.checked_sub(1) {
        for child in children(directory) {
            remove_below(&child, depth);
        }
    }
    match fs::remove_dir(directory) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// What a control group uses, as far as the kernel tells it.
pub fn usage(directory: &Path) -> CgroupUsage {
    let read = |file: &str| fs::read_to_string(directory.join(file)).ok();
    let number = |file: &str| read(file).and_then(|text| text.trim().parse().ok());
    let listed = || directory.is_dir().then(|| processes(directory).len() as u64);
    CgroupUsage {
        memory_bytes: number("memory.current"),
        cpu_usec: read("cpu.stat").and_then(|text| value_of(&text, "usage_usec")),
        tasks: number("pids.current").or_else(listed),
    }
}

/// How many processes of a control group the kernel has killed for want of memory; 0 where it does not count.
pub fn oom_kills(directory: &Path) -> u64 {
    let text = fs::read_to_string(directory.join("memory.events")).unwrap_or_default();
    value_of(&text, "oom_kill").unwrap_or(0)
}

/// How often a process could not be created because of `pids.max`; 0 where the kernel does not count.
pub fn pids_refused(directory: &Path) -> u64 {
    let text = fs::read_to_string(directory.join("pids.events")).unwrap_or_default();
    value_of(&text, "max").unwrap_or(0)
}

/// The name of the control group that a process is in, below the root that this process sees.
pub fn of_process(pid: i32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_string)
}

/// Whether a process is in a control group. Its name begins elsewhere than the directory does, so the last two parts have
/// to do: they name the daemon and its program.
fn contains(directory: &Path, pid: i32) -> bool {
    let Some(name) = of_process(pid) else { return false };
    let parts: Vec<_> = directory.components().rev().take(2).collect();
    let name: Vec<_> = Path::new(&name).components().collect();
    let is_there = |window: &[_]| window.iter().rev().eq(parts.iter());
    name.windows(parts.len()).any(is_there)
}

/// A line `NAME NUMBER`.
fn value_of(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|number| number.trim().parse().ok())
}

fn children(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let is_directory = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries.flatten().filter(is_directory).map(|entry| entry.path()).collect()
}

fn for_each(directory: &Path, depth: usize, act: &mut impl FnMut(&Path)) {
    act(directory);
    if let Some(depth) = depth.checked_sub(1) {
        for child in children(directory) {
            for_each(&child, depth, act);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};
    use std::time::{Duration, Instant};

    /// A control group of this test's own; `None` where the kernel gives none, which is said.
    fn own(name: &str) -> Option<PathBuf> {
        let found = home::find(std::process::id() as i32);
        let base = match found {
            Ok(base) => base,
            Err(why) => {
                eprintln!("skipped: {name} needs a control group: {why}");
                return None;
            }
        };
        // As deep as those of programs are.
        let above = base.location.directory().join(format!("test-{name}-{}", std::process::id()));
        let directory = above.join(name);
        fs::create_dir_all(&directory).unwrap();
        Some(directory)
    }

    fn sleeper(directory: &Path) -> Child {
        let child = Command::new("sleep").arg("1000").spawn().unwrap();
        fs::write(directory.join("cgroup.procs"), child.id().to_string()).unwrap();
        child
    }

    fn until(what: &str, holds: impl Fn() -> bool) {
        let begin = Instant::now();
        while !holds() {
            assert!(begin.elapsed() < Duration::from_secs(20), "{what}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn all_of_a_group_are_found_signalled_and_killed() {
        let Some(directory) = own("kill") else { return };
        let below = directory.join("a");
        fs::create_dir(&below).unwrap();
        assert!(!is_populated(&directory));
        let mut children = [sleeper(&directory), sleeper(&below), sleeper(&below)];
        let mut expected = children.each_ref().map(|child| child.id() as i32);
        let mut found = processes(&directory);
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected);
        assert!(is_populated(&directory) && !remove(&directory));
        assert_eq!(usage(&directory).tasks, Some(3));
        assert!(usage(&directory).cpu_usec.is_some());
        assert_eq!(signal_all(&directory, Signal::from_raw(libc::SIGCONT)).unwrap(), 3);
        kill_all(&directory).unwrap();
        for child in &mut children {
            use std::os::unix::process::ExitStatusExt;
            assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
        }
        until("it is empty", || !is_populated(&directory));
        let above = directory.parent().unwrap();
        assert!(remove(above) && !above.exists());
        // What is not there is no trouble.
        assert!(remove(&directory) && processes(&directory).is_empty());
        assert_eq!((kill_all(&directory).is_ok(), usage(&directory)), (true, CgroupUsage::default()));
    }

    #[test]
    fn a_kill_without_cgroup_kill_reaches_all_too() {
        let Some(directory) = own("freeze") else { return };
        let mut children = [sleeper(&directory), sleeper(&directory)];
        kill_frozen(&directory).unwrap();
        for child in &mut children {
            assert_eq!(child.wait().unwrap().code(), None);
        }
        until("it is empty", || !is_populated(&directory));
        assert!(remove(directory.parent().unwrap()));
    }

    #[test]
    fn numbers_are_found_by_their_names() {
        let text = "low 0\nhigh 3\noom 4\noom_kill 2\noom_group_kill 9\n";
        assert_eq!(
            (value_of(text, "oom_kill"), value_of(text, "oom"), value_of(text, "max")),
            (Some(2), Some(4), None)
        );
    }
}
