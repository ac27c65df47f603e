//! Incidents at a phone: real signals through the real pager to the emulated Telegram, and what a person finally sees.

mod cards;
mod faults;
mod people;
mod storm;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use opsbot::{
    alerts::{CardRules, Reach, Settings},
    domain::{Action, Chart, IncidentId, Labels, Severity, Signal, SignalSource, Subject, outbound::Series},
    pager::{Pager, Setup},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::rig::{ANNA, GROUP, Line, Phone, SOON};
use crate::fake::telegram::Shown;

/// What marks a copy that may be a second one.
const MARK: &str = "↻ Possibly a repeat";

/// A phone whose bot pages, and the desk behind it.
struct Watch {
    phone: Phone,
    pager: Pager,
    stop: CancellationToken,
    task: JoinHandle<Result<(), String>>,
    paged: Vec<i64>,
}

/// Chats that are paged at once, in this order of the ladder.
async fn watch(line: Line, paged: &[i64]) -> Watch {
    let mut phone = line.plain().await;
    phone.disconnect().await;
    let (pager, stop, task) = desk(&phone, paged).await;
    phone.pager = Some(pager.clone());
    phone.connect().await;
    Watch { phone, pager, stop, task, paged: paged.to_vec() }
}

async fn desk(phone: &Phone, paged: &[i64]) -> (Pager, CancellationToken, JoinHandle<Result<(), String>>) {
    let store = phone.world.engine.store().clone();
    let pager = Pager::open(store, setup(paged), phone.counters.clone()).await.unwrap();
    let (runs, stop) = (pager.clone(), CancellationToken::new());
    let token = stop.clone();
    let task = tokio::spawn(async move { runs.run(token).await });
    (pager, stop, task)
}

fn setup(paged: &[i64]) -> Setup {
    let reach = Reach { step: 0, at_least: Severity::Info, during: None };
    let places = paged.iter().map(|chat| (format!("telegram:{chat}:0"), vec![reach.clone()]));
    Setup {
        settings: Settings {
            group_by: vec!["customer".into(), "service".into()],
            group_wait: Duration::ZERO,
            hold_down: Duration::from_millis(300),
            flapping: (50, Duration::from_secs(60)),
            ack_lifetime: Duration::from_secs(3600),
            ladder: vec![Duration::ZERO],
            quiet: None,
            inhibit: vec![],
            zone: TimeZone::UTC,
            cards: CardRules {
                runbook_hosts: vec!["wiki.example".into()],
                customer: Arc::new(|id| format!("{id} Bloom Flowers")),
                suggest: Arc::new(|_, _| vec![]),
            },
        },
        places: places.collect::<BTreeMap<_, _>>(),
        storm_above: 10,
        subject: Arc::new(|labels: &Labels| Subject {
            customer: labels.get("customer").map(|id| id.as_str().into()),
            service: labels.get("service").map(|name| name.as_str().into()),
            host: None,
        }),
    }
}

impl Watch {
    /// A process that ends in the middle of everything, and its successor.
    async fn crash(&mut self) {
        self.task.abort();
        self.phone.crash().await;
        let (pager, stop, task) = desk(&self.phone, &self.paged).await;
        (self.pager, self.stop, self.task) = (pager.clone(), stop, task);
        self.phone.pager = Some(pager);
        self.phone.connect().await;
    }

    /// An alert of a customer's web fires or is over.
    async fn report(&self, customer: usize, severity: &str, firing: bool) {
        self.pager.take(vec![signal(customer, severity, firing)]).await.unwrap();
    }

    /// The number of the customer's incident.
    fn incident(&self, customer: usize) -> IncidentId {
        let whose = format!("{customer}");
        let find = |desk: &opsbot::alerts::Desk| {
            let mut open = desk.open().into_iter();
            open.find(|i| i.subject.customer.as_ref().is_some_and(|c| c.as_str() == whose)).map(|i| i.id)
        };
        self.pager.look(find).unwrap()
    }

    /// Waits until the pager knows that this message is a card, or that it is none any more.
    async fn knows(&self, card: &Shown, stands: bool) {
        let place = format!("telegram:{}:0", card.chat);
        let known = || {
            let name = |mark: &&str| self.pager.incident_at(&place, &format!("{}{mark}", card.id)).is_some();
            ["", "p", "c"].iter().any(name)
        };
        let mut changes = self.pager.changes();
        let waited = async {
            while known() != stands {
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(SOON, waited).await.expect("the pager does not learn it");
    }

    /// What was found out comes with a chart.
    async fn draw(&self, customer: usize) {
        let incident = self.incident(customer);
        let found = Action::Found { incident, findings: vec![], chart: Some(chart()) };
        self.pager.act(found, None).await.unwrap();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.cancel();
        self.task.abort();
    }
}

fn signal(customer: usize, severity: &str, firing: bool) -> Signal {
    let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let whose = customer.to_string();
    let labels = [
        ("alertname", "HighErrorRate"),
        ("severity", severity),
        ("customer", whose.as_str()),
        ("service", "web"),
    ];
    let summary =
        format!("customer {customer} is broken, see https://evil.example/x or /restart_container 19");
    let now = Timestamp::now();
    Signal {
        source: SignalSource::Webhook,
        labels: labels.map(pair).into(),
        annotations: [pair(("summary", summary.as_str())), pair(("runbook_url", "https://wiki.example/web"))]
            .into(),
        firing,
        starts_at: now - SignedDuration::from_mins(1),
        ends_at: (!firing).then_some(now),
        generator_url: None,
        value: Some(0.34),
        excerpt: None,
    }
}

fn chart() -> Chart {
    let at = |n: i64| Timestamp::from_second(1_795_000_000 + n * 60).unwrap();
    let points = (0..30).map(|n| (at(n), n as f64)).collect();
    let series = vec![Series { name: "web".into(), points }];
    Chart { title: "Errors".into(), unit: "%".into(), series, threshold: Some(5.0) }
}

/// Limits as Telegram's own for a group, so that a storm meets them.
fn group_line() -> Line {
    let mut line = Line::default();
    line.limits.group_per_minute = 20;
    line
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_pager_the_channel_answers_as_ever() {
    let phone = Line::default().plain().await;
    phone.telegram.say(ANNA, ANNA, "/check_up 19");
    phone.sees(ANNA, "upstream timed out").await;
    assert_eq!(phone.copies(GROUP, "CRITICAL"), 0);
}
