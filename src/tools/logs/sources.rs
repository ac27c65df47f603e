//! A customer's logs wherever they lie: containers, files, journals. Found by name, read at the same time, gaps said.

use std::time::Duration;

use futures::{StreamExt, stream};
use jiff::Timestamp;

use crate::{
    docker::{DockerError, DockerHosts, LogQuery},
    domain::{ContainerRef, CustomerId, ResolvedCall, ServiceName, ToolCall, ToolError},
    inventory::InventorySource,
    logs::{self, Passing, Sources, Tally, Want},
    runtime::clock::Stopwatch,
    tools::place::Place,
};

/// So many containers are read at once.
const AT_ONCE: usize = 6;
/// Container logs are first read from their end: all of most logs, and the newest lines of the others.
const TAIL: u32 = 20_000;
/// A question about a time is mostly answered by so many lines; more the Docker helper does not let through but all.
const LONG_TAIL: u32 = 1_000_000;
/// So much of one source is read at most, in bytes.
const BYTES: u64 = 64 << 30;

/// Where all logs are found.
#[derive(Clone, Debug)]
pub struct LogSources {
    /// Customers and containers.
    pub inventory: InventorySource,
    /// Files and journals.
    pub others: Sources,
}

/// What is wanted of each log.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub want: Want,
    pub since: Option<Timestamp>,
    /// Of so many of its last lines; none means all.
    pub lines: Option<u32>,
    pub now: Timestamp,
    /// How long each may take; none means a Docker host's own limit.
    pub within: Duration,
}

/// Which logs are meant.
#[derive(Clone, Debug)]
pub(crate) struct Meant {
    pub customer: CustomerId,
    pub service: Option<ServiceName>,
    pub containers: Vec<ContainerRef>,
}

/// One log as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub service: ServiceName,
    /// The shortest name that tells it from the customer's other logs.
    pub label: String,
    /// The container's name, or the source's with the file's.
    pub name: String,
    pub tally: Tally,
    /// What of it was not read.
    pub gaps: Vec<String>,
    /// Nothing of it was read.
    pub failed: Option<ToolError>,
}

impl LogSources {
    /// Finds the logs that a call names; a service may be one of containers, of files or both.
    pub(crate) async fn resolve(&self, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        let mut bare = call.clone();
        let wanted = bare.args.0.remove("service").and_then(|v| v.as_str().map(str::to_owned));
        let mut place = Place::find(&self.inventory, &bare).await?;
        let others = self.others.of(&place.customer.id);
        if let Some(wanted) = wanted {
            place.service = Some(service(&place, &others, &wanted)?);
        }
        let containers = place.containers();
        let any = others.iter().any(|o| place.service.as_ref().is_none_or(|s| *s == o.service));
        if containers.is_empty() && !any { Err(place.none()) } else { Ok(place.resolved(call, containers)) }
    }

    /// Reads the logs at the same time; the second part says which hosts did not answer.
    pub(crate) async fn read(&self, meant: &Meant, ask: &Ask) -> (Vec<Part>, Vec<String>) {
        let (parts, inventory) = tokio::join!(self.parts(meant, ask), self.inventory.snapshot());
        (parts, inventory.gaps())
    }

    /// Reads the logs at the same time, in the order of their names.
    pub(crate) async fn parts(&self, meant: &Meant, ask: &Ask) -> Vec<Part> {
        let hosts = self.inventory.hosts();
        let one = |r: ContainerRef| container(hosts, r, ask);
        let containers =
            stream::iter(meant.containers.clone()).map(one).buffered(AT_ONCE).collect::<Vec<_>>();
        let mut others = self.others.of(&meant.customer);
        others.retain(|o| meant.service.as_ref().is_none_or(|s| *s == o.service));
        let query = logs::Query {
            want: ask.want.clone(),
            since: ask.since,
            lines: ask.lines.map(u64::from),
            now: ask.now,
            within: ask.within,
            bytes: BYTES,
        };
        let (mut parts, reads) = tokio::join!(containers, self.others.read(&others, &query));
        for (service, reads) in reads {
            parts.extend(reads.into_iter().map(|read| Part {
                label: format!("{service} ({})", read.name),
                name: format!("{service} ({})", read.name),
                service: service.clone(),
                tally: read.tally,
                gaps: read.gaps,
                failed: None,
            }));
        }
        parts
    }
}

