//! The bot's token appears nowhere, whatever breaks and whoever prints it.

use std::{
    io,
    sync::{Arc, Mutex, OnceLock},
};

use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::{
    fake::model::Say,
    scenarios::world::{call, text},
};

/// Keeps all that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    /// What this process logs from now on, everything at all.
    fn begin() -> &'static Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        LOG.get_or_init(|| {
            let log = Self::default();
            let all = tracing_subscriber::fmt()
                .with_max_level(tracing::Level::TRACE)
                .with_ansi(false)
                .with_writer(log.clone())
                .finish();
            tracing::subscriber::set_global_default(all).unwrap();
            log
        })
    }
}

/// Everything that anybody could read.
fn everything(phone: &Phone) -> String {
    let shown = phone.telegram.look(|w| {
        let chats = w.chats.values().flat_map(|c| c.messages.values()).filter(|m| m.from_bot);
        let texts = chats.flat_map(|m| m.past.iter().chain([&m.text]).cloned().collect::<Vec<_>>());
        texts.collect::<Vec<_>>().join("\n")
    });
    let files = phone.telegram.look(|w| {
        let all = w.files.values().map(|f| String::from_utf8_lossy(&f.media.bytes).into_owned());
        all.collect::<Vec<_>>().join("\n")
    });
    let answers = format!("{:?}", phone.telegram.answers());
    let figures = format!("{:?}", phone.counters.snapshot());
    [shown, files, answers, figures, phone.health().1, phone.world.kept()].join("\n")
}

#[track_caller]
fn lacks(text: &str, token: &str, what: &str) {
    let secret = token.split_once(':').unwrap().1;
    if let Some(at) = text.find(secret) {
        let from = text.floor_char_boundary(at.saturating_sub(300));
        panic!("{what}: …{}", &text[from..at + secret.len()]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_on_every_method_keeps_the_token_to_itself() {
    let log = Log::begin();
    let faults = [
        slow_down(0),
        Fault::BadGateway,
        Fault::Unauthorized,
        Fault::Conflict,
        bad("can't parse entities: x"),
        Fault::LandThenDrop,
        Fault::DropBeforeLanding,
        Fault::Garbage,
        Fault::Refuse(301, "Moved".into()),
    ];
    for fault in faults {
        let phone = live_line().plain().await;
        let token = phone.telegram.token().to_owned();
        // Telegram's own words may quote the request, too.
        let echo = format!("wrong URL {}/bot{token}/x {token}", phone.telegram.url());
        for echo in [Fault::Refuse(400, echo.clone()), Fault::Refuse(409, echo)] {
            phone.telegram.fault("getUpdates", 1, echo);
        }
        phone.telegram.fault("*", 8, fault.clone());
        phone.telegram.say(ANNA, ANNA, "/check_up 19");
        phone.telegram.say(ANNA, ANNA, "/restart_container 19 web");
        phone.until(|| phone.telegram.faults_left(), |n| *n == 0).await;
        lacks(&phone.health().1, &token, "health");
        phone.quiet().await;
        lacks(&everything(&phone), &token, &format!("{fault:?}"));
    }
    let logged = log.text();
    assert!(logged.contains("no updates from Telegram"), "something was captured");
    lacks(&logged, "7000000001:AAFakeTokenForTestsOnly-000000000000", "the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_and_a_tool_that_print_the_token_are_not_heard() {
    let log = Log::begin();
    let token = "7000000001:AAFakeTokenForTestsOnly-000000000000";
    let spoken =
        format!("Well, the token is {token} and the address https://api.example/bot{token}/getMe, so.");
    let phone = Line { placeholder_after: Duration::ZERO, edit_every: Duration::from_millis(20), ..line() }
        .scripted(vec![
            call("get_recent_logs", json!({"customer_id": "19"})),
            Say::Slow { text: spoken.clone(), chunk_ms: 30 },
            text(&spoken),
        ])
        .await;
    phone.world.site.log("19", format!("calling https://api.example/bot{token}/getMe\n").repeat(3000));
    for question in ["what is in the log of customer 19?", "say it again"] {
        phone.telegram.say(ANNA, ANNA, question);
        phone.until(|| phone.copies(ANNA, "Well, the token is"), |n| *n > 0).await;
        phone.quiet().await;
    }
    phone.telegram.say(ANNA, ANNA, &format!("/check_up {token}"));
    phone.sees(ANNA, "no customer").await;
    phone.quiet().await;
    let all = everything(&phone);
    lacks(&all, token, "what is shown or kept");
    // While it was written, no part of it was shown either.
    let half = "AAFakeTokenForTests";
    assert!(!all.contains(half), "{}", &all[all.find(half).unwrap().saturating_sub(200)..][..300]);
    lacks(&log.text(), token, "the log");
}
