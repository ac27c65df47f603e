//! Telegram's Bot API as a server of our own: real HTTP, real long polls, Telegram's checks and errors, and every
//! misbehaviour on command. Scenarios act as the people (`people.rs`) and look at what the chats show.
//!
//! `FakeTelegram::start(Options::default())` serves on a free port; [`FakeTelegram`] is cheap to clone, and its world
//! lives as long as one clone does, however often the bot restarts.
#![allow(
    dead_code,
    unused_imports,
    reason = "tests and the page use a part each of what can be seen and done"
)]

mod account;
mod draft;
mod faults;
mod limits;
mod media;
mod methods;
mod params;
mod people;
mod state;
mod text;
mod updates;
mod web;
mod wire;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{
    net::TcpListener,
    sync::watch,
    task::{AbortHandle, JoinHandle},
};

pub use draft::Draft;
pub use faults::Fault;
pub use limits::Rates;
pub use state::{
    Action, BotAccount, Button, Call, CallbackAnswer, Chat, ChatKind, Media, MediaKind, Person, Press, Shown,
    Violation, World,
};

/// How the emulator starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens; port 0 takes a free one.
    pub address: SocketAddr,
    /// The bot's token, `<id>:<secret>`.
    pub token: String,
    /// The bot's name.
    pub first_name: String,
    /// The bot's username without `@`.
    pub username: String,
    /// Privacy mode: groups show the bot only commands, mentions and replies to it.
    pub privacy: bool,
    /// Checks Telegram's rate limits, answers 429 and notes violations.
    pub rates: Option<Rates>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            token: "7000000001:AAFakeTokenForTestsOnly-000000000000".into(),
            first_name: "OpsBot".into(),
            username: "ops_test_bot".into(),
            privacy: false,
            rates: None,
        }
    }
}

/// A running emulator.
#[derive(Clone)]
pub struct FakeTelegram {
    core: Arc<Core>,
    /// Ends the server with the last clone outside of it.
    _owner: Option<Arc<Owner>>,
}

struct Core {
    url: String,
    token: String,
    world: watch::Sender<World>,
}

struct Owner(Vec<AbortHandle>);

impl Drop for Owner {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

impl FakeTelegram {
    /// Listens and serves until the last clone is dropped.
    pub async fn start(options: Options) -> Self {
        let listener = TcpListener::bind(options.address).await.expect("the address is free");
        let url = format!("http://{}", listener.local_addr().expect("a listener has an address"));
        let id = options.token.split(':').next().and_then(|id| id.parse().ok());
        let bot = BotAccount {
            id: id.expect("a token begins with the bot's id"),
            first_name: options.first_name,
            username: options.username,
            privacy: options.privacy,
        };
        let world = watch::Sender::new(World::new(bot, options.rates.map(limits::Meter::new)));
        let core = Arc::new(Core { url, token: options.token, world });
        let inner = Self { core, _owner: None };
        let tasks: [JoinHandle<()>; 2] =
            [tokio::spawn(wire::serve(inner.clone(), listener)), tokio::spawn(inner.clone().deliver())];
        let owner = Owner(tasks.iter().map(JoinHandle::abort_handle).collect());
        Self { _owner: Some(Arc::new(owner)), ..inner }
    }

    /// Its base URL, for `telegram.api_url`: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.core.url.clone()
    }

    /// The only token that it takes.
    pub fn token(&self) -> &str {
        &self.core.token
    }

    /// The bot's id.
    pub fn bot_id(&self) -> i64 {
        self.look(|w| w.bot.id)
    }

    /// The bot's username without `@`.
    pub fn bot_name(&self) -> String {
        self.look(|w| w.bot.username.clone())
    }

    // --- looking --------------------------------------------------------------------------------------------------

    /// Looks at everything at one moment; `look` must not call back.
    pub fn look<T>(&self, look: impl FnOnce(&World) -> T) -> T {
        look(&self.core.world.borrow())
    }

    /// Waits until `done` holds; after `within` it panics and tells what the chats show and what was called.
    pub async fn wait_for(&self, mut done: impl FnMut(&World) -> bool, within: Duration) {
        self.wait_some(|w| done(w).then_some(()), within).await;
    }

    /// Waits until `find` finds something, as [`FakeTelegram::wait_for`] does.
    pub async fn wait_some<T>(&self, mut find: impl FnMut(&World) -> Option<T>, within: Duration) -> T {
        let mut world = self.subscribe();
        let mut found = None;
        let waited = tokio::time::timeout(
            within,
            world.wait_for(|w| {
                found = find(w);
                found.is_some()
            }),
        );
        drop(waited.await);
        found.unwrap_or_else(|| panic!("waited {within:?} in vain.\n{}", self.transcript()))
    }

    /// Waits for a visible message of the bot in `chat` that `fits`, the last of them, and returns it.
    pub async fn wait_message(
        &self,
        chat: i64,
        mut fits: impl FnMut(&Shown) -> bool,
        within: Duration,
    ) -> Shown {
        self.wait_some(|w| w.from_bot(chat).rev().find(|m| fits(m)).cloned(), within).await
    }

