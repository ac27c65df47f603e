//! `kill -9` at random moments of asked → card → approved → executing → done: nothing is lost, nothing runs twice,
//! nothing runs unapproved, and what had begun is never begun again by itself.

use std::{env, sync::Arc, time::Duration};

use opsbot::{
    control::{Client, Op},
    docker::LogQuery,
    domain::{Block, CardState, ContainerRef, Outbound, TurnStatus},
    policy::approval::Verb,
    runtime::Stopwatch,
};
use sqlx::{Connection, SqliteConnection};
use tokio::{sync::watch, time::sleep};

use super::house::{Daemon, House, all, cards, say, text};
use crate::docker::boxes::{Boxes, Make, with_boxes};

/// Rounds unless `OPSBOT_KILL_ROUNDS` says otherwise.
const ROUNDS: usize = 50;
/// Daemons that are killed side by side, each with its own store and container.
const LANES: usize = 6;
/// Says so at each start, and takes a moment to end.
const COUNTED: &str = "echo started; trap 'sleep 0.7; exit 0' TERM; sleep 6000 & wait";
/// A restart that the engine has taken on has started the container after this long.
const RESTART: Duration = Duration::from_secs(4);

/// How far a round has come, as its client knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    #[default]
    Asked,
    Carded,
    Approved,
    Executing,
    Done,
}

/// What a client was told before the kill.
#[derive(Clone, Debug, Default)]
struct Told {
    stage: Stage,
    /// Some event of the message's answer came, so it was taken.
    heard: bool,
    card: Option<String>,
}

#[derive(Debug, Default)]
struct Tally {
    rounds: usize,
    done: usize,
    unknown: usize,
    unapproved: usize,
    restarts: usize,
}

struct Lane {
    boxes: Arc<Boxes>,
    house: House,
    container: ContainerRef,
    heard: i64,
    tally: Tally,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_moment_loses_nothing_and_repeats_nothing() {
    with_boxes(|boxes| async move {
        let rounds = env::var("OPSBOT_KILL_ROUNDS").map_or(ROUNDS, |n| n.parse().unwrap());
        let watch = Stopwatch::start();
        let lanes = (0..LANES).map(|n| tokio::spawn(lane(Arc::clone(&boxes), n, rounds.div_ceil(LANES))));
        let mut sum = Tally::default();
        for lane in lanes.collect::<Vec<_>>() {
            let tally = lane.await.unwrap();
            sum.rounds += tally.rounds;
            sum.done += tally.done;
            sum.unknown += tally.unknown;
            sum.unapproved += tally.unapproved;
            sum.restarts += tally.restarts;
        }
        eprintln!("{:.0} s: {sum:?}", watch.seconds());
        let met = [sum.done, sum.unknown, sum.unapproved];
        assert!(met.iter().all(|n| *n > 0), "the kills met too few moments: {sum:?}");
    })
    .await;
}

async fn lane(boxes: Arc<Boxes>, number: usize, rounds: usize) -> Tally {
    let service = format!("web{number}");
    let container = boxes.make(Make { service: &service, script: COUNTED, ..Make::default() }).await;
    let house = House::new(&boxes.url, "");
    let mut lane = Lane { boxes, house, container, heard: 0, tally: Tally::default() };
    lane.starts_reach(1).await;
    let mut daemon = lane.house.start().await;
    for _ in 0..rounds {
        daemon = lane.round(daemon).await;
    }
    daemon.stop().await;
    assert_eq!(lane.starts().await, 1 + lane.tally.restarts);
    lane.tally
}

impl Lane {
    async fn round(&mut self, daemon: Daemon) -> Daemon {
        // Not as it is now: a start that came late counts against the next round, which has no room for it.
        let before = 1 + self.tally.restarts;
        let (tell, told) = watch::channel(Told::default());
        let ask = format!("/restart_container {} {}", self.boxes.customer, self.container.service);
        let client = self.house.client().await;
        let person = tokio::spawn(person(client, ask, tell));
        wait_for_the_moment(told.clone()).await;
        daemon.kill().await;
        person.await.unwrap();
        let killed = Stopwatch::start();
        let told = told.borrow().clone();
        if rand::random_ratio(1, 4) {
            // Killed again while it recovers.
            let daemon = self.house.launch();
            sleep(Duration::from_millis(rand::random_range(0..150))).await;
            daemon.kill().await;
        }
        let daemon = self.house.start().await;
        self.check(&told, before, &killed).await;
        self.tally.rounds += 1;
        daemon
    }

