//! The order in which groups end.
//!
//! As in Supervisor the group with the highest priority number goes first, and the next one is stopped only when
//! nothing of the former runs any more. Groups of equal priority end together.

use std::collections::VecDeque;

/// The groups that are still to be stopped, in phases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Phases<Group> {
    waiting: VecDeque<Vec<Group>>,
}

impl<Group> Phases<Group> {
    /// Sorts groups into phases of equal priority, last priority first. Within a phase the last group given
    /// stands first.
    pub fn new(groups: impl IntoIterator<Item = (i64, Group)>) -> Phases<Group> {
        let mut sorted: Vec<(i64, Group)> = groups.into_iter().collect();
        sorted.reverse();
        // Stable, so equal priorities keep the reversed order.
        sorted.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
        let mut waiting: VecDeque<Vec<Group>> = VecDeque::new();
        let mut current = None;
        for (priority, group) in sorted {
            if current != Some(priority) {
                waiting.push_back(Vec::new());
                current = Some(priority);
            }
            // A phase was pushed for this priority just above or in an earlier round.
            if let Some(phase) = waiting.back_mut() {
                phase.push(group);
            }
        }
        Phases { waiting }
    }
}

/// Hands out the phases one by one.
impl<Group> Iterator for Phases<Group> {
    type Item = Vec<Group>;

    fn next(&mut self) -> Option<Vec<Group>> {
        self.waiting.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn highest_priority_first_and_equals_together_last_first() {
        let phases = Phases::new([(-1, "listener"), (5, "a"), (999, "b"), (999, "c"), (5, "d")]);
        assert_eq!(phases.collect::<Vec<_>>(), vec![vec!["c", "b"], vec!["d", "a"], vec!["listener"]]);
    }

    #[test]
    fn nothing_to_stop_has_no_phase() {
        assert_eq!(Phases::<u8>::new([]).next(), None);
    }
}
