//! The pager over a real store: groups, restarts, a full disk, stops, kills.

mod kill;

use std::{path::Path, sync::Arc, time::Duration};

use jiff::{Timestamp, tz::TimeZone};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    alerts::{CardRules, Job},
    domain::{AuditKind, Block, ChannelKind, Origin, PersonName, Role, Severity, SignalSource},
    store::AuditKey,
};

const PLACE: &str = "telegram:1:0";

fn setup() -> Setup {
    let minute = Duration::from_secs(60);
    let cards = CardRules {
        runbook_hosts: vec![],
        customer: Arc::new(|id| id.to_string()),
        suggest: Arc::new(|_, _| vec![]),
    };
    let settings = Settings {
        group_by: vec!["customer".into(), "service".into()],
        group_wait: Duration::ZERO,
        hold_down: Duration::from_millis(20),
        flapping: (5, 15 * minute),
        ack_lifetime: 60 * minute,
        ladder: vec![Duration::ZERO],
        quiet: None,
        inhibit: vec![],
        zone: TimeZone::UTC,
        cards,
    };
    let reach = Reach { step: 0, at_least: Severity::Info, during: None };
    let subject: SubjectSource = Arc::new(|labels| Subject {
        customer: labels.get("customer").map(|customer| customer.as_str().into()),
        service: labels.get("service").map(|service| service.as_str().into()),
        host: None,
    });
    Setup { settings, places: [(PLACE.to_owned(), vec![reach])].into(), storm_above: 10, subject }
}

fn signal(customer: usize, instance: usize, firing: bool) -> Signal {
    let labels = [
        ("alertname", "Down".to_owned()),
        ("customer", customer.to_string()),
        ("instance", format!("host-{instance}:9100")),
        ("service", "web".to_owned()),
        ("severity", "critical".to_owned()),
    ];
    let labels: Labels = labels.map(|(name, value)| (name.to_owned(), value)).into();
    let starts_at = Timestamp::from_second(1_790_000_000).unwrap();
    let annotations = [("summary".to_owned(), "it does not answer".to_owned())].into();
    let (source, ends_at) = (SignalSource::Api, (!firing).then(clock::now));
    Signal {
        source,
        labels,
        annotations,
        firing,
        starts_at,
        ends_at,
        generator_url: None,
        value: None,
        excerpt: None,
    }
}

fn fires(customers: std::ops::Range<usize>) -> Vec<Signal> {
    customers.map(|customer| signal(customer, 0, true)).collect()
}

fn anna() -> Actor {
    let (person, role) = (PersonName::new("anna"), Role::Operator);
    Actor { person, role, channel: ChannelKind::Console, origin: Origin::Typed }
}

fn ack(incident: i64) -> Action {
    Action::Ack { incident: IncidentId(incident), by: PersonName::new("anna") }
}

async fn file(dir: &Path) -> Store {
    Store::open(dir, AuditKey::from_bytes(&[7; 32]).unwrap()).await.unwrap()
}

async fn over(store: &Store) -> Pager {
    Pager::open(store.clone(), setup(), Counters::new(clock::now())).await.unwrap()
}

/// The pager's task; dropping it does not end it.
struct Running(CancellationToken, JoinHandle<Result<(), String>>);

impl Running {
    fn of(pager: &Pager) -> Self {
        let (stop, pager) = (CancellationToken::new(), pager.clone());
        let until = stop.clone();
        Self(stop, tokio::spawn(async move { pager.run(until).await }))
    }

    async fn end(self) {
        self.0.cancel();
        self.1.await.unwrap().unwrap();
    }
}

/// Waits until `what` holds.
async fn until(pager: &Pager, what: impl Fn(&Pager) -> bool) {
    let mut changes = pager.changes();
    let holds = async {
        while !what(pager) {
            changes.changed().await.unwrap();
        }
    };
    timeout(Duration::from_secs(20), holds).await.expect("it did not come true in 20 s");
}

fn open(pager: &Pager) -> Vec<Incident> {
    pager.look(|desk| desk.open().into_iter().cloned().collect())
}

fn commits(pager: &Pager, outcome: &'static str) -> u64 {
    pager.0.counters.count("opsbot_pager_commits_total", &[("outcome", outcome)])
}

/// Does the place's jobs, at most so many, each as if it went well; gives how many there were.
async fn work(pager: &Pager, most: usize) -> usize {
    for done in 0..most {
        let (Some(job), _) = pager.next(PLACE) else { return done };
        pager.begins(PLACE, &job).await.unwrap();
        let message = format!("m{done}");
        let end = JobEnd::Done(matches!(job, Job::Send { .. }).then_some(message.as_str()));
        pager.ended(PLACE, &job, end).await.unwrap();
    }
    most
}

