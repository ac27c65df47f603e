//! Telegram to try the bot by hand: `cargo run --example fake-telegram -- [--port 8081] [--privacy]` serves the Bot API,
//! and a page on which a person plays the phone.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a tool for tests, which fails by panicking, reads clocks and uses a part of the fake"
)]

#[path = "../it/fake/telegram/mod.rs"]
mod telegram;

use std::net::Ipv4Addr;

use telegram::{FakeTelegram, Options};

const ANNA: i64 = 1001;
const BEN: i64 = 1002;
const CARA: i64 = 1003;
const GROUP: i64 = -1_001_000_000_001;
const FORUM: i64 = -1_001_000_000_002;

#[tokio::main]
async fn main() {
    let mut options = Options { address: (Ipv4Addr::LOCALHOST, 8081).into(), ..Options::default() };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--port" => {
                let port = args.next().and_then(|port| port.parse().ok()).expect("--port takes a number");
                options.address.set_port(port);
            }
            "--privacy" => options.privacy = true,
            _ => {
                eprintln!(
                    "usage: fake-telegram [--port 8081] [--privacy]   (--privacy: as BotFather's default)"
                );
                std::process::exit(2);
            }
        }
    }
    let fake = FakeTelegram::start(options).await;
    furnish(&fake);
    let (url, token) = (fake.url(), fake.token());
    eprintln!(
        "Telegram is played at {url}/ (open it in a browser: it is the phone).

The token is a secret, so it comes from the environment; the rest goes into config.toml:

export OPSBOT_TELEGRAM_TOKEN={token}

[telegram]
token = {{ env = \"OPSBOT_TELEGRAM_TOKEN\" }}
api_url = \"{url}\"
groups = [{GROUP}, {FORUM}]

[[person]]
name = \"anna\"
role = \"admin\"
telegram_id = {ANNA}

Ben is {BEN}; Cara, whom nobody knows, is {CARA}. Groups: Ops {GROUP}, Night shift (with topics) {FORUM}."
    );
    std::future::pending::<()>().await;
}

/// People and chats as an ops team has them.
fn furnish(fake: &FakeTelegram) {
    for (id, name, username) in [(ANNA, "Anna", "anna_ops"), (BEN, "Ben", "ben_ops"), (CARA, "Cara", "")] {
        fake.person(id, name, username);
        fake.private(id, name);
    }
    fake.supergroup(GROUP, "Ops", false);
    fake.supergroup(FORUM, "Night shift", true);
    for member in [ANNA, BEN] {
        fake.join(GROUP, member);
        fake.join(FORUM, member);
    }
    for topic in ["Shop", "Backups"] {
        fake.topic(FORUM, ANNA, topic);
    }
}
