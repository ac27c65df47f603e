//! Faults while a card is shown, pressed and edited: it runs once, and the card ends up true.

use super::*;

async fn pending(phone: &Phone) -> Shown {
    phone.telegram.say(ANNA, ANNA, "/restart_container 19 web");
    let card = |m: &Shown| !m.deleted && m.keyboard.concat().iter().any(|b| b.label == "✅ Confirm");
    phone.telegram.wait_message(ANNA, card, SOON).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_is_edited_to_the_truth_through_every_fault() {
    let table = [
        (slow_down(1), 1),
        (slow_down(0), 4),
        (Fault::Unauthorized, 2),
        (Fault::BadGateway, 6),
        (Fault::LandThenDrop, 3),
        (Fault::DropBeforeLanding, 3),
        (Fault::Hang, 1),
        (Fault::Garbage, 2),
        (bad("can't parse entities: unsupported start tag"), 2),
    ];
    for (fault, times) in table {
        let phone = line().plain().await;
        let card = pending(&phone).await;
        phone.telegram.fault("editMessageText", times, fault.clone());
        phone.telegram.press(ANNA, ANNA, card.id, "✅ Confirm");
        let done = |w: &crate::fake::telegram::World| {
            w.message(ANNA, card.id).is_some_and(|m| m.keyboard.is_empty() && m.text.contains('✅'))
        };
        phone.telegram.wait_for(done, SOON).await;
        phone.quiet().await;
        assert_eq!(phone.world.writes(), ["19/web"], "{fault:?}");
        assert_eq!(phone.copies(ANNA, "restart"), 1, "{fault:?}\n{}", phone.telegram.transcript());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_press_is_answered_and_carried_out_through_every_fault() {
    let table = [
        (slow_down(1), 1),
        (Fault::BadGateway, 3),
        (Fault::LandThenDrop, 2),
        (Fault::DropBeforeLanding, 2),
        (Fault::Hang, 1),
        (Fault::Garbage, 1),
        (Fault::SlowDrip(Duration::from_millis(50)), 1),
    ];
    for (fault, times) in table {
        let phone = line().plain().await;
        let card = pending(&phone).await;
        phone.telegram.fault("answerCallbackQuery", times, fault.clone());
        phone.telegram.press(ANNA, ANNA, card.id, "✅ Confirm");
        phone.telegram.wait_for(|w| w.presses.iter().all(|p| p.answer.is_some()), SOON).await;
        phone.quiet().await;
        let answer = phone.telegram.answers().pop().unwrap().answer.unwrap();
        assert!(answer.text.contains("Confirmed"), "{fault:?}: {answer:?}");
        assert_eq!(phone.world.writes(), ["19/web"], "{fault:?}");
    }
    // Too late to be answered is no reason not to do it.
    let phone = line().plain().await;
    let card = pending(&phone).await;
    phone.telegram.hold(true);
    phone.telegram.press(ANNA, ANNA, card.id, "✅ Confirm");
    phone.telegram.expire_callbacks();
    phone.telegram.hold(false);
    phone.until(|| phone.world.writes(), |w| *w == ["19/web"]).await;
    phone.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_press_that_cannot_be_answered_holds_up_nothing() {
    let phone = line().plain().await;
    let card = pending(&phone).await;
    phone.telegram.fault("answerCallbackQuery", 100, Fault::Hang);
    phone.telegram.press(ANNA, ANNA, card.id, "✅ Confirm");
    let begun = std::time::Instant::now();
    let done = |w: &crate::fake::telegram::World| {
        w.message(ANNA, card.id).is_some_and(|m| m.keyboard.is_empty() && m.text.contains('✅'))
    };
    phone.telegram.wait_for(done, SOON).await;
    phone.quiet().await;
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_whose_send_breaks_runs_once_whichever_copy_is_pressed() {
    for fault in [Fault::LandThenDrop, Fault::Garbage] {
        let phone = line().plain().await;
        phone.telegram.fault("sendMessage", 1, fault.clone());
        phone.telegram.say(ANNA, ANNA, "/restart_container 19 web");
        phone.sees(ANNA, MARK).await;
        let cards = phone.shown(ANNA);
        assert_eq!(cards.len(), 2, "{}", phone.telegram.transcript());
        for card in &cards {
            let data = cards[0].keyboard.concat()[0].data.clone().unwrap();
            phone.telegram.press_data(ANNA, ANNA, card.id, &data);
        }
        phone.telegram.wait_for(|w| w.presses.iter().all(|p| p.answer.is_some()), SOON).await;
        // Both copies end up true, the one that nobody knew of too.
        let settled = |w: &crate::fake::telegram::World| {
            cards.iter().all(|c| w.message(ANNA, c.id).is_some_and(|m| m.keyboard.is_empty()))
        };
        phone.telegram.wait_for(settled, SOON).await;
        phone.quiet().await;
        assert_eq!(phone.world.writes(), ["19/web"], "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_that_may_be_missing_is_shown_again_and_stays_true() {
    let phone = line().plain().await;
    phone.telegram.fault("sendMessage", 2, Fault::DropBeforeLanding);
    phone.telegram.say(ANNA, ANNA, "/restart_container 19 web");
    let notice = phone.sees(ANNA, MISSING).await;
    phone.telegram.press(ANNA, ANNA, notice.id, "Show it again");
    let card = |m: &Shown| m.keyboard.concat().iter().any(|b| b.label == "✅ Confirm");
    let card = phone.telegram.wait_message(ANNA, card, SOON).await;
    phone.telegram.press(ANNA, ANNA, card.id, "✅ Confirm");
    let done = |w: &crate::fake::telegram::World| {
        w.message(ANNA, card.id).is_some_and(|m| m.keyboard.is_empty() && m.text.contains('✅'))
    };
    phone.telegram.wait_for(done, SOON).await;
    phone.quiet().await;
    assert_eq!(phone.world.writes(), ["19/web"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_that_the_person_deleted_is_decided_all_the_same() {
    let phone = line().plain().await;
    let card = pending(&phone).await;
    let data = card.keyboard.concat()[0].data.clone().unwrap();
    phone.telegram.delete(ANNA, card.id);
    phone.telegram.press_data(ANNA, ANNA, card.id, &data);
    phone.until(|| phone.world.writes(), |w| *w == ["19/web"]).await;
    phone.quiet().await;
    let store = phone.world.engine.store();
    let waited = async {
        while !store.posted_unsettled("telegram:").await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, waited).await.expect("the card that is gone is forgotten");
}
