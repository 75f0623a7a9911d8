//! The text of XML-RPC, for both sides: the daemon reads calls and writes responses, the client writes calls and reads
//! responses.
//!
//! The `dxr` crate parses. Our own [`Writer`] writes, because log lines may contain characters that XML forbids, and because
//! typed clients expect the spelling of Python. [`Value`] is the type of `dxr`.

mod decode;
mod encode;
mod tidy;

pub use decode::{Call, DecodeError, decode_call, decode_response};
pub use dxr::Value;
pub use encode::{Writer, encode_call, encode_fault, encode_response, escape_into};
pub(crate) use encode::{int_member, string_member};

use std::fmt;

/// A fault in a response. The daemon may be of another version, so the number may be one that
/// [`FaultCode`](crate::model::fault::FaultCode) does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireFault {
    /// `faultCode`.
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
