//! JSON Schemas (draft 2020-12): of the configuration as JSON, and of what `check --json` prints.
//!
//! The configuration as JSON is an object of sections, each an object of keys with texts as values: what every reader of such
//! files makes of them. Names, helps and defaults come from the table of keys; [`VALUES`] says more about some values.

use crate::config::schema::{self, CREDENTIAL, KINDS, Key, Kind};
use serde_json::{Map, Value as Json, json};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Values {
    /// Anything.
    Text,
    /// True or false, in all their spellings.
    Boolean,
    /// One of these words, in any case.
    Words(&'static [&'static str]),
    /// One of these words in any case, or what a pattern matches.
    WordsOr(&'static [&'static str], &'static str),
    /// What a pattern matches, in any case of its letters.
    Pattern(&'static str),
}

use Values::{Boolean, Pattern, Text, Words, WordsOr};

const BOOLEANS: [&str; 10] = ["true", "false", "yes", "no", "on", "off", "1", "0", "t", "f"];

const INTEGER: Values = Pattern(r"^\s*[+-]?[0-9][0-9_]*\s*$");
const OCTAL: Values = Pattern(r"^\s*(0[oO])?[0-7]+\s*$");
const TIME: Values = Pattern(r"^\s*([0-9]+(\.[0-9]+)?|\.[0-9]+)\s*(ms|s|m|h|d)?\s*$");
const SIZE: Values = Pattern(r"^\s*[+-]?[0-9][0-9_]*\s*([kK][bB]|[mM][bB]|[gG][bB])?\s*$");
const LIMIT: Values = Pattern(
    r"^\s*(unlimited|infinity|[0-9]+([kKmMgG][bB])?)\s*(:\s*(unlimited|infinity|[0-9]+([kKmMgG][bB])?)\s*)?$",
);
const CODES: Values = Pattern(r"^\s*([0-9]{1,3}(\s*,\s*[0-9]{1,3})*)?\s*$");
const MEMORY: Values = WordsOr(&["max"], r"^\s*[0-9]+\s*([kK][bB]|[mM][bB]|[gG][bB])?\s*$");
const FACILITIES: Values = Words(&[
    "KERN", "USER", "MAIL", "DAEMON", "AUTH", "SYSLOG", "LPR", "NEWS", "UUCP", "CRON", "AUTHPRIV", "FTP",
    "LOCAL0", "LOCAL1", "LOCAL2", "LOCAL3", "LOCAL4", "LOCAL5", "LOCAL6", "LOCAL7",
]);
const PRIORITIES: Values = Words(&["EMERG", "ALERT", "CRIT", "ERR", "WARNING", "NOTICE", "INFO", "DEBUG"]);
/// True or false, perhaps behind a `-`.
const WISH: Values = WordsOr(
    &["true", "false"],
    r"^\s*-?\s*([tT][rR][uU][eE]|[fF][aA][lL][sS][eE]|[yY][eE][sS]|[oO][nN]|[01tTfF]|[nN][oO]|[oO][fF][fF])\s*$",
);
const STREAM_FORMATS: Values = Words(&["raw", "text", "json"]);
const ACTION: &str = r"^[sS][iI][gG][nN][aA][lL]:.+$";

