//! With ten thousand processes, an event looks at its own edges and at nothing else.

use super::graph_tests::{STOPPED, UP, add, dependencies};
use super::{Active, Change, Graph, Member, Standing, StopOrder, Verdict};
use crate::model::state::ProcessState;
use std::collections::HashSet;
use std::sync::Arc;

const N: u32 = 10_000;
const STARTING: Standing = Standing::Moving(ProcessState::Starting);

/// Adds all at once: group, name and needs of each number.
fn build(n: u32, of: impl Fn(u32) -> (String, String, String)) -> Graph {
    let texts: Vec<_> = (0..n).map(of).collect();
    let all: Vec<_> = texts
        .iter()
        .map(|(group, name, needs)| {
            (Arc::<str>::from(&**group), Arc::<str>::from(&**name), dependencies(needs))
        })
        .collect();
    let members: Vec<_> = (0..n)
        .zip(&all)
        .map(|(id, (group, name, dependencies))| Member {
            id,
            group,
            program: name,
            name,
            dependencies,
            standing: STARTING,
        })
        .collect();
    let mut graph = Graph::new();
    graph.replace(&[], &members);
    graph
}

fn chain() -> Graph {
    build(N, |id| {
        let before = if id == 0 { String::new() } else { format!("p{}", id - 1) };
        (format!("p{id}"), format!("p{id}"), before)
    })
}

fn fan() -> Graph {
    build(N, |id| {
        let needs = if id == 0 { "" } else { "p0" };
        (format!("p{id}"), format!("p{id}"), needs.to_string())
    })
}

/// Ten layers, each a group of which every process depends on the whole layer before.
fn layers() -> Graph {
    build(N, |id| {
        let layer = id / 1000;
        let needs = if layer == 0 { String::new() } else { format!("g{}:*", layer - 1) };
        (format!("g{layer}"), format!("p{id}"), needs)
    })
}

/// What an event changes, and what it looks at.
fn set(graph: &mut Graph, id: u32, standing: Standing) -> (Vec<Change>, u64) {
    let before = graph.n_touched;
    let changes = graph.set(id, standing);
    (changes, graph.n_touched - before)
}

#[test]
fn an_event_in_a_chain_looks_at_the_next_one() {
    let mut graph = chain();
    assert_eq!(graph.n_edges(), 2 * (N as usize - 1));
    for id in 0..N {
        let (changes, cost) = set(&mut graph, id, UP);
        if id + 1 < N {
            assert_eq!(changes, [Change { id: id + 1, verdict: Verdict::Met }]);
            assert_eq!(cost, 2, "its set and the next process");
        }
    }
    assert_eq!(set(&mut graph, N / 2, STARTING).1, 2);
}

#[test]
fn an_event_in_a_fan_looks_at_its_dependents() {
    let mut graph = fan();
    let (changes, cost) = set(&mut graph, 0, UP);
    assert_eq!((changes.len(), cost), (N as usize - 1, u64::from(N)));
    for id in 1..N {
        assert_eq!(set(&mut graph, id, UP), (Vec::new(), 0));
    }
    assert_eq!(graph.remove(0).len(), N as usize - 1);
}

#[test]
fn layers_share_their_edges() {
    let mut graph = layers();
    // Nine layers with a thousand edges to their set, and from the set to the layer before.
    assert_eq!((graph.n_sets(), graph.n_edges()), (9, 9 * 2000));
    for id in 0..N - 1000 {
        let (changes, cost) = set(&mut graph, id, UP);
        // The last of a layer frees the next one; the others change what the set counts.
        let expected = if id % 1000 == 999 { 1000 } else { 0 };
        assert_eq!((changes.len(), cost), (expected, 1 + expected as u64), "{id}");
    }
    let (changes, cost) = set(&mut graph, 500, STARTING);
    assert_eq!((changes.len(), cost), (1000, 1001));
    assert_eq!(set(&mut graph, 501, STARTING), (Vec::new(), 1));
    assert_eq!(set(&mut graph, 501, STOPPED).0.len(), 1000);
    assert_eq!(graph.layers(&(0..N).collect::<Vec<_>>()).len(), 10);
}

#[test]
fn one_that_comes_or_goes_concerns_those_that_name_it() {
    let mut graph = layers();
    let before = graph.n_touched;
    add(&mut graph, N, ["else", "else", "else"], "", UP);
    graph.remove(N);
    assert_eq!(graph.n_touched, before);
    add(&mut graph, N, ["g4", "else", "else"], "", UP);
    assert_eq!(graph.n_touched - before, 1, "the set of g4, which waits anyway");
    graph.remove(N);
    assert_eq!(graph.n_touched - before, 2);
}

#[test]
fn a_long_chain_has_all_orders() {
    let graph = chain();
    let up: Vec<u32> = (0..N).collect();
    let down: Vec<u32> = (0..N).rev().collect();
    assert_eq!(graph.transitive_needs(&[N - 1]), up);
    assert_eq!(graph.transitive_dependents(&[0]), down);
    assert_eq!(graph.layers(&up).concat(), down);
    let active = |id: &u32| Active { id: *id, group: 0, group_priority: 0, priority: 0 };
    let mut order = StopOrder::new(&graph, [0, N - 1].iter().map(active));
    assert_eq!(order.next(|_| true), [N - 1]);
    assert!(order.next(|_| true).is_empty());
    order.at_rest(N - 1);
    assert_eq!(order.next(|_| true), [0], "all between are at rest");
}

#[test]
fn stopping_asks_about_each_process_a_few_times() {
    for graph in [chain(), fan(), layers()] {
        let active = (0..N).map(|id| Active { id, group: 0, group_priority: 0, priority: 0 });
        let mut order = StopOrder::new(&graph, active);
        let asked = std::cell::Cell::new(0);
        let mut at_rest = HashSet::new();
        let mut under_way = std::collections::VecDeque::new();
        // One comes to rest at a time.
        while !order.is_over() {
            under_way.extend(order.next(|id| {
                asked.set(asked.get() + 1);
                !at_rest.contains(&id)
            }));
            if let Some(id) = under_way.pop_back() {
                at_rest.insert(id);
                order.at_rest(id);
            }
        }
        assert_eq!(at_rest.len(), N as usize);
        assert!(asked.get() < 4 * N, "{} questions", asked.get());
    }
}
