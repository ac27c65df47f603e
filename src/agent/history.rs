//! What a conversation remembers, how much of it a prompt may hold, and how the rest is condensed.

use jiff::Timestamp;

use crate::{
    agent::{port::Message, prompt::message_tokens},
    policy::Spoken,
};

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
}

/// Whether anything in the context came from outside.
pub fn tainted(rows: &[Remembered]) -> bool {
    rows.iter().any(|r| r.tainted)
}

/// The person's own words up to the last confirmed write and since then, oldest first.
pub fn words(rows: &[Remembered]) -> Spoken {
    let from = rows.iter().rposition(|r| r.confirmed_write).map_or(0, |n| n + 1);
    let (earlier, since) = rows.split_at_checked(from).unwrap_or_default();
    let all = |rows: &[Remembered]| rows.iter().flat_map(|r| r.words.iter().cloned()).collect();
    Spoken { earlier: all(earlier), since: all(since) }
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

/// Condenses the oldest turns once `rows` exceed `budget` tokens, keeping the newest turns that fit half of it.
///
/// It is done by code: who asked what, which tools looked, how the answer began. Nothing of the policy lives in a
/// history, so nothing of it can be lost; taint and the person's words are carried over.
pub fn compact(rows: &[Remembered], budget: usize) -> Option<Compaction> {
    if size(rows) <= budget {
        return None;
    }
    let mut keep_from = rows.len();
    let mut kept = 0;
    for (n, row) in rows.iter().enumerate().rev() {
        kept += message_tokens(&row.message);
        if kept > budget / 2 {
            break;
        }
        if row.kind == RowKind::User || row.kind == RowKind::Outcome {
            keep_from = n;
        }
    }
    let (old, _) = rows.split_at_checked(keep_from)?;
    let last = old.last()?;
    let up_to = last.seq?;
    if let [only] = old
        && only.kind == RowKind::Summary
    {
        return None;
    }
    let mut lines: Vec<String> = old.iter().filter_map(line).collect();
    while lines.iter().map(String::len).sum::<usize>() > budget && lines.len() > 1 {
        lines.remove(0);
    }
    let text = format!("Earlier in this conversation, in short:\n{}", lines.join("\n"));
    // A write that ended in what goes is over: only what was said after it may still name a target, and "its" finds
    // the customer again through the newer rows.
    let mut words = words(old).since;
    let surplus = words.len().saturating_sub(40);
    words.drain(..surplus);
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
        },
    })
}

fn line(row: &Remembered) -> Option<String> {
    Some(match (&row.kind, &row.message) {
        (RowKind::Summary, Message::User { text }) => {
            text.split_once('\n').map_or_else(|| text.clone(), |(_, rest)| rest.to_owned())
        }
        (RowKind::User, Message::User { text }) => format!("- asked: {}", first(text, 160)),
        (RowKind::Outcome, Message::User { text }) => format!("- {}", first(text, 200)),
        (_, Message::Assistant { text, calls, .. }) => {
            let mut parts: Vec<String> =
                calls.iter().map(|c| format!("called {} {}", c.name, c.args)).collect();
            if !text.trim().is_empty() {
                parts.push(format!("answered: {}", first(text, 160)));
            }
            if parts.is_empty() {
                return None;
            }
            format!("- {}", first(&parts.join("; "), 400))
        }
        _ => return None,
    })
}

fn first(text: &str, max: usize) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seq: i64, kind: RowKind, text: &str) -> Remembered {
        let message = match kind {
            RowKind::Assistant => {
                Message::Assistant { text: text.into(), thinking: String::new(), calls: vec![] }
            }
            RowKind::Tool => Message::Tool { id: None, name: "t".into(), text: text.into() },
            RowKind::User | RowKind::Outcome | RowKind::Summary => Message::User { text: text.into() },
        };
        let words = if kind == RowKind::User { vec![text.to_owned()] } else { vec![] };
        Remembered {
            seq: Some(seq),
            at: Timestamp::UNIX_EPOCH,
            kind,
            message,
            tainted: kind == RowKind::Tool,
            words,
            confirmed_write: kind == RowKind::Outcome,
        }
    }

    fn conversation(turns: i64) -> Vec<Remembered> {
        (0..turns)
            .flat_map(|n| {
                [
                    row(n * 3, RowKind::User, &format!("question {n} about customer {n}")),
                    row(n * 3 + 1, RowKind::Tool, &"log line\n".repeat(60)),
                    row(n * 3 + 2, RowKind::Assistant, &format!("answer {n}")),
                ]
            })
            .collect()
    }

    #[test]
    fn compaction_keeps_whole_new_turns_words_and_taint() {
        let rows = conversation(20);
        assert_eq!(compact(&rows, size(&rows)), None);
        let c = compact(&rows, 2000).unwrap();
        assert!(c.summary.tainted);
        assert_eq!(c.summary.words.len(), c.rows / 3);
        assert_eq!(rows[c.rows].kind, RowKind::User, "cut at a turn's start");
        let Message::User { text } = &c.summary.message else { panic!() };
        assert!(text.contains("question 0 about customer 0") && text.contains("answer 0"), "{text}");
        let mut after = vec![Remembered { seq: Some(c.up_to), ..c.summary }];
        after.extend_from_slice(&rows[c.rows..]);
        assert_eq!(words(&after), words(&rows));
        assert!(size(&after) < 2000);
    }

    #[test]
    fn words_count_only_since_the_last_confirmed_write() {
        let mut rows = conversation(2);
        rows.push(row(6, RowKind::Outcome, "restarted"));
        assert_eq!(words(&rows).since, Vec::<String>::new());
        assert_eq!(words(&rows).earlier.len(), 2);
        rows.push(row(7, RowKind::User, "and 7?"));
        assert_eq!(words(&rows).since, ["and 7?"]);
    }

    #[test]
    fn shrinking_takes_the_oldest_outputs_first() {
        let mut messages: Vec<_> = conversation(4).into_iter().map(|r| r.message).collect();
        let all: usize = messages.iter().map(message_tokens).sum();
        assert!(shrink(&mut messages, all - 20));
        let lens: Vec<_> = messages
            .iter()
            .filter_map(|m| if let Message::Tool { text, .. } = m { Some(text.len()) } else { None })
            .collect();
        assert!(lens[0] < 260 && lens[3] == 540, "{lens:?}");
        assert!(!shrink(&mut messages, 10));
    }
}
