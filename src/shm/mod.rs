//! What keeper and manager share: memory with a version, and how the two find each other.
//!
//! [`layout`] is the memory, field by field; each side writes its own half and checks what the other wrote before it uses
//! it. [`link`] is the manager's end, [`slots`] what it leaves there about each process, [`cursor`] how far the output of a
//! program has come. [`handshake`] is how a process is told which side it is.

pub mod cursor;
pub mod handshake;
pub mod layout;
pub mod link;
pub mod slots;
