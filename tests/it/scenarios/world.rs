//! An engine with everything around it, and what a person at it says, sees and decides.

use std::{path::Path, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use opsbot::{
    agent::port::{CallMode, Tool},
    app,
    config::{self, Env},
    domain::{
        Actor, AuditEntry, AuditKind, Block, Card, CardState, ChannelKind, ConversationKey, Inbound, Origin,
        Outbound, Role, TurnStatus, Untrusted,
    },
    engine::{
        Alerting, Bounds, Brain, Directory, Engine, KnownPeople, Memory, Parts, Reloaded, Sink,
        people::Configured,
    },
    llm::{self, Dialect},
    playbook::Playbooks,
    policy::{Policy, Redactor, approval::Verb},
    runtime::Counters,
    spill::SpillStore,
    store::{AuditKey, HistoryRow, Store},
};
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinHandle};

use super::site::Site;
use crate::fake::model::{FakeModel, Say};

pub const DIALECTS: [Dialect; 2] = [Dialect::Ollama, Dialect::OpenAi];

/// How an engine is set up.
pub struct Setup {
    /// `[[policy.rule]]` tables.
    pub rules: String,
    pub dialect: Dialect,
    /// The model's name.
    pub model: String,
    pub mode: CallMode,
    pub num_ctx: u32,
    /// How long the model may be silent.
    pub patience: Duration,
    pub bounds: Bounds,
    pub memory: Memory,
    pub secrets: Vec<String>,
    /// The configuration's people on chat platforms.
    pub people: Vec<Configured>,
    /// The store is a file here, so that it can be opened again.
    pub on_disk: bool,
    /// The real tools over this configuration, in place of the site's.
    pub real: Option<String>,
    /// Playbooks, each a file's text.
    pub playbooks: Vec<&'static str>,
    /// Tools besides the site's.
    pub more: Vec<Arc<dyn Tool>>,
    /// The names, in place of the site's.
    pub directory: Option<Directory>,
    /// Further model hosts.
    pub spares: Vec<String>,
    /// Questions that a model host is asked at once.
    pub parallel: usize,
    /// Alerting over a desk.
    pub alerting: Option<Alerting>,
}

impl Default for Setup {
    fn default() -> Self {
        let bounds = Bounds {
            calls_per_turn: 10,
            queue: 4,
            turn: Duration::from_secs(30),
            output_share: 8,
            approval: SignedDuration::from_mins(5),
            old_after: SignedDuration::from_mins(10),
        };
        Self {
            rules: String::new(),
            dialect: Dialect::Ollama,
            model: "fake".into(),
            mode: CallMode::Native,
            num_ctx: 8192,
            patience: Duration::from_secs(10),
            bounds,
            memory: Memory::default(),
            secrets: vec![],
            people: vec![],
            on_disk: false,
            real: None,
            playbooks: vec![],
            more: vec![],
            directory: None,
            spares: vec![],
            parallel: 64,
            alerting: None,
        }
    }
}

/// A whole OpsBot.
pub struct World {
    pub engine: Engine,
    pub site: Arc<Site>,
    pub setup: Setup,
    model: Option<FakeModel>,
    dir: tempfile::TempDir,
}

impl World {
    /// With a model that says these things.
    pub async fn scripted(steps: Vec<Say>) -> Self {
        Self::start(Setup::default(), Some(FakeModel::start(steps).await)).await
    }

    /// Without a model.
    pub async fn plain() -> Self {
        Self::start(Setup::default(), None).await
    }

