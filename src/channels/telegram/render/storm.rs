//! The one card for many incidents: how many of which severity, whose, the first of them; the rest is a file away.

use super::{
    Look, excerpt,
    inert::inert,
    post::{Body, DATA_LIMIT, ENTITY_LIMIT, Post, Tap},
    rich::Pen,
    rows, split, tap,
    text::{cut, is_blank, moment, one_line},
};
use crate::domain::StormCard;

/// The most customers, and the most incidents, that stand on the card.
const CUSTOMERS: usize = 8;
const FIRST: usize = 12;
/// Each of them at most so many UTF-16 units.
const LINE: usize = 140;

/// The card as a message.
pub fn storm(card: &StormCard, look: &Look<'_>) -> Post {
    let mut pen = Pen::default();
    let (all, firing) = card.incidents;
    if card.over {
        pen.text("✅ ").bold(&format!("STORM OVER · all of {all} incidents are resolved"));
    } else {
        pen.text("⛈ ").bold(&format!("STORM · {firing} of {all} incidents fire"));
    }
    pen.text(&format!("\nSince {}", moment(card.since, look.now)));
    if !card.over {
        severities(&mut pen, card);
        customers(&mut pen, card);
        first(&mut pen, card);
    }
    let mut rich = pen.finish();
    if rich.units() > look.room || rich.entities.len() > ENTITY_LIMIT {
        rich = split::head(rich, look.room);
    }
    Post { keyboard: keyboard(card, look), ..Post::text(rich) }
}

/// The file with all that fires, where the card shows only the first.
pub(super) fn list(card: &StormCard) -> Option<Post> {
    if card.list.len() <= FIRST {
        return None;
    }
    let lines: Vec<String> = card.list.iter().map(|line| one_line(line)).collect();
    let mut caption = Pen::default();
    caption.bold(&format!("All {} that fire", card.list.len()));
    let body = Body::File {
        name: "incidents.txt".into(),
        content: excerpt::bounded(lines.join("\n")).into_bytes().into(),
        caption: caption.finish(),
    };
    Some(Post { body, keyboard: vec![], card: None, quiet: true })
}

fn severities(pen: &mut Pen, card: &StormCard) {
    for (n, (severity, count)) in card.severities.iter().filter(|(_, count)| *count > 0).enumerate() {
        pen.text(if n == 0 { "\n" } else { " · " });
        pen.text(&format!("{} {count} {}", excerpt::mark(*severity), severity.word()));
    }
}

fn customers(pen: &mut Pen, card: &StormCard) {
    if card.customers.is_empty() {
        return;
    }
    pen.text("\n\n").bold("Whose");
    for (name, count) in card.customers.iter().take(CUSTOMERS) {
        inert(pen.text("\n• "), &cut(&one_line(name), LINE)).text(&format!(": {count}"));
    }
    let more = card.customers.len().saturating_sub(CUSTOMERS);
    if more > 0 {
        let rest: u64 = card.customers.iter().skip(CUSTOMERS).map(|(_, count)| count).sum();
        pen.text(&format!("\n• {more} more: {rest}"));
    }
}

fn first(pen: &mut Pen, card: &StormCard) {
    if card.list.is_empty() {
        return;
    }
    pen.text("\n\n").bold("First of them");
    for line in card.list.iter().take(FIRST) {
        inert(pen.text("\n• "), &cut(&one_line(line), LINE));
    }
    let more = card.list.len().saturating_sub(FIRST);
    if more > 0 {
        pen.text(&format!("\n… {more} more. All of them: /alerts"));
    }
}

fn keyboard(card: &StormCard, look: &Look<'_>) -> Vec<Vec<Tap>> {
    if card.over {
        return vec![];
    }
    let button = |(label, text): &(String, String)| {
        let (label, text) = tap(&one_line(label), &one_line(text));
        let data = (look.data)(&text);
        let fits = !data.is_empty() && data.len() <= DATA_LIMIT && !is_blank(&label);
        fits.then(|| Tap::new(label, data))
    };
    rows(&card.buttons.iter().filter_map(button).collect::<Vec<_>>())
}
