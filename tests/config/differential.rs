//! Thousands of random texts, read by Python and by us: the dialect of the files, `%` forms, and `environment`.
//!
//! The texts are made of pieces that matter to a parser. On a difference the text is printed; the generator
//! always makes the same ones.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use supervisord::config::{self, Document, Surroundings};

const N_FILES: usize = 6000;
const N_TEMPLATES: usize = 6000;
const N_ENVIRONMENTS: usize = 6000;

/// A small generator of pseudo-random numbers (xorshift64*), so that every run makes the same texts.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// A number from 0 to `limit` - 1.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        // 31 bits fit.
        number as usize % limit
    }

    /// Up to `most` pieces in a row.
    fn text(&mut self, pieces: &[&str], most: usize) -> String {
        let n_pieces = 1 + self.below(most);
        (0..n_pieces).map(|_| pieces[self.below(pieces.len())]).collect()
    }

    fn texts(&mut self, count: usize, pieces: &[&str], most: usize) -> Vec<String> {
        (0..count).map(|_| self.text(pieces, most)).collect()
    }
}

const FILE_PIECES: [&str; 34] = [
    "[a]\n",
    "[b]\n",
    "[DEFAULT]\n",
    "[ c ]\n",
    "[",
    "]",
    "a",
    "b",
    "Key",
    "=",
    ":",
    " = ",
    "v",
    "x y",
    "\n",
    "\n",
    "\n",
    " ",
    "  ",
    "\t",
    ";",
    "#",
    " ;",
    " # ",
    "\r\n",
    "\n  ",
    "\n\n",
    "k=1\n",
    "  m=2\n",
    "\n [z]\n",
    "ä",
    "\u{a0}",
    "%",
    "\"",
];

const TEMPLATE_PIECES: [&str; 40] = [
    "%(n)",
    "%(name)",
    "%(here)s",
    "%(ENV_A)s",
    "%(nope)s",
    "%%",
    "%",
    "s",
    "d",
    "i",
    "x",
    "X",
    "o",
    "e",
    "E",
    "f",
    "g",
    "G",
    "r",
    "c",
    "a",
    "u",
    "0",
    "2",
    "5",
    "-",
    "+",
    " ",
    "#",
    ".",
    ".3",
    "10",
    "l",
    "h",
    "(",
    ")",
    "text",
    "*",
    "é",
    "%(n)02d",
];

const ENVIRONMENT_PIECES: [&str; 26] = [
    "A",
    "B",
    "KEY_1",
    "=",
    "=",
    "=",
    ",",
    ",",
    " ",
    "\n",
    "\"",
    "\"",
    "'",
    "\\",
    "x",
    "1",
    "/usr/bin:/bin",
    "(a+b)",
    "$",
    "~",
    "é",
    "#",
    ";",
    "\"a b\"",
    "'c,d'",
    ",B=2",
];

#[test]
fn random_texts_mean_the_same_to_python() {
    let Some(venv) = std::env::var_os("SUPERVISOR_VENV").map(PathBuf::from) else {
        eprintln!("SUPERVISOR_VENV is not set: nothing to compare with");
        return;
    };
    let mut random = Random::new(0x5eed);
    let mut files = random.texts(N_FILES, &FILE_PIECES, 30);
    // Most files that begin without a header are refused for that alone.
    files.iter_mut().step_by(2).for_each(|file| file.insert_str(0, "[a]\n"));
    let templates = random.texts(N_TEMPLATES, &TEMPLATE_PIECES, 6);
    let environments = random.texts(N_ENVIRONMENTS, &ENVIRONMENT_PIECES, 12);
    let answers = ask(&venv, &json!({"files": files, "templates": templates, "environments": environments}));
    let mut failures = Vec::new();
    let answers_of = |kind: &str| answers[kind].as_array().expect("a list").clone();
    for (text, python) in files.iter().zip(answers_of("files")) {
        failures.extend(differs("file", text, &file(text), &python).filter(|_| !has_two_markers(text)));
    }
    for (text, python) in templates.iter().zip(answers_of("templates")) {
        failures.extend(
            differs("template", text, &template(text), &python).filter(|_| !is_ours_to_decide(text, &python)),
        );
    }
    for (text, python) in environments.iter().zip(answers_of("environments")) {
        failures.extend(environment_differs(text, &python));
    }
    let shown = failures.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} differences\n{shown}", failures.len());
}

fn ask(venv: &Path, question: &Value) -> Value {
    crate::compat::ask_python(venv, "dialect.py", question)
}

