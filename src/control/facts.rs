//! What Supervisor does not know of processes, as structs of names and values: the answers of the daemon's own methods.

use crate::config::update::{GroupPlan, ProcessPlan};
use crate::control::ask::Updated;
use crate::control::overview::{
    CgroupView, GraphNode, HealthLine, LifeView, NeedVerdict, NeedView, Overview,
};
use crate::control::programs::{Enabled, Kept, ProgramNumber, Scaled, ScaledProgram};
use crate::control::request::{Fact, Facts};
use crate::model::size::in_bytes;
use crate::model::state::ProcessState;
use crate::model::usage::Used;

/// One line of `ctl health`: group, name, how it is, and why.
pub fn health(line: &HealthLine) -> Facts {
    vec![
        ("group", text(&line.group)),
        ("name", text(&line.process)),
        ("health", text(line.word.text())),
        ("reason", text(&line.reason)),
    ]
}

/// What came of an update, group by group.
pub fn updated(updated: &Updated) -> Vec<Facts> {
    let problem =
        |group: &str| updated.problems.iter().find(|(name, _)| name == group).map_or("", |(_, it)| it);
    updated.plan.groups.iter().map(|group| group_plan(group, problem(&group.name))).collect()
}

/// What came of a scale.
pub fn scaled(scaled: &Scaled) -> Facts {
    let program = |it: &ScaledProgram| {
        vec![
            ("program", text(&it.program)),
            ("before", number(it.before.into())),
            ("now", number(it.now.into())),
            ("configured", number(it.configured.into())),
        ]
    };
    vec![
        ("programs", Fact::List(scaled.programs.iter().map(program).collect())),
        ("groups", Fact::List(updated(&scaled.updated))),
        ("kept", text(scaled.kept.word())),
        ("problem", text(scaled.kept.problem())),
    ]
}

/// What came of enabling or disabling.
pub fn enabled(enabled: &Enabled) -> Facts {
    let names = |names: &[String]| Fact::List(names.iter().map(|name| vec![("name", text(name))]).collect());
    vec![
        ("names", names(&enabled.names)),
        ("processes", names(&enabled.processes)),
        ("kept", text(enabled.kept.word())),
        ("problem", text(enabled.kept.problem())),
    ]
}

/// How many processes a program has.
pub fn program_number(it: &ProgramNumber) -> Facts {
    vec![
        ("program", text(&it.program)),
        ("groups", Fact::Text(it.groups.join(","))),
        ("configured", number(it.configured.into())),
        ("wanted", number(it.wanted.into())),
        ("processes", number(it.processes.into())),
        ("kept", text(it.kept.as_ref().map_or("", Kept::word))),
    ]
}

/// What an update does, or would do, to one group.
fn group_plan(plan: &GroupPlan, problem: &str) -> Facts {
    let process = |process: &ProcessPlan| {
        vec![
            ("name", text(&process.name)),
            ("action", text(process.action.word())),
            ("keys", Fact::Text(process.keys.join(","))),
        ]
    };
    vec![
        ("group", text(&plan.name)),
        ("action", text(plan.action.word())),
        ("members", Fact::Number(plan.members as i64)),
        ("keys", Fact::Text(plan.keys.join(","))),
        ("problem", text(problem)),
        ("processes", Fact::List(plan.processes.iter().map(process).collect())),
    ]
}

/// A process in the graph of dependencies. `name` is its namespec.
pub fn node(node: &GraphNode) -> Facts {
    let dependents = node.dependents.iter().map(|name| vec![("name", text(name))]);
    vec![
        ("name", text(&node.name)),
        ("state", number(node.state.code().into())),
        ("statename", text(node.state.name())),
        ("waits", Fact::Flag(node.is_waiting)),
        ("needs", needs(&node.needs)),
        ("dependents", Fact::List(dependents.collect())),
    ]
}

