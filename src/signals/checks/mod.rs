//! OpsBot's own checks: how full this machine's disks are, and how long servers' certificates are still valid.

mod certificate;
mod disk;
mod verdict;

use std::time::Duration;

use futures::{StreamExt, stream};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{Keep, Known, Outbox};
use crate::{
    domain::{CustomerId, SignalSource},
    runtime::{Counters, clock},
};

pub use certificate::Trust;

use certificate::Handshakes;
use verdict::{Looked, Verdicts};

/// So many checks run at once.
const AT_ONCE: usize = 8;

/// Something that is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// How long the certificate of a TLS server is still valid.
    Certificate {
        /// `HOST:PORT`.
        address: String,
        /// A warning when it is valid for less.
        warn: Duration,
        /// Critical when it is valid for less.
        critical: Duration,
        /// Whose it is.
        customer: Option<CustomerId>,
    },
    /// How full a file system of this machine is.
    Disk {
        /// A path on it.
        path: String,
        /// A warning when at least so many percent are in use.
        warn: u8,
        /// Critical when at least so many percent are in use.
        critical: u8,
        /// Whose it is.
        customer: Option<CustomerId>,
    },
}

/// What is checked, and how often.
#[derive(Clone, Debug)]
pub struct CheckSettings {
    /// The checks.
    pub checks: Vec<Check>,
    /// How often disks are looked at.
    pub disks_every: Duration,
    /// How often certificates are looked at.
    pub certificates_every: Duration,
    /// Whose certificates are trusted.
    pub trust: Trust,
}

impl CheckSettings {
    /// These checks as often as usual, by this machine's authorities.
    pub fn new(checks: Vec<Check>) -> Self {
        Self {
            checks,
            disks_every: Duration::from_secs(60),
            certificates_every: Duration::from_secs(600),
            trust: Trust::System,
        }
    }
}

/// Runs the checks.
pub struct Checks {
    settings: CheckSettings,
    /// None where there is no certificate to look at.
    handshakes: Option<Handshakes>,
    known: Known,
    outbox: Outbox,
}

impl std::fmt::Debug for Checks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checks").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Checks {
    /// Nothing is looked at yet.
    ///
    /// # Errors
    /// A sentence when certificates cannot be judged on this machine.
    pub fn new(
        settings: CheckSettings,
        keep: Keep,
        known: Known,
        counters: Counters,
    ) -> Result<Self, String> {
        let wanted = settings.checks.iter().any(|check| matches!(check, Check::Certificate { .. }));
        let handshakes = wanted.then(|| Handshakes::new(&settings.trust)).transpose()?;
        let outbox = Outbox::new(SignalSource::Check, keep, counters);
        Ok(Self { settings, handshakes, known, outbox })
    }

    /// Checks until `stop`.
    ///
    /// # Errors
    /// Never by itself; the type is the supervisor's.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), String> {
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            () = self.check() => Ok(()),
            () = self.outbox.deliver() => Ok(()),
        }
    }

    async fn check(&self) {
        let mut verdicts = Verdicts::new((self.known)(SignalSource::Check));
        self.outbox.push(verdicts.forget_others(&self.settings.checks, clock::now()));
        let (mut disks, mut certificates) =
            (interval(self.settings.disks_every), interval(self.settings.certificates_every));
        disks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        certificates.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let disk = tokio::select! {
                _ = disks.tick() => true,
                _ = certificates.tick() => false,
            };
            let due = self.settings.checks.iter().filter(|c| matches!(c, Check::Disk { .. }) == disk);
            let looks: Vec<_> = due.map(|check| self.look(check)).collect();
            let mut looks = stream::iter(looks).buffer_unordered(AT_ONCE);
            while let Some((check, looked)) = looks.next().await {
                self.outbox.push(verdicts.on(check, looked, clock::now()));
            }
        }
    }

    async fn look<'c>(&self, check: &'c Check) -> (&'c Check, Looked) {
        let looked = match (check, &self.handshakes) {
            (Check::Disk { path, .. }, _) => Looked::Disk(disk::used(path).await),
            (Check::Certificate { address, .. }, Some(handshakes)) => {
                Looked::Certificate(handshakes.look(address, clock::now()).await)
            }
            (Check::Certificate { .. }, None) => Looked::Nothing,
        };
        (check, looked)
    }
}
