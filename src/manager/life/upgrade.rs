//! A new binary takes over: the manager's part. The keeper's, and the whole story, is in `keeper::upgrade`.

use crate::VERSION;
use crate::control::request::Client;
use crate::manager::boot::{self, Snapshot};
use crate::manager::daemon::Daemon;
use crate::model::config::Config;
use crate::model::fault::{Fault, FaultCode};
use crate::shm::layout::*;
use crate::shm::link::Link;
use std::fs::{File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The upgrade that was asked for, if any.
#[derive(Default)]
pub struct Upgrade {
    wanted: Option<Wanted>,
}

/// An upgrade about which the keeper has not decided.
struct Wanted {
    binary: PathBuf,
    /// Who asked; nobody did if a signal was the reason.
    client: Option<Client<String>>,
}

/// What an upgrade leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing yet, or nothing any more.
    GoOn,
    /// This manager is to end, in favour of the candidate.
    HandOver,
}

impl Daemon {
    /// Begins an upgrade to `binary`, or to whatever now lies where this daemon was started from.
    pub fn begin_upgrade(&mut self, binary: Option<PathBuf>, client: Option<Client<String>>) {
        let binary = binary.unwrap_or_else(|| self.boot.binary.clone());
        if let Err(problem) = self.try_upgrade(&binary) {
            let text = format!("cannot upgrade to {}: {problem}", binary.display());
            ::log::error!("{text}");
            self.answer_if_asked(client, Err(Fault::with(FaultCode::Failed, text)));
            return;
        }
        ::log::warn!("upgrade to {} was asked for, checking it", binary.display());
        self.upgrade.wanted = Some(Wanted { binary, client });
    }

    fn try_upgrade(&self, binary: &Path) -> Result<(), String> {
        let under_way = matches!(self.link.upgrade(), UPGRADE_CHECKING | UPGRADE_PASSED | UPGRADE_ON_TRIAL);
        if self.upgrade.wanted.is_some() || under_way {
            return Err(
                "another upgrade is under way; it is decided half a minute after it began".to_string()
            );
        }
        let file = open_executable(binary)?;
        self.link
            .ask_for_upgrade(file.as_fd())
            .map_err(|error| format!("cannot hand it to the keeper: {error}"))
    }

    /// Looks whether the keeper has decided.
    pub fn progress_of_upgrade(&mut self) -> Decision {
        let state = self.link.upgrade();
        if self.upgrade.wanted.is_none() && state == UPGRADE_PASSED {
            // A manager that has died meanwhile asked for it. It is carried out: nobody else could be before.
            let binary = self.link.candidate().unwrap_or_else(|| self.boot.binary.clone());
            self.upgrade.wanted = Some(Wanted { binary, client: None });
        }
        let Some(wanted) = &self.upgrade.wanted else { return Decision::GoOn };
        if !matches!(state, UPGRADE_REFUSED | UPGRADE_PASSED) {
            return Decision::GoOn;
        }
        let binary = wanted.binary.display();
        if state == UPGRADE_PASSED {
            ::log::warn!("{binary} passed its check and takes over");
            self.link.set_handing_over(true);
            return Decision::HandOver;
        }
        let binary = binary.to_string();
        let client = self.upgrade.wanted.take().and_then(|wanted| wanted.client);
        let text = format!("{binary} was refused: {}", why(&self.link));
        ::log::error!("{text}; nothing has changed");
        self.answer_if_asked(client, Err(Fault::with(FaultCode::Failed, text)));
        Decision::GoOn
    }

    /// Answers whoever asked for the upgrade that this manager makes room for. To be called when nobody is
    /// accepted any more and every connection ends with its next answer: what they ask next, how it went, only
    /// the successor knows.
    pub fn answer_upgrade(&mut self) {
        if let Some(Wanted { binary, client }) = self.upgrade.wanted.take() {
            let text = format!("{} passed its check and takes over", binary.display());
            self.answer_if_asked(client, Ok(text));
        }
    }

    fn answer_if_asked(&mut self, client: Option<Client<String>>, outcome: Result<String, Fault>) {
        if let Some(client) = client {
            self.answers.post(client, outcome);
        }
    }

    /// What is to be known of the last upgrade, in words.
    pub fn upgrade_state(&self) -> String {
        match self.link.upgrade() {
            UPGRADE_NONE => format!("version {VERSION} runs; no upgrade was asked for"),
            UPGRADE_CHECKING | UPGRADE_PASSED => "the candidate is being checked".to_string(),
            UPGRADE_REFUSED => {
                format!("version {VERSION} runs; the candidate was refused: {}", why(&self.link))
            }
            UPGRADE_ON_TRIAL => {
                format!("version {VERSION} runs; it is on trial for half a minute, then the keeper follows")
            }
            UPGRADE_ROLLED_BACK => {
                format!("version {VERSION} runs again; the candidate failed: {}", why(&self.link))
            }
            _ => format!("version {VERSION} runs, keeper and manager"),
        }
    }
}

fn why(link: &Link) -> String {
    let report = link.upgrade_report();
    match link.upgrade_status() {
        _ if !report.is_empty() => report,
        None => "it did not answer in time".to_string(),
        Some(status) => format!("it ended without a word ({status})"),
    }
}

/// Opens a file that can be executed, without executing anything.
fn open_executable(path: &Path) -> Result<File, String> {
    if !path.is_absolute() {
        return Err("its path is not absolute".to_string());
    }
    // Not to wait for a writer if it is a FIFO.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(|error| error.to_string())?;
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
        return Err("it is not an executable file".to_string());
    }
    Ok(file)
}

/// A candidate's check: whether it understands what the running daemon left in shared memory. Returns the exit status.
pub fn look_around(link: &Link) -> u8 {
    let started = boot::read(link, Place::Boot).and_then(|bytes| boot::boot::<Config>(&bytes));
    let in_force = boot::read(link, Place::Snapshot).and_then(|bytes| Snapshot::parse(&bytes));
    let looked =
        started
            .map_err(|error| format!("version {VERSION} cannot read how the daemon was started: {error}"))
            .and(in_force.map_err(|error| {
                format!("version {VERSION} cannot read the configuration in force: {error}")
            }));
    match looked {
        Ok(_) => {
            let _ = link.contents();
            0
        }
        Err(why) => {
            link.refuse_upgrade(&why);
            1
        }
    }
}
