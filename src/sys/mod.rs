//! sys

pub mod localtime;
