//! Programs for seccomp(2). They are made here; the child of a spawn installs them.
//!
//! The kernel runs such a program once for each number that it knows when it is installed, and translates it into machine
//! code, so each start of a program pays for every instruction. That is why it is a tree of comparisons over stretches of
//! numbers that are answered alike, and not a list of all that are let through: a tenth of the instructions, and a few
//! steps to an answer instead of hundreds.

use crate::model::syscalls::{self, Denied, SyscallPolicy};
use libc::sock_filter;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// A program for seccomp(2), which any number of processes can install.
pub type Filter = Arc<[sock_filter]>;
/// One that somebody else keeps.
pub type WeakFilter = Weak<[sock_filter]>;

/// `BPF_LD | BPF_W | BPF_ABS` and so on: linux/bpf_common.h.
const LOAD_WORD: u16 = 0x20;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

/// Where things stand in what the kernel shows a filter: `struct seccomp_data`.
const NUMBER: u32 = 0;
const KIND_OF_MACHINE: u32 = 4;

/// The kind of machine that the names of system calls here are of: `AUDIT_ARCH_…` of linux/audit.h.
const THIS_KIND: Option<u32> = if cfg!(target_arch = "x86_64") {
    Some(0xc000_003e)
} else if cfg!(target_arch = "aarch64") {
    Some(0xc000_00b7)
} else if cfg!(target_arch = "riscv64") {
    Some(0xc000_00f3)
} else {
    None
};

/// A program that lets through what a policy lets through. Whoever calls the kernel as another kind of machine does, which
/// has other numbers, is killed.
///
/// A call that is newer than this program's names fails with ENOSYS whatever the policy says of others: the C library
/// takes that for a kernel that does not know it and falls back, and takes EPERM for an answer.
///
/// # Errors
/// This machine has no names for system calls here.
pub fn build(policy: &SyscallPolicy) -> Result<Filter, String> {
    let this_kind = THIS_KIND.ok_or_else(|| {
        format!("the system calls of this kind of processor ({}) are not known", std::env::consts::ARCH)
    })?;
    let head = [
        instruction(LOAD_WORD, 0, 0, KIND_OF_MACHINE),
        instruction(JUMP_IF_EQUAL, 1, 0, this_kind),
        instruction(RETURN, 0, 0, libc::SECCOMP_RET_KILL_PROCESS),
        instruction(LOAD_WORD, 0, 0, NUMBER),
    ];
    Ok(head.into_iter().chain(tree(&stretches(policy))).collect())
}

/// Each number from which on another answer is given, up to the next one; the first is 0.
fn stretches(policy: &SyscallPolicy) -> Vec<(u32, u32)> {
    let fails_with = |errno: i32| libc::SECCOMP_RET_ERRNO | errno as u32;
    let denied = match policy.denied {
        Denied::Eperm => fails_with(libc::EPERM),
        Denied::Enosys => fails_with(libc::ENOSYS),
        Denied::Kill => libc::SECCOMP_RET_KILL_PROCESS,
        Denied::Log => libc::SECCOMP_RET_LOG,
    };
    let mut answers = BTreeMap::from([(0, denied)]);
    for number in policy.allowed.iter().filter_map(|number| u32::try_from(*number).ok()) {
        answers.insert(number, libc::SECCOMP_RET_ALLOW);
        // The next number, if that is let through, replaces it.
        answers.insert(number.saturating_add(1), denied);
    }
    if policy.denied != Denied::Log {
        // Calls of the x32 kind are among those: they have a higher bit set.
        let highest = u32::try_from(syscalls::highest()).unwrap_or(u32::MAX);
        answers.insert(highest.saturating_add(1), fails_with(libc::ENOSYS));
    }
    let mut stretches: Vec<(u32, u32)> = answers.into_iter().collect();
    stretches.dedup_by_key(|(_, answer)| *answer);
    stretches
}

/// Finds the stretch in which a number lies, by halves. There is at least one.
fn tree(stretches: &[(u32, u32)]) -> Vec<sock_filter> {
    tree_with_shared_ends(stretches).unwrap_or_else(|| tree_with_own_ends(stretches))
}

