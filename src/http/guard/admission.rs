//! Limits how many descriptors clients hold, and evicts clients when there are too few.
//!
//! Programs need descriptors too, and clients on unix sockets must get in whatever happens on the network. So clients have at
//! most half of all descriptors, those on the network have seven eighths of that half, and neither side takes the last free
//! ones.

use crate::http::net::socket::Socket;
use async_channel::{Receiver, Sender};
use rustix::process::{Resource, getrlimit};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The most descriptors that clients may have, whatever the limit of the process is.
const CLIENTS_MAX: usize = 4096;

/// How many descriptors clients may have at least.
const CLIENTS_MIN: usize = 64;

/// How many descriptors each side may have even if programs hold nearly all.
const KIND_MIN: usize = 8;

/// A shortage that has not recurred for so long is over. The next one is logged again.
const QUIET: Duration = Duration::from_secs(60);

/// Where a client comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Network,
    /// A unix socket, which only users with access to its file can open.
    Unix,
}

/// The order in which clients are evicted: first those that lose the least. The order of the variants matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// It has its last answer.
    Lingering,
    /// It reads a stream, and can reconnect to continue.
    Stream,
    /// It has no request in progress. To the client this looks like an idle timeout.
    Idle,
    /// It is sending the body of a request.
    Body,
    /// Its request is being answered.
    Answer,
}

/// Counts the descriptors of clients, and knows which clients may be evicted. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Admission(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    shares: Shares,
    state: Mutex<State>,
}

/// How the limit on descriptors is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shares {
    /// For all clients together.
    clients: usize,
    /// For clients on the network.
    network: usize,
    /// If a new descriptor has this number or a higher one, the remaining ones are reserved for programs.
    crowded: usize,
}

#[derive(Debug, Default)]
struct State {
    n_network: usize,
    n_unix: usize,
    next: u64,
    /// Clients that may be evicted, by rank and then by age.
    network: BTreeMap<(Rank, u64), Arc<Socket>>,
    unix: BTreeMap<(Rank, u64), Arc<Socket>>,
    /// Tasks that wait for room.
    waiting: Vec<Sender<()>>,
    /// When there last was no room.
    full: Option<Instant>,
}

/// The permit of one connection for its descriptors. Dropping it returns them.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    admission: Admission,
    side: Side,
    n_descriptors: usize,
    /// Whether another client was evicted for it.
    evicted_another: bool,
}

/// How room for a descriptor was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    Found,
    /// A client was evicted.
    Evicted,
}

/// Allows the eviction of a client until this is dropped.
#[derive(Debug)]
pub(crate) struct Evictable {
    admission: Admission,
    side: Side,
    key: (Rank, u64),
}

impl Shares {
    /// Divides the limit. Programs have the other half, and an eighth of all descriptors stays free for them in any case.
    fn of(limit: usize) -> Shares {
        let clients = (limit / 2).clamp(CLIENTS_MIN, CLIENTS_MAX);
        let crowded = limit - (limit / 8).min(256);
        Shares { clients, network: clients - clients / 8, crowded }
    }
}

