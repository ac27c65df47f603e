//! What the bot remembers: notes on their way into prompts and tools, and the commands that show and forget.

use std::{
    hash::{BuildHasher, RandomState},
    sync::LazyLock,
};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Engine, Sink, turn::remembered};
use crate::{
    agent::{
        Remembered, RowKind,
        history::{self, Facts},
        port::{Message, Notes},
    },
    domain::{
        Actor, AuditEntry, AuditKind, Block, ConversationKey, CustomerId, Inbound, Level, NewNote, Note,
        PersonName, ToolError, TurnStatus, Untrusted,
    },
    policy::{self, Approval, Known, Vocabulary},
    runtime::clock,
    store::StoreError,
};

/// The most notes that a prompt holds.
const IN_PROMPT: usize = 10;
/// Notes may take one part in so many of the context.
const SHARE: usize = 16;
/// The turns that `/history` shows unless told otherwise, and at most.
pub const TURNS: (usize, usize) = (5, 20);

/// Makes fences' nonces that nobody can guess and that stay the same for the same notes, so that the prompt's prefix
/// stays in the model server's cache.
static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// How much is remembered, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// The share of the context that a conversation may fill before it is condensed.
    pub budget: f64,
    /// What was said longer ago is deleted.
    pub history: SignedDuration,
    /// The most notes of one person.
    pub notes: usize,
    /// The longest that a note is kept; none means until it is deleted.
    pub note_lifetime: Option<SignedDuration>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { budget: 0.6, history: SignedDuration::from_hours(30 * 24), notes: 100, note_lifetime: None }
    }
}

/// What `/forget` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forget {
    /// This conversation.
    Conversation,
    /// All notes of whoever asks; asks back.
    Notes,
    /// The same after the question, which was put to this person.
    NotesOf(String),
}

/// The notes as a call may reach them.
pub(super) struct Recall {
    pub(super) engine: Engine,
    pub(super) person: PersonName,
    pub(super) conversation: ConversationKey,
    pub(super) tainted: bool,
    /// What a note's words must be found in; none where somebody saw the very note and said yes to it.
    pub(super) own_words: Option<Vec<String>>,
}

impl Recall {
    /// For a write that somebody said yes to, having seen all of it.
    pub(super) fn approved(engine: &Engine, approval: &Approval) -> Self {
        Self {
            engine: engine.clone(),
            person: approval.requester.person.clone(),
            conversation: approval.conversation.clone(),
            tainted: approval.tainted,
            own_words: None,
        }
    }

    /// Whether the person said what the note says, and named whom it is about.
    async fn vouch(&self, note: &NewNote) -> Result<(), ToolError> {
        let Some(own) = &self.own_words else { return Ok(()) };
        let refused = |why: &str| {
            Err(ToolError::Failed(format!(
                "{why}, and text from outside was read here: I keep only what you say in your own words. Write it as \
                 /remember TEXT"
            )))
        };
        if !policy::says(own, &note.text) {
            return refused("this is not what you said");
        }
        let Some(customer) = &note.customer else { return Ok(()) };
        let names = self.engine.vocabulary().await;
        if own.iter().any(|said| names.mentions(said).customers.contains(customer)) {
            return Ok(());
        }
        refused("you did not name that customer")
    }
}

#[async_trait]
impl Notes for Recall {
    async fn keep(&self, note: NewNote) -> Result<Note, ToolError> {
        self.vouch(&note).await?;
        let (now, memory) = (clock::now(), self.engine.0.parts.memory);
        let latest = memory.note_lifetime.and_then(|most| now.checked_add(most).ok());
        let expires_at = match (note.expires_at, latest) {
            (Some(at), Some(latest)) => Some(at.min(latest)),
            (at, latest) => at.or(latest),
        };
        let text = self.engine.0.parts.redactor.redact(&note.text).into_owned();
        let note = NewNote { text, expires_at, ..note };
        let by = (&self.person, &self.conversation, self.tainted);
        let kept = self.engine.store().note_put(by, &note, memory.notes, now).await.map_err(failed)?;
        kept.ok_or_else(|| {
            ToolError::Failed(format!(
                "you have {} notes, and more are not kept: /notes lists them, /forget_note ID deletes one",
                memory.notes
            ))
        })
    }

