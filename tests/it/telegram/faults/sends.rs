//! Faults on the way out: the first send, the final edit of a live message, pictures and files.

use std::time::{Duration, Instant};

use futures::future::join_all;

use super::{super::rig::GROUP, *};

/// Where in a conversation the fault comes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    /// The answer is the first message.
    FirstSend,
    /// The answer is the last edit of a live message.
    FinalEdit,
    Photo,
    Document,
}

/// What the person finally sees.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sees {
    /// The answer, once.
    Once,
    /// The answer marked as a possible repeat, perhaps also the first copy.
    Marked { copies: usize },
    /// That it may be missing, with a button that shows it again.
    Announced { copies: usize },
    /// Why there is no answer.
    Told,
    /// Nothing: we may not write there.
    Nothing,
}

const PART: &str = "Check-up of 19";

impl At {
    fn method(self) -> &'static str {
        match self {
            Self::FirstSend => "sendMessage",
            Self::FinalEdit => "editMessageText",
            Self::Photo => "sendPhoto",
            Self::Document => "sendDocument",
        }
    }

    /// What the answer can be told by.
    fn part(self) -> &'static str {
        match self {
            Self::FirstSend | Self::FinalEdit => PART,
            Self::Photo => "CPU of web",
            Self::Document => "c19-web",
        }
    }
}

/// One row of the table in a chat of its own.
async fn row(at: At, fault: Fault, times: usize, sees: Sees) {
    let row = format!("{at:?}: {fault:?} × {times}");
    let phone = if at == At::FinalEdit { live_line() } else { line() }.plain().await;
    let begun = match at {
        At::FirstSend => {
            phone.telegram.fault(at.method(), times, fault);
            phone.telegram.say(ANNA, ANNA, "/check_up 19");
            Instant::now()
        }
        At::FinalEdit => {
            phone.ask_and_wait().await;
            phone.telegram.fault(at.method(), times, fault);
            phone.release();
            Instant::now()
        }
        At::Photo => {
            phone.telegram.fault(at.method(), times, fault);
            phone.reply_row(&[chart()]).await;
            Instant::now()
        }
        At::Document => {
            phone.telegram.fault(at.method(), times, fault);
            let lines = vec!["2026-09-21 14:00:02 ERROR one more".to_owned(); 500];
            phone.reply_row(&[Block::Log { source: "c19-web".into(), lines, omitted: 0 }]).await;
            Instant::now()
        }
    };
    let (plain, marked) = match sees {
        Sees::Once => {
            phone.sees(ANNA, at.part()).await;
            (1, 0)
        }
        Sees::Marked { copies } => {
            phone.sees(ANNA, MARK).await;
            (copies, 1)
        }
        Sees::Announced { copies } => {
            let notice = phone.sees(ANNA, MISSING).await;
            assert_eq!(phone.both(at.part()), (copies.min(1), copies.saturating_sub(1)), "{row}");
            phone.telegram.press(ANNA, ANNA, notice.id, "Show it again");
            phone.until(|| phone.copies(ANNA, at.part()), |n| *n == copies + 1).await;
            (copies.min(1) + 1, copies.saturating_sub(1))
        }
        Sees::Told => {
            phone.sees(ANNA, "cannot be shown here").await;
            (0, 0)
        }
        Sees::Nothing => {
            phone.until(|| phone.count("opsbot_telegram_dead_letters_total", &[]), |n| *n == 1).await;
            (0, 0)
        }
    };
    assert!(begun.elapsed() < Duration::from_secs(10), "{row}: {:?}", begun.elapsed());
    phone.quiet().await;
    assert_eq!(phone.both(at.part()), (plain, marked), "{row}\n{}", phone.telegram.transcript());
    let dead = u64::from(matches!(sees, Sees::Told | Sees::Nothing));
    assert_eq!(phone.count("opsbot_telegram_dead_letters_total", &[]), dead, "{row}");
    // The chat goes on, in order and without another copy.
    phone.telegram.heal();
    phone.telegram.say(ANNA, ANNA, "/list_customers");
    phone.sees(ANNA, "7, 12, 16, 19").await;
    phone.quiet().await;
    assert_eq!(phone.both(at.part()), (plain, marked), "{row}, later\n{}", phone.telegram.transcript());
    let stops = phone
        .shown(ANNA)
        .iter()
        .filter(|m| m.keyboard.concat().iter().any(|b| b.label.contains("Stop")))
        .count();
    assert_eq!(stops, 0, "{row}: no live message stays\n{}", phone.telegram.transcript());
    assert!(!phone.telegram.transcript().contains(phone.telegram.token()), "{row}");
}