/// What a process waits for, whether it is ready and well, and how it is restarted. What its configuration does not ask
/// for is not there.
pub fn life(life: &LifeView) -> Facts {
    let mut facts = vec![
        ("oneshot", Fact::Flag(life.is_oneshot)),
        ("waiting_for", text(&life.waiting_for)),
        ("needs", needs(&life.needs)),
        ("problem", text(&life.problem)),
        ("startretries", number(life.startretries.map_or(-1, i64::from))),
    ];
    if life.is_disabled {
        facts.push(("disabled", Fact::Flag(true)));
    }
    if let Some(ready) = &life.ready {
        facts.push(("ready", text(ready)));
    }
    if let Some(health) = &life.health {
        facts.push(("health", text(&health.probe)));
        facts.push(("health_failures", number(health.failures.into())));
        facts.push(("health_retries", number(health.retries.into())));
        facts.extend(health.is_healthy.map(|is_healthy| ("healthy", Fact::Flag(is_healthy))));
    }
    if !life.given.is_empty() {
        let given: Vec<String> = life.given.iter().map(|(key, value)| format!("{key}={value}")).collect();
        facts.push(("given", Fact::Text(given.join("; "))));
    }
    if let Some(CgroupView { directory, usage }) = &life.cgroup {
        facts.push(("cgroup", Fact::Text(directory.to_string_lossy().into_owned())));
        // XML-RPC has no room for large numbers: memory in KiB, time in milliseconds.
        let members = [
            ("cgroup_memory_kib", usage.memory_bytes.map(|bytes| bytes >> 10)),
            ("cgroup_cpu_ms", usage.cpu_usec.map(|usec| usec / 1000)),
            ("cgroup_tasks", usage.tasks),
        ];
        facts.extend(members.into_iter().filter_map(|(name, it)| Some((name, number(fitting(it?))))));
    }
    if let Some(memory) = &life.memory {
        facts.extend(memory.used.map(|used| ("memory", text(&in_bytes(used)))));
        facts.push(("memory_limit", text(&in_bytes(memory.limit))));
    }
    if let Some((n_starts, limit)) = life.automatic_starts {
        facts.push(("automatic_starts", number(i64::try_from(n_starts).unwrap_or(i64::MAX))));
        facts.push(("automatic_starts_limit", number(limit.into())));
    }
    facts
}

/// The same of all processes of which there is anything to tell, with their groups and names.
pub fn lives(overview: &Overview) -> Vec<Facts> {
    let lives = overview.processes.iter().filter_map(|process| {
        let mut facts = vec![("group", text(&process.info.group)), ("name", text(&process.info.name))];
        facts.extend(life(process.life.as_deref()?));
        Some(facts)
    });
    lives.collect()
}

/// What processes use of the machine, and how often they came again. `measure` finds out by their pids what they use; of those
/// that are not alive it is 0.
pub fn usage(overview: &Overview, measure: impl Fn(i32) -> Option<Used>) -> Vec<Facts> {
    let usage = overview.processes.iter().map(|process| {
        let info = &process.info;
        let used = Some(info.pid).filter(|pid| *pid > 0).and_then(&measure);
        vec![
            ("group", text(&info.group)),
            ("name", text(&info.name)),
            ("state", number(info.state.code().into())),
            ("statename", text(info.state.name())),
            ("pid", number(info.pid.into())),
            ("start", number(info.start)),
            ("now", number(info.now)),
            ("cpu_milliseconds", Fact::Wide(used.map_or(0, |used| used.cpu.as_millis() as u64))),
            ("memory_bytes", Fact::Wide(used.map_or(0, |used| used.resident))),
            ("tasks", number(used.map_or(0, |used| used.tasks.into()))),
            ("restarts", number(process.starts.saturating_sub(1).into())),
        ]
    });
    usage.collect()
}

fn needs(needs: &[NeedView]) -> Fact {
    Fact::List(needs.iter().map(need).collect())
}

fn need(need: &NeedView) -> Facts {
    let verdict = match need.verdict {
        NeedVerdict::Met => "met",
        NeedVerdict::Unmet => "unmet",
        NeedVerdict::Failed => "failed",
    };
    let process = |(name, state): &(String, ProcessState)| {
        vec![("name", text(name)), ("state", number(state.code().into())), ("statename", text(state.name()))]
    };
    vec![
        ("item", Fact::Text(need.dependency.to_string())),
        ("target", text(&need.dependency.target)),
        ("condition", text(need.dependency.condition.word())),
        ("soft", Fact::Flag(need.dependency.is_soft)),
        ("verdict", text(verdict)),
        ("processes", Fact::List(need.processes.iter().map(process).collect())),
    ]
}

fn text(text: &str) -> Fact {
    Fact::Text(text.to_string())
}

/// What XML-RPC has room for.
fn fitting(number: u64) -> i64 {
    i32::try_from(number).unwrap_or(i32::MAX).into()
}

fn number(number: i64) -> Fact {
    Fact::Number(number)
}
