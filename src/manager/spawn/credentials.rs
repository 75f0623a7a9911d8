//! The credentials of programs: each start gets fresh copies, in a private directory in memory that goes with the process.
//!
//! The names of these directories begin with the number of the slot, so a successor knows whose they are. The keeper holds
//! the directory of the daemon in which they lie, and removes what is there if the daemon ends without a manager.

use crate::files::private::{self, Store};
use crate::manager::daemon::Daemon;
use crate::manager::processes::SlotId;
use crate::model::config::{Credential, ProcessConfig};
use crate::shm::layout::Place;
use crate::sys::{orphans, random, user};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

/// The variable that names the directory of a program; systemd.exec(5).
pub const DIRECTORY_VARIABLE: &str = "CREDENTIALS_DIRECTORY";

/// So many names the loop removes itself with one directory; a thread does the rest.
const MOST_AT_ONCE: usize = 256;

/// Everybody's directories.
#[derive(Debug, Default)]
pub struct Credentials {
    /// `None` until somebody needs it.
    store: Option<Arc<Store>>,
    of_slots: HashMap<SlotId, Vec<String>>,
}

/// The directory for one start.
#[derive(Clone, Debug)]
pub struct Copies {
    store: Arc<Store>,
    name: String,
    path: PathBuf,
}

impl Copies {
    /// Where the program finds them.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the directory and the copies, for the program's user. May take as long as reading the files does.
    ///
    /// # Errors
    /// What `spawnerr` is to say; it names the credential and never what is in it.
    pub fn make(&self, config: &ProcessConfig) -> Result<(), String> {
        let owner = config.user.as_ref().map(|user| user.uid).filter(|uid| *uid != user::current_uid());
        let mut about = None;
        let made = self.store.add(&self.name, owner, |filling| {
            for credential in &config.credentials {
                about = Some(credential);
                if !filling.copy(&credential.path, &credential.name)? && !credential.may_be_missing {
                    return Err("No such file or directory".to_string());
                }
            }
            about = None;
            Ok(())
        });
        made.map_err(|why| match about {
            Some(Credential { name, path, .. }) => format!("credential {name}: {}: {why}", path.display()),
            None => format!("credentials: {why}"),
        })
    }

    /// Says which program has them, for whoever finds them after the end of this daemon.
    pub fn belong_to(&self, pid: i32) {
        self.store.note_user(&self.name, pid);
    }

    /// Removes them.
    pub fn remove(&self) {
        remove(&self.store, &self.name);
    }
}

/// Whatever a program has made of its directory.
fn remove(store: &Arc<Store>, name: &str) {
    let complain = |store: &Store, name: &str, error: io::Error| {
        let path = store.path().join(name);
        ::log::warn!("cannot remove the credentials {} of a program that has ended: {error}", path.display());
    };
    match store.remove(name, MOST_AT_ONCE) {
        Err(error) if error.raw_os_error() == Some(libc::E2BIG) => {
            let (store, name) = (Arc::clone(store), name.to_string());
            let rest = move || match store.remove_all_of(&name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => complain(&store, &name, error),
                _ => {}
            };
            if let Err(error) = thread::Builder::new().name("credentials".into()).spawn(rest) {
                ::log::warn!("credentials of a program that has ended are not removed yet: {error}");
            }
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => complain(store, name, error),
        _ => {}
    }
}

impl Credentials {
    /// Where the directory of a slot's program is, if it has one.
    pub fn path_of(&self, slot: SlotId) -> Option<PathBuf> {
        let name = self.of_slots.get(&slot)?.last()?;
        Some(self.store.as_ref()?.path().join(name))
    }

    fn take(&mut self, slot: SlotId) {
        let names = self.of_slots.remove(&slot).unwrap_or_default();
        if let Some(store) = &self.store {
            names.iter().for_each(|name| remove(store, name));
        }
    }
}

impl Daemon {
    /// Says where the next program of a process finds its credentials; `None` if it has none. What its last one had goes.
    ///
    /// # Errors
    /// There is no place for them; the text is for `spawnerr`.
    pub(super) fn prepare_credentials(
        &mut self,
        slot: SlotId,
        config: &ProcessConfig,
    ) -> Result<Option<Copies>, String> {
        self.credentials.take(slot);
        if config.credentials.is_empty() {
            return Ok(None);
        }
        let failed = |why: &dyn std::fmt::Display| format!("credentials: {why}");
        if self.credentials.store.is_none() {
            let store = Store::make().map_err(|why| failed(&why))?;
            self.link.deposit(&[(Place::Credentials, store.fd())]).map_err(|error| failed(&error))?;
            self.credentials.store = Some(Arc::new(store));
            self.list_files();
        }
        let Some(store) = self.credentials.store.clone() else { return Ok(None) };
        let name = format!("{slot}.{:08x}{:08x}", random::number(), random::number());
        self.credentials.of_slots.entry(slot).or_default().push(name.clone());
        let path = store.path().join(&name);
        Ok(Some(Copies { store, name, path }))
    }

    /// Removes the credentials of a process whose program has ended, or was not created.
    pub fn forget_ended_credentials(&mut self, slot: SlotId) {
        if self.credentials.of_slots.contains_key(&slot) && !self.has_or_gets_program(slot) {
            self.credentials.take(slot);
        }
    }

    fn has_or_gets_program(&self, slot: SlotId) -> bool {
        use crate::core::process::State;
        let state = self.procs.proc(slot).map(|proc| &proc.process.state);
        state.is_some_and(|state| state.pid().is_some() || matches!(state, State::Starting { .. }))
    }

    /// Finds the directories that a former manager has made.
    pub fn restore_credentials(&mut self) {
        let store = self.link.take(Place::Credentials).map(Store::held);
        let store = match store {
            None => return,
            Some(Ok(store)) => store,
            Some(Err(error)) => return ::log::error!("cannot find the credentials of programs: {error}"),
        };
        for name in store.names() {
            let slot = name.split_once('.').and_then(|(slot, _)| slot.parse().ok());
            self.credentials.of_slots.entry(slot.unwrap_or(SlotId::MAX)).or_default().push(name);
        }
        self.credentials.store = Some(Arc::new(store));
    }

    /// Removes those of programs that ended while there was no manager.
    pub fn forget_all_ended_credentials(&mut self) {
        let slots: Vec<SlotId> = self.credentials.of_slots.keys().copied().collect();
        slots.into_iter().for_each(|slot| self.forget_ended_credentials(slot));
    }

    /// At the end of the daemon: removes everybody's.
    pub fn remove_credentials(&mut self) {
        if let Some(store) = self.credentials.store.take()
            && let Err(error) = store.remove_itself()
        {
            ::log::error!("cannot remove {}: {error}", store.path().display());
        }
        self.credentials.of_slots.clear();
    }

    /// Where everybody's are, if there are any.
    pub fn credentials_path(&self) -> Option<&Path> {
        self.credentials.store.as_ref().map(|store| store.path())
    }
}

/// Removes, in a thread, what daemons of our user have left that ended without removing it. A program that outlived such a
/// daemon keeps its own.
pub fn sweep() {
    let used = || -> Vec<PathBuf> {
        orphans::values_of(DIRECTORY_VARIABLE).into_iter().map(PathBuf::from).collect()
    };
    let started = thread::Builder::new().name("credentials".into()).spawn(move || private::sweep(used));
    if let Err(error) = started {
        ::log::warn!("credentials that former daemons may have left are not looked for: {error}");
    }
}
