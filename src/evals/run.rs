//! Runs cases one after the other, each on an engine of its own.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::SignedDuration;
use tokio::sync::mpsc;

use super::{
    case::Case,
    score::{Outcome, judge},
    seen::{Fate, Said, Seen},
    site::{Heard, Site},
};
use crate::{
    app::{self, Failure},
    domain::{Actor, ChannelKind, ConversationKey, Inbound, Origin, Role, ToolSpec},
    engine::{Bounds, Brain, Engine, KnownPeople, Memory, Parts, Sink},
    logs::Sources,
    playbook::Playbooks,
    policy::Redactor,
    runtime::{Counters, Stopwatch, clock},
    spill::SpillStore,
    store::{AuditKey, Store, StoreError},
};

/// Long outputs are kept no longer than a run.
const KEPT: Duration = Duration::from_secs(3600);
/// Small models on busy machines take their time; a turn that is cut off says nothing about its words.
const TURN: Duration = Duration::from_secs(600);

/// The shipped playbook.
const RECOVER_WEB: &str = include_str!("../../playbooks/recover-web.toml");

/// Why a case could not be run.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The engine could not be put together.
    #[error("{0}")]
    Build(String),
    /// The rows could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Failure> for BenchError {
    fn from(failure: Failure) -> Self {
        Self::Build(failure.text)
    }
}

/// Where cases run.
#[derive(Debug)]
pub struct Bench {
    site: Site,
    brain: Option<Brain>,
    spill: Arc<SpillStore>,
    playbooks: Arc<Playbooks>,
    logs: Sources,
    specs: Vec<ToolSpec>,
}

impl Bench {
    /// A bench with this model, or none; `scratch` is a folder for long outputs.
    ///
    /// # Errors
    /// [`BenchError::Build`] when the built-in site or the folder is of no use.
    pub fn new(brain: Option<Brain>, scratch: &Path) -> Result<Self, BenchError> {
        let site = Site::new()?;
        let spill = SpillStore::open(scratch, KEPT).map_err(|e| BenchError::Build(e.to_string()))?;
        let spill = Arc::new(spill);
        let backends = app::backends_over(&site.config, site.source().clone(), Some(spill.clone()))?;
        let specs = backends.registry.specs().to_vec();
        let mut playbooks = Playbooks::default();
        playbooks.add("recover-web.toml", RECOVER_WEB, &specs);
        Ok(Self { site, brain, spill, playbooks: Arc::new(playbooks), logs: backends.logs, specs })
    }

    /// The tools of this build.
    pub fn specs(&self) -> &[ToolSpec] {
        &self.specs
    }

    /// The model's name on its server.
    pub fn model(&self) -> Option<&str> {
        self.brain.as_ref().map(|b| b.model.name())
    }

    /// Runs one case.
    ///
    /// # Errors
    /// See [`BenchError`]; a model that fails is an outcome.
    pub async fn run(&self, case: &Case) -> Result<Outcome, BenchError> {
        let (engine, heard) = self.engine(case).await?;
        let mut seen = Seen::default();
        for text in &case.turns {
            seen.turns.push(say(&engine, case, text).await);
        }
        seen.read_rows(&engine).await?;
        seen.outputs = heard.text();
        let marks = judge(case, &seen, &self.specs);
        let fate = |f| match f {
            Fate::Ran => "",
            Fate::Refused => " refused",
            Fate::NotRun => " not run",
        };
        let mut calls: Vec<_> = seen.calls.iter().map(|(c, f)| format!("{c}{}", fate(*f))).collect();
        calls.extend(seen.cards.iter().flatten().map(|c| format!("{c} on a card")));
        let last = seen.turns.last().cloned().unwrap_or_default();
        let said = [last.prose, last.sentences, last.buttons.join(" · ")].join("\n").trim().to_owned();
        let seconds = seen.turns.iter().map(|t| t.seconds).collect();
        let (kind, style, half) = (case.kind, case.style, case.half);
        Ok(Outcome { case: case.id.clone(), kind, style, half, marks, calls, said, seconds })
    }

    async fn engine(&self, case: &Case) -> Result<(Engine, Heard), BenchError> {
        let (registry, heard) = self.site.registry(case, &self.spill)?;
        let (policy, _) = app::policy(&self.site.config, &PathBuf::from("evals"), registry.specs())?;
        let key = AuditKey::from_bytes(&[0; 32]).map_err(|e| BenchError::Build(e.to_string()))?;
        let engine = Engine::new(Parts {
            policy,
            store: Store::in_memory(key).await?,
            registry,
            brain: self.brain.clone(),
            directory: app::directory(self.site.source().clone(), self.logs.clone()),
            people: Arc::new(KnownPeople::new(vec![])),
            redactor: Arc::new(Redactor::new([])),
            playbooks: self.playbooks.clone(),
            spill: self.spill.clone(),
            counters: Counters::new(clock::now()),
            bounds: Bounds {
                calls_per_turn: self.site.config.limits.calls_per_turn,
                queue: 4,
                turn: TURN,
                output_share: u32::try_from(self.site.config.limits.output_share).unwrap_or(8),
                approval: SignedDuration::from_mins(30),
                old_after: SignedDuration::from_mins(10),
            },
            memory: Memory::default(),
            alerting: None,
        });
        Ok((engine, heard))
    }
}

async fn say(engine: &Engine, case: &Case, text: &str) -> Said {
    let actor = Actor {
        person: "anna".into(),
        role: Role::Operator,
        channel: ChannelKind::Console,
        origin: Origin::Typed,
    };
    let conversation = ConversationKey::new(format!("console:anna:{}", case.id));
    let (to, mut from) = mpsc::channel(64);
    let mut said = Said::default();
    let watch = Stopwatch::start();
    let turn = engine.say(Inbound::new(conversation, actor, text), Sink::new(to, engine.redactor()));
    let listen = async {
        while let Some(event) = from.recv().await {
            said.take(event);
        }
    };
    tokio::join!(turn, listen);
    said.seconds = watch.seconds();
    said
}

/// Finished outcomes by the case's id, as a file of JSON lines holds them; broken lines count as not run.
pub fn finished(text: &str) -> BTreeMap<String, Outcome> {
    let read = |line: &str| serde_json::from_str::<Outcome>(line).ok();
    text.lines().filter_map(read).map(|o| (o.case.clone(), o)).collect()
}
