//! The inputs of a configuration besides its files: the environment, the current directory, the machine's name, users,
//! and which directories exist.

use crate::model::config::{Owner, User};
use crate::model::raw;
use nix::unistd;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Component, Path, PathBuf};

/// What the process that reads a configuration finds around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// Names and values may hold bytes that are no UTF-8; see [`raw`].
    pub environment: BTreeMap<String, String>,
    /// Relative paths start here.
    pub current_dir: PathBuf,
    /// As `uname -n` prints it.
    pub host_node_name: String,
    /// The running program, for the search of a configuration; empty if unknown.
    pub executable: PathBuf,
    /// Whether the process runs as root, which must not read what others can write to.
    pub is_root: bool,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_this_process() -> Surroundings {
        let environment =
            std::env::vars_os().map(|(name, value)| (raw::text(&name), raw::text(&value))).collect();
        Surroundings {
            environment,
            current_dir: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            host_node_name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            executable: std::env::current_exe().unwrap_or_default(),
            is_root: unistd::getuid().is_root(),
        }
    }

    /// `~` and `~user` at the start of a path. What cannot be resolved stays as it is.
    pub fn expand_user(&self, path: &str) -> String {
        let Some(rest) = path.strip_prefix('~') else { return path.to_string() };
        let (user, tail) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let home = if user.is_empty() {
            self.environment
                .get("HOME")
                .cloned()
                .or_else(|| home_of(unistd::User::from_uid(unistd::getuid())))
        } else {
            home_of(unistd::User::from_name(user))
        };
        match home {
            // As os.path.expanduser does: the home directory `/` gives `/x`, not `//x`.
            Some(home) => format!("{}{tail}", home.trim_end_matches('/')),
            None => path.to_string(),
        }
    }

    /// A path made absolute, `.` and `..` resolved without looking at the disk.
    pub fn absolute(&self, path: impl AsRef<Path>) -> PathBuf {
        normalize(&self.current_dir.join(path))
    }

    /// Like [`Surroundings::absolute`], with `~`.
    pub fn absolute_with_home(&self, path: &str) -> PathBuf {
        self.absolute(self.expand_user(path))
    }

    /// Whether a directory is there, seen from the current directory.
    pub fn is_dir(&self, path: &str) -> bool {
        !path.is_empty() && self.current_dir.join(path).is_dir()
    }

    /// Whether a file is there that this user may not write to, or not get at.
    pub fn is_forbidden(&self, path: &Path) -> bool {
        unistd::access(path, unistd::AccessFlags::W_OK) == Err(nix::errno::Errno::EACCES)
    }

    /// The system's directory for temporary files, chosen as Python does.
    pub fn temporary_directory(&self) -> PathBuf {
        let named = ["TMPDIR", "TEMP", "TMP"].into_iter().filter_map(|name| self.environment.get(name));
        let usual = ["/tmp", "/var/tmp", "/usr/tmp"].map(str::to_string);
        let mut candidates = named.cloned().chain(usual).map(|path| self.absolute(path));
        candidates.find(|path| is_writable_dir(path)).unwrap_or_else(|| self.current_dir.clone())
    }
}

fn home_of(user: nix::Result<Option<unistd::User>>) -> Option<String> {
    user.ok()??.dir.into_os_string().into_string().ok()
}

fn is_writable_dir(path: &Path) -> bool {
    path.is_dir() && unistd::access(path, unistd::AccessFlags::W_OK | unistd::AccessFlags::X_OK).is_ok()
}

