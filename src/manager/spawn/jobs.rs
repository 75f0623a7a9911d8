//! Creates programs in threads beside the loop.
//!
//! From the change of user on, a child is in the hands of its user: a signal can stop it, or its directory or file can
//! lie where every lookup takes for ever. The thread that creates it stands still meanwhile, so that is a [thread](hire)
//! of its own. The loop waits for the [`Delivery`] a short while, which nearly always is enough. Then it goes on without
//! it: the process is STARTING without a pid (see `pending`). A creation that takes too long is given up.
//!
//! A child that is given up gets SIGKILL. If it hangs in the kernel, it stays until the kernel lets go of it. It executes
//! nothing any more, so nobody has to wait for its end.

use crate::manager::spawn::context::SpawnContext;
use crate::manager::spawn::credentials::Copies;
use crate::model::config::ProcessConfig;
use crate::model::namespec;
use crate::model::time::Monotonic;
use crate::shm::link::Link;
use crate::sys::descent;
use crate::sys::spawn::{Failure, Program, Progress, Spawner, Stage, Stdio, UserChange};
use crate::sys::syscall_filter::Filter;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

/// So long the creation of a program may take until it is given up. File systems that are mounted when somebody
/// looks at them take seconds.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Enough for looking up a user, which modules of the system's may do (nsswitch.conf(5)).
const STACK_BYTES: usize = 1 << 20;

/// A program that is to be created, with everything that takes.
pub struct Job {
    /// The process that it is for.
    pub slot: u32,
    /// What it is made by.
    pub recipe: Recipe,
    /// The program's end of its standard input.
    pub stdin: OwnedFd,
    /// The program's end of its standard output.
    pub stdout: OwnedFd,
    /// `None`: where standard output goes.
    pub stderr: Option<OwnedFd>,
    /// Listening sockets that it gets from descriptor 3 on.
    pub listeners: Vec<OwnedFd>,
    /// What it writes to when it is ready, and the number under which it finds that.
    pub notification: Option<(OwnedFd, i32)>,
    /// Where it is to find its credentials, if it has any.
    pub copies: Option<Copies>,
    /// The mark by which its descendants are to be known.
    pub tree_mark: Option<u64>,
    /// Where the outcome arrives.
    pub delivery: Arc<Delivery>,
}

impl Job {
    /// Whether somebody can hold it up.
    pub fn may_hang(&self) -> bool {
        matches!(self.recipe, Recipe::Open { .. })
    }
}

/// What a program is made by.
pub enum Recipe {
    /// Nobody can hold up its creation.
    Ready(Box<Program>),
    /// Its file is still to be looked for, which may take a while, too.
    Open {
        /// What is the same for every program.
        context: Arc<SpawnContext>,
        /// The process that it is for.
        config: Arc<ProcessConfig>,
        /// The name of that process' group.
        group: Arc<str>,
    },
}

/// A program that was created.
#[derive(Debug)]
pub struct Created {
    /// The pid that the kernel gave it; it may have ended.
    pub pid: i32,
    /// What went wrong before its first instruction.
    pub failure: Option<String>,
    /// What its system calls are filtered by.
    pub filter: Option<Filter>,
}

/// Why none was created.
#[derive(Debug)]
pub enum Trouble {
    /// There is nothing to execute; as `spawnerr` says it.
    Command(String),
    /// The system refused.
    System(io::Error),
    /// Nobody wants it any more.
    Abandoned,
}

/// What came of a job.
pub type Outcome = Result<Created, Trouble>;

impl Job {
    /// Creates the program. A manager that dies meanwhile leaves a slot that says how far it came.
    ///
    /// # Errors
    /// Why there is no program. One that could not be executed is [`Created`], with its failure.
    pub fn carry_out(self, spawner: &mut Spawner, link: &Link) -> Outcome {
        let (copies, delivery) = (self.copies.clone(), Arc::clone(&self.delivery));
        let outcome = self.create(spawner, link);
        if let Some(copies) = copies
            && (outcome.is_err() || delivery.was_abandoned())
        {
            // Whoever abandoned it may have done so before they were made.
            copies.remove();
        }
        outcome
    }

