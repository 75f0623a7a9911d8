//! The `state_file`: what people have changed besides the configuration, and what `autostart=last` needs, outlives the daemon
//! there.
//!
//! It is written when the loop has dealt with everything that happened and what it says has changed, by a thread: the last
//! state wins, however much changes while one is being written. Clients that have changed something are answered when that
//! is on the disk. A file that cannot be believed is not used; see [`crate::files::replace`]. One that is torn keeps its
//! bytes under another name.

use crate::config::{self, StateFile as Found, read_state_file};
use crate::control::programs::{Enabled, Kept, Scaled};
use crate::control::request::Client;
use crate::files::replace;
use crate::log::activity;
use crate::manager::daemon::Daemon;
use crate::manager::processes::{Proc, SlotId};
use crate::manager::saved::InForce;
use crate::model::config::ProcessConfig;
use crate::model::state_file::{MOST_BYTES, Overrides, full_name};
use crate::rt;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// The file is for us alone.
const MODE: u32 = 0o600;

/// More names that are not configured than anybody reads are only counted.
const MOST_NAMED: usize = 20;

/// What came of a write: why it failed.
pub type Attempt = Result<(), String>;

/// The file, as this daemon may use it.
#[derive(Debug)]
pub struct StateFile {
    /// `None`: there is to be none, or what lies there is not ours.
    path: Option<PathBuf>,
    /// Why the one that is configured is not used.
    refusal: Option<String>,
    /// Of which version of what is remembered a write is under way.
    under_way: Option<u64>,
    /// Which version was written last, or could not be.
    attempted: u64,
    /// Why the last attempt failed.
    problem: Option<String>,
    pending: Vec<(u64, Pending)>,
    written: (async_channel::Sender<Attempt>, async_channel::Receiver<Attempt>),
}

/// A client that is answered when what it has changed is on the disk.
#[derive(Debug)]
pub enum Pending {
    /// It has scaled programs.
    Scaled(Client<Scaled>, Box<Scaled>),
    /// It has enabled or disabled processes.
    Enabled(Client<Enabled>, Enabled),
}

impl Pending {
    fn kept(&mut self) -> &mut Kept {
        match self {
            Pending::Scaled(_, scaled) => &mut scaled.kept,
            Pending::Enabled(_, enabled) => &mut enabled.kept,
        }
    }
}

impl Default for StateFile {
    fn default() -> StateFile {
        StateFile {
            path: None,
            refusal: None,
            under_way: None,
            attempted: 0,
            problem: None,
            pending: Vec::new(),
            written: async_channel::bounded(1),
        }
    }
}

impl StateFile {
    /// Whether what is changed can outlive the daemon.
    ///
    /// # Errors
    /// Why not, and what helps.
    pub fn check(&self) -> Result<(), String> {
        match (&self.path, &self.refusal) {
            (Some(_), _) => Ok(()),
            (None, Some(why)) => Err(format!("the state_file is not used: {why}")),
            (None, None) => {
                Err("there is no file for that: write state_file=PATH into [supervisord], and reload"
                    .to_string())
            }
        }
    }

    /// Waits for what came of a write.
    ///
    /// # Errors
    /// Why it failed.
    pub async fn next_written(&self) -> Attempt {
        // We hold the sender.
        self.written.1.recv().await.unwrap_or(Ok(()))
    }

    /// Which of those who wait have their answer now.
    fn take_answered(&mut self) -> Vec<Pending> {
        let (attempted, problem) = (self.attempted, self.problem.clone());
        let over = self.pending.extract_if(.., |(version, _)| *version <= attempted);
        over.map(|(_, mut pending)| {
            if let Some(problem) = &problem {
                *pending.kept() = Kept::NotSaved(problem.clone());
            }
            pending
        })
        .collect()
    }
}

/// Writes the file unless it holds the same bytes.
fn write(path: &Path, text: &str) -> Attempt {
    if replace::read_ours(path, MOST_BYTES)
        .is_ok_and(|found| found.is_some_and(|(bytes, _)| bytes == text.as_bytes()))
    {
        return Ok(());
    }
    replace::replace_for_good(path, text.as_bytes(), MODE).map_err(|error| error.to_string())
}

/// Whose word counts: that of the file, or what this daemon remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    File,
    Memory,
}

