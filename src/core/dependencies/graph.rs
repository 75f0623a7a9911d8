//! The processes, their sets, and what follows when one of them changes.

use super::set::{Set, SetId};
use super::{Change, Failure, Standing, Verdict, Waited, Waiting};
use crate::model::dependency::{Condition, Dependencies, Dependency, Names};
use crate::model::namespec;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// A process that comes into the graph.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Its number.
    pub id: u32,
    /// Its group.
    pub group: &'a Arc<str>,
    /// The program that it is an instance of.
    pub program: &'a Arc<str>,
    /// Its name in the group.
    pub name: &'a Arc<str>,
    /// What it depends on.
    pub dependencies: &'a Dependencies,
    /// Where it stands.
    pub standing: Standing,
}

/// Another process that a process depends on, or that depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its number.
    pub id: u32,
    /// Whether only the order matters.
    pub is_soft: bool,
}

/// One item of `depends_on`, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The item.
    pub dependency: Dependency,
    /// Whether it holds.
    pub verdict: Verdict,
    /// The processes that it stands for at present.
    pub processes: Vec<u32>,
}

/// All processes and what they depend on.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    names: Names,
    nodes: HashMap<u32, Node>,
    sets: HashMap<SetId, Set>,
    n_sets_ever: SetId,
    by_item: HashMap<(Arc<str>, Condition), SetId>,
    /// Which sets a process of that name, program or group may belong to.
    by_word: HashMap<Arc<str>, BTreeSet<SetId>>,
    /// Sets that any process may belong to.
    wild: BTreeSet<SetId>,
    /// How many sets and dependents were looked at because of changes.
    #[cfg(test)]
    pub(super) n_touched: u64,
}

#[derive(Clone, Debug)]
struct Node {
    group: Arc<str>,
    program: Arc<str>,
    name: Arc<str>,
    standing: Standing,
    /// In the order of the configuration, each set once.
    needs: Vec<Edge>,
    /// The sets it is a member of.
    within: BTreeSet<SetId>,
    /// How many of its needs have these verdicts.
    n_unmet: usize,
    n_failed: usize,
}

#[derive(Clone, Copy, Debug)]
struct Edge {
    set: SetId,
    is_soft: bool,
}

/// The verdicts that processes had before a change.
type Before = BTreeMap<u32, Verdict>;

impl Node {
    fn verdict(&self) -> Verdict {
        match (self.n_failed, self.n_unmet) {
            (0, 0) => Verdict::Met,
            (0, 1..) => Verdict::Unmet,
            (1.., _) => Verdict::Failed,
        }
    }

    fn count(&mut self, verdict: Verdict) -> Option<&mut usize> {
        match verdict {
            Verdict::Met => None,
            Verdict::Unmet => Some(&mut self.n_unmet),
            Verdict::Failed => Some(&mut self.n_failed),
        }
    }

    fn recount(&mut self, from: Option<Verdict>, to: Verdict) {
        if let Some(count) = from.and_then(|from| self.count(from)) {
            *count -= 1;
        }
        if let Some(count) = self.count(to) {
            *count += 1;
        }
    }
}

impl Graph {
    /// A graph without processes.
    pub fn new() -> Graph {
        Graph::default()
    }

    /// Adds one process. [`Graph::replace`] is cheaper for several.
    pub fn add(&mut self, member: Member<'_>) -> Vec<Change> {
        self.replace(&[], &[member])
    }

    /// Removes one process.
    pub fn remove(&mut self, id: u32) -> Vec<Change> {
        self.replace(&[id], &[])
    }