fn normalize(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// The user database, asked once for each name: ten thousand programs usually have three users.
#[derive(Debug, Default)]
pub(super) struct Users {
    users: RefCell<HashMap<String, Option<(u32, u32)>>>,
    groups: RefCell<HashMap<String, Option<u32>>>,
}

impl Users {
    /// Looks up a user by name, or by number if the text is one. Such a user needs not be in any list, unlike in
    /// Supervisor: containers seldom have one.
    ///
    /// # Errors
    /// Supervisor's text.
    pub(super) fn user(&self, text: &str) -> Result<User, String> {
        match self.ids(text) {
            Some((uid, _)) => Ok(User::new(uid, text)),
            // The last number means "leave it" to the kernel.
            None if number(text).is_some_and(|uid| uid != u32::MAX) => {
                Ok(User::new(number(text).unwrap_or_default(), text))
            }
            None if is_number(text) => Err(format!("Invalid user id {text}")),
            None => Err(format!("Invalid user name {text}")),
        }
    }

    /// Reads `user` or, as relatives have it, `user:group`, for a program.
    ///
    /// # Errors
    /// One of them does not exist.
    pub(super) fn user_of_program(&self, text: &str) -> Result<User, String> {
        let Some((user, group)) = text.split_once(':') else { return self.user(text) };
        let gid = self.group_of_program(group)?;
        Ok(User { gid: Some(gid), ..self.user(user)? })
    }

    /// Reads `user` or `user:group`.
    ///
    /// # Errors
    /// One of them does not exist.
    pub(super) fn owner(&self, text: &str) -> Result<Owner, String> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let uid = self.user(user)?.uid;
        let gid = group.map(|group| self.group(group).ok_or(format!("Invalid group {group}"))).transpose()?;
        Ok(Owner { uid: Some(uid), gid })
    }

    /// Reads a group: a name, or any number.
    ///
    /// # Errors
    /// It does not exist.
    pub(super) fn group_of_program(&self, text: &str) -> Result<u32, String> {
        number(text)
            .filter(|gid| *gid != u32::MAX)
            .or_else(|| self.group(text))
            .ok_or_else(|| format!("Invalid group {text}"))
    }

    /// The user's primary group.
    pub(super) fn primary_group(&self, user: &User) -> Option<u32> {
        self.ids(&user.written).map(|(_, gid)| gid)
    }

    fn ids(&self, text: &str) -> Option<(u32, u32)> {
        if let Some(known) = self.users.borrow().get(text) {
            return *known;
        }
        let found = match number(text) {
            Some(uid) => unistd::User::from_uid(uid.into()),
            None => unistd::User::from_name(text),
        };
        let ids = found.ok().flatten().map(|user| (user.uid.as_raw(), user.gid.as_raw()));
        self.users.borrow_mut().insert(text.to_string(), ids);
        ids
    }

    fn group(&self, text: &str) -> Option<u32> {
        if let Some(known) = self.groups.borrow().get(text) {
            return *known;
        }
        let found = match number(text) {
            Some(gid) => unistd::Group::from_gid(gid.into()),
            None => unistd::Group::from_name(text),
        };
        let gid = found.ok().flatten().map(|group| group.gid.as_raw());
        self.groups.borrow_mut().insert(text.to_string(), gid);
        gid
    }
}

fn is_number(text: &str) -> bool {
    crate::config::text::integer(text).is_ok()
}

fn number(text: &str) -> Option<u32> {
    u32::try_from(crate::config::text::integer(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surroundings() -> Surroundings {
        Surroundings {
            environment: BTreeMap::from([("HOME".to_string(), "/home/me/".to_string())]),
            current_dir: PathBuf::from("/work/dir"),
            host_node_name: "box".into(),
            executable: PathBuf::new(),
            is_root: false,
        }
    }

    #[test]
    fn paths_become_absolute() {
        for (path, expected) in [
            ("a", "/work/dir/a"),
            ("./a/../b", "/work/dir/b"),
            ("/x//y/.", "/x/y"),
            ("../../../..", "/"),
            ("~/log", "/home/me/log"),
            ("~", "/home/me"),
            ("~no-such-user/x", "/work/dir/~no-such-user/x"),
            ("a~", "/work/dir/a~"),
        ] {
            assert_eq!(surroundings().absolute_with_home(path), Path::new(expected), "{path}");
        }
    }

    #[test]
    fn users_are_found_by_name_and_number() {
        let users = Users::default();
        assert_eq!(users.user("root").map(|user| user.uid), Ok(0));
        assert_eq!(users.user("0").map(|user| user.uid), Ok(0));
        assert_eq!(users.user("no-such-user"), Err("Invalid user name no-such-user".into()));
        assert_eq!(users.user(""), Err("Invalid user name ".into()));
        assert_eq!(users.user("3999999999").map(|user| user.uid), Ok(3_999_999_999));
        for impossible in ["4294967295", "4294967296", "-1"] {
            assert_eq!(users.user(impossible), Err(format!("Invalid user id {impossible}")));
        }
        assert_eq!(users.owner("root:root"), Ok(Owner { uid: Some(0), gid: Some(0) }));
        assert_eq!(users.owner("0"), Ok(Owner { uid: Some(0), gid: None }));
        assert!(users.owner("root:no-such-group").is_err());
    }
}
