//! A configuration in which every key is explained: `supervisord init` and `echo_supervisord_conf`.

use crate::cli::InitArgs;
use crate::config::schema::{KINDS, Key, Kind};
use std::io::Write;
use std::process::ExitCode;

/// The sections that are switched on in a sample.
const ACTIVE: [&str; 4] = ["unix_http_server", "supervisord", "rpcinterface:", "supervisorctl"];
/// The keys that are: those without which the sections above make no sense.
const ACTIVE_KEYS: [(&str, &str); 3] = [
    ("unix_http_server", "file"),
    ("rpcinterface:", "supervisor.rpcinterface_factory"),
    ("supervisorctl", "serverurl"),
];
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

/// Never overwrites a configuration that is there already.
fn write_new(path: &str, text: &str) -> std::io::Result<()> {
    std::fs::File::create_new(path)?.write_all(text.as_bytes())
}

/// A configuration that runs as it is, with every key in it.
pub fn sample() -> String {
    let mut text = String::from(
        "; A configuration for supervisord.\n;\n; - Text after a semicolon that follows a blank is a comment.\n; - \
         Values are not unquoted, \"~\" and $VAR are not expanded by a shell.\n; - %(here)s is the directory of this \
         file, %(ENV_X)s the environment variable X.\n; - Keys show their defaults or, without one, an example.\n",
    );
    for kind in &KINDS {
        text += &section(kind);
    }
    text
}

fn section(kind: &Kind) -> String {
    let mut text = String::from("\n");
    for line in wrapped(kind.help) {
        text += &format!("; {line}\n");
    }
    let off = if ACTIVE.contains(&kind.prefix) { "" } else { ";" };
    text += &format!("{off}[{}{}]\n", kind.prefix, kind.example);
    for key in kind.keys() {
        let active = ACTIVE_KEYS.contains(&(kind.prefix, key.name));
        text += &line(key, if active { "" } else { ";" });
    }
    text
}

fn line(key: &Key, off: &str) -> String {
    let value = key.example.or(key.default).unwrap_or_default();
    let setting = format!("{off}{}={value}", key.name);
    let new = if key.new { " (not in Supervisor)" } else { "" };
    format!("{setting:<HELP_COLUMN$} ; {}{new}\n", key.help)
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
