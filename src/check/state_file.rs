//! What is in a `state_file`, and whether the daemon will use it.

use crate::check::problem::Severity;
use crate::config::{StateFile, read_state_file, unknown_names};
use crate::model::config::Config;

/// What there is to say of it.
pub(super) fn finding(config: &Config) -> Option<(Severity, String)> {
    let path = config.supervisord.state_file.as_ref()?;
    match read_state_file(path) {
        StateFile::Missing => None,
        StateFile::Read(remembered) => {
            let unknown = unknown_names(&remembered.overrides, config);
            let text = format!("{} remembers what is not configured: {}", path.display(), unknown.join(", "));
            (!unknown.is_empty()).then_some((Severity::Hint, text))
        }
        StateFile::Refused(why) => {
            Some((Severity::Warning, format!("{} will not be used: {why}", path.display())))
        }
        StateFile::Torn(why) => {
            let text = format!("{} cannot be understood, and will be set aside: {why}", path.display());
            Some((Severity::Warning, text))
        }
    }
}
