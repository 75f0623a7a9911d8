//! `environment=KEY="value",KEY2=value2`: Python's `shlex` lexer in POSIX mode, then four tokens at a time.
//!
//! Supervisor takes key, `=`, value and a separator that it never checks, so a stray token vanishes together with what
//! follows it (`A=x y` sets A to `x`; `A=$HOME` sets it to `$`). Supervisor runs with such values, so this reader
//! accepts them, too: it reads the value a second time with `whole`, which loses nothing. All other values keep their
//! meaning.

mod legacy;
mod whole;

use crate::config::secrets::names_a_secret;
use crate::config::section::Section;
use crate::config::text::repr;
use crate::config::values::{Read, Reading};
use std::collections::BTreeMap;

/// Names and values.
pub(super) type Variables = BTreeMap<String, String>;

/// Reads the value of an `environment` key, after expansion.
///
/// # Errors
/// Supervisor's text, for what Supervisor refuses, too.
pub(super) fn parse(text: &str) -> Read<Variables> {
    let (variables, is_whole) = match four_by_four(text) {
        Ok((variables, true)) => (variables, true),
        Ok((variables, false)) => (whole::parse(text).unwrap_or(variables), false),
        // What release 4.3.0 takes, with a lexer that knows less of quotes.
        Err(error) => {
            let variables = legacy::parse(text).ok_or(error)?;
            (whole::parse(text).unwrap_or(variables), false)
        }
    };
    let (variables, impossible): (Variables, Variables) =
        variables.into_iter().partition(|(name, value)| is_possible(name, value));
    let impossible: Vec<String> = impossible.keys().map(|name| repr(name)).collect();
    let doubt = match (impossible.is_empty(), is_whole) {
        (true, true) => return Ok(Reading::plain(variables)),
        (false, _) => {
            format!("no variable can have the name or value of {}: left out", impossible.join(", "))
        }
        (true, false) => format!(
            "is understood as {} (separate pairs with commas and put quotes around values with blanks or special \
             characters)",
            shown(&variables)
        ),
    };
    Ok(Reading::doubtful(variables, doubt))
}

/// The variables that a section gets from all its levels: what stands farther lies below what stands nearer.
pub(super) fn merged(section: &Section<'_>) -> Variables {
    const KEY: &str = "environment";
    let mut all = Variables::new();
    for (view, value) in section.all(KEY).into_iter().rev() {
        let text = view.text_of_value(KEY, value);
        all.extend(text.and_then(|text| view.sure(KEY, parse(&text))).unwrap_or_default());
    }
    all
}

/// Variables as a text that [`parse`] reads without a doubt. Marks of expansion stay what they are.
pub(super) fn written(variables: &Variables) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let pair = |(name, value): (&String, &String)| {
        let name = if !name.is_empty() && name.chars().all(is_word) { name.clone() } else { quoted(name) };
        format!("{name}={}", quoted(value))
    };
    variables.iter().map(pair).collect::<Vec<_>>().join(",")
}

/// The variables as they should have been written, without what nobody else should read.
fn shown(variables: &Variables) -> String {
    let shown = variables.iter().map(|(name, value)| {
        let is_secret = names_a_secret(name) || value.contains("://") && value.contains('@');
        format!("{name}=\"{}\"", if is_secret { "********" } else { value })
    });
    shown.collect::<Vec<_>>().join(",")
}

/// Whether a process can be started with this variable.
fn is_possible(name: &str, value: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')
}

/// Reads as Supervisor does. The flag says whether that is all that was written.
fn four_by_four(text: &str) -> Result<(Variables, bool), String> {
    let (tokens, has_comment) = tokenize(text)?;
    let mut is_whole = !has_comment;
    let mut variables = BTreeMap::new();
    for four in tokens.chunks(4) {
        let [key, equals, value, separator @ ..] = four else { return Err(unexpected_end(text)) };
        if !equals.is('=') {
            return Err(unexpected_end(text));
        }
        is_whole &= !key.is_mark() && !value.is_mark() && separator.iter().all(|separator| separator.is(','));
        variables.insert(key.text(), value.text());
    }
    Ok((variables, is_whole))
}