    async fn list(&self, customer: Option<&CustomerId>) -> Result<Vec<Note>, ToolError> {
        let now = clock::now();
        match customer {
            Some(customer) => self.engine.store().notes_about(customer, now).await,
            None => self.engine.store().notes_of(&self.person, now).await,
        }
        .map_err(failed)
    }

    async fn forget(&self, id: i64) -> Result<Note, ToolError> {
        let gone = self.engine.store().note_delete(&self.person, id).await.map_err(failed)?;
        match gone {
            Some(note) => Ok(note),
            None => {
                let own = self.list(None).await?;
                let known = own.iter().take(10).map(|n| n.id.to_string()).collect();
                Err(ToolError::UnknownId { what: "note of yours", given: id.to_string(), known })
            }
        }
    }
}

fn failed(error: StoreError) -> ToolError {
    ToolError::Failed(format!("the store failed: {error}"))
}

impl Engine {
    /// Tokens that a conversation may take before it is condensed.
    fn budget(&self) -> usize {
        let whole = self.brain().map_or(self.context(), |b| b.num_ctx.saturating_sub(b.max_tokens));
        (f64::from(whole) * self.0.parts.memory.budget) as usize
    }

    async fn vocabulary(&self) -> Vocabulary {
        let directory = self.directory().await;
        Vocabulary::new(&Known { customers: &directory.customers, services: &directory.services })
    }

    /// What the conversation remembers, condensed if need be, and before it the notes of `actor` that matter here.
    pub(super) async fn recall(
        &self,
        conversation: &ConversationKey,
        actor: &Actor,
        message: Option<&Inbound>,
    ) -> Result<Vec<Remembered>, StoreError> {
        let rows = self.store().history(conversation).await?;
        let mut rows: Vec<_> = rows.into_iter().filter_map(remembered).collect();
        let budget = self.budget();
        if history::is_due(&rows, budget)
            && let Some(c) = history::compact(&rows, budget, &self.vocabulary().await)
        {
            self.store().compact(conversation, c.up_to, super::turn::stored(&c.summary)).await?;
            rows.splice(..c.rows, [c.summary]);
        }
        let asked = message.map(|m| m.text.as_str()).unwrap_or_default();
        if let Some(notes) = self.notes_row(&actor.person, &rows, asked).await? {
            rows.insert(0, notes);
        }
        Ok(rows)
    }

    /// The newest notes of `person` that are about nobody or about a customer whom the conversation names.
    async fn notes_row(
        &self,
        person: &PersonName,
        rows: &[Remembered],
        asked: &str,
    ) -> Result<Option<Remembered>, StoreError> {
        let mut notes = self.store().notes_of(person, clock::now()).await?;
        if notes.iter().any(|n| n.customer.is_some()) {
            let named = self.named(rows, asked).await;
            notes.retain(|n| n.customer.as_ref().is_none_or(|c| named.contains(c)));
        }
        notes.truncate(IN_PROMPT);
        let most = self.context() as usize * 3 / SHARE;
        let mut text = String::new();
        let mut tainted = false;
        for note in &notes {
            let line = note_line(note);
            if text.len() + line.len() > most {
                break;
            }
            text.push_str(&line);
            tainted |= note.tainted;
        }
        if text.is_empty() {
            return Ok(None);
        }
        let clean = Untrusted::new(&self.0.parts.redactor.redact(&text));
        let nonce = format!("{:08x}", SEED.hash_one(clean.as_str()) as u32);
        let text =
            format!("What I asked you to remember:\n{}", policy::fence(&clean, &nonce, "notes by people"));
        let facts = Facts { read: if tainted { vec!["a note".into()] } else { vec![] }, ..Facts::default() };
        Ok(Some(Remembered {
            seq: None,
            at: clock::now(),
            kind: RowKind::Summary,
            message: Message::User { text },
            tainted,
            words: vec![],
            confirmed_write: false,
            facts,
        }))
    }