    pub async fn start(setup: Setup, model: Option<FakeModel>) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), setup, model).await
    }

    pub async fn start_in(dir: tempfile::TempDir, setup: Setup, model: Option<FakeModel>) -> Self {
        let store = open(&setup, dir.path()).await;
        let site = Site::new();
        let engine = engine(&setup, &site, model.as_ref(), dir.path(), store);
        Self { engine, site, setup, model, dir }
    }

    /// A restart: the store is closed and opened again, with what `setup` says now.
    pub async fn reopen(&mut self) {
        let store = if self.setup.on_disk {
            self.engine.store().close().await.unwrap();
            open(&self.setup, self.dir.path()).await
        } else {
            self.engine.store().clone()
        };
        self.engine = engine(&self.setup, &self.site, self.model.as_ref(), self.dir.path(), store);
        self.engine.recover().await.unwrap();
    }

    /// Takes what `setup` says now while everything goes on.
    pub async fn reload(&self) {
        let store = self.engine.store().clone();
        let parts = parts(&self.setup, &self.site, self.model.as_ref(), self.dir.path(), store);
        let reloaded = Reloaded { changes: vec!["something changed".into()], ..Reloaded::default() };
        self.engine.renew(None, (parts, self.setup.people.clone()), reloaded).await.unwrap();
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn model(&self) -> &FakeModel {
        self.model.as_ref().unwrap()
    }

    /// Takes the model's server away.
    pub fn end_model(&mut self) -> Option<FakeModel> {
        self.model.take()
    }

    pub fn writes(&self) -> Vec<String> {
        self.site.writes()
    }

    /// `person` says something in the conversation that is named after them.
    pub async fn say(&self, person: &str, text: &str) -> Transcript {
        self.send(inbound(person, text)).await
    }

    pub async fn send(&self, inbound: Inbound) -> Transcript {
        self.begin(inbound).await.unwrap()
    }

    /// As [`World::send`], without waiting.
    pub fn begin(&self, inbound: Inbound) -> JoinHandle<Transcript> {
        let engine = self.engine.clone();
        tokio::spawn(async move {
            follow(engine.redactor(), |sink| async move { engine.say(inbound, sink).await }).await
        })
    }

    pub async fn approve(&self, person: &str, card: &Card) -> Transcript {
        self.decide(actor(person), card, Verb::Approve).await
    }

    pub async fn deny(&self, person: &str, card: &Card) -> Transcript {
        self.decide(actor(person), card, Verb::Deny).await
    }

    pub async fn decide(&self, actor: Actor, card: &Card, verb: Verb) -> Transcript {
        self.begin_decision(actor, card, verb).await.unwrap()
    }

    /// As [`World::decide`], without waiting.
    pub fn begin_decision(&self, actor: Actor, card: &Card, verb: Verb) -> JoinHandle<Transcript> {
        let (engine, id) = (self.engine.clone(), card.id.to_string());
        tokio::spawn(async move {
            follow(engine.redactor(), |sink| async move { engine.decide(actor, id, verb, sink).await }).await
        })
    }

    /// Where the card stands in the store.
    pub async fn state(&self, card: &Card) -> CardState {
        self.engine.store().approval_get(card.id).await.unwrap().unwrap().state
    }

    /// The whole audit, oldest first.
    pub async fn audit(&self) -> Vec<AuditEntry> {
        let rows = self.engine.store().audit_tail(1000).await.unwrap();
        rows.into_iter().map(|(_, entry)| entry).collect()
    }

    /// The audit rows of one card.
    pub async fn audit_of(&self, card: &Card) -> Vec<AuditKind> {
        let all = self.audit().await;
        all.into_iter().filter(|e| e.approval == Some(card.id)).map(|e| e.kind).collect()
    }

    pub async fn history(&self, person: &str) -> Vec<HistoryRow> {
        self.engine.store().history(&conversation(person)).await.unwrap()
    }

    /// Every byte that is kept on disk, as text.
    pub fn kept(&self) -> String {
        fn read(dir: &Path, all: &mut Vec<u8>) {
            for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
                if entry.path().is_dir() {
                    read(&entry.path(), all);
                } else {
                    all.extend(std::fs::read(entry.path()).unwrap());
                }
            }
        }
        let mut all = Vec::new();
        read(self.dir.path(), &mut all);
        String::from_utf8_lossy(&all).into_owned()
    }
}

async fn open(setup: &Setup, dir: &Path) -> Store {
    let key = AuditKey::from_bytes(&[7; 32]).unwrap();
    if setup.on_disk { Store::open(dir, key).await.unwrap() } else { Store::in_memory(key).await.unwrap() }
}

fn engine(setup: &Setup, site: &Arc<Site>, model: Option<&FakeModel>, dir: &Path, store: Store) -> Engine {
    Engine::new(parts(setup, site, model, dir, store))
}

fn parts(setup: &Setup, site: &Arc<Site>, model: Option<&FakeModel>, dir: &Path, store: Store) -> Parts {
    rustls::crypto::ring::default_provider().install_default().ok();
    let spill = Arc::new(SpillStore::open(&dir.join("kept"), Duration::from_secs(3600)).unwrap());
    let registry = match &setup.real {
        Some(text) => {
            let config = config::parse(Path::new("config.toml"), text, &home()).unwrap();
            app::backends(&config, Some(spill.clone())).unwrap().registry
        }
        None => site.registry(&setup.more),
    };
    let config = config::parse(Path::new("config.toml"), &setup.rules, &home()).unwrap();
    let (policy, _): (Policy, _) = app::policy(&config, Path::new("config.toml"), registry.specs()).unwrap();
    let mut playbooks = Playbooks::default();
    for text in &setup.playbooks {
        playbooks.add("test.toml", text, registry.specs());
    }
    assert!(playbooks.problems().is_empty(), "{:?}", playbooks.problems());
    let names = setup.directory.clone().unwrap_or_else(Site::directory);
    Parts {
        policy,
        store,
        registry,
        brain: model.map(|model| brain(setup, model)),
        directory: Arc::new(move || {
            let names = names.clone();
            Box::pin(async move { names })
        }),
        people: Arc::new(KnownPeople::new(setup.people.clone())),
        redactor: Arc::new(Redactor::new(setup.secrets.clone())),
        playbooks: Arc::new(playbooks),
        spill,
        counters: Counters::new(Timestamp::now()),
        bounds: setup.bounds,
        memory: setup.memory,
        alerting: setup.alerting.clone(),
    }
}

