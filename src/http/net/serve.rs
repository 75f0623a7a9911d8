//! Accepting clients on a listening socket.

use crate::http::connection::Connection;
use crate::http::context::Context;
use crate::http::guard::admission::Side;
use crate::http::net::listen::Listener;
use crate::http::net::socket::Socket;
use crate::http::site::Site;
use crate::model::config::{HttpAddress, HttpServerConfig};
use crate::rt::{self, Async, Task, Timer};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// The pause after descriptors ran out, in which no client is accepted.
const BREATHER: Duration = Duration::from_millis(100);

/// The pause before the next client on the network is accepted while there are too many. Most clients that are closed
/// reconnect at once; without the pause they would evict each other all the time and keep the processors busy.
const PAUSE: Duration = Duration::from_millis(2);

/// Serves the clients of one listener until the task is cancelled. Existing connections then end with their next answer,
/// because the settings of the server are no longer in force.
pub fn serve(listener: Listener, config: &HttpServerConfig, context: Context) -> Task<()> {
    let section = config.section.clone();
    let (accepting, open) = async_channel::bounded(1);
    let side = match config.address {
        HttpAddress::Inet { .. } => Side::Network,
        HttpAddress::Unix { .. } => Side::Unix,
    };
    let site = Arc::new(Site::new(config, context.on(side), open));
    rt::spawn(async move {
        // Dropped with this task, which closes the channel.
        let _accepting = accepting;
        if let Err(error) = accept_all(listener, site).await {
            log::error!("{section} accepts no more clients: {error}");
        }
    })
}

/// Whether only the owner of the socket and root can connect, so that no password is needed.
fn is_private(address: &HttpAddress) -> bool {
    matches!(address, HttpAddress::Unix { chmod, .. } if chmod & 0o077 == 0)
}

/// Writes the lines with which every new server begins in the activity log.
pub fn announce(config: &HttpServerConfig, context: &Context) {
    for namespace in context.server().namespaces() {
        log::info!("RPC interface '{namespace}' initialized");
    }
    if config.credentials.is_none() && !is_private(&config.address) {
        let section = &config.section;
        crate::crit!("Server '{section}' running without any HTTP authentication checking");
    }
}

/// # Errors
/// Only if the reactor does not take the socket; nothing a client does ends this.
async fn accept_all(listener: Listener, site: Arc<Site>) -> io::Result<()> {
    let listener = Async::new(listener)?;
    loop {
        match accept(&listener).await {
            Ok(fd) => {
                admit(fd, &site).await;
                // Whoever came first is served before the next one is accepted.
                futures_lite::future::yield_now().await;
            }
            Err(error) if is_fleeting(&error) => {}
            Err(error) => {
                let admission = site.context.admission();
                if admission.record_trouble() {
                    log::warn!(
                        "[{}] accepts no more clients until others have gone: {error}",
                        site.section()
                    );
                }
                admission.evict();
                Timer::after(BREATHER).await;
            }
        }
    }
}

/// Begins to serve a client. While there is no room because all others are being served, this client waits, and so do those
/// behind it in the queue of the kernel.
async fn admit(fd: OwnedFd, site: &Arc<Site>) {
    let admission = site.context.admission();
    let permit = loop {
        let room_freed = admission.room_freed();
        let is_worth_reporting = admission.is_worth_reporting();
        if let Some(permit) = admission.admit(site.context.side(), &fd) {
            break permit;
        }
        if is_worth_reporting {
            log::warn!(
                "[{}] accepts no more clients until one of those it serves has its answer",
                site.section()
            );
        }
        // Ends with the sender.
        let _ = room_freed.recv().await;
    };
    let is_crowded = permit.evicted_another();
    match Socket::new(fd) {
        Ok(socket) => {
            let (connection, site) = (Connection::new(socket, site.clone(), permit), site.clone());
            let served = async move {
                connection.run().await;
                if site.context.admission().is_empty() {
                    rt::forget_past_timers().await;
                }
            };
            rt::spawn(served).detach();
        }
        Err(error) => log::warn!("a client could not be served: {error}"),
    }
    if is_crowded && site.context.side() == Side::Network {
        Timer::after(PAUSE).await;
    }
}

async fn accept(listener: &Async<Listener>) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    listener.read_with(|listener| Ok(rustix::net::accept_with(listener, flags)?)).await
}

/// Whether an error of accept(2) concerns only one client.
fn is_fleeting(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::CONNABORTED
                | Errno::INTR
                | Errno::PERM
                | Errno::PROTO
                | Errno::NETDOWN
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::NONET
                | Errno::HOSTUNREACH
                | Errno::OPNOTSUPP
                | Errno::NETUNREACH
        )
    )
}
