//! All that a program has started: whom a signal for its whole tree reaches.
//!
//! A process belongs to a tree if it is the program, descends from one that belongs to it, or was left to the keeper and
//! says whose it is. The keeper adopts what loses its parent ([`crate::sys::process::adopt_orphans`]), so somebody who
//! went to the background by two forks is among its children, and there two things tell whose it is: the mark in its
//! environment, which is another one at each start of a program, and the program's process group.
//!
//! Everything here looks at the moment when it is called. Whoever is found is signalled by descriptor, after its start
//! time was compared: a number that the kernel has given to somebody else meanwhile reaches nobody.

use crate::model::signal::Signal;
use crate::model::time::Monotonic;
use crate::sys::stat::Stat;
use crate::sys::{clock, pidfd, process, signals};
use std::collections::{HashMap, HashSet};
use std::ffi::CString;
use std::fs::{self, File};
use std::io::Read;
use std::time::Duration;

/// The variable that holds the mark of a program's present run.
pub const MARK_VARIABLE: &str = "SUPERVISOR_TREE";

/// Nobody's environment is read further than this; execve(2) takes less than twice as much.
const LONGEST_ENVIRONMENT: u64 = 4 << 20;

/// No tree is followed further. A signal for more processes takes several rounds.
const MOST_MEMBERS: usize = 16_384;

/// How often those who are new are looked for before those who stand still are killed.
const MOST_PASSES: usize = 64;

/// So many looks in a row have to find nobody new.
const QUIET_PASSES: usize = 2;

/// So many looks are for those of whom only their ends are seen, as long as nobody else was found. Mostly these are
/// somebody else's; the caller has more to do.
const DOUBTFUL_PASSES: usize = 4;

/// So many marks stand in one environment: one for each daemon that is a program of another one.
const MOST_MARKS: usize = 16;

/// Puts the mark of a program's run into its environment, before those of trees that it is a part of with the daemon: both
/// are found in what it starts.
pub fn put_mark(environment: &mut Vec<CString>, mark: u64) {
    let mut marks = vec![mark];
    environment.retain(|word| {
        let of_others = marks_in(word.as_bytes());
        marks.extend(of_others.iter().flatten());
        of_others.is_none()
    });
    marks.truncate(MOST_MARKS);
    let marks: Vec<String> = marks.iter().map(|mark| format!("{mark:016x}")).collect();
    environment.extend(CString::new(format!("{MARK_VARIABLE}={}", marks.join(":"))));
}

/// The marks in a word of an environment; `None` if it is another variable.
fn marks_in(word: &[u8]) -> Option<Vec<u64>> {
    let value = word.strip_prefix(MARK_VARIABLE.as_bytes())?.strip_prefix(b"=")?;
    let parse = |mark: &[u8]| u64::from_str_radix(std::str::from_utf8(mark).ok()?, 16).ok();
    let marks = value.split(|byte| *byte == b':').filter_map(parse);
    Some(marks.filter(|mark| *mark != 0).take(MOST_MARKS).collect())
}

/// The marks in a process' environment as that was when it was executed; none if it may not be looked at.
pub fn marks_of(pid: i32) -> Vec<u64> {
    environment_of(pid).map_or_else(Vec::new, |environment| marks_among(&environment))
}

fn marks_among(environment: &[u8]) -> Vec<u64> {
    environment.split(|byte| *byte == 0).filter_map(marks_in).flatten().collect()
}

/// `None`: it has none for now, or is gone, or may not be looked at.
fn environment_of(pid: i32) -> Option<Vec<u8>> {
    let mut environment = Vec::new();
    let file = File::open(format!("/proc/{pid}/environ")).ok()?;
    file.take(LONGEST_ENVIRONMENT).read_to_end(&mut environment).ok()?;
    Some(environment).filter(|environment| !environment.is_empty())
}

/// By what the members of a tree are known.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// The program; `None` if it has ended.
    pub main: Option<Identity>,
    /// The number of the program's process group while that is nobody else's; 0 otherwise.
    pub group: i32,
    /// What stands in its environment; 0 if it has no mark.
    pub mark: u64,
    /// Who adopts its orphans.
    pub keeper: i32,
    /// Its orphans may have been adopted by somebody else: they are looked for among all processes.
    pub is_anywhere: bool,
    /// Members that were found before.
    pub known: Vec<Identity>,
}

/// Processes of which a look has seen too little: they had just ended, were about to, or were executing something. Whoever
/// ends may leave a child, which is adopted, and found by the next look. Who forks and ends for ever is seen in this way
/// only, until a signal is faster.
#[derive(Debug, Default)]
struct Blanks {
    /// Nothing more comes from those, once they were seen like this.
    seen: HashSet<(i32, u64)>,
    /// Some were about to end, and may still have children.
    are_ending: bool,
}

