//! Blocks as text; whatever foreign text they hold is cleaned once more at this edge.

use super::{
    alert, card, chart,
    style::{Ink, Style},
    table,
    text::{lines, one_line, pad, width, wrap, wrap_all},
};
use crate::domain::{AlertCard, Block, Finding, IncidentState, Level, Outbound, Untrusted};

/// A quoted line takes at most this many lines on a screen.
const QUOTE_LINES: usize = 6;

/// Turns blocks into text for one kind of output.
#[derive(Clone, Debug)]
pub struct Renderer {
    style: Style,
    answers: bool,
}

impl Renderer {
    /// For this output; cards say how to answer from elsewhere.
    pub fn new(style: Style) -> Self {
        Self { style, answers: false }
    }

    /// Whether a typed `yes` counts here, so that cards may say so.
    #[must_use]
    pub fn answering(mut self, answers: bool) -> Self {
        self.answers = answers;
        self
    }

    /// What the output can show.
    pub fn style(&self) -> &Style {
        &self.style
    }

    /// The screen was made larger or smaller.
    pub fn resize(&mut self, columns: usize, rows: usize) {
        if self.style.live {
            self.style.width = columns.max(20);
            self.style.height = rows.max(4);
        }
    }

    /// The block as lines, each ended; empty when there is nothing to show.
    pub fn block(&self, block: &Block) -> String {
        let out = match block {
            Block::Text { text } => wrap_all(text, self.style.width),
            Block::Notice { level, text } => self.notice(*level, text),
            Block::Table { title, columns, rows } => {
                let mut out: Vec<String> = title.iter().flat_map(|t| self.title(t)).collect();
                out.extend(table::table(&self.style, columns, rows));
                out
            }
            Block::Log { source, lines, omitted } => self.log(source, lines, *omitted),
            Block::Findings { title, items } => {
                let mut out = self.title(title);
                out.extend(items.iter().flat_map(|item| self.finding(item)));
                out
            }
            Block::Chart(chart) => chart::chart(&self.style, chart),
            Block::File { name, bytes, summary } => {
                let size = chart::figure(*bytes as f64, "B");
                wrap(&format!("[{}, {size}] {}", one_line(name), one_line(summary)), self.style.width)
            }
            Block::Buttons { title, buttons } => self.buttons(title, buttons),
            Block::Card(card) => card::card(&self.style, card, self.answers),
            Block::Alert(card) => self.alert(card),
            Block::Storm(card) => alert::storm(&self.style, card),
        };
        let shown = |line: &String| format!("{}\n", line.trim_end());
        if self.style.unicode {
            return out.iter().map(shown).collect();
        }
        // The two that our own sentences use; each is as wide as what stands for it.
        out.iter().map(shown).map(|line| line.replace('…', "~").replace('×', "x")).collect()
    }

    fn title(&self, text: &str) -> Vec<String> {
        wrap(&one_line(text), self.style.width).iter().map(|l| self.style.paint(Ink::Bold, l)).collect()
    }

    fn notice(&self, level: Level, text: &str) -> Vec<String> {
        let (word, ink) = match level {
            Level::Info => ("note", Ink::Cyan),
            Level::Warning => ("warning", Ink::Yellow),
            Level::Error => ("error", Ink::Red),
        };
        let mut out = wrap_all(&format!("{word}: {text}"), self.style.width);
        if let Some(first) = out.first_mut()
            && let Some(rest) = first.strip_prefix(&format!("{word}:"))
        {
            *first = format!("{}{rest}", self.style.paint(ink, &format!("{word}:")));
        }
        out
    }

    fn alert(&self, card: &AlertCard) -> Vec<String> {
        let mut out = alert::head(&self.style, card);
        out.extend(card.findings.iter().flat_map(|item| self.finding(item)));
        out.extend(card.excerpt.iter().flat_map(|e| self.log(&e.source, &e.lines, 0)));
        out.extend(card.chart.iter().flat_map(|chart| chart::chart(&self.style, chart)));
        if card.state == IncidentState::Resolved {
            return out;
        }
        if let Some(url) = &card.runbook {
            out.extend(wrap(&format!("runbook: {}", one_line(url)), self.style.width));
        }
        if !card.buttons.is_empty() {
            out.extend(self.buttons("To act:", &card.buttons));
        }
        out
    }

