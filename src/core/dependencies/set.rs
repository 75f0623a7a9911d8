//! All processes that one item of `depends_on` stands for, shared by everybody who depends on them.

use super::{Standing, Verdict};
use crate::model::dependency::{Condition, is_pattern};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The number of a set.
pub(super) type SetId = u64;

/// The processes of a target, with what must be true of all of them.
#[derive(Clone, Debug)]
pub(super) struct Set {
    pub(super) target: Arc<str>,
    pub(super) condition: Condition,
    /// A pattern never stands for the process that depends on it.
    is_pattern: bool,
    members: BTreeSet<u32>,
    /// Members that do not fulfil the condition yet.
    unmet: BTreeSet<u32>,
    /// Members that will not fulfil it by themselves.
    failed: BTreeSet<u32>,
    /// Who depends on it and is no member, or is one of a target that is no pattern.
    hard: BTreeSet<u32>,
    soft: BTreeSet<u32>,
    /// Who depends on a pattern that also matches themselves, and whether softly. Each of them sees another set. Two of
    /// them would wait for each other, so a valid configuration has at most one.
    insiders: BTreeMap<u32, bool>,
}

/// A dependent that does not see what others see, or is about to.
pub(super) struct Aside {
    pub(super) id: u32,
    pub(super) is_soft: bool,
    pub(super) verdict: Verdict,
}

impl Set {
    pub(super) fn new(target: Arc<str>, condition: Condition) -> Set {
        Set {
            is_pattern: is_pattern(&target),
            target,
            condition,
            members: BTreeSet::new(),
            unmet: BTreeSet::new(),
            failed: BTreeSet::new(),
            hard: BTreeSet::new(),
            soft: BTreeSet::new(),
            insiders: BTreeMap::new(),
        }
    }

    /// Whether a change of the target's processes can be told from its first word: what stands before the colon.
    /// `None` if that is a pattern.
    pub(super) fn first_word(&self) -> Option<&str> {
        let word = self.target.split_once(':').map_or(&*self.target, |(word, _)| word);
        (!is_pattern(word)).then_some(word)
    }

    pub(super) fn members(&self) -> &BTreeSet<u32> {
        &self.members
    }

    /// The members that one of its dependents depends on.
    pub(super) fn seen_by(&self, id: u32) -> impl Iterator<Item = u32> + '_ {
        let leaves_out = self.is_insider(id);
        self.members.iter().copied().filter(move |member| !leaves_out || *member != id)
    }

    /// The dependents that share what they see.
    pub(super) fn outsiders(&self, is_soft: bool) -> &BTreeSet<u32> {
        if is_soft { &self.soft } else { &self.hard }
    }

    pub(super) fn insiders(&self) -> &BTreeMap<u32, bool> {
        &self.insiders
    }

    pub(super) fn is_insider(&self, id: u32) -> bool {
        self.insiders.contains_key(&id)
    }

    pub(super) fn is_needed(&self) -> bool {
        !(self.hard.is_empty() && self.soft.is_empty() && self.insiders.is_empty())
    }

    /// What holds for dependents that are no insiders.
    pub(super) fn verdict(&self, is_soft: bool) -> Verdict {
        judge(self.members.len(), self.unmet.len(), self.failed.len(), is_soft)
    }

    /// What holds for one of its dependents.
    pub(super) fn verdict_for(&self, id: u32, is_soft: bool) -> Verdict {
        if !self.is_insider(id) {
            return self.verdict(is_soft);
        }
        let others = |ids: &BTreeSet<u32>| ids.len() - usize::from(ids.contains(&id));
        judge(others(&self.members), others(&self.unmet), others(&self.failed), is_soft)
    }

    /// Members that do not fulfil the condition yet, without that dependent.
    pub(super) fn unmet_for(&self, id: u32) -> impl Iterator<Item = u32> + '_ {
        let leaves_out = self.is_insider(id);
        self.unmet.iter().copied().filter(move |member| !leaves_out || *member != id)
    }

    /// The first member that will not fulfil the condition by itself.
    pub(super) fn failed_for(&self, id: u32) -> Option<u32> {
        let leaves_out = self.is_insider(id);
        self.failed.iter().copied().find(|member| !leaves_out || *member != id)
    }

    /// Notes where a member stands. Makes it a member if it is none.
    pub(super) fn place(&mut self, id: u32, standing: Standing) {
        self.members.insert(id);
        self.unmet.remove(&id);
        self.failed.remove(&id);
        match standing.judge(self.condition) {
            Verdict::Met => {}
            Verdict::Unmet => _ = self.unmet.insert(id),
            Verdict::Failed => _ = self.failed.insert(id),
        }
    }

    /// It is no member any more.
    pub(super) fn forget(&mut self, id: u32) {
        self.members.remove(&id);
        self.unmet.remove(&id);
        self.failed.remove(&id);
    }

    /// Somebody depends on it from now on. Answers what holds for them.
    pub(super) fn seat(&mut self, id: u32, is_soft: bool) -> Verdict {
        if self.is_pattern && self.members.contains(&id) {
            self.insiders.insert(id, is_soft);
        } else if is_soft {
            self.soft.insert(id);
        } else {
            self.hard.insert(id);
        }
        self.verdict_for(id, is_soft)
    }

    /// Somebody does not depend on it any more.
    pub(super) fn unseat(&mut self, id: u32) {
        self.hard.remove(&id);
        self.soft.remove(&id);
        self.insiders.remove(&id);
    }

    /// Takes out all insiders, and dependents that are about to become members, with what holds for them.
    pub(super) fn set_aside(&mut self, joining: &[u32]) -> Vec<Aside> {
        let mut aside = Vec::new();
        for (&id, &is_soft) in &self.insiders {
            aside.push(Aside { id, is_soft, verdict: self.verdict_for(id, is_soft) });
        }
        self.insiders.clear();
        for &id in joining.iter().filter(|_| self.is_pattern) {
            let is_soft = self.soft.remove(&id);
            if is_soft || self.hard.remove(&id) {
                aside.push(Aside { id, is_soft, verdict: self.verdict(is_soft) });
            }
        }
        aside
    }
}

fn judge(n_members: usize, n_unmet: usize, n_failed: usize, is_soft: bool) -> Verdict {
    match (is_soft, n_failed, n_unmet) {
        // What is at rest is no obstacle, and what is not there neither.
        (true, _, 0) => Verdict::Met,
        (true, _, _) => Verdict::Unmet,
        (false, 0, 0) if n_members > 0 => Verdict::Met,
        (false, 0, 1..) => Verdict::Unmet,
        (false, _, _) => Verdict::Failed,
    }
}
