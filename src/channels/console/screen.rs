//! A turn's events as they come, turned into what is written: streamed text, lines rewritten in place, blocks.

use super::{
    render::{Renderer, json_line},
    style::Ink,
    text::{cut, one_line, width, wrap_all},
};
use crate::domain::{Block, Outbound, Untrusted};

/// Follows one output; each event gives the text to write next.
#[derive(Clone, Debug)]
pub struct Screen {
    renderer: Renderer,
    stream: Stream,
    progress: bool,
    written: bool,
}

/// The model's text that is still open: it may be withdrawn.
#[derive(Clone, Debug, Default)]
struct Stream {
    /// All of it.
    text: String,
    /// The word that waits for its end, so that it is not broken.
    word: String,
    /// The cursor's column.
    column: usize,
    /// How many lines were begun below the first.
    rows: usize,
}

impl Screen {
    /// A screen on which nothing is written yet.
    pub fn new(renderer: Renderer) -> Self {
        Self { renderer, stream: Stream::default(), progress: false, written: false }
    }

    /// The screen was made larger or smaller.
    pub fn resize(&mut self, columns: usize, rows: usize) {
        self.renderer.resize(columns, rows);
    }

    /// A new turn begins: its first block needs no blank line before it.
    pub fn begin(&mut self) {
        self.written = false;
    }

    /// What to write for this event; may be empty.
    pub fn on(&mut self, event: &Outbound) -> String {
        if self.renderer.style().json {
            return json_line(event);
        }
        match event {
            Outbound::Delta { text } => self.delta(text),
            Outbound::Retract => self.retract(),
            Outbound::Progress { text } => self.progress(text),
            Outbound::Block { content } => self.block(content),
            Outbound::Done { status: _ } => self.settle(),
        }
    }

    /// Ends what is open: the streamed text stands, the progress line goes.
    pub fn settle(&mut self) -> String {
        if self.renderer.style().json {
            return String::new();
        }
        let mut out = self.clear_progress();
        let style = self.renderer.style();
        let mut stream = std::mem::take(&mut self.stream);
        if stream.text.trim().is_empty() {
            return out;
        }
        if style.live {
            stream.flush_word(style.width, &mut out);
            out.push('\n');
        } else {
            let body: Vec<String> = wrap_all(&stream.text, style.width);
            out.push_str(&self.apart(&format!("{}\n", body.join("\n"))));
        }
        self.written = true;
        out
    }

    fn delta(&mut self, text: &str) -> String {
        // A line of space parts the text from what stands above it.
        let mut out = self.clear_progress();
        let safe = Untrusted::new(text);
        if !self.renderer.style().live {
            self.stream.text.push_str(safe.as_str());
            return out;
        }
        let first = self.stream.text.trim().is_empty();
        let piece = if first { safe.as_str().trim_start() } else { safe.as_str() };
        if first && !piece.is_empty() && self.written {
            out.push('\n');
        }
        self.stream.text.push_str(piece);
        self.stream.feed(piece, self.renderer.style().width, &mut out);
        out
    }

    fn retract(&mut self) -> String {
        let mut out = self.clear_progress();
        let stream = std::mem::take(&mut self.stream);
        let style = self.renderer.style();
        if !style.live || stream.text.trim().is_empty() {
            return out;
        }
        if stream.rows + 1 >= style.height {
            // Its beginning has left the screen: what cannot be erased is named.
            out.push_str(&format!("\n{}\n", style.paint(Ink::Dim, "(the text above was withdrawn)")));
            return out;
        }
        out.push('\r');
        if stream.rows > 0 {
            out.push_str(&format!("\u{1b}[{}A", stream.rows));
        }
        out.push_str("\u{1b}[J");
        out
    }

    fn progress(&mut self, text: &str) -> String {
        let style = self.renderer.style().clone();
        if !style.live {
            return String::new();
        }
        let mut out = self.clear_progress();
        self.stream.flush_word(style.width, &mut out);
        if self.stream.column > 0 {
            self.stream.line_break(&mut out);
        }
        let line = format!("{} {}", style.either("…", "..."), one_line(text));
        out.push_str(&style.paint(Ink::Dim, &cut(&line, style.width.saturating_sub(1), "")));
        self.progress = true;
        out
    }

    fn clear_progress(&mut self) -> String {
        if std::mem::take(&mut self.progress) { "\r\u{1b}[K".to_owned() } else { String::new() }
    }

    fn block(&mut self, block: &Block) -> String {
        // Some engines repeat the streamed text as a block when it is final: it is shown once.
        let again = matches!(block, Block::Text { text }
            if !self.stream.text.trim().is_empty() && Untrusted::new(text).as_str().trim() == self.stream.text.trim());
        let mut out = self.settle();
        if again {
            return out;
        }
        let body = self.renderer.block(block);
        out.push_str(&self.apart(&body));
        out
    }

    fn apart(&mut self, body: &str) -> String {
        if body.is_empty() {
            return String::new();
        }
        let gap = if self.written { "\n" } else { "" };
        self.written = true;
        format!("{gap}{body}")
    }
}

impl Stream {
    fn feed(&mut self, piece: &str, columns: usize, out: &mut String) {
        for c in piece.chars() {
            match c {
                '\n' => {
                    self.flush_word(columns, out);
                    self.line_break(out);
                }
                ' ' | '\t' => {
                    self.flush_word(columns, out);
                    if self.column + 1 < columns {
                        out.push(' ');
                        self.column += 1;
                    }
                }
                c => {
                    self.word.push(c);
                    if width(&self.word) + 2 >= columns {
                        self.flush_word(columns, out);
                    }
                }
            }
        }
    }

