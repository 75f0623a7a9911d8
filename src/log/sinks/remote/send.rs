//! The task that sends what waits to its receiver.
//!
//! It sleeps while there is nothing to send. A receiver that does not work is tried again with the
//! [rounds](crate::log::drain::retry), as every other log.
//!
//! If nobody receives a datagram, sending the next one fails, or nothing ever shows. So a datagram counts as arrived when
//! there was no error for a moment, or when the next one was sent without one. After an error the task sends one datagram
//! and waits for its error before it sends more. Over TCP the kernel knows what the other side has acknowledged: the rest
//! is sent again over the next connection.

use crate::log::drain::retry;
use crate::log::sinks::remote::connect::connect;
use crate::log::sinks::remote::{Held, Shared, TcpUdp};
use crate::rt::{Async, Timer};
use crate::sys::clock;
use crate::sys::socket::n_unacknowledged;
use async_channel::Receiver;
use futures_lite::FutureExt;
use rustix::net::sockopt;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an error about a datagram may take to come back.
const ERROR_COMES: Duration = Duration::from_millis(100);

/// So many datagrams are sent in a row, with a pause after them. More than that do not fit into the socket of a
/// receiver as systems make them, and what does not fit is lost without a word.
const BURST: usize = 128;
const BURST_PAUSE: Duration = Duration::from_millis(5);

/// While the kernel has no buffer for a datagram.
const NO_BUFFER_PAUSE: Duration = Duration::from_millis(10);

/// After so many messages the task checks what was acknowledged.
const CHECK_AFTER: usize = 64;

/// How long until the next such check while nothing is sent; twice as long each time.
const FIRST_CHECK: Duration = Duration::from_millis(20);
const LONGEST_CHECK: Duration = Duration::from_secs(1);

/// A connection that breaks sooner has not worked.
const WORKED: Duration = Duration::from_secs(1);

/// A connection, and what was sent over it.
struct Connection {
    socket: TcpUdp,
    since: Instant,
    /// Where messages end that may not have arrived: in the queue, and over TCP in the stream.
    in_flight: VecDeque<(u64, u64)>,
    /// How many bytes were given to the stream.
    n_sent: u64,
    /// Whether something has arrived, as far as we know.
    is_proven: bool,
    /// How long to wait until the next check of what has arrived.
    next_check: Duration,
}

/// Why the task does not rest any more.
enum Woken {
    /// There may be something to be done.
    Work,
    /// Time has passed.
    Due,
    /// The connection is of no use any more.
    Broken(io::Error),
    /// Nobody will give it anything any more, and everything was sent.
    Closed,
}

/// Sends what there is until nobody can give it more.
pub(super) async fn run(shared: Arc<Shared>, wake: Receiver<()>) {
    let mut connection: Option<Connection> = None;
    let mut attempt = 0;
    loop {
        shared.lock().reopen_if_asked(&mut connection);
        let result = if shared.lock().queue.is_sent() {
            match rest(&shared, connection.as_ref(), &wake).await {
                Woken::Work => Ok(()),
                Woken::Due => shared.check_arrival(connection.as_mut()),
                Woken::Broken(error) => Err(error),
                Woken::Closed => return,
            }
        } else {
            match &mut connection {
                Some(connection) => connection.send_all(&shared).await,
                None => connect(&shared.spec.target, attempt).await.map(|socket| {
                    connection = Some(Connection::new(socket));
                }),
            }
        };
        let Err(error) = result else { continue };
        if !shared.is_to_wait(connection.take(), &error) {
            continue;
        }
        attempt = attempt.wrapping_add(1);
        if !next_round(&wake).await {
            return shared.give_up(&mut shared.lock(), "nobody waits for it any more");
        }
    }
}

/// Waits for the next round of trying again; false if nobody will want that any more.
async fn next_round(wake: &Receiver<()>) -> bool {
    let receiver = retry::next_round();
    let round = async {
        let _ = receiver.recv().await;
        true
    };
    let closed = async {
        while wake.recv().await.is_ok() {}
        false
    };
    round.or(closed).await
}

