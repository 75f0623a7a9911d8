//! Makes control groups for programs.
//!
//! Below the control group in which the daemon was started:
//!
//! ```text
//! supervisord.77/            77 is the keeper's pid; no process is in here
//!   daemon.self/             the daemon, and programs without such keys
//!   web/                     the limits of the process web
//!     1/                     its processes since its last start
//! ```
//!
//! The kernel gives controllers only to children of a control group without processes, so the daemon moves into
//! `daemon.self` before it passes them on. In the root of the hierarchy that is not needed, and nothing is moved.
//!
//! What a program leaves behind stays in its numbered group, under the same limits. Its next start is in the next one,
//! where the kernel's counters begin at zero.

use super::place::{self, Base, Facts, HOME_PREFIX, Location, OWN_LEAF};
use crate::model::cgroup::{CgroupLimits, Controller};
use crate::sys::{kin, process, user};
use rustix::fs::Access;
use std::fs;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

/// So often processes that were created meanwhile are moved, too.
const MOST_ROUNDS: usize = 32;

/// So many former starts of a process may have left something behind.
const MOST_LEFT: u32 = 64;

/// So many processes are named in a message.
const MOST_NAMED: usize = 3;

/// Where the control groups of a daemon are.
#[derive(Clone, Debug)]
pub struct Home {
    directory: PathBuf,
    location: Location,
    /// What programs can be given.
    controllers: Vec<Controller>,
    /// Why they cannot be given the rest, if something else than its absence is the reason.
    refused: Vec<(Controller, String)>,
    /// What the daemon is to say about it once.
    pub notes: Vec<String>,
}

/// A control group that is ready for a program.
#[derive(Debug)]
pub struct Ready {
    /// `cgroup.procs`: whoever writes 0 to it is in the group.
    pub procs: fs::File,
    /// The keys that could not be applied, and why.
    pub problems: Vec<String>,
}

/// Finds out where control groups may be made by a daemon with this keeper.
///
/// # Errors
/// Nowhere, and why.
pub fn find(keeper: i32) -> Result<Base, String> {
    let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"));
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let location = place::locate(&own, &read("/proc/self/mountinfo")?, keeper)?;
    let directory = location.directory();
    let text = |file: &str| fs::read_to_string(directory.join(file)).ok();
    let may = |path: &Path, access: Access| rustix::fs::access(path, access).is_ok();
    let is_writable = may(&directory, Access::WRITE_OK | Access::EXEC_OK)
        && ["cgroup.procs", "cgroup.subtree_control"]
            .iter()
            .all(|file| may(&directory.join(file), Access::WRITE_OK));
    let facts = Facts {
        kind: text("cgroup.type"),
        controllers: text("cgroup.controllers").unwrap_or_default(),
        is_writable,
        is_root: user::is_root(),
        is_delegated: location.unit().is_some_and(|unit| is_marked(&location.mount, unit)),
    };
    place::judge(location, &facts)
}

/// Whether systemd has marked a unit's control group as delegated (systemd.resource-control(5), `Delegate=`).
fn is_marked(mount: &Path, unit: &str) -> bool {
    let directory = mount.join(unit.trim_start_matches('/'));
    ["user.delegate", "trusted.delegate"].iter().any(|name| {
        let mut value = [0_u8; 8];
        rustix::fs::getxattr(&directory, *name, &mut value[..]).is_ok_and(|length| value[..length] == *b"1")
    })
}