/// The values of keys. What is not here is true or false if its default is, and any text otherwise.
const VALUES: &[(&str, Values)] = &[
    ("chmod", OCTAL),
    ("umask", OCTAL),
    ("socket_mode", OCTAL),
    ("logfile_maxbytes", SIZE),
    ("logfile_backups", INTEGER),
    (
        "loglevel",
        Words(&[
            "critical", "error", "warn", "info", "debug", "trace", "blather", "fatal", "panic", "warning",
        ]),
    ),
    ("log_format", Words(&["text", "json"])),
    ("minfds", INTEGER),
    ("minprocs", INTEGER),
    ("manager_watchdog_secs", INTEGER),
    ("priority", INTEGER),
    ("buffer_size", INTEGER),
    ("payload_length", Words(&["characters", "bytes"])),
    ("socket_backlog", INTEGER),
    ("numprocs", INTEGER),
    ("numprocs_start", INTEGER),
    (
        "autorestart",
        WordsOr(&["true", "false", "unexpected"], "^([yY][eE][sS]|[nN][oO]|[oO][nN]|[oO][fF][fF]|[01tTfF])$"),
    ),
    (
        "autostart",
        WordsOr(&["true", "false", "last"], "^([yY][eE][sS]|[nN][oO]|[oO][nN]|[oO][fF][fF]|[01tTfF])$"),
    ),
    ("startsecs", INTEGER),
    ("startretries", INTEGER),
    ("exitcodes", CODES),
    ("stopwaitsecs", INTEGER),
    ("killasgroup", Boolean),
    ("stop_scope", Words(&["process", "group", "tree", "cgroup"])),
    ("type", Words(&["simple", "oneshot"])),
    ("max_runtime", TIME),
    ("restart_delay", TIME),
    ("restart_backoff", Words(&["linear", "exponential", "fixed"])),
    ("restart_delay_max", TIME),
    ("restart_jitter", Pattern(r"^\s*[0-9]{1,3}\s*%{0,2}$")),
    ("restart_reset", TIME),
    ("restart_limit", Pattern(r"^\s*[0-9]+\s*/\s*[0-9.]+\s*(ms|s|m|h|d)?\s*$")),
    ("stay_down_exitcodes", CODES),
    ("retry_fatal_after", TIME),
    ("dependency_timeout", TIME),
    ("depends_restart", Words(&["none", "restart", "stop"])),
    ("ready", Pattern(r"^\s*$|^\s*(tcp:|unix:|http://|exec:|log:|file:|notify\s*$|fd:)")),
    ("ready_interval", TIME),
    ("ready_timeout", TIME),
    ("health", Pattern(r"^\s*$|^\s*(tcp:|unix:|http://|exec:|file:)")),
    ("health_interval", TIME),
    ("health_timeout", TIME),
    ("health_retries", INTEGER),
    ("health_start_period", TIME),
    ("health_action", WordsOr(&["restart", "stop", "none"], ACTION)),
    ("memory_limit", SIZE),
    ("memory_action", WordsOr(&["restart", "stop"], ACTION)),
    ("watchdog", TIME),
    ("stdout_logfile_maxbytes", SIZE),
    ("stdout_logfile_backups", INTEGER),
    ("stdout_capture_maxbytes", SIZE),
    ("stdout_logfile_timestamps", Text),
    ("stdout_logfile_format", STREAM_FORMATS),
    ("stderr_logfile_maxbytes", SIZE),
    ("stderr_logfile_backups", INTEGER),
    ("stderr_capture_maxbytes", SIZE),
    ("stderr_logfile_timestamps", Text),
    ("stderr_logfile_format", STREAM_FORMATS),
    ("syslog_facility", FACILITIES),
    ("syslog_stdout_priority", PRIORITIES),
    ("syslog_stderr_priority", PRIORITIES),
    ("limit_as", LIMIT),
    ("limit_core", LIMIT),
    ("limit_cpu", LIMIT),
    ("limit_data", LIMIT),
    ("limit_fsize", LIMIT),
    ("limit_memlock", LIMIT),
    ("limit_msgqueue", LIMIT),
    ("limit_nofile", LIMIT),
    ("limit_nproc", LIMIT),
    ("limit_rtprio", LIMIT),
    ("limit_sigpending", LIMIT),
    ("limit_stack", LIMIT),
    ("nice", INTEGER),
    ("ionice", WordsOr(&["idle"], "^\\s*(be|rt):\\s*[0-7]\\s*$")),
    ("cpu_affinity", Pattern(r"^[0-9,\s-]*$")),
    ("cpu_scheduling", WordsOr(&["other", "batch", "idle"], r"^\s*(fifo|rr):\s*[1-9][0-9]?\s*$")),
    ("oom_score_adj", INTEGER),
    ("memory_high", MEMORY),
    ("memory_max", MEMORY),
    ("cpu_max", WordsOr(&["max"], r"^\s*[0-9]+\s*%{1,2}\s*$")),
    ("cpu_weight", INTEGER),
    ("pids_max", WordsOr(&["max", "unlimited"], r"^\s*[0-9]+\s*$")),
    ("io_weight", INTEGER),
    ("private_tmp", WISH),
    ("private_network", WISH),
];

