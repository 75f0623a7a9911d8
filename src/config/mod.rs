//! Configuration: text in, [`Config`](crate::model::config::Config) out.
//!
//! A file and its includes become a [`Document`]: sections, keys, raw values, each with its place. From it the
//! sections are read one by one, in the order in which Supervisor reads them; reading goes on after an error, so
//! that [`load()`] can show all of them and still name the one Supervisor would have stopped at.
//!
//! Only `reading` opens files, for `load` and `include`, and `trust` asks who else can write to them; only `surroundings` looks at the process and the machine. In reading
//! order: `text`, `values`, `expand` and `environment` (what single values look like), `ini` and `document` (the
//! dialect), `section` (one key: look up, expand, parse), then a file for each kind of section, `load`, and
//! what is done with the result: `diff` for a reread, `dump` and `sample` for people.

mod environment;
mod error;
mod expand;
mod surroundings;
mod text;
pub(crate) mod values;

mod document;
mod ini;
pub(crate) mod schema;
pub(crate) mod section;

mod daemon;
mod fcgi;
mod groups;
mod listeners;
mod programs;
mod servers;
mod streams;

pub mod args;
pub mod command;
pub(crate) mod ctl;
pub(crate) mod hints;
mod include;
pub(crate) mod load;
pub(crate) mod reading;
pub(crate) mod trust;

mod diff;
pub(crate) mod dump;
mod sample;
mod source;

pub use ctl::{CtlConfig, load_ctl};
pub(crate) use daemon::{existing_directory, map_beside, path_with_parent};
pub use diff::{Reread, diff};
pub use document::{Document, Place, SourceFile, Value};
pub use dump::{Origin, Setting};
pub use error::{ConfigError, ConfigErrors};
pub use expand::{Arg, ExpandError, Names, expand};
pub use listeners::EVENT_TYPES;
pub use load::{effective, load, load_at_start, parse, root_warning, settings};
pub use sample::{init_main, sample};
pub use source::ConfigSource;
pub(crate) use source::dump_to_show;
pub use surroundings::Surroundings;
pub use text::repr;
