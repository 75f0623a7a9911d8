//! What confines a program: put together here, as far as it can be, and applied by the child of its creation.

use crate::files::open;
use crate::manager::daemon::in_words;
use crate::manager::spawn::context::{SpawnContext, changes_user};
use crate::model::config::ProcessConfig;
use crate::model::confinement::{
    Capability, ConfinedPath, Confinement, PRIVATE_DIRECTORIES, Wish, is_hidden,
};
use crate::sys::capabilities::{self, CAP_SYS_ADMIN, Kept};
use crate::sys::confine::{Act, Bound, Confine, PrivateTmp, Step};
use crate::sys::landlock::{self, Rules};
use crate::sys::{pidfd, process, user};
use std::ffi::{CString, c_int};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

/// Of `private_tmp`: each of the two directories may take a tenth of the memory, and hold so many files.
const TMPFS_OPTIONS: &str = "mode=1777,size=10%,nr_inodes=400000";

impl SpawnContext {
    /// How to confine a program. It can read what is in `credentials` in any case. `beside` is a process that runs: then
    /// its namespaces are joined instead of making others.
    ///
    /// # Errors
    /// A key cannot be carried out here; the text for `spawnerr`, which names it.
    pub fn confine(
        &self,
        config: &ProcessConfig,
        credentials: Option<&Path>,
        beside: Option<i32>,
    ) -> Result<Option<Box<Confine>>, String> {
        let wanted = &*config.confinement;
        if wanted.is_default() {
            return Ok(None);
        }
        let mut confine = Confine::default();
        let own_user = match own_user_namespace(config) {
            _ if !wanted.has_namespaces() => false,
            Ok(own_user) => {
                match beside {
                    Some(pid) => join(&mut confine, wanted, own_user, pid)?,
                    None => self.namespaces(&mut confine, config, own_user),
                }
                own_user
            }
            Err(why) if namespace_key(wanted).1 => {
                confine.without.push(format!("{}: {why}", namespace_key(wanted).0));
                false
            }
            Err(why) => return Err(format!("couldn't set {}: {why}", namespace_key(wanted).0)),
        };
        capability_steps(&mut confine, config, own_user);
        if wanted.no_new_privs {
            confine.steps.push(step(Act::NoNewPrivileges, "no_new_privs", false));
        }
        if wanted.confines_files() {
            let key = if wanted.read_only_paths.is_empty() { "read_write_paths" } else { "read_only_paths" };
            match ruleset(wanted, credentials) {
                Ok(ruleset) => {
                    confine.ruleset = Some(Arc::new(ruleset));
                    confine.steps.push(step(Act::Files, key, wanted.files_are_optional()));
                }
                Err(Refusal::ByKernel(why)) if wanted.files_are_optional() => {
                    confine.without.push(format!("{key}: {why}"));
                }
                Err(Refusal::ByKernel(why)) => return Err(format!("{key}: {why}")),
                Err(Refusal::OfPath(why)) => return Err(why),
            }
        }
        if let Some(wish) = &wanted.seccomp {
            match self.filters.get(&wish.value) {
                Ok(filter) => {
                    confine.steps.push(step(Act::SystemCalls(filter), "seccomp", wish.is_optional));
                }
                Err(Refusal::ByKernel(why)) if wish.is_optional => confine.without.push(why),
                Err(Refusal::ByKernel(why) | Refusal::OfPath(why)) => return Err(why),
            }
        }
        Ok(Some(Box::new(confine)))
    }

