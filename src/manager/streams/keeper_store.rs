//! What of programs' outputs lies with the keeper: their logs and spools, which it moves output to while there is no
//! manager, and the pipe that busy logs go through.

use crate::log::drain::handoff::{self, KeeperStore};
use crate::log::spool::transfer::{self, Transfer};
use crate::manager::streams::thrift::{self, Thrift};
use crate::model::stream::Stream;
use crate::shm::cursor::Cursor;
use crate::shm::layout::{DRAIN_DISCARD, DRAIN_LEAVE, DRAIN_TO_LOG, DRAIN_TO_SPOOL, Place};
use crate::shm::link::Link;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// What managers among themselves call a stream.
pub(super) fn stream_id(slot: u32, channel: Stream) -> u64 {
    let channel = match channel {
        Stream::Stdout => 1,
        Stream::Stderr => 2,
    };
    u64::from(slot) * 2 + channel
}

/// The slot of a stream with this number, and which of its outputs it is.
fn slot_and_channel(id: u64) -> (u32, u32) {
    // Numbers come from `stream_id`.
    ((id.saturating_sub(1) / 2) as u32, (id.saturating_sub(1) % 2) as u32)
}

pub(super) fn place_of_log(id: u64) -> Place {
    let (slot, channel) = slot_and_channel(id);
    Place::Log(slot, channel)
}

pub(super) fn place_of_queue(id: u64) -> Place {
    let (slot, channel) = slot_and_channel(id);
    Place::Queue(slot, channel)
}

/// Leaves log files and spools with the keeper, which moves programs' output to them while there is no manager.
struct LinkStore(Arc<Link>);

impl KeeperStore for LinkStore {
    fn register_log(&self, streams: &[u64], file: BorrowedFd<'_>) {
        if thrift::level() >= Thrift::Most {
            return streams.iter().for_each(|id| self.release(*id));
        }
        let deposits: Vec<_> = streams.iter().map(|id| (place_of_log(*id), file)).collect();
        let kept = self.0.deposit(&deposits);
        if let Err(error) = &kept {
            ::log::error!("could not leave a log with the keeper: {error}");
        }
        let what = if kept.is_ok() { DRAIN_TO_LOG } else { DRAIN_LEAVE };
        streams.iter().for_each(|id| self.set(*id, what));
    }

    fn confirm_log(&self, stream: u64) {
        let is_kept = thrift::level() < Thrift::Most;
        self.set(stream, if is_kept { DRAIN_TO_LOG } else { DRAIN_LEAVE });
    }

    fn discard(&self, stream: u64) {
        self.set(stream, DRAIN_DISCARD);
    }

    fn release(&self, stream: u64) {
        self.set(stream, DRAIN_LEAVE);
    }

    fn register_spool(&self, stream: u64, spool: BorrowedFd<'_>) -> bool {
        let place = place_of_log(stream);
        if thrift::level() >= Thrift::Most {
            return false;
        }
        // A log may lie there still. If the keeper has no room for the spool it must not be taken for that.
        let kept = self.0.drop_deposits(&[place]).and_then(|()| self.0.deposit(&[(place, spool)]));
        if let Err(error) = &kept {
            ::log::error!("could not leave a spool with the keeper: {error}");
        }
        self.set(stream, if kept.is_ok() { DRAIN_TO_SPOOL } else { DRAIN_LEAVE });
        kept.is_ok()
    }

    fn register_queue(&self, stream: u64, queue: BorrowedFd<'_>) {
        if thrift::level() >= Thrift::Most {
            return;
        }
        if let Err(error) = self.0.deposit(&[(place_of_queue(stream), queue)]) {
            ::log::error!("could not leave a queue with the keeper: {error}");
        }
    }

    fn is_spool(&self, stream: u64) -> bool {
        let (slot, channel) = slot_and_channel(stream);
        self.0.drain(slot, channel) == DRAIN_TO_SPOOL
    }

    fn holds(&self, stream: u64) -> bool {
        self.0.holds(place_of_log(stream))
    }

    fn cursor(&self, stream: u64) -> Option<&Cursor> {
        let (slot, channel) = slot_and_channel(stream);
        self.0.cursor(slot, channel)
    }
}

impl LinkStore {
    fn set(&self, stream: u64, what: u32) {
        let (slot, channel) = slot_and_channel(stream);
        self.0.set_drain(slot, channel, what);
    }
}

/// Lets the keeper move programs' output while there is no manager.
pub fn set_up_handoff(link: &Arc<Link>) {
    handoff::install(Box::new(LinkStore(Arc::clone(link))));
}

/// Takes over the pipe that busy logs go through from an earlier manager, or makes it and leaves it with the
/// keeper. Without it they go the slower way.
pub fn set_up_transfer(link: &Link) {
    let held = [0, 1, 2].map(|number| link.take(Place::Transfer(number)));
    let transfer = match held {
        [Some(read_end), Some(write_end), Some(note)] => Transfer::resume([read_end, write_end, note]),
        _ => new_transfer(link),
    };
    match transfer {
        Ok(transfer) => transfer::install(transfer),
        Err(error) => ::log::warn!("could not prepare a pipe for busy logs: {error}"),
    }
}

fn new_transfer(link: &Link) -> io::Result<Transfer> {
    let transfer = Transfer::create()?;
    let [read_end, write_end, note] = transfer.descriptors();
    let places = [Place::Transfer(0), Place::Transfer(1), Place::Transfer(2)];
    link.deposit(&[(places[0], read_end), (places[1], write_end), (places[2], note)])?;
    Ok(transfer)
}