fn unexpected_end(text: &str) -> String {
    format!("Unexpected end of key/value pairs in value '{text}'")
}

/// All tokens, and whether there are comments, which Supervisor skips to the end of their lines.
fn tokenize(text: &str) -> Result<(Vec<Token>, bool), String> {
    let mut lexer = Lexer { text, at: 0 };
    let (mut tokens, mut has_comment) = (Vec::new(), false);
    while let Some(token) = lexer.next()? {
        if token.is('#') {
            has_comment = true;
            lexer.skip_line();
        } else {
            tokens.push(token);
        }
    }
    Ok((tokens, has_comment))
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

    fn is_mark(&self) -> bool {
        matches!(self, Token::Mark(_))
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
        let reading = parse(text)?;
        assert_eq!(reading.doubt, None, "{text:?}");
        Ok(reading.value.into_iter().collect())
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
        for (text, error) in [
            ("A=\"x", "No closing quotation"),
            ("A='x", "No closing quotation"),
            ("A=\"x\\", "No escaped character"),
        ] {
            assert_eq!(pairs(text), Err(error.to_string()), "{text:?}");
        }
    }

    /// Of these Supervisor takes a part.
    #[test]
    fn nothing_is_lost() {
        for (text, expected) in [
            ("A=x y", &[("A", "x y")][..]),
            ("JAVA_OPTS=-Xmx1g -Xms1g", &[("JAVA_OPTS", "-Xmx1g -Xms1g")]),
            ("A=http://h/p?x=1", &[("A", "http://h/p?x=1")]),
            ("A=http://h/p?x=1&y=2,B=3", &[("A", "http://h/p?x=1&y=2"), ("B", "3")]),
            ("KEY=abc=", &[("KEY", "abc=")]),
            ("KEY=\"abc\"=", &[("KEY", "abc=")]),
            ("A=50%", &[("A", "50%")]),
            ("A=~/x", &[("A", "~/x")]),
            ("A=$HOME", &[("A", "$HOME")]),
            ("A=a#b", &[("A", "a#b")]),
            ("A=1#2,B=3", &[("A", "1#2"), ("B", "3")]),
            ("A=1,#B=2\nC=3", &[("A", "1"), ("C", "3")]),
            ("A=1;B=2", &[("A", "1"), ("B", "2")]),
            ("A=1; B=\"2;C=3\"", &[("A", "1"), ("B", "2;C=3")]),
            ("A==b", &[("A", "=b")]),
            ("A=,", &[("A", "")]),
            ("A=1 B C=2", &[("A", "1 B C=2")]),
            ("A=\"a b\" c", &[("A", "a b c")]),
            // Quotes inside words, and what looks like an escape, are nothing special to release 4.3.0.
            ("A=it's", &[("A", "it's")]),
            ("A=it's,B=x", &[("A", "it's"), ("B", "x")]),
            ("A=x\\", &[("A", "x\\")]),
            ("A=\"C:\\\"", &[("A", "C:\\")]),
            ("A=5\" x", &[("A", "5\" x")]),
        ] {
            let Reading { value, doubt } = parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
            let expected: Variables = expected.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            assert_eq!(value, expected, "{text:?}");
            assert!(doubt.is_some(), "{text:?}");
        }
    }

    #[test]
    fn impossible_variables_are_left_out() {
        for text in ["\"A=B\"=1,C=2", "''=1,C=2", "A=\"\0\",C=2"] {
            let Reading { value, doubt } = parse(text).expect("there is a reading");
            assert_eq!(value, Variables::from([("C".to_string(), "2".to_string())]), "{text:?}");
            assert!(doubt.expect("a doubt").ends_with("left out"));
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let doubt = |text: &str| parse(text).expect("a reading").doubt.expect("a doubt");
        let said = doubt("DB_PASSWORD=abc;A=x y");
        assert!(said.contains("A=\"x y\"") && !said.contains("abc"), "{said}");
        assert!(!doubt("U=\"http://me:pw@h/\"=").contains("pw"));
    }
}
