//! Who talks while the bot is killed: one who asks for a restart and decides on it, and others who ask the model, edit
//! and ask again beside that. Whatever they say is noted in the same breath.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use opsbot::policy::approval::Verb;
use serde_json::Value;
use tokio::{sync::watch, time::sleep};

use crate::{
    fake::{
        model::Say,
        telegram::{FakeTelegram, Shown, World},
    },
    telegram::house::{ANNA, BEN, GROUP},
};

/// Nothing takes that long unless it is lost.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How far the restart has come, as its person knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    #[default]
    Asked,
    Carded,
    Decided,
    Executing,
    Done,
}

/// What was said before the kill.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub stage: Stage,
    /// The card that came, and what was said to it.
    pub card: Option<String>,
    pub verdict: Option<Verb>,
    pub questions: Vec<Question>,
}

/// A question to the model, whose answer repeats its word.
#[derive(Clone, Debug)]
pub struct Question {
    pub chat: i64,
    pub message: i32,
    pub word: String,
    /// The word that it was edited to.
    pub edited: Option<String>,
}

/// Everybody in front of one bot.
pub struct People {
    pub telegram: FakeTelegram,
    /// `/restart_container` for it.
    pub restart: String,
    pub words: AtomicUsize,
}

/// What the model says: the question's word, at once or slowly.
pub fn answer(request: &Value, n: usize) -> Say {
    // A follow-up on an outcome comes after whatever was said last, the model's own answer to a question too.
    let last = request["messages"].as_array().and_then(|m| m.last()).filter(|m| m["role"] == "user");
    let asked = last.and_then(|m| m["content"].as_str()).unwrap_or_default();
    let word = asked.split_whitespace().map(|w| w.trim_end_matches('?')).find(|w| w.starts_with("q-"));
    match word {
        Some(word) if word.ends_with("-slow") => {
            let text =
                format!("Answer to {word}: it was looked at in every way that there is, and all is well.");
            Say::Slow { text, chunk_ms: 12 }
        }
        Some(word) => Say::Text(format!("Answer to {word}: all is well.")),
        None => Say::Text(format!("Noted, for the time number {n}.")),
    }
}

/// Whether it is the card of an approval, with its buttons; gives the approval.
fn asks(message: &Shown) -> Option<String> {
    let buttons = message.keyboard.iter().flatten();
    buttons.filter_map(|b| b.data.as_deref()?.strip_prefix("a:")).next().map(str::to_owned)
}

impl People {
    /// Everybody talks until they have said what they want; `tell` learns of it.
    pub fn talk(self: &Arc<Self>, tell: &watch::Sender<Told>) -> tokio::task::JoinSet<()> {
        let mut all = tokio::task::JoinSet::new();
        let (people, to) = (self.clone(), tell.clone());
        all.spawn(async move { people.decides(&to).await });
        for (chat, user) in [(ANNA, ANNA), (BEN, BEN), (GROUP, BEN)] {
            let (people, to) = (self.clone(), tell.clone());
            all.spawn(async move { people.asks(chat, user, &to).await });
        }
        all
    }

    async fn decides(&self, tell: &watch::Sender<Told>) {
        let asked = self.telegram.say(ANNA, ANNA, &self.restart);
        let found =
            |w: &World| w.from_bot(ANNA).filter(|m| m.id > asked).find_map(|m| Some((m.id, asks(m)?)));
        let (message, approval) = self.telegram.wait_some(found, PATIENCE).await;
        tell.send_modify(|t| (t.stage, t.card) = (Stage::Carded, Some(approval.clone())));
        sleep(Duration::from_micros(rand::random_range(0..20_000))).await;
        let verb = if rand::random_ratio(4, 5) { Verb::Approve } else { Verb::Deny };
        self.decide(message, &approval, verb);
        tell.send_modify(|t| (t.stage, t.verdict) = (Stage::Decided, Some(verb)));
        let shows =
            |w: &World, marks: &[char]| w.message(ANNA, message).is_some_and(|m| m.text.starts_with(marks));
        self.telegram.wait_for(|w| shows(w, &['▶', '✅', '🚫']), PATIENCE).await;
        tell.send_modify(|t| t.stage = Stage::Executing);
        self.telegram.wait_for(|w| shows(w, &['✅', '🚫']), PATIENCE).await;
        tell.send_modify(|t| t.stage = Stage::Done);
    }

    /// By a button, by two presses of it, or in words.
    fn decide(&self, message: i32, approval: &str, verb: Verb) {
        let (data, words) = match verb {
            Verb::Approve => (format!("a:{approval}"), format!("/approve {approval}")),
            Verb::Deny => (format!("d:{approval}"), format!("/deny {approval}")),
        };
        match rand::random_range(0..4) {
            0 => drop(self.telegram.say(ANNA, ANNA, &words)),
            1 => drop([(); 2].map(|()| self.telegram.press_data(ANNA, ANNA, message, &data))),
            _ => drop(self.telegram.press_data(ANNA, ANNA, message, &data)),
        }
    }

    async fn asks(&self, chat: i64, user: i64, tell: &watch::Sender<Told>) {
        let mention = if chat == GROUP { format!("@{} ", self.telegram.bot_name()) } else { String::new() };
        for _ in 0..rand::random_range(1..=3) {
            let mut word = self.word();
            let message = self.telegram.say(chat, user, &format!("{mention}how is {word}?"));
            let question = Question { chat, message, word: word.clone(), edited: None };
            tell.send_modify(|t| t.questions.push(question));
            sleep(Duration::from_millis(rand::random_range(0..80))).await;
            if rand::random_ratio(1, 4) {
                word = self.word();
                self.telegram.edit(chat, user, message, &format!("{mention}how is {word}?"));
                let edited = Some(word.clone());
                tell.send_modify(|t| {
                    let asked = t.questions.iter_mut().find(|q| (q.chat, q.message) == (chat, message));
                    asked.unwrap().edited = edited;
                });
            } else if rand::random() {
                let said = |w: &World| w.from_bot(chat).any(|m| m.text.contains(&format!("{word}:")));
                self.telegram.wait_for(said, PATIENCE).await;
            }
            sleep(Duration::from_millis(rand::random_range(0..200))).await;
        }
    }

    /// A word that nobody said before.
    fn word(&self) -> String {
        let kind = if rand::random() { "slow" } else { "fast" };
        format!("q-{}-{kind}", self.words.fetch_add(1, Ordering::Relaxed))
    }
}
