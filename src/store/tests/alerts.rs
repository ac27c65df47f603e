//! Incidents, alerts, silences and cards: a group is kept as a whole, reads back as it was, and ends when it is too old.

use super::*;
use crate::{
    alerts::{BoardRow, Page, Storm},
    domain::{
        Alert, EventKind, Fingerprint, Incident, IncidentEvent, IncidentId, IncidentState, Labels, Matcher,
        Severity, Signal, SignalSource, Silence, SilenceId, Subject,
    },
    store::{AlertRows, IncidentQuery, StoreError},
};

pub(super) fn incident(id: i64, customer: Option<&str>) -> Incident {
    Incident {
        id: IncidentId(id),
        key: format!("customer={}", customer.unwrap_or_default()),
        subject: Subject { customer: customer.map(Into::into), ..Subject::default() },
        severity: Severity::Critical,
        state: IncidentState::Firing,
        mute: None,
        flapping: false,
        ack: None,
        opened_at: at(id),
        changed_at: at(id),
        resolved_at: None,
        due_at: Some(at(id)),
        rings: 1,
        step: 0,
        revision: 1,
        findings: vec![],
    }
}

fn over(id: i64, customer: Option<&str>, resolved: i64) -> Incident {
    let (state, resolved_at) = (IncidentState::Resolved, Some(at(resolved)));
    Incident { state, resolved_at, revision: 2, ..incident(id, customer) }
}

pub(super) fn alert(incident: i64, instance: &str) -> Alert {
    let labels = [("alertname", "Down"), ("instance", instance)];
    let labels: Labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Alert {
        fingerprint: Fingerprint::of(&labels),
        incident: IncidentId(incident),
        signal: Signal {
            source: SignalSource::Api,
            labels,
            annotations: [("summary".to_owned(), "it's \"down\" \u{0} ä".to_owned())].into(),
            firing: true,
            starts_at: at(incident),
            ends_at: None,
            generator_url: None,
            value: Some(0.5),
            excerpt: None,
        },
        severity: Severity::Critical,
        seen_at: at(incident),
    }
}

pub(super) fn event(incident: i64, text: &str) -> IncidentEvent {
    IncidentEvent {
        incident: IncidentId(incident),
        at: at(incident),
        kind: EventKind::Opened,
        text: text.into(),
    }
}

fn silence(id: i64, ends: i64) -> Silence {
    let matcher = Matcher { name: "job".into(), value: "web|db".into(), is_regex: true, is_equal: true };
    let (by, comment) = ("anna".to_owned(), "deploy".to_owned());
    Silence { id: SilenceId(id), matchers: vec![matcher], starts_at: at(0), ends_at: at(ends), by, comment }
}

pub(super) fn page(incident: i64, message: &str, shown: u64) -> BoardRow {
    let message = Some(message.to_owned());
    BoardRow::Page(Page { incident: IncidentId(incident), message, begun: 0, shown, rings: 1, failed: None })
}

fn storm(first: i64, last: i64, over: bool) -> BoardRow {
    let (first, last) = (IncidentId(first), IncidentId(last));
    let (message, shown_at, since) = (Some("9".to_owned()), Some(at(9)), Some(at(8)));
    BoardRow::Storm(Storm { first, last, message, begun: 0, shown: 7, shown_at, over, resolved: 0, since })
}

