//! The dialect of the files: that of Python's `RawConfigParser` with inline comments.
//!
//! The `configparser` crate stores the result, but it cannot read the dialect: it cuts comments at any `;`, takes an
//! indented `[x]` for a header, and accepts what Python refuses. So this file reads the lines itself, by Python's
//! rules:
//!
//! - A comment begins with `;` or `#` at the start of a line or after a blank. Quotes do not protect it.
//! - A line that is indented deeper than the key above it continues that key's value.
//! - `[name]` reaches to the last `]` of its line. `key = value` or `key : value` is cut at the first of both. Keys are
//!   lower-cased.
//! - A section may be opened again, a key set again; the last value counts.
//!
//! A byte order mark at the start is skipped, which Python does not do. What Python cannot read may have values as
//! [`joined`] describes them.

use crate::config::document::Document;
use crate::config::error::ConfigError;
use crate::config::joined::{self, Line};
use crate::config::schema;
use crate::config::text::{is_space, repr, strip};
use std::path::Path;

/// Reads one file's text into a document.
///
/// # Errors
/// The text is not of this dialect: it begins outside any section, or has lines that are neither a header nor
/// a key. All bad lines are in one error.
pub(super) fn read(
    text: &str,
    name: &Path,
    here: String,
    document: &mut Document,
) -> Result<(), ConfigError> {
    document.begin_file(name, here);
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let plain = (1..).zip(lines(text)).map(|(number, line)| (number, Line::Plain(line)));
    let entries = entries(plain, name).or_else(|error| {
        let joined = joined::lines((1..).zip(lines(text))).and_then(|lines| self::entries(lines, name).ok());
        joined.ok_or(error)
    })?;
    for entry in entries {
        entry.write(document);
    }
    Ok(())
}

/// What lines say, if all of them are of the dialect.
fn entries<'t>(
    lines: impl IntoIterator<Item = (u32, Line<'t>)>,
    name: &Path,
) -> Result<Vec<Entry>, ConfigError> {
    let mut reader = Reader::default();
    for (number, line) in lines {
        match line {
            Line::Plain(line) => {
                reader.line(number, line).map_err(|OutsideSection| outside_section(name, number, line))?;
            }
            Line::Joined { key, value } => {
                reader
                    .joined(number, key, value)
                    .map_err(|OutsideSection| outside_section(name, number, key))?;
            }
        }
    }
    reader.finish();
    match reader.bad_lines.as_slice() {
        [] => Ok(reader.entries),
        bad_lines => Err(unparsable(name, bad_lines)),
    }
}

/// What goes into the document, once all of the file is known to be right.
enum Entry {
    Section { name: String, line: u32 },
    Setting { section: String, setting: OpenKey },
}

impl Entry {
    fn write(self, document: &mut Document) {
        match self {
            Entry::Section { name, line } => document.open(&name, document.place(line)),
            Entry::Setting { section, setting } => {
                let place = document.place(setting.line);
                let value = setting.lines.trim_end_matches(is_space).to_string();
                document.set(&section, &setting.key, value, place);
                if setting.cut {
                    document.note_cut(&section, &setting.key, place);
                }
                if setting.joined {
                    document.note_joined(&section, &setting.key, place);
                }
            }
        }
    }
}

/// Splits a text into lines that keep their ends. `\n`, `\r\n` and `\r` all end a line, as for Python.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest
            .find(['\n', '\r'])
            .map_or(rest.len(), |at| if rest[at..].starts_with("\r\n") { at + 2 } else { at + 1 });
        let (line, tail) = rest.split_at(end);
        rest = tail;
        Some(line)
    })
}

/// The line as Python shows it: every end of line is `\n` there.
fn shown(line: &str) -> String {
    let body = line.trim_end_matches(['\n', '\r']);
    if body.len() == line.len() { repr(line) } else { repr(&format!("{body}\n")) }
}

fn outside_section(name: &Path, number: u32, line: &str) -> ConfigError {
    let file = repr(&name.to_string_lossy());
    let text = format!("File contains no section headers.\nfile: {file}, line: {number}\n{}", shown(line));
    ConfigError { file: Some(name.to_path_buf()), line: Some(number), ..ConfigError::plain(text) }
}

