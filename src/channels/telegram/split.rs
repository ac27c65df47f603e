//! Long text in parts that each fit a message, cut where a reader would cut and never inside a character.

use teloxide::types::{MessageEntity, MessageEntityKind as Kind};
use unicode_segmentation::UnicodeSegmentation;

use super::{
    post::{ENTITY_LIMIT, Rich},
    text::{is_blank, units},
};

/// The text in parts of at most `room` UTF-16 units (at least 2) and [`ENTITY_LIMIT`] entities, none of them blank.
///
/// The parts together are the text, but for the whitespace at the cuts and at both ends. An entity that is cut goes on
/// in the next part. Only a grapheme cluster that is longer than `room` is cut itself, between its characters.
pub fn split(rich: Rich, room: usize) -> Vec<Rich> {
    let room = room.max(2);
    let mut out = Vec::new();
    let mut from = Place::default();
    while let Some(rest) = rich.text.get(from.byte..).filter(|rest| !rest.is_empty()) {
        let start = skip_blanks(rest, from, in_pre(&rich, from.unit));
        let Some(rest) = rich.text.get(start.byte..).filter(|rest| !rest.is_empty()) else { break };
        let window = window(&rich, rest, start, room);
        let end = if window.byte >= rich.text.len() { window } else { best_cut(rest, start, window) };
        let part = slice(&rich, start, end);
        if !part.is_blank() {
            out.push(part);
        }
        from = end;
    }
    out
}

/// The first `room` UTF-16 units; a cut is marked with `…`.
pub(super) fn head(rich: Rich, room: usize) -> Rich {
    if rich.units() <= room && rich.entities.len() <= ENTITY_LIMIT {
        return rich;
    }
    let mut first = split(rich, room.saturating_sub(2)).into_iter().next().unwrap_or_default();
    first.text.push_str("\n…");
    first
}

/// The last `room` UTF-16 units, from the beginning of a line where one is near; a cut is marked with `…`.
pub(super) fn tail(rich: &Rich, room: usize) -> Rich {
    let total = rich.units();
    if total <= room && rich.entities.len() <= ENTITY_LIMIT {
        return rich.clone();
    }
    let room = room.saturating_sub(2);
    let crowded = rich.entities.len().saturating_sub(ENTITY_LIMIT);
    let from_entity = if crowded == 0 { 0 } else { rich.entities.get(crowded).map_or(0, |e| e.offset) };
    let least = total.saturating_sub(room).max(from_entity);
    let mut here = Place::default();
    let mut start = None;
    for cluster in rich.text.graphemes(true) {
        if here.unit >= least && start.is_none() {
            start = Some(here);
        }
        here.pass(cluster);
        if here.unit >= least && here.unit <= least + room / 4 && cluster.ends_with('\n') {
            start = Some(here);
            break;
        }
    }
    let start = start.unwrap_or(here);
    let mut part = slice(rich, start, here.to_end(rich));
    part.entities.retain(|e| e.length > 0);
    let surplus = part.entities.len().saturating_sub(ENTITY_LIMIT);
    part.entities.drain(..surplus);
    part.entities.iter_mut().for_each(|e| e.offset += 2);
    part.text.insert_str(0, "…\n");
    part
}

/// A place in a text, counted both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    byte: usize,
    unit: usize,
}

impl Place {
    fn pass(&mut self, piece: &str) {
        self.byte += piece.len();
        self.unit += units(piece);
    }

    fn after(mut self, piece: &str) -> Self {
        self.pass(piece);
        self
    }

    fn to_end(self, rich: &Rich) -> Self {
        self.after(rich.text.get(self.byte..).unwrap_or_default())
    }
}

/// Passes the whitespace at the start of a part; within `pre` the indentation of its first line stays.
fn skip_blanks(rest: &str, from: Place, pre: bool) -> Place {
    let mut here = from;
    let mut line = from;
    for cluster in rest.graphemes(true) {
        if !cluster.chars().all(char::is_whitespace) {
            return if pre { line } else { here };
        }
        here.pass(cluster);
        if cluster.ends_with('\n') {
            line = here;
        }
    }
    here
}

