//! What single events change, case by case. Texts and orders stand here as well.

use super::{Change, Facts, Graph, Member, Rest, Standing, Verdict};
use crate::model::dependency::{Condition, Dependencies, Dependency};
use crate::model::state::ProcessState;
use std::sync::Arc;

pub(super) const UP: Standing = Standing::Up { is_healthy: false };
pub(super) const HEALTHY: Standing = Standing::Up { is_healthy: true };
pub(super) const STOPPED: Standing = Standing::Resting(Rest::Stopped);
const FATAL: Standing = Standing::Resting(Rest::Fatal);
const STARTING: Standing = Standing::Moving(ProcessState::Starting);

/// `db, cache:healthy?`, with targets that contain no condition's word.
pub(super) fn dependencies(text: &str) -> Dependencies {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let depends_on = items.map(|item| {
        let (item, is_soft) = item.strip_suffix('?').map_or((item, false), |item| (item, true));
        let split =
            item.rsplit_once(':').and_then(|(target, word)| Some((target, Condition::from_word(word)?)));
        let (target, condition) = split.unwrap_or((item, Condition::Ready));
        Dependency { target: target.into(), condition, is_soft }
    });
    Dependencies { depends_on: depends_on.collect(), ..Dependencies::default() }
}

/// Adds a process: its group, its program and itself have these names.
pub(super) fn add(
    graph: &mut Graph,
    id: u32,
    names: [&str; 3],
    needs: &str,
    standing: Standing,
) -> Vec<Change> {
    let [group, program, name] = names.map(Arc::<str>::from);
    let dependencies = &dependencies(needs);
    graph.add(Member { id, group: &group, program: &program, name: &name, dependencies, standing })
}

/// A process in a group of its own.
fn alone(graph: &mut Graph, id: u32, name: &str, needs: &str, standing: Standing) -> Vec<Change> {
    add(graph, id, [name; 3], needs, standing)
}

fn change(id: u32, verdict: Verdict) -> Change {
    Change { id, verdict }
}

#[test]
fn every_condition_against_every_standing() {
    use Verdict::*;
    let moving = [
        ProcessState::Starting,
        ProcessState::Backoff,
        ProcessState::Stopping,
        ProcessState::Exited,
        ProcessState::Fatal,
    ];
    // Each row: hard ready, healthy, done, exited. A soft one is met instead of failed.
    let mut table = vec![
        (UP, [Met, Unmet, Unmet, Unmet]),
        (HEALTHY, [Met, Met, Unmet, Unmet]),
        (STOPPED, [Failed, Failed, Failed, Failed]),
        (Standing::Resting(Rest::Done), [Failed, Failed, Met, Met]),
        (Standing::Resting(Rest::Unexpected), [Failed, Failed, Failed, Met]),
        (FATAL, [Failed, Failed, Failed, Met]),
        (Standing::Resting(Rest::Unknown), [Failed, Failed, Failed, Failed]),
    ];
    table.extend(moving.map(|state| (Standing::Moving(state), [Unmet, Unmet, Unmet, Unmet])));
    let conditions = [Condition::Ready, Condition::Healthy, Condition::Done, Condition::Exited];
    for (standing, verdicts) in table {
        for (condition, hard) in conditions.into_iter().zip(verdicts) {
            let soft = if hard == Failed { Met } else { hard };
            for (mark, expected) in [("", hard), ("?", soft)] {
                let mut graph = Graph::new();
                let needs = format!("db:{}{mark}", condition.word());
                alone(&mut graph, 1, "db", "", standing);
                alone(&mut graph, 2, "web", &needs, STOPPED);
                assert_eq!(graph.verdict(2), expected, "{needs} of {standing:?}");
                assert_eq!(graph.items(2)[0].verdict, expected, "{needs} of {standing:?}");
                assert_eq!(graph.failure(2).is_some(), expected == Failed, "{needs} of {standing:?}");
                assert_eq!(graph.waiting_for(2, 5).first.len(), usize::from(expected == Unmet));
            }
        }
    }
}

