//! Where a turn's events go: to whoever waits, cleaned of secrets, without ever waiting on a client that has gone.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{Block, Level, Outbound, TurnStatus},
    policy::Redactor,
};

/// The sending half of one request's event stream.
#[derive(Clone, Debug)]
pub struct Sink {
    to: mpsc::Sender<Outbound>,
    redactor: Arc<Redactor>,
    left: CancellationToken,
}

impl Sink {
    /// Sends to `to`; every block is redacted on its way.
    pub fn new(to: mpsc::Sender<Outbound>, redactor: Arc<Redactor>) -> Self {
        Self { to, redactor, left: CancellationToken::new() }
    }

    /// The same, for a listener who has gone once `left` fires, whatever can still be written to.
    pub fn until(self, left: CancellationToken) -> Self {
        Self { left, ..self }
    }

    /// Sends an event and waits for room; a receiver that has gone is fine.
    pub async fn send(&self, event: Outbound) {
        let _gone = self.to.send(self.clean(event)).await;
    }

    fn clean(&self, event: Outbound) -> Outbound {
        match event {
            Outbound::Block { content } => Outbound::Block { content: redact_block(&self.redactor, content) },
            Outbound::Progress { text } => {
                Outbound::Progress { text: self.redactor.redact(&text).into_owned() }
            }
            event @ (Outbound::Delta { .. } | Outbound::Retract | Outbound::Done { .. }) => event,
        }
    }

    /// Sends a block.
    pub async fn block(&self, block: Block) {
        self.send(block.into()).await;
    }

    /// Sends a notice.
    pub async fn notice(&self, level: Level, text: impl Into<String>) {
        self.block(Block::notice(level, text)).await;
    }

    /// Sends what may be dropped when there is no room: a piece of text already on its way, a line of progress.
    pub fn try_send(&self, event: Outbound) {
        let _full_or_gone = self.to.try_send(self.clean(event));
    }

    /// Ends the stream.
    pub async fn done(&self, status: TurnStatus) {
        self.send(Outbound::Done { status }).await;
    }

    /// Whether nobody listens any more.
    pub fn is_gone(&self) -> bool {
        self.to.is_closed() || self.left.is_cancelled()
    }
}

/// The block with secrets taken out of every text in it.
pub fn redact_block(redactor: &Redactor, block: Block) -> Block {
    let Ok(mut value) = serde_json::to_value(&block) else { return block };
    redact_value(redactor, &mut value);
    serde_json::from_value(value).unwrap_or(block)
}

/// Takes secrets out of every text in `value`; keys stay.
pub fn redact_value(redactor: &Redactor, value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) => {
            if let std::borrow::Cow::Owned(clean) = redactor.redact(text) {
                *text = clean;
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(|v| redact_value(redactor, v)),
        serde_json::Value::Object(map) => map.values_mut().for_each(|v| redact_value(redactor, v)),
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {}
    }
}
