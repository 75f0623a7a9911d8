//! Words of a unit: quotes, C escapes, specifiers, variables of commands.

use crate::convert::import::escaped;
use std::borrow::Cow;

/// What separates words. Blanks of other scripts are parts of them.
pub(super) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// The words of a text without quotes.
pub(super) fn blank_separated(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_blank).filter(|word| !word.is_empty())
}

/// Splits at blanks; quotes and backslashes as systemd.syntax(7) has them.
///
/// # Errors
/// A quote is not closed, or an escape is unknown.
pub(super) fn split(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', _) => {
                let c = unescaped(&mut chars).ok_or("an escape is not known")?;
                word.get_or_insert_default().push(c);
            }
            (c, Some(end)) if c == end => quote = None,
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if is_blank(c) => words.extend(word.take()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed");
    }
    words.extend(word);
    Ok(words)
}

/// What follows a backslash. `\;` is for commands.
fn unescaped(chars: &mut std::str::Chars<'_>) -> Option<char> {
    let number = |chars: &mut std::str::Chars<'_>, digits: usize, radix: u32| {
        let text: String = chars.by_ref().take(digits).collect();
        (text.len() == digits).then_some(())?;
        char::from_u32(u32::from_str_radix(&text, radix).ok()?).filter(|c| *c != '\0')
    };
    Some(match chars.next()? {
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        's' => ' ',
        'x' => number(chars, 2, 16)?,
        'u' => number(chars, 4, 16)?,
        'U' => number(chars, 8, 16)?,
        digit @ '0'..='7' => {
            let rest: String = chars.by_ref().take(2).collect();
            let code = u32::from_str_radix(&format!("{digit}{rest}"), 8).ok()?;
            char::from_u32(code).filter(|c| *c != '\0')?
        }
        c @ ('\\' | '"' | '\'' | ';' | ' ' | '\n') => c,
        _ => return None,
    })
}

/// The names that specifiers stand for.
#[derive(Clone, Debug)]
pub(super) struct Specifiers {
    /// `web@00.service`.
    pub unit: String,
    /// What stands for the instance, as it is written in a configuration.
    pub instance: String,
}

impl Specifiers {
    /// A text as a value of a configuration, with specifiers replaced and `%` doubled. Also the specifiers that cannot be
    /// said, which stay as they are.
    pub(super) fn value(&self, text: &str) -> (String, Vec<String>) {
        let (mut value, mut lost) = (String::new(), Vec::new());
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                value.push(c);
                continue;
            }
            match chars.next() {
                Some('%') => value.push_str("%%"),
                Some(letter) => match self.specifier(letter) {
                    Some(text) => value.push_str(&text),
                    None => {
                        lost.push(format!("%{letter}"));
                        value.push_str("%%");
                        value.push(letter);
                    }
                },
                None => value.push_str("%%"),
            }
        }
        (value, lost)
    }

    /// systemd.unit(5), table 5, for the manager of the system.
    fn specifier(&self, letter: char) -> Option<Cow<'_, str>> {
        let stem = self.unit.rsplit_once('.').map_or(&*self.unit, |(stem, _)| stem);
        let prefix = stem.split('@').next().unwrap_or_default();
        let fixed = |text: &'static str| Some(Cow::Borrowed(text));
        match letter {
            'n' if !self.unit.contains('@') => Some(escaped(&self.unit).into()),
            'N' if !self.unit.contains('@') => Some(escaped(stem).into()),
            'n' => Some(format!("{}@{}.service", escaped(prefix), self.instance).into()),
            'N' => Some(format!("{}@{}", escaped(prefix), self.instance).into()),
            'p' | 'P' => Some(escaped(prefix).into()),
            'i' | 'I' => Some(Cow::Borrowed(&self.instance)),
            'j' | 'J' => Some(escaped(prefix.rsplit('-').next().unwrap_or_default()).into()),
            'H' => fixed("%(host_node_name)s"),
            'h' => fixed("/root"),
            'u' | 'g' => fixed("root"),
            'U' | 'G' => fixed("0"),
            's' => fixed("/bin/sh"),
            't' => fixed("/run"),
            'S' => fixed("/var/lib"),
            'C' => fixed("/var/cache"),
            'L' => fixed("/var/log"),
            'E' => fixed("/etc"),
            'T' => fixed("/tmp"),
            'V' => fixed("/var/tmp"),
            _ => None,
        }
    }
}