    /// The chat's visible messages, in order.
    pub fn messages(&self, chat: i64) -> Vec<Shown> {
        self.look(|w| w.messages(chat))
    }

    /// The message, if it was ever there.
    pub fn message(&self, chat: i64, id: i32) -> Option<Shown> {
        self.look(|w| w.message(chat, id).cloned())
    }

    /// Presses, with the bot's answers.
    pub fn answers(&self) -> Vec<Press> {
        self.look(|w| w.presses.clone())
    }

    /// The chat actions (`typing` …) in `chat`.
    pub fn actions(&self, chat: i64) -> Vec<Action> {
        self.look(|w| w.actions.iter().filter(|a| a.chat == chat).cloned().collect())
    }

    /// Every call so far, `getUpdates` too.
    pub fn calls(&self) -> Vec<Call> {
        self.look(|w| w.calls.clone())
    }

    /// The calls of one method.
    pub fn calls_of(&self, method: &str) -> Vec<Call> {
        self.look(|w| w.calls.iter().filter(|c| c.method.eq_ignore_ascii_case(method)).cloned().collect())
    }

    /// Broken rate limits.
    pub fn violations(&self) -> Vec<Violation> {
        self.look(|w| w.violations.clone())
    }

    /// The menu of a scope (`default`, `all_private_chats`, `chat:-100…`) in a language (`""` for any).
    pub fn commands(&self, scope: &str, language: &str) -> Option<Vec<(String, String)>> {
        self.look(|w| w.commands.get(&(scope.to_owned(), language.to_owned())).cloned())
    }

    /// How many `getUpdates` wait at this moment.
    pub fn pollers(&self) -> usize {
        self.look(World::pollers)
    }

    /// How many updates the bot has not confirmed.
    pub fn pending_updates(&self) -> usize {
        self.look(World::pending_updates)
    }

    /// What happened, for a person who reads a failed test.
    pub fn transcript(&self) -> String {
        self.look(World::transcript)
    }

    // --- misbehaving ----------------------------------------------------------------------------------------------

    /// The next `times` calls of `method` (`"*"` for any) meet `fault`; several wait in the order of their coming.
    pub fn fault(&self, method: &str, times: usize, fault: Fault) {
        self.arm(method, None, 0, times, fault);
    }

    /// As [`FakeTelegram::fault`], for calls to one chat.
    pub fn fault_in(&self, chat: i64, method: &str, times: usize, fault: Fault) {
        self.arm(method, Some(chat), 0, times, fault);
    }

    /// As [`FakeTelegram::fault`], after `skip` calls that go well.
    pub fn fault_after(&self, skip: usize, method: &str, times: usize, fault: Fault) {
        self.arm(method, None, skip, times, fault);
    }

    fn arm(&self, method: &str, chat: Option<i64>, skip: usize, left: usize, fault: Fault) {
        let method = if method == "*" { String::new() } else { method.to_lowercase() };
        if left > 0 {
            self.change(|w| w.armed.push(faults::Armed { method, chat, skip, left, fault }));
        }
    }

    /// How many calls the armed faults still want to hit.
    pub fn faults_left(&self) -> usize {
        self.look(|w| w.armed.iter().fold(0, |sum: usize, a| sum.saturating_add(a.left)))
    }

    /// Forgets all faults.
    pub fn heal(&self) {
        self.change(|w| {
            w.armed.clear();
            w.queue.duplicate = 0;
            w.queue.reverse = 0;
            w.queue.held = false;
        });
    }

    /// The next `n` confirmed updates come once more after their confirmation.
    pub fn duplicate(&self, n: usize) {
        self.change(|w| w.queue.duplicate = n);
    }

    /// The next `n` answers of `getUpdates` that have more than one update come in reverse order.
    pub fn reorder(&self, n: usize) {
        self.change(|w| w.queue.reverse = n);
    }

    /// Keeps updates back (`true`) or lets them go, so that several come at once.
    pub fn hold(&self, held: bool) {
        self.change(|w| w.queue.held = held);
    }

    /// From now on nothing that was pressed before can be answered.
    pub fn expire_callbacks(&self) {
        self.change(|w| w.presses.iter_mut().for_each(|p| p.expired = true));
    }

    // --- inside ---------------------------------------------------------------------------------------------------

    fn subscribe(&self) -> watch::Receiver<World> {
        self.core.world.subscribe()
    }

    /// Changes something that a person could see.
    fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        self.quietly(|w| {
            w.version += 1;
            change(w)
        })
    }

    /// Changes something that only observers see.
    fn quietly<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let mut out = None;
        self.core.world.send_modify(|w| out = Some(change(w)));
        out.expect("send_modify always runs its closure")
    }
}

/// Unix seconds.
fn unix_now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    i64::try_from(now).unwrap_or(i64::MAX)
}
