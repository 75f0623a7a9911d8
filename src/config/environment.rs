//! `environment=KEY="value",KEY2=value2`: Python's `shlex` lexer in POSIX mode, then four tokens at a time.
//!
//! Supervisor takes key, `=`, value and a separator it never looks at, so a stray token vanishes together
//! with what follows it (`A=x y` sets A to `x`; `A=$HOME` sets it to `$`). Here whatever would be lost is an
//! error; everything that is read keeps its meaning.

use crate::config::text::repr;
use std::collections::BTreeMap;

/// Reads the value of an `environment` key, after expansion.
///
/// # Errors
/// Supervisor's text for everything Supervisor refuses, our own for what it would have dropped.
pub fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let (tokens, first_stray) = tokenize(text)?;
    let mut stray = first_stray;
    let mut variables = BTreeMap::new();
    for four in tokens.chunks(4) {
        let [key, equals, value, separator @ ..] = four else { return Err(unexpected_end(text)) };
        if !equals.is('=') {
            return Err(unexpected_end(text));
        }
        let separator = separator.first().filter(|separator| !separator.is(','));
        stray = stray.or([key, value].into_iter().find_map(Token::mark)).or(separator.map(Token::text));
        let (key, value) = (key.text(), value.text());
        variables.insert(key, value);
    }
    for (key, value) in &variables {
        check(key, value, text)?;
    }
    match stray {
        None => Ok(variables),
        Some(stray) => Err(format!(
            "Unexpected {} in value {} (separate pairs with commas and put quotes around values with blanks or \
             special characters)",
            repr(&stray),
            repr(text)
        )),
    }
}

fn unexpected_end(text: &str) -> String {
    format!("Unexpected end of key/value pairs in value '{text}'")
}

/// All tokens, and the first comment, which Supervisor skips to the end of its line.
fn tokenize(text: &str) -> Result<(Vec<Token>, Option<String>), String> {
    let mut lexer = Lexer { text, at: 0 };
    let (mut tokens, mut comment) = (Vec::new(), None);
    while let Some(token) = lexer.next()? {
        if token.is('#') {
            comment = Some("#".to_string());
            lexer.skip_line();
        } else {
            tokens.push(token);
        }
    }
    Ok((tokens, comment))
}

/// What no process can be started with.
fn check(key: &str, value: &str, text: &str) -> Result<(), String> {
    if key.is_empty() || key.contains(['=', '\0']) || value.contains('\0') {
        return Err(format!("{} cannot be a variable's name or value in value {}", repr(key), repr(text)));
    }
    Ok(())
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    /// Any character that is neither part of a word, nor a blank, nor a quote.
    Mark(char),
}

impl Token {
    fn is(&self, mark: char) -> bool {
        match self {
            Token::Mark(this) => *this == mark,
            // Supervisor compares texts, so a quoted mark counts.
            Token::Word(word) => mark != '#' && word.chars().eq([mark]),
        }
    }

    fn mark(&self) -> Option<String> {
        matches!(self, Token::Mark(_)).then(|| self.text())
    }

    fn text(&self) -> String {
        match self {
            Token::Word(word) => word.clone(),
            Token::Mark(mark) => mark.to_string(),
        }
    }
}