fn service(place: &Place, others: &[logs::Source], wanted: &str) -> Result<ServiceName, ToolError> {
    let lower = wanted.trim().to_lowercase();
    if let Some(exact) = others.iter().find(|o| o.service.as_str().to_lowercase() == lower) {
        return Ok(exact.service.clone());
    }
    let found = place.inventory.find_service(&place.customer.id, wanted);
    let mut begun: Vec<_> =
        others.iter().map(|o| &o.service).filter(|s| s.as_str().to_lowercase().starts_with(&lower)).collect();
    begun.dedup();
    match (found, begun.as_slice()) {
        (Ok(found), _) => Ok(found),
        (Err(_), [one]) if lower.len() >= 3 => Ok((*one).clone()),
        (Err(ToolError::UnknownId { what, given, mut known }), _) => {
            known.extend(others.iter().map(|o| o.service.to_string()));
            Err(ToolError::UnknownId { what, given, known })
        }
        (Err(ToolError::NothingFound(_)), _) if !others.is_empty() => Err(ToolError::UnknownId {
            what: "service",
            given: wanted.to_owned(),
            known: others.iter().map(|o| o.service.to_string()).collect(),
        }),
        (Err(e), _) => Err(e),
    }
}

async fn container(hosts: &DockerHosts, r: ContainerRef, ask: &Ask) -> Part {
    let read = match ask.lines {
        Some(lines) => scan(hosts, &r, ask, (Some(lines), None)).await.map(|(tally, _, broke)| {
            let gaps = broke.map(|why| format!("the log of {} is incomplete: {why}", r.name));
            (tally, Vec::from_iter(gaps))
        }),
        None => search(hosts, &r, ask).await,
    };
    let (tally, gaps, failed) = match read {
        Ok((tally, gaps)) => (tally, gaps, None),
        Err(e) => {
            let said = format!("the log of {} was not read: {e}", r.name);
            (Tally::new(ask.want.clone()), vec![said], Some(ToolError::from(e)))
        }
    };
    Part { label: r.service.to_string(), service: r.service, name: r.name, tally, gaps, failed }
}

/// Lets the log's last lines pass, then, if there are more, more of them: what a full read cannot bring to its end in
/// time then still has the newest.
async fn search(
    hosts: &DockerHosts,
    r: &ContainerRef,
    ask: &Ask,
) -> Result<(Tally, Vec<String>), DockerError> {
    let watch = Stopwatch::start();
    let tails = [Some(TAIL), ask.since.and(Some(LONG_TAIL)), None];
    let mut newest: Option<(Tally, u64)> = None;
    for (n, tail) in tails.into_iter().enumerate() {
        if n == 1 && tail.is_none() {
            continue;
        }
        let left = ask.within.saturating_sub(watch.elapsed());
        let why = match scan(hosts, r, ask, (tail, Some(left))).await {
            Ok((tally, seen, None)) => {
                if tail.is_none_or(|tail| seen < u64::from(tail)) {
                    return Ok((tally, vec![]));
                }
                newest = Some((tally, seen));
                continue;
            }
            Ok((tally, seen, Some(why))) if newest.is_none() => {
                let gap = format!("the log of {} is incomplete: {why} ({seen} lines were read)", r.name);
                return Ok((tally, vec![gap]));
            }
            Ok((_, _, Some(why))) => why,
            Err(e) if newest.is_none() => return Err(e),
            Err(e) => e.to_string(),
        };
        if let Some((tally, seen)) = newest {
            let cure = "ask for a shorter time with `since`";
            let gap = format!("only the last {seen} lines of {} were searched ({why}); {cure}", r.name);
            return Ok((tally, vec![gap]));
        }
    }
    Ok((Tally::new(ask.want.clone()), vec![]))
}

type Scanned = (Tally, u64, Option<String>);

async fn scan(
    hosts: &DockerHosts,
    r: &ContainerRef,
    ask: &Ask,
    (tail, within): (Option<u32>, Option<Duration>),
) -> Result<Scanned, DockerError> {
    let query = LogQuery { tail, since: ask.since, max_bytes: BYTES, within };
    let (tally, scan) = hosts
        .scan_log(r, &query, Tally::new(ask.want.clone()), |tally, line| {
            tally.line(Passing { text: line.text, length: line.length }, || line.at());
        })
        .await?;
    Ok((tally, scan.seen, scan.broke))
}