impl Admission {
    /// Uses the current limit of this process.
    pub(crate) fn new() -> Admission {
        let limit = getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok());
        Admission::with(Shares::of(limit.unwrap_or(usize::MAX)))
    }

    fn with(shares: Shares) -> Admission {
        Admission(Arc::new(Shared { shares, state: Mutex::default() }))
    }

    /// A permit for a connection that was accepted as `fd`. If there is no room, another client is evicted; `None` if none can
    /// be.
    pub(crate) fn admit(&self, side: Side, fd: impl AsFd) -> Option<ConnectionPermit> {
        let number = fd.as_fd().as_raw_fd();
        let room = self.make_room(side, usize::try_from(number).unwrap_or_default())?;
        Some(ConnectionPermit {
            admission: self.clone(),
            side,
            n_descriptors: 1,
            evicted_another: room == Room::Evicted,
        })
    }

    /// Counts one more descriptor of this side, and evicts a client if there is no room. `None` if none can be evicted.
    fn make_room(&self, side: Side, number: usize) -> Option<Room> {
        let mut state = self.lock();
        let has_room = state.has_room(side, number, &self.0.shares);
        if !has_room {
            state.full = Some(Instant::now());
            if !state.close_one(side, &self.0.shares) {
                return None;
            }
        }
        *state.n_of(side) += 1;
        Some(if has_room { Room::Found } else { Room::Evicted })
    }

    /// Whether there is no connection.
    pub(crate) fn is_empty(&self) -> bool {
        let state = self.lock();
        state.n_network + state.n_unix == 0
    }

    /// Evicts the client that loses the least, of the network first. Returns whether there was one.
    pub(crate) fn evict(&self) -> bool {
        let mut state = self.lock();
        state.close_first(Side::Network) || state.close_first(Side::Unix)
    }

    /// Allows the eviction of a client until the result is dropped.
    pub(crate) fn allow_eviction(&self, side: Side, rank: Rank, socket: &Arc<Socket>) -> Evictable {
        let mut state = self.lock();
        let key = (rank, state.next);
        state.next += 1;
        state.evictable(side).insert(key, socket.clone());
        state.wake();
        drop(state);
        Evictable { admission: self.clone(), side, key }
    }

    /// A channel that is closed as soon as there may be room. Call this before [`Admission::admit`], or a change in between is
    /// missed.
    pub(crate) fn room_freed(&self) -> Receiver<()> {
        let (sender, receiver) = async_channel::bounded(1);
        self.lock().waiting.push(sender);
        receiver
    }

    /// Whether a shortage is worth a line in the log, because there was none for a while.
    pub(crate) fn is_worth_reporting(&self) -> bool {
        self.lock().full.is_none_or(|full| full.elapsed() >= QUIET)
    }

    /// Records that a client could not be accepted. Returns whether that is worth a line in the log.
    pub(crate) fn record_trouble(&self) -> bool {
        let is_worth_reporting = self.is_worth_reporting();
        self.lock().full = Some(Instant::now());
        is_worth_reporting
    }

    /// The state is whole between any two operations, so a panic elsewhere spoils nothing.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_room(&self, side: Side, number: usize, shares: &Shares) -> bool {
        let (own, max) = match side {
            Side::Network => (self.n_network, shares.network),
            Side::Unix => (self.n_unix, shares.clients),
        };
        let is_crowded = number >= shares.crowded && own >= KIND_MIN;
        own < max && self.n_network + self.n_unix < shares.clients && !is_crowded
    }

    /// Evicts a client to make room for this side. Returns whether there was one.
    fn close_one(&mut self, side: Side, shares: &Shares) -> bool {
        // What is the network's for sure it keeps: half.
        let network_has_more = self.n_network > shares.clients / 2;
        (side == Side::Unix && network_has_more && self.close_first(Side::Network)) || self.close_first(side)
    }

    fn close_first(&mut self, side: Side) -> bool {
        let first = self.evictable(side).pop_first();
        if let Some((_, socket)) = &first {
            socket.hang_up();
        }
        first.is_some()
    }

    fn evictable(&mut self, side: Side) -> &mut BTreeMap<(Rank, u64), Arc<Socket>> {
        match side {
            Side::Network => &mut self.network,
            Side::Unix => &mut self.unix,
        }
    }

    fn n_of(&mut self, side: Side) -> &mut usize {
        match side {
            Side::Network => &mut self.n_network,
            Side::Unix => &mut self.n_unix,
        }
    }

    /// Wakes all waiting tasks: dropping the senders closes their channels.
    fn wake(&mut self) {
        self.waiting.clear();
    }
}

impl ConnectionPermit {
    pub(crate) fn side(&self) -> Side {
        self.side
    }

    /// Whether another client was evicted for it, which means that there are too many clients.
    pub(crate) fn evicted_another(&self) -> bool {
        self.evicted_another
    }

    /// Counts a descriptor that was opened for this client besides its connection, mostly that of a log. Returns false if there
    /// is no room and no client can be evicted; the caller has to close the descriptor then.
    pub(crate) fn add_descriptor(&mut self, socket: &Socket) -> bool {
        // The lowest number that is free tells how many are taken; a new descriptor gets it.
        let number = socket.lowest_free_descriptor().unwrap_or(usize::MAX);
        let has_room = self.admission.make_room(self.side, number).is_some();
        self.n_descriptors += usize::from(has_room);
        has_room
    }

    /// Returns all descriptors but that of the connection.
    pub(crate) fn release_extra_descriptors(&mut self) {
        self.give_back(self.n_descriptors - 1);
        self.n_descriptors = 1;
    }

    fn give_back(&self, n_descriptors: usize) {
        let mut state = self.admission.lock();
        *state.n_of(self.side) -= n_descriptors;
        state.wake();
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.give_back(self.n_descriptors);
    }
}

