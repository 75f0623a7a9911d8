//! Deciding. Facts go in, actions come out; nothing here reads a clock, touches a descriptor or waits.
//!
//! [`events`] is what event listeners hear.
//! Start with [`process::step`], the life of one process. [`shutdown::Phases`] says in which order groups end,
//! [`info_map::ProcessInfoMap`] what is alive.

pub mod events;
pub mod info_map;
pub mod process;
pub mod shutdown;

#[cfg(test)]
mod process_table;
#[cfg(test)]
mod process_walk;
#[cfg(test)]
pub(crate) mod sample;