/// Writes these rows; incidents only where nothing else is given.
#[derive(Default)]
struct Group {
    incidents: Vec<Incident>,
    alerts: Vec<Alert>,
    silences: Vec<Silence>,
    events: Vec<IncidentEvent>,
    boards: Vec<(&'static str, BoardRow)>,
    audit: Vec<AuditEntry>,
}

impl Group {
    async fn write(&self, store: &Store) -> Result<(), StoreError> {
        let rows = AlertRows {
            incidents: self.incidents.iter().collect(),
            alerts: self.alerts.iter().collect(),
            silences: self.silences.iter().collect(),
            events: self.events.iter().collect(),
            boards: self.boards.iter().map(|(place, row)| (*place, row)).collect(),
            audit: self.audit.iter().collect(),
        };
        store.alerts_commit(&rows).await
    }
}

async fn with(incidents: Vec<Incident>) -> Store {
    let store = memory().await;
    Group { incidents, ..Group::default() }.write(&store).await.unwrap();
    store
}

fn ids(incidents: &[Incident]) -> Vec<i64> {
    incidents.iter().map(|incident| incident.id.0).collect()
}

#[tokio::test]
async fn a_group_reads_back_as_it_was_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    // More than the largest statement takes, and what is left over.
    let mut group = Group {
        incidents: (1..=300).map(|id| incident(id, Some("19"))).collect(),
        alerts: (1..=300).flat_map(|id| [alert(id, "a"), alert(id, "b")]).collect(),
        silences: vec![silence(4, 50), silence(7, 2000)],
        events: (1..=300).map(|id| event(id, "opened")).collect(),
        boards: vec![("telegram:1:0", page(1, "5", 1)), ("telegram:2:0", storm(1, 300, false))],
        audit: vec![entry(AuditKind::Alert, "took incident 1")],
    };
    group.write(&store).await.unwrap();
    // Changed rows replace, events are added.
    group.incidents[0].state = IncidentState::Acked;
    group.incidents[1] = over(2, Some("19"), 900);
    group.alerts[0].signal.firing = false;
    group.write(&store).await.unwrap();
    store.close().await.unwrap();

    let store = open(dir.path()).await;
    let kept = store.alerts_restore(at(1000)).await.unwrap();
    let open_ones: Vec<_> = group.incidents.iter().filter(|i| i.id.0 != 2).cloned().collect();
    assert_eq!(kept.incidents, open_ones);
    let key = |alert: &Alert| (alert.incident, alert.fingerprint);
    let (mut got, mut want) = (kept.alerts, group.alerts.clone());
    want.retain(|alert| alert.incident.0 != 2);
    got.sort_by_key(key);
    want.sort_by_key(key);
    assert_eq!(got, want);
    assert_eq!(kept.silences, [silence(7, 2000)], "the other one ended before");
    assert_eq!((kept.last_incident, kept.last_silence), (300, 7));
    let (story, events) = store.incident_story(IncidentId(2)).await.unwrap().unwrap();
    assert_eq!((story, events), (over(2, Some("19"), 900), vec![event(2, "opened"), event(2, "opened")]));
    assert_eq!(store.incident_story(IncidentId(301)).await.unwrap(), None);
    assert_eq!(store.audit_tail(9).await.unwrap().len(), 2);
    let boards = store.boards(at(1000)).await.unwrap();
    assert_eq!(boards.keys().collect::<Vec<_>>(), ["telegram:1:0", "telegram:2:0"]);
    assert_eq!(boards["telegram:1:0"].pages.len(), 1);
    assert_eq!(boards["telegram:2:0"].storms.len(), 1);
}

#[tokio::test]
async fn an_incident_that_is_over_is_restored_until_its_cards_say_so() {
    let store =
        with(vec![over(1, None, 100), over(2, None, 100), over(3, None, 100), over(4, None, 5)]).await;
    let boards = vec![
        ("a", page(1, "1", 2)),
        ("b", page(1, "2", 1)),
        ("a", page(2, "3", 2)),
        ("a", page(4, "4", 1)),
        ("a", storm(1, 3, true)),
        ("a", storm(5, 6, true)),
        ("b", storm(2, 3, false)),
        ("b", storm(7, 9, true)),
    ];
    Group { boards, ..Group::default() }.write(&store).await.unwrap();
    let kept = store.alerts_restore(at(50)).await.unwrap();
    assert_eq!(ids(&kept.incidents), [1], "only one card is not true, the last one's is given up");
    let boards = store.boards(at(50)).await.unwrap();
    let shape = |place: &str| {
        let board = &boards[place];
        let mut pages: Vec<_> = board.pages.iter().map(|page| page.incident.0).collect();
        pages.sort_unstable();
        (pages, board.storms.iter().map(|storm| storm.first.0).collect::<Vec<_>>())
    };
    assert_eq!(shape("a"), (vec![1, 2], vec![5]));
    assert_eq!(shape("b"), (vec![1], vec![2, 7]));
}

