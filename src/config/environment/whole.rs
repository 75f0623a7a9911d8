//! Reads an `environment` without losing anything: a pair ends at a comma or semicolon outside quotes that is followed
//! by another pair, and the value is everything in between.

use super::Variables;

/// What quotes mean.
#[derive(Clone, Copy, PartialEq)]
enum Quotes {
    /// They begin a quoted part anywhere; a backslash escapes.
    Anywhere,
    /// They do at the start of a word, up to the next one; a backslash is a character.
    AtStart,
}

/// `None` if it does not begin with a pair.
pub(super) fn parse(text: &str) -> Option<Variables> {
    let pairs = pairs(text, Quotes::Anywhere).or_else(|| pairs(text, Quotes::AtStart))?;
    pairs.iter().all(|(name, _)| !name.is_empty()).then(|| pairs.into_iter().collect())
}

/// `None` if a quoted part has no end.
fn pairs(text: &str, quotes: Quotes) -> Option<Vec<(String, String)>> {
    let mut reader = Reader { rest: text, quotes };
    let mut pairs = Vec::new();
    loop {
        reader.skip_to_pair();
        let Some(length) = pair_start(reader.rest) else { break };
        let (name, tail) = reader.rest.split_at(length);
        reader.rest = &tail[1..];
        pairs.push((unquoted_name(name), reader.value()?));
    }
    (reader.rest.is_empty() && !pairs.is_empty()).then_some(pairs)
}

/// The length of the name, and the blanks after it, if a pair begins here.
fn pair_start(text: &str) -> Option<usize> {
    let name_end = text.find(|c: char| "=,;".contains(c) || c.is_whitespace())?;
    let equals = name_end + text[name_end..].find(|c: char| !c.is_whitespace())?;
    (name_end > 0 && text[equals..].starts_with('=')).then_some(equals)
}

fn unquoted_name(name: &str) -> String {
    name.trim().trim_matches(['"', '\'']).to_string()
}

struct Reader<'t> {
    rest: &'t str,
    quotes: Quotes,
}

impl Reader<'_> {
    /// Skips blanks, separators and comments between pairs.
    fn skip_to_pair(&mut self) {
        loop {
            self.rest = self.rest.trim_start_matches(|c: char| c == ',' || c == ';' || c.is_whitespace());
            match self.rest.strip_prefix('#') {
                Some(comment) => self.rest = comment.split_once('\n').map_or("", |(_, rest)| rest),
                None => return,
            }
        }
    }

    /// Reads to the end of the pair. `None` if a quoted part has no end.
    fn value(&mut self) -> Option<String> {
        let mut value = String::new();
        // Blanks at the end count if they are quoted.
        let mut kept = 0;
        self.rest = self.rest.trim_start();
        while let Some(c) = self.rest.chars().next().filter(|_| !self.is_at_end()) {
            self.rest = &self.rest[c.len_utf8()..];
            let is_start = value.is_empty() || value.ends_with(char::is_whitespace);
            match (c, self.quotes) {
                ('"' | '\'', Quotes::Anywhere) => self.quoted(c, &mut value)?,
                ('"' | '\'', Quotes::AtStart) if is_start => {
                    let (part, rest) = self.rest.split_once(c)?;
                    value.push_str(part);
                    self.rest = rest;
                }
                ('\\', Quotes::Anywhere) => {
                    let escaped = self.rest.chars().next()?;
                    value.push(escaped);
                    self.rest = &self.rest[escaped.len_utf8()..];
                }
                (c, _) => {
                    value.push(c);
                    if c.is_whitespace() {
                        continue;
                    }
                }
            }
            kept = value.len();
        }
        value.truncate(kept);
        Some(value)
    }

    /// Whether what follows is nothing, or a separator and another pair, a comment, or nothing.
    fn is_at_end(&self) -> bool {
        let Some(next) = self.rest.strip_prefix([',', ';']) else { return self.rest.is_empty() };
        let next = next.trim_start();
        next.is_empty() || next.starts_with('#') || pair_start(next).is_some()
    }

    /// Reads the rest of a quoted part. In double quotes a backslash escapes the quote and itself, nothing else.
    fn quoted(&mut self, quote: char, value: &mut String) -> Option<()> {
        let mut characters = self.rest.char_indices();
        while let Some((at, c)) = characters.next() {
            if c == quote {
                self.rest = &self.rest[at + 1..];
                return Some(());
            }
            if c != '\\' || quote == '\'' {
                value.push(c);
                continue;
            }
            match characters.next()? {
                (_, escaped @ ('"' | '\\')) => value.push(escaped),
                (_, other) => value.extend(['\\', other]),
            }
        }
        None
    }
}
