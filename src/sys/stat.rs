//! `/proc/PID/stat`: what the kernel says of a process in numbers (proc(5)).

use std::fs;
use std::str::FromStr;

/// The line of one process, as it was when it was read.
#[derive(Debug)]
pub struct Stat {
    /// The fields behind the name, from the third on.
    fields: String,
}

impl Stat {
    /// `None` if there is no such process.
    pub fn of(pid: i32) -> Option<Stat> {
        Stat::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Of this process.
    pub fn own() -> Option<Stat> {
        Stat::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// The second field is the name in parentheses, which may contain anything, so what counts is the last parenthesis.
    pub(super) fn parse(line: &str) -> Option<Stat> {
        Some(Stat { fields: line.rsplit_once(')')?.1.to_string() })
    }

    /// A field by its number in proc(5), from 3 on; `None` if this kernel has no such field, or says no such thing there.
    pub fn field<T: FromStr>(&self, number: usize) -> Option<T> {
        self.text(number)?.parse().ok()
    }

    fn text(&self, number: usize) -> Option<&str> {
        self.fields.split_ascii_whitespace().nth(number.checked_sub(3)?)
    }

    /// Whether it has ended and was not collected yet.
    pub fn is_zombie(&self) -> bool {
        self.text(3) == Some("Z")
    }

    /// Whether it has not ended.
    pub fn is_alive(&self) -> bool {
        self.text(3).is_some_and(|state| !["Z", "X"].contains(&state))
    }

    /// Whether it is ending, or has been killed and will end.
    pub fn is_on_its_way_out(&self) -> bool {
        /// A flag of a task that ends, from the kernel's `sched.h`.
        const EXITING: u64 = 4;
        const KILLED: u64 = 1 << (libc::SIGKILL - 1);
        // Field 31 holds the signals that are pending for its first task.
        let pending: u64 = self.field(31).unwrap_or(0);
        self.text(3) == Some("X") || self.flags() & EXITING != 0 || pending & KILLED != 0
    }

    /// The pid of its parent.
    pub fn parent(&self) -> Option<i32> {
        self.field(4)
    }

    /// The number of its process group.
    pub fn group(&self) -> Option<i32> {
        self.field(5)
    }

    /// The number of its session.
    pub fn session(&self) -> Option<i32> {
        self.field(6)
    }

    /// The minor page faults of those children that it has collected.
    pub fn faults_of_children(&self) -> Option<u64> {
        self.field(11)
    }

    /// The flags of its first task, from the kernel's `sched.h`; none if the kernel does not say.
    pub fn flags(&self) -> u64 {
        self.field(9).unwrap_or(0)
    }

    /// Its niceness.
    pub fn nice(&self) -> Option<i32> {
        self.field(19)
    }

    /// When it was created, in clock ticks since boot.
    pub fn start_ticks(&self) -> Option<u64> {
        self.field(22)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_any_name() {
        let stat = Stat::parse("7 (a) R 9 (b) S 1 2 3 4 5 64 0\n").unwrap();
        assert!(stat.is_alive() && !stat.is_zombie());
        assert_eq!(
            (stat.parent(), stat.group(), stat.session(), stat.flags()),
            (Some(1), Some(2), Some(3), 64)
        );
        assert_eq!(
            (stat.field::<i32>(10), stat.field::<i32>(11), stat.field::<i32>(2)),
            (Some(0), None, None)
        );
        let gone = Stat::parse("7 (a) Z 1").unwrap();
        assert!(gone.is_zombie() && !gone.is_alive());
        assert!(!Stat::parse("7 (a)").unwrap().is_alive());
        assert!(Stat::parse("").is_none() && Stat::of(i32::MAX).is_none());
    }

    #[test]
    fn this_process_is_alive() {
        let (own, same) = (Stat::own().unwrap(), Stat::of(std::process::id() as i32).unwrap());
        assert!(own.is_alive());
        assert_eq!(own.start_ticks(), same.start_ticks());
        assert_eq!(own.parent(), Some(std::os::unix::process::parent_id() as i32));
    }
}
