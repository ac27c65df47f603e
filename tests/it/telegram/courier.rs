//! The courier against the emulator: what people see in the chats after every fault, and that no limit is broken.

mod crowd;
mod faults;
mod stop;

use std::{sync::Arc, time::Duration};

use opsbot::{
    channels::telegram::{
        api::{Api, Timeouts},
        courier::{Attempt, Courier, Lane, Sent, Settings, Shapes, Undelivered, Waits},
        governor::Limits,
        post::{Body, Place, Post, Rich, Tap},
    },
    runtime::{Counters, clock},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::fake::telegram::{FakeTelegram, Options, Shown};

const ANNA: i64 = 1001;
const SOON: Duration = Duration::from_secs(20);
const OPEN: Limits = Limits {
    chat_burst: 100,
    chat_refill_per_s: 1.0,
    group_per_minute: 20,
    overall_per_s: 30,
    speed: 1000.0,
};

/// `~` marks, `-` is plain, and more than ten letters become parts of ten.
const SHAPES: Shapes = Shapes {
    mark_repeat: |p| post(&format!("~{}", text(&p))),
    plain: |p| post(&text(&p).replace('*', "-")),
    shorten: |p| {
        let letters: Vec<char> = text(&p).chars().collect();
        letters.chunks(10).map(|part| post(&part.iter().collect::<String>())).collect()
    },
};

fn post(text: &str) -> Post {
    Post::text(Rich::plain(text))
}

fn text(post: &Post) -> String {
    match &post.body {
        Body::Text(rich) => rich.text.clone(),
        Body::Photo { caption, .. } | Body::File { caption, .. } => caption.text.clone(),
    }
}

/// Waits so short that a table of faults takes no minutes.
fn waits() -> Waits {
    let ms = Duration::from_millis;
    Waits { backoff_min: ms(10), backoff_max: ms(50), token: ms(80), answer: ms(1500), stop: ms(300) }
}

fn settings() -> Settings {
    Settings { limits: OPEN, waits: waits(), ..Settings::new(SHAPES) }
}

/// A courier that runs against an emulator.
struct Desk {
    fake: FakeTelegram,
    courier: Courier,
    counters: Counters,
    stop: CancellationToken,
    task: JoinHandle<Result<(), String>>,
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn courier(url: &str, token: &str, settings: Settings) -> (Courier, Counters) {
    rustls::crypto::ring::default_provider().install_default().ok();
    let call = Duration::from_millis(400);
    let timeouts = Timeouts { connect: Duration::from_millis(300), call, ..Timeouts::default() };
    let counters = Counters::new(clock::now());
    let api = Api::new(url, token, timeouts).unwrap();
    (Courier::new(api, settings, counters.clone()), counters)
}

async fn desk_with(settings: Settings, options: Options) -> Desk {
    let fake = FakeTelegram::start(options).await;
    fake.private(ANNA, "Anna");
    let (courier, counters) = courier(&fake.url(), fake.token(), settings);
    let stop = CancellationToken::new();
    let task = tokio::spawn(courier.clone().run(stop.clone()));
    Desk { fake, courier, counters, stop, task }
}

async fn desk() -> Desk {
    desk_with(settings(), Options::default()).await
}

impl Desk {
    async fn send(&self, lane: Lane, text: &str) -> Result<Sent, Undelivered> {
        let sending = self.courier.send(Place::chat(ANNA), lane, post(text), Attempt::First);
        tokio::time::timeout(SOON, sending).await.expect("an end")
    }

    /// Sends in the background.
    fn post(&self, lane: Lane, text: &str) -> JoinHandle<Result<Sent, Undelivered>> {
        let (courier, post) = (self.courier.clone(), post(text));
        tokio::spawn(async move { courier.send(Place::chat(ANNA), lane, post, Attempt::First).await })
    }

    async fn edit(&self, message: i32, text: &str) -> Result<(), Undelivered> {
        let editing = self.courier.edit(Place::chat(ANNA), message, false, Lane::Reply, post(text));
        tokio::time::timeout(SOON, editing).await.expect("an end")
    }

    fn shown(&self) -> Vec<String> {
        self.fake.messages(ANNA).iter().map(|m| m.text.clone()).collect()
    }

    /// Waits until so many posts wait.
    async fn queued(&self, n: usize) {
        tokio::time::timeout(SOON, async {
            while self.courier.health().queued != n {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("they are queued");
    }

    fn count(&self, name: &str, label: (&'static str, &str)) -> u64 {
        self.counters.count(name, &[label])
    }
}
