//! Where a turn's events go: to whoever waits, cleaned of secrets, without ever waiting on a client that has gone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{Block, ConversationKey, Level, Outbound, TurnStatus},
    policy::Redactor,
};

/// The sending half of one request's event stream.
#[derive(Clone, Debug)]
pub struct Sink {
    to: mpsc::Sender<Outbound>,
    redactor: Arc<Redactor>,
    left: CancellationToken,
    record: Option<Arc<Mutex<Record>>>,
}

/// Which of a turn's blocks its reply keeps.
pub type Choose = fn(TurnStatus, Vec<Block>) -> Vec<Block>;

/// What a turn said so far and no row holds yet.
#[derive(Debug)]
struct Record {
    conversation: ConversationKey,
    message: i64,
    choose: Choose,
    blocks: Vec<Block>,
    text: String,
    kept: bool,
    settled: bool,
}

impl Sink {
    /// Sends to `to`; every block is redacted on its way.
    pub fn new(to: mpsc::Sender<Outbound>, redactor: Arc<Redactor>) -> Self {
        Self { to, redactor, left: CancellationToken::new(), record: None }
    }

    /// The same for a channel that delivers from rows: what the answer to `message` says becomes a reply in the very
    /// commit that ends its turn.
    pub fn keeping(self, conversation: ConversationKey, message: i64, choose: Choose) -> Self {
        let record = Record {
            conversation,
            message,
            choose,
            blocks: vec![],
            text: String::new(),
            kept: false,
            settled: false,
        };
        Self { record: Some(Arc::new(Mutex::new(record))), ..self }
    }

    /// The message whose reply is kept.
    pub fn message(&self) -> Option<i64> {
        self.lock().map(|r| r.message)
    }

    /// The conversation and the message whose reply is kept.
    pub(super) fn home(&self) -> Option<(ConversationKey, i64)> {
        self.lock().map(|r| (r.conversation.clone(), r.message))
    }

    /// Shows a block that a row holds already.
    pub(super) async fn show(&self, block: Block) {
        if let Some(mut record) = self.lock() {
            record.kept = true;
            record.forget(&block);
        }
        let _gone = self.to.send(self.clean(block.into())).await;
    }

    /// Whether a reply was kept.
    pub fn has_kept(&self) -> bool {
        self.lock().is_some_and(|r| r.kept)
    }

    /// Takes what was said since the last time, for the row that the caller writes now.
    pub(super) fn take(&self, status: TurnStatus) -> Vec<Block> {
        let Some(mut record) = self.lock() else { return vec![] };
        record.flush(&self.redactor);
        let blocks = (record.choose)(status, std::mem::take(&mut record.blocks));
        record.kept |= !blocks.is_empty();
        blocks
    }

    /// The message whose end no row holds, or of which something was said since.
    pub(super) fn unsettled(&self) -> Option<i64> {
        let record = self.lock()?;
        let said = !record.blocks.is_empty() || !record.text.trim().is_empty();
        (!record.settled || said).then_some(record.message)
    }

    /// The row of the message is ended.
    pub(super) fn settled(&self) {
        if let Some(mut record) = self.lock() {
            record.settled = true;
        }
    }

    /// Leaves the message open for the next start and forgets what was said; false where nothing is kept.
    pub(super) fn abandon(&self) -> bool {
        let Some(mut record) = self.lock() else { return false };
        record.settled = true;
        record.text.clear();
        record.blocks.clear();
        true
    }

    /// What could not be kept; the channel shows it all the same.
    pub(super) fn put_back(&self, blocks: Vec<Block>) {
        if let Some(mut record) = self.lock() {
            record.kept = false;
            record.settled = true;
            record.blocks.splice(0..0, blocks);
        }
    }

    /// What was said and no row holds, after the end.
    pub fn left_over(&self) -> Vec<Block> {
        self.lock().map(|mut record| std::mem::take(&mut record.blocks)).unwrap_or_default()
    }

    fn lock(&self) -> Option<MutexGuard<'_, Record>> {
        self.record.as_ref().map(|r| r.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, event: &Outbound) {
        let Some(mut record) = self.lock() else { return };
        match event {
            Outbound::Delta { text } => record.text.push_str(text),
            Outbound::Retract => record.text.clear(),
            Outbound::Block { content } => {
                record.flush(&self.redactor);
                record.forget(content);
                record.blocks.push(content.clone());
            }
            Outbound::Progress { .. } | Outbound::Done { .. } => {}
        }
    }

    /// The same, for a listener who has gone once `left` fires, whatever can still be written to.
    pub fn until(self, left: CancellationToken) -> Self {
        Self { left, ..self }
    }

    /// Sends an event and waits for room; a receiver that has gone is fine.
    pub async fn send(&self, event: Outbound) {
        let event = self.clean(event);
        self.note(&event);
        let _gone = self.to.send(event).await;
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
        let event = self.clean(event);
        self.note(&event);
        let _full_or_gone = self.to.try_send(event);
    }

    /// Ends the stream.
    pub async fn done(&self, status: TurnStatus) {
        self.send(Outbound::Done { status }).await;
    }

    /// Whether nobody listens any more.
    pub fn is_gone(&self) -> bool {
        self.record.is_none() && (self.to.is_closed() || self.left.is_cancelled())
    }
}

impl Record {
    /// Drops what `newer` replaces: a card as it was before.
    fn forget(&mut self, newer: &Block) {
        if let Block::Card(new) = newer {
            self.blocks.retain(|b| !matches!(b, Block::Card(old) if old.id == new.id));
        }
    }

    fn flush(&mut self, redactor: &Redactor) {
        let text = std::mem::take(&mut self.text);
        if !text.trim().is_empty() {
            self.blocks.push(Block::text(redactor.redact(text.trim()).into_owned()));
        }
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
