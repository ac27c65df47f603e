//! Who may speak: strangers get a code and nothing else, pairing makes them known, revoking makes them strangers again.

use opsbot::{
    domain::{Actor, ChannelKind, Origin, Outbound, Role},
    engine::{PairAs, Sink},
};
use tokio::sync::mpsc;

use super::rig::{ANNA, CLEO, GROUP, Line, Phone, STRANGER, VIC};

async fn code(phone: &Phone) -> String {
    let told = phone.sees(STRANGER, "Your pairing code is ").await.text;
    told.split("code is ").nth(1).unwrap().split(';').next().unwrap().to_owned()
}

/// Lets somebody known ask something last, after which all that came before is dealt with.
async fn settled(phone: &Phone) {
    phone.heard().await;
    phone.telegram.say(VIC, VIC, "/version");
    phone.sees(VIC, "OpsBot ").await;
    phone.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_one_code_in_private_and_silence_otherwise() {
    let phone = Line::default().plain().await;
    phone.telegram.say(ANNA, ANNA, "/restart_container 19 web");
    let card = phone.button(ANNA, "✅ Confirm").await;
    for said in ["/check_up@ops_test_bot 19", "@ops_test_bot hello", "/stop", "/start"] {
        phone.telegram.say(GROUP, STRANGER, said);
    }
    let data = card.keyboard[0][0].data.clone().unwrap();
    for data in [data.as_str(), "t:/check_up 19", "m:p:0", "s", "r:1", "nonsense"] {
        let press = phone.telegram.press_data(GROUP, STRANGER, card.id, data);
        let answer = phone.answer(&press).await;
        assert_eq!((answer.text.as_str(), answer.alert), ("", false), "{data}");
    }
    phone.telegram.say(STRANGER, STRANGER, "/check_up 19");
    let told = phone.sees(STRANGER, "I do not know you").await;
    assert!(told.text.contains("opsbot pair accept") && told.keyboard.is_empty(), "{}", told.text);
    for said in ["/start", "/menu", "/help", "/approve 1", "please!"] {
        phone.telegram.say(STRANGER, STRANGER, said);
    }
    phone.telegram.send_document(STRANGER, STRANGER, "x.log", "x", "");
    phone.telegram.send_voice(STRANGER, STRANGER, &b"OggS"[..], 1);
    settled(&phone).await;
    assert_eq!((phone.shown(STRANGER).len(), phone.shown(GROUP).len()), (1, 0));
    assert!(phone.telegram.actions(STRANGER).is_empty() && phone.telegram.actions(GROUP).is_empty());
    assert!(phone.telegram.calls_of("getFile").is_empty());
    for scope in ["default", "all_private_chats", "all_group_chats", "chat:1009", "chat:-100200"] {
        assert!(phone.telegram.commands(scope, "").is_none(), "{scope}");
    }
    assert_eq!((phone.world.writes(), phone.world.site.read(|s| s.entered)), (vec![], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fourth_stranger_gets_no_code() {
    let phone = Line::default().plain().await;
    for id in 2001..=2005 {
        phone.telegram.private(id, "Somebody");
        phone.telegram.say(id, id, "hello");
    }
    phone.heard().await;
    settled(&phone).await;
    let told = (2001..=2005).filter(|id| !phone.shown(*id).is_empty()).count();
    assert_eq!(told, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_pairs_in_the_chat_and_takes_it_back() {
    let phone = Line::default().plain().await;
    phone.telegram.say(STRANGER, STRANGER, "hello");
    let code = code(&phone).await;
    phone.telegram.say(ANNA, ANNA, &format!("/pair accept {code} mallory operator"));
    phone.sees(ANNA, "pairing is for admins").await;
    phone.telegram.say(CLEO, CLEO, &format!("/pair accept {} mallory operator", code.to_lowercase()));
    phone.sees(CLEO, "is mallory now, with the role operator").await;
    phone.sees(STRANGER, "You are paired as mallory (operator)").await;
    phone.telegram.say(STRANGER, STRANGER, "/check_up 19");
    phone.sees(STRANGER, "timed out for 19").await;
    let menu = phone.telegram.commands("chat:1009", "").unwrap();
    assert!(menu.iter().any(|(name, _)| name == "restart_container"), "{menu:?}");
    phone.telegram.say(CLEO, CLEO, "/pair revoke mallory");
    phone.sees(CLEO, "telegram 1009 is a stranger again").await;
    phone.telegram.say(STRANGER, STRANGER, "/check_up 7");
    phone
        .telegram
        .wait_for(
            |w| w.from_bot(STRANGER).filter(|m| m.text.contains("I do not know you")).count() == 2,
            super::rig::SOON,
        )
        .await;
    let press = phone.telegram.press_data(STRANGER, STRANGER, 1, "t:/check_up 7");
    assert_eq!(phone.answer(&press).await.text, "");
    settled(&phone).await;
    assert_eq!(phone.copies(STRANGER, "for 7"), 0);
    assert!(phone.telegram.commands("chat:1009", "").is_none_or(|menu| menu.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_accepts_a_code_and_the_person_is_told() {
    let phone = Line::default().plain().await;
    phone.telegram.say(STRANGER, STRANGER, "hello");
    let code = code(&phone).await;
    let host = Actor {
        person: "root".into(),
        role: Role::Admin,
        channel: ChannelKind::Console,
        origin: Origin::Typed,
    };
    let (to, mut events) = mpsc::channel(16);
    let sink = Sink::new(to, phone.world.engine.redactor());
    let pair_as = PairAs { person: "mallory".into(), role: Some(Role::Admin) };
    phone.world.engine.pair_accept((&host, true), &code, &pair_as, &sink).await.unwrap();
    drop(sink);
    assert!(matches!(events.recv().await, Some(Outbound::Block { .. })));
    phone.sees(STRANGER, "You are paired as mallory (admin)").await;
    phone.telegram.say(STRANGER, STRANGER, "/whoami");
    phone.sees(STRANGER, "You are mallory, admin on telegram.").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_codes_lock_pairing() {
    let phone = Line::default().plain().await;
    phone.telegram.say(STRANGER, STRANGER, "hello");
    let code = code(&phone).await;
    for n in 0..5 {
        phone.telegram.say(CLEO, CLEO, &format!("/pair accept WRNG-WRN{n} eve"));
    }
    phone.sees(CLEO, "pairing is locked for 10 min").await;
    phone.telegram.say(CLEO, CLEO, &format!("/pair accept {code} eve"));
    phone.sees(CLEO, "no code was looked at").await;
    phone.telegram.say(STRANGER, STRANGER, "/whoami");
    settled(&phone).await;
    assert_eq!(phone.shown(STRANGER).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_registered_for_known_chats_by_role() {
    let phone = Line::default().plain().await;
    for (chat, user) in [(VIC, VIC), (ANNA, ANNA), (CLEO, CLEO), (GROUP, VIC)] {
        phone.telegram.say(chat, user, "/version");
        phone.sees(chat, "OpsBot ").await;
    }
    let commands = |chat: i64| {
        let scope = format!("chat:{chat}");
        let all = phone.telegram.commands(&scope, "").unwrap_or_default();
        all.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    let has = |chat, name: &str| commands(chat).iter().any(|n| n == name);
    let registered = |w: &crate::fake::telegram::World| w.commands.len() == 4;
    phone.telegram.wait_for(registered, super::rig::SOON).await;
    for (name, vic, anna, cleo) in [
        ("menu", true, true, true),
        ("check_up", true, true, true),
        ("stop", true, true, true),
        ("restart_container", false, true, true),
        ("freeze", false, true, true),
        ("unfreeze", false, false, true),
        ("pair", false, false, true),
        ("modify_billing", false, false, false),
    ] {
        assert_eq!([has(VIC, name), has(ANNA, name), has(CLEO, name)], [vic, anna, cleo], "{name}");
    }
    assert!(!has(GROUP, "unfreeze"));
    phone.telegram.say(GROUP, CLEO, "/version");
    let wide = |w: &crate::fake::telegram::World| {
        w.commands[&(format!("chat:{GROUP}"), String::new())].iter().any(|(name, _)| name == "unfreeze")
    };
    phone.telegram.wait_for(wide, super::rig::SOON).await;
}
