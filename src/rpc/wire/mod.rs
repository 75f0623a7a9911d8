//! XML-RPC text, once for both sides: the daemon reads calls and writes responses, the client the reverse.
//!
//! The `dxr` crate reads. Our own [`Writer`] writes, because log lines may contain what XML forbids, and because typed
//! clients expect the spelling of Python. [`Value`] is dxr's.

mod decode;
mod encode;
mod tidy;

pub use decode::{Call, DecodeError, decode_call, decode_response};
pub use dxr::Value;
pub use encode::{Writer, encode_call, encode_fault, encode_response, escape_into};
pub(crate) use encode::{int_member, string_member};

use std::fmt;

/// A fault as it stands in a response. The peer may be any version, so the number may be one we have no
/// name for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireFault {
    pub code: i32,
    /// The whole text, name included: `BAD_NAME: web`.
    pub text: String,
}

impl fmt::Display for WireFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fault {}: {}", self.code, self.text)
    }
}

impl std::error::Error for WireFault {}

impl From<&crate::model::fault::Fault> for WireFault {
    fn from(fault: &crate::model::fault::Fault) -> WireFault {
        WireFault { code: fault.code.code(), text: fault.to_string() }
    }
}
