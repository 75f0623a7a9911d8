//! What is shown of a process beyond Supervisor: what it waits for, how it is, how it is restarted.

use crate::control::facts;
use crate::control::overview::{
    GraphNode, HealthLine, HealthView, HealthWord, LifeView, MemoryView, NeedVerdict, NeedView,
};
use crate::control::request::{Fact, Facts, Target};
use crate::core::dependencies::{Graph, Verdict};
use crate::core::process::State;
use crate::manager::daemon::Daemon;
use crate::manager::processes::{Proc, SlotId};
use crate::model::config::{NO_LIMIT, ProcessConfig};
use crate::model::exit::ExitStatus;
use crate::model::fault::Fault;
use crate::model::given::given;
use crate::model::state::ProcessState;
use crate::model::time::in_short;
use std::collections::BTreeSet;

/// So many of the processes that one item stands for are named.
const MOST_NAMED: usize = 100;

/// Whether the configuration of a process uses anything of what Supervisor does not have.
pub(super) fn goes_beyond(config: &ProcessConfig) -> bool {
    config.is_oneshot()
        || config.max_runtime.is_some()
        || !config.restart.is_default()
        || !config.dependencies.is_default()
        || config.readiness.is_some()
        || config.memory_limit.is_some()
        || config.health_check.is_some()
        || config.wants_notify_socket()
        || config.wants_cgroup()
        || given(config).next().is_some()
}

/// What whoever waits for a start is told if it fails. Supervisor's clients know the fault by its name alone, so it is
/// empty for what they know.
pub fn told_reason(proc: &Proc) -> String {
    if goes_beyond(&proc.config) { proc.process.spawnerr.clone() } else { String::new() }
}

impl Daemon {
    /// What Supervisor does not know of a process.
    pub(super) fn life_view(&self, proc: &Proc) -> Option<Box<LifeView>> {
        let config = &proc.config;
        let is_disabled = self.is_disabled(proc);
        if !goes_beyond(config) && !is_disabled {
            return None;
        }
        let slot = self.procs.member(&proc.group, &proc.config.name);
        let graph = self.dependents.graph();
        let needs = slot.zip(graph).map(|(slot, graph)| self.needs_view(graph, slot));
        // What was found out about a program that has ended says nothing any more.
        let is_up = proc.state() == ProcessState::Running;
        let health = Some(&proc.process.health).filter(|_| is_up);
        let health = config.health_check.as_ref().map(|check| HealthView {
            probe: check.health.to_string(),
            is_healthy: health.and_then(|health| health.is_healthy),
            failures: health.map_or(0, |health| health.failures),
            retries: check.health_retries,
        });
        let HealthLine { word, reason, .. } = self.health_line(proc);
        let limit = config.restart.restart_limit;
        Some(Box::new(LifeView {
            word,
            reason,
            is_oneshot: config.is_oneshot(),
            waiting_for: self.waits_for(proc),
            needs: needs.unwrap_or_default(),
            ready: config.readiness.as_ref().map(|readiness| readiness.ready.to_string()),
            health,
            memory: config.memory_limit.map(|limit| MemoryView {
                used: slot.and_then(|slot| self.memory.used(slot)),
                limit: limit.bytes,
            }),
            problem: proc.process.health.problem.clone(),
            automatic_starts: limit.map(|limit| (proc.process.automatic_starts.len(), limit.starts)),
            startretries: (config.startretries != NO_LIMIT).then_some(config.startretries),
            given: given(config).collect(),
            cgroup: self.cgroup_view(proc),
            is_disabled,
        }))
    }

    /// The same for `why`, with what is so at the moment.
    pub(super) fn life_facts(&self, proc: &Proc) -> Facts {
        let Some(life) = self.life_view(proc) else { return Facts::new() };
        let mut facts = facts::life(&life);
        facts.push(("failures", Fact::Number(proc.process.failures.into())));
        facts.push(("failing", Fact::Flag(matches!(proc.process.state, State::Failing { .. }))));
        facts.push(("comes_back", Fact::Flag(matches!(proc.process.state, State::Parked { .. }))));
        facts.push(("alone", Fact::Flag(proc.process.is_alone)));
        if let Some(limit) = proc.config.restart.restart_limit {
            facts.push(("automatic_starts_within", Fact::Text(in_short(limit.within))));
        }
        facts
    }

    fn needs_view(&self, graph: &Graph, slot: SlotId) -> Vec<NeedView> {
        let items = graph.items(slot).into_iter().map(|need| NeedView {
            dependency: need.dependency,
            verdict: match need.verdict {
                Verdict::Met => NeedVerdict::Met,
                Verdict::Unmet => NeedVerdict::Unmet,
                Verdict::Failed => NeedVerdict::Failed,
            },
            processes: need
                .processes
                .into_iter()
                .take(MOST_NAMED)
                .filter_map(|slot| self.procs.proc(slot))
                .map(|proc| (proc.namespec(), proc.state()))
                .collect(),
        });
        items.collect()
    }

