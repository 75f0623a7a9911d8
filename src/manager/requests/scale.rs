//! Gives programs other numbers of processes.
//!
//! What a number comes to is read from what the configuration was read from last, whatever the files say now, and only the
//! processes of these programs are touched.

use crate::config::{self, scale_plan};
use crate::control::ask::Updated;
use crate::control::programs::{Kept, ProgramNumber, Scaled, ScaledProgram, Scaling};
use crate::control::request::Client;
use crate::manager::daemon::Daemon;
use crate::manager::processes::update::Asked;
use crate::model::config::{Config, GroupConfig, Program};
use crate::model::fault::{Fault, FaultCode};
use crate::model::state_file::Overrides;
use crate::shm::layout::SLOTS;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// What is to be done.
struct Decision {
    plan: config::update::UpdatePlan,
    scaled: Scaled,
}

fn failed(text: String) -> Fault {
    Fault::with(FaultCode::Failed, text)
}

impl Daemon {
    /// Gives programs other numbers of processes, or refuses all of it.
    pub(super) fn scale_request(&mut self, orders: &[Scaling], save: bool, client: Client<Scaled>) {
        match self.scale(orders, save) {
            Ok(Decision { plan, scaled }) => {
                let names: Vec<String> = plan.groups.iter().map(|group| group.name.clone()).collect();
                self.update_groups(plan, Some(&names), Some(Asked::Scale(client, Box::new(scaled))));
            }
            Err(fault) => self.answers.post(client, Err(fault)),
        }
    }

    fn scale(&mut self, orders: &[Scaling], save: bool) -> Result<Decision, Fault> {
        let programs = self.numbers(orders)?;
        self.find_room(&programs)?;
        if save {
            self.state_file.check().map_err(failed)?;
        }
        let (until_end, for_good) = self.with_numbers(&programs, save);
        let fresh = config::interpret_again(
            &self.in_force.config().written,
            &self.boot.args,
            &self.surroundings(),
            &for_good.with(&until_end),
        );
        let fresh = fresh.map_err(|errors| failed(errors.to_string()))?;
        let names: Vec<String> = programs.iter().map(|it| it.program.clone()).collect();
        let plan = self.plan_of_scale(&names, &self.in_force.config().groups, &fresh)?;
        // From here on it is done.
        let groups = groups_of(&names, &fresh.programs);
        let others = fresh.groups.iter().filter(|group| groups.contains(&*group.name)).cloned().collect();
        self.in_force.set_overrides(until_end, for_good);
        self.in_force.exchange_groups(others);
        self.in_force.set_scaling(names);
        let kept = if save { Kept::Saved } else { Kept::UntilEnd };
        Ok(Decision { plan, scaled: Scaled { programs, updated: Updated::default(), kept } })
    }

    /// What the programs are to have now.
    ///
    /// # Errors
    /// BAD_NAME; INCORRECT_PARAMETERS for none, or one twice; FAILED if a number cannot be had.
    fn numbers(&self, orders: &[Scaling]) -> Result<Vec<ScaledProgram>, Fault> {
        if self.in_force.config().written.0.is_empty() {
            let text = "the configuration was read by an earlier release: run reread, and try again";
            return Err(failed(text.to_string()));
        }
        let mut programs: Vec<ScaledProgram> = Vec::with_capacity(orders.len());
        for Scaling { name, amount } in orders {
            let program = self.program(name).ok_or_else(|| Fault::with(FaultCode::BadName, name))?;
            if programs.iter().any(|it| *it.program == *program.name) {
                return Err(Fault::with(FaultCode::IncorrectParameters, format!("{name} is named twice")));
            }
            let before = self.wanted_number(program);
            let now = amount.of(before).ok_or_else(|| {
                let most = crate::model::state_file::MOST_PROCESSES;
                failed(format!("{name} has {before} of 0 to {most} processes, so that cannot be"))
            })?;
            if now > 1 && !program.is_numbered {
                return Err(failed(format!(
                    "{name} can have one process at most: several would have the same name. Write \
                     process_name=%(program_name)s_%(process_num)02d into its section, and update"
                )));
            }
            programs.push(ScaledProgram {
                program: program.name.to_string(),
                before,
                now,
                configured: program.numprocs,
            });
        }
        if programs.is_empty() {
            return Err(Fault::new(FaultCode::IncorrectParameters));
        }
        Ok(programs)
    }

    /// # Errors
    /// There are not so many slots. That is found before the processes are worked out: a hundred thousand take long.
    fn find_room(&self, programs: &[ScaledProgram]) -> Result<(), Fault> {
        let all = self.procs.all().count();
        let mut coming = 0_usize;
        for ScaledProgram { program, now, .. } in programs {
            let groups = self.in_force.config().programs.iter().filter(|it| *it.name == **program).count();
            let there =
                self.procs.all().filter(|(_, proc)| *proc.usual_config().program == **program).count();
            let wanted = groups.saturating_mul(usize::try_from(*now).unwrap_or(usize::MAX));
            coming = coming.saturating_add(wanted.saturating_sub(there));
        }
        let room = SLOTS.saturating_sub(all);
        if coming > room {
            return Err(failed(format!("there is room for {room} more processes, not for {coming}")));
        }
        Ok(())
    }

