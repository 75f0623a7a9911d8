//! Parses XML-RPC. No input is trusted: sizes are bounded, and no error quotes the input.

use super::tidy::tidy;
use super::{Value, WireFault};
use std::fmt;

/// A decoded call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The method with its namespace, for example `supervisor.getState`.
    pub method: String,
    /// The arguments.
    pub params: Vec<Value>,
}

/// Why a text cannot be decoded. The error does not say where, because the text may contain passwords, and the error of `dxr`
/// would quote all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The text is not UTF-8.
    NotUtf8,
    /// The text has a document type declaration. XML-RPC does not use them, and entity bombs need them.
    Doctype,
    /// The text is not well-formed XML, or a value does not fit its tag.
    NotXmlRpc,
    /// The call names no method.
    NoMethodName,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DecodeError::NotUtf8 => "the text is not UTF-8",
            DecodeError::Doctype => "the text has a document type declaration, expected none",
            DecodeError::NotXmlRpc => "the text is not XML-RPC",
            DecodeError::NoMethodName => "the call has no method name",
        })
    }
}

impl std::error::Error for DecodeError {}

/// Decodes a call.
///
/// # Errors
/// If the text is no call. The daemon answers HTTP 400.
pub fn decode_call(body: &[u8]) -> Result<Call, DecodeError> {
    let text = tidy(text_of(body)?)?;
    let call = dxr::MethodCall::from_xml(&text).map_err(|_| DecodeError::NotXmlRpc)?;
    if call.name.is_empty() {
        return Err(DecodeError::NoMethodName);
    }
    Ok(Call { method: call.name.into_owned(), params: call.params })
}

/// Decodes a response: the result, or the fault with which the daemon answered.
///
/// # Errors
/// If the text is neither.
pub fn decode_response(body: &[u8]) -> Result<Result<Value, WireFault>, DecodeError> {
    let text = text_of(body)?;
    match fault_element(text) {
        Some(element) => fault(element).map(Err),
        None => match dxr::MethodResponse::from_xml(text) {
            Ok(response) => Ok(Ok(response.value)),
            Err(_) => Err(DecodeError::NotXmlRpc),
        },
    }
}

fn text_of(body: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(body).map_err(|_| DecodeError::NotUtf8)
}

/// The value inside `<fault>`, if the response is one. Results come in `<params>`, so a fault's tag can only
/// stand before any of those.
fn fault_element(text: &str) -> Option<&str> {
    let start = text.find("<fault>")?;
    if text.find("<params").is_some_and(|params| params < start) {
        return None;
    }
    let end = text.rfind("</fault>")?;
    text.get(start + "<fault>".len()..end)
}

fn fault(element: &str) -> Result<WireFault, DecodeError> {
    let Ok(Value::Struct(members)) = Value::from_xml(element.trim()) else {
        return Err(DecodeError::NotXmlRpc);
    };
    match (members.get("faultCode"), members.get("faultString")) {
        (Some(Value::Integer(code)), Some(Value::String(text))) => {
            Ok(WireFault { code: *code, text: text.clone() })
        }
        _ => Err(DecodeError::NotXmlRpc),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{encode_call, encode_fault, encode_response};
    use super::*;

    #[test]
    fn what_we_write_we_can_read() {
        let params = vec![Value::String(" a<&\r\n".into()), Value::Integer(-7), Value::Boolean(false)];
        let call = decode_call(encode_call("ns.m", &params).as_bytes()).unwrap();
        assert_eq!(call, Call { method: "ns.m".into(), params: params.clone() });

        let value = Value::Array(params);
        assert_eq!(decode_response(encode_response(&value).as_bytes()), Ok(Ok(value)));

        let fault = WireFault { code: 10, text: "BAD_NAME: <fault>".into() };
        assert_eq!(decode_response(encode_fault(&fault).as_bytes()), Ok(Err(fault)));
    }

    #[test]
    fn a_result_that_speaks_of_faults_is_no_fault() {
        let value = Value::String("<fault></fault>".into());
        assert_eq!(decode_response(encode_response(&value).as_bytes()), Ok(Ok(value)));
    }

    #[test]
    fn what_is_no_call_is_refused() {
        for (text, expected) in [
            ("", DecodeError::NotXmlRpc),
            ("hello", DecodeError::NotXmlRpc),
            ("<methodCall></methodCall>", DecodeError::NotXmlRpc),
            ("<methodCall><methodName>a.b", DecodeError::NotXmlRpc),
            (
                "<!DOCTYPE a [<!ENTITY b 'c'>]><methodCall><methodName>a.b</methodName></methodCall>",
                DecodeError::Doctype,
            ),
        ] {
            assert_eq!(decode_call(text.as_bytes()), Err(expected), "{text}");
        }
        assert_eq!(decode_call(b"\xff"), Err(DecodeError::NotUtf8));
    }
}
