//! Whom a clause is about: named in it, in the clauses beside it, or last in the conversation.

use super::{
    lexicon,
    names::{Mention, Named, Names},
    words::{self, Break, Role, Word},
};
use crate::{
    domain::{CustomerId, ServiceName},
    policy,
};

/// How many of a person's messages are looked through for the one who was named last.
const LOOKED_BACK: usize = 20;
/// Words that mean a whole stack, whatever service was spoken of.
const WHOLE: &[&str] = &["everything", "all", "whole", "entire", "stack", "complete", "completely"];
/// Words that mean somebody else than the one named last.
const OTHERS: &[&str] = &[
    "other",
    "others",
    "another",
    "different",
    "somebody",
    "someone",
    "andere",
    "anderen",
    "every",
    "each",
    "everybody",
    "everyone",
];

/// How a clause came to its customer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// It has none.
    #[default]
    None,
    /// Nothing in it says so: it was named last in the conversation.
    Implied,
    /// By "it" or "its".
    Pronoun,
    /// In another clause of the message.
    Beside,
    /// In the clause itself.
    Named,
}

/// Whom and what a clause is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    /// The customers, by id; one that nobody has is here as it was typed.
    pub(super) customers: Vec<CustomerId>,
    /// The services.
    pub(super) services: Vec<ServiceName>,
    /// Whom one name could mean, when it could mean several.
    pub(super) unsure: Vec<CustomerId>,
    /// How it came to the customers.
    pub(super) source: Source,
    /// Every name is the inventory's own.
    pub(super) exact: bool,
    /// The service stands in the clause itself.
    pub(super) service_named: bool,
    /// The clause speaks of the whole stack.
    pub(super) whole: bool,
}

/// Who was named last in a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Last {
    pub(super) customers: Vec<CustomerId>,
    pub(super) services: Vec<ServiceName>,
}

/// Finds who was named last in `earlier`, a person's messages, oldest first.
pub(super) fn last_named(names: &Names<'_>, earlier: &[String]) -> Last {
    let mut services: Vec<ServiceName> = Vec::new();
    for text in earlier.iter().rev().take(LOOKED_BACK) {
        let mut words = words::words(&policy::own_words(text));
        let mentions = names.find(&mut words, &|_| true);
        let (customers, here) = split(&mentions);
        if services.is_empty() {
            services = here;
        }
        if !customers.is_empty() {
            return Last { customers, services };
        }
    }
    Last::default()
}

fn split(mentions: &[Mention]) -> (Vec<CustomerId>, Vec<ServiceName>) {
    let (mut customers, mut services) = (Vec::new(), Vec::new());
    for mention in mentions {
        match &mention.named {
            Named::Customer(ids) if ids.len() == 1 => push_all(&mut customers, ids),
            Named::Customer(_) | Named::Nobody(_) => {}
            Named::Service(service) => push_all(&mut services, std::slice::from_ref(service)),
        }
    }
    (customers, services)
}

fn push_all<T: Clone + PartialEq>(list: &mut Vec<T>, items: &[T]) {
    for item in items {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
}

/// The whole message: its words, names and clauses.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub(super) words: &'a [Word],
    pub(super) mentions: &'a [Mention],
    pub(super) clauses: &'a [(usize, usize)],
    /// Clauses that deny something: whom they name is not meant by a change elsewhere.
    pub(super) denied: &'a [bool],
    /// Clauses that ask for a change.
    pub(super) changes: &'a [bool],
    pub(super) last: &'a Last,
}

