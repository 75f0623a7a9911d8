//! Tells when somebody has come into a control group, or the last one has left it.
//!
//! The kernel reports changes of `cgroup.events` to whoever watches that file with inotify (cgroups(7)).

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use std::collections::BTreeSet;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

/// Room for a few hundred reports; one of a file has no name and takes 16 bytes.
const BUFFER_BYTES: usize = 4096;

/// Control groups that are watched, through one descriptor. A user may have only a limited number of those.
#[derive(Debug)]
pub struct Changes {
    inotify: Arc<OwnedFd>,
}

/// One control group that is watched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Watch(i32);

impl Changes {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// The system's.
    pub fn open() -> io::Result<Changes> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Changes { inotify: Arc::new(inotify) })
    }

    /// Readable when [`Changes::take`] has something to return.
    pub fn readiness(&self) -> &Arc<OwnedFd> {
        &self.inotify
    }

    /// Watches a control group with all below it. What happens after this returns is told.
    ///
    /// # Errors
    /// The system's; there may be no such group any more.
    pub fn watch(&self, directory: &Path) -> io::Result<Watch> {
        let events = directory.join("cgroup.events");
        Ok(Watch(inotify::add_watch(&self.inotify, events, WatchFlags::MODIFY)?))
    }

    /// Watches a control group no longer.
    pub fn forget(&self, watch: Watch) {
        // Fails if the group is gone, and the watch with it.
        let _ = inotify::remove_watch(&self.inotify, watch.0);
    }

    /// The watches of the groups in which something has changed.
    pub fn take(&self) -> BTreeSet<Watch> {
        let mut told = BTreeSet::new();
        let mut buffer = [MaybeUninit::<u8>::uninit(); BUFFER_BYTES];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        // Ends with EAGAIN when everything is read.
        while let Ok(event) = reader.next() {
            // A group that is gone has nothing to say.
            if !event.events().contains(ReadFlags::IGNORED) {
                told.insert(Watch(event.wd()));
            }
        }
        told
    }
}
