//! Writing at the end of a file, rotating it, and following its name.

use crate::files::location::Missing;
use crate::files::{self, open::Opened, trust};
use crate::log::drain::handoff;
use crate::log::sinks::file::piece::{Ending, OVERHANG};
use crate::log::sinks::file::{Limits, Written};
use crate::log::sinks::open::{self, Facts, Identity};
use crate::log::sinks::rotate;
use rustix::fs::Mode;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often a file that is written to is looked up by its name, to notice that it was moved away.
pub(super) const CHECK_NAME_EVERY: Duration = Duration::from_secs(1);

/// So long after the last write a full file waits for that, too.
pub(super) const LINE_PATIENCE: Duration = Duration::from_secs(1);

/// How long a rotation that failed is left alone. The file grows beyond its limit meanwhile.
const ROTATE_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// A file that has reached its limit within a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Overhang {
    /// The size at which that was noticed.
    began: u64,
    /// When something was last written.
    pub(super) at: Instant,
}

/// An open log file, under the lock of those who share it.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    /// For a file that has to be created, before the umask.
    mode: u32,
    pub(super) file: File,
    pub(super) identity: Identity,
    /// When it was last checked whether the name still leads here.
    pub(super) name_checked: Instant,
    /// Set while rotating does not work.
    rotate_after: Option<Instant>,
    /// Set while the file is full and the end of a line is waited for.
    pub(super) overhang: Option<Overhang>,
    /// The streams whose raw output is all that they write here; see [`handoff`].
    pub(super) registered: Vec<u64>,
}

impl LogFile {
    pub(super) fn new(path: &Path, mode: u32, file: File, facts: Facts) -> LogFile {
        LogFile {
            path: path.to_path_buf(),
            mode,
            file,
            identity: facts.identity,
            name_checked: Instant::now(),
            rotate_after: None,
            overhang: None,
            registered: Vec::new(),
        }
    }

    /// Does one write at the end of the file, and rotates when that has filled it. `write` is told which file it is,
    /// where it ends, and how much more fits; it says how much it wrote and how that ends.
    pub(super) fn write_with(
        &mut self,
        limits: Limits,
        write: impl FnOnce(&File, Identity, u64, u64) -> Result<(usize, Ending), Errno>,
    ) -> io::Result<Written> {
        let mut size = self.follow_name()?.size;
        let mut notice = None;
        if self.is_full(size, limits) && !self.waits_for_line_end(size) {
            // Somebody else's oversized file, or a predecessor's that was killed before it could rotate, or a line
            // whose end does not come.
            notice = self.rotate(limits);
            size = open::facts(&self.file)?.size;
        }
        let room = if self.may_rotate(limits) { limits.maxbytes.saturating_sub(size) } else { u64::MAX };
        let (n_bytes, ending) = write(&self.file, self.identity, size, room)?;
        size += n_bytes as u64;
        if n_bytes > 0 && self.is_full(size, limits) {
            if ending == Ending::Within {
                let began = self.overhang.map_or(limits.maxbytes, |overhang| overhang.began);
                self.overhang = Some(Overhang { began, at: Instant::now() });
            }
            if ending != Ending::Within || !self.waits_for_line_end(size) {
                notice = self.rotate(limits);
            }
        }
        Ok(Written { n_bytes, was_cut: false, notice })
    }

    /// Whether a full file is to take more, because it ends within a line that may go on.
    fn waits_for_line_end(&mut self, size: u64) -> bool {
        match self.overhang {
            Some(Overhang { began, at }) => {
                size.saturating_sub(began) < OVERHANG && at.elapsed() < LINE_PATIENCE
            }
            // It was full when we came.
            None => {
                let waits = self.ends_within_a_line().unwrap_or(false) && self.was_just_written();
                self.overhang = waits.then(|| Overhang { began: size, at: Instant::now() });
                waits
            }
        }
    }

    fn was_just_written(&self) -> bool {
        let modified = self.file.metadata().and_then(|metadata| metadata.modified());
        modified.is_ok_and(|modified| modified.elapsed().unwrap_or_default() < LINE_PATIENCE)
    }