    /// Writes the waiting word, on a new line when it does not fit; the last column stays free, since terminals differ
    /// in when they wrap there.
    fn flush_word(&mut self, columns: usize, out: &mut String) {
        let size = width(&self.word);
        if self.column > 0 && self.column + size >= columns {
            self.line_break(out);
        }
        out.push_str(&self.word);
        self.column += size;
        self.word.clear();
    }

    fn line_break(&mut self, out: &mut String) {
        out.push('\n');
        self.rows += 1;
        self.column = 0;
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::{
        channels::console::style::Style,
        domain::{Level, TurnStatus},
    };

    fn live() -> Style {
        Style { live: true, width: 20, height: 10, ..Style::plain(TimeZone::UTC) }
    }

    fn play(style: Style, events: &[Outbound]) -> String {
        let mut screen = Screen::new(Renderer::new(style));
        events.iter().map(|e| screen.on(e)).collect()
    }

    fn delta(text: &str) -> Outbound {
        Outbound::Delta { text: text.into() }
    }

    const DONE: Outbound = Outbound::Done { status: TurnStatus::Answered };

    /// A terminal's lines after these bytes: understands `\r`, `\n`, cursor up and both erasures.
    fn terminal(bytes: &str) -> Vec<String> {
        let mut lines: Vec<Vec<char>> = vec![vec![]];
        let (mut row, mut col) = (0, 0);
        let mut chars = bytes.chars();
        while let Some(c) = chars.next() {
            match c {
                '\r' => col = 0,
                '\n' => {
                    (row, col) = (row + 1, 0);
                    if row == lines.len() {
                        lines.push(vec![]);
                    }
                }
                '\u{1b}' => {
                    assert_eq!(chars.next(), Some('['));
                    let mut number = String::new();
                    match chars.find(|c| {
                        c.is_ascii_alphabetic() || {
                            number.push(*c);
                            false
                        }
                    }) {
                        Some('A') => row -= number.parse::<usize>().unwrap(),
                        Some('K') => lines[row].truncate(col),
                        Some('J') => {
                            lines[row].truncate(col);
                            lines.truncate(row + 1);
                        }
                        other => panic!("{other:?}"),
                    }
                }
                c => {
                    let size = lines[row].len().max(col + 1);
                    lines[row].resize(size, ' ');
                    lines[row][col] = c;
                    col += 1;
                }
            }
        }
        lines.iter().map(|l| l.iter().collect::<String>().trim_end().to_owned()).collect()
    }

    #[test]
    fn streamed_words_wrap_whole_and_match_their_text() {
        let events = [delta("The web container of "), delta("cust"), delta("omer 19 is unhealthy."), DONE];
        let got = play(live(), &events);
        assert_eq!(got, "The web container \nof customer 19 is \nunhealthy.\n");
    }

    #[test]
    fn a_withdrawn_text_leaves_no_trace_on_a_screen_or_in_a_pipe() {
        let events = [
            delta("{\"name\": \"get_recent_logs\", \"arguments\": 19}\nand more"),
            Outbound::Progress { text: "reading logs".into() },
            Outbound::Retract,
            delta("All is well."),
            DONE,
        ];
        let shown = terminal(&play(live(), &events));
        assert_eq!(shown, ["All is well.", ""]);
        assert_eq!(play(Style::plain(TimeZone::UTC), &events), "All is well.\n");
        let tall = [delta(&"line\n".repeat(30)), Outbound::Retract, DONE];
        assert!(play(live(), &tall).ends_with("(the text above was withdrawn)\n"));
    }

    #[test]
    fn progress_is_rewritten_in_place_and_gone_at_the_end() {
        let progress = |text: &str| Outbound::Progress { text: text.into() };
        let events = [progress("asking"), progress("reading a very long list of things"), DONE];
        assert_eq!(terminal(&play(live(), &events)), [""]);
        let two = play(live(), &events[..2]);
        assert_eq!(terminal(&two), ["… reading a very lo"]);
        assert_eq!(play(Style::plain(TimeZone::UTC), &events), "");
    }

    #[test]
    fn blocks_stand_apart_and_repeated_text_is_shown_once() {
        let note = || Outbound::from(Block::notice(Level::Info, "n"));
        let events = [note(), delta("Hello "), delta("you."), Block::text("Hello you.").into(), note(), DONE];
        for style in [Style::plain(TimeZone::UTC), live()] {
            assert_eq!(play(style, &events), "note: n\n\nHello you.\n\nnote: n\n");
        }
        let json = Style { json: true, ..Style::plain(TimeZone::UTC) };
        let lines = play(json, &events);
        assert_eq!(lines.lines().count(), events.len());
        for (line, event) in lines.lines().zip(&events) {
            assert_eq!(&serde_json::from_str::<Outbound>(line).unwrap(), event);
        }
    }

    #[test]
    fn streamed_escapes_are_harmless_even_when_split() {
        let got = play(live(), &[delta("a\u{1b}"), delta("[2Jb\u{9b}5m"), DONE]);
        assert!(!got.contains(['\u{1b}', '\u{9b}']), "{got:?}");
    }
}
