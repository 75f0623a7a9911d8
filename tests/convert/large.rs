//! Files near the limit of what is imported: they take seconds, and not minutes.

use std::time::{Duration, Instant};
use supervisord::convert::import::{self, InputFile};
use supervisord::convert::losses::Losses;

/// Many times what a machine with other work needs without optimization.
const MOST: Duration = Duration::from_secs(20);
/// As large as a file may be.
const SIZE: usize = 1 << 20;

/// Lines of numbers, between a begin and an end.
fn lines(begin: &str, count: usize, line: impl Fn(usize) -> String, end: &str) -> String {
    let lines: String = (0..count).map(line).collect();
    let text = format!("{begin}{lines}{end}");
    assert!(text.len() <= SIZE, "{} bytes", text.len());
    text
}

#[track_caller]
fn is_fast(format: &str, name: &str, text: String) {
    let began = Instant::now();
    let files = [InputFile { name: name.to_string(), text }];
    let format = import::format(format).expect("a format");
    // Some of them are refused, which must not take long either.
    let _ = import::import(format, &files, &mut Losses::default());
    assert!(began.elapsed() < MOST, "{name}: {:?}", began.elapsed());
}

#[test]
fn procfiles() {
    is_fast("procfile", "Procfile", lines("", 60_000, |n| format!("a{n}: x\n"), ""));
}

#[test]
fn ecosystem_files() {
    let app = |n| format!("{{script:'x',name:'{n}'}},");
    is_fast("pm2", "ecosystem.json", lines("[", 30_000, app, "]"));
    is_fast("pm2", "ecosystem.json", lines("[", 40_000, |_| "{script:'x'},".to_string(), "]"));
    let twice = |n| format!("a{}:1,", n % 30_000);
    is_fast("pm2", "ecosystem.json", lines("[{script:'x',", 60_000, twice, "}]"));
}

#[test]
fn compose_files() {
    let service = |n| format!(" a{n}: {{command: x}}\n");
    is_fast("compose", "compose.yml", lines("services:\n", 24_000, service, ""));
    let variable = |n| format!("   A{n}: 1\n");
    is_fast(
        "compose",
        "compose.yml",
        lines("services:\n a:\n  command: x\n  environment:\n", 45_000, variable, ""),
    );
    let alike = |n| format!(" {}{n}: {{command: x}}\n", "a".repeat(128));
    is_fast("compose", "compose.yml", lines("services:\n", 6_500, alike, ""));
    let secret = |n| format!(" s{n}: {{file: /x}}\n");
    let secrets = lines("secrets:\n", 20_000, secret, "");
    let names =
        lines("services:\n a:\n  command: x\n  secrets:\n", 20_000, |n| format!("   - s{n}\n"), &secrets);
    is_fast("compose", "compose.yml", names);
    let base = lines("services:\n b:\n  command: x\n  x-a: &a\n", 20_000, |n| format!("   a{n}: 1\n"), "");
    let merged = format!("{base} a:\n  command: x\n  extends: b\n  x-a: {{<<: *a, q: 1}}\n");
    is_fast("compose", "compose.yml", merged);
}

#[test]
fn units() {
    let begin = "[Service]\nExecStart=/bin/a\nRestart=always\n";
    is_fast("systemd", "a.service", lines(begin, 45_000, |n| format!("Environment=A{n}=1\n"), ""));
    is_fast("systemd", "a.service", lines(begin, 40_000, |n| format!("LoadCredential=a{n}:/x\n"), ""));
    for key in
        ["SuccessExitStatus", "CPUAffinity", "Environment", "RestartForceExitStatus", "SystemCallFilter"]
    {
        is_fast(
            "systemd",
            "a.service",
            lines(&format!("{begin}{key}="), 140_000, |n| format!("A{n} "), "\n"),
        );
    }
    for key in ["After", "Wants", "Requires", "PartOf", "Before", "BindsTo"] {
        let begin = format!("{begin}[Unit]\n{key}=");
        is_fast("systemd", "a.service", lines(&begin, 100_000, |n| format!("a{n} "), "\n"));
    }
}
