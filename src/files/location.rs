//! Walks to a name: opens the directory by descriptor, and leaves the name in it untouched.

use crate::files::trust::{self, Control, Verdict};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags, Stat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// How many symbolic links are followed on one way, as in the kernel (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// How a directory is held.
const DIRECTORY_FLAGS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The mode of directories that are made for a log.
const DIRECTORY_MODE: u32 = 0o755;

/// What becomes of directories that are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It is an error.
    Fail,
    /// They are made, and the activity log says so.
    Make,
}

/// A name in a directory that is held by a descriptor: whatever others rename meanwhile, it stays that directory.
#[derive(Debug)]
pub struct Location {
    directory: OwnedFd,
    name: OsString,
    control: Control,
    /// Set if a link of this user's led here: then only what belongs to that user may be touched.
    only: Option<u32>,
    links_left: usize,
}

impl Location {
    /// Walks to the directory of `path`. The name itself need not exist and is not followed.
    ///
    /// # Errors
    /// The system's; EPERM, with a reason, for a link that may not be followed.
    pub fn of(path: &Path, missing: Missing) -> io::Result<Location> {
        let name = path.file_name().ok_or(Errno::ISDIR)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // One call where there is no link on the way, which is nearly always.
        let no_links = ResolveFlags::NO_SYMLINKS;
        let (directory, control) =
            match rustix::fs::openat2(CWD, parent, DIRECTORY_FLAGS, Mode::empty(), no_links) {
                Ok(directory) => {
                    let control = control_of(&directory)?;
                    let (name, only, links_left) = (name.to_os_string(), None, MAX_LINKS);
                    return Ok(Location { directory, name, control, only, links_left });
                }
                Err(_) if path.is_absolute() => start_at(Path::new("/"))?,
                Err(_) => start_at(Path::new("."))?,
            };
        Walk { directory, control, links_left: MAX_LINKS, only: None }.to(path, missing)
    }

