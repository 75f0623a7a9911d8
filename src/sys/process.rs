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

/// Whether a debugger or the like has attached itself to a process. Allocates nothing.
pub fn is_traced(pid: i32) -> bool {
    const FIELD: &[u8] = b"\nTracerPid:\t";
    let mut path = [0_u8; 32];
    // 6 + 10 + 7 bytes at most.
    if io::Write::write_fmt(&mut &mut path[..], format_args!("/proc/{pid}/status")).is_err() {
        return false;
    }
    let Ok(path) = std::ffi::CStr::from_bytes_until_nul(&path) else { return false };
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::open(path, flags, rustix::fs::Mode::empty()) else { return false };
    let mut text = [0; 2048];
    let n_bytes = rustix::io::read(&file, &mut text).unwrap_or(0);
    let field = text[..n_bytes].windows(FIELD.len()).position(|window| window == FIELD);
    field.and_then(|at| text.get(at + FIELD.len())).is_some_and(|digit| *digit != b'0')
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
