//! What keeper and manager share: memory with a version, and how the two find each other.
//!
//! [`layout`] is the memory, field by field. Each side writes its own half and checks what the other one wrote before
//! it uses it. [`link`] is the manager's end, [`slots`] are the records of processes in it, and [`cursor`] is how far
//! the output of a program has come. [`handshake`] tells a process which side it is.

pub mod cursor;
mod details;
pub mod handshake;
pub mod layout;
pub mod link;
pub mod slots;
