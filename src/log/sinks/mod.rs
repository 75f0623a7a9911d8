//! Where log bytes end. A [`sink::Sink`] is one such place, whatever kind it is; the other files are the kinds, and what
//! they need to know of files and their names.

pub mod auto;
pub mod device;
mod failures;
pub mod file;
pub mod memory;
pub mod open;
pub mod remote;
pub mod rotate;
pub mod sink;
pub mod syslog;
mod target;