    fn create(self, spawner: &mut Spawner, link: &Link) -> Outcome {
        let mut name = None;
        let mut program = match self.recipe {
            Recipe::Ready(program) => program,
            Recipe::Open { context, config, group } => {
                let program = context.program(&config, &group, self.copies.as_ref().map(Copies::path), None);
                let mut program = program.map_err(|error| Trouble::Command(error.to_string()))?;
                // One that cannot become its user says so itself.
                if let Some(copies) = &self.copies
                    && !matches!(program.user, UserChange::Impossible { .. })
                {
                    copies.make(&config).map_err(Trouble::Command)?;
                }
                // The copies are among what it can read.
                let copies = self.copies.as_ref().map(Copies::path);
                program.confine = context.confine(&config, copies, None).map_err(Trouble::Command)?;
                name = Some(namespec::display(&group, &config.name));
                program.cgroup = context.cgroup(&config, &group).map_err(Trouble::Command)?;
                Box::new(program)
            }
        };
        if let Some(mark) = self.tree_mark {
            descent::put_mark(&mut program.environment, mark);
        }
        let listeners: Vec<BorrowedFd<'_>> = self.listeners.iter().map(AsFd::as_fd).collect();
        let stdio = Stdio {
            stdin: self.stdin.as_fd(),
            stdout: self.stdout.as_fd(),
            stderr: self.stderr.as_ref().unwrap_or(&self.stdout).as_fd(),
            listeners: &listeners,
            other: self.notification.as_ref().map(|(fd, number)| (fd.as_fd(), *number)),
        };
        let pid = self.delivery.begin(|| link.announce_spawn(self.slot)).ok_or(Trouble::Abandoned)?;
        let (pid, failure) =
            spawner.spawn(&program, stdio, pid, &self.delivery.progress).map_err(Trouble::System)?;
        if let Some(copies) = &self.copies {
            copies.belong_to(pid);
        }
        if failure.is_none()
            && let Some(name) = name
        {
            report_lacks(&name, &program, &self.delivery.progress);
        }
        let describe = |failure: Failure| failure.describe(&program);
        let filter = program.confine.as_ref().and_then(|confine| confine.filter().cloned());
        Ok(Created { pid, failure: failure.map(describe), filter })
    }
}

/// Logs what a program was wished to be confined by and is not.
fn report_lacks(name: &str, program: &Program, progress: &Progress) {
    for without in program.confine.iter().flat_map(|confine| &confine.without) {
        ::log::warn!("'{name}' runs without {without}");
    }
    for key in progress.refused(program) {
        ::log::warn!("'{name}' runs without {key}, which the kernel refuses");
    }
}

/// Where the outcome of a job arrives.
#[derive(Debug)]
pub struct Delivery {
    state: Mutex<State>,
    came: Condvar,
    progress: Progress,
    /// Wakes the loop, once it does not wait here any more.
    bell: async_channel::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    outcome: Option<Outcome>,
    /// A thread works at it.
    was_taken_up: bool,
    /// The child may exist from here on.
    has_begun: bool,
    is_over: bool,
    /// Nobody waits; the bell is to be rung.
    was_left: bool,
    was_abandoned: bool,
}

impl Delivery {
    /// For a job that has not begun. `bell` is rung for an outcome that nobody waits for any more.
    pub fn new(bell: async_channel::Sender<()>) -> Arc<Delivery> {
        let (state, came) = (Mutex::default(), Condvar::new());
        Arc::new(Delivery { state, came, progress: Progress::default(), bell })
    }

    /// Waits for the outcome; `None` if it takes longer. Then the bell rings when it has come.
    pub fn wait(&self, patience: Duration) -> Option<Outcome> {
        let is_awaited = |state: &mut State| state.outcome.is_none() && !state.is_over;
        let waited = self.came.wait_timeout_while(self.lock(), patience, is_awaited);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.was_left = state.outcome.is_none();
        state.outcome.take()
    }

    /// The outcome, if it has come.
    pub fn take(&self) -> Option<Outcome> {
        self.lock().outcome.take()
    }

    /// Sees to it that the program never runs, if it has not been executed yet; whether there may be a child to be
    /// killed.
    pub fn abandon(&self) -> bool {
        let mut state = self.lock();
        state.was_abandoned = true;
        self.progress.forbid();
        state.has_begun
    }

    fn was_abandoned(&self) -> bool {
        self.lock().was_abandoned
    }

    fn has_begun(&self) -> bool {
        self.lock().has_begun
    }

    /// Whether a thread works at it; before that nothing can hold it up but others.
    pub fn was_taken_up(&self) -> bool {
        self.lock().was_taken_up
    }

    fn take_up(&self) {
        self.lock().was_taken_up = true;
    }

    /// Whether nothing comes any more: the child has ended, or has been executed, or there is none.
    pub fn is_over(&self) -> bool {
        self.lock().is_over
    }

    /// What the child is doing; `None` before there is one.
    pub fn stage(&self) -> Option<Stage> {
        self.progress.stage()
    }

    /// `announce` is called if somebody still wants the program, and then before anybody can abandon it.
    fn begin<T>(&self, announce: impl FnOnce() -> T) -> Option<T> {
        let mut state = self.lock();
        if state.was_abandoned {
            return None;
        }
        state.has_begun = true;
        Some(announce())
    }

