//! What outlives every compaction: facts that code finds in the person's own words, in calls and in outcomes, never in
//! foreign text, and never a rule: policy lives elsewhere.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Remembered, RowKind, first};
use crate::{
    agent::port::{Message, ModelCall},
    domain::CustomerId,
    policy::{Vocabulary, own_words},
};

/// What opens a summary, before everything else.
const OPENING: &str = "Earlier in this conversation, in short:";
/// The longest outcome and the longest sentence to keep in mind, in bytes.
const LONGEST: usize = 200;
/// How many of each kind are kept at most.
const MOST: [usize; 7] = [24, 24, 12, 8, 16, 12, 8];
/// Words with which people ask to keep something in mind.
const ASKS: [&str; 12] = [
    "keep in mind",
    "remember",
    "note that",
    "don't forget",
    "do not forget",
    "bear in mind",
    "merk dir",
    "merke dir",
    "denk daran",
    "denk dran",
    "vergiss nicht",
    "behalte",
];
/// Words before a number that make it the id of something people speak about again.
const NUMBERED: [&str; 9] =
    ["incident", "ticket", "case", "issue", "outage", "störung", "vorfall", "fall", "card"];

/// The facts of condensed rows, each list oldest first and without doubles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// How many of the person's messages are condensed here.
    #[serde(skip_serializing_if = "is_zero")]
    pub messages: u32,
    /// The customers named last, in own words: "its" means the only one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub last: Vec<String>,
    /// The last own words that named a customer, of those that a summary holds no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// Customers that the person named, with their names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub customers: Vec<String>,
    /// Services that the person named (`19/web`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    /// Customers that calls looked at and the person did not name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub looked_at: Vec<String>,
    /// What the person asked to keep in mind, in own words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<String>,
    /// Ids of incidents, tickets and cards.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// Who decided what, and how it ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outcomes: Vec<String>,
    /// Through what foreign text came in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub read: Vec<String>,
    /// The condensed messages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
}

impl Facts {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What code knows of an outcome: what became of which card.
    pub fn outcome(text: &str, card: &str) -> Self {
        Self { outcomes: vec![first(text, LONGEST)], ids: vec![format!("card {card}")], ..Self::default() }
    }

    /// Takes in one row that is to be condensed.
    pub(super) fn learn(&mut self, row: &Remembered, names: &Vocabulary) {
        self.absorb(&row.facts);
        match (&row.kind, &row.message) {
            (RowKind::User, Message::User { text }) => {
                self.messages += 1;
                for words in &row.words {
                    self.hear(words, names);
                }
                self.lines.push(format!("- asked: {}", first(text, 160)));
            }
            (RowKind::Outcome, Message::User { text }) => self.lines.push(format!("- {}", first(text, 200))),
            (RowKind::Summary, Message::User { text }) if row.facts.is_empty() => {
                self.lines.extend(text.lines().skip(1).map(str::to_owned));
            }
            (_, Message::Assistant { text, calls, .. }) => self.answer(text, calls, names),
            _ => {}
        }
        if let Some(source) = source(row) {
            push(&mut self.read, source);
        }
        self.bound();
    }

    /// What the person says in own words.
    fn hear(&mut self, words: &str, names: &Vocabulary) {
        let words = &own_words(words);
        let mentions = names.mentions(words);
        if !mentions.customers.is_empty() {
            self.last = mentions.customers.iter().map(|id| names.called(id)).collect();
        }
        for id in &mentions.customers {
            self.looked_at.retain(|known| *known != names.called(id));
            push(&mut self.customers, names.called(id));
        }
        let whose = match (mentions.customers.as_slice(), self.last.as_slice()) {
            ([], [one]) => one.split(' ').next().map(CustomerId::new).into_iter().collect(),
            (named, _) => named.to_vec(),
        };
        for service in &mentions.services {
            for id in whose.iter().filter(|id| names.has(id, service.as_str())) {
                push(&mut self.services, format!("{id}/{service}"));
            }
        }
        for sentence in words.split(['\n', '!', '?', ';']).flat_map(|part| part.split(". ")) {
            let lower = sentence.to_lowercase();
            if ASKS.iter().any(|asks| lower.contains(asks)) && sentence.contains(|c: char| c.is_ascii_digit())
            {
                push(&mut self.kept, first(sentence, LONGEST));
            }
        }
        for id in numbered(words) {
            push(&mut self.ids, id);
        }
    }

    fn answer(&mut self, text: &str, calls: &[ModelCall], names: &Vocabulary) {
        let mut parts = Vec::new();
        for ModelCall { name, args, .. } in calls {
            parts.push(format!("called {name} {args}"));
            let given =
                args.get("customer_id").map(|v| v.as_str().map_or_else(|| v.to_string(), String::from));
            let known = given.as_deref().and_then(|given| names.customer(given));
            if let Some(called) = known.map(|id| names.called(id))
                && !self.customers.contains(&called)
            {
                push(&mut self.looked_at, called);
            }
        }
        if !text.trim().is_empty() {
            parts.push(format!("answered: {}", first(text, 160)));
        }
        if !parts.is_empty() {
            self.lines.push(format!("- {}", first(&parts.join("; "), 400)));
        }
    }

