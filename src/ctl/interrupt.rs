//! Ctrl-C ends the client, except while a command catches it.

use rustix::event::{PollFd, PollFlags, poll};
use signal_hook::consts::SIGINT;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

/// What is set up once for the whole process.
struct Handler {
    /// Whether the signal does what it does by default.
    deadly: Arc<AtomicBool>,
    /// Readable once it was caught.
    caught: UnixStream,
}

static HANDLER: OnceLock<Option<Handler>> = OnceLock::new();

/// While this lives, Ctrl-C makes its descriptor readable instead of ending the client.
pub(crate) struct Interrupt {
    handler: &'static Handler,
}

impl Interrupt {
    /// Starts to catch; `None` if the system does not let us, and Ctrl-C then does what it always does.
    pub(crate) fn catch() -> Option<Interrupt> {
        let handler = HANDLER.get_or_init(|| install().ok()).as_ref()?;
        // An old signal is no reason to end the next command.
        drain(&handler.caught);
        handler.deadly.store(false, Ordering::SeqCst);
        Some(Interrupt { handler })
    }
}

impl AsFd for Interrupt {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handler.caught.as_fd()
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.handler.deadly.store(true, Ordering::SeqCst);
    }
}

/// What empties the line the cursor is on.
pub(crate) const WIPE: &str = "\r\x1b[K";

/// While this lives, Ctrl-C empties the line on standard error before it ends the client.
pub(crate) struct Wiper {
    /// Closed at the end.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Wiper {
    /// Starts the thread that waits for it: whoever draws the line may wait for the daemon when Ctrl-C comes. `None` if
    /// the system does not let us; then the line stays.
    pub(crate) fn start() -> Option<Wiper> {
        let interrupt = Interrupt::catch()?;
        let (stop, stopped) = UnixStream::pair().ok()?;
        let wait = move || {
            let mut fds = [PollFd::new(&interrupt, PollFlags::IN), PollFd::new(&stopped, PollFlags::IN)];
            while matches!(poll(&mut fds, None), Err(rustix::io::Errno::INTR)) {}
            if !fds[0].revents().is_empty() {
                let _ = io::stderr().write_all(WIPE.as_bytes());
                let _ = signal_hook::low_level::emulate_default_handler(SIGINT);
            }
        };
        let thread = std::thread::Builder::new().spawn(wait).ok()?;
        Some(Wiper { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Wiper {
    fn drop(&mut self) {
        self.stop = None;
        // It does not panic, and ends because the socket was closed.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn install() -> io::Result<Handler> {
    let (caught, write) = UnixStream::pair()?;
    caught.set_nonblocking(true)?;
    let deadly = Arc::new(AtomicBool::new(true));
    signal_hook::flag::register_conditional_default(SIGINT, Arc::clone(&deadly))?;
    signal_hook::low_level::pipe::register(SIGINT, write)?;
    Ok(Handler { deadly, caught })
}

fn drain(mut socket: &UnixStream) {
    let mut bytes = [0; 64];
    while matches!(socket.read(&mut bytes), Ok(1..)) {}
}
