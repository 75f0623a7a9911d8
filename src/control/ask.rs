//! Every request with the type of its answer.
//!
//! [`Request`] and [`Answer`] travel to the loop and back. Callers use the types of this module instead: the result of
//! `handle.call(ask::Pid)` is a number or a fault, so no caller has to handle an answer of another type.

use crate::config;
use crate::config::Reread;
use crate::control::overview;
use crate::control::request::{self, Answer, BulkStatus, Facts, Processes, Request, Rows, Target, Wait};
use crate::log::source::LogSource;
use crate::model::fault::{Fault, FaultCode};
use crate::model::signal;
use crate::model::state::SupervisorState;
use crate::model::stream::Stream;
use std::path::PathBuf;
use std::sync::Arc;

/// A request, with the type of its answer.
pub trait Ask {
    /// What the loop answers to it.
    type Answer: TryFrom<Answer, Error = Answer>;

    /// The request in the form that travels to the loop.
    fn into_request(self) -> Request;
}

/// The answer to a request, as its type.
///
/// # Errors
/// FAILED if the loop answered something else, which is an error in the loop.
pub fn typed<R: Ask>(answer: Answer) -> Result<R::Answer, Fault> {
    R::Answer::try_from(answer).map_err(|answer| {
        log::error!("the loop gave an answer that does not belong to its request: {answer:?}");
        Fault::with(FaultCode::Failed, "the daemon gave no answer to this")
    })
}

/// The result of an order whose target was found.
#[derive(Clone, Debug, PartialEq)]
pub enum Applied {
    /// The target was one process, and the order was carried out.
    One,
    /// One line for each process that the order was applied to.
    Several(Vec<BulkStatus>),
}

impl Applied {
    /// The lines, if it was for several.
    pub fn into_lines(self) -> Vec<BulkStatus> {
        match self {
            Applied::One => Vec::new(),
            Applied::Several(statuses) => statuses,
        }
    }
}

impl TryFrom<Answer> for Applied {
    type Error = Answer;

    fn try_from(answer: Answer) -> Result<Applied, Answer> {
        match answer {
            Answer::Done => Ok(Applied::One),
            Answer::Bulk(statuses) => Ok(Applied::Several(statuses)),
            other => Err(other),
        }
    }
}

impl TryFrom<Answer> for () {
    type Error = Answer;

    fn try_from(answer: Answer) -> Result<(), Answer> {
        if answer == Answer::Done { Ok(()) } else { Err(answer) }
    }
}

/// Which answer holds a value of a type.
macro_rules! answers {
    ($($answer:ident => $kind:ty,)+) => {$(
        impl TryFrom<Answer> for $kind {
            type Error = Answer;

            fn try_from(answer: Answer) -> Result<$kind, Answer> {
                match answer {
                    Answer::$answer(value) => Ok(value),
                    other => Err(other),
                }
            }
        }
    )+};
}

answers! {
    State => SupervisorState,
    Number => i64,
    Text => String,
    Process => Box<request::ProcessInfo>,
    Processes => Arc<Processes>,
    Rows => Rows,
    Configs => Vec<request::ConfigInfo>,
    Reread => Reread,
    Log => LogSource,
    Facts => Facts,
    Overview => Box<overview::Overview>,
    Alive => Vec<overview::Alive>,
    ConfigSource => Box<config::ConfigSource>,
}

/// The requests with the same values as their variants, each with its answer. [`Request`] documents what they mean.
macro_rules! pairs {
    ($($name:ident $(($($field:ident: $kind:ty),+))? -> $answer:ty;)+) => {$(
        #[doc = concat!("[`Request::", stringify!($name), "`].")]
        #[derive(Clone, Debug)]
        pub struct $name $(($(pub $kind),+))?;

        impl Ask for $name {
            type Answer = $answer;

            fn into_request(self) -> Request {
                $(let $name($($field),+) = self;)?
                Request::$name $(($($field),+))?
            }
        }
    )+};
}

pairs! {
    State -> SupervisorState;
    Pid -> i64;
    Identification -> String;
    ProcessInfo(target: Target) -> Box<request::ProcessInfo>;
    AllProcessInfo -> Arc<Processes>;
    AllConfigInfo -> Vec<request::ConfigInfo>;
    Start(target: Target, wait: Wait) -> Applied;
    Stop(target: Target, wait: Wait) -> Applied;
    Signal(target: Target, signal: signal::Signal) -> Applied;
    ReloadConfig -> Reread;
    AddProcessGroup(name: String) -> ();
    RemoveProcessGroup(name: String) -> ();
    RemoveProcess(target: Target) -> ();
    Table(table: request::Table) -> Rows;
    Shutdown -> ();
    Restart -> ();
    ClearLog -> ();
    ClearProcessLogs(target: Target) -> Applied;
    SendProcessStdin(target: Target, bytes: Vec<u8>) -> ();
    Upgrade(binary: Option<PathBuf>) -> String;
    UpgradeState -> String;
    ConfigProblem -> String;
    ProcessHistory(target: Target) -> Facts;
    Keeper -> Facts;
    Overview(target: Target) -> Box<overview::Overview>;
    Daemon -> Box<overview::Overview>;
    Alive -> Vec<overview::Alive>;
    ConfigSource -> Box<config::ConfigSource>;
    ResolveName(name: String) -> String;
}

/// Where a log can be read: the log of one stream of one process, or the activity log for `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log(pub Option<(Target, Stream)>);

impl Ask for Log {
    type Answer = LogSource;

    fn into_request(self) -> Request {
        match self.0 {
            Some((target, stream)) => Request::ProcessLog(target, stream),
            None => Request::MainLog,
        }
    }
}

/// [`Request::SendRemoteCommEvent`].
#[derive(Clone, Debug)]
pub struct SendRemoteCommEvent {
    /// The type of the event, as listeners see it.
    pub kind: String,
    /// The data of the event.
    pub data: String,
}

impl Ask for SendRemoteCommEvent {
    type Answer = ();

    fn into_request(self) -> Request {
        let SendRemoteCommEvent { kind, data } = self;
        Request::SendRemoteCommEvent { kind, data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_another_question_is_a_fault() {
        assert_eq!(typed::<Pid>(Answer::Number(7)), Ok(7));
        assert_eq!(typed::<Shutdown>(Answer::Done), Ok(()));
        assert_eq!(typed::<Stop>(Answer::Bulk(Vec::new())), Ok(Applied::Several(Vec::new())));
        for wrong in [Answer::Done, Answer::Text("7".to_string()), Answer::Bulk(Vec::new())] {
            assert_eq!(typed::<Pid>(wrong).unwrap_err().code, FaultCode::Failed);
        }
    }
}
