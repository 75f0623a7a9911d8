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

/// What tells this boot of the machine from every other one (random(4)); empty if the kernel does not say.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_string()).unwrap_or_default()
}
