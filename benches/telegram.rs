//! What Telegram costs: from an update to the sign of life and to the answer, from the start to the first poll, memory,
//! many chats at once, and a burst at a group's limit; beside bare commits on the same disk in the same moment. Times are
//! the emulator's own: from when it had an update to hand out until it took the bot's call. Judges nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench measures, prints, and fails by panicking"
)]

mod house;
#[allow(dead_code, reason = "a bench needs a part of it")]
#[path = "../tests/it/fake/model.rs"]
mod model;
#[path = "../tests/it/fake/telegram/mod.rs"]
mod telegram;

use std::{
    env,
    fmt::Write as _,
    time::{Duration, Instant},
};

use house::{Daemon, House, bare_store, machine, ms, quantile, row, spread};
use model::{FakeModel, Say};
use telegram::{FakeTelegram, Options, Rates, Shown, World};
use tokio::{net::TcpListener, time::sleep};

const STARTS: usize = 20;
const TURNS: usize = 300;
const TURNS_FOR_MEMORY: usize = 1000;
const CHATS: usize = 200;
const BURST: usize = 500;
const REST: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(300);
const GROUP: i64 = -100_300;
/// The first person's chat; the next one's is one more.
const FIRST: i64 = 1001;
/// No limit slows anything down.
const FAST: &str =
    "chat_burst = 1000, chat_per_second = 10000, group_per_minute = 600000, overall_per_second = 10000";
/// For the burst: a minute and a second as Telegram has them, with more in each.
const GROUP_PER_MINUTE: usize = 400;
const CHAT_PER_SECOND: f64 = 20.0;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let parts: Vec<_> = env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|p| p == part);
    runtime.block_on(async {
        machine();
        if wanted("starts") {
            starts().await;
        }
        if wanted("turns") {
            turns().await;
        }
        if wanted("chats") {
            chats(FAST, None).await;
            let limits =
                "chat_burst = 3, chat_per_second = 1.0, group_per_minute = 20, overall_per_second = 30";
            chats(limits, Some(Rates::default())).await;
        }
        if wanted("burst") {
            burst().await;
        }
    });
}

/// The bot, its Telegram and its model.
struct Line {
    telegram: FakeTelegram,
    model: FakeModel,
    house: House,
}

impl Line {
    /// With so many people besides anna, all of whom may be in the group.
    async fn new(people: usize, limits: &str, rates: Option<Rates>) -> Self {
        let telegram = FakeTelegram::start(Options { rates, ..Options::default() }).await;
        let model = FakeModel::answering(|body, _| {
            let asked = body["messages"].as_array().and_then(|m| m.last()?["content"].as_str());
            let word = asked.unwrap_or_default().split_whitespace().last().unwrap_or_default();
            Say::Text(format!("All is well, {}.", word.trim_end_matches('?')))
        })
        .await;
        let mut config = format!("[model]\nurl = \"{}\"\nname = \"fake\"\n", model.url);
        config += "[limits]\nturns_queued = 64\n";
        for n in 0..people {
            let id = FIRST + i64::try_from(n).unwrap();
            telegram.private(id, &format!("p{n}"));
            write!(config, "[[person]]\nname = \"p{n}\"\nrole = \"viewer\"\ntelegram_id = {id}\n").unwrap();
        }
        telegram.supergroup(GROUP, "Ops", false);
        config += &telegram_config(&telegram.url(), limits);
        let house = House::new(&config).env("TELEGRAM_TOKEN", telegram.token());
        Self { telegram, model, house }
    }

    /// Starts the bot; the time until its first poll.
    async fn start(&self) -> (Daemon, Duration) {
        let before = self.telegram.look(|w| w.calls.len());
        let begun = Instant::now();
        let daemon = self.house.launch();
        let polled = |w: &World| w.calls.iter().skip(before).find(|c| c.method == "getUpdates").map(|c| c.at);
        let at = self.telegram.wait_some(polled, PATIENCE).await;
        self.telegram.wait_for(|w| w.pollers() == 1, PATIENCE).await;
        (daemon, at - begun)
    }

