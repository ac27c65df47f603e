//! Docker hosts behind one client: small typed answers, bounded reads, a deadline on every call.

mod decode;
mod error;
mod events;
mod follow;
mod host;
mod image;
mod info;
mod listed;
mod log;
mod stats;
mod tls;
mod usage;
mod wire;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use futures::future::join_all;
use jiff::Timestamp;

use crate::domain::{ContainerRef, HostName};

pub use decode::PassingLine;
pub use error::DockerError;
pub use events::{ContainerEvent, Happening};
pub use follow::{FollowEnd, FollowFrom};
pub use image::{ImageName, LocalImage, Tag};
pub use info::{ContainerInfo, Health, HealthProbe, State};
pub use listed::{Listed, Port};
pub use log::{LogLine, LogQuery, LogRead, LogScan};
pub use stats::ContainerStats;
pub use usage::{DiskUsage, Share, VolumeUsage};

use host::Host;

/// The files of a TLS client, all PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authority that signed the host's certificate.
    pub ca: PathBuf,
    /// The client's certificate.
    pub cert: PathBuf,
    /// The client's private key.
    pub key: PathBuf,
}

/// One Docker host as configuration describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostConfig {
    /// Its name on screen.
    pub name: HostName,
    /// `unix:///path` or `tcp://host:port`.
    pub url: String,
    /// For `tcp` with TLS.
    pub tls: Option<TlsFiles>,
    /// How long any one answer may take.
    pub timeout: Duration,
}

impl HostConfig {
    /// The deadline of a call where configuration names none.
    pub const TIMEOUT: Duration = Duration::from_secs(5);
}

/// All configured Docker hosts. Cheap to clone; connects on the first call, and again after a failure.
#[derive(Clone, Debug)]
pub struct DockerHosts {
    hosts: Arc<BTreeMap<HostName, Host>>,
}

impl DockerHosts {
    /// Takes note of the hosts; nothing is contacted yet, so a host that is down does not stop the start.
    pub fn connect(configs: Vec<HostConfig>) -> Self {
        let hosts = configs.into_iter().map(|c| (c.name.clone(), Host::new(c))).collect();
        Self { hosts: Arc::new(hosts) }
    }

    /// The hosts' names, sorted.
    pub fn names(&self) -> Vec<HostName> {
        self.hosts.keys().cloned().collect()
    }

    /// Whether that host is this machine, as far as its address tells: it is reached over a Unix socket.
    pub fn is_local(&self, host: &HostName) -> bool {
        self.hosts.get(host).is_some_and(Host::is_local)
    }

    /// Every host's engine version, or why it does not answer.
    pub async fn probe(&self) -> Vec<(HostName, Result<String, DockerError>)> {
        join_all(self.hosts.iter().map(|(name, host)| async { (name.clone(), host.version().await) })).await
    }

    /// All containers of all hosts, also stopped ones, each host apart.
    pub async fn list(&self) -> Vec<(HostName, Result<Vec<Listed>, DockerError>)> {
        join_all(self.hosts.iter().map(|(name, host)| async { (name.clone(), host.list().await) })).await
    }

    /// All that matters of one container, found by its full id.
    ///
    /// # Errors
    /// [`DockerError::Gone`] when it was removed or replaced; else the host's failure.
    pub async fn inspect(&self, r: &ContainerRef) -> Result<ContainerInfo, DockerError> {
        self.host(r)?.inspect(r).await
    }

    /// The end of a container's log, read as a stream within the query's bounds.
    ///
    /// # Errors
    /// As [`DockerHosts::inspect`]; a stream that breaks after its first line is not an error but noted in the result.
    pub async fn logs(&self, r: &ContainerRef, query: &LogQuery) -> Result<LogRead, DockerError> {
        self.host(r)?.logs(r, query).await
    }

