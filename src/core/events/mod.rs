//! The events that listeners receive, and their answers.
//!
//! Every pool that subscribed to the type of an event takes the event into its own queue, and takes it once even if
//! several of its subscriptions match. The head of a queue goes to the first listener of the pool that is up and READY.
//! That listener is then BUSY, until its answer either acknowledges the event or puts it back.
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
//! [`crate::model::event`] names the types of events, [`payload`] writes an event down, [`protocol`] parses what listeners
//! send, and [`pools::Pools`] brings events and listeners together. All of this can be saved at any time and continued elsewhere:
//! a manager that takes over continues with the state of its predecessor.

pub mod payload;
pub mod pools;
pub mod protocol;