/// A piece of a word of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    /// `${NAME}`: one word, whatever is in it.
    Variable(String),
    /// `$NAME` as a whole word: as many words as there are in it.
    Words(String),
}

/// Takes a word of a command apart into text and variables.
pub(super) fn pieces(word: &str) -> Vec<Piece> {
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if let Some(name) = word.strip_prefix('$').filter(|name| is_name(name)) {
        return vec![Piece::Words(name.to_string())];
    }
    let (mut pieces, mut text) = (Vec::new(), String::new());
    let mut rest = word;
    while let Some(at) = rest.find('$') {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix('$') {
            text.push('$');
            rest = behind;
        } else if let Some((name, behind)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'))
            && is_name(name)
        {
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(Piece::Variable(name.to_string()));
            rest = behind;
        } else {
            text.push('$');
        }
    }
    text.push_str(rest);
    if !text.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(text));
    }
    pieces
}

/// A name without the escapes of systemd-escape(1).
pub(super) fn unescaped_name(name: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        let code = rest.strip_prefix("\\x").and_then(|rest| rest.get(..2));
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[4..];
            }
            None => {
                bytes.extend(c.to_string().bytes());
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_split() {
        for (text, expected) in [
            ("a  b", Ok(vec!["a", "b"])),
            ("\"a b\" 'c d'e", Ok(vec!["a b", "c de"])),
            (r#"a\sb "\"\\\x41" \;"#, Ok(vec!["a b", "\"\\A", ";"])),
            ("\"\" x", Ok(vec!["", "x"])),
            ("a\u{a0}b\u{2003}c\td", Ok(vec!["a\u{a0}b\u{2003}c", "d"])),
            ("", Ok(vec![])),
            ("\"a", Err("a quote is not closed")),
            (r"\q", Err("an escape is not known")),
            (r"\x4", Err("an escape is not known")),
            (r"\000", Err("an escape is not known")),
        ] {
            let expected = expected.map(|words| words.into_iter().map(String::from).collect::<Vec<_>>());
            assert_eq!(split(text), expected, "{text:?}");
        }
    }

    #[test]
    fn specifiers_are_replaced_and_others_told() {
        let names = Specifiers { unit: "a-b@.service".into(), instance: "%(process_num)d".into() };
        for (text, expected, lost) in [
            ("%i/%I", "%(process_num)d/%(process_num)d", ""),
            ("%p %j 100%%", "a-b b 100%%", ""),
            ("%n", "a-b@%(process_num)d.service", ""),
            ("%H:%t", "%(host_node_name)s:/run", ""),
            ("%m %", "%%m %%", "%m"),
        ] {
            let (value, told) = names.value(text);
            assert_eq!((value.as_str(), told.join(" ").as_str()), (expected, lost), "{text}");
        }
        let plain = Specifiers { unit: "x.service".into(), instance: String::new() };
        assert_eq!(plain.value("%n %N").0, "x.service x");
    }

    #[test]
    fn variables_of_commands() {
        let text = |text: &str| Piece::Text(text.to_string());
        for (word, expected) in [
            ("plain", vec![text("plain")]),
            ("$FOO", vec![Piece::Words("FOO".into())]),
            ("a${FOO}b", vec![text("a"), Piece::Variable("FOO".into()), text("b")]),
            ("$$HOME", vec![text("$HOME")]),
            ("a$FOO", vec![text("a$FOO")]),
            ("${", vec![text("${")]),
            ("", vec![text("")]),
        ] {
            assert_eq!(pieces(word), expected, "{word}");
        }
        assert_eq!(unescaped_name("a\\x20b\\xc3\\xa4\\x"), "a bä\\x");
    }
}
