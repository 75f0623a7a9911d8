//! The commands, one file each: what they accept, what they ask of the daemon, what they print.

mod add;
mod avail;
mod clear;
mod deps;
mod enable;
mod events;
mod exit;
mod fg;
mod groups;
mod health;
mod help;
mod keeper;
mod logtail;
mod maintail;
mod methods;
mod open;
mod pid;
mod plan;
mod quit;
mod reload;
mod remove;
mod reread;
mod restart;
mod run;
mod scale;
mod shutdown;
mod signal;
mod start;
mod status;
mod stop;
mod tail;
mod top;
mod update;
mod upgrade;
mod version;
mod why;

pub(crate) use status::select as status_select;

use crate::ctl::error::Outcome;
use crate::ctl::exit::Exit;
use crate::ctl::orders::{self, Order};
use crate::ctl::session::Session;

/// A command.
pub(crate) struct Command {
    pub name: &'static str,
    /// How it is written, and what each form does.
    pub forms: &'static [(&'static str, &'static str)],
    /// What there is to know beyond the forms; empty if nothing.
    pub note: &'static str,
    pub completes: Completes,
    /// Runs it with its arguments as they were typed.
    pub run: fn(&mut Session, &str) -> Outcome,
}

/// What the words behind a command are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Completes {
    Nothing,
    Commands,
    /// Processes, groups as `group:*`, `all`.
    Processes,
    /// A signal first, processes behind it.
    SignalThenProcesses,
    /// Active groups.
    Groups,
    /// Groups that are configured and not active.
    InactiveGroups,
    /// Both.
    AnyGroups,
    /// Programs, for what stands behind their names.
    Programs,
}

/// All of them, by name.
pub(crate) const COMMANDS: &[&Command] = &[
    &add::COMMAND,
    &avail::COMMAND,
    &clear::COMMAND,
    &deps::COMMAND,
    &enable::DISABLE,
    &enable::ENABLE,
    &events::COMMAND,
    &exit::COMMAND,
    &fg::COMMAND,
    &health::COMMAND,
    &help::COMMAND,
    &keeper::COMMAND,
    &logtail::COMMAND,
    &maintail::COMMAND,
    &methods::COMMAND,
    &open::COMMAND,
    &pid::COMMAND,
    &quit::COMMAND,
    &reload::COMMAND,
    &remove::COMMAND,
    &reread::COMMAND,
    &restart::COMMAND,
    &run::COMMAND,
    &scale::COMMAND,
    &shutdown::COMMAND,
    &signal::COMMAND,
    &start::COMMAND,
    &groups::START,
    &status::COMMAND,
    &stop::COMMAND,
    &groups::STOP,
    &tail::COMMAND,
    &top::COMMAND,
    &update::COMMAND,
    &upgrade::COMMAND,
    &version::COMMAND,
    &why::COMMAND,
];

/// The command of this name. Names are never abbreviated.
pub(crate) fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().copied().find(|command| command.name == name)
}

/// The commands that Supervisor does not have. Nobody's scripts know what they print, so they may be decorated.
const OURS: [&str; 15] = [
    "deps",
    "disable",
    "enable",
    "events",
    "health",
    "keeper",
    "logtail",
    "methods",
    "run",
    "scale",
    "start-group",
    "stop-group",
    "top",
    "upgrade",
    "why",
];

impl Command {
    /// Whether Supervisor has no such command.
    pub(crate) fn is_ours(&self) -> bool {
        OURS.contains(&self.name)
    }

    /// What `help` prints, without the last line end.
    pub(crate) fn usage(&self) -> String {
        let width = self.forms.iter().map(|(form, _)| form.len()).max().unwrap_or(0) + 2;
        let mut lines: Vec<String> =
            self.forms.iter().map(|(form, meaning)| format!("{form:<width$}{meaning}")).collect();
        lines.extend(self.note.lines().map(str::to_string));
        lines.join("\n")
    }
}

/// The words of an argument text.
fn words(arguments: &str) -> Vec<&str> {
    arguments.split_whitespace().collect()
}

/// Parts words into options and the others, wherever they stand.
///
/// # Errors
/// What to tell of an option that is not among the `known` ones.
fn options<'a>(words: Vec<&'a str>, known: &[&str]) -> Result<(Vec<&'a str>, Vec<&'a str>), String> {
    let (options, rest): (Vec<&str>, Vec<&str>) = words.into_iter().partition(|word| word.starts_with("--"));
    match options.iter().find(|option| !known.contains(option)) {
        Some(unknown) => Err(format!("Error: bad argument {unknown}")),
        None => Ok((options, rest)),
    }
}

/// Carries out an order for the processes that are named; `misused` is the status if none are.
fn carry_out(
    session: &mut Session,
    command: &Command,
    order: Order<'_>,
    words: &[&str],
    misused: Exit,
) -> Outcome {
    session.check()?;
    if words.is_empty() {
        let text = format!("Error: {} requires a process name", command.name);
        return session.misused(command, &text, misused);
    }
    orders::carry_out(session, order, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_stand_in_order_and_explain_themselves() {
        assert!(COMMANDS.is_sorted_by_key(|command| command.name));
        for command in COMMANDS {
            assert!(!command.forms.is_empty(), "{}", command.name);
            for (form, meaning) in command.forms {
                assert!(form.starts_with(command.name) && !meaning.is_empty(), "{form}");
            }
        }
    }
}
