//! `opsbot chat` and `opsbot ask`.

use std::{
    fs::DirBuilder,
    io::{self, IsTerminal},
    os::unix::fs::DirBuilderExt,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tokio::sync::mpsc;

use super::{Context, outcome, reach};
use crate::{
    app::Failure,
    channels::console::{Ask, ChatOptions, Link, once, run},
    control::{Client, Op},
    domain::{Block, Level, Outbound, TurnStatus},
    engine::{Command, commands},
    policy::approval::Verb,
    runtime::clock,
};

/// Asks once. Ctrl-C stops what was asked.
pub(super) async fn ask(context: Context, text: String, conversation: Option<String>) -> Result<u8, Failure> {
    if approves(&text) {
        return Err(Failure { code: 2, busy: false, text: NO_APPROVAL.to_owned() });
    }
    let reached = reach::reach(&context).await?;
    let conversation = conversation.unwrap_or_else(fresh);
    let events =
        reached.client.request(Op::Say { conversation: conversation.clone(), text, quoted: vec![] }).await;
    let showing = once(events, context.style.clone());
    tokio::pin!(showing);
    let status = tokio::select! {
        status = &mut showing => status,
        _ = tokio::signal::ctrl_c() => {
            let stop = Op::Stop { conversation: Some(conversation), all: false };
            let mut stopping = reached.client.request(stop).await;
            while stopping.recv().await.is_some() {}
            showing.await
        }
    };
    reached.leave().await;
    outcome(status)
}

/// Holds a conversation.
pub(super) async fn chat(context: Context, conversation: &str, new: bool) -> Result<u8, Failure> {
    let mut reached = reach::reach(&context).await?;
    reached.share(&reach::socket(&context));
    let conversation = if new { fresh() } else { conversation.to_owned() };
    if let Some(brain) = reached.app().and_then(|a| a.engine.brain()).cloned() {
        // Loading takes seconds to minutes: it goes on while the person types. A failure shows with the first question.
        tokio::spawn(async move {
            brain.model.warm().await.map_err(|e| tracing::warn!(%e, "the model is not warm"))
        });
    }
    let interactive = io::stdin().is_terminal() && io::stdout().is_terminal() && !context.style.json;
    let options = ChatOptions {
        history: history(&context, reached.here.is_some()),
        style: context.style.clone(),
        interactive,
        greeting: greeting(&context),
        clock: clock::now,
    };
    let reach::Reached { client, here } = reached;
    let client = Arc::new(client);
    let (link, wire) = link();
    let pump = tokio::spawn(carry(client.clone(), conversation, interactive, wire));
    let ended = run(link, options).await;
    // Ends by itself once its link is gone; a turn that still runs is drained below.
    let _ended = tokio::time::timeout(Duration::from_secs(1), pump).await;
    drop(client);
    reach::leave(here).await;
    outcome(ended)
}

/// Beside the store when it is ours, else in the person's own home: the daemon's folder is not theirs to write to.
fn history(context: &Context, ours: bool) -> PathBuf {
    let home = context.env.home().filter(|_| !ours).map(|home| home.join(".local/state/opsbot"));
    let dir = home.unwrap_or_else(|| context.config.state_dir.clone());
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
    tracing::debug!(?made, dir = %dir.display(), "history");
    dir.join("chat_history")
}

fn greeting(context: &Context) -> String {
    let model = context
        .config
        .model
        .as_ref()
        .map_or("no model: words are read by code".to_owned(), |m| m.name.clone());
    format!("OpsBot ({model}). Ask in plain words, or /help. Ctrl-C stops an answer, Ctrl-D leaves.")
}

const NO_APPROVAL: &str = "questions and pipes never approve; a person does: `opsbot approve ID`, or yes in `opsbot chat` on a terminal";

/// Whether the text is the command that says yes to a card.
fn approves(text: &str) -> bool {
    matches!(commands::parse(text, &[]), Some(Ok(Command::Approve(_))))
}

fn fresh() -> String {
    format!("{:016x}", rand::random::<u64>())
}

struct Wire {
    asks: mpsc::Receiver<Ask>,
    events: mpsc::Sender<Outbound>,
}

fn link() -> (Link, Wire) {
    let (send, asks) = mpsc::channel(16);
    let (to_chat, events) = mpsc::channel(256);
    (Link { send, events }, Wire { asks, events: to_chat })
}

/// Carries what the person wants to the engine and its events back, first what was left from before.
async fn carry(client: Arc<Client>, conversation: String, interactive: bool, mut wire: Wire) {
    // A pipe may end before it has read anything: what was left stays for a person.
    if interactive {
        let mut left = client.request(Op::Hello { conversation: conversation.clone() }).await;
        while let Some(event) = left.recv().await {
            if !matches!(event, Outbound::Done { .. }) && wire.events.send(event).await.is_err() {
                return;
            }
        }
    }
    while let Some(ask) = wire.asks.recv().await {
        let op = match ask {
            Ask::Say(text) if !interactive && approves(&text) => {
                for event in [
                    Block::notice(Level::Error, NO_APPROVAL).into(),
                    Outbound::Done { status: TurnStatus::Refused },
                ] {
                    let _gone = wire.events.send(event).await;
                }
                continue;
            }
            Ask::Say(text) => Op::Say { conversation: conversation.clone(), text, quoted: vec![] },
            Ask::Decide { id, approve } => {
                let verb = if approve { Verb::Approve } else { Verb::Deny };
                Op::Decide { approval: id.to_string(), verb }
            }
            Ask::Stop => Op::Stop { conversation: Some(conversation.clone()), all: false },
        };
        let stopping = matches!(op, Op::Stop { .. });
        let mut answer = client.request(op).await;
        let events = wire.events.clone();
        tokio::spawn(async move {
            while let Some(event) = answer.recv().await {
                // What is stopped says so itself; a second `Done` would end the wrong turn.
                if !stopping && events.send(event).await.is_err() {
                    return;
                }
            }
        });
    }
}
