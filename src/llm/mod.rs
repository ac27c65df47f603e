//! Language models behind HTTP servers: Ollama's own dialect, and the one that OpenAI began.
//!
//! Pure: [`lenient`] (calls in text), [`constrained`] (schema and prompt of the third way), the line and answer
//! readers. With IO: [`connect`] and what it returns.

mod answer;
mod call;
pub mod constrained;
pub mod lenient;
mod lines;
mod ollama;
mod ollama_wire;
mod openai;
mod openai_wire;
mod settings;
mod wire;

use std::sync::Arc;

pub use lines::{LineReader, LineTooLong, MAX_LINE};
pub use settings::{Constrained, Dialect, Settings, Token};

use crate::agent::port::Model;

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
