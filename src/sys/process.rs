//! Reads what the kernel knows about processes.

use crate::model::exit::ExitStatus;
use crate::model::time::{Monotonic, Wall};
use crate::model::usage::Used;
use crate::sys::descent::Identity;
use crate::sys::stat::Stat;
use crate::sys::{clock, pidfd};
use std::fs;
use std::io;
use std::path::Path;

/// When a process was created, in clock ticks since boot: with its pid, its identity on this boot.
pub fn start_ticks(pid: i32) -> Option<u64> {
    Stat::of(pid)?.start_ticks()
}

/// Whether a process is a child of `parent` that was created and has not executed anything yet: it still runs what its
/// creator does. False for one that has ended.
pub fn has_not_executed(pid: i32, parent: i32) -> bool {
    /// A flag of a task, from the kernel's `sched.h`: `PF_FORKNOEXEC`.
    const ONLY_FORKED: u64 = 0x40;
    Stat::of(pid).is_some_and(|stat| {
        stat.is_alive() && stat.parent() == Some(parent) && stat.flags() & ONLY_FORKED != 0
    })
}

/// Whether a process was created by `parent` and is not collected yet.
pub fn is_child_of(pid: i32, parent: i32) -> bool {
    parent_of(pid) == Some(parent)
}

fn parent_of(pid: i32) -> Option<i32> {
    Stat::of(pid)?.parent()
}

/// How a process has ended whose parent has not collected it yet; `None` if it is no such process, or another one
/// than that of these start ticks.
pub fn zombie_status(pid: i32, start_ticks: u64) -> Option<ExitStatus> {
    let stat = Stat::of(pid)?;
    // The exit status, which is 0 for whoever may not look closer, too.
    let status: i32 = stat.field(52)?;
    let is_it = stat.is_zombie() && stat.start_ticks() == Some(start_ticks);
    (is_it && may_look_closer(pid)).then(|| ExitStatus::from_wait_status(status))
}

/// Whether the kernel tells this process everything about another one (ptrace(2), `PTRACE_MODE_READ`).
fn may_look_closer(pid: i32) -> bool {
    // A process that has ended has no links any more, but who may not look hears so first.
    let seen = fs::read_link(format!("/proc/{pid}/ns/pid"));
    !matches!(seen, Err(error) if error.kind() == io::ErrorKind::PermissionDenied)
}

/// Whether there is a process with this pid, be it one that has ended and was not collected yet.
pub fn exists(pid: i32) -> bool {
    let Some(pid) = rustix::process::Pid::from_raw(pid.max(0)) else { return false };
    rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH)
}

/// Whether the process that had this pid and was created at this moment, in clock ticks since boot, is alive.
pub fn lives(pid: i32, start_ticks: u64) -> bool {
    Stat::of(pid).is_some_and(|stat| stat.is_alive() && stat.start_ticks() == Some(start_ticks))
}

/// When a process was created by the clock on the wall, as that is set now.
pub fn created_at(start_ticks: u64) -> Wall {
    let age_ticks = clock::boot_ticks(clock::monotonic()).saturating_sub(start_ticks);
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Wall(clock::wall().0.saturating_sub(age_ticks.saturating_mul(1_000_000_000 / per_second)))
}

/// Whether a process executes this file: itself, or as the script that an interpreter was started with.
pub fn executes(pid: i32, file: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &Path| path.metadata().map(|metadata| (metadata.dev(), metadata.ino())).ok();
    let link = format!("/proc/{pid}/exe");
    // Where it was replaced since, its name is followed by a remark.
    let before = fs::read_link(&link).unwrap_or_default();
    let before = before.to_string_lossy();
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    identity(file).is_some_and(|wanted| identity(Path::new(&link)) == Some(wanted))
        || before.strip_suffix(" (deleted)").is_some_and(|before| Path::new(before) == file)
        || words.split(|byte| *byte == 0).any(|word| word == file.as_os_str().as_bytes())
}

/// The name of a process, at most 15 bytes; empty if it is gone.
pub fn name(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm"))
        .map(|name| name.trim_end().to_string())
        .unwrap_or_default()
}

