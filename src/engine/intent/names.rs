//! Who and what a message names: customers and services of the live inventory, exactly, in part or with a slip.

use super::{
    lexicon,
    words::{self, Break, Role, Word},
};
use crate::{
    domain::{CustomerId, ServiceName},
    engine::intent::Directory,
};

/// What a mention says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// One customer, or several that the same name could mean.
    Customer(Vec<CustomerId>),
    /// A customer by a number that nobody has.
    Nobody(String),
    /// A service.
    Service(ServiceName),
}

/// A name in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mention {
    /// The first of its words.
    pub(super) at: usize,
    /// What it says.
    pub(super) named: Named,
    /// As the inventory writes it, and not part of it, another word for it or a slip of the pen.
    pub(super) exact: bool,
}

/// All names of the inventory.
#[derive(Debug)]
pub(super) struct Names<'a> {
    directory: &'a Directory,
    customers: Vec<(Vec<String>, &'a CustomerId)>,
    services: Vec<(Vec<String>, &'a ServiceName)>,
}

impl<'a> Names<'a> {
    pub(super) fn new(directory: &'a Directory) -> Self {
        let mut customers = Vec::new();
        for c in &directory.customers {
            let all = [c.id.as_str()].into_iter().chain(c.name.as_deref());
            for name in all.chain(c.aliases.iter().map(String::as_str)).chain(c.domain.as_deref()) {
                for spelling in spellings(name) {
                    if !customers.contains(&(spelling.clone(), &c.id)) && !spelling.is_empty() {
                        customers.push((spelling, &c.id));
                    }
                }
            }
        }
        let mut services: Vec<(Vec<String>, &ServiceName)> = Vec::new();
        for (_, service) in &directory.services {
            if !services.iter().any(|(_, known)| *known == service) {
                services.extend(spellings(service.as_str()).into_iter().map(|s| (s, service)));
            }
        }
        Self { directory, customers, services }
    }

    /// Finds the names and marks their words, with the "customer" and "container" beside them.
    ///
    /// `vocabulary` says which words the tools use: those are no slips of a name.
    pub(super) fn find(&self, words: &mut Vec<Word>, vocabulary: &dyn Fn(&Word) -> bool) -> Vec<Mention> {
        self.split(words);
        let mut found: Vec<(Mention, usize)> = Vec::new();
        let mut at = 0;
        while at < words.len() {
            let next = self.exact(words, at).or_else(|| self.loose(words, at, vocabulary));
            match next {
                Some((mention, len)) => {
                    found.push((mention, len));
                    at += len;
                }
                None => at += 1,
            }
        }
        // Somebody who is named outright is not also meant by half a name.
        let outright = |m: &Mention| m.exact && matches!(m.named, Named::Customer(_) | Named::Nobody(_));
        if found.iter().any(|(m, _)| outright(m)) {
            found.retain(|(m, _)| m.exact || matches!(m.named, Named::Service(_)));
        }
        for (mention, len) in &found {
            for word in words.iter_mut().skip(mention.at).take(*len) {
                word.role = Role::Name;
            }
            let list = match mention.named {
                Named::Service(_) => lexicon::SERVICE,
                Named::Customer(_) | Named::Nobody(_) => lexicon::CUSTOMER,
            };
            let behind = mention.at + len;
            let open =
                behind.checked_sub(1).and_then(|n| words.get(n)).is_some_and(|w| w.after == Break::None);
            for beside in [mention.at.checked_sub(1), open.then_some(behind)].into_iter().flatten() {
                if let Some(word) = words.get_mut(beside)
                    && list.contains(&word.en.as_str())
                {
                    word.role = Role::Name;
                }
            }
        }
        found.into_iter().map(|(mention, _)| mention).collect()
    }

    /// `19-web` and `web-container` are two words where both are known; `recover-web` is one.
    fn split(&self, words: &mut Vec<Word>) {
        let known = |part: &str| {
            self.is_name(part) || lexicon::SERVICE.contains(&part) || lexicon::CUSTOMER.contains(&part)
        };
        let mut out = Vec::with_capacity(words.len());
        for word in words.drain(..) {
            let parts: Vec<&str> = word.raw.split(['-', ':', '=', '/', '_']).collect();
            let whole = parts.len() < 2 || self.is_name(&word.folded);
            let amounts = parts.iter().filter(|p| p.chars().all(|c| c.is_ascii_digit())).count() > 1;
            if whole || amounts || !parts.iter().all(|p| known(&words::fold(p))) {
                out.push(word);
                continue;
            }
            let mut made = words::words(&parts.join(" "));
            if let Some(last) = made.last_mut() {
                last.after = word.after;
                last.possessive = word.possessive;
            }
            out.append(&mut made);
        }
        *words = out;
    }

    fn is_name(&self, folded: &str) -> bool {
        let is = |name: &[String]| matches!(name, [only] if only == folded);
        self.customers.iter().any(|(name, _)| is(name)) || self.services.iter().any(|(name, _)| is(name))
    }

    fn exact(&self, words: &[Word], at: usize) -> Option<(Mention, usize)> {
        let word = words.get(at).filter(|w| w.role == Role::Plain)?;
        let called =
            word.hash || before(words, at).is_some_and(|w| lexicon::CUSTOMER.contains(&w.en.as_str()));
        let fits = |name: &Vec<String>| {
            name.iter().enumerate().all(|(n, part)| {
                let inner = n + 1 == name.len();
                words.get(at + n).is_some_and(|w| {
                    w.role == Role::Plain && w.folded == *part && (inner || w.after == Break::None)
                })
            })
        };
        let longest = |len: usize| move |name: &&(Vec<String>, _)| name.0.len() == len;
        let service = self.services.iter().filter(|(name, _)| fits(name)).max_by_key(|(name, _)| name.len());
        let customers: Vec<_> = self.customers.iter().filter(|(name, _)| fits(name)).collect();
        let len = customers.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        if let Some((name, service)) = service
            && (name.len() > len || name.len() == len && !called)
        {
            let mention = Mention { at, named: Named::Service((*service).clone()), exact: true };
            return Some((mention, name.len()));
        }
        let mut ids: Vec<CustomerId> =
            customers.into_iter().filter(longest(len)).map(|(_, id)| (*id).clone()).collect();
        ids.dedup();
        let number = is_number(&word.folded);
        if number && !called && is_amount(words, at) {
            return None;
        }
        let everyday = len == 1
            && (lexicon::STOP.contains(&word.en.as_str()) || lexicon::FILLER.contains(&word.en.as_str()));
        if !ids.is_empty() && (called || !everyday) {
            return Some((Mention { at, named: Named::Customer(ids), exact: true }, len));
        }
        let aimed = called || before(words, at).is_some_and(|w| w.is_any(&["of", "for", "on"]));
        (number && aimed && !is_amount(words, at))
            .then(|| (Mention { at, named: Named::Nobody(word.raw.clone()), exact: true }, 1))
    }

    /// A number word, a telling part of a name, another word for a service, or a slip of the pen.
    fn loose(
        &self,
        words: &[Word],
        at: usize,
        vocabulary: &dyn Fn(&Word) -> bool,
    ) -> Option<(Mention, usize)> {
        let word = words.get(at).filter(|w| w.role == Role::Plain)?;
        let mention = |named| Some((Mention { at, named, exact: false }, 1));
        if let Some(id) = self.number_word(words, at) {
            return mention(Named::Customer(vec![id]));
        }
        let known = |text: &str| {
            self.services.iter().find(|(name, _)| matches!(name.as_slice(), [only] if only == text))
        };
        let other = lexicon::SERVICE_WORDS.iter().find(|(said, _)| *said == word.en);
        if let Some((_, service)) = other.and_then(|(_, short)| known(short)) {
            return mention(Named::Service((*service).clone()));
        }
        let common =
            [lexicon::STOP, lexicon::FILLER, lexicon::NEGATIONS, lexicon::CONDITIONS, lexicon::QUESTION];
        if word.folded.chars().count() < 4 || common.iter().any(|list| list.contains(&word.en.as_str())) {
            return None;
        }
        if vocabulary(word) && !word.possessive {
            return None;
        }
        let part = |(name, _): &&(Vec<String>, &CustomerId)| name.len() > 1 && name.contains(&word.folded);
        let mut ids: Vec<CustomerId> =
            self.customers.iter().filter(part).map(|(_, id)| (*id).clone()).collect();
        if ids.is_empty() {
            let slip = |(name, _): &&(Vec<String>, &CustomerId)| {
                name.iter().any(|part| words::is_slip(&word.folded, part))
                    || words::is_slip(&word.folded, &name.concat())
            };
            ids = self.customers.iter().filter(slip).map(|(_, id)| (*id).clone()).collect();
        }
        ids.sort();
        ids.dedup();
        if !ids.is_empty() {
            return mention(Named::Customer(ids));
        }
        let mut near = self
            .services
            .iter()
            .filter(|(name, _)| matches!(name.as_slice(), [only] if words::is_slip(&word.folded, only)));
        match (near.next(), near.next()) {
            (Some((_, service)), None) => mention(Named::Service((*service).clone())),
            _ => None,
        }
    }

    /// "customer nineteen", "of nineteen".
    fn number_word(&self, words: &[Word], at: usize) -> Option<CustomerId> {
        let word = words.get(at)?;
        let (_, value) = lexicon::NUMBERS.iter().find(|(said, _)| *said == word.folded)?;
        let ahead = before(words, at)?;
        let called = lexicon::CUSTOMER.contains(&ahead.en.as_str());
        let aimed = *value > 2 && ahead.is_any(&["of", "for", "on", "is"]) && !is_amount(words, at);
        let id = value.to_string();
        let known = self.directory.customers.iter().find(|c| c.id.as_str() == id)?;
        (called || aimed).then(|| known.id.clone())
    }
}

/// How a name may be written: with umlauts spelt out, and without their dots.
fn spellings(name: &str) -> Vec<Vec<String>> {
    let parts = |text: String| words::words(&text).into_iter().map(|w| w.folded).collect::<Vec<_>>();
    let mut both = vec![parts(name.to_owned())];
    let flat = parts(words::flat(name));
    if !both.contains(&flat) {
        both.push(flat);
    }
    both
}

fn before(words: &[Word], at: usize) -> Option<&Word> {
    words.get(at.checked_sub(1)?).filter(|w| w.after == Break::None)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_digit())
}

fn is_amount(words: &[Word], at: usize) -> bool {
    let open = words.get(at).is_some_and(|w| w.after == Break::None);
    let next = words.get(at + 1).filter(|_| open);
    let unit =
        |w: &Word| lexicon::UNITS.contains(&w.folded.as_str()) || lexicon::UNITS.contains(&w.en.as_str());
    // "the last 100 log lines"
    let far = words.get(at + 2).filter(|_| open && next.is_some_and(|w| w.is_any(&["log", "error", "more"])));
    next.is_some_and(unit)
        || far.is_some_and(unit)
        || before(words, at).is_some_and(|w| lexicon::COUNTED.contains(&w.en.as_str()))
}
