//! An approval card in a chat: every call, every step, who, why, until when, and the buttons while it waits.
//!
//! A card that does not fit a message is shown in part, says so with counts, and its whole text goes as a file in front
//! of it. Such a card has no confirm button: a yes then takes `/approve ID`, typed after the file was read, so that no
//! tap ever approves what did not stand beside the button.

use teloxide::types::MessageEntityKind as Kind;

use super::{
    Look,
    post::{Body, ENTITY_LIMIT, Post, Rich, Tap},
    rich::Pen,
    split,
    text::{count, cut, moment, prose, whole_line},
};
use crate::domain::{Card, CardState, Risk};

/// The longest outcome that stands on a card, in UTF-16 units.
const OUTCOME: usize = 1200;

/// How much of a card is shown.
#[derive(Clone, Copy)]
struct Extent {
    /// So many calls.
    calls: usize,
    /// So many steps.
    steps: usize,
    /// Each of them, and each field, at most so many UTF-16 units.
    each: usize,
}

const WHOLE: Extent = Extent { calls: usize::MAX, steps: usize::MAX, each: usize::MAX };
const PART: Extent = Extent { calls: 8, steps: 5, each: 120 };

/// The message that is the card: sent once, then edited as its state changes.
pub fn card(card: &Card, look: &Look<'_>) -> Post {
    let (rich, whole) = face(card, look);
    Post { body: Body::Text(rich), keyboard: keyboard(card, whole), card: Some(card.id), quiet: false }
}

/// A card that stands elsewhere in the chat, in a few words: how it stands, what it asks, how it ended.
pub fn brief(card: &Card) -> Post {
    let (mark, title) = match heading(card) {
        (mark, _) if card.state == CardState::Pending => (mark, "Waiting"),
        heading => heading,
    };
    let mut pen = Pen::default();
    pen.text(mark).text(" ").bold(title);
    pen.text(if card.calls.len() == 1 { ": " } else { "\n" });
    calls(&mut pen, card, PART);
    match &card.outcome {
        Some(outcome) => pen.guarded(&cut(&prose(outcome), OUTCOME)),
        None if card.state == CardState::Pending => pen.text("It waits in the message that this replies to."),
        None => &mut pen,
    };
    Post { quiet: card.state != CardState::Unknown, ..Post::text(pen.finish()) }
}

/// The file with everything that a card asks, when it does not fit its message; it belongs in front of the card.
pub(super) fn annex(card: &Card, look: &Look<'_>) -> Option<Post> {
    if card.state != CardState::Pending || face(card, look).1 {
        return None;
    }
    let mut caption = Pen::default();
    caption.bold("Everything that the next card asks");
    caption.text(&format!(": {}. Read it before you confirm.", size(card)));
    let content = write(card, look, WHOLE).text;
    Some(Post {
        body: Body::File {
            name: format!("card-{}.txt", card.id.to_string().get(..8).unwrap_or_default()),
            content: content.into_bytes().into(),
            caption: caption.finish(),
        },
        keyboard: vec![],
        card: None,
        quiet: true,
    })
}

/// The card's text, and whether it is all there.
fn face(card: &Card, look: &Look<'_>) -> (Rich, bool) {
    let whole = write(card, look, WHOLE);
    if whole.units() <= look.room && whole.entities.len() <= ENTITY_LIMIT {
        return (whole, true);
    }
    (split::head(write(card, look, PART), look.room), false)
}

fn keyboard(card: &Card, whole: bool) -> Vec<Vec<Tap>> {
    if card.state != CardState::Pending {
        return vec![];
    }
    let confirm = match (card.risk, card.first_approver.is_some()) {
        (Risk::TwoPerson, false) => "✅ Confirm (1 of 2)",
        (Risk::TwoPerson, true) => "✅ Confirm (2 of 2)",
        (Risk::Safe | Risk::Confirm | Risk::Blocked, _) => "✅ Confirm",
    };
    let mut row = vec![Tap::new("✖ Deny", format!("d:{}", card.id))];
    if whole {
        row.insert(0, Tap::new(confirm, format!("a:{}", card.id)));
    }
    vec![row]
}

fn heading(card: &Card) -> (&'static str, &'static str) {
    match card.state {
        CardState::Pending if card.first_approver.is_some() => ("⏳", "A second yes is needed"),
        CardState::Pending => ("⏳", "Approval needed"),
        CardState::Executing => ("▶", "Approved, running now"),
        CardState::Done => ("✅", "Done"),
        CardState::Failed => ("❌", "Failed"),
        CardState::Unknown => ("❓", "Outcome unknown: verify by hand"),
        CardState::Denied => ("🚫", "Denied, nothing was run"),
        CardState::Expired => ("⌛", "Expired, nothing was run"),
        CardState::Superseded => ("↩", "Replaced by a newer card, nothing was run"),
    }
}

