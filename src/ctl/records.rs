//! Converts the daemon's answers from the wire's values.
//!
//! Other implementations and versions leave members out or use wider numbers. So a missing member reads as empty or 0;
//! only a value of the wrong type is an error.

use crate::model::fault::FaultCode;
use crate::model::namespec;
use crate::rpc::client::CallError;
use crate::rpc::wire::Value;
use serde::Serialize;
use std::collections::BTreeMap;

/// A process as `getProcessInfo` tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Process {
    pub name: String,
    pub group: String,
    pub state: i64,
    pub statename: String,
    pub description: String,
    pub pid: i64,
    /// Whole seconds since 1970; 0 is never.
    pub start: i64,
    pub stop: i64,
    pub now: i64,
    pub exitstatus: i64,
    pub spawnerr: String,
    pub stdout_logfile: String,
    pub stderr_logfile: String,
}

impl Process {
    /// How it is addressed: `name`, or `group:name`.
    pub(crate) fn namespec(&self) -> String {
        namespec::display(&self.group, &self.name)
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`CallError::Unexpected`] if it is no struct.
    pub(crate) fn read(value: &Value) -> Result<Process, CallError> {
        let members = Members::of(value)?;
        Ok(Process {
            name: members.text("name"),
            group: members.text("group"),
            state: members.number("state"),
            statename: members.text("statename"),
            description: members.text("description"),
            pid: members.number("pid"),
            start: members.number("start"),
            stop: members.number("stop"),
            now: members.number("now"),
            exitstatus: members.number("exitstatus"),
            spawnerr: members.text("spawnerr"),
            stdout_logfile: members.text("stdout_logfile"),
            stderr_logfile: members.text("stderr_logfile"),
        })
    }
}

/// A process as the file last read configures it, from `getAllConfigInfo`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Configured {
    pub name: String,
    pub group: String,
    /// Whether a group of that name is active.
    pub inuse: bool,
    pub autostart: bool,
    pub group_prio: i64,
    pub process_prio: i64,
}

impl Configured {
    pub(crate) fn namespec(&self) -> String {
        namespec::display(&self.group, &self.name)
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`CallError::Unexpected`] if it is no struct.
    pub(crate) fn read(value: &Value) -> Result<Configured, CallError> {
        let members = Members::of(value)?;
        Ok(Configured {
            name: members.text("name"),
            group: members.text("group"),
            inuse: members.flag("inuse"),
            autostart: members.flag("autostart"),
            group_prio: members.number("group_prio"),
            process_prio: members.number("process_prio"),
        })
    }
}

/// What became of one process of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BulkLine {
    pub name: String,
    pub group: String,
    /// 80, or the number of a fault.
    pub status: i64,
    /// `OK`, or the text of the fault.
    pub description: String,
}

impl BulkLine {
    pub(crate) fn namespec(&self) -> String {
        namespec::display(&self.group, &self.name)
    }

    /// The number and text of the fault, if it was none of the successes.
    pub(crate) fn fault(&self) -> Option<(i32, &str)> {
        let code = i32::try_from(self.status).unwrap_or(i32::MAX);
        (code != FaultCode::Success.code()).then_some((code, self.description.as_str()))
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`CallError::Unexpected`] if it is no struct.
    pub(crate) fn read(value: &Value) -> Result<BulkLine, CallError> {
        let members = Members::of(value)?;
        Ok(BulkLine {
            name: members.text("name"),
            group: members.text("group"),
            status: members.number("status"),
            description: members.text("description"),
        })
    }
}

/// What reading the configuration again found, by group name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reread {
    pub added: Vec<String>,
    pub changed: Vec<String>,
    pub removed: Vec<String>,
}

impl Reread {
    /// Reads the array of one array of three arrays that `reloadConfig` answers.
    ///
    /// # Errors
    /// [`CallError::Unexpected`] if it is something else.
    pub(crate) fn read(value: &Value) -> Result<Reread, CallError> {
        let unexpected = || CallError::Unexpected("reloadConfig did not answer three lists of groups".into());
        let [lists] = array(value)? else { return Err(unexpected()) };
        let [added, changed, removed] = array(lists)? else { return Err(unexpected()) };
        Ok(Reread { added: texts(added)?, changed: texts(changed)?, removed: texts(removed)? })
    }
}

/// What an update does to one group, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupChange {
    pub group: String,
    /// `remove`, `replace`, `change` or `add`.
    pub action: String,
    /// How many processes it has before.
    pub members: usize,
    pub keys: Vec<String>,
    /// What went wrong; empty if nothing did.
    pub problem: String,
    pub processes: Vec<ProcessChange>,
}

/// What an update does to one process, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProcessChange {
    pub name: String,
    /// `remove`, `restart`, `apply` or `add`.
    pub action: String,
    pub keys: Vec<String>,
}

