//! Speech: what turns a recording into words.

pub mod port;

pub use port::{NotSetUp, SpeechError, Transcriber, Transcript};