    /// The customers whom the person named in this conversation.
    async fn named(&self, rows: &[Remembered], asked: &str) -> Vec<CustomerId> {
        let names = self.vocabulary().await;
        let spoken = history::words(rows);
        let said = spoken.earlier.iter().chain(&spoken.since).map(String::as_str).chain([asked]);
        let mut named: Vec<_> = said.flat_map(|words| names.mentions(words).customers).collect();
        let condensed = rows.iter().flat_map(|r| &r.facts.customers);
        named.extend(condensed.filter_map(|c| names.customer(c.split(" (").next()?).cloned()));
        named
    }

    /// `/forget`: refuses while something runs here, so that nothing writes back what was just forgotten.
    pub(super) async fn forget(
        &self,
        what: &Forget,
        inbound: &Inbound,
        sink: &Sink,
    ) -> Result<TurnStatus, StoreError> {
        match what {
            Forget::Conversation => self.forget_conversation(inbound, sink).await,
            Forget::Notes => self.ask_to_forget_notes(&inbound.actor.person, sink).await,
            Forget::NotesOf(name) => self.forget_notes(name, inbound, sink).await,
        }
    }

    async fn forget_conversation(&self, inbound: &Inbound, sink: &Sink) -> Result<TurnStatus, StoreError> {
        let Some(mut place) = self.0.sessions.enter(&inbound.conversation, 1) else {
            let text =
                "A question of yours is still being answered here: wait for it or /stop it, then /forget.";
            sink.notice(Level::Warning, text).await;
            return Ok(TurnStatus::Refused);
        };
        let _nobody_else = place.wait().await;
        let audit = forgot(inbound, format!("{} forgot this conversation", inbound.actor.person));
        let gone = self.store().forget(&inbound.conversation, audit).await?;
        let rows: Vec<_> = gone.rows.into_iter().filter_map(remembered).collect();
        let condensed: u32 = rows.iter().map(|r| r.facts.messages).sum();
        let asked = rows.iter().filter(|r| r.kind == RowKind::User).count() + condensed as usize;
        let mut parts = Vec::new();
        if !rows.is_empty() {
            parts.push(plural(asked, "message", "messages"));
        }
        if !gone.settings.tools.is_empty() {
            parts.push(plural(gone.settings.tools.len(), "added tool", "added tools"));
        }
        parts.extend(gone.settings.model.map(|model| format!("the choice of {model}")));
        let text = if parts.is_empty() {
            "There was nothing to forget here.".to_owned()
        } else {
            format!(
                "Forgotten: {} of this conversation. Your notes (/notes), open cards (/pending) and the audit stay.",
                parts.join(", ")
            )
        };
        sink.notice(Level::Info, text).await;
        Ok(TurnStatus::Answered)
    }

    async fn ask_to_forget_notes(&self, person: &PersonName, sink: &Sink) -> Result<TurnStatus, StoreError> {
        let have = self.store().notes_of(person, clock::now()).await?.len();
        if have == 0 {
            sink.notice(Level::Info, "You have no notes.").await;
            return Ok(TurnStatus::Answered);
        }
        let title = format!("{person}, delete {} of yours?", plural(have, "note", "notes"));
        let buttons = vec![("Yes, delete them".to_owned(), format!("/forget notes of {person}"))];
        sink.block(Block::Buttons { title, buttons }).await;
        Ok(TurnStatus::Answered)
    }

    async fn forget_notes(
        &self,
        name: &str,
        inbound: &Inbound,
        sink: &Sink,
    ) -> Result<TurnStatus, StoreError> {
        let person = &inbound.actor.person;
        if !person.same(&PersonName::new(name)) {
            let text = format!("Only {name} can delete {name}'s notes; yours: /forget notes");
            sink.notice(Level::Error, text).await;
            return Ok(TurnStatus::Refused);
        }
        let audit = forgot(inbound, format!("{person} deleted their notes"));
        let gone = self.store().notes_delete(person, audit).await?;
        let gone = plural(usize::try_from(gone).unwrap_or(usize::MAX), "note is", "notes are");
        sink.notice(Level::Info, format!("{gone} deleted.")).await;
        Ok(TurnStatus::Answered)
    }