    /// Namespaces of its own.
    fn namespaces(&self, confine: &mut Confine, config: &ProcessConfig, own_user: bool) {
        let wanted = &config.confinement;
        let (tmp, network) = (&wanted.private_tmp, &wanted.private_network);
        if own_user {
            let (key, is_optional) = namespace_key(wanted);
            let (uid, gid) = (user::current_uid(), user::current_gid());
            let map = |id: u32| c_string(&format!("{id} {id} 1"));
            let act = Act::UserNamespace { uid_map: map(uid), gid_map: map(gid) };
            confine.steps.push(step(act, key, is_optional));
        }
        if tmp.value {
            let socket = self
                .notify_socket
                .as_ref()
                .filter(|path| config.wants_notify_socket() && is_hidden(config, path));
            let act = Act::PrivateTmp(Box::new(PrivateTmp {
                directories: PRIVATE_DIRECTORIES.iter().map(|path| c_string(path)).collect(),
                options: c_string(TMPFS_OPTIONS),
                socket: socket.map(|path| bound(path)),
                access: if wanted.confines_files() { landlock::everything() } else { 0 },
            }));
            confine.steps.push(step(act, "private_tmp", tmp.is_optional));
        }
        if network.value {
            confine.steps.push(step(Act::PrivateNetwork, "private_network", network.is_optional));
        }
    }
}

/// The key that asks for namespaces, and whether it can be done without.
fn namespace_key(wanted: &Confinement) -> (&'static str, bool) {
    let (tmp, network) = (&wanted.private_tmp, &wanted.private_network);
    let is_optional = (!tmp.value || tmp.is_optional) && (!network.value || network.is_optional);
    let names_tmp = tmp.value && (is_optional || !tmp.is_optional);
    (if names_tmp { "private_tmp" } else { "private_network" }, is_optional)
}

/// Whether a program's namespaces take a user namespace, because this daemon lacks CAP_SYS_ADMIN.
///
/// # Errors
/// They do, and there cannot be one for this program.
fn own_user_namespace(config: &ProcessConfig) -> Result<bool, String> {
    if capabilities::is_effective(CAP_SYS_ADMIN) {
        return Ok(false);
    }
    let lack = "CAP_SYS_ADMIN is missing, and the user namespace that would do instead";
    if changes_user(config) {
        return Err(format!("{lack} knows only the daemon's own user, not another user="));
    }
    let wants_ambient = config.confinement.ambient_capabilities.as_ref();
    if wants_ambient.is_some_and(|wish| !wish.value.is_empty()) {
        return Err(format!("{lack} gives no capabilities outside of it, as ambient_capabilities wants"));
    }
    if user::is_root() {
        // In a user namespace it would be root of nothing, and have less than it has now.
        return Err("CAP_SYS_ADMIN is missing".into());
    }
    if process::is_closed() {
        // Its maps are root's to write.
        return Err(format!("{lack} cannot be had by a daemon that gave up root"));
    }
    Ok(true)
}

/// The namespaces of a program that runs.
fn join(confine: &mut Confine, wanted: &Confinement, own_user: bool, pid: i32) -> Result<(), String> {
    let (key, is_optional) = namespace_key(wanted);
    let ticks = process::start_ticks(pid);
    let opened = ticks.and_then(|ticks| pidfd::open(pid, ticks).ok());
    let Some(opened) = opened else {
        return Err(format!("{key}: its program is gone, or /proc is missing"));
    };
    let flags = [
        (own_user, libc::CLONE_NEWUSER),
        (wanted.private_tmp.value, libc::CLONE_NEWNS),
        (wanted.private_network.value, libc::CLONE_NEWNET),
    ];
    let flags = flags.iter().filter(|(is_wanted, _)| *is_wanted).fold(0, |all: c_int, (_, flag)| all | flag);
    confine.pidfd = Some(Arc::new(opened));
    confine.steps.push(step(Act::Join(flags), key, is_optional));
    Ok(())
}

