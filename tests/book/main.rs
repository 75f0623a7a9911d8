//! The book under `docs/book`, and the documents beside it: their links lead somewhere, their examples work, and the
//! reference holds every key and every command.
//!
//! A comment before a block of code says what this test does with it:
//!
//! | comment | block |
//! | --- | --- |
//! | `<!-- check -->` | a whole configuration: `supervisord check` finds nothing in it but what this machine lacks |
//! | `<!-- file: NAME -->` | a file for the commands of the same page; a configuration is checked as well |
//! | `<!-- run -->` | shell commands; those of a page run one after the other in one directory |
//! | `<!-- run, status N -->` | the same, and the last of them leaves N |
//! | `<!-- prints -->` | what the commands before it print; other numbers are as good |
//! | `<!-- part: REASON -->` | some lines of a configuration |
//! | `<!-- not run: REASON -->` | anything that cannot be tried here |
//!
//! `<!-- until: COMMAND -->` waits between two blocks, as a reader does. Only blocks of plain text need no comment.

#[path = "../support/mod.rs"]
mod support;

mod document;
mod examples;
mod links;
mod reference;
