//! A pen that writes text and its entities at once, so that no offset is ever counted by hand.

use std::cmp::Reverse;

use teloxide::types::{MessageEntity, MessageEntityKind as Kind};

use super::{
    post::Rich,
    text::{is_blank, units},
};

/// Commands that stay tappable wherever they stand: they read, explain or stop, and take no argument.
const HARMLESS: [&str; 6] = ["/help", "/status", "/stop", "/alerts", "/whoami", "/version"];

/// Writes a [`Rich`] from front to back.
#[derive(Clone, Debug, Default)]
pub(super) struct Pen {
    rich: Rich,
    at: usize,
}

impl Pen {
    /// Where the pen stands, in UTF-16 units.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// How many entities there are so far.
    pub(super) fn entities(&self) -> usize {
        self.rich.entities.len()
    }

    /// Whether nothing was written yet.
    pub(super) fn is_empty(&self) -> bool {
        self.rich.text.is_empty()
    }

    /// Plain text, as it is.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.rich.text.push_str(text);
        self.at += units(text);
        self
    }

    /// Text of one kind.
    pub(super) fn styled(&mut self, kind: Kind, text: &str) -> &mut Self {
        let from = self.at;
        self.text(text).span(kind, from)
    }

    /// Bold text.
    pub(super) fn bold(&mut self, text: &str) -> &mut Self {
        let from = self.at;
        self.guarded(text).span(Kind::Bold, from)
    }

    /// A name, an id, a command: monospaced, copied by a tap.
    pub(super) fn code(&mut self, text: &str) -> &mut Self {
        self.styled(Kind::Code, text)
    }

    /// A monospaced block.
    pub(super) fn pre(&mut self, text: &str) -> &mut Self {
        self.styled(Kind::Pre { language: None }, text)
    }

    /// Text that may hold foreign words: a command or name in it that Telegram would make tappable becomes code, since
    /// a tap on a command sends it in the person's own name.
    pub(super) fn guarded(&mut self, text: &str) -> &mut Self {
        for (piece, tappable) in tappable(text) {
            if tappable {
                self.code(piece)
            } else {
                self.text(piece)
            };
        }
        self
    }

    /// Makes everything since `from` (UTF-16 units) one entity.
    pub(super) fn span(&mut self, kind: Kind, from: usize) -> &mut Self {
        if self.at > from {
            self.rich.entities.push(MessageEntity::new(kind, from, self.at - from));
        }
        self
    }

    /// More text with its own entities.
    pub(super) fn push(&mut self, rich: &Rich) -> &mut Self {
        let shift = self.at;
        let moved = rich.entities.iter().cloned().map(|e| MessageEntity { offset: e.offset + shift, ..e });
        self.rich.entities.extend(moved);
        self.text(&rich.text)
    }

    /// What was written, its entities tidied.
    pub(super) fn finish(self) -> Rich {
        let mut rich = self.rich;
        tidy(&mut rich.entities);
        rich
    }
}

impl Rich {
    /// Its length in UTF-16 units.
    pub fn units(&self) -> usize {
        units(&self.text)
    }

    /// Whether nothing of it would be seen.
    pub fn is_blank(&self) -> bool {
        is_blank(&self.text)
    }
}

/// Sorts the entities, outer first, and keeps to Telegram's rules: code holds nothing and is held by no emphasis, and no
/// kind stands within itself.
fn tidy(entities: &mut Vec<MessageEntity>) {
    let end = |e: &MessageEntity| e.offset + e.length;
    entities.sort_by_key(place);
    let mut fixed: Vec<(usize, usize)> = Vec::new();
    entities.retain(|e| {
        let stands = !is_code(&e.kind) || fixed.last().is_none_or(|(_, last)| e.offset >= *last);
        if stands && is_code(&e.kind) {
            fixed.push((e.offset, end(e)));
        }
        stands
    });
    let mut reached: Vec<(Kind, usize)> = Vec::new();
    let mut out: Vec<MessageEntity> = Vec::with_capacity(entities.len());
    for e in entities.drain(..) {
        if !is_emphasis(&e.kind) {
            out.push(e);
            continue;
        }
        match reached.iter_mut().find(|(kind, _)| *kind == e.kind) {
            Some((_, to)) if *to >= end(&e) => continue,
            Some((_, to)) => *to = end(&e),
            None => reached.push((e.kind.clone(), end(&e))),
        }
        out.extend(around(&e, &fixed));
    }
    out.sort_by_key(place);
    *entities = out;
}

/// Where an entity stands among others: by its start, outer before inner; of the same stretch, quotes hold emphasis and
/// both hold code.
fn place(entity: &MessageEntity) -> (usize, Reverse<usize>, u8) {
    let rank = match &entity.kind {
        kind if is_code(kind) => 2,
        kind if is_emphasis(kind) => 1,
        _ => 0,
    };
    (entity.offset, Reverse(entity.length), rank)
}

