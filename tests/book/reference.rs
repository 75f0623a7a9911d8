//! The reference is made from what the program says of itself, and holds all of it.
//!
//! `UPDATE_GOLDEN=1 cargo test --test book reference` writes it. What stands behind `<!-- more -->` in a section is
//! written by hand and stays.

use crate::document::{chapters_folder, read, root};
use crate::support::run;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::process::Command;
use supervisord::config::args::DaemonArgs;
use supervisord::config::{self, Origin, Surroundings};
use supervisord::rpc::server::methods::{self, Method};

const MORE: &str = "<!-- more -->\n";

/// A heading with its signs, and what is made below it.
type Section = (String, String);

/// Compares a chapter with its sections, or writes it.
#[track_caller]
fn compare(name: &str, sections: &[Section]) {
    let path = chapters_folder().join(name);
    let is = read(&path).text;
    let (head, _) = is.split_once(&format!("{}\n", sections[0].0)).unwrap_or((&is, ""));
    let by_hand = by_hand(&is);
    let names: BTreeSet<&str> = sections.iter().map(|(heading, _)| heading.as_str()).collect();
    let lost: Vec<_> = by_hand.keys().filter(|heading| !names.contains(*heading)).collect();
    assert!(lost.is_empty(), "{name} explains what is no longer there: {lost:?}");
    let mut expected = format!("{}\n", head.trim_end());
    for (heading, made) in sections {
        expected += &format!("\n{heading}\n\n{made}\n");
        if let Some(text) = by_hand.get(heading.as_str()) {
            expected += &format!("\n{MORE}\n{text}\n");
        }
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(root().join(&path), &expected).expect("the sources can be written");
    } else {
        let first = is.lines().zip(expected.lines()).find(|(is, expected)| is != expected);
        assert!(
            is == expected,
            "{name} is out of step at {first:?}: run UPDATE_GOLDEN=1 cargo test --test book reference"
        );
    }
}

/// What was written by hand, by heading.
fn by_hand(text: &str) -> HashMap<&str, &str> {
    let mut found = HashMap::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(MORE) {
        let heading = before.lines().rfind(|line| line.starts_with("## ") || line.starts_with("### "));
        let end = ["\n## ", "\n### "].iter().filter_map(|sign| after.find(sign)).min().unwrap_or(after.len());
        found.insert(heading.unwrap_or_default(), after[..end].trim());
        rest = &after[end..];
    }
    found
}

/// A sentence as it stands in Markdown.
fn sentence(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.trim_end_matches('.').chars() {
        if "*_<[\\`".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    let first = escaped.split(' ').next().unwrap_or_default();
    // What is to be typed stays as it is.
    if !first.trim_end_matches([',', ';']).chars().all(char::is_alphabetic) {
        return format!("{escaped}.");
    }
    let (first, rest) = escaped.split_at(escaped.chars().next().map_or(0, char::len_utf8));
    format!("{}{rest}.", first.to_uppercase())
}

/// A key as the sample shows it.
struct Key {
    name: String,
    example: String,
    help: String,
    is_new: bool,
}

/// A kind of section as the sample shows it.
struct Kind {
    /// What its header begins with.
    prefix: String,
    help: String,
    keys: Vec<Key>,
}

/// Sections and keys of the sample, in its order.
fn kinds() -> Vec<Kind> {
    let mut kinds: Vec<Kind> = Vec::new();
    let mut comments: Vec<String> = Vec::new();
    let mut at = 0;
    let sample = config::sample();
    for line in sample.lines() {
        let plain = line.trim_start_matches("; ").trim_start_matches(';');
        if let Some(header) = plain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let prefix = header.split_once(':').map_or(header.to_string(), |(kind, _)| format!("{kind}:"));
            at = kinds.iter().position(|kind| kind.prefix == prefix).unwrap_or_else(|| {
                kinds.push(Kind { prefix, help: comments.join(" "), keys: Vec::new() });
                kinds.len() - 1
            });
        } else if let Some((setting, help)) = plain.split_once(" ; ") {
            let (name, example) =
                setting.trim().split_once('=').unwrap_or_else(|| panic!("no setting: {line}"));
            let help = help.trim();
            // The sample shows one key with two values.
            if kinds[at].keys.iter().all(|key| key.name != name.trim()) {
                kinds[at].keys.push(Key {
                    name: name.trim().to_string(),
                    example: example.trim().to_string(),
                    help: help.trim_end_matches(" (not in Supervisor)").to_string(),
                    is_new: help.ends_with("(not in Supervisor)"),
                });
            }
        } else if line.starts_with("; ") {
            comments.push(plain.to_string());
            continue;
        }
        comments.clear();
    }
    kinds
}

