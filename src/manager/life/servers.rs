//! The HTTP servers of the daemon: opened, changed by a reload, taken over, and closed.

use crate::http;
use crate::http::net::listen::{ListenError, Listener};
use crate::manager::daemon::{Daemon, in_words};
use crate::model::config::{HttpAddress, HttpServerConfig};
use crate::rt::{self, Task};
use crate::shm::layout::Place;
use std::os::fd::AsFd;
use std::path::Path;

/// Those that accept.
#[derive(Default)]
pub struct Servers {
    open: Vec<Server>,
}

struct Server {
    config: HttpServerConfig,
    /// A second descriptor of the same socket, to hand over and to clean up with.
    listener: Listener,
    task: Task<()>,
}

impl Servers {
    /// Accepts nobody any more. The sockets stay: whoever comes now waits in the kernel's queue.
    pub async fn stop_accepting(&mut self) {
        for server in self.open.drain(..) {
            server.task.cancel().await;
        }
    }

    /// Closes all of them and removes their files.
    pub fn close_all(&mut self) {
        self.open.drain(..).for_each(close);
    }

    /// Removes the files of a daemon that does not come up.
    pub fn remove_files(&self) {
        self.open.iter().for_each(|server| server.listener.remove_file());
    }

    /// The files that clients know them by.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.open.iter().filter_map(|server| server.listener.path())
    }
}

impl Daemon {
    /// # Errors
    /// One cannot be opened; none is open then.
    pub fn open_servers(&mut self) -> Result<(), String> {
        for config in self.in_force.config().http_servers.clone() {
            let listener = http::net::listen::open(&config).map_err(|error| {
                self.servers.remove_files();
                self.explained(&error, &config)
            })?;
            self.begin_to_serve(config, listener);
        }
        self.deposit_listeners();
        Ok(())
    }

    /// Supervisor's words for a server that cannot be opened, and behind them which one, where, and why.
    fn explained(&self, error: &ListenError, config: &HttpServerConfig) -> String {
        let place = match &config.address {
            HttpAddress::Inet { host, port } if host.is_empty() => format!("port=*:{port}"),
            HttpAddress::Inet { host, port } => format!("port={host}:{port}"),
            HttpAddress::Unix { file, .. } => format!("file={}", file.display()),
        };
        let twin = self.servers.open.iter().find(|server| server.config.address == config.address);
        let why = match (error, twin) {
            (ListenError::InUse, Some(twin)) => {
                format!(": [{}] has the same address", twin.config.section)
            }
            (ListenError::InUse, None) => ": address already in use".to_string(),
            (ListenError::Os(error), _) => format!(": {}", in_words(error)),
            _ => String::new(),
        };
        format!("{error}\nAt [{}] {place}{why}", config.section)
    }

    /// Takes over the sockets that an earlier manager left with the keeper.
    pub fn restore_servers(&mut self) {
        for (number, config) in self.in_force.config().http_servers.clone().into_iter().enumerate() {
            let place = u16::try_from(number).map(Place::HttpListener);
            match place.ok().and_then(|place| self.link.take(place)) {
                Some(fd) => {
                    let listener = Listener::from_fd(fd, &config);
                    self.serve(config, listener);
                }
                None => ::log::error!("the keeper holds no socket for [{}]", config.section),
            }
        }
    }

    /// For a server that was not there before.
    fn begin_to_serve(&mut self, config: HttpServerConfig, listener: Listener) {
        http::announce(&config, &self.http);
        self.serve(config, listener);
    }

    fn serve(&mut self, config: HttpServerConfig, listener: Listener) {
        let second = match listener.try_clone() {
            Ok(second) => second,
            Err(error) => return ::log::error!("cannot serve [{}]: {error}", config.section),
        };
        let task = http::serve(second, &config, self.http.clone());
        self.servers.open.push(Server { config, listener, task });
    }

    /// Leaves the listening sockets with the keeper, so that no client is refused while there is no manager.
    fn deposit_listeners(&self) {
        let deposits: Vec<_> = (0..Place::MAX_LISTENERS)
            .zip(&self.servers.open)
            .map(|(number, server)| (Place::HttpListener(number), server.listener.as_fd()))
            .collect();
        if let Err(error) = self.link.deposit(&deposits) {
            ::log::error!("could not leave the listening sockets with the keeper: {error}");
        }
    }

    /// Opens the servers of a new configuration; those that stay the same are not touched.
    pub fn update_servers(&mut self) {
        let mut old = std::mem::take(&mut self.servers.open);
        for config in self.in_force.config().http_servers.clone() {
            if let Some(index) = old.iter().position(|server| server.config == config) {
                self.servers.open.push(old.swap_remove(index));
                continue;
            }
            // A changed server on the same address could not be opened beside its old self.
            old.extract_if(.., |server| server.config.address == config.address).for_each(close);
            match http::net::listen::open(&config) {
                Ok(listener) => self.begin_to_serve(config, listener),
                Err(error) => {
                    let why = self.explained(&error, &config);
                    crate::crit!("could not open [{}]: {}", config.section, why.replace('\n', "; "));
                }
            }
        }
        let number = |count: usize| u16::try_from(count).unwrap_or(Place::MAX_LISTENERS);
        let surplus: Vec<Place> = (number(self.servers.open.len())
            ..number(self.servers.open.len() + old.len()))
            .map(Place::HttpListener)
            .collect();
        old.into_iter().for_each(close);
        self.deposit_listeners();
        let _ = self.link.drop_deposits(&surplus);
    }
}

fn close(server: Server) {
    server.listener.remove_file();
    rt::spawn(server.task.cancel()).detach();
}
