//! One try over TCP, HTTP or a unix socket, or for a file. No process is needed, and nobody is blocked.
//!
//! What fails is told in few words for people. A future that is dropped closes its sockets; only a question that a thread
//! asks the system goes on until it is answered.

use crate::files;
use crate::model::probe::{HttpProbe, Probe};
use crate::model::time::in_short;
use crate::probe::network::questions::Questions;
use crate::rt::{self, Async, Timer};
use crate::sys::mounts;
use futures_lite::{FutureExt, future};
use std::ffi::OsString;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

mod http;
mod questions;

/// An address that has not answered for so long is not waited for alone: the next one is tried, too.
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// More addresses of a name are not tried.
const MOST_ADDRESSES: usize = 8;

/// How long to wait for room in the queue of a unix socket; twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What the system was asked about names and paths and has not answered yet.
static NAMES: Questions<Vec<SocketAddr>> = Questions::new();
static PATHS: Questions<Seen> = Questions::new();

/// What there is under a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// It exists, or accepts connections.
    There,
    /// Others wait to be accepted, and there is no room for one more.
    Full,
}

/// Makes one try. It ends with the timeout, whatever the other side does.
///
/// # Errors
/// What is wrong, in a few words: `connection refused`, `no answer within 3s`, `status 503, expected 200-399`. Probes
/// that are not made from here (commands, and what programs report by themselves) say so.
pub async fn try_once(probe: &Probe, timeout: Duration) -> Result<(), String> {
    match probe {
        Probe::Tcp { host, port } => within(timeout, tcp(host, *port)).await,
        Probe::Unix(path) => within(timeout, unix(path)).await,
        Probe::File(path) => within(timeout, file(path)).await,
        Probe::Http(probe) => {
            let answer = within(timeout, http::ask(probe)).await?;
            // What was found out does not depend on it any more.
            let _ = within(http::REST_COMES, answer.hear_out()).await;
            answer.judge(probe)
        }
        Probe::Exec(_) | Probe::Log(_) | Probe::Notify | Probe::Fd(_) => {
            Err("the program itself is to say so".to_string())
        }
    }
}

/// Whether somebody accepts connections at a port.
///
/// # Errors
/// Why not.
pub async fn tcp(host: &str, port: u16) -> Result<(), String> {
    connect(host, port).await.map(drop)
}

/// Whether the answer to a GET has one of the statuses that are good.
///
/// # Errors
/// Why not.
pub async fn http(probe: &HttpProbe) -> Result<(), String> {
    http::ask(probe).await?.judge(probe)
}

/// Whether somebody accepts connections at a unix socket, however long its path is.
///
/// # Errors
/// Why not.
pub async fn unix(path: &Path) -> Result<(), String> {
    let mut pause = FIRST_PAUSE;
    loop {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let seen = if mounts::exists_in_cache(directory.unwrap_or(Path::new("."))) == Some(true) {
            try_socket(path)?
        } else {
            let owned = path.to_path_buf();
            PATHS.ask(question("socket", path), move || try_socket(&owned)).await?
        };
        if seen == Seen::There {
            return Ok(());
        }
        // Nobody tells when there is room (connect(2), EAGAIN).
        Timer::after(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn try_socket(path: &Path) -> Result<Seen, String> {
    match files::socket::connect(path, rustix::net::SocketType::STREAM) {
        Ok(_) => Ok(Seen::There),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Seen::Full),
        Err(error) => Err(told(&error)),
    }
}

/// Whether something has this name; symbolic links are followed, and nothing is opened.
///
/// # Errors
/// Why not: `it does not exist`.
pub async fn file(path: &Path) -> Result<(), String> {
    match mounts::exists_in_cache(path) {
        Some(true) => return Ok(()),
        Some(false) => return Err(told(&ErrorKind::NotFound.into())),
        None => {}
    }
    let owned = path.to_path_buf();
    let look = move || owned.metadata().map(|_| Seen::There).map_err(|error| told(&error));
    PATHS.ask(question("file", path), look).await.map(drop)
}

/// The same path is asked about in two ways.
fn question(kind: &str, path: &Path) -> OsString {
    let mut question = OsString::from(kind);
    question.push(path);
    question
}

/// Waits for something, but not longer than this.
async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let mut work = pin!(work);
    // Most answers are there at once, and need no timer.
    if let Some(result) = future::poll_once(&mut work).await {
        return result;
    }
    let _forgets = Forgets;
    let late = async {
        Timer::after(limit).await;
        Err(format!("no answer within {}", in_short(limit)))
    };
    work.or(late).await
}

/// Sees to it, when it is dropped, that timers which are not waited for any more wake nobody.
struct Forgets;

impl Drop for Forgets {
    fn drop(&mut self) {
        rt::spawn(rt::forget_past_timers()).detach();
    }
}

/// Connects to one of the addresses of a host.
async fn connect(host: &str, port: u16) -> Result<Async<TcpStream>, String> {
    first_of(&addresses(host, port).await?).await.map_err(|error| told(&error))
}

/// The addresses of a host, at least one. Only a name that has to be looked up needs a thread.
async fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    if host.eq_ignore_ascii_case("localhost") {
        // Whichever of them a program listens on.
        let both: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        return Ok(both.map(|address| SocketAddr::new(address, port)).to_vec());
    }
    let name = host.to_string();
    let look_up = move || {
        let found = (&*name, 0).to_socket_addrs();
        let found: Vec<SocketAddr> = found.map_err(|error| format!("{name}: {}", told(&error)))?.collect();
        if found.is_empty() { Err(format!("{name} has no address")) } else { Ok(found) }
    };
    let mut found = NAMES.ask(host.into(), look_up).await?;
    found.truncate(MOST_ADDRESSES);
    found.iter_mut().for_each(|address| address.set_port(port));
    Ok(found)
}

