//! The JSON of what processes depend on, how they are and how they are restarted.

use crate::control::overview::{
    CgroupView, GraphNode, HealthLine, HealthView, LifeView, NeedVerdict, NeedView,
};
use crate::model::namespec;
use crate::model::state::ProcessState;
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The fields of a process whose configuration uses what Supervisor does not have.
#[derive(Debug, Serialize)]
pub(crate) struct Life<'a> {
    word: &'static str,
    reason: &'a str,
    is_oneshot: bool,
    waiting_for: &'a str,
    needs: Vec<Need<'a>>,
    ready: Option<&'a str>,
    health: Option<Health<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<Memory>,
    problem: &'a str,
    automatic_starts: Option<AutomaticStarts>,
    startretries: Option<u32>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    given: BTreeMap<&'static str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cgroup: Option<Cgroup<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_disabled: bool,
}

/// The control group of a process.
#[derive(Debug, Serialize)]
struct Cgroup<'a> {
    directory: Cow<'a, str>,
    memory_bytes: Option<u64>,
    cpu_seconds: Option<f64>,
    tasks: Option<u64>,
}

/// One item of `depends_on`.
#[derive(Debug, Serialize)]
struct Need<'a> {
    item: String,
    target: &'a str,
    condition: &'static str,
    is_soft: bool,
    verdict: &'static str,
    processes: Vec<Needed<'a>>,
}

#[derive(Debug, Serialize)]
struct Needed<'a> {
    namespec: &'a str,
    statename: &'static str,
}

#[derive(Debug, Serialize)]
struct Health<'a> {
    probe: &'a str,
    is_healthy: Option<bool>,
    failures: u32,
    retries: u32,
}

#[derive(Debug, Serialize)]
struct Memory {
    used_bytes: Option<u64>,
    limit_bytes: u64,
}

#[derive(Debug, Serialize)]
struct AutomaticStarts {
    count: usize,
    limit: u32,
}

impl Life<'_> {
    pub(crate) fn new(life: &LifeView) -> Life<'_> {
        Life {
            word: life.word.text(),
            reason: &life.reason,
            is_oneshot: life.is_oneshot,
            waiting_for: &life.waiting_for,
            needs: life.needs.iter().map(Need::new).collect(),
            ready: life.ready.as_deref(),
            health: life.health.as_ref().map(Health::new),
            memory: life.memory.map(|memory| Memory { used_bytes: memory.used, limit_bytes: memory.limit }),
            problem: &life.problem,
            automatic_starts: life.automatic_starts.map(|(count, limit)| AutomaticStarts { count, limit }),
            startretries: life.startretries,
            given: life.given.iter().map(|(key, value)| (*key, value.as_str())).collect(),
            cgroup: life.cgroup.as_ref().map(Cgroup::new),
            is_disabled: life.is_disabled,
        }
    }
}

impl Cgroup<'_> {
    fn new(CgroupView { directory, usage }: &CgroupView) -> Cgroup<'_> {
        Cgroup {
            directory: directory.to_string_lossy(),
            memory_bytes: usage.memory_bytes,
            cpu_seconds: usage.cpu_usec.map(|usec| usec as f64 / 1e6),
            tasks: usage.tasks,
        }
    }
}

impl Need<'_> {
    fn new(need: &NeedView) -> Need<'_> {
        Need {
            item: need.dependency.to_string(),
            target: &need.dependency.target,
            condition: need.dependency.condition.word(),
            is_soft: need.dependency.is_soft,
            verdict: match need.verdict {
                NeedVerdict::Met => "met",
                NeedVerdict::Unmet => "unmet",
                NeedVerdict::Failed => "failed",
            },
            processes: need.processes.iter().map(Needed::new).collect(),
        }
    }
}

impl Needed<'_> {
    fn new((namespec, state): &(String, ProcessState)) -> Needed<'_> {
        Needed { namespec, statename: state.name() }
    }
}

impl Health<'_> {
    fn new(health: &HealthView) -> Health<'_> {
        let HealthView { probe, is_healthy, failures, retries } = health;
        Health { probe, is_healthy: *is_healthy, failures: *failures, retries: *retries }
    }
}

/// How some processes are, and whether all of them are well.
#[derive(Debug, Serialize)]
pub(crate) struct HealthOfAll<'a> {
    healthy: bool,
    processes: Vec<Line<'a>>,
}

#[derive(Debug, Serialize)]
struct Line<'a> {
    namespec: String,
    group: &'a str,
    name: &'a str,
    healthy: bool,
    word: &'static str,
    reason: &'a str,
}

impl Line<'_> {
    fn new(line: &HealthLine) -> Line<'_> {
        Line {
            namespec: namespec::display(&line.group, &line.process),
            group: &line.group,
            name: &line.process,
            healthy: line.word.is_good(),
            word: line.word.text(),
            reason: &line.reason,
        }
    }
}

pub(crate) fn health(lines: &[HealthLine]) -> HealthOfAll<'_> {
    let processes: Vec<Line<'_>> = lines.iter().map(Line::new).collect();
    HealthOfAll { healthy: processes.iter().all(|line| line.healthy), processes }
}

/// The processes that depend on others or that others depend on.
#[derive(Debug, Serialize)]
pub(crate) struct Graph<'a> {
    processes: Vec<Node<'a>>,
}

#[derive(Debug, Serialize)]
struct Node<'a> {
    namespec: &'a str,
    statename: &'static str,
    is_waiting: bool,
    needs: Vec<Need<'a>>,
    dependents: &'a [String],
}

impl Node<'_> {
    fn new(node: &GraphNode) -> Node<'_> {
        Node {
            namespec: &node.name,
            statename: node.state.name(),
            is_waiting: node.is_waiting,
            needs: node.needs.iter().map(Need::new).collect(),
            dependents: &node.dependents,
        }
    }
}

pub(crate) fn graph(nodes: &[GraphNode]) -> Graph<'_> {
    Graph { processes: nodes.iter().map(Node::new).collect() }
}
