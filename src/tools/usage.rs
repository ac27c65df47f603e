//! Docker's own statistics as metric samples, for where Prometheus has none.

use futures::{StreamExt, stream};

use super::evidence::MetricSample;
use crate::{
    docker::{ContainerStats, DockerError, DockerHosts},
    domain::{ContainerRef, ServiceName, ToolError},
};

/// How many containers are measured at once; each takes a second.
const AT_ONCE: usize = 8;

/// What the running ones of these containers use right now; those that do not run have no samples.
///
/// # Errors
/// The first failure, when no container could be measured.
pub async fn docker_samples(
    hosts: &DockerHosts,
    all: &[ContainerRef],
) -> Result<Vec<MetricSample>, ToolError> {
    let look = |r: ContainerRef| async move {
        let stats = hosts.stats(&r).await;
        (r.service, stats)
    };
    let mut answers = stream::iter(all.to_vec()).map(look).buffered(AT_ONCE);
    let mut samples = Vec::new();
    let mut failure: Option<DockerError> = None;
    let mut answered = false;
    while let Some((service, stats)) = answers.next().await {
        match stats {
            Ok(stats) => {
                answered = true;
                samples.extend(stats.iter().flat_map(|s| samples_of(&service, s)));
            }
            Err(e) => failure = failure.or(Some(e)),
        }
    }
    match failure {
        Some(e) if !answered => Err(e.into()),
        _ => Ok(samples),
    }
}

fn samples_of(service: &ServiceName, s: &ContainerStats) -> Vec<MetricSample> {
    let sample = |name, unit, now: Option<f64>, limit| {
        now.map(|now| MetricSample {
            service: service.clone(),
            name,
            unit,
            now,
            limit,
            source: "docker stats",
        })
    };
    let cores = s.cores.map(|n| f64::from(n) * 100.0);
    let values = [
        sample("cpu", "%", s.cpu_percent, cores),
        sample("memory", "B", s.memory.map(|n| n as f64), s.memory_limit.map(|n| n as f64)),
        sample("network_rx", "B/s", s.rx_per_second, None),
        sample("network_tx", "B/s", s.tx_per_second, None),
    ];
    values.into_iter().flatten().collect()
}