impl Drop for Evictable {
    fn drop(&mut self) {
        self.admission.lock().evictable(self.side).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    /// A client of the daemon's and its own end.
    fn client() -> (Arc<Socket>, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (Arc::new(Socket::new(ours.into()).unwrap()), theirs)
    }

    fn is_closed(mut theirs: &UnixStream) -> bool {
        theirs.set_nonblocking(true).unwrap();
        matches!(theirs.read(&mut [0]), Ok(0))
    }

    fn admission(clients: usize) -> Admission {
        Admission::with(Shares { clients, network: clients - clients / 8, crowded: usize::MAX })
    }

    #[test]
    fn programs_and_unix_sockets_have_their_share() {
        for (limit, expected) in [
            (1024, Shares { clients: 512, network: 448, crowded: 896 }),
            (20_000, Shares { clients: 4096, network: 3584, crowded: 19_744 }),
            (64, Shares { clients: 64, network: 56, crowded: 56 }),
        ] {
            assert_eq!(Shares::of(limit), expected);
        }
        let admission = admission(16);
        let (socket, _theirs) = client();
        let admit = |side| admission.admit(side, &*socket);
        let network: Vec<ConnectionPermit> = (0..14).map_while(|_| admit(Side::Network)).collect();
        assert_eq!(network.len(), 14);
        // All of them are served right now: nobody can go.
        assert!(admit(Side::Network).is_none());
        let unix: Vec<ConnectionPermit> = (0..2).map_while(|_| admit(Side::Unix)).collect();
        assert_eq!(unix.len(), 2);
        assert!(admit(Side::Unix).is_none());
        drop(network);
        assert!(admit(Side::Unix).is_some());
    }

    #[test]
    fn the_ones_it_matters_least_to_go_first_and_each_once() {
        let admission = admission(8);
        let clients: Vec<_> = (0..7).map(|_| client()).collect();
        let places: Vec<_> =
            clients.iter().map(|(socket, _)| admission.admit(Side::Network, &**socket).unwrap()).collect();
        let ranks =
            [Rank::Answer, Rank::Body, Rank::Idle, Rank::Idle, Rank::Stream, Rank::Stream, Rank::Lingering];
        let mut yielding: Vec<_> = clients
            .iter()
            .zip(ranks)
            .map(|((socket, _), rank)| admission.allow_eviction(Side::Network, rank, socket))
            .collect();
        // The second idle one asks: it is served, and stays.
        yielding.remove(3);
        let closed = || clients.iter().map(|(_, theirs)| is_closed(theirs)).collect::<Vec<_>>();
        let order = [6, 4, 5, 2, 1, 0];
        for n_gone in 0..=order.len() {
            let expected: Vec<bool> = (0..7).map(|at| order[..n_gone].contains(&at)).collect();
            assert_eq!(closed(), expected);
            assert_eq!(admission.admit(Side::Network, &*clients[0].0).is_some(), n_gone < order.len());
        }
        drop((places, yielding));
        assert!(admission.is_empty());
    }

    #[test]
    fn a_unix_client_may_take_the_place_of_the_networks_but_not_the_other_way_round() {
        let admission = admission(16);
        let (network, theirs) = client();
        let (unix, theirs_unix) = client();
        let _places: Vec<_> = (0..14).map(|_| admission.admit(Side::Network, &*network).unwrap()).collect();
        let _unix: Vec<_> = (0..2).map(|_| admission.admit(Side::Unix, &*unix).unwrap()).collect();
        let _idle = admission.allow_eviction(Side::Unix, Rank::Idle, &unix);
        assert!(admission.admit(Side::Network, &*network).is_none());
        assert!(!is_closed(&theirs_unix));
        let _answer = admission.allow_eviction(Side::Network, Rank::Answer, &network);
        assert!(admission.admit(Side::Unix, &*unix).is_some());
        assert!(is_closed(&theirs) && !is_closed(&theirs_unix));
    }

    #[test]
    fn descriptors_are_counted_and_the_last_ones_left_to_programs() {
        let admission = admission(16);
        let (socket, _theirs) = client();
        let mut permit = admission.admit(Side::Network, &*socket).unwrap();
        assert_eq!((0..100).take_while(|_| permit.add_descriptor(&socket)).count(), 13);
        assert!(admission.admit(Side::Network, &*socket).is_none());
        let room_freed = admission.room_freed();
        permit.release_extra_descriptors();
        assert!(room_freed.is_closed());
        assert!(admission.admit(Side::Network, &*socket).is_some());

        // Every number is one of the last: each kind has a few, and no more.
        let crowded = Admission::with(Shares { clients: 100, network: 90, crowded: 0 });
        for side in [Side::Network, Side::Unix] {
            let places: Vec<_> = (0..20).map_while(|_| crowded.admit(side, &*socket)).collect();
            assert_eq!(places.len(), KIND_MIN);
        }
    }
}