/// What the values of a key look like.
fn values(key: &Key) -> Values {
    let row = VALUES.iter().find(|(name, _)| *name == key.name);
    let is_flag = matches!(key.default, Some("true" | "false"));
    row.map_or(if is_flag { Boolean } else { Text }, |(_, values)| *values)
}

/// The words and the pattern of some values.
fn parts(values: Values) -> (&'static [&'static str], Option<&'static str>) {
    match values {
        Text => (&[], None),
        Boolean => (&BOOLEANS, None),
        Words(words) => (words, None),
        WordsOr(words, pattern) => (words, Some(pattern)),
        Pattern(pattern) => (&[], Some(pattern)),
    }
}

/// A pattern for some words in any case.
fn in_any_case(words: &[&str]) -> String {
    let word = |word: &&str| {
        let letters = word.chars().map(|c| match c.is_ascii_alphabetic() {
            true => format!("[{}{}]", c.to_ascii_lowercase(), c.to_ascii_uppercase()),
            false => c.to_string(),
        });
        letters.collect::<String>()
    };
    format!("^({})$", words.iter().map(word).collect::<Vec<_>>().join("|"))
}

/// The schema of a value. What an expansion makes of a text cannot be known.
fn of_key(key: &Key) -> Json {
    let (words, pattern) = parts(values(key));
    let mut ways = Vec::new();
    if !words.is_empty() {
        ways.push(json!({ "enum": words }));
        ways.push(json!({ "pattern": in_any_case(words) }));
    }
    ways.extend(pattern.map(|pattern| json!({ "pattern": pattern })));
    if !ways.is_empty() {
        ways.push(json!({ "pattern": "%\\(" }));
    }
    let mut schema = Map::new();
    schema.insert("type".into(), json!("string"));
    let new = if key.new { " Not in Supervisor." } else { "" };
    schema.insert("description".into(), json!(format!("{}.{new}", key.help)));
    if let Some(default) = key.default {
        schema.insert("default".into(), json!(default));
    }
    if let Some(example) = key.example {
        schema.insert("examples".into(), json!([example]));
    }
    if !ways.is_empty() {
        schema.insert("anyOf".into(), Json::Array(ways));
    }
    Json::Object(schema)
}

/// The schema of a section.
fn of_section(kind: &Kind) -> Json {
    let (mut keys, mut patterns) = (Map::new(), Map::new());
    for key in kind.keys() {
        if key.is_of_many() {
            patterns.insert(format!("^{}", CREDENTIAL.replace('.', "\\.")), of_key(key));
        } else {
            keys.insert(key.name.to_string(), of_key(key));
        }
        for alias in schema::aliases_of(key.name) {
            let description = format!("Another name of {}.", key.name);
            keys.insert(
                alias.to_string(),
                json!({ "type": "string", "description": description, "deprecated": true }),
            );
        }
    }
    let others = if kind.open { json!({ "type": "string" }) } else { json!(false) };
    json!({
        "type": "object",
        "description": kind.help,
        "properties": keys,
        "patternProperties": patterns,
        "additionalProperties": others,
    })
}

/// The name of a kind of section among the definitions.
fn definition(kind: &Kind) -> String {
    let name = kind.prefix.trim_end_matches(':');
    let is_shared = KINDS.iter().any(|other| other.prefix == name && kind.prefix != name);
    if is_shared { format!("{name}-named") } else { name.to_string() }
}

