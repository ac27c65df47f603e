//! Notes: `remember`, `list_notes` and `forget_note` change nothing but what the bot itself keeps for a person.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{
    agent::port::{RunContext, Tool},
    domain::{
        Args, Block, CustomerId, Level, NewNote, Note, Outcome, Param, ParamKind, ResolvedCall, Risk, Target,
        ToolCall, ToolError, ToolOutput, ToolSpec, Untrusted, note::LONGEST_NOTE, until,
    },
    inventory::InventorySource,
    policy::{Known, Permit, Vocabulary},
    runtime::clock,
};

/// The tools, over the names that `source` knows.
pub fn all(source: &InventorySource) -> Vec<Arc<dyn Tool>> {
    let tool = |kind, spec| Arc::new(Notes { kind, spec, source: source.clone() }) as Arc<dyn Tool>;
    vec![tool(Kind::Remember, remember()), tool(Kind::List, list()), tool(Kind::Forget, forget())]
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Remember,
    List,
    Forget,
}

/// One of the three.
#[derive(Debug)]
struct Notes {
    kind: Kind,
    spec: ToolSpec,
    source: InventorySource,
}

fn remember() -> ToolSpec {
    ToolSpec {
        name: "remember",
        summary: "Keep a note for the person, in their own words.",
        phrases: &[
            "remember that",
            "remember",
            "note that",
            "take a note",
            "make a note",
            "keep in mind",
            "don't forget",
            "write down",
            "merk dir",
            "vergiss nicht",
        ],
        params: vec![
            text("text", true, "what to keep, word for word"),
            customer("whom it is about"),
            text("until", false, "until when, as said"),
        ],
        ..spec(false)
    }
}

fn list() -> ToolSpec {
    ToolSpec {
        name: "list_notes",
        summary: "Show the person's notes, or all notes about a customer.",
        phrases: &[
            "my notes",
            "show notes",
            "list notes",
            "what did i ask you to remember",
            "what do you remember",
            "what did i tell you",
            "notes about",
            "any notes",
            "meine notizen",
        ],
        params: vec![customer("default: your own notes")],
        ..spec(true)
    }
}

fn forget() -> ToolSpec {
    ToolSpec {
        name: "forget_note",
        summary: "Delete one of the person's own notes by its number.",
        phrases: &[
            "forget note",
            "delete note",
            "remove note",
            "drop the note",
            "note is done",
            "notiz löschen",
        ],
        params: vec![Param {
            name: "id",
            kind: ParamKind::Integer { min: 1, max: 999_999_999 },
            required: true,
            help: "the note's number",
        }],
        ..spec(false)
    }
}

fn spec(untrusted: bool) -> ToolSpec {
    ToolSpec {
        name: "",
        summary: "",
        phrases: &[],
        params: vec![],
        floor: Risk::Safe,
        default: Risk::Safe,
        untrusted,
        timeout: Duration::from_secs(10),
    }
}

fn text(name: &'static str, required: bool, help: &'static str) -> Param {
    Param { name, kind: ParamKind::Text, required, help }
}

fn customer(help: &'static str) -> Param {
    Param { name: "customer_id", kind: ParamKind::Customer, required: false, help }
}

#[async_trait]
impl Tool for Notes {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn resolve(&self, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        let mut call = call.clone();
        let id = match (self.kind, call.args.text("customer_id")) {
            (Kind::Forget, _) => None,
            (_, Some(given)) => Some(self.source.snapshot().await.find_customer(&given)?.id),
            (Kind::List, None) => None,
            (Kind::Remember, None) => self.meant(&call.args).await,
        };
        if let Some(id) = &id {
            call.args.0.insert("customer_id".into(), id.as_str().into());
        }
        let target = Target { customer: id, ..Target::default() };
        Ok(ResolvedCall { call, target, plan: vec![], steps: vec![] })
    }

    async fn call(&self, permit: Permit, cx: &RunContext) -> Result<ToolOutput, ToolError> {
        let ResolvedCall { call, target, .. } = permit.call();
        match self.kind {
            Kind::Remember => keep(&call.args, target.customer.clone(), cx).await,
            Kind::List => {
                let notes = cx.notes.list(target.customer.as_ref()).await?;
                Ok(listed(&notes, target.customer.as_ref()))
            }
            Kind::Forget => {
                let id = call.args.integer("id").unwrap_or_default();
                let note = cx.notes.forget(id).await?;
                let shown = format!("Note {id} is forgotten: {}", note.text);
                Ok(output(format!("note {id} is forgotten"), Block::notice(Level::Info, shown)))
            }
        }
    }
}

