//! Which way a stream's bytes go, and when that changes.

use crate::log::drain::handoff;
use crate::log::sinks::sink::Sink;
use crate::log::stream::LogStream;
use crate::log::stream::batches::{self, Batches};
use crate::log::transform::{Transform, TransformSpec};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Which way bytes go. A variant owns what exists only on that way, so a stream cannot be on two of them.
///
/// A stream begins on one of the first three. It leaves `Splice` for `Memory` if the kernel refuses to splice, `Memory`
/// for `Spool` once the keeper has the spool, and `Spool` for `Memory` if that can be used no more.
#[derive(Debug)]
pub(super) enum Route {
    /// Nowhere: nobody wants them.
    Discard,
    /// From the pipe into the only sink, inside the kernel.
    Splice,
    /// Through our memory. `awaited` is the spool that is on its way to the keeper and not used yet: without the keeper
    /// it would be lost with us. It is `None` if the stream cannot have one.
    Memory { transform: Box<Transform>, awaited: Option<Box<Batches>> },
    /// Through a spool that the keeper holds as well.
    Spool { transform: Box<Transform>, batches: Box<Batches> },
}

/// What is to happen to a route before more bytes take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    UseSpool,
    GiveUpSpool,
}

impl Route {
    pub(super) fn new(spec: TransformSpec, n_sinks: usize, whose: &Arc<str>) -> Route {
        match n_sinks {
            0 if spec.is_transparent() => Route::Discard,
            1 if spec.is_transparent() => Route::Splice,
            _ => Route::through_memory(spec, whose),
        }
    }

    fn through_memory(spec: TransformSpec, whose: &Arc<str>) -> Route {
        Route::Memory { transform: Box::new(Transform::new(spec, Arc::clone(whose))), awaited: None }
    }

    pub(super) fn transform(&self) -> Option<&Transform> {
        match self {
            Route::Discard | Route::Splice => None,
            Route::Memory { transform, .. } | Route::Spool { transform, .. } => Some(transform),
        }
    }

    /// The batches of its spool, whether that is used already or not.
    pub(super) fn batches(&self) -> Option<&Batches> {
        match self {
            Route::Discard | Route::Splice => None,
            Route::Memory { awaited, .. } => awaited.as_deref(),
            Route::Spool { batches, .. } => Some(batches),
        }
    }

    pub(super) fn batches_mut(&mut self) -> Option<&mut Batches> {
        match self {
            Route::Discard | Route::Splice => None,
            Route::Memory { awaited, .. } => awaited.as_deref_mut(),
            Route::Spool { batches, .. } => Some(batches),
        }
    }

    /// What is to happen before the stream of this number is drained.
    fn due_change(&self, id: u64) -> Option<Change> {
        let batches = self.batches()?;
        let is_held = handoff::holds(id);
        // The keeper has no room for it. It may turn out late: what had lain there before was to be seen till then.
        if !is_held && batches.is_overdue() && batches.is_done() {
            return Some(Change::GiveUpSpool);
        }
        match self {
            // What is held back has not been through the spool.
            Route::Memory { transform, .. } if is_held && transform.holds_nothing_back() => {
                Some(Change::UseSpool)
            }
            _ => None,
        }
    }

    /// Whether the spool may still arrive at the keeper, and nothing was read yet that it would have to hold.
    pub(super) fn awaits_spool(&self, id: u64) -> bool {
        match self {
            Route::Memory { transform, awaited: Some(batches) } => {
                transform.holds_nothing_back() && !batches.is_overdue() && !handoff::holds(id)
            }
            _ => false,
        }
    }
}

impl LogStream {
    /// Says what is to be done with the output while there is no manager, where that can be done without one.
    pub(super) fn register(&mut self, held: Option<OwnedFd>) {
        let id = self.ends.id;
        if id == 0 {
            return;
        }
        if matches!(self.route, Route::Discard) {
            return handoff::discard(id);
        }
        // Unless its file is open and the same, or it gets a spool.
        handoff::release(id);
        match &mut self.route {
            Route::Discard | Route::Spool { .. } => {}
            Route::Splice => self.ends.sinks.iter_mut().for_each(|sink| sink.register(id, held.as_ref())),
            Route::Memory { transform, awaited } => *awaited = Batches::create(&self.ends, transform),
        }
    }

    /// Goes on with the spool of a predecessor. What it was writing is found out here, and written by
    /// [`LogStream::finish_writes`] or with the next drain.
    pub(super) fn resume_spool(&mut self, file: OwnedFd) {
        let Some(cursor) = handoff::cursor(self.ends.id) else { return };
        let mut transform = match std::mem::replace(&mut self.route, Route::Discard) {
            Route::Memory { transform, .. } | Route::Spool { transform, .. } => transform,
            // The kernel refused to splice it.
            Route::Discard | Route::Splice => {
                Box::new(Transform::new(TransformSpec::default(), Arc::clone(&self.ends.whose)))
            }
        };
        let size = rustix::fs::fstat(&file).map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0));
        let is_in_use = size > 0;
        if is_in_use {
            self.ends.track(&transform);
        }
        let batches = Box::new(Batches::resume(&self.ends, &mut transform, (file, size), cursor));
        self.route = match is_in_use {
            true => Route::Spool { transform, batches },
            false => Route::Memory { transform, awaited: Some(batches) },
        };
    }

    /// Does what is due before bytes move.
    pub(super) fn update_route(&mut self) {
        match self.route.due_change(self.ends.id) {
            None => {}
            Some(Change::UseSpool) => self.use_spool(),
            Some(Change::GiveUpSpool) => self.give_up_spool(&Errno::MFILE.into()),
        }
    }

    fn use_spool(&mut self) {
        self.route = match std::mem::replace(&mut self.route, Route::Discard) {
            Route::Memory { transform, awaited: Some(batches) } => {
                self.ends.track(&transform);
                Route::Spool { transform, batches }
            }
            other => other,
        };
    }

    /// Goes on without it. What is in it is forgotten.
    pub(super) fn give_up_spool(&mut self, error: &io::Error) {
        batches::warn_once(&self.ends.whose, error);
        handoff::release(self.ends.id);
        self.route = match std::mem::replace(&mut self.route, Route::Discard) {
            Route::Memory { transform, awaited: Some(batches) } | Route::Spool { transform, batches } => {
                batches.close();
                self.ends.sinks.iter_mut().for_each(|sink| sink.track(None, false));
                Route::Memory { transform, awaited: None }
            }
            other => other,
        };
    }

    pub(super) fn stop_splicing(&mut self) {
        self.ends.sinks.iter_mut().for_each(Sink::unregister);
        self.route = Route::through_memory(TransformSpec::default(), &self.ends.whose);
        self.register(None);
    }
}
