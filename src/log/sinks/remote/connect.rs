//! Finding a receiver and connecting to it, beside whoever waits for that and within a limit of time.

use crate::log::sinks::remote::TcpUdp;
use crate::model::syslog::{Protocol, SyslogTarget};
use crate::rt::{self, Async, Timer};
use async_channel::Sender;
use futures_lite::FutureExt;
use rustix::net::sockopt;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

/// How long the system may take to find the addresses of a name.
const RESOLVING: Duration = Duration::from_secs(10);

/// How long an address may take to answer.
const CONNECTING: Duration = Duration::from_secs(5);

/// For how long a receiver may acknowledge nothing before the connection counts as broken. The kernel's own patience
/// is a quarter of an hour.
const UNACKNOWLEDGED_MILLIS: u32 = 120_000;

/// After so long without a word the kernel asks whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// A host and a port.
type Name = (String, u16);

/// What is kept of an answer.
type Found = Result<Vec<SocketAddr>, Arc<io::Error>>;

/// Who waits for the addresses of a name. While somebody asks for one nobody else does, so a name service that does not
/// answer costs one thread for each name.
static ASKED: LazyLock<Mutex<HashMap<Name, Vec<Sender<Found>>>>> = LazyLock::new(Default::default);

/// Connects to a receiver. Of several addresses of a datagram's receiver nobody can tell which one works, so each
/// `attempt` takes another one.
///
/// # Errors
/// The system's, and that something took too long.
pub(super) async fn connect(target: &SyslogTarget, attempt: usize) -> io::Result<TcpUdp> {
    let addresses = addresses(target).await?;
    match target.protocol {
        Protocol::Udp => {
            // There is at least one.
            let address = addresses[attempt % addresses.len()];
            let any: IpAddr = match address {
                SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            let socket = UdpSocket::bind((any, 0))?;
            socket.connect(address)?;
            Ok(TcpUdp::Udp(Async::new(socket)?))
        }
        Protocol::Tcp => {
            let mut failure = io::Error::from(io::ErrorKind::NotFound);
            for address in addresses {
                match within(CONNECTING, "no answer", Async::<TcpStream>::connect(address)).await {
                    Ok(stream) => {
                        let _ = sockopt::set_tcp_user_timeout(&stream, UNACKNOWLEDGED_MILLIS);
                        let _ = sockopt::set_socket_keepalive(&stream, true);
                        let _ = sockopt::set_tcp_keepidle(&stream, KEEPALIVE);
                        return Ok(TcpUdp::Tcp(stream));
                    }
                    Err(error) => failure = error,
                }
            }
            Err(failure)
        }
    }
}

/// The addresses of a target, at least one.
async fn addresses(target: &SyslogTarget) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = target.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, target.port)]);
    }
    let receiver = ask((target.host.clone(), target.port));
    let answer = async { receiver.recv().await.map_err(|_| io::ErrorKind::BrokenPipe.into()) };
    match within(RESOLVING, "the name service does not answer", answer).await? {
        Ok(addresses) if addresses.is_empty() => Err(io::Error::other("the name has no address")),
        Ok(addresses) => Ok(addresses),
        Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
    }
}

/// Lets the system find the addresses of a name, unless somebody has asked for that already.
fn ask(name: Name) -> async_channel::Receiver<Found> {
    let (sender, receiver) = async_channel::bounded(1);
    let mut asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner);
    let waiting = asked.entry(name.clone()).or_default();
    waiting.push(sender);
    if waiting.len() == 1 {
        rt::spawn(async move {
            let (host, port) = name.clone();
            let found = rt::run_aside(move || (&*host, port).to_socket_addrs().map(Iterator::collect)).await;
            let found = found.and_then(|found: io::Result<Vec<_>>| found).map_err(Arc::new);
            let mut asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner);
            for sender in asked.remove(&name).unwrap_or_default() {
                // Whoever has lost patience is gone.
                let _ = sender.try_send(found.clone());
            }
        })
        .detach();
    }
    receiver
}

/// Waits for something, but not for ever.
async fn within<T>(
    limit: Duration,
    what: &'static str,
    future: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let late = async {
        Timer::after(limit).await;
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("{what} within {} seconds", limit.as_secs())))
    };
    future.or(late).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn target(protocol: Protocol, host: &str, port: u16) -> SyslogTarget {
        SyslogTarget { protocol, host: host.to_string(), port }
    }

    #[test]
    fn names_and_addresses_are_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["127.0.0.1", "localhost"] {
            let connection = rt::block_on(connect(&target(Protocol::Tcp, host, port), 0));
            assert!(matches!(connection, Ok(TcpUdp::Tcp(_))), "{host}: {connection:?}");
        }
        let connection = rt::block_on(connect(&target(Protocol::Udp, "127.0.0.1", port), 3));
        assert!(matches!(connection, Ok(TcpUdp::Udp(_))), "{connection:?}");
        drop(listener);
        let error = rt::block_on(connect(&target(Protocol::Tcp, "127.0.0.1", port), 0)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let error =
            rt::block_on(connect(&target(Protocol::Tcp, "no.such.name.invalid", port), 0)).unwrap_err();
        assert_ne!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn nothing_is_waited_for_for_ever() {
        let never = std::future::pending::<io::Result<()>>();
        let error = rt::block_on(within(Duration::from_millis(10), "no answer", never)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