    /// Lets a container's log pass by, line by line, within the query's bounds: `take` puts what matters of it into
    /// `kept`, on the thread that reads. Dropping the future ends the reading.
    ///
    /// # Errors
    /// As [`DockerHosts::logs`].
    pub async fn scan_log<T: Send + 'static>(
        &self,
        r: &ContainerRef,
        query: &LogQuery,
        kept: T,
        take: fn(&mut T, &PassingLine<'_>),
    ) -> Result<(T, LogScan), DockerError> {
        self.host(r)?.scan_log(r, query, kept, take).await
    }

    /// Lets what happens to a host's containers pass by, first what happened since, until the stream ends or `take` gives false.
    ///
    /// # Errors
    /// The host's failure, also when the stream breaks.
    pub async fn events(
        &self,
        host: &HostName,
        since: Option<Timestamp>,
        take: impl FnMut(ContainerEvent) -> bool + Send,
    ) -> Result<(), DockerError> {
        self.named(host)?.events(since, take).await
    }

    /// Lets a container's log pass by as it grows, until the container ends or the log grows too fast.
    ///
    /// # Errors
    /// As [`DockerHosts::inspect`], also when the stream breaks.
    pub async fn follow_log(
        &self,
        r: &ContainerRef,
        from: FollowFrom,
        take: impl FnMut(&PassingLine<'_>) + Send,
    ) -> Result<FollowEnd, DockerError> {
        self.host(r)?.follow(r, from, take).await
    }

    /// What a running container uses, from two samples about a second apart; none when it does not run.
    ///
    /// # Errors
    /// As [`DockerHosts::inspect`].
    pub async fn stats(&self, r: &ContainerRef) -> Result<Option<ContainerStats>, DockerError> {
        self.host(r)?.stats(r).await
    }

    /// What Docker keeps on a host's disk. The engine may take a minute or two to measure it.
    ///
    /// # Errors
    /// The host's failure.
    pub async fn disk_usage(&self, host: &HostName) -> Result<DiskUsage, DockerError> {
        self.named(host)?.disk_usage().await
    }

    /// The images that a host has.
    ///
    /// # Errors
    /// The host's failure.
    pub async fn images(&self, host: &HostName) -> Result<Vec<LocalImage>, DockerError> {
        self.named(host)?.images().await
    }

    /// The digest that a tag has in its registry right now, as the engine asks for it; nothing is pulled.
    ///
    /// # Errors
    /// [`DockerError::Refused`] with the engine's words when the registry does not answer or refuses; else the host's
    /// failure.
    pub async fn registry_digest(&self, host: &HostName, tag: &Tag) -> Result<String, DockerError> {
        self.named(host)?.registry_digest(tag).await
    }

    /// Starts a container; nothing happens to one that runs. Verifies nothing.
    ///
    /// # Errors
    /// As [`DockerHosts::inspect`]; [`DockerError::Refused`] when the engine could not start it.
    pub async fn start_container(&self, r: &ContainerRef) -> Result<(), DockerError> {
        self.host(r)?.start(r).await
    }

    /// Stops a container, which is killed when it has not ended within `grace`; nothing happens to one that does not
    /// run. Verifies nothing.
    ///
    /// # Errors
    /// As [`DockerHosts::start_container`].
    pub async fn stop_container(&self, r: &ContainerRef, grace: Duration) -> Result<(), DockerError> {
        self.host(r)?.stop(r, grace).await
    }

    /// Restarts a container; `grace` is how long it may take to end before it is killed. Verifies nothing.
    ///
    /// # Errors
    /// As [`DockerHosts::start_container`].
    pub async fn restart_container(&self, r: &ContainerRef, grace: Duration) -> Result<(), DockerError> {
        self.host(r)?.restart(r, grace).await
    }

    fn host(&self, r: &ContainerRef) -> Result<&Host, DockerError> {
        self.named(&r.host)
    }

    fn named(&self, host: &HostName) -> Result<&Host, DockerError> {
        self.hosts.get(host).ok_or_else(|| DockerError::unknown_host(host))
    }
}