    /// `/history`: the last turns in short, and what else this conversation carries along.
    pub(super) async fn show_history(
        &self,
        turns: usize,
        inbound: &Inbound,
        sink: &Sink,
    ) -> Result<TurnStatus, StoreError> {
        let rows = self.store().history(&inbound.conversation).await?;
        let rows: Vec<_> = rows.into_iter().filter_map(remembered).collect();
        let settings = self.store().conversation(&inbound.conversation).await?;
        let all = turns_of(&rows);
        if all.is_empty() && rows.is_empty() {
            sink.notice(Level::Info, "Nothing is remembered here yet.").await;
        } else {
            let shown: Vec<_> = all.iter().skip(all.len().saturating_sub(turns)).cloned().collect();
            let title = format!("The last {} of {} here", shown.len(), plural(all.len(), "turn", "turns"));
            let columns = ["time (UTC)", "asked", "called", "answered"].map(String::from).to_vec();
            sink.block(Block::Table { title: Some(title), columns, rows: shown }).await;
        }
        let mut lines = Vec::new();
        if let Some(facts) = rows.first().filter(|r| r.kind == RowKind::Summary).map(|r| &r.facts) {
            lines.push(format!(
                "Condensed before that: {}.",
                plural(facts.messages as usize, "message", "messages")
            ));
            lines.extend(facts.told().into_iter().map(|fact| format!("• {fact}")));
        }
        lines.push(match (history::tainted(&rows), history::sources(&rows).as_slice()) {
            (false, _) => "Text from outside: none was read here.".to_owned(),
            (true, []) => "Text from outside was read here: every change asks first.".to_owned(),
            (true, from) => {
                format!(
                    "Text from outside was read here, through {}: every change asks first.",
                    from.join(", ")
                )
            }
        });
        if !settings.tools.is_empty() {
            lines.push(format!("Tools added: {}.", settings.tools.join(", ")));
        }
        if let Some(model) = settings.model {
            lines.push(format!("Model chosen: {model}."));
        }
        sink.block(Block::text(lines.join("\n"))).await;
        Ok(TurnStatus::Answered)
    }

    /// Deletes what is too old to be remembered: histories and notes.
    ///
    /// # Errors
    /// The store's.
    pub async fn sweep_memory(&self) -> Result<(), StoreError> {
        let now = clock::now();
        let notes = self.store().notes_sweep(now).await?;
        let rows = match now.checked_sub(self.0.parts.memory.history) {
            Ok(before) => self.store().history_sweep(before).await?,
            Err(_) => 0,
        };
        if notes + rows > 0 {
            tracing::info!(notes, rows, "old memories were swept");
        }
        Ok(())
    }
}

fn forgot(inbound: &Inbound, summary: String) -> AuditEntry {
    AuditEntry {
        at: clock::now(),
        kind: AuditKind::Forgot,
        actor: Some(inbound.actor.clone()),
        conversation: Some(inbound.conversation.clone()),
        approval: None,
        summary,
        detail: json!(null),
    }
}

fn note_line(note: &Note) -> String {
    let about = note.customer.as_ref().map(|c| format!(", about customer {c}")).unwrap_or_default();
    let until = note.expires_at.map(|at| format!(", until {}", at.strftime("%Y-%m-%d"))).unwrap_or_default();
    format!("- {}{about}{until}: {}\n", note.at.strftime("%Y-%m-%d"), note.text)
}

/// Time, question, calls and answer of each turn, oldest first.
fn turns_of(rows: &[Remembered]) -> Vec<Vec<String>> {
    let mut turns: Vec<(Timestamp, String, Vec<String>, String)> = Vec::new();
    for row in rows {
        match (&row.kind, &row.message) {
            (RowKind::User | RowKind::Outcome, Message::User { text }) => {
                turns.push((row.at, history::first(text, 80), vec![], String::new()));
            }
            (RowKind::Assistant, Message::Assistant { text, calls, .. }) => {
                let Some((_, _, called, answer)) = turns.last_mut() else { continue };
                called.extend(calls.iter().map(|c| c.name.clone()));
                if !text.trim().is_empty() {
                    *answer = history::first(text, 100);
                }
            }
            _ => {}
        }
    }
    let shown = |(at, asked, called, answer): (Timestamp, String, Vec<String>, String)| {
        vec![at.strftime("%m-%d %H:%M").to_string(), asked, called.join(", "), answer]
    };
    turns.into_iter().map(shown).collect()
}

fn plural(n: usize, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
}
