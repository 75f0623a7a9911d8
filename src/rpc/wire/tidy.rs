//! Normalizes a request before dxr reads it.
//!
//! What Supervisor's parser refuses and dxr would accept is refused here: document types, characters that XML forbids,
//! anything after the end. What Supervisor understands and dxr would not is rewritten: attributes are removed, wide
//! integers become `<i8>`, unknown types become strings.

use super::DecodeError;

/// Elements deeper than this are refused. A call in a multicall with a list in its parameters needs 22.
const DEPTH_MAX: usize = 120;

/// The types dxr knows, by the names it knows them under.
const KNOWN_TYPES: [&str; 11] = [
    "i4",
    "int",
    "i8",
    "boolean",
    "string",
    "double",
    "dateTime.iso8601",
    "base64",
    "struct",
    "array",
    "nil",
];

/// Other names of known types, as Python's parser has them.
const ALIASES: [(&str, &str); 4] = [("i1", "i4"), ("i2", "i4"), ("biginteger", "i8"), ("float", "double")];

/// A request in the narrower language.
///
/// # Errors
/// If it is not well-formed, or uses what no client needs.
pub(super) fn tidy(text: &str) -> Result<String, DecodeError> {
    let mut tidy = Tidy { out: String::with_capacity(text.len()), open: Vec::new(), had_root: false };
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    while !rest.is_empty() {
        rest = tidy.next(rest)?;
    }
    if tidy.had_root && tidy.open.is_empty() { Ok(tidy.out) } else { Err(DecodeError::NotXmlRpc) }
}

struct Tidy<'a> {
    out: String,
    /// The elements that are open: as they were called, and as they are written.
    open: Vec<(&'a str, &'a str)>,
    had_root: bool,
}

impl<'a> Tidy<'a> {
    /// Takes one piece of markup, or the text before the next, off the front; what is left.
    fn next(&mut self, text: &'a str) -> Result<&'a str, DecodeError> {
        if let Some(rest) = text.strip_prefix("<!--") {
            return Ok(split(rest, "-->")?.1);
        }
        if let Some(rest) = text.strip_prefix("<![CDATA[") {
            let (data, rest) = split(rest, "]]>")?;
            self.text(data)?;
            // Written as plain text: dxr reads both the same way.
            super::escape_into(&mut self.out, data);
            return Ok(rest);
        }
        if text.starts_with("<!") {
            return Err(DecodeError::Doctype);
        }
        if let Some(rest) = text.strip_prefix("<?") {
            return Ok(split(rest, "?>")?.1);
        }
        if let Some(rest) = text.strip_prefix('<') {
            let (tag, rest) = split_tag(rest)?;
            return self.tag(tag, rest);
        }
        let (data, rest) = text.split_at(text.find('<').unwrap_or(text.len()));
        self.text(data)?;
        self.out.push_str(data);
        Ok(rest)
    }

    /// Judges character data.
    fn text(&self, data: &str) -> Result<(), DecodeError> {
        let misplaced = self.open.is_empty() && !data.trim_ascii().is_empty();
        let mut references = data.match_indices("&#").map(|(at, _)| &data[at + 2..]);
        if misplaced || !data.chars().all(is_allowed) || !references.all(is_allowed_reference) {
            return Err(DecodeError::NotXmlRpc);
        }
        Ok(())
    }

    /// Writes a tag in the narrower language. `rest` is what follows it.
    fn tag(&mut self, tag: &'a str, rest: &'a str) -> Result<&'a str, DecodeError> {
        if let Some(name) = tag.strip_prefix('/') {
            return self.end(name.trim_ascii_end(), rest);
        }
        let (tag, is_empty) = match tag.strip_suffix('/') {
            Some(tag) => (tag, true),
            None => (tag, false),
        };
        let name = tag.split(|c: char| c.is_ascii_whitespace()).next().unwrap_or_default();
        if !are_attributes(&tag[name.len()..]) || name.is_empty() || self.open.len() >= DEPTH_MAX {
            return Err(DecodeError::NotXmlRpc);
        }
        if self.open.is_empty() && std::mem::replace(&mut self.had_root, true) {
            return Err(DecodeError::NotXmlRpc);
        }
        let is_type = self.open.last().is_some_and(|(parent, _)| *parent == "value");
        let content = &rest[..rest.find('<').unwrap_or(rest.len())];
        let written = if is_type { type_name(name, content) } else { name };
        self.out.extend(["<", written, ">"]);
        self.open.push((name, written));
        if is_empty {
            return self.end(name, rest);
        }
        if written == "boolean" {
            // The text is replaced by a digit dxr accepts; what is no truth value is left to be refused.
            if let Some(digit) = truth(content.trim_ascii()) {
                self.out.push(digit);
                return Ok(&rest[content.len()..]);
            }
        }
        Ok(rest)
    }

