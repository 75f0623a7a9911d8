//! The table of `docs/drop-in.md` that says what is understood with a warning: its rows are tried.

use std::path::Path;
use supervisord::config::{self, Surroundings};
use supervisord::model::config::Level;

/// Section and settings of each row.
fn rows() -> Vec<(String, Vec<String>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/drop-in.md");
    let text = std::fs::read_to_string(path).expect("the document is there");
    let (_, table) = text.split_once("## Understood").expect("the section is there");
    let (table, _) = table.split_once("\n## ").expect("more follows");
    let rows = table.lines().filter(|line| line.starts_with("| `["));
    let quoted = |cell: &str| -> Vec<String> {
        cell.split('`').skip(1).step_by(2).filter(|text| text.len() > 1).map(str::to_string).collect()
    };
    rows.map(|row| {
        let cells: Vec<&str> = row.split(" | ").collect();
        (quoted(cells[0]).remove(0), quoted(cells[1]))
    })
    .collect()
}

#[test]
fn what_the_document_says_is_understood_is_understood() {
    let around = Surroundings {
        environment: [("BLANK".to_string(), "a b".to_string())].into(),
        ..Surroundings::of_this_process()
    };
    let rows = rows();
    assert!(rows.len() > 30, "only {} rows", rows.len());
    for (section, settings) in rows {
        let needed = match section.as_str() {
            "[program:x]" if settings[0].starts_with("command") => "",
            "[program:x]" => "command=/bin/cat\n",
            "[fcgi-program:x]" => "command=/bin/cat\nsocket=unix:///tmp/s\n",
            "[unix_http_server]" => "file=/tmp/s\n",
            _ => "",
        };
        let text = format!("[supervisord]\n{section}\n{needed}{}\n", settings.join("\n"));
        let config = config::parse(Path::new("/etc/x.conf"), &text, &Default::default(), &around);
        let config = config.unwrap_or_else(|errors| panic!("{text}\n{errors}"));
        let (key, _) = settings[0].split_once('=').expect("a setting");
        let place = format!(": {section} {key}: ");
        let found = config.messages.iter().find(|message| message.text.contains(&place));
        let found = found.unwrap_or_else(|| panic!("{text}\n{:?}", config.messages));
        assert!(found.level == Level::Warn && found.text.starts_with("/etc/x.conf:"), "{found:?}");
    }
}
