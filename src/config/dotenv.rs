//! The text of an `environment_file`.
//!
//! One variable in a line, perhaps behind the word `export`. A value stands as it is, or in single quotes, where nothing
//! means anything else, or in double quotes, where a backslash does. Quoted values may have several lines. A `#` at the
//! beginning of a line, or behind a blank, begins a comment. Nothing is expanded: neither `$` nor `%`.

use std::fmt;

/// The longest `environment_file`, in bytes; execve(2) takes less.
pub const LONGEST_FILE: u64 = 1 << 20;

/// What is wrong with such a text. It names the line and never what stands there, which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DotenvError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub what: &'static str,
}

impl fmt::Display for DotenvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// A name and its value.
pub type Variable = (Vec<u8>, Vec<u8>);

/// The variables of a text, in their order; of several with the same name the last one counts.
///
/// # Errors
/// The first line that cannot be understood.
pub fn parse(text: &[u8]) -> Result<Vec<Variable>, DotenvError> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut reader = Reader { text, at: 0 };
    let mut variables = Vec::new();
    while reader.at < text.len() {
        variables.extend(reader.line()?);
    }
    Ok(variables)
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Reader<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn error(&self, what: &'static str) -> DotenvError {
        self.error_at(self.at, what)
    }

    fn error_at(&self, at: usize, what: &'static str) -> DotenvError {
        let before = &self.text[..at.min(self.text.len())];
        DotenvError { line: 1 + before.iter().filter(|byte| **byte == b'\n').count(), what }
    }

    fn is_at_end(&self) -> bool {
        matches!(self.peek(), None | Some(b'\n'))
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\r')) {
            self.at += 1;
        }
    }

    /// What stands up to the end of the line, which is passed.
    fn rest(&mut self) -> &'t [u8] {
        let rest = &self.text[self.at..];
        let n_bytes = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        self.at += n_bytes + usize::from(n_bytes < rest.len());
        &rest[..n_bytes]
    }

    fn line(&mut self) -> Result<Option<Variable>, DotenvError> {
        self.skip_blanks();
        if self.is_at_end() || self.peek() == Some(b'#') {
            self.rest();
            return Ok(None);
        }
        let name = self.name()?;
        self.skip_blanks();
        let begin = self.at;
        let value = match self.peek() {
            Some(quote @ (b'\'' | b'"')) => {
                self.at += 1;
                let value = if quote == b'\'' { self.literal()? } else { self.escaped()? };
                self.end_of_line()?;
                value
            }
            _ => plain(self.rest()).to_vec(),
        };
        if name.contains(&0) || value.contains(&0) {
            return Err(self.error_at(begin, "no variable can hold a zero byte"));
        }
        Ok(Some((name, value)))
    }

    fn name(&mut self) -> Result<Vec<u8>, DotenvError> {
        const EXPECTED: &str = "expected KEY=value";
        let begin = self.at;
        while self.peek().is_some_and(|byte| byte != b'=' && byte != b'\n') {
            self.at += 1;
        }
        if self.peek() != Some(b'=') {
            return Err(self.error_at(begin, EXPECTED));
        }
        let name = self.text[begin..self.at].trim_ascii();
        self.at += 1;
        let exported =
            name.strip_prefix(b"export").filter(|rest| rest.first().is_some_and(u8::is_ascii_whitespace));
        let name = exported.unwrap_or(name).trim_ascii();
        let is_name =
            !name.is_empty() && !name.iter().any(|byte| byte.is_ascii_whitespace() || b"'\"".contains(byte));
        if is_name { Ok(name.to_vec()) } else { Err(self.error_at(begin, EXPECTED)) }
    }

    fn literal(&mut self) -> Result<Vec<u8>, DotenvError> {
        let begin = self.at;
        while let Some(byte) = self.peek() {
            self.at += 1;
            if byte == b'\'' {
                return Ok(self.text[begin..self.at - 1].to_vec());
            }
        }
        Err(self.error_at(begin, "the single quote that begins here has no end"))
    }

    fn escaped(&mut self) -> Result<Vec<u8>, DotenvError> {
        let begin = self.at;
        let mut value = Vec::new();
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'"' => return Ok(value),
                b'\\' => {
                    let Some(next) = self.peek() else { break };
                    self.at += 1;
                    match next {
                        b'n' => value.push(b'\n'),
                        b'r' => value.push(b'\r'),
                        b't' => value.push(b'\t'),
                        b'"' | b'\\' | b'\'' | b'$' | b'`' => value.push(next),
                        // It stands for itself: Windows paths and regular expressions are written like that.
                        _ => value.extend([b'\\', next]),
                    }
                }
                _ => value.push(byte),
            }
        }
        Err(self.error_at(begin, "the double quote that begins here has no end"))
    }

    /// Nothing but a comment may follow a quoted value.
    fn end_of_line(&mut self) -> Result<(), DotenvError> {
        let begin = self.at;
        self.skip_blanks();
        let is_comment = self.peek() == Some(b'#') && self.at > begin;
        if !self.is_at_end() && !is_comment {
            return Err(self.error("something follows the closing quote"));
        }
        self.rest();
        Ok(())
    }
}

