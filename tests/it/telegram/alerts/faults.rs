//! Cards while Telegram misbehaves: nothing is lost, and at most one marked copy is seen.

use super::{Line, MARK, Watch, watch};
use crate::{
    fake::telegram::Fault,
    telegram::rig::{ANNA, BEN, SOON},
};

/// A card's copies: unmarked and marked.
fn copies(watch: &Watch) -> (usize, usize) {
    let all = watch.phone.shown(ANNA);
    let marked = all.iter().filter(|m| m.text.contains(MARK)).count();
    (all.len() - marked, marked)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_a_first_send_ends_with_the_card_shown() {
    let slow = Fault::TooManyRequests { retry_after: 1 };
    let table = [
        ("429", slow, 3, (1, 0)),
        ("502", Fault::BadGateway, 2, (0, 1)),
        ("dropped before", Fault::DropBeforeLanding, 1, (0, 1)),
        ("landed, then dropped", Fault::LandThenDrop, 1, (1, 1)),
        ("no entities", Fault::BadRequest("can't parse entities: x".into()), 1, (1, 0)),
        ("no link", Fault::BadRequest("BUTTON_URL_INVALID".into()), 1, (1, 0)),
    ];
    for (what, fault, times, want) in table {
        let watch = watch(Line::default(), &[ANNA]).await;
        watch.phone.telegram.fault("sendMessage", times, fault);
        watch.report(19, "critical", true).await;
        let card =
            watch.phone.telegram.wait_message(ANNA, |m| want.1 == 0 || m.text.contains(MARK), SOON).await;
        watch.report(19, "critical", false).await;
        watch.phone.becomes(ANNA, card.id, "✅ RESOLVED").await;
        let got = copies(&watch);
        // What is edited afterwards has lost its mark.
        assert_eq!(got.0 + got.1, want.0 + want.1, "{what}\n{}", watch.phone.telegram.transcript());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_are_made_again_until_they_stand() {
    for fault in [
        Fault::BadGateway,
        Fault::DropBeforeLanding,
        Fault::LandThenDrop,
        Fault::TooManyRequests { retry_after: 1 },
    ] {
        let watch = watch(Line::default(), &[ANNA]).await;
        watch.report(19, "critical", true).await;
        let card = watch.phone.sees(ANNA, "🛑").await;
        watch.phone.telegram.fault("editMessageText", 2, fault);
        watch.report(19, "critical", false).await;
        watch.phone.becomes(ANNA, card.id, "✅ RESOLVED").await;
        assert_eq!(copies(&watch), (1, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_outage_all_that_happened_is_told() {
    let watch = watch(Line::default(), &[ANNA]).await;
    watch.phone.telegram.fault("*", usize::MAX, Fault::DropBeforeLanding);
    for n in 0..6 {
        watch.report(n, "critical", true).await;
    }
    watch.report(3, "critical", false).await;
    watch.phone.telegram.heal();
    for n in [0, 1, 2, 4, 5] {
        watch.phone.sees(ANNA, &format!("· {n} Bloom Flowers")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_while_a_card_is_sent_leaves_at_most_one_marked_copy() {
    let mut watch = watch(Line::default(), &[ANNA]).await;
    watch.phone.telegram.fault("sendMessage", 1, Fault::LandThenHang);
    watch.report(19, "critical", true).await;
    watch.phone.telegram.wait_message(ANNA, |m| m.text.contains("🛑"), SOON).await;
    watch.crash().await;
    let again = watch.phone.sees(ANNA, MARK).await;
    watch.report(19, "critical", false).await;
    watch.phone.becomes(ANNA, again.id, "✅ RESOLVED").await;
    assert_eq!(watch.phone.shown(ANNA).len(), 2, "{}", watch.phone.telegram.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_a_card_stands_only_edits_it() {
    let mut watch = watch(Line::default(), &[ANNA]).await;
    watch.report(19, "critical", true).await;
    let card = watch.phone.sees(ANNA, "· 19 Bloom Flowers").await;
    // The next card begins once the row of the first says that it stands.
    watch.report(7, "critical", true).await;
    watch.phone.sees(ANNA, "· 7 Bloom Flowers").await;
    watch.crash().await;
    watch.report(19, "critical", false).await;
    watch.phone.becomes(ANNA, card.id, "✅ RESOLVED").await;
    assert_eq!(watch.phone.copies(ANNA, "· 19 Bloom Flowers"), 1, "{}", watch.phone.telegram.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_takes_no_cards_is_announced_in_another_one_once() {
    let watch = watch(Line::default(), &[ANNA, BEN]).await;
    watch.phone.telegram.block(ANNA);
    watch.report(19, "critical", true).await;
    let letter = watch.phone.sees(BEN, "Alerts no longer reach anna's private chat").await;
    assert!(letter.text.contains("presses Start") && letter.text.contains("incident"), "{}", letter.text);
    watch.report(7, "critical", true).await;
    watch.phone.sees(BEN, "· 7 Bloom Flowers").await;
    assert_eq!(watch.phone.copies(BEN, "no longer reach"), 1);
    watch.phone.telegram.unblock(ANNA);
    watch.report(8, "critical", true).await;
    watch.phone.sees(ANNA, "· 8 Bloom Flowers").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_card_is_not_sent_again_until_it_has_to_ring() {
    let watch = watch(Line::default(), &[ANNA]).await;
    watch.report(19, "warning", true).await;
    let card = watch.phone.sees(ANNA, "⚠️ WARNING").await;
    watch.knows(&card, true).await;
    watch.phone.telegram.delete(ANNA, card.id);
    watch.draw(19).await;
    watch.knows(&card, false).await;
    watch.report(19, "critical", true).await;
    watch.phone.sees(ANNA, "🛑 CRITICAL").await;
}
