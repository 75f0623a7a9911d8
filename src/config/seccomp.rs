//! The text of a file of `seccomp`: the system calls that a program can make.
//!
//! One name in a line; `@service` stands for those that ordinary services need; a `-` in front takes a call away again.
//! `default EPERM`, `default ENOSYS`, `default kill` or `default log` says what becomes of every other call. Behind a
//! `#` stands a comment.

use crate::config::text::repr;
use crate::model::syscalls::{self, Denied, SyscallPolicy};
use std::collections::BTreeSet;

/// The largest such file.
pub const LONGEST_FILE: u64 = 1 << 16;

/// What a file says.
///
/// # Errors
/// The first line that is wrong, with its number and what stands there.
pub fn parse(text: &[u8]) -> Result<SyscallPolicy, String> {
    let text = String::from_utf8_lossy(text);
    let mut policy = SyscallPolicy { allowed: BTreeSet::new(), denied: Denied::Eperm };
    for (number, line) in text.lines().enumerate() {
        let wanted = line.split('#').next().unwrap_or_default().trim();
        take(&mut policy, wanted).map_err(|why| format!("line {}: {why}", number + 1))?;
    }
    match syscalls::number("execve") {
        Some(execve) if !policy.allowed.contains(&execve) && policy.denied != Denied::Log => {
            Err("it does not allow execve, without which no program can be started".into())
        }
        _ => Ok(policy),
    }
}

fn take(policy: &mut SyscallPolicy, line: &str) -> Result<(), String> {
    if let Some(action) = line.strip_prefix("default").filter(|rest| rest.starts_with([' ', '\t'])) {
        policy.denied = match action.trim() {
            "EPERM" => Denied::Eperm,
            "ENOSYS" => Denied::Enosys,
            "kill" => Denied::Kill,
            "log" => Denied::Log,
            other => return Err(format!("{} is none of EPERM, ENOSYS, kill, log", repr(other))),
        };
        return Ok(());
    }
    match line {
        "" => {}
        "@service" => policy.allowed.extend(syscalls::service()),
        line => {
            let (name, is_taken_away) =
                line.strip_prefix('-').map_or((line, false), |name| (name.trim(), true));
            match syscalls::number(name) {
                Some(number) if is_taken_away => drop(policy.allowed.remove(&number)),
                Some(number) => drop(policy.allowed.insert(number)),
                // Other machines have it, so that a file works on all of them.
                None if syscalls::is_known(name) => {}
                None => {
                    return Err(format!(
                        "{} is no system call; expected is one name in a line, @service, or default EPERM, ENOSYS, \
                         kill, log",
                        repr(name)
                    ));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_groups_and_what_becomes_of_the_rest() {
        let policy = parse(b"# ours\n@service\n-socket # no network\n ptrace\ndefault kill\n").unwrap();
        let allows = |name: &str| policy.allowed.contains(&syscalls::number(name).unwrap());
        assert!(allows("execve") && allows("ptrace") && !allows("socket") && !allows("mount"));
        assert_eq!(policy.denied, Denied::Kill);
        let least = parse(b"execve\n").unwrap();
        assert_eq!((least.allowed.len(), least.denied), (1, Denied::Eperm));
        assert!(parse(b"default log\n").is_ok());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let why = |text: &str| parse(text.as_bytes()).unwrap_err();
        assert!(why("execve\n\nopenate\n").starts_with("line 3: 'openate' is no system call; "));
        assert_eq!(why("default deny"), "line 1: 'deny' is none of EPERM, ENOSYS, kill, log");
        assert!(why("").contains("does not allow execve"));
        assert!(why("@service\n-execve").contains("does not allow execve"));
        assert!(why("@all").starts_with("line 1: '@all'"));
    }
}
