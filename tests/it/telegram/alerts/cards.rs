//! One incident's card from its first sight to green: sent loud, edited in place, rung, with its chart.

use opsbot::domain::Action;

use super::{Line, MARK, watch};
use crate::{
    fake::telegram::{Fault, Shown},
    telegram::rig::{ANNA, SOON},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_card_appears_loud_is_edited_in_place_and_ends_green() {
    let watch = watch(Line::default(), &[ANNA]).await;
    watch.report(19, "critical", true).await;
    let card = watch.phone.sees(ANNA, "🛑 CRITICAL · 19 Bloom Flowers · web").await;
    assert!(!card.silent, "{card:?}");
    let labels: Vec<_> = card.keyboard.concat().into_iter().map(|b| (b.label, b.url)).collect();
    assert!(labels.iter().any(|(label, _)| label == "Ack"), "{labels:?}");
    let runbook = labels.iter().find(|(label, _)| label.contains("Runbook"));
    assert_eq!(runbook.unwrap().1.as_deref(), Some("https://wiki.example/web"));
    let ack = Action::Ack { incident: watch.incident(19), by: "anna".into() };
    watch.pager.act(ack, None).await.unwrap();
    watch.phone.becomes(ANNA, card.id, "👀 CRITICAL, acked").await;
    watch.report(19, "critical", false).await;
    let green = watch.phone.becomes(ANNA, card.id, "✅ RESOLVED").await;
    assert!(green.keyboard.is_empty() && green.text.contains("lasted"), "{green:?}");
    assert_eq!(watch.phone.shown(ANNA).len(), 1, "{}", watch.phone.telegram.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gets_worse_rings_as_a_loud_reply_to_its_card() {
    let watch = watch(Line::default(), &[ANNA]).await;
    watch.report(19, "warning", true).await;
    let card = watch.phone.sees(ANNA, "⚠️ WARNING · 19").await;
    watch.report(19, "critical", true).await;
    let ring = watch.phone.sees(ANNA, "🔔").await;
    assert_eq!((ring.reply_to, ring.silent), (Some(card.id), false), "{ring:?}");
    watch.phone.becomes(ANNA, card.id, "🛑 CRITICAL").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_comes_by_an_edit_and_later_words_go_below_it() {
    let watch = watch(Line::default(), &[ANNA]).await;
    watch.report(19, "critical", true).await;
    let card = watch.phone.sees(ANNA, "🛑 CRITICAL").await;
    assert!(card.media.is_none(), "the text goes first");
    watch.draw(19).await;
    let drawn = |m: &Shown| m.id == card.id && m.media.is_some();
    watch.phone.telegram.wait_message(ANNA, drawn, SOON).await;
    watch.report(19, "critical", false).await;
    let green = watch.phone.becomes(ANNA, card.id, "✅ RESOLVED").await;
    assert!(green.media.is_some() && !green.text.contains(MARK), "{green:?}");
    assert_eq!(watch.phone.shown(ANNA).len(), 1, "{}", watch.phone.telegram.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_picture_comes_once_as_a_quiet_reply() {
    let watch = watch(Line::default(), &[ANNA]).await;
    watch.phone.telegram.fault("editMessageMedia", 99, Fault::BadRequest("message can't be edited".into()));
    watch.report(19, "critical", true).await;
    let card = watch.phone.sees(ANNA, "🛑 CRITICAL").await;
    watch.draw(19).await;
    let picture = watch.phone.telegram.wait_message(ANNA, |m| m.media.is_some(), SOON).await;
    assert_eq!((picture.reply_to, picture.silent), (Some(card.id), true), "{picture:?}");
    watch.draw(19).await;
    watch.report(19, "critical", false).await;
    watch.phone.becomes(ANNA, card.id, "✅ RESOLVED").await;
    let pictures = watch.phone.shown(ANNA).into_iter().filter(|m| m.media.is_some()).count();
    assert_eq!((pictures, watch.phone.shown(ANNA).len()), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_an_annotation_can_be_tapped() {
    let watch = watch(Line::default(), &[ANNA]).await;
    watch.report(19, "critical", true).await;
    let card = watch.phone.sees(ANNA, "evil.example").await;
    let wide: Vec<u16> = card.text.encode_utf16().collect();
    let covered: Vec<String> = card
        .entities
        .iter()
        .filter(|e| e["type"] == "code")
        .map(|e| {
            let at = |name: &str| usize::try_from(e[name].as_u64().unwrap()).unwrap();
            String::from_utf16_lossy(&wide[at("offset")..at("offset") + at("length")])
        })
        .collect();
    for part in ["https://evil.example/x", "/restart_container"] {
        assert!(covered.iter().any(|piece| piece == part), "{part}: {covered:?}");
    }
}