    /// Takes in what came after: the newer is last.
    fn absorb(&mut self, newer: &Self) {
        self.messages += newer.messages;
        if !newer.last.is_empty() {
            self.last.clone_from(&newer.last);
        }
        for (list, more) in self.lists().into_iter().zip(newer.clone().lists()) {
            for item in more.drain(..) {
                push(list, item);
            }
        }
        self.lines.extend(newer.lines.iter().cloned());
    }

    /// The lists, in the order of [`MOST`].
    fn lists(&mut self) -> [&mut Vec<String>; 7] {
        [
            &mut self.customers,
            &mut self.services,
            &mut self.looked_at,
            &mut self.kept,
            &mut self.ids,
            &mut self.outcomes,
            &mut self.read,
        ]
    }

    fn bound(&mut self) {
        for (list, most) in self.lists().into_iter().zip(MOST) {
            let surplus = list.len().saturating_sub(most);
            list.drain(..surplus);
        }
    }

    /// Leaves out the least and oldest until the text takes at most `bytes`: lines first, then facts, outcomes last.
    pub(super) fn fit(&mut self, bytes: usize) {
        let mut over = self.text().len().saturating_sub(bytes);
        let mut gone = 0;
        while over > 0
            && let Some(line) = self.lines.get(gone)
        {
            over = over.saturating_sub(line.len() + 1);
            gone += 1;
        }
        self.lines.drain(..gone);
        for leave in [4, 0] {
            while self.text().len() > bytes && self.drop_one(leave) {}
        }
        if self.text().len() > bytes {
            self.last.clear();
        }
    }

    /// Drops the oldest of the least important list that has more than `leave`.
    fn drop_one(&mut self, leave: usize) -> bool {
        let Self { customers, services, looked_at, kept, ids, outcomes, .. } = self;
        for list in [ids, services, looked_at, kept, customers, outcomes] {
            if list.len() > leave {
                list.remove(0);
                return true;
            }
        }
        false
    }

    /// The facts and lines as the model reads them.
    pub(super) fn text(&self) -> String {
        let mut text = OPENING.to_owned();
        for fact in self.told() {
            let _never_fails = write!(text, "\n* {fact}");
        }
        for line in &self.lines {
            text.push('\n');
            text.push_str(line);
        }
        text
    }

    /// The facts in sentences, without the condensed messages.
    pub fn told(&self) -> Vec<String> {
        let mut told = Vec::new();
        if let [one] = self.last.as_slice() {
            told.push(format!("\"it\" was customer {one}"));
        }
        let lists = [
            ("customers that the person named", &self.customers),
            ("services that the person named", &self.services),
            ("also looked at", &self.looked_at),
            ("to keep in mind", &self.kept),
            ("ids", &self.ids),
            ("ended", &self.outcomes),
        ];
        for (what, list) in lists {
            if !list.is_empty() {
                told.push(format!("{what}: {}", list.join("; ")));
            }
        }
        told
    }
}

/// Through what foreign text came in with this row.
pub(super) fn source(row: &Remembered) -> Option<String> {
    match (&row.kind, &row.message) {
        _ if !row.tainted => None,
        (_, Message::Tool { name, text, .. }) => text.starts_with("<<<DATA").then(|| name.clone()),
        (RowKind::User, Message::User { text }) => {
            text.contains("<<<DATA").then(|| "a quote or a file".to_owned())
        }
        (RowKind::Outcome, _) => Some("the outcome of a write".to_owned()),
        _ => None,
    }
}

/// `INC-42`, `incident 42`, `ticket #7`: what people call incidents and tickets by.
fn numbered(words: &str) -> Vec<String> {
    let all: Vec<&str> = words.split_whitespace().collect();
    let digits = |word: &str| {
        let bare = word.trim_matches(|c: char| !c.is_ascii_digit());
        (!bare.is_empty() && bare.len() <= 12 && bare.chars().all(|c| c.is_ascii_digit()))
            .then(|| bare.to_owned())
    };
    let mut found = Vec::new();
    for (n, word) in all.iter().enumerate() {
        let clean = word.trim_matches(|c: char| !c.is_alphanumeric());
        let key = clean.split_once('-').is_some_and(|(letters, number)| {
            (2..=10).contains(&letters.len())
                && letters.chars().all(|c| c.is_ascii_uppercase())
                && (1..=12).contains(&number.len())
                && number.chars().all(|c| c.is_ascii_digit())
        });
        if key {
            push(&mut found, clean.to_owned());
        } else if NUMBERED.contains(&clean.to_lowercase().as_str())
            && let Some(number) = all.get(n + 1).and_then(|next| digits(next))
        {
            push(&mut found, format!("{} {number}", clean.to_lowercase()));
        }
    }
    found
}

/// Adds `item` as the newest.
fn push(list: &mut Vec<String>, item: String) {
    list.retain(|known| *known != item);
    list.push(item);
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// The facts that a stored row holds beside its message.
pub fn read_facts(content: &Value) -> Facts {
    content.get("facts").and_then(|facts| serde_json::from_value(facts.clone()).ok()).unwrap_or_default()
}
