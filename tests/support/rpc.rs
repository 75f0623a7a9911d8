//! XML-RPC: what goes into a call and what comes back. The library's own coding is what is tested.

use dxr::{Fault, FaultResponse, MethodCall, MethodResponse, TryFromValue, Value};
use std::borrow::Cow;
use std::io;
use std::net::TcpListener;

/// A call as XML.
pub fn encode(method: &str, arguments: Vec<Value>) -> io::Result<String> {
    MethodCall { name: Cow::Borrowed(method), params: arguments }.to_xml().map_err(io::Error::other)
}

/// What a call was answered with.
///
/// # Errors
/// If `body` is neither a value nor a fault.
pub fn decode(body: &str) -> io::Result<Result<Value, Fault>> {
    if let Ok(response) = MethodResponse::from_xml(body) {
        return Ok(Ok(response.value));
    }
    Ok(Err(FaultResponse::from_xml(body).map_err(io::Error::other)?.fault))
}

/// A member of a struct.
///
/// # Panics
/// If `value` is not a struct with that member of that type.
#[track_caller]
pub fn member<T: TryFromValue>(value: &Value, name: &str) -> T {
    let members = std::collections::HashMap::<String, Value>::try_from_value(value).expect("a struct");
    let value = members.get(name).unwrap_or_else(|| panic!("a member {name} in {members:?}"));
    T::try_from_value(value).unwrap_or_else(|error| panic!("member {name}: {error}"))
}

/// A string as an argument.
pub fn text(text: &str) -> Value {
    Value::String(text.to_string())
}

/// A boolean as an argument.
pub fn flag(flag: bool) -> Value {
    Value::Boolean(flag)
}

/// Different ports of 127.0.0.1 that were free a moment ago.
pub fn free_ports<const N: usize>() -> [u16; N] {
    // All are held until the last is known, so that they differ.
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("there is a free port"));
    listeners.map(|listener| listener.local_addr().expect("it is bound").port())
}
