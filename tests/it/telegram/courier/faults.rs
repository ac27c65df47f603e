//! Every fault on every kind of call: what is seen afterwards, and what the caller learns.

use tokio::{net::TcpListener, time::Instant};

use super::*;
use crate::fake::telegram::{Fault, MediaKind};

fn bad(text: &str) -> Fault {
    Fault::BadRequest(text.into())
}

const SLOW_DOWN: Fault = Fault::TooManyRequests { retry_after: 0 };

#[tokio::test]
async fn a_first_send_is_never_lost_and_at_most_one_marked_copy_is_seen() {
    let entities = "can't parse entities: unsupported start tag";
    let blocked = || Fault::Refuse(403, "Forbidden: bot was blocked by the user".into());
    let late = Fault::Late(Duration::from_millis(50));
    // The fault, how often, what is seen, and how it ends: `ok`, `repeat`, or why not.
    let table: Vec<(Fault, usize, &[&str], &str)> = vec![
        (Fault::LandThenDrop, 1, &["hi*", "~hi*"], "repeat"),
        (Fault::LandThenDrop, 2, &["hi*", "~hi*"], "Unsure"),
        (Fault::DropBeforeLanding, 1, &["~hi*"], "repeat"),
        (Fault::DropBeforeLanding, 2, &[], "Unsure"),
        (Fault::Hang, 1, &["~hi*"], "repeat"),
        (Fault::LandThenHang, 1, &["hi*", "~hi*"], "repeat"),
        (Fault::Garbage, 1, &["hi*", "~hi*"], "repeat"),
        (Fault::Garbage, 2, &["hi*", "~hi*"], "Unsure"),
        (Fault::BadGateway, 1, &["~hi*"], "repeat"),
        (Fault::BadGateway, 5, &["~hi*"], "repeat"),
        (Fault::BadGateway, 6, &[], "Unsure"),
        (SLOW_DOWN, 7, &["hi*"], "ok"),
        (Fault::Unauthorized, 2, &["hi*"], "ok"),
        (Fault::Conflict, 2, &["hi*"], "ok"),
        (late, 1, &["hi*"], "ok"),
        (bad(entities), 1, &["hi-"], "ok"),
        (bad(entities), 9, &[], "Refused"),
        (bad("message is too long"), 9, &[], "Refused"),
        (bad("BUTTON_DATA_INVALID"), 9, &[], "Refused"),
        (blocked(), 1, &[], "Gone"),
        (bad("chat not found"), 1, &[], "Gone"),
        (Fault::Refuse(413, "Request Entity Too Large".into()), 9, &[], "Refused"),
    ];
    for (fault, times, shown, end) in table {
        let desk = desk().await;
        desk.fake.fault("sendMessage", times, fault.clone());
        let outcome = desk.send(Lane::Reply, "hi*").await;
        let got = match &outcome {
            Ok(sent) if sent.repeat => "repeat".into(),
            Ok(_) => "ok".into(),
            Err(error) => format!("{error:?}"),
        };
        assert!(got.starts_with(end), "{fault:?} × {times}: {got}");
        assert_eq!(desk.shown(), shown, "{fault:?} × {times}\n{}", desk.fake.transcript());
        if let Ok(sent) = outcome {
            let named = desk.fake.message(ANNA, sent.message).unwrap();
            assert_eq!(Some(&named.text.as_str()), shown.last(), "{fault:?}: the id is the last copy's");
        }
        desk.fake.heal();
        assert!(desk.send(Lane::Reply, "next").await.is_ok(), "{fault:?}: the chat goes on");
    }
}

#[tokio::test]
async fn an_edit_ends_as_it_should_whatever_happens_on_the_way() {
    let table = [
        (Fault::LandThenDrop, 3, "ok"),
        (Fault::DropBeforeLanding, 3, "ok"),
        (Fault::Hang, 1, "ok"),
        (Fault::LandThenHang, 1, "ok"),
        (Fault::Garbage, 2, "ok"),
        (Fault::BadGateway, 12, "ok"),
        (SLOW_DOWN, 5, "ok"),
        (Fault::Unauthorized, 1, "ok"),
        (bad("message to edit not found"), 1, "MessageGone"),
        (bad("message can't be edited"), 1, "MessageGone"),
        (bad("chat not found"), 1, "Gone"),
        (bad("BUTTON_DATA_INVALID"), 9, "Refused"),
    ];
    for (fault, times, end) in table {
        let desk = desk().await;
        let sent = desk.send(Lane::Reply, "draft").await.unwrap();
        desk.fake.fault("editMessageText", times, fault.clone());
        let outcome = desk.edit(sent.message, "final").await;
        let got = outcome.as_ref().map_or_else(|e| format!("{e:?}"), |()| "ok".into());
        assert!(got.starts_with(end), "{fault:?}: {got}");
        let shown = desk.fake.message(ANNA, sent.message).unwrap();
        let want = if end == "ok" { ("final", 1) } else { ("draft", 0) };
        assert_eq!((shown.text.as_str(), shown.edits), want, "{fault:?}");
        assert_eq!(desk.shown().len(), 1);
    }
}