#[test]
fn where_a_process_stands() {
    use ProcessState::*;
    let nothing = Facts { state: Stopped, comes_again: false, was_expected: false, is_healthy: false };
    for (facts, expected) in [
        (nothing, STOPPED),
        (Facts { state: Starting, ..nothing }, STARTING),
        (Facts { state: Backoff, ..nothing }, Standing::Moving(Backoff)),
        (Facts { state: Stopping, ..nothing }, Standing::Moving(Stopping)),
        (Facts { state: Running, ..nothing }, UP),
        (Facts { state: Running, is_healthy: true, ..nothing }, HEALTHY),
        (Facts { state: Exited, ..nothing }, Standing::Resting(Rest::Unexpected)),
        (Facts { state: Exited, was_expected: true, ..nothing }, Standing::Resting(Rest::Done)),
        (Facts { state: Exited, was_expected: true, comes_again: true, ..nothing }, Standing::Moving(Exited)),
        (Facts { state: Fatal, ..nothing }, FATAL),
        (Facts { state: Fatal, comes_again: true, ..nothing }, Standing::Moving(Fatal)),
        (Facts { state: Unknown, ..nothing }, Standing::Resting(Rest::Unknown)),
    ] {
        let standing = Standing::from(facts);
        assert_eq!(standing, expected);
        assert_eq!(standing.state(), facts.state);
    }
}

#[test]
fn texts_name_the_process_and_its_state() {
    let mut graph = Graph::new();
    let failure = |graph: &Graph| graph.failure(9).map(|failure| failure.to_string());
    alone(&mut graph, 9, "web", "db, apps, cache:healthy", STOPPED);
    assert_eq!(failure(&graph).as_deref(), Some("depends on db, which is not there"));
    alone(&mut graph, 1, "db", "", FATAL);
    assert_eq!(failure(&graph).as_deref(), Some("depends on db, which is FATAL"));
    graph.set(1, UP);
    add(&mut graph, 2, ["apps", "api", "api"], "", UP);
    add(&mut graph, 3, ["apps", "mail", "mail"], "", STOPPED);
    assert_eq!(failure(&graph).as_deref(), Some("depends on apps:mail, which is STOPPED"));
    graph.set(3, UP);
    alone(&mut graph, 4, "cache", "", Standing::Resting(Rest::Done));
    assert_eq!(failure(&graph).as_deref(), Some("depends on cache, which is EXITED"));
    graph.set(4, UP);
    assert_eq!(failure(&graph), None);
    assert_eq!(graph.waiting_for(9, 3).to_string(), "cache (RUNNING, not healthy)");
    graph.set(1, Standing::Moving(ProcessState::Backoff));
    graph.set(2, STARTING);
    assert_eq!(
        graph.waiting_for(9, 3).to_string(),
        "db (BACKOFF), apps:api (STARTING), cache (RUNNING, not healthy)"
    );
    assert_eq!(graph.waiting_for(9, 1).to_string(), "db (BACKOFF) and others");
    for id in [1, 2, 4] {
        graph.set(id, HEALTHY);
    }
    assert_eq!(graph.waiting_for(9, 1).to_string(), "");
}

#[test]
fn a_failure_outweighs_a_wait_and_both_are_told_once() {
    let mut graph = Graph::new();
    alone(&mut graph, 1, "db", "", STARTING);
    alone(&mut graph, 2, "cache", "", STARTING);
    alone(&mut graph, 3, "web", "db, db:healthy, cache, db?", STARTING);
    assert_eq!(graph.verdict(3), Verdict::Unmet);
    assert_eq!(graph.items(3).len(), 3, "one item twice, soft and hard, is a hard one");
    assert_eq!(graph.set(1, UP), []);
    assert_eq!(graph.set(2, UP), []);
    assert_eq!(graph.set(1, HEALTHY), [change(3, Verdict::Met)]);
    // Two items change, and the process once.
    assert_eq!(graph.set(1, FATAL), [change(3, Verdict::Failed)]);
    assert_eq!(graph.set(1, STOPPED), []);
    assert_eq!(graph.set(2, STARTING), []);
    assert_eq!(graph.set(1, HEALTHY), [change(3, Verdict::Unmet)]);
    assert_eq!(graph.set(7, UP), [], "it is not there");
}

