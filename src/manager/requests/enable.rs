//! Lets processes start with the daemon from now on, or not.

use crate::config;
use crate::control::programs::{Enabled, Kept};
use crate::control::request::{Client, Target};
use crate::manager::daemon::Daemon;
use crate::manager::processes::proc::Next;
use crate::manager::state_file::Pending;
use crate::model::config::{GroupConfig, ProcessConfig};
use crate::model::fault::{Fault, FaultCode};
use crate::model::namespec::{self, Namespec};
use crate::model::state_file::{Overrides, full_name};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// A group and the name of a process in it.
type Member = (Arc<str>, Arc<str>);

/// Everybody of whom it can be said, and to which program they belong.
struct Everybody {
    /// The programs of groups, by group.
    programs: BTreeSet<(Arc<str>, Arc<str>)>,
    /// The processes of each program.
    processes: BTreeMap<Member, Arc<str>>,
}

/// Of whom it is said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Meant {
    /// Whole programs.
    programs: BTreeSet<Arc<str>>,
    /// Processes whose program is not meant as a whole.
    single: BTreeSet<Member>,
    /// All processes.
    processes: BTreeSet<Member>,
}

impl Daemon {
    /// Lets processes start with the daemon from now on, or not.
    pub(super) fn enable_request(&mut self, targets: &[Target], starts: bool, client: Client<Enabled>) {
        match self.enable(targets, starts) {
            Ok(enabled) => self.answer_when_saved(Pending::Enabled(client, enabled)),
            Err(fault) => self.answers.post(client, Err(fault)),
        }
    }

    fn enable(&mut self, targets: &[Target], starts: bool) -> Result<Enabled, Fault> {
        let meant = self.everybody().meant(targets)?;
        let is_kept = self.state_file.check().is_ok();
        let (mut until_end, mut for_good) =
            (self.in_force.until_end().clone(), self.in_force.remembered().overrides.clone());
        for overrides in [&mut until_end, &mut for_good] {
            meant.forget(overrides, &self.everybody());
        }
        let layer = if is_kept { &mut for_good } else { &mut until_end };
        // What each process has then.
        let mut values: HashMap<Member, (bool, bool)> = HashMap::new();
        if starts {
            let plain = self.as_configured(&meant, &layer.clone().with(&Overrides::default()))?;
            for (name, members) in meant.named(&self.everybody()) {
                let of = |member: &Member| plain.get(member).copied().unwrap_or((false, false));
                let is_said_by_files = members.iter().all(|member| of(member).0);
                if !is_said_by_files {
                    layer.autostart.insert(name, true);
                }
                let value = |member: &Member| if is_said_by_files { of(member) } else { (true, false) };
                values.extend(members.iter().map(|member| (member.clone(), value(member))));
            }
        } else {
            layer.autostart.extend(meant.named(&self.everybody()).into_iter().map(|(name, _)| (name, false)));
            values.extend(meant.processes.iter().map(|member| (member.clone(), (false, false))));
        }
        let names = meant.named(&self.everybody()).into_iter().map(|(name, _)| name).collect();
        self.in_force.set_overrides(until_end, for_good);
        self.set_autostart(&values);
        if starts {
            // Whoever had stopped it wants it up again.
            for ((group, name), _) in values.iter().filter(|(_, (_, last))| *last) {
                self.in_force.note_wanted(group, name, true);
            }
        }
        let kept = if is_kept { Kept::Saved } else { Kept::UntilEnd };
        let processes = meant.processes.iter().map(|(group, name)| namespec::display(group, name)).collect();
        Ok(Enabled { starts, names, processes, kept })
    }

    fn everybody(&self) -> Everybody {
        let config = self.in_force.config();
        let mut all = Everybody { programs: BTreeSet::new(), processes: BTreeMap::new() };
        for program in &config.programs {
            all.programs.insert((Arc::clone(&program.group), Arc::clone(&program.name)));
        }
        let active = self.procs.groups().iter().map(|group| &group.config);
        for group in config.groups.iter().chain(active) {
            for process in &group.processes {
                all.programs.insert((Arc::clone(&group.name), Arc::clone(&process.program)));
                let member = (Arc::clone(&group.name), Arc::clone(&process.name));
                all.processes.insert(member, Arc::clone(&process.program));
            }
        }
        all
    }

