//! The file of `--env-file`: variables for the daemon itself, and so for its configuration and its programs.

use crate::config::reading::{self, Readable};
use crate::model::raw;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The variables of a file.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn read(path: &Path) -> io::Result<Vec<(String, String)>> {
    let bytes = reading::read(path, Readable::Pipes)?;
    let text = |bytes| raw::text(OsStr::from_bytes(bytes));
    Ok(variables(&bytes).map(|(name, value)| (text(name), text(value))).collect())
}

/// One `NAME=value` in a line, blanks around both left out, perhaps behind the word `export`. Quotation marks are part of
/// the value. Comments begin with `#`; a variable without a value is none.
fn variables(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    text.split(|byte| *byte == b'\n').filter_map(variable)
}

fn variable(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.trim_ascii();
    let exported =
        line.strip_prefix(b"export").filter(|rest| rest.first().is_some_and(u8::is_ascii_whitespace));
    let line = exported.unwrap_or(line);
    let at = line.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (line[..at].trim_ascii(), line[at + 1..].trim_ascii());
    let is_possible = !name.is_empty() && !value.is_empty() && !line.contains(&0) && !name.starts_with(b"#");
    is_possible.then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_what_they_set() {
        let text = b"# A=1\nB=2\n  export C = x y \n#D=3\nE=\n=4\nexported=5\nF=\"q=\"\r\nG\nN=\0\n\xff=\xfe\nLAST=6";
        let expected: [(&[u8], &[u8]); 6] = [
            (b"B", b"2"),
            (b"C", b"x y"),
            (b"exported", b"5"),
            (b"F", b"\"q=\""),
            (b"\xff", b"\xfe"),
            (b"LAST", b"6"),
        ];
        assert_eq!(variables(text).collect::<Vec<_>>(), expected);
    }
}
