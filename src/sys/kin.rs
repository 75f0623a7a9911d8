//! Whom a process descends from, as far as the kernel still knows.

use crate::sys::stat::Stat;

/// A process and those it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kin {
    /// Its pid.
    pub pid: i32,
    /// Who has started it, or taken it over since.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// Its session.
    pub session: i32,
    /// When it was created, in clock ticks since boot.
    pub start_ticks: u64,
}

/// Nobody has more ancestors than this without intending it.
const MOST_ANCESTORS: usize = 128;

/// How often the walk begins anew because somebody on the way has ended meanwhile.
const MOST_WALKS: usize = 4;

/// A process, its parent, the parent of that, and so on to the first for whom `is_enough` holds, or to the end. `None`
/// if there is no such process any more; one that has ended and was not collected yet is still there.
pub fn ancestry(pid: i32, is_enough: impl Fn(i32) -> bool) -> Option<Vec<Kin>> {
    ancestry_by(pid, of, is_enough)
}

/// Whether a process is in the tree of another one: it is that process, descends from it, or is in the process group or
/// the session that it leads, as what it has put into the background is.
pub fn belongs_to(pid: i32, main_pid: i32) -> bool {
    if pid == main_pid {
        return true;
    }
    let Some(line) = ancestry(pid, |pid| pid == main_pid) else { return false };
    let leads = line.first().is_some_and(|kin| kin.group == main_pid || kin.session == main_pid);
    leads || line.iter().any(|kin| kin.pid == main_pid)
}

fn of(pid: i32) -> Option<Kin> {
    if pid <= 0 {
        return None;
    }
    let stat = Stat::of(pid)?;
    let (parent, group, session) = (stat.parent()?, stat.group()?, stat.session()?);
    Some(Kin { pid, parent, group, session, start_ticks: stat.start_ticks()? })
}

fn ancestry_by(
    pid: i32,
    facts: impl Fn(i32) -> Option<Kin>,
    is_enough: impl Fn(i32) -> bool,
) -> Option<Vec<Kin>> {
    let mut longest = vec![facts(pid)?];
    for _ in 0..MOST_WALKS {
        let Some(first) = facts(pid).filter(|kin| kin.start_ticks == longest[0].start_ticks) else { break };
        let (line, is_whole) = walk(first, &facts, &is_enough);
        longest = line;
        if is_whole {
            break;
        }
    }
    Some(longest)
}

/// The line of ancestors, and whether nobody on the way has ended while it was walked.
fn walk(first: Kin, facts: impl Fn(i32) -> Option<Kin>, is_enough: impl Fn(i32) -> bool) -> (Vec<Kin>, bool) {
    let (mut line, mut last) = (vec![first], first);
    while line.len() < MOST_ANCESTORS && last.parent > 0 && !is_enough(last.pid) {
        match facts(last.parent) {
            // Whoever is younger than its child has taken the number of a parent that is gone.
            Some(parent) if parent.start_ticks <= last.start_ticks => {
                line.push(parent);
                last = parent;
            }
            _ => return (line, false),
        }
    }
    (line, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::io::{BufRead, BufReader};
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    fn kin(pid: i32, parent: i32, start_ticks: u64) -> Option<Kin> {
        Some(Kin { pid, parent, group: pid, session: pid, start_ticks })
    }

    fn pids(line: Option<Vec<Kin>>) -> Option<Vec<i32>> {
        line.map(|line| line.iter().map(|kin| kin.pid).collect())
    }

    #[test]
    fn the_line_ends_with_whom_it_is_for_or_at_the_top() {
        let facts = |pid| match pid {
            1 => kin(1, 0, 0),
            7 => kin(7, 1, 10),
            8 => kin(8, 7, 10),
            9 => kin(9, 8, 30),
            // Says of itself that it is its own parent.
            20 => kin(20, 20, 5),
            _ => None,
        };
        let line = |pid, enough| pids(ancestry_by(pid, facts, |pid| pid == enough));
        assert_eq!(line(9, 7), Some(vec![9, 8, 7]));
        assert_eq!(line(9, 9), Some(vec![9]));
        assert_eq!(line(9, 0), Some(vec![9, 8, 7, 1]));
        assert_eq!(line(5, 7), None);
        assert_eq!(line(20, 7).map(|line| line.len()), Some(MOST_ANCESTORS));
    }

    #[test]
    fn a_parent_that_ends_meanwhile_begins_the_walk_anew() {
        // The parent of 9 ends after 9 was looked at twice, and 1 takes 9 over.
        let n_looks = Cell::new(0);
        let facts = |pid| match pid {
            1 => kin(1, 0, 0),
            9 => {
                n_looks.set(n_looks.get() + 1);
                kin(9, if n_looks.get() <= 2 { 8 } else { 1 }, 30)
            }
            _ => None,
        };
        assert_eq!(pids(ancestry_by(9, facts, |_| false)), Some(vec![9, 1]));
        // Somebody else has its number: younger than its child.
        let facts = |pid| match pid {
            8 => kin(8, 1, 40),
            9 => kin(9, 8, 30),
            _ => None,
        };
        assert_eq!(pids(ancestry_by(9, facts, |_| false)), Some(vec![9]));
    }

    #[test]
    fn children_orphans_and_strangers() {
        // The shell leads a group, and so leaves an orphan in it.
        let script = "(sh -c 'echo $$; exec sleep 1000' &); sh -c 'echo $$; exec sleep 1000'";
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).stdout(Stdio::piped()).process_group(0);
        let mut shell = shell.spawn().unwrap();
        let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines();
        let mut next = || lines.next().unwrap().unwrap().parse::<i32>().unwrap();
        let (one, other) = (next(), next());
        let leader = shell.id() as i32;
        for pid in [leader, one, other] {
            assert!(belongs_to(pid, leader), "{pid} of {leader}");
        }
        let mut stranger = Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
        assert!(!belongs_to(stranger.id() as i32, leader) && !belongs_to(leader, one));
        let own = rustix::process::getpid().as_raw_pid();
        assert!(belongs_to(stranger.id() as i32, own) && !belongs_to(own, leader));
        assert!(!belongs_to(i32::MAX, leader) && !belongs_to(0, leader));
        rustix::process::kill_process_group(
            rustix::process::Pid::from_raw(leader).unwrap(),
            rustix::process::Signal::KILL,
        )
        .unwrap();
        stranger.kill().unwrap();
        // Ended and not collected: it is still known.
        while !Stat::of(stranger.id() as i32).unwrap().is_zombie() {
            std::thread::yield_now();
        }
        assert!(belongs_to(stranger.id() as i32, own));
        stranger.wait().unwrap();
        assert!(!belongs_to(stranger.id() as i32, own));
        shell.wait().unwrap();
    }
}
