//! An engine, the real channel and the emulated Telegram in one process: what a person at a phone does and sees.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use opsbot::{
    channels::telegram::{
        Settings, Telegram,
        api::{Api, Timeouts},
        courier::{self, Shapes, Waits},
        governor::Limits,
        mark_repeat, plain, shorten,
    },
    chart::Theme,
    domain::{ChannelKind, Role},
    engine::people::Configured,
    runtime::Counters,
    voice::NotSetUp,
};
use tokio::{runtime::Runtime, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    fake::{
        model::{FakeModel, Say},
        telegram::{CallbackAnswer, FakeTelegram, Options, Shown, World as Seen},
    },
    scenarios::world::{Setup, World},
};

/// Who has which id in Telegram; nobody knows 1009.
pub const PEOPLE: [(&str, Role, i64); 5] = [
    ("anna", Role::Operator, 1001),
    ("ben", Role::Operator, 1002),
    ("cleo", Role::Admin, 1003),
    ("dora", Role::Admin, 1004),
    ("vic", Role::Viewer, 1005),
];
pub const ANNA: i64 = 1001;
pub const BEN: i64 = 1002;
pub const CLEO: i64 = 1003;
pub const DORA: i64 = 1004;
pub const VIC: i64 = 1005;
pub const STRANGER: i64 = 1009;
/// The only group that is listed.
pub const GROUP: i64 = -100_200;
/// How long anything may take.
pub const SOON: Duration = Duration::from_secs(15);

/// Threads of their own, whose log goes where the test's own goes.
fn process() -> Runtime {
    let log = tracing::dispatcher::get_default(Clone::clone);
    let listen = move || std::mem::forget(tracing::dispatcher::set_default(&log));
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    threads.worker_threads(2).on_thread_start(listen).enable_all().build().unwrap()
}

/// How a phone is set up.
pub struct Line {
    pub setup: Setup,
    pub options: Options,
    pub limits: Limits,
    pub placeholder_after: Duration,
    pub poll_timeout: Duration,
    pub call_timeout: Duration,
    /// The shortest time between two edits of a live message.
    pub edit_every: Duration,
}

impl Default for Line {
    fn default() -> Self {
        let people = PEOPLE.iter().map(|(name, role, id)| Configured {
            name: (*name).into(),
            role: *role,
            ids: vec![(ChannelKind::Telegram, id.to_string())],
        });
        Self {
            setup: Setup { people: people.collect(), on_disk: true, ..Setup::default() },
            options: Options::default(),
            // Fast enough that no test waits for a limit that it is not about.
            limits: Limits {
                chat_burst: 50,
                group_per_minute: 1000,
                overall_per_s: 1000,
                ..Limits::default()
            },
            placeholder_after: Duration::from_millis(800),
            poll_timeout: Duration::from_secs(2),
            call_timeout: Duration::from_secs(5),
            edit_every: Duration::from_millis(100),
        }
    }
}

impl Line {
    /// Without a model.
    pub async fn plain(self) -> Phone {
        self.open(None).await
    }

    pub async fn scripted(self, steps: Vec<Say>) -> Phone {
        self.open(Some(FakeModel::start(steps).await)).await
    }

    pub async fn open(self, model: Option<FakeModel>) -> Phone {
        self.open_in(tempfile::tempdir().unwrap(), model).await
    }

    /// With its state in `dir`.
    pub async fn open_in(self, dir: tempfile::TempDir, model: Option<FakeModel>) -> Phone {
        let telegram = FakeTelegram::start(self.options.clone()).await;
        for (name, _, id) in PEOPLE {
            telegram.private(id, name);
        }
        telegram.private(STRANGER, "Mallory");
        telegram.supergroup(GROUP, "Ops", true);
        let (mut setup, placeholder_after) = (self.setup, self.placeholder_after);
        // As the daemon does: the token is one of the secrets.
        setup.secrets.push(self.options.token);
        let world = World::start_in(dir, setup, model).await;
        let timing = Timing {
            limits: self.limits,
            placeholder_after,
            poll_timeout: self.poll_timeout,
            call_timeout: self.call_timeout,
            edit_every: self.edit_every,
        };
        let counters = Counters::new(Timestamp::now());
        let mut phone =
            Phone { world, telegram, timing, counters, pager: None, running: None, process: None };
        phone.connect().await;
        phone
    }
}