/// A value without quotes: without a comment, and without blanks around it.
fn plain(text: &[u8]) -> &[u8] {
    let begins = |at: &usize| text[*at] == b'#' && *at > 0 && text[*at - 1].is_ascii_whitespace();
    let end = (0..text.len()).find(begins).unwrap_or(text.len());
    text[..end].trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &[u8]) -> String {
        match parse(text) {
            Ok(variables) => {
                let pair = |(name, value): Variable| {
                    format!("{}={:?}", String::from_utf8_lossy(&name), String::from_utf8_lossy(&value))
                };
                variables.into_iter().map(pair).collect::<Vec<_>>().join(" ")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn values_are_what_they_say() {
        for (text, expected) in [
            ("", ""),
            ("\n  \n# A=1\n   # B=2\n", ""),
            ("A=1", "A=\"1\""),
            ("A=1\nB=2\n", "A=\"1\" B=\"2\""),
            ("A=1\r\nB=2\r\n", "A=\"1\" B=\"2\""),
            ("\u{feff}A=1", "A=\"1\""),
            ("export A=1\n\texport\tB=2", "A=\"1\" B=\"2\""),
            ("exported=1", "exported=\"1\""),
            ("A = 1 ", "A=\"1\""),
            ("A=", "A=\"\""),
            ("A=''\nB=\"\"", "A=\"\" B=\"\""),
            ("A=a b  c", "A=\"a b  c\""),
            ("A=a=b", "A=\"a=b\""),
            ("A=a#b", "A=\"a#b\""),
            ("A=a #b", "A=\"a\""),
            ("A=#b", "A=\"#b\""),
            ("A='a # b' # c", "A=\"a # b\""),
            ("A=\"a # b\"  # c", "A=\"a # b\""),
            ("A='$HOME %(here)s \\n \"'", "A=\"$HOME %(here)s \\\\n \\\"\""),
            ("A=$HOME ${B} %(here)s %%", "A=\"$HOME ${B} %(here)s %%\""),
            (r#"A="a\nb\t\"\\ \$ \d""#, r#"A="a\nb\t\"\\ $ \\d""#),
            ("A=\"a\nb\"\nB='c\nd'", "A=\"a\\nb\" B=\"c\\nd\""),
            (
                "KEY=\"-----BEGIN-----\nMIIE+/=\n-----END-----\n\"\nB=1",
                "KEY=\"-----BEGIN-----\\nMIIE+/=\\n-----END-----\\n\" B=\"1\"",
            ),
            ("A=it's", "A=\"it's\""),
            ("A=1\nA=2", "A=\"1\" A=\"2\""),
            ("a.b-c=1", "a.b-c=\"1\""),
            ("A", "line 1: expected KEY=value"),
            ("A=1\nB\n", "line 2: expected KEY=value"),
            ("=1", "line 1: expected KEY=value"),
            ("export =1", "export=\"1\""),
            ("A B=1", "line 1: expected KEY=value"),
            ("\n\nA='x", "line 3: the single quote that begins here has no end"),
            ("A=\"x\n\n", "line 1: the double quote that begins here has no end"),
            ("A=\"x\\", "line 1: the double quote that begins here has no end"),
            ("A='a'b", "line 1: something follows the closing quote"),
            ("A=\"a\nb\"#c", "line 2: something follows the closing quote"),
            ("A=a\0b", "line 1: no variable can hold a zero byte"),
        ] {
            assert_eq!(shown(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(parse(b"A=\xff"), Ok(vec![(b"A".to_vec(), b"\xff".to_vec())]));
    }

    #[test]
    fn no_error_tells_what_stands_there() {
        for text in ["PASSWORD", "PASSWORD='secret", "PASSWORD='secret'secret", "a secret=1"] {
            let error = parse(text.as_bytes()).expect_err(text).to_string();
            assert!(!error.to_lowercase().contains("secret") && !error.contains("PASSWORD"), "{error}");
        }
    }
}
