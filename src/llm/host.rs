//! One host of several: its line, its health with a back-off, and the models that are asked for there.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    connect,
    queue::Queue,
    server::Server,
    settings::{HostSettings, Settings},
};
use crate::agent::{
    models::HostState,
    port::{Model, ModelError, ModelInfo},
};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A host.
pub(super) struct Host {
    pub(super) name: String,
    pub(super) server: Server,
    pub(super) queue: Arc<Queue>,
    settings: Settings,
    health: Mutex<Option<Down>>,
    models: Mutex<BTreeMap<String, Arc<dyn Model>>>,
}

/// A host that failed.
#[derive(Clone, Debug)]
struct Down {
    error: ModelError,
    pause: Duration,
    next: Instant,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Host").field(&self.name).finish()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Host {
    pub(super) fn new(host: HostSettings) -> Result<Self, String> {
        let HostSettings { name, settings, parallel } = host;
        let server = Server::new(&settings)?;
        let model = connect(settings.clone())?;
        Ok(Self {
            name,
            server,
            queue: Queue::new(parallel),
            health: Mutex::default(),
            models: Mutex::new(BTreeMap::from([(settings.name.clone(), model)])),
            settings,
        })
    }

    /// The model that is configured.
    pub(super) fn own(&self) -> &str {
        &self.settings.name
    }

    /// The model `name` as this host has it.
    pub(super) fn model(&self, name: &str) -> Result<Arc<dyn Model>, ModelError> {
        let mut models = lock(&self.models);
        if let Some(model) = models.get(name) {
            return Ok(model.clone());
        }
        let model = connect(Settings { name: name.to_owned(), ..self.settings.clone() })
            .map_err(ModelError::Refused)?;
        models.insert(name.to_owned(), model.clone());
        Ok(model)
    }

    /// Loads the model `name` and keeps it; tells how that went.
    pub(super) async fn warm(&self, name: &str) -> Result<ModelInfo, ModelError> {
        let warm = async { self.model(name)?.warm().await };
        let result = warm.await;
        match &result {
            Err(error) if is_failure(error) => self.failed(error),
            _ => self.answered(),
        }
        result
    }

    /// When it is looked at again; none while it is up.
    pub(super) fn next(&self) -> Option<Instant> {
        lock(&self.health).as_ref().map(|down| down.next)
    }

    /// Whether it failed and its pause is not over.
    pub(super) fn rests(&self) -> bool {
        self.next().is_some_and(|next| next > Instant::now())
    }

    /// It answered.
    pub(super) fn answered(&self) {
        if lock(&self.health).take().is_some() {
            tracing::info!(host = self.name, "the model host is back");
        }
    }

    /// It failed: it rests for twice as long as the last time.
    pub(super) fn failed(&self, error: &ModelError) {
        let mut health = lock(&self.health);
        let pause = match &*health {
            // Several questions that fail together are one failure.
            Some(down) if down.next > Instant::now() => return,
            Some(down) => (down.pause * 2).min(LONGEST_PAUSE),
            None => {
                tracing::warn!(host = self.name, %error, "the model host failed");
                FIRST_PAUSE
            }
        };
        *health = Some(Down { error: error.clone(), pause, next: Instant::now() + pause });
    }

    pub(super) fn state(&self) -> HostState {
        let health = lock(&self.health).clone();
        let detail = match &health {
            None => "up".to_owned(),
            Some(down) => {
                let wait = down.next.saturating_duration_since(Instant::now()).as_secs() + 1;
                format!("{}; looked at again in {wait} s", down.error)
            }
        };
        HostState { name: self.name.clone(), up: health.is_none(), detail, questions: self.queue.len() }
    }
}

/// Whether the error is the host's and not the question's: another host may do better.
pub(super) fn is_failure(error: &ModelError) -> bool {
    matches!(error, ModelError::Down(_) | ModelError::Busy | ModelError::Silent(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::Dialect;

    #[tokio::test(start_paused = true)]
    async fn pauses_double_to_a_minute_and_an_answer_ends_them() {
        rustls::crypto::ring::default_provider().install_default().ok();
        let settings = Settings::new(Dialect::Ollama, "http://127.0.0.1:9", "m");
        let host = Host::new(HostSettings { name: "a".into(), settings, parallel: 1 }).unwrap();
        assert!(!host.rests() && host.state().up);
        let error = ModelError::Down("connection refused".into());
        for want in [1, 2, 4, 8, 16, 32, 60, 60] {
            host.failed(&error);
            host.failed(&error);
            let wait = host.next().unwrap() - Instant::now();
            assert_eq!(wait, Duration::from_secs(want));
            assert!(host.rests() && host.state().detail.contains("connection refused"));
            tokio::time::advance(wait).await;
            assert!(!host.rests() && !host.state().up);
        }
        host.answered();
        assert!(host.state().up);
        host.failed(&error);
        assert_eq!(host.next().unwrap() - Instant::now(), FIRST_PAUSE);
    }
}
