//! One connection, from accepting to closing: its requests are read and answered in order. A connection that takes too long
//! or sends too much is closed.
//!
//! A request that has reached the daemon is always carried out, whether or not the client is still connected.

use crate::control::audit::Caller;
use crate::http::guard::admission::{ConnectionPermit, Evictable, Rank};
use crate::http::net::socket::{Peer, Socket, until, within};
use crate::http::site::{self, Route, Site};
use crate::http::wire::body::{Incoming, RequestBody};
use crate::http::wire::input::Input;
use crate::http::wire::request::{Framing, HEAD_MAX, Head, Refusal, TIMEOUT, UNAVAILABLE};
use crate::http::wire::response::{Body, Persistence, Response};
use crate::http::wire::send::Output;
use futures_lite::{FutureExt, future};
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// The most that is read from a client after it was refused, in bytes.
const LINGER_BYTES: usize = 1 << 20;

/// The most that is read from a client before it is let in, in bytes.
const EARLY_BYTES: usize = 8 << 10;

/// A connected client, and what it has sent and nobody has used.
pub(super) struct Connection {
    socket: Arc<Socket>,
    peer: Peer,
    site: Arc<Site>,
    input: Input,
    /// Held until the first request has been answered, because most clients have sent it by the time they are accepted.
    first: Option<async_channel::Sender<()>>,
    permit: ConnectionPermit,
}

/// Why a connection has no next request.
#[derive(Debug)]
pub(super) enum End {
    /// The client left or was silent for too long. It gets no answer.
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
    pub(super) fn new(socket: Socket, site: Arc<Site>, permit: ConnectionPermit) -> Connection {
        let peer = socket.peer();
        let first = site.context.begin_request();
        let socket = Arc::new(socket);
        Connection { input: Input::new(socket.clone()), socket, peer, site, first, permit }
    }

    /// Serves the client until the connection ends.
    pub(super) async fn run(mut self) {
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
        let _evictable = self.allow_eviction(Rank::Idle);
        self.skip_line_breaks();
        if self.input.unread().is_empty() {
            self.input.clear();
            within(limits.idle, self.socket.readable()).await.ok_or(End::Silent)??;
        } else {
            // Whoever sends one request after the other without waiting lets others have their turn.
            future::yield_now().await;
        }
        let deadline = Instant::now() + limits.head;
        let mut judged_at = 0;
        loop {
            let received = self.input.unread().len();
            // A head that comes in drops is not looked at with every drop, only when a line or twice as much
            // has come.
            if received >= judged_at {
                if let Some((head, length)) = Head::parse(self.input.unread())? {
                    self.input.consume(length);
                    return Ok(head);
                }
                judged_at = (2 * received).min(HEAD_MAX);
            }
            match until(deadline, self.input.receive()).await {
                Some(Ok(0)) => return Err(End::Silent),
                Some(Ok(n_bytes)) => {
                    let unread = self.input.unread();
                    if unread[unread.len() - n_bytes..].contains(&b'\n') {
                        judged_at = 0;
                    }
                }
                Some(Err(error)) => return Err(error.into()),
                None if received == 0 => return Err(End::Silent),
                None => return Err(TIMEOUT.into()),
            }
            self.skip_line_breaks();
        }
    }

    /// Skips line breaks between requests. Some clients end a request with one too many.
    fn skip_line_breaks(&mut self) {
        let is_line_break = |byte: &&u8| b"\r\n".contains(byte);
        let n_bytes = self.input.unread().iter().take_while(is_line_break).count();
        self.input.consume(n_bytes);
    }

    /// Answers one request.
    async fn serve(&mut self, head: Head) -> Result<Persistence, End> {
        head.check_unambiguous()?;
        let framing = head.framing()?;
        let user = match self.admit(&head).await? {
            Ok(user) => user,
            // Nothing of the body has been read, so the next request cannot be found.
            Err(response) => return self.send(&head, response, Persistence::Close).await,
        };
        let route = site::route(&head);
        if route == Route::Rpc && framing == Framing::Absent {
            return Err(Refusal(411).into());
        }
        let body = self.body(&head, framing).await?;
        let in_progress = self.site.context.begin_request();
        let caller = Caller { peer: self.peer.to_string(), uid: self.peer.uid(), user };
        let response = self.site.answer(route, &head, body, &caller).await;
        let keep = head.wants_keep_alive() && !self.site.context.is_leaving() && !self.site.is_closed();
        let persistence = if keep { Persistence::Keep } else { Persistence::Close };
        if matches!(response.body, Body::Live(_)) {
            // It never ends by itself: nobody is to wait for that.
            drop(in_progress);
            self.first = None;
        }
        self.send(&head, response, persistence).await
    }

