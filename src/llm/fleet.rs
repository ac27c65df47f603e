//! A model over several hosts: a fair line before each, the next one when one fails, and an eye on those that failed.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{
    sync::Notify,
    time::{sleep, sleep_until},
};

use super::{
    host::{Host, is_failure},
    server::is_name,
    settings::HostSettings,
};
use crate::{
    agent::{
        models::{HostState, ModelEntry, Models, Pulled, Wait},
        port::{Model, ModelError, ModelInfo, ModelRequest, Reply},
    },
    runtime::Stopwatch,
};

/// Shorter than the shortest keep-alive that servers default to (5 min), so that the model stays loaded.
const KEEP_WARM: Duration = Duration::from_secs(240);

/// One model's name over all hosts.
#[derive(Clone, Debug)]
pub(super) struct Fleet {
    name: String,
    hosts: Arc<Hosts>,
}

#[derive(Debug)]
struct Hosts {
    all: Vec<Host>,
    /// A host failed.
    fell: Notify,
}

impl Fleet {
    pub(super) fn new(hosts: Vec<HostSettings>) -> Result<Self, String> {
        let several = hosts.len() > 1;
        let host = |settings: HostSettings| {
            let name = settings.name.clone();
            Host::new(settings).map_err(|e| if several { format!("host {name}: {e}") } else { e })
        };
        let all: Vec<_> = hosts.into_iter().map(host).collect::<Result<_, _>>()?;
        let name = all.first().ok_or("there is no model host")?.own().to_owned();
        Ok(Self { name, hosts: Arc::new(Hosts { all, fell: Notify::new() }) })
    }

    /// Loads the model on the first host that can.
    async fn warm_first(&self) -> Result<(&Host, ModelInfo), ModelError> {
        let mut failed = None;
        for host in self.hosts.in_order() {
            match host.warm(&self.name).await {
                Ok(info) => return Ok((host, info)),
                Err(error) => failed = Some(worse(failed, error)),
            }
        }
        self.hosts.fell.notify_one();
        Err(failed.unwrap_or(ModelError::Busy))
    }

    /// Loads the model at the start, and again and again so that it stays.
    async fn keep_warm(&self) {
        let mut told = String::new();
        loop {
            let watch = Stopwatch::start();
            let now = match self.warm_first().await {
                Ok((host, _)) => format!("{} is loaded on {}", self.name, host.name),
                Err(error) => format!("{} is not loaded: {error}", self.name),
            };
            // What goes on as before is not told again.
            if now != told {
                tracing::info!(seconds = rounded(&watch), "{now}");
                told = now;
            }
            sleep(KEEP_WARM).await;
        }
    }

    /// Looks at hosts that failed, each when its pause is over; who is back gets the model loaded.
    async fn look_after_failed(&self) {
        loop {
            let due = self.hosts.all.iter().filter_map(|host| Some((host.next()?, host)));
            let Some((at, host)) = due.min_by_key(|(at, _)| *at) else {
                self.hosts.fell.notified().await;
                continue;
            };
            tokio::select! {
                () = sleep_until(at) => {}
                () = self.hosts.fell.notified() => continue,
            }
            match host.server.probe().await {
                Ok(()) => {
                    host.answered();
                    let watch = Stopwatch::start();
                    match host.warm(&self.name).await {
                        Ok(_) => {
                            let seconds = rounded(&watch);
                            tracing::info!(host = host.name, seconds, "{} is loaded again", self.name);
                        }
                        Err(error) => {
                            tracing::warn!(host = host.name, %error, "the model is not loaded again")
                        }
                    }
                }
                Err(error) => host.failed(&error),
            }
        }
    }
}

impl Hosts {
    /// Hosts that are well in the configuration's order, then those that rest, the next one due first.
    fn in_order(&self) -> Vec<&Host> {
        let mut all: Vec<_> = self.all.iter().collect();
        all.sort_by_key(|host| host.next().filter(|_| host.rests()));
        all
    }
}

/// Which of two errors tells more: that a host is down goes before that another lacks the model.
fn worse(first: Option<ModelError>, second: ModelError) -> ModelError {
    match first {
        Some(first) if !matches!(first, ModelError::Missing(_)) => first,
        _ => second,
    }
}

