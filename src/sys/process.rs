//! What the kernel knows about processes.

use std::fs;
use std::io;
use std::path::PathBuf;

/// When a process was created, in clock ticks since boot: with its pid, its identity on this boot.
///
/// Field 22 of `/proc/PID/stat` (proc(5)).
pub fn start_ticks(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may contain anything, so count from the last parenthesis: field 3 follows.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// The name of a process, at most 15 bytes; empty if it is gone.
pub fn name(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm"))
        .map(|name| name.trim_end().to_string())
        .unwrap_or_default()
}

/// The members of a process group: pid and name of each. Reads all of `/proc`.
pub fn group_members(leader: i32) -> Vec<(i32, String)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| process_group(*pid) == Some(leader))
        .map(|pid| (pid, name(pid)))
        .collect()
}

/// Field 5 of `/proc/PID/stat`.
fn process_group(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(2)?.parse().ok()
}

/// The executable this process runs, also after the file was replaced.
pub fn own_executable() -> io::Result<PathBuf> {
    fs::read_link("/proc/self/exe")
}

/// Sets the name other programs see for this process; cut at 15 bytes.
pub fn set_own_name(name: &std::ffi::CStr) {
    let _ = rustix::thread::set_name(name);
}

/// Asks for SIGKILL when the parent ends, and tells whether it still is `parent`.
pub fn die_with_parent(parent: i32) -> bool {
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    own_parent() == parent
}

/// The pid of the parent; 0 if it is outside this PID namespace.
pub fn own_parent() -> i32 {
    rustix::process::getppid().map_or(0, rustix::process::Pid::as_raw_pid)
}

/// This process' pid.
pub fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_pid()
}

/// What a process has used of the machine so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// Time on processors, in user and kernel mode.
    pub cpu: std::time::Duration,
    /// Memory that is in RAM, in bytes.
    pub resident: u64,
}

/// What a process has used; `None` if it is gone. Fields 14, 15 and 24 of `/proc/PID/stat` (proc(5)).
pub fn used(pid: i32) -> Option<Used> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may contain anything, so count from the last parenthesis: field 3 follows.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let (user, kernel): (u64, u64) = (fields.nth(11)?.parse().ok()?, fields.next()?.parse().ok()?);
    let pages: u64 = fields.nth(8)?.parse().ok()?;
    let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
    let cpu = std::time::Duration::from_millis((user + kernel).saturating_mul(1000) / ticks_per_second);
    Some(Used { cpu, resident: pages.saturating_mul(rustix::param::page_size() as u64) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_use_is_seen() {
        let used = used(own_pid()).unwrap();
        assert!(used.resident > 100 << 10, "{used:?}");
        assert!(used.resident < 1 << 40, "{used:?}");
        assert_eq!(super::used(i32::MAX), None);
    }
}