impl InForce {
    /// Whether a process starts by itself with the daemon, and with its group when that is added.
    pub fn starts_by_itself(&self, group: &str, config: &ProcessConfig) -> bool {
        config.autostart && (!config.autostart_last || self.was_wanted(group, &config.name))
    }
}

impl Daemon {
    /// Whether a process starts by itself with the daemon, and with its group when that is added.
    pub fn starts_by_itself(&self, proc: &Proc) -> bool {
        self.in_force.starts_by_itself(&proc.group, &proc.config)
    }

    /// Whether somebody has disabled a process.
    pub fn is_disabled(&self, proc: &Proc) -> bool {
        self.in_force.autostart_of(&proc.group, &proc.config) == Some(false)
    }

    /// Somebody has asked for a process to be up, or down.
    pub fn note_wanted(&mut self, slot: SlotId, is_wanted: bool) {
        let Some(proc) = self.procs.proc(slot).filter(|proc| proc.usual_config().autostart_last) else {
            return;
        };
        self.in_force.note_wanted(&proc.group, &proc.config.name, is_wanted);
    }

    /// Forgets whether the processes of a group were wanted up: it is not there any more.
    pub fn forget_wanted_of_group(&mut self, group: &str) {
        let prefix = full_name(group, "");
        self.in_force.forget_wanted(|name| name.starts_with(&prefix));
    }

    /// Reads the file that the configuration names, and lays what it says over the configuration.
    pub fn open_state_file(&mut self) {
        let before = self.in_force.overrides();
        self.find_state_file(Source::File);
        let overrides = self.in_force.overrides();
        // Nobody has laid anything over it at the start of a daemon.
        if overrides != before || !overrides.is_empty() {
            self.lay_over(&overrides);
        }
        self.tell_unknown_names(&overrides);
    }

    /// Goes on with the file of the manager before, which has left what it says.
    pub fn go_on_with_state_file(&mut self) {
        self.find_state_file(Source::Memory);
    }

    fn find_state_file(&mut self, source: Source) {
        self.state_file.path = None;
        self.state_file.refusal = None;
        let Some(path) = self.in_force.config().supervisord.state_file.clone() else { return };
        match read_state_file(&path) {
            Found::Read(remembered) if source == Source::File => self.in_force.remember(remembered),
            Found::Missing | Found::Read(_) => {}
            Found::Torn(why) => match replace::set_aside(&path) {
                Ok(bad) => {
                    ::log::error!(
                        "state_file {} cannot be understood ({why}): it is {} now, and what it said is not used",
                        path.display(),
                        bad.display()
                    );
                }
                Err(error) => return self.refuse_state_file(&path, &format!("{why}; and {error}")),
            },
            Found::Refused(why) => return self.refuse_state_file(&path, &why),
        }
        self.state_file.path = Some(path);
        if source == Source::Memory || !self.in_force.remembered().is_empty() {
            // Nothing is written if the file says that.
            self.in_force.write_again();
        }
    }

    fn refuse_state_file(&mut self, path: &Path, why: &str) {
        ::log::error!(
            "state_file {} is not used: {why}. What scale, enable and disable change holds until the daemon ends",
            path.display()
        );
        self.state_file.refusal = Some(format!("{}: {why}", path.display()));
    }

    /// Reads the configuration again as it was read, with these changes over it.
    fn lay_over(&mut self, overrides: &Overrides) {
        let (args, around) = (&self.boot.args, self.surroundings());
        match config::interpret_again(&self.in_force.config().written, args, &around, overrides) {
            Ok(mut fresh) => {
                fresh.skipped.clone_from(&self.in_force.config().skipped);
                let known: HashSet<&str> =
                    self.in_force.config().messages.iter().map(|message| &*message.text).collect();
                for message in fresh.messages.iter().filter(|message| !known.contains(&*message.text)) {
                    activity::write(message.level, &message.text);
                }
                self.in_force.reread(fresh);
            }
            Err(errors) => {
                ::log::error!("what the state_file says cannot be laid over the configuration: {errors}")
            }
        }
    }

    /// Tells whose names are not configured. They are kept: their section may come back.
    fn tell_unknown_names(&self, overrides: &Overrides) {
        let unknown = config::unknown_names(overrides, self.in_force.config());
        let Some(path) = self.state_file.path.as_ref().filter(|_| !unknown.is_empty()) else { return };
        let more = unknown.len().saturating_sub(MOST_NAMED);
        let shown = unknown[..unknown.len() - more].join(", ");
        let more = if more == 0 { String::new() } else { format!(", and {more} more") };
        ::log::warn!(
            "state_file {} remembers what is not configured: {shown}{more}; it is kept",
            path.display()
        );
    }

