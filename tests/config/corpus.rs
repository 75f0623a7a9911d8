//! The corpus: configurations with what they mean, or what is wrong with them.
//!
//! A file of `tests/corpus` holds many cases:
//!
//! ```text
//! ==== name
//! Why this case exists, in a sentence.
//! -- env NAME=value            a variable of the environment; $DIR stands for the case's directory
//! -- args -c x.conf -n         instead of `-c supervisord.conf`
//! -- dir path                  an empty directory
//! -- file path                 a file; its text follows
//! -- bytes path                the same with \n \r \t \\ \xNN as escapes and line breaks ignored
//! -- original error TEXT       the original Supervisor refuses it, with a text that begins so
//! -- original accepts          the original accepts what we refuse
//! -- original differs          the original reads other values
//! -- error                     what we print; the text follows
//! -- model                     what it means, without defaults; the text follows
//! -- messages                  lines for the activity log; they follow
//! ```
//!
//! Without `-- original` the original must agree. `UPDATE_GOLDEN=1` rewrites the last three sections; read the
//! difference before you commit it.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use supervisord::check::{self, Report};
use supervisord::cli::{self, Invocation};
use supervisord::config::args::{CheckArgs, DaemonArgs};
use supervisord::config::{self, Surroundings};
use supervisord::model::config::Config;
use tempfile::TempDir;

/// One case.
pub struct Case {
    pub name: String,
    /// Everything but what is expected, line by line, for rewriting.
    head: Vec<String>,
    pub environment: Vec<(String, String)>,
    pub arguments: Vec<String>,
    directories: Vec<String>,
    files: Vec<(String, Vec<u8>)>,
    pub original: Original,
    /// `error`, `model`, `messages` and their texts.
    pub expected: Vec<(String, String)>,
}

/// Why a case was refused.
pub struct Failure {
    /// Without the place.
    pub text: String,
    /// With section and file, as Supervisor names them.
    pub sentence: String,
    /// What stands on the terminal.
    pub printed: String,
}

impl Failure {
    fn of_command_line(printed: &str) -> Failure {
        let text = printed
            .strip_prefix("Error: ")
            .and_then(|text| text.split_once("\nFor help"))
            .expect("an error")
            .0;
        Failure { text: text.to_string(), sentence: text.to_string(), printed: printed.to_string() }
    }
}

/// How the original Supervisor takes a case.
#[derive(Clone, Debug, PartialEq)]
pub enum Original {
    Agrees,
    Error(String),
    Accepts,
    Differs,
}

/// Every case of a file, in order.
pub fn read(path: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut cases: Vec<Case> = Vec::new();
    let mut section: Option<String> = None;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("==== ") {
            cases.push(Case::new(name));
            section = None;
            continue;
        }
        let Some(case) = cases.last_mut() else { continue };
        if let Some(directive) = line.strip_prefix("-- ") {
            section = case.directive(directive);
        } else if let Some(section) = &section {
            case.line_of(section, line);
        }
        if !section.as_deref().is_some_and(is_expectation) {
            case.head.push(line.to_string());
        }
    }
    cases
}

/// Writes the cases back, with what they led to.
pub fn rewrite(path: &Path, cases: &[Case], found: &[Vec<(String, String)>]) {
    let old = std::fs::read_to_string(path).expect("it was read before");
    let preface: String = old.split("==== ").next().unwrap_or_default().to_string();
    let mut text = preface;
    for (case, found) in cases.iter().zip(found) {
        text += &format!("==== {}\n", case.name);
        let head = case.head.join("\n");
        text += &format!("{}\n", head.trim_end());
        for (section, lines) in found {
            text += &format!("-- {section}\n{lines}");
        }
        text += "\n";
    }
    std::fs::write(path, text).expect("the corpus is writable");
}

/// The corpus files, sorted.
pub fn files() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let entries = std::fs::read_dir(&directory).expect("the corpus is there");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    files
}

fn is_expectation(section: &str) -> bool {
    ["error", "model", "messages"].contains(&section)
}

impl Case {
    fn new(name: &str) -> Case {
        Case {
            name: name.to_string(),
            head: Vec::new(),
            environment: Vec::new(),
            arguments: ["-c", "supervisord.conf"].map(str::to_string).to_vec(),
            directories: Vec::new(),
            files: Vec::new(),
            original: Original::Agrees,
            expected: Vec::new(),
        }
    }