    fn finding(&self, finding: &Finding) -> Vec<String> {
        let (mark, ink) = alert::mark(&self.style, finding.severity);
        let lead = format!("{mark} {:<8}  ", finding.severity.word());
        let indent = if self.style.width < 50 { 2 } else { width(&lead) };
        let columns = self.style.width.saturating_sub(indent).max(1);
        let mut out = Vec::new();
        let summary = wrap(&one_line(&finding.summary), self.style.width.saturating_sub(width(&lead)).max(1));
        for (n, line) in summary.iter().enumerate() {
            let start = if n == 0 { self.style.paint(ink, &lead) } else { " ".repeat(width(&lead)) };
            out.push(format!("{start}{line}"));
        }
        let dot = self.style.either(" · ", ", ");
        let at = finding.at.map(|at| format!("{dot}{}", self.style.moment(at))).unwrap_or_default();
        for line in wrap(&format!("{}{at}", one_line(&finding.source)), columns) {
            out.push(format!("{}{}", " ".repeat(indent), self.style.paint(Ink::Dim, &line)));
        }
        for line in finding.quote.iter().flat_map(|q| self.quoted(q, columns)) {
            out.push(format!("{}{line}", " ".repeat(indent)));
        }
        out
    }

    /// Foreign lines, each behind a bar so that none can pass for our own.
    fn quoted(&self, raw: &str, columns: usize) -> Vec<String> {
        let bar = self.style.either("│ ", "| ");
        let room = columns.saturating_sub(2).max(1);
        let mut body: Vec<String> = lines(raw).iter().flat_map(|l| wrap(l, room)).collect();
        if body.len() > QUOTE_LINES {
            body.truncate(QUOTE_LINES);
            body.push(self.style.either("…", "...").to_owned());
        }
        body.iter().map(|l| format!("{}{l}", self.style.paint(Ink::Dim, bar))).collect()
    }

    fn log(&self, source: &str, lines: &[String], omitted: u64) -> Vec<String> {
        let mut out = self.title(source);
        if omitted > 0 {
            let text = format!("({omitted} earlier lines are not shown)");
            out.push(self.style.paint(Ink::Dim, &text));
        }
        if lines.is_empty() {
            out.push(self.style.paint(Ink::Dim, "(no lines)"));
        }
        out.extend(lines.iter().flat_map(|line| {
            let quoted = self.quoted(line, self.style.width);
            if quoted.is_empty() {
                vec![self.style.paint(Ink::Dim, self.style.either("│", "|"))]
            } else {
                quoted
            }
        }));
        out
    }

    fn buttons(&self, title: &str, buttons: &[(String, String)]) -> Vec<String> {
        let mut out = wrap(&one_line(title), self.style.width);
        let texts: Vec<String> = buttons.iter().map(|(_, text)| one_line(text)).collect();
        let column = texts.iter().map(|t| width(t)).max().unwrap_or(0).min(self.style.width / 2);
        for ((label, _), text) in buttons.iter().zip(&texts) {
            let label = one_line(label);
            if label == *text {
                out.push(format!("  {}", self.style.paint(Ink::Cyan, text)));
                continue;
            }
            let typed = self.style.paint(Ink::Cyan, &pad(text, column));
            out.push(format!("  {typed}  {}", self.style.paint(Ink::Dim, &label)));
        }
        out
    }
}

