//! Signals of the operating system as values: who asks the process to stop, and when its reader has gone.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A request to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM: the service manager, or `kill`.
    Terminate,
}

impl Stop {
    /// The signal's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        }
    }

    /// The exit code by which a shell recognises a death by this signal.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

/// Takes SIGINT and SIGTERM over from the default, which would kill the process at once.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes the signals over; must be called inside the runtime, before anything that a signal should interrupt.
    ///
    /// # Errors
    /// When the operating system refuses the handler.
    pub fn install() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next request to stop.
    pub async fn recv(&mut self) -> Stop {
        tokio::select! {
            biased;
            Some(()) = self.terminate.recv() => Stop::Terminate,
            Some(()) = self.interrupt.recv() => Stop::Interrupt,
            else => std::future::pending().await,
        }
    }

    /// Cancels `stop` at the first request and returns at the second: the person does not want to wait for the drain.
    pub async fn run(mut self, stop: CancellationToken) -> Stop {
        let first = self.recv().await;
        tracing::info!(signal = first.name(), "asked to stop");
        stop.cancel();
        self.recv().await
    }
}

/// Takes SIGHUP over, which asks for the configuration to be read again.
#[derive(Debug)]
pub struct Hangups(Signal);

impl Hangups {
    /// Takes the signal over; it would end the process otherwise.
    ///
    /// # Errors
    /// When the operating system refuses the handler.
    pub fn install() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Waits for the next one; several that come at once count as one.
    pub async fn recv(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending().await
        }
    }
}

/// Whether writing failed because the reader has gone (`opsbot audit tail | head -1`): end quietly, that is no error.
///
/// Rust's start-up code ignores SIGPIPE, so a lost reader shows as this error and never kills the process.
pub fn reader_has_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::unix::net::UnixStream, time::Duration};

    use nix::{
        sys::signal::{Signal as Sig, raise},
        unistd::Pid,
    };
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn the_first_signal_cancels_and_the_second_returns() {
        let signals = Signals::install().unwrap();
        let stop = CancellationToken::new();
        let running = tokio::spawn(signals.run(stop.clone()));
        raise(Sig::SIGTERM).unwrap();
        timeout(Duration::from_secs(10), stop.cancelled()).await.unwrap();
        assert!(!running.is_finished());
        nix::sys::signal::kill(Pid::this(), Sig::SIGINT).unwrap();
        let second = timeout(Duration::from_secs(10), running).await.unwrap().unwrap();
        assert_eq!((second, second.exit_code(), second.name()), (Stop::Interrupt, 130, "SIGINT"));
    }

    #[tokio::test]
    async fn hangups_are_heard_and_end_nothing() {
        let mut hangups = Hangups::install().unwrap();
        for _ in 0..3 {
            raise(Sig::SIGHUP).unwrap();
            timeout(Duration::from_secs(10), hangups.recv()).await.unwrap();
        }
    }

    #[test]
    fn a_lost_reader_is_an_error_and_no_death() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let error = ours.write_all(b"x").unwrap_err();
        assert!(reader_has_gone(&error), "{error:?}");
        assert!(!reader_has_gone(&io::Error::other("x")));
    }
}