fn write(card: &Card, look: &Look<'_>, extent: Extent) -> Rich {
    let mut pen = Pen::default();
    let (mark, title) = heading(card);
    pen.text(mark).text(" ").bold(title).text("\n");
    if extent.each != usize::MAX {
        shortened(&mut pen, card);
    }
    calls(&mut pen, card, extent);
    let undecided_or_unsure = matches!(
        card.state,
        CardState::Pending | CardState::Executing | CardState::Failed | CardState::Unknown
    );
    if undecided_or_unsure && !card.steps.is_empty() {
        steps(&mut pen, card, extent);
    }
    pen.text("\n");
    if card.state == CardState::Pending {
        pending(&mut pen, card, look, extent);
    } else {
        settled(&mut pen, card, extent);
    }
    pen.text("\nApproval: ").code(&card.id.to_string());
    pen.finish()
}

fn size(card: &Card) -> String {
    let steps =
        if card.steps.is_empty() { String::new() } else { format!(", {}", count(card.steps.len(), "step")) };
    format!("{}{steps}", count(card.calls.len(), "call"))
}

/// What a card says that shows only a part of what it asks.
fn shortened(pen: &mut Pen, card: &Card) {
    pen.text("⚠️ ").bold("Not everything fits here").text(&format!(": {} in all; ", size(card)));
    if card.state == CardState::Pending {
        pen.text("the file above holds every one. To confirm, read it, then send ");
        pen.code(&format!("/approve {}", card.id)).text("\n");
    } else {
        pen.text("the file above holds every one.\n");
    }
}

fn calls(pen: &mut Pen, card: &Card, extent: Extent) {
    for (n, call) in card.calls.iter().take(extent.calls).enumerate() {
        if card.calls.len() > 1 {
            pen.text(&format!("{}. ", n + 1));
        }
        pen.code(&cut(&whole_line(call), extent.each)).text("\n");
    }
    more(pen, card.calls.len(), extent.calls, "call");
}

fn steps(pen: &mut Pen, card: &Card, extent: Extent) {
    pen.text("\n").bold("What would run").text("\n");
    for (n, step) in card.steps.iter().take(extent.steps).enumerate() {
        pen.text(&format!("{}. ", n + 1)).guarded(&cut(&whole_line(step), extent.each)).text("\n");
    }
    more(pen, card.steps.len(), extent.steps, "step");
}

fn more(pen: &mut Pen, all: usize, shown: usize, what: &str) {
    if all > shown {
        pen.text(&format!("… {} more\n", count(all - shown, what)));
    }
}

fn pending(pen: &mut Pen, card: &Card, look: &Look<'_>, extent: Extent) {
    let people = match card.risk {
        Risk::TwoPerson => "two people, the second an admin who did not ask",
        Risk::Safe | Risk::Confirm | Risk::Blocked => "one person",
    };
    field(pen, "Takes", people, extent);
    field(pen, "Why", &card.reason, extent);
    field(pen, "Asked by", card.requester.as_str(), extent);
    field(pen, "May decide", &card.eligible, extent);
    if let Some(first) = &card.first_approver {
        field(pen, "First yes", first.as_str(), extent);
    }
    field(pen, "Expires", &moment(card.expires_at, look.now), extent);
    if let Some(sent) = card.sent_at {
        pen.text("⚠️ ").bold(&format!("You sent this {}: still do it?", moment(sent, look.now))).text("\n");
    }
    if card.tainted {
        pen.text("⚠️ ").bold("Untrusted text was read before this was asked: check the target.").text("\n");
    }
}

fn settled(pen: &mut Pen, card: &Card, extent: Extent) {
    if let Some(outcome) = &card.outcome {
        pen.guarded(&cut(&prose(outcome), OUTCOME)).text("\n\n");
    } else if card.state == CardState::Unknown {
        pen.text("OpsBot was cut off while this ran. It is not run again by itself: look at the service first.\n\n");
    }
    field(pen, "Why", &card.reason, extent);
    field(pen, "Asked by", card.requester.as_str(), extent);
    if let Some(first) = &card.first_approver {
        field(pen, "First yes", first.as_str(), extent);
    }
    if card.tainted {
        pen.text("Untrusted text was read before this was asked.\n");
    }
}

fn field(pen: &mut Pen, name: &str, text: &str, extent: Extent) {
    pen.styled(Kind::Italic, name).text(": ");
    pen.guarded(&cut(&whole_line(text), extent.each)).text("\n");
}
