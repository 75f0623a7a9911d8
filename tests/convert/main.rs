//! Moving in and out: configurations of ours as files of others, and theirs as configurations.

mod command_line;
mod compose;
mod compose_import;
#[path = "../config/corpus.rs"]
#[allow(dead_code)]
mod corpus;
mod imported;
mod kubernetes;
mod large;
mod nomad;
mod pm2;
mod procfile;
mod quadlet;
mod random;
mod samples;
mod schema;
#[path = "../support/mod.rs"]
mod support;
mod systemd;
mod unit_values;
mod validators;