    fn deliver(&self, outcome: Outcome) {
        let mut state = self.lock();
        state.outcome = Some(outcome);
        state.is_over = true;
        let was_left = state.was_left;
        drop(state);
        self.came.notify_one();
        if was_left {
            // One ring is enough for any number of them.
            let _ = self.bell.try_send(());
        }
    }

    /// The state is whole whenever the lock can be had.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a thread that creates programs, one after the other, for as long as there may be more in the queue. Then it
/// gives the spawner back.
///
/// # Errors
/// There can be no more threads.
pub fn hire(
    queue: async_channel::Receiver<Job>,
    mut spawner: Spawner,
    home: mpsc::Sender<Spawner>,
    link: Arc<Link>,
) -> io::Result<()> {
    let work = move || {
        while let Ok(job) = queue.recv_blocking() {
            let delivery = Arc::clone(&job.delivery);
            delivery.take_up();
            delivery.deliver(job.carry_out(&mut spawner, &link));
        }
        // Nobody wants it at the end of the manager.
        let _ = home.send(spawner);
    };
    thread::Builder::new().name("spawner".into()).stack_size(STACK_BYTES).spawn(work).map(drop)
}

/// A program whose creation the loop does not wait for.
#[derive(Debug)]
pub struct PendingSpawn {
    /// `None` if a former manager was about to create it: then nobody tells when it is executed.
    pub delivery: Option<Arc<Delivery>>,
    /// Since when it has been waited for.
    pub since: Monotonic,
    /// When to look whether it was executed, where nobody tells.
    pub look_at: Option<Monotonic>,
}

impl PendingSpawn {
    /// When it needs attention even though nothing happens.
    pub fn deadline(&self) -> Monotonic {
        let give_up_at = self.since + PATIENCE;
        self.look_at.map_or(give_up_at, |look_at| look_at.min(give_up_at))
    }

    /// Whether there may be a child, so that the pid in the slot is its.
    pub fn may_exist(&self) -> bool {
        self.delivery.as_ref().is_none_or(|delivery| delivery.has_begun())
    }

    /// What holds it up: `changing to its directory /x`.
    pub fn waits_for(&self, config: &ProcessConfig) -> String {
        let user = || config.user.as_ref().map_or("the daemon", |user| &user.written);
        match self.delivery.as_ref().map(|delivery| delivery.stage()) {
            Some(None) => "looking for its command".to_string(),
            Some(Some(Stage::Cgroup)) => "entering its control group".to_string(),
            Some(Some(Stage::Directory)) => {
                let directory = config.directory.as_deref().unwrap_or(std::path::Path::new("")).display();
                format!("changing to its directory {directory} as {}", user())
            }
            Some(Some(Stage::Exec)) | None => format!("executing {} as {}", config.command, user()),
            Some(Some(Stage::Confinement)) => "confining it".to_string(),
            Some(Some(_)) => format!("becoming {}", user()),
        }
    }
}

/// A child that is not to be executed any more and may not have ended yet.
#[derive(Debug)]
pub struct AbandonedSpawn {
    /// The process for which it was created.
    pub slot: u32,
    /// 0 if it had none when it was given up.
    pub pid: i32,
    /// Where its outcome arrives; `None` if a former manager created it.
    pub delivery: Option<Arc<Delivery>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery() -> (Arc<Delivery>, async_channel::Receiver<()>) {
        let (bell, rings) = async_channel::bounded(1);
        (Delivery::new(bell), rings)
    }

    #[test]
    fn the_bell_rings_for_what_nobody_waits_for_any_more() {
        let created = || Ok(Created { pid: 5, failure: None, filter: None });
        let (prompt, rings) = delivery();
        prompt.deliver(created());
        assert!(matches!(prompt.wait(Duration::ZERO), Some(Ok(Created { pid: 5, .. }))));
        assert!(rings.try_recv().is_err());

        let (late, rings) = delivery();
        assert!(late.wait(Duration::ZERO).is_none() && !late.is_over());
        late.deliver(created());
        assert!(rings.try_recv().is_ok() && late.is_over());
        assert!(matches!(late.take(), Some(Ok(_))) && late.take().is_none());
    }

    #[test]
    fn what_was_abandoned_does_not_begin() {
        let (early, _ears) = delivery();
        assert!(!early.abandon());
        assert_eq!(early.begin(|| panic!("announced")), None::<()>);
        let (begun, _ears) = delivery();
        assert_eq!(begun.begin(|| 7), Some(7));
        assert!(begun.abandon());
    }
}
