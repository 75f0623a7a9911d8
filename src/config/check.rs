//! `supervisord check`: everything that is wrong with a configuration, without starting anything.

use crate::cli::CheckArgs;
use crate::config::error::ConfigErrors;
use crate::config::load::{Outcome, interpret, read_document};
use crate::config::{ConfigError, Surroundings};
use crate::model::config::Level;
use std::io::Write;
use std::process::ExitCode;

/// Checks the configuration that the command line names.
pub fn check_main(args: &CheckArgs) -> ExitCode {
    let surroundings = Surroundings::of_this_process();
    let outcome = match read_document(&args.daemon, &surroundings) {
        Ok((document, messages)) => interpret(&document, messages, &args.daemon, &surroundings),
        Err(errors) => outcome_of(&errors),
    };
    let mut text = String::new();
    for error in &outcome.errors {
        text += &format!("error: {}: {}\n", error.place().unwrap_or_default(), error.text);
    }
    for message in outcome.messages.iter().filter(|message| message.level >= Level::Warn) {
        text += &format!("warning: {}\n", message.text);
    }
    // Nobody reading it does not change the verdict.
    let _ = std::io::stdout().write_all(text.as_bytes());
    match (outcome.config.is_some(), args.strict && !text.is_empty()) {
        (false, _) => ExitCode::from(2),
        (true, true) => ExitCode::from(1),
        (true, false) => ExitCode::SUCCESS,
    }
}

fn outcome_of(errors: &ConfigErrors) -> Outcome {
    let errors: Vec<ConfigError> = errors.iter().cloned().collect();
    Outcome { config: None, errors, messages: Vec::new() }
}
