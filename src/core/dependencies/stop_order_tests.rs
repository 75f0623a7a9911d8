//! What may be stopped when, with and without dependencies.

use super::graph_tests::{UP, add};
use super::{Active, Graph, StopOrder};
use crate::core::shutdown::Phases;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

fn active(id: u32, group: usize, group_priority: i64) -> Active {
    Active { id, group, group_priority, priority: 999 }
}

/// Names, needs and priorities, the number of each its place.
fn graph(processes: &[(&str, &str, i64)]) -> (Graph, Vec<Active>) {
    let mut graph = Graph::new();
    let mut all = Vec::new();
    for (at, (name, needs, priority)) in processes.iter().enumerate() {
        add(&mut graph, at as u32, [name; 3], needs, UP);
        all.push(active(at as u32, at, *priority));
    }
    (graph, all)
}

/// What is handed out when everything of a batch comes to rest before the next.
#[track_caller]
fn check(processes: &[(&str, &str, i64)], expected: &[&[u32]]) {
    let (graph, all) = graph(processes);
    let mut order = StopOrder::new(&graph, all);
    let mut at_rest = BTreeSet::new();
    for batch in expected {
        assert!(!order.is_over());
        assert_eq!(order.next(|id| !at_rest.contains(&id)), *batch);
        assert!(order.next(|id| !at_rest.contains(&id)).is_empty(), "{batch:?} is not at rest");
        let mut under_way: Vec<u32> = order.under_way().collect();
        under_way.sort_unstable();
        let mut sorted = batch.to_vec();
        sorted.sort_unstable();
        assert_eq!(under_way, sorted);
        at_rest.extend(batch.iter().copied());
    }
    assert!(order.next(|id| !at_rest.contains(&id)).is_empty());
    assert!(order.is_over());
}

#[test]
fn dependents_first_and_otherwise_as_before() {
    check(&[], &[]);
    check(&[("a", "", 5), ("b", "", 999), ("c", "", 999)], &[&[2, 1], &[0]]);
    // The same order that the priorities ask for.
    check(&[("db", "", 1), ("web", "db", 999)], &[&[1], &[0]]);
    // Inside a priority.
    check(&[("web", "db", 999), ("db", "", 999), ("other", "", 999)], &[&[2, 0], &[1]]);
    // Against the priorities: web counts as 999 because of db.
    check(&[("web", "db", 1), ("db", "", 999), ("other", "", 5)], &[&[0], &[1], &[2]]);
    // It neither waits for those between, nor do others of its priority come with it.
    check(&[("web", "db", 1), ("db", "", 999), ("late", "", 1), ("early", "", 999)], &[&[3, 0], &[1], &[2]]);
    check(&[("check", "web", 1), ("web", "db", 5), ("db", "", 999)], &[&[0], &[1], &[2]]);
}

#[test]
fn one_that_waits_for_nobody_does_not_wait_for_its_layer() {
    let (graph, all) = graph(&[("a", "", 1), ("b", "a", 1), ("c", "", 1), ("d", "c", 1)]);
    let mut order = StopOrder::new(&graph, all);
    assert_eq!(order.next(|_| true), [3, 1]);
    // d takes long.
    order.at_rest(1);
    order.at_rest(1);
    assert_eq!(order.next(|id| id != 1), [0]);
    assert_eq!(order.under_way().collect::<Vec<_>>(), [3, 0]);
    order.at_rest(3);
    // c has ended meanwhile.
    assert!(order.next(|id| id == 0).is_empty());
    assert!(!order.is_over());
    assert!(order.next(|_| false).is_empty());
    assert!(order.is_over());
}

#[test]
fn one_that_is_told_at_rest_before_its_turn_frees_nobody() {
    let (graph, all) = graph(&[("db", "", 1), ("web", "db", 1), ("check", "web", 1)]);
    let mut order = StopOrder::new(&graph, all);
    order.at_rest(1);
    order.at_rest(9);
    assert_eq!(order.next(|id| id != 1), [2]);
    assert!(order.next(|id| id != 1).is_empty(), "check depends on db by way of web");
    order.at_rest(2);
    assert_eq!(order.next(|id| id == 0), [0]);
}

