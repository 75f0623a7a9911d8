//! What the kernel keeps a program from: privileges, system calls, files, the machine's `/tmp` and its network.

use crate::model::config::ProcessConfig;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The keys `no_new_privs`, `capabilities`, `ambient_capabilities`, `seccomp`, `read_only_paths`, `read_write_paths`,
/// `private_tmp` and `private_network` of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// Whether it can never gain privileges by executing a file.
    #[serde(default)]
    pub no_new_privs: bool,
    /// The only capabilities that it, or what it executes, can have. `None`: those of its user.
    #[serde(default)]
    pub capabilities: Option<Wish<Vec<Capability>>>,
    /// The capabilities that it has though its user is not root.
    #[serde(default)]
    pub ambient_capabilities: Option<Wish<Vec<Capability>>>,
    /// The system calls that it can make. `None`: all.
    #[serde(default)]
    pub seccomp: Option<Wish<Seccomp>>,
    /// What it can read and execute and not change. Together with the next one: if both are empty, as everybody.
    #[serde(default)]
    pub read_only_paths: Vec<ConfinedPath>,
    /// What it can do everything with that its user can.
    #[serde(default)]
    pub read_write_paths: Vec<ConfinedPath>,
    /// Whether it has `/tmp` and `/var/tmp` of its own.
    #[serde(default)]
    pub private_tmp: Wish<bool>,
    /// Whether it has a network of its own, with nothing but a loopback.
    #[serde(default)]
    pub private_network: Wish<bool>,
}

/// The value of a key, and whether the program may start where it cannot be had.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish<T> {
    /// What is wanted.
    pub value: T,
    /// It begins with a `-`: the program starts without if the kernel lacks it or does not allow it.
    pub is_optional: bool,
}

/// A capability, capabilities(7).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Capability {
    /// Its number, below 64.
    pub number: u8,
    /// Its name without `CAP_`.
    pub name: String,
}

/// The calls that a program can make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    /// `@service`: those that ordinary services need.
    Service,
    /// Those that an absolute path's file names, which is read at each start.
    File(PathBuf),
}

/// One item of `read_only_paths` or `read_write_paths`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfinedPath {
    /// Absolute.
    pub path: PathBuf,
    /// Whether the program starts without it.
    pub may_be_missing: bool,
}

/// The directories that `private_tmp` replaces.
pub const PRIVATE_DIRECTORIES: [&str; 2] = ["/tmp", "/var/tmp"];

impl Confinement {
    /// Whether none of the keys asks for anything.
    pub fn is_default(&self) -> bool {
        *self == Confinement::default()
    }

    /// Whether anything of it has to be looked up or made, or can be refused.
    pub fn takes_long(&self) -> bool {
        *self != Confinement { no_new_privs: self.no_new_privs, ..Confinement::default() }
    }

    /// Whether files are confined.
    pub fn confines_files(&self) -> bool {
        !self.read_only_paths.is_empty() || !self.read_write_paths.is_empty()
    }

    /// Whether it may start where the kernel cannot confine files: every path is one that may be missing.
    pub fn files_are_optional(&self) -> bool {
        self.read_only_paths.iter().chain(&self.read_write_paths).all(|path| path.may_be_missing)
    }

    /// Whether it sees another network or other files than the daemon.
    pub fn has_namespaces(&self) -> bool {
        self.private_tmp.value || self.private_network.value
    }

    /// The keys and what they say, for whoever looks at a process: the one table that all views show.
    pub fn shown(&self) -> Vec<(&'static str, String)> {
        let flag = |key, wish: &Wish<bool>| wish.value.then(|| (key, wish.mark("true".into())));
        let capabilities = |key, wish: &Option<Wish<Vec<Capability>>>| {
            wish.as_ref().map(|wish| {
                let names: Vec<&str> = wish.value.iter().map(|capability| &*capability.name).collect();
                (key, wish.mark(if names.is_empty() { "none".into() } else { names.join(", ") }))
            })
        };
        let paths = |key, paths: &[ConfinedPath]| {
            let shown: Vec<String> = paths.iter().map(ConfinedPath::shown).collect();
            (!shown.is_empty()).then(|| (key, shown.join(", ")))
        };
        let seccomp = self.seccomp.as_ref().map(|wish| {
            let what = match &wish.value {
                Seccomp::Service => "@service".to_string(),
                Seccomp::File(path) => path.display().to_string(),
            };
            ("seccomp", wish.mark(what))
        });
        let rows = [
            self.no_new_privs.then(|| ("no_new_privs", "true".to_string())),
            capabilities("capabilities", &self.capabilities),
            capabilities("ambient_capabilities", &self.ambient_capabilities),
            seccomp,
            paths("read_only_paths", &self.read_only_paths),
            paths("read_write_paths", &self.read_write_paths),
            flag("private_tmp", &self.private_tmp),
            flag("private_network", &self.private_network),
        ];
        rows.into_iter().flatten().collect()
    }
}

impl<T> Wish<T> {
    fn mark(&self, text: String) -> String {
        if self.is_optional { format!("-{text}") } else { text }
    }
}

impl ConfinedPath {
    fn shown(&self) -> String {
        format!("{}{}", if self.may_be_missing { "-" } else { "" }, self.path.display())
    }
}

/// Whether `private_tmp` hides a path from a program.
pub fn is_hidden(config: &ProcessConfig, path: &Path) -> bool {
    config.confinement.private_tmp.value && PRIVATE_DIRECTORIES.iter().any(|hidden| path.starts_with(hidden))
}
