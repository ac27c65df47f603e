//! The seams that the loop owns: a model that answers, a tool that acts.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::models::{Models, Wait};
use crate::{
    domain::{
        CustomerId, NewNote, Note, PersonName, ResolvedCall, ToolCall, ToolError, ToolOutput, ToolSpec,
    },
    policy::Permit,
};

/// One message of a prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Message {
    /// The fixed instructions.
    System {
        /// The text.
        text: String,
    },
    /// A person's words, quoted text fenced.
    User {
        /// The text.
        text: String,
    },
    /// What the model said.
    Assistant {
        /// Its prose.
        text: String,
        /// Its thinking, echoed back within the same turn only.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        thinking: String,
        /// The calls it made.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        calls: Vec<ModelCall>,
    },
    /// What a tool brought back.
    Tool {
        /// The call's id, where the model gave one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// The tool's name.
        name: String,
        /// Its output, fenced where untrusted.
        text: String,
    },
}

/// A call as the model wrote it: nothing in it is checked yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelCall {
    /// The id that the server gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The tool's name, perhaps invented.
    pub name: String,
    /// The arguments, perhaps wrong.
    pub args: Value,
}

/// How calls are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallMode {
    /// The server's own tool calling; text that is a call is read leniently.
    #[default]
    Native,
    /// A JSON schema over all tools forces the shape (`format`), no `tools` are sent.
    Constrained,
    /// As `Constrained`, with the same prefix, and the schema leaves words only: small models do not stop calling.
    Words,
}

/// A request for the model's next message.
#[derive(Clone, Debug)]
pub struct ModelRequest {
    /// The prompt, oldest first; the first is the system message.
    pub messages: Vec<Message>,
    /// The tools on offer; empty means plain text only.
    pub tools: Arc<Vec<ToolSpec>>,
    /// How calls are asked for.
    pub mode: CallMode,
}

/// The model's next message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// Its prose, without what was read as a call.
    pub text: String,
    /// Its thinking.
    pub thinking: String,
    /// Its calls; names are not checked.
    pub calls: Vec<ModelCall>,
    /// It stopped because it hit a length limit.
    pub cut: bool,
    /// Prompt tokens, as the server counted them.
    pub tokens_in: u64,
    /// Generated tokens.
    pub tokens_out: u64,
}

/// Why the model did not answer. The text says what to do next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// Nobody listens, or the connection broke before a first byte.
    #[error("the model server does not answer ({0}); start it, or check [model] url")]
    Down(String),
    /// 503.
    #[error("the model server is busy; try again in a moment")]
    Busy,
    /// The model is not there.
    #[error("the model `{0}` is not on the server; `ollama pull {0}` brings it")]
    Missing(String),
    /// The model cannot call tools; constrained mode may still work.
    #[error("the model `{0}` does not support tools")]
    NoTools(String),
    /// The prompt is longer than the context.
    #[error("the request does not fit the model's context ({0})")]
    TooLong(String),
    /// Nothing came within the deadline.
    #[error("the model was silent for {0:?}")]
    Silent(Duration),
    /// The stream ended early or held an error; nothing of it was used.
    #[error("the model's answer broke off ({0})")]
    Broken(String),
    /// The server's parser ate the call or failed on it: ask again in constrained mode.
    #[error("the model server lost the call")]
    Swallowed,
    /// Any other refusal.
    #[error("the model server refused ({0})")]
    Refused(String),
}

/// What a probe of the model found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ModelInfo {
    /// The server's version, if it says so.
    pub version: String,
    /// The model's claimed capabilities (`tools`, `thinking`).
    pub capabilities: Vec<String>,
    /// The context length it is loaded with.
    pub context: Option<u64>,
}

/// A language model behind some server.
#[async_trait]
pub trait Model: Send + Sync + fmt::Debug {
    /// Asks for the next message; `on_text` gets prose as it streams (never a call's text). Dropping the future cancels.
    async fn chat(
        &self,
        request: &ModelRequest,
        on_text: &mut (dyn for<'t> FnMut(&'t str) + Send),
    ) -> Result<Reply, ModelError>;

    /// As [`Model::chat`], and tells on the way how long the question waits and who is asked.
    async fn chat_telling(
        &self,
        request: &ModelRequest,
        on_text: &mut (dyn for<'t> FnMut(&'t str) + Send),
        on_wait: &(dyn Fn(Wait) + Send + Sync),
    ) -> Result<Reply, ModelError> {
        on_wait(Wait::Asked);
        self.chat(request, on_text).await
    }

    /// All models that can be had where this one is; none for one that stands alone.
    fn models(&self) -> Option<&dyn Models> {
        None
    }

    /// Loads the model and keeps it warm; tells what it is. May take minutes.
    async fn warm(&self) -> Result<ModelInfo, ModelError>;

    /// Its name on screen.
    fn name(&self) -> &str;
}

/// What a running tool may use besides its own back end.
#[derive(Clone)]
pub struct RunContext {
    /// The time of the call.
    pub now: Timestamp,
    /// Cancelled by `/stop`; a write looks at it between two steps.
    pub cancel: CancellationToken,
    /// Takes one line of progress for the person who waits.
    pub progress: Arc<dyn Fn(String) + Send + Sync>,
    /// The notes of whoever asked.
    pub notes: Arc<dyn Notes>,
    /// Who asked.
    pub person: PersonName,
}

impl fmt::Debug for RunContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunContext").field("now", &self.now).finish_non_exhaustive()
    }
}

/// Notes, as far as whoever asked may reach them.
#[async_trait]
pub trait Notes: Send + Sync {
    /// Keeps a note as the person's; gives it as it is kept.
    async fn keep(&self, note: NewNote) -> Result<Note, ToolError>;

    /// The person's own notes, or everybody's about one customer; newest first.
    async fn list(&self, customer: Option<&CustomerId>) -> Result<Vec<Note>, ToolError>;

    /// Forgets one of the person's own notes; gives what it was.
    async fn forget(&self, id: i64) -> Result<Note, ToolError>;
}

/// There are no notes here.
#[derive(Clone, Copy, Debug)]
pub struct NoNotes;

#[async_trait]
impl Notes for NoNotes {
    async fn keep(&self, _: NewNote) -> Result<Note, ToolError> {
        Err(ToolError::Failed("no notes are kept here".into()))
    }

    async fn list(&self, _: Option<&CustomerId>) -> Result<Vec<Note>, ToolError> {
        Ok(Vec::new())
    }

    async fn forget(&self, _: i64) -> Result<Note, ToolError> {
        Err(ToolError::Failed("no notes are kept here".into()))
    }
}

/// A server tool.
#[async_trait]
pub trait Tool: Send + Sync {
    /// What is known of it without running it.
    fn spec(&self) -> &ToolSpec;

    /// Finds out what `call` would touch right now; changes nothing. The result holds the call in canonical form
    /// (a customer's alias replaced by the id), and for writes the plan.
    async fn resolve(&self, call: &ToolCall) -> Result<ResolvedCall, ToolError>;

    /// Runs the call that the permit holds. A read may be dropped at any await; a write looks at `cx.cancel`.
    async fn call(&self, permit: Permit, cx: &RunContext) -> Result<ToolOutput, ToolError>;
}
