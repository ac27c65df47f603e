//! What a typed line means: a message, or the decision about the one card that the person is looking at.

use jiff::Timestamp;

use super::chat::Ask;
use crate::domain::{ApprovalId, Block, CardState, Outbound};

/// The longest message that is sent, in bytes.
pub const LONGEST_MESSAGE: usize = 64 * 1024;

/// What to do with a typed line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// Send it.
    Send(Ask),
    /// Send nothing and say this.
    Hint(&'static str),
    /// Leave the conversation.
    Leave,
    /// There was nothing on the line.
    Nothing,
}

/// The conversation as the person sees it, as far as a typed `yes` depends on it.
#[derive(Clone, Debug, Default)]
pub struct ChatState {
    interactive: bool,
    /// Every card that was shown as pending since the person last sent something.
    shown: Vec<Shown>,
    /// Cards that were shown before that and still wait.
    earlier: Vec<Shown>,
}

#[derive(Clone, Debug)]
struct Shown {
    id: ApprovalId,
    expires_at: Timestamp,
    pending: bool,
    /// It stood on the screen when the prompt was opened; a line begun before it came cannot be about it.
    before_prompt: bool,
}

impl ChatState {
    /// A new conversation; only an interactive one ever decides anything.
    pub fn new(interactive: bool) -> Self {
        Self { interactive, ..Self::default() }
    }

    /// Something was shown.
    pub fn on_event(&mut self, event: &Outbound) {
        let Outbound::Block { content: Block::Card(card) } = event else { return };
        let pending = card.state == CardState::Pending;
        self.earlier.retain(|s| s.id != card.id);
        match self.shown.iter_mut().find(|s| s.id == card.id) {
            Some(known) => {
                known.pending = pending;
                known.expires_at = card.expires_at;
            }
            None if pending => {
                let (id, expires_at) = (card.id, card.expires_at);
                self.shown.push(Shown { id, expires_at, pending, before_prompt: false });
            }
            None => {}
        }
    }

    /// The prompt was opened below all that was shown so far.
    pub fn on_prompt(&mut self) {
        for card in &mut self.shown {
            card.before_prompt = true;
        }
    }

    /// Whether a `yes` could count at the next prompt: keys pressed before it opened must then be thrown away.
    pub fn is_asking(&self) -> bool {
        self.interactive && self.shown.iter().any(|s| s.pending)
    }

    /// A line was typed at `now`.
    pub fn on_line(&mut self, line: &str, now: Timestamp) -> Typed {
        let text = line.trim();
        if text.is_empty() {
            return Typed::Nothing;
        }
        if text.len() > LONGEST_MESSAGE {
            return Typed::Hint("that is longer than 64 KiB and was not sent; send the part that matters");
        }
        if matches!(text, "/exit" | "/quit") {
            return Typed::Leave;
        }
        let verdict = if self.interactive { verdict(text) } else { None };
        if let (Some(approve), [card]) = (verdict, self.shown.as_slice())
            && card.pending
            && now < card.expires_at
        {
            if !card.before_prompt {
                return Typed::Hint("a card came while you were typing; read it, then answer it");
            }
            let id = card.id;
            self.shown.clear();
            return Typed::Send(Ask::Decide { id, approve });
        }
        let waits = |s: &Shown| s.pending && now < s.expires_at;
        if verdict.is_some() && self.shown.iter().chain(&self.earlier).any(waits) {
            return Typed::Hint(
                "that would count only for one card, shown last: nothing was decided. /pending shows what waits, \
                 /approve ID and /deny ID decide",
            );
        }
        self.earlier.extend(self.shown.drain(..).filter(waits));
        Typed::Send(Ask::Say(text.to_owned()))
    }
}

