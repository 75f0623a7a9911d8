//! Files and sockets that a configuration names.
//!
//! The daemon often runs as root, and the directories of its logs and sockets often belong to the users of its
//! programs. Whoever may write to a directory can replace any name in it by a symbolic link, a hard link, a FIFO or a
//! device, at any moment. So all code that opens, makes, replaces, removes or gives away something by a path from a
//! configuration goes through this folder.
//!
//! - [`trust`] decides, from owners and modes alone, who controls a name.
//! - [`location`] walks to a directory by descriptor, follows only links that may be followed, and does everything else
//!   relative to that descriptor.
//! - [`open`] opens logs for writing, reading and clearing, with the same checks for all three.
//! - [`private`] makes directories in memory for the credentials of programs, and removes them.
//! - [`replace`] writes whole small files (pidfile, tables), and removes them.
//! - [`socket`] makes unix sockets, gives them away and removes them.
//!
//! `docs/paths.md` says what this means for each kind of path.

pub mod location;
pub mod open;
pub mod private;
pub mod replace;
pub mod socket;
pub mod trust;
