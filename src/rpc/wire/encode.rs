//! Writes XML-RPC in the spelling of Python's `xmlrpc.client.dumps`: one element per line, integers as `<int>`, and a tag
//! around every string.

use super::{Value, WireFault};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write;

const DECLARATION: &str = "<?xml version='1.0'?>\n";

/// Encodes a call.
pub fn encode_call(method: &str, params: &[Value]) -> String {
    let mut writer = Writer::default();
    writer.raw(DECLARATION);
    writer.raw("<methodCall>\n<methodName>");
    escape_into(&mut writer.out, method);
    writer.raw("</methodName>\n<params>\n");
    for param in params {
        writer.param(|writer| writer.value(param));
    }
    writer.raw("</params>\n</methodCall>\n");
    writer.finish()
}

/// Encodes a response with one result.
pub fn encode_response(value: &Value) -> String {
    let mut writer = Writer::default();
    writer.open_response();
    writer.param(|writer| writer.value(value));
    writer.close_response();
    writer.finish()
}

/// Encodes a response that is a fault.
pub fn encode_fault(fault: &WireFault) -> String {
    let mut writer = Writer::default();
    writer.raw(DECLARATION);
    writer.raw("<methodResponse>\n<fault>\n");
    writer.fault(fault);
    writer.raw("</fault>\n</methodResponse>\n");
    writer.finish()
}

/// Builds the text piece by piece. Each `open_…` needs its `close_…`; [`Writer::array`] and [`Writer::structure`] close
/// by themselves.
#[derive(Debug, Default)]
pub struct Writer {
    out: String,
}

impl Writer {
    /// A writer with room for `n_bytes` bytes before it reallocates.
    pub fn with_capacity(n_bytes: usize) -> Writer {
        Writer { out: String::with_capacity(n_bytes) }
    }

    /// Returns the text.
    pub fn finish(self) -> String {
        self.out
    }

    /// Begins a response. Its results are written with [`Writer::param`].
    pub fn open_response(&mut self) {
        self.raw(DECLARATION);
        self.raw("<methodResponse>\n<params>\n");
    }

    /// Ends a response.
    pub fn close_response(&mut self) {
        self.raw("</params>\n</methodResponse>\n");
    }

    /// Writes one parameter of a call, or one result of a response.
    pub fn param(&mut self, content: impl FnOnce(&mut Writer)) {
        self.open_param();
        content(self);
        self.close_param();
    }

    /// Begins a parameter.
    pub fn open_param(&mut self) {
        self.raw("<param>\n");
    }

    /// Ends a parameter.
    pub fn close_param(&mut self) {
        self.raw("</param>\n");
    }

    /// Writes a string.
    pub fn string(&mut self, text: &str) {
        self.open_string();
        escape_into(&mut self.out, text);
        self.close_string();
    }

    /// Begins a string whose text comes in pieces, to be escaped with [`escape_into`].
    pub fn open_string(&mut self) {
        self.raw("<value><string>");
    }

    /// Ends a string that was begun with [`Writer::open_string`].
    pub fn close_string(&mut self) {
        self.raw("</string></value>\n");
    }

    /// Writes an integer. Numbers beyond 32 bits are clamped: strict clients know no wider type, and a clamped size is more
    /// useful than a failed call.
    pub fn int(&mut self, number: i64) {
        self.raw("<value><int>");
        self.digits(number.clamp(i64::from(i32::MIN), i64::from(i32::MAX)));
        self.raw("</int></value>\n");
    }

    fn digits(&mut self, number: i64) {
        // The formatting machinery costs several times what small numbers, which most are, need.
        match u8::try_from(number) {
            Ok(digit @ 0..=9) => self.out.push(char::from(b'0' + digit)),
            // Writing into a string cannot fail.
            _ => drop(write!(self.out, "{number}")),
        }
    }

    /// Writes a truth value.
    pub fn boolean(&mut self, truth: bool) {
        self.raw(match truth {
            true => "<value><boolean>1</boolean></value>\n",
            false => "<value><boolean>0</boolean></value>\n",
        });
    }