    /// Asks when the bot waits for updates; how long the sign of life and the answer took.
    async fn turn(&self, chat: i64, text: &str, part: &str) -> (Duration, Duration) {
        self.telegram.wait_for(|w| w.pollers() == 1, PATIENCE).await;
        let message = self.telegram.say(chat, chat, text);
        let asked = self.telegram.message(chat, message).unwrap().at;
        let answers = |m: &Shown| m.id > message && m.text.contains(part);
        let answer = self.telegram.wait_message(chat, answers, PATIENCE).await;
        let acts = |w: &World| w.actions.iter().rev().find(|a| a.chat == chat && a.at >= asked).map(|a| a.at);
        let action = self.telegram.wait_some(acts, PATIENCE).await;
        assert_eq!(answer.edits, 0, "the answer is the first message");
        (action - asked, answer.at - asked)
    }
}

fn telegram_config(url: &str, limits: &str) -> String {
    format!(
        "[telegram]\ntoken = {{ env = \"TELEGRAM_TOKEN\" }}\napi_url = \"{url}\"\ngroups = [{GROUP}]\n\
         limits = {{ {limits} }}\n"
    )
}

async fn starts() {
    let line = Line::new(1, FAST, None).await;
    let (mut polls, mut firsts, mut seconds) = (vec![], vec![], vec![]);
    for n in 0..=STARTS {
        let (daemon, polled) = line.start().await;
        let (_, first) = line.turn(FIRST, &format!("how is {n}-first?"), &format!("{n}-first.")).await;
        let (_, second) = line.turn(FIRST, &format!("how is {n}-second?"), &format!("{n}-second.")).await;
        daemon.stop().await;
        // The first start of all makes the store.
        if n > 0 {
            polls.push(polled);
            firsts.push(first);
            seconds.push(second);
        }
    }
    row("start of `opsbot run` to its first `getUpdates`", &spread(&polls));
    row("update to answer, the first message after a start", &spread(&firsts));
    row("the same, the second message after a start", &spread(&seconds));

    // It takes connections and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let mut starts = vec![];
    let house = House::new(&telegram_config(&url, FAST)).env("TELEGRAM_TOKEN", line.telegram.token());
    for _ in 0..=STARTS {
        let (daemon, client, time) = house.start().await;
        starts.push(time);
        drop(client);
        daemon.stop().await;
    }
    row("start to the first answer over the socket, Telegram silent", &spread(&starts[1..]));
}

async fn turns() {
    let line = Line::new(10, FAST, None).await;
    let (daemon, _) = line.start().await;
    sleep(REST).await;
    row(&format!("memory at rest, {} s after the start", REST.as_secs()), &daemon.memory());
    let beside = tempfile::tempdir().unwrap();
    let store = bare_store(beside.path()).await;
    let (mut commits, mut signs, mut answers, mut commands) = (vec![], vec![], vec![], vec![]);
    for n in 0..TURNS {
        let begun = Instant::now();
        store.ping_commit().await.unwrap();
        commits.push(begun.elapsed());
        let (sign, answer) = line.turn(FIRST, &format!("how is {n}?"), &format!("All is well, {n}.")).await;
        signs.push(sign);
        answers.push(answer);
        let command = format!("/search_output none x{n}");
        commands.push(line.turn(FIRST + 1, &command, "kept output").await.1);
    }
    row("a bare durable commit (`Store::ping_commit`)", &spread(&commits));
    row("update to `sendChatAction`", &spread(&signs));
    row("update to answer, model that answers at once", &spread(&answers));
    let beyond = quantile(&answers, 0.5).saturating_sub(quantile(&commits, 0.5) * 3);
    row("the same, its median without three commits", &ms(beyond));
    row("update to answer, a tool's command (`/search_output`)", &spread(&commands));
    let mut chats = tokio::task::JoinSet::new();
    let left = TURNS_FOR_MEMORY - TURNS * 2;
    let line = std::sync::Arc::new(line);
    for chat in 0..8 {
        let line = line.clone();
        let person = FIRST + 2 + i64::from(chat);
        chats.spawn(async move {
            for n in 0..left.div_ceil(8) {
                let word = format!("{chat}-{n}");
                line.turn(person, &format!("how is {word}?"), &format!("All is well, {word}.")).await;
            }
        });
    }
    while let Some(ended) = chats.join_next().await {
        ended.unwrap();
    }
    let asked = line.model.seen().requests.len();
    row(
        &format!("memory after {TURNS_FOR_MEMORY} turns in 10 chats ({asked} with the model)"),
        &daemon.memory(),
    );
    daemon.stop().await;
    store.close().await.unwrap();
}

