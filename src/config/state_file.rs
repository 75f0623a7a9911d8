//! Reads the `state_file`, for the daemon and for `check`.

use crate::files::replace;
use crate::model::state_file::{Found, MOST_BYTES, Remembered};
use std::path::Path;

/// What was found at the path of a `state_file`.
#[derive(Clone, Debug, PartialEq)]
pub enum StateFile {
    /// Nothing yet.
    Missing,
    /// This.
    Read(Remembered),
    /// It is not used, and not written to, for this reason.
    Refused(String),
    /// It is a file of ours and cannot be understood, for this reason.
    Torn(String),
}

/// Looks at a `state_file`, and changes nothing.
pub fn read_state_file(path: &Path) -> StateFile {
    let bytes = match replace::read_ours(path, MOST_BYTES) {
        Ok(None) => return StateFile::Missing,
        Ok(Some((bytes, _))) => bytes,
        Err(why) => return StateFile::Refused(why),
    };
    let parsed = String::from_utf8(bytes).map_err(|_| "it is not text".to_string());
    match parsed.and_then(|text| Remembered::parse(&text)) {
        Ok(Found::Remembered(remembered)) => StateFile::Read(remembered),
        Ok(Found::Newer(version)) => {
            StateFile::Refused(format!("a newer release has written it (version {version})"))
        }
        Err(why) => StateFile::Torn(why),
    }
}
