//! Configurations to export: those of `conf/`, and every right one of the corpus.

use crate::corpus::{self, Case};
use std::path::{Path, PathBuf};
use supervisord::cli::{self, Invocation};
use supervisord::config::Surroundings;
use supervisord::config::args::DaemonArgs;
use supervisord::convert::export::{self, Options, OutputFile, Source};
use supervisord::convert::losses::Losses;

/// A configuration with its name.
pub struct Sample {
    pub name: String,
    pub source: Source,
    pub surroundings: Surroundings,
}

/// Reads a configuration from a text.
#[track_caller]
pub fn of_text(text: &str) -> Sample {
    of_text_in(text, Surroundings::of_this_process())
}

/// Reads a configuration from a text, as somebody would in these surroundings.
#[track_caller]
pub fn of_text_in(text: &str, surroundings: Surroundings) -> Sample {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("supervisord.conf");
    std::fs::write(&path, text).expect("written");
    let args =
        DaemonArgs { configuration: Some(path.to_string_lossy().into_owned()), ..DaemonArgs::default() };
    let source = Source::read(&args, &surroundings).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    Sample { name: "a text".to_string(), source, surroundings }
}

fn of_case(file: &Path, case: &Case) -> Option<Sample> {
    let directory = case.unpack();
    let words = std::iter::once("supervisord".to_string()).chain(case.arguments_in(&directory));
    let Invocation::Daemon(args) = cli::parse(words.map(Into::into).collect()) else { return None };
    let surroundings = case.surroundings(&directory);
    let source = Source::read(&args, &surroundings).ok()?;
    let name = format!("{}: {}", file.file_name()?.to_string_lossy(), case.name);
    Some(Sample { name, source, surroundings })
}

/// All of them.
pub fn all() -> Vec<Sample> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut samples = Vec::new();
    let confs = ["conf", "conf/container"].into_iter().flat_map(|folder| {
        let entries = std::fs::read_dir(root.join(folder)).expect("the samples are there");
        entries.map(|entry| entry.expect("an entry").path())
    });
    let mut confs: Vec<PathBuf> =
        confs.filter(|path| path.extension().is_some_and(|end| end == "conf")).collect();
    confs.sort();
    assert!(confs.len() >= 5, "{confs:?}");
    for path in confs {
        let args =
            DaemonArgs { configuration: Some(path.to_string_lossy().into_owned()), ..DaemonArgs::default() };
        let surroundings = Surroundings::of_this_process();
        // One that others include is none by itself.
        if let Ok(source) = Source::read(&args, &surroundings) {
            samples.push(Sample { name: path.display().to_string(), source, surroundings });
        }
    }
    assert!(samples.len() >= 3, "only {} samples", samples.len());
    for file in corpus::files() {
        samples.extend(corpus::read(&file).iter().filter_map(|case| of_case(&file, case)));
    }
    assert!(samples.len() > 100, "only {} configurations", samples.len());
    samples
}

/// What a format makes of a configuration.
pub fn export(
    format: &str,
    sample: &Sample,
    image: Option<&str>,
) -> Result<(Vec<OutputFile>, Losses), String> {
    let format = export::format(format).expect("a format");
    let options = Options { image: image.map(str::to_string), surroundings: sample.surroundings.clone() };
    export::export(format, &sample.source, &options)
}

/// Exports all configurations and looks at what comes out.
#[track_caller]
pub fn assert_all_export(format: &str, image: Option<&str>) {
    let mut texts = Vec::new();
    for sample in all() {
        match export(format, &sample, image) {
            Ok((files, _)) => {
                assert!(!files.is_empty(), "{} makes no file", sample.name);
                texts.extend(
                    files.into_iter().map(|file| (format!("{} {}", sample.name, file.path), file.text)),
                );
            }
            Err(error) => {
                assert!(error.contains("there is no program"), "{}: {error}", sample.name);
                assert!(
                    sample.source.programs.iter().all(|program| !is_ordinary(program)),
                    "{}: {error}",
                    sample.name
                );
            }
        }
    }
    assert!(texts.len() > 80, "only {} files", texts.len());
    crate::validators::assert_right(format, &texts);
}

/// Whether a program has a command that can be split, and no FastCGI socket.
fn is_ordinary(program: &export::Program) -> bool {
    let process = &program.processes[0];
    let text = process.command.trim();
    process.fcgi_socket.is_none()
        && !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "/ .-_".contains(c))
}
