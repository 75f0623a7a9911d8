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

/// What becomes of an escape that systemd does not know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unknown {
    /// Nothing of the assignment counts.
    Refused,
    /// It stays as it is.
    Kept,
}

/// Splits at blanks; quotes and backslashes as systemd.syntax(7) has them.
///
/// # Errors
/// A quote is not closed, or an escape is unknown.
pub(super) fn split(text: &str) -> Result<Vec<String>, &'static str> {
    split_with(text, Unknown::Refused)
}

/// The same of a command, in which unknown escapes stay, and `\;` is the word `;`.
///
/// # Errors
/// A quote is not closed.
pub(super) fn split_command(text: &str) -> Result<Vec<String>, &'static str> {
    split_with(text, Unknown::Kept)
}

fn split_with(text: &str, unknown: Unknown) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote: Option<char> = None;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match (c, quote) {
            ('\\', None) if unknown == Unknown::Kept && word.is_none() && is_semicolon(rest) => {
                words.push(b";".to_vec());
                rest = &rest[1..];
            }
            ('\\', _) => rest = escape(rest, unknown, word.get_or_insert_default())?,
            (c, Some(end)) if c == end => quote = None,
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if is_blank(c) => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().extend(c.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed");
    }
    words.extend(word);
    let words: Result<_, _> = words.into_iter().map(String::from_utf8).collect();
    words.map_err(|_| "its bytes are no text")
}

/// Whether a text begins with a `;` that is a word to its end.
fn is_semicolon(text: &str) -> bool {
    text.strip_prefix(';').is_some_and(|behind| behind.is_empty() || behind.starts_with(is_blank))
}

/// Adds an escape to a word, the backslash of which stands before the text. What follows it.
fn escape<'t>(text: &'t str, unknown: Unknown, word: &mut Vec<u8>) -> Result<&'t str, &'static str> {
    if let Some((bytes, behind)) = unescaped(text) {
        word.extend(bytes);
        return Ok(behind);
    }
    if unknown == Unknown::Refused {
        return Err("an escape is not known");
    }
    // The character behind the backslash belongs to the word, even if it is a blank or a quote.
    let (next, behind) = text.split_at(text.chars().next().map_or(0, char::len_utf8));
    word.push(b'\\');
    word.extend(next.bytes());
    Ok(behind)
}

/// What an escape stands for, the backslash of which stands before the text, and what follows it. `\x` and octal numbers are
/// bytes, the others characters.
fn unescaped(text: &str) -> Option<(Vec<u8>, &str)> {
    let number = |from: usize, digits: usize, radix: u32| {
        let (number, behind) = (text.get(from..from + digits)?, text.get(from + digits..)?);
        let are_digits = number.chars().all(|c| c.is_digit(radix));
        let code = u32::from_str_radix(number, radix).ok()?;
        (are_digits && code != 0).then_some((code, behind))
    };
    let byte = |(code, behind)| Some((vec![u8::try_from(code).ok()?], behind));
    let character = |(code, behind)| Some((char::from_u32(code)?.to_string().into_bytes(), behind));
    let one = match text.chars().next()? {
        'a' => b'\x07',
        'b' => b'\x08',
        'f' => b'\x0c',
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => b'\x0b',
        's' => b' ',
        'x' => return number(1, 2, 16).and_then(byte),
        'u' => return number(1, 4, 16).and_then(character),
        'U' => return number(1, 8, 16).and_then(character),
        '0'..='7' => return number(0, 3, 8).and_then(byte),
        '\\' => b'\\',
        '"' => b'"',
        '\'' => b'\'',
        _ => return None,
    };
    Some((vec![one], &text[1..]))
}

/// The names that specifiers stand for.
#[derive(Clone, Debug)]
pub(super) struct Specifiers {
    /// `web@00.service`.
    pub unit: String,
    /// What stands for the instance, as it is written in a configuration.
    pub instance: String,
    /// The same without escapes.
    pub unescaped_instance: String,
}

