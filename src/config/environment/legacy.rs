//! What Supervisor 4.3.0 accepts: the lexer of Python's `shlex` outside its POSIX mode.
//!
//! A quote only begins a quoted part at the start of a word, and that part is a token of its own; a backslash is a
//! character like any other.

use super::Variables;

/// What it reads: key, `=`, value and anything, again and again.
pub(super) fn parse(text: &str) -> Option<Variables> {
    let tokens = tokens(text)?;
    let pair = |four: &[&str]| match four {
        [name, "=", value, ..] => Some((name.to_string(), value.trim_matches(['"', '\'']).to_string())),
        _ => None,
    };
    tokens.chunks(4).map(pair).collect()
}

/// `None` if a quoted part has no end.
fn tokens(text: &str) -> Option<Vec<&str>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            ' ' | '\t' | '\r' | '\n' => {
                rest = &rest[1..];
                continue;
            }
            '#' => {
                rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
                continue;
            }
            '"' | '\'' => rest[1..].find(first)? + 2,
            c if is_word(c) => rest.find(|c| !is_word(c) && !matches!(c, '"' | '\'')).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let (token, tail) = rest.split_at(length);
        tokens.push(token);
        rest = tail;
    }
    Some(tokens)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_/.+-():".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted() {
        for text in
            ["A=1,B=2", "A=it's", "A=x\\", "A=\"x\\\"", "A=1 ;B=2", "A='a'x", "A=1,#B=\nC=3", "A=é", ""]
        {
            assert!(parse(text).is_some(), "{text:?}");
        }
        for text in ["A", "A=", "A=\"x", "=1", "A=1 B=2", "A=a@b"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