fn in_pre(rich: &Rich, unit: usize) -> bool {
    let holds = |e: &MessageEntity| e.offset <= unit && unit < e.offset + e.length;
    rich.entities.iter().any(|e| matches!(e.kind, Kind::Pre { .. }) && holds(e))
}

/// The farthest that a part from `start` may reach.
fn window(rich: &Rich, rest: &str, start: Place, room: usize) -> Place {
    let mut shown: Vec<usize> = rich
        .entities
        .iter()
        .filter(|e| e.length > 0 && e.offset + e.length > start.unit)
        .map(|e| e.offset)
        .collect();
    shown.sort_unstable();
    let crowded = shown.get(ENTITY_LIMIT).copied().filter(|at| *at > start.unit).unwrap_or(usize::MAX);
    let most = (start.unit + room).min(crowded);
    let mut here = start;
    for cluster in rest.graphemes(true) {
        let next = here.after(cluster);
        if next.unit > most {
            break;
        }
        here = next;
    }
    if here != start {
        return here;
    }
    // One cluster longer than a message, or an entity that starts inside one.
    for c in rest.chars() {
        let next = here.after(c.encode_utf8(&mut [0; 4]));
        if next.unit > start.unit + room {
            break;
        }
        here = next;
    }
    here
}

/// The last paragraph, line, sentence or word that ends far enough within the window, else its end.
fn best_cut(rest: &str, start: Place, window: Place) -> Place {
    let Some(part) = rest.get(..window.byte - start.byte) else { return window };
    let size = window.unit - start.unit;
    let least = [size / 2, size / 3, size / 3, size / 8];
    let mut best: [Option<Place>; 4] = [None; 4];
    let mut here = start;
    let mut before = "";
    let mut keep = |kind: usize, here: Place| {
        if here.unit - start.unit > least.get(kind).copied().unwrap_or(0)
            && let Some(best) = best.get_mut(kind)
        {
            *best = Some(here);
        }
    };
    // What follows the window decides whether its own end is a good place.
    let following = rest.get(part.len()..).and_then(|after| after.graphemes(true).next());
    for cluster in part.graphemes(true).chain(following) {
        let newline = cluster.ends_with('\n');
        if newline && before.ends_with('\n') {
            keep(0, here);
        }
        if newline {
            keep(1, here);
        }
        if cluster.chars().all(char::is_whitespace) {
            if before.ends_with(['.', '!', '?', '؟', '।']) {
                keep(2, here);
            }
            keep(3, here);
        }
        if before.ends_with(['。', '！', '？']) {
            keep(2, here);
        }
        before = cluster;
        here.pass(cluster);
    }
    best.into_iter().flatten().next().unwrap_or(window)
}

/// The text between two places without the whitespace at its end, and what of the entities lies in it.
fn slice(rich: &Rich, start: Place, end: Place) -> Rich {
    let text = rich.text.get(start.byte..end.byte).unwrap_or_default();
    let mut kept = text.len();
    for (at, cluster) in text.grapheme_indices(true).rev() {
        if !is_blank(cluster) || !cluster.chars().all(char::is_whitespace) {
            break;
        }
        kept = at;
    }
    let text = text.get(..kept).unwrap_or_default();
    let stop = start.unit + units(text);
    let inside = |e: &MessageEntity| {
        let from = e.offset.max(start.unit);
        let to = (e.offset + e.length).min(stop);
        (to > from).then(|| MessageEntity::new(e.kind.clone(), from - start.unit, to - from))
    };
    let mut entities: Vec<MessageEntity> = rich.entities.iter().filter_map(inside).collect();
    entities.sort_by_key(|e| (e.offset, std::cmp::Reverse(e.length)));
    entities.truncate(ENTITY_LIMIT);
    Rich { text: text.to_owned(), entities }
}
