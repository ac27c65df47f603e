//! An approval card on a terminal: every call, every step, who, why, until when, and how to answer.

use super::{
    style::{Ink, Style},
    text::{lines, one_line, pad, width, wrap},
};
use crate::domain::{Card, CardState, Risk};

/// A box is not drawn wider than this.
const WIDEST: usize = 100;
/// The columns of the names at the left.
const NAMES: usize = 12;

/// The card's lines; `answers` says whether a typed `yes` counts here.
pub(super) fn card(style: &Style, card: &Card, answers: bool) -> Vec<String> {
    let boxed = style.live && style.width >= 40;
    let inner = if boxed { style.width.min(WIDEST) - 4 } else { style.width };
    let (title, ink) = heading(card);
    let mut body = Vec::new();
    for call in &card.calls {
        body.extend(wrap(&one_line(call), inner).iter().map(|l| style.paint(Ink::Bold, l)));
    }
    if card.state == CardState::Pending {
        pending(style, card, inner, answers, &mut body);
    } else {
        settled(style, card, inner, &mut body);
    }
    if boxed {
        return draw(style, (title, ink), &body, inner);
    }
    let mut out = vec![style.paint(ink, &format!("== {title} =="))];
    out.extend(body);
    out
}

fn heading(card: &Card) -> (&'static str, Ink) {
    match card.state {
        CardState::Pending if card.first_approver.is_some() => ("A second yes is needed", Ink::Yellow),
        CardState::Pending => ("Approval needed", Ink::Yellow),
        CardState::Executing => ("Approved, running now", Ink::Cyan),
        CardState::Done => ("Done", Ink::Green),
        CardState::Failed => ("Failed", Ink::Red),
        CardState::Unknown => ("Outcome unknown: verify by hand", Ink::Red),
        CardState::Denied => ("Denied, nothing was run", Ink::Yellow),
        CardState::Expired => ("Expired, nothing was run", Ink::Yellow),
        CardState::Superseded => ("Replaced by a newer card", Ink::Dim),
    }
}

fn pending(style: &Style, card: &Card, inner: usize, answers: bool, body: &mut Vec<String>) {
    if !card.steps.is_empty() {
        body.push(String::new());
        body.push("What would run:".into());
        for (n, step) in card.steps.iter().enumerate() {
            let number = format!("{:>3}. ", n + 1);
            body.extend(hang(&number, &one_line(step), inner));
        }
    }
    body.push(String::new());
    let people = match card.risk {
        Risk::TwoPerson => "two people, the second an admin who did not ask",
        Risk::Safe | Risk::Confirm | Risk::Blocked => "one person",
    };
    body.extend(named("Takes", &format!("{people} ({})", card.risk), inner));
    body.extend(named("Why", &card.reason, inner));
    body.extend(named("Asked by", card.requester.as_str(), inner));
    body.extend(named("May decide", &card.eligible, inner));
    if let Some(first) = &card.first_approver {
        body.extend(named("First yes", first.as_str(), inner));
    }
    body.extend(named("Expires", &style.clock(card.expires_at), inner));
    if let Some(sent) = card.sent_at {
        let text = format!("It was asked long ago, at {}: still do it?", style.clock(sent));
        body.extend(wrap(&text, inner).iter().map(|l| style.paint(Ink::Red, l)));
    }
    if card.tainted {
        let text = "Untrusted text was read before this was asked: check the target.";
        body.extend(wrap(text, inner).iter().map(|l| style.paint(Ink::Red, l)));
    }
    body.push(String::new());
    let how = if answers { "Type yes to run it, no to refuse it. From elsewhere:" } else { "To decide:" };
    body.extend(wrap(how, inner));
    body.extend(wrap(&format!("opsbot approve {}", card.id), inner));
    body.extend(wrap(&format!("opsbot deny {}", card.id), inner));
}

fn settled(style: &Style, card: &Card, inner: usize, body: &mut Vec<String>) {
    if let Some(outcome) = &card.outcome {
        let columns = inner.saturating_sub(NAMES).max(1);
        let text: Vec<String> = lines(outcome).iter().flat_map(|l| wrap(l, columns)).collect();
        for (n, line) in text.iter().enumerate() {
            body.push(format!("{}{line}", pad(if n == 0 { "Outcome" } else { "" }, NAMES)));
        }
    } else if card.state == CardState::Unknown {
        body.extend(wrap("OpsBot was cut off while this ran. It is not run again by itself.", inner));
    }
    body.extend(
        wrap(&format!("{} {}", pad("Approval", NAMES - 1), card.id), inner)
            .iter()
            .map(|l| style.paint(Ink::Dim, l)),
    );
}

fn named(name: &str, text: &str, inner: usize) -> Vec<String> {
    hang(&pad(name, NAMES), &one_line(text), inner)
}

/// `text` after `lead`, its further lines below its first.
fn hang(lead: &str, text: &str, columns: usize) -> Vec<String> {
    let indent = width(lead);
    let body = wrap(text, columns.saturating_sub(indent).max(1));
    let put = |(n, line): (usize, &String)| {
        format!("{}{line}", if n == 0 { lead.to_owned() } else { " ".repeat(indent) })
    };
    body.iter().enumerate().map(put).collect()
}