    /// Removes processes and adds others, in any order: a dependent may come before what it depends on. A process that
    /// has the number of one that is there takes its place.
    ///
    /// Only targets that can mean one of them are resolved anew, each once. Answers whose verdict has changed among those
    /// that were there before and still are; [`Graph::verdict`] tells it of the others.
    pub fn replace(&mut self, gone: &[u32], come: &[Member<'_>]) -> Vec<Change> {
        let mut before = Before::new();
        // Sets that are to be resolved, and sets that may not be needed any more.
        let (mut stale, mut left) = (BTreeSet::new(), BTreeSet::new());
        for &id in gone.iter().chain(come.iter().map(|member| &member.id)) {
            self.take_out(id, &mut stale, &mut left, &mut before);
        }
        for member in come {
            self.put_in(member, &mut stale);
        }
        for member in come {
            self.connect(member);
        }
        for set in stale {
            self.resolve(set, &mut before);
        }
        for set in left {
            self.drop_if_unneeded(set);
        }
        for member in come {
            before.remove(&member.id);
        }
        self.changes(before)
    }

    fn take_out(
        &mut self,
        id: u32,
        stale: &mut BTreeSet<SetId>,
        left: &mut BTreeSet<SetId>,
        before: &mut Before,
    ) {
        let Some(node) = self.nodes.remove(&id) else { return };
        self.names.remove(id);
        for edge in &node.needs {
            if let Some(set) = self.sets.get_mut(&edge.set) {
                set.unseat(id);
            }
            left.insert(edge.set);
        }
        for &set in &node.within {
            self.alter(set, &[], before, |set| set.forget(id));
        }
        stale.extend(self.that_may_mean([&node.group, &node.program, &node.name]));
        before.remove(&id);
    }

    fn put_in(&mut self, member: &Member<'_>, stale: &mut BTreeSet<SetId>) {
        let Member { id, group, program, name, standing, .. } = *member;
        stale.extend(self.that_may_mean([group, program, name]));
        self.names.add(group, program, name, id);
        let node = Node {
            group: group.clone(),
            program: program.clone(),
            name: name.clone(),
            standing,
            needs: Vec::new(),
            within: BTreeSet::new(),
            n_unmet: 0,
            n_failed: 0,
        };
        self.nodes.insert(id, node);
    }

    fn that_may_mean(&self, words: [&Arc<str>; 3]) -> Vec<SetId> {
        let named = words.into_iter().filter_map(|word| self.by_word.get(word)).flatten();
        named.chain(&self.wild).copied().collect()
    }

    /// Gives a new process its needs.
    fn connect(&mut self, member: &Member<'_>) {
        let mut needs: Vec<Edge> = Vec::new();
        let mut places: HashMap<SetId, usize> = HashMap::new();
        for dependency in &member.dependencies.depends_on {
            let set = self.set_of(dependency);
            let at = *places.entry(set).or_insert(needs.len());
            match needs.get_mut(at) {
                // Both hard and soft is hard.
                Some(edge) => edge.is_soft &= dependency.is_soft,
                None => needs.push(Edge { set, is_soft: dependency.is_soft }),
            }
        }
        let Some(node) = self.nodes.get_mut(&member.id) else { return };
        for edge in &needs {
            if let Some(set) = self.sets.get_mut(&edge.set) {
                node.recount(None, set.seat(member.id, edge.is_soft));
            }
        }
        node.needs = needs;
    }

    /// The set of an item, which may be a new one.
    fn set_of(&mut self, dependency: &Dependency) -> SetId {
        let target: Arc<str> = Arc::from(&*dependency.target);
        let item = (target.clone(), dependency.condition);
        if let Some(&id) = self.by_item.get(&item) {
            return id;
        }
        self.n_sets_ever += 1;
        let id = self.n_sets_ever;
        let set = Set::new(target, dependency.condition);
        match set.first_word() {
            Some(word) => self.by_word.entry(Arc::from(word)).or_default().insert(id),
            None => self.wild.insert(id),
        };
        self.by_item.insert(item, id);
        self.sets.insert(id, set);
        self.resolve(id, &mut Before::new());
        id
    }

    fn drop_if_unneeded(&mut self, id: SetId) {
        let Some(set) = self.sets.get(&id).filter(|set| !set.is_needed()) else { return };
        for member in set.members() {
            if let Some(node) = self.nodes.get_mut(member) {
                node.within.remove(&id);
            }
        }
        match set.first_word() {
            Some(word) => {
                if let Some(sets) = self.by_word.get_mut(word) {
                    sets.remove(&id);
                    if sets.is_empty() {
                        self.by_word.remove(word);
                    }
                }
            }
            None => _ = self.wild.remove(&id),
        }
        self.by_item.remove(&(set.target.clone(), set.condition));
        self.sets.remove(&id);
    }

    /// Finds out anew which processes are members of a set.
    fn resolve(&mut self, id: SetId, before: &mut Before) {
        let Some(set) = self.sets.get(&id) else { return };
        let found: BTreeSet<u32> = self.names.resolve(&set.target).into_iter().collect();
        let leaving: Vec<u32> = set.members().difference(&found).copied().collect();
        let joining: Vec<u32> = found.difference(set.members()).copied().collect();
        if leaving.is_empty() && joining.is_empty() {
            return;
        }
        for member in &leaving {
            if let Some(node) = self.nodes.get_mut(member) {
                node.within.remove(&id);
            }
        }
        let mut placed = Vec::with_capacity(joining.len());
        for member in &joining {
            if let Some(node) = self.nodes.get_mut(member) {
                node.within.insert(id);
                placed.push((*member, node.standing));
            }
        }
        self.alter(id, &joining, before, |set| {
            leaving.into_iter().for_each(|member| set.forget(member));
            placed.into_iter().for_each(|(member, standing)| set.place(member, standing));
        });
    }

    /// Notes where a process stands now. Answers whose verdict that changes. A number that is not there changes nothing.
    ///
    /// It compares with what it was told last: what a process went through between two calls changes nothing.
    pub fn set(&mut self, id: u32, standing: Standing) -> Vec<Change> {
        let Some(node) = self.nodes.get_mut(&id) else { return Vec::new() };
        if std::mem::replace(&mut node.standing, standing) == standing {
            return Vec::new();
        }
        let within: Vec<SetId> = node.within.iter().copied().collect();
        let mut before = Before::new();
        for set in within {
            self.alter(set, &[], &mut before, |set| set.place(id, standing));
        }
        self.changes(before)
    }

    /// Changes a set, and what its dependents count. `joining` become members.
    fn alter(&mut self, id: SetId, joining: &[u32], before: &mut Before, edit: impl FnOnce(&mut Set)) {
        let Some(set) = self.sets.get_mut(&id) else { return };
        let aside = set.set_aside(joining);
        let verdicts = [false, true].map(|is_soft| (is_soft, set.verdict(is_soft)));
        edit(set);
        let mut moved = Vec::new();
        for (is_soft, from) in verdicts {
            let to = set.verdict(is_soft);
            if from != to {
                moved.extend(set.outsiders(is_soft).iter().map(|dependent| (*dependent, from, to)));
            }
        }
        for dependent in aside {
            let to = set.seat(dependent.id, dependent.is_soft);
            moved.push((dependent.id, dependent.verdict, to));
        }
        #[cfg(test)]
        {
            self.n_touched += 1 + moved.len() as u64;
        }
        for (dependent, from, to) in moved {
            if let Some(node) = self.nodes.get_mut(&dependent) {
                before.entry(dependent).or_insert_with(|| node.verdict());
                node.recount(Some(from), to);
            }
        }
    }

    fn changes(&self, before: Before) -> Vec<Change> {
        let mut changes = Vec::new();
        for (id, from) in before {
            let now = self.nodes.get(&id).map(Node::verdict);
            changes.extend(now.filter(|now| *now != from).map(|verdict| Change { id, verdict }));
        }
        changes
    }

    /// Whether what a process depends on lets it start. One that is not there depends on nothing.
    pub fn verdict(&self, id: u32) -> Verdict {
        self.nodes.get(&id).map_or(Verdict::Met, Node::verdict)
    }

    /// Where a process stands, as it was told last.
    pub fn standing(&self, id: u32) -> Option<Standing> {
        self.nodes.get(&id).map(|node| node.standing)
    }

    /// Which dependency has failed, if the verdict is [`Verdict::Failed`]: the first in the order of the configuration.
    pub fn failure(&self, id: u32) -> Option<Failure> {
        let mut hard = self.edges(id).filter(|(edge, _)| !edge.is_soft);
        let (_, set) = hard.find(|(edge, set)| set.verdict_for(id, edge.is_soft) == Verdict::Failed)?;
        Some(match set.failed_for(id).and_then(|member| self.nodes.get(&member)) {
            Some(node) => {
                Failure { on: namespec::display(&node.group, &node.name), state: Some(node.standing.state()) }
            }
            None => Failure { on: set.target.to_string(), state: None },
        })
    }

    /// What a process still waits for, not more than `limit` of them.
    pub fn waiting_for(&self, id: u32, limit: usize) -> Waiting {
        let mut waiting = Waiting::default();
        let mut seen = BTreeSet::new();
        for (_, set) in self.edges(id) {
            for member in set.unmet_for(id) {
                if seen.contains(&member) {
                    continue;
                }
                if seen.len() == limit {
                    waiting.has_more = true;
                    return waiting;
                }
                let Some(node) = self.nodes.get(&member) else { continue };
                seen.insert(member);
                waiting.first.push(Waited {
                    name: namespec::display(&node.group, &node.name),
                    state: node.standing.state(),
                    condition: set.condition,
                });
            }
        }
        waiting
    }

    /// The items that a process depends on, in the order of the configuration, with what became of each.
    pub fn items(&self, id: u32) -> Vec<Need> {
        let need = |(edge, set): (Edge, &Set)| Need {
            dependency: Dependency {
                target: set.target.to_string(),
                condition: set.condition,
                is_soft: edge.is_soft,
            },
            verdict: set.verdict_for(id, edge.is_soft),
            processes: set.seen_by(id).collect(),
        };
        self.edges(id).map(need).collect()
    }

    /// The processes that a process depends on directly, by number.
    pub fn needs(&self, id: u32) -> Vec<Neighbour> {
        let mut found = BTreeMap::new();
        for (edge, set) in self.edges(id) {
            set.seen_by(id).for_each(|member| note(&mut found, member, edge.is_soft));
        }
        neighbours(found)
    }

    /// The processes that depend directly on a process, by number.
    pub fn dependents(&self, id: u32) -> Vec<Neighbour> {
        let mut found = BTreeMap::new();
        for (_, set) in self.sets_around(id) {
            for is_soft in [false, true] {
                set.outsiders(is_soft).iter().for_each(|dependent| note(&mut found, *dependent, is_soft));
            }
            let insiders = set.insiders().iter().filter(|(insider, _)| **insider != id);
            insiders.for_each(|(insider, is_soft)| note(&mut found, *insider, *is_soft));
        }
        neighbours(found)
    }

    fn edges(&self, id: u32) -> impl Iterator<Item = (Edge, &Set)> {
        let edges = self.nodes.get(&id).into_iter().flat_map(|node| &node.needs);
        edges.filter_map(|edge| self.sets.get(&edge.set).map(|set| (*edge, set)))
    }

    /// The sets that a process depends on, and whether softly.
    pub(super) fn sets_needed(&self, id: u32) -> impl Iterator<Item = (SetId, bool, &Set)> {
        self.edges(id).map(|(edge, set)| (edge.set, edge.is_soft, set))
    }

    /// The sets of which a process is a member.
    pub(super) fn sets_around(&self, id: u32) -> impl Iterator<Item = (SetId, &Set)> {
        let within = self.nodes.get(&id).into_iter().flat_map(|node| &node.within);
        within.filter_map(|set| self.sets.get_key_value(set).map(|(id, set)| (*id, set)))
    }

    pub(super) fn set_at(&self, id: SetId) -> Option<&Set> {
        self.sets.get(&id)
    }

    #[cfg(test)]
    pub(super) fn n_edges(&self) -> usize {
        let needs: usize = self.nodes.values().map(|node| node.needs.len()).sum();
        needs + self.sets.values().map(|set| set.members().len()).sum::<usize>()
    }

    #[cfg(test)]
    pub(super) fn n_sets(&self) -> usize {
        assert_eq!(self.by_item.len(), self.sets.len());
        let by_word: usize = self.by_word.values().map(BTreeSet::len).sum();
        assert_eq!(by_word + self.wild.len(), self.sets.len());
        self.sets.len()
    }
}

fn note(found: &mut BTreeMap<u32, bool>, id: u32, is_soft: bool) {
    found.entry(id).and_modify(|before| *before &= is_soft).or_insert(is_soft);
}

fn neighbours(found: BTreeMap<u32, bool>) -> Vec<Neighbour> {
    found.into_iter().map(|(id, is_soft)| Neighbour { id, is_soft }).collect()
}