impl Notes {
    /// The one customer that the note itself names.
    async fn meant(&self, args: &Args) -> Option<CustomerId> {
        let inventory = self.source.snapshot().await;
        let customers: Vec<_> = inventory.customers().into_iter().cloned().collect();
        let names = Vocabulary::new(&Known { customers: &customers, services: &[] });
        match names.mentions(&args.text("text")?).customers.as_slice() {
            [one] => Some(one.clone()),
            _ => None,
        }
    }
}

async fn keep(args: &Args, customer: Option<CustomerId>, cx: &RunContext) -> Result<ToolOutput, ToolError> {
    let given = args.text("text").unwrap_or_default();
    let text = Untrusted::new(&given).as_str().split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() > LONGEST_NOTE {
        return Err(ToolError::BadArgs(format!("a note has at most {LONGEST_NOTE} characters; shorten it")));
    }
    if text.is_empty() {
        return Err(ToolError::BadArgs("say what to remember".into()));
    }
    let now = cx.now.to_zoned(clock::zone());
    let expires_at = match args.text("until") {
        Some(words) => Some(until::until(&words, &now).map_err(ToolError::BadArgs)?),
        None => until::find(&text, &now),
    };
    let note = cx.notes.keep(NewNote { customer, text, expires_at }).await?;
    let about = note.customer.as_ref().map(|c| format!(", about customer {c}")).unwrap_or_default();
    let until = note.expires_at.map(|at| format!(", until {}", day(at))).unwrap_or_default();
    let summary = format!("note {} is kept{about}{until}", note.id);
    let shown = format!(
        "Noted{about}{until}: {}. /forget_note {} deletes it.",
        note.text.trim_end_matches('.'),
        note.id
    );
    Ok(output(summary, Block::notice(Level::Info, shown)))
}

fn output(summary: String, block: Block) -> ToolOutput {
    ToolOutput { outcome: Outcome::Ok, text: summary.clone(), summary, blocks: vec![block] }
}

fn listed(notes: &[Note], customer: Option<&CustomerId>) -> ToolOutput {
    let about = customer.map(|c| format!(" about customer {c}")).unwrap_or_default();
    let summary = match notes.len() {
        0 => format!("no notes{about}"),
        1 => format!("1 note{about}"),
        n => format!("{n} notes{about}"),
    };
    if notes.is_empty() {
        let how = format!("There are {summary}. /remember TEXT keeps one.");
        return output(summary, Block::notice(Level::Info, how));
    }
    let row = |n: &Note| {
        let about = n.customer.as_ref().map(ToString::to_string).unwrap_or_default();
        let until = n.expires_at.map(day).unwrap_or_default();
        vec![n.id.to_string(), n.person.to_string(), about, n.text.clone(), until]
    };
    let columns = ["id", "by", "about", "note", "until"].map(String::from).to_vec();
    let table = Block::Table { title: Some(summary.clone()), columns, rows: notes.iter().map(row).collect() };
    let mut lines = vec![summary.clone()];
    lines.extend(notes.iter().map(|n| format!("{}: {}", n.id, said(n))));
    ToolOutput { outcome: Outcome::Ok, summary, text: lines.join("\n"), blocks: vec![table] }
}

/// `note by anna: on vacation (until 2027-05-01 00:00)`.
fn said(note: &Note) -> String {
    let until = note.expires_at.map(|at| format!(" (until {})", day(at))).unwrap_or_default();
    format!("note by {}: {}{until}", note.person, note.text)
}

/// Adds what people noted about `customer` to a check-up of it.
pub(super) async fn add_to(output: &mut ToolOutput, customer: &CustomerId, cx: &RunContext) {
    /// More would bury the findings.
    const MOST: usize = 5;
    let notes = match cx.notes.list(Some(customer)).await {
        Ok(notes) if notes.is_empty() => return,
        Ok(notes) => notes,
        Err(error) => return tracing::warn!(%error, "notes could not be read"),
    };
    let mut lines: Vec<_> = notes.iter().take(MOST).map(said).collect();
    if notes.len() > MOST {
        lines.push(format!("{} more notes: /notes {customer}", notes.len() - MOST));
    }
    output.text.push('\n');
    output.text.push_str(&lines.join("\n"));
    output.blocks.push(Block::notice(Level::Info, lines.join("\n")));
}