/// Somebody whom the leader of a process group left behind.
#[derive(Debug)]
pub struct Straggler {
    /// Its pid.
    pub pid: i32,
    /// As [`name`] says it.
    pub name: String,
    start_ticks: u64,
}

/// The members of a process group that its leader, which ended at `ended`, left behind and nobody has killed yet. Reads
/// all of `/proc`.
///
/// Nobody, if the number may have been given to another leader since: it was not for as long as somebody is in the
/// group who was there at that end, and no other process has that number.
pub fn left_behind(leader: i32, ended: Monotonic) -> Vec<Straggler> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let ended = clock::boot_ticks(ended);
    let mut knew_leader = false;
    let mut found = Vec::new();
    for pid in entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok()) {
        let Some(stat) = Stat::of(pid) else { continue };
        let Some(start_ticks) = stat.start_ticks() else { continue };
        if pid == leader && start_ticks > ended {
            return Vec::new();
        }
        knew_leader |= start_ticks <= ended && (pid == leader || stat.group() == Some(leader));
        if is_alive_in_group(&stat, leader) {
            found.push(Straggler { pid, name: name(pid), start_ticks });
        }
    }
    if knew_leader { found } else { Vec::new() }
}

impl Straggler {
    /// Who it is.
    pub fn identity(&self) -> Identity {
        Identity { pid: self.pid, start_ticks: self.start_ticks }
    }

    /// Kills it, if it still is who it was.
    pub fn kill(&self, leader: i32) {
        let is_it = || {
            Stat::of(self.pid).is_some_and(|stat| {
                stat.start_ticks() == Some(self.start_ticks) && stat.group() == Some(leader)
            })
        };
        pidfd::kill_if(self.pid, is_it);
    }
}