/// Groups as today: priority of each, and of its members.
fn in_phases(groups: &[(i64, Vec<i64>)]) -> Vec<Vec<u32>> {
    let mut id = 0;
    let numbered: Vec<(i64, Vec<(i64, u32)>)> = groups
        .iter()
        .map(|(priority, members)| {
            let members = members.iter().map(|priority| {
                id += 1;
                (*priority, id)
            });
            (*priority, members.collect())
        })
        .collect();
    let last_first = |mut members: Vec<(i64, u32)>| {
        members.reverse();
        members.sort_by_key(|(priority, _)| Reverse(*priority));
        members.into_iter().map(|(_, id)| id)
    };
    let phases = Phases::new(numbered).map(|groups| groups.into_iter().flat_map(last_first).collect());
    phases.filter(|phase: &Vec<u32>| !phase.is_empty()).collect()
}

fn run<T: std::fmt::Debug>(cases: u32, strategy: impl Strategy<Value = T>, test: impl Fn(T)) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&strategy, |value| {
            test(value);
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn without_dependencies_it_is_the_order_of_the_phases() {
    let groups = proptest::collection::vec((-1_i64..4, proptest::collection::vec(0_i64..3, 0..4)), 0..8);
    run(1000, groups, |groups| {
        let mut all = Vec::new();
        for (group, (group_priority, members)) in groups.iter().enumerate() {
            for priority in members {
                let id = all.len() as u32 + 1;
                all.push(Active { id, group, group_priority: *group_priority, priority: *priority });
            }
        }
        let mut order = StopOrder::new(&Graph::new(), all);
        let mut at_rest = BTreeSet::new();
        let mut batches = Vec::new();
        loop {
            let batch = order.next(|id| !at_rest.contains(&id));
            if batch.is_empty() {
                break;
            }
            at_rest.extend(batch.iter().copied());
            batches.push(batch);
        }
        assert_eq!(batches, in_phases(&groups));
    });
}

#[derive(Clone, Debug)]
struct Stopped {
    group_priority: i64,
    is_active: bool,
    /// What it depends on: a kind of target, and which.
    needs: Vec<(u8, u32)>,
}

/// A process and the groups: three numbers are one group, and only the last of them depends on others of it.
fn build(processes: &[Stopped], may_have_cycles: bool) -> (Graph, Vec<Active>) {
    let (mut graph, mut all) = (Graph::new(), Vec::new());
    let n = processes.len() as u32;
    for (id, process) in (0_u32..).zip(processes) {
        let group = id / 3;
        let mut needs = Vec::new();
        for (kind, number) in &process.needs {
            let mark = if kind % 2 == 1 { "?" } else { "" };
            let (below, group_below) = if may_have_cycles { (n, n / 3) } else { (id, group) };
            match kind / 2 {
                0 if group_below > 0 => needs.push(format!("g{}:*{mark}", number % group_below)),
                1 if group_below > 0 => needs.push(format!("g{}{mark}", number % group_below)),
                2 if id % 3 == 2 => needs.push(format!("g{group}:*{mark}")),
                _ if below > 0 => needs.push(format!("p{}{mark}", number % below)),
                _ => {}
            }
        }
        let (group_name, name) = (format!("g{group}"), format!("p{id}"));
        add(&mut graph, id, [&group_name, &name, &name], &needs.join(","), UP);
        if process.is_active {
            // One priority for a group.
            let group_priority = processes[group as usize * 3].group_priority;
            all.push(active(id, group as usize, group_priority));
        }
    }
    (graph, all)
}

/// What everybody depends on, directly or not.
fn reachable(graph: &Graph, n: u32) -> BTreeMap<u32, BTreeSet<u32>> {
    let of = |id: u32| {
        let (mut found, mut open) = (BTreeSet::new(), vec![id]);
        while let Some(id) = open.pop() {
            open.extend(graph.needs(id).iter().map(|need| need.id).filter(|id| found.insert(*id)));
        }
        found
    };
    (0..n).map(|id| (id, of(id))).collect()
}

/// Who has to come to rest before a process, by the rules.
struct Rules {
    needs: BTreeMap<u32, BTreeSet<u32>>,
    priority: BTreeMap<u32, i64>,
}

impl Rules {
    fn new(graph: &Graph, n: u32, all: &[Active]) -> Rules {
        let own: BTreeMap<u32, i64> = all.iter().map(|active| (active.id, active.group_priority)).collect();
        let needs = reachable(graph, n);
        let highest = |id: &u32| needs[id].iter().chain([id]).filter_map(|id| own.get(id)).max().copied();
        let priority = own.keys().map(|id| (*id, highest(id).expect("its own"))).collect();
        Rules { needs, priority }
    }

    fn is_before(&self, first: u32, then: u32) -> bool {
        self.needs[&first].contains(&then) || self.priority[&first] > self.priority[&then]
    }
}

fn processes() -> impl Strategy<Value = Vec<Stopped>> {
    let needs = proptest::collection::vec((0_u8..10, any::<u32>()), 0..3);
    let process = (0_i64..3, 0_u8..4, needs).prop_map(|(group_priority, active, needs)| Stopped {
        group_priority,
        is_active: active > 0,
        needs,
    });
    proptest::collection::vec(process, 0..15)
}

/// Stops everything: each number says whom something happens to. `tells` if every rest is told.
fn stop(processes: &[Stopped], chances: &[u32], tells: bool, may_have_cycles: bool) {
    let (graph, all) = build(processes, may_have_cycles);
    let rules = Rules::new(&graph, processes.len() as u32, &all);
    let mut left: BTreeSet<u32> = all.iter().map(|active| active.id).collect();
    let (mut handed, mut under_way) = (BTreeSet::new(), Vec::new());
    let mut order = StopOrder::new(&graph, all);
    let mut chances = chances.iter().cycle().copied();
    while !order.is_over() {
        loop {
            let batch = order.next(|id| left.contains(&id));
            for id in &batch {
                assert!(left.contains(id) && handed.insert(*id), "{id} is active, and not stopped twice");
                let mut former =
                    left.iter().filter(|former| **former != *id && rules.is_before(**former, *id));
                assert!(may_have_cycles || former.next().is_none(), "{id} is too early");
            }
            under_way.extend(batch.iter().copied());
            if batch.is_empty() {
                break;
            }
        }
        for id in left.iter().filter(|id| !handed.contains(id)) {
            let is_blocked = left.iter().any(|former| former != id && rules.is_before(*former, *id));
            assert!(is_blocked || !tells || may_have_cycles, "{id} could be stopped");
        }
        let chance = chances.next().unwrap_or_default();
        let unasked: Vec<u32> = left.difference(&handed).copied().collect();
        if chance % 5 == 0 && !unasked.is_empty() {
            // It ends by itself.
            left.remove(&unasked[chance as usize % unasked.len()]);
        } else if !under_way.is_empty() {
            let id = under_way.swap_remove(chance as usize % under_way.len());
            left.remove(&id);
            if tells {
                order.at_rest(id);
            }
        } else {
            assert!(order.is_over() || !unasked.is_empty(), "nobody is under way, and nobody is handed out");
            assert!(order.is_over() || chance % 5 == 0, "{unasked:?} are waited for and not handed out");
        }
    }
    assert!(left.is_empty(), "{left:?} are left");
}

#[test]
fn nobody_is_stopped_too_early_or_too_late() {
    let chances = proptest::collection::vec(any::<u32>(), 1..50);
    run(2000, (processes(), chances, any::<bool>()), |(processes, chances, tells)| {
        stop(&processes, &chances, tells, false);
    });
}

#[test]
fn cycles_end_as_well() {
    let chances = proptest::collection::vec(any::<u32>(), 1..50);
    run(1000, (processes(), chances, any::<bool>()), |(processes, chances, tells)| {
        stop(&processes, &chances, tells, true);
    });
}