#[tokio::test]
async fn history_is_asked_by_customer_and_time() {
    let (one, two) = (Some("19"), Some("20"));
    let all =
        vec![over(10, one, 50), over(20, two, 60), incident(30, one), over(40, None, 90), over(70, one, 80)];
    let store = with(all).await;
    // customer, since, until, most → numbers
    for (customer, since, until, most, want) in [
        (None, None, None, 9, vec![70, 40, 30, 20, 10]),
        (None, None, None, 2, vec![70, 40]),
        (one, None, None, 9, vec![70, 30, 10]),
        (two, Some(61), None, 9, vec![]),
        (None, Some(60), None, 9, vec![70, 40, 30, 20]),
        (None, None, Some(30), 9, vec![20, 10]),
        (one, Some(55), Some(60), 9, vec![30]),
        (Some("1' OR '1'='1"), None, None, 9, vec![]),
    ] {
        let query = IncidentQuery {
            customer: customer.map(str::to_owned),
            since: since.map(at),
            until: until.map(at),
            most,
        };
        assert_eq!(ids(&store.incidents(&query).await.unwrap()), want, "{query:?}");
    }
}

#[tokio::test]
async fn what_is_too_old_goes_with_all_that_hangs_on_it() {
    let store = memory().await;
    let old = 1..=1200;
    let group = Group {
        incidents: old
            .clone()
            .map(|id| over(id, None, 1))
            .chain([incident(1201, None), over(1202, None, 500)])
            .collect(),
        alerts: old.clone().chain([1201, 1202]).map(|id| alert(id, "a")).collect(),
        silences: vec![silence(1, 5), silence(2, 500), silence(3, 5)],
        events: old.clone().chain([1201, 1202]).map(|id| event(id, "opened")).collect(),
        boards: old
            .chain([1201, 1202])
            .map(|id| ("a", page(id, "1", 2)))
            .chain([("a", storm(1, 20, true)), ("a", storm(1201, 1201, false))])
            .collect(),
        ..Group::default()
    };
    group.write(&store).await.unwrap();
    assert_eq!(store.alerts_sweep(at(100)).await.unwrap(), 1200);
    let every = IncidentQuery { most: 9999, ..IncidentQuery::default() };
    assert_eq!(ids(&store.incidents(&every).await.unwrap()), [1202, 1201]);
    for (table, left) in [("alerts", 2), ("incident_events", 2), ("pages", 2), ("storms", 1), ("silences", 2)]
    {
        assert_eq!(store.rows_of(table).await, left, "{table}");
    }
    // All are too old; yet numbers are never given twice.
    assert_eq!(store.alerts_sweep(at(9999)).await.unwrap(), 0);
    let kept = store.alerts_restore(at(9999)).await.unwrap();
    assert_eq!((kept.last_incident, kept.last_silence), (1202, 3));
}

#[tokio::test]
async fn a_full_disk_keeps_nothing_of_a_group_and_passes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let group = |ids: std::ops::RangeInclusive<i64>| Group {
        incidents: ids.clone().map(|id| incident(id, None)).collect(),
        alerts: ids.map(|id| alert(id, &"x".repeat(1000))).collect(),
        audit: vec![entry(AuditKind::Alert, "took incident 1")],
        ..Group::default()
    };
    group(1..=1).write(&store).await.unwrap();
    store.pragma("PRAGMA max_page_count = 1").await;
    for _ in 0..3 {
        assert_eq!(group(2..=600).write(&store).await, Err(StoreError::Full));
    }
    assert_eq!(ids(&store.alerts_restore(at(0)).await.unwrap().incidents), [1]);
    assert_eq!(store.audit_tail(9).await.unwrap().len(), 1);
    store.pragma("PRAGMA max_page_count = 1000000").await;
    group(2..=600).write(&store).await.unwrap();
    store.close().await.unwrap();
    let kept = open(dir.path()).await.alerts_restore(at(0)).await.unwrap();
    assert_eq!((kept.incidents.len(), kept.alerts.len()), (600, 600));
}

impl Store {
    async fn rows_of(&self, table: &str) -> i64 {
        let mut db = self.0.db.read().await.unwrap();
        let sql = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        sqlx::query_scalar(sql).fetch_one(db.conn().unwrap()).await.unwrap()
    }
}