async fn table(rows: Vec<(At, Fault, usize, Sees)>) {
    let mut rows = rows.into_iter();
    loop {
        // A few at a time, so that each is measured by itself.
        let some: Vec<_> =
            rows.by_ref().take(6).map(|(at, f, n, s)| tokio::spawn(row(at, f, n, s))).collect();
        if some.is_empty() {
            return;
        }
        for ended in join_all(some).await {
            ended.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_send_arrives_once_or_with_one_marked_copy() {
    use At::FirstSend as S;
    let (once, told) = (Sees::Once, Sees::Told);
    let marked = |copies| Sees::Marked { copies };
    let announced = |copies| Sees::Announced { copies };
    table(vec![
        (S, slow_down(1), 1, once),
        (S, slow_down(0), 4, once),
        (S, Fault::Conflict, 2, once),
        (S, Fault::Unauthorized, 2, once),
        (S, Fault::BadGateway, 1, marked(0)),
        (S, Fault::BadGateway, 4, marked(0)),
        (S, Fault::LandThenDrop, 1, marked(1)),
        (S, Fault::LandThenDrop, 2, announced(2)),
        (S, Fault::DropBeforeLanding, 1, marked(0)),
        (S, Fault::DropBeforeLanding, 2, announced(0)),
        (S, Fault::Hang, 1, marked(0)),
        (S, Fault::LandThenHang, 1, marked(1)),
        (S, Fault::Garbage, 1, marked(1)),
        (S, Fault::Garbage, 2, announced(2)),
        (S, Fault::SlowDrip(Duration::from_millis(50)), 1, marked(1)),
        (S, Fault::Late(Duration::from_millis(300)), 1, once),
        (S, bad("can't parse entities: unsupported start tag"), 1, once),
        (S, bad("ENTITY_BOUNDS_INVALID"), 1, once),
        (S, bad("BUTTON_DATA_INVALID"), 1, once),
        (S, bad("message is too long"), 1, once),
        // As often as there are shapes to try.
        (S, bad("BUTTON_DATA_INVALID"), 3, told),
        (S, bad("message is too long"), 2, told),
        (S, Fault::Refuse(403, "Forbidden: bot was blocked by the user".into()), 1, Sees::Nothing),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_final_edit_arrives_once() {
    use At::FinalEdit as E;
    let once = Sees::Once;
    table(vec![
        (E, slow_down(1), 1, once),
        (E, Fault::Conflict, 2, once),
        (E, Fault::Unauthorized, 2, once),
        (E, Fault::BadGateway, 1, once),
        (E, Fault::BadGateway, 8, once),
        (E, Fault::LandThenDrop, 1, once),
        (E, Fault::LandThenDrop, 3, once),
        (E, Fault::DropBeforeLanding, 3, once),
        (E, Fault::Hang, 1, once),
        (E, Fault::LandThenHang, 1, once),
        (E, Fault::Garbage, 2, once),
        (E, Fault::SlowDrip(Duration::from_millis(50)), 1, once),
        (E, bad("can't parse entities: unsupported start tag"), 1, once),
        // What an edit may not do a new message may.
        (E, bad("message is too long"), 9, once),
        (E, bad("BUTTON_DATA_INVALID"), 9, once),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_and_files_arrive_as_texts_do() {
    use At::{Document, Photo};
    let (once, marked) = (Sees::Once, |copies| Sees::Marked { copies });
    let mut rows = vec![];
    for at in [Photo, Document] {
        rows.extend([
            (at, slow_down(1), 1, once),
            (at, Fault::BadGateway, 2, marked(0)),
            (at, Fault::LandThenDrop, 1, marked(1)),
            (at, Fault::LandThenDrop, 2, Sees::Announced { copies: 2 }),
            (at, Fault::Garbage, 1, marked(1)),
            (at, bad("PHOTO_INVALID_DIMENSIONS"), 3, Sees::Told),
        ]);
    }
    table(rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_at_once_may_be_down_for_a_while() {
    let phone = live_line().plain().await;
    phone.ask_and_wait().await;
    phone.telegram.fault("*", 40, Fault::BadGateway);
    phone.release();
    phone.health_says(false, "502").await;
    phone.until(|| phone.telegram.faults_left(), |n| *n == 0).await;
    phone.sees(ANNA, FOUND).await;
    phone.health_says(true, "updates arrive").await;
    phone.quiet().await;
    assert_eq!(phone.both(FOUND), (1, 0), "{}", phone.telegram.transcript());
    assert!(phone.count("opsbot_telegram_poll_failures_total", &[]) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_message_that_the_person_deletes_comes_back_as_the_answer() {
    let phone = live_line().plain().await;
    let live = phone.ask_and_wait().await;
    phone.telegram.delete(ANNA, live.id);
    phone.release();
    let answer = phone.sees(ANNA, FOUND).await;
    assert_ne!(answer.id, live.id);
    phone.quiet().await;
    assert_eq!(phone.both(FOUND), (1, 0), "{}", phone.telegram.transcript());
    // The conversation's next turn begins a live message of its own.
    phone.telegram.say(ANNA, ANNA, "/list_customers");
    phone.sees(ANNA, "7, 12, 16, 19").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_is_deleted_in_a_group_is_answered_without_a_reply() {
    let phone = line().plain().await;
    phone.world.site.change(|s| s.held = true);
    let asked = phone.telegram.say(GROUP, ANNA, "/check_up@ops_test_bot 19");
    phone.world.site.until(|s| s.entered > 0).await;
    phone.telegram.delete(GROUP, asked);
    phone.release();
    let answer = phone.sees(GROUP, FOUND).await;
    assert_eq!(answer.reply_to, None);
    phone.quiet().await;
    assert_eq!(phone.copies(GROUP, FOUND), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_message_whose_first_send_breaks_costs_no_second_answer() {
    let fault = [Fault::LandThenDrop, Fault::DropBeforeLanding, Fault::BadGateway, Fault::Hang, slow_down(1)];
    for fault in fault {
        let phone = live_line().plain().await;
        phone.world.site.change(|s| s.held = true);
        phone.telegram.fault("sendMessage", 1, fault.clone());
        phone.telegram.say(ANNA, ANNA, "/check_up 19");
        phone.until(|| phone.telegram.faults_left(), |n| *n == 0).await;
        phone.release();
        phone.sees(ANNA, FOUND).await;
        phone.quiet().await;
        assert_eq!(phone.both(FOUND), (1, 0), "{fault:?}\n{}", phone.telegram.transcript());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_announcement_of_a_missing_message_is_not_lost_itself() {
    let phone = line().plain().await;
    // Twice for the answer, twice for what announces it.
    phone.telegram.fault("sendMessage", 4, Fault::DropBeforeLanding);
    phone.telegram.say(ANNA, ANNA, "/check_up 19");
    let notice = phone.sees(ANNA, MISSING).await;
    phone.telegram.press(ANNA, ANNA, notice.id, "Show it again");
    phone.sees(ANNA, FOUND).await;
    phone.quiet().await;
    assert_eq!((phone.both(FOUND), phone.both(MISSING).0), ((1, 0), 1), "{}", phone.telegram.transcript());
    assert_eq!(phone.count("opsbot_telegram_sends_total", &[("result", "unsure")]), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_blocks_the_bot_loses_what_was_meant_for_them_and_nothing_later() {
    let phone = live_line().plain().await;
    phone.ask_and_wait().await;
    phone.telegram.block(ANNA);
    phone.release();
    phone.until(|| phone.count("opsbot_telegram_dead_letters_total", &[]), |n| *n == 1).await;
    phone.quiet().await;
    assert!(phone.health().0, "one person's block is no fault of the channel");
    phone.telegram.unblock(ANNA);
    phone.telegram.say(ANNA, ANNA, "/list_customers");
    phone.sees(ANNA, "7, 12, 16, 19").await;
    phone.quiet().await;
    assert_eq!(phone.both(FOUND), (0, 0), "{}", phone.telegram.transcript());
}