impl Message<'_> {
    fn own(&self, clause: usize) -> (Vec<&Mention>, &[Word]) {
        let (from, to) = self.clauses.get(clause).copied().unwrap_or_default();
        let mentions = self.mentions.iter().filter(|m| m.at >= from && m.at < to).collect();
        (mentions, self.words.get(from..to).unwrap_or_default())
    }

    /// Whom the clause is about.
    pub(super) fn target(&self, clause: usize) -> Target {
        let (own, words) = self.own(clause);
        let mut target = Target { exact: true, ..Target::default() };
        for mention in &own {
            target.exact &= mention.exact;
            match &mention.named {
                Named::Customer(ids) if ids.len() > 1 => target.unsure.clone_from(ids),
                Named::Customer(ids) => push_all(&mut target.customers, ids),
                Named::Nobody(given) => push_all(&mut target.customers, &[CustomerId::new(given)]),
                Named::Service(service) => push_all(&mut target.services, std::slice::from_ref(service)),
            }
        }
        target.service_named = !target.services.is_empty();
        target.whole = words.iter().any(|w| w.is_any(WHOLE));
        if !target.customers.is_empty() || !target.unsure.is_empty() {
            target.source = Source::Named;
            return target;
        }
        let pronoun = words.iter().any(|w| w.is_any(lexicon::PRONOUNS)) || called_that(words);
        let Some((source, beside, services)) = self.meant(clause, words, pronoun) else { return target };
        target.source = source;
        target.customers = beside;
        if !target.service_named && pronoun && !target.whole && services.len() == 1 {
            target.services = services;
        }
        target
    }

    /// Whom a clause means that names nobody.
    fn meant(
        &self,
        clause: usize,
        words: &[Word],
        pronoun: bool,
    ) -> Option<(Source, Vec<CustomerId>, Vec<ServiceName>)> {
        let changes = self.changes.get(clause).copied().unwrap_or(true);
        let named = |n: usize| {
            let (own, _) = self.own(n);
            let mentions: Vec<Mention> = own.into_iter().filter(|m| m.exact).cloned().collect();
            let (customers, services) = split(&mentions);
            let denied = changes && self.denied.get(n).copied().unwrap_or(true);
            (!customers.is_empty() && !denied).then_some((customers, services))
        };
        if let Some((customers, services)) = (0..clause).rev().find_map(named) {
            return Some((Source::Beside, customers, services));
        }
        // "Restart web and clear the cache of 19."
        let joined = |n: usize| {
            (clause..n).all(|n| {
                let (_, to) = self.clauses.get(n).copied().unwrap_or_default();
                to.checked_sub(1).and_then(|n| self.words.get(n)).is_some_and(|w| w.after < Break::Stop)
            })
        };
        if !pronoun
            && let Some((customers, services)) =
                (clause + 1..self.clauses.len()).filter(|n| joined(*n)).find_map(named)
        {
            return Some((Source::Beside, customers, services));
        }
        let [only] = self.last.customers.as_slice() else { return None };
        let somebody_else = words.iter().any(|w| w.is_any(OTHERS)) || speaks_of_all(words);
        if somebody_else || !pronoun && has_stranger(words) {
            return None;
        }
        let source = if pronoun { Source::Pronoun } else { Source::Implied };
        Some((source, vec![only.clone()], self.last.services.clone()))
    }
}

/// "That one", "this customer".
fn called_that(words: &[Word]) -> bool {
    words
        .iter()
        .zip(words.iter().skip(1))
        .any(|(a, b)| a.is_any(&["that", "this"]) && b.is_any(&["one", "customer", "service", "container"]))
}

fn speaks_of_all(words: &[Word]) -> bool {
    words.iter().any(|w| w.is_any(&["customers", "hosts", "servers", "everywhere"]))
}

/// Whether somebody is named whom the inventory does not know: "the logs of Hansen".
fn has_stranger(words: &[Word]) -> bool {
    let known = |w: &Word| {
        w.role != Role::Plain
            || lexicon::STOP.contains(&w.en.as_str())
            || lexicon::FILLER.contains(&w.en.as_str())
            || lexicon::SERVICE.contains(&w.en.as_str())
            || w.is_any(&["logs", "log", "containers", "alerts", "metrics", "everything", "cache"])
    };
    let after = words.iter().enumerate().any(|(n, w)| {
        let object = words.iter().skip(n + 1).find(|w| !w.is_any(&["the", "a", "an", "customer"]));
        w.is_any(&["of", "from", "at"]) && object.is_some_and(|o| !known(o))
    });
    after || words.iter().any(|w| w.possessive && !known(w))
}
