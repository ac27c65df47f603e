//! Who may act on a card, and what an answer to a card is about.

use opsbot::domain::{ChannelKind, ConversationKey};

use super::{Line, watch};
use crate::telegram::rig::{ANNA, BEN, GROUP, STRANGER};

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_a_card_is_about_its_incident() {
    let watch = watch(Line::default(), &[GROUP]).await;
    watch.report(19, "critical", true).await;
    let card = watch.phone.sees(GROUP, "🛑 CRITICAL").await;
    watch.knows(&card, true).await;
    watch.phone.telegram.join(GROUP, BEN);
    watch.phone.telegram.reply(GROUP, BEN, card.id, "/check_up 19");
    watch.phone.sees(GROUP, "upstream timed out").await;
    watch.draw(19).await;
    let drawn = |m: &crate::fake::telegram::Shown| m.id == card.id && m.media.is_some();
    watch.phone.telegram.wait_message(GROUP, drawn, crate::telegram::rig::SOON).await;
    watch.phone.telegram.reply(GROUP, BEN, card.id, "/check_up 7");
    watch.phone.heard().await;
    let incident = watch.incident(19);
    let place = ConversationKey::in_chat(ChannelKind::Telegram, GROUP, None, &"ben".into());
    let said = watch.phone.world.engine.store().inbox_last(&place, 9).await.unwrap();
    let about: Vec<_> = said.iter().map(|inbound| inbound.about).collect();
    assert_eq!(about, [Some(incident), Some(incident)], "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_press_says_so_and_changes_nothing() {
    let watch = watch(Line::default(), &[GROUP]).await;
    watch.report(19, "critical", true).await;
    let card = watch.phone.sees(GROUP, "🛑 CRITICAL").await;
    watch.phone.telegram.join(GROUP, STRANGER);
    for button in ["Ack", "Silence…"] {
        let heard = watch.phone.press(GROUP, STRANGER, card.id, button).await;
        assert!(heard.alert && heard.text.contains("Nothing was done"), "{heard:?}");
    }
    let state = watch.pager.look(|desk| desk.open().first().map(|i| i.state));
    assert_eq!(state, Some(opsbot::domain::IncidentState::Firing));
    assert_eq!(watch.phone.shown(GROUP).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_says_which_chats_cannot_be_paged() {
    use opsbot::channels::telegram::{
        api::{Api, Timeouts},
        doctor,
    };
    let phone = Line::default().plain().await;
    phone.telegram.person(1010, "Nils", "nils");
    let api = Api::new(&phone.telegram.url(), phone.telegram.token(), Timeouts::default()).unwrap();
    let places = [ANNA, 1010, GROUP, -100_999].map(|chat| format!("telegram:{chat}:0"));
    let found = doctor::paged(&api, &places).await;
    let table = [None, Some("press Start"), None, Some("add the bot to the group")];
    for ((what, seen), want) in found.iter().zip(table) {
        match want {
            None => assert!(seen.is_ok(), "{what}: {seen:?}"),
            Some(cure) => assert!(seen.as_ref().unwrap_err().contains(cure), "{what}: {seen:?}"),
        }
    }
    assert_eq!(found.len(), 4);
}