fn unparsable(name: &Path, bad_lines: &[(u32, String)]) -> ConfigError {
    let mut text = format!("Source contains parsing errors: {}", repr(&name.to_string_lossy()));
    for (number, line) in bad_lines {
        text += &format!("\n\t[line {number:2}]: {line}");
    }
    let line = bad_lines.first().map(|(number, _)| *number);
    ConfigError { file: Some(name.to_path_buf()), line, ..ConfigError::plain(text) }
}

/// A key stands before the first header: nothing after it can be understood.
struct OutsideSection;

#[derive(Default)]
struct Reader {
    entries: Vec<Entry>,
    section: Option<String>,
    open: Option<OpenKey>,
    /// The indentation, in characters, of the header or key a continuation must exceed.
    indent: usize,
    bad_lines: Vec<(u32, String)>,
}

/// The key that following lines may continue.
struct OpenKey {
    key: String,
    lines: String,
    line: u32,
    /// Whether a comment ended one of its lines.
    cut: bool,
    /// Whether several lines were made one.
    joined: bool,
}

impl Reader {
    /// A value whose lines were joined.
    fn joined(&mut self, number: u32, key: &str, value: String) -> Result<(), OutsideSection> {
        if self.section.is_none() {
            return Err(OutsideSection);
        }
        self.finish();
        self.indent = 0;
        self.open =
            Some(OpenKey { key: key_name(key), lines: value, line: number, cut: false, joined: true });
        // Nothing goes on behind its end.
        self.finish();
        Ok(())
    }

    fn line(&mut self, number: u32, line: &str) -> Result<(), OutsideSection> {
        let comment = comment_start(line);
        let text = strip(&line[..comment.unwrap_or(line.len())]);
        if text.is_empty() {
            // An empty line is part of a value if more of it follows; a comment is nothing at all.
            if let (None, Some(open)) = (comment, &mut self.open) {
                open.lines.push('\n');
            }
            return Ok(());
        }
        let indent = line.chars().take_while(|c| is_space(*c)).count();
        if indent > self.indent
            && let Some(open) = &mut self.open
        {
            open.lines.push('\n');
            open.lines.push_str(text);
            open.cut |= comment.is_some();
            return Ok(());
        }
        self.indent = indent;
        if let Some(name) = header(text) {
            self.finish();
            self.entries.push(Entry::Section { name: name.to_string(), line: number });
            self.section = Some(name.to_string());
            return Ok(());
        }
        if self.section.is_none() {
            return Err(OutsideSection);
        }
        match key_and_value(text) {
            Some((key, value)) => {
                self.finish();
                self.open = Some(OpenKey {
                    key: key_name(key),
                    lines: value.to_string(),
                    line: number,
                    cut: comment.is_some(),
                    joined: false,
                });
            }
            None => self.bad_lines.push((number, shown(line))),
        }
        Ok(())
    }

    /// Hands over the open key.
    fn finish(&mut self) {
        if let (Some(section), Some(setting)) = (&self.section, self.open.take()) {
            self.entries.push(Entry::Setting { section: section.clone(), setting });
        }
    }
}

/// Where the earliest comment of a line begins.
///
/// With both markers on one line Python may cut at the later one; nobody can have meant that.
pub(super) fn comment_start(line: &str) -> Option<usize> {
    let whole_line = line.trim_start_matches(is_space).starts_with([';', '#']);
    if whole_line {
        return Some(0);
    }
    let mut after_space = true;
    line.char_indices().find_map(|(at, c)| {
        let starts = after_space && matches!(c, ';' | '#');
        after_space = is_space(c);
        starts.then_some(at)
    })
}

/// The name of a section, if the line is a header: at least one character up to the last `]`.
pub(super) fn header(text: &str) -> Option<&str> {
    let name = &text.strip_prefix('[')?;
    let end = name.rfind(']')?;
    (end > 0).then(|| &name[..end])
}

