//! Moving in and out: a configuration in the formats of other programs, and theirs as a configuration.
//!
//! Nothing is dropped silently. [`losses`] holds what a format cannot say, [`mod@export`] and [`mod@import`] what all formats have
//! in common; each format is a file or a folder of its own. [`schema`] describes the configuration to editors and other
//! programs. Everything but this file and [`output`] is text in, text out.

mod compose;
pub mod export;
pub mod import;
mod kubernetes;
pub mod losses;
mod nomad;
mod output;
mod pm2;
mod procfile;
mod quadlet;
mod schema;
#[cfg(test)]
mod silence;
pub mod systemd;
mod tree;
mod units;
mod yaml;

use crate::config::Surroundings;
use crate::config::args::{ExportArgs, ImportArgs, SchemaArgs};
use crate::config::reading::{self, Readable};
use crate::model::visible::for_stream;
use export::{Options, Source};
use import::InputFile;
use losses::Losses;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// The largest file that is imported.
const MOST_BYTES: usize = 1 << 20;
/// The largest number of files that are imported together.
const MOST_FILES: usize = 10_000;

/// Writes the configuration in the format that the command line names. What that cannot say goes to stderr.
pub fn export_main(args: &ExportArgs) -> ExitCode {
    finish(export_to(args))
}

fn export_to(args: &ExportArgs) -> Result<Losses, String> {
    let surroundings = Surroundings::of_this_process();
    let format =
        export::format(&args.format).ok_or_else(|| format!("no format is called {}", args.format))?;
    let mut source = Source::read(&args.daemon, &surroundings).map_err(|errors| errors.to_string())?;
    source.restrict(&args.programs)?;
    let options = Options { image: args.image.clone(), surroundings };
    let (files, losses) = export::export(format, &source, &options)?;
    let files = output::with_losses(files, format.comment, &losses, &source);
    match &args.output {
        None => print(&output::as_stream(&files, format.comment))?,
        Some(place) => output::write(&files, Path::new(place))?,
    }
    Ok(losses)
}

/// Makes a configuration of the files that the command line names. What that cannot say goes to stderr.
pub fn import_main(args: &ImportArgs) -> ExitCode {
    finish(import_to(args))
}

fn import_to(args: &ImportArgs) -> Result<Losses, String> {
    let format =
        import::format(&args.format).ok_or_else(|| format!("no format is called {}", args.format))?;
    let files = input(&args.files)?;
    let mut losses = Losses::default();
    let imported = import::import(format, &files, &mut losses)?;
    let origin = format!("{}: {}", format.name, output::names(&files));
    let text = imported.to_text(&origin, &mut losses)?;
    match &args.output {
        None => print(&text)?,
        Some(place) => output::write_one(&text, Path::new(place))?,
    }
    Ok(losses)
}

/// Reads the files to import.
fn input(names: &[String]) -> Result<Vec<InputFile>, String> {
    if names.len() > MOST_FILES {
        return Err(format!("{} files are too many: import at most {MOST_FILES} at once", names.len()));
    }
    names.iter().map(|name| read(name)).collect()
}

fn read(name: &str) -> Result<InputFile, String> {
    let bytes = reading::read(Path::new(name), Readable::Pipes)
        .map_err(|error| format!("could not read {name}: {error}"))?;
    if bytes.len() > MOST_BYTES {
        return Err(format!("{name} has {} bytes, and at most {MOST_BYTES} are imported", bytes.len()));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        format!(
            "{name} is not a text: it has bytes that are not UTF-8 at {}",
            error.utf8_error().valid_up_to()
        )
    })?;
    Ok(InputFile { name: name.to_string(), text })
}

/// Prints a JSON Schema: of the configuration, or of what `check --json` prints.
pub fn schema_main(args: &SchemaArgs) -> ExitCode {
    let schema = if args.check { schema::of_check() } else { schema::of_configuration() };
    finish(print(&format!("{schema:#}\n")).map(|()| Losses::default()))
}

/// Prints a text whole.
fn print(text: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| format!("could not write to stdout: {error}"))
}

/// Says on stderr what was lost, or what was wrong.
fn finish(done: Result<Losses, String>) -> ExitCode {
    let (text, status) = match done {
        Ok(losses) => (losses.to_text(), ExitCode::SUCCESS),
        Err(error) => (format!("Error: {error}\n"), ExitCode::FAILURE),
    };
    let stderr = std::io::stderr();
    let text = for_stream(&stderr, &text).into_owned();
    // The status says the same to those who do not read it.
    let _ = (&stderr).write_all(text.as_bytes());
    status
}
