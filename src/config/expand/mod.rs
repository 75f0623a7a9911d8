//! `%(name)s`: Python's `%` formatting with a mapping, as far as a configuration can use it.
//!
//! The forms are `%%` and `%(name)` + flags `#0- +` + width + `.precision` + an ignored length letter + one of the
//! conversions `s r a d i u o x X c e E f F g G`. Error texts are Python's, because people search for them. Two things
//! differ on purpose:
//!
//! - A bare `%s` stays as it is. In Python it prints the whole mapping, and with it the environment.
//! - The list of available names in an error leaves out those of the environment, because the error goes to a log.

use crate::config::text::repr;
use std::borrow::Cow;

mod number;

/// The longest result. Far beyond any command line the kernel would take (128 KiB for one argument).
const MAX_RESULT: usize = 1 << 20;
/// The largest width or precision; Python would try to build the text whatever its size.
const MAX_WIDTH: usize = MAX_RESULT;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arg<'a> {
    /// A text. Conversions to a number, such as `%(name)d`, fail on it.
    Text(&'a str),
    /// A number. Conversions to text, such as `%(name)s`, write it in decimal.
    Number(i64),
}

/// The names that can stand in parentheses at one place of a configuration.
pub trait Names {
    /// What a name stands for; `None` if it is not known here.
    fn lookup(&self, name: &str) -> Option<Arg<'_>>;

    /// The known names without the `ENV_` ones, sorted, for messages.
    fn listed(&self) -> Vec<&str>;
}

/// Why a text could not be expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpandError {
    /// It contains a name that is not known here.
    UnknownName(String),
    /// It is not a format, for this reason, in Python's words.
    BadFormat(String),
}

impl ExpandError {
    /// The whole sentence. `what` is the setting, for example `program:x.command`.
    pub fn describe(&self, template: &str, what: &str, names: &dyn Names) -> String {
        let (template, what) = (repr(template), repr(what));
        match self {
            ExpandError::UnknownName(name) => format!(
                "Format string {template} for {what} contains names ({}) which cannot be expanded. \
                 Available names: {}",
                repr(name),
                names.listed().join(", ")
            ),
            ExpandError::BadFormat(reason) => {
                format!("Format string {template} for {what} is badly formatted: {reason}")
            }
        }
    }
}

/// Replaces every `%` form in `template`.
///
/// # Errors
/// The first form that is wrong or names something unknown.
pub fn expand<'t>(template: &'t str, names: &dyn Names) -> Result<Cow<'t, str>, ExpandError> {
    if !template.contains('%') {
        return Ok(Cow::Borrowed(template));
    }
    let mut out = String::with_capacity(template.len() + 32);
    for piece in pieces(template) {
        match piece? {
            Piece::Literal(text) => out.push_str(text),
            Piece::Percent => out.push('%'),
            Piece::Form(form) => form.write(names, &mut out)?,
        }
        if out.len() > MAX_RESULT {
            return Err(bad(format!("the result is longer than {MAX_RESULT} bytes")));
        }
    }
    Ok(Cow::Owned(out))
}

/// The `%s`, `%r` or `%a` of a template that names nothing, as `date +%s` has one.
pub(super) fn bare_form(template: &str) -> Option<&str> {
    if !template.contains('%') {
        return None;
    }
    pieces(template).flatten().find_map(|piece| match piece {
        Piece::Form(Form { written, name: None, .. }) => Some(written),
        _ => None,
    })
}

/// The template with every `%` doubled that begins no form, as in `date +%H:%M`; `None` if it can be read as it is.
pub(super) fn with_percents(template: &str) -> Option<String> {
    let is_read = |piece: Result<Piece<'_>, ExpandError>| match piece {
        Ok(Piece::Form(form)) => form.name.is_some() || "sra".contains(form.spec.conversion),
        piece => piece.is_ok(),
    };
    if pieces(template).all(is_read) {
        return None;
    }
    let mut doubled = String::with_capacity(template.len() + 8);
    let mut rest = template;
    while let Some(start) = rest.find('%') {
        doubled.push_str(&rest[..start]);
        rest = &rest[start + 1..];
        match rest.chars().next() {
            // A form, right or wrong.
            Some('(') => doubled.push('%'),
            Some('%') => {
                rest = &rest[1..];
                doubled.push_str("%%");
            }
            _ => doubled.push_str("%%"),
        }
    }
    doubled.push_str(rest);
    Some(doubled)
}

