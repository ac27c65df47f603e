//! The walking path: what an admin says, presses and sends, and what they then see.

use serde_json::json;

use super::rig::{ANNA, Line, Phone, SOON};
use crate::scenarios::world::{call, text};

/// Everything that a bot's message shows.
async fn card(phone: &Phone, chat: i64) -> i32 {
    phone
        .telegram
        .wait_message(chat, |m| !m.deleted && !m.keyboard.is_empty() && m.text.contains("restart"), SOON)
        .await
        .id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_answered_with_a_sign_of_life_before() {
    let phone = Line::default().plain().await;
    phone.telegram.say(ANNA, ANNA, "/check_up 19");
    let answer = phone.sees(ANNA, "upstream timed out").await;
    assert!(answer.edits == 0 && !phone.telegram.actions(ANNA).is_empty());
    phone.quiet().await;
    assert_eq!(phone.shown(ANNA).len(), 1, "{}", phone.telegram.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_answers_in_words() {
    let phone = Line::default()
        .scripted(vec![call("check_up", json!({"customer_id": "19"})), text("Bloom is slow.")])
        .await;
    phone.telegram.say(ANNA, ANNA, "what's wrong with customer 19?");
    phone.sees(ANNA, "Bloom is slow.").await;
    phone.quiet().await;
    assert_eq!(phone.copies(ANNA, "upstream timed out"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_is_pressed_and_shows_the_true_outcome() {
    let phone = Line::default().plain().await;
    phone.telegram.say(ANNA, ANNA, "/restart_container 19 web");
    let id = card(&phone, ANNA).await;
    phone.telegram.press(ANNA, ANNA, id, "✅ Confirm");
    phone
        .telegram
        .wait_for(
            |w| w.message(ANNA, id).is_some_and(|m| m.keyboard.is_empty() && m.text.contains('✅')),
            SOON,
        )
        .await;
    phone.quiet().await;
    assert_eq!(phone.world.writes(), ["19/web"]);
    let answer = phone.telegram.answers().pop().unwrap().answer.unwrap();
    assert!(answer.text.contains("Confirmed"), "{answer:?}");
    phone.telegram.press_data(ANNA, ANNA, id, &phone.telegram.answers()[0].data);
    phone.telegram.wait_for(|w| w.presses.iter().all(|p| p.answer.is_some()), SOON).await;
    let again = phone.telegram.answers().pop().unwrap().answer.unwrap();
    assert!(again.alert && again.text.contains("already approved"), "{again:?}");
    assert_eq!(phone.world.writes(), ["19/web"]);
}
