//! All that can be seen of a customer at one moment, gathered in parallel; what does not answer in time is a gap.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use futures::{StreamExt, future::BoxFuture, stream};
use jiff::Timestamp;
use tokio::time;

use super::trouble::{Cluster, clusters};
use crate::{
    docker::{ContainerInfo, DockerHosts, LogQuery, State},
    domain::{ContainerRef, CustomerId, ServiceName, ToolError, Untrusted},
    inventory::InventorySource,
};

/// One metric of one service right now.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricSample {
    /// Whose.
    pub service: ServiceName,
    /// `cpu`, `memory`, `disk`, `network_rx` or `network_tx`.
    pub name: &'static str,
    /// `%` (100 is one core), `B` or `B/s`.
    pub unit: &'static str,
    /// The value in that unit.
    pub now: f64,
    /// The limit in that unit, if there is one.
    pub limit: Option<f64>,
    /// `prometheus` or `docker stats`.
    pub source: &'static str,
}

/// One active alert.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertSample {
    /// The alert's name.
    pub name: String,
    /// Its severity label as it stands; empty when it has none.
    pub severity: String,
    /// `firing` or `pending`.
    pub state: String,
    /// The customer it is about.
    pub customer: Option<CustomerId>,
    /// The service it is about.
    pub service: Option<ServiceName>,
    /// Since when it is active.
    pub since: Option<Timestamp>,
    /// What its annotations say.
    pub summary: Untrusted,
    /// The value that raised it.
    pub value: String,
}

/// Looks for samples of a customer's containers.
pub type Look<T> =
    Arc<dyn Fn(CustomerId, Vec<ContainerRef>) -> BoxFuture<'static, Result<Vec<T>, ToolError>> + Send + Sync>;

/// Where metrics and alerts come from.
#[derive(Clone)]
pub struct Looks {
    /// The metrics of these containers.
    pub metrics: Look<MetricSample>,
    /// The alerts about this customer.
    pub alerts: Look<AlertSample>,
}

impl fmt::Debug for Looks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Looks").finish_non_exhaustive()
    }
}

/// What was seen, or why it could not be looked at.
pub type Part<T> = Result<T, String>;

/// What a container's log says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogEvidence {
    /// How many lines of the window were looked at.
    pub seen: u64,
    /// There were more lines in the window than were looked at.
    pub capped: bool,
    /// The lines that tell of trouble, grouped, worst first.
    pub clusters: Vec<Cluster>,
    /// The very last line, whenever it was written.
    pub last_line: Option<(Option<Timestamp>, Untrusted)>,
    /// Why reading ended early, if it did.
    pub broke: Option<String>,
}

/// All that was seen of a customer.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// Whose.
    pub customer: CustomerId,
    /// When it was gathered.
    pub now: Timestamp,
    /// How far back the logs were read.
    pub window: Duration,
    /// Every container, by service and name.
    pub containers: Vec<(ContainerRef, Part<ContainerInfo>)>,
    /// Their logs.
    pub logs: Vec<(ContainerRef, Part<LogEvidence>)>,
    /// Their metrics.
    pub metrics: Part<Vec<MetricSample>>,
    /// The customer's alerts.
    pub alerts: Part<Vec<AlertSample>>,
    /// Docker hosts that did not answer.
    pub gaps: Vec<String>,
}

/// How far back logs are read.
pub const WINDOW: Duration = Duration::from_secs(600);
/// How many lines of a log are read at most.
const LINES: u32 = 2_000;
/// How many containers are looked at at once.
const AT_ONCE: usize = 6;

impl Evidence {
    /// Whether a log line's time lies before the last start of its container, which then runs since without a crash:
    /// what was wrong may be over.
    pub(super) fn is_past(&self, r: &ContainerRef, at: Option<Timestamp>) -> bool {
        let info = self.containers.iter().find(|(other, _)| other == r).and_then(|(_, i)| i.as_ref().ok());
        info.filter(|i| i.state == State::Running && i.restart_count == 0)
            .and_then(|i| i.started_at)
            .is_some_and(|started| at.is_some_and(|at| at < started))
    }
}

