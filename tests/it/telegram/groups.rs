//! Groups: silence until addressed, topics as conversations of their own, and who may stop whom.

use std::time::Duration;

use super::rig::{ANNA, BEN, CLEO, GROUP, Line, Phone, SOON, STRANGER};
use crate::scenarios::world::{restart, text};

const CONFIRM: &str = "✅ Confirm";
const ELSEWHERE: i64 = -100_300;

#[tokio::test(flavor = "multi_thread")]
async fn in_a_group_only_what_is_meant_for_it_is_answered() {
    let phone = Line::default().plain().await;
    for said in [
        "what's wrong with customer 19?",
        "/check_up@other_bot 19",
        "look /check_up 19",
        "mail me at anna@ops_test_bot.example",
        "@other_bot check 19",
    ] {
        phone.telegram.say(GROUP, ANNA, said);
    }
    let theirs = phone.telegram.say(GROUP, BEN, "customer 19 complains");
    phone.telegram.reply(GROUP, ANNA, theirs, "again?");
    let asked = phone.telegram.say(GROUP, ANNA, "/check_up@ops_test_bot 19");
    let first = phone.sees(GROUP, "timed out for 19").await;
    assert_eq!(first.reply_to, Some(asked), "the answer stands at its question");
    phone.quiet().await;
    assert_eq!(phone.shown(GROUP).len(), 1, "{}", phone.telegram.transcript());
    for (said, part) in [
        ("/check_up 7", "timed out for 7"),
        ("@ops_test_bot, /check_up 12", "timed out for 12"),
        ("/check_up 16 @Ops_Test_Bot", "timed out for 16"),
    ] {
        phone.telegram.say(GROUP, ANNA, said);
        phone.sees(GROUP, part).await;
    }
    let message = phone.telegram.reply(GROUP, BEN, first.id, "/whoami");
    let answer = phone.sees(GROUP, "You are ben").await;
    assert_eq!(answer.reply_to, Some(message));
    assert!(phone.shown(ANNA).is_empty() && phone.shown(BEN).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_to_the_bot_and_a_mention_reach_the_model() {
    let phone = Line::default().scripted(vec![text("Fine."), text("Since noon.")]).await;
    phone.telegram.say(GROUP, ANNA, "@ops_test_bot: how is customer 19?");
    let first = phone.sees(GROUP, "Fine.").await.id;
    let asked = phone.telegram.reply(GROUP, ANNA, first, "since when?");
    assert_eq!(phone.sees(GROUP, "Since noon.").await.reply_to, Some(asked));
    let said = phone.world.model().requests()[0]["messages"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(said["content"], "how is customer 19?");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_only_then_names_the_bot_runs_nothing_and_is_told() {
    let phone = Line::default().plain().await;
    let message = phone.telegram.say(GROUP, ANNA, "restart customer 19");
    phone.telegram.edit(GROUP, ANNA, message, "@ops_test_bot restart customer 19");
    let told = phone.sees(GROUP, "Send it as a new message").await;
    assert_eq!(told.reply_to, Some(message));
    phone.telegram.edit(GROUP, ANNA, message, "no, do not");
    phone.heard().await;
    phone.quiet().await;
    assert_eq!(phone.shown(GROUP).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_not_listed_is_told_once_and_hears_nothing_else() {
    let phone = Line::default().plain().await;
    phone.telegram.supergroup(ELSEWHERE, "Elsewhere", false);
    phone.telegram.say(ELSEWHERE, STRANGER, "/check_up@ops_test_bot 19");
    phone.telegram.say(ELSEWHERE, ANNA, "hello all");
    phone.heard().await;
    assert!(phone.shown(ELSEWHERE).is_empty());
    phone.telegram.say(ELSEWHERE, ANNA, "/check_up 19");
    phone.sees(ELSEWHERE, "add -100300 to [telegram] groups").await;
    phone.telegram.say(ELSEWHERE, ANNA, "/check_up 19");
    phone.telegram.say(ELSEWHERE, CLEO, "/customers");
    let press = phone.telegram.press_data(ELSEWHERE, ANNA, 1, "t:/check_up 19");
    assert_eq!(phone.answer(&press).await.text, "");
    phone.telegram.say(ANNA, ANNA, "/whoami");
    phone.sees(ANNA, "You are anna").await;
    phone.quiet().await;
    assert_eq!(phone.shown(ELSEWHERE).len(), 1, "{}", phone.telegram.transcript());
    assert!(phone.telegram.commands("chat:-100300", "").is_none());
    assert_eq!(phone.world.site.read(|s| s.entered), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_a_conversation_of_its_own() {
    let steps = vec![text("Noted: teal."), text("I do not know."), restart("19", "web"), text("A card.")];
    let phone = Line::default().scripted(steps).await;
    let (one, two) = (phone.telegram.topic(GROUP, ANNA, "one"), phone.telegram.topic(GROUP, ANNA, "two"));
    phone.telegram.say_in(GROUP, one, ANNA, "@ops_test_bot the word is teal");
    let first = phone.sees(GROUP, "Noted").await;
    phone.telegram.say_in(GROUP, two, ANNA, "@ops_test_bot what is the word?");
    let second = phone.sees(GROUP, "I do not know").await;
    assert_eq!((first.thread, second.thread), (Some(one), Some(two)));
    let requests = phone.world.model().requests();
    assert!(!requests[1]["messages"].to_string().contains("teal"), "{}", requests[1]);
    phone.telegram.say_in(GROUP, two, ANNA, "@ops_test_bot restart web of customer 19");
    let card = phone.button(GROUP, CONFIRM).await;
    assert_eq!(card.thread, Some(two));
    phone.tap(GROUP, ANNA, CONFIRM).await;
    phone
        .telegram
        .wait_for(|w| w.message(GROUP, card.id).is_some_and(|m| m.text.contains("Done")), SOON)
        .await;
    phone.quiet().await;
    let inside = |m: &crate::fake::telegram::Shown| m.thread == Some(one) || m.thread == Some(two);
    assert!(phone.shown(GROUP).iter().all(inside), "{}", phone.telegram.transcript());
    let actions = phone.telegram.actions(GROUP);
    assert!(actions.iter().any(|a| a.thread == Some(two)), "{actions:?}");
    phone.telegram.say(GROUP, ANNA, "/whoami");
    assert_eq!(phone.sees(GROUP, "You are anna").await.thread, None);
}

async fn hanging(line: Line) -> Phone {
    let phone = line.plain().await;
    phone.world.site.change(|s| s.held = true);
    phone.telegram.say(GROUP, ANNA, "/check_up 19");
    phone.world.site.until(|s| s.entered == 1).await;
    phone
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_admin_stops_what_another_asked() {
    let phone = hanging(Line::default()).await;
    phone.telegram.say(GROUP, BEN, "/stop");
    phone.sees(GROUP, "1 running here, but not yours").await;
    assert_eq!(phone.world.site.read(|s| s.dropped), 0);
    phone.telegram.say(GROUP, CLEO, "/stop");
    phone.sees(GROUP, "Stopping 1.").await;
    phone.sees(GROUP, "Stopped.").await;
    phone.quiet().await;
    assert_eq!(phone.world.site.read(|s| s.dropped), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stop_button_of_a_group_obeys_the_same_rule() {
    let phone = hanging(Line { placeholder_after: Duration::from_millis(50), ..Line::default() }).await;
    let (live, told) = phone.tap(GROUP, BEN, "■ Stop").await;
    assert!(told.alert || told.text.contains("not yours"), "{told:?}");
    assert_eq!(phone.world.site.read(|s| s.dropped), 0);
    let (_, told) = phone.tap(GROUP, CLEO, "■ Stop").await;
    assert_eq!(told.text, "Stopping 1.");
    let stopped = phone.sees(GROUP, "Stopped.").await;
    assert_eq!((stopped.id, stopped.keyboard.len()), (live, 0));
    phone.quiet().await;
    assert_eq!(phone.shown(GROUP).len(), 1, "{}", phone.telegram.transcript());
}
