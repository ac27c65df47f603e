//! Structured logs to standard error: text for people, JSON for machines, secrets out of both.

use std::{
    env,
    io::{self, IsTerminal, Write},
    sync::{Arc, OnceLock},
};

use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// The variable that sets what is logged (`debug`, `info,opsbot::llm=trace`).
pub const FILTER_VARIABLE: &str = "OPSBOT_LOG";

const NOISY: &str = "hyper=warn,hyper_util=warn,reqwest=warn,h2=warn,rustls=warn,sqlx=warn,bollard=warn,\
                     axum=warn,tower=warn,mio=warn,rustyline=warn";

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people; coloured on a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl std::str::FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("`{text}` is none of text, json")),
        }
    }
}

/// Takes secrets out of a line.
pub type Redact = Arc<dyn Fn(&str) -> String + Send + Sync>;

static REDACT: OnceLock<Redact> = OnceLock::new();

/// From now on every log line goes through `redact`; only the first call counts.
pub fn redact_with(redact: Redact) {
    if REDACT.set(redact).is_err() {
        tracing::debug!("the log's redactor was set already");
    }
}

/// Starts logging to standard error; also logs panics, so that they are lines like any other.
///
/// # Errors
/// When `$OPSBOT_LOG` (or else `default`, the configuration's filter) makes no sense, or something else logs already;
/// the text says which.
pub fn init(format: LogFormat, default: &str) -> Result<(), String> {
    let wanted = env::var(FILTER_VARIABLE).ok().filter(|w| !w.trim().is_empty());
    let filter = filter(wanted.as_deref().unwrap_or(default))?;
    let base = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Redacting(io::stderr));
    let done = match format {
        LogFormat::Text => base.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => base.json().flatten_event(true).try_init(),
    };
    done.map_err(|e| format!("logging cannot start: {e}"))?;
    log_panics();
    Ok(())
}

fn filter(wanted: &str) -> Result<EnvFilter, String> {
    let wanted = if wanted.trim().is_empty() { "info" } else { wanted.trim() };
    EnvFilter::builder().parse(format!("{NOISY},{wanted}")).map_err(|e| {
        format!("${FILTER_VARIABLE} is `{wanted}`: {e}; try `info`, `debug` or `info,opsbot::llm=trace`")
    })
}

fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let text = info.payload_as_str().unwrap_or("no message");
        tracing::error!(place, "panic: {text}");
    }));
}

/// Makes writers that redact whole lines; the subscriber writes one event at a time.
#[derive(Debug)]
struct Redacting<M>(M);

impl<'a, M, W> MakeWriter<'a> for Redacting<M>
where
    M: Fn() -> W,
    W: Write,
{
    type Writer = RedactingWriter<W>;

    fn make_writer(&'a self) -> Self::Writer {
        RedactingWriter { inner: (self.0)(), redact: REDACT.get().cloned() }
    }
}

struct RedactingWriter<W> {
    inner: W,
    redact: Option<Redact>,
}

impl<W: Write> Write for RedactingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.redact {
            Some(redact) => self.inner.write_all(redact(&String::from_utf8_lossy(bytes)).as_bytes())?,
            None => self.inner.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::filter::LevelFilter;

    use super::*;

    #[test]
    fn a_wish_widens_our_logs_and_keeps_noisy_crates_quiet() {
        for (wanted, max) in
            [("", LevelFilter::INFO), ("debug", LevelFilter::DEBUG), ("warn,hyper=trace", LevelFilter::TRACE)]
        {
            let filter = filter(wanted).unwrap();
            assert_eq!(filter.max_level_hint(), Some(max), "{wanted}");
            let text = filter.to_string();
            assert!(text.contains("sqlx=warn"), "{text}");
            assert_eq!(text.contains("hyper=warn"), !wanted.contains("hyper"), "{text}");
        }
        let error = filter("info,=[").unwrap_err();
        assert!(error.contains("OPSBOT_LOG") && error.contains("try"), "{error}");
    }

    #[test]
    fn every_line_goes_through_the_redactor() {
        let mut writer = RedactingWriter {
            inner: Vec::new(),
            redact: Some(Arc::new(|line: &str| line.replace("hunter2", "***"))),
        };
        assert_eq!(writer.write(b"password hunter2\n").unwrap(), 17);
        assert_eq!(writer.inner, b"password ***\n");
        assert_eq!("json".parse(), Ok(LogFormat::Json));
        assert!("xml".parse::<LogFormat>().is_err());
    }
}