/// Gathers evidence: one source and one deadline for all who ask.
#[derive(Clone, Debug)]
pub struct Gatherer {
    source: InventorySource,
    looks: Looks,
    deadline: Duration,
}

impl Gatherer {
    /// `deadline` holds for each part (containers, logs, metrics, alerts) apart.
    pub fn new(source: InventorySource, looks: Looks, deadline: Duration) -> Self {
        Self { source, looks, deadline }
    }

    /// Looks at everything in parallel; never fails, gaps are part of the evidence.
    pub async fn gather(&self, customer: &CustomerId, all: &[ContainerRef], now: Timestamp) -> Evidence {
        let hosts = self.source.hosts();
        let (inventory, containers, logs, metrics, alerts) = tokio::join!(
            time::timeout(self.deadline, self.source.snapshot()),
            self.each(all, |r| inspect(hosts, r)),
            self.each(all, |r| read_log(hosts, r, now)),
            self.within((self.looks.metrics)(customer.clone(), all.to_vec())),
            self.within((self.looks.alerts)(customer.clone(), all.to_vec())),
        );
        let gaps = inventory.map_or_else(|_| vec![self.late()], |i| i.gaps());
        Evidence { customer: customer.clone(), now, window: WINDOW, containers, logs, metrics, alerts, gaps }
    }

    fn late(&self) -> String {
        format!("no answer within {} s", self.deadline.as_secs_f32())
    }

    async fn within<T>(&self, look: BoxFuture<'static, Result<T, ToolError>>) -> Part<T> {
        match time::timeout(self.deadline, look).await {
            Ok(seen) => seen.map_err(|e| e.to_string()),
            Err(_) => Err(self.late()),
        }
    }

    /// Looks at every container under the one deadline; those that it cuts off are told apart from those that answered.
    async fn each<T, F: Future<Output = Part<T>>>(
        &self,
        all: &[ContainerRef],
        look: impl Fn(ContainerRef) -> F,
    ) -> Vec<(ContainerRef, Part<T>)> {
        let mut seen = Vec::new();
        let looking = async {
            let one = |r: ContainerRef| {
                let look = look(r.clone());
                async move { (r, look.await) }
            };
            let mut answers = stream::iter(all.to_vec()).map(one).buffer_unordered(AT_ONCE);
            while let Some(answer) = answers.next().await {
                seen.push(answer);
            }
        };
        if time::timeout(self.deadline, looking).await.is_err() {
            let answered: BTreeSet<_> = seen.iter().map(|(r, _)| r.clone()).collect();
            let late = all.iter().filter(|r| !answered.contains(r));
            seen.extend(late.map(|r| (r.clone(), Err(self.late()))));
        }
        seen.sort_by(|(a, _), (b, _)| (&a.service, &a.name).cmp(&(&b.service, &b.name)));
        seen
    }
}

async fn inspect(hosts: &DockerHosts, r: ContainerRef) -> Part<ContainerInfo> {
    hosts.inspect(&r).await.map_err(|e| e.to_string())
}

async fn read_log(hosts: &DockerHosts, r: ContainerRef, now: Timestamp) -> Part<LogEvidence> {
    let query = LogQuery { since: now.checked_sub(WINDOW).ok(), ..LogQuery::tail(LINES) };
    let read = hosts.logs(&r, &query).await.map_err(|e| e.to_string())?;
    let mut last = read.lines.last().cloned();
    if last.is_none() {
        // What ended long ago wrote its reason then.
        let end = hosts.logs(&r, &LogQuery::tail(1)).await;
        last = end.ok().and_then(|read| read.lines.into_iter().next_back());
    }
    Ok(LogEvidence {
        seen: read.seen,
        capped: read.seen >= u64::from(LINES),
        clusters: clusters(&read.lines),
        last_line: last.map(|l| (l.at, l.text)),
        broke: read.broke,
    })
}