fn differs(kind: &str, text: &str, ours: &Value, python: &Value) -> Option<String> {
    (ours != python).then(|| format!("{kind} {text:?}\n  ours   {ours}\n  python {python}"))
}

/// With both markers on one line Python may cut at the later one.
fn has_two_markers(text: &str) -> bool {
    text.split(['\n', '\r']).any(|line| line.contains(';') && line.contains('#'))
}

fn file(text: &str) -> Value {
    let document = match Document::parse(Path::new("x.conf"), text) {
        Ok(document) => document,
        Err(error) if error.text.starts_with("File contains no section") => {
            return json!({"error": "MissingSectionHeaderError"});
        }
        Err(_) => return json!({"error": "ParsingError"}),
    };
    let keys = |section: &str| -> Map<String, Value> {
        let own = document.own_keys(section);
        own.map(|(key, _)| (key.to_string(), json!(document.get(section, key).expect("listed").text)))
            .collect()
    };
    let sections: Map<String, Value> =
        document.sections().map(|section| (section.to_string(), Value::Object(keys(section)))).collect();
    let defaults: Map<String, Value> = document
        .default_keys()
        .map(|(key, _)| (key.to_string(), json!(document.get("no such section", key).expect("listed").text)))
        .collect();
    json!({"sections": sections, "defaults": defaults})
}

/// Expands with the names that `dialect.py` knows, through a configuration, since that is how people do it.
fn template(text: &str) -> Value {
    let names = BTreeMap::from([
        ("n", config::Arg::Number(3)),
        ("name", config::Arg::Text("web")),
        ("here", config::Arg::Text("/etc")),
        ("ENV_A", config::Arg::Text("a b")),
    ]);
    match config::expand(text, &Mapping(names)) {
        Ok(text) => json!({"text": text}),
        Err(config::ExpandError::UnknownName(name)) => {
            json!({"error": format!("unknown {}", config::repr(&name))})
        }
        Err(config::ExpandError::BadFormat(reason)) => json!({"error": reason}),
    }
}

struct Mapping(BTreeMap<&'static str, config::Arg<'static>>);

impl config::Names for Mapping {
    fn lookup(&self, name: &str) -> Option<config::Arg<'_>> {
        self.0.get(name).copied()
    }

    fn listed(&self) -> Vec<&str> {
        self.0.keys().copied().collect()
    }
}

/// A form without a name shows Python's whole mapping, or fails for reasons of its own.
fn is_ours_to_decide(text: &str, python: &Value) -> bool {
    python["text"].as_str().is_some_and(|text| text.contains("{'n': 3"))
        || template(text)["error"].as_str().is_some_and(|error| error.ends_with("not dict"))
        || text.contains('*')
        || template(text)["error"] == "%c requires int or char"
}

/// What Supervisor takes, with its lexer of today or with that of its last release, must be taken: with the same
/// meaning where nothing is lost, with a warning else. What both refuse must be refused with Python's words.
fn environment_differs(text: &str, python: &Value) -> Option<String> {
    let conf = format!("[supervisord]\n[program:p]\ncommand=x\nenvironment={}\n", written(text));
    if read_back(&conf) != text {
        // The file's dialect took something away: another text was read.
        return None;
    }
    let around = Surroundings { environment: BTreeMap::new(), ..Surroundings::of_this_process() };
    let is_taken = python.get("variables").is_some() || !python["release"].is_null();
    let (ours, has_warning) = match config::parse(Path::new("x.conf"), &conf, &Default::default(), &around) {
        Ok(config) => {
            let variables = &config.groups[0].processes[0].environment;
            (json!({"variables": variables}), !config.messages.is_empty())
        }
        Err(errors) => (json!({"error": errors.first().text}), false),
    };
    match (is_taken, ours.get("variables").is_some(), has_warning) {
        (true, true, true) => None,
        (true, false, _) => Some(format!("environment {text:?} is refused: {ours}")),
        (false, true, _) => Some(format!("environment {text:?} is taken, with a warning: {has_warning}")),
        _ => {
            let mut python = python.clone();
            python.as_object_mut()?.remove("release");
            differs("environment", text, &ours, &python)
        }
    }
}

/// A text as the value of a key: further lines are indented, percent signs doubled.
fn written(text: &str) -> String {
    text.replace('%', "%%").replace('\n', "\n  ")
}

fn read_back(conf: &str) -> String {
    let document = Document::parse(Path::new("x.conf"), conf).expect("it is right");
    document.get("program:p", "environment").map(|value| value.text.replace("%%", "%")).unwrap_or_default()
}