/// The event as one line of JSON in which no character can move a terminal's cursor.
pub(super) fn json_line(event: &Outbound) -> String {
    let text = serde_json::to_string(event)
        .unwrap_or_else(|e| serde_json::json!({"event": "unreadable", "error": e.to_string()}).to_string());
    let mut out = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        // JSON escapes C0 itself; C1, bidi and zero-width characters stand only inside its strings.
        if c.is_ascii() || !Untrusted::new(c.encode_utf8(&mut [0; 4])).as_str().is_empty() {
            out.push(c);
        } else {
            out.extend(c.encode_utf16(&mut [0; 2]).iter().map(|u| format!("\\u{u:04x}")));
        }
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use jiff::{Timestamp, tz::TimeZone};

    use super::*;
    use crate::domain::Severity;

    const EVIL: &str = "a\u{1b}[2J\u{1b}]0;t\u{7}\u{202e}b\u{9b}31m\rc";

    fn finding(quote: &str) -> Finding {
        Finding {
            severity: Severity::Critical,
            summary: "web is unhealthy: the health check failed 14 times in a row and nothing has cured it"
                .into(),
            source: "docker inspect shop-web".into(),
            at: Some(Timestamp::from_second(1_795_269_600).unwrap()),
            quote: Some(quote.into()),
        }
    }

    fn blocks() -> Vec<Block> {
        let evil = || EVIL.to_owned();
        vec![
            Block::text(EVIL),
            Block::notice(Level::Warning, EVIL),
            Block::Table { title: Some(evil()), columns: vec![evil()], rows: vec![vec![evil()]] },
            Block::Log { source: evil(), lines: vec![evil(), String::new()], omitted: 3 },
            Block::Findings {
                title: evil(),
                items: vec![Finding { summary: evil(), source: evil(), ..finding(EVIL) }],
            },
            Block::Chart(crate::domain::Chart {
                title: evil(),
                unit: evil(),
                series: vec![crate::domain::outbound::Series { name: evil(), points: vec![] }],
                threshold: None,
            }),
            Block::File { name: evil(), bytes: 2048, summary: evil() },
            Block::Buttons { title: evil(), buttons: vec![(evil(), evil())] },
            Block::Card(card::tests::sample(7)),
            Block::Alert(Box::new(alert::tests::card(EVIL))),
            Block::Storm(Box::new(alert::tests::storm_card(EVIL))),
        ]
    }

    #[test]
    fn no_block_lets_a_terminal_escape_through() {
        for (color, live, width) in [(false, false, usize::MAX), (true, true, 60), (false, true, 20)] {
            let style = Style { color, live, width, ..Style::plain(TimeZone::UTC) };
            for block in blocks() {
                let got = Renderer::new(style.clone()).block(&block);
                let ours = got.replace("\u{1b}[0m", "");
                let codes: Vec<_> =
                    ours.split('\u{1b}').skip(1).map(|p| p.split('m').next().unwrap()).collect();
                assert!(
                    codes.iter().all(|c| color && ["[1", "[2", "[31", "[32", "[33", "[36"].contains(c)),
                    "{got:?}"
                );
                assert!(!got.contains(['\u{7}', '\u{9b}', '\u{202e}', '\r']), "{got:?}");
                assert!(got.ends_with('\n'), "{got:?}");
            }
        }
        let json = json_line(&Block::text(format!("{EVIL}\u{e0041}")).into());
        assert!(json.is_ascii() && !json.contains('\u{1b}') && json.lines().count() == 1, "{json}");
        let back: Outbound = serde_json::from_str(&json).unwrap();
        assert_eq!(back, Block::text(format!("{EVIL}\u{e0041}")).into());
    }

    #[test]
    fn a_finding_shows_claim_source_time_and_quoted_line() {
        let style = Style { width: 60, ..Style::plain(TimeZone::UTC) };
        let block = Block::Findings {
            title: "Customer 19".into(),
            items: vec![finding("curl: (7) refused\nline 2")],
        };
        let got = Renderer::new(style).block(&block);
        assert_eq!(
            got,
            "Customer 19\n\
             ✖ critical  web is unhealthy: the health check failed 14\n\
             \x20           times in a row and nothing has cured it\n\
             \x20           docker inspect shop-web · 2026-11-21 14:00:00\n\
             \x20           UTC\n\
             \x20           │ curl: (7) refused\n\
             \x20           │ line 2\n"
        );
    }

    #[test]
    fn the_other_blocks_read_well_in_a_pipe() {
        let renderer = Renderer::new(Style::plain(TimeZone::UTC));
        let table = [
            (
                Block::notice(Level::Error, "Docker is down.\nStart it."),
                "error: Docker is down.\nStart it.\n",
            ),
            (
                Block::Log { source: "shop-web".into(), lines: vec!["GET /".into(), "".into()], omitted: 12 },
                "shop-web\n(12 earlier lines are not shown)\n│ GET /\n│\n",
            ),
            (
                Block::File { name: "out-7".into(), bytes: 1536, summary: "all of it".into() },
                "[out-7, 1.5 KiB] all of it\n",
            ),
            (
                Block::Buttons {
                    title: "You could type:".into(),
                    buttons: vec![
                        ("check customer 19".into(), "/check_up 19".into()),
                        ("/help".into(), "/help".into()),
                    ],
                },
                "You could type:\n  /check_up 19  check customer 19\n  /help\n",
            ),
            (Block::text("one\n\n  two"), "one\n\n  two\n"),
        ];
        for (block, want) in table {
            assert_eq!(renderer.block(&block), want);
        }
        let long = Block::Log { source: "s".into(), lines: vec!["x".repeat(10_000_000)], omitted: 0 };
        let style = Style { width: 80, live: true, ..Style::plain(TimeZone::UTC) };
        assert!(Renderer::new(style).block(&long).lines().count() <= QUOTE_LINES + 2);
    }
}