struct Timing {
    limits: Limits,
    placeholder_after: Duration,
    poll_timeout: Duration,
    call_timeout: Duration,
    edit_every: Duration,
}

/// The whole: an engine, its channel, and the emulated service.
pub struct Phone {
    pub world: World,
    pub telegram: FakeTelegram,
    pub counters: Counters,
    /// The alerts that the channel shows from its next start.
    pub pager: Option<opsbot::pager::Pager>,
    timing: Timing,
    running: Option<Running>,
    /// What the channel, its turns and its writes run on; a crash takes all of it away.
    process: Option<Runtime>,
}

impl Drop for Phone {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.shutdown_background();
        }
    }
}

struct Running {
    channel: Arc<Telegram>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), String>>,
}

impl Phone {
    /// Starts the channel.
    #[expect(clippy::unused_async, reason = "it is awaited like its opposite")]
    pub async fn connect(&mut self) {
        let settings = Settings {
            groups: [GROUP].into(),
            theme: Theme::Dark,
            voices: Some((self.world.dir().join("voice"), Duration::from_secs(3600))),
            max_download: 20 << 20,
            placeholder_after: self.timing.placeholder_after,
            edit_every: self.timing.edit_every,
            poll_timeout: self.timing.poll_timeout,
            retry: (Duration::from_millis(20), Duration::from_millis(200), Duration::from_millis(200)),
            look_every: Duration::from_millis(500),
        };
        let waits = Waits {
            backoff_min: Duration::from_millis(10),
            backoff_max: Duration::from_millis(200),
            token: Duration::from_millis(200),
            ..Waits::default()
        };
        let shapes = Shapes { mark_repeat, plain, shorten };
        let limits = self.timing.limits;
        let timeouts = Timeouts {
            call: self.timing.call_timeout,
            poll_margin: Duration::from_millis(500),
            ..Timeouts::default()
        };
        let channel = Arc::new(Telegram {
            engine: self.world.engine.clone(),
            api: Api::new(&self.telegram.url(), self.telegram.token(), timeouts).unwrap(),
            settings,
            courier: courier::Settings { limits, waits, ..courier::Settings::new(shapes) },
            pager: self.pager.clone(),
            transcriber: Arc::new(NotSetUp),
            counters: self.counters.clone(),
            vitals: Default::default(),
            resumed: Default::default(),
            webhook: None,
        });
        self.run(channel);
    }

    fn run(&mut self, channel: Arc<Telegram>) {
        let stop = CancellationToken::new();
        let (runs, token) = (channel.clone(), stop.clone());
        let process = self.process.get_or_insert_with(process);
        let task = process.spawn(async move { runs.run(token).await });
        self.running = Some(Running { channel, stop, task });
    }

    /// Whether updates arrive, and what was seen.
    pub fn health(&self) -> (bool, String) {
        self.running.as_ref().unwrap().channel.health()
    }

    /// Stops the channel in good order.
    pub async fn disconnect(&mut self) {
        let Running { stop, task, .. } = self.running.take().unwrap();
        stop.cancel();
        tokio::time::timeout(SOON, task).await.expect("the channel does not stop").unwrap().unwrap();
    }

    /// Ends the channel and runs it again in the same process, as its supervisor does.
    pub async fn run_again(&mut self) {
        let channel = self.running.as_ref().unwrap().channel.clone();
        self.disconnect().await;
        self.run(channel);
    }

    /// Takes the channel, all turns and all writes away in the middle of whatever they do, as a kill would.
    pub async fn crash(&mut self) {
        self.running = None;
        self.end_process().await;
        self.world.reopen().await;
    }

    /// Every task is dropped where it waits.
    async fn end_process(&mut self) {
        if let Some(process) = self.process.take() {
            tokio::task::spawn_blocking(move || process.shutdown_timeout(SOON)).await.unwrap();
        }
    }

    /// The channel breaks in the middle of whatever it does and is started again, as the supervisor does; the engine
    /// and its turns live on.
    pub async fn break_channel(&mut self) {
        let Running { task, channel, .. } = self.running.take().unwrap();
        task.abort();
        task.await.ok();
        self.run(channel);
    }

