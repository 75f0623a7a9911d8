//! What event listeners hear, and what they answer.
//!
//! An event happens once. Every pool that subscribed to its kind takes it into its own queue, whatever the
//! number of names by which the pool subscribed. The head of a queue goes to the first listener of the pool
//! that is up and READY; that one is BUSY then, until its answer settles the event or puts it back.
//!
//! ```text
//!                 READY LF                  an event is sent
//!  ACKNOWLEDGED ────────────► READY ──────────────────────────► BUSY
//!       ▲                       │                                │ │
//!       │                       │ any byte                       │ │ RESULT n LF, n bytes
//!       │ start of the program  ▼        anything but a result   │ │
//!       └ ─ ─ ─ ─ ─ ─ ─ ─ ─  UNKNOWN ◄───────────────────────────┘ │
//!       ▲                                                          │
//!       └──────────────────────────────────────────────────────────┘
//! ```
//!
//! [`kind`] names what can happen, [`payload`] says how it is written down, [`protocol`] understands what
//! listeners say, and [`pools::Pools`] brings events and listeners together. All of it can be stored at any
//! time and goes on elsewhere: a manager that takes over continues with what its predecessor left.

pub mod kind;
pub mod payload;
pub mod pools;
pub mod protocol;
