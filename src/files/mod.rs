//! Files and sockets that a configuration names.
//!
//! The daemon often runs as root, and the directories of its logs and sockets often belong to the users of its
//! programs. Whoever may write to a directory can put a symbolic link, a hard link, a FIFO or a device in the place
//! of any name there, at any moment. So nobody else in the daemon opens, makes, replaces, removes or gives away by a
//! path that a configuration names: all of it goes through here.
//!
//! - [`trust`] decides, from owners and modes alone, whose word a name is.
//! - [`location`] walks to a directory by descriptor, following only links that may be followed, and does everything
//!   else relative to that descriptor.
//! - [`open`] opens logs for writing, reading and clearing, with one judgement for all three.
//! - [`replace`] writes whole small files (pidfile, tables), and removes them.
//! - [`socket`] makes unix sockets, gives them away and removes them.
//!
//! `docs/paths.md` says what this means for each kind of path.

pub mod location;
pub mod open;
pub mod replace;
pub mod socket;
pub mod trust;