    pub(super) fn ends_within_a_line(&self) -> io::Result<bool> {
        // The one that is open cannot be read.
        let (file, stat) = files::open::to_read(&self.path)?.ok_or(io::ErrorKind::NotFound)?;
        let facts = Facts::from(stat);
        if facts.identity != self.identity {
            return Err(io::ErrorKind::NotFound.into());
        }
        let Some(last) = facts.size.checked_sub(1) else { return Ok(false) };
        let mut byte = [b'\n'];
        // The end of the file by now, if it was emptied meanwhile.
        let _ = file.read_at(&mut byte, last)?;
        Ok(byte != [b'\n'])
    }

    /// The facts about the open file, after opening another if the name leads elsewhere by now.
    pub(super) fn follow_name(&mut self) -> io::Result<Facts> {
        let facts = open::facts(&self.file)?;
        if facts.linked && self.name_checked.elapsed() < CHECK_NAME_EVERY {
            return Ok(facts);
        }
        self.name_checked = Instant::now();
        match open::facts_at(&self.path) {
            Ok(named) if named.identity == self.identity => Ok(facts),
            Ok(_) | Err(_) => match self.reopen() {
                Ok(()) => open::facts(&self.file),
                // It was moved to where we may not make another: it is still the log that people find.
                Err(_) if facts.linked => Ok(facts),
                Err(error) => Err(error),
            },
        }
    }

    pub(super) fn reopen(&mut self) -> io::Result<()> {
        match files::open::for_writing(&self.path, self.mode, Missing::Make)? {
            Opened::File(fd, stat) => {
                self.use_instead(fd.into(), stat.into());
                Ok(())
            }
            Opened::Device(_) | Opened::Stream(_) => Err(io::Error::other("it is no longer a regular file")),
        }
    }

    fn use_instead(&mut self, file: File, facts: Facts) {
        // Before anything is written to it: whoever takes our place must not go on with the old one.
        handoff::register_log(&self.registered, &file);
        (self.file, self.identity, self.name_checked) = (file, facts.identity, Instant::now());
        self.overhang = None;
    }

    /// Makes the file that follows one which has just been renamed.
    fn make_next(&mut self, old: Facts) -> io::Result<()> {
        let restricted = trust::mode_after((old.owner, old.mode), rustix::process::geteuid().as_raw());
        // Not readable for anybody who could not read the last one, not even for a moment.
        match files::open::new(&self.path, restricted.map_or(self.mode, |_| open::PRIVATE_MODE)) {
            Ok(file) => {
                if let Some(mode) = restricted {
                    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
                }
                let facts = open::facts(&file)?;
                self.use_instead(file, facts);
                Ok(())
            }
            // Somebody was faster; what is there is judged like any other file.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.reopen(),
            Err(error) => Err(error),
        }
    }

    fn may_rotate(&self, limits: Limits) -> bool {
        limits.maxbytes > 0 && self.rotate_after.is_none_or(|moment| moment <= Instant::now())
    }

    fn is_full(&self, size: u64, limits: Limits) -> bool {
        self.may_rotate(limits) && size >= limits.maxbytes
    }

    /// Starts a new file. What went wrong, if anything, is for the activity log; writing goes on regardless.
    fn rotate(&mut self, limits: Limits) -> Option<String> {
        let was_failing = self.rotate_after.is_some();
        match self.try_rotate(limits) {
            Ok(()) => {
                self.rotate_after = None;
                None
            }
            Err(error) => {
                self.rotate_after = Some(Instant::now() + ROTATE_AGAIN_AFTER);
                let path = self.path.display();
                let text = format!("could not rotate log file {path}: {error}; trying again in 60 seconds");
                (!was_failing).then_some(text)
            }
        }
    }

    fn try_rotate(&mut self, limits: Limits) -> io::Result<()> {
        if limits.backups == 0 {
            self.overhang = None;
            return Ok(rustix::fs::ftruncate(&self.file, 0)?);
        }
        // Only our own file is moved: if the name leads to another one by now, that is the new file.
        match open::facts_at(&self.path) {
            Ok(facts) if facts.identity == self.identity => {
                rotate::shift(&self.path, limits.backups)?;
                self.make_next(facts)
            }
            _ => self.reopen(),
        }
    }
}