impl Blanks {
    fn add(&mut self, pid: i32, stat: Option<&Stat>) {
        self.seen.insert((pid, stat.and_then(Stat::start_ticks).unwrap_or(0)));
        self.are_ending |= stat.is_some_and(|stat| !stat.is_zombie() && stat.is_on_its_way_out());
    }

    fn are_among(&self, former: &Blanks) -> bool {
        !self.are_ending && self.seen.is_subset(&former.seen)
    }
}

/// Whether a process is a program itself, so that its environment need not be read: most children of the keeper are.
pub type IsProgram<'a> = &'a dyn Fn(i32) -> bool;

/// A process and no later one with its pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Its pid.
    pub pid: i32,
    /// When it was created, in clock ticks since boot.
    pub start_ticks: u64,
}

/// A process that was found in a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who it is.
    pub identity: Identity,
    /// At most 15 bytes.
    pub name: String,
}

impl Identity {
    /// Who has this pid now.
    pub fn of(pid: i32) -> Option<Identity> {
        Some(Identity { pid, start_ticks: Stat::of(pid)?.start_ticks()? })
    }

    /// What the kernel says of it; `None` if it is gone.
    fn stat(self) -> Option<Stat> {
        Stat::of(self.pid).filter(|stat| stat.start_ticks() == Some(self.start_ticks))
    }

    /// Sends it a signal, unless it is gone. Whether it got it.
    pub fn send(self, signal: Signal) -> bool {
        let Identity { pid, start_ticks } = self;
        match pidfd::open(pid, start_ticks) {
            Ok(held) => pidfd::send(held, signal).is_ok(),
            // Linux before 5.3: the pid may become another's in between, in a moment.
            Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
                process::lives(pid, start_ticks) && signals::send(pid, signal).is_ok()
            }
            Err(_) => false,
        }
    }
}

impl Member {
    fn of(identity: Identity) -> Member {
        Member { identity, name: process::name(identity.pid) }
    }
}

/// What has come of the end of a tree.
#[derive(Debug, Default)]
pub struct Ended {
    /// Who got SIGKILL.
    pub killed: Vec<Member>,
    /// Whether it is certain that nobody was left who had not got it. False: look again.
    pub is_over: bool,
}

impl Tree {
    /// Its members that are alive and not on their way to their end, parents before their children; the program is the
    /// first one, if it is alive.
    pub fn members(&self, is_program: IsProgram<'_>) -> Vec<Identity> {
        self.members_among(&Family::look(), is_program, &mut Blanks::default())
    }

    fn members_among(
        &self,
        family: &Family,
        is_program: IsProgram<'_>,
        blanks: &mut Blanks,
    ) -> Vec<Identity> {
        let mut found = Vec::new();
        let mut seen = HashSet::from([0, self.keeper, process::own_pid()]);
        let mut waiting: Vec<Identity> = self.main.into_iter().chain(self.known.iter().copied()).collect();
        waiting.extend(self.orphans(family, is_program, blanks));
        let mut at = 0;
        while let Some(next) = waiting.get(at).copied().filter(|_| found.len() < MOST_MEMBERS) {
            at += 1;
            if !seen.insert(next.pid) {
                continue;
            }
            let Some(stat) = next.stat() else {
                blanks.add(next.pid, None);
                continue;
            };
            if is_staying(next.pid, &stat) {
                found.push(next);
            } else {
                blanks.add(next.pid, Some(&stat));
            }
            // A program whose first thread has ended goes on in others, which may have children.
            let look = |pid: i32| {
                let child = child_of(next.pid, pid);
                if child.is_none() {
                    blanks.add(pid, None);
                }
                child
            };
            let children: Vec<Identity> = family.children(next.pid).into_iter().filter_map(look).collect();
            // They are its own if the number was nobody else's meanwhile.
            if next.stat().is_some() {
                waiting.extend(children);
            }
        }
        found
    }