const CONFIG_PIECES: [&str; 72] = [
    "[supervisord]\n",
    "[program:a]\ncommand=x\n",
    "[program:b]\ncommand=%(ENV_B)s\n",
    "[group:g]\nprograms=a,b\n",
    "[eventlistener:e]\nevents=TICK_5\ncommand=e\n",
    "[fcgi-program:f]\nsocket=tcp://h:1\ncommand=f\n",
    "[unix_http_server]\nfile=%(here)s/s\n",
    "[inet_http_server]\nport=9001\n",
    "[DEFAULT]\n",
    "[include]\nfiles=*.conf\n",
    "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n",
    "process_name=%(program_name)s_%(process_num)02d\n",
    "process_name=%(ENV_A)s\n",
    "numprocs=3\n",
    "numprocs_start=2\n",
    "command=%(here)s/x %(ENV_A)s \"%(ENV_C)s\" 100%%\n",
    "command=%(ENV_B)s\n",
    "command=a\n  b\n\n  c\n",
    "directory=/tmp ; x\n",
    "environment=A=\"1\",X=\"%(ENV_A)s\"\n",
    "environment=A=%(process_num)d\n",
    "environment=\n",
    "autostart=false\n",
    "autorestart=true\n",
    "startsecs=0\n",
    "stopsignal=INT\n",
    "stopasgroup=true\n",
    "killasgroup=true\n",
    "exitcodes=\n",
    "exitcodes=0,2\n",
    "user=root\n",
    "umask=027\n",
    "priority=3\n",
    "redirect_stderr=true\n",
    "stdout_logfile=/tmp/%(ENV_A)s\n",
    "stdout_logfile=syslog\n",
    "stdout_logfile=NONE\n",
    "stderr_logfile=memory,/dev/stderr\n",
    "stdout_logfile_maxbytes=1KB\n",
    "stdout_logfile_prefix=\"%(program_name)s: \"\n",
    "stdout_logfile_timestamps=%%H\n",
    "stderr_capture_maxbytes=5\n",
    "identifier=%(ENV_B)s\n",
    "identifier=;x\n",
    "identifier=a;b#c\n",
    "nodaemon=true\n",
    "loglevel=debug\n",
    "umask=077\n",
    "username=%(ENV_C)s\n",
    "password=%%(x)s\n",
    "chmod=0777\n",
    "socket_mode=0700\n",
    "buffer_size=5\n",
    "sockets=unix:///tmp/s\n",
    "serverurl=AUTO\n",
    "exit_when=any_fatal\n",
    "type=oneshot\n",
    "max_runtime=5m\n",
    "restartPause=2\n",
    "restart_delay=0.5\n",
    "restart_jitter=5%\n",
    "restart_limit=5/60s\n",
    "depends_on=nothing?, a:exited?\n",
    "dependency_timeout=1h\n",
    "ready=log:100% %(ENV_A)s\n",
    "ready=http://h/%%20 header.A=\"%(ENV_A)s\"\n",
    "health=exec:check -p 80%(process_num)02d\n",
    "liveness_check_script=http://h/ -H 'A: b'\n",
    "health_action=signal:HUP\n",
    "startretries=-1\n",
    "# comment\n",
    "junk%\n",
];

/// The effective configuration means what the files meant, whatever is in them and in the environment.
#[test]
fn random_configurations_survive_being_dumped() {
    let around = Surroundings {
        environment: [("A", "a"), ("B", "50% ; # b"), ("C", "line\n  line")]
            .map(|(k, v)| (k.into(), v.into()))
            .into(),
        ..Surroundings::of_this_process()
    };
    let args = Default::default();
    let mut random = Random::new(0xfeed);
    let mut n_right = 0;
    for _ in 0..3000 {
        let text = format!("[supervisord]\n{}", random.text(&CONFIG_PIECES, 14));
        let Ok(config) = config::parse(Path::new("/etc/a.conf"), &text, &args, &around) else { continue };
        let effective =
            config::effective(Path::new("/etc/a.conf"), &text, &args, &around).expect("it was right");
        let again = config::parse(Path::new("/var/b.conf"), &effective, &args, &around);
        let again = again.unwrap_or_else(|errors| panic!("{errors}\n{text}\n{effective}"));
        let same = config.supervisord == again.supervisord
            && config.groups == again.groups
            && config.http_servers == again.http_servers
            && config.rpc_namespaces == again.rpc_namespaces;
        assert!(same, "{text}\n---- became\n{effective}\n{config:#?}\n{again:#?}");
        n_right += 1;
    }
    assert!(n_right > 300, "only {n_right} of the texts were right");
}
