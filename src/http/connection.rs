//! One connection, from accepting it to closing it: requests are read, answered in order, and everything
//! that takes too long or grows too large ends.
//!
//! What was asked of the daemon is always carried out to its end, whether or not the client is still there.

use super::admission::Place;
use super::budget::Share;
use super::request::{self, BAD_REQUEST, BODY_MAX, Framing, Head, Refusal, TIMEOUT, TOO_LARGE};
use super::response::{Body, Persistence, Response};
use super::send::Output;
use super::site::{self, Route, Site};
use super::socket::{Peer, Socket, until, within};
use crate::rpc::server::Caller;
use futures_lite::FutureExt;
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// How much is read of a client that was refused, in bytes.
const LINGER_BYTES: usize = 1 << 20;

/// How much is read at a time, in bytes.
const READ_SIZE: usize = 8 << 10;

/// Bodies up to this many bytes are not counted against the budget.
const SMALL_BODY: usize = 64 << 10;

/// A line between chunks is not longer than this, or somebody plays games.
const CHUNK_LINE_MAX: usize = 256;

/// A client and what it has sent so far.
pub struct Connection {
    socket: Arc<Socket>,
    peer: Peer,
    site: Arc<Site>,
    /// What was received and not yet used. Requests may come faster than they are answered.
    input: Vec<u8>,
    /// Held until the first request has been answered: whoever was accepted has most likely sent it already.
    first: Option<async_channel::Sender<()>>,
    _place: Place,
}

/// Why there is no next request.
enum End {
    /// The client left, or was silent for too long: nothing to say.
    Silent,
    Refused(Refusal),
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> End {
        End::Silent
    }
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> End {
        End::Refused(refusal)
    }
}

impl Connection {
    pub fn new(socket: Socket, site: Arc<Site>, place: Place) -> Connection {
        let peer = socket.peer();
        let first = site.context.begin_request();
        Connection { socket: Arc::new(socket), peer, site, input: Vec::new(), first, _place: place }
    }

    /// Serves the client until either side has had enough.
    pub async fn run(mut self) {
        loop {
            let served = match self.next_head().await {
                Ok(head) => self.serve(head).await,
                Err(end) => Err(end),
            };
            // From now on the client may be idle for as long as it likes.
            self.first = None;
            match served {
                Ok(Persistence::Keep) => {}
                Ok(Persistence::Close) => break,
                Err(End::Silent) => return,
                Err(End::Refused(refusal)) => {
                    self.refuse(refusal).await;
                    break;
                }
            }
        }
        self.linger().await;
    }

    /// Waits for the head of a request.
    async fn next_head(&mut self) -> Result<Head, End> {
        let limits = *self.site.context.limits();
        let _waiting = self.site.context.admission().waiting(&self.socket);
        // Some clients end a request with a line break too many; that begins no new one.
        if self.input.iter().all(|byte| b"\r\n".contains(byte)) {
            // An idle connection needs no buffer.
            self.input = Vec::new();
            within(limits.idle, self.socket.readable()).await.ok_or(End::Silent)??;
        }
        let deadline = Instant::now() + limits.head;
        loop {
            if let Some((head, length)) = Head::parse(&self.input)? {
                self.input.drain(..length);
                return Ok(head);
            }
            match until(deadline, self.receive()).await {
                Some(Ok(0)) => return Err(End::Silent),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None if self.input.trim_ascii().is_empty() => return Err(End::Silent),
                None => return Err(TIMEOUT.into()),
            }
        }
    }

    /// Reads more input; how many bytes.
    async fn receive(&mut self) -> io::Result<usize> {
        let filled = self.input.len();
        self.input.resize(filled + READ_SIZE, 0);
        let received = self.socket.read(&mut self.input[filled..]).await;
        self.input.truncate(filled + *received.as_ref().unwrap_or(&0));
        received
    }

    /// Answers one request.
    async fn serve(&mut self, head: Head) -> Result<Persistence, End> {
        let framing = head.framing()?;
        let user = match self.site.admit(&head).await {
            Ok(user) => user,
            // Nothing of the body has been read, so the next request cannot be found.
            Err(response) => return self.send(&head, response, Persistence::Close).await,
        };
        let route = site::route(&head);
        if route == Route::Rpc && framing == Framing::Absent {
            return Err(Refusal(411).into());
        }
        let (body, share) = self.body(&head, framing).await?;
        let _in_progress = self.site.context.begin_request();
        let caller = Caller { peer: self.peer.to_string(), uid: self.peer.uid(), user };
        let response = self.site.answer(route, body, share, &caller).await;
        let keep = head.wants_keep_alive() && !self.site.context.is_leaving() && !self.site.is_closed();
        let persistence = if keep { Persistence::Keep } else { Persistence::Close };
        self.send(&head, response, persistence).await
    }