    /// The program of this name, or of this name in a group (`group:program`).
    fn program(&self, name: &str) -> Option<&Program> {
        let (group, program) = match name.split_once(':') {
            Some((group, program)) => (Some(group), program),
            None => (None, name),
        };
        let programs = &self.in_force.config().programs;
        programs.iter().find(|it| *it.name == *program && group.is_none_or(|group| *it.group == *group))
    }

    fn wanted_number(&self, program: &Program) -> u32 {
        let changed = |overrides: &Overrides| overrides.numprocs.get(&*program.name).copied();
        changed(self.in_force.until_end())
            .or_else(|| changed(&self.in_force.remembered().overrides))
            .filter(|number| *number < 2 || program.is_numbered)
            .unwrap_or(program.numprocs)
    }

    /// What people have changed until the end and for good, with these numbers. Nobody needs to remember what the files say.
    fn with_numbers(&self, programs: &[ScaledProgram], save: bool) -> (Overrides, Overrides) {
        let (mut until_end, mut for_good) =
            (self.in_force.until_end().clone(), self.in_force.remembered().overrides.clone());
        for ScaledProgram { program, now, configured, .. } in programs {
            until_end.numprocs.remove(program);
            if save {
                for_good.numprocs.remove(program);
                if now != configured {
                    for_good.numprocs.insert(program.clone(), *now);
                }
            } else if now != for_good.numprocs.get(program).unwrap_or(configured) {
                until_end.numprocs.insert(program.clone(), *now);
            }
        }
        (until_end, for_good)
    }

    /// # Errors
    /// A group of a program is not active, is on its way to another configuration, or waits for an update.
    fn plan_of_scale(
        &self,
        names: &[String],
        before: &[Arc<GroupConfig>],
        fresh: &Config,
    ) -> Result<config::update::UpdatePlan, Fault> {
        let groups = groups_of(names, &fresh.programs);
        if let Some(group) =
            self.in_force.groups_updating().iter().find(|group| groups.contains(group.as_str()))
        {
            return Err(failed(format!("group '{group}' is being updated: try again when that is done")));
        }
        let active = self.coming_groups();
        let names: HashSet<&str> = names.iter().map(String::as_str).collect();
        scale_plan(&active, before, &fresh.groups, &groups, &names).map_err(|group| {
            failed(format!("group '{group}' is not active as it is configured: run 'update {group}' first"))
        })
    }

    /// Goes on with what a former manager was about to do.
    pub fn go_on_scaling(&mut self) {
        let names = self.in_force.scaling().to_vec();
        if names.is_empty() {
            return;
        }
        let config = Arc::clone(self.in_force.config());
        let active = self.coming_groups();
        match self.plan_of_scale(&names, &active, &config) {
            Ok(plan) => self.update_groups(plan, None, None),
            Err(fault) => {
                ::log::error!("could not go on with scaling {}: {fault}", names.join(", "));
                self.in_force.set_scaling(Vec::new());
            }
        }
    }

    /// How many processes programs have.
    ///
    /// # Errors
    /// BAD_NAME.
    pub(super) fn program_numbers(&self, names: &[String]) -> Result<Vec<ProgramNumber>, Fault> {
        let mut wanted = BTreeSet::new();
        for name in names {
            let program = self.program(name).ok_or_else(|| Fault::with(FaultCode::BadName, name))?;
            wanted.insert(Arc::clone(&program.name));
        }
        let mut processes: HashMap<&str, u32> = HashMap::new();
        self.procs
            .all()
            .for_each(|(_, proc)| *processes.entry(&proc.usual_config().program).or_default() += 1);
        let mut found: BTreeMap<&str, ProgramNumber> = BTreeMap::new();
        for program in &self.in_force.config().programs {
            if !wanted.is_empty() && !wanted.contains(&program.name) {
                continue;
            }
            let number = found.entry(&program.name).or_insert_with(|| ProgramNumber {
                program: program.name.to_string(),
                groups: Vec::new(),
                configured: program.numprocs,
                wanted: self.wanted_number(program),
                processes: processes.get(&*program.name).copied().unwrap_or_default(),
                kept: self.kept_number(&program.name),
            });
            number.groups.push(program.group.to_string());
        }
        Ok(found.into_values().collect())
    }

    fn kept_number(&self, program: &str) -> Option<Kept> {
        if self.in_force.until_end().numprocs.contains_key(program) {
            return Some(Kept::UntilEnd);
        }
        let is_remembered = self.in_force.remembered().overrides.numprocs.contains_key(program);
        is_remembered.then(|| if self.state_file.check().is_ok() { Kept::Saved } else { Kept::UntilEnd })
    }
}

/// The groups that programs are members of.
fn groups_of<'p>(names: &[String], programs: &'p [Program]) -> HashSet<&'p str> {
    let is_meant = |program: &&Program| names.iter().any(|name| **name == *program.name);
    programs.iter().filter(is_meant).map(|program| &*program.group).collect()
}