/// One step of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece<'t> {
    Literal(&'t str),
    /// `%%`
    Percent,
    Form(Form<'t>),
}

/// A `%(name)…` form.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Form<'t> {
    /// The whole form as written.
    pub written: &'t str,
    /// `None` for a bare `%s`.
    pub name: Option<&'t str>,
    spec: Spec,
}

/// What stands between the name and the end of a form.
#[derive(Clone, Debug, Default, PartialEq)]
struct Spec {
    alternate: bool,
    zero: bool,
    left: bool,
    blank: bool,
    plus: bool,
    width: usize,
    precision: Option<usize>,
    conversion: char,
}

/// Takes a template apart. After an error nothing more comes.
pub(super) fn pieces(template: &str) -> impl Iterator<Item = Result<Piece<'_>, ExpandError>> {
    let mut rest = Some(template);
    let mut after_form = false;
    std::iter::from_fn(move || {
        let text = rest.filter(|text| !text.is_empty())?;
        let offset = template.len() - text.len();
        match next_piece(text, template, offset, after_form) {
            Ok((piece, length)) => {
                rest = Some(&text[length..]);
                after_form |= matches!(piece, Piece::Form(_));
                Some(Ok(piece))
            }
            Err(error) => {
                rest = None;
                Some(Err(error))
            }
        }
    })
}

fn next_piece<'t>(
    text: &'t str,
    template: &str,
    offset: usize,
    after_form: bool,
) -> Result<(Piece<'t>, usize), ExpandError> {
    match text.find('%') {
        None => Ok((Piece::Literal(text), text.len())),
        Some(0) if text[1..].starts_with('%') => Ok((Piece::Percent, 2)),
        Some(0) => {
            let (form, length) = parse_form(text, template, offset, after_form)?;
            Ok((Piece::Form(form), length))
        }
        Some(start) => Ok((Piece::Literal(&text[..start]), start)),
    }
}

/// Reads the form at the head of `text`, which begins with `%`; gives its length too.
///
/// For Python a mapping is an argument that is used up by the first form; a bare one after it finds none left.
fn parse_form<'t>(
    text: &'t str,
    template: &str,
    offset: usize,
    after_form: bool,
) -> Result<(Form<'t>, usize), ExpandError> {
    let mut at = 1;
    let mut name = None;
    if text[at..].starts_with('(') {
        let length = name_length(&text[at + 1..]).ok_or_else(|| bad("incomplete format key"))?;
        name = Some(&text[at + 1..at + 1 + length]);
        at += length + 2;
    }
    let mut spec = Spec::default();
    while let Some(flag) = text[at..].chars().next().filter(|c| "#0- +".contains(*c)) {
        match flag {
            '#' => spec.alternate = true,
            '0' => spec.zero = true,
            '-' => spec.left = true,
            ' ' => spec.blank = true,
            _ => spec.plus = true,
        }
        at += 1;
    }
    spec.width = digits(text, &mut at, "width")?.unwrap_or(0);
    if text[at..].starts_with('.') {
        at += 1;
        spec.precision = Some(digits(text, &mut at, "precision")?.unwrap_or(0));
    }
    if text[at..].starts_with(['h', 'l', 'L']) {
        at += 1;
    }
    let conversion = text[at..].chars().next().ok_or_else(|| bad("incomplete format"))?;
    if name.is_none() && after_form {
        return Err(bad("not enough arguments for format string"));
    }
    if !"sradiuoxXceEfFgG".contains(conversion) {
        return Err(unsupported(conversion, template[..offset + at].chars().count()));
    }
    spec.conversion = conversion;
    at += conversion.len_utf8();
    Ok((Form { written: &text[..at], name, spec }, at))
}

fn unsupported(c: char, index: usize) -> ExpandError {
    // Python shows what is not printable ASCII as a question mark, and the code beside it.
    let shown = if (' '..='~').contains(&c) { c } else { '?' };
    bad(format!("unsupported format character '{shown}' ({:#x}) at index {index}", c as u32))
}

/// The length of a name up to its closing parenthesis; parentheses inside nest.
fn name_length(text: &str) -> Option<usize> {
    let mut depth = 1;
    text.bytes().position(|byte| {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        depth == 0
    })
}