    /// `autostart` of processes as the files and these changes say it.
    fn as_configured(
        &self,
        meant: &Meant,
        overrides: &Overrides,
    ) -> Result<HashMap<Member, (bool, bool)>, Fault> {
        // Scaled processes are there with their numbers only.
        let numprocs = self.in_force.overrides().numprocs;
        let overrides = Overrides { numprocs, autostart: overrides.autostart.clone() };
        let written = &self.in_force.config().written;
        let fresh = config::interpret_again(written, &self.boot.args, &self.surroundings(), &overrides)
            .map_err(|errors| Fault::with(FaultCode::Failed, errors.to_string()))?;
        let mut values = HashMap::new();
        for group in &fresh.groups {
            for process in &group.processes {
                let member = (Arc::clone(&group.name), Arc::clone(&process.name));
                if meant.processes.contains(&member) {
                    values.insert(member, (process.autostart, process.autostart_last));
                }
            }
        }
        Ok(values)
    }

    /// Gives processes another `autostart`, those that are active and those that are configured.
    fn set_autostart(&mut self, values: &HashMap<Member, (bool, bool)>) {
        let changed = |group: &Arc<str>, process: &Arc<ProcessConfig>| -> Option<Arc<ProcessConfig>> {
            let (autostart, autostart_last) = *values.get(&(Arc::clone(group), Arc::clone(&process.name)))?;
            let is_same = (process.autostart, process.autostart_last) == (autostart, autostart_last);
            (!is_same).then(|| {
                Arc::new(ProcessConfig { autostart, autostart_last, ..ProcessConfig::clone(process) })
            })
        };
        let mut configured: HashMap<Member, Arc<ProcessConfig>> = HashMap::new();
        let mut groups = Vec::new();
        for group in &self.in_force.config().groups {
            let mut processes = group.processes.clone();
            let mut is_other = false;
            for process in &mut processes {
                if let Some(other) = changed(&group.name, process) {
                    *process = other;
                    is_other = true;
                }
                configured.insert((Arc::clone(&group.name), Arc::clone(&process.name)), Arc::clone(process));
            }
            if is_other {
                groups.push(Arc::new(GroupConfig { processes, ..GroupConfig::clone(group) }));
            }
        }
        if !groups.is_empty() {
            self.in_force.exchange_groups(groups);
        }
        for (group, name) in values.keys() {
            let Some(slot) = self.procs.member(group, name) else { continue };
            let Some(proc) = self.procs.proc_mut(slot) else { continue };
            if let Some(next) = proc.next.clone()
                && let Some(config) = changed(group, &next.config)
            {
                proc.set_next(Some(Next { config, ..next }));
            }
            if let Some(mut config) = changed(group, proc.usual_config()) {
                // One configuration for both, as before.
                if let Some(same) =
                    configured.get(&(Arc::clone(group), Arc::clone(name))).filter(|it| **it == config)
                {
                    config = Arc::clone(same);
                }
                self.procs.set_config(slot, &config);
            }
            self.show_process(slot);
        }
    }
}

impl Everybody {
    /// Whom these names mean.
    ///
    /// # Errors
    /// BAD_NAME.
    fn meant(&self, targets: &[Target]) -> Result<Meant, Fault> {
        let (mut pairs, mut processes) = (BTreeSet::new(), BTreeSet::new());
        for target in targets {
            let found = match target {
                Target::All => self.programs.iter().cloned().collect(),
                Target::Group(group) => self.pairs(|of, _| of == group),
                Target::Name { namespec: Namespec { group, process: None }, .. } => {
                    self.pairs(|of, _| of == group)
                }
                Target::Name { sent, namespec: Namespec { group, process: Some(process) } } => {
                    let member: Member = (group.as_str().into(), process.as_str().into());
                    if self.processes.contains_key(&member) {
                        processes.insert(member);
                        continue;
                    }
                    let has_group = sent.contains(':');
                    self.pairs(|of, program| program == process && (!has_group || of == group))
                }
            };
            if found.is_empty() && *target != Target::All {
                return Err(Fault::with(FaultCode::BadName, target.to_string()));
            }
            pairs.extend(found);
        }
        Ok(self.by_program(&pairs, processes))
    }

    fn pairs(&self, wanted: impl Fn(&str, &str) -> bool) -> Vec<(Arc<str>, Arc<str>)> {
        self.programs.iter().filter(|(group, program)| wanted(group, program)).cloned().collect()
    }

    /// Puts processes together that are all of a program.
    fn by_program(&self, pairs: &BTreeSet<(Arc<str>, Arc<str>)>, mut processes: BTreeSet<Member>) -> Meant {
        let of_pairs = self
            .processes
            .iter()
            .filter(|((group, _), program)| pairs.contains(&(Arc::clone(group), Arc::clone(program))));
        processes.extend(of_pairs.map(|(member, _)| member.clone()));
        let touched: BTreeSet<Arc<str>> = pairs
            .iter()
            .map(|(_, program)| Arc::clone(program))
            .chain(processes.iter().filter_map(|member| self.processes.get(member).cloned()))
            .collect();
        let mut meant = Meant { processes, ..Meant::default() };
        let members_of = self.members_of();
        let mut pairs_of: HashMap<&str, Vec<&Member>> = HashMap::new();
        self.programs.iter().for_each(|pair| pairs_of.entry(&pair.1).or_default().push(pair));
        for program in touched {
            let members = members_of.get(&*program).map_or(&[][..], Vec::as_slice);
            let is_whole = pairs_of.get(&*program).into_iter().flatten().all(|pair| {
                let mut members = members.iter().filter(|(group, _)| *group == pair.0).peekable();
                pairs.contains(*pair)
                    || (members.peek().is_some() && members.all(|it| meant.processes.contains(*it)))
            });
            if is_whole {
                meant.programs.insert(program);
            } else {
                let single = members.iter().filter(|it| meant.processes.contains(**it));
                meant.single.extend(single.map(|it| Member::clone(it)));
            }
        }
        meant
    }

