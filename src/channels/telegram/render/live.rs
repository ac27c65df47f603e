//! The one message that shows a turn at work: what was found in brief, the answer's last lines, what goes on now.

use super::{
    Look, excerpt, level_mark,
    markdown::{close_fence, parse},
    post::Rich,
    rich::Pen,
    split,
    text::{count, cut, is_blank, one_line, prose, units},
};
use crate::domain::Block;

/// The most lines for what was found.
const BRIEF_LINES: usize = 8;
/// Each of them, and the progress line, at most so many UTF-16 units.
const LINE: usize = 120;
/// So much of the streamed text is looked at, in bytes.
const LOOKED_AT: usize = 32 * 1024;

/// The preview: never blank, never longer than the room.
pub fn live(blocks_so_far: &[Block], text_so_far: &str, progress: Option<&str>, look: &Look<'_>) -> Rich {
    let room = look.room;
    let briefs: Vec<Rich> = blocks_so_far.iter().filter_map(brief).collect();
    let mut pen = Pen::default();
    let hidden = briefs.len().saturating_sub(BRIEF_LINES);
    if hidden > 0 {
        pen.text(&format!("… {hidden} more above\n"));
    }
    for (n, brief) in briefs.iter().skip(hidden).enumerate() {
        pen.text(if n == 0 { "" } else { "\n" }).push(brief);
    }
    let found = split::tail(&pen.finish(), room / 3);
    let from = text_so_far.len().saturating_sub(LOOKED_AT);
    let text = text_so_far.get(text_so_far.ceil_char_boundary(from)..).unwrap_or_default();
    let text = prose(text);
    let quiet = progress.map(one_line).filter(|p| !is_blank(p));
    let nothing = found.is_blank() && is_blank(&text);
    let last = match quiet {
        Some(line) => format!("⏳ {}", cut(&line, LINE.min(room / 4))),
        None if nothing => "⏳ working".to_owned(),
        None => String::new(),
    };
    let used = found.units() + units(&last) + 4;
    let answer = split::tail(&parse(&close_fence(&text)), room.saturating_sub(used));
    let mut pen = Pen::default();
    let said = [found, answer, Rich::plain(last)];
    for rich in said.iter().filter(|rich| !rich.is_blank()) {
        pen.text(if pen.is_empty() { "" } else { "\n\n" }).push(rich);
    }
    split::tail(&pen.finish(), room)
}

/// A block in one line; the streamed text is shown by itself.
fn brief(block: &Block) -> Option<Rich> {
    let mut pen = Pen::default();
    let line = |text: &str| cut(&one_line(text), LINE);
    match block {
        Block::Text { text } => pen.guarded(&line(text)),
        Block::Notice { level, text } => pen.text(level_mark(*level)).text(" ").guarded(&line(text)),
        Block::Table { title, rows, .. } => {
            let title = title.as_deref().map(line).filter(|t| !is_blank(t));
            pen.text("▦ ").bold(title.as_deref().unwrap_or("Table"));
            pen.text(&format!(" ({})", count(rows.len(), "row")))
        }
        Block::Log { source, lines, .. } => {
            pen.text("📄 ").bold(&line(source)).text(&format!(" ({})", count(lines.len(), "line")))
        }
        Block::Findings { title, items } => match items.first() {
            Some(worst) => pen.text(excerpt::mark(worst.severity)).text(" ").bold(&line(&worst.summary)),
            None => pen.bold(&line(title)),
        },
        Block::Chart(chart) => pen.text("📈 ").bold(&line(&chart.title)),
        Block::File { name, .. } => pen.text("📎 ").code(&line(name)),
        Block::Buttons { title, .. } => pen.bold(&line(title)),
        Block::Alert(card) => pen.text(excerpt::mark(card.severity)).text(" ").bold(&line(&card.title)),
        Block::Storm(card) => pen.text("⛈ ").bold(&count(card.list.len(), "incident")),
        Block::Card(card) => pen.text("⏳ ").code(&card.calls.first().map(|c| line(c)).unwrap_or_default()),
    };
    let rich = pen.finish();
    (!rich.is_blank()).then_some(rich)
}