/// The defaults, by kind and key.
fn defaults() -> BTreeMap<(String, String), String> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("x.conf");
    let text = "[supervisord]\n[unix_http_server]\nfile=/tmp/x\n[inet_http_server]\nport=1\n[supervisorctl]\n\
                [program:x]\ncommand=x\n[eventlistener:y]\ncommand=x\nevents=TICK_5\n[fcgi-program:z]\ncommand=x\n\
                socket=unix:///tmp/x\n[group:g]\nprograms=x\n";
    fs::write(&path, text).expect("written");
    let args = DaemonArgs {
        configuration: Some(path.to_str().expect("a plain path").to_string()),
        ..DaemonArgs::default()
    };
    let settings = config::settings(&args, &Surroundings::of_this_process()).expect("a right configuration");
    let missing = settings.into_iter().filter(|setting| setting.origin == Origin::Default);
    missing
        .map(|setting| {
            let kind = setting.section.split_once(':').map(|(kind, _)| format!("{kind}:"));
            ((kind.unwrap_or(setting.section), setting.key.to_string()), setting.value)
        })
        .collect()
}

fn header(prefix: &str) -> String {
    format!("[{prefix}{}]", if prefix.ends_with(':') { "x" } else { "" })
}

fn keys_chapter() -> Vec<Section> {
    let defaults = defaults();
    let kinds = kinds();
    let of_programs: Vec<&str> = kinds
        .iter()
        .filter(|kind| kind.prefix == "program:")
        .flat_map(|kind| kind.keys.iter().map(|key| key.name.as_str()))
        .collect();
    let mut sections = Vec::new();
    for kind in &kinds {
        let header = header(&kind.prefix);
        sections.push((format!("## {header}"), sentence(&kind.help)));
        let is_a_program = ["eventlistener:", "fcgi-program:"].contains(&kind.prefix.as_str());
        let own = kind.keys.iter().filter(|key| !is_a_program || !of_programs.contains(&key.name.as_str()));
        for key in own {
            let default = defaults.get(&(kind.prefix.clone(), key.name.clone()));
            let default = match default {
                Some(value) if value.is_empty() => "Default: empty.".to_string(),
                Some(value) => format!("Default: `{value}`."),
                None => format!("No default; for example `{}={}`.", key.name, key.example),
            };
            let new = if key.is_new { " Not in Supervisor." } else { "" };
            let made = format!("{} {default}{new}", sentence(&key.help));
            sections.push((format!("### {header} {}", key.name), made));
        }
    }
    sections
}

#[test]
fn the_reference_of_keys_is_what_the_program_says() {
    compare("keys.md", &keys_chapter());
}

/// The names in the table from which the program's own texts come.
#[test]
fn the_reference_of_keys_has_every_key_of_the_table() {
    let table = fs::read_to_string(root().join("src/config/schema.rs")).expect("the table is there");
    let table = table.split("#[cfg(test)]").next().unwrap_or_default();
    // In one line, because a call may be broken after its parenthesis.
    let table = table.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut names = BTreeSet::new();
    for opening in ["key(\"", "key( \"", "optional(\"", "optional( \"", "name: \""] {
        let found = table.split(opening).skip(1).filter_map(|rest| rest.split_once('"'));
        names.extend(found.map(|(name, _)| name.to_string()));
    }
    assert!(names.len() > 85, "only {} names: {names:?}", names.len());
    let headings: BTreeSet<String> = keys_chapter().into_iter().map(|(heading, _)| heading).collect();
    let text = read(&chapters_folder().join("keys.md")).text;
    for name in names {
        let heading = headings.iter().find(|heading| heading.ends_with(&format!("] {name}")));
        let heading = heading.unwrap_or_else(|| panic!("the sample does not show {name}"));
        assert!(text.contains(&format!("\n{heading}\n")), "no section about {name}");
    }
}

