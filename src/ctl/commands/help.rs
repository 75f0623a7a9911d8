//! `help`: list the commands and show how each is used.

use super::{COMMANDS, Command, Completes, find};
use crate::ctl::error::Outcome;
use crate::ctl::render;
use crate::ctl::session::Session;

pub(super) const COMMAND: Command = Command {
    name: "help",
    forms: &[("help", "Show the list of actions"), ("help <action>", "Show how an action is used")],
    note: "",
    completes: Completes::Commands,
    run,
};

const HEADING: &str = "default commands (type help <topic>):";

fn run(session: &mut Session, arguments: &str) -> Outcome {
    if arguments.is_empty() {
        let names: Vec<&str> = COMMANDS.iter().map(|command| command.name).collect();
        let table = render::columns(&names, 79);
        return Ok(session.screen.line(&format!("\n{HEADING}\n{}\n{table}", "=".repeat(HEADING.len())))?);
    }
    match find(arguments) {
        Some(command) => Ok(session.screen.line(&command.usage())?),
        None => Ok(session.screen.line(&format!("*** No help on {arguments}"))?),
    }
}