/// Waits while there is nothing to send.
async fn rest(shared: &Shared, connection: Option<&Connection>, wake: &Receiver<()>) -> Woken {
    let due = {
        let mut held = shared.lock();
        held.notify();
        held.health.due()
    };
    let until_due = due.map(|due| Duration::from_nanos(due.saturating_sub(clock::monotonic().0)));
    let until_check = connection
        .filter(|connection| !connection.in_flight.is_empty())
        .map(|connection| connection.next_check);
    let pause = until_due.into_iter().chain(until_check).min();
    let woken = async {
        match wake.recv().await {
            Ok(()) => Woken::Work,
            Err(_) => Woken::Closed,
        }
    };
    let broken = async {
        match connection {
            Some(connection) => Woken::Broken(connection.socket.wait_until_broken().await),
            None => std::future::pending().await,
        }
    };
    let time = async {
        match pause {
            Some(pause) => drop(Timer::after(pause).await),
            None => std::future::pending().await,
        }
        Woken::Due
    };
    woken.or(broken).or(time).await
}

impl Held {
    fn reopen_if_asked(&mut self, connection: &mut Option<Connection>) {
        if !std::mem::take(&mut self.reopens) {
            return;
        }
        if let Some(mut connection) = connection.take() {
            connection.note_arrived(self);
            self.queue.rewind();
        }
    }
}

impl Shared {
    /// Notes that a connection is gone, or was not made: what may not have arrived is to be sent again. Whether that is
    /// to wait for a while.
    fn is_to_wait(&self, connection: Option<Connection>, error: &io::Error) -> bool {
        let mut held = self.lock();
        let has_worked = connection.is_some_and(|mut connection| {
            connection.note_arrived(&mut held);
            matches!(connection.socket, TcpUdp::Tcp(_)) && connection.since.elapsed() >= WORKED
        });
        held.queue.rewind();
        // With nothing to be sent nobody minds. And a receiver that has worked was started anew, perhaps.
        let is_trouble = !has_worked && !held.queue.is_sent();
        if is_trouble {
            let label = &self.label;
            self.in_trouble(&mut held, || {
                format!("could not write {label}: {error}; trying again until it works")
            });
        }
        held.notify();
        is_trouble
    }

    /// Finds out what has arrived by now, and logs what is due.
    fn check_arrival(&self, connection: Option<&mut Connection>) -> io::Result<()> {
        let mut held = self.lock();
        let due = held.health.take_due(clock::monotonic().0);
        self.report(due);
        held.save_note();
        let Some(connection) = connection else { return Ok(()) };
        connection.next_check = (connection.next_check * 2).min(LONGEST_CHECK);
        match &connection.socket {
            TcpUdp::Udp(socket) => {
                sockopt::socket_error(socket)??;
                connection.all_arrived(&mut held);
            }
            TcpUdp::Tcp(_) => connection.note_arrived(&mut held),
        }
        self.works(&mut held);
        Ok(())
    }
}

impl Connection {
    fn new(socket: TcpUdp) -> Connection {
        let next_check = match socket {
            TcpUdp::Udp(_) => ERROR_COMES,
            TcpUdp::Tcp(_) => FIRST_CHECK,
        };
        let (since, in_flight) = (Instant::now(), VecDeque::new());
        Connection { socket, since, in_flight, n_sent: 0, is_proven: false, next_check }
    }

    /// Sends until nothing is left to be sent.
    async fn send_all(&mut self, shared: &Shared) -> io::Result<()> {
        let mut n_messages = 0;
        if let TcpUdp::Tcp(stream) = &self.socket {
            // It may have been closed while nobody looked.
            check_open(stream.get_ref())?;
        }
        while let Some((message, end)) = shared.next_message() {
            match &self.socket {
                TcpUdp::Udp(socket) => send_datagram(socket, &message).await?,
                TcpUdp::Tcp(stream) => send_frame(stream, &message).await?,
            }
            self.n_sent += message.len() as u64;
            n_messages += 1;
            let is_udp = matches!(self.socket, TcpUdp::Udp(_));
            let is_proof = is_udp && !self.is_proven && shared.lock().health.is_down();
            {
                let mut held = shared.lock();
                if is_udp {
                    // The next one was taken without an error about those before it.
                    self.all_arrived(&mut held);
                }
                // What shows whether there is anybody is certain only when it has.
                held.queue.sent(end, !is_proof);
                self.in_flight.push_back((end, self.n_sent));
                if !is_udp && n_messages % CHECK_AFTER == 0 {
                    self.note_arrived(&mut held);
                }
                if !is_proof {
                    shared.works(&mut held);
                }
            }
            if is_proof {
                self.wait_for_error().await?;
                let mut held = shared.lock();
                self.all_arrived(&mut held);
                shared.works(&mut held);
            }
            self.is_proven = true;
            if is_udp && n_messages % BURST == 0 {
                Timer::after(BURST_PAUSE).await;
            }
        }
        if let TcpUdp::Tcp(_) = &self.socket {
            self.next_check = FIRST_CHECK;
            let mut held = shared.lock();
            self.note_arrived(&mut held);
            shared.works(&mut held);
        }
        Ok(())
    }

