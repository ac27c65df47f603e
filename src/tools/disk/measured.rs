//! What Docker keeps, measured at most once a minute a host: it walks every layer and volume.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use jiff::Timestamp;
use tokio::{sync::Mutex, time};

use crate::{
    agent::port::RunContext,
    docker::{DiskUsage, DockerError, DockerHosts},
    domain::HostName,
    tools::units,
};

/// A measurement is good for so long.
const GOOD_FOR: Duration = Duration::from_secs(60);
/// How often a person who waits is told so.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// One host's measurement, or why there is none.
#[derive(Clone, Debug)]
pub(super) struct OfHost {
    pub host: HostName,
    pub usage: Result<(Timestamp, DiskUsage), DockerError>,
}

/// The last measurement of each host. Who comes while one runs waits for that one: an engine refuses a second.
#[derive(Debug)]
pub(super) struct Measured {
    hosts: DockerHosts,
    last: BTreeMap<HostName, Mutex<Option<(Timestamp, DiskUsage)>>>,
}

impl Measured {
    pub fn new(hosts: DockerHosts) -> Self {
        let last = hosts.names().into_iter().map(|host| (host, Mutex::default())).collect();
        Self { hosts, last }
    }

    /// All these hosts at once, each with its own outcome.
    pub async fn all(&self, hosts: &[HostName], cx: &RunContext) -> Vec<OfHost> {
        join_all(
            hosts.iter().map(|host| async { OfHost { host: host.clone(), usage: self.one(host, cx).await } }),
        )
        .await
    }

    async fn one(&self, host: &HostName, cx: &RunContext) -> Result<(Timestamp, DiskUsage), DockerError> {
        let Some(slot) = self.last.get(host) else {
            return Ok((cx.now, self.hosts.disk_usage(host).await?));
        };
        let mut last = slot.lock().await;
        if let Some((at, usage)) = &*last
            && is_good(*at, cx.now)
        {
            return Ok((*at, usage.clone()));
        }
        (cx.progress)(format!("measuring what Docker keeps on {host}"));
        let measuring = self.hosts.disk_usage(host);
        tokio::pin!(measuring);
        let mut waited = Duration::ZERO;
        let usage = loop {
            match time::timeout(TELL_EVERY, &mut measuring).await {
                Ok(usage) => break usage?,
                Err(_) => {
                    waited += TELL_EVERY;
                    let waited = units::span(waited);
                    (cx.progress)(format!("Docker on {host} still measures its disk, {waited} so far"));
                }
            }
        };
        *last = Some((cx.now, usage.clone()));
        Ok((cx.now, usage))
    }
}

/// One from the future is of a clock that was set back.
fn is_good(at: Timestamp, now: Timestamp) -> bool {
    at <= now && units::since(at, now) < GOOD_FOR
}