#[tokio::test]
async fn what_is_the_same_already_and_what_is_gone_already_is_fine() {
    let desk = desk().await;
    let sent = desk.send(Lane::Reply, "same").await.unwrap();
    assert_eq!(desk.edit(sent.message, "same").await, Ok(()));
    for _ in 0..2 {
        assert_eq!(desk.courier.delete(Place::chat(ANNA), sent.message).await, Ok(()));
    }
    assert_eq!(desk.shown(), [""; 0]);
    assert_eq!(desk.edit(sent.message, "late").await, Err(Undelivered::MessageGone));
    for fault in [Fault::LandThenDrop, Fault::BadGateway, SLOW_DOWN, Fault::Hang] {
        let sent = desk.send(Lane::Reply, "x").await.unwrap();
        desk.fake.fault("deleteMessage", 1, fault);
        assert_eq!(desk.courier.delete(Place::chat(ANNA), sent.message).await, Ok(()));
    }
    assert_eq!(desk.shown(), [""; 0]);
}

#[tokio::test]
async fn what_is_really_too_long_comes_in_parts_in_order() {
    let desk = desk().await;
    let long = "0123456789".repeat(500);
    let sent = desk.send(Lane::Reply, &long).await.unwrap();
    let shown = desk.fake.messages(ANNA);
    assert_eq!((shown.len(), shown[0].id), (500, sent.message));
    assert_eq!(desk.send(Lane::Reply, "next").await.map(|s| s.repeat), Ok(false));
    assert_eq!(desk.shown().concat(), format!("{long}next"));
}

#[tokio::test]
async fn a_press_is_answered_through_faults_and_too_late_is_fine() {
    let desk = desk().await;
    let tap = Tap::new("Yes", "y");
    let card = Post { keyboard: vec![vec![tap]], ..post("sure?") };
    let sent = desk.courier.send(Place::chat(ANNA), Lane::Critical, card, Attempt::First).await.unwrap();
    let answered = [SLOW_DOWN, Fault::BadGateway, Fault::LandThenDrop, Fault::DropBeforeLanding, Fault::Hang];
    for fault in answered {
        let press = desk.fake.press(ANNA, ANNA, sent.message, "Yes");
        desk.fake.fault("answerCallbackQuery", 2, fault.clone());
        assert_eq!(desk.courier.answer(&press, "done", true).await, Ok(()), "{fault:?}");
        let answer = desk.fake.answers().pop().unwrap().answer.unwrap();
        assert_eq!((answer.text.as_str(), answer.alert), ("done", true), "{fault:?}");
    }
    let press = desk.fake.press(ANNA, ANNA, sent.message, "Yes");
    desk.fake.expire_callbacks();
    assert_eq!(desk.courier.answer(&press, "", false).await, Ok(()));

    let press = desk.fake.press(ANNA, ANNA, sent.message, "Yes");
    desk.fake.fault("answerCallbackQuery", 1, Fault::Unauthorized);
    assert_eq!(desk.courier.answer(&press, "", false).await, Err(Undelivered::Token));
    desk.fake.fault("answerCallbackQuery", 999, Fault::Hang);
    let begin = Instant::now();
    assert!(matches!(desk.courier.answer(&press, "", false).await, Err(Undelivered::Refused(_))));
    assert!(begin.elapsed() < waits().answer * 2);
}

