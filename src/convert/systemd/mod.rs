//! systemd's units: a service for each process, targets for groups and for everything, sockets.
//!
//! Out: `keys` says what becomes of each key, `export` makes the files, `service` and `surroundings` the section
//! `[Service]`, `links` what units say of each other, `template` one unit of several that differ by a number.
//!
//! In: `parse` reads units with their drop-ins, `words` and `time` single values; `import` makes programs of them: a
//! `reader` for each, with the directives about commands (`exec`), `life`, what it is `given`, its `sockets` and
//! `dependencies`.

mod dependencies;
mod exec;
pub(super) mod export;
mod given;
mod import;
mod keys;
mod life;
pub(super) mod links;
mod parse;
mod reader;
pub(super) mod service;
mod sockets;
mod surroundings;
pub(super) mod template;
pub(super) mod text;
mod time;
mod words;

use crate::convert::{export as out, import as input};
pub use import::both;

/// Units of systemd.
pub(super) const FORMAT: out::Format =
    out::Format { name: "systemd", comment: "#", keys: keys::KEYS, export: export::export };

/// The same, the other way.
pub(super) const IMPORT: input::Format =
    input::Format { name: "systemd", import: input::Import::Together(import::import) };
