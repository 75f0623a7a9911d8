//! What people who come from a supervisor in Go type and write, run as they typed and wrote it.
//!
//! `quick_start` is the beginning of both manuals, `memo` a configuration that circulates, `samples` what their `init`
//! writes, and `table` tries every row of the table in `docs/from-go.md`.

#[path = "../support/mod.rs"]
mod support;

mod memo;
mod quick_start;
mod samples;
mod table;

use std::process::Command;
use support::{Daemon, Run, Side, run};

/// Runs the client under the daemon's name, with the file behind `-c`, as `supervisord ctl` or before it.
fn ctl(daemon: &Daemon, words: &[&str]) -> Run {
    let mut command = Side::Ours.daemon();
    command.arg("-c").arg(daemon.conf()).arg("ctl").args(words);
    without_credentials(command.current_dir(daemon.directory()));
    run(&mut command)
}

/// Nothing but the file knows a password.
fn without_credentials(command: &mut Command) {
    command.env_remove("SUPERVISORCTL_PASSWORD").env("NETRC", "/nonexistent");
}
