//! Resource use from two samples of the engine's counters.

use jiff::Timestamp;

use super::{info::read_time, wire};

/// What a running container uses.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerStats {
    /// When the second sample was taken.
    pub at: Timestamp,
    /// Processor use in percent of one core; more than 100 on several.
    pub cpu_percent: Option<f64>,
    /// The host's cores.
    pub cores: Option<u32>,
    /// Memory without the page cache, in bytes.
    pub memory: Option<u64>,
    /// The memory limit in bytes: the container's own, else the host's memory.
    pub memory_limit: Option<u64>,
    /// Bytes received per second; none without a network.
    pub rx_per_second: Option<f64>,
    /// Bytes sent per second; none without a network.
    pub tx_per_second: Option<f64>,
}

impl ContainerStats {
    /// None where the container does not run: the engine then answers with zeros.
    pub(super) fn between(first: &wire::Sample, second: &wire::Sample) -> Option<Self> {
        let at = read_time(&second.read)?;
        let seconds = read_time(&first.read).map(|t| at.duration_since(t).as_secs_f64()).filter(|s| *s > 0.0);
        let memory = second.memory_stats.usage.map(|usage| {
            let stats = second.memory_stats.stats.as_ref();
            let cache = stats.and_then(|s| s.get("total_inactive_file").or_else(|| s.get("inactive_file")));
            usage.saturating_sub(cache.copied().unwrap_or(0))
        });
        if memory.is_none() && second.cpu_stats.cpu_usage.total_usage == 0 {
            return None;
        }
        let traffic = |sample: &wire::Sample, pick: fn(&wire::Network) -> u64| {
            sample.networks.as_ref().map(|n| n.values().map(pick).sum::<u64>())
        };
        let rate = |pick| {
            let grown = traffic(second, pick)?.checked_sub(traffic(first, pick)?)?;
            Some(grown as f64 / seconds?)
        };
        Some(Self {
            at,
            cpu_percent: cpu_percent(&first.cpu_stats, &second.cpu_stats),
            cores: second.cpu_stats.online_cpus,
            memory,
            memory_limit: second.memory_stats.limit.filter(|l| *l > 0),
            rx_per_second: rate(|n| n.rx_bytes),
            tx_per_second: rate(|n| n.tx_bytes),
        })
    }
}

fn cpu_percent(first: &wire::Cpu, second: &wire::Cpu) -> Option<f64> {
    let used = second.cpu_usage.total_usage.checked_sub(first.cpu_usage.total_usage)?;
    let system = second.system_cpu_usage?.checked_sub(first.system_cpu_usage?).filter(|s| *s > 0)?;
    Some(used as f64 / system as f64 * f64::from(second.online_cpus.unwrap_or(1).max(1)) * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(read: &str, cpu: u64, system: u64, rx: u64) -> wire::Sample {
        serde_json::from_str(&format!(
            r#"{{"read":"{read}","cpu_stats":{{"cpu_usage":{{"total_usage":{cpu}}},"system_cpu_usage":{system},
            "online_cpus":2}},"memory_stats":{{"usage":1000,"limit":4000,"stats":{{"total_inactive_file":300}}}},
            "networks":{{"eth0":{{"rx_bytes":{rx},"tx_bytes":0}}}}}}"#
        ))
        .unwrap()
    }

    #[test]
    fn two_samples_make_rates() {
        let first = sample("2026-11-21T10:00:00Z", 100, 1000, 50);
        let second = sample("2026-11-21T10:00:02Z", 200, 2000, 450);
        let stats = ContainerStats::between(&first, &second).unwrap();
        assert_eq!(stats.cpu_percent, Some(20.0));
        assert_eq!((stats.memory, stats.memory_limit), (Some(700), Some(4000)));
        assert_eq!((stats.rx_per_second, stats.tx_per_second), (Some(200.0), Some(0.0)));
    }

    #[test]
    fn zeros_of_a_stopped_container_are_nothing_and_a_restart_between_is_no_rate() {
        let zero: wire::Sample = serde_json::from_str(r#"{"read":"0001-01-01T00:00:00Z"}"#).unwrap();
        assert_eq!(ContainerStats::between(&zero, &zero), None);
        let first = sample("2026-11-21T10:00:00Z", 500, 1000, 50);
        let second = sample("2026-11-21T10:00:02Z", 10, 2000, 5);
        let stats = ContainerStats::between(&first, &second).unwrap();
        assert_eq!((stats.cpu_percent, stats.rx_per_second), (None, None));
    }
}
