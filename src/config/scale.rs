//! What another number of processes of some programs does, and nothing else.

use crate::config::update::{self, GroupAction, GroupPlan, ProcessAction, ProcessPlan, UpdatePlan};
use crate::model::config::{GroupConfig, ProcessConfig};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The part of an update that other numbers of `programs` make in `groups`. `before` and `after` are what was configured with the
/// former numbers and what is with the new ones. What differs for another reason waits for an update.
///
/// # Errors
/// The name of a group that is not active, or whose kind has changed. Only an update can help then.
pub fn scale_plan(
    active: &[Arc<GroupConfig>],
    before: &[Arc<GroupConfig>],
    after: &[Arc<GroupConfig>],
    groups: &HashSet<&str>,
    programs: &HashSet<&str>,
) -> Result<UpdatePlan, String> {
    let (in_force, former) = (by_name(active), by_name(before));
    let mut plan = update::plan(active, after, |group| groups.contains(group));
    if let Some(group) = plan.groups.iter().find(|group| group.action != GroupAction::Change) {
        return Err(group.name.clone());
    }
    let configured = by_name(after);
    for GroupPlan { name, keys, processes, .. } in &mut plan.groups {
        processes.retain(|process: &ProcessPlan| {
            let (now, former, configured) = (
                find(&in_force, name, &process.name),
                find(&former, name, &process.name),
                find(&configured, name, &process.name),
            );
            let program = configured.or(now).map(|it| &*it.program);
            let is_meant = program.is_some_and(|program| programs.contains(program));
            is_meant
                && match process.action {
                    ProcessAction::Add | ProcessAction::Remove => true,
                    // Nothing was pending before.
                    ProcessAction::Restart | ProcessAction::Apply => now == former,
                }
        });
        keys.retain(|_| !processes.is_empty());
    }
    plan.groups.retain(|group| !group.processes.is_empty());
    Ok(plan)
}

type Processes<'g> = HashMap<(&'g str, &'g str), &'g ProcessConfig>;

fn find<'g>(all: &Processes<'g>, group: &'g str, process: &'g str) -> Option<&'g ProcessConfig> {
    all.get(&(group, process)).copied()
}

fn by_name(groups: &[Arc<GroupConfig>]) -> Processes<'_> {
    let each = groups.iter().flat_map(|group| group.processes.iter().map(move |process| (group, process)));
    each.map(|(group, process)| ((&*group.name, &*process.name), &**process)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::args::DaemonArgs;
    use crate::config::{Surroundings, parse};
    use std::path::Path;

    fn groups(text: &str) -> Vec<Arc<GroupConfig>> {
        let text = format!("[supervisord]\n{text}");
        let around = Surroundings::of_this_process();
        parse(Path::new("/tmp/x.conf"), &text, &DaemonArgs::default(), &around).expect(&text).groups
    }

    fn web(number: u32, more: &str) -> String {
        format!(
            "[program:web]\ncommand=w\nnumprocs={number}\nprocess_name=web_%(process_num)d\n{more}\n[program:db]\n\
             command=d\n[group:g]\nprograms=web,db\n[program:x]\ncommand=x\n"
        )
    }

    #[track_caller]
    fn check(active: &str, before: &str, after: &str, expected: Result<&str, &str>) {
        let (active, before, after) = (groups(active), groups(before), groups(after));
        let (g, programs) = (HashSet::from(["g"]), HashSet::from(["web"]));
        let plan = scale_plan(&active, &before, &after, &g, &programs);
        let shown = plan.map(|plan| {
            let each = plan.groups.iter().flat_map(|group| &group.processes);
            let each = each.map(|it| format!("{} {}", it.action.word(), it.name));
            each.collect::<Vec<_>>().join(", ")
        });
        assert_eq!(shown, expected.map(str::to_string).map_err(str::to_string));
    }

    #[test]
    fn only_the_difference_comes_or_goes() {
        check(&web(1, ""), &web(1, ""), &web(3, ""), Ok("add web_1, add web_2"));
        check(&web(3, ""), &web(3, ""), &web(1, ""), Ok("remove web_2, remove web_1"));
        check(&web(1, ""), &web(1, ""), &web(0, ""), Ok("remove web_0"));
        check(&web(2, ""), &web(2, ""), &web(2, ""), Ok(""));
        // A scale that was cut off is taken up again.
        check(&web(1, ""), &web(2, ""), &web(2, ""), Ok("add web_1"));
    }

    #[test]
    fn what_looks_at_the_number_restarts_and_what_was_pending_waits() {
        let number = "environment=N=%(numprocs)d";
        check(&web(1, number), &web(1, number), &web(2, number), Ok("restart web_0, add web_1"));
        check(&web(1, ""), &web(1, "umask=1"), &web(2, "umask=1"), Ok("add web_1"));
        let other_db = |number| web(number, "").replace("command=d", "command=e");
        check(&web(1, ""), &other_db(1), &other_db(2), Ok("add web_1"));
        let more = |number| web(number, "").replace("[program:x]\ncommand=x\n", "");
        check(&web(1, ""), &more(1), &more(2), Ok("add web_1"));
    }

    #[test]
    fn a_group_that_is_not_there_is_named() {
        check("[program:x]\ncommand=x\n", &web(1, ""), &web(2, ""), Err("g"));
    }
}