type Attempt = Pin<Box<dyn Future<Output = io::Result<Async<TcpStream>>> + Send>>;

/// Connects to the first of the addresses that answers. They are tried in turn; one that keeps silent does not hold
/// the others up. The error is that of the first that failed.
async fn first_of(addresses: &[SocketAddr]) -> io::Result<Async<TcpStream>> {
    let mut addresses = addresses.iter();
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut failure = None;
    loop {
        match addresses.next() {
            Some(address) => attempts.push(Box::pin(attempt(*address))),
            None if attempts.is_empty() => {
                return Err(failure.unwrap_or_else(|| ErrorKind::NotFound.into()));
            }
            None => {}
        }
        let is_last = addresses.len() == 0;
        let next_is_due = async {
            if is_last {
                future::pending::<()>().await;
            }
            Timer::after(NEXT_ADDRESS).await;
            None
        };
        match async { Some(any(&mut attempts).await) }.or(next_is_due).await {
            Some(Ok(stream)) => return Ok(stream),
            Some(Err(error)) => failure = failure.or(Some(error)),
            None => {}
        }
    }
}

/// Waits until one of them is done, and takes it out.
async fn any(attempts: &mut Vec<Attempt>) -> io::Result<Async<TcpStream>> {
    poll_fn(|context| {
        for index in 0..attempts.len() {
            if let Poll::Ready(result) = attempts[index].as_mut().poll(context) {
                drop(attempts.swap_remove(index));
                return Poll::Ready(result);
            }
        }
        Poll::Pending
    })
    .await
}

async fn attempt(address: SocketAddr) -> io::Result<Async<TcpStream>> {
    let stream = Async::<TcpStream>::connect(address).await?;
    if is_own_echo(stream.get_ref()) {
        return Err(ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

/// Whether a socket has connected to itself: where nobody listens on a port from which the kernel chooses those of
/// clients, it sometimes chooses the very one that is being asked.
fn is_own_echo(stream: &TcpStream) -> bool {
    matches!((stream.local_addr(), stream.peer_addr()), (Ok(own), Ok(other)) if own == other)
}

/// An error in a few words, without its number.
fn told(error: &io::Error) -> String {
    let known = match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused",
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "connection reset",
        ErrorKind::TimedOut => "no answer",
        ErrorKind::NotFound if error.get_ref().is_none() => "it does not exist",
        _ => {
            let text = error.to_string();
            let text = text.split(" (os error ").next().unwrap_or_default();
            let mut letters = text.chars();
            // An abbreviation stays as it is.
            return match (letters.next(), letters.next()) {
                (Some(first), Some(second)) if second.is_lowercase() => {
                    format!("{}{second}{}", first.to_lowercase(), letters.as_str())
                }
                _ => text.to_string(),
            };
        }
    };
    known.to_string()
}

#[cfg(test)]
mod tests;
