//! How the loop's thread waits: it waits for its own descriptors itself, in one system call.
//!
//! With the runtime's reactor, another thread would see the keeper's doorbell first and then wake this one. That takes
//! as long as everything that the manager does between a program's death and the start of its successor. So the loop
//! runs on [`block_on`] here. A future that waits for a descriptor or a moment says so with [`readable`] and [`until`]
//! each time it is polled, and the thread sleeps in poll(2) with all of these. Everything else that the future waits
//! for (channels, tasks, anything of the runtime's) wakes the thread through a descriptor of its own.

use crate::model::time::Monotonic;
use crate::sys::clock;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::*};
use std::task::{Context, Poll, Wake, Waker};

thread_local! {
    static INTEREST: RefCell<Interest> = const { RefCell::new(Interest::NONE) };
}

/// What the future on this thread waits for since it was polled last.
struct Interest {
    wanted: Vec<Arc<OwnedFd>>,
    /// Those of `wanted` that were found readable and that nobody has asked for since.
    ready: Vec<Arc<OwnedFd>>,
    deadline: Option<Monotonic>,
}

impl Interest {
    const NONE: Interest = Interest { wanted: Vec::new(), ready: Vec::new(), deadline: None };
}

/// Waits until there is something to be read from `fd`. Only below [`block_on`].
pub async fn readable(fd: &Arc<OwnedFd>) {
    poll_fn(|_| {
        INTEREST.with_borrow_mut(|interest| {
            let is_ready = |ready: &Arc<OwnedFd>| ready.as_raw_fd() == fd.as_raw_fd();
            if let Some(index) = interest.ready.iter().position(is_ready) {
                interest.ready.swap_remove(index);
                return Poll::Ready(());
            }
            interest.wanted.push(Arc::clone(fd));
            Poll::Pending
        })
    })
    .await;
}

/// Waits until then; for ever without a moment. Only below [`block_on`].
pub async fn until(deadline: Option<Monotonic>) {
    poll_fn(|_| {
        let Some(deadline) = deadline else { return Poll::Pending };
        if clock::monotonic() >= deadline {
            return Poll::Ready(());
        }
        INTEREST.with_borrow_mut(|interest| {
            interest.deadline = Some(interest.deadline.map_or(deadline, |other| other.min(deadline)));
        });
        Poll::Pending
    })
    .await;
}

/// Runs a future on this thread until it is done.
///
/// # Errors
/// Out of descriptors; nothing has run then.
pub fn block_on<T>(future: impl Future<Output = T>) -> io::Result<T> {
    let bell = Arc::new(Bell { fd: eventfd(0, EventfdFlags::CLOEXEC)?, has_rung: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&bell));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Ok(output);
        }
        let wanted = INTEREST.with_borrow_mut(std::mem::take);
        let ready = bell.wait(wanted);
        INTEREST.with_borrow_mut(|interest| interest.ready = ready);
    }
}

impl Default for Interest {
    fn default() -> Interest {
        Interest::NONE
    }
}

/// Wakes the thread from elsewhere.
struct Bell {
    fd: OwnedFd,
    /// Whether it was rung since the thread was awake, so that it is rung once for any number of reasons.
    has_rung: AtomicBool,
}

impl Wake for Bell {
    fn wake(self: Arc<Bell>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Bell>) {
        if !self.has_rung.swap(true, AcqRel) {
            let _ = rustix::io::write(&self.fd, &1_u64.to_ne_bytes());
        }
    }
}

impl Bell {
    /// Sleeps until it rings, or one of `interest` comes about; which descriptors are readable then.
    fn wait(&self, interest: Interest) -> Vec<Arc<OwnedFd>> {
        let Interest { mut wanted, deadline, .. } = interest;
        let own = PollFd::new(&self.fd, PollFlags::IN);
        let others = wanted.iter().map(|fd| PollFd::new(fd, PollFlags::IN));
        let mut fds: Vec<PollFd<'_>> = std::iter::once(own).chain(others).collect();
        let timeout = deadline.map(|deadline| {
            let rest = deadline.since(clock::monotonic());
            // Beyond 2^63 seconds nobody waits.
            Timespec {
                tv_sec: i64::try_from(rest.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(rest.subsec_nanos()),
            }
        });
        // Interrupted by a signal is as good as woken for nothing.
        let found = poll(&mut fds, timeout.as_ref()).is_ok();
        let is_ready: Vec<bool> = fds.iter().map(|fd| found && !fd.revents().is_empty()).collect();
        if is_ready[0] {
            let mut count = [0; 8];
            let _ = rustix::io::read(&self.fd, &mut count);
        }
        // After the bell is silent, so that what comes from now on rings it again; before the future is polled, so
        // that it sees what came until now.
        self.has_rung.store(false, Release);
        let mut is_ready = is_ready.into_iter().skip(1);
        wanted.retain(|_| is_ready.next().unwrap_or(false));
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::FutureExt;
    use std::time::Duration;

    fn pipe() -> (Arc<OwnedFd>, OwnedFd) {
        let (read, write) = rustix::pipe::pipe().unwrap();
        (Arc::new(read), write)
    }

    #[test]
    fn descriptors_moments_and_other_threads_wake() {
        let (read, write) = pipe();
        let (other, _write_other) = pipe();
        let (sender, receiver) = async_channel::unbounded::<u8>();
        let next = async || {
            let bytes = async {
                readable(&read).await;
                let mut byte = [0];
                rustix::io::read(&*read, &mut byte).unwrap();
                byte[0]
            };
            let never = async {
                readable(&other).await;
                b'!'
            };
            let message = async { receiver.recv().await.unwrap() };
            let moment = async {
                until(Some(clock::monotonic() + Duration::from_millis(20))).await;
                b't'
            };
            bytes.or(never).or(message).or(moment).await
        };
        let seen = block_on(async {
            let mut seen = vec![next().await];
            rustix::io::write(&write, b"ab").unwrap();
            seen.push(next().await);
            seen.push(next().await);
            sender.try_send(b'm').unwrap();
            seen.push(next().await);
            let sender = sender.clone();
            let thread = std::thread::spawn(move || sender.send_blocking(b'n').unwrap());
            loop {
                // It may come after a moment, or several.
                match next().await {
                    b't' => seen.push(b't'),
                    byte => break seen.push(byte),
                }
            }
            thread.join().unwrap();
            seen.dedup();
            seen
        });
        let seen = String::from_utf8(seen.unwrap()).unwrap();
        assert!(seen == "tabmn" || seen == "tabmtn", "{seen}");
    }

    #[test]
    fn a_wake_between_two_polls_is_not_lost() {
        let n_turns = 2000;
        let (sender, receiver) = async_channel::unbounded::<u32>();
        let thread = std::thread::spawn(move || {
            for number in 0..n_turns {
                sender.send_blocking(number).unwrap();
            }
        });
        let sum = block_on(async {
            let mut sum = 0;
            while let Ok(number) = receiver.recv().await {
                sum += number;
            }
            sum
        });
        thread.join().unwrap();
        assert_eq!(sum.unwrap(), n_turns * (n_turns - 1) / 2);
    }
}