    /// Takes a directive; what comes back is the section its text lines belong to.
    fn directive(&mut self, directive: &str) -> Option<String> {
        let (word, rest) = directive.split_once(' ').unwrap_or((directive, ""));
        match word {
            "env" => {
                let (name, value) = rest.split_once('=').expect("NAME=value");
                self.environment.push((name.to_string(), value.to_string()));
            }
            "args" => self.arguments = rest.split(' ').map(str::to_string).collect(),
            "dir" => self.directories.push(rest.to_string()),
            "original" => {
                self.original = match rest.split_once(' ').unwrap_or((rest, "")) {
                    ("error", text) => Original::Error(text.to_string()),
                    ("accepts", _) => Original::Accepts,
                    ("differs", _) => Original::Differs,
                    other => panic!("{}: unknown word {other:?}", self.name),
                }
            }
            "file" | "bytes" => {
                self.files.push((rest.to_string(), Vec::new()));
                return Some(word.to_string());
            }
            word if is_expectation(word) => {
                self.expected.push((word.to_string(), String::new()));
                return Some(word.to_string());
            }
            other => panic!("{}: unknown directive {other:?}", self.name),
        }
        None
    }

    fn line_of(&mut self, section: &str, line: &str) {
        match section {
            "file" => {
                let (_, bytes) = self.files.last_mut().expect("a file was begun");
                bytes.extend(line.bytes().chain([b'\n']));
            }
            "bytes" => {
                let (_, bytes) = self.files.last_mut().expect("a file was begun");
                bytes.extend(unescaped(line));
            }
            _ if line.is_empty() => {}
            _ => {
                let (_, text) = self.expected.last_mut().expect("a section was begun");
                text.push_str(line);
                text.push('\n');
            }
        }
    }

    /// Puts the case's files into a directory of its own.
    pub fn unpack(&self) -> TempDir {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for name in &self.directories {
            std::fs::create_dir_all(directory.path().join(name)).expect("created");
        }
        for (name, bytes) in &self.files {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a file has a parent")).expect("created");
            // The case may want to name its own directory.
            let text = String::from_utf8_lossy(bytes);
            let bytes = if text.contains("$DIR") {
                self.in_directory(&text, &directory).into()
            } else {
                bytes.clone()
            };
            std::fs::write(path, bytes).expect("written");
        }
        directory
    }

    fn in_directory(&self, text: &str, directory: &TempDir) -> String {
        text.replace("$DIR", &directory.path().to_string_lossy())
    }

    /// The command line, with the case's directory filled in.
    pub fn arguments_in(&self, directory: &TempDir) -> Vec<String> {
        self.arguments.iter().map(|word| self.in_directory(word, directory)).collect()
    }

    /// The environment, with the case's directory filled in.
    pub fn environment_in(&self, directory: &TempDir) -> BTreeMap<String, String> {
        let own = self.environment.iter();
        let mut environment: BTreeMap<String, String> =
            own.map(|(name, value)| (name.clone(), self.in_directory(value, directory))).collect();
        environment.entry("HOME".to_string()).or_insert_with(|| "/home/me".to_string());
        environment
    }

    /// What surrounds the case: nothing of the machine it runs on but its users.
    pub fn surroundings(&self, directory: &TempDir) -> Surroundings {
        Surroundings {
            environment: self.environment_in(directory),
            current_dir: directory.path().to_path_buf(),
            host_node_name: "box".to_string(),
            executable: PathBuf::from("/nowhere/bin/supervisord"),
            is_root: false,
        }
    }

    /// Reads the case.
    pub fn load(&self, directory: &TempDir) -> Result<Config, Failure> {
        let args = self.daemon_args(directory)?;
        config::load(&args, &self.surroundings(directory)).map_err(|errors| Failure {
            text: errors.first().text.clone(),
            sentence: errors.to_string(),
            printed: errors.usage_error("supervisord"),
        })
    }

    fn daemon_args(&self, directory: &TempDir) -> Result<DaemonArgs, Failure> {
        let words = std::iter::once("supervisord".to_string()).chain(self.arguments_in(directory));
        match cli::parse(words.map(Into::into).collect()) {
            Invocation::Daemon(args) => Ok(args),
            Invocation::Exit(exit) => Err(Failure::of_command_line(&exit.output)),
            other => panic!("{}: not the daemon: {other:?}", self.name),
        }
    }