/// The pieces of `entity` that lie outside `fixed`, which is ascending.
fn around(entity: &MessageEntity, fixed: &[(usize, usize)]) -> Vec<MessageEntity> {
    let (mut from, end) = (entity.offset, entity.offset + entity.length);
    let mut out = Vec::new();
    let mut keep = |from: usize, to: usize| {
        if to > from {
            out.push(MessageEntity::new(entity.kind.clone(), from, to - from));
        }
    };
    let first = fixed.partition_point(|(_, stop)| *stop <= entity.offset);
    for (start, stop) in fixed.iter().skip(first).take_while(|(start, _)| *start < end) {
        keep(from, *start);
        from = *stop;
    }
    keep(from, end);
    out
}

fn is_code(kind: &Kind) -> bool {
    matches!(kind, Kind::Code | Kind::Pre { .. })
}

fn is_emphasis(kind: &Kind) -> bool {
    matches!(kind, Kind::Bold | Kind::Italic | Kind::Underline | Kind::Strikethrough | Kind::Spoiler)
}

/// `text` in pieces, each with whether Telegram would make a command or a mention of it.
fn tappable(text: &str) -> Vec<(&str, bool)> {
    let mut out = Vec::new();
    let mut plain = 0;
    let mut from = 0;
    while let Some((start, end)) = next_tappable(text, from) {
        from = end;
        let Some(found) = text.get(start..end) else { break };
        if HARMLESS.contains(&found) {
            continue;
        }
        out.extend(text.get(plain..start).filter(|t| !t.is_empty()).map(|t| (t, false)));
        out.push((found, true));
        plain = end;
    }
    out.extend(text.get(plain..).filter(|t| !t.is_empty()).map(|t| (t, false)));
    out
}

/// The next `/word…` or `@word` at or after `from` that does not belong to a link, as bytes.
fn next_tappable(text: &str, from: usize) -> Option<(usize, usize)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut before = text.get(..from)?.chars().next_back();
    let mut in_link = false;
    for (n, c) in text.get(from..)?.char_indices() {
        let start = from + n;
        let rest = text.get(start + c.len_utf8()..)?;
        let opens_word = before.is_none_or(char::is_whitespace);
        if opens_word {
            let word = text.get(start..)?.split(char::is_whitespace).next().unwrap_or_default();
            in_link = word.contains("://");
        }
        let starts = matches!(c, '/' | '@') && !before.is_some_and(is_word) && rest.starts_with(is_word);
        if starts && !in_link {
            let stops = |c: char| c.is_whitespace() || ",;:!?)(\"'<>[]{}|`*…".contains(c);
            let word = rest.find(stops).and_then(|end| rest.get(..end)).unwrap_or(rest);
            return Some((start, start + c.len_utf8() + word.trim_end_matches('.').len()));
        }
        before = Some(c);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(rich: &Rich) -> Vec<(String, String)> {
        let wide: Vec<u16> = rich.text.encode_utf16().collect();
        let piece = |e: &MessageEntity| {
            String::from_utf16(wide.get(e.offset..e.offset + e.length).unwrap_or_default()).unwrap()
        };
        rich.entities.iter().map(|e| (format!("{:?}", e.kind), piece(e))).collect()
    }

    #[test]
    fn commands_and_names_in_foreign_words_cannot_be_tapped() {
        let table: [(&str, &[&str]); 12] = [
            ("run /restart_container 19 now", &["/restart_container"]),
            ("ask @evil, please", &["@evil"]),
            ("(/approve)", &["/approve"]),
            ("see /var/log/web.log.", &["/var/log/web.log"]),
            ("/deny@opsbot", &["/deny@opsbot"]),
            ("👍/restart /help, then /helpx", &["/restart", "/helpx"]),
            ("and/or, 1/2, a@b.example", &[]),
            ("https://host.example/restart/@x stays", &[]),
            ("use /help and /stop.", &[]),
            ("// / @ /!", &[]),
            ("ü/x -/y", &["/y"]),
            ("/@evil", &["@evil"]),
        ];
        for (text, want) in table {
            let mut pen = Pen::default();
            pen.guarded(text);
            let rich = pen.finish();
            assert_eq!(rich.text, text);
            let got: Vec<String> = shown(&rich).into_iter().map(|(_, t)| t).collect();
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn emphasis_goes_around_code_and_never_stands_in_itself() {
        let mut pen = Pen::default();
        pen.text("😀 ");
        let from = pen.at();
        pen.bold("a").text(" ").code("b").text(" ").pre("c").text("d").span(Kind::Bold, from);
        let got = shown(&pen.finish());
        let want =
            [("Bold", "a "), ("Code", "b"), ("Bold", " "), ("Pre { language: None }", "c"), ("Bold", "d")];
        assert_eq!(got, want.map(|(k, t)| (k.to_owned(), t.to_owned())));
    }
}