impl GroupChange {
    /// Reads one.
    ///
    /// # Errors
    /// [`CallError::Unexpected`] if it is no struct, or its processes are none.
    pub(crate) fn read(value: &Value) -> Result<GroupChange, CallError> {
        let members = Members::of(value)?;
        let processes = members.get("processes").map_or(Ok(&[][..]), array)?;
        Ok(GroupChange {
            group: members.text("group"),
            action: members.text("action"),
            members: usize::try_from(members.number("members")).unwrap_or_default(),
            keys: keys(&members.text("keys")),
            problem: members.text("problem"),
            processes: processes.iter().map(ProcessChange::read).collect::<Result<_, _>>()?,
        })
    }
}

impl ProcessChange {
    fn read(value: &Value) -> Result<ProcessChange, CallError> {
        let members = Members::of(value)?;
        let keys = keys(&members.text("keys"));
        Ok(ProcessChange { name: members.text("name"), action: members.text("action"), keys })
    }
}

fn keys(text: &str) -> Vec<String> {
    text.split(',').filter(|key| !key.is_empty()).map(str::to_string).collect()
}

/// The members of a struct.
pub(crate) struct Members<'v>(&'v BTreeMap<String, Value>);

impl Members<'_> {
    /// Looks into a value.
    ///
    /// # Errors
    /// [`CallError::Unexpected`] if it is no struct.
    pub(crate) fn of(value: &Value) -> Result<Members<'_>, CallError> {
        match value {
            Value::Struct(members) => Ok(Members(members)),
            _ => Err(CallError::Unexpected("a struct was expected".into())),
        }
    }

    /// Their names, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A text; a number is written as one, because long numbers may come as either.
    pub(crate) fn text(&self, name: &str) -> String {
        match self.0.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Integer(number)) => number.to_string(),
            Some(Value::Long(number)) => number.to_string(),
            _ => String::new(),
        }
    }

    pub(crate) fn number(&self, name: &str) -> i64 {
        self.0.get(name).and_then(number).unwrap_or_default()
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        match self.0.get(name) {
            Some(Value::Boolean(flag)) => *flag,
            other => other.and_then(number).unwrap_or_default() != 0,
        }
    }
}

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(number) => Some(i64::from(*number)),
        Value::Long(number) => Some(*number),
        Value::Double(number) => Some(*number as i64),
        _ => None,
    }
}

/// The elements of an array.
///
/// # Errors
/// [`CallError::Unexpected`] if it is none.
pub(crate) fn array(value: &Value) -> Result<&[Value], CallError> {
    match value {
        Value::Array(elements) => Ok(elements),
        _ => Err(CallError::Unexpected("an array was expected".into())),
    }
}

/// A text.
///
/// # Errors
/// [`CallError::Unexpected`] if it is something else.
pub(crate) fn text(value: &Value) -> Result<String, CallError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        _ => Err(CallError::Unexpected("a text was expected".into())),
    }
}

/// A list of texts.
///
/// # Errors
/// [`CallError::Unexpected`] if it is something else.
pub(crate) fn texts(value: &Value) -> Result<Vec<String>, CallError> {
    array(value)?.iter().map(text).collect()
}

/// A whole number.
///
/// # Errors
/// [`CallError::Unexpected`] if it is something else.
pub(crate) fn integer(value: &Value) -> Result<i64, CallError> {
    number(value).ok_or_else(|| CallError::Unexpected("a number was expected".into()))
}

/// A value as JSON.
pub(crate) fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Boolean(flag) => (*flag).into(),
        Value::Integer(number) => (*number).into(),
        Value::Long(number) => (*number).into(),
        Value::Double(number) => (*number).into(),
        Value::String(text) => text.as_str().into(),
        Value::Array(elements) => elements.iter().map(json).collect::<Vec<_>>().into(),
        Value::Struct(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), json(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        _ => serde_json::Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_members_are_empty_and_other_shapes_are_errors() {
        let members = BTreeMap::from([
            ("name".to_string(), Value::String("a".into())),
            ("group".to_string(), Value::String("g".into())),
            ("pid".to_string(), Value::Long(7)),
        ]);
        let process = Process::read(&Value::Struct(members)).unwrap();
        assert_eq!((process.namespec().as_str(), process.pid, process.stop), ("g:a", 7, 0));
        assert!(Process::read(&Value::Integer(1)).is_err());
    }

    #[test]
    fn reread_is_nested_in_one_more_array() {
        let list = |name: &str| Value::Array(vec![Value::String(name.into())]);
        let answer = Value::Array(vec![list("a"), list("c"), Value::Array(vec![])]);
        let reread = Reread::read(&Value::Array(vec![answer.clone()])).unwrap();
        assert_eq!(reread, Reread { added: vec!["a".into()], changed: vec!["c".into()], removed: vec![] });
        assert!(Reread::read(&answer).is_err());
    }
}