    fn end(&mut self, name: &str, rest: &'a str) -> Result<&'a str, DecodeError> {
        match self.open.pop() {
            Some((opened, written)) if opened == name => {
                self.out.extend(["</", written, ">"]);
                Ok(rest)
            }
            _ => Err(DecodeError::NotXmlRpc),
        }
    }
}

/// The name under which dxr knows a type.
fn type_name<'a>(name: &'a str, content: &str) -> &'a str {
    let local = name.rsplit(':').next().unwrap_or(name);
    let known = ALIASES.iter().find(|(alias, _)| *alias == local).map_or(local, |(_, known)| known);
    if !KNOWN_TYPES.contains(&known) {
        return "string";
    }
    let is_int = known == "int" || known == "i4";
    let is_wide = |text: &str| text.parse::<i32>().is_err() && text.parse::<i64>().is_ok();
    if is_int && is_wide(content.trim_ascii()) { "i8" } else { known }
}

fn truth(text: &str) -> Option<char> {
    match text {
        "1" | "true" => Some('1'),
        "0" | "false" => Some('0'),
        _ => None,
    }
}

/// The text before and after `end`.
fn split<'a>(text: &'a str, end: &str) -> Result<(&'a str, &'a str), DecodeError> {
    text.split_once(end).ok_or(DecodeError::NotXmlRpc)
}

/// The inside of a tag, whose attributes may contain `>`, and what follows it.
fn split_tag(text: &str) -> Result<(&str, &str), DecodeError> {
    let mut quote = None;
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Ok((&text[..at], &text[at + 1..])),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(opened), byte) if opened == byte => quote = None,
            (_, b'<') => break,
            _ => {}
        }
    }
    Err(DecodeError::NotXmlRpc)
}

/// Whether this is nothing, or attributes: white space, name, `=`, a quoted value, and so on.
fn are_attributes(text: &str) -> bool {
    let mut rest = text;
    loop {
        let trimmed = rest.trim_ascii_start();
        if trimmed.is_empty() {
            return true;
        }
        let Some((name, value)) = trimmed.split_once('=') else { return false };
        let value = value.trim_ascii_start();
        let Some(quote @ ('"' | '\'')) = value.chars().next() else { return false };
        let is_name =
            !name.trim_ascii_end().is_empty() && !name.trim_ascii_end().contains(char::is_whitespace);
        // A quote is one byte long.
        match value[1..].split_once(quote) {
            Some((_, after)) if is_name && trimmed.len() < rest.len() => rest = after,
            _ => return false,
        }
    }
}

/// Whether XML 1.0 allows this character.
fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..)
}

/// Whether a character reference, given without its `&#`, is one.
fn is_allowed_reference(text: &str) -> bool {
    let Some((digits, _)) = text.split_once(';') else { return false };
    let number = match digits.strip_prefix('x') {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => digits.parse(),
    };
    number.ok().and_then(char::from_u32).is_some_and(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(tidy(text).as_deref(), Ok(expected), "{text}");
    }

    #[track_caller]
    fn refused(text: &str) {
        assert!(tidy(text).is_err(), "{text}");
    }

    #[test]
    fn what_clients_send_is_put_into_words_that_are_understood() {
        for (text, expected) in [
            ("\u{feff}<?xml version='1.0'?>\n<a/>\n<!-- b -->\n", "\n<a></a>\n\n"),
            ("<a x='>' y=\"'\"><b z = '' /></a >", "<a><b></b></a>"),
            ("<a><![CDATA[<!DOCTYPE &]]></a>", "<a>&lt;!DOCTYPE &amp;</a>"),
            ("<value><int>1</int></value>", "<value><int>1</int></value>"),
            ("<value><int>-99999999999</int></value>", "<value><i8>-99999999999</i8></value>"),
            ("<value><ex:nil/></value>", "<value><nil></nil></value>"),
            ("<value><float>1</float></value>", "<value><double>1</double></value>"),
            ("<value><colour>red</colour></value>", "<value><string>red</string></value>"),
            ("<value><boolean> true\n</boolean></value>", "<value><boolean>1</boolean></value>"),
            ("<value><boolean>0</boolean></value>", "<value><boolean>0</boolean></value>"),
            ("<value><boolean>2</boolean></value>", "<value><boolean>2</boolean></value>"),
            ("<a>&#13;&#x1F600;&amp;</a>", "<a>&#13;&#x1F600;&amp;</a>"),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn what_no_client_needs_is_refused() {
        for text in [
            "",
            " ",
            "text",
            "<a>",
            "</a>",
            "<a></b>",
            "<a><b></a></b>",
            "<a/>text",
            "<a/><b/>",
            "text<a/>",
            "<a",
            "<a b></a>",
            "<a b=c></a>",
            "<a b='c></a>",
            "<a b='c'd='e'/>",
            "<>",
            "<a><!-- </a>",
            "<a><![CDATA[ </a>",
            "<!DOCTYPE a><a/>",
            "<a><!ENTITY b 'c'></a>",
            "<a>\u{1}</a>",
            "<a>\u{ffff}</a>",
            "<a>&#1;</a>",
            "<a>&#xD800;</a>",
            "<a>&#99999999999;</a>",
            "<a>&#x;</a>",
            "<a>&#12</a>",
        ] {
            refused(text);
        }
        refused(&format!("{}{}", "<a>".repeat(DEPTH_MAX + 1), "</a>".repeat(DEPTH_MAX + 1)));
    }
}
