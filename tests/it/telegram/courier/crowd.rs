//! Many posts: limits hold, nobody starves, order is kept, the urgent overtakes, live edits give way.

use std::collections::BTreeMap;

use futures::future::join_all;

use super::*;
use crate::fake::telegram::{Fault, Rates};

const GROUP: i64 = -1_001_234_567_890;

/// Telegram's limits with time this much faster, on both sides; the emulator forgives nothing.
fn governed(speed: f64) -> (Settings, Options) {
    let rates = Rates { scale: 1.0 / speed, slack: Duration::ZERO, ..Rates::default() };
    let limits = Limits { speed, ..Limits::default() };
    (Settings { limits, ..settings() }, Options { rates: Some(rates), ..Options::default() })
}

#[tokio::test]
async fn two_hundred_chats_at_once_are_served_in_turn() {
    let (settings, options) = governed(20.0);
    let desk = desk_with(settings, options).await;
    let chats = 5000..5200;
    for chat in chats.clone() {
        desk.fake.private(chat, "Somebody");
    }
    let courier = &desk.courier;
    let sends = chats.clone().flat_map(|chat| {
        (0..3)
            .map(move |n| courier.send(Place::chat(chat), Lane::Reply, post(&n.to_string()), Attempt::First))
    });
    let all = tokio::time::timeout(Duration::from_secs(60), join_all(sends)).await.expect("an end");
    assert!(all.iter().all(|sent| sent.as_ref().is_ok_and(|sent| !sent.repeat)));
    assert!(desk.fake.violations().is_empty(), "{:?}", desk.fake.violations().first());
    for chat in chats {
        let texts: Vec<_> = desk.fake.messages(chat).into_iter().map(|m| m.text).collect();
        assert_eq!(texts, ["0", "1", "2"], "chat {chat}");
    }
    // Nobody gets a second message long before everybody has the first.
    let mut served: BTreeMap<i64, usize> = BTreeMap::new();
    for (n, call) in desk.fake.calls_of("sendMessage").iter().enumerate() {
        let turn = served.entry(call.chat.unwrap()).or_default();
        assert!(n.abs_diff(*turn * 200 + 100) <= 100 + 40, "message {turn} of {:?} came as {n}th", call.chat);
        *turn += 1;
    }
}

