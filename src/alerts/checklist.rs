//! What is looked at when an incident begins: a fixed list of reads for each kind of alert.

use serde_json::{Map, Value};

use crate::domain::{Alert, Args, Subject, ToolCall};

/// What kind of trouble an alert tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Prometheus itself may be gone.
    Watchdog,
    /// A certificate runs out.
    Certificate,
    /// A disk fills up.
    Disk,
    /// Memory runs out.
    Memory,
    /// Down, unhealthy or restarting.
    Down,
    /// Slow, or answering with errors.
    Slow,
    /// Anything else.
    Other,
}

/// The words that tell each kind, the first that is found wins.
const TELLING: &[(Trouble, &[&str])] = &[
    (Trouble::Watchdog, &["watchdog", "deadman"]),
    (Trouble::Certificate, &["cert", "tls", "ssl"]),
    (Trouble::Disk, &["disk", "filesystem", "inode", "volume"]),
    (Trouble::Memory, &["oom", "memory", "outofmemory", "swap"]),
    (
        Trouble::Down,
        &["down", "unhealthy", "restart", "crash", "died", "exit", "absent", "unreachable", "missing"],
    ),
    (
        Trouble::Slow,
        &["slow", "latency", "error", "5xx", "timeout", "saturat", "cpu", "load", "backlog", "lag"],
    ),
];

/// The kind of an incident's worst alert: by its name, else by what it says.
pub fn trouble(alerts: &[&Alert]) -> Trouble {
    let Some(worst) = alerts.first() else { return Trouble::Other };
    let name = worst.signal.labels.get("alertname").map(|n| n.to_lowercase()).unwrap_or_default();
    let said = worst.signal.annotations.get("summary").map(|s| s.to_lowercase()).unwrap_or_default();
    let of = |text: &str| TELLING.iter().find(|(_, words)| words.iter().any(|w| text.contains(w)));
    of(&name).or_else(|| of(&said)).map_or(Trouble::Other, |(kind, _)| *kind)
}

/// The reads, in their order.
pub fn checks(kind: Trouble, subject: &Subject, alerts: &[&Alert]) -> Vec<ToolCall> {
    let Some(customer) = &subject.customer else { return of_nobody(kind, subject, alerts) };
    let customer = ("customer_id", Value::from(customer.as_str()));
    let service = subject.service.as_ref().map(|s| ("service", Value::from(s.as_str())));
    let one = [customer.clone()];
    let mut place = vec![customer.clone()];
    place.extend(service);
    let with = |more: (&'static str, Value)| [place.clone(), vec![more]].concat();
    let of_all = |more: (&'static str, Value)| vec![customer.clone(), more];
    let status = call("get_container_status", &place);
    let logs = call("get_recent_logs", &with(("lines", 20.into())));
    let metrics = call("get_metrics", &of_all(("window", "1h".into())));
    let search = |pattern: &str| call("search_logs", &of_all(("pattern", pattern.into())));
    let overall = call("check_up", &one);
    match kind {
        Trouble::Watchdog => vec![call("query_prometheus", &[("query", "vector(1)".into())])],
        Trouble::Down | Trouble::Other => vec![status, logs, overall],
        Trouble::Memory => vec![status, metrics, search("out of memory"), overall],
        Trouble::Disk => vec![call("get_disk_usage", &one), logs, overall],
        Trouble::Certificate => vec![search("certificate"), overall],
        Trouble::Slow => vec![metrics, search("upstream"), logs, overall],
    }
}

/// What can be looked at without a customer.
fn of_nobody(kind: Trouble, subject: &Subject, alerts: &[&Alert]) -> Vec<ToolCall> {
    let query = |text: String| call("query_prometheus", &[("query", text.into())]);
    if kind == Trouble::Watchdog {
        return vec![query("vector(1)".into())];
    }
    let mut all = Vec::new();
    if let (Trouble::Disk, Some(host)) = (kind, &subject.host) {
        all.push(call("get_disk_usage", &[("host", host.as_str().into())]));
    }
    let instance = alerts.first().and_then(|a| a.signal.labels.get("instance"));
    all.extend(
        instance
            .map(|i| query(format!("up{{instance=\"{}\"}}", i.replace('\\', "\\\\").replace('"', "\\\"")))),
    );
    all
}

fn call(tool: &str, args: &[(&'static str, Value)]) -> ToolCall {
    let args: Map<_, _> = args.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    ToolCall { tool: tool.to_owned(), args: Args(args) }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::incident, *};

    #[test]
    fn each_kind_of_alert_has_its_list() {
        let table = [
            ("ContainerDown", Trouble::Down, "get_container_status get_recent_logs check_up"),
            ("ContainerRestarting", Trouble::Down, "get_container_status get_recent_logs check_up"),
            ("OutOfMemory", Trouble::Memory, "get_container_status get_metrics search_logs check_up"),
            ("DiskWillFill", Trouble::Disk, "get_disk_usage get_recent_logs check_up"),
            ("CertificateExpires", Trouble::Certificate, "search_logs check_up"),
            ("High5xxRate", Trouble::Slow, "get_metrics search_logs get_recent_logs check_up"),
            ("Watchdog", Trouble::Watchdog, "query_prometheus"),
            ("Odd", Trouble::Down, "get_container_status get_recent_logs check_up"),
        ];
        for (name, want, tools) in table {
            // What the summary says decides only where the name does not tell.
            let (incident, alerts) = incident(1, (Some("19"), Some("web")), &[&[("alertname", name)]]);
            let alerts: Vec<_> = alerts.iter().collect();
            let kind = trouble(&alerts);
            assert_eq!(kind, want, "{name}");
            let calls = checks(kind, &incident.subject, &alerts);
            let got: Vec<_> = calls.iter().map(|c| c.tool.as_str()).collect();
            assert_eq!(got.join(" "), tools, "{name}");
            assert!(
                calls.len() <= 8
                    && (kind == Trouble::Watchdog
                        || calls.iter().all(|c| c.args.text("customer_id").as_deref() == Some("19")))
            );
        }
    }

    #[test]
    fn without_a_customer_the_host_and_the_instance_are_looked_at() {
        let labels: &[(&str, &str)] = &[("alertname", "DiskFull"), ("instance", "h\"1:9100")];
        let (mut incident, alerts) = incident(1, (None, None), &[labels]);
        incident.subject.host = Some("alpha".into());
        let alerts: Vec<_> = alerts.iter().collect();
        let calls = checks(trouble(&alerts), &incident.subject, &alerts);
        let said: Vec<_> = calls.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            ["get_disk_usage(host=alpha)", r#"query_prometheus(query=up{instance="h\"1:9100"})"#]
        );
        assert!(checks(Trouble::Other, &Subject::default(), &[]).is_empty());
    }
}
