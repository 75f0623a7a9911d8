//! The filters of system calls that programs of this daemon use: each is built once and not at each start.

use crate::config::seccomp;
use crate::files::open;
use crate::manager::daemon::in_words;
use crate::manager::spawn::confine::Refusal;
use crate::model::confinement::Seccomp;
use crate::model::syscalls::SyscallPolicy;
use crate::sys::syscall_filter::{self, Filter, WeakFilter};
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// Filters that were built. Each stays as long as there is a process that was started with it last; so there are never
/// more of them than processes.
#[derive(Debug, Default)]
pub struct Filters(Mutex<Vec<Built>>);

#[derive(Debug)]
struct Built {
    wanted: Seccomp,
    /// The file that it was built from, if there is one.
    source: Option<Source>,
    filter: WeakFilter,
}

/// What a file is at a moment: one that is written to or put in its place later differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Source {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Times of files may be no finer than this. What has changed a moment ago may change again and not show it.
const COARSE: Duration = Duration::from_secs(2);

impl Filters {
    /// The filter for a value of `seccomp`. A file is opened in any case, and read if it is not as it was before.
    ///
    /// # Errors
    /// What the file says or where it is cannot be used, or the kernel cannot filter.
    pub(super) fn get(&self, wanted: &Seccomp) -> Result<Filter, Refusal> {
        self.get_at(wanted, SystemTime::now())
    }

    fn get_at(&self, wanted: &Seccomp, now: SystemTime) -> Result<Filter, Refusal> {
        let opened = match wanted {
            Seccomp::Service => None,
            Seccomp::File(path) => {
                let (file, metadata) = open(path)?;
                Some((path, file, metadata))
            }
        };
        let source = opened.as_ref().map(|(_, _, metadata)| Source::of(metadata));
        let may_be_kept = source.is_none_or(|source| source.is_settled(now));
        if may_be_kept && let Some(known) = self.known(wanted, source) {
            return Ok(known);
        }
        // Nobody waits for us here: the file system may hang.
        let policy = match opened {
            None => SyscallPolicy::service(),
            Some((path, file, _)) => read(path, file)?,
        };
        let built = syscall_filter::build(&policy);
        let filter = built.map_err(|why| Refusal::ByKernel(format!("seccomp: {why}")))?;
        if may_be_kept {
            self.keep(Built { wanted: wanted.clone(), source, filter: Filter::downgrade(&filter) });
        }
        Ok(filter)
    }

    fn known(&self, wanted: &Seccomp, source: Option<Source>) -> Option<Filter> {
        let all = self.lock();
        all.iter().find(|built| built.is_of(wanted, source))?.filter.upgrade()
    }

    fn keep(&self, new: Built) {
        let mut all = self.lock();
        // Those of programs that are gone or were started with another one since, and what another thread has built meanwhile.
        all.retain(|built| built.filter.strong_count() > 0 && !built.is_of(&new.wanted, new.source));
        all.push(new);
    }

    /// The list is whole whenever the lock can be had.
    fn lock(&self) -> MutexGuard<'_, Vec<Built>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Built {
    fn is_of(&self, wanted: &Seccomp, source: Option<Source>) -> bool {
        self.source == source && self.wanted == *wanted
    }
}

impl Source {
    fn of(metadata: &Metadata) -> Source {
        Source {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether it was changed so long ago that each later change shows in its times.
    fn is_settled(self, now: SystemTime) -> bool {
        let changed =
            u64::try_from(self.changed.0).ok().map(|secs| SystemTime::UNIX_EPOCH + Duration::from_secs(secs));
        changed.and_then(|changed| now.duration_since(changed).ok()).is_some_and(|age| age > COARSE)
    }
}

fn failed(path: &Path, why: &dyn std::fmt::Display) -> Refusal {
    Refusal::OfPath(format!("seccomp {}: {why}", path.display()))
}

fn open(path: &Path) -> Result<(File, Metadata), Refusal> {
    let opened = open::to_read(path).map_err(|error| failed(path, &in_words(&error)))?;
    let (file, _) = opened.ok_or_else(|| failed(path, &"it is not a regular file"))?;
    let metadata = file.metadata().map_err(|error| failed(path, &in_words(&error)))?;
    Ok((file, metadata))
}

/// What it says.
fn read(path: &Path, file: File) -> Result<SyscallPolicy, Refusal> {
    let mut bytes = Vec::new();
    let most = seccomp::LONGEST_FILE;
    file.take(most + 1).read_to_end(&mut bytes).map_err(|error| failed(path, &in_words(&error)))?;
    if bytes.len() as u64 > most {
        return Err(failed(path, &format_args!("it is larger than {} KiB", most >> 10)));
    }
    seccomp::parse(&bytes).map_err(|why| failed(path, &why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::sync::Arc;

    #[test]
    fn a_filter_is_built_once_as_long_as_somebody_uses_it() {
        let filters = Filters::default();
        let get = || filters.get(&Seccomp::Service).unwrap();
        let first = get();
        assert!(Arc::ptr_eq(&first, &get()) && filters.lock().len() == 1);
        drop(first);
        assert_eq!(filters.lock()[0].filter.strong_count(), 0, "the list keeps none alive");
        let again = get();
        assert!(Arc::ptr_eq(&again, &get()) && filters.lock().len() == 1);
    }

    #[test]
    fn a_file_that_changes_counts_at_the_next_start() {
        let files = tempfile::tempdir().unwrap();
        let path = files.path().join("calls");
        let (filters, wanted) = (Filters::default(), Seccomp::File(path.clone()));
        let later = SystemTime::now() + Duration::from_secs(3600);
        fs::write(&path, "@service\n").unwrap();
        let first = filters.get_at(&wanted, later).unwrap();
        assert!(Arc::ptr_eq(&first, &filters.get_at(&wanted, later).unwrap()));
        // Written to, and another one in its place.
        fs::write(&path, "@service\n-socket\n").unwrap();
        let second = filters.get_at(&wanted, later).unwrap();
        assert_ne!(first.len(), second.len());
        let other = files.path().join("other");
        fs::write(&other, "@service\n-ptrace\n").unwrap();
        fs::rename(&other, &path).unwrap();
        let third = filters.get_at(&wanted, later).unwrap();
        assert!(!Arc::ptr_eq(&second, &third));
        assert_eq!(filters.lock().len(), 3);
        drop((first, second));
        fs::write(&path, "nothing\n").unwrap();
        let Err(Refusal::OfPath(why)) = filters.get_at(&wanted, later) else { panic!("it is wrong") };
        assert!(why.starts_with(&format!("seccomp {}: line 1: 'nothing'", path.display())), "{why}");
        fs::write(&path, "execve\n").unwrap();
        let _fourth = filters.get_at(&wanted, later).unwrap();
        assert_eq!(filters.lock().len(), 2, "those that nobody uses are gone");
    }

    #[test]
    fn what_was_changed_a_moment_ago_is_read_again() {
        let files = tempfile::tempdir().unwrap();
        let path = files.path().join("calls");
        fs::write(&path, "execve\n").unwrap();
        let (filters, wanted) = (Filters::default(), Seccomp::File(path));
        let first = filters.get(&wanted).unwrap();
        assert!(!Arc::ptr_eq(&first, &filters.get(&wanted).unwrap()) && filters.lock().is_empty());
    }
}