/// Cuts at the first `=` or `:`. `None` if there is none or nothing in front of it.
pub(super) fn key_and_value(text: &str) -> Option<(&str, &str)> {
    let (key, value) = text.split_once(['=', ':'])?;
    let key = key.trim_end_matches(is_space);
    (!key.is_empty()).then(|| (key, strip(value)))
}

/// A key as it is compared: in lower case, as in Supervisor. What stands behind `credential.` is the name of a file, whose
/// letters are not the same in both cases.
fn key_name(written: &str) -> String {
    match written.split_at_checked(schema::CREDENTIAL.len()) {
        Some((head, name)) if head.eq_ignore_ascii_case(schema::CREDENTIAL) => {
            format!("{}{name}", schema::CREDENTIAL)
        }
        _ => written.to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Result<Document, ConfigError> {
        let mut document = Document::default();
        read(text, Path::new("x.conf"), "/etc".into(), &mut document)?;
        Ok(document)
    }

    /// Everything in the document, as `[section] key=value@line`.
    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let document = document(text).expect("parses");
        let mut found = Vec::new();
        for section in document.sections() {
            if document.own_keys(section).next().is_none() {
                found.push(format!("[{section}]"));
            }
            for (key, place) in document.own_keys(section) {
                let value = document.get(section, key).expect("a listed key").text;
                found.push(format!("[{section}] {key}={value}@{}", place.line));
            }
        }
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn keys_and_sections() {
        check("[a]\nk=v\n", &["[a] k=v@2"]);
        check("[a]\r\nk=v\r\n[b]\rk : w\r", &["[a] k=v@2", "[b] k=w@4"]);
        check("\u{feff}[a]\nk=v", &["[a] k=v@2"]);
        check("[a]\na:b=c\nd=e:f\n", &["[a] a=b=c@2", "[a] d=e:f@3"]);
        check("[a]\n  Key With Blanks =  v  \n", &["[a] key with blanks=v@2"]);
        check("[ a ] trailing\nk=\n", &["[ a ] k=@2"]);
        check("[a]b]\nk=1\n", &["[a]b] k=1@2"]);
        check("[a]\nk=1\n[b]\n[a]\nk=2\nl=3\n", &["[a] k=2@5", "[a] l=3@6", "[b]"]);
        check("[a]\nk=\"quoted\\n\" $HOME ~\n", &["[a] k=\"quoted\\n\" $HOME ~@2"]);
        check("[a]\n;k=1\n# k=2\n   ; k=3\nrem=4\n", &["[a] rem=4@5"]);
        check("", &[]);
    }

    #[test]
    fn comments() {
        check("[a]\nk=v;x\nl=v#x\n", &["[a] k=v;x@2", "[a] l=v#x@3"]);
        check("[a]\nk=v ;x\nl=v\t#x\n", &["[a] k=v@2", "[a] l=v@3"]);
        check("[a]\nk=bash -c \"foo ; bar\"\n", &["[a] k=bash -c \"foo@2"]);
        check("[a]\nk= ;x\n", &["[a] k=@2"]);
        // Here Python keeps `v;x ;y`.
        check("[a]\nk=v;x ;y #z\n", &["[a] k=v;x@2"]);
        check("[a] ; comment ]\nk=v\n", &["[a] k=v@2"]);
    }

    #[test]
    fn continuations() {
        check("[a]\nk=1\n  2\n  3\nl=4\n", &["[a] k=1\n2\n3@2", "[a] l=4@5"]);
        check("[a]\nk=1\n\n  2\n\n\nl=4\n", &["[a] k=1\n\n2@2", "[a] l=4@7"]);
        check("[a]\nk=1\n ; no\n  2 ; no\n", &["[a] k=1\n2@2"]);
        check("[a]\nk=\n  [b]\n  x=1\n", &["[a] k=\n[b]\nx=1@2"]);
        check("[a]\n  k=1\n  l=2\n    3\n", &["[a] k=1@2", "[a] l=2\n3@3"]);
        check("[a]\nk=1\n;comment\n  2\n", &["[a] k=1\n2@2"]);
    }

    #[test]
    fn values_of_relatives_are_joined_where_python_reads_nothing() {
        // What Python can read is read as Python reads it.
        check("[a]\nk=\"\"\"x\n  y\n  \"\"\"\n", &["[a] k=\"\"\"x\ny\n\"\"\"@2"]);
        check("[a]\nk=\"\"\"A=1,\nB=2\"\"\"\n", &["[a] k=\"\"\"A=1,@2", "[a] b=2\"\"\"@3"]);
        check("[a]\nk=\"\"\"x\"\"\"\n", &["[a] k=\"\"\"x\"\"\"@2"]);
        check("[a]\nk=A=1,\\\nB=2\n", &["[a] k=A=1,\\@2", "[a] b=2@3"]);
        check("[a]\nk=x \\\n  y\n", &["[a] k=x \\\ny@2"]);
        check("[a]\nk=x \\\n[b]\n", &["[a] k=x \\@2", "[b]"]);
        // What it cannot read means what it means to the relatives.
        check("[a]\nk=\"\"\"x\ny\n\"\"\"\nl=1\n", &["[a] k=x\ny@2", "[a] l=1@5"]);
        check(
            "[a]\nk = \"\"\"\n/bin/x a ; b\n; c\n\n--d=e\"\"\"  \n",
            &["[a] k=/bin/x a ; b\n; c\n\n--d=e@2"],
        );
        check("[a]\nk=\"\"\"x\n[b]\ny\"\"\"\n[c]\n", &["[a] k=x\n[b]\ny@2", "[c]"]);
        check("[a]\nk=x \\\ny \\\r\nz ; c\nl=1\n", &["[a] k=x y z@2", "[a] l=1@5"]);
        check("[a]\nk=A=1,\\\nB=2\nl=x\\\ny\n", &["[a] k=A=1,B=2@2", "[a] l=xy@4"]);
        check("[a]\nl=x\\\ny\nk=z\\\n[b]\nm=\"\"\"q\"\"\"\n", &["[a] l=xy@2", "[a] k=z\\@4", "[b] m=q@6"]);
        let places = |text: &str| -> Vec<u32> {
            document(text).expect("parses").joined().map(|(_, _, place)| place.line).collect()
        };
        assert_eq!(places("[a]\nk=1\nl=x\\\ny\nm=\"\"\"z\nz\"\"\"\n"), [3, 5]);
        assert_eq!(places("[a]\nk=x \\\n  y\n"), [0; 0]);
    }

    #[test]
    fn defaults_stand_in() {
        let document = document("[DEFAULT]\nk=d\n[a]\n[b]\nk=b\n").expect("parses");
        assert_eq!(document.sections().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(document.get("a", "k").map(|value| value.text), Some("d"));
        assert_eq!(document.get("b", "k").map(|value| value.text), Some("b"));
        assert!(!document.has_section("DEFAULT"));
    }

    #[test]
    fn bad_files() {
        for (text, message) in [
            ("foo\n[a]\n", "File contains no section headers.\nfile: 'x.conf', line: 1\n'foo\\n'"),
            ("\n\nk=v", "File contains no section headers.\nfile: 'x.conf', line: 3\n'k=v'"),
            (
                "[a]\nfoo\nk=1\n=2\r\n[]\n",
                "Source contains parsing errors: 'x.conf'\n\t[line  2]: 'foo\\n'\n\t[line  4]: '=2\\n'\n\t\
                 [line  5]: '[]\\n'",
            ),
            // Joining does not help: the words are about what stands there.
            ("[a]\nk=\"\"\"x\ny\n", "Source contains parsing errors: 'x.conf'\n\t[line  3]: 'y\\n'"),
            ("[a]\nk=x\\\\\ny\n", "Source contains parsing errors: 'x.conf'\n\t[line  3]: 'y\\n'"),
            ("[a]\nk=x \\ ; c\ny\n", "Source contains parsing errors: 'x.conf'\n\t[line  3]: 'y\\n'"),
            (
                "[a]\nk=x\\\ny\nz\n",
                "Source contains parsing errors: 'x.conf'\n\t[line  3]: 'y\\n'\n\t[line  4]: 'z\\n'",
            ),
        ] {
            assert_eq!(document(text).expect_err(text).text, message);
        }
    }
}
