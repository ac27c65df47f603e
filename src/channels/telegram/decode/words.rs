//! A message's own words: apart from quoted blocks, and from what only says that the bot is meant.

use std::ops::Range;

use teloxide::types::{MessageEntity, MessageEntityKind};

use super::{Me, id};

/// Inline code of at most this many words is a name, as in [`crate::policy::own_words`]; a longer one was pasted.
const NAME_WORDS: usize = 2;

/// A text taken apart.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// The person's own.
    pub own: String,
    /// Blocks that they quoted or pasted.
    pub pasted: Vec<String>,
    /// Whether the own words name this bot.
    pub names_us: bool,
    /// Whether they are a command, and whose.
    pub command: Command,
}

/// Whose command it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Command {
    /// No command.
    #[default]
    None,
    /// Without a bot's name, or with ours.
    Ours,
    /// With another bot's name.
    Foreign,
}

/// Takes `text` apart; entities that lie outside it, or inside a character, count for nothing.
pub(super) fn split(text: &str, entities: &[MessageEntity], me: &Me) -> Words {
    let bytes = byte_offsets(text);
    let place = |e: &MessageEntity| {
        let at = |unit: usize| bytes.get(unit).copied().flatten();
        let range = at(e.offset)?..at(e.offset.checked_add(e.length)?)?;
        text.get(range.clone()).map(|covered| (range, covered))
    };
    let mut pastes: Vec<Range<usize>> = Vec::new();
    let mut names: Vec<Range<usize>> = Vec::new();
    for entity in entities {
        let Some((range, covered)) = place(entity).filter(|(range, _)| !range.is_empty()) else { continue };
        if is_paste(&entity.kind, covered, text) {
            pastes.push(range);
        } else if is_us(&entity.kind, covered, me) {
            names.push(range);
        }
    }
    let pastes = merged(pastes);
    let (own, names) = without(text, &pastes, &names);
    let (own, command) = command(stripped(&own, &names), me);
    let pasted = pastes.into_iter().filter_map(|range| text.get(range)).map(str::to_owned).collect();
    Words { own, pasted, names_us: !names.is_empty(), command }
}

/// Where each UTF-16 unit of `text` begins, in bytes; none for the second half of a character. One more for the end.
fn byte_offsets(text: &str) -> Vec<Option<usize>> {
    let mut offsets = Vec::with_capacity(text.len() + 1);
    for (at, c) in text.char_indices() {
        offsets.push(Some(at));
        if c.len_utf16() == 2 {
            offsets.push(None);
        }
    }
    offsets.push(Some(text.len()));
    offsets
}

fn is_paste(kind: &MessageEntityKind, covered: &str, text: &str) -> bool {
    match kind {
        MessageEntityKind::Pre { .. }
        | MessageEntityKind::Blockquote
        | MessageEntityKind::ExpandableBlockquote => true,
        // A command that was copied with its format and sent as it is was meant.
        MessageEntityKind::Code if covered.trim() == text.trim() && covered.starts_with('/') => false,
        MessageEntityKind::Code => covered.split_whitespace().count() > NAME_WORDS || covered.contains('\n'),
        _ => false,
    }
}

fn is_us(kind: &MessageEntityKind, covered: &str, me: &Me) -> bool {
    match kind {
        MessageEntityKind::Mention => {
            covered.strip_prefix('@').is_some_and(|name| name.eq_ignore_ascii_case(&me.name))
        }
        MessageEntityKind::TextMention { user } => id(user) == me.id,
        _ => false,
    }
}

/// The ranges in order, those that touch or overlap as one.
fn merged(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| (range.start, range.end));
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// `text` without `cuts` (a line break stands for each), and where `names` lie in what is left.
fn without(text: &str, cuts: &[Range<usize>], names: &[Range<usize>]) -> (String, Vec<Range<usize>>) {
    let mut own = String::with_capacity(text.len());
    let mut found = Vec::new();
    let mut from = 0;
    for cut in cuts.iter().cloned().chain(std::iter::once(text.len()..text.len())) {
        let moved = |at: usize, own: &str| own.len() + at - from;
        let inside = names.iter().filter(|name| name.start >= from && name.end <= cut.start);
        found.extend(inside.map(|name| moved(name.start, &own)..moved(name.end, &own)));
        own.push_str(text.get(from..cut.start).unwrap_or_default());
        if cut.start < text.len() {
            own.push('\n');
        }
        from = cut.end;
    }
    found.sort_by_key(|name| name.start);
    (own, found)
}

/// `own` without the names at its ends, and without the comma or colon after the first ones.
fn stripped<'a>(own: &'a str, names: &[Range<usize>]) -> &'a str {
    let nothing = |part: Option<&str>| {
        part.is_some_and(|part| part.chars().all(|c| c.is_whitespace() || matches!(c, ',' | ':')))
    };
    let (mut begin, mut end) = (0, own.len());
    for name in names {
        if nothing(own.get(begin..name.start)) {
            begin = name.end;
        }
    }
    for name in names.iter().rev().filter(|name| name.start >= begin) {
        if nothing(own.get(name.end..end)) {
            end = name.start;
        }
    }
    let rest = own.get(begin..end).unwrap_or_default();
    let rest = if begin > 0 { rest.trim_start_matches([',', ':']) } else { rest };
    rest.trim()
}

/// The text with a command of ours in its plain form (`/Check_Up@OurBot 19` is `/check_up 19`), and whose it is.
fn command(text: &str, me: &Me) -> (String, Command) {
    let foreign = || (text.to_owned(), Command::Foreign);
    let none = || (text.to_owned(), Command::None);
    let Some(rest) = text.strip_prefix('/') else { return none() };
    let word = rest.split(char::is_whitespace).next().unwrap_or_default();
    let arguments = rest.get(word.len()..).unwrap_or_default();
    let (name, whose) = match word.split_once('@') {
        Some((name, whose)) => (name, Some(whose)),
        None => (word, None),
    };
    let proper = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(proper) {
        return none();
    }
    if whose.is_some_and(|whose| !whose.eq_ignore_ascii_case(&me.name)) {
        return foreign();
    }
    (format!("/{}{arguments}", name.to_ascii_lowercase()), Command::Ours)
}
