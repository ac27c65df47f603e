//! The tool `list_active_alerts`: what is wrong, worst first, from the desk or from Prometheus; and the tools over the desk.

mod acts;
pub mod chart;
mod desk;
mod incidents;

use std::{cmp::Reverse, collections::BTreeMap, fmt, fmt::Write, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

pub use acts::{AckAlert, SilenceAlert};
pub use desk::DeskTools;
pub use incidents::{AlertHistory, GetIncident, WhoIsOnCall};

use super::{evidence::AlertSample, playbooks};
use crate::{
    agent::port::{RunContext, Tool},
    alerts::tell,
    domain::{
        Args, Block, CustomerId, Outcome, ResolvedCall, Risk, ServiceName, Target, ToolCall, ToolError,
        ToolOutput, ToolSpec, Untrusted,
    },
    playbook::Playbooks,
    policy::Permit,
    prometheus::{AlertRecord, Prometheus},
};

/// The alert that always fires, to show that alerting works.
const WATCHDOG: &str = "Watchdog";
const MAX_SHOWN: usize = 50;
const MAX_SUGGESTED: usize = 3;
const MAX_LABEL: usize = 80;
const MAX_SUMMARY: usize = 240;

/// Which labels of an alert name its customer and its service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelNames {
    /// The customer's label.
    pub customer: String,
    /// The service's label.
    pub service: String,
}

impl Default for LabelNames {
    /// `customer` and `service`.
    fn default() -> Self {
        Self { customer: "customer".into(), service: "service".into() }
    }
}

/// `list_active_alerts()`.
pub struct ListActiveAlerts {
    spec: ToolSpec,
    prometheus: Option<Prometheus>,
    labels: LabelNames,
    playbooks: Arc<Playbooks>,
    desk: Option<DeskTools>,
}

impl fmt::Debug for ListActiveAlerts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListActiveAlerts").field("prometheus", &self.prometheus).finish_non_exhaustive()
    }
}

impl ListActiveAlerts {
    /// The tool; without a Prometheus it says what to configure.
    pub fn new(prometheus: Option<Prometheus>, labels: LabelNames, playbooks: Arc<Playbooks>) -> Self {
        Self { spec: Self::known(), prometheus, labels, playbooks, desk: None }
    }

    /// The same over the desk, which knows more than Prometheus alone.
    pub fn over(self, desk: Option<DeskTools>) -> Self {
        Self { desk, ..self }
    }

    /// What is known of it before there are playbooks.
    pub fn known() -> ToolSpec {
        ToolSpec {
            name: "list_active_alerts",
            summary: "All firing and pending alerts, worst first.",
            params: Vec::new(),
            floor: Risk::Safe,
            default: Risk::Safe,
            phrases: &[
                "what is firing",
                "any alerts",
                "current alerts",
                "open alerts",
                "which alerts",
                "active alerts",
                "is anything firing",
                "alerts right now",
            ],
            untrusted: true,
            timeout: Duration::from_secs(15),
        }
    }

    /// Reads and shows the alerts; changes nothing.
    ///
    /// # Errors
    /// [`ToolError::BackendDown`] when Prometheus is not configured or does not answer.
    pub async fn report(&self, now: Timestamp) -> Result<ToolOutput, ToolError> {
        if let Some(desk) = &self.desk {
            return Ok(self.report_desk(desk, now));
        }
        let prometheus = self.prometheus.as_ref().ok_or_else(|| ToolError::BackendDown {
            backend: "Prometheus".into(),
            detail: "none is configured".into(),
            cure: "Set [prometheus] url",
        })?;
        let records = prometheus.alerts().await?;
        let labels = records.iter().filter(|r| r.state == "firing").map(plain_labels).collect::<Vec<_>>();
        let mut output = render(&select(records, &self.labels, None), now);
        self.suggest(&labels, &mut output);
        Ok(output)
    }