    /// Those who belong to it and whose parents are gone.
    fn orphans(&self, family: &Family, is_program: IsProgram<'_>, blanks: &mut Blanks) -> Vec<Identity> {
        let adopted = if self.is_anywhere { all_pids() } else { family.children(self.keeper) };
        let mut look = |pid: i32| {
            let Some((start_ticks, stat)) = Stat::of(pid).and_then(|stat| Some((stat.start_ticks()?, stat)))
            else {
                blanks.add(pid, None);
                return None;
            };
            let identity = Identity { pid, start_ticks };
            if self.group > 0 && stat.group() == Some(self.group) {
                return Some(identity);
            }
            let environment = environment_of(pid);
            if environment.is_none() {
                blanks.add(pid, Some(&stat));
            }
            let is_ours = self.mark != 0 && marks_among(&environment?).contains(&self.mark);
            is_ours.then_some(identity)
        };
        let others = adopted.into_iter().filter(|pid| !is_program(*pid));
        let found = others.filter_map(&mut look).collect();
        if self.is_anywhere {
            // Among all processes of the machine some are always about to end.
            *blanks = Blanks::default();
        }
        found
    }

    /// Changes whenever the keeper collects a child that has ended: the kernel adds up their page faults, and nobody runs
    /// without any.
    fn collected(&self) -> Option<u64> {
        Stat::of(self.keeper)?.faults_of_children()
    }

    fn is_main(&self, member: &Identity) -> bool {
        self.main.as_ref() == Some(member)
    }

    /// Sends a signal to every member but the program itself.
    pub fn signal_descendants(&self, members: &[Identity], signal: Signal) {
        for member in members.iter().filter(|member| !self.is_main(member)) {
            member.send(signal);
        }
    }

    /// Kills all members, the program too. They are made to stand still first, until nobody new is found: who stands
    /// still starts nobody. Takes not much longer than `within`; if that is too short, those found so far are killed.
    pub fn end(&self, within: Duration, is_program: IsProgram<'_>) -> Ended {
        let mut halted = HashSet::new();
        let is_over = self.halt(&mut halted, within, is_program);
        Ended { killed: self.kill(&halted), is_over }
    }

    /// Makes members stand still, and adds them to those who do. Whether it is certain that there is nobody else; false if
    /// `within` was too short for that, or if processes ended of which nobody knows whose they were.
    pub fn halt(&self, halted: &mut HashSet<Identity>, within: Duration, is_program: IsProgram<'_>) -> bool {
        let deadline = clock::monotonic() + within;
        if self.group > 0 {
            // All at once, so that nobody is born meanwhile.
            let _ = signals::send_group(self.group, Signal::STOP);
        }
        let (mut n_quiet, mut former_blanks, mut is_doubtful) = (0, Blanks::default(), false);
        for n_passes in 1..=MOST_PASSES {
            let (mut blanks, collected) = (Blanks::default(), self.collected());
            let members = self.members_among(&Family::look(), is_program, &mut blanks);
            let is_full = members.len() >= MOST_MEMBERS;
            // A list of children that gets shorter while it is read may lack some (proc(5)).
            let mut is_quiet = blanks.are_among(&former_blanks) && self.collected() == collected;
            is_doubtful |= !is_quiet;
            former_blanks = blanks;
            for member in members {
                if halted.insert(member) {
                    is_quiet = false;
                    member.send(Signal::STOP);
                }
            }
            n_quiet = if is_quiet { n_quiet + 1 } else { 0 };
            // Who is executing something has no environment for a moment.
            let is_sure = (halted.is_empty() && !is_doubtful) || n_quiet == QUIET_PASSES;
            if is_quiet && is_sure {
                return !is_full;
            }
            let is_in_vain = halted.is_empty() && n_passes >= DOUBTFUL_PASSES;
            if is_in_vain || clock::monotonic() >= deadline {
                break;
            }
        }
        false
    }

    /// Kills those who stand still. Returns who could be.
    pub fn kill(&self, halted: &HashSet<Identity>) -> Vec<Member> {
        let mut killed: Vec<Member> = halted.iter().copied().map(Member::of).collect();
        // The youngest first: where a process group loses its last tie to its session, the kernel lets those of it go on who
        // stand still (setpgid(2), SIGHUP and SIGCONT).
        let age = |member: &Member| (member.identity.start_ticks, member.identity.pid);
        killed.sort_by_key(|member| std::cmp::Reverse(age(member)));
        killed.retain(|member| member.identity.send(Signal::KILL));
        killed.reverse();
        if self.group > 0 {
            let _ = signals::send_group(self.group, Signal::KILL);
        }
        killed
    }

    /// The memory of all members together, in bytes: each page that several of them have counts once, if the kernel tells
    /// their proportional shares (`smaps_rollup`); else each member's pages in RAM count for it.
    pub fn memory(&self, is_program: IsProgram<'_>) -> u64 {
        self.members(is_program).iter().map(|member| memory_of(member.pid)).fold(0, u64::saturating_add)
    }
}

