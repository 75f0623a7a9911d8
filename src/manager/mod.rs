//! The manager: everything that decides and everything that is asynchronous.
//!
//! [`launch`] is what the process does that somebody started: it reads the configuration, goes to the background if asked
//! to, and becomes the keeper. The keeper starts a manager, and [`life`] brings it up, afresh or in the place of one that
//! died. [`daemon`] is the loop: it waits for its [`inputs`], lets the core decide, and does what it decided. It has parts,
//! and each part alone writes its fields: the table of [`processes`], [`life`], what is in force ([`saved`]), the
//! [`answers`] that wait until it is saved, what outlives the daemon ([`state_file`]), and what [`spawn`], [`streams`], [`requests`] and [`events`] keep.

pub mod launch;

pub mod answers;
pub mod boot;
pub mod daemon;
pub mod inputs;
pub mod saved;
pub mod state_file;

pub mod life;
pub mod probes;
pub mod processes;
pub mod requests;

pub mod spawn;
pub mod streams;
pub mod texts;

pub mod events;

pub use launch::daemon_main;
pub use life::start::run_if_manager;