    /// The open incidents, worst first.
    fn report_desk(&self, tools: &DeskTools, now: Timestamp) -> ToolOutput {
        let times = tools.times(now);
        let (mut output, labels) = tools.pager.look(|desk| {
            let open: Vec<_> = desk.open().into_iter().map(|i| (i, desk.alerts_of(i.id))).collect();
            let firing = open.iter().flat_map(|(_, alerts)| alerts).filter(|a| a.signal.firing);
            let labels: Vec<_> = firing.map(|a| a.signal.labels.clone()).take(MAX_SHOWN).collect();
            let summary = match open.len() {
                0 => "Nothing fires: no incident is open.".to_owned(),
                n => format!("{n} open incidents."),
            };
            let mut text = format!("{summary}\n");
            for (incident, alerts) in open.iter().take(MAX_SHOWN) {
                writeln!(text, "incident {}", tell::summary(incident, alerts, &times)).ok();
            }
            let mut blocks = vec![Block::text(&summary)];
            if !open.is_empty() {
                let more = open.len().saturating_sub(tell::MOST);
                let title = if more > 0 {
                    format!("The worst {} of {}", tell::MOST, open.len())
                } else {
                    "Open incidents".into()
                };
                blocks.push(tell::table(&title, &open, &times));
            }
            (ToolOutput { outcome: Outcome::Ok, summary, text, blocks }, labels)
        });
        self.suggest(&labels, &mut output);
        output
    }

    fn suggest(&self, labels: &[BTreeMap<String, String>], output: &mut ToolOutput) {
        let runs = playbooks::suggestions(&self.playbooks, labels, &self.labels.customer);
        if !runs.is_empty() {
            let buttons = runs.into_iter().take(MAX_SUGGESTED).map(|run| (run.clone(), run)).collect();
            output.blocks.push(Block::Buttons { title: "Playbooks for these alerts:".into(), buttons });
        }
    }
}

#[async_trait]
impl Tool for ListActiveAlerts {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn resolve(&self, _call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        let call = ToolCall { tool: self.spec.name.into(), args: Args::default() };
        Ok(ResolvedCall { call, target: Target::default(), plan: vec![], steps: vec![] })
    }

    async fn call(&self, _permit: Permit, cx: &RunContext) -> Result<ToolOutput, ToolError> {
        self.report(cx.now).await
    }
}

/// The tools over the desk besides `list_active_alerts`.
pub fn over_desk(desk: &DeskTools) -> Vec<Arc<dyn Tool>> {
    vec![
        Arc::new(GetIncident::new(desk.clone())),
        Arc::new(AlertHistory::new(desk.clone())),
        Arc::new(AckAlert::new(desk.clone())),
        Arc::new(SilenceAlert::new(desk.clone())),
        Arc::new(WhoIsOnCall::new(desk.clone())),
    ]
}

/// All firing and pending alerts, of one customer or of all, worst and oldest first.
///
/// # Errors
/// [`ToolError::BackendDown`] when Prometheus does not answer.
pub async fn collect(
    prometheus: &Prometheus,
    labels: &LabelNames,
    customer: Option<&CustomerId>,
) -> Result<Vec<AlertSample>, ToolError> {
    Ok(select(prometheus.alerts().await?, labels, customer))
}

fn plain_labels(record: &AlertRecord) -> BTreeMap<String, String> {
    record.labels.iter().map(|(name, value)| (name.clone(), value.as_str().to_owned())).collect()
}

fn select(records: Vec<AlertRecord>, labels: &LabelNames, customer: Option<&CustomerId>) -> Vec<AlertSample> {
    let mut alerts: Vec<_> = records
        .into_iter()
        .filter(|record| matches!(record.state.as_str(), "firing" | "pending"))
        .map(|record| sample(&record, labels))
        .filter(|alert| alert.name != WATCHDOG && (customer.is_none() || alert.customer.as_ref() == customer))
        .collect();
    alerts.sort_by(|a, b| order(a).cmp(&order(b)));
    alerts
}

fn order(alert: &AlertSample) -> impl Ord + '_ {
    let since = alert.since.unwrap_or(Timestamp::MAX);
    (Reverse(weight(&alert.severity)), alert.state != "firing", since, alert.name.as_str(), &alert.customer)
}

