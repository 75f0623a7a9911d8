//! Errors in the format of RFC 9457, `application/problem+json`.

use crate::http::wire::response::{Body, Response};
use crate::model::fault::{Fault, FaultCode};
use serde::Serialize;
use std::fmt;

/// Why a request fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    status: u16,
    detail: String,
    /// The fault with which the same request fails in XML-RPC.
    fault: Option<FaultCode>,
    /// The allowed methods, if the method is wrong.
    allow: Option<&'static str>,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<ShownFault>,
}

#[derive(Serialize)]
struct ShownFault {
    code: i32,
    name: &'static str,
}

impl Problem {
    pub(crate) fn new(status: u16, detail: impl Into<String>) -> Problem {
        Problem { status, detail: detail.into(), fault: None, allow: None }
    }

    /// What was asked for cannot be had as things are, though nothing has failed.
    pub(crate) fn conflict(fault: &Fault) -> Problem {
        Problem { fault: Some(fault.code), ..Problem::new(409, fault.to_string()) }
    }

    /// The path exists, but not for this method.
    pub(crate) fn wrong_method(allow: &'static str) -> Problem {
        let detail = format!("this can be asked for with {allow} only");
        Problem { allow: Some(allow), ..Problem::new(405, detail) }
    }

    pub(crate) fn nothing_there() -> Problem {
        Problem::new(404, "there is nothing under this path; /api/v1/openapi.json says what there is")
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    pub(crate) fn into_response(self) -> Response {
        let title = tiny_http::StatusCode(self.status).default_reason_phrase();
        let fault = self.fault.map(|fault| ShownFault { code: fault.code(), name: fault.name() });
        let shown = Shown { kind: "about:blank", title, status: self.status, detail: &self.detail, fault };
        // Texts and numbers can always be written.
        let bytes = serde_json::to_vec(&shown).unwrap_or_default();
        let response = Response::new(self.status, "application/problem+json", Body::Whole(bytes)).private();
        let response = if self.status == 503 { response.later() } else { response };
        match self.allow {
            Some(allow) => response.with_header("Allow", allow),
            None => response,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

/// A browser requests a change without the token of our own pages.
pub(crate) fn forbidden() -> Problem {
    let detail = "a browser asks for this without the token of this daemon's own pages; reload the page. Programs that \
                  are no browsers need no token, unless they call themselves Mozilla";
    Problem::new(403, detail)
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Problem {
        let status = match fault.code {
            FaultCode::BadName | FaultCode::NoFile => 404,
            FaultCode::BadArguments
            | FaultCode::IncorrectParameters
            | FaultCode::BadSignal
            | FaultCode::UnknownMethod
            | FaultCode::SignatureUnsupported => 400,
            FaultCode::AlreadyStarted
            | FaultCode::NotRunning
            | FaultCode::AlreadyAdded
            | FaultCode::StillRunning => 409,
            FaultCode::CantReread => 422,
            FaultCode::ShutdownState => 503,
            FaultCode::NotExecutable
            | FaultCode::Failed
            | FaultCode::AbnormalTermination
            | FaultCode::SpawnError
            | FaultCode::Success => 500,
        };
        Problem { fault: Some(fault.code), ..Problem::new(status, fault.to_string()) }
    }
}
