//! The HTTP side in front of a loop that answers from a table.

mod client;
mod fake;

mod attacks;
mod audit;
mod calls;
mod clients;
mod ending;
mod protocol;
mod python;
