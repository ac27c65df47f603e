//! Updates that come twice, in the wrong order, unreadable, deep, or from another time.

use serde_json::{Value, json};

use super::*;

/// A message of Anna's as Telegram writes it, for what no phone can send.
fn message(id: i64, text: &str) -> Value {
    let anna = json!({"id": ANNA, "is_bot": false, "first_name": "anna"});
    let chat = json!({"id": ANNA, "type": "private", "first_name": "anna"});
    json!({"message_id": id, "from": anna, "chat": chat, "date": Timestamp::now().as_second(), "text": text})
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_that_come_twice_and_in_reverse_run_and_show_once() {
    let phone = line().plain().await;
    phone.telegram.hold(true);
    phone.telegram.duplicate(8);
    phone.telegram.reorder(3);
    phone.telegram.say(ANNA, ANNA, "/check_up 19");
    phone.telegram.say(ANNA, ANNA, "/list_customers");
    phone.telegram.say(ANNA, ANNA, "/restart_container 19 web");
    phone.telegram.say(1009, 1009, "hello?");
    phone.telegram.hold(false);
    phone.sees(ANNA, FOUND).await;
    phone.sees(ANNA, "7, 12, 16, 19").await;
    let card = phone.sees(ANNA, "restart").await;
    phone.telegram.wait_for(|w| w.pending_updates() == 0, SOON).await;
    phone.quiet().await;
    assert_eq!(phone.shown(ANNA).len(), 3, "{}", phone.telegram.transcript());
    assert_eq!(phone.shown(1009).len(), 1, "a stranger's code comes once\n{}", phone.telegram.transcript());

    // A press that comes twice: one write, and both presses are answered.
    phone.telegram.duplicate(2);
    phone.telegram.press(ANNA, ANNA, card.id, "✅ Confirm");
    phone.until(|| phone.world.writes(), |w| !w.is_empty()).await;
    phone.telegram.wait_for(|w| w.pending_updates() == 0, SOON).await;
    phone.telegram.wait_for(|w| w.presses.iter().all(|p| p.answer.is_some()), SOON).await;
    phone.quiet().await;
    assert_eq!(phone.world.writes(), ["19/web"]);
    let answer = phone.telegram.answers().pop().unwrap().answer.unwrap();
    assert!(answer.text.contains("Confirmed"), "the answer is not taken back: {answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_comes_twice_is_answered_once() {
    let phone = line().plain().await;
    let asked = phone.telegram.say(ANNA, ANNA, "/check_up 19");
    phone.sees(ANNA, FOUND).await;
    phone.quiet().await;
    phone.telegram.duplicate(1);
    phone.telegram.edit(ANNA, ANNA, asked, "/check_up 12");
    let about_edit = |m: &Shown| m.reply_to == Some(asked);
    phone.telegram.wait_message(ANNA, about_edit, SOON).await;
    phone.telegram.say(ANNA, ANNA, "/list_customers");
    phone.sees(ANNA, "7, 12, 16, 19").await;
    phone.telegram.wait_for(|w| w.pending_updates() == 0, SOON).await;
    phone.quiet().await;
    assert_eq!(
        phone.shown(ANNA).iter().filter(|m| about_edit(m)).count(),
        1,
        "{}",
        phone.telegram.transcript()
    );
    assert_eq!(phone.copies(ANNA, "web of 12"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_costs_nothing_but_itself() {
    let mut nested = message(9002, "/list_customers");
    nested["reply_to_message"] = (0..20).fold(message(8000, "end"), |inner, n| {
        let mut outer = message(8001 + n, "deeper");
        outer["reply_to_message"] = inner;
        outer
    });
    nested["novelty"] = (0..20).fold(json!(1), |inner, _| json!({"deeper": [inner]}));
    let mut abyss = message(9003, "/check_up 12");
    abyss["novelty"] = (0..100).fold(json!(1), |inner, _| json!({"deeper": [inner]}));
    let phone = line().plain().await;
    phone.telegram.hold(true);
    phone.telegram.say(ANNA, ANNA, "/check_up 19");
    for nonsense in [
        json!({"nonsense": true}),
        json!(7),
        json!(null),
        json!({"message_id": "x", "chat": [], "date": -1, "text": {}}),
        json!({"message_id": 9001, "from": {"id": ANNA}, "chat": {"id": "me"}, "date": 1e30, "text": "/stop"}),
    ] {
        phone.telegram.push_update("message", nonsense);
    }
    phone.telegram.push_update("callback_query", json!({"id": 5}));
    phone.telegram.push_update("message", nested);
    phone.telegram.push_update("message", abyss);
    phone.telegram.say(ANNA, ANNA, "/get_health_score 7");
    phone.telegram.hold(false);
    phone.sees(ANNA, "7: 40").await;
    phone.sees(ANNA, "7, 12, 16, 19").await;
    phone.sees(ANNA, "web of 19").await;
    phone.telegram.wait_for(|w| w.pending_updates() == 0, SOON).await;
    phone.quiet().await;
    assert!(phone.shown(ANNA).len() <= 4, "{}", phone.telegram.transcript());
    assert!(phone.health().0);
    let left_out = phone.count("opsbot_telegram_updates_total", &[("kind", "unreadable")])
        + phone.count("opsbot_telegram_updates_total", &[("kind", "unknown")]);
    assert!((6..=7).contains(&left_out), "{left_out}");
    let taken = phone.count("opsbot_telegram_updates_total", &[("kind", "message")]);
    assert_eq!(taken + left_out, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_from_another_time_asks_or_runs_but_never_breaks() {
    let now = Timestamp::now().as_second();
    // When it was sent, and whether its card asks if it is still meant.
    for (sent, asks) in [
        (now - 2 * 3600, true),
        (now - 30 * 365 * 86_400, true),
        (1, true),
        (now + 86_400, false),
        (i64::from(i32::MAX), false),
    ] {
        let phone = line().plain().await;
        phone.telegram.say_at(ANNA, ANNA, "/check_up 19", sent);
        phone.telegram.say_at(ANNA, ANNA, "/restart_container 19 web", sent);
        phone.sees(ANNA, FOUND).await;
        let card = phone.sees(ANNA, "restart").await;
        assert_eq!(card.text.contains("still do it"), asks, "{sent}: {}", card.text);
        phone.telegram.press(ANNA, ANNA, card.id, "✅ Confirm");
        phone.until(|| phone.world.writes(), |w| *w == ["19/web"]).await;
        phone.quiet().await;
        assert!(phone.health().0);
    }
}