/// The schema of a configuration.
pub(super) fn of_configuration() -> Json {
    let (mut sections, mut patterns, mut definitions) = (Map::new(), Map::new(), Map::new());
    for kind in &KINDS {
        let name = definition(kind);
        definitions.insert(name.clone(), of_section(kind));
        let reference = json!({ "$ref": format!("#/$defs/{name}") });
        match kind.prefix {
            prefix if prefix.ends_with(':') => patterns.insert(format!("^{prefix}"), reference),
            // There may be several, with anything behind that.
            prefix if prefix.ends_with("_http_server") => patterns.insert(format!("^{prefix}"), reference),
            "program-defaults" => {
                sections.insert(schema::DEFAULTS_OF_RELATIVES.to_string(), reference.clone());
                sections.insert(kind.prefix.to_string(), reference)
            }
            prefix => sections.insert(prefix.to_string(), reference),
        };
    }
    // Its keys count in every section that may have them.
    sections
        .insert("DEFAULT".into(), json!({ "type": "object", "additionalProperties": { "type": "string" } }));
    json!({
        "$schema": DIALECT,
        "title": "supervisord.conf",
        "description": "A configuration of supervisord as JSON: sections, keys, and values as they are written.",
        "type": "object",
        "properties": sections,
        "patternProperties": patterns,
        "additionalProperties": false,
        "$defs": definitions,
    })
}

