//! Ctrl-C. It ends the client, except while a command catches it.

use signal_hook::consts::SIGINT;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// What is set up once for the whole process.
struct Handler {
    /// Whether the signal does what it does by default.
    deadly: Arc<AtomicBool>,
    /// Readable once it was caught.
    caught: UnixStream,
}

static HANDLER: OnceLock<Option<Handler>> = OnceLock::new();

/// While this lives, Ctrl-C makes its descriptor readable instead of ending the client.
pub struct Interrupt {
    handler: &'static Handler,
}

impl Interrupt {
    /// Starts to catch; `None` if the system does not let us, and Ctrl-C then does what it always does.
    pub fn catch() -> Option<Interrupt> {
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
