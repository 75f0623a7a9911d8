//! What a reread changes.

use crate::model::config::{GroupConfig, GroupKind};
use crate::rpc::api::Reread;
use std::collections::HashMap;
use std::sync::Arc;

/// Compares the groups that are active with those of a configuration just read.
///
/// Effective values are compared: where a value was written, and how, does not matter. `added` and `changed`
/// follow the candidate's order, `removed` the active one's.
pub fn diff(active: &[Arc<GroupConfig>], candidate: &[Arc<GroupConfig>]) -> Reread {
    let by_name = |groups: &[Arc<GroupConfig>]| -> HashMap<String, Arc<GroupConfig>> {
        groups.iter().map(|group| (group.name.clone(), group.clone())).collect()
    };
    let (active_by_name, candidate_by_name) = (by_name(active), by_name(candidate));
    let mut reread = Reread::default();
    for group in candidate {
        match active_by_name.get(&group.name) {
            None => reread.added.push(group.name.clone()),
            Some(old) if !same(old, group) => reread.changed.push(group.name.clone()),
            Some(_) => {}
        }
    }
    let removed = active.iter().filter(|group| !candidate_by_name.contains_key(&group.name));
    reread.removed.extend(removed.map(|group| group.name.clone()));
    reread
}

/// Whether two groups are the same in everything that matters to their processes. The order in which a pool
/// names its events does not.
fn same(a: &Arc<GroupConfig>, b: &Arc<GroupConfig>) -> bool {
    if Arc::ptr_eq(a, b) {
        return true;
    }
    let same_kind = match (&a.kind, &b.kind) {
        (GroupKind::EventListener(a), GroupKind::EventListener(b)) => {
            let sorted = |events: &[String]| {
                let mut events = events.to_vec();
                events.sort();
                events
            };
            a.buffer_size == b.buffer_size
                && a.result_handler == b.result_handler
                && a.payload_length == b.payload_length
                && sorted(&a.events) == sorted(&b.events)
        }
        (a, b) => a == b,
    };
    same_kind && a.priority == b.priority && a.processes == b.processes
}