impl Specifiers {
    /// Those of a unit with this instance, which is empty where there is none.
    pub(super) fn new(unit: &str, instance: &str) -> Specifiers {
        Specifiers {
            unit: unit.to_string(),
            instance: escaped(instance),
            unescaped_instance: escaped(&unescaped_path(instance)),
        }
    }

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
        let last = prefix.rsplit('-').next().unwrap_or_default();
        let fixed = |text: &'static str| Some(Cow::Borrowed(text));
        match letter {
            'n' if !self.unit.contains('@') => Some(escaped(&self.unit).into()),
            'N' if !self.unit.contains('@') => Some(escaped(stem).into()),
            'n' => Some(format!("{}@{}.service", escaped(prefix), self.instance).into()),
            'N' => Some(format!("{}@{}", escaped(prefix), self.instance).into()),
            'p' => Some(escaped(prefix).into()),
            'P' => Some(escaped(&unescaped_path(prefix)).into()),
            'i' => Some(Cow::Borrowed(&self.instance)),
            'I' => Some(Cow::Borrowed(&self.unescaped_instance)),
            'j' => Some(escaped(last).into()),
            'J' => Some(escaped(&unescaped_path(last)).into()),
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

/// A name without the escapes of systemd-escape(1), in which `-` stands for the `/` of a path.
fn unescaped_path(name: &str) -> String {
    unescaped_name(&name.replace('-', "/"))
}

/// A name without the escapes of systemd-escape(1) but for `-`, which most names mean as it is.
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
            (r#"a\sb "\"\\\x41""#, Ok(vec!["a b", "\"\\A"])),
            (r"\xc3\xa4\303\244\u00e4", Ok(vec!["äää"])),
            (r"\xff", Err("its bytes are no text")),
            ("\"\" x", Ok(vec!["", "x"])),
            ("a\u{a0}b\u{2003}c\td", Ok(vec!["a\u{a0}b\u{2003}c", "d"])),
            ("", Ok(vec![])),
            ("\"a", Err("a quote is not closed")),
            (r"\q", Err("an escape is not known")),
            (r"\;", Err("an escape is not known")),
            (r"a\", Err("an escape is not known")),
            (r"\x4", Err("an escape is not known")),
            (r"\000", Err("an escape is not known")),
        ] {
            let expected = expected.map(|words| words.into_iter().map(String::from).collect::<Vec<_>>());
            assert_eq!(split(text), expected, "{text:?}");
        }
    }

    #[test]
    fn commands_keep_what_no_escape_is() {
        for (text, expected) in [
            (r"grep -E a\.b\d\+ \tx", Ok(vec!["grep", "-E", r"a\.b\d\+", "\tx"])),
            (r"find -exec x {} \;", Ok(vec!["find", "-exec", "x", "{}", ";"])),
            (r"a\;b '\;' \;c", Ok(vec![r"a\;b", r"\;", r"\;c"])),
            (r"a\ b \x4 \400 \000", Ok(vec![r"a\ b", r"\x4", r"\400", r"\000"])),
            (r"a \ä b\", Ok(vec!["a", r"\ä", r"b\"])),
            (r#"'a\"b"#, Err("a quote is not closed")),
        ] {
            let expected = expected.map(|words| words.into_iter().map(String::from).collect::<Vec<_>>());
            assert_eq!(split_command(text), expected, "{text:?}");
        }
    }

    #[test]
    fn specifiers_are_replaced_and_others_told() {
        let form = "%(process_num)d".to_string();
        let names =
            Specifiers { unit: "a-b@.service".into(), instance: form.clone(), unescaped_instance: form };
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
        let plain = Specifiers::new("x.service", "");
        assert_eq!(plain.value("%n %N").0, "x.service x");
    }

    #[test]
    fn capital_specifiers_have_no_escapes() {
        for (instance, expected) in [
            ("home-user", "home-user home/user"),
            (r"a\x20b", r"a\x20b a b"),
            (r"dev-disk\x2duuid%", r"dev-disk\x2duuid%% dev/disk-uuid%%"),
        ] {
            let names = Specifiers::new(&format!("t@{instance}.service"), instance);
            assert_eq!(names.value("%i %I").0, expected);
        }
        let names = Specifiers::new(r"a-b\x2dc@x.service", "x");
        assert_eq!(names.value("%p %P %j %J").0, r"a-b\x2dc a/b-c b\x2dc b-c");
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
