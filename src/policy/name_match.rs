//! Finds customers and services by name in a person's own words: whole words, no addresses, dates, paths or amounts.

use std::collections::BTreeMap;

use super::taint::Known;
use crate::domain::{CustomerId, ResolvedCall, ServiceName};

/// Words that say "the one just spoken of".
const PRONOUNS: [&str; 35] = [
    "its",
    "it",
    "that one",
    "this one",
    "the same",
    "same one",
    "that customer",
    "this customer",
    "same customer",
    "their",
    "them",
    "sein",
    "seine",
    "seinen",
    "seinem",
    "seiner",
    "seines",
    "dessen",
    "deren",
    "ihr",
    "ihre",
    "ihren",
    "ihrem",
    "ihrer",
    "ihres",
    "davon",
    "dort",
    "es",
    "ihn",
    "dieser kunde",
    "diesen kunden",
    "diesem kunden",
    "dieses kunden",
    "desselben",
    "denselben",
];
/// Before a name they say that it is a customer's.
const CUSTOMER: [&str; 16] = [
    "customer",
    "customers",
    "customer_id",
    "client",
    "clients",
    "tenant",
    "kunde",
    "kunden",
    "kundin",
    "kundennummer",
    "kundennr",
    "cust",
    "account",
    "cid",
    "nr",
    "number",
];
/// Words that a hyphen or a slash may tie to a name.
const TIED: [&str; 24] = [
    "container",
    "containers",
    "containern",
    "containers",
    "service",
    "services",
    "server",
    "servers",
    "dienst",
    "dienste",
    "dienstes",
    "stack",
    "stacks",
    "process",
    "prozess",
    "instance",
    "instanz",
    "app",
    "node",
    "backend",
    "frontend",
    "neustart",
    "restart",
    "logs",
];
/// After a number they make it an amount.
const UNITS: [&str; 60] = [
    "%",
    "percent",
    "prozent",
    "s",
    "sec",
    "secs",
    "second",
    "seconds",
    "sekunde",
    "sekunden",
    "ms",
    "m",
    "min",
    "mins",
    "minute",
    "minutes",
    "minuten",
    "h",
    "hour",
    "hours",
    "stunde",
    "stunden",
    "std",
    "day",
    "days",
    "tag",
    "tage",
    "tagen",
    "week",
    "weeks",
    "woche",
    "wochen",
    "month",
    "months",
    "monate",
    "monaten",
    "times",
    "mal",
    "x",
    "uhr",
    "am",
    "pm",
    "lines",
    "zeilen",
    "errors",
    "fehler",
    "requests",
    "anfragen",
    "kb",
    "mb",
    "gb",
    "tb",
    "kib",
    "mib",
    "gib",
    "bytes",
    "restarts",
    "containers",
    "customers",
    "kunden",
];
/// Before a number they make it something else.
const COUNTED: [&str; 26] = [
    "last",
    "past",
    "letzten",
    "letzte",
    "vergangenen",
    "port",
    "pid",
    "line",
    "zeile",
    "exit",
    "code",
    "status",
    "version",
    "uid",
    "ticket",
    "incident",
    "issue",
    "case",
    "card",
    "note",
    "vorfall",
    "notiz",
    "day",
    "tag",
    "forget_note",
    "history",
];
/// A customer called like one of these must be called a customer.
const COMMON: [&str; 29] = [
    "a", "an", "the", "der", "die", "das", "den", "dem", "all", "alle", "no", "is", "in", "on", "and", "und",
    "or", "oder", "to", "zu", "do", "me", "my", "we", "you", "ist", "ok", "yes", "ja",
];

/// Nobody types more than this many characters at once: it was pasted, and names nothing.
const LONGEST: usize = 4000;

/// What a name stands for.
#[derive(Debug, Default)]
struct Meaning {
    customers: Vec<CustomerId>,
    service: Option<ServiceName>,
}

/// All names, lower-case with single blanks, found by their first character.
#[derive(Debug)]
pub(super) struct Names {
    by_name: BTreeMap<String, Meaning>,
    by_start: BTreeMap<char, Vec<Vec<char>>>,
}

/// What a message names.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) customers: Vec<CustomerId>,
    pub(super) services: Vec<ServiceName>,
    /// It holds a word such as "its".
    pub(super) pronoun: bool,
}

impl Names {
    /// The inventory's names, and those of `call`, should the inventory not know them any more.
    pub(super) fn new(known: &Known<'_>, call: &ResolvedCall) -> Self {
        let mut names = Self::of(known);
        if let Some(id) = &call.target.customer {
            names.add_customer(id.as_str(), id);
        }
        for service in call.target.service.iter().chain(call.target.containers.iter().map(|c| &c.service)) {
            names.add_service(service);
        }
        names
    }

    /// The inventory's names.
    pub(super) fn of(known: &Known<'_>) -> Self {
        let mut names = Self { by_name: BTreeMap::new(), by_start: BTreeMap::new() };
        for customer in known.customers {
            let all = [customer.id.as_str()].into_iter().chain(customer.name.as_deref());
            for name in all.chain(customer.aliases.iter().map(String::as_str)) {
                names.add_customer(name, &customer.id);
            }
        }
        for (_, service) in known.services {
            names.add_service(service);
        }
        names
    }

    fn add_service(&mut self, service: &ServiceName) {
        if let Some(meaning) = self.meaning(service.as_str()) {
            meaning.service = Some(service.clone());
        }
    }

    fn add_customer(&mut self, name: &str, id: &CustomerId) {
        if let Some(meaning) = self.meaning(name)
            && !meaning.customers.contains(id)
        {
            meaning.customers.push(id.clone());
        }
    }

