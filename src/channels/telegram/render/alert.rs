//! An incident's card in a chat: how bad, whose and what stand in its first line, for that is what a phone announces; then
//! as much of what is known as fits, and what does not fit is said.

use reqwest::Url;

use super::{
    CAPTION_ROOM, Look, excerpt,
    inert::inert,
    post::{Body, DATA_LIMIT, ENTITY_LIMIT, Post, Rich, Tap},
    rich::Pen,
    rows, split, tap,
    text::{count, cut, is_blank, lines, moment, one_line},
};
use crate::domain::{AlertCard, Excerpt, Finding, IncidentId, IncidentState};

/// The longest name of a customer or a service, in UTF-16 units.
const NAME: usize = 60;
/// The most suggestions below a card.
const BUTTONS: usize = 8;

/// How much of a card is shown.
#[derive(Clone, Copy)]
struct Extent {
    title: usize,
    notes: usize,
    findings: usize,
    /// What findings rest on is quoted.
    quotes: bool,
    alerts: usize,
    /// Lines of the excerpt.
    lines: usize,
    labels: usize,
    /// Each of them at most so many UTF-16 units.
    each: usize,
}

/// From all that a reader wants to the least that a caption can hold.
const EXTENTS: [Extent; 4] = [
    Extent { title: 300, notes: 8, findings: 8, quotes: true, alerts: 10, lines: 12, labels: 8, each: 300 },
    Extent { title: 200, notes: 6, findings: 3, quotes: true, alerts: 4, lines: 5, labels: 4, each: 160 },
    Extent { title: 160, notes: 4, findings: 3, quotes: false, alerts: 3, lines: 0, labels: 2, each: 100 },
    Extent { title: 100, notes: 2, findings: 1, quotes: false, alerts: 0, lines: 0, labels: 0, each: 80 },
];

/// The card as a message of text.
pub fn alert(card: &AlertCard, look: &Look<'_>) -> Post {
    let (rich, whole) = face(card, look, look.room);
    Post { keyboard: keyboard(card, whole, look), ..Post::text(rich) }
}

/// The card as what stands below a picture that is there already.
pub fn alert_caption(card: &AlertCard, look: &Look<'_>) -> Post {
    let (rich, whole) = face(card, look, CAPTION_ROOM.min(look.room));
    Post { keyboard: keyboard(card, whole, look), ..Post::text(rich) }
}

/// The card as a picture with its words below.
pub fn alert_photo(card: &AlertCard, png: Vec<u8>, look: &Look<'_>) -> Post {
    let post = alert_caption(card, look);
    match post.body {
        Body::Text(caption) => Post { body: Body::Photo { png: png.into(), caption }, ..post },
        _ => post,
    }
}

/// A short loud word about a card that stands.
pub fn ring(incident: IncidentId, text: &str, look: &Look<'_>) -> Post {
    let mut pen = Pen::default();
    pen.text("🔔 ");
    inert(&mut pen, &cut(&one_line(text), 600));
    let ack = Tap::new("✔ Ack", (look.data)(&format!("/ack {incident}")));
    Post { keyboard: vec![vec![ack]], ..Post::text(pen.finish()) }
}

/// What stands below a chart that is a message of its own.
pub fn chart_beside(incident: Option<IncidentId>) -> Rich {
    Rich::plain(
        incident.map_or_else(|| "📈".to_owned(), |incident| format!("📈 Incident {incident}, the last hour")),
    )
}

/// The card's words, and whether nothing is left out.
fn face(card: &AlertCard, look: &Look<'_>, room: usize) -> (Rich, bool) {
    let mut last = (Rich::default(), false);
    for extent in EXTENTS {
        last = write(card, look, extent);
        if last.0.units() <= room && last.0.entities.len() <= ENTITY_LIMIT {
            return last;
        }
    }
    (split::head(last.0, room), false)
}

fn heading(card: &AlertCard) -> (&'static str, String) {
    let severity = card.severity.word().to_uppercase();
    match card.state {
        IncidentState::Firing => (excerpt::mark(card.severity), severity),
        IncidentState::Acked => ("👀", format!("{severity}, acked")),
        IncidentState::Recovering => ("🌤", format!("{severity}, recovering")),
        IncidentState::Resolved => ("✅", "RESOLVED".to_owned()),
    }
}

/// Writes a card and notes whether something of it had to be left out.
struct Writer<'a> {
    pen: Pen,
    extent: Extent,
    look: &'a Look<'a>,
    whole: bool,
}

fn write(card: &AlertCard, look: &Look<'_>, extent: Extent) -> (Rich, bool) {
    let mut writer = Writer { pen: Pen::default(), extent, look, whole: true };
    writer.first_line(card);
    writer.facts(card);
    writer.notes(&card.notes);
    writer.findings(&card.findings);
    writer.alerts(&card.alerts);
    if card.state == IncidentState::Resolved {
        // What helped to find the fault only alarms now.
        writer.whole &= card.excerpt.is_none() && card.labels.is_empty();
    } else {
        card.excerpt.iter().for_each(|excerpt| writer.excerpt(excerpt));
        writer.labels(&card.labels);
    }
    if !writer.whole {
        writer.pen.text("\n\nAll of it: ").code(&format!("/incident {}", card.incident));
    }
    (writer.pen.finish(), writer.whole)
}