/// Everybody asks at once.
async fn chats(limits: &str, rates: Option<Rates>) {
    let name = if rates.is_some() { "Telegram's limits" } else { "no limits" };
    let line = Line::new(CHATS, limits, rates).await;
    let (daemon, _) = line.start().await;
    line.telegram.hold(true);
    let chats: Vec<i64> = (0..CHATS).map(|n| FIRST + i64::try_from(n).unwrap()).collect();
    for chat in &chats {
        line.telegram.say(*chat, *chat, &format!("how is {chat}?"));
    }
    let begun = Instant::now();
    line.telegram.hold(false);
    let found = |w: &World, chat: i64| {
        let said = format!("All is well, {chat}.");
        w.from_bot(chat).find(|m| m.text.contains(&said)).map(|m| (m.edits, m.at))
    };
    let all = |w: &World| chats.iter().map(|chat| found(w, *chat)).collect::<Option<Vec<_>>>();
    let answers = line.telegram.wait_some(all, PATIENCE).await;
    let last = begun.elapsed();
    // A message that became the answer by an edit did so later than it was sent.
    let edited = |w: &World, chat: i64| {
        let calls = w.calls.iter().filter(|c| c.chat == Some(chat) && c.ok() && c.method != "sendChatAction");
        calls.map(|c| c.at).next_back()
    };
    let times: Vec<_> = line.telegram.look(|w| {
        let times = chats.iter().zip(&answers);
        times
            .map(|(chat, (edits, at))| if *edits > 0 { edited(w, *chat).unwrap() } else { *at } - begun)
            .collect()
    });
    let broken = line.telegram.violations().len();
    let placeholders = answers.iter().filter(|(edits, _)| *edits > 0).count();
    row(
        &format!("{CHATS} chats at once, {name}: update to answer"),
        &format!(
            "{}; last after {}; {placeholders} after a placeholder, limits broken {broken} times",
            spread(&times),
            ms(last)
        ),
    );
    daemon.stop().await;
}

/// So many messages to one group that its limit of a minute is reached.
async fn burst() {
    let rates =
        Rates { per_group_minute: GROUP_PER_MINUTE, chat_seconds: 1.0 / CHAT_PER_SECOND, ..Rates::default() };
    let limits = format!(
        "chat_burst = 3, chat_per_second = {CHAT_PER_SECOND:.1}, group_per_minute = {GROUP_PER_MINUTE}, \
         overall_per_second = 30"
    );
    let people = 10;
    let line = Line::new(people, &limits, Some(rates)).await;
    let (daemon, _) = line.start().await;
    let name = line.telegram.bot_name();
    line.telegram.hold(true);
    for n in 0..BURST {
        let person = FIRST + i64::try_from(n % people).unwrap();
        line.telegram.say(GROUP, person, &format!("@{name} how is {}-{}?", n % people, n / people));
    }
    let begun = Instant::now();
    line.telegram.hold(false);
    let done = |w: &World| w.from_bot(GROUP).filter(|m| m.text.contains("All is well")).count() >= BURST;
    line.telegram.wait_for(done, PATIENCE).await;
    let took = begun.elapsed();
    let words =
        |m: &Shown| m.text.split("well, ").nth(1).and_then(|w| w.strip_suffix('.')).map(str::to_owned);
    let answers: Vec<_> = line.telegram.look(|w| w.from_bot(GROUP).filter_map(words).collect());
    let in_order = (0..people).all(|person| {
        let own = answers.iter().filter_map(|w| w.strip_prefix(&format!("{person}-")));
        own.eq((0..BURST / people).map(|n| n.to_string()))
    });
    let calls = line.telegram.look(|w| {
        let sent =
            w.calls.iter().filter(|c| c.chat == Some(GROUP) && c.landed && c.method != "sendChatAction");
        sent.count()
    });
    let broken = line.telegram.violations().len();
    row(
        &format!("{BURST} questions to one group at once, {GROUP_PER_MINUTE} messages a minute allowed"),
        &format!(
            "{} answers after {:.1} s, {} in order, {calls} calls, limits broken {broken} times",
            answers.len(),
            took.as_secs_f64(),
            if in_order { "each person's" } else { "NOT" },
        ),
    );
    daemon.stop().await;
}