/// How bad a severity label is; what nobody knows stands between warning and info.
fn weight(severity: &str) -> u8 {
    match severity.to_ascii_lowercase().as_str() {
        "critical" | "page" | "disaster" | "fatal" | "emergency" => 5,
        "error" | "major" | "high" => 4,
        "warning" | "warn" | "average" | "minor" => 3,
        "info" | "information" | "notice" | "low" => 1,
        "none" => 0,
        _ => 2,
    }
}

fn sample(record: &AlertRecord, labels: &LabelNames) -> AlertSample {
    let label = |name: &str| record.labels.get(name).map(|value| line(value, MAX_LABEL)).unwrap_or_default();
    let named = |name: &str| Some(label(name)).filter(|value| !value.is_empty());
    let told = ["summary", "description", "message"];
    let summary = told.iter().find_map(|name| record.annotations.get(*name));
    AlertSample {
        name: label("alertname"),
        severity: label("severity"),
        state: record.state.clone(),
        customer: named(&labels.customer).map(CustomerId::new),
        service: named(&labels.service).map(ServiceName::new),
        since: record.since,
        summary: Untrusted::new(&summary.map(|text| line(text, MAX_SUMMARY)).unwrap_or_default()),
        value: number(&record.value),
    }
}

/// Foreign text as one short line.
fn line(text: &Untrusted, max: usize) -> String {
    // What is cut away anyway is not worth joining; the cut after that is the exact one.
    let words = text.cut(max * 4).as_str().split_whitespace().collect::<Vec<_>>().join(" ");
    Untrusted::new(&words).cut(max).as_str().to_owned()
}

fn number(text: &str) -> String {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => {
            let short = if value.abs() < 1e15 { format!("{value:.3}") } else { format!("{value:e}") };
            if short.contains('.') {
                short.trim_end_matches('0').trim_end_matches('.').to_owned()
            } else {
                short
            }
        }
        Ok(value) => value.to_string(),
        Err(_) => line(&Untrusted::new(text), 24),
    }
}

fn render(alerts: &[AlertSample], now: Timestamp) -> ToolOutput {
    let firing = alerts.iter().filter(|alert| alert.state == "firing").count();
    let pending = alerts.len() - firing;
    let summary = match alerts.len() {
        0 => "No alert is firing or pending.".to_owned(),
        _ => format!("{firing} firing and {pending} pending alerts."),
    };
    let mut text = format!("{summary}\n");
    let mut rows = Vec::new();
    for alert in alerts.iter().take(MAX_SHOWN) {
        let or_dash = |text: Option<&str>| text.filter(|t| !t.is_empty()).unwrap_or("–").to_owned();
        let customer = or_dash(alert.customer.as_ref().map(CustomerId::as_str));
        let service = or_dash(alert.service.as_ref().map(ServiceName::as_str));
        let severity = or_dash(Some(&alert.severity));
        let since = alert.since.map(|since| age(since, now)).unwrap_or_else(|| "–".into());
        // Writing to a String cannot fail.
        writeln!(
            text,
            "[{severity}] {} {} customer={customer} service={service} since {} ({since}) value={}: {}",
            alert.name,
            alert.state,
            alert.since.map(|at| format!("{at:.0}")).unwrap_or_default(),
            alert.value,
            alert.summary
        )
        .ok();
        let summary = alert.summary.to_string();
        rows.push(vec![severity, alert.name.clone(), alert.state.clone(), customer, service, since, summary]);
    }
    let omitted = alerts.len().saturating_sub(MAX_SHOWN);
    if omitted > 0 {
        writeln!(text, "and {omitted} more").ok();
    }
    let mut blocks = vec![Block::text(&summary)];
    if !rows.is_empty() {
        let columns = ["severity", "alert", "state", "customer", "service", "for", "summary"];
        let title = (omitted > 0).then(|| format!("The worst {MAX_SHOWN} of {} alerts", alerts.len()));
        blocks.push(Block::Table { title, columns: columns.map(str::to_owned).to_vec(), rows });
    }
    ToolOutput { outcome: Outcome::Ok, summary, text, blocks }
}

fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs().max(0);
    let coarse = match seconds {
        0..=119 => seconds,
        120..=7199 => seconds / 60 * 60,
        _ => seconds / 3600 * 3600,
    };
    format!("{:#}", SignedDuration::from_secs(coarse)).replace(' ', "")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(name: &str, severity: &str, state: &str, since: Option<i64>) -> AlertRecord {
        let since = since.map(|s| Timestamp::from_second(s).unwrap().to_string());
        serde_json::from_value(json!({
            "labels": {"alertname": name, "severity": severity, "kunde": "19", "service": "web"},
            "annotations": {"summary": format!("{name}\n is \u{1b}[31mred {}", "x".repeat(400))},
            "state": state, "activeAt": since, "value": "1.25e+01"
        }))
        .unwrap()
    }

    #[test]
    fn the_worst_and_oldest_come_first_and_the_watchdog_never() {
        let labels = LabelNames { customer: "kunde".into(), ..LabelNames::default() };
        let records = vec![
            record("Watchdog", "none", "firing", Some(1)),
            record("Info", "info", "firing", Some(1)),
            record("Odd", "", "firing", Some(1)),
            record("NewCritical", "Critical", "firing", Some(50)),
            record("OldCritical", "critical", "firing", Some(40)),
            record("Soon", "critical", "pending", Some(10)),
            record("Ageless", "critical", "firing", None),
            record("Warn", "warning", "firing", Some(1)),
            record("Past", "critical", "inactive", Some(1)),
        ];
        let got = select(records.clone(), &labels, None);
        let names: Vec<_> = got.iter().map(|a| a.name.as_str()).collect();
        assert_eq!(names, ["OldCritical", "NewCritical", "Ageless", "Soon", "Warn", "Odd", "Info"]);
        let first = &got[0];
        assert_eq!(
            (first.customer.as_ref().map(CustomerId::as_str), first.value.as_str()),
            (Some("19"), "12.5")
        );
        assert!(first.summary.as_str().starts_with("OldCritical is red xxx"), "{}", first.summary);
        assert!(first.summary.as_str().len() <= MAX_SUMMARY && first.summary.as_str().ends_with('…'));
        assert_eq!(select(records.clone(), &labels, Some(&"19".into())).len(), 7);
        assert_eq!(select(records.clone(), &labels, Some(&"1".into())).len(), 0);
        assert_eq!(select(records, &LabelNames::default(), Some(&"19".into())).len(), 0);
    }

    #[test]
    fn no_alert_is_good_news_and_many_are_counted() {
        let now = Timestamp::from_second(8000).unwrap();
        let none = render(&[], now);
        assert_eq!((none.text.as_str(), none.blocks.len()), ("No alert is firing or pending.\n", 1));
        let records =
            (0..60).map(|n| record(&format!("A{n:02}"), "critical", "firing", Some(500 + n))).collect();
        let alerts = select(records, &LabelNames::default(), None);
        let out = render(&alerts, now);
        assert_eq!(out.summary, "60 firing and 0 pending alerts.");
        assert!(out.text.ends_with("and 10 more\n"), "{}", out.text);
        let second =
            "[critical] A00 firing customer=– service=web since 1970-01-01T00:08:20Z (2h) value=12.5: A00 is";
        assert!(out.text.lines().nth(1).unwrap().starts_with(second), "{}", out.text);
        let Some(Block::Table { rows, columns, .. }) = out.blocks.get(1) else { panic!("{:?}", out.blocks) };
        assert!(rows.len() == 50 && rows.iter().all(|row| row.len() == columns.len()));
    }

    #[test]
    fn numbers_and_ages_are_short() {
        for (text, want) in [
            ("1e+00", "1"),
            ("-0.1234567", "-0.123"),
            ("NaN", "NaN"),
            ("+Inf", "inf"),
            ("100", "100"),
            ("2e20", "2e20"),
        ] {
            assert_eq!(number(text), want);
        }
        for (seconds, want) in [(0, "0s"), (119, "119s"), (150, "2m"), (7300, "2h"), (180_000, "50h")] {
            let now = Timestamp::from_second(1_000_000).unwrap();
            let since = Timestamp::from_second(1_000_000 - seconds).unwrap();
            assert_eq!(age(since, now).replace("1m59s", "119s"), want);
        }
    }
}
