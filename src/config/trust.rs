//! Finds out who else can change a configuration. Whoever can change it decides what the daemon runs, as which user,
//! and where the client sends passwords.

use crate::config::document::Document;
use crate::files::trust::is_trusted;
use nix::unistd::{Gid, Group, Uid, User};
use rustix::fs::{StatVfsMountFlags, statvfs};
use std::collections::HashSet;
use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Others who can change a file or a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Others {
    Everybody { mode: u32 },
    Owner { name: String },
    Group { name: String, mode: u32 },
}

/// A configuration file that others can change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Doubt {
    /// As it was named.
    pub file: PathBuf,
    /// The directory in which they can replace it; `None` if they can change the file itself.
    pub directory: Option<PathBuf>,
    /// Whether that is the very directory the file lies in, not one above.
    pub next_to_it: bool,
    pub others: Others,
}

impl Doubt {
    /// Whether everybody on the machine can change what is run, by the file or its directory.
    pub(crate) fn is_open_to_all(&self) -> bool {
        matches!(self.others, Others::Everybody { .. }) && self.next_to_it
    }
}

/// Fits behind the name of the file.
impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (directory, what) =
            (self.directory.as_ref().map(|path| path.display()), "and with it what is run");
        match (&self.others, directory) {
            (Others::Everybody { mode }, None) => {
                write!(f, "everybody can change this file (mode {mode:04o}), {what}")
            }
            (Others::Group { name, mode }, None) => {
                write!(f, "the group {name} can change this file (mode {mode:04o}), {what}")
            }
            (Others::Owner { name }, None) => {
                write!(f, "this file belongs to the user {name}, who can change it, {what}")
            }
            (Others::Everybody { mode }, Some(directory)) => {
                write!(f, "everybody can replace this file in {directory} (mode {mode:04o}), {what}")
            }
            (Others::Group { name, mode }, Some(directory)) => {
                write!(f, "the group {name} can replace this file in {directory} (mode {mode:04o}), {what}")
            }
            (Others::Owner { name }, Some(directory)) => {
                write!(f, "{directory} belongs to the user {name}, who can replace this file, {what}")
            }
        }
    }
}

/// What others can change of a document: one finding for each file and each directory.
pub(crate) fn doubts(document: &Document) -> Vec<Doubt> {
    let mut seen = HashSet::new();
    document.files().iter().flat_map(|file| doubts_of(&file.name, &file.path(), &mut seen)).collect()
}

/// The same for one file, which need not have been read.
pub(crate) fn doubts_of(name: &Path, path: &Path, seen: &mut HashSet<PathBuf>) -> Vec<Doubt> {
    let mut found = Vec::new();
    // A symbolic link can be replaced where it stands, and what it leads to where that lies.
    let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let mut doubt = |directory: Option<&Path>, next_to_it, others| {
        found.push(Doubt { file: name.into(), directory: directory.map(Into::into), next_to_it, others });
    };
    if seen.insert(real.clone())
        && let Some(others) = others(&real).or_else(|| whose_link(path))
    {
        doubt(None, true, others);
    }
    for place in [path, &real] {
        let directories = place.ancestors().skip(1);
        let suspect = directories.enumerate().find_map(|(n, dir)| Some((n, dir, others(dir)?)));
        if let Some((n_above, directory, others)) = suspect
            && seen.insert(directory.to_path_buf())
        {
            doubt(Some(directory), n_above == 0, others);
        }
    }
    found
}

/// Whose a symbolic link is, if it is one and its owner is somebody else.
fn whose_link(path: &Path) -> Option<Others> {
    let metadata = path.symlink_metadata().ok().filter(Metadata::is_symlink)?;
    let owner = metadata.uid();
    (!is_trusted(owner, Uid::effective().as_raw())).then(|| Others::Owner { name: name_of(owner) })
}

fn name_of(uid: u32) -> String {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    user.map_or(uid.to_string(), |user| user.name)
}

/// Who else can change a file, or what is in a directory. `None` if nobody can, or nobody knows.
fn others(path: &Path) -> Option<Others> {
    let metadata = path.metadata().ok()?;
    // A volume that is mounted to be read only often shows modes that mean nothing.
    if statvfs(path).is_ok_and(|system| system.f_flag.contains(StatVfsMountFlags::RDONLY)) {
        return None;
    }
    judge(&metadata, Uid::effective().as_raw())
}

fn judge(metadata: &Metadata, we: u32) -> Option<Others> {
    let mode = metadata.mode() & 0o7777;
    // In such a directory everybody can make files, and nobody can replace those of others.
    let sticky = metadata.is_dir() && mode & 0o1000 != 0;
    let (uid, gid) = (metadata.uid(), metadata.gid());
    if mode & 0o002 != 0 && !sticky {
        return Some(Others::Everybody { mode });
    }
    if !is_trusted(uid, we) {
        return Some(Others::Owner { name: name_of(uid) });
    }
    let own_group =
        User::from_uid(Uid::from_raw(uid)).ok().flatten().is_some_and(|user| user.gid.as_raw() == gid);
    if mode & 0o020 != 0 && !sticky && gid != 0 && !own_group {
        let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
        return Some(Others::Group { name: group.map_or(gid.to_string(), |group| group.name), mode });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn with_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("changed");
    }

    #[track_caller]
    fn check(path: &Path, expected: &[(&str, bool)]) {
        let found = doubts_of(Path::new("x.conf"), path, &mut HashSet::new());
        let here = path.parent().expect("a directory").display().to_string();
        let found: Vec<(String, bool)> = found
            .iter()
            .map(|doubt| (doubt.to_string().replace(&here, "DIR"), doubt.is_open_to_all()))
            .collect();
        let expected: Vec<(String, bool)> =
            expected.iter().map(|(text, all)| (text.to_string(), *all)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn whoever_can_change_or_replace_a_file_is_found() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("x.conf");
        std::fs::write(&path, "").expect("written");
        with_mode(&path, 0o644);
        check(&path, &[]);
        with_mode(&path, 0o646);
        check(&path, &[("everybody can change this file (mode 0646), and with it what is run", true)]);
        with_mode(&path, 0o600);
        with_mode(directory.path(), 0o1777);
        check(&path, &[]);
        with_mode(directory.path(), 0o777);
        check(
            &path,
            &[("everybody can replace this file in DIR (mode 0777), and with it what is run", true)],
        );
        if !Uid::effective().is_root() {
            return eprintln!("skipped: owners cannot be changed without root");
        }
        let (link, owner) = (path.with_extension("link"), Some(54_321));
        with_mode(directory.path(), 0o1777);
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        std::os::unix::fs::lchown(&link, owner, None).expect("changed");
        check(
            &link,
            &[("this file belongs to the user 54321, who can change it, and with it what is run", false)],
        );
        with_mode(directory.path(), 0o755);
        std::os::unix::fs::chown(&path, Some(54_321), None).expect("changed");
        check(
            &path,
            &[("this file belongs to the user 54321, who can change it, and with it what is run", false)],
        );
        std::os::unix::fs::chown(&path, Some(0), Some(54_321)).expect("changed");
        with_mode(&path, 0o660);
        check(&path, &[("the group 54321 can change this file (mode 0660), and with it what is run", false)]);
        std::os::unix::fs::chown(&path, None, Some(0)).expect("changed");
        std::os::unix::fs::chown(directory.path(), Some(54_321), None).expect("changed");
        check(
            &path,
            &[("DIR belongs to the user 54321, who can replace this file, and with it what is run", false)],
        );
    }
}