/// One instruction for each comparison, and behind all of them one for each answer. `None` if something lies too far: a jump
/// that decides goes no further than 255.
fn tree_with_shared_ends(stretches: &[(u32, u32)]) -> Option<Vec<sock_filter>> {
    let mut answers: Vec<u32> = stretches.iter().map(|(_, answer)| *answer).collect();
    answers.sort_unstable();
    answers.dedup();
    let n_comparisons = stretches.len() - 1;
    let end_of = |answer: u32| n_comparisons + answers.iter().position(|known| *known == answer).unwrap_or(0);
    let mut tree = Vec::with_capacity(n_comparisons + answers.len());
    // Where each part begins, in the order of the instructions; a part of one stretch is its end.
    let mut waiting = vec![stretches];
    while let Some(part) = waiting.pop() {
        if part.len() < 2 {
            continue;
        }
        let (below, above) = part.split_at(part.len() / 2);
        let next = tree.len() + 1;
        let start_of = |part: &[(u32, u32)], start: usize| match part {
            [(_, answer)] => end_of(*answer),
            _ => start,
        };
        let if_below = start_of(below, next) - next;
        let if_above = start_of(above, next + below.len() - 1) - next;
        let from = above.first().map_or(0, |(from, _)| *from);
        let (if_above, if_below) = (u8::try_from(if_above).ok()?, u8::try_from(if_below).ok()?);
        tree.push(instruction(JUMP_IF_AT_LEAST, if_above, if_below, from));
        waiting.extend([above, below]);
    }
    tree.extend(answers.into_iter().map(|answer| instruction(RETURN, 0, 0, answer)));
    Some(tree)
}

/// The same with an end of its own for each stretch, so that a jump over half of a tree can be of the kind that goes far.
fn tree_with_own_ends(stretches: &[(u32, u32)]) -> Vec<sock_filter> {
    if let [(_, answer)] = stretches {
        return vec![instruction(RETURN, 0, 0, *answer)];
    }
    let (lower, upper) = stretches.split_at(stretches.len() / 2);
    let from = upper.first().map_or(0, |(from, _)| *from);
    let (below, above) = (tree_with_own_ends(lower), tree_with_own_ends(upper));
    let mut tree = match u8::try_from(below.len()) {
        Ok(over) => vec![instruction(JUMP_IF_AT_LEAST, over, 0, from)],
        Err(_) => {
            let over = u32::try_from(below.len()).unwrap_or(u32::MAX);
            vec![instruction(JUMP_IF_AT_LEAST, 0, 1, from), instruction(JUMP, 0, 0, over)]
        }
    };
    tree.extend(below);
    tree.extend(above);
    tree
}

fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// What the kernel would answer, and in how many steps.
    fn answer(filter: &[sock_filter], kind: u32, number: u32) -> (u32, usize) {
        let (mut at, mut loaded) = (0, 0);
        for n_steps in 1..1000 {
            let sock_filter { code, jt, jf, k } = filter[at];
            at += 1;
            let jump = |is_so: bool| usize::from(if is_so { jt } else { jf });
            match code {
                LOAD_WORD => loaded = if k == NUMBER { number } else { kind },
                JUMP_IF_EQUAL => at += jump(loaded == k),
                JUMP_IF_AT_LEAST => at += jump(loaded >= k),
                JUMP => at += k as usize,
                RETURN => return (k, n_steps),
                other => panic!("{other:#x} is no instruction of ours"),
            }
        }
        panic!("no answer");
    }

    const EPERM: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

    #[test]
    fn each_number_gets_its_answer_within_a_few_steps() {
        const MOST: usize = 4096;
        let highest = u32::try_from(syscalls::highest()).unwrap();
        let policies = [
            syscalls::service().collect(),
            BTreeSet::new(),
            BTreeSet::from([0]),
            // As many stretches as there can be.
            (0..=syscalls::highest()).step_by(2).collect(),
            (0..=syscalls::highest()).collect(),
        ];
        let answers = [
            (Denied::Eperm, EPERM, ENOSYS),
            (Denied::Enosys, ENOSYS, ENOSYS),
            (Denied::Kill, libc::SECCOMP_RET_KILL_PROCESS, ENOSYS),
            (Denied::Log, libc::SECCOMP_RET_LOG, libc::SECCOMP_RET_LOG),
        ];
        for allowed in policies {
            for (denied, of_others, of_newer) in answers {
                let policy = SyscallPolicy { allowed: allowed.clone(), denied };
                let filter = build(&policy).unwrap();
                assert!(filter.len() < MOST, "{}", filter.len());
                let kind = THIS_KIND.unwrap();
                for number in (0..=highest + 2).chain([1 << 30, (1 << 30) + 1, u32::MAX]) {
                    let wanted = match number {
                        number if allowed.contains(&i64::from(number)) => libc::SECCOMP_RET_ALLOW,
                        number if number > highest => of_newer,
                        _ => of_others,
                    };
                    let (told, n_steps) = answer(&filter, kind, number);
                    assert_eq!(told, wanted, "{number} where {denied:?} is said of others");
                    assert!(n_steps < 20, "{n_steps} steps for {number}");
                }
                let elsewhere = answer(&filter, kind ^ 1, 0).0;
                assert_eq!(elsewhere, libc::SECCOMP_RET_KILL_PROCESS, "another kind of machine");
            }
        }
    }

    #[test]
    fn a_service_costs_few_instructions() {
        let filter = build(&SyscallPolicy::service()).unwrap();
        assert!(filter.len() < 100, "{}", filter.len());
    }
}
