//! What units say of each other: dependencies and order.

use crate::convert::export::Source;
use crate::convert::losses::Losses;
use crate::convert::systemd::text::Unit;
use crate::model::config::{GroupConfig, GroupKind, ProcessConfig};
use crate::model::dependency::{Condition, Dependency, DependsRestart, Names};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// So many units may stand in one `After=` for the sake of a priority. More would be as many as the square of all.
const MOST_AFTER: usize = 20;

/// The names of units, by group and process.
pub(in crate::convert) type Units = HashMap<(Arc<str>, Arc<str>), String>;

/// All processes, and who waits for whom.
pub(in crate::convert) struct Links<'a> {
    units: &'a Units,
    names: Names,
    processes: Vec<(&'a Arc<GroupConfig>, &'a Arc<ProcessConfig>)>,
    /// The priorities of groups, ascending, each with its units.
    levels: BTreeMap<i64, Vec<&'a str>>,
    /// Whether something depends on what has a higher priority number: then order by priority could go in a circle.
    is_contrary: bool,
    /// Processes that somebody waits for until they are done.
    waited_for: HashSet<u32>,
}

impl<'a> Links<'a> {
    pub(in crate::convert) fn new(source: &'a Source, units: &'a Units) -> Links<'a> {
        let mut links = Links {
            units,
            names: Names::default(),
            processes: Vec::new(),
            levels: BTreeMap::new(),
            is_contrary: false,
            waited_for: HashSet::new(),
        };
        for group in &source.config.groups {
            for process in &group.processes {
                let id = u32::try_from(links.processes.len()).unwrap_or(u32::MAX);
                links.names.add(&group.name, &process.program, &process.name, id);
                links.processes.push((group, process));
                if let Some(unit) = links.unit(id) {
                    links.levels.entry(group.priority).or_default().push(unit);
                }
            }
        }
        for (id, (group, process)) in (0..).zip(links.processes.clone()) {
            for item in &process.dependencies.depends_on {
                for other in links.resolved(item, id) {
                    let (its_group, it) = links.processes[other as usize];
                    links.is_contrary |=
                        (its_group.priority, it.priority) > (group.priority, process.priority);
                    if matches!(item.condition, Condition::Done | Condition::Exited) {
                        links.waited_for.insert(other);
                    }
                }
            }
        }
        links
    }

    /// Whether somebody waits until this process is done.
    pub(in crate::convert) fn is_waited_for(&self, group: &GroupConfig, process: &ProcessConfig) -> bool {
        self.id(group, process).is_some_and(|id| self.waited_for.contains(&id))
    }

    fn id(&self, group: &GroupConfig, process: &ProcessConfig) -> Option<u32> {
        self.names.resolve(&format!("{}:{}", group.name, process.name)).first().copied()
    }

    fn unit(&self, id: u32) -> Option<&'a str> {
        let (group, process) = self.processes.get(id as usize)?;
        self.units.get(&(group.name.clone(), process.name.clone())).map(String::as_str)
    }

    /// The processes that an item stands for; a pattern leaves out the one that depends on it.
    fn resolved(&self, item: &Dependency, own: u32) -> Vec<u32> {
        let mut ids = self.names.resolve(&item.target);
        ids.retain(|id| *id != own);
        ids
    }

    /// Adds to a unit what its process waits for.
    pub(in crate::convert) fn add(
        &self,
        unit: &mut Unit,
        section: &str,
        group: &GroupConfig,
        process: &ProcessConfig,
        losses: &mut Losses,
    ) {
        let Some(own) = self.id(group, process) else { return };
        let what = format!("[{section}] depends_on");
        let restart = process.dependencies.depends_restart;
        let (mut after, mut requires, mut wants) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for item in &process.dependencies.depends_on {
            for other in self.resolved(item, own) {
                let it = self.processes[other as usize].1;
                let Some(name) = self.unit(other) else {
                    losses.note(&what, item.to_string(), format!("there is no unit for {}", it.name));
                    continue;
                };
                after.insert(name);
                if item.is_soft {
                    continue;
                }
                match item.condition {
                    Condition::Exited => wants.insert(name),
                    Condition::Ready | Condition::Healthy | Condition::Done => requires.insert(name),
                };
                let why = match item.condition {
                    Condition::Healthy => {
                        "systemd does not know health: it waits until the other one has started"
                    }
                    Condition::Done | Condition::Exited if !it.is_oneshot() => {
                        "systemd waits for the end of what has type=oneshot only: it waits until the other one has started"
                    }
                    _ => continue,
                };
                losses.note(&what, item.to_string(), why);
            }
        }
        let list = |names: &BTreeSet<&str>| names.iter().copied().collect::<Vec<_>>().join(" ");
        let why = match restart {
            DependsRestart::None => "systemd also stops it when somebody stops what it requires",
            DependsRestart::Restart => "PartOf= does not pass on a restart after a crash",
            DependsRestart::Stop => "systemd does not start it again when what it is bound to is there again",
        };
        if !requires.is_empty() {
            losses.note(&what, list(&requires), why);
            unit.add(
                "Unit",
                if restart == DependsRestart::Stop { "BindsTo" } else { "Requires" },
                list(&requires),
            );
            if restart == DependsRestart::Restart {
                unit.add("Unit", "PartOf", list(&requires));
            }
        }
        if requires.is_empty() && restart != DependsRestart::None {
            let what = format!("[{section}] depends_restart");
            losses.note(what, "", "nothing is required, so nothing passes on a restart or a stop");
        }
        if !wants.is_empty() {
            unit.add("Unit", "Wants", list(&wants));
        }
        after.extend(self.before(section, group, process, losses));
        if !after.is_empty() {
            unit.add("Unit", "After", list(&after));
        }
    }

    /// The units that come first by priority.
    fn before(
        &self,
        section: &str,
        group: &GroupConfig,
        process: &ProcessConfig,
        losses: &mut Losses,
    ) -> Vec<&'a str> {
        let level = self.levels.range(..group.priority).next_back();
        // One more than may be is enough to see that they are too many.
        let mut found: Vec<&str> =
            level.map(|(_, units)| units.iter().copied().take(MOST_AFTER + 1).collect()).unwrap_or_default();
        if group.kind == GroupKind::Group {
            let lower =
                group.processes.iter().map(|member| member.priority).filter(|at| *at < process.priority);
            let level = lower.max();
            let members = group.processes.iter().filter(|member| Some(member.priority) == level);
            let name =
                |member: &Arc<ProcessConfig>| self.units.get(&(group.name.clone(), member.name.clone()));
            found.extend(members.filter_map(name).map(String::as_str).take(MOST_AFTER + 1));
        }
        let why = match (self.is_contrary, found.len()) {
            (_, 0) => return Vec::new(),
            (true, _) => "something depends on what has a higher number: only depends_on orders the units",
            (_, ..=MOST_AFTER) => return found,
            _ => "too many units come before: write depends_on for what matters",
        };
        losses.note(format!("[{section}] priority"), process.priority.to_string(), why);
        Vec::new()
    }
}