#[tokio::test]
async fn who_waits_together_shares_a_commit() {
    let dir = tempfile::tempdir().unwrap();
    let store = file(dir.path()).await;
    let pager = over(&store).await;
    let callers: Vec<_> = (0..200)
        .map(|caller| {
            let pager = pager.clone();
            tokio::spawn(async move { pager.take(fires(caller * 5..caller * 5 + 5)).await })
        })
        .collect();
    // All of them are in the queue before the work begins.
    while pager.0.queue.capacity() > QUEUE - 200 {
        tokio::task::yield_now().await;
    }
    let running = Running::of(&pager);
    for caller in callers {
        caller.await.unwrap().unwrap();
    }
    let count = commits(&pager, "kept");
    assert!((1..=3).contains(&count), "{count} commits for 200 callers");
    assert_eq!(open(&pager).len(), 1000);
    // The same again is known and costs no commit.
    pager.take(fires(0..1000)).await.unwrap();
    assert_eq!(commits(&pager, "kept"), count);
    running.end().await;
}

#[tokio::test]
async fn a_restart_finds_desk_and_chats_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let store = file(dir.path()).await;
    let pager = over(&store).await;
    let running = Running::of(&pager);
    pager.take(fires(0..4)).await.unwrap();
    pager.take(vec![signal(0, 1, true)]).await.unwrap();
    assert_eq!(work(&pager, 2).await, 2, "two cards stand");
    let crashed = pager.next(PLACE).0.unwrap();
    pager.begins(PLACE, &crashed).await.unwrap();
    pager.act(ack(1), Some(&anna())).await.unwrap();
    running.end().await;
    let before = open(&pager);
    store.close().await.unwrap();

    let store = file(dir.path()).await;
    let pager = over(&store).await;
    assert_eq!(open(&pager), before);
    assert_eq!(pager.incident_at(PLACE, "m0"), Some(IncidentId(1)));
    let running = Running::of(&pager);
    let mut again = 0;
    for _ in 0..20 {
        let (Some(job), _) = pager.next(PLACE) else { break };
        if let Job::Send { again: true, incident, .. } = &job {
            assert!(matches!(&crashed, Job::Send { incident: one, .. } if one == incident), "{job:?}");
            again += 1;
        }
        pager.begins(PLACE, &job).await.unwrap();
        pager.ended(PLACE, &job, JobEnd::Done(Some("n"))).await.unwrap();
    }
    assert_eq!(again, 1, "what had begun is sent once more, marked");
    assert_eq!(pager.next(PLACE).0, None);
    running.end().await;
}

#[tokio::test]
async fn a_full_store_pages_from_memory_and_is_made_up_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = file(dir.path()).await;
    let pager = over(&store).await;
    let running = Running::of(&pager);
    pager.take(fires(0..1)).await.unwrap();
    assert_eq!(work(&pager, 9).await, 1);
    store.pragma("PRAGMA max_page_count = 1").await;
    let many: Vec<_> = (0..2000).map(|instance| signal(1, instance, true)).collect();
    for _ in 0..3 {
        let taken = pager.take(many.clone()).await;
        assert!(matches!(taken, Err(PagerError::NotStored(StoreError::Full))), "{taken:?}");
    }
    assert_eq!(open(&pager).len(), 2, "the same again does not make another one");
    let (job, _) = pager.next(PLACE);
    let job = job.expect("people are paged all the same");
    assert!(notes(&job).iter().any(|note| note.starts_with("Not stored")), "{job:?}");
    assert_eq!(pager.begins(PLACE, &job).await, Err(StoreError::Full));
    assert_eq!(pager.ended(PLACE, &job, JobEnd::Done(Some("m1"))).await, Err(StoreError::Full));
    let acked = pager.act(ack(2), Some(&anna())).await;
    assert!(matches!(acked, Err(PagerError::NotStored(_))), "{acked:?}");

    store.pragma("PRAGMA max_page_count = 1000000").await;
    // Nobody has to ask: it is tried again by itself.
    until(&pager, |pager| lock(&pager.0.unsaved).is_empty()).await;
    pager.take(many).await.unwrap();
    let (job, _) = pager.next(PLACE);
    let job = job.expect("the card is put right");
    assert!(matches!(&job, Job::Edit { message, .. } if message == "m1"), "{job:?}");
    assert_eq!(notes(&job).iter().filter(|note| note.starts_with("Not stored")).count(), 0, "{job:?}");
    work(&pager, 9).await;
    running.end().await;
    let before = open(&pager);
    let audit = store.audit_tail(9).await.unwrap();
    assert_eq!(audit.iter().filter(|(_, entry)| entry.kind == AuditKind::Alert).count(), 1);
    store.close().await.unwrap();
    let store = file(dir.path()).await;
    let pager = over(&store).await;
    assert_eq!(open(&pager), before);
    let alerts = pager.look(|desk| desk.alerts().count());
    assert_eq!((alerts, pager.next(PLACE).0), (2001, None));
}

