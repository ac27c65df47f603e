//! Every fault at every point of a conversation: what the person finally sees, how long that took, what health and
//! figures say, and that no row stays open.

mod cards;
mod polls;
mod secrets;
mod sends;
mod starts;
mod stores;
mod updates;

use std::time::Duration;

use jiff::Timestamp;
use opsbot::domain::{Block, Chart, ConversationKey, outbound::Series};

use super::rig::{ANNA, Line, Phone, SOON};
use crate::fake::telegram::{Fault, Shown};

/// What marks a copy that may be a second one.
const MARK: &str = "↻ Possibly a repeat";
/// What announces a message that may be missing.
const MISSING: &str = "it may be missing above";
/// What `/check_up 19` finds.
const FOUND: &str = "upstream timed out";

fn bad(text: &str) -> Fault {
    Fault::BadRequest(text.into())
}

fn slow_down(retry_after: u64) -> Fault {
    Fault::TooManyRequests { retry_after }
}

/// Calls end after a second, so that a hang does not take five.
fn line() -> Line {
    Line { call_timeout: Duration::from_secs(1), poll_timeout: Duration::from_secs(1), ..Line::default() }
}

/// A live message comes at once and is not edited before its end.
fn live_line() -> Line {
    Line { placeholder_after: Duration::ZERO, edit_every: Duration::from_secs(3600), ..line() }
}

impl Phone {
    /// Waits until health says whether updates arrive, and these words.
    async fn health_says(&self, well: bool, words: &str) -> String {
        self.until(|| self.health(), |(ok, said)| *ok == well && said.contains(words)).await.1
    }

    /// Waits until what is looked at fits.
    async fn until<T: std::fmt::Debug>(&self, look: impl Fn() -> T, fits: impl Fn(&T) -> bool) -> T {
        let waited = async {
            loop {
                let seen = look();
                if fits(&seen) {
                    return seen;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        match tokio::time::timeout(SOON, waited).await {
            Ok(seen) => seen,
            Err(_) => panic!("in vain; last: {:?}\n{}", look(), self.telegram.transcript()),
        }
    }

    fn count(&self, name: &str, labels: &[(&'static str, &str)]) -> u64 {
        self.counters.count(name, labels)
    }

    /// Visible messages of the bot that hold `part`: as they should be, and marked as a possible repeat.
    fn both(&self, part: &str) -> (usize, usize) {
        let shown = self.shown(ANNA);
        let fits = |marked: bool| {
            let one = |m: &&Shown| m.text.contains(part) && m.text.contains(MARK) == marked;
            shown.iter().filter(one).count()
        };
        (fits(false), fits(true))
    }

    /// Holds the site's tools, asks for a check-up and waits until it is at work with a live message.
    async fn ask_and_wait(&self) -> Shown {
        self.world.site.change(|s| s.held = true);
        self.telegram.say(ANNA, ANNA, "/check_up 19");
        let live = self.sees(ANNA, "⏳").await;
        self.world.site.until(|s| s.entered > 0).await;
        live
    }

    fn release(&self) {
        self.world.site.change(|s| s.held = false);
    }

    /// Writes a reply for Anna's chat that no turn made.
    async fn reply_row(&self, blocks: &[Block]) {
        let end = opsbot::store::TurnEnd { reply: blocks, ..opsbot::store::TurnEnd::default() };
        self.world.engine.store().end_turn(&annas(), end, Timestamp::now()).await.unwrap();
    }
}

fn annas() -> ConversationKey {
    ConversationKey::in_chat(opsbot::domain::ChannelKind::Telegram, ANNA, None, &"anna".into())
}

/// A chart with a caption.
fn chart() -> Block {
    let at = |n: i64| Timestamp::from_second(1_795_000_000 + n * 60).unwrap();
    let points = (0..30).map(|n| (at(n), n as f64)).collect();
    Block::Chart(Chart {
        title: "CPU of web".into(),
        unit: "%".into(),
        series: vec![Series { name: "web".into(), points }],
        threshold: None,
    })
}
