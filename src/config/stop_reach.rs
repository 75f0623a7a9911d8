//! `stop_scope`, `stopasgroup` and `killasgroup`: three keys that say whom signals reach.
//!
//! They can stand in different sections, one of which stands in for the other. If they contradict each other there, the one
//! nearer to the program counts, and the other is as if it were not written.

use crate::config::document::Document;
use crate::config::section::Section;
use crate::config::text::{repr, strip};
use crate::config::values::{self, Parsed};
use crate::model::config::StopScope;

/// What is written, without what gives way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub scope: Option<StopScope>,
    pub stopasgroup: Option<bool>,
    pub killasgroup: Option<bool>,
}

const SCOPE: &str = "stop_scope";
const STOP: &str = "stopasgroup";
const KILL: &str = "killasgroup";

/// Reads the three keys.
pub(super) fn nearest(section: &Section<'_>) -> Written {
    let all = Written {
        scope: section.get(SCOPE, stop_scope),
        stopasgroup: section.get(STOP, values::boolean),
        killasgroup: section.get(KILL, values::boolean),
    };
    let mut by_distance: Vec<(usize, &str)> =
        [SCOPE, STOP, KILL].into_iter().filter_map(|key| Some((section.distance(key)?, key))).collect();
    by_distance.sort_unstable();
    let mut kept = Written::default();
    for alike in by_distance.chunk_by(|(one, _), (other, _)| one == other) {
        let nearer = kept;
        for (_, key) in alike {
            // Two that stand in one section are told, and so is what stands in `[DEFAULT]`, as in Supervisor.
            if !nearer.with(key, &all).is_contradiction() || is_in_default(section, key) {
                kept = kept.with(key, &all);
            }
        }
    }
    kept
}

/// The keys of the three that are written and give way.
pub(super) fn given_way(section: &Section<'_>) -> Vec<&'static str> {
    let kept = nearest(section);
    let is_kept = |key: &str| match key {
        SCOPE => kept.scope.is_some(),
        STOP => kept.stopasgroup.is_some(),
        _ => kept.killasgroup.is_some(),
    };
    [SCOPE, STOP, KILL].into_iter().filter(|key| section.raw(key).is_some() && !is_kept(key)).collect()
}

fn is_in_default(section: &Section<'_>, key: &str) -> bool {
    section.context.document.holder(section.name, key) == Some(Document::DEFAULT)
}

impl Written {
    fn with(self, key: &str, all: &Written) -> Written {
        match key {
            SCOPE => Written { scope: all.scope, ..self },
            STOP => Written { stopasgroup: all.stopasgroup, ..self },
            _ => Written { killasgroup: all.killasgroup, ..self },
        }
    }

    fn is_contradiction(self) -> bool {
        let Written { scope, stopasgroup, killasgroup } = self;
        match scope {
            Some(StopScope::Process) => stopasgroup == Some(true) || killasgroup == Some(true),
            Some(_) => killasgroup == Some(false),
            None => stopasgroup == Some(true) && killasgroup == Some(false),
        }
    }
}

/// `process`, `group`, `tree`, `cgroup`.
fn stop_scope(text: &str) -> Parsed<StopScope> {
    let word = strip(text).to_ascii_lowercase();
    let found = StopScope::WORDS.iter().find(|(known, _)| *known == word);
    found
        .map(|(_, scope)| *scope)
        .ok_or_else(|| format!("{} is none of process, group, tree, and cgroup", repr(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_known() {
        let written = |scope, stopasgroup, killasgroup| Written { scope, stopasgroup, killasgroup };
        for (scope, stop, kill, expected) in [
            (None, Some(true), Some(false), true),
            (None, Some(false), Some(true), false),
            (None, Some(true), None, false),
            (Some(StopScope::Process), Some(true), None, true),
            (Some(StopScope::Process), None, Some(true), true),
            (Some(StopScope::Process), Some(false), Some(false), false),
            (Some(StopScope::Tree), Some(false), None, false),
            (Some(StopScope::Tree), None, Some(false), true),
            (Some(StopScope::Group), Some(true), Some(true), false),
        ] {
            assert_eq!(
                written(scope, stop, kill).is_contradiction(),
                expected,
                "{scope:?} {stop:?} {kill:?}"
            );
        }
    }
}
