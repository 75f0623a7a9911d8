//! The arguments of a call. They are taken one by one; an argument of the wrong type is INCORRECT_PARAMETERS.

use crate::control::request::{Target, Wait};
use crate::model::fault::{Fault, FaultCode};
use crate::rpc::wire::Value;

/// The arguments of a call that have not been taken.
#[derive(Debug)]
pub struct Args {
    values: std::vec::IntoIter<Value>,
}

impl Args {
    pub fn new(values: Vec<Value>) -> Args {
        Args { values: values.into_iter() }
    }

    /// Whether every argument has been taken.
    pub fn is_empty(&self) -> bool {
        self.values.len() == 0
    }

    /// A string. Base64 that holds text counts as that text, as in Supervisor, xmlrpc.py.
    pub fn text(&mut self) -> Result<String, Fault> {
        match self.next()? {
            Value::String(text) => Ok(text),
            Value::Base64(bytes) => String::from_utf8(bytes).map_err(|_| incorrect()),
            _ => Err(incorrect()),
        }
    }

    /// The target of the call, from a namespec.
    pub fn target(&mut self) -> Result<Target, Fault> {
        Ok(Target::parse(&self.text()?))
    }

    /// Data for a program: a string as UTF-8, or base64 for bytes that are no text.
    pub fn bytes(&mut self) -> Result<Vec<u8>, Fault> {
        match self.next()? {
            Value::String(text) => Ok(text.into_bytes()),
            Value::Base64(bytes) => Ok(bytes),
            other => Err(Fault::with(FaultCode::IncorrectParameters, printed(&other))),
        }
    }

    /// A number. Numbers in strings, truth values and doubles (cut towards zero) count, as `int()` takes them.
    pub fn int(&mut self) -> Result<i64, Fault> {
        match self.next()? {
            Value::Integer(number) => Ok(i64::from(number)),
            Value::Long(number) => Ok(number),
            Value::Boolean(truth) => Ok(i64::from(truth)),
            // The conversion cuts and saturates; only what is no number at all is refused.
            Value::Double(number) if number.is_finite() => Ok(number as i64),
            Value::String(text) => text.trim().parse().map_err(|_| incorrect()),
            _ => Err(incorrect()),
        }
    }

    /// The last argument of starting and stopping; true if it is missing. Any type is accepted and converted as by Python's
    /// `bool()`, so the string `false` means true.
    pub fn wait(&mut self) -> Wait {
        match self.values.next() {
            Some(value) if !is_true(&value) => Wait::No,
            _ => Wait::Yes,
        }
    }

    /// Any value, as text the way Python prints it.
    pub fn printed(&mut self) -> Result<String, Fault> {
        Ok(printed(&self.next()?))
    }

    /// Any value.
    pub fn value(&mut self) -> Result<Value, Fault> {
        self.next()
    }

    /// An array of texts, without zero bytes.
    pub fn texts(&mut self) -> Result<Vec<String>, Fault> {
        let Value::Array(elements) = self.next()? else { return Err(incorrect()) };
        let text = |element| match element {
            Value::String(text) if !text.contains('\0') => Ok(text),
            _ => Err(incorrect()),
        };
        elements.into_iter().map(text).collect()
    }

    /// Anything, as true or false, with Python's notion of truth.
    pub fn flag(&mut self) -> Result<bool, Fault> {
        Ok(is_true(&self.next()?))
    }

    /// Checks that no argument is left.
    pub fn end(mut self) -> Result<(), Fault> {
        if self.values.next().is_none() { Ok(()) } else { Err(incorrect()) }
    }

    fn next(&mut self) -> Result<Value, Fault> {
        self.values.next().ok_or_else(incorrect)
    }
}

/// The fault of arguments that are too few, too many or of the wrong kind.
pub(super) fn incorrect() -> Fault {
    Fault::new(FaultCode::IncorrectParameters)
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Integer(number) => *number != 0,
        Value::Long(number) => *number != 0,
        Value::Boolean(truth) => *truth,
        Value::Double(number) => *number != 0.0,
        Value::String(text) => !text.is_empty(),
        Value::Base64(bytes) => !bytes.is_empty(),
        Value::Array(elements) => !elements.is_empty(),
        Value::Struct(members) => !members.is_empty(),
        Value::Nil => false,
        _ => true,
    }
}

/// `str()` of the value.
fn printed(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Base64(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => represented(other),
    }
}

/// `repr()` of the value. Nesting is bounded by what the decoder lets through.
fn represented(value: &Value) -> String {
    match value {
        Value::Integer(number) => number.to_string(),
        Value::Long(number) => number.to_string(),
        Value::Boolean(true) => "True".to_string(),
        Value::Boolean(false) => "False".to_string(),
        Value::Double(number) => format!("{number:?}"),
        Value::DateTime(moment) => moment.to_string(),
        Value::Array(elements) => {
            format!("[{}]", elements.iter().map(represented).collect::<Vec<_>>().join(", "))
        }
        Value::Struct(members) => {
            let member = |(name, value)| format!("'{name}': {}", represented(value));
            format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(", "))
        }
        Value::String(text) => format!("'{text}'"),
        Value::Base64(bytes) => format!("'{}'", String::from_utf8_lossy(bytes)),
        _ => "None".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(value: Value) -> Args {
        Args::new(vec![value])
    }

    #[test]
    fn numbers_come_in_many_clothes() {
        for (value, expected) in [
            (Value::Integer(-4), Some(-4)),
            (Value::Long(1 << 40), Some(1 << 40)),
            (Value::String(" 12 ".into()), Some(12)),
            (Value::String("x".into()), None),
            (Value::Double(-1.9), Some(-1)),
            (Value::Double(f64::NAN), None),
            (Value::Boolean(true), Some(1)),
            (Value::Nil, None),
            (Value::Array(vec![]), None),
        ] {
            assert_eq!(one(value.clone()).int().ok(), expected, "{value:?}");
        }
    }

    #[test]
    fn waiting_follows_pythons_truth() {
        for (value, expected) in [
            (Value::Boolean(false), Wait::No),
            (Value::Integer(0), Wait::No),
            (Value::Integer(2), Wait::Yes),
            (Value::String("false".into()), Wait::Yes),
            (Value::String(String::new()), Wait::No),
            (Value::Nil, Wait::No),
        ] {
            assert_eq!(one(value.clone()).wait(), expected, "{value:?}");
        }
        assert_eq!(Args::new(vec![]).wait(), Wait::Yes);
    }

    #[test]
    fn values_print_as_in_python() {
        let nested = Value::Array(vec![Value::Integer(2), Value::String("a".into()), Value::Boolean(true)]);
        assert_eq!(one(nested).printed().unwrap(), "[2, 'a', True]");
        assert_eq!(one(Value::String("a".into())).printed().unwrap(), "a");
    }

    #[test]
    fn too_many_and_too_few_are_incorrect() {
        assert_eq!(Args::new(vec![]).text(), Err(incorrect()));
        assert_eq!(one(Value::Nil).end(), Err(incorrect()));
        assert_eq!(one(Value::Integer(1)).text(), Err(incorrect()));
    }
}