impl Home {
    /// Makes the place for the daemon's control groups, and moves the daemon if the kernel wants that. Does nothing that
    /// is done already.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn settle(base: Base, keeper: i32) -> Result<Home, String> {
        let above = base.location.directory();
        remove_stale(&above, keeper);
        let directory = above.join(format!("{HOME_PREFIX}{keeper}"));
        make(&directory)?;
        let mut home = Home {
            directory,
            location: base.location.clone(),
            controllers: Vec::new(),
            refused: Vec::new(),
            notes: Vec::new(),
        };
        if !base.controllers.is_empty() {
            home.take_controllers(&base, &above, keeper);
        }
        Ok(home)
    }

    fn take_controllers(&mut self, base: &Base, above: &Path, keeper: i32) {
        let moved = if base.must_be_empty { self.move_out(above, base.is_ours, keeper) } else { Ok(()) };
        for controller in &base.controllers {
            let on = |directory: &Path| enable(directory, *controller).map_err(|error| in_words(&error));
            match on(above).and_then(|()| on(&self.directory)) {
                Ok(()) => self.controllers.push(*controller),
                Err(error) => {
                    let why = moved.as_ref().err().cloned();
                    let why = why.unwrap_or_else(|| {
                        format!("the {} controller cannot be passed on: {error}", controller.name())
                    });
                    self.refused.push((*controller, why));
                }
            }
        }
    }

    /// Moves the daemon, and all that is the daemon's to move, out of the control group that it was started in.
    ///
    /// # Errors
    /// Somebody is left in there, and who.
    fn move_out(&mut self, above: &Path, is_ours: bool, keeper: i32) -> Result<(), String> {
        let leaf = self.directory.join(OWN_LEAF);
        make(&leaf)?;
        let procs = above.join("cgroup.procs");
        let (mut others, mut last_error) = (Vec::new(), None);
        for _ in 0..MOST_ROUNDS {
            let text = fs::read_to_string(&procs).map_err(|error| in_words(&error))?;
            let here: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
            let mut moved = false;
            for pid in here {
                let is_own = pid == keeper || kin::belongs_to(pid, keeper);
                if !is_own && !is_ours {
                    continue;
                }
                match fs::write(leaf.join("cgroup.procs"), pid.to_string()) {
                    Ok(()) => {
                        moved = true;
                        if !is_own && !others.contains(&pid) {
                            others.push(pid);
                        }
                    }
                    // It has ended.
                    Err(error) if error.raw_os_error() == Some(libc::ESRCH) => moved = true,
                    Err(error) => last_error = Some((pid, error)),
                }
            }
            if !moved {
                break;
            }
        }
        if !others.is_empty() {
            self.notes.push(format!(
                "moved {} from the control group {} to {}, because the kernel passes controllers on only from a group without processes: {}",
                if others.len() == 1 { "a process that is not the daemon's" } else { "processes that are not the daemon's" },
                self.location.name,
                leaf.display(),
                named(&others)
            ));
        }
        let left: Vec<i32> = fs::read_to_string(&procs)
            .unwrap_or_default()
            .lines()
            .filter_map(|line| line.parse().ok())
            .collect();
        match (left.as_slice(), last_error) {
            ([], _) => Ok(()),
            (_, Some((pid, error))) => Err(format!(
                "pid {pid} cannot be moved out of the control group {}: {}",
                self.location.name,
                in_words(&error)
            )),
            (left, None) => Err(format!(
                "other processes are in the control group {}: {}; start the daemon in one of its own",
                self.location.name,
                named(left)
            )),
        }
    }

    /// The control group of a process, be it there or not.
    pub fn of(&self, group: &str, process: &str) -> PathBuf {
        self.directory.join(place::directory_name(group, process))
    }

    /// Why keys of a process cannot be applied: `memory_max: REASON` each.
    pub fn problems(&self, limits: &CgroupLimits) -> Vec<String> {
        let knobs = limits.knobs().into_iter().filter(|knob| knob.value.is_some());
        let missing = knobs.filter(|knob| !self.controllers.contains(&knob.controller));
        missing.map(|knob| format!("{}: {}", knob.key, self.why_not(knob.controller))).collect()
    }

    fn why_not(&self, controller: Controller) -> String {
        let refused = self.refused.iter().find(|(known, _)| *known == controller);
        refused.map_or_else(|| place::missing(controller, &self.location), |(_, why)| why.clone())
    }

    /// Makes the control group for the next start of a process, with its limits.
    ///
    /// # Errors
    /// It cannot be made; or not everything can be applied, and `cgroup_required` is true.
    pub fn prepare(&self, group: &str, process: &str, limits: &CgroupLimits) -> Result<Ready, String> {
        let directory = self.of(group, process);
        // Somebody may have removed it while it was empty.
        make(&self.directory)?;
        let is_new = make(&directory)?;
        let problems = self.apply(&directory, limits, is_new);
        if limits.cgroup_required && !problems.is_empty() {
            super::remove(&directory);
            return Err(problems.join("; "));
        }
        for controller in &self.controllers {
            // Only what is counted for `why` is needed below.
            if matches!(controller, Controller::Memory | Controller::Pids) {
                enable(&directory, *controller).map_err(|error| cannot(&directory, &error))?;
            }
        }
        let run = next_run(&directory)?;
        let procs = OpenOptions::new().write(true).open(run.join("cgroup.procs"));
        Ok(Ready { procs: procs.map_err(|error| cannot(&run, &error))?, problems })
    }

    fn apply(&self, directory: &Path, limits: &CgroupLimits, is_new: bool) -> Vec<String> {
        let mut problems = Vec::new();
        for knob in limits.knobs() {
            let is_there = self.controllers.contains(&knob.controller);
            match &knob.value {
                Some(_) if !is_there => {
                    problems.push(format!("{}: {}", knob.key, self.why_not(knob.controller)));
                }
                Some(value) => {
                    if let Err(error) = fs::write(directory.join(knob.file), value) {
                        problems.push(format!("{}: {}", knob.key, refusal(knob.file, &error)));
                    }
                }
                // What a former start had and this one has not.
                None if is_there && !is_new => {
                    let _ = fs::write(directory.join(knob.file), knob.default);
                }
                None => {}
            }
        }
        problems
    }

    /// The control groups of the starts of a process that are left, the first start first.
    pub fn runs(&self, group: &str, process: &str) -> Vec<PathBuf> {
        runs(&self.of(group, process)).into_iter().map(|(_, directory)| directory).collect()
    }

    /// Removes everything that is empty, at the end of the daemon. What the keeper is in stays until the next daemon.
    pub fn leave(&self) {
        super::remove(&self.directory);
    }
}