fn brain(setup: &Setup, model: &FakeModel) -> Brain {
    let max_tokens = (setup.num_ctx / 8).min(1024);
    let settings = llm::Settings {
        num_ctx: setup.num_ctx,
        max_tokens,
        first_token: setup.patience,
        idle: setup.patience,
        load_timeout: Duration::from_secs(10),
        ..llm::Settings::new(setup.dialect, &model.url, &setup.model)
    };
    let host = |name: String, url: &str| llm::HostSettings {
        name,
        settings: llm::Settings { url: url.to_owned(), ..settings.clone() },
        parallel: setup.parallel,
    };
    let spares = setup.spares.iter().enumerate().map(|(n, url)| host(format!("spare{n}"), url));
    let hosts = std::iter::once(host("main".into(), &model.url)).chain(spares).collect();
    Brain { model: llm::fleet(hosts).unwrap(), mode: setup.mode, num_ctx: setup.num_ctx, max_tokens }
}

fn home() -> Env {
    Env::new([("HOME", "/home/anna")])
}

async fn follow<F: Future<Output = TurnStatus>>(
    redactor: Arc<Redactor>,
    work: impl FnOnce(Sink) -> F,
) -> Transcript {
    let (to, mut from) = mpsc::channel(64);
    let mut events = Vec::new();
    let collect = async {
        while let Some(event) = from.recv().await {
            events.push(event);
        }
    };
    let both = async { tokio::join!(work(Sink::new(to, redactor)), collect) };
    let (status, ()) = tokio::time::timeout(Duration::from_secs(30), both).await.expect("no answer in 30 s");
    Transcript { status, events }
}

/// Who there is: two operators, two admins, two viewers.
pub fn actor(person: &str) -> Actor {
    let role = match person {
        "anna" | "ben" => Role::Operator,
        "cleo" | "dora" => Role::Admin,
        _ => Role::Viewer,
    };
    Actor { person: person.into(), role, channel: ChannelKind::Console, origin: Origin::Typed }
}

pub fn conversation(person: &str) -> ConversationKey {
    ConversationKey::new(format!("console:{person}:1"))
}

pub fn inbound(person: &str, text: &str) -> Inbound {
    Inbound::new(conversation(person), actor(person), text)
}

pub fn quoting(person: &str, text: &str, quoted: &str) -> Inbound {
    Inbound { quoted: vec![Untrusted::new(quoted)], ..inbound(person, text) }
}

pub fn text(text: &str) -> Say {
    Say::Text(text.into())
}

pub fn call(name: &str, args: Value) -> Say {
    Say::Calls(vec![(name.into(), args)])
}

pub fn calls<const N: usize>(calls: [(&str, Value); N]) -> Say {
    Say::Calls(calls.map(|(name, args)| (name.into(), args)).to_vec())
}

/// A restart of the service as the model asks for it.
pub fn restart(customer: &str, service: &str) -> Say {
    call("restart_container", json!({"customer_id": customer, "service": service}))
}

/// What one message or decision led to.
#[derive(Debug)]
pub struct Transcript {
    pub status: TurnStatus,
    pub events: Vec<Outbound>,
}

impl Transcript {
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.events
            .iter()
            .filter_map(|e| if let Outbound::Block { content } = e { Some(content) } else { None })
    }

    /// All cards, in order, as often as they were shown.
    pub fn cards(&self) -> Vec<Card> {
        self.blocks()
            .filter_map(|b| if let Block::Card(card) = b { Some(card.clone()) } else { None })
            .collect()
    }

    /// The only pending card.
    pub fn card(&self) -> Card {
        let pending: Vec<_> = self.cards().into_iter().filter(|c| c.state == CardState::Pending).collect();
        let [card] = pending.as_slice() else { panic!("{} pending cards in {self:#?}", pending.len()) };
        card.clone()
    }

    /// The states that cards were shown in.
    pub fn states(&self) -> Vec<CardState> {
        self.cards().iter().map(|c| c.state).collect()
    }

    /// What stands on the screen at the end: prose that was not taken back, sentences, and the rest as JSON.
    pub fn shown(&self) -> String {
        let (mut shown, mut prose) = (String::new(), String::new());
        for event in &self.events {
            match event {
                Outbound::Delta { text } => prose.push_str(text),
                Outbound::Retract => prose.clear(),
                Outbound::Progress { .. } | Outbound::Done { .. } => {}
                Outbound::Block { content } => {
                    shown.push_str(&std::mem::take(&mut prose));
                    let text = match content {
                        Block::Text { text } | Block::Notice { text, .. } => text.clone(),
                        other => serde_json::to_string(other).unwrap(),
                    };
                    shown.push_str(&format!("\n{text}\n"));
                }
            }
        }
        shown + &prose
    }

    #[track_caller]
    pub fn has(&self, part: &str) -> &Self {
        assert!(self.shown().contains(part), "`{part}` is not in:\n{}", self.shown());
        self
    }

    #[track_caller]
    pub fn lacks(&self, part: &str) {
        assert!(!self.shown().contains(part), "`{part}` is in:\n{}", self.shown());
    }

    #[track_caller]
    pub fn ended(&self, status: TurnStatus) -> &Self {
        assert_eq!(self.status, status, "{}", self.shown());
        assert_eq!(self.events.last(), Some(&Outbound::Done { status }), "{self:#?}");
        self
    }
}
