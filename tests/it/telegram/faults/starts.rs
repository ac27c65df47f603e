//! Faults at a start, stops in order during a turn, and a channel that breaks and is started again.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_start_waits_until_telegram_says_who_we_are() {
    // The fault, how often, and what health says meanwhile.
    let table = [
        (slow_down(1), 1, "asks to wait 1 s"),
        (Fault::BadGateway, 4, "502"),
        (Fault::Unauthorized, 2, "@BotFather"),
        (Fault::Garbage, 3, "not Telegram's"),
        (Fault::DropBeforeLanding, 3, ""),
        (Fault::Hang, 1, "no answer in time"),
        (Fault::SlowDrip(Duration::from_millis(50)), 1, "no answer in time"),
    ];
    for (fault, times, words) in table {
        let mut phone = line().plain().await;
        phone.health_says(true, "updates arrive").await;
        phone.disconnect().await;
        let before = phone.telegram.calls_of("getMe").len();
        phone.telegram.fault("getMe", times, fault.clone());
        phone.telegram.say(ANNA, ANNA, "/check_up 19");
        phone.connect().await;
        phone.health_says(false, words).await;
        phone.sees(ANNA, FOUND).await;
        phone.health_says(true, "updates arrive").await;
        phone.quiet().await;
        assert_eq!(phone.both(FOUND), (1, 0), "{fault:?}");
        let asked = phone.telegram.calls_of("getMe").len() - before;
        assert_eq!(asked, times + 1, "{fault:?}: what is asked for is waited for");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_order_leaves_the_question_open_and_the_next_start_answers_it_once() {
    let mut phone = live_line().plain().await;
    let live = phone.ask_and_wait().await;
    // A second one waits behind it.
    phone.telegram.say(ANNA, ANNA, "/get_health_score 7");
    phone.until(|| phone.count("opsbot_telegram_updates_total", &[("kind", "message")]), |n| *n == 2).await;
    phone.restart().await;
    assert_eq!(phone.copies(ANNA, FOUND), 0);
    phone.release();
    phone.sees(ANNA, FOUND).await;
    phone.sees(ANNA, "7: 40").await;
    phone.quiet().await;
    assert_eq!((phone.both(FOUND), phone.both("7: 40")), ((1, 0), (1, 0)), "{}", phone.telegram.transcript());
    let old = phone.telegram.message(ANNA, live.id).unwrap();
    assert!(old.deleted || old.text.contains(FOUND), "no live message is left behind: {}", old.text);
    assert_eq!(phone.copies(ANNA, "⏳"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_breaks_during_a_turn_answers_once() {
    for held in [true, false] {
        let mut phone = live_line().plain().await;
        phone.ask_and_wait().await;
        phone.telegram.say(ANNA, ANNA, "/get_health_score 7");
        phone
            .until(|| phone.count("opsbot_telegram_updates_total", &[("kind", "message")]), |n| *n == 2)
            .await;
        if !held {
            phone.release();
        }
        phone.break_channel().await;
        phone.health_says(true, "updates arrive").await;
        phone.release();
        phone.sees(ANNA, FOUND).await;
        phone.sees(ANNA, "7: 40").await;
        phone.quiet().await;
        let entered = phone.world.site.read(|s| s.entered);
        assert_eq!(entered, 2, "each question is worked on once");
        let (plain, marked) = phone.both(FOUND);
        assert!(plain == 1 && marked <= usize::from(!held), "{}", phone.telegram.transcript());
        // What showed the work, and whose number the break kept from being learnt, may stay behind.
        assert!(phone.copies(ANNA, "⏳") <= 1, "{}", phone.telegram.transcript());
        phone.telegram.say(ANNA, ANNA, "/list_customers");
        phone.sees(ANNA, "7, 12, 16, 19").await;
        phone.quiet().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_is_fetched_when_the_channel_breaks_is_read_once() {
    let mut phone = line().plain().await;
    phone.telegram.fault("getFile", 1, Fault::Late(Duration::from_millis(600)));
    phone.telegram.send_document(ANNA, ANNA, "web.log", "ERROR upstream timed out\n", "/check_up 19");
    phone.until(|| phone.telegram.calls_of("getFile").len(), |n| *n == 1).await;
    phone.break_channel().await;
    phone.sees(ANNA, "web of 19").await;
    phone.quiet().await;
    assert_eq!(phone.world.site.read(|s| s.entered), 1);
    assert_eq!(phone.both("web of 19"), (1, 0), "{}", phone.telegram.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_panics_says_so_and_the_next_one_goes_on() {
    let phone = line().plain().await;
    phone.world.site.change(|s| s.lost = true);
    phone.telegram.say(ANNA, ANNA, "/check_up 19");
    phone.sees(ANNA, "OpsBot broke").await;
    phone.quiet().await;
    phone.world.site.change(|s| s.lost = false);
    phone.telegram.say(ANNA, ANNA, "/check_up 19");
    phone.sees(ANNA, FOUND).await;
    phone.quiet().await;
    assert_eq!(phone.both(FOUND), (1, 0), "{}", phone.telegram.transcript());
}