/// Why the kernel did not take a value.
fn refusal(file: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("the kernel has no {file}"),
        _ => format!("the kernel refused it: {}", in_words(error)),
    }
}

/// The next group below that of a process.
fn next_run(directory: &Path) -> Result<PathBuf, String> {
    for (_, former) in runs(directory) {
        super::remove(&former);
    }
    let left = runs(directory);
    if left.len() >= MOST_LEFT as usize {
        return Err(format!("{} former starts have left processes in {}", left.len(), directory.display()));
    }
    let number = left.last().map_or(1, |(number, _)| number.saturating_add(1));
    let run = directory.join(number.to_string());
    make(&run)?;
    Ok(run)
}

fn runs(directory: &Path) -> Vec<(u32, PathBuf)> {
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse().ok();
    let children = super::children(directory).into_iter();
    let mut found: Vec<(u32, PathBuf)> =
        children.filter_map(|child| Some((number(&child)?, child))).collect();
    found.sort_unstable();
    found
}

/// Removes what daemons have left that are not there any more, as far as nobody is in it.
fn remove_stale(above: &Path, keeper: i32) {
    for child in super::children(above) {
        let name = child.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let former = name.strip_prefix(HOME_PREFIX).and_then(|pid| pid.parse::<i32>().ok());
        if former.is_some_and(|pid| pid != keeper && !process::exists(pid)) {
            super::remove(&child);
        }
    }
}

/// Whether it was not there yet.
fn make(directory: &Path) -> Result<bool, String> {
    match fs::create_dir(directory) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(cannot(directory, &error)),
    }
}

fn cannot(directory: &Path, error: &io::Error) -> String {
    format!("cannot make the control group {}: {}", directory.display(), in_words(error))
}

fn enable(directory: &Path, controller: Controller) -> io::Result<()> {
    fs::write(directory.join("cgroup.subtree_control"), format!("+{}", controller.name()))
}

/// What the system says, without its number.
fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_string()
}

/// `12 (sh), 13 (sleep) and 4 more`.
fn named(pids: &[i32]) -> String {
    let name = |pid: &i32| match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("{pid} ({})", name.trim_end()),
        Err(_) => pid.to_string(),
    };
    let mut text = pids.iter().take(MOST_NAMED).map(name).collect::<Vec<_>>().join(", ");
    if pids.len() > MOST_NAMED {
        text += &format!(" and {} more", pids.len() - MOST_NAMED);
    }
    text
}