/// Who a process runs as (its real user); `None` if it is gone.
pub fn user(pid: i32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Whether a process was started by `ancestor`, or by somebody whom that started.
pub fn descends_from(pid: i32, ancestor: i32) -> bool {
    // Parents are older than their children, so this comes to its end.
    std::iter::successors(parent_of(pid), |pid| parent_of(*pid)).any(|pid| pid == ancestor)
}

/// Sets how likely this process is to be killed when memory runs out (proc(5), `oom_score_adj`).
///
/// # Errors
/// The system's.
pub fn set_oom_score_adj(score: &str) -> io::Result<()> {
    fs::write("/proc/self/oom_score_adj", score)
}

/// Whether a process is in this process group, and not on its way to its end.
fn is_alive_in_group(stat: &Stat, leader: i32) -> bool {
    stat.group() == Some(leader) && stat.is_alive() && !stat.is_on_its_way_out()
}

/// Whether this thread is the only one of the process. Where the system does not say, because `/proc` is missing, it is
/// believed: before it goes to the background this program starts no thread.
pub fn has_a_single_thread() -> bool {
    // Each thread is a directory; a directory has two links more than directories in it.
    rustix::fs::stat("/proc/self/task").map_or(true, |stat| stat.st_nlink == 3)
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

/// Makes whoever descends from this process and loses its parent a child of this process, instead of the one with pid 1.
/// Stays so across exec.
pub fn adopt_orphans() {
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

/// Asks for SIGKILL when the parent ends, and tells whether it still is `parent`.
pub fn die_with_parent(parent: i32) -> bool {
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    own_parent() == parent
}

/// Keeps processes of the same user from reading this one through `/proc` and from tracing it, and the kernel from
/// writing its memory to a file: all of that is root's from now on, until this process executes something.
pub fn forbid_looking() {
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// Whether only root may look at this process: because of [`forbid_looking`], or because it changed its user.
pub fn is_closed() -> bool {
    rustix::process::dumpable_behavior().is_ok_and(|it| it != rustix::process::DumpableBehavior::Dumpable)
}

/// The pid of the parent; 0 if it is outside this PID namespace.
pub fn own_parent() -> i32 {
    rustix::process::getppid().map_or(0, rustix::process::Pid::as_raw_pid)
}

/// This machine's name, as `uname -n` prints it.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// This process' pid.
pub fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_pid()
}

/// What a process has used; `None` if it is gone.
pub fn used(pid: i32) -> Option<Used> {
    let stat = Stat::of(pid)?;
    let (user, kernel): (u64, u64) = (stat.field(14)?, stat.field(15)?);
    let pages: u64 = stat.field(24)?;
    let tasks: u32 = stat.field(20)?;
    let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
    let cpu = std::time::Duration::from_millis((user + kernel).saturating_mul(1000) / ticks_per_second);
    Some(Used { cpu, resident: pages.saturating_mul(rustix::param::page_size() as u64), tasks })
}

/// What tells this boot of the machine from every other one (random(4)); empty if the kernel does not say.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process group with a member, as it is after the end of its leader.
    #[test]
    fn whoever_is_left_behind_by_another_leader_of_the_same_number_is_left_alone() {
        use std::os::unix::process::CommandExt;
        let before = clock::monotonic();
        let mut child = std::process::Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
        let leader = child.id() as i32;
        let pids = |ended| left_behind(leader, ended).iter().map(|it| it.pid).collect::<Vec<_>>();
        assert_eq!(pids(clock::monotonic()), [leader]);
        // Whoever led a group of this number long before that is somebody else.
        assert!(pids(Monotonic(before.0.saturating_sub(1_000_000_000))).is_empty());
        for straggler in left_behind(leader, clock::monotonic()) {
            straggler.kill(leader + 1);
            assert!(child.try_wait().unwrap().is_none());
            straggler.kill(leader);
        }
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn descent_and_users() {
        let own = own_pid();
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = child.id() as i32;
        assert!(descends_from(pid, own) && !descends_from(own, pid) && !descends_from(own, own));
        assert_eq!(user(pid), Some(rustix::process::getuid().as_raw()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(user(pid), None);
    }

    #[test]
    fn a_process_that_has_executed_something_is_no_newborn() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        assert!(!has_not_executed(child.id() as i32, own_pid()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!has_not_executed(child.id() as i32, own_pid()));
    }

    #[test]
    fn who_is_on_the_way_to_the_end_is_no_member_any_more() {
        let stat = |state: &str, group: i32, flags: u32, pending: u32| {
            let between = "0 ".repeat(21);
            let line = format!("7 (a) b) {state} 1 {group} 1 0 -1 {flags} {between}{pending} 0 0 0");
            Stat::parse(&line).unwrap()
        };
        assert!(is_alive_in_group(&stat("S", 5, 0x40_0000, 0), 5));
        let dying = [stat("Z", 5, 0, 0), stat("R", 5, 4, 0), stat("R", 5, 0, 256)];
        for other in dying.into_iter().chain([stat("S", 6, 0, 0), Stat::parse("7 (a)").unwrap()]) {
            assert!(!is_alive_in_group(&other, 5), "{other:?}");
        }
        let own = Stat::own().unwrap();
        let group = rustix::process::getpgrp().as_raw_nonzero().get();
        assert!(is_alive_in_group(&own, group));
    }
    use std::process::Command;

    #[test]
    fn our_own_use_is_seen() {
        let used = used(own_pid()).unwrap();
        assert!(used.resident > 100 << 10, "{used:?}");
        assert!(used.resident < 1 << 40, "{used:?}");
        assert_eq!(super::used(i32::MAX), None);
    }

    #[test]
    fn a_zombie_tells_how_it_ended() {
        let mut command = Command::new("sh");
        command.args(["-c", "read line; exit 7"]).stdin(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let pid = child.id() as i32;
        let ticks = start_ticks(pid).unwrap();
        assert_eq!(zombie_status(pid, ticks), None);
        drop(child.stdin.take());
        // Its end, without collecting it.
        let pidfd = crate::sys::pidfd::open(pid, ticks);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while pidfd.as_ref().is_ok_and(|pidfd| !crate::sys::pidfd::has_ended(pidfd))
            && std::time::Instant::now() < deadline
        {
            std::thread::yield_now();
        }
        assert_eq!(zombie_status(pid, ticks + 1), None, "another one");
        assert_eq!(zombie_status(pid, ticks), Some(ExitStatus::Code(7)));
        child.wait().unwrap();
        assert_eq!(zombie_status(pid, ticks), None);
    }
}
