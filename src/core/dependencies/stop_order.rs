//! The order in which processes are stopped: as in [`Phases`](crate::core::shutdown::Phases), and dependents before what
//! they depend on.
//!
//! Without dependencies it is Supervisor's order: the groups with the highest priority number first, and the next ones
//! when nothing of the former runs any more. Where a dependency wants it otherwise, the dependency wins: a process
//! counts as having the highest number among its own and those of everything that it depends on. It so ends before
//! them, and no two processes wait for each other.

use super::graph::Graph;
use super::order::{Vertex, post_order};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

/// A process that is to be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Active {
    /// Its number.
    pub id: u32,
    /// The place of its group among all groups.
    pub group: usize,
    /// The priority of its group.
    pub group_priority: i64,
    /// Its own priority inside its group.
    pub priority: i64,
}

/// What is still to be stopped, and when.
///
/// It is a picture of the graph at the time it was made. All calls together cost one look at each process and edge.
#[derive(Clone, Debug, Default)]
pub struct StopOrder {
    /// What is needed stands before what needs it.
    stages: Vec<Stage>,
    by_id: HashMap<u32, usize>,
    /// How many processes of each priority are not at rest yet. The last one is the present phase.
    phases: BTreeMap<i64, Phase>,
    /// Handed out, in that order. What is at rest leaves when it is first.
    under_way: VecDeque<usize>,
}

#[derive(Clone, Debug, Default)]
struct Phase {
    n_left: usize,
    /// Nothing that depends on them is left.
    ready: Vec<usize>,
}

#[derive(Clone, Debug)]
struct Stage {
    /// `None` for a set, and for a process that was at rest from the beginning: it only hands on who waits for whom.
    process: Option<u32>,
    /// Its place among all that could be stopped at once.
    rank: usize,
    priority: i64,
    needs: Vec<usize>,
    /// How many of those that need it are left.
    n_dependents: usize,
    progress: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Waiting,
    UnderWay,
    AtRest,
}

impl StopOrder {
    /// The order for these processes, given in the order of their groups' members. All others are taken to be at rest.
    pub fn new(graph: &Graph, active: impl IntoIterator<Item = Active>) -> StopOrder {
        let mut sorted: Vec<Active> = active.into_iter().collect();
        sorted.reverse();
        // Stable, so equals keep the reversed order.
        sorted.sort_by_key(|active| Reverse((active.group_priority, active.group, active.priority)));
        let mut ranks: HashMap<u32, (usize, i64)> = HashMap::with_capacity(sorted.len());
        for (rank, active) in sorted.iter().enumerate() {
            ranks.entry(active.id).or_insert((rank, active.group_priority));
        }
        let roots = sorted.iter().map(|active| Vertex::Process(active.id));
        let vertices = post_order(roots, |vertex| graph.all_vertices_needed(vertex));
        let places: HashMap<Vertex, usize> =
            vertices.iter().enumerate().map(|(at, vertex)| (*vertex, at)).collect();
        let mut order = StopOrder::default();
        for (at, vertex) in vertices.iter().enumerate() {
            let active = vertex.process().and_then(|id| Some((id, *ranks.get(&id)?)));
            // What stands behind it is in a cycle with it.
            let needs = graph.all_vertices_needed(*vertex).into_iter();
            let needs = needs.filter_map(|need| places.get(&need).copied()).filter(|need| *need < at);
            order.push(active, needs.collect());
        }
        let free = (0..order.stages.len()).filter(|at| order.stages[*at].n_dependents == 0).collect();
        order.offer(free);
        order
    }

    fn push(&mut self, active: Option<(u32, (usize, i64))>, needs: Vec<usize>) {
        let (process, (rank, own)) = active.map_or((None, (0, i64::MIN)), |(id, rank)| (Some(id), rank));
        let inherited = needs.iter().map(|need| self.stages[*need].priority);
        let priority = inherited.chain([own]).max().unwrap_or(own);
        for need in &needs {
            self.stages[*need].n_dependents += 1;
        }
        if let Some(id) = process {
            self.by_id.insert(id, self.stages.len());
            self.phases.entry(priority).or_default().n_left += 1;
        }
        let progress = Progress::Waiting;
        self.stages.push(Stage { process, rank, priority, needs, n_dependents: 0, progress });
    }