/// The schema of what `check --json` prints.
pub(super) fn of_check() -> Json {
    let or_nothing =
        |kind: &str, description: &str| json!({ "type": [kind, "null"], "description": description });
    let count = |what: &str| json!({ "type": "integer", "minimum": 0, "description": format!("the number of {what}") });
    let problem = json!({
        "type": "object",
        "properties": {
            "severity": {
                "enum": ["error", "warning", "hint"],
                "description": "error: the daemon does not start; warning: something is probably not as it was meant; hint: \
                                something could be better",
            },
            "text": { "type": "string", "description": "what was found and what was expected, without the place" },
            "file": or_nothing("string", "the file, as -c or an include named it"),
            "line": { "type": ["integer", "null"], "minimum": 1, "description": "counted from 1" },
            "section": or_nothing("string", "the header without its brackets"),
            "key": or_nothing("string", "the key, in lower case"),
        },
        "required": ["severity", "text", "file", "line", "section", "key"],
        "additionalProperties": false,
    });
    json!({
        "$schema": DIALECT,
        "title": "supervisord check --json",
        "description": "Everything that is wrong with a configuration.",
        "type": "object",
        "properties": {
            "file": or_nothing("string", "the main file, if one was found"),
            "errors": count("errors"),
            "warnings": count("warnings"),
            "hints": count("hints"),
            "problems": { "type": "array", "items": problem, "description": "by file and line" },
        },
        "required": ["file", "errors", "warnings", "hints", "problems"],
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::args::DaemonArgs;
    use crate::config::{Surroundings, parse};
    use regex_lite::Regex;
    use std::path::Path;

    /// Whether the schema of a key takes a value.
    fn takes(key: &Key, value: &str) -> bool {
        let (words, pattern) = parts(values(key));
        let fits = |pattern: &str| Regex::new(pattern).expect(pattern).is_match(value);
        values(key) == Text
            || (!words.is_empty() && fits(&in_any_case(words)))
            || pattern.is_some_and(fits)
            || value.contains("%(")
    }

    #[test]
    fn every_default_and_every_example_is_taken() {
        for key in KINDS.iter().flat_map(|kind| kind.keys()) {
            for value in key.default.into_iter().chain(key.example) {
                assert!(takes(key, value), "{}={value}", key.name);
            }
        }
    }

    #[test]
    fn every_row_is_about_a_key() {
        for (name, _) in VALUES {
            assert!(KINDS.iter().flat_map(|kind| kind.keys()).any(|key| key.name == *name), "{name}");
        }
    }

    /// Sections in which each key can stand, with what they cannot be without.
    fn configuration(prefix: &str, line: &str) -> String {
        let add = |this: &str| if prefix == this { line } else { "" };
        format!(
            "[supervisord]\n{}\n[unix_http_server]\nfile=/tmp/x.sock\n{}\n[inet_http_server]\nport=1\n{}\n\
             [program:x]\ncommand=/bin/x\n{}\n[eventlistener:e]\ncommand=/bin/x\nevents=TICK_5\n{}\n\
             [fcgi-program:f]\ncommand=/bin/x\nsocket=unix:///tmp/y.sock\n{}\n[program:y]\ncommand=/bin/y\n[group:g]\n\
             programs=y\n{}\n",
            add("supervisord"),
            add("unix_http_server"),
            add("inet_http_server"),
            add("program:"),
            add("eventlistener:"),
            add("fcgi-program:"),
            add("group:"),
        )
    }

    fn accepts(prefix: &str, key: &str, value: &str) -> Result<(), String> {
        let companion = match (key, value) {
            // Two keys about the same thing must agree.
            ("stopasgroup", _) => "",
            ("killasgroup", "false" | "no" | "off" | "0" | "f") => "stopasgroup=false\n",
            ("socket_mode", _) => "sockets=unix:///tmp/z.sock\n",
            ("health_action", _) => "health=tcp:1\n",
            _ => "",
        };
        let text = configuration(prefix, &format!("{companion}{key}={value}"));
        let around = Surroundings::of_this_process();
        parse(Path::new("/x.conf"), &text, &DaemonArgs::default(), &around)
            .map(drop)
            .map_err(|errors| format!("{key}={value}: {errors}"))
    }

    #[test]
    fn every_word_is_accepted_by_the_parser_and_another_one_is_not() {
        let prefixes = [
            "supervisord",
            "unix_http_server",
            "inet_http_server",
            "program:",
            "eventlistener:",
            "fcgi-program:",
        ];
        let mut n_words = 0;
        for kind in KINDS.iter().filter(|kind| prefixes.contains(&kind.prefix)) {
            // A listener's outputs belong to its protocol.
            let is_possible = |key: &&Key| kind.prefix != "eventlistener:" || key.name != "redirect_stderr";
            for key in kind.keys().filter(is_possible) {
                let values = values(key);
                for word in parts(values).0 {
                    accepts(kind.prefix, key.name, word).unwrap_or_else(|error| panic!("{error}"));
                    accepts(kind.prefix, key.name, &word.to_uppercase()).unwrap_or_else(|error| {
                        // A few words have one case only.
                        assert!(
                            ["ionice", "cpu_scheduling", "memory_high", "memory_max", "cpu_max", "pids_max"]
                                .contains(&key.name),
                            "{error}"
                        );
                    });
                    n_words += 1;
                }
                // What the schema refuses, the parser refuses.
                if values != Text && !["environment"].contains(&key.name) {
                    let refused = accepts(kind.prefix, key.name, "surely-not?");
                    assert!(!takes(key, "surely-not?") && refused.is_err(), "[{}] {}", kind.prefix, key.name);
                }
            }
        }
        assert!(n_words > 400, "{n_words}");
    }

    #[test]
    fn the_schemas_are_whole() {
        let schema = of_configuration();
        let defined = schema["$defs"].as_object().expect("definitions");
        assert_eq!(defined.len(), KINDS.len());
        assert_eq!(defined["program"]["properties"]["autostart"]["default"], "true");
        assert!(defined["program"]["patternProperties"].get("^credential\\.").is_some());
        assert_eq!(
            of_check()["properties"]["problems"]["items"]["required"].as_array().map(Vec::len),
            Some(6)
        );
    }
}
