//! Random walks: processes come, go and change, and a model that computes everything anew from the rules must agree with
//! the graph at every step. A walk that fails is shortened to what is needed to fail.
//!
//! `DEPENDENCY_STEPS=1000000` makes more of them.

use super::{Change, Graph, Member, Rest, Standing, Verdict};
use crate::model::dependency::{Condition, Dependencies, Dependency};
use crate::model::state::ProcessState;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const N_STEPS: usize = 100_000;
/// On average.
const STEPS_PER_WALK: usize = 100;
const N_IDS: u32 = 6;

const GROUPS: [&str; 3] = ["a", "b", "g"];
const PROGRAMS: [&str; 3] = ["a", "p", "x"];
const NAMES: [&str; 5] = ["a", "b", "x", "y_0", "y_1"];
const TARGETS: [&str; 16] = [
    "a", "b", "g", "p", "x", "y_0", "a:x", "g:b", "a:*", "g:*", "g:y*", "*:x", "*:y_*1", "y*", "*", "nobody",
];

const STANDINGS: [Standing; 10] = [
    Standing::Up { is_healthy: false },
    Standing::Up { is_healthy: true },
    Standing::Moving(ProcessState::Starting),
    Standing::Moving(ProcessState::Backoff),
    Standing::Moving(ProcessState::Exited),
    Standing::Resting(Rest::Stopped),
    Standing::Resting(Rest::Done),
    Standing::Resting(Rest::Unexpected),
    Standing::Resting(Rest::Fatal),
    Standing::Resting(Rest::Unknown),
];

#[derive(Clone, Debug)]
struct Named {
    group: &'static str,
    program: &'static str,
    name: &'static str,
    needs: Vec<Dependency>,
    standing: Standing,
}

#[derive(Clone, Debug)]
enum Op {
    Set(u32, Standing),
    Replace(Vec<u32>, Vec<(u32, Named)>),
}

/// The rules, without any memory of what was before.
#[derive(Default)]
struct Model(BTreeMap<u32, Named>);

/// Whether a name is as a pattern says; letter by letter.
fn is_like(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.first(), name.first()) {
        (None, None) => true,
        (Some(b'*'), _) => is_like(&pattern[1..], name) || (!name.is_empty() && is_like(pattern, &name[1..])),
        (Some(wanted), Some(found)) => wanted == found && is_like(&pattern[1..], &name[1..]),
        _ => false,
    }
}

fn fulfils(standing: Standing, condition: Condition) -> bool {
    match condition {
        Condition::Ready => standing.state() == ProcessState::Running,
        Condition::Healthy => standing == Standing::Up { is_healthy: true },
        Condition::Done => standing == Standing::Resting(Rest::Done),
        Condition::Exited => {
            rests(standing) && matches!(standing.state(), ProcessState::Exited | ProcessState::Fatal)
        }
    }
}

fn rests(standing: Standing) -> bool {
    matches!(standing, Standing::Resting(_))
}

impl Model {
    fn those(&self, is_meant: impl Fn(&Named) -> bool) -> Vec<u32> {
        self.0.iter().filter(|(_, named)| is_meant(named)).map(|(id, _)| *id).collect()
    }

    fn meant(&self, by: u32, target: &str) -> Vec<u32> {
        let like = |pattern: &str, name: &str| is_like(pattern.as_bytes(), name.as_bytes());
        if target.contains('*') {
            let mut found = match target.split_once(':') {
                Some((group, name)) => self.those(|named| like(group, named.group) && like(name, named.name)),
                None => self.those(|named| {
                    [named.group, named.program, named.name].iter().any(|name| like(target, name))
                }),
            };
            found.retain(|id| *id != by);
            return found;
        }
        if let Some((group, name)) = target.split_once(':') {
            return self.those(|named| named.group == group && named.name == name);
        }
        let programs = self.those(|named| named.program == target);
        let groups = self.those(|named| named.group == target);
        let names = self.those(|named| named.name == target);
        match () {
            _ if !programs.is_empty() => programs,
            _ if !groups.is_empty() => groups,
            _ if names.len() == 1 => names,
            _ => Vec::new(),
        }
    }

    fn holds(&self, id: u32, need: &Dependency) -> Verdict {
        let meant = self.meant(id, &need.target);
        let open: Vec<Standing> = meant.iter().map(|member| self.0[member].standing).collect();
        let open: Vec<Standing> =
            open.into_iter().filter(|standing| !fulfils(*standing, need.condition)).collect();
        if !need.is_soft && (meant.is_empty() || open.iter().any(|standing| rests(*standing))) {
            Verdict::Failed
        } else if open.iter().any(|standing| !rests(*standing)) {
            Verdict::Unmet
        } else {
            Verdict::Met
        }
    }

