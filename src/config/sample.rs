//! A configuration that explains every key: `supervisord init` and `echo_supervisord_conf`.
//!
//! Scripts edit it with sed: they uncomment `;[inet_http_server]` and `;port=`, or replace `nodaemon=false`. So its
//! settings are those of Supervisor's sample (`sample.conf`, without the comments), and the same ones are switched on.
//! Settings that Supervisor does not have stand below them, where no such script finds them.

use crate::config::args::InitArgs;
use crate::config::schema::{self, KINDS, Kind};
use std::io::Write;
use std::process::ExitCode;

/// The settings of Supervisor's sample, in its order.
const SETTINGS: &str = include_str!("sample.conf");
const HELP_COLUMN: usize = 40;

/// Writes the sample to where the command line says.
pub fn init_main(args: &InitArgs) -> ExitCode {
    let text = sample();
    let written = match &args.output {
        None => std::io::stdout().write_all(text.as_bytes()),
        Some(path) => write_new(path, &text),
    };
    match (written, &args.output) {
        (Ok(()), _) | (Err(_), None) => ExitCode::SUCCESS,
        (Err(error), Some(path)) => {
            let _ = writeln!(std::io::stderr(), "Error: could not write {path}: {error}");
            ExitCode::from(2)
        }
    }
}

/// Writes a new file. An existing file is an error, so that no configuration is overwritten.
fn write_new(path: &str, text: &str) -> std::io::Result<()> {
    std::fs::File::create_new(path)?.write_all(text.as_bytes())
}

/// A configuration that runs as it is, with every key in it.
pub fn sample() -> String {
    let mut text = String::from(
        "; Sample supervisor config file.\n;\n\
         ; - Text after a semicolon that follows a blank is a comment, also inside quotes.\n\
         ; - Values are not unquoted, and no shell expands \"~\" or $VAR in them.\n\
         ; - %(here)s is the directory of this file, %(ENV_X)s the environment variable X.\n\
         ; - A leading semicolon switches a line off.\n\
         ; - \"supervisord check\" says what is wrong with a configuration.\n\n",
    );
    let mut kind = None;
    for line in SETTINGS.lines() {
        if let Some(section) = header(line) {
            kind = schema::kind(section);
            text += &help_of_section(kind);
        }
        text += &setting(line, kind);
    }
    text + &new_settings()
}

/// The section a line opens, switched on or off.
fn header(line: &str) -> Option<&str> {
    line.trim_start_matches(';').strip_prefix('[')?.strip_suffix(']')
}

fn help_of_section(kind: Option<&Kind>) -> String {
    let lines = wrapped(kind.map_or("", |kind| kind.help)).into_iter();
    lines.map(|line| format!("; {line}\n")).collect()
}

/// A line of Supervisor's sample with our words on its key.
fn setting(line: &str, kind: Option<&Kind>) -> String {
    let key = line.split_once('=').map(|(key, _)| key.trim_start_matches(';').trim());
    let known = key.and_then(|key| kind?.keys().find(|known| known.name == key));
    match known {
        Some(known) => format!("{line:<HELP_COLUMN$} ; {}\n", known.help),
        None => format!("{line}\n"),
    }
}

/// Sections and keys that are not in Supervisor's sample, as comments only.
fn new_settings() -> String {
    let mut text = String::from(
        "\n; What follows is not in Supervisor's own sample. To use a line, copy it into its section without the \"; \
         \".\n",
    );
    for kind in &KINDS {
        let keys: Vec<String> = kind
            .keys()
            .filter(|key| !is_in_sample(kind, key.name) && !is_shared(kind, key.name))
            .map(|key| {
                let value = key.example.or(key.default).unwrap_or_default();
                let setting = format!("; {}={value}", key.name);
                let new = if key.new { " (not in Supervisor)" } else { "" };
                format!("{setting:<HELP_COLUMN$} ; {}{new}\n", key.help)
            })
            .collect();
        // Some have only keys that hold for programs.
        let has_none = kind.keys().next().is_none();
        if keys.is_empty() && !has_none {
            continue;
        }
        text += ";\n";
        if !SETTINGS.lines().filter_map(header).any(|section| section.starts_with(kind.prefix)) {
            text += &help_of_section(Some(kind));
        }
        text += &format!("; [{}{}]\n{}", kind.prefix, kind.example, keys.concat());
    }
    text
}

/// Whether a key stands among those of `[program:x]` already.
fn is_shared(kind: &Kind, key: &str) -> bool {
    ["eventlistener:", "fcgi-program:"].contains(&kind.prefix) && schema::knows("program:x", key)
}

fn is_in_sample(kind: &Kind, key: &str) -> bool {
    let mut is_here = false;
    SETTINGS.lines().any(|line| {
        if let Some(section) = header(line) {
            is_here = schema::kind(section).is_some_and(|this| this.prefix == kind.prefix);
        }
        let name = line.split_once('=').map(|(name, _)| name.trim_start_matches(';').trim());
        is_here && name == Some(key)
    })
}

/// Cuts a text into lines of at most 90 characters.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        // There is always a last line.
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].len() + 1 + word.len() > 90 {
            lines.push(word.to_string());
        } else {
            if !lines[last].is_empty() {
                lines[last].push(' ');
            }
            lines[last].push_str(word);
        }
    }
    lines
}
