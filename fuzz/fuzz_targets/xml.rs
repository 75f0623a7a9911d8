//! Any bytes as a call and as a response: no panic, no hang, and what was understood can be written and
//! understood again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use supervisord::rpc::wire::{self, Call, Value};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Call { method, params }) = wire::decode_call(bytes) {
        let text = wire::encode_call(&method, &params);
        let again = wire::decode_call(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert!(method == again.method && same_all(&params, &again.params), "{text}");
    }
    if let Ok(Ok(value)) = wire::decode_response(bytes) {
        let text = wire::encode_response(&value);
        let again = wire::decode_response(text.as_bytes());
        assert!(matches!(again, Ok(Ok(again)) if same(&legal(&value), &again)), "{text}");
    }
});

fn same_all(left: &[Value], right: &[Value]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
}

/// Equality under which not-a-number equals itself.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Double(left), Value::Double(right)) => left == right || (left.is_nan() && right.is_nan()),
        (Value::Array(left), Value::Array(right)) => same_all(left, right),
        (Value::Struct(left), Value::Struct(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|(left, right)| left.0 == right.0 && same(left.1, right.1))
        }
        _ => left == right,
    }
}

/// Responses may hold what XML forbids, which is written as U+FFFD.
fn legal(value: &Value) -> Value {
    let text = |text: &String| {
        let forbidden = |c: char| (c < ' ' && !"\t\n\r".contains(c)) || c == '\u{fffe}' || c == '\u{ffff}';
        text.replace(forbidden, "\u{fffd}")
    };
    match value {
        Value::String(string) => Value::String(text(string)),
        Value::Array(elements) => Value::Array(elements.iter().map(legal).collect()),
        Value::Struct(members) => {
            Value::Struct(members.iter().map(|(name, value)| (text(name), legal(value))).collect())
        }
        other => other.clone(),
    }
}
