//! Programs for seccomp(2). They are made here; the child of a spawn installs them.

use crate::model::syscalls::{self, Denied, SyscallPolicy};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, sock_filter};
use std::collections::BTreeMap;

/// `BPF_LD | BPF_W | BPF_ABS`, `BPF_JMP | BPF_JGT | BPF_K`, `BPF_RET | BPF_K`: linux/bpf_common.h.
const LOAD_WORD: u16 = 0x20;
const JUMP_IF_GREATER: u16 = 0x25;
const RETURN: u16 = 0x06;

/// A program that lets through what a policy lets through.
///
/// A call that is newer than this program's names fails with ENOSYS whatever the policy says of others: the C library
/// takes that for a kernel that does not know it and falls back, and takes EPERM for an answer.
///
/// # Errors
/// This machine has no names for system calls here, or there are too many rules.
pub fn build(policy: &SyscallPolicy) -> Result<BpfProgram, String> {
    let machine = std::env::consts::ARCH;
    let target = TargetArch::try_from(machine)
        .map_err(|_| format!("the system calls of this kind of processor ({machine}) are not known"))?;
    let denied = match policy.denied {
        Denied::Eperm => SeccompAction::Errno(libc::EPERM as u32),
        Denied::Enosys => SeccompAction::Errno(libc::ENOSYS as u32),
        Denied::Kill => SeccompAction::KillProcess,
        Denied::Log => SeccompAction::Log,
    };
    let rules: BTreeMap<i64, _> = policy.allowed.iter().map(|number| (*number, Vec::new())).collect();
    let filter = SeccompFilter::new(rules, denied, SeccompAction::Allow, target);
    let filter = filter.and_then(BpfProgram::try_from).map_err(|error| error.to_string())?;
    if policy.denied == Denied::Log {
        return Ok(filter);
    }
    // The number stands first in what the kernel shows a filter. Calls of the x32 kind have a higher bit set.
    let highest = u32::try_from(syscalls::highest()).unwrap_or(u32::MAX);
    let instruction = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    let newer = [
        instruction(LOAD_WORD, 0, 0, 0),
        instruction(JUMP_IF_GREATER, 0, 1, highest),
        instruction(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
    ];
    Ok(newer.into_iter().chain(filter).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_fits_into_the_kernel() {
        const MOST: usize = 4096;
        let filter = build(&SyscallPolicy::service()).unwrap();
        assert!(filter.len() > 300 && filter.len() < MOST, "{}", filter.len());
    }
}