    fn verdict(&self, id: u32) -> Verdict {
        let verdicts: Vec<Verdict> = self.0[&id].needs.iter().map(|need| self.holds(id, need)).collect();
        let worst = [Verdict::Failed, Verdict::Unmet];
        worst.into_iter().find(|verdict| verdicts.contains(verdict)).unwrap_or(Verdict::Met)
    }

    fn verdicts(&self) -> BTreeMap<u32, Verdict> {
        self.0.keys().map(|id| (*id, self.verdict(*id))).collect()
    }

    fn needs(&self, id: u32, with_soft: bool) -> BTreeSet<u32> {
        let needs = self.0.get(&id).into_iter().flat_map(|named| &named.needs);
        let needs = needs.filter(|need| with_soft || !need.is_soft);
        needs.flat_map(|need| self.meant(id, &need.target)).collect()
    }

    fn dependents(&self, id: u32, with_soft: bool) -> BTreeSet<u32> {
        self.0.keys().copied().filter(|other| self.needs(*other, with_soft).contains(&id)).collect()
    }

    /// What can happen of this: one that is there changes, and two never have the same group and name.
    fn possible(&self, op: &Op) -> Option<Op> {
        let (gone, come) = match op {
            Op::Set(at, standing) => {
                let id = self.0.keys().cycle().nth(*at as usize)?;
                return Some(Op::Set(*id, *standing));
            }
            Op::Replace(gone, come) => (gone, come),
        };
        let mut after: BTreeMap<u32, (&str, &str)> =
            self.0.iter().map(|(id, named)| (*id, (named.group, named.name))).collect();
        gone.iter().for_each(|id| _ = after.remove(id));
        let (mut ids, mut come) = (BTreeSet::new(), come.clone());
        come.retain(|(id, named)| {
            let namespec = (named.group, named.name);
            let is_free = after.iter().all(|(other, taken)| other == id || *taken != namespec);
            let comes = is_free && ids.insert(*id);
            if comes {
                after.insert(*id, namespec);
            }
            comes
        });
        Some(Op::Replace(gone.clone(), come))
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Set(id, standing) => self.0.get_mut(id).expect("it is there").standing = *standing,
            Op::Replace(gone, come) => {
                gone.iter().for_each(|id| _ = self.0.remove(id));
                self.0.extend(come.iter().cloned());
            }
        }
    }
}

fn apply(graph: &mut Graph, op: &Op) -> Vec<Change> {
    match op {
        Op::Set(id, standing) => graph.set(*id, *standing),
        Op::Replace(gone, come) => {
            let owned: Vec<_> = come
                .iter()
                .map(|(id, named)| {
                    let names = [named.group, named.program, named.name].map(Arc::<str>::from);
                    let dependencies =
                        Dependencies { depends_on: named.needs.clone(), ..Dependencies::default() };
                    (*id, names, dependencies, named.standing)
                })
                .collect();
            let members: Vec<_> = owned
                .iter()
                .map(|(id, [group, program, name], dependencies, standing)| Member {
                    id: *id,
                    group,
                    program,
                    name,
                    dependencies,
                    standing: *standing,
                })
                .collect();
            graph.replace(gone, &members)
        }
    }
}

/// Everything that can be reached, the beginning included.
fn closure(from: &[u32], next: impl Fn(u32) -> BTreeSet<u32>) -> BTreeSet<u32> {
    let mut found: BTreeSet<u32> = from.iter().copied().collect();
    let mut open = from.to_vec();
    while let Some(id) = open.pop() {
        open.extend(next(id).into_iter().filter(|id| found.insert(*id)));
    }
    found
}

/// An order has everything once, and what follows a process before it, unless that is in a cycle.
fn check_order(
    order: &[u32],
    from: u32,
    hard: impl Fn(u32) -> BTreeSet<u32>,
    any: impl Fn(u32) -> BTreeSet<u32>,
) {
    let all: BTreeSet<u32> = order.iter().copied().collect();
    assert_eq!(all.len(), order.len(), "each once: {order:?}");
    assert_eq!(all, closure(&[from], &hard), "what belongs to {from}");
    for (at, id) in order.iter().enumerate() {
        let following = any(*id);
        if closure(&following.iter().copied().collect::<Vec<_>>(), &any).contains(id) {
            continue;
        }
        for other in following.iter().filter(|other| all.contains(other)) {
            assert!(order[..at].contains(other), "{other} before {id} in {order:?}");
        }
    }
}

fn check_neighbours(graph: &Graph, model: &Model, id: u32) {
    let split = |found: Vec<super::Neighbour>| {
        let hard = found.iter().filter(|found| !found.is_soft).map(|found| found.id).collect::<BTreeSet<_>>();
        (hard, found.iter().map(|found| found.id).collect::<BTreeSet<_>>())
    };
    assert_eq!(split(graph.needs(id)), (model.needs(id, false), model.needs(id, true)), "needs of {id}");
    let dependents = (model.dependents(id, false), model.dependents(id, true));
    assert_eq!(split(graph.dependents(id)), dependents, "dependents of {id}");
    let (up, down) = (graph.transitive_needs(&[id]), graph.transitive_dependents(&[id]));
    check_order(&up, id, |id| model.needs(id, false), |id| model.needs(id, true));
    check_order(&down, id, |id| model.dependents(id, false), |id| model.dependents(id, true));
}

