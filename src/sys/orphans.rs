//! Finds programs that a supervisor started and that run on without it, by what the kernel keeps of their start.
//!
//! Every program has its name and its group in its environment, and so has everything that it starts. The program
//! itself leads a process group, but not a session: it became the leader of a group when it was created, and a group's
//! leader cannot begin a session. A process that a program sent to the background leads a session, or nothing.

use crate::sys::process;
use crate::sys::stat::Stat;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

/// A program without its supervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// Its pid.
    pub pid: i32,
    /// When the kernel created it, in clock ticks since boot.
    pub start_ticks: u64,
    /// Its real user.
    pub user: u32,
    /// The group it was started for, as its environment says.
    pub group: String,
    /// The process it was started for, as its environment says.
    pub program: String,
    /// How it was told to reach its supervisor; empty if it was not.
    pub server_url: String,
}

/// Every one there is, whoever has started it. Reads all of `/proc`.
pub fn find() -> Vec<Orphan> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| look_at(entry.ok()?.file_name().to_str()?.parse().ok()?)).collect()
}

/// What a variable says in the environment with which each living process was executed. Reads all of `/proc`, as far as it
/// may be read.
pub fn values_of(variable: &str) -> Vec<OsString> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let environments = pids.filter_map(|pid| fs::read(format!("/proc/{pid}/environ")).ok());
    let value = |environment: Vec<u8>| {
        let mut lines = environment.split(|byte| *byte == 0);
        let value =
            lines.find_map(|line| line.strip_prefix(variable.as_bytes())?.strip_prefix(b"=".as_slice()));
        value.map(|value| OsString::from_vec(value.to_vec()))
    };
    environments.filter_map(value).collect()
}

fn look_at(pid: i32) -> Option<Orphan> {
    let stat = Stat::of(pid)?;
    let (parent, group, session) = (stat.parent()?, stat.group()?, stat.session()?);
    if !stat.is_alive() || group != pid || session == pid {
        return None;
    }
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let variables: HashMap<&[u8], &[u8]> = environment
        .split(|byte| *byte == 0)
        .filter_map(|line| Some(line.split_at(line.iter().position(|byte| *byte == b'=')?)))
        .collect();
    let text = |name: &str| {
        let value = variables.get(name.as_bytes())?.get(1..)?;
        Some(String::from_utf8_lossy(value).into_owned())
    };
    let server_url = text("SUPERVISOR_SERVER_URL").unwrap_or_default();
    let orphan = Orphan {
        pid,
        start_ticks: stat.start_ticks()?,
        user: process::user(pid)?,
        group: text("SUPERVISOR_GROUP_NAME")?,
        program: text("SUPERVISOR_PROCESS_NAME")?,
        server_url,
    };
    (!is_looked_after(&orphan, parent) && shares("pid", pid)).then_some(orphan)
}

/// Whether its parent is a supervisor: of another container, if its clients come by the address of ours.
fn is_looked_after(orphan: &Orphan, parent: i32) -> bool {
    let is_supervisor = process::name(parent) == "supervisord";
    is_supervisor && (orphan.server_url.is_empty() || !shares("mnt", parent))
}

/// Whether a process is in this one's namespace of that kind.
fn shares(kind: &str, pid: i32) -> bool {
    let namespace =
        |process: &str| fs::read_link(Path::new("/proc").join(process).join("ns").join(kind)).ok();
    namespace(&pid.to_string()) == namespace("self")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};

    fn sleep(program: &str) -> Command {
        let mut command = Command::new("sleep");
        command.arg("1000").env("SUPERVISOR_PROCESS_NAME", program).env("SUPERVISOR_GROUP_NAME", "g");
        command.env("SUPERVISOR_SERVER_URL", "unix:///nowhere/orphans");
        command
    }

    #[test]
    fn programs_are_found_and_whom_they_sent_away_is_not() {
        let own = format!("orphan-{}", process::own_pid());
        let mut program = sleep(&own).process_group(0).spawn().unwrap();
        let mut member = sleep(&own).spawn().unwrap();
        let mut nobody = Command::new("sleep").arg("1000").env_clear().process_group(0).spawn().unwrap();
        let found = |program: &Child| find().into_iter().find(|orphan| orphan.pid == program.id() as i32);
        let orphan = found(&program).unwrap();
        assert_eq!((orphan.program.as_str(), orphan.group.as_str()), (own.as_str(), "g"));
        assert_eq!(Some(orphan.start_ticks), process::start_ticks(orphan.pid));
        assert_eq!(orphan.server_url, "unix:///nowhere/orphans");
        assert_eq!((found(&member), found(&nobody)), (None, None));
        for child in [&mut program, &mut member, &mut nobody] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!(find().iter().filter(|orphan| orphan.program == own).count(), 0);
    }
}
