//! Faults: the numbers and names with which a failed call is answered.

use std::fmt;

/// The kinds of fault, with their numbers on the wire (Supervisor, xmlrpc.py, Faults).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum FaultCode {
    /// No method has this name, or its namespace is not published.
    UnknownMethod = 1,
    /// The arguments are too many, too few or of the wrong type.
    IncorrectParameters = 2,
    /// An offset and a length describe no part of a log.
    BadArguments = 3,
    /// `methodSignature` was asked about a method without one.
    SignatureUnsupported = 4,
    /// The daemon is on its way down and takes no orders.
    ShutdownState = 6,
    /// No process or group has this name.
    BadName = 10,
    /// The text is neither the name nor the number of a signal.
    BadSignal = 11,
    /// There is no such log, program file or open standard input.
    NoFile = 20,
    /// The command of a program names something that cannot be executed.
    NotExecutable = 21,
    /// Whatever has no number of its own. The text says what failed.
    Failed = 30,
    /// The process ended before `startsecs` were over.
    AbnormalTermination = 40,
    /// The process could not be created, or did not come up.
    SpawnError = 50,
    /// A process that is STARTING, RUNNING or BACKOFF was asked to start.
    AlreadyStarted = 60,
    /// A process was asked to stop, or to take a signal or input, and there is nothing that could.
    NotRunning = 70,
    /// Never a fault; the status of a success in bulk results.
    Success = 80,
    /// A group that is active was to be added.
    AlreadyAdded = 90,
    /// A group or a process was to be removed that is not at rest.
    StillRunning = 91,
    /// The configuration cannot be read. The text lists its errors.
    CantReread = 92,
}

impl FaultCode {
    /// Every code, by number.
    pub const ALL: [FaultCode; 18] = [
        FaultCode::UnknownMethod,
        FaultCode::IncorrectParameters,
        FaultCode::BadArguments,
        FaultCode::SignatureUnsupported,
        FaultCode::ShutdownState,
        FaultCode::BadName,
        FaultCode::BadSignal,
        FaultCode::NoFile,
        FaultCode::NotExecutable,
        FaultCode::Failed,
        FaultCode::AbnormalTermination,
        FaultCode::SpawnError,
        FaultCode::AlreadyStarted,
        FaultCode::NotRunning,
        FaultCode::Success,
        FaultCode::AlreadyAdded,
        FaultCode::StillRunning,
        FaultCode::CantReread,
    ];

    /// The number on the wire.
    pub fn code(self) -> i32 {
        self as i32
    }

    /// The kind with this number.
    pub fn from_code(code: i32) -> Option<FaultCode> {
        Self::ALL.into_iter().find(|known| known.code() == code)
    }

    /// The name at the head of every fault text.
    pub fn name(self) -> &'static str {
        match self {
            FaultCode::UnknownMethod => "UNKNOWN_METHOD",
            FaultCode::IncorrectParameters => "INCORRECT_PARAMETERS",
            FaultCode::BadArguments => "BAD_ARGUMENTS",
            FaultCode::SignatureUnsupported => "SIGNATURE_UNSUPPORTED",
            FaultCode::ShutdownState => "SHUTDOWN_STATE",
            FaultCode::BadName => "BAD_NAME",
            FaultCode::BadSignal => "BAD_SIGNAL",
            FaultCode::NoFile => "NO_FILE",
            FaultCode::NotExecutable => "NOT_EXECUTABLE",
            FaultCode::Failed => "FAILED",
            FaultCode::AbnormalTermination => "ABNORMAL_TERMINATION",
            FaultCode::SpawnError => "SPAWN_ERROR",
            FaultCode::AlreadyStarted => "ALREADY_STARTED",
            FaultCode::NotRunning => "NOT_RUNNING",
            FaultCode::Success => "SUCCESS",
            FaultCode::AlreadyAdded => "ALREADY_ADDED",
            FaultCode::StillRunning => "STILL_RUNNING",
            FaultCode::CantReread => "CANT_REREAD",
        }
    }
}

/// Why a call failed, as the client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which kind of failure it is.
    pub code: FaultCode,
    /// What stands after the name, for example the namespec; `None` if nothing does.
    pub detail: Option<String>,
}

impl Fault {
    /// A fault whose text is the name of its code alone.
    pub fn new(code: FaultCode) -> Fault {
        Fault { code, detail: None }
    }

    /// A fault whose text goes on after the name of its code.
    pub fn with(code: FaultCode, detail: impl Into<String>) -> Fault {
        Fault { code, detail: Some(detail.into()) }
    }
}

/// The fault text on the wire: `NAME`, or `NAME: detail`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.detail {
            Some(detail) => write!(f, "{}: {detail}", self.code.name()),
            None => f.write_str(self.code.name()),
        }
    }
}

impl std::error::Error for Fault {}