    /// The graph of dependencies, or the part of it that hangs together with a target.
    ///
    /// # Errors
    /// BAD_NAME.
    pub(super) fn dependency_graph(&self, target: &Target) -> Result<Vec<GraphNode>, Fault> {
        let meant = self.meant(target)?;
        let Some(graph) = self.dependents.graph() else { return Ok(Vec::new()) };
        let shown: BTreeSet<SlotId> = match target {
            Target::All => meant.into_iter().collect(),
            _ => {
                let needs = graph.transitive_needs(&meant).into_iter();
                needs.chain(graph.transitive_dependents(&meant)).collect()
            }
        };
        let node = |slot: SlotId| {
            let proc = self.procs.proc(slot)?;
            let needs = self.needs_view(graph, slot);
            let dependents = graph.dependents(slot).into_iter().filter_map(|it| self.procs.proc(it.id));
            let dependents: Vec<String> = dependents.map(Proc::namespec).collect();
            let is_alone = needs.is_empty() && dependents.is_empty();
            (!is_alone).then(|| GraphNode {
                name: proc.namespec(),
                state: proc.state(),
                is_waiting: proc.is_waiting(),
                needs,
                dependents,
            })
        };
        let mut nodes: Vec<GraphNode> = shown.into_iter().filter_map(node).collect();
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(nodes)
    }

    /// How processes are, in one word each.
    ///
    /// # Errors
    /// BAD_NAME.
    pub(super) fn health(&self, target: &Target) -> Result<Vec<HealthLine>, Fault> {
        let procs = self.meant(target)?.into_iter().filter_map(|slot| self.procs.proc(slot));
        let mut lines: Vec<HealthLine> = procs.map(|proc| self.health_line(proc)).collect();
        lines.sort_by(|a, b| (&a.group, &a.process).cmp(&(&b.group, &b.process)));
        Ok(lines)
    }

    fn meant(&self, target: &Target) -> Result<Vec<SlotId>, Fault> {
        match target {
            Target::All => Ok(self.procs.all().map(|(slot, _)| slot).collect()),
            Target::Name { namespec, .. } if namespec.process.is_some() => {
                Ok(vec![self.table().one(target)?.0])
            }
            Target::Name { .. } | Target::Group(_) => self.table().several(target),
        }
    }

    fn health_line(&self, proc: &Proc) -> HealthLine {
        let (word, reason) = health_word(proc);
        let reason = if word == HealthWord::Waiting { self.waits_for(proc) } else { reason };
        HealthLine { group: proc.group.clone(), process: proc.config.name.clone(), word, reason }
    }
}

/// How a process is, and why.
fn health_word(proc: &Proc) -> (HealthWord, String) {
    let (process, config) = (&proc.process, &proc.config);
    let spawnerr = || process.spawnerr.clone();
    match &process.state {
        State::Waiting { .. } => (HealthWord::Waiting, String::new()),
        State::Failing { .. } => (HealthWord::Unhealthy, spawnerr()),
        State::Running { .. } if config.health_check.is_none() => (HealthWord::Running, String::new()),
        State::Running { .. } => match process.health.is_healthy {
            Some(true) => (HealthWord::Healthy, String::new()),
            Some(false) => (HealthWord::Unhealthy, process.health.problem.clone()),
            None => (HealthWord::Starting, "its health is not known yet".to_string()),
        },
        State::Starting { .. } => (HealthWord::Starting, process.health.problem.clone()),
        State::Backoff { .. } | State::Fatal { .. } => (HealthWord::Failed, spawnerr()),
        State::Parked { is_fatal: true } => (HealthWord::Failed, spawnerr()),
        State::Parked { is_fatal: false } => (HealthWord::Waiting, String::new()),
        State::Stopped | State::Stopping { .. } => (HealthWord::Stopped, String::new()),
        State::Exited { start_at: Some(_) } => (HealthWord::Starting, "it is started again".to_string()),
        State::Exited { start_at: None } => {
            let is_good =
                matches!(process.exit, Some(ExitStatus::Code(code)) if config.exitcodes.contains(&code));
            if is_good && process.spawnerr.is_empty() {
                (HealthWord::Finished, String::new())
            } else {
                let status = process.exit.map(|exit| exit.to_string());
                let why = if process.spawnerr.is_empty() { status.unwrap_or_default() } else { spawnerr() };
                (HealthWord::Failed, why)
            }
        }
        State::Unknown { .. } => (HealthWord::Failed, format!("{}", ProcessState::Unknown)),
    }
}