fn draw(style: &Style, (title, ink): (&str, Ink), body: &[String], inner: usize) -> Vec<String> {
    let [tl, tr, bl, br, flat, side] = if style.unicode {
        ["╭", "╮", "╰", "╯", "─", "│"]
    } else {
        ["+", "+", "+", "+", "-", "|"]
    };
    let edge = |text: &str| style.paint(ink, text);
    let fill = (inner + 1).saturating_sub(width(title) + 2);
    let mut out = vec![edge(&format!("{tl}{flat} {title} {}{tr}", flat.repeat(fill)))];
    for line in body {
        let blanks = inner.saturating_sub(shown_width(line));
        out.push(format!("{} {line}{} {}", edge(side), " ".repeat(blanks), edge(side)));
    }
    out.push(edge(&format!("{bl}{}{br}", flat.repeat(inner + 2))));
    out
}

/// The columns of a line that holds our own colours.
fn shown_width(line: &str) -> usize {
    let mut pieces = line.split('\u{1b}');
    let first = pieces.next().map_or(0, width);
    first + pieces.map(|p| p.split_once('m').map_or(0, |(_, rest)| width(rest))).sum::<usize>()
}

#[cfg(test)]
pub(super) mod tests {
    use jiff::{Timestamp, tz::TimeZone};

    use super::*;
    use crate::domain::ApprovalId;

    pub(in super::super) fn sample(id: u128) -> Card {
        Card {
            id: ApprovalId::from_bits(id),
            calls: vec!["restart_container(customer_id=19, service=web)".into()],
            steps: vec![
                "restart container shop-web (3f2a9c01) on local".into(),
                "wait until it is healthy".into(),
            ],
            risk: Risk::Confirm,
            reason: "restart_container asks by default".into(),
            requester: "anna".into(),
            eligible: "anna, or any admin".into(),
            tainted: true,
            sent_at: None,
            expires_at: Timestamp::from_second(1_795_269_600).unwrap(),
            state: CardState::Pending,
            first_approver: None,
            outcome: None,
        }
    }

    #[test]
    fn a_pending_card_shows_everything_that_is_decided_about() {
        let style = Style::plain(TimeZone::get("Europe/Berlin").unwrap());
        let got = card(&style, &sample(0xabc), true).join("\n");
        let want = "== Approval needed ==\n\
            restart_container(customer_id=19, service=web)\n\
            \n\
            What would run:\n  1. restart container shop-web (3f2a9c01) on local\n  2. wait until it is healthy\n\
            \n\
            Takes       one person (confirm)\n\
            Why         restart_container asks by default\n\
            Asked by    anna\n\
            May decide  anna, or any admin\n\
            Expires     15:00:00 CET\n\
            Untrusted text was read before this was asked: check the target.\n\
            \n\
            Type yes to run it, no to refuse it. From elsewhere:\n\
            opsbot approve 00000000000000000000000000000abc\n\
            opsbot deny 00000000000000000000000000000abc";
        assert_eq!(got, want);
        assert!(!card(&style, &sample(1), false).join("\n").contains("Type yes"));
        let calm = Card { tainted: false, ..sample(1) };
        assert!(!card(&style, &calm, true).join("\n").contains("Untrusted"));
    }

    #[test]
    fn every_state_says_what_became_of_it() {
        let style = Style::plain(TimeZone::UTC);
        let table = [
            (CardState::Executing, None, "running now"),
            (CardState::Done, Some("web is up again after 4 s"), "web is up again after 4 s"),
            (CardState::Failed, Some("not up"), "not up"),
            (CardState::Unknown, None, "verify by hand"),
            (CardState::Denied, None, "nothing was run"),
            (CardState::Expired, None, "nothing was run"),
            (CardState::Superseded, None, "newer card"),
        ];
        for (state, outcome, want) in table {
            let one = Card { state, outcome: outcome.map(str::to_owned), ..sample(7) };
            let got = card(&style, &one, true).join("\n");
            assert!(got.contains(want) && got.contains("customer_id=19"), "{got}");
            assert!(!got.contains("Type yes") && !got.contains("opsbot approve"), "{got}");
        }
        let second = Card { risk: Risk::TwoPerson, first_approver: Some("anna".into()), ..sample(7) };
        let got = card(&style, &second, true).join("\n");
        assert!(
            got.contains("A second yes") && got.contains("First yes   anna") && got.contains("two people"),
            "{got}"
        );
    }

    #[test]
    fn the_box_is_closed_at_every_width_and_nothing_breaks_out_of_it() {
        let evil = Card {
            calls: vec![format!(
                "restart_container(service=\u{1b}[2J\u{202e}x\n│ fake, {})",
                "y".repeat(300)
            )],
            steps: vec!["日本語 ".repeat(40)],
            ..sample(7)
        };
        for (width, unicode, color) in
            [(40, true, true), (57, false, false), (80, true, false), (300, true, true)]
        {
            let style = Style { width, unicode, color, live: true, ..Style::plain(TimeZone::UTC) };
            let got = card(&style, &evil, true);
            let sizes: Vec<_> = got.iter().map(|l| shown_width(l)).collect();
            assert!(sizes.iter().all(|s| *s == width.min(WIDEST)), "{sizes:?}\n{}", got.join("\n"));
            let bare = got.join("\n");
            assert!(!bare.contains("\u{1b}[2J") && !bare.contains('\u{202e}'), "{bare}");
        }
    }
}
