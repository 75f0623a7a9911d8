//! The decisions. Facts go in, actions come out; nothing here reads a clock, touches a descriptor or waits.
//!
//! Start with [`process::step`], the life of one process. [`dependencies::Graph`] knows who waits for whom,
//! [`shutdown::Phases`] decides in which order groups end, [`dependencies::StopOrder`] combines the two,
//! [`info_map::ProcessInfoMap`] records which programs are alive, and [`events`] contains the queues of event listeners.

pub mod dependencies;
pub mod events;
pub mod info_map;
pub mod process;
pub mod restart;
pub mod shutdown;

#[cfg(test)]
pub(crate) mod sample;