/// Reads a number, if there is one.
fn digits(text: &str, at: &mut usize, what: &str) -> Result<Option<usize>, ExpandError> {
    let rest = &text[*at..];
    if rest.starts_with('*') {
        return Err(bad("not enough arguments for format string"));
    }
    let length = rest.bytes().take_while(u8::is_ascii_digit).count();
    *at += length;
    if length == 0 {
        return Ok(None);
    }
    match rest[..length].parse() {
        Ok(number) if number <= MAX_WIDTH => Ok(Some(number)),
        _ => Err(bad(format!("{what} too big"))),
    }
}

impl Form<'_> {
    fn write(&self, names: &dyn Names, out: &mut String) -> Result<(), ExpandError> {
        let Some(name) = self.name else {
            return match self.spec.conversion {
                's' | 'r' | 'a' => {
                    out.push_str(self.written);
                    Ok(())
                }
                conversion => Err(bad(self.spec.wants(conversion, "dict"))),
            };
        };
        let arg = names.lookup(name).ok_or_else(|| ExpandError::UnknownName(name.to_string()))?;
        self.spec.write(arg, out)
    }
}

impl Spec {
    fn write(&self, arg: Arg<'_>, out: &mut String) -> Result<(), ExpandError> {
        match (self.conversion, arg) {
            ('s', Arg::Text(text)) => self.pad(text, out),
            ('r', Arg::Text(text)) => self.pad(&repr(text), out),
            ('a', Arg::Text(text)) => self.pad(&ascii(&repr(text)), out),
            ('s' | 'r' | 'a', Arg::Number(number)) => self.pad(&number.to_string(), out),
            ('c', Arg::Text(text)) if text.chars().count() == 1 => self.pad(text, out),
            ('c', Arg::Number(number)) => {
                let c = u32::try_from(number).ok().and_then(char::from_u32);
                let c = c.ok_or_else(|| bad("%c arg not in range(0x110000)"))?;
                self.pad(c.encode_utf8(&mut [0; 4]), out);
            }
            (conversion, Arg::Text(_)) => return Err(bad(self.wants(conversion, "str"))),
            (_, Arg::Number(number)) => out.push_str(&number::format(self, number)),
        }
        Ok(())
    }

    /// What Python says when a conversion gets something it cannot convert.
    fn wants(&self, conversion: char, got: &str) -> String {
        match conversion {
            'd' | 'i' | 'u' => format!("%{conversion} format: a real number is required, not {got}"),
            'o' | 'x' | 'X' => format!("%{conversion} format: an integer is required, not {got}"),
            'c' => "%c requires int or char".to_string(),
            _ => format!("must be real number, not {got}"),
        }
    }

    /// Cuts a text to the precision and fills it up with blanks. The zero flag does not count here.
    fn pad(&self, text: &str, out: &mut String) {
        let cut: Cow<'_, str> = match self.precision {
            Some(precision) if self.conversion != 'c' => text.chars().take(precision).collect(),
            _ => Cow::Borrowed(text),
        };
        let missing = self.width.saturating_sub(cut.chars().count());
        let blanks = " ".repeat(missing);
        if self.left {
            out.push_str(&cut);
            out.push_str(&blanks);
        } else {
            out.push_str(&blanks);
            out.push_str(&cut);
        }
    }
}

/// Writes everything beyond ASCII as an escape.
fn ascii(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c as u32 {
            0..=0x7f => out.push(c),
            code @ 0x80..=0xff => out += &format!("\\x{code:02x}"),
            code @ 0x100..=0xffff => out += &format!("\\u{code:04x}"),
            code => out += &format!("\\U{code:08x}"),
        }
    }
    out
}