#[test]
fn a_soft_group_is_waited_for_until_all_are_up_or_at_rest() {
    let mut graph = Graph::new();
    add(&mut graph, 1, ["g", "a", "a"], "", FATAL);
    add(&mut graph, 2, ["g", "b", "b"], "", STARTING);
    alone(&mut graph, 3, "web", "g?, nobody?", STARTING);
    assert_eq!(graph.verdict(3), Verdict::Unmet);
    assert_eq!(graph.set(2, STOPPED), [change(3, Verdict::Met)]);
    assert_eq!(graph.set(2, UP), []);
    assert_eq!(graph.set(1, STARTING), [change(3, Verdict::Unmet)]);
}

#[test]
fn processes_come_and_go_in_any_order() {
    let mut graph = Graph::new();
    assert_eq!(alone(&mut graph, 1, "web", "db", STARTING), []);
    assert_eq!(graph.verdict(1), Verdict::Failed);
    assert_eq!(alone(&mut graph, 2, "other", "", UP), []);
    assert_eq!(alone(&mut graph, 3, "db", "", UP), [change(1, Verdict::Met)]);
    // A process of that name does not count as long as there is a program.
    assert_eq!(add(&mut graph, 4, ["g", "p", "db"], "", STOPPED), []);
    assert_eq!(graph.remove(3), [change(1, Verdict::Failed)]);
    assert_eq!(graph.failure(1).unwrap().to_string(), "depends on g:db, which is STOPPED");
    assert_eq!(graph.set(4, UP), [change(1, Verdict::Met)]);
    // The number is given to another process.
    assert_eq!(alone(&mut graph, 4, "else", "", UP), [change(1, Verdict::Failed)]);
    assert_eq!(graph.n_sets(), 1);
    assert_eq!(graph.remove(1), []);
    assert_eq!((graph.n_sets(), graph.n_edges()), (0, 0));
    assert_eq!(graph.verdict(1), Verdict::Met);
}

#[test]
fn a_group_that_is_replaced_is_told_once() {
    let mut graph = Graph::new();
    let names = ["g", "a", "b"].map(Arc::<str>::from);
    let none = Dependencies::default();
    let member = |id, name: usize, standing| Member {
        id,
        group: &names[0],
        program: &names[name],
        name: &names[name],
        dependencies: &none,
        standing,
    };
    graph.replace(&[], &[member(1, 1, UP), member(2, 2, UP)]);
    alone(&mut graph, 3, "web", "g:*", UP);
    assert_eq!(graph.replace(&[1, 2], &[member(1, 2, UP), member(4, 1, UP)]), []);
    assert_eq!(graph.needs(3).iter().map(|need| need.id).collect::<Vec<_>>(), [1, 4]);
    assert_eq!(graph.replace(&[4], &[member(5, 1, STARTING)]), [change(3, Verdict::Unmet)]);
}