fn notes(job: &Job) -> Vec<String> {
    let (Job::Send { card, .. } | Job::Edit { card, .. }) = job else { return vec![] };
    if let Block::Alert(card) = card.as_ref() { card.notes.clone() } else { vec![] }
}

#[tokio::test]
async fn what_waits_at_a_stop_is_kept_and_what_comes_later_refused() {
    let store = Store::in_memory(AuditKey::from_bytes(&[7; 32]).unwrap()).await.unwrap();
    let pager = over(&store).await;
    let waiting = tokio::spawn({
        let pager = pager.clone();
        async move { pager.take(fires(0..3)).await }
    });
    while pager.0.queue.capacity() == QUEUE {
        tokio::task::yield_now().await;
    }
    // The stop is there before the work begins.
    let stop = CancellationToken::new();
    stop.cancel();
    pager.run(stop).await.unwrap();
    waiting.await.unwrap().unwrap();
    assert!(matches!(pager.take(fires(3..4)).await, Err(PagerError::Stopping)));
    assert!(matches!(pager.act(ack(1), None).await, Err(PagerError::Stopping)));
    assert_eq!(open(&over(&store).await).len(), 3);
}

#[tokio::test]
async fn only_one_task_works() {
    let store = Store::in_memory(AuditKey::from_bytes(&[7; 32]).unwrap()).await.unwrap();
    let pager = over(&store).await;
    let running = Running::of(&pager);
    pager.take(fires(0..1)).await.unwrap();
    assert!(pager.run(CancellationToken::new()).await.is_err());
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn more_than_there_is_room_for_waits_and_is_refused() {
    let store = Store::in_memory(AuditKey::from_bytes(&[7; 32]).unwrap()).await.unwrap();
    let pager = over(&store).await;
    let full = tokio::spawn({
        let pager = pager.clone();
        async move { pager.take(fires(0..ROOM)).await }
    });
    while pager.0.room.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(matches!(pager.take(fires(0..1)).await, Err(PagerError::Busy)));
    assert_eq!(pager.0.counters.count("opsbot_pager_busy_total", &[]), 1);
    full.abort();
}

#[tokio::test]
async fn what_people_do_has_an_audit_row_and_what_makes_no_sense_has_none() {
    let store = Store::in_memory(AuditKey::from_bytes(&[7; 32]).unwrap()).await.unwrap();
    let pager = over(&store).await;
    let running = Running::of(&pager);
    pager.take(fires(0..1)).await.unwrap();
    let none = pager.act(ack(77), Some(&anna())).await;
    assert!(matches!(none, Err(PagerError::Refused(_))), "{none:?}");
    let changes = pager.act(ack(1), Some(&anna())).await.unwrap();
    assert_eq!(changes.incidents.len(), 1);
    let said: Vec<_> =
        store.audit_tail(9).await.unwrap().into_iter().map(|(_, entry)| entry.summary).collect();
    assert_eq!(said, ["took incident 1"]);
    let (incident, events) = pager.story(IncidentId(1)).await.unwrap().unwrap();
    assert_eq!((incident.ack.unwrap().by, events.len()), (PersonName::new("anna"), 2));
    running.end().await;
}

#[tokio::test]
async fn time_passes_by_itself() {
    let store = Store::in_memory(AuditKey::from_bytes(&[7; 32]).unwrap()).await.unwrap();
    let pager = over(&store).await;
    let running = Running::of(&pager);
    pager.take(fires(0..1)).await.unwrap();
    pager.take(vec![signal(0, 0, false)]).await.unwrap();
    until(&pager, |pager| open(pager).is_empty()).await;
    let past = pager.history(&HistoryQuery { most: 9, ..HistoryQuery::default() }).await.unwrap();
    assert!(past.len() == 1 && past[0].resolved_at.is_some(), "{past:?}");
    running.end().await;
}