#[derive(Clone)]
struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl Lexer<'_> {
    fn next(&mut self) -> Result<Option<Token>, String> {
        let rest = self.text[self.at..].trim_start_matches([' ', '\t', '\r', '\n']);
        self.at = self.text.len() - rest.len();
        let Some(first) = rest.chars().next() else { return Ok(None) };
        if is_word(first) || matches!(first, '\'' | '"' | '\\') {
            return self.word().map(Some);
        }
        self.at += first.len_utf8();
        Ok(Some(Token::Mark(first)))
    }

    fn skip_line(&mut self) {
        let line = self.text[self.at..].find('\n').unwrap_or(self.text.len() - self.at);
        self.at += line;
    }

    /// Reads a word: quoted and unquoted parts that touch are one.
    fn word(&mut self) -> Result<Token, String> {
        let mut word = String::new();
        while let Some(c) = self.text[self.at..].chars().next() {
            match c {
                '\'' | '"' => self.quoted(c, &mut word)?,
                '\\' => {
                    let escaped = self.text[self.at + 1..].chars().next().ok_or("No escaped character")?;
                    word.push(escaped);
                    self.at += 1 + escaped.len_utf8();
                }
                c if is_word(c) => {
                    word.push(c);
                    self.at += c.len_utf8();
                }
                _ => break,
            }
        }
        Ok(Token::Word(word))
    }

    /// Reads a quoted part. In double quotes a backslash escapes the quote and itself, nothing else.
    fn quoted(&mut self, quote: char, word: &mut String) -> Result<(), String> {
        let mut characters = self.text[self.at + 1..].char_indices();
        while let Some((offset, c)) = characters.next() {
            if c == quote {
                self.at += 1 + offset + 1;
                return Ok(());
            }
            if c != '\\' || quote == '\'' {
                word.push(c);
                continue;
            }
            match characters.next() {
                Some((_, escaped @ ('"' | '\\'))) => word.push(escaped),
                Some((_, other)) => word.extend(['\\', other]),
                None => return Err("No escaped character".to_string()),
            }
        }
        Err("No closing quotation".to_string())
    }
}

/// The word characters of `shlex` in POSIX mode and those Supervisor adds.
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || "_/.+-():".contains(c)
        || matches!(c, 'ß'..='ö' | 'ø'..='ÿ' | 'À'..='Ö' | 'Ø'..='Þ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
        parse(text).map(|map| map.into_iter().collect())
    }

    #[test]
    fn good_values() {
        for (text, expected) in [
            ("", &[][..]),
            (" \n ", &[]),
            ("A=1,B=2", &[("A", "1"), ("B", "2")]),
            ("A=\"1\", B=\"2\"", &[("A", "1"), ("B", "2")]),
            ("A = 1 ,", &[("A", "1")]),
            ("A=\"a,b\",B='x y'", &[("A", "a,b"), ("B", "x y")]),
            ("A=/a/b:/c.d+e-(f)", &[("A", "/a/b:/c.d+e-(f)")]),
            ("A=\"x\\\"y\"", &[("A", "x\"y")]),
            ("A=\"a\\\\b\\n\"", &[("A", "a\\b\\n")]),
            ("A='a\\b'", &[("A", "a\\b")]),
            ("A=\"\",B=1", &[("A", ""), ("B", "1")]),
            ("A=x\"y\"'z'", &[("A", "xyz")]),
            ("A=\\ b", &[("A", " b")]),
            ("A=1,\nB=2,\n  C=3", &[("A", "1"), ("B", "2"), ("C", "3")]),
            ("A=\"1\n2\"", &[("A", "1\n2")]),
            ("A=1,A=2", &[("A", "2")]),
            ("A=\"{\\\"k\\\": [1, 2]}\"", &[("A", "{\"k\": [1, 2]}")]),
            ("A=é", &[("A", "é")]),
            ("\"A\"=1", &[("A", "1")]),
        ] {
            let expected = expected.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect::<Vec<_>>();
            assert_eq!(pairs(text), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn bad_values() {
        let end = |text: &str| format!("Unexpected end of key/value pairs in value '{text}'");
        for text in [
            "A=",
            "A",
            ",A=1",
            "A=1,,B=2",
            "A=1 B=2",
            "A=a=b",
            "=1",
            "A;=1",
            "A B",
            "A=a@b",
            "A=http://x/y?z",
        ] {
            assert_eq!(pairs(text), Err(end(text)), "{text:?}");
        }
        for (text, part) in [
            ("A=\"x", "No closing quotation"),
            ("A='x", "No closing quotation"),
            ("A=x\\", "No escaped character"),
            ("A=\"x\\", "No escaped character"),
            ("A=x y", "Unexpected 'y' in value"),
            ("A=$HOME", "Unexpected '$' in value"),
            ("A=~/x", "Unexpected '~' in value"),
            ("A=,B=1", "Unexpected end"),
            ("A==b", "Unexpected '=' in value"),
            ("A=1;B=2", "Unexpected ';' in value"),
            ("A=1#x,B=2", "Unexpected '#' in value"),
            ("\"A=B\"=1", "'A=B' cannot be a variable's name"),
            ("''=1", "'' cannot be a variable's name"),
        ] {
            let error = pairs(text).expect_err(text);
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }
}