    /// Allows closing this client for another one until the result is dropped.
    fn allow_eviction(&self, rank: Rank) -> Evictable {
        self.site.context.admission().allow_eviction(self.permit.side(), rank, &self.socket)
    }

    /// Lets the client in, under the name it gave, or has the answer that it gets instead. That may take a while, and is
    /// given up if the client leaves: it must not keep others waiting.
    async fn admit(&mut self, head: &Head) -> Result<Result<Option<String>, Response>, End> {
        let (site, peer, input) = (&self.site, &self.peer, &mut self.input);
        let admitted = async { Ok(site.admit(head, peer).await) };
        let gone = async {
            // More is not taken of somebody unknown; then nobody notices the end.
            while input.unread().len() < EARLY_BYTES {
                if input.receive().await? == 0 {
                    return Err(End::Silent);
                }
            }
            future::pending().await
        };
        admitted.or(gone).await
    }

    /// Reads the body of a request.
    async fn body(&mut self, head: &Head, framing: Framing) -> Result<RequestBody, End> {
        let expects_continue = head.expects_continue()?;
        if framing == Framing::Absent || framing == Framing::Length(0) {
            return Ok(RequestBody::default());
        }
        if expects_continue && self.input.unread().is_empty() {
            self.output(1, false).write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let _evictable = self.allow_eviction(Rank::Body);
        let context = &self.site.context;
        let incoming = Incoming::new(&mut self.input, context.incoming(), context.limits());
        within(context.limits().body, incoming.read(framing)).await.unwrap_or(Err(TIMEOUT.into()))
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
        let response = self.with_descriptors(response);
        let sent = self.send_counted(head, response, intended).await;
        self.permit.release_extra_descriptors();
        sent
    }

    /// Counts what is open for an answer. Without room for it, it is another answer.
    fn with_descriptors(&mut self, response: Response) -> Response {
        let has_room = (0..response.body.n_descriptors()).all(|_| self.permit.add_descriptor(&self.socket));
        if has_room { response } else { Response::error(UNAVAILABLE.0) }
    }

    async fn send_counted(
        &self,
        head: &Head,
        response: Response,
        intended: Persistence,
    ) -> Result<Persistence, End> {
        let is_live = matches!(response.body, Body::Live(_));
        let _evictable = self.allow_eviction(if is_live { Rank::Stream } else { Rank::Answer });
        let output = self.output(head.minor, head.method == "HEAD");
        match response.body {
            Body::Live(_) => {
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
        Output { socket: &self.socket, budget: context.outgoing(), limits: context.limits(), minor, is_head }
    }

    /// Says why a request is not understood.
    async fn refuse(&mut self, refusal: Refusal) {
        log::trace!("{} refused with {}", self.peer, refusal.0);
        // If that cannot be sent, nobody is there to read it.
        let _ = self.output(1, false).send(Response::error(refusal.0), Persistence::Close).await;
    }

    /// Closes the connection so that the last answer arrives.
    async fn linger(&self) {
        let _evictable = self.allow_eviction(Rank::Lingering);
        self.socket.end_output();
        let limit = self.site.context.limits().linger;
        let discard = async {
            let (mut n_bytes, mut ignored) = (0, [0; 1024]);
            while n_bytes < LINGER_BYTES {
                match self.socket.read(&mut ignored).await {
                    Ok(0) | Err(_) => return,
                    Ok(received) => n_bytes += received,
                }
            }
        };
        let _ = within(limit, discard).await;
    }
}

/// Waits until the client leaves. What it still sends is ignored: `supervisorctl` ends its requests for logs with an extra
/// line break.
async fn peer_gone(socket: &Socket) -> io::Result<()> {
    let mut ignored = [0; 512];
    while socket.read(&mut ignored).await? > 0 {}
    Ok(())
}