/// The commands of Supervisor's client.
const OF_SUPERVISOR: [&str; 22] = [
    "add", "avail", "clear", "exit", "fg", "help", "maintail", "open", "pid", "quit", "reload", "remove",
    "reread", "restart", "shutdown", "signal", "start", "status", "stop", "tail", "update", "version",
];

/// What the client says, which asks no server for it.
fn help_of_client(words: &[&str]) -> String {
    help_of(&[&["ctl", "-s", "unix:///nowhere", "help"], words].concat())
}

#[test]
fn the_reference_of_commands_is_what_the_client_says() {
    let list = help_of_client(&[]);
    let (_, list) = list.split_once("===\n").expect("a list below a line");
    let names: BTreeSet<&str> = list.split_whitespace().collect();
    assert!(OF_SUPERVISOR.iter().all(|name| names.contains(name)), "{names:?}");
    let sections: Vec<Section> = names
        .iter()
        .map(|name| {
            let new = if OF_SUPERVISOR.contains(name) { "" } else { "\n\nNot in Supervisor." };
            (format!("## {name}"), format!("```text\n{}\n```{new}", help_of_client(&[name])))
        })
        .collect();
    compare("commands.md", &sections);
}

fn help_of(words: &[&str]) -> String {
    let ran = run(Command::new(env!("CARGO_BIN_EXE_supervisord")).args(words)).expect(0);
    ran.stdout.replace(env!("CARGO_BIN_EXE_supervisord"), "supervisord").trim_end().to_string()
}

#[test]
fn the_reference_of_the_command_line_is_what_the_program_says() {
    let daemon = help_of(&["-h"]);
    let usage = daemon.lines().find(|line| line.contains('|')).expect("a list of words");
    let words = usage.split_whitespace().find(|word| word.contains('|')).expect("words");
    let mut sections = vec![("## The daemon".to_string(), format!("```text\n{daemon}\n```"))];
    for word in words.split('|').chain(["pidproxy"]) {
        let helps = ["ctl", "check", "init", "service", "export", "import", "schema"].contains(&word);
        let made = match daemon.lines().find_map(|line| line.strip_prefix(&format!("{word} -- "))) {
            _ if helps => format!("```text\n{}\n```", help_of(&[word, "-h"])),
            Some(what) => sentence(what),
            None => format!("```text\n{}\n```", help_of_pidproxy()),
        };
        sections.push((format!("## {word}"), made));
    }
    compare("command-line.md", &sections);
}

/// It takes every word for its own but none at all.
fn help_of_pidproxy() -> String {
    let ran = run(Command::new(env!("CARGO_BIN_EXE_supervisord")).arg("pidproxy"));
    format!("{}{}", ran.stdout, ran.stderr).trim_end().to_string()
}

#[test]
fn the_reference_of_methods_is_what_the_daemon_says() {
    let namespaces: [(&str, &[Method]); 4] = [
        ("supervisor", &methods::SUPERVISOR),
        ("system", &methods::SYSTEM),
        ("supervisord", &methods::OWN),
        ("supervisor, as the Go versions have it", &methods::GO),
    ];
    let sections = namespaces.map(|(title, methods)| {
        let rows: Vec<String> = methods
            .iter()
            .map(|method| {
                let parameters: Vec<String> =
                    method.params.iter().map(|(kind, name)| format!("{kind} {name}")).collect();
                let call = format!("`{}({})`", method.name, parameters.join(", "));
                format!("| {call} | {} | {} |", method.returns, sentence(method.help).replace('|', "\\|"))
            })
            .collect();
        (
            format!("## {title}"),
            format!("| method | result | what it does |\n| --- | --- | --- |\n{}", rows.join("\n")),
        )
    });
    compare("methods.md", &sections);
}
