//! Blocks as messages: as few as is pleasant, each within Telegram's limits, formatted by entities only.
//!
//! Foreign words stand in code wherever Telegram would make something tappable of them: logs, tables and quotes as a
//! whole, in prose the command or name itself.

mod alert;
#[cfg(test)]
mod alert_tests;
mod card;
#[cfg(test)]
mod checks;
mod excerpt;
mod inert;
mod live;
mod markdown;
#[cfg(test)]
mod markdown_tests;
mod mending;
mod plot;
mod rich;
mod split;
#[cfg(test)]
mod split_tests;
mod storm;
mod table;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;

use jiff::Timestamp;

pub use alert::{alert, alert_caption, alert_photo, chart_beside, ring};
pub use card::{brief, card};
pub use live::live;
pub use mending::{mark_repeat, plain, shorten};
pub use split::split;
pub use storm::storm;

use super::post::{self, Body, DATA_LIMIT, ENTITY_LIMIT, Post, Rich, Tap};
use crate::domain::{Block, Chart, Level};
use rich::Pen;
use table::Shown;
use text::{cut, figure, file_name, is_blank, one_line, prose, units};

/// The UTF-16 units of a message that rendering fills; the rest is for a mark that may be put in front later.
pub const ROOM: usize = 4000;
/// The same for captions.
pub(super) const CAPTION_ROOM: usize = 920;
/// What one table or log may take of a message; more goes as a file.
pub(super) const SHARE: usize = 2000;
/// A single block that would take more messages than this goes as a file.
const FLOOD: usize = 5;
/// The most buttons below one message.
const BUTTONS: usize = 40;
/// Two labels up to this many columns share a row.
const HALF_ROW: usize = 16;

/// What rendering needs to know and to borrow.
#[derive(Clone, Copy)]
pub struct Look<'a> {
    /// The longest text that is made, in UTF-16 units.
    pub room: usize,
    /// The time it is: moments of another day name their day.
    pub now: Timestamp,
    /// Draws a chart as a PNG; without a picture it is put in words.
    pub draw: &'a (dyn Fn(&Chart) -> Option<Vec<u8>> + Sync),
    /// What a button brings back for the text that it stands for: 1 to [`DATA_LIMIT`] bytes.
    pub data: &'a (dyn Fn(&str) -> String + Sync),
}

impl<'a> Look<'a> {
    /// The usual room.
    pub fn new(
        now: Timestamp,
        draw: &'a (dyn Fn(&Chart) -> Option<Vec<u8>> + Sync),
        data: &'a (dyn Fn(&str) -> String + Sync),
    ) -> Self {
        Self { room: ROOM, now, draw, data }
    }
}

impl fmt::Debug for Look<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Look").field("room", &self.room).field("now", &self.now).finish_non_exhaustive()
    }
}

/// One reply's blocks as messages, in order; the first one rings, as do cards. Blocks that show nothing give none.
pub fn render(blocks: &[Block], look: &Look<'_>) -> Vec<Post> {
    let mut page = Page { look, open: Pen::default(), posts: Vec::new() };
    blocks.iter().for_each(|block| page.block(block));
    page.flush(vec![]);
    for (n, post) in page.posts.iter_mut().enumerate() {
        post.quiet = n > 0 && post.card.is_none();
    }
    page.posts
}

/// The messages so far, the last of them still open.
struct Page<'a, 'l> {
    look: &'a Look<'l>,
    open: Pen,
    posts: Vec<Post>,
}

impl Page<'_, '_> {
    fn block(&mut self, block: &Block) {
        match block {
            Block::Text { text } => self.flow(markdown::parse(&prose(text)), "answer"),
            Block::Notice { level, text } => self.flow(notice(*level, text), "notice"),
            Block::Table { title, columns, rows } => {
                self.shown(table::table(title.as_deref(), columns, rows, self.look));
            }
            Block::Log { source, lines, omitted } => {
                self.shown(excerpt::log(source, lines, *omitted, self.look));
            }
            Block::Findings { title, items } => {
                let mut pen = Pen::default();
                pen.bold(&one_line(title));
                for item in items {
                    pen.text(if pen.is_empty() { "" } else { "\n\n" });
                    excerpt::finding(&mut pen, item, self.look);
                }
                self.flow(pen.finish(), "findings");
            }
            Block::Chart(chart) => self.chart(chart),
            Block::File { name, bytes, summary } => self.flow(file(name, *bytes, summary), "file"),
            Block::Buttons { title, buttons } => self.buttons(title, buttons),
            Block::Alert(card) => {
                self.alone(alert::alert(card, self.look));
                card.chart.iter().for_each(|chart| self.chart(chart));
            }
            Block::Storm(card) => {
                self.alone(storm::storm(card, self.look));
                self.posts.extend(storm::list(card));
            }
            Block::Card(one) => {
                self.flush(vec![]);
                self.posts.extend(card::annex(one, self.look));
                self.posts.push(card::card(one, self.look));
            }
        }
    }