/// Those whom the keeper has adopted, by their marks.
pub fn adopted(keeper: i32, is_program: IsProgram<'_>) -> HashMap<u64, Vec<Identity>> {
    let mut by_mark: HashMap<u64, Vec<Identity>> = HashMap::new();
    for pid in Family::look().children(keeper).into_iter().filter(|pid| !is_program(*pid)) {
        let Some(identity) = Identity::of(pid) else { continue };
        for mark in marks_of(pid) {
            by_mark.entry(mark).or_default().push(identity);
        }
    }
    by_mark
}

/// The proportional share of a process in RAM, or what it has there; 0 if it is gone.
fn memory_of(pid: i32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    proportional(&rollup).or_else(|| process::used(pid).map(|used| used.resident)).unwrap_or(0)
}

/// `Pss:   123 kB`, in bytes.
fn proportional(rollup: &str) -> Option<u64> {
    let value = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kilobytes: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// Whether a process has not ended and nobody has killed it yet.
fn is_staying(pid: i32, stat: &Stat) -> bool {
    if stat.is_zombie() {
        // Only its first thread may have ended.
        return pidfd::is_alive(pid);
    }
    !stat.is_on_its_way_out()
}

fn child_of(parent: i32, pid: i32) -> Option<Identity> {
    let stat = Stat::of(pid).filter(|stat| stat.parent() == Some(parent))?;
    Some(Identity { pid, start_ticks: stat.start_ticks()? })
}

fn all_pids() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// Who is whose child.
enum Family {
    /// The kernel says it of each process (`/proc/PID/task/TID/children`).
    Told,
    /// It does not (`CONFIG_PROC_CHILDREN`): everybody was asked for the parent.
    Asked(HashMap<i32, Vec<i32>>),
}

impl Family {
    fn look() -> Family {
        if fs::exists("/proc/thread-self/children").unwrap_or(false) {
            return Family::Told;
        }
        Family::Asked(Family::ask())
    }

    fn ask() -> HashMap<i32, Vec<i32>> {
        let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
        for pid in all_pids() {
            if let Some(parent) = Stat::of(pid).and_then(|stat| stat.parent()) {
                children.entry(parent).or_default().push(pid);
            }
        }
        children
    }

    fn children(&self, pid: i32) -> Vec<i32> {
        match self {
            Family::Asked(children) => children.get(&pid).cloned().unwrap_or_default(),
            Family::Told => {
                let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
                let lists = threads
                    .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok());
                let pids = |list: String| -> Vec<i32> {
                    list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
                };
                lists.flat_map(pids).collect()
            }
        }
    }
}

