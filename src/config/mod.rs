//! Configuration: text in, [`Config`](crate::model::config::Config) out.
//!
//! A file and its includes become a [`Document`]: sections, keys and raw values, each with its place. The sections are
//! then read one by one, in Supervisor's order. Reading goes on after an error, so that [`load()`] can report all
//! errors and still name the one at which Supervisor would have stopped.
//!
//! Only `reading` opens files, for `include`. `trust` checks who else can write to them. Only `surroundings`
//! looks at the process and the machine. In reading order:
//!
//! 1. `text`, `values`, `duration`, `probe`, `expand` and `environment`: single values;
//! 2. `ini` and `document`: the dialect; `aliases`: keys by other names; `defaults`: sections that stand in for others;
//! 3. `section`: one key is looked up, expanded and parsed;
//! 4. a file for each kind of section, `dependencies` between them, and `load`;
//! 5. what uses the result: `diff` for a reread, `update` for what follows from it, `dump` and `sample` for people.

mod environment;
mod error;
mod expand;
mod surroundings;
mod text;
pub(crate) mod values;

pub(crate) mod aliases;
mod defaults;
mod document;
pub mod dotenv;
mod ini;
mod joined;
pub(crate) mod schema;
pub mod seccomp;
pub(crate) mod secrets;
pub(crate) mod section;

mod confinement;
mod daemon;
mod dependencies;
pub(crate) mod duration;
mod fcgi;
mod groups;
mod listeners;
mod overrides;
mod probe;
mod programs;
pub(crate) mod resources;
mod servers;
mod stop_reach;
mod streams;
mod supervision;
mod syslog;

pub mod args;
pub(crate) mod command;
pub(crate) mod ctl;
pub(crate) mod env_file;
mod hints;
mod include;
mod include_errors;
pub(crate) mod load;
pub(crate) mod reading;
mod similar;
pub(crate) mod trust;
pub(crate) mod unknown;

mod diff;
pub(crate) mod dump;
mod sample;
mod scale;
mod source;
mod state_file;
pub mod update;

pub(crate) use ctl::{CtlConfig, load_ctl};
pub(crate) use daemon::{existing_directory, map_beside, path_with_parent};
pub use diff::{Reread, diff, share};
pub use document::{Document, Place, SourceFile, Value};
pub use dump::{Origin, Setting};
pub use error::{ConfigError, ConfigErrors};
pub use expand::{Arg, ExpandError, Names, expand};
pub use include_errors::keep;
pub(crate) use load::search;
pub use load::{effective, interpret_again, load, load_at_start, load_with, parse, root_warning, settings};
pub use overrides::unknown_names;
pub use sample::{init_main, sample};
pub use scale::scale_plan;
pub use source::ConfigSource;
pub(crate) use source::dump_to_show;
pub use state_file::{StateFile, read_state_file};
pub use surroundings::Surroundings;
pub use text::repr;