    /// A restart in good order, over the same store.
    pub async fn restart(&mut self) {
        self.disconnect().await;
        self.world.engine.drain(Duration::from_secs(4)).await;
        self.end_process().await;
        self.world.reopen().await;
        self.connect().await;
    }

    /// Waits for a visible message of the bot that holds `part`.
    pub async fn sees(&self, chat: i64, part: &str) -> Shown {
        self.telegram.wait_message(chat, |m| !m.deleted && shown_text(m).contains(part), SOON).await
    }

    /// Waits for a card that asks in `chat`, the newest if there are several.
    pub async fn card(&self, chat: i64) -> Shown {
        let found = |w: &Seen| {
            let mut asking = w.from_bot(chat).filter(|m| !m.deleted && asks(m));
            asking.next_back().cloned()
        };
        self.telegram.wait_some(found, SOON).await
    }

    /// Waits until the message `id` holds `part`, and gives it.
    pub async fn becomes(&self, chat: i64, id: i32, part: &str) -> Shown {
        let found = |w: &Seen| w.message(chat, id).filter(|m| !m.deleted && m.text.contains(part)).cloned();
        self.telegram.wait_some(found, SOON).await
    }

    /// `user` presses a button (by its label or data, there or not any more), and hears this.
    pub async fn press(&self, chat: i64, user: i64, message: i32, button: &str) -> CallbackAnswer {
        let press = match button.split_once(':') {
            Some(("a" | "d", _)) => self.telegram.press_data(chat, user, message, button),
            _ => self.telegram.press(chat, user, message, button),
        };
        self.answer(&press).await
    }

    /// Waits for a visible message of the bot with this button.
    pub async fn button(&self, chat: i64, label: &str) -> Shown {
        let has = |m: &Shown| !m.deleted && m.keyboard.iter().flatten().any(|b| b.label == label);
        self.telegram.wait_message(chat, has, SOON).await
    }

    /// `user` waits for this button and presses it; gives its message and what the press was answered with.
    pub async fn tap(&self, chat: i64, user: i64, label: &str) -> (i32, CallbackAnswer) {
        let message = self.button(chat, label).await.id;
        let press = self.telegram.press(chat, user, message, label);
        (message, self.answer(&press).await)
    }

    /// What the press was answered with.
    pub async fn answer(&self, press: &str) -> CallbackAnswer {
        let find = |w: &Seen| w.presses.iter().find(|p| p.id == press)?.answer.clone();
        self.telegram.wait_some(find, SOON).await
    }

    /// Waits until the bot has taken in all that was sent to it.
    pub async fn heard(&self) {
        self.telegram.wait_for(|w| w.pending_updates() == 0, SOON).await;
    }

    /// All visible messages of the bot in `chat`, oldest first.
    pub fn shown(&self, chat: i64) -> Vec<Shown> {
        self.telegram.look(|w| w.from_bot(chat).filter(|m| !m.deleted).cloned().collect())
    }

    /// How many visible messages of the bot in `chat` hold `part`.
    pub fn copies(&self, chat: i64, part: &str) -> usize {
        self.shown(chat).iter().filter(|m| shown_text(m).contains(part)).count()
    }

    /// Waits until nothing is undelivered and nothing runs.
    pub async fn quiet(&self) {
        let done = async {
            loop {
                let store = self.world.engine.store();
                // In this order: what ended before the first look has its reply by the second.
                let health = store.health().await.unwrap();
                let open = store.replies_open("telegram:").await.unwrap().len();
                if open == 0 && health.inbox_open == 0 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(SOON, done).await.is_err() {
            panic!("it never becomes quiet.\n{}", self.telegram.transcript());
        }
    }
}

/// Whether it is a card with its buttons.
pub fn asks(shown: &Shown) -> bool {
    shown.keyboard.concat().iter().any(|b| b.data.as_deref().is_some_and(|d| d.starts_with("d:")))
}

/// The data of a card's button with this mark.
pub fn data(card: &Shown, mark: &str) -> String {
    card.keyboard.concat().into_iter().find(|b| b.label.starts_with(mark)).unwrap().data.unwrap()
}

/// Text or caption.
pub fn shown_text(shown: &Shown) -> &str {
    &shown.text
}