    /// Answers a client when what it has changed is on the disk, if it is to get there.
    pub fn answer_when_saved(&mut self, mut pending: Pending) {
        if *pending.kept() != Kept::Saved {
            return self.answer_pending(pending);
        }
        let version = self.in_force.n_remembered();
        if self.state_file.attempted == version && self.state_file.problem.is_some() {
            // Nothing has changed since it could not be written, so this is another attempt.
            self.in_force.write_again();
        }
        self.state_file.pending.push((self.in_force.n_remembered(), pending));
        self.answer_saved();
    }

    fn answer_pending(&mut self, pending: Pending) {
        match pending {
            Pending::Scaled(client, scaled) => self.answers.post(client, Ok(*scaled)),
            Pending::Enabled(client, enabled) => self.answers.post(client, Ok(enabled)),
        }
    }

    fn answer_saved(&mut self) {
        for pending in self.state_file.take_answered() {
            self.answer_pending(pending);
        }
    }

    /// Begins to write the file if it does not say what is remembered.
    pub fn save_state_file(&mut self) {
        let version = self.in_force.n_remembered();
        if self.state_file.under_way.is_some() || self.state_file.attempted == version {
            return;
        }
        let Some(path) = self.state_file.path.clone() else {
            self.state_file.attempted = version;
            return self.answer_saved();
        };
        self.state_file.under_way = Some(version);
        let text = self.in_force.remembered().text();
        let sender = self.state_file.written.0.clone();
        let task = async move {
            // There is room: one write at a time.
            let _ = sender.send(rt::unblock(move || write(&path, &text)).await).await;
        };
        rt::spawn(task).detach();
    }

    /// Notes what came of a write, and answers who waits for it.
    pub fn state_file_written(&mut self, written: Attempt) {
        let Some(version) = self.state_file.under_way.take() else { return };
        self.state_file.attempted = version;
        let problem = written.err();
        if let (Some(problem), Some(path)) = (&problem, &self.state_file.path)
            && self.state_file.problem.as_ref() != Some(problem)
        {
            ::log::error!(
                "could not write state_file {}: {problem}; it is tried again with the next change",
                path.display()
            );
        }
        self.state_file.problem = problem;
        self.answer_saved();
    }

    /// Waits until the file says what is remembered, or cannot.
    pub async fn finish_state_file(&mut self) {
        loop {
            self.save_state_file();
            if self.state_file.under_way.is_none() {
                return;
            }
            let written = self.state_file.next_written().await;
            self.state_file_written(written);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::programs::Enabled;

    fn pending() -> Pending {
        let (client, _) = Client::channel();
        Pending::Enabled(
            client,
            Enabled { starts: true, names: Vec::new(), processes: Vec::new(), kept: Kept::Saved },
        )
    }

    #[test]
    fn whoever_waits_is_answered_when_its_version_was_tried() {
        let pending = vec![(1, pending()), (3, pending())];
        let mut file = StateFile { pending, attempted: 2, ..StateFile::default() };
        let mut over = file.take_answered();
        assert_eq!((over.len(), over[0].kept().clone()), (1, Kept::Saved));
        file.attempted = 3;
        file.problem = Some("no room".to_string());
        let mut over = file.take_answered();
        assert_eq!(over[0].kept().clone(), Kept::NotSaved("no room".to_string()));
        assert!(file.pending.is_empty());
    }

    #[test]
    fn a_file_that_says_the_same_is_not_written() {
        use std::os::unix::fs::MetadataExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        write(&path, "x").unwrap();
        let before = path.metadata().unwrap().ino();
        write(&path, "x").unwrap();
        assert_eq!(path.metadata().unwrap().ino(), before);
        write(&path, "y").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"y");
    }

    #[test]
    fn without_a_file_it_is_said_what_to_write() {
        assert!(StateFile::default().check().unwrap_err().contains("state_file=PATH"));
        let refused = StateFile { refusal: Some("/x: it is not a file".into()), ..StateFile::default() };
        assert!(refused.check().unwrap_err().contains("/x: it is not a file"));
    }
}
