//! Orders over everything that hangs together: dependencies first, or dependents first.
//!
//! All walks keep their own stack, so a chain may be as long as it likes, and look at each edge once.

use super::Verdict;
use super::graph::Graph;
use super::set::SetId;
use std::collections::HashSet;
use std::hash::Hash;

/// A process, or the set through which processes depend on others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Vertex {
    Process(u32),
    Set(SetId),
}

/// Which edges a walk follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strength {
    Hard,
    Any,
}

impl Graph {
    /// Everything that is started when these are started, themselves included, in an order in which it can be started:
    /// dependencies first. What is needed only softly is not among it, but the order respects it.
    pub fn transitive_needs(&self, ids: &[u32]) -> Vec<u32> {
        self.ordered(ids, |graph, vertex, strength| graph.vertices_needed(vertex, strength))
    }

    /// Everything that cannot do without these, themselves included, in an order in which it can be stopped: dependents
    /// first. Who needs them only softly is not among it, but the order respects it.
    pub fn transitive_dependents(&self, ids: &[u32]) -> Vec<u32> {
        self.ordered(ids, |graph, vertex, strength| graph.vertices_depending(vertex, strength))
    }

    /// These, and everything that has to be started first because it will not come by itself, in an order in which they can
    /// be started. What fulfils its condition, or is on its way, is not among it.
    pub fn to_start(&self, ids: &[u32]) -> Vec<u32> {
        let mut wanted: HashSet<u32> = ids.iter().copied().collect();
        let mut seen = HashSet::new();
        let mut rest = ids.to_vec();
        while let Some(id) = rest.pop() {
            for (set_id, is_soft, set) in self.sets_needed(id) {
                // One set is the same to all its dependents but those that are in it.
                if is_soft || (!set.is_insider(id) && !seen.insert(set_id)) {
                    continue;
                }
                for member in set.seen_by(id) {
                    let standing = self.standing(member);
                    let fails = standing.is_some_and(|it| it.judge(set.condition) == Verdict::Failed);
                    if fails && wanted.insert(member) {
                        rest.push(member);
                    }
                }
            }
        }
        let roots = ids.iter().map(|id| Vertex::Process(*id));
        let order = post_order(roots, |vertex| self.all_vertices_needed(vertex));
        order.into_iter().filter_map(Vertex::process).filter(|id| wanted.contains(id)).collect()
    }

    fn ordered(&self, ids: &[u32], next: impl Fn(&Graph, Vertex, Strength) -> Vec<Vertex>) -> Vec<u32> {
        let roots = || ids.iter().map(|id| Vertex::Process(*id));
        let reached = post_order(roots(), |vertex| next(self, vertex, Strength::Hard));
        let reached: HashSet<u32> = reached.into_iter().filter_map(Vertex::process).collect();
        let order = post_order(roots(), |vertex| {
            let mut vertices = next(self, vertex, Strength::Any);
            vertices.retain(|vertex| vertex.process().is_none_or(|id| reached.contains(&id)));
            vertices
        });
        order.into_iter().filter_map(Vertex::process).collect()
    }

    /// What a vertex depends on, hard or soft.
    pub(super) fn all_vertices_needed(&self, vertex: Vertex) -> Vec<Vertex> {
        self.vertices_needed(vertex, Strength::Any)
    }

    fn vertices_needed(&self, vertex: Vertex, strength: Strength) -> Vec<Vertex> {
        let id = match vertex {
            Vertex::Process(id) => id,
            Vertex::Set(id) => {
                let members = self.set_at(id).map(|set| set.members().iter());
                return members.into_iter().flatten().map(|member| Vertex::Process(*member)).collect();
            }
        };
        let mut vertices = Vec::new();
        for (set_id, is_soft, set) in self.sets_needed(id) {
            if is_soft && strength == Strength::Hard {
                continue;
            }
            // It does not see the set as others do: it leaves out itself.
            if set.is_insider(id) {
                vertices.extend(set.seen_by(id).map(Vertex::Process));
            } else {
                vertices.push(Vertex::Set(set_id));
            }
        }
        vertices
    }

    fn vertices_depending(&self, vertex: Vertex, strength: Strength) -> Vec<Vertex> {
        let follows = |is_soft: bool| !is_soft || strength == Strength::Any;
        let id = match vertex {
            Vertex::Process(id) => id,
            Vertex::Set(id) => {
                let Some(set) = self.set_at(id) else { return Vec::new() };
                let kinds = [false, true].into_iter().filter(|is_soft| follows(*is_soft));
                return kinds
                    .flat_map(|is_soft| set.outsiders(is_soft))
                    .copied()
                    .map(Vertex::Process)
                    .collect();
            }
        };
        let mut vertices = Vec::new();
        for (set_id, set) in self.sets_around(id) {
            vertices.push(Vertex::Set(set_id));
            let insiders =
                set.insiders().iter().filter(|(insider, is_soft)| **insider != id && follows(**is_soft));
            vertices.extend(insiders.map(|(insider, _)| Vertex::Process(*insider)));
        }
        vertices
    }
}

impl Vertex {
    pub(super) fn process(self) -> Option<u32> {
        match self {
            Vertex::Process(id) => Some(id),
            Vertex::Set(_) => None,
        }
    }
}

/// Everything that can be reached from the roots. What follows a vertex stands before it, unless both are in one cycle.
pub(super) fn post_order<T: Copy + Eq + Hash>(
    roots: impl IntoIterator<Item = T>,
    next: impl Fn(T) -> Vec<T>,
) -> Vec<T> {
    let (mut seen, mut order, mut path) = (HashSet::new(), Vec::new(), Vec::new());
    for root in roots {
        if !seen.insert(root) {
            continue;
        }
        path.push((root, next(root).into_iter()));
        while let Some((vertex, rest)) = path.last_mut() {
            match rest.find(|following| seen.insert(*following)) {
                Some(following) => path.push((following, next(following).into_iter())),
                None => {
                    order.push(*vertex);
                    path.pop();
                }
            }
        }
    }
    order
}