/// The members of the process group that a program led which ended at `ended`, as identities.
pub fn left_in_group(leader: i32, ended: Monotonic) -> Vec<Identity> {
    if signals::send_group(leader, Signal::from_raw(0)).is_err() {
        return Vec::new();
    }
    process::left_behind(leader, ended).iter().map(process::Straggler::identity).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::os::unix::process::CommandExt;
    use std::process::{Child, ChildStdout, Command, Stdio};

    const NOBODY: IsProgram<'static> = &|_| false;
    const MARK: u64 = 0xfeed_0000_0000_0001;

    /// A shell that leads a group, with a mark, and the lines that it writes.
    struct Shell {
        child: Child,
        lines: std::io::Lines<BufReader<ChildStdout>>,
        mark: u64,
    }

    impl Shell {
        fn run(script: &str, mark: u64) -> Shell {
            let mut command = Command::new("sh");
            command.args(["-c", script]).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
            let mut child = command.env(MARK_VARIABLE, format!("{mark:016x}")).spawn().unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            Shell { child, lines, mark }
        }

        fn pid(&mut self) -> i32 {
            self.lines.next().unwrap().unwrap().trim().parse().unwrap()
        }

        fn tree(&self, mark: u64) -> Tree {
            let main = Identity::of(self.child.id() as i32);
            Tree { main, group: 0, mark, keeper: process::own_pid(), is_anywhere: true, ..Tree::default() }
        }
    }

    /// A test that fails leaves nobody behind, either.
    impl Drop for Shell {
        fn drop(&mut self) {
            let main = Identity::of(self.child.id() as i32);
            let tree = Tree { main, mark: self.mark, is_anywhere: true, ..Tree::default() };
            tree.end(Duration::from_secs(20), NOBODY);
            let _ = self.child.wait();
        }
    }

    fn pids(members: &[Identity]) -> Vec<i32> {
        members.iter().map(|member| member.pid).collect()
    }

    /// A child, one that left the session by two forks, and a child of that without the mark.
    const FAMILY: &str = "sh -c 'echo $$; exec sleep 1000' &\n\
         (setsid sh -c 'echo $$; env -i sleep 1000 & wait' &)\nwait";

    #[test]
    fn a_program_has_its_own_mark_and_those_of_the_trees_around_it() {
        let words =
            |words: &[&str]| words.iter().map(|word| CString::new(*word).unwrap()).collect::<Vec<_>>();
        for (before, after) in [
            (&["A=1"] as &[&str], &["A=1", "SUPERVISOR_TREE=00000000000000aa"] as &[&str]),
            (&["SUPERVISOR_TREE=bb", "A=1"], &["A=1", "SUPERVISOR_TREE=00000000000000aa:00000000000000bb"]),
            (
                &["SUPERVISOR_TREE=x:0:1", "SUPERVISOR_TREE=cc", "SUPERVISOR_TREES=2"],
                &["SUPERVISOR_TREES=2", "SUPERVISOR_TREE=00000000000000aa:0000000000000001:00000000000000cc"],
            ),
        ] {
            let mut environment = words(before);
            put_mark(&mut environment, 0xaa);
            assert_eq!(environment, words(after));
        }
    }

    #[test]
    fn whoever_a_program_has_started_is_in_its_tree() {
        for family in [Family::Told, Family::Asked(HashMap::new())] {
            let mut shell = Shell::run(FAMILY, MARK);
            let (one, other) = (shell.pid(), shell.pid());
            // They write in any order.
            let leads_session = |pid: i32| Stat::of(pid).is_some_and(|stat| stat.session() == Some(pid));
            let (child, escaped) = if leads_session(one) { (other, one) } else { (one, other) };
            let tree = shell.tree(MARK);
            let look = || match family {
                Family::Told => Family::Told,
                Family::Asked(_) => Family::Asked(Family::ask()),
            };
            // The shell in between ends, and env(1) becomes what it was told to.
            let deadline = std::time::Instant::now() + Duration::from_secs(20);
            loop {
                let (found, family) =
                    (pids(&tree.members_among(&look(), NOBODY, &mut Blanks::default())), look());
                let is_complete = found.first() == Some(&(shell.child.id() as i32))
                    && found.len() == 4
                    && [child, escaped].iter().all(|pid| found.contains(pid))
                    && family.children(escaped).iter().any(|pid| {
                        found.contains(pid) && marks_of(*pid).is_empty() && process::name(*pid) == "sleep"
                    });
                if is_complete {
                    break;
                }
                assert!(std::time::Instant::now() < deadline, "{found:?}");
                std::thread::yield_now();
            }
            // By the mark of another start the one who escaped is somebody else's.
            let found = pids(&shell.tree(MARK + 1).members_among(&look(), NOBODY, &mut Blanks::default()));
            assert!(found.contains(&child) && !found.contains(&escaped), "{found:?}");
            let ended = tree.end(Duration::from_secs(20), NOBODY);
            assert!(ended.is_over && ended.killed.len() == 4, "{ended:?}");
            shell.child.wait().unwrap();
            assert!(tree.members(NOBODY).is_empty());
        }
    }

    #[test]
    fn whoever_has_the_number_by_now_is_not_signalled() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let own = Identity::of(child.id() as i32).unwrap();
        let former = Identity { start_ticks: own.start_ticks - 1, ..own };
        assert!(!former.send(Signal::KILL));
        assert!(child.try_wait().unwrap().is_none());
        let tree = Tree { known: vec![former], keeper: process::own_pid(), ..Tree::default() };
        assert!(tree.members(NOBODY).is_empty());
        assert!(tree.end(Duration::from_secs(20), NOBODY).killed.is_empty());
        assert!(child.try_wait().unwrap().is_none());
        let tree = Tree { known: vec![own], keeper: process::own_pid(), ..Tree::default() };
        assert_eq!(tree.end(Duration::from_secs(20), NOBODY).killed[0].name, "sleep");
        assert!(!child.wait().unwrap().success());
        assert!(!own.send(Signal::KILL));
    }

    #[test]
    fn memory_is_summed_up() {
        let mut shell = Shell::run("echo 1; sleep 1000 & wait", MARK + 7);
        shell.pid();
        let tree = shell.tree(MARK + 7);
        let memory = tree.memory(NOBODY);
        assert!((32 << 10..1 << 30).contains(&memory), "{memory}");
        tree.end(Duration::from_secs(20), NOBODY);
        shell.child.wait().unwrap();
        assert_eq!(tree.memory(NOBODY), 0);
        assert_eq!(proportional("Rss: 5 kB\nPss:   3 kB\nPss_Anon: 1 kB\n"), Some(3072));
        assert_eq!(proportional("Rss: 5 kB\n"), None);
    }
}
