//! What imports make: configurations that are right.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use supervisord::check::{self, Severity};
use supervisord::config::args::{CheckArgs, DaemonArgs};
use supervisord::config::{self, Surroundings};
use supervisord::convert::import::{self, InputFile};
use supervisord::convert::losses::Losses;
use supervisord::model::config::{Config, ProcessConfig};

/// An imported configuration.
pub struct Result {
    pub text: String,
    pub losses: Vec<String>,
    pub config: Config,
}

/// Imports a text, and looks whether `check` finds no error in what comes out.
#[track_caller]
pub fn import(format: &str, name: &str, text: &str, environment: &[(&str, &str)]) -> Result {
    let format = import::format(format).expect("a format");
    let files = [InputFile { name: name.to_string(), text: text.to_string() }];
    let mut losses = Losses::default();
    let imported =
        import::import(format, &files, &mut losses).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let written = imported.to_text(name, &mut losses).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("supervisord.conf");
    std::fs::write(&path, &written).expect("written");
    let daemon =
        DaemonArgs { configuration: Some(path.to_string_lossy().into_owned()), ..DaemonArgs::default() };
    let mut around = Surroundings::of_this_process();
    around.environment.extend(environment.iter().map(|(name, value)| (name.to_string(), value.to_string())));
    let config = config::load(&daemon, &around).unwrap_or_else(|errors| panic!("{errors}\n{written}"));
    let report = check::check(&CheckArgs { daemon, ..CheckArgs::default() }, &around);
    let errors = report.problems.iter().filter(|problem| problem.severity == Severity::Error);
    assert_eq!(errors.count(), 0, "{:?}\n{written}", report.problems);
    let losses = losses.iter().map(|loss| loss.to_string()).collect();
    Result { text: written, losses, config }
}

/// Why a text cannot be imported.
#[track_caller]
pub fn refusal(format: &str, name: &str, text: &str) -> String {
    let format = import::format(format).expect("a format");
    let files = [InputFile { name: name.to_string(), text: text.to_string() }];
    let imported = import::import(format, &files, &mut Losses::default());
    let error = imported.expect_err("it is refused");
    // What was left out follows on lines of its own.
    let (first, rest) = error.split_once('\n').unwrap_or((&error, ""));
    assert!(first.len() < 500 && rest.lines().all(|line| line.starts_with("- ")), "{error}");
    first.to_string()
}

impl Result {
    /// The first process of a program.
    #[track_caller]
    pub fn process(&self, program: &str) -> &Arc<ProcessConfig> {
        let all = self.config.groups.iter().flat_map(|group| &group.processes);
        let found = all.into_iter().find(|process| &*process.program == program);
        found.unwrap_or_else(|| panic!("no {program} in\n{}", self.text))
    }

    /// The processes of all programs, by program.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for process in self.config.groups.iter().flat_map(|group| &group.processes) {
            *counts.entry(process.program.to_string()).or_default() += 1;
        }
        counts
    }

    /// Asserts that each of these stands in one loss, and that there is no other one.
    #[track_caller]
    pub fn assert_losses(&self, expected: &[&str]) {
        let missing: Vec<_> =
            expected.iter().filter(|part| !self.losses.iter().any(|loss| loss.contains(**part))).collect();
        assert!(missing.is_empty(), "{missing:?} missing in {:#?}", self.losses);
        let more: Vec<_> =
            self.losses.iter().filter(|loss| !expected.iter().any(|part| loss.contains(part))).collect();
        assert!(more.is_empty(), "unexpected: {more:#?}");
    }
}

/// What no format takes, each with what it should be told of.
#[track_caller]
pub fn assert_hostile_is_refused(format: &str, name: &str) {
    let deep = "[".repeat(200_000);
    let long = format!("{}\n", "x".repeat(900_000));
    for text in ["", "\u{0}\u{1}\u{2}", &deep, &long, "{{{{", "\t- x\n", "\u{fffd}\u{fffd}"] {
        refusal(format, name, text);
    }
}

/// Runs the binary with a file of these bytes; its exit status and what it says.
pub fn run_with(format: &str, name: &str, bytes: &[u8]) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join(name);
    std::fs::write(&path, bytes).expect("written");
    run_on(format, &path)
}

/// Runs the binary with a file.
pub fn run_on(format: &str, path: &Path) -> (Option<i32>, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_supervisord"))
        .args(["import", format])
        .arg(path)
        .output()
        .expect("the binary runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}
