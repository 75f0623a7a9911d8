//! `supervisord check`: reports everything that is wrong with a configuration, at once, and starts nothing.
//!
//! `written` looks at the text, `effective` at what it means on this machine.

mod client;
mod commands;
mod confinement;
mod effective;
mod identity;
mod problem;
mod servers;
mod state_file;
mod written;

pub use problem::{Problem, Severity};

use crate::config::args::CheckArgs;
use crate::config::dump::dump;
use crate::config::load::{Read, read};
use crate::config::reading::Readable;
use crate::config::{Surroundings, dump_to_show};
use crate::model::config::Level;
use crate::model::visible::for_stream;
use serde_json::json;
use std::io::Write;
use std::process::ExitCode;

/// What a check found out.
#[derive(Debug)]
pub struct Report {
    /// The main file, if one was found.
    pub file: Option<String>,
    /// By file and line.
    pub problems: Vec<Problem>,
    /// The effective configuration as a file that loads again, if it was asked for and there are no errors.
    pub dump: Option<String>,
}

impl Report {
    fn count(&self, severity: Severity) -> usize {
        self.problems.iter().filter(|problem| problem.severity == severity).count()
    }

    /// 2 if there are errors, 1 if there are warnings and `strict` asks for it, else 0.
    pub fn status(&self, strict: bool) -> u8 {
        match (self.count(Severity::Error), self.count(Severity::Warning)) {
            (0, 0) => 0,
            (0, _) => u8::from(strict),
            _ => 2,
        }
    }
}

/// Checks the configuration that the command line names, prints, and gives the exit status.
pub fn main(args: &CheckArgs) -> ExitCode {
    let report = check(args, &Surroundings::of_this_process());
    let mut out = std::io::stdout().lock();
    // Nobody reading it does not change the verdict.
    let _ = match (&report.dump, args.json) {
        (Some(dump), _) => out.write_all(dump.as_bytes()),
        (None, true) => out.write_all(as_json(&report).as_bytes()),
        (None, false) => out.write_all(for_stream(&out, &as_text(&report)).as_bytes()),
    };
    ExitCode::from(report.status(args.strict))
}

/// Reads the configuration and looks for everything that is wrong.
pub fn check(args: &CheckArgs, surroundings: &Surroundings) -> Report {
    let Read { document, outcome, left_out } = match read(&args.daemon, surroundings, Readable::Pipes) {
        Ok(read) => read,
        Err(errors) => {
            let problems = errors.iter().cloned().map(Problem::from).collect();
            return Report { file: args.daemon.configuration.clone(), problems, dump: None };
        }
    };
    let errors = outcome.errors.into_iter().chain(left_out);
    let mut problems: Vec<Problem> = errors.map(Problem::from).map(explained).collect();
    let notes = outcome.notes.into_iter().filter(|note| note.message.level >= Level::Warn);
    for problem in notes.map(Problem::from) {
        // The warnings about a program come once for each of its processes.
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    problems.extend(written::problems(&document, &args.daemon, surroundings));
    problems.extend(client::problems(&document, outcome.config.as_ref(), args, surroundings));
    if let Some(config) = &outcome.config {
        problems.extend(effective::problems(&document, config));
        problems.extend(servers::problems(&document, config));
    }
    let order = |problem: &Problem| {
        let file = document.files().iter().position(|file| Some(&file.name) == problem.file.as_ref());
        (file, problem.line)
    };
    problems.sort_by_key(order);
    Report {
        file: document.files().first().map(|file| file.name.display().to_string()),
        problems,
        dump: outcome.config.filter(|_| args.dump).map(|_| {
            let write = if args.show_secrets { dump } else { dump_to_show };
            write(&document, &args.daemon, surroundings)
        }),
    }
}

/// An error with what it means where Supervisor's words do not say it.
fn explained(mut problem: Problem) -> Problem {
    // The list of what could have been used is long, and what could not is a variable that somebody forgot.
    let unset = problem.text.split_once("contains names ('ENV_").and_then(|(_, rest)| rest.split_once('\''));
    if let Some((variable, _)) = unset.filter(|_| problem.text.contains("cannot be expanded")) {
        problem.text = format!("the environment variable {variable} is not set. {}", problem.text);
    }
    problem
}

fn as_text(report: &Report) -> String {
    let mut text: String = report.problems.iter().map(|problem| format!("{problem}\n")).collect();
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let name = report.file.as_deref().unwrap_or("no file");
    if report.problems.iter().all(|problem| problem.severity == Severity::Hint) {
        return text + &format!("{name}: nothing wrong\n");
    }
    let errors = counted(report.count(Severity::Error), "error");
    text += &format!("{name}: {errors}, {}\n", counted(report.count(Severity::Warning), "warning"));
    text
}

fn as_json(report: &Report) -> String {
    let object = json!({
        "file": report.file,
        "errors": report.count(Severity::Error),
        "warnings": report.count(Severity::Warning),
        "hints": report.count(Severity::Hint),
        "problems": report.problems,
    });
    format!("{object:#}\n")
}
