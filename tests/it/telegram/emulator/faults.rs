//! Misbehaviour on command, and rate limits that are checked.

use std::time::Instant;

use teloxide::{
    requests::Requester,
    types::{ChatId, Seconds},
};

use super::*;
use crate::fake::telegram::{Fault, Rates};

#[tokio::test]
async fn faults_hit_the_next_calls_and_no_others() {
    let (fake, bot) = started().await;
    let send = || async { bot.send_message(ChatId(ANNA), "hi").await };
    fake.fault("sendMessage", 2, Fault::TooManyRequests { retry_after: 3 });
    fake.fault("sendMessage", 1, Fault::BadRequest("can't parse entities: on command".into()));
    fake.fault("*", 1, Fault::Unauthorized);
    bot.send_chat_action(ChatId(ANNA), teloxide::types::ChatAction::Typing).await.unwrap_err();
    for _ in 0..2 {
        let Err(RequestError::RetryAfter(after)) = send().await else { panic!() };
        assert_eq!(after, Seconds::from_seconds(3));
    }
    assert!(matches!(api(send().await), ApiError::CantParseEntities(_)));
    assert_eq!(fake.faults_left(), 0);
    fake.fault("sendMessage", 1, Fault::Refuse(403, "Forbidden: user is deactivated".into()));
    assert_eq!(api(send().await), ApiError::UserDeactivated);
    assert!(fake.messages(ANNA).is_empty(), "nothing of it has landed");
    fake.fault_in(GROUP, "sendMessage", 1, Fault::Conflict);
    fake.fault_after(1, "sendMessage", 1, Fault::Conflict);
    send().await.unwrap();
    assert_eq!(api(bot.send_message(ChatId(GROUP), "x").await), ApiError::TerminatedByOtherGetUpdates);
    fake.fault("sendMessage", 9, Fault::Hang);
    fake.heal();
    send().await.unwrap();
    let codes: Vec<_> = fake.calls_of("sendMessage").iter().map(|c| (c.code, c.landed)).collect();
    assert_eq!(
        codes,
        [(429, false), (429, false), (400, false), (403, false), (200, true), (409, false), (200, true)]
    );
}

#[tokio::test]
async fn an_effect_may_land_without_an_answer() {
    let (fake, bot) = started().await;
    let table = [
        (Fault::LandThenDrop, true, 0),
        (Fault::DropBeforeLanding, false, 0),
        (Fault::Garbage, true, 200),
        (Fault::Hang, false, 0),
        (Fault::LandThenHang, true, 0),
    ];
    for (n, (fault, lands, code)) in table.into_iter().enumerate() {
        let text = format!("message {n}");
        fake.fault("sendMessage", 1, fault.clone());
        let sent = tokio::time::timeout(Duration::from_secs(1), bot.send_message(ChatId(ANNA), &text)).await;
        match (&fault, sent) {
            (Fault::Hang | Fault::LandThenHang, Err(_)) => {}
            (Fault::Garbage, Ok(Err(RequestError::InvalidJson { .. } | RequestError::Network(_)))) => {}
            (Fault::LandThenDrop | Fault::DropBeforeLanding, Ok(Err(RequestError::Network(_)))) => {}
            (_, other) => panic!("{fault:?}: {other:?}"),
        }
        assert_eq!(fake.messages(ANNA).iter().any(|m| m.text == text), lands, "{fault:?}");
        let call = fake.calls().pop().unwrap();
        assert_eq!((call.code, call.landed), (code, lands), "{fault:?}");
    }
    fake.fault("sendMessage", 1, Fault::SlowDrip(Duration::from_millis(1)));
    bot.send_message(ChatId(ANNA), "drop by drop").await.unwrap();
    fake.fault("sendMessage", 1, Fault::Late(Duration::from_millis(80)));
    let before = Instant::now();
    bot.send_message(ChatId(ANNA), "late").await.unwrap();
    assert!(before.elapsed() >= Duration::from_millis(80));
}

#[tokio::test]
async fn a_502_is_a_proxys_page() {
    let (fake, _) = started().await;
    fake.fault("getMe", 1, Fault::BadGateway);
    // By hand: teloxide sleeps for ten seconds first.
    let url = format!("{}/bot{}/getMe", fake.url(), fake.token());
    let answer = client().get(url).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (502, &"text/html".parse().unwrap())
    );
    assert!(answer.text().await.unwrap().contains("<h1>502 Bad Gateway</h1>"));
}

#[tokio::test]
async fn a_broken_rate_limit_is_refused_and_noted() {
    // A second lasts a minute here, so that a slow machine breaks the same limits.
    let slow = Rates { scale: 60.0, slack: Duration::ZERO, ..Rates::default() };
    let (fake, bot) = with(Options { rates: Some(slow), ..Options::default() }).await;
    let mut sent = vec![];
    for n in 0..3 {
        sent.push(bot.send_message(ChatId(ANNA), n.to_string()).await.unwrap());
    }
    assert!(fake.violations().is_empty(), "a burst of three is allowed");
    let Err(RequestError::RetryAfter(after)) = bot.send_message(ChatId(ANNA), "4").await else { panic!() };
    assert!((30..=60).contains(&after.seconds()), "{after:?}");
    let edit = bot.edit_message_text(ChatId(ANNA), sent[0].id, "an edit counts too").await;
    assert!(matches!(edit, Err(RequestError::RetryAfter(_))), "{edit:?}");
    let broken = fake.violations();
    assert_eq!(broken.iter().map(|v| v.chat).collect::<Vec<_>>(), [ANNA, ANNA]);
    assert_eq!(broken[1].method, "editMessageText");
    bot.send_message(ChatId(GROUP), "another chat has its own").await.unwrap();
    bot.delete_message(ChatId(ANNA), sent[0].id).await.unwrap();
}

#[tokio::test]
async fn groups_and_the_whole_have_limits_too() {
    let quick = Rates { burst: 100, scale: 1.0, slack: Duration::ZERO, ..Rates::default() };
    let (fake, bot) = with(Options { rates: Some(quick), ..Options::default() }).await;
    for n in 0..20 {
        bot.send_message(ChatId(GROUP), n.to_string()).await.unwrap();
    }
    bot.send_message(ChatId(GROUP), "the 21st of this minute").await.unwrap_err();
    assert_eq!(fake.violations().pop().unwrap().limit, "20 messages a minute in a group");
    let few = Rates { burst: 100, per_second: 5, scale: 60.0, slack: Duration::ZERO, ..Rates::default() };
    let (fake, bot) = with(Options { rates: Some(few), ..Options::default() }).await;
    for n in 0..5 {
        bot.send_message(ChatId(ANNA), n.to_string()).await.unwrap();
    }
    bot.send_message(ChatId(GROUP), "the 6th of this second").await.unwrap_err();
    assert_eq!(fake.violations().len(), 1);
}