/// Bounding set, permitted and ambient capabilities.
fn capability_steps(confine: &mut Confine, config: &ProcessConfig, own_user: bool) {
    let wanted = &config.confinement;
    let bits = |wish: &Wish<Vec<Capability>>| {
        wish.value.iter().fold(0_u64, |bits, capability| bits | 1 << capability.number)
    };
    let most = wanted.capabilities.as_ref().map(bits);
    if let (Some(most), Some(wish)) = (most, &wanted.capabilities) {
        let bounding = capabilities::bounding();
        let there = if own_user { bounding.known } else { bounding.here };
        confine.steps.push(step(Act::Bounding(there & !most), "capabilities", wish.is_optional));
    }
    let ambient = wanted.ambient_capabilities.as_ref();
    let changes_user = changes_user(config);
    let keeps = changes_user && ambient.is_some_and(|wish| !wish.value.is_empty());
    if keeps && let Some(wish) = ambient {
        confine.keeps_capabilities = true;
        confine.steps.push(step(Act::Keep, "ambient_capabilities", wish.is_optional));
    }
    if own_user {
        // Whatever the user namespace has given was for making the others.
        let kept = Kept { most: 0, ambient: None, only_ambient: true };
        confine.steps.push(step(Act::Capabilities(kept), "capabilities", false));
        return;
    }
    // Each key by itself: a wish that is refused takes nothing of the other one with it.
    if let (Some(most), Some(wish)) = (most, &wanted.capabilities) {
        let kept = Kept { most, ambient: None, only_ambient: false };
        confine.steps.push(step(Act::Capabilities(kept), "capabilities", wish.is_optional));
    }
    if let Some(wish) = ambient {
        let most = most.unwrap_or(u64::MAX);
        let kept = Kept { most, ambient: Some(bits(wish)), only_ambient: keeps };
        confine.steps.push(step(Act::Capabilities(kept), "ambient_capabilities", wish.is_optional));
    }
}

/// Why something cannot be had. Where a key is a wish, the first is put up with.
#[derive(Debug)]
pub(super) enum Refusal {
    ByKernel(String),
    OfPath(String),
}

/// The rules about files.
fn ruleset(wanted: &Confinement, credentials: Option<&Path>) -> Result<OwnedFd, Refusal> {
    let mut rules = Rules::new().map_err(Refusal::ByKernel)?;
    let lists =
        [("read_only_paths", &wanted.read_only_paths), ("read_write_paths", &wanted.read_write_paths)];
    for (key, ConfinedPath { path, may_be_missing }) in
        lists.into_iter().flat_map(|(key, list)| list.iter().map(move |path| (key, path)))
    {
        let failed =
            |why: &dyn std::fmt::Display| Refusal::OfPath(format!("{key} {}: {why}", path.display()));
        let place = match open::place(path) {
            Err(error) if error.kind() == ErrorKind::NotFound && *may_be_missing => continue,
            Err(error) => return Err(failed(&in_words(&error))),
            Ok(place) => place,
        };
        rules = rules.allow(&place, key == "read_write_paths").map_err(|error| failed(&error))?;
    }
    if let Some(path) = credentials {
        let failed = |why: &dyn std::fmt::Display| Refusal::OfPath(format!("credentials: {why}"));
        let place = open::place(path).map_err(|error| failed(&in_words(&error)))?;
        rules = rules.allow(&place, false).map_err(|error| failed(&error))?;
    }
    rules.into_fd().ok_or_else(|| Refusal::ByKernel("there are no rules".into()))
}

fn bound(path: &Path) -> Bound {
    let above = |directory: &&Path| PRIVATE_DIRECTORIES.iter().all(|hidden| *directory != Path::new(hidden));
    let mut parents: Vec<CString> = path.ancestors().skip(1).take_while(above).map(path_c_string).collect();
    parents.reverse();
    Bound { path: path_c_string(path), parents }
}

fn step(act: Act, key: &'static str, is_optional: bool) -> Step {
    Step { act, key, is_optional }
}

fn path_c_string(path: &Path) -> CString {
    // A path with a zero byte cannot exist.
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}

fn c_string(text: &str) -> CString {
    // Texts of ours have no zero byte.
    CString::new(text).unwrap_or_default()
}
