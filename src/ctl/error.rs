//! The reasons why a command ends early.

use crate::ctl::exit::Exit;
use crate::model::fault::FaultCode;
use crate::rpc::client::CallError;
use std::fmt;
use std::io;

/// What ends a command before it is through. Expected refusals (no such process, not running) are not errors: they are
/// lines of output.
#[derive(Debug)]
pub(crate) enum CtlError {
    /// A call came to nothing.
    Call(CallError),
    /// A message that stands for itself, with its exit status and what could be done about it.
    Told { line: String, hints: Vec<String>, exit: Exit },
    /// Nobody reads what we write.
    Output(io::Error),
}

impl CtlError {
    /// A message with an exit status and without advice.
    pub(crate) fn told(line: impl Into<String>, exit: Exit) -> CtlError {
        CtlError::Told { line: line.into(), hints: Vec::new(), exit }
    }

    /// The same error, leaving with another status if it has one of its own.
    pub(crate) fn with_exit(self, exit: Exit) -> CtlError {
        match self {
            CtlError::Told { line, hints, .. } => CtlError::Told { line, hints, exit },
            other => other,
        }
    }
}

/// The text behind `error: `.
impl fmt::Display for CtlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CtlError::Call(problem) if problem.fault() == Some(FaultCode::ShutdownState.code()) => {
                write!(f, "supervisord is shutting down ({})", FaultCode::ShutdownState.name(),)
            }
            CtlError::Call(problem) => write!(f, "{problem}"),
            CtlError::Told { line, .. } => f.write_str(line),
            CtlError::Output(problem) => write!(f, "cannot write: {problem}"),
        }
    }
}

impl From<CallError> for CtlError {
    fn from(problem: CallError) -> CtlError {
        CtlError::Call(problem)
    }
}

impl From<io::Error> for CtlError {
    fn from(problem: io::Error) -> CtlError {
        CtlError::Output(problem)
    }
}

/// What a command returns.
pub(crate) type Outcome = Result<(), CtlError>;