    async fn check(&mut self, told: &Told, before: usize, killed: &Stopwatch) {
        let client = self.house.client().await;
        let (verified, status) = all(&client, Op::AuditVerify).await;
        assert_eq!(status, TurnStatus::Answered, "{verified:?}");
        let mut db = self.db().await;
        let state = match &told.card {
            Some(id) => sqlx::query_scalar::<_, String>("SELECT state FROM approvals WHERE id = $1")
                .bind(id)
                .fetch_optional(&mut db)
                .await
                .unwrap(),
            None => None,
        };
        if state.as_deref() == Some("unknown") {
            // What the engine was told before the kill goes on by itself.
            while self.starts().await == before && killed.elapsed() < RESTART {
                sleep(Duration::from_millis(50)).await;
            }
        }
        let ran = self.starts().await - before;
        self.tally.restarts += ran;
        let (left, _) = all(&client, Op::Hello { conversation: "main".into() }).await;
        match (told.stage, state.as_deref()) {
            (Stage::Asked, None) | (Stage::Carded | Stage::Approved, Some("pending")) => {
                self.tally.unapproved += 1;
                assert_eq!(ran, 0, "{told:?} ran {ran} times, unapproved");
            }
            (Stage::Approved | Stage::Executing | Stage::Done, Some("done")) => {
                self.tally.done += 1;
                assert_eq!(ran, 1, "{told:?} is done and ran {ran} times");
            }
            (Stage::Approved | Stage::Executing, Some("unknown")) => {
                self.tally.unknown += 1;
                assert!(ran <= 1, "{told:?} ran {ran} times");
                let card = cards(&left).into_iter().find(|c| Some(c.id.to_string()) == told.card);
                assert_eq!(card.map(|c| c.state), Some(CardState::Unknown), "nobody was told: {left:?}");
            }
            (stage, state) => panic!("{stage:?} became {state:?} and ran {ran} times: {left:?}"),
        }
        self.heard += i64::from(told.heard);
        self.rows_add_up(&mut db, &left).await;
    }

    /// Every message is in the history or was handed back; nothing is half done.
    async fn rows_add_up(&self, db: &mut SqliteConnection, left: &[Outbound]) {
        let mut count = async |query: &'static str| {
            sqlx::query_scalar::<_, i64>(query).fetch_one(&mut *db).await.unwrap()
        };
        let messages = count("SELECT COUNT(*) FROM inbox").await;
        assert!(messages >= self.heard, "{messages} messages kept, {} taken", self.heard);
        assert_eq!(count("SELECT COUNT(*) FROM inbox WHERE done_at IS NULL").await, 0);
        let answered = count("SELECT COUNT(*) FROM history WHERE kind = 'user'").await;
        let returned = count("SELECT COUNT(*) FROM outbox WHERE body LIKE '%Ask again.%'").await;
        // One that was killed again while it handed back does so twice.
        assert!(answered + returned >= messages, "{answered} + {returned} of {messages}: {}", text(left));
        assert_eq!(count("SELECT COUNT(*) FROM approvals WHERE state IN ('executing', 'failed')").await, 0);
        assert_eq!(count("SELECT COUNT(*) FROM outbox WHERE done_at IS NULL").await, 0);
    }

    async fn db(&self) -> SqliteConnection {
        let path = self.house.state().join("opsbot.db");
        SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap()
    }

    /// How often the container was started, by its own log.
    async fn starts(&self) -> usize {
        let read = self.boxes.hosts().logs(&self.container, &LogQuery::tail(5000)).await.unwrap();
        read.lines.iter().filter(|l| l.text.as_str() == "started").count()
    }

    async fn starts_reach(&self, wanted: usize) {
        crate::docker::boxes::until("a start", || async { self.starts().await >= wanted }).await;
    }
}

/// Asks, approves and waits for the end, and notes how far it came.
async fn person(client: Client, ask: String, tell: watch::Sender<Told>) {
    let mut answer = client.request(say("main", &ask)).await;
    let mut card = None;
    while let Some(event) = answer.recv().await {
        match event {
            Outbound::Block { content: Block::Card(new) } if new.state == CardState::Pending => {
                card = Some(new.id.to_string());
                tell.send_modify(|t| (t.stage, t.heard, t.card) = (Stage::Carded, true, card.clone()));
            }
            Outbound::Progress { .. } => tell.send_modify(|t| t.heard = true),
            _ => {}
        }
    }
    let Some(approval) = card else { return };
    tell.send_modify(|t| t.stage = Stage::Approved);
    let mut answer = client.request(Op::Decide { approval, verb: Verb::Approve }).await;
    while let Some(event) = answer.recv().await {
        let Outbound::Block { content: Block::Card(card) } = event else { continue };
        match card.state {
            CardState::Executing => tell.send_modify(|t| t.stage = Stage::Executing),
            CardState::Done => tell.send_modify(|t| t.stage = Stage::Done),
            other => panic!("the card became {other}: {card:?}"),
        }
    }
}

/// Waits for a stage, then a little at random.
async fn wait_for_the_moment(mut told: watch::Receiver<Told>) {
    let (stage, most) = match rand::random_range(0..20) {
        0..3 => (Stage::Asked, 60),
        3..5 => (Stage::Carded, 10),
        5..10 => (Stage::Approved, 30),
        10..14 => (Stage::Executing, 1500),
        14..17 => (Stage::Executing, 5000),
        _ => (Stage::Done, 20),
    };
    // A client that gave up earlier is fine: the kill comes then.
    told.wait_for(|t| t.stage >= stage).await.ok();
    sleep(Duration::from_micros(rand::random_range(0..=most * 1000))).await;
}
