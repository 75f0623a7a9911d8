//! Notices changes of files for all followers of logs, through one inotify descriptor.
//!
//! A user may have only a limited number of inotify descriptors (128 by default), so all followers share one. Without inotify
//! they read their files once a second.

use crate::rt::{self, Async, Timer};
use async_channel::{Receiver, Sender, TrySendError};
use futures_lite::future;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often a file is read that cannot be watched.
#[cfg(not(test))]
const POLL: Duration = Duration::from_secs(1);
#[cfg(test)]
const POLL: Duration = Duration::from_millis(20);

/// Notifies followers of changes. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watcher(Arc<Mutex<Lazily>>);

#[derive(Debug, Default)]
enum Lazily {
    #[default]
    Unopened,
    Open(Arc<Watches>),
    /// The kernel refused. It is not tried again.
    Unavailable,
}

#[derive(Debug)]
struct Watches {
    inotify: Async<OwnedFd>,
    /// The subscribers of each watch descriptor. Several may watch one file.
    subscribers: Mutex<HashMap<i32, Vec<Subscriber>>>,
}

#[derive(Debug)]
struct Subscriber {
    /// Distinguishes the subscriptions to one file.
    id: u64,
    wake: Sender<()>,
}

/// A subscription to changes of one file. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Changes {
    /// Holds at most one note, however much has changed.
    woken: Receiver<()>,
    registered: Option<Registered>,
}

#[derive(Debug)]
struct Registered {
    watches: Arc<Watches>,
    descriptors: Vec<i32>,
    id: u64,
}

impl Watcher {
    /// Watches the file at `path` for new data, and its directory for a file that replaces it. All changes after this returns
    /// are noticed.
    pub(crate) fn watch(&self, path: &Path) -> Changes {
        let (wake, woken) = async_channel::bounded(1);
        let registered = self.watches().and_then(|watches| Registered::new(watches, path, wake));
        Changes { woken, registered }
    }

    /// A watcher for which the kernel has refused inotify.
    #[cfg(test)]
    pub(crate) fn unavailable() -> Watcher {
        Watcher(Arc::new(Mutex::new(Lazily::Unavailable)))
    }

    fn watches(&self) -> Option<Arc<Watches>> {
        let mut lazily = lock(&self.0);
        if let Lazily::Unopened = *lazily {
            *lazily = Watches::open().map_or(Lazily::Unavailable, Lazily::Open);
        }
        match &*lazily {
            Lazily::Open(watches) => Some(watches.clone()),
            Lazily::Unopened | Lazily::Unavailable => None,
        }
    }
}

impl Changes {
    /// Waits until something may have changed.
    pub(crate) async fn wait(&mut self) {
        match &self.registered {
            Some(_) => {
                // The sender lives as long as the registration, so this ends only with a note.
                let _ = self.woken.recv().await;
            }
            None => {
                Timer::after(POLL).await;
            }
        }
    }
}

impl Registered {
    fn new(watches: Arc<Watches>, path: &Path, wake: Sender<()>) -> Option<Registered> {
        let directory = path.parent()?;
        let replaced = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
        let written = WatchFlags::MODIFY | WatchFlags::ATTRIB | WatchFlags::MOVE_SELF;
        let mut registered = Registered { watches, descriptors: Vec::new(), id: next_id() };
        // If the second fails, dropping takes back the first.
        registered.add(directory, replaced, &wake)?;
        registered.add(path, written, &wake)?;
        Some(registered)
    }

    fn add(&mut self, path: &Path, flags: WatchFlags, wake: &Sender<()>) -> Option<()> {
        // The lock is held around both, or an event could come before its subscriber is registered.
        let mut subscribers = lock(&self.watches.subscribers);
        // MASK_ADD: two followers may want different things of one path.
        let flags = flags | WatchFlags::MASK_ADD;
        let descriptor = inotify::add_watch(&self.watches.inotify, path, flags).ok()?;
        let subscriber = Subscriber { id: self.id, wake: wake.clone() };
        subscribers.entry(descriptor).or_default().push(subscriber);
        self.descriptors.push(descriptor);
        Some(())
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut subscribers = lock(&self.watches.subscribers);
        for descriptor in &self.descriptors {
            let Some(remaining) = subscribers.get_mut(descriptor) else { continue };
            remaining.retain(|subscriber| subscriber.id != self.id);
            if remaining.is_empty() {
                subscribers.remove(descriptor);
                // Fails if the file is gone, and the watch with it.
                let _ = inotify::remove_watch(&self.watches.inotify, *descriptor);
            }
        }
    }
}

fn next_id() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

impl Watches {
    fn open() -> Option<Arc<Watches>> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        let watches =
            Arc::new(Watches { inotify: Async::new_nonblocking(fd).ok()?, subscribers: Mutex::default() });
        rt::spawn(distribute(watches.clone())).detach();
        Some(watches)
    }

    fn notify(&self, descriptor: i32, gone: bool) {
        let mut subscribers = lock(&self.subscribers);
        for subscriber in subscribers.get(&descriptor).into_iter().flatten() {
            wake(subscriber);
        }
        if gone {
            // The kernel may give the number to another file.
            subscribers.remove(&descriptor);
        }
    }

    fn notify_all(&self) {
        lock(&self.subscribers).values().flatten().for_each(wake);
    }
}

fn wake(subscriber: &Subscriber) {
    match subscriber.wake.try_send(()) {
        Ok(()) | Err(TrySendError::Full(())) | Err(TrySendError::Closed(())) => {}
    }
}

/// Distributes the events of the kernel, for as long as the daemon lives.
async fn distribute(watches: Arc<Watches>) {
    while watches.inotify.readable().await.is_ok() {
        let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
        let mut reader = inotify::Reader::new(&watches.inotify, &mut buffer);
        // Ends with EAGAIN when everything is read.
        while let Ok(event) = reader.next() {
            let flags = event.events();
            if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                watches.notify_all();
            } else {
                watches.notify(event.wd(), flags.contains(ReadFlags::IGNORED));
            }
        }
        // A flood of changes must not occupy a thread of the executor.
        future::yield_now().await;
    }
}

/// The data behind these locks is valid whenever the lock can be had, so a panic elsewhere spoils nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