fn day(at: Timestamp) -> String {
    at.to_zoned(clock::zone()).strftime("%Y-%m-%d %H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::json;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::agent::port;

    /// A notebook in memory; it breaks on demand.
    #[derive(Default)]
    struct Book(Mutex<Vec<Note>>, bool);

    #[async_trait]
    impl port::Notes for Book {
        async fn keep(&self, new: NewNote) -> Result<Note, ToolError> {
            let mut all = self.0.lock().unwrap();
            let note = Note {
                id: all.len() as i64 + 1,
                person: "anna".into(),
                conversation: "console:anna:1".into(),
                customer: new.customer,
                text: new.text,
                tainted: false,
                at: now(),
                expires_at: new.expires_at,
            };
            all.insert(0, note.clone());
            Ok(note)
        }

        async fn list(&self, customer: Option<&CustomerId>) -> Result<Vec<Note>, ToolError> {
            if self.1 {
                return Err(ToolError::Failed("the disk is full".into()));
            }
            let all = self.0.lock().unwrap().clone();
            Ok(all.into_iter().filter(|n| customer.is_none() || n.customer.as_ref() == customer).collect())
        }

        async fn forget(&self, _: i64) -> Result<Note, ToolError> {
            Err(ToolError::Failed("not here".into()))
        }
    }

    fn now() -> Timestamp {
        "2026-11-21T10:31:05Z".parse().unwrap()
    }

    fn cx(book: Book) -> RunContext {
        let progress = Arc::new(|_| {});
        RunContext {
            now: now(),
            cancel: CancellationToken::new(),
            progress,
            notes: Arc::new(book),
            person: "anna".into(),
        }
    }

    fn args(value: serde_json::Value) -> Args {
        remember().read_args(&value).unwrap()
    }

    #[tokio::test]
    async fn a_note_is_cleaned_bounded_and_dated() {
        let cx = cx(Book::default());
        let kept =
            keep(&args(json!({"text": "on \u{202e}vacation\n until  May"})), Some("7".into()), &cx).await;
        let kept = kept.unwrap();
        assert!(
            kept.summary.starts_with("note 1 is kept, about customer 7, until 2027-0"),
            "{}",
            kept.summary
        );
        assert!(!kept.text.contains("vacation"), "what the model reads holds no words of the note");
        let note = cx.notes.list(None).await.unwrap().remove(0);
        assert_eq!(note.text, "on vacation until May");
        for (bad, part) in [
            (json!({"text": "x".repeat(501)}), "at most 500"),
            (json!({"text": "\u{200b}"}), "say what to remember"),
            (json!({"text": "x", "until": "soon"}), "no date"),
            (json!({"text": "x", "until": "2020-01-01"}), "over already"),
        ] {
            let error = keep(&args(bad), None, &cx).await.unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[tokio::test]
    async fn a_check_up_tells_what_people_noted_and_does_without() {
        let bare = || output("customer 7: all is well".into(), Block::text("x"));
        let (mut out, busy) = (bare(), cx(Book::default()));
        add_to(&mut out, &"7".into(), &busy).await;
        assert_eq!(out, bare(), "no notes, no words");
        for n in 0..7 {
            keep(&args(json!({"text": format!("word {n}")})), Some("7".into()), &busy).await.unwrap();
        }
        keep(&args(json!({"text": "of somebody else"})), Some("19".into()), &busy).await.unwrap();
        add_to(&mut out, &"7".into(), &busy).await;
        assert!(out.text.contains("note by anna: word 6\nnote by anna: word 5"), "{}", out.text);
        assert!(out.text.ends_with("2 more notes: /notes 7"), "{}", out.text);
        assert!(!out.text.contains("else"));
        let mut out = bare();
        add_to(&mut out, &"7".into(), &cx(Book(Mutex::default(), true))).await;
        assert_eq!(out, bare(), "a broken notebook hides no findings");
    }
}