    /// Writes an array whose elements `elements` writes.
    pub fn array(&mut self, elements: impl FnOnce(&mut Writer)) {
        self.open_array();
        elements(self);
        self.close_array();
    }

    /// Begins an array.
    pub fn open_array(&mut self) {
        self.raw("<value><array><data>\n");
    }

    /// Ends an array.
    pub fn close_array(&mut self) {
        self.raw("</data></array></value>\n");
    }

    /// Writes an array of strings.
    pub fn strings<T: AsRef<str>>(&mut self, texts: impl IntoIterator<Item = T>) {
        self.array(|writer| texts.into_iter().for_each(|text| writer.string(text.as_ref())));
    }

    /// Writes a struct. `members` writes each of its members with [`Writer::member`].
    pub fn structure(&mut self, members: impl FnOnce(&mut Writer)) {
        self.raw("<value><struct>\n");
        members(self);
        self.raw("</struct></value>\n");
    }

    /// Writes a member of a structure, whose value `value` writes.
    pub fn member(&mut self, name: &str, value: impl FnOnce(&mut Writer)) {
        self.raw("<member>\n<name>");
        escape_into(&mut self.out, name);
        self.raw("</name>\n");
        value(self);
        self.raw("</member>\n");
    }

    /// Writes a member that holds a string. `opening` is the result of `string_member!` for its name.
    pub fn prepared_string(&mut self, opening: &'static str, text: &str) {
        self.raw(opening);
        escape_into(&mut self.out, text);
        self.raw("</string></value>\n</member>\n");
    }

    /// Writes a member that holds an integer. `opening` is the result of `int_member!` for its name.
    pub fn prepared_int(&mut self, opening: &'static str, number: i64) {
        self.raw(opening);
        self.digits(number.clamp(i64::from(i32::MIN), i64::from(i32::MAX)));
        self.raw("</int></value>\n</member>\n");
    }

    /// Writes the structure of a fault.
    pub fn fault(&mut self, fault: &WireFault) {
        self.structure(|writer| {
            writer.member("faultCode", |writer| writer.int(i64::from(fault.code)));
            writer.member("faultString", |writer| writer.string(&fault.text));
        });
    }

    /// Writes any value. A [`Value::Long`] becomes `<i8>`.
    pub fn value(&mut self, value: &Value) {
        match value {
            Value::Integer(number) => self.int(i64::from(*number)),
            Value::Boolean(truth) => self.boolean(*truth),
            Value::String(text) => self.string(text),
            Value::Array(elements) => {
                self.array(|writer| elements.iter().for_each(|element| writer.value(element)));
            }
            Value::Struct(members) => self.structure(|writer| {
                members.iter().for_each(|(name, value)| writer.member(name, |writer| writer.value(value)));
            }),
            Value::Long(number) => self.tagged("i8", number),
            Value::Double(number) => self.tagged("double", format_args!("{number:?}")),
            Value::DateTime(moment) => self.tagged("dateTime.iso8601", moment),
            Value::Base64(bytes) => self.tagged("base64", STANDARD.encode(bytes)),
            // dxr may grow types; until we know them they are written as nothing.
            _ => self.raw("<value><nil/></value>\n"),
        }
    }

    /// Appends text that another writer has produced.
    pub fn written(&mut self, text: &str) {
        self.raw(text);
    }

    fn tagged(&mut self, tag: &str, content: impl std::fmt::Display) {
        let _ = writeln!(self.out, "<value><{tag}>{content}</{tag}></value>");
    }

    fn raw(&mut self, text: &str) {
        self.out.push_str(text);
    }
}

/// The text of a string member up to its value, concatenated at compile time: `getAllProcessInfo` writes fourteen members
/// for every process.
macro_rules! string_member {
    ($name:literal) => {
        concat!("<member>\n<name>", $name, "</name>\n<value><string>")
    };
}

/// The same for an integer.
macro_rules! int_member {
    ($name:literal) => {
        concat!("<member>\n<name>", $name, "</name>\n<value><int>")
    };
}

pub(crate) use {int_member, string_member};