    /// Waits as long as an error about a datagram may take.
    async fn wait_for_error(&self) -> io::Result<()> {
        let time = async {
            Timer::after(ERROR_COMES).await;
            Ok(())
        };
        let error = async { Err(self.socket.wait_until_broken().await) };
        error.or(time).await
    }

    /// Everything that was sent has arrived, as far as anybody can know.
    fn all_arrived(&mut self, held: &mut Held) {
        if let Some((end, _)) = self.in_flight.drain(..).next_back() {
            held.queue.arrived(end);
        }
    }

    /// Asks the kernel what was acknowledged. Of datagrams it does not know.
    fn note_arrived(&mut self, held: &mut Held) {
        let TcpUdp::Tcp(stream) = &self.socket else { return };
        let Ok(n_left) = n_unacknowledged(stream) else { return };
        let n_acknowledged = self.n_sent.saturating_sub(n_left);
        let mut arrived = None;
        while let Some((end, _)) = self.in_flight.front().filter(|(_, at)| *at <= n_acknowledged) {
            arrived = Some(*end);
            self.in_flight.pop_front();
        }
        if let Some(end) = arrived {
            held.queue.arrived(end);
        }
    }
}

impl Shared {
    /// The message that is to be sent next, and where it ends in the queue; `None` too if the connection is to be
    /// another one.
    fn next_message(&self) -> Option<(Vec<u8>, u64)> {
        let mut held = self.lock();
        let record = if held.reopens { None } else { held.queue.peek() }?;
        Some((self.spec.format.message(record.wall, record.pid, &record.text), record.end))
    }
}

impl TcpUdp {
    /// Waits until the other side has closed the connection, or there is an error. What a receiver says is of no
    /// interest.
    async fn wait_until_broken(&self) -> io::Error {
        loop {
            let result = match self {
                TcpUdp::Udp(socket) => match socket.readable().await {
                    Ok(()) => read_on(socket.get_ref().recv(&mut [0; 512]).map(|_| 1)),
                    Err(error) => Err(error),
                },
                TcpUdp::Tcp(stream) => match stream.readable().await {
                    Ok(()) => check_open(stream.get_ref()),
                    Err(error) => Err(error),
                },
            };
            if let Err(error) = result {
                return error;
            }
        }
    }
}

/// Whether the other side has closed the connection, as far as it is known now.
fn check_open(mut stream: &TcpStream) -> io::Result<()> {
    read_on(stream.read(&mut [0; 512]))
}

fn read_on(result: io::Result<usize>) -> io::Result<()> {
    match result {
        Ok(0) => Err(io::Error::new(ErrorKind::UnexpectedEof, "the receiver has closed the connection")),
        Ok(_) => Ok(()),
        Err(error) if is_temporary(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

async fn send_datagram(socket: &Async<UdpSocket>, message: &[u8]) -> io::Result<()> {
    loop {
        match socket.get_ref().send(message) {
            Ok(_) => return Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                Timer::after(NO_BUFFER_PAUSE).await;
            }
            Err(error) if is_temporary(&error) => socket.writable().await?,
            Err(error) => return Err(error),
        }
    }
}

async fn send_frame(stream: &Async<TcpStream>, frame: &[u8]) -> io::Result<()> {
    let mut rest = frame;
    while !rest.is_empty() {
        // The standard library keeps SIGPIPE away (MSG_NOSIGNAL).
        match stream.get_ref().write(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n_bytes) => rest = &rest[n_bytes..],
            Err(error) if is_temporary(&error) => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
