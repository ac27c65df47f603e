//! The seam to all models there are: who has which, how they are, how one is brought, and what a question waits for.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use super::port::{Model, ModelError};

/// What happens to a question before its answer begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// So many questions are before this one at its host.
    InLine(usize),
    /// Its host works on it now.
    Asked,
    /// A host failed and the next one is asked; what was passed on of an answer is void.
    FailedOver {
        /// The host that failed.
        from: String,
        /// The one that is asked now.
        to: String,
    },
}

/// A host that serves models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostState {
    /// Its name in the configuration.
    pub name: String,
    /// Its last answer was one; true before it was ever asked.
    pub up: bool,
    /// How it is, in a few words.
    pub detail: String,
    /// Questions that it works on or that wait for it.
    pub questions: usize,
}

/// A model on a host. What a server does not tell is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelEntry {
    /// Its name there.
    pub name: String,
    /// Its size on disk in bytes.
    pub size: Option<u64>,
    /// Whether it claims to call tools.
    pub tools: Option<bool>,
    /// Whether it is in memory.
    pub loaded: Option<bool>,
}

/// How far a pull is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulled {
    /// The server's word for what it does.
    pub status: String,
    /// Bytes of the present part that are there.
    pub done: u64,
    /// Bytes of the present part; 0 when not known.
    pub total: u64,
}

/// All models on all hosts.
#[async_trait]
pub trait Models: Send + Sync + fmt::Debug {
    /// Every host with its models, or why it does not say; in the order in which hosts are asked.
    async fn list(&self) -> Vec<(String, Result<Vec<ModelEntry>, ModelError>)>;

    /// The model of that name, on whichever host has it.
    fn named(&self, name: &str) -> Arc<dyn Model>;

    /// How the hosts are; asks nobody.
    fn hosts(&self) -> Vec<HostState>;

    /// Brings a model to `host`, or to the first that can; gives that host's name. Dropping the future cancels.
    async fn pull(
        &self,
        name: &str,
        host: Option<&str>,
        on_progress: &(dyn Fn(Pulled) + Send + Sync),
    ) -> Result<String, ModelError>;

    /// Keeps the model loaded, looks after hosts that failed and loads the model again when they are back; never ends.
    async fn tend(&self);
}