    /// What `supervisord check` finds.
    pub fn check(&self, directory: &TempDir) -> Report {
        let daemon = self.daemon_args(directory).unwrap_or_default();
        let args = CheckArgs { daemon, dump: true, show_secrets: true, ..CheckArgs::default() };
        check::check(&args, &self.surroundings(directory))
    }

    /// What the case leads to, in the form of its expectations.
    pub fn outcome(&self) -> Vec<(String, String)> {
        let directory = self.unpack();
        let hidden = |text: String| text.replace(&*directory.path().to_string_lossy(), "$DIR");
        match self.load(&directory) {
            Err(failure) => vec![("error".to_string(), hidden(failure.printed))],
            Ok(config) => {
                let mut sections =
                    vec![("model".to_string(), hidden(render(&config, &self.surroundings(&directory))))];
                if !config.messages.is_empty() {
                    let lines = config.messages.iter();
                    let lines: String =
                        lines.map(|line| format!("{:?} {}\n", line.level, line.text)).collect();
                    sections.push(("messages".to_string(), hidden(lines)));
                }
                sections
            }
        }
    }
}

fn unescaped(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = line.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let (&kind, tail) = rest.split_first().expect("an escape has a letter");
        rest = tail;
        bytes.push(match kind {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => {
                let digits = std::str::from_utf8(&rest[..2]).expect("two hexadecimal digits");
                rest = &rest[2..];
                u8::from_str_radix(digits, 16).expect("two hexadecimal digits")
            }
            other => other,
        });
    }
    bytes
}

/// A configuration as text, without what is the default anyway.
pub fn render(config: &Config, surroundings: &Surroundings) -> String {
    let default = default_config(surroundings);
    let mut text = String::new();
    let settings = differences(&config.supervisord, &default.supervisord, &[]);
    text += &format!("supervisord{}\n", indented(&settings, 1));
    for server in &config.http_servers {
        let password =
            server.credentials.as_ref().map(|credentials| format!(" password={}", credentials.password));
        let value = serde_json::to_value(server).expect("serializable");
        text += &format!("server {}{}\n", compact(&value["address"]), password.unwrap_or_default());
    }
    for namespace in config.rpc_namespaces.iter().filter(|namespace| *namespace != "supervisor") {
        text += &format!("rpc namespace {namespace:?}\n");
    }
    for group in &config.groups {
        let kind = serde_json::to_value(&group.kind).expect("serializable");
        text += &format!("group {:?} {} {}\n", group.name, group.priority, compact(&kind));
        for process in &group.processes {
            let settings = differences(&**process, &*default.groups[0].processes[0], &["name"]);
            text += &format!("  {:?}{}\n", process.name, indented(&settings, 2));
        }
    }
    text
}

/// The configuration that says nothing but what it must.
fn default_config(surroundings: &Surroundings) -> Config {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("default.conf");
    std::fs::write(&path, "[supervisord]\n[program:default]\ncommand=default\n").expect("written");
    let configuration = Some(path.to_string_lossy().into_owned());
    config::load(&DaemonArgs { configuration, ..DaemonArgs::default() }, surroundings).expect("it is right")
}

fn differences<T: serde::Serialize>(value: &T, default: &T, skipped: &[&str]) -> Vec<String> {
    let value = serde_json::to_value(value).expect("serializable");
    let default = serde_json::to_value(default).expect("serializable");
    let fields = value.as_object().expect("a structure").iter();
    let changed = fields.filter(|(key, value)| default[*key] != **value && !skipped.contains(&key.as_str()));
    changed
        .flat_map(|(key, value)| match key.as_str() {
            "stdout" | "stderr" => {
                let inner = differences(value, &default[key], skipped);
                inner.into_iter().map(|line| format!("{key}.{line}")).collect()
            }
            _ => vec![format!("{key}={}", compact(value))],
        })
        .collect()
}

fn indented(lines: &[String], depth: usize) -> String {
    lines.iter().map(|line| format!("\n{}{line}", "  ".repeat(depth))).collect()
}

/// A value on one line; durations in seconds.
fn compact(value: &Value) -> String {
    match value {
        Value::Object(fields) if fields.contains_key("secs") && fields["nanos"] != 0 => {
            format!("{}s {}ns", fields["secs"], fields["nanos"])
        }
        Value::Object(fields) if fields.contains_key("secs") => format!("{}s", fields["secs"]),
        value => value.to_string(),
    }
}
