//! Where the output of an app goes.

use super::app::{App, text};
use crate::convert::import::escaped;
use crate::convert::tree::Node;

/// All that is read here.
pub(super) const KEYS: [&str; 14] = [
    "out_file",
    "output",
    "out",
    "error_file",
    "error",
    "err_file",
    "log_file",
    "log",
    "merge_logs",
    "combine_logs",
    "log_date_format",
    "log_type",
    "disable_logs",
    "time",
];

/// The signs of moment.js for parts of a time, and those of strftime(3).
const SIGNS: [(&str, &str); 14] = [
    ("YYYY", "%Y"),
    ("YY", "%y"),
    ("MMM", "%b"),
    ("MM", "%m"),
    ("DDDD", "%j"),
    ("DD", "%d"),
    ("HH", "%H"),
    ("hh", "%I"),
    ("mm", "%M"),
    ("ss", "%S"),
    ("SSS", "%3"),
    ("ddd", "%a"),
    ("ZZ", "%z"),
    ("Z", "%z"),
];

/// Sets the keys of both streams.
pub(super) fn import(app: &mut App<'_>) {
    let node = app.node;
    let first = |keys: &[&str]| keys.iter().find_map(|key| text(node, key)).map(str::to_string);
    let is_set = |key: &str| node.get(key).and_then(Node::as_bool) == Some(true);
    if is_set("disable_logs") {
        app.set("stdout_logfile", "NONE");
        app.set("stderr_logfile", "NONE");
        return;
    }
    let is_merged = is_set("merge_logs") || is_set("combine_logs") || !app.has_copies();
    let mut path = |keys: &[&str]| {
        let path = first(keys)?;
        // Commas are between several files here, and quotes or a pipe in front are meant for a shell.
        if path.contains(',') || path.starts_with(['"', '\'', '|']) {
            app.lose(keys[0], path, "a log cannot have this name: write another one");
            return None;
        }
        Some(path)
    };
    let (out, error) = (path(&["out_file", "output", "out"]), path(&["error_file", "error", "err_file"]));
    let both = path(&["log_file", "log"]);
    match (&out, &error, both) {
        (Some(out), Some(error), _) if out == error => {
            app.set("redirect_stderr", "true");
            app.set("stdout_logfile", place(out, is_merged));
        }
        (None, None, Some(both)) => {
            app.set("redirect_stderr", "true");
            app.set("stdout_logfile", place(&both, is_merged));
        }
        (_, _, both) => {
            let both = both.map(|both| place(&both, is_merged));
            for (key, path) in [("stdout_logfile", &out), ("stderr_logfile", &error)] {
                let own = path.as_ref().map(|path| place(path, is_merged));
                let all: Vec<String> = own.into_iter().chain(both.clone()).collect();
                if !all.is_empty() {
                    app.set(key, all.join(", "));
                }
            }
        }
    }
    if first(&["log_type"]).as_deref() == Some("json") {
        app.set("stdout_logfile_format", "json");
        app.set("stderr_logfile_format", "json");
    }
    let format = first(&["log_date_format"]);
    if format.is_some() || is_set("time") {
        let value = match format.as_deref().map(|format| (format, strftime(format))) {
            Some((_, Some(format))) => escaped(&format),
            Some((format, None)) => {
                app.lose(
                    "log_date_format",
                    format,
                    "not all of it has a sign in strftime(3): the usual format is taken",
                );
                "true".to_string()
            }
            None => "true".to_string(),
        };
        app.set("stdout_logfile_timestamps", value.clone());
        app.set("stderr_logfile_timestamps", value);
    }
}

/// A path, with the number of the process in front of its end if each has a file of its own.
fn place(path: &str, is_merged: bool) -> String {
    if ["/dev/null", "NULL", "null"].contains(&path) {
        return "NONE".to_string();
    }
    let path = match path.strip_prefix("./") {
        Some(rest) => format!("%(here)s/{}", escaped(rest)),
        None if path.starts_with(['/', '~']) => escaped(path),
        None => format!("%(here)s/{}", escaped(path)),
    };
    if is_merged {
        return path;
    }
    let slash = path.rfind('/').map_or(0, |at| at + 1);
    match path[slash..].rfind('.').filter(|at| *at > 0) {
        Some(at) => {
            let (stem, end) = path.split_at(slash + at);
            format!("{stem}-%(process_num)d{end}")
        }
        None => format!("{path}-%(process_num)d"),
    }
}

/// A format of moment.js as one of strftime(3); `None` if it has signs that the other one lacks.
fn strftime(format: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = format;
    while let Some(c) = rest.chars().next() {
        if let Some((sign, ours)) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign)) {
            // strftime(3) has no fractions of a second.
            if *ours == "%3" {
                return None;
            }
            out += ours;
            rest = &rest[sign.len()..];
        } else if c == '[' {
            let end = rest.find(']')?;
            out += &rest[1..end].replace('%', "%%");
            rest = &rest[end + 1..];
        } else if c.is_ascii_alphabetic() && c != 'T' {
            return None;
        } else {
            out += if c == '%' { "%%" } else { &rest[..c.len_utf8()] };
            rest = &rest[c.len_utf8()..];
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_of_times_are_translated() {
        for (format, expected) in [
            ("YYYY-MM-DD HH:mm:ss", Some("%Y-%m-%d %H:%M:%S")),
            ("YYYY-MM-DDTHH:mm:ss Z", Some("%Y-%m-%dT%H:%M:%S %z")),
            ("[at] HH", Some("at %H")),
            ("HH:mm:ss.SSS", None),
            ("dddd", None),
            ("X", None),
        ] {
            assert_eq!(strftime(format).as_deref(), expected, "{format}");
        }
    }

    #[test]
    fn each_process_has_a_file_of_its_own_unless_they_are_merged() {
        for (path, is_merged, expected) in [
            ("/var/log/x.log", true, "/var/log/x.log"),
            ("/var/log/x.log", false, "/var/log/x-%(process_num)d.log"),
            ("./logs/x", false, "%(here)s/logs/x-%(process_num)d"),
            ("logs/a%b.log", true, "%(here)s/logs/a%%b.log"),
            ("/dev/null", false, "NONE"),
        ] {
            assert_eq!(place(path, is_merged), expected, "{path}");
        }
    }
}