    /// Where the symbolic link of this name leads. `None` if the name is no link.
    ///
    /// # Errors
    /// As for [`Location::of`], and those of a name that does not exist.
    pub fn follow(&self) -> io::Result<Option<Location>> {
        let link = open_path(&self.directory, &self.name)?;
        let stat = rustix::fs::fstat(&link)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            return Ok(None);
        }
        let mut walk = Walk {
            directory: self.directory.try_clone()?,
            control: self.control,
            links_left: self.links_left,
            only: self.only,
        };
        walk.judge(&stat)?;
        let target = read_link(&link)?;
        if target.is_absolute() {
            (walk.directory, walk.control) = start_at(Path::new("/"))?;
        }
        walk.to(&target, Missing::Fail).map(Some)
    }

    /// The name as a component.
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// Another name in the same directory.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn sibling(&self, name: &OsStr) -> io::Result<Location> {
        Ok(Location { directory: self.directory.try_clone()?, name: name.to_os_string(), ..*self })
    }

    /// The descriptor of the directory (`O_PATH`).
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// The path of this name without links, as the kernel tells it now.
    pub fn shown(&self) -> PathBuf {
        shown(&self.directory, &self.name)
    }

    /// Who else decides what this name leads to.
    pub fn control(&self) -> Control {
        self.control
    }

    /// Whether the directory is one of procfs, whose links only the kernel can follow.
    ///
    /// # Errors
    /// The system's.
    pub fn is_procfs(&self) -> io::Result<bool> {
        Ok(rustix::fs::fstatfs(&self.directory)?.f_type == PROC_SUPER_MAGIC)
    }

    /// What the name itself is; a link is not followed.
    ///
    /// # Errors
    /// The system's; ENOENT is the interesting one.
    pub fn stat(&self) -> io::Result<Stat> {
        Ok(rustix::fs::statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Opens the name itself: ELOOP if it is a symbolic link. It never waits (FIFOs), never becomes our terminal, and
    /// is closed on exec.
    ///
    /// # Errors
    /// The system's.
    pub fn open(&self, flags: OFlags, mode: u32) -> Result<OwnedFd, Errno> {
        let always = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.directory, &self.name, flags | always, Mode::from_raw_mode(mode))
    }

    /// Opens what a link of procfs stands for. Only for names that our own configuration, or a trusted link, led to.
    ///
    /// # Errors
    /// The system's; EPERM if somebody else's link led here.
    pub fn open_procfs_link(&self, flags: OFlags) -> io::Result<OwnedFd> {
        self.refuse_if_beholden()?;
        let always = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.directory, &self.name, flags | always, Mode::empty())?)
    }

    /// What a link of procfs stands for.
    ///
    /// # Errors
    /// As for [`Location::open_procfs_link`].
    pub fn stat_procfs_link(&self) -> io::Result<Stat> {
        self.refuse_if_beholden()?;
        Ok(rustix::fs::statat(&self.directory, &self.name, AtFlags::empty())?)
    }

    fn refuse_if_beholden(&self) -> io::Result<()> {
        self.only.map_or(Ok(()), |user| Err(refused(format!("a link of user {user} leads to it"))))
    }

    /// What the symbolic link of this name says, whoever made it. `None` if the name is no link.
    ///
    /// # Errors
    /// The system's.
    pub fn link_text(&self) -> io::Result<Option<PathBuf>> {
        match rustix::fs::readlinkat(&self.directory, &self.name, Vec::new()) {
            Ok(target) => Ok(Some(PathBuf::from(OsStr::from_bytes(target.as_bytes())))),
            Err(Errno::INVAL) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The facts about a file that was just opened under this name, if it may be used.
    ///
    /// # Errors
    /// EPERM with the reason.
    pub fn judge_open(&self, file: &OwnedFd) -> io::Result<Stat> {
        let stat = rustix::fs::fstat(file)?;
        self.judge(&stat)?;
        let is_theirs = matches!(self.control, Control::User(user) if stat.st_uid == user);
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if is_file && self.control != Control::Ours && !is_theirs {
            // It may have been a second name of a file elsewhere that was removed before the names were counted. If the one
            // name that the file has is this one, it was not.
            let named = self.stat()?;
            if (named.st_dev, named.st_ino, named.st_nlink) != (stat.st_dev, stat.st_ino, 1) {
                return Err(refused("it was replaced while it was being opened".to_string()));
            }
        }
        Ok(stat)
    }

    /// Fails unless this file may be used under this name; to be asked with the facts of the open descriptor.
    ///
    /// # Errors
    /// EPERM with the reason.
    pub fn judge(&self, file: &Stat) -> io::Result<()> {
        // What we made in a directory of that user's is in that user's hands anyway.
        let in_theirs = |user| self.control == Control::User(user);
        if let Some(user) = self.only.filter(|user| file.st_uid != *user && !in_theirs(*user)) {
            return Err(refused(format!(
                "a symbolic link of user {user} leads to it, and it belongs to user {}",
                file.st_uid
            )));
        }
        if trust::may_be_planted(self.control, file) {
            return Err(refused(format!(
                "it has {} names (hard links) and others may write to its directory",
                file.st_nlink
            )));
        }
        Ok(())
    }

    /// Fails unless names may be made, changed and removed in this directory.
    ///
    /// # Errors
    /// EPERM with the reason.
    pub fn judge_directory(&self) -> io::Result<()> {
        match (self.only, self.control) {
            (None, _) => Ok(()),
            (Some(user), Control::User(owner)) if user == owner => Ok(()),
            (Some(user), _) => Err(refused(format!(
                "a symbolic link of user {user} leads to a directory that does not belong to that user"
            ))),
        }
    }

    /// Removes the name.
    ///
    /// # Errors
    /// The system's; EPERM if a link of somebody's led to a directory of somebody else's.
    pub fn unlink(&self) -> io::Result<()> {
        self.unlink_beside(&self.name)
    }

    /// Gives the name to `to` in the same directory, replacing what has it.
    ///
    /// # Errors
    /// As for [`Location::unlink`].
    pub fn rename(&self, to: &OsStr) -> io::Result<()> {
        self.rename_beside(&self.name, to)
    }

    /// Whether the directory has this name, whatever it is.
    pub fn has(&self, name: &OsStr) -> bool {
        rustix::fs::statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Renames something else in the same directory, replacing what has the new name.
    ///
    /// # Errors
    /// As for [`Location::unlink`].
    pub fn rename_beside(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        self.judge_directory()?;
        Ok(rustix::fs::renameat(&self.directory, from, &self.directory, to)?)
    }

    /// Removes another name from the same directory.
    ///
    /// # Errors
    /// As for [`Location::unlink`].
    pub fn unlink_beside(&self, name: &OsStr) -> io::Result<()> {
        self.judge_directory()?;
        Ok(rustix::fs::unlinkat(&self.directory, name, AtFlags::empty())?)
    }
}

/// Where a file or socket of this name really is, if it is one that may be removed by its name: no link, no device. Its
/// directory is named without links, for whoever removes it later and follows none.
pub fn removable(path: &Path) -> Option<PathBuf> {
    let at = Location::of(path, Missing::Fail).ok()?;
    let kind = at.stat().map(|stat| FileType::from_raw_mode(stat.st_mode));
    let plain = kind.map_or(true, |kind| matches!(kind, FileType::RegularFile | FileType::Socket));
    plain.then(|| at.shown())
}

/// On the way to a directory.
struct Walk {
    directory: OwnedFd,
    control: Control,
    links_left: usize,
    only: Option<u32>,
}

impl Walk {
    fn to(mut self, path: &Path, missing: Missing) -> io::Result<Location> {
        let name = path.file_name().ok_or(Errno::ISDIR)?.to_os_string();
        let mut pending: Vec<OsString> = Vec::new();
        push(&mut pending, path.parent().unwrap_or(Path::new("")));
        while let Some(component) = pending.pop() {
            self.enter(&component, &mut pending, missing)?;
        }
        let Walk { directory, control, links_left, only } = self;
        Ok(Location { directory, name, control, only, links_left })
    }

    /// Goes into one directory, or puts the components of a link in its place.
    fn enter(&mut self, name: &OsStr, pending: &mut Vec<OsString>, missing: Missing) -> io::Result<()> {
        let next = match open_path(&self.directory, name) {
            Err(Errno::NOENT) if missing == Missing::Make => self.make(name)?,
            other => other?,
        };
        let stat = rustix::fs::fstat(&next)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                self.control = trust::control(stat.st_uid, stat.st_mode, our_uid());
                self.directory = next;
                Ok(())
            }
            FileType::Symlink => self.enter_link(name, &next, &stat, pending),
            _ => Err(Errno::NOTDIR.into()),
        }
    }

    fn enter_link(
        &mut self,
        name: &OsStr,
        link: &OwnedFd,
        stat: &Stat,
        pending: &mut Vec<OsString>,
    ) -> io::Result<()> {
        self.judge(stat)?;
        let on_procfs = rustix::fs::fstatfs(&self.directory)?.f_type == PROC_SUPER_MAGIC;
        if on_procfs && self.only.is_none() {
            // The kernel knows where its own links lead; their texts do not always say.
            self.directory = rustix::fs::openat(&self.directory, name, DIRECTORY_FLAGS, Mode::empty())?;
            self.control = control_of(&self.directory)?;
            return Ok(());
        }
        let target = read_link(link)?;
        if target.is_absolute() {
            (self.directory, self.control) = start_at(Path::new("/"))?;
        }
        push(pending, &target);
        Ok(())
    }

    /// Whether a link in this directory may be followed; notes to whose things alone, from then on.
    fn judge(&mut self, link: &Stat) -> io::Result<()> {
        self.links_left = self.links_left.checked_sub(1).ok_or(Errno::LOOP)?;
        let verdict = trust::judge_link(self.control, link.st_uid, our_uid());
        let owner = link.st_uid;
        match (verdict, self.only) {
            (Verdict::Follow, _) => Ok(()),
            (Verdict::OnlyTo(user), None) => {
                self.only = Some(user);
                Ok(())
            }
            (Verdict::OnlyTo(user), Some(only)) if user == only => Ok(()),
            (Verdict::OnlyTo(_) | Verdict::Refuse, _) => Err(refused(format!(
                "a symbolic link that belongs to user {owner}, in a directory that others may write to, is on the way"
            ))),
        }
    }

    fn make(&mut self, name: &OsStr) -> io::Result<OwnedFd> {
        if let Some(user) = self.only {
            return Err(refused(format!("a symbolic link of user {user} leads to a missing directory")));
        }
        match rustix::fs::mkdirat(&self.directory, name, Mode::from_raw_mode(DIRECTORY_MODE)) {
            Ok(()) => {
                let made = shown(&self.directory, name);
                ::log::info!("made directory {} for a log", made.display());
            }
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(open_path(&self.directory, name)?)
    }
}

/// The path of an open directory without links, as the kernel tells it now.
pub(super) fn path_of(directory: &OwnedFd) -> io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd()))
}

