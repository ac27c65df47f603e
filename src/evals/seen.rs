//! What one conversation led to, gathered from its events and its rows.

use crate::{
    domain::{AuditKind, Block, Outbound, Risk, ToolCall},
    engine::Engine,
    store::StoreError,
};

/// How many rows of a case are read; one makes far fewer.
const ROWS: u32 = 200;

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It ran and brought something.
    Ran,
    /// Policy refused it.
    Refused,
    /// It named nothing that there is, or nothing that the person named.
    NotRun,
}

/// All that a case led to.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// What each message was answered with.
    pub(super) turns: Vec<Said>,
    /// The calls, in order.
    pub(super) calls: Vec<(ToolCall, Fate)>,
    /// The writes on each card.
    pub(super) cards: Vec<Vec<ToolCall>>,
    /// What tools answered, all together.
    pub(super) outputs: String,
}

/// The answer to one message.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    /// The model's own words.
    pub(super) prose: String,
    /// Sentences by code.
    pub(super) sentences: String,
    /// Choices that a tap makes.
    pub(super) buttons: Vec<String>,
    /// Whatever else is shown, as JSON.
    pub(super) blocks: String,
    /// How long it took, in seconds.
    pub(super) seconds: f64,
    /// The model failed, for this reason.
    pub(super) broke: Option<String>,
}

impl Said {
    /// Takes the next event.
    pub(super) fn take(&mut self, event: Outbound) {
        match event {
            Outbound::Delta { text } => self.prose.push_str(&text),
            Outbound::Retract => self.prose.clear(),
            Outbound::Progress { .. } | Outbound::Done { .. } => {}
            Outbound::Block { content } => match content {
                Block::Text { text } | Block::Notice { text, .. } => {
                    if let Some(why) = text.strip_prefix("Without the model: ") {
                        self.broke = Some(why.to_owned());
                    }
                    self.sentences.push_str(&text);
                    self.sentences.push('\n');
                }
                Block::Buttons { title, buttons } => {
                    self.sentences.push_str(&title);
                    self.sentences.push('\n');
                    self.buttons.extend(buttons.into_iter().map(|(_, text)| text));
                }
                other => {
                    self.blocks.push_str(&serde_json::to_string(&other).unwrap_or_default());
                    self.blocks.push('\n');
                }
            },
        }
    }

    /// Whether something is asked back.
    pub(super) fn asks(&self) -> bool {
        let text = format!("{} {}", self.prose, self.sentences).to_lowercase();
        !self.buttons.is_empty()
            || text.contains('?')
            || text.contains("which")
            || text.contains("there is no ")
    }
}

impl Seen {
    /// Reads the rows that the case left.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn read_rows(&mut self, engine: &Engine) -> Result<(), StoreError> {
        for (_, entry) in engine.store().audit_tail(ROWS).await? {
            let fate = match entry.kind {
                AuditKind::Read => Fate::Ran,
                AuditKind::Judged if entry.detail["risk"] == Risk::Blocked.word() => Fate::Refused,
                AuditKind::Judged => Fate::NotRun,
                _ => continue,
            };
            if let Ok(call) = serde_json::from_value(entry.detail["call"].clone()) {
                self.calls.push((call, fate));
            }
        }
        let mut cards = engine.store().approvals_recent(ROWS).await?;
        cards.reverse();
        self.cards = cards.into_iter().map(|c| c.calls.into_iter().map(|r| r.call).collect()).collect();
        Ok(())
    }

    /// The calls with this fate.
    pub(super) fn with(&self, fate: Fate) -> impl Iterator<Item = &ToolCall> {
        self.calls.iter().filter(move |(_, f)| *f == fate).map(|(call, _)| call)
    }

    /// All that a person or a model could read before it spoke: outputs, sentences and blocks.
    pub(super) fn evidence(&self) -> String {
        let mut all = self.outputs.clone();
        for said in &self.turns {
            all.push_str(&said.sentences);
            all.push_str(&said.blocks);
        }
        all
    }
}