fn bad(reason: impl Into<String>) -> ExpandError {
    ExpandError::BadFormat(reason.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_signs_that_begin_no_form_are_doubled() {
        for (template, expected) in [
            ("cat", None),
            ("a %(x)s %% b", None),
            ("date +%s", None),
            ("date +%s %s", Some("date +%%s %%s")),
            ("date +%H:%M", Some("date +%%H:%%M")),
            ("50% of %(x)s", Some("50%% of %(x)s")),
            ("100%", Some("100%%")),
            ("5%% %d %", Some("5%% %%d %%")),
            ("%(open 5%", Some("%(open 5%%")),
        ] {
            assert_eq!(with_percents(template).as_deref(), expected, "{template}");
        }
    }

    struct Some3;

    impl Names for Some3 {
        fn lookup(&self, name: &str) -> Option<Arg<'_>> {
            match name {
                "n" => Some(Arg::Number(3)),
                "s" => Some(Arg::Text("abc")),
                "(a)" => Some(Arg::Text("nested")),
                "u" => Some(Arg::Text("ä")),
                _ => None,
            }
        }

        fn listed(&self) -> Vec<&str> {
            vec!["(a)", "n", "s"]
        }
    }

    /// All expected values are what Python 3.11 prints for the same template and mapping.
    #[test]
    fn forms_expand_as_in_python() {
        for (template, expected) in [
            ("plain", "plain"),
            ("100%%", "100%"),
            ("%(s)s-%(n)s", "abc-3"),
            ("%(n)02d", "03"),
            ("%(n)+d", "+3"),
            ("%(s)5s", "  abc"),
            ("%(s)-6s|", "abc   |"),
            ("%(s).2s", "ab"),
            ("%(n)05s", "    3"),
            ("%(n).5d", "00003"),
            ("%(n)+05d", "+0003"),
            ("%(n)- 5d|", " 3   |"),
            ("%(n) d", " 3"),
            ("%(n)#x %(n)#X %(n)#o %(n).2x", "0x3 0X3 0o3 03"),
            ("%(n)ld%(n)hd", "33"),
            ("%(n)i%(n)u", "33"),
            ("%(n)f", "3.000000"),
            ("%(n)e %(n).3E", "3.000000e+00 3.000E+00"),
            ("%(n)g %(n)#g %(n)+g", "3 3.00000 +3"),
            ("%(n)5.1f|%(n)08.3f|%(n)#.0f", "  3.0|0003.000|3."),
            ("%(s)r %(n)r %(u)a", "'abc' 3 '\\xe4'"),
            ("%(n)c|%(u)c", "\x03|ä"),
            // `date +%s` has one, and does not mean the whole mapping.
            ("date +%s", "date +%s"),
            ("%-5s %%", "%-5s %"),
            ("%((a))s", "nested"),
        ] {
            assert_eq!(expand(template, &Some3).as_deref(), Ok(expected), "{template:?}");
        }
    }

    #[test]
    fn bad_forms_fail_with_pythons_words() {
        for (template, reason) in [
            ("50%", "incomplete format"),
            ("%(s)", "incomplete format"),
            ("%(n)-", "incomplete format"),
            ("%(n).", "incomplete format"),
            ("%(foo", "incomplete format key"),
            ("%H", "unsupported format character 'H' (0x48) at index 1"),
            ("ä%€", "unsupported format character '?' (0x20ac) at index 2"),
            ("%(n)5%", "unsupported format character '%' (0x25) at index 5"),
            ("% (n)d", "unsupported format character '(' (0x28) at index 2"),
            ("%(n)lld", "unsupported format character 'l' (0x6c) at index 5"),
            ("%(s)d", "%d format: a real number is required, not str"),
            ("%(s)x", "%x format: an integer is required, not str"),
            ("%(s)f", "must be real number, not str"),
            ("%(s)c", "%c requires int or char"),
            ("%d", "%d format: a real number is required, not dict"),
            ("%(n)*d", "not enough arguments for format string"),
            ("%(n)99999999999999999999d", "width too big"),
            ("%(n).9999999d", "precision too big"),
            ("%(s)s %s", "not enough arguments for format string"),
            ("%(s)s %H", "not enough arguments for format string"),
        ] {
            assert_eq!(expand(template, &Some3), Err(bad(reason)), "{template:?}");
        }
        assert_eq!(expand("%()s", &Some3), Err(ExpandError::UnknownName(String::new())));
    }

    #[test]
    fn a_result_has_a_limit() {
        let template = "%(s)4000s".repeat(300);
        assert!(matches!(expand(&template, &Some3), Err(ExpandError::BadFormat(_))));
    }

    #[test]
    fn sentences_name_the_setting() {
        let error = expand("%(nope)s", &Some3).unwrap_err();
        assert_eq!(
            error.describe("%(nope)s", "program:x.command", &Some3),
            "Format string '%(nope)s' for 'program:x.command' contains names ('nope') which cannot be \
             expanded. Available names: (a), n, s"
        );
    }
}
