//! The HTTP side in front of a loop that answers from a table.

mod fake;
#[path = "../support/mod.rs"]
mod support;

mod attacks;
mod audit;
mod calls;
mod clients;
mod ending;
mod protocol;
mod python;
