//! Exit statuses: every status with which the client can end, in one place. Scripts rely on them.

use std::process::ExitCode;

/// What the client leaves with. The numbers are those of Supervisor, which took them from the LSB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub u8);

impl Exit {
    /// All is well. Also `start` of something started already and `stop` of something not running.
    pub const SUCCESS: Exit = Exit(0);
    /// Failed: bad arguments of most commands, no such process, an error nobody has a better number for.
    pub const GENERIC: Exit = Exit(1);
    /// Bad options or configuration, `start` without names, `start` of an unknown group.
    pub const INVALID_ARGS: Exit = Exit(2);
    /// The daemon does not publish the `supervisor` namespace.
    pub const UNIMPLEMENTED: Exit = Exit(3);
    /// `status`: something shown is STOPPED, EXITED, FATAL or UNKNOWN.
    pub const STATUS_NOT_RUNNING: Exit = Exit(3);
    /// The daemon refuses the connection.
    pub const REFUSED: Exit = Exit(4);
    /// `status`: the daemon cannot be asked, or does not know a name.
    pub const STATUS_UNKNOWN: Exit = Exit(4);
    /// The daemon speaks another version of the API.
    pub const WRONG_VERSION: Exit = Exit(5);
    /// A process did not start, died, or does not run; also: there is no socket file.
    pub const NOT_RUNNING: Exit = Exit(7);
    /// Ctrl-C has stopped what was run; what a shell reports for a death by SIGINT.
    pub const INTERRUPTED: Exit = Exit(130);
    /// The reader of our output went away; what a shell reports for a death by SIGPIPE.
    pub const BROKEN_PIPE: Exit = Exit(141);
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.0)
    }
}