#[tokio::test]
async fn five_hundred_messages_to_a_group_break_no_limit_and_come_in_order() {
    let (settings, options) = governed(500.0);
    let desk = desk_with(settings, options).await;
    desk.fake.supergroup(GROUP, "Ops", false);
    let sends = (0..500)
        .map(|n| desk.courier.send(Place::chat(GROUP), Lane::Reply, post(&n.to_string()), Attempt::First));
    let all = tokio::time::timeout(Duration::from_secs(60), join_all(sends)).await.expect("an end");
    assert!(all.iter().all(|sent| sent.as_ref().is_ok_and(|sent| !sent.repeat)));
    assert!(desk.fake.violations().is_empty(), "{:?}", desk.fake.violations().first());
    let texts: Vec<_> = desk.fake.messages(GROUP).into_iter().map(|m| m.text).collect();
    assert_eq!(texts, (0..500).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn edits_are_governed_as_sends_are() {
    let (settings, options) = governed(200.0);
    let desk = desk_with(settings, options).await;
    desk.fake.supergroup(GROUP, "Ops", false);
    let place = Place::chat(GROUP);
    let sent = desk.courier.send(place, Lane::Reply, post("x"), Attempt::First).await.unwrap();
    let edits =
        (0..45).map(|n| desk.courier.edit(place, sent.message, false, Lane::Reply, post(&n.to_string())));
    assert!(join_all(edits).await.iter().all(Result::is_ok));
    assert!(desk.fake.violations().is_empty(), "{:?}", desk.fake.violations().first());
    let begin = desk.fake.calls_of("sendMessage")[0].at;
    let last = desk.fake.calls_of("editMessageText").last().unwrap().at;
    // 46 calls at 20 a minute take two full minutes, two hundred times as fast.
    assert!(last - begin >= Duration::from_millis(600), "{:?}", last - begin);
}

#[tokio::test]
async fn the_urgent_overtakes_what_waits_in_its_chat() {
    let desk = desk().await;
    desk.fake.fault("sendMessage", 1, Fault::TooManyRequests { retry_after: 1 });
    let waiting: Vec<_> = ["a", "b", "c"].map(|said| desk.post(Lane::Reply, said)).into();
    desk.queued(3).await;
    assert_eq!(desk.courier.health().blocked_chats, 1);
    let urgent = desk.post(Lane::Critical, "!");
    desk.queued(4).await;
    assert!(urgent.await.unwrap().is_ok());
    for sent in waiting {
        assert!(sent.await.unwrap().is_ok());
    }
    assert_eq!(desk.shown(), ["!", "a", "b", "c"]);
}

#[tokio::test]
async fn a_blocked_chat_delays_no_other() {
    let desk = desk().await;
    desk.fake.private(7, "Ben");
    desk.fake.fault_in(ANNA, "sendMessage", 1, Fault::TooManyRequests { retry_after: 1 });
    let waiting = desk.post(Lane::Reply, "late");
    desk.queued(1).await;
    desk.courier.send(Place::chat(7), Lane::Reply, post("now"), Attempt::First).await.unwrap();
    assert!(desk.shown().is_empty());
    desk.courier.action(Place::chat(ANNA));
    desk.courier.action(Place::chat(7));
    desk.fake.wait_for(|w| w.actions.len() == 1, SOON).await;
    assert!(waiting.await.unwrap().is_ok());
    assert_eq!((desk.shown(), desk.fake.actions(ANNA).len()), (vec!["late".to_owned()], 0));
    assert_eq!(desk.count("opsbot_telegram_dropped_total", ("what", "action")), 1);
    desk.courier.action(Place::chat(ANNA));
    desk.fake.wait_for(|w| w.actions.iter().any(|a| a.chat == ANNA && a.action == "typing"), SOON).await;
}

#[tokio::test]
async fn live_edits_show_the_newest_and_the_final_text_stays() {
    let desk = desk().await;
    let sent = desk.send(Lane::Reply, "…").await.unwrap();
    desk.fake.fault("editMessageText", 1, Fault::TooManyRequests { retry_after: 0 });
    desk.fake.fault("editMessageText", 1, Fault::LandThenDrop);
    for n in 0..300 {
        desk.courier.edit_live(Place::chat(ANNA), sent.message, post(&format!("live {n}")));
        tokio::task::yield_now().await;
    }
    assert_eq!(desk.edit(sent.message, "final").await, Ok(()));
    desk.courier.edit_live(Place::chat(ANNA), 4711, post("no such message"));
    assert!(desk.send(Lane::Reply, "after").await.is_ok());
    let shown: Shown = desk.fake.message(ANNA, sent.message).unwrap();
    assert_eq!(shown.text, "final");
    let numbers: Vec<u32> = shown.past.iter().filter_map(|p| p.strip_prefix("live ")?.parse().ok()).collect();
    assert!(numbers.is_sorted() && numbers.len() < 250, "{numbers:?}");
    desk.fake.wait_for(|w| w.calls.iter().any(|c| c.message == Some(4711)), SOON).await;
    assert_eq!(desk.courier.health().queued, 0);
}

#[tokio::test]
async fn a_full_queue_makes_senders_wait_and_keeps_their_order() {
    let desk = desk_with(Settings { per_chat: 2, ..settings() }, Options::default()).await;
    desk.fake.fault("sendMessage", 1, Fault::TooManyRequests { retry_after: 1 });
    let sends = (0..20)
        .map(|n| desk.courier.send(Place::chat(ANNA), Lane::Reply, post(&n.to_string()), Attempt::First));
    let all = join_all(sends);
    tokio::pin!(all);
    tokio::select! {
        _ = &mut all => panic!("the chat is blocked"),
        () = desk.queued(2) => {}
    }
    desk.courier.edit_live(Place::chat(ANNA), 1, post("dropped first"));
    assert_eq!(desk.count("opsbot_telegram_dropped_total", ("what", "live_edit")), 1);
    assert!(all.await.iter().all(Result::is_ok));
    assert_eq!(desk.shown(), (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
}