    fn meaning(&mut self, name: &str) -> Option<&mut Meaning> {
        let name = even(name);
        let first = name.chars().next()?;
        if !self.by_name.contains_key(&name) {
            self.by_start.entry(first).or_default().push(name.chars().collect());
        }
        Some(self.by_name.entry(name).or_default())
    }

    /// Who and what `text` names.
    pub(super) fn hear(&self, text: &str) -> Heard {
        let text: Vec<char> = even(text).chars().collect();
        if text.len() > LONGEST {
            return Heard::default();
        }
        let mut spans = Vec::new();
        for start in 0..text.len() {
            for name in text.get(start).and_then(|c| self.by_start.get(c)).into_iter().flatten() {
                let end = start + name.len();
                if text.get(start..end) == Some(name.as_slice()) && self.stands_alone(&text, start, end) {
                    spans.push((start, end));
                }
            }
        }
        let mut heard =
            Heard { pronoun: PRONOUNS.iter().any(|word| self.find(&text, word)), ..Heard::default() };
        for &(start, end) in &spans {
            let hidden = spans.iter().any(|&(s, e)| s <= start && end <= e && e - s > end - start);
            if !hidden {
                self.note(&text, start, end, &mut heard);
            }
        }
        heard
    }

    /// Whether `word` stands in `text` as a whole word.
    pub(super) fn has_word(&self, text: &str, word: &str) -> bool {
        self.find(&even(text).chars().collect::<Vec<_>>(), &even(word))
    }

    fn find(&self, text: &[char], word: &str) -> bool {
        let word: Vec<char> = word.chars().collect();
        !word.is_empty()
            && text.windows(word.len()).enumerate().any(|(start, window)| {
                window == word.as_slice() && self.stands_alone(text, start, start + word.len())
            })
    }

    fn note(&self, text: &[char], start: usize, end: usize, heard: &mut Heard) {
        let name: String = text.get(start..end).unwrap_or_default().iter().collect();
        let Some(meaning) = self.by_name.get(&name) else { return };
        let called = CUSTOMER.contains(&word_before(text, start).as_str());
        let everyday = meaning.service.is_some() || is_common(&name);
        if is_number(&name) && !called && is_amount(text, start, end) {
            return;
        }
        match (meaning.customers.as_slice(), &meaning.service) {
            ([one], _) if called || !everyday => push(&mut heard.customers, one),
            (_, Some(service)) if !called => push(&mut heard.services, service),
            // A name of several customers names none of them.
            _ => {}
        }
    }

    /// Whether what is next to the span leaves it a word of its own.
    fn stands_alone(&self, text: &[char], start: usize, end: usize) -> bool {
        let number = text.get(start..end).unwrap_or_default().iter().all(char::is_ascii_digit);
        let before: Vec<char> =
            text.get(..start).unwrap_or_default().iter().rev().take(64).copied().collect();
        let after: Vec<char> = text.get(end..).unwrap_or_default().iter().take(64).copied().collect();
        self.edge(&before, number, true) && self.edge(&after, number, false)
    }

    /// `beside` starts at the span and leads away from it.
    fn edge(&self, beside: &[char], number: bool, leftwards: bool) -> bool {
        let Some(&near) = beside.first() else { return true };
        let mut neighbour: String =
            beside.iter().skip(1).take_while(|c| c.is_alphanumeric() || **c == '_').collect();
        if leftwards {
            neighbour = neighbour.chars().rev().collect();
        }
        match near {
            c if c.is_alphanumeric() => false,
            '_' | '@' | '\\' | '%' | '€' | '$' | '°' | '^' | '+' => false,
            '.' => neighbour.is_empty(),
            ',' => !(number && is_number(&neighbour)),
            '/' if neighbour.is_empty() => false,
            '-' | '/' | ':' | '=' if neighbour.is_empty() => true,
            '-' | '/' | ':' | '=' => {
                let beyond = beside.get(1 + neighbour.chars().count()).copied();
                let path = near == '/' && beyond == Some('/');
                !(path || number && is_number(&neighbour)) && self.ties(&neighbour)
            }
            _ => true,
        }
    }

    fn ties(&self, neighbour: &str) -> bool {
        TIED.contains(&neighbour) || CUSTOMER.contains(&neighbour) || self.by_name.contains_key(neighbour)
    }
}

fn push<T: Clone + PartialEq>(list: &mut Vec<T>, item: &T) {
    if !list.contains(item) {
        list.push(item.clone());
    }
}

/// Lower-case, blanks made single.
fn even(text: &str) -> String {
    text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_digit())
}

fn is_common(name: &str) -> bool {
    COMMON.contains(&name) || PRONOUNS.contains(&name) || TIED.contains(&name) || CUSTOMER.contains(&name)
}

fn is_amount(text: &[char], start: usize, end: usize) -> bool {
    let after: String = text
        .get(end..)
        .unwrap_or_default()
        .iter()
        .skip_while(|c| **c == ' ')
        .take_while(|c| c.is_alphanumeric() || **c == '%')
        .collect();
    UNITS.contains(&after.as_str()) || COUNTED.contains(&word_before(text, start).as_str())
}

/// The word before `start`, past blanks and signs such as `#` and `=`.
fn word_before(text: &[char], start: usize) -> String {
    let before = text.get(..start).unwrap_or_default().iter().rev();
    let word = before
        .skip_while(|c| matches!(c, ' ' | '#' | ':' | '=' | '.' | '-' | '"' | '(' | '*' | '\''))
        .take_while(|c| c.is_alphanumeric() || **c == '_');
    let mut word: Vec<char> = word.copied().collect();
    word.reverse();
    word.into_iter().collect()
}