    /// The processes that can be stopped now, all at once, in this order; each is handed out once, and not at all if it
    /// is not active when its turn comes. Nothing if those under way have to come to rest first, or if nothing is left.
    ///
    /// Call it until it answers nothing, and again whenever something came to rest.
    pub fn next(&mut self, is_active: impl Fn(u32) -> bool) -> Vec<u32> {
        let mut batch = Vec::new();
        while batch.is_empty() {
            while let Some(&first) = self.under_way.front()
                && !self.stages[first]
                    .process
                    .is_some_and(|id| self.stages[first].progress == Progress::UnderWay && is_active(id))
            {
                self.under_way.pop_front();
                self.rest(first);
            }
            let Some(mut phase) = self.phases.last_entry() else { break };
            if phase.get().n_left == 0 {
                phase.remove();
                continue;
            }
            let mut ready = std::mem::take(&mut phase.get_mut().ready);
            if ready.is_empty() {
                break;
            }
            ready.sort_unstable_by_key(|at| self.stages[*at].rank);
            for at in ready {
                match self.stages[at].process.filter(|id| is_active(*id)) {
                    Some(id) => {
                        self.stages[at].progress = Progress::UnderWay;
                        self.under_way.push_back(at);
                        batch.push(id);
                    }
                    None => self.rest(at),
                }
            }
        }
        batch
    }

    /// Tells that a process has come to rest. [`StopOrder::next`] notices that by itself, but only in the order in which
    /// processes were handed out: one that takes long would hold up those behind it.
    pub fn at_rest(&mut self, id: u32) {
        if let Some(&at) = self.by_id.get(&id)
            && self.stages[at].progress == Progress::UnderWay
        {
            self.rest(at);
        }
    }

    /// Whether nothing is left.
    pub fn is_over(&self) -> bool {
        self.phases.values().all(|phase| phase.n_left == 0)
    }

    /// What was handed out and is not known to be at rest.
    pub fn under_way(&self) -> impl Iterator<Item = u32> + '_ {
        let stages = self.under_way.iter().map(|at| &self.stages[*at]);
        stages.filter(|stage| stage.progress == Progress::UnderWay).filter_map(|stage| stage.process)
    }

    fn rest(&mut self, at: usize) {
        if self.stages[at].progress == Progress::AtRest {
            return;
        }
        self.stages[at].progress = Progress::AtRest;
        if let Some(phase) = self.phases.get_mut(&self.stages[at].priority) {
            phase.n_left -= 1;
        }
        let free = self.release(at);
        self.offer(free);
    }

    /// Those that nobody left waits before any more, now that this one is over.
    fn release(&mut self, at: usize) -> Vec<usize> {
        let mut free = Vec::new();
        for need in std::mem::take(&mut self.stages[at].needs) {
            self.stages[need].n_dependents -= 1;
            if self.stages[need].n_dependents == 0 {
                free.push(need);
            }
        }
        free
    }

    fn offer(&mut self, mut free: Vec<usize>) {
        while let Some(at) = free.pop() {
            if self.stages[at].process.is_none() {
                free.extend(self.release(at));
            } else if let Some(phase) = self.phases.get_mut(&self.stages[at].priority) {
                phase.ready.push(at);
            }
        }
    }
}

impl Graph {
    /// These processes in layers, dependents first. Inside a layer nobody depends on another, and the last given stands
    /// first.
    pub fn layers(&self, ids: &[u32]) -> Vec<Vec<u32>> {
        let equal = |id: &u32| Active { id: *id, group: 0, group_priority: 0, priority: 0 };
        let mut order = StopOrder::new(self, ids.iter().map(equal));
        let (mut layers, mut stopped) = (Vec::new(), HashSet::<u32>::new());
        loop {
            let layer = order.next(|id| !stopped.contains(&id));
            if layer.is_empty() {
                return layers;
            }
            stopped.extend(&layer);
            layers.push(layer);
        }
    }
}