#[tokio::test]
async fn a_single_fault_costs_less_than_two_seconds_with_the_real_waits() {
    let limits = Limits::default();
    let desk = desk_with(Settings { limits, ..Settings::new(SHAPES) }, Options::default()).await;
    for fault in [Fault::BadGateway, Fault::LandThenDrop] {
        desk.fake.fault("sendMessage", 1, fault.clone());
        let begin = Instant::now();
        assert!(desk.send(Lane::Reply, "x").await.is_ok());
        assert!(begin.elapsed() < Duration::from_secs(2), "{fault:?}: {:?}", begin.elapsed());
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_waited_for_and_the_message_is_not_marked() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let options = Options { address, ..Options::default() };
    let (courier, counters) = courier(&format!("http://{address}"), &options.token, settings());
    let task = tokio::spawn(courier.clone().run(CancellationToken::new()));
    let sending = tokio::spawn(async move {
        courier.send(Place::chat(ANNA), Lane::Reply, post("hi"), Attempt::First).await
    });
    let refused = [("reason", "not_sent")];
    tokio::time::timeout(SOON, async {
        while counters.count("opsbot_telegram_retries_total", &refused) < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it tries");
    let fake = FakeTelegram::start(options).await;
    fake.private(ANNA, "Anna");
    let sent = sending.await.unwrap();
    assert!(sent.is_ok_and(|sent| !sent.repeat), "{}", fake.transcript());
    task.abort();
}

#[tokio::test]
async fn an_outage_holds_everybody_back_so_that_only_one_message_is_in_doubt() {
    let desk = desk().await;
    for chat in 2000..2020 {
        desk.fake.private(chat, "Somebody");
    }
    desk.fake.fault("*", 8, Fault::BadGateway);
    assert!(desk.send(Lane::Reply, "first").await.unwrap().repeat);
    desk.fake.fault("getMe", 4, Fault::BadGateway);
    desk.fake.fault("sendMessage", 1, Fault::LandThenDrop);
    let doubtful = desk.post(Lane::Reply, "second");
    tokio::time::timeout(SOON, async {
        while desk.courier.health().reachable {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it notices");
    let sends =
        (2000..2020).map(|chat| desk.courier.send(Place::chat(chat), Lane::Reply, post("x"), Attempt::First));
    let all = futures::future::join_all(sends).await;
    assert!(all.iter().all(|sent| sent.as_ref().is_ok_and(|sent| !sent.repeat)), "{all:?}");
    assert!(doubtful.await.unwrap().unwrap().repeat);
    assert_eq!(desk.shown(), ["~first", "second", "~second"]);
    assert!(desk.courier.health().reachable);
}

#[tokio::test]
async fn a_refused_token_loses_nothing_and_shows() {
    let desk = desk().await;
    desk.fake.fault("*", 3, Fault::Unauthorized);
    let (one, two) = (desk.post(Lane::Reply, "one"), desk.post(Lane::Reply, "two"));
    tokio::time::timeout(SOON, async {
        while desk.courier.health().token_ok {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("health says so");
    assert!(one.await.unwrap().is_ok() && two.await.unwrap().is_ok());
    let health = desk.courier.health();
    assert!(health.token_ok && health.last_ok.is_some() && health.queued == 0, "{health:?}");
    assert_eq!(desk.shown(), ["one", "two"]);
    assert!(desk.count("opsbot_telegram_retries_total", ("reason", "token")) >= 1);
}

#[tokio::test]
async fn a_reply_to_what_is_gone_comes_without_it() {
    let desk = desk().await;
    let asked = desk.fake.say(ANNA, ANNA, "how?");
    let reply = |to, said: &'static str| {
        desk.courier.reply(Place::chat(ANNA), to, Lane::Reply, post(said), Attempt::First)
    };
    let sent = reply(asked, "so").await.unwrap();
    assert_eq!(desk.fake.message(ANNA, sent.message).unwrap().reply_to, Some(asked));
    desk.fake.delete(ANNA, asked);
    let sent = reply(asked, "anyway").await.unwrap();
    assert_eq!(desk.fake.message(ANNA, sent.message).unwrap().reply_to, None);
    desk.fake.fault("sendMessage", 1, bad("message to be replied not found"));
    assert!(reply(sent.message, "still").await.is_ok());
    assert_eq!(desk.shown(), ["so", "anyway", "still"]);
}

#[tokio::test]
async fn pictures_and_files_are_sent_edited_and_marked_like_text() {
    let desk = desk().await;
    let png: Arc<[u8]> = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x01\0\0\0\x01\0\x08\x06\0\0\0".as_slice().into();
    let photo = Post { body: Body::Photo { png, caption: Rich::plain("chart") }, ..post("") };
    let content: Arc<[u8]> = b"line 1".as_slice().into();
    let body = Body::File { name: "web.log.txt".into(), content, caption: Rich::plain("log") };
    let file = Post { body, quiet: true, ..post("") };
    let anna = Place::chat(ANNA);
    let first = desk.courier.send(anna, Lane::Reply, photo.clone(), Attempt::First).await.unwrap();
    let second = desk.courier.send(anna, Lane::Reply, file.clone(), Attempt::First).await.unwrap();
    let kind = |id| desk.fake.message(ANNA, id).unwrap().media.map(|m| (m.kind, m.name, m.bytes.len()));
    assert_eq!(kind(second.message), Some((MediaKind::Document, "web.log.txt".into(), 6)));
    assert_eq!(desk.courier.edit(anna, first.message, true, Lane::Reply, post("caption")).await, Ok(()));
    let shown = desk.fake.message(ANNA, first.message).unwrap();
    assert!(shown.text == "caption" && shown.media.is_some_and(|m| m.kind == MediaKind::Photo));
    desk.fake.fault("editMessageMedia", 2, Fault::LandThenDrop);
    assert_eq!(desk.courier.edit(anna, second.message, true, Lane::Reply, photo).await, Ok(()));
    assert!(kind(second.message).is_some_and(|(kind, ..)| kind == MediaKind::Photo));
    desk.fake.fault("sendDocument", 1, Fault::LandThenDrop);
    assert!(desk.courier.send(anna, Lane::Reply, file, Attempt::First).await.unwrap().repeat);
    assert_eq!(desk.shown(), ["caption", "chart", "log", "~log"]);
}

#[tokio::test]
async fn what_may_be_a_repetition_is_marked_from_the_start_and_sent_once() {
    let desk = desk().await;
    let again =
        |said: &str| desk.courier.send(Place::chat(ANNA), Lane::Reply, post(said), Attempt::MaybeRepeat);
    assert!(again("a").await.unwrap().repeat);
    desk.fake.fault("sendMessage", 1, Fault::LandThenDrop);
    assert_eq!(again("b").await, Err(Undelivered::Unsure));
    assert_eq!(desk.shown(), ["~a", "~b"]);
}