    fn shown(&mut self, shown: Shown) {
        match shown {
            Shown::Inline(rich) => self.flow(rich, "table"),
            Shown::File(post) => self.alone(post),
        }
    }

    fn alone(&mut self, post: Post) {
        self.flush(vec![]);
        self.posts.push(post);
    }

    /// Adds to the open message what fits, else begins another.
    fn flow(&mut self, rich: Rich, name: &str) {
        if rich.is_blank() {
            return;
        }
        let gap = if self.open.is_empty() { 0 } else { 2 };
        let fits = self.open.at() + gap + rich.units() <= self.look.room
            && self.open.entities() + rich.entities.len() <= ENTITY_LIMIT;
        if !fits {
            self.flush(vec![]);
        }
        let long = rich.units() > FLOOD.saturating_mul(self.look.room);
        if long {
            let content = excerpt::bounded(rich.text.clone());
            return self.alone(Post {
                body: Body::File {
                    name: file_name(name, "answer", "txt"),
                    content: content.into_bytes().into(),
                    caption: split::head(rich, CAPTION_ROOM),
                },
                ..Post::text(Rich::default())
            });
        }
        let mut parts = split::split(rich, self.look.room);
        let last = parts.pop().unwrap_or_default();
        for part in parts {
            self.flush(vec![]);
            self.open.push(&part);
        }
        if !self.open.is_empty() {
            if fits {
                self.open.text("\n\n");
            } else {
                self.flush(vec![]);
            }
        }
        self.open.push(&last);
    }

    /// Ends the open message, with these buttons below it.
    fn flush(&mut self, keyboard: Vec<Vec<Tap>>) {
        let rich = std::mem::take(&mut self.open).finish();
        if !rich.is_blank() {
            self.posts.push(Post { keyboard, ..Post::text(rich) });
        }
    }

    fn chart(&mut self, chart: &Chart) {
        let picture = (self.look.draw)(chart).filter(|png| !png.is_empty());
        let caption = plot::caption(chart, picture.is_some(), self.look.now);
        match picture {
            Some(png) => self.alone(Post {
                body: Body::Photo { png: png.into(), caption: split::head(caption, CAPTION_ROOM) },
                ..Post::text(Rich::default())
            }),
            None => self.flow(caption, "chart"),
        }
    }

    fn buttons(&mut self, title: &str, buttons: &[(String, String)]) {
        let title = match cut(&one_line(title), 300) {
            blank if is_blank(&blank) => "Choose:".to_owned(),
            title => title,
        };
        let mut taps = Vec::new();
        let mut pen = Pen::default();
        pen.bold(&title);
        for (label, text) in buttons {
            let (label, text) = tap(&one_line(label), &one_line(text));
            let data = (self.look.data)(&text);
            if data.is_empty() || data.len() > DATA_LIMIT || is_blank(&label) {
                // A choice that cannot be a button can still be typed.
                pen.text("\n").code(&cut(&text, 200));
            } else {
                taps.push(Tap::new(label, data));
            }
        }
        self.flow(pen.finish(), "choices");
        let mut pages = taps.chunks(BUTTONS);
        self.flush(rows(pages.next().unwrap_or_default()));
        for more in pages {
            let mut again = Pen::default();
            again.bold(&title);
            self.flow(again.finish(), "choices");
            self.flush(rows(more));
        }
    }
}

/// A button's label and text. A command with gaps is sent without them: what is missing is then asked for by buttons.
fn tap(label: &str, text: &str) -> (String, String) {
    let gap = text.split_once(" <").filter(|_| text.starts_with('/'));
    let (shown, text) = gap.map_or((text.to_owned(), text), |(bare, _)| (format!("{bare} …"), bare));
    let own = is_blank(label) || (gap.is_some() && label.starts_with(text));
    (cut(if own { &shown } else { label }, 60), text.to_owned())
}

/// Buttons in rows: short labels two by two.
fn rows(taps: &[Tap]) -> Vec<Vec<Tap>> {
    let short = taps.iter().all(|t| text::width(&t.label) <= HALF_ROW);
    taps.chunks(if short { 2 } else { 1 }).map(<[Tap]>::to_vec).collect()
}

/// The mark of a notice.
pub(super) fn level_mark(level: Level) -> &'static str {
    match level {
        Level::Info => "ℹ️",
        Level::Warning => "⚠️",
        Level::Error => "❌",
    }
}

fn notice(level: Level, text: &str) -> Rich {
    let text = prose(text);
    let mut pen = Pen::default();
    if !is_blank(&text) {
        pen.text(level_mark(level)).text(" ");
        markdown::coded(&mut pen, &text);
    }
    pen.finish()
}

fn file(name: &str, bytes: u64, summary: &str) -> Rich {
    let mut pen = Pen::default();
    pen.text("📎 ").code(&cut(&one_line(name), 80)).text(&format!(" · {}", figure(bytes as f64, "B")));
    let summary = one_line(summary);
    if units(&summary) > 0 {
        pen.text("\n").guarded(&summary);
    }
    pen.finish()
}