#[async_trait]
impl Model for Fleet {
    async fn chat(
        &self,
        request: &ModelRequest,
        on_text: &mut (dyn for<'t> FnMut(&'t str) + Send),
    ) -> Result<Reply, ModelError> {
        self.chat_telling(request, on_text, &|_| {}).await
    }

    async fn chat_telling(
        &self,
        request: &ModelRequest,
        on_text: &mut (dyn for<'t> FnMut(&'t str) + Send),
        on_wait: &(dyn Fn(Wait) + Send + Sync),
    ) -> Result<Reply, ModelError> {
        let mut failed: Option<(&str, ModelError)> = None;
        // An answer that broke off after some of it was shown is tried once more, not again and again.
        let mut took_back = false;
        let order = self.hosts.in_order();
        for (n, host) in order.iter().enumerate() {
            let another = n + 1 < order.len();
            let Some(mut place) = host.queue.enter() else {
                failed = Some((&host.name, worse(failed.map(|(_, e)| e), ModelError::Busy)));
                continue;
            };
            if let Some((from, _)) = &failed {
                on_wait(Wait::FailedOver { from: (*from).to_owned(), to: host.name.clone() });
            }
            place.wait(&|ahead| on_wait(Wait::InLine(ahead))).await;
            if another && host.rests() && failed.is_none() {
                // It failed while this one stood in its line.
                failed = Some((&host.name, ModelError::Busy));
                continue;
            }
            on_wait(Wait::Asked);
            let mut said = false;
            let answer = {
                let mut tap = |text: &str| {
                    said = true;
                    on_text(text);
                };
                match host.model(&self.name) {
                    Ok(model) => model.chat(request, &mut tap).await,
                    Err(error) => Err(error),
                }
            };
            let error = match answer {
                Ok(reply) => {
                    host.answered();
                    return Ok(reply);
                }
                Err(error) => error,
            };
            if is_failure(&error) {
                host.failed(&error);
                self.hosts.fell.notify_one();
            } else if matches!(error, ModelError::Missing(_)) {
                host.answered();
            } else if !matches!(error, ModelError::Broken(_)) {
                return Err(error);
            }
            if said && std::mem::replace(&mut took_back, true) {
                return Err(error);
            }
            failed = Some((&host.name, worse(failed.map(|(_, e)| e), error)));
        }
        Err(failed.map_or(ModelError::Busy, |(_, error)| error))
    }

    fn models(&self) -> Option<&dyn Models> {
        Some(self)
    }

    async fn warm(&self) -> Result<ModelInfo, ModelError> {
        self.warm_first().await.map(|(_, info)| info)
    }

    fn name(&self) -> &str {
        &self.name
    }
}

#[async_trait]
impl Models for Fleet {
    async fn list(&self) -> Vec<(String, Result<Vec<ModelEntry>, ModelError>)> {
        let all = self.hosts.all.iter().map(|host| async {
            let models = host.server.models().await;
            match &models {
                Ok(_) => host.answered(),
                Err(error) if is_failure(error) => {
                    host.failed(error);
                    self.hosts.fell.notify_one();
                }
                Err(_) => {}
            }
            (host.name.clone(), models)
        });
        futures::future::join_all(all).await
    }

    fn named(&self, name: &str) -> Arc<dyn Model> {
        Arc::new(Self { name: name.to_owned(), hosts: self.hosts.clone() })
    }

    fn hosts(&self) -> Vec<HostState> {
        self.hosts.all.iter().map(Host::state).collect()
    }

    async fn pull(
        &self,
        name: &str,
        host: Option<&str>,
        on_progress: &(dyn Fn(Pulled) + Send + Sync),
    ) -> Result<String, ModelError> {
        if !is_name(name) {
            return Err(ModelError::Refused(format!("`{name}` is no model's name")));
        }
        let order = self.hosts.in_order();
        let to = match host {
            Some(wanted) => order.iter().find(|h| h.name.eq_ignore_ascii_case(wanted)).ok_or_else(|| {
                let known: Vec<_> = self.hosts.all.iter().map(|h| h.name.as_str()).collect();
                ModelError::Refused(format!("there is no host `{wanted}`; there are {}", known.join(", ")))
            })?,
            None => order.iter().find(|h| h.server.pulls()).ok_or_else(no_puller)?,
        };
        if !to.server.pulls() {
            return Err(no_puller());
        }
        to.server.pull(name, on_progress).await.map(|()| to.name.clone())
    }

    async fn tend(&self) {
        tokio::join!(self.keep_warm(), self.look_after_failed());
    }
}

fn rounded(watch: &Stopwatch) -> f64 {
    (watch.seconds() * 10.0).round() / 10.0
}

fn no_puller() -> ModelError {
    ModelError::Refused("only Ollama brings models; put the model's file there by hand".into())
}
