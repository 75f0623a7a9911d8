//! What the kernel knows about a connection and for which there is no safe function.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// How many bytes written to a TCP connection the other side's kernel has not acknowledged (SIOCOUTQ, tcp(7)).
///
/// # Errors
/// The system's; EINVAL for what is no socket.
pub fn n_unacknowledged(socket: impl AsFd) -> io::Result<u64> {
    let mut n_bytes: libc::c_int = 0;
    // SAFETY: this request writes one int to where the pointer leads, and that is one.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut n_bytes) };
    match result {
        0 => Ok(u64::try_from(n_bytes).unwrap_or(0)),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn what_arrived_is_acknowledged() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut theirs, _) = listener.accept().unwrap();
        ours.write_all(b"text").unwrap();
        theirs.read_exact(&mut [0; 4]).unwrap();
        // On the loopback device it is at once, or with a delayed acknowledgement.
        let start = std::time::Instant::now();
        while n_unacknowledged(&ours).unwrap() > 0 {
            assert!(start.elapsed().as_secs() < 10);
            std::thread::yield_now();
        }
        // With a full window some stays.
        ours.set_nonblocking(true).unwrap();
        while ours.write(&[0; 1 << 16]).is_ok() {}
        assert!(n_unacknowledged(&ours).unwrap() > 0);
    }
}
