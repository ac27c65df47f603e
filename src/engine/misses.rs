//! Words that were not understood: kept without names as candidates for phrases, shown, and tried out.

use super::{
    Engine, Sink, commands,
    intent::{self, Offer, Verdict},
    turn::Ledger,
};
use crate::{
    agent::{RowKind, port::Message},
    domain::{Block, Level, ToolCall, TurnStatus},
    policy,
    runtime::clock,
    store::StoreError,
};

impl Engine {
    /// Keeps words that led to a choice or to nothing; a failure is logged, the answer goes on.
    pub(super) async fn note_miss(&self, text: &str, nearest: &[ToolCall]) {
        let words = self.kept_form(text).await;
        if words.is_empty() {
            return;
        }
        let nearest: Vec<_> = nearest.iter().map(|c| c.tool.as_str()).collect();
        if let Err(error) = self.store().miss(&words, &nearest.join(", "), clock::now()).await {
            tracing::warn!(%error, "words that were not understood could not be kept");
        }
    }

    /// Notes a command that was offered as "did you mean" right before, as what its words meant.
    pub(super) async fn note_choice(&self, call: &ToolCall, ledger: &Ledger) {
        let before = ledger.rows.get(..ledger.new_from).unwrap_or_default();
        let [.., asked, answer] = before else { return };
        let Message::Assistant { text, calls, .. } = &answer.message else { return };
        let offered = || text.lines().skip(1).any(|line| line == commands::command_for(call));
        let Some(words) = asked.words.last().filter(|_| asked.kind == RowKind::User && calls.is_empty())
        else {
            return;
        };
        if !offered() {
            return;
        }
        let words = self.kept_form(words).await;
        if let Err(error) = self.store().miss_chosen(&words, &call.tool).await {
            tracing::warn!(%error, "a choice could not be noted");
        }
    }

    /// A person's own words without names and secrets.
    async fn kept_form(&self, text: &str) -> String {
        let own = policy::own_words(&self.0.parts.redactor.redact(text));
        intent::normalised(&own, &self.directory().await)
    }

    /// The words that were not understood, as a table.
    ///
    /// # Errors
    /// The store's.
    pub async fn intent_misses(&self, limit: u32, sink: &Sink) -> Result<TurnStatus, StoreError> {
        let misses = self.store().misses(limit.min(1000)).await?;
        if misses.is_empty() {
            sink.notice(Level::Info, "No plain words were misunderstood so far.").await;
            return Ok(TurnStatus::Answered);
        }
        let rows = misses
            .into_iter()
            .map(|m| {
                let last = m.last.strftime("%Y-%m-%d %H:%M:%S").to_string();
                vec![m.times.to_string(), m.words, m.nearest, last]
            })
            .collect();
        let columns = ["times", "words", "nearest", "last, UTC"].map(String::from).to_vec();
        sink.block(Block::Table { title: None, columns, rows }).await;
        Ok(TurnStatus::Answered)
    }

    /// Says how words are understood, and does nothing.
    pub async fn intent_try(&self, text: &str, sink: &Sink) -> TurnStatus {
        let engine = self.current();
        let directory = engine.directory().await;
        let offer = Offer { tools: engine.registry().vocabulary(), directory: &directory };
        let told = intent::explain(text, offer);
        for (n, clause) in told.clauses.iter().enumerate() {
            sink.block(Block::text(format!("{}. {clause}", n + 1))).await;
        }
        if !told.scores.is_empty() {
            let columns = ["part", "tool", "points", "call"].map(String::from).to_vec();
            let rows = told.scores.into_iter().map(|row| row.to_vec()).collect();
            sink.block(Block::Table { title: None, columns, rows }).await;
        }
        sink.notice(Level::Info, verdict(&told.verdict)).await;
        TurnStatus::Answered
    }
}

fn verdict(verdict: &Verdict) -> String {
    let list = |calls: &[ToolCall]| calls.iter().map(commands::command_for).collect::<Vec<_>>().join(" and ");
    match verdict {
        Verdict::Run(calls) => format!("This would run {}.", list(calls)),
        Verdict::Whose(call) => format!("This would ask whose: {}.", commands::command_for(call)),
        Verdict::Choose(calls) => format!("This would ask \"did you mean\": {}.", list(calls)),
        Verdict::Talk(answer) => format!("This is small talk: \"{answer}\""),
        Verdict::Held(answer, _) => format!("This would change nothing: \"{answer}\""),
        Verdict::Nothing => "No tool comes near these words.".to_owned(),
    }
}
