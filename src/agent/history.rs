//! What a conversation remembers, how much of it a prompt may hold, and how the rest is condensed.

mod facts;
#[cfg(test)]
mod tests;

use jiff::Timestamp;

pub use facts::{Facts, read_facts};

use crate::{
    agent::{port::Message, prompt::message_tokens},
    policy::{Spoken, Vocabulary},
};

/// Past so many rows a conversation is condensed, however short they are.
const MOST_ROWS: usize = 400;
/// The most of a person's messages whose own words a summary keeps.
const MOST_WORDS: usize = 40;

/// What kind of row it is; the store keeps its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowKind {
    /// A person's message.
    User,
    /// The model's answer or calls.
    Assistant,
    /// A tool's output.
    Tool,
    /// What became of an approved or denied write.
    Outcome,
    /// Older rows in short.
    Summary,
}

impl RowKind {
    /// The word that the store keeps.
    pub fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
            Self::Outcome => "outcome",
            Self::Summary => "summary",
        }
    }

    /// The kind behind a stored word; an unknown one reads as a tool's output, the least trusted.
    pub fn from_word(word: &str) -> Self {
        match word {
            "user" => Self::User,
            "assistant" => Self::Assistant,
            "outcome" => Self::Outcome,
            "summary" => Self::Summary,
            _ => Self::Tool,
        }
    }
}

/// One remembered row.
#[derive(Clone, Debug, PartialEq)]
pub struct Remembered {
    /// Its number in the store; rows of the running turn have none yet.
    pub seq: Option<i64>,
    /// When.
    pub at: Timestamp,
    /// What kind.
    pub kind: RowKind,
    /// What the model reads.
    pub message: Message,
    /// It holds, or was written after reading, untrusted text.
    pub tainted: bool,
    /// The person's own words (several after a compaction), without quotes and pastes.
    pub words: Vec<String>,
    /// A confirmed write ended here: targets must be named anew after it.
    pub confirmed_write: bool,
    /// What code knows of it: of condensed rows all that outlives them, of an outcome what was decided.
    pub facts: Facts,
}

/// Whether anything in the context came from outside.
pub fn tainted(rows: &[Remembered]) -> bool {
    rows.iter().any(|r| r.tainted)
}

/// Through what foreign text came in, oldest first; empty where none did.
pub fn sources(rows: &[Remembered]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for source in rows.iter().flat_map(|r| r.facts.read.iter().cloned().chain(facts::source(r))) {
        if !found.contains(&source) {
            found.push(source);
        }
    }
    found
}

/// Whether a message holds more than the person's own words: a paste or a quote that nothing marks as one.
pub fn pasted(rows: &[Remembered]) -> bool {
    let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).count();
    rows.iter().any(|row| match &row.message {
        Message::User { text } if row.kind == RowKind::User => {
            letters(text) > row.words.iter().map(|w| letters(w)).sum()
        }
        _ => false,
    })
}

/// The person's own words up to the last confirmed write and since then, oldest first.
pub fn words(rows: &[Remembered]) -> Spoken {
    let from = rows.iter().rposition(|r| r.confirmed_write).map_or(0, |n| n + 1);
    let (earlier, since) = rows.split_at_checked(from).unwrap_or_default();
    let all = |rows: &[Remembered]| rows.iter().flat_map(|r| r.words.clone()).collect::<Vec<_>>();
    // What a summary says of the time before a confirmed write only ever serves "its".
    let before = rows.iter().filter_map(|r| r.facts.said.clone());
    Spoken { earlier: before.chain(all(earlier)).collect(), since: all(since) }
}

/// How many tokens the rows take.
pub fn size(rows: &[Remembered]) -> usize {
    rows.iter().map(|r| message_tokens(&r.message)).sum()
}

/// Older rows in short, and up to which row they go.
#[derive(Clone, Debug, PartialEq)]
pub struct Compaction {
    /// All rows up to and including this number are replaced.
    pub up_to: i64,
    /// How many rows from the front these are.
    pub rows: usize,
    /// What stands in their place.
    pub summary: Remembered,
}

/// Condenses the oldest turns once `rows` exceed `budget` tokens (or are too many), keeping the newest turns that fit
/// half of it; what stands in their place takes at most a quarter.
///
/// It is done by code: facts first, then who asked what, which tools looked, how the answer began. Nothing of the policy
/// lives in a history, so nothing of it can be lost; taint and the person's words are carried over.
pub fn compact(rows: &[Remembered], budget: usize, names: &Vocabulary) -> Option<Compaction> {
    if !is_due(rows, budget) {
        return None;
    }
    let (old, _) = rows.split_at_checked(newest(rows, budget / 2))?;
    let last = old.last()?;
    let up_to = last.seq?;
    let mut facts = Facts::default();
    for row in old {
        facts.learn(row, names);
    }
    facts.fit(budget / 4 * 3);
    let text = facts.text();
    if let [Remembered { kind: RowKind::Summary, message: Message::User { text: before }, .. }] = old
        && text.len() >= before.len()
    {
        return None;
    }
    // A write that ended in what goes is over: only what was said after it may still name a target, and "its" finds
    // the customer again through the last words that named one.
    let Spoken { mut earlier, since: mut words } = self::words(old);
    let surplus = words.len().saturating_sub(MOST_WORDS);
    earlier.extend(words.drain(..surplus));
    facts.said = earlier.into_iter().rfind(|said| !names.mentions(said).customers.is_empty());
    Some(Compaction {
        up_to,
        rows: old.len(),
        summary: Remembered {
            seq: None,
            at: last.at,
            kind: RowKind::Summary,
            message: Message::User { text },
            tainted: tainted(old),
            words,
            confirmed_write: false,
            facts,
        },
    })
}

/// Whether `rows` are more than `budget` tokens allow, or too many.
pub fn is_due(rows: &[Remembered], budget: usize) -> bool {
    size(rows) > budget || rows.len() > MOST_ROWS
}

/// Where the newest whole turns begin that take at most `budget` tokens together.
fn newest(rows: &[Remembered], budget: usize) -> usize {
    let mut from = rows.len();
    let mut taken = 0;
    for (n, row) in rows.iter().enumerate().rev().take(MOST_ROWS / 2) {
        taken += message_tokens(&row.message);
        if taken > budget {
            break;
        }
        if row.kind == RowKind::User || row.kind == RowKind::Outcome {
            from = n;
        }
    }
    from
}

/// The beginning of `text` in one line, at most `max` bytes and a mark.
pub fn first(text: &str, max: usize) -> String {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = flat.floor_char_boundary(max);
    if end == flat.len() { flat } else { format!("{}…", flat.get(..end).unwrap_or_default()) }
}

/// Shortens the oldest tool outputs of a prompt until it fits `budget` tokens; false when even that is not enough.
pub fn shrink(messages: &mut [Message], budget: usize) -> bool {
    let mut total: usize = messages.iter().map(message_tokens).sum();
    for message in messages.iter_mut() {
        if total <= budget {
            return true;
        }
        let before = message_tokens(message);
        if let Message::Tool { text, .. } = message
            && text.len() > 300
        {
            let end = text.floor_char_boundary(200);
            text.truncate(end);
            text.push_str("… [shortened; call the tool again for all of it]");
        }
        total -= before - message_tokens(message);
    }
    total <= budget
}
