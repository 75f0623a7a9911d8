//! Problems of the client's section. The daemon ignores that section, so people find mistakes in it only when they need
//! the client.

use crate::check::problem::{Problem, Severity};
use crate::check::servers::{self, CLIENT as SECTION};
use crate::config::args::{CheckArgs, CtlArgs};
use crate::config::{Document, Surroundings, ctl};
use crate::model::config::Config;
use std::path::Path;

/// Every such problem. A file without the section is for a daemon alone.
pub(super) fn problems(
    document: &Document,
    config: Option<&Config>,
    args: &CheckArgs,
    surroundings: &Surroundings,
) -> Vec<Problem> {
    if !document.has_section(SECTION) {
        return Vec::new();
    }
    let name = args.daemon.configuration.as_deref().map(Path::new);
    match ctl::interpret(document, &CtlArgs::default(), surroundings, name) {
        Err(errors) => {
            let problems = errors.iter().cloned().map(Problem::from);
            // The daemon starts nevertheless.
            problems.map(|problem| Problem { severity: Severity::Warning, ..problem }).collect()
        }
        Ok(client) => {
            let included = in_included_file(document);
            let unreachable = config.map(|config| servers::of_client(document, config, &client));
            included.into_iter().chain(unreachable.into_iter().flatten()).collect()
        }
    }
}

/// The client does not follow `[include]` if the main file has its section.
fn in_included_file(document: &Document) -> Option<Problem> {
    let main = document.files().first()?;
    if document.header(SECTION).is_some_and(|place| document.file(place) != main) {
        return None;
    }
    let (key, place) = document.own_keys(SECTION).find(|(_, place)| document.file(*place) != main)?;
    Some(Problem {
        severity: Severity::Warning,
        text: "this has no effect: the client reads its section in the main file only".to_string(),
        file: Some(document.file(place).name.clone()),
        line: Some(place.line),
        section: Some(SECTION.to_string()),
        key: Some(key.to_string()),
    })
}
