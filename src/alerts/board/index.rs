//! What a chat needs of all incidents, in order, kept up to date change by change.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::need::{Facts, Key, Need};
use crate::domain::{CustomerId, IncidentId, Severity};

/// Whose; those of nobody known are one group.
type Owner = Option<CustomerId>;

/// The needs of a chat.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// Never shown, firing.
    pub fires: BTreeSet<Key>,
    /// Never shown, recovering.
    pub calm: BTreeSet<Key>,
    /// Of the first, the critical one of each customer that has no critical card yet.
    pub leaders: BTreeSet<Key>,
    /// Cards that are due whatever the storm.
    pub own: BTreeSet<Key>,
    /// Sounds.
    pub rings: BTreeSet<Key>,
    /// Edits, resolved ones first.
    pub edits: BTreeSet<(bool, Key)>,
    later: BTreeSet<(Timestamp, IncidentId)>,
    outside: BTreeSet<IncidentId>,
    criticals: BTreeMap<Owner, BTreeSet<Key>>,
    leader_of: BTreeMap<Owner, Key>,
    /// How many critical cards stand of whom.
    voiced: BTreeMap<Owner, usize>,
    critical: usize,
    sum: u64,
}

impl Index {
    /// Takes an incident in; `card` says that it has a card of its own.
    pub(super) fn add(&mut self, facts: &Facts, need: Need, card: bool) {
        self.change(facts, need, card, true);
    }

    /// Takes out what [`Index::add`] took in with the same values.
    pub(super) fn remove(&mut self, facts: &Facts, need: Need, card: bool) {
        self.change(facts, need, card, false);
    }

    fn change(&mut self, facts: &Facts, need: Need, card: bool, add: bool) {
        let key = facts.key();
        match need {
            Need::Nothing => {}
            Need::Later(due) => put(&mut self.later, (due, facts.id), add),
            Need::Outside => put(&mut self.outside, facts.id, add),
            Need::First { fires: true } => {
                put(&mut self.fires, key, add);
                self.weigh(key, true, add);
            }
            Need::First { fires: false } => {
                put(&mut self.calm, key, add);
                self.weigh(key, false, add);
            }
            Need::Own => put(&mut self.own, key, add),
            Need::Ring => put(&mut self.rings, key, add),
            Need::Edit => put(&mut self.edits, (!facts.is_over(), key), add),
        }
        if facts.severity == Severity::Critical {
            self.lead(facts, need == Need::First { fires: true }, card, add);
        }
    }

    /// Keeps the leaders right after a change of a critical one.
    fn lead(&mut self, facts: &Facts, first: bool, card: bool, add: bool) {
        let owner = &facts.customer;
        if first {
            let own = self.criticals.entry(owner.clone()).or_default();
            put(own, facts.key(), add);
            if own.is_empty() {
                self.criticals.remove(owner);
            }
            self.critical = if add { self.critical + 1 } else { self.critical.saturating_sub(1) };
        }
        if card {
            let voiced = self.voiced.entry(owner.clone()).or_default();
            *voiced = if add { *voiced + 1 } else { voiced.saturating_sub(1) };
            if *voiced == 0 {
                self.voiced.remove(owner);
            }
        }
        if first || card {
            self.choose(owner);
        }
    }

    fn choose(&mut self, owner: &Owner) {
        let free = !self.voiced.contains_key(owner);
        let next = self.criticals.get(owner).and_then(|own| own.first()).filter(|_| free).copied();
        if self.leader_of.get(owner).copied() == next {
            return;
        }
        if let Some(old) = self.leader_of.remove(owner) {
            self.leaders.remove(&old);
            self.weigh(old, true, true);
        }
        if let Some(key) = next {
            self.leader_of.insert(owner.clone(), key);
            self.leaders.insert(key);
            self.weigh(key, true, false);
        }
    }

    /// The sum stands for the set of what a storm's card covers: it is the same in whatever order it came.
    fn weigh(&mut self, (severity, _, id): Key, fires: bool, add: bool) {
        let weight = mix(id.0.cast_unsigned() ^ (severity.0 as u64) << 56 ^ u64::from(fires) << 63);
        self.sum = if add { self.sum.wrapping_add(weight) } else { self.sum.wrapping_sub(weight) };
    }

    /// How many have neither a card nor are about to get one before all others.
    pub(super) fn covered(&self) -> usize {
        (self.fires.len() + self.calm.len()).saturating_sub(self.leaders.len())
    }

    /// Those, worst first; whether each fires.
    pub(super) fn each_covered(&self) -> impl Iterator<Item = (Key, bool)> {
        let fires = self.fires.iter().filter(|key| !self.leaders.contains(*key)).map(|key| (*key, true));
        fires.chain(self.calm.iter().map(|key| (*key, false)))
    }

    /// Whether one of them is critical and fires.
    pub(super) fn covers_critical(&self) -> bool {
        self.critical > self.leaders.len()
    }

    /// Stands for the set of what is covered.
    pub(super) fn sum(&self) -> u64 {
        self.sum
    }

    /// What has become due.
    pub(super) fn due(&self, now: Timestamp) -> Vec<IncidentId> {
        self.later.iter().take_while(|(due, _)| *due <= now).map(|(_, id)| *id).collect()
    }

    /// When something becomes due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.later.first().map(|(due, _)| *due)
    }

    /// Whether something waits for another hour.
    pub(super) fn waits_for_hours(&self) -> bool {
        !self.outside.is_empty()
    }

    /// All whose need depends on the hour.
    pub(super) fn by_hours(&self) -> Vec<IncidentId> {
        let unsent = self.fires.iter().chain(&self.calm).map(|(_, _, id)| *id);
        self.outside.iter().copied().chain(unsent).collect()
    }
}

fn put<T: Ord>(set: &mut BTreeSet<T>, item: T, add: bool) {
    if add {
        set.insert(item);
    } else {
        set.remove(&item);
    }
}

/// Spreads a number over 64 bits (the finalizer of SplitMix64).
pub(super) fn mix(number: u64) -> u64 {
    let n = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}