/// Whether these words are a yes or a no and nothing else.
pub(super) fn verdict(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "yes" | "y" => Some(true),
        "no" | "n" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{channels::console::card::tests::sample, domain::Card};

    /// One thing that happens in a conversation.
    enum Step {
        Card(u128, CardState),
        Prompt,
        Line(&'static str),
    }
    use Step::{Card as C, Line, Prompt};

    const EXPIRY: i64 = 1_795_269_600;

    fn last(interactive: bool, now: i64, steps: &[Step]) -> Typed {
        let mut state = ChatState::new(interactive);
        let mut typed = Typed::Nothing;
        for step in steps {
            match step {
                C(id, card_state) => {
                    state.on_event(&Block::Card(Card { state: *card_state, ..sample(*id) }).into());
                }
                Prompt => state.on_prompt(),
                Line(text) => typed = state.on_line(text, Timestamp::from_second(now).unwrap()),
            }
        }
        typed
    }

    fn decide(id: u128, approve: bool) -> Typed {
        Typed::Send(Ask::Decide { id: ApprovalId::from_bits(id), approve })
    }

    fn say(text: &str) -> Typed {
        Typed::Send(Ask::Say(text.into()))
    }

    #[test]
    fn a_typed_yes_counts_only_for_the_one_pending_card_last_shown() {
        use CardState::{Denied, Done, Pending, Superseded};
        let unclear = || last(true, EXPIRY - 60, &[C(1, Pending), C(2, Pending), Prompt, Line("yes")]);
        assert!(matches!(unclear(), Typed::Hint(text) if text.contains("nothing was decided")));
        let early = EXPIRY - 60;
        let table: [(&str, bool, i64, &[Step], Typed); 19] = [
            ("one card", true, early, &[C(1, Pending), Prompt, Line("yes")], decide(1, true)),
            ("a no", true, early, &[C(1, Pending), Prompt, Line(" N ")], decide(1, false)),
            ("in a pipe", false, early, &[C(1, Pending), Prompt, Line("yes")], say("yes")),
            ("no card", true, early, &[Prompt, Line("yes")], say("yes")),
            ("two cards", true, early, &[C(1, Pending), C(2, Pending), Prompt, Line("yes")], unclear()),
            (
                "two cards, one settled since",
                true,
                early,
                &[C(1, Pending), C(2, Pending), C(1, Denied), Prompt, Line("yes")],
                unclear(),
            ),
            (
                "an older one replaced",
                true,
                early,
                &[C(1, Pending), Prompt, Line("again"), C(1, Superseded), C(2, Pending), Prompt, Line("y")],
                decide(2, true),
            ),
            ("expired", true, EXPIRY, &[C(1, Pending), Prompt, Line("yes")], say("yes")),
            ("settled", true, early, &[C(1, Pending), C(1, Done), Prompt, Line("yes")], say("yes")),
            (
                "asked since",
                true,
                early,
                &[C(1, Pending), Prompt, Line("why?"), Prompt, Line("yes")],
                unclear(),
            ),
            (
                "asked since, settled elsewhere",
                true,
                early,
                &[C(1, Pending), Prompt, Line("why?"), C(1, Denied), Prompt, Line("yes")],
                say("yes"),
            ),
            (
                "asked since and shown again",
                true,
                early,
                &[C(1, Pending), Prompt, Line("/pending"), C(1, Pending), Prompt, Line("yes")],
                decide(1, true),
            ),
            ("twice", true, early, &[C(1, Pending), Prompt, Line("yes"), Prompt, Line("yes")], say("yes")),
            (
                "blank line between",
                true,
                early,
                &[C(1, Pending), Prompt, Line(""), Prompt, Line("yes")],
                decide(1, true),
            ),
            ("more than yes", true, early, &[C(1, Pending), Prompt, Line("yes please")], say("yes please")),
            ("pasted lines", true, early, &[C(1, Pending), Prompt, Line("yes\nyes")], say("yes\nyes")),
            (
                "shown while typing",
                true,
                early,
                &[Prompt, C(1, Pending), Line("yes")],
                Typed::Hint("a card came while you were typing; read it, then answer it"),
            ),
            (
                "read it then",
                true,
                early,
                &[Prompt, C(1, Pending), Line("yes"), Prompt, Line("yes")],
                decide(1, true),
            ),
            ("leave", true, early, &[C(1, Pending), Prompt, Line("/quit")], Typed::Leave),
        ];
        for (name, interactive, now, steps, want) in table {
            assert_eq!(last(interactive, now, steps), want, "{name}");
        }
    }

    #[test]
    fn huge_lines_are_not_sent() {
        let mut state = ChatState::new(true);
        let huge = "x".repeat(LONGEST_MESSAGE + 1);
        assert!(
            matches!(state.on_line(&huge, Timestamp::UNIX_EPOCH), Typed::Hint(t) if t.contains("64 KiB"))
        );
        assert_eq!(state.on_line("  \n ", Timestamp::UNIX_EPOCH), Typed::Nothing);
        let mut piped = ChatState::new(false);
        assert_eq!(piped.on_line("/quit", Timestamp::UNIX_EPOCH), Typed::Leave);
    }
}
