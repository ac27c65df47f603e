//! A changed configuration, taken in while the daemon runs: all of it is checked and built, then swapped, or nothing is.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use tokio::sync::Mutex;

use super::{Failure, Lasting, brain, known_people, parts, people, redactor};
use crate::{
    config::{self, Config, Env},
    control::People,
    domain::Actor,
    engine::{Engine, ReloadOutcome, Reloaded},
    policy::Redactor,
    runtime::trace,
};

/// What the log is cleaned with; the newest counts.
#[derive(Clone)]
pub(super) struct LogRedactor(Arc<RwLock<Arc<Redactor>>>);

impl LogRedactor {
    /// From now on every log line goes through `redactor`.
    pub(super) fn install(redactor: Arc<Redactor>) -> Self {
        let slot = Arc::new(RwLock::new(redactor));
        let log = slot.clone();
        trace::redact_with(Arc::new(move |line| {
            let redactor = log.read().unwrap_or_else(PoisonError::into_inner).clone();
            redactor.redact(line).into_owned()
        }));
        Self(slot)
    }

    fn renew(&self, redactor: Arc<Redactor>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = redactor;
    }
}

/// Takes a changed configuration in, one at a time.
pub struct Reloader {
    file: PathBuf,
    env: Env,
    engine: Engine,
    people: Arc<People>,
    lasting: Lasting,
    log: LogRedactor,
    held: Mutex<Held>,
}

/// What holds.
struct Held {
    config: Config,
    /// What the process started with: what only a start takes is compared with this.
    started: Config,
    /// Every secret that this process ever knew: an old token may still open something.
    secrets: Vec<String>,
}

impl fmt::Debug for Reloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Reloader {
    pub(super) fn new(
        config: &Config,
        (file, env): (&Path, &Env),
        (engine, people, lasting): (Engine, Arc<People>, Lasting),
        log: LogRedactor,
    ) -> Self {
        let held = Held { config: config.clone(), started: config.clone(), secrets: config.secrets() };
        let (file, env) = (file.to_owned(), env.clone());
        Self { file, env, engine, people, lasting, log, held: Mutex::new(held) }
    }

    /// Reads the file again on behalf of `by` (none: a signal) and puts what it says in place, or keeps everything as
    /// it is. Admins and the log are told.
    pub async fn reload(&self, by: Option<&Actor>) -> ReloadOutcome {
        let mut held = self.held.lock().await;
        let outcome = match self.take(&mut held, by).await {
            Ok(reloaded) => Ok(reloaded),
            Err(failure) => {
                let problems: Vec<String> = failure.text.lines().map(str::to_owned).collect();
                self.engine.keep(by, problems.clone()).await;
                Err(problems)
            }
        };
        match &outcome {
            Ok(Reloaded { changes, later, warnings }) => {
                tracing::info!(changes = changes.len(), "configuration reloaded");
                changes.iter().for_each(|what| tracing::info!(what, "changed"));
                later.iter().for_each(|what| tracing::warn!(what, "takes effect at the next start"));
                warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            }
            Err(problems) => {
                for problem in problems {
                    tracing::error!(problem, "the configuration was not reloaded; the last good one holds");
                }
            }
        }
        outcome
    }

    async fn take(&self, held: &mut Held, by: Option<&Actor>) -> Result<Reloaded, Failure> {
        let (config, _) =
            config::load(Some(&self.file), &self.env).map_err(|e| Failure::config(e.to_string()))?;
        let mut secrets = held.secrets.clone();
        secrets.extend(config.secrets());
        secrets.sort();
        secrets.dedup();
        let redactor = Arc::new(redactor(&config, secrets.clone())?);
        // The same model keeps its connections, its queue and what is known of its hosts.
        let brain = if config.model == held.config.model {
            self.engine.current().brain().cloned()
        } else {
            config.model.as_ref().map(brain).transpose()?
        };
        let (parts, warnings) = parts(&config, &self.file, (&self.lasting, redactor.clone(), brain))?;
        let (changes, _) = config::changes(&held.config, &config);
        let (_, later) = config::changes(&held.started, &config);
        let reloaded = Reloaded { changes, later, warnings };
        if let (Some(desk), Some(alerts)) = (&self.lasting.alerts, &config.alerts) {
            desk.renew(&config, alerts)?;
            desk.suggest(parts.playbooks.clone());
        }
        self.log.renew(redactor);
        self.engine.renew(by, (parts, known_people(&config)), reloaded.clone()).await?;
        self.people.renew(people(&config));
        held.secrets = secrets;
        held.config = config;
        Ok(reloaded)
    }
}
