//! Receives datagrams together with who sent them, as the kernel vouches for it (unix(7), `SCM_CREDENTIALS`).

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// The process that sent a datagram. Root may have written somebody else there; nobody else can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// 0 if it has no pid here, because it is in a PID namespace outside of ours.
    pub pid: i32,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// What came with the bytes of a datagram.
#[derive(Debug)]
pub struct Datagram {
    /// How many bytes of it are in the buffer.
    pub n_bytes: usize,
    /// Whether it was longer than the buffer.
    pub is_cut: bool,
    /// `None` unless the socket asks for it (`SO_PASSCRED`).
    pub sender: Option<Credentials>,
    /// Descriptors that were sent along, closed on exec. The kernel has closed those beyond the first few.
    pub fds: Vec<OwnedFd>,
}

/// Room for credentials and four descriptors where a header has 16 bytes; as numbers, which are aligned as headers are.
type Ancillary = [u64; 8];

/// Takes the next datagram, without waiting for one.
///
/// # Errors
/// `WouldBlock` if there is none; others are the system's.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Datagram> {
    receive_with(socket, buffer, 0)
}

/// As [`receive`], but leaves the datagram where it is: it is the next one still, for whoever has the socket.
///
/// # Errors
/// As [`receive`].
pub fn peek(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Datagram> {
    receive_with(socket, buffer, libc::MSG_PEEK)
}

fn receive_with(socket: impl AsFd, buffer: &mut [u8], how: libc::c_int) -> io::Result<Datagram> {
    let mut ancillary: Ancillary = [0; 8];
    let mut place = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: every field is a number, or a pointer that may be null.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut place;
    header.msg_iovlen = 1;
    header.msg_control = ancillary.as_mut_ptr().cast();
    header.msg_controllen = size_of::<Ancillary>() as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC | how;
    let n_bytes = loop {
        // SAFETY: the header leads to one place and to the room for ancillary data, both with their lengths, and both
        // outlive the call.
        let got = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut header, flags) };
        match usize::try_from(got) {
            Ok(n_bytes) => break n_bytes,
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    };
    let is_cut = header.msg_flags & libc::MSG_TRUNC != 0;
    let mut datagram = Datagram { n_bytes, is_cut, sender: None, fds: Vec::new() };
    // SAFETY: the kernel has filled in the header and what it leads to.
    unsafe { datagram.take_ancillary(&header) };
    Ok(datagram)
}

impl Datagram {
    /// Takes what came along.
    ///
    /// # Safety
    /// The header was filled in by recvmsg(2) just now, and nobody else has looked at it: its descriptors are nobody's.
    unsafe fn take_ancillary(&mut self, header: &libc::msghdr) {
        // SAFETY: by this function's contract the header is whole.
        let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
        while !next.is_null() {
            // SAFETY: it is not null, so it leads to the head of a message in the room for ancillary data.
            let head = unsafe { next.read_unaligned() };
            // SAFETY: as above. Data stand behind the head.
            let data = unsafe { libc::CMSG_DATA(next) };
            // SAFETY: computes a number.
            let n_head = unsafe { libc::CMSG_LEN(0) } as usize;
            let n_data = (head.cmsg_len as usize).saturating_sub(n_head);
            match (head.cmsg_level, head.cmsg_type) {
                (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) if n_data >= size_of::<libc::ucred>() => {
                    // SAFETY: so many bytes are there, and any bytes are three numbers.
                    let it = unsafe { data.cast::<libc::ucred>().read_unaligned() };
                    self.sender = Some(Credentials { pid: it.pid, uid: it.uid, gid: it.gid });
                }
                (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                    for index in 0..n_data / size_of::<libc::c_int>() {
                        // SAFETY: the number is within the data.
                        let number = unsafe { data.cast::<libc::c_int>().add(index).read_unaligned() };
                        // SAFETY: the kernel has just opened it for this process, and nobody else has its number.
                        self.fds.push(unsafe { OwnedFd::from_raw_fd(number) });
                    }
                }
                _ => {}
            }
            // SAFETY: both are of the same message.
            next = unsafe { libc::CMSG_NXTHDR(header, next) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{
        AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sockopt,
    };
    use std::io::IoSlice;
    use std::mem::MaybeUninit;

    fn pair() -> (OwnedFd, OwnedFd) {
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None).unwrap()
    }

    fn send(socket: &OwnedFd, bytes: &[u8], fds: &[&OwnedFd]) {
        let fds: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            assert!(ancillary.push(SendAncillaryMessage::ScmRights(&fds)));
        }
        rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::empty()).unwrap();
    }

    #[test]
    fn a_datagram_says_who_sent_it_if_the_socket_asks() {
        let (ours, theirs) = pair();
        let mut buffer = [0; 16];
        assert_eq!(receive(&ours, &mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        send(&theirs, b"anonymous", &[]);
        assert_eq!(receive(&ours, &mut buffer).unwrap().sender, None);
        sockopt::set_socket_passcred(&ours, true).unwrap();
        send(&theirs, b"signed", &[]);
        let datagram = receive(&ours, &mut buffer).unwrap();
        assert_eq!(&buffer[..datagram.n_bytes], b"signed");
        let expected = Credentials {
            pid: rustix::process::getpid().as_raw_pid(),
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
        };
        assert_eq!(datagram.sender, Some(expected));
        assert!(!datagram.is_cut && datagram.fds.is_empty());
        // One that is too long shows, and the next one is whole.
        send(&theirs, &[b'x'; 17], &[]);
        send(&theirs, &[b'x'; 16], &[]);
        assert!(receive(&ours, &mut buffer).unwrap().is_cut);
        let datagram = receive(&ours, &mut buffer).unwrap();
        assert_eq!((datagram.n_bytes, datagram.is_cut), (16, false));
    }

    #[test]
    fn descriptors_come_along_closed_on_exec_and_not_too_many() {
        let (ours, theirs) = pair();
        sockopt::set_socket_passcred(&ours, true).unwrap();
        let (read, write) = rustix::pipe::pipe().unwrap();
        send(&theirs, b"2", &[&write, &write]);
        send(&theirs, b"16", &[&write; 16]);
        drop(write);
        let mut buffer = [0; 16];
        let two = receive(&ours, &mut buffer).unwrap();
        assert_eq!(two.fds.len(), 2);
        for fd in &two.fds {
            assert!(rustix::io::fcntl_getfd(fd).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
        }
        let many = receive(&ours, &mut buffer).unwrap();
        assert!(many.sender.is_some() && (2..16).contains(&many.fds.len()), "{many:?}");
        drop((two, many));
        // Nobody holds the pipe any more: neither we nor the kernel has kept one.
        assert_eq!(rustix::io::read(&read, &mut buffer).unwrap(), 0);
    }
}