    /// The processes of each program.
    fn members_of(&self) -> HashMap<&str, Vec<&Member>> {
        let mut members: HashMap<&str, Vec<&Member>> = HashMap::new();
        self.processes.iter().for_each(|(member, program)| members.entry(program).or_default().push(member));
        members
    }
}

impl Meant {
    /// The names by which it is remembered, each with the processes of which it is said.
    fn named(&self, all: &Everybody) -> Vec<(String, Vec<Member>)> {
        let members_of = all.members_of();
        let of_program = |program: &Arc<str>| {
            let members = members_of.get(&**program).into_iter().flatten();
            (program.to_string(), members.map(|member| Member::clone(member)).collect())
        };
        let single = |(group, name): &Member| (full_name(group, name), vec![(group.clone(), name.clone())]);
        self.programs.iter().map(of_program).chain(self.single.iter().map(single)).collect()
    }

    /// Forgets what was said of them before.
    fn forget(&self, overrides: &mut Overrides, all: &Everybody) {
        for (name, members) in self.named(all) {
            overrides.autostart.remove(&name);
            for (group, process) in members {
                overrides.autostart.remove(&full_name(&group, &process));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everybody() -> Everybody {
        let mut all = Everybody { programs: BTreeSet::new(), processes: BTreeMap::new() };
        for (group, program, names) in [
            ("cat", "cat", &["cat"][..]),
            ("web", "web", &["web_0", "web_1"]),
            ("g", "a", &["a"]),
            ("g", "b", &["b_0", "b_1"]),
            ("h", "a", &["a"]),
            ("none", "none", &[]),
        ] {
            all.programs.insert((group.into(), program.into()));
            for name in names {
                all.processes.insert((group.into(), (*name).into()), program.into());
            }
        }
        all
    }

    #[track_caller]
    fn check(names: &[&str], expected: &[&str]) {
        let targets: Vec<Target> =
            names.iter().map(|name| if *name == "all" { Target::All } else { Target::parse(name) }).collect();
        let all = everybody();
        let found = all
            .meant(&targets)
            .map(|meant| meant.named(&all).into_iter().map(|(name, _)| name).collect::<Vec<_>>());
        assert_eq!(found.unwrap_or_else(|fault| vec![fault.to_string()]), expected, "{names:?}");
    }

    #[test]
    fn whole_programs_are_remembered_by_their_names() {
        check(&["cat"], &["cat"]);
        check(&["web:web_0"], &["web:web_0"]);
        check(&["web:web_0", "web:web_1"], &["web"]);
        check(&["web:*"], &["web"]);
        check(&["web"], &["web"]);
        check(&["none"], &["none"]);
        check(&["g:*"], &["b", "g:a"]);
        check(&["g:*", "h:a"], &["a", "b"]);
        check(&["a"], &["a"]);
        check(&["g:b"], &["b"]);
        check(&["b", "cat"], &["b", "cat"]);
        check(&["all"], &["a", "b", "cat", "none", "web"]);
    }

    #[test]
    fn a_name_that_nobody_has_is_refused() {
        check(&["cat", "dog"], &["BAD_NAME: dog"]);
        check(&["g:cat"], &["BAD_NAME: g:cat"]);
        check(&["dog:*"], &["BAD_NAME: dog:*"]);
    }

    #[test]
    fn what_was_said_before_is_forgotten() {
        let all = everybody();
        let mut overrides = Overrides::default();
        for name in ["web", "web:web_0", "cat"] {
            overrides.autostart.insert(name.to_string(), false);
        }
        all.meant(&[Target::parse("web:web_0")]).unwrap().forget(&mut overrides, &all);
        assert_eq!(overrides.autostart.keys().collect::<Vec<_>>(), ["cat", "web"]);
        overrides.autostart.insert("web:web_1".to_string(), false);
        all.meant(&[Target::parse("web")]).unwrap().forget(&mut overrides, &all);
        assert_eq!(overrides.autostart.keys().collect::<Vec<_>>(), ["cat"]);
    }
}
