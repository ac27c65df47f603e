//! The seam to whatever understands speech, and the answer while nothing does.

use std::{fmt, path::Path, time::Duration};

use async_trait::async_trait;

/// Turns a recording into words.
#[async_trait]
pub trait Transcriber: Send + Sync + fmt::Debug {
    /// What it is called in a sentence (`faster-whisper small`).
    fn name(&self) -> &str;

    /// The words in the OGG/Opus file `recording`. `language` is what the speaker probably speaks (`de`); what is heard
    /// counts for more.
    ///
    /// # Errors
    /// Why there are no words, in a sentence for the speaker.
    async fn transcribe(&self, recording: &Path, language: Option<&str>) -> Result<Transcript, SpeechError>;
}

/// What was heard.
#[derive(Clone, Debug, PartialEq)]
pub struct Transcript {
    /// The words, as they were spoken; empty never.
    pub text: String,
    /// How sure the transcriber is, from 0 to 1.
    pub confidence: f32,
}

/// Why a recording gave no words. Addressed to the speaker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpeechError {
    /// Nothing here understands speech.
    #[error("speech is not set up, so nobody here can listen to this; please type it")]
    NotSetUp,
    /// No words were spoken, or none that could be told apart from noise.
    #[error("no words could be made out; please speak closer to the microphone, or type it")]
    Silence,
    /// The file is no OGG/Opus, or is damaged.
    #[error("the recording cannot be read ({0}); please record it again, or type it")]
    Unreadable(String),
    /// The recording is longer than is listened to.
    #[error("the recording is longer than {} s; please say it in fewer words, or type it", .0.as_secs())]
    TooLong(Duration),
    /// The speech service does not answer, or breaks.
    #[error("speech does not work right now ({0}); please type it")]
    Down(String),
}

/// Stands where no speech service is set up.
#[derive(Clone, Copy, Debug, Default)]
pub struct NotSetUp;

#[async_trait]
impl Transcriber for NotSetUp {
    fn name(&self) -> &str {
        "none"
    }

    async fn transcribe(&self, _: &Path, _: Option<&str>) -> Result<Transcript, SpeechError> {
        Err(SpeechError::NotSetUp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_speech_the_answer_says_what_to_do() {
        let port: &dyn Transcriber = &NotSetUp;
        let error = port.transcribe(Path::new("1-2.oga"), Some("de")).await.unwrap_err();
        assert_eq!(error, SpeechError::NotSetUp);
        assert!(error.to_string().contains("speech is not set up") && error.to_string().contains("type it"));
    }
}
