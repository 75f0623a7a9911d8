//! `quit`: leave the shell.

use super::{Command, Completes, exit};

pub(super) const COMMAND: Command = Command {
    name: "quit",
    forms: &[("quit", "Leave the supervisor shell")],
    note: "",
    completes: Completes::Nothing,
    run: exit::run,
};
