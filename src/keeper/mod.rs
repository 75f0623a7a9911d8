//! The keeper: the process that must not die.
//!
//! It is the parent of every program, the pid in the pidfile, and PID 1 in a container. It reaps, writes every exit
//! into a ledger *before* reaping, holds descriptors, starts the manager again when that dies, and passes signals on.
//! It has one thread, takes no memory after its start, reads no configuration and speaks no protocol. What the manager
//! wrote into shared memory is a hint to it and is bounds-checked.
//!
//! What it shares with the manager is in [`crate::shm`]. Start with [`run`], the loop. [`drain`] moves output to logs
//! while there is no manager, [`end`] stops everything if no manager comes up, and [`watch`] notices a manager that
//! hangs. [`upgrade`] lets a new binary take over. [`detach`] lets the daemon end without its programs, and
//! [`foreground_proxy`] stands in for the keeper where somebody waits for that end. [`boot`] turns a freshly started process
//! into the keeper, and [`guard`] keeps the programs of a daemon that gave up root from reading it.

pub mod boot;
pub mod detach;
pub mod drain;
pub mod end;
pub mod foreground_proxy;
pub mod guard;
pub mod run;
pub mod upgrade;
pub mod watch;