#[test]
fn a_pattern_leaves_out_who_depends_on_it() {
    let mut graph = Graph::new();
    add(&mut graph, 1, ["web", "app", "app"], "", STARTING);
    add(&mut graph, 2, ["web", "proxy", "proxy"], "web:*", STARTING);
    alone(&mut graph, 3, "check", "web:*", STARTING);
    assert_eq!((graph.verdict(2), graph.verdict(3)), (Verdict::Unmet, Verdict::Unmet));
    assert_eq!(graph.set(1, UP), [change(2, Verdict::Met)]);
    assert_eq!(graph.set(2, UP), [change(3, Verdict::Met)]);
    assert_eq!(graph.needs(2).len(), 1);
    assert_eq!(graph.dependents(2).iter().map(|dependent| dependent.id).collect::<Vec<_>>(), [3]);
    assert_eq!(graph.transitive_needs(&[3]), [1, 2, 3]);
    assert_eq!(graph.transitive_dependents(&[1]), [3, 2, 1]);
    assert_eq!(graph.layers(&[1, 2, 3]), [[3], [2], [1]]);
    assert_eq!(graph.remove(1), [change(2, Verdict::Failed)]);
    assert_eq!(graph.failure(2).unwrap().to_string(), "depends on web:*, which is not there");
}

#[test]
fn orders_follow_hard_items_and_respect_soft_ones() {
    let mut graph = Graph::new();
    alone(&mut graph, 1, "db", "", STOPPED);
    alone(&mut graph, 2, "mail", "db", STOPPED);
    alone(&mut graph, 3, "web", "mail?, db", STOPPED);
    alone(&mut graph, 4, "check", "web, mail", STOPPED);
    assert_eq!(graph.transitive_needs(&[3]), [1, 3]);
    assert_eq!(graph.transitive_needs(&[3, 2]), [1, 2, 3]);
    assert_eq!(graph.transitive_needs(&[4]), [1, 2, 3, 4]);
    assert_eq!(graph.transitive_dependents(&[2]), [4, 2]);
    assert_eq!(graph.transitive_dependents(&[1]), [4, 3, 2, 1]);
    let dependents: Vec<_> = graph.dependents(2).iter().map(|found| (found.id, found.is_soft)).collect();
    assert_eq!(dependents, [(3, true), (4, false)]);
    assert_eq!(graph.layers(&[1, 2, 3, 4]), [[4], [3], [2], [1]]);
    // The one between them is not to be stopped, and the order is the same.
    assert_eq!(graph.layers(&[1, 4]), [[4], [1]]);
}

#[test]
fn a_cycle_waits_and_ends() {
    let mut graph = Graph::new();
    alone(&mut graph, 1, "a", "b", STARTING);
    alone(&mut graph, 2, "b", "c", STARTING);
    alone(&mut graph, 3, "c", "a", STARTING);
    alone(&mut graph, 4, "self", "self", STARTING);
    assert!((1..5).all(|id| graph.verdict(id) == Verdict::Unmet));
    for order in [graph.transitive_needs(&[1, 4]), graph.transitive_dependents(&[1, 4])] {
        let mut sorted = order;
        sorted.sort_unstable();
        assert_eq!(sorted, [1, 2, 3, 4]);
    }
    let mut layers: Vec<u32> = graph.layers(&[1, 2, 3, 4]).concat();
    layers.sort_unstable();
    assert_eq!(layers, [1, 2, 3, 4]);
}

/// A start brings up what would not come by itself, and nothing else.
#[test]
fn what_has_to_be_started_first_is_what_has_failed() {
    let done = Standing::Resting(Rest::Done);
    let mut graph = Graph::new();
    alone(&mut graph, 1, "db", "", STOPPED);
    alone(&mut graph, 2, "migrate", "db", done);
    alone(&mut graph, 3, "cache", "", UP);
    alone(&mut graph, 4, "mail", "", STOPPED);
    alone(&mut graph, 5, "api", "db, migrate:done, cache, mail?", STOPPED);
    alone(&mut graph, 6, "web", "api", STOPPED);
    assert_eq!(graph.to_start(&[6]), [1, 5, 6]);
    assert_eq!(graph.to_start(&[5, 6]), [1, 5, 6]);
    graph.set(1, STARTING);
    assert_eq!(graph.to_start(&[6]), [5, 6], "it is on its way");
    graph.set(2, FATAL);
    assert_eq!(graph.to_start(&[6]), [2, 5, 6]);
    assert_eq!(graph.to_start(&[4]), [4]);
}
