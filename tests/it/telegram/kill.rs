//! `kill -9` at random moments of conversations in Telegram: no message and no press that was confirmed is lost, nothing
//! is said twice without a mark, nothing runs twice or unapproved, and every card ends as its approval stands.

mod people;
mod state;

use std::{
    collections::BTreeMap,
    env,
    sync::{Arc, atomic::AtomicUsize},
    time::{Duration, Instant},
};

use opsbot::{
    control::Op,
    docker::LogQuery,
    domain::{ContainerRef, TurnStatus},
    policy::approval::Verb,
    runtime::Stopwatch,
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use self::{
    people::{PATIENCE, People, Question, Stage, Told},
    state::State,
};
use super::house::{ANNA, house};
use crate::{
    daemon::house::{Daemon, House, all},
    docker::boxes::{Boxes, Make, until, with_boxes},
    fake::{
        model::FakeModel,
        telegram::{FakeTelegram, Options, Shown},
    },
};

/// Rounds unless `OPSBOT_KILL_ROUNDS` says otherwise.
const ROUNDS: usize = 50;
/// Bots that are killed side by side, each with its own store, container and chats.
const LANES: usize = 6;
/// Says so at each start, and takes a moment to end.
const COUNTED: &str = "echo started; trap 'sleep 0.7; exit 0' TERM; sleep 6000 & wait";
/// A restart that the engine has taken on has started the container after this long.
const RESTART: Duration = Duration::from_secs(4);
/// How a message begins that may have come before.
const REPEAT: char = '↻';
/// What stands below a message that shows work.
const STOP: &str = "■ Stop";
/// What is left of a card that is shown again.
const STUB: &str = "shown again below";

#[derive(Debug, Default)]
struct Tally {
    rounds: usize,
    done: usize,
    unknown: usize,
    denied: usize,
    unapproved: usize,
    restarts: usize,
    answers: usize,
    /// Messages that came with the mark of one that may have come before.
    marked: usize,
    /// Cards whose sending was cut off after they had arrived: no row knows them.
    orphans: usize,
    /// Cards that came only by the button of "it may be missing".
    fetched: usize,
}

struct Lane {
    boxes: Arc<Boxes>,
    house: House,
    people: Arc<People>,
    _model: FakeModel,
    container: ContainerRef,
    /// The approvals of earlier rounds.
    known: Vec<String>,
    tally: Tally,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_moment_loses_nothing_and_repeats_nothing() {
    with_boxes(|boxes| async move {
        let rounds = env::var("OPSBOT_KILL_ROUNDS").map_or(ROUNDS, |n| n.parse().unwrap());
        let watch = Stopwatch::start();
        let mut lanes = JoinSet::new();
        for number in 0..LANES {
            lanes.spawn(lane(boxes.clone(), number, rounds.div_ceil(LANES)));
        }
        let mut sum = Tally::default();
        while let Some(lane) = lanes.join_next().await {
            sum.add(&lane.unwrap());
        }
        eprintln!("{:.0} s: {sum:?}", watch.seconds());
        let met = [sum.done, sum.unknown, sum.unapproved, sum.denied];
        assert!(met.iter().all(|n| *n > 0), "the kills met too few moments: {sum:?}");
    })
    .await;
}

async fn lane(boxes: Arc<Boxes>, number: usize, rounds: usize) -> Tally {
    let service = format!("web{number}");
    let container = boxes.make(Make { service: &service, script: COUNTED, ..Make::default() }).await;
    let telegram = FakeTelegram::start(Options::default()).await;
    let model = FakeModel::answering(people::answer).await;
    let set_up = format!("[model]\nurl = \"{}\"\nname = \"fake\"\n", model.url);
    let house = house(&boxes.url, &telegram, &set_up);
    let restart = format!("/restart_container {} {service}", boxes.customer);
    let people = Arc::new(People { telegram, restart, words: AtomicUsize::default() });
    let known = vec![];
    let mut lane = Lane { boxes, house, people, _model: model, container, known, tally: Tally::default() };
    until("a start", || async { lane.starts().await >= 1 }).await;
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
        let begun = Instant::now();
        let (tell, told) = watch::channel(Told::default());
        let mut talking = self.people.talk(&tell);
        drop(tell);
        wait_for_the_moment(told.clone()).await;
        daemon.kill().await;
        let killed = Stopwatch::start();
        talking.abort_all();
        while let Some(ended) = talking.join_next().await {
            assert!(!ended.is_err_and(|e| e.is_panic()), "a person waited in vain");
        }
        if rand::random_ratio(1, 4) {
            // Killed again while it recovers.
            let daemon = self.house.launch();
            sleep(Duration::from_millis(rand::random_range(0..500))).await;
            daemon.kill().await;
        }
        let daemon = self.house.start().await;
        let told = told.borrow().clone();
        self.quiet().await;
        self.check_write(&told, before, &killed).await;
        self.check_answers(&told.questions);
        self.check_rows(begun).await;
        let client = self.house.client().await;
        let (verified, status) = all(&client, Op::AuditVerify).await;
        assert_eq!(status, TurnStatus::Answered, "{verified:?}");
        self.tally.rounds += 1;
        daemon
    }

    /// Waits until everything that was said is dealt with and every message shows how things stand.
    async fn quiet(&self) {
        let mut left = None;
        let settles = async {
            loop {
                left = self.unsettled().await;
                if left.is_none() {
                    return;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        let quiet = timeout(PATIENCE, settles).await.is_ok();
        assert!(quiet, "{left:?} in vain\n{}", self.chats());
    }

    async fn unsettled(&self) -> Option<String> {
        let waiting = self.telegram().pending_updates();
        if waiting > 0 {
            return Some(format!("{waiting} updates wait"));
        }
        State::of(&self.house).await.unsettled().await
    }

    /// What ran is what was approved, once, and the card says how it ended.
    async fn check_write(&mut self, told: &Told, before: usize, killed: &Stopwatch) {
        let approvals = State::of(&self.house).await.approvals().await;
        let decided = told.card.as_ref().filter(|_| told.verdict.is_some());
        let state = decided.map(|id| approvals[id].as_str());
        if state == Some("unknown") {
            // What the engine was told before the kill goes on by itself.
            while self.starts().await == before && killed.elapsed() < RESTART {
                sleep(Duration::from_millis(50)).await;
            }
        }
        let ran = self.starts().await - before;
        self.tally.restarts += ran;
        let new = approvals.iter().filter(|(id, _)| !self.known.contains(id));
        let undecided = new.filter(|(id, _)| Some(*id) != decided);
        for (id, state) in undecided {
            assert!(["pending", "superseded"].contains(&state.as_str()), "{id} is {state}: {told:?}");
        }
        match (told.verdict, state) {
            (None, None) => {
                self.tally.unapproved += 1;
                assert_eq!(ran, 0, "{told:?} ran {ran} times, unapproved");
            }
            (Some(Verb::Deny), Some("denied")) => {
                self.tally.denied += 1;
                assert_eq!(ran, 0, "{told:?} ran {ran} times, denied");
            }
            (Some(Verb::Approve), Some("done")) => {
                self.tally.done += 1;
                assert_eq!(ran, 1, "{told:?} is done and ran {ran} times");
            }
            (Some(Verb::Approve), Some("unknown")) if told.stage != Stage::Done => {
                self.tally.unknown += 1;
                assert!(ran <= 1, "{told:?} ran {ran} times");
            }
            (_, state) => panic!("{told:?} became {state:?}\n{}", self.chats()),
        }
        self.check_cards(&approvals).await;
        self.known = approvals.into_keys().collect();
    }

    /// Every card shows how its approval stands. One that no row knows may show less, if a marked one shows more, and
    /// a press brings it up to date.
    async fn check_cards(&mut self, approvals: &BTreeMap<String, String>) {
        for (id, state) in approvals {
            if state != "superseded" && self.cards(id).is_empty() {
                self.fetch_card(id).await;
            }
            let posted = State::of(&self.house).await.posted(id).await;
            let cards = self.cards(id);
            let plain = cards.iter().filter(|m| !is_marked(m)).count();
            // One whose number nobody learnt was sent again with a mark, and the marked one may have been shown again.
            let marked = self.bots(|m| is_marked(m) && first_text(m).contains(id.as_str()));
            let most = 1 + usize::from(!marked.is_empty());
            assert!(plain <= most, "{id} has too many cards\n{}", self.chats());
            for card in cards {
                if posted.contains(&card.id.into()) {
                    assert!(shows(&card.text, state), "{id} is {state}: {}", card.text);
                    continue;
                }
                self.tally.orphans += 1;
                // One that was shown again while its write ran has no button, and a marked copy tells how it ended.
                let runs = shows(&card.text, "executing") && !marked.is_empty();
                assert!(shows(&card.text, "pending") || runs, "{}", card.text);
                if state != "pending" && !runs {
                    self.telegram().press_data(ANNA, ANNA, card.id, &format!("a:{id}"));
                    let healed = |m: &Shown| m.id == card.id && shows(&m.text, state);
                    self.telegram().wait_message(ANNA, healed, PATIENCE).await;
                    self.quiet().await;
                }
            }
        }
    }

    /// A card whose sending broke twice was announced: the button below that shows it.
    async fn fetch_card(&mut self, approval: &str) {
        let replies = State::of(&self.house).await.replies_with(approval).await;
        let shows_again = |m: &Shown| {
            let data = m.keyboard.iter().flatten().find_map(|b| b.data.clone())?;
            replies.iter().any(|id| data == format!("r:{id}")).then_some((m.id, data))
        };
        let button = self.bots(|m| m.chat == ANNA).iter().rev().find_map(shows_again);
        let Some((message, data)) = button else { panic!("nobody saw {approval}\n{}", self.chats()) };
        self.telegram().press_data(ANNA, ANNA, message, &data);
        self.tally.fetched += 1;
        let card = |m: &Shown| m.text.contains(&format!("Approval: {approval}"));
        self.telegram().wait_message(ANNA, card, PATIENCE).await;
        self.quiet().await;
    }

    /// The visible messages that show the card of `approval`.
    fn cards(&self, approval: &str) -> Vec<Shown> {
        self.bots(|m| m.text.contains(&format!("Approval: {approval}")))
    }

    /// Every question is answered, once unless the second is marked; an edit that came too late was told so.
    fn check_answers(&mut self, questions: &[Question]) {
        for question in questions {
            let Question { chat, message, word, edited } = question;
            let has = |m: &Shown, word: &str| m.text.contains(&format!("Answer to {word}"));
            let new = |m: &Shown| edited.as_ref().is_some_and(|new| has(m, new));
            let answers = self.bots(|m| m.chat == *chat && (has(m, word) || new(m)));
            let plain = answers.iter().filter(|m| !is_marked(m)).count();
            let all = self.chats();
            let announced = self.bots(|m| m.chat == *chat && m.text.contains("it may be missing above"));
            // What showed the work, and whose number a kill kept from being learnt, stays behind.
            let there = answers.iter().any(|m| m.keyboard.is_empty()) || !announced.is_empty();
            assert!(there && plain <= 1, "{question:?} has {plain} answers of {}\n{all}", answers.len());
            if edited.is_some() && !answers.iter().any(new) {
                // Every chat counts its own messages, so the chat tells which of the same number is meant.
                let remarks = |m: &Shown| m.chat == *chat && m.text.contains("runs again by an edit");
                let told = self.bots(|m| m.reply_to == Some(*message) && remarks(m));
                let plain = told.iter().filter(|m| !is_marked(m)).count();
                assert!(!told.is_empty() && plain <= 1, "the edit of {question:?} is lost\n{all}");
            }
            self.tally.answers += 1;
        }
    }

    /// Every message and press is one row, and perhaps an edit; every message got a reply; nothing was said twice.
    async fn check_rows(&mut self, since: Instant) {
        let said = self.telegram().look(|w| {
            let messages = w.chats.keys().flat_map(|chat| w.history(*chat)).filter(|m| !m.from_bot).count();
            messages + w.presses.len() - self.tally.fetched
        });
        let edits = self.telegram().look(|w| {
            let all = w.chats.keys().flat_map(|chat| w.history(*chat)).filter(|m| !m.from_bot);
            all.map(|m| m.edits as usize).sum::<usize>()
        });
        State::of(&self.house).await.complete(said, edits).await;
        let mut plain: BTreeMap<(i64, Option<i32>, String), Vec<i32>> = BTreeMap::new();
        let works = |m: &Shown| m.keyboard.iter().flatten().any(|b| b.label == STOP);
        // Cards are counted by their approvals.
        let counts = |m: &Shown| m.at >= since && !m.text.contains(STUB) && !m.text.contains("\nApproval: ");
        for message in self.bots(|m| counts(m) && !works(m)) {
            if is_marked(&message) {
                self.tally.marked += 1;
            } else {
                plain.entry((message.chat, message.reply_to, message.text)).or_default().push(message.id);
            }
        }
        plain.retain(|_, ids| ids.len() > 1);
        assert!(plain.is_empty(), "said more than once: {plain:?}\n{}", self.chats());
    }

    /// What was said and shown last, for whoever reads a failed test.
    fn chats(&self) -> String {
        let all = self.telegram().transcript();
        let chats = all.split("\nchat ").map(|chat| {
            let lines: Vec<_> = chat.lines().filter(|l| !l.starts_with("call ")).collect();
            lines[lines.len().saturating_sub(25)..].join("\n")
        });
        chats.collect::<Vec<_>>().join("\n---\n")
    }

    fn telegram(&self) -> &FakeTelegram {
        &self.people.telegram
    }

    /// The visible messages of the bot that `fit`.
    fn bots(&self, fit: impl Fn(&Shown) -> bool) -> Vec<Shown> {
        self.telegram().look(|w| {
            let all = w.chats.keys().flat_map(|chat| w.from_bot(*chat));
            all.filter(|m| fit(m)).cloned().collect()
        })
    }

    /// How often the container was started, by its own log.
    async fn starts(&self) -> usize {
        let read = self.boxes.hosts().logs(&self.container, &LogQuery::tail(5000)).await.unwrap();
        read.lines.iter().filter(|l| l.text.as_str() == "started").count()
    }
}

/// Whether it came with the mark of one that may have come before; a card loses that when it is edited.
fn is_marked(message: &Shown) -> bool {
    first_text(message).starts_with(REPEAT)
}

/// What it said when it came.
fn first_text(message: &Shown) -> &str {
    message.past.first().unwrap_or(&message.text)
}

/// Whether a card's text says that its approval is in `state`.
fn shows(text: &str, state: &str) -> bool {
    let heading = text.lines().find(|l| !l.starts_with(REPEAT)).unwrap_or_default();
    let mark = match state {
        "pending" => "⏳",
        "executing" => "▶",
        "done" => "✅",
        "unknown" => "❓",
        "denied" => "🚫",
        "superseded" => "↩",
        other => panic!("no card should be {other}"),
    };
    heading.starts_with(mark)
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.rounds += other.rounds;
        self.done += other.done;
        self.unknown += other.unknown;
        self.denied += other.denied;
        self.unapproved += other.unapproved;
        self.restarts += other.restarts;
        self.answers += other.answers;
        self.marked += other.marked;
        self.orphans += other.orphans;
        self.fetched += other.fetched;
    }
}

/// Waits for a stage, then a little at random.
async fn wait_for_the_moment(mut told: watch::Receiver<Told>) {
    let (stage, most) = match rand::random_range(0..20) {
        0..4 => (Stage::Asked, 200),
        4..6 => (Stage::Carded, 15),
        6..11 => (Stage::Decided, 40),
        11..14 => (Stage::Executing, 1500),
        14..17 => (Stage::Executing, 2500),
        _ => (Stage::Done, 60),
    };
    // People who gave up earlier are found out after the kill.
    told.wait_for(|t| t.stage >= stage).await.ok();
    sleep(Duration::from_micros(rand::random_range(0..=most * 1000))).await;
}
