//! A snapshot as JSON. Most of its text is that of groups, and most groups stand in it twice: as they are configured and as
//! they are active. Each is put into words once, and during an update, which takes several snapshots, not again.

use crate::manager::boot::{ActiveGroup, AutoLogs, MemberChange, SingleRun, Snapshot};
use crate::manager::processes::standing::Standing;
use crate::manager::spawn::sockets::SocketRecord;
use crate::model::config::{
    Config, DaemonConfig, GroupConfig, HttpServerConfig, Message, Program, SkippedFile,
};
use crate::model::state_file::{Overrides, Remembered};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::Arc;

/// Texts that were made before.
#[derive(Debug, Default)]
pub struct Texts {
    /// By the address of the group, which nobody else gets while it is held here.
    groups: HashMap<usize, (Arc<GroupConfig>, Box<RawValue>)>,
    written: Option<(Arc<str>, Box<RawValue>)>,
    /// How long the last snapshot was: the next one is as long, or nearly so.
    n_bytes: usize,
}

#[derive(Serialize)]
struct SnapshotText<'a> {
    config: ConfigText<'a>,
    active: Vec<GroupText<'a>>,
    sockets: &'a [SocketRecord],
    exit_status: u8,
    generation: u32,
    #[serde(rename = "renewing")]
    groups_updating: &'a [String],
    unfinished_update: &'a [String],
    in_the_way: &'a [Standing],
    #[serde(skip_serializing_if = "Overrides::is_empty")]
    until_end: &'a Overrides,
    #[serde(skip_serializing_if = "Remembered::is_empty")]
    remembered: &'a Remembered,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    scaling: &'a [String],
}

#[derive(Serialize)]
struct GroupText<'a> {
    config: &'a RawValue,
    logs: &'a [AutoLogs],
    #[serde(skip_serializing_if = "<[SingleRun]>::is_empty")]
    runs: &'a [SingleRun],
    #[serde(skip_serializing_if = "<[MemberChange]>::is_empty")]
    changes: &'a [MemberChange],
}

/// A [`Config`], field by field.
#[derive(Serialize)]
struct ConfigText<'a> {
    path: &'a Path,
    supervisord: &'a DaemonConfig,
    http_servers: &'a [HttpServerConfig],
    rpc_namespaces: &'a [String],
    groups: Vec<&'a RawValue>,
    messages: &'a [Message],
    #[serde(skip_serializing_if = "<[SkippedFile]>::is_empty")]
    skipped: &'a [SkippedFile],
    programs: &'a [Program],
    written: &'a RawValue,
}

impl Texts {
    /// The text of a snapshot.
    ///
    /// # Errors
    /// Something in it has no JSON form.
    pub fn of(&mut self, snapshot: &Snapshot) -> serde_json::Result<Vec<u8>> {
        let Snapshot {
            config,
            active,
            sockets,
            exit_status,
            generation,
            groups_updating,
            unfinished_update,
            in_the_way,
            until_end,
            remembered,
            scaling,
        } = snapshot;
        for group in config.groups.iter().chain(active.iter().map(|group| &group.config)) {
            self.know(group)?;
        }
        let written = &config.written.0;
        if !self.written.as_ref().is_some_and(|(known, _)| Arc::ptr_eq(known, written)) {
            self.written = Some((Arc::clone(written), to_raw_value(written)?));
        }
        let nothing = RawValue::NULL;
        let text =
            |group: &Arc<GroupConfig>| self.groups.get(&address(group)).map_or(nothing, |(_, text)| text);
        let active = active.iter().map(|group: &ActiveGroup| {
            let ActiveGroup { config, logs, runs, changes } = group;
            GroupText { config: text(config), logs, runs, changes }
        });
        let Config {
            path,
            supervisord,
            http_servers,
            rpc_namespaces,
            groups,
            messages,
            skipped,
            programs,
            written: _,
        } = config;
        let config = ConfigText {
            path,
            supervisord,
            http_servers,
            rpc_namespaces,
            groups: groups.iter().map(text).collect(),
            messages,
            skipped,
            programs,
            written: self.written.as_ref().map_or(nothing, |(_, text)| text),
        };
        let known: usize = self.groups.values().map(|(_, text)| text.get().len()).sum();
        let mut bytes = Vec::with_capacity(self.n_bytes.max(known + written.len()));
        let text = SnapshotText {
            config,
            active: active.collect(),
            sockets,
            exit_status: *exit_status,
            generation: *generation,
            groups_updating,
            unfinished_update,
            in_the_way,
            until_end,
            remembered,
            scaling,
        };
        serde_json::to_writer(&mut bytes, &text)?;
        self.n_bytes = bytes.len();
        Ok(bytes)
    }

    fn know(&mut self, group: &Arc<GroupConfig>) -> serde_json::Result<()> {
        if let Entry::Vacant(unknown) = self.groups.entry(address(group)) {
            unknown.insert((Arc::clone(group), to_raw_value(&**group)?));
        }
        Ok(())
    }
}

fn address(group: &Arc<GroupConfig>) -> usize {
    Arc::as_ptr(group).addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is put together here is what the model says of itself.
    #[test]
    fn a_configuration_is_written_as_it_is() {
        let first = include_bytes!("../../tests/corpus/state-0.1.0/snapshot.json");
        let mut snapshot = Snapshot::parse(first).unwrap();
        snapshot.config.skipped.push(SkippedFile {
            file: "/x".into(),
            line: Some(1),
            text: "\"".into(),
            sections: Vec::new(),
        });
        let mut texts = Texts::default();
        let text: serde_json::Value = serde_json::from_slice(&texts.of(&snapshot).unwrap()).unwrap();
        assert_eq!(text["config"], serde_json::to_value(&snapshot.config).unwrap());
        for (written, group) in text["active"].as_array().unwrap().iter().zip(&snapshot.active) {
            assert_eq!(written["config"], serde_json::to_value(&*group.config).unwrap());
        }
        // A second time nothing is different, and another group is.
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&texts.of(&snapshot).unwrap()).unwrap(), text);
        let other = GroupConfig { priority: 77, ..(*snapshot.active[0].config).clone() };
        snapshot.active[0].config = Arc::new(other);
        let text: serde_json::Value = serde_json::from_slice(&texts.of(&snapshot).unwrap()).unwrap();
        assert_eq!(text["active"][0]["config"]["priority"], 77);
    }
}