impl Writer<'_> {
    fn cut(&mut self, text: &str, room: usize) -> String {
        let line = one_line(text);
        let short = cut(&line, room);
        self.whole &= short == line;
        short
    }

    fn each(&mut self, text: &str) -> String {
        self.cut(text, self.extent.each)
    }

    fn more(&mut self, all: usize, shown: usize, what: &str) {
        if all > shown {
            self.pen.text(&format!("\n… {} more", count(all - shown, what)));
            self.whole = false;
        }
    }

    fn first_line(&mut self, card: &AlertCard) {
        let (mark, word) = heading(card);
        let from = self.pen.text(mark).text(" ").at();
        self.pen.text(&word);
        for part in [card.customer.as_deref(), card.service.as_deref()].into_iter().flatten() {
            let part = self.cut(part, NAME);
            if !is_blank(&part) {
                inert(self.pen.text(" · "), &part);
            }
        }
        let title = match self.cut(&card.title, self.extent.title) {
            blank if is_blank(&blank) => format!("incident {}", card.incident),
            title => title,
        };
        inert(self.pen.text(": "), &title).span(teloxide::types::MessageEntityKind::Bold, from);
    }

    fn facts(&mut self, card: &AlertCard) {
        let since = moment(card.since, self.look.now);
        self.pen.text(&format!("\nIncident {} · ", card.incident));
        let when = match (card.over_at, card.lasted()) {
            (Some(over), Some(lasted)) => {
                format!("lasted {lasted}, from {since} to {}", moment(over, self.look.now))
            }
            _ => format!("since {since}"),
        };
        self.pen.text(&when);
        if let Some(value) = card.value.as_deref().filter(|v| !is_blank(v) && card.over_at.is_none()) {
            let value = self.each(value);
            inert(self.pen.text("\nValue: "), &value);
        }
    }

    fn notes(&mut self, notes: &[String]) {
        let most = self.extent.notes;
        for note in notes.iter().take(most) {
            let note = self.each(note);
            inert(self.pen.text("\n▸ "), &note);
        }
        self.more(notes.len(), most, "note");
    }

    fn findings(&mut self, findings: &[Finding]) {
        let most = self.extent.findings;
        self.gap(findings.is_empty());
        for finding in findings.iter().take(most) {
            self.finding(finding);
        }
        self.more(findings.len(), most, "finding");
    }

    fn finding(&mut self, finding: &Finding) {
        let summary = self.each(&finding.summary);
        self.pen.text("\n").text(excerpt::mark(finding.severity)).text(" ");
        inert(&mut self.pen, if is_blank(&summary) { finding.severity.word() } else { &summary });
        if !self.extent.quotes {
            self.whole &= finding.quote.is_none();
            return;
        }
        if let Some(quote) = finding.quote.as_deref().filter(|q| !is_blank(q)) {
            let quote = self.each(quote);
            self.pen.text("\n").code(&quote);
        }
        let source = self.cut(&finding.source, NAME);
        self.pen.text("\n").code(&source);
        if let Some(at) = finding.at {
            self.pen.text(&format!(" · {}", moment(at, self.look.now)));
        }
    }

    fn alerts(&mut self, alerts: &[String]) {
        // A single one says what the title says.
        if let [_] = alerts {
            return;
        }
        let most = self.extent.alerts;
        self.gap(alerts.is_empty());
        for alert in alerts.iter().take(most) {
            let alert = self.each(alert);
            inert(self.pen.text("\n• "), &alert);
        }
        self.more(alerts.len(), most, "alert");
    }

    fn excerpt(&mut self, excerpt: &Excerpt) {
        let all: Vec<String> = excerpt.lines.iter().flat_map(|line| lines(line)).collect();
        let most = self.extent.lines;
        self.whole &= all.len() <= most;
        if most == 0 || all.is_empty() {
            return;
        }
        let last: Vec<&String> = all.iter().skip(all.len().saturating_sub(most)).collect();
        let text: Vec<String> = last.iter().map(|line| self.each(line)).collect();
        let source = self.cut(&excerpt.source, NAME);
        self.pen.text("\n\n📄 ").code(&source).text("\n").pre(&text.join("\n"));
    }

    fn labels(&mut self, labels: &[(String, String)]) {
        let most = self.extent.labels;
        self.whole &= labels.len() <= most;
        let shown: Vec<String> = labels
            .iter()
            .take(most)
            .map(|(name, value)| {
                let value = self.each(value);
                format!("{}={value}", one_line(name))
            })
            .collect();
        let text = shown.join("  ");
        if !is_blank(&text) {
            self.pen.text("\n\n").code(&cut(&text, 600));
        }
    }

    fn gap(&mut self, nothing_follows: bool) {
        if !nothing_follows {
            self.pen.text("\n");
        }
    }
}

fn keyboard(card: &AlertCard, whole: bool, look: &Look<'_>) -> Vec<Vec<Tap>> {
    if card.state == IncidentState::Resolved {
        return vec![];
    }
    let mut taps = Vec::new();
    let details = format!("/incident {}", card.incident);
    let offered = card.buttons.iter().any(|(_, text)| *text == details);
    let own = (!whole && !offered).then(|| ("Details".to_owned(), details));
    for (label, text) in card.buttons.iter().take(BUTTONS).cloned().chain(own) {
        let (label, text) = tap(&one_line(&label), &one_line(&text));
        let data = (look.data)(&text);
        if !data.is_empty() && data.len() <= DATA_LIMIT && !is_blank(&label) {
            taps.push(Tap::new(label, data));
        }
    }
    let mut rows = rows(&taps);
    rows.extend(card.runbook.as_deref().and_then(runbook).map(|tap| vec![tap]));
    rows
}

/// The runbook's button; Telegram refuses a message for a link that is none.
fn runbook(url: &str) -> Option<Tap> {
    let url = Url::parse(url).ok()?;
    let open =
        matches!(url.scheme(), "http" | "https") && url.domain().is_some_and(|host| host.contains('.'));
    (open && url.as_str().len() <= 2048).then(|| Tap::link("📖 Runbook", url.as_str()))
}
