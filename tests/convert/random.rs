//! Texts at random: an import makes a configuration that can be read, or says why not, and never panics.

use proptest::prelude::*;
use std::path::Path;
use supervisord::config::args::DaemonArgs;
use supervisord::config::{self, Surroundings};
use supervisord::convert::import::{self, InputFile};
use supervisord::convert::losses::Losses;

/// Words of the formats, and what may stand around them.
const WORDS: [&str; 44] = [
    "services:",
    "command:",
    "entrypoint:",
    "environment:",
    "env_file:",
    "depends_on:",
    "healthcheck:",
    "test:",
    "deploy:",
    "replicas:",
    "secrets:",
    "ulimits:",
    "logging:",
    "tmpfs:",
    "restart:",
    "x",
    "é",
    "a b",
    "'x y'",
    "\"",
    "[",
    "]",
    "{",
    "}",
    ",",
    "- ",
    "\n",
    "\n  ",
    "\n    ",
    "\n      ",
    "*a",
    "&a",
    "<<:",
    "$X",
    "${X:-",
    "}",
    "%(here)s",
    "50%",
    "; x",
    "# y",
    "apps:",
    "script:",
    "instances: 3",
    "CMD-SHELL",
];

/// A text of such words.
fn text() -> impl Strategy<Value = String> {
    let word =
        prop_oneof![3 => prop::sample::select(&WORDS[..]).prop_map(str::to_string), 1 => any::<String>()];
    prop::collection::vec(word, 0..40).prop_map(|words| words.join(" "))
}

/// A compose file with any texts in its places.
fn compose() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        "[ -~]{0,12}".prop_map(|text| serde_json::to_string(&text).expect("JSON")),
        any::<String>().prop_map(|text| serde_json::to_string(&text).expect("JSON")),
        text().prop_map(|text| format!("[{}]", serde_json::to_string(&text).expect("JSON"))),
    ];
    let key = prop::sample::select(
        &[
            "command",
            "entrypoint",
            "working_dir",
            "environment",
            "env_file",
            "restart",
            "user",
            "stop_signal",
            "stop_grace_period",
            "profiles",
            "depends_on",
            "tmpfs",
            "cap_add",
            "cap_drop",
            "secrets",
            "group_add",
            "cpus",
            "mem_limit",
            "cpuset",
            "scale",
            "extends",
            "healthcheck",
        ][..],
    );
    let pairs = prop::collection::vec((key, value), 0..8);
    prop::collection::vec(("[a-zé ./:;%]{1,6}", pairs), 1..4).prop_map(|services| {
        let mut text = String::from("services:\n");
        for (name, pairs) in services {
            text += &format!("  {}:\n    command: [x]\n", serde_json::to_string(&name).expect("JSON"));
            for (key, value) in pairs {
                text += &format!("    {key}: {value}\n");
            }
        }
        text
    })
}

/// Imports a text; what comes out can be read, unless it names what this machine lacks.
fn try_import(format: &str, name: &str, text: &str) -> Result<(), TestCaseError> {
    let format = import::format(format).expect("a format");
    let files = [InputFile { name: name.to_string(), text: text.to_string() }];
    let mut losses = Losses::default();
    let Ok(imported) = import::import(format, &files, &mut losses) else { return Ok(()) };
    let Ok(written) = imported.to_text(name, &mut losses) else { return Ok(()) };
    let around = Surroundings::of_this_process();
    let errors = config::parse(Path::new("/x.conf"), &written, &DaemonArgs::default(), &around).err();
    let errors = errors.map(|errors| errors.to_string()).unwrap_or_default();
    // Users, groups, processors and variables are those of a machine, and circles those of the file.
    let is_of_the_machine = errors.is_empty()
        || [
            "user",
            "group",
            "ENV_",
            "cpu_affinity",
            "depends on itself",
            "is this process and no other",
            "NUL",
        ]
        .iter()
        .any(|part| errors.contains(part));
    prop_assert!(is_of_the_machine, "{errors}\n{written}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn compose_files_make_configurations(text in compose()) {
        try_import("compose", "compose.yml", &text)?;
    }

    #[test]
    fn nothing_panics(text in text()) {
        for (format, name) in
            [("procfile", "Procfile"), ("compose", "c.yml"), ("pm2", "x.json"), ("pm2", "x.yml"), ("pm2", "x.js")]
        {
            try_import(format, name, &text)?;
        }
        try_import("procfile", "Procfile", &format!("web: {}", text.replace('\n', " ")))?;
        let quoted = serde_json::to_string(&text).expect("JSON");
        let app = format!("{{apps: [{{script: {quoted}, name: {quoted}, args: [{quoted}], env: {{A: {quoted}}}, cwd: {quoted}, out_file: {quoted}}}]}}");
        try_import("pm2", "x.json", &app)?;
    }
}