fn shown(directory: &OwnedFd, name: &OsStr) -> PathBuf {
    path_of(directory).unwrap_or_default().join(name)
}

/// Puts the components of a path on a stack, the first one on top.
fn push(pending: &mut Vec<OsString>, path: &Path) {
    pending.extend(path.components().rev().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_os_string()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    }));
}

fn start_at(path: &Path) -> io::Result<(OwnedFd, Control)> {
    let directory = rustix::fs::open(path, DIRECTORY_FLAGS, Mode::empty())?;
    let control = control_of(&directory)?;
    Ok((directory, control))
}

/// Who controls an open directory.
fn control_of(directory: &OwnedFd) -> io::Result<Control> {
    let stat = rustix::fs::fstat(directory)?;
    Ok(trust::control(stat.st_uid, stat.st_mode, our_uid()))
}

/// Holds a name, whatever it is: nobody can exchange it between judging and using it.
fn open_path(directory: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags, Mode::empty())
}

fn read_link(link: &OwnedFd) -> io::Result<PathBuf> {
    let target = rustix::fs::readlinkat(link, "", Vec::new())?;
    Ok(PathBuf::from(OsStr::from_bytes(target.as_bytes())))
}

pub(super) fn our_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Why something is not done although the system would let us.
pub(super) fn refused(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}
