//! Faults on the way in: while updates are polled for.

use std::time::Instant;

use serde_json::json;

use super::*;

/// Another program that polls with the same token until it is dropped.
struct Rival {
    task: tokio::task::JoinHandle<()>,
    calls: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

impl Rival {
    fn start(phone: &Phone) -> Self {
        let url = format!("{}/bot{}/getUpdates", phone.telegram.url(), phone.telegram.token());
        let calls = std::sync::Arc::<std::sync::atomic::AtomicUsize>::default();
        let count = calls.clone();
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        let task = tokio::spawn(async move {
            loop {
                count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                http.post(&url).json(&json!({"timeout": 30, "offset": 0})).send().await.ok();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { task, calls }
    }

    fn calls(&self) -> usize {
        self.calls.load(std::sync::atomic::Ordering::Relaxed)
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_that_fails_is_repeated_and_nothing_is_lost() {
    let drip = Fault::SlowDrip(Duration::from_millis(50));
    // The fault, how often, and what health says meanwhile.
    let table = [
        (slow_down(1), 1, "asks to wait 1 s"),
        (Fault::BadGateway, 5, "HTTP 502"),
        (Fault::Unauthorized, 3, "@BotFather"),
        (Fault::Refuse(404, "Not Found".into()), 3, "@BotFather"),
        (Fault::Conflict, 3, "another program polls"),
        (Fault::LandThenDrop, 4, ""),
        (Fault::DropBeforeLanding, 4, ""),
        (Fault::Garbage, 4, "not Telegram's"),
        (Fault::Hang, 1, "no answer in time"),
        (Fault::LandThenHang, 1, "no answer in time"),
        (drip, 1, "no answer in time"),
    ];
    for (fault, times, words) in table {
        let phone = line().plain().await;
        phone.health_says(true, "updates arrive").await;
        phone.telegram.fault("getUpdates", times, fault.clone());
        let begun = Instant::now();
        phone.telegram.say(ANNA, ANNA, "/list_customers");
        phone.telegram.say(ANNA, ANNA, "/check_up 19");
        let said = phone.health_says(false, words).await;
        assert!(!said.contains("whether Telegram took it"), "a poll is nothing to take: {said}");
        phone.sees(ANNA, FOUND).await;
        assert!(begun.elapsed() < Duration::from_secs(10), "{fault:?}: {:?}", begun.elapsed());
        phone.health_says(true, "updates arrive").await;
        phone.quiet().await;
        let seen = (phone.both(FOUND), phone.both("7, 12, 16, 19"));
        assert_eq!(seen, ((1, 0), (1, 0)), "{fault:?}\n{}", phone.telegram.transcript());
        assert!(phone.count("opsbot_telegram_poll_failures_total", &[]) >= 1, "{fault:?}");
        assert_eq!(phone.telegram.pending_updates(), 0, "{fault:?}: confirmed in the end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_poller_is_yielded_to_named_and_survived() {
    let phone = line().plain().await;
    phone.health_says(true, "updates arrive").await;
    let rival = Rival::start(&phone);
    let said = phone.health_says(false, "409").await;
    assert!(said.contains("stop it") && said.contains("@BotFather"), "{said}");
    // Ours takes a pause each time, so the two do not throw each other out as fast as they can.
    let before = phone.telegram.calls_of("getUpdates").len() - rival.calls();
    let watched = Instant::now();
    phone.until(|| watched.elapsed(), |t| *t > Duration::from_secs(2)).await;
    let ours = phone.telegram.calls_of("getUpdates").len() - rival.calls() - before;
    assert!((1..=22).contains(&ours), "{ours} polls of ours in 2 s with a pause of 0.2 s");
    drop(rival);
    phone.telegram.say(ANNA, ANNA, "/check_up 19");
    phone.health_says(true, "updates arrive").await;
    phone.sees(ANNA, FOUND).await;
    phone.quiet().await;
    assert_eq!(phone.both(FOUND), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_takes_the_updates_is_removed() {
    let phone = line().plain().await;
    phone.health_says(true, "updates arrive").await;
    let url = format!("{}/bot{}/setWebhook", phone.telegram.url(), phone.telegram.token());
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    // Its first removal fails, too.
    phone.telegram.fault("deleteWebhook", 1, Fault::BadGateway);
    http.post(&url).json(&json!({"url": "https://127.0.0.1:9/x"})).send().await.unwrap();
    phone.telegram.say(ANNA, ANNA, "/check_up 19");
    phone.health_says(false, "webhook").await;
    phone.sees(ANNA, FOUND).await;
    phone.health_says(true, "updates arrive").await;
    phone.quiet().await;
    assert_eq!(phone.both(FOUND), (1, 0));
    assert_eq!(phone.telegram.calls_of("deleteWebhook").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_loses_nothing_in_either_direction() {
    let phone = live_line().plain().await;
    phone.ask_and_wait().await;
    phone.telegram.fault("*", 12, Fault::Unauthorized);
    phone.release();
    phone.telegram.say(ANNA, ANNA, "/list_customers");
    let said = phone.health_says(false, "(401)").await;
    assert!(said.contains("telegram.token") && said.contains("telegram.api_url"), "{said}");
    phone.sees(ANNA, "7, 12, 16, 19").await;
    phone.health_says(true, "updates arrive").await;
    phone.quiet().await;
    assert_eq!(phone.both(FOUND), (1, 0), "{}", phone.telegram.transcript());
}