fn check_texts(graph: &Graph, model: &Model, id: u32) {
    let failure = graph.failure(id);
    assert_eq!(failure.is_some(), model.verdict(id) == Verdict::Failed);
    let open = model.0[&id].needs.iter().flat_map(|need| {
        let open = move |member: &u32| {
            let standing = model.0[member].standing;
            !rests(standing) && !fulfils(standing, need.condition)
        };
        model.meant(id, &need.target).into_iter().filter(open)
    });
    let open: BTreeSet<u32> = open.collect();
    let waiting = graph.waiting_for(id, 2);
    assert_eq!(waiting.first.len(), open.len().min(2));
    assert_eq!(waiting.has_more, open.len() > 2);
}

fn walk(ops: &[Op]) {
    let (mut graph, mut model) = (Graph::new(), Model::default());
    let mut before = model.verdicts();
    for (at, op) in ops.iter().enumerate() {
        let Some(op) = model.possible(op) else { continue };
        model.apply(&op);
        let come: Vec<u32> = match &op {
            Op::Set(..) => Vec::new(),
            Op::Replace(_, come) => come.iter().map(|(id, _)| *id).collect(),
        };
        let changes = apply(&mut graph, &op);
        let now = model.verdicts();
        let differs = |id: &u32, verdict: &Verdict| before.get(id).is_some_and(|before| before != verdict);
        let expected: Vec<Change> = now
            .iter()
            .filter(|(id, verdict)| !come.contains(id) && differs(id, verdict))
            .map(|(id, verdict)| Change { id: *id, verdict: *verdict })
            .collect();
        assert_eq!(changes, expected, "changes after step {at}");
        for (id, verdict) in &now {
            assert_eq!(graph.verdict(*id), *verdict, "{id} after step {at}");
        }
        // Costly, and most steps change little of it.
        let some = model.0.keys().nth(at % N_IDS as usize).copied();
        if let Some(id) = some.filter(|_| at % 20 == 19) {
            check_neighbours(&graph, &model, id);
            check_texts(&graph, &model, id);
        }
        before = now;
    }
    let layers = graph.layers(&model.0.keys().copied().collect::<Vec<_>>());
    let mut all = layers.concat();
    all.sort_unstable();
    assert_eq!(all, model.0.keys().copied().collect::<Vec<_>>(), "everything is in a layer");
    graph.replace(&all, &[]);
    assert_eq!((graph.n_sets(), graph.n_edges()), (0, 0), "nothing is left");
}

/// Makes one step of one number, so that a walk costs little to make and is shortened by leaving steps out.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        // The upper half changes with every bit of the number before.
        (self.0 >> 33) as usize % bound
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn some<T>(&mut self, most: usize, mut one: impl FnMut(&mut Dice) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| one(self)).collect()
    }

    fn id(&mut self) -> u32 {
        self.below(N_IDS as usize) as u32
    }

    fn dependency(&mut self) -> Dependency {
        let conditions = [Condition::Ready, Condition::Healthy, Condition::Done, Condition::Exited];
        let (target, condition) = (self.one_of(&TARGETS), self.one_of(&conditions));
        Dependency { target: target.into(), condition, is_soft: self.below(2) == 0 }
    }

    fn named(&mut self) -> (u32, Named) {
        let (group, program, name) = (self.one_of(&GROUPS), self.one_of(&PROGRAMS), self.one_of(&NAMES));
        let needs = self.some(3, Dice::dependency);
        (self.id(), Named { group, program, name, needs, standing: self.one_of(&STANDINGS) })
    }

    fn op(number: u64) -> Op {
        let mut dice = Dice(number);
        match dice.below(12) {
            0..10 => Op::Set(dice.id(), dice.one_of(&STANDINGS)),
            10 => Op::Replace(Vec::new(), vec![dice.named()]),
            _ => Op::Replace(dice.some(2, Dice::id), dice.some(3, Dice::named)),
        }
    }
}

#[test]
fn the_graph_agrees_with_the_rules_on_every_walk() {
    // `DEPENDENCY_STEPS` is how many steps there are in all.
    let n_steps = std::env::var("DEPENDENCY_STEPS").map_or(N_STEPS, |steps| steps.parse().expect("a number"));
    let cases = n_steps.div_ceil(STEPS_PER_WALK) as u32;
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let walks = proptest::collection::vec(any::<u64>().prop_map(Dice::op), 1..2 * STEPS_PER_WALK);
    TestRunner::new(config)
        .run(&walks, |ops| {
            walk(&ops);
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}