/// Appends `text` as XML character data.
///
/// `&`, `<` and `>` become entities, a carriage return `&#13;` (a parser would turn it into a line feed),
/// and what XML 1.0 forbids becomes U+FFFD.
pub fn escape_into(out: &mut String, text: &str) {
    let mut copied = 0;
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(found) = bytes[at..].iter().position(|byte| IS_SUSPECT[usize::from(*byte)]) {
        at += found;
        let Some((replacement, length)) = replacement(&bytes[at..]) else {
            at += 1;
            continue;
        };
        // Replaced sequences begin and end at character boundaries, so both cuts do.
        out.push_str(&text[copied..at]);
        out.push_str(replacement);
        at += length;
        copied = at;
    }
    out.push_str(&text[copied..]);
}

/// The bytes at which a sequence that must be replaced can begin.
const IS_SUSPECT: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = byte != b'\t' as usize && byte != b'\n' as usize;
        byte += 1;
    }
    table[b'&' as usize] = true;
    table[b'<' as usize] = true;
    table[b'>' as usize] = true;
    table[0xef] = true;
    table
};

/// What the sequence at the head of `bytes` must be replaced by, and how many bytes it has.
fn replacement(bytes: &[u8]) -> Option<(&'static str, usize)> {
    match bytes[0] {
        b'&' => Some(("&amp;", 1)),
        b'<' => Some(("&lt;", 1)),
        b'>' => Some(("&gt;", 1)),
        b'\r' => Some(("&#13;", 1)),
        b'\t' | b'\n' => None,
        0..=0x1f => Some(("\u{fffd}", 1)),
        // U+FFFE and U+FFFF.
        0xef if matches!(bytes, [0xef, 0xbf, 0xbe | 0xbf, ..]) => Some(("\u{fffd}", 3)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_made_legal() {
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("a<b>&\"'", "a&lt;b&gt;&amp;\"'"),
            ("\r\n\t", "&#13;\n\t"),
            ("\0\u{1b}[1m", "\u{fffd}\u{fffd}[1m"),
            ("é\u{ffff}ü\u{fffe}", "é\u{fffd}ü\u{fffd}"),
            ("\u{fffd}\u{7f}😀", "\u{fffd}\u{7f}😀"),
        ] {
            let mut out = String::new();
            escape_into(&mut out, text);
            assert_eq!(out, expected, "{text:?}");
        }
    }

    #[test]
    fn calls_and_responses_are_spelled_as_python_does() {
        let call =
            encode_call("supervisor.startProcess", &[Value::String("a&b".into()), Value::Boolean(true)]);
        assert_eq!(
            call,
            "<?xml version='1.0'?>\n<methodCall>\n<methodName>supervisor.startProcess</methodName>\n<params>\n\
             <param>\n<value><string>a&amp;b</string></value>\n</param>\n\
             <param>\n<value><boolean>1</boolean></value>\n</param>\n</params>\n</methodCall>\n"
        );
        assert_eq!(
            encode_response(&Value::Array(vec![Value::Integer(-1), Value::Struct(Default::default())])),
            "<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value><array><data>\n\
             <value><int>-1</int></value>\n<value><struct>\n</struct></value>\n\
             </data></array></value>\n</param>\n</params>\n</methodResponse>\n"
        );
        assert_eq!(
            encode_fault(&WireFault { code: 10, text: "BAD_NAME: nope".into() }),
            "<?xml version='1.0'?>\n<methodResponse>\n<fault>\n<value><struct>\n<member>\n<name>faultCode</name>\n\
             <value><int>10</int></value>\n</member>\n<member>\n<name>faultString</name>\n\
             <value><string>BAD_NAME: nope</string></value>\n</member>\n</struct></value>\n</fault>\n\
             </methodResponse>\n"
        );
    }

    #[test]
    fn sizes_are_clamped_to_what_every_client_can_read() {
        let mut writer = Writer::default();
        writer.int(1 << 40);
        writer.int(-(1 << 40));
        assert_eq!(
            writer.finish(),
            "<value><int>2147483647</int></value>\n<value><int>-2147483648</int></value>\n"
        );
    }
}