    /// Reads the body of a request.
    async fn body(&mut self, head: &Head, framing: Framing) -> Result<(Vec<u8>, Option<Share>), End> {
        let expects_continue = head.expects_continue()?;
        if framing == Framing::Absent || framing == Framing::Length(0) {
            return Ok((Vec::new(), None));
        }
        if expects_continue && self.input.is_empty() {
            self.output(1, false).all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let deadline = Instant::now() + self.site.context.limits().body;
        let read = async {
            match framing {
                Framing::Length(length) => self.body_of(length).await,
                _ => self.chunked_body().await,
            }
        };
        until(deadline, read).await.unwrap_or(Err(TIMEOUT.into()))
    }

    async fn body_of(&mut self, length: u64) -> Result<(Vec<u8>, Option<Share>), End> {
        // Not beyond BODY_MAX, or the head would have been refused.
        let length = length as usize;
        let share = if length > SMALL_BODY { Some(self.share(length).await) } else { None };
        // Room for it now, or the buffer would grow to twice what was set aside.
        self.input.reserve_exact((length + READ_SIZE).saturating_sub(self.input.len()));
        while self.input.len() < length {
            self.receive_some().await?;
        }
        let rest = self.input.split_off(length);
        Ok((std::mem::replace(&mut self.input, rest), share))
    }

    async fn share(&self, n_bytes: usize) -> Share {
        self.site.context.budget().take(n_bytes).await
    }

    /// Reads more of a body, which must not end here.
    async fn receive_some(&mut self) -> Result<(), End> {
        match self.receive().await? {
            0 => Err(End::Silent),
            _ => Ok(()),
        }
    }

    async fn chunked_body(&mut self) -> Result<(Vec<u8>, Option<Share>), End> {
        let mut body = Vec::new();
        let mut share = None;
        loop {
            let length = self.chunk_length().await?;
            if length == 0 {
                self.trailers().await?;
                return Ok((body, share));
            }
            let total = body.len() + length;
            if total as u64 > BODY_MAX {
                return Err(TOO_LARGE.into());
            }
            if total > SMALL_BODY && share.is_none() {
                // It may become as large as it likes, so that much is set aside.
                share = Some(self.share(BODY_MAX as usize).await);
            }
            while self.input.len() < length + 2 {
                self.receive_some().await?;
            }
            if &self.input[length..length + 2] != b"\r\n" {
                return Err(BAD_REQUEST.into());
            }
            body.extend_from_slice(&self.input[..length]);
            self.input.drain(..length + 2);
        }
    }

    /// Reads the line before a chunk: the length of the chunk.
    async fn chunk_length(&mut self) -> Result<usize, End> {
        loop {
            match httparse::parse_chunk_size(&self.input) {
                Ok(httparse::Status::Complete((n_bytes, length))) => {
                    self.input.drain(..n_bytes);
                    return usize::try_from(length).map_err(|_| TOO_LARGE.into());
                }
                Ok(httparse::Status::Partial) if self.input.len() < CHUNK_LINE_MAX => {
                    self.receive_some().await?;
                }
                Ok(httparse::Status::Partial) | Err(_) => return Err(BAD_REQUEST.into()),
            }
        }
    }

    /// Reads what follows the last chunk: headers nobody wants, and an empty line.
    async fn trailers(&mut self) -> Result<(), End> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; 16];
            match httparse::parse_headers(&self.input, &mut headers) {
                Ok(httparse::Status::Complete((n_bytes, _))) => {
                    self.input.drain(..n_bytes);
                    return Ok(());
                }
                Ok(httparse::Status::Partial) if self.input.len() < request::HEAD_MAX => {
                    self.receive_some().await?;
                }
                Ok(httparse::Status::Partial) | Err(_) => return Err(BAD_REQUEST.into()),
            }
        }
    }

    /// Sends an answer. What becomes of the connection afterwards: less than was intended if the end of the
    /// answer can only be told by closing.
    async fn send(
        &mut self,
        head: &Head,
        response: Response,
        intended: Persistence,
    ) -> Result<Persistence, End> {
        log::trace!("{} {:?} {:?} {}", self.peer, head.method, head.target, response.status);
        let output = self.output(head.minor, head.method == "HEAD");
        match response.body {
            Body::Follow(_) => {
                let gone = peer_gone(&self.socket);
                let sending = async { output.send(response, Persistence::Close).await.map(drop) };
                let _ = sending.or(gone).await;
                Err(End::Silent)
            }
            _ => Ok(output.send(response, intended).await?),
        }
    }

    fn output(&self, minor: u8, is_head: bool) -> Output<'_> {
        let context = &self.site.context;
        Output { socket: &self.socket, budget: context.budget(), limits: context.limits(), minor, is_head }
    }

    /// Says why a request is not understood.
    async fn refuse(&mut self, refusal: Refusal) {
        log::trace!("{} refused with {}", self.peer, refusal.0);
        // If that cannot be sent, nobody is there to read it.
        let _ = self.output(1, false).send(Response::error(refusal.0), Persistence::Close).await;
    }

    /// Closes the connection so that the last answer arrives.
    async fn linger(&mut self) {
        self.socket.end_output();
        let limit = self.site.context.limits().linger;
        let discard = async {
            let mut n_bytes = 0;
            self.input.resize(READ_SIZE, 0);
            while n_bytes < LINGER_BYTES {
                match self.socket.read(&mut self.input).await {
                    Ok(0) | Err(_) => return,
                    Ok(received) => n_bytes += received,
                }
            }
        };
        let _ = within(limit, discard).await;
    }
}

/// Waits until the client leaves. What it still sends is of no interest: `supervisorctl` ends its requests
/// for logs with an extra line break.
async fn peer_gone(socket: &Socket) -> io::Result<()> {
    let mut ignored = [0; 512];
    while socket.read(&mut ignored).await? > 0 {}
    Ok(())
}
