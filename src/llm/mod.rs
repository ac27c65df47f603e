//! Language models behind HTTP servers: Ollama's own dialect, and the one that OpenAI began.
//!
//! Pure: [`lenient`] (calls in text), [`constrained`] (schema and prompt of the third way), the line and answer
//! readers. With IO: [`connect`] for one server, [`fleet`] for several hosts with a queue before each.

mod answer;
mod call;
pub mod constrained;
mod fleet;
mod host;
pub mod lenient;
mod lines;
mod ollama;
mod ollama_wire;
mod openai;
mod openai_wire;
mod queue;
mod server;
mod settings;
mod wire;

use std::sync::Arc;

pub use lines::{LineReader, LineTooLong, MAX_LINE};
pub use settings::{Constrained, Dialect, HostSettings, Settings, Token};

use crate::agent::port::Model;

/// The model over several hosts: the first that answers, the next ones when it fails; contacts nobody yet.
///
/// # Errors
/// A sentence for the operator, as [`connect`]'s, with the host's name; or there is no host.
pub fn fleet(hosts: Vec<HostSettings>) -> Result<Arc<dyn Model>, String> {
    Ok(Arc::new(fleet::Fleet::new(hosts)?))
}

/// Makes the adapter for `settings`; contacts nobody yet.
///
/// # Errors
/// A sentence for the operator: the URL, `keep_alive` or the token is malformed, or TLS cannot be set up.
pub fn connect(settings: Settings) -> Result<Arc<dyn Model>, String> {
    match settings.dialect {
        Dialect::Ollama => Ok(Arc::new(ollama::OllamaModel::new(settings)?)),
        Dialect::OpenAi => Ok(Arc::new(openai::OpenAiModel::new(settings)?)),
    }
}
