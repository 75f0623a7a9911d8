//! What an operator saw, without what no two runs have in common.

/// Replaces pids, uptimes, dates and the directory by a word, and of an internal error only keeps that it is one.
pub fn normalise(text: &str, directory: &str) -> String {
    let text = text.replace(directory, "DIRECTORY");
    let mut lines: Vec<String> = text.lines().map(normalise_line).collect();
    // A missing line end at the very end is a difference, too.
    if text.ends_with('\n') {
        lines.push(String::new());
    }
    lines.join("\n")
}

fn normalise_line(line: &str) -> String {
    // The original names Python classes and source files here; scripts can only rely on the first word.
    if line.starts_with("error: ") {
        return "error: WHY".to_string();
    }
    // As it was called, which is with its directory for one and without for the other.
    if let Some((_, program)) = line.strip_prefix("For help, use ").and_then(|rest| rest.rsplit_once('/')) {
        return format!("For help, use {program}");
    }
    if line.parse::<u32>().is_ok_and(|pid| pid > 0) {
        return "PID".to_string();
    }
    let words: Vec<String> = line.split(' ').map(str::to_string).collect();
    let mut words = replace_pid_and_uptime(words);
    replace_date(&mut words);
    words.join(" ")
}

/// `pid 2766, uptime 1 day, 0:00:04`, `(pid 2766)`, `killing 'x' (2766) with`.
fn replace_pid_and_uptime(mut words: Vec<String>) -> Vec<String> {
    for at in 1..words.len() {
        let number = words[at].trim_matches(['(', ',', ')']).to_string();
        let follows_pid = words[at - 1].trim_start_matches('(') == "pid";
        let is_killed = at > 1 && words[at - 2] == "killing" && words[at].starts_with('(');
        if number.parse::<u32>().is_ok() && (follows_pid || is_killed) {
            words[at] = words[at].replace(&number, "PID");
        }
    }
    if let Some(at) = words.iter().position(|word| word == "uptime") {
        words.truncate(at + 1);
        words.push("TIME".to_string());
    }
    words
}

/// `Nov 20 01:17 PM`.
fn replace_date(words: &mut Vec<String>) {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let is_date = |window: &[String]| {
        MONTHS.contains(&window[0].as_str())
            && window[1].len() == 2
            && window[2].contains(':')
            && ["AM", "PM"].contains(&window[3].as_str())
    };
    if let Some(at) = words.windows(4).position(is_date) {
        words.splice(at..at + 4, ["DATE".to_string()]);
    }
}

#[test]
fn only_what_must_differ_is_replaced() {
    for (text, expected) in [
        ("cat    RUNNING   pid 2048, uptime 0:03:14\n", "cat    RUNNING   pid PID, uptime TIME\n"),
        ("cat  RUNNING  pid 1, uptime 2 days, 3:04:05\n", "cat  RUNNING  pid PID, uptime TIME\n"),
        ("cat  STOPPED   Nov 20 01:17 PM\n", "cat  STOPPED   DATE\n"),
        ("2048\n", "PID\n"),
        ("0\n", "0\n"),
        ("spawned: 'cat' with pid 12\n", "spawned: 'cat' with pid PID\n"),
        ("killing cat (pid 12) with signal SIGTERM\n", "killing cat (pid PID) with signal SIGTERM\n"),
        ("WARN killing 'cat' (12) with SIGKILL\n", "WARN killing 'cat' (PID) with SIGKILL\n"),
        ("error: <class 'X'>, [Errno 2]: file: x.py line: 3\n", "error: WHY\n"),
        ("For help, use /bin/supervisorctl -h", "For help, use supervisorctl -h"),
        ("no such /tmp/x/file", "no such DIRECTORY/file"),
    ] {
        assert_eq!(normalise(text, "/tmp/x"), expected);
    }
}
