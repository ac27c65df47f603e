//! Pairing in a chat: what strangers, viewers and admins can do with it, and who is known afterwards.

use opsbot::{
    domain::{Actor, AuditKind, Block, ChannelKind, ConversationKey, Inbound, Role, TurnStatus},
    engine::people::Configured,
};

use super::world::{Setup, Transcript, World, actor, inbound};

const TELEGRAM: ChannelKind = ChannelKind::Telegram;

async fn world(people: Vec<Configured>) -> World {
    World::start(Setup { people, on_disk: true, ..Setup::default() }, None).await
}

fn configured(name: &str, role: Role, id: &str) -> Configured {
    Configured { name: name.into(), role, ids: vec![(TELEGRAM, id.into())] }
}

async fn code(world: &World, id: &str) -> String {
    world.engine.pair_offer(TELEGRAM, id, "Somebody").await.unwrap().unwrap().to_string()
}

/// `person` writes on Telegram.
async fn texts(world: &World, person: &str, text: &str) -> Transcript {
    let actor = Actor { channel: TELEGRAM, ..actor(person) };
    world.send(Inbound { actor, ..inbound(person, text) }).await
}

fn known(world: &World, id: &str) -> Option<(String, Role)> {
    world.engine.people().who(TELEGRAM, id).map(|(name, role)| (name.to_string(), role))
}

async fn pairings(world: &World) -> Vec<String> {
    let all = world.audit().await.into_iter().filter(|e| e.kind == AuditKind::Pairing);
    all.map(|e| e.summary).collect()
}

#[tokio::test]
async fn an_admin_pairs_in_a_chat_and_revokes_and_the_person_reads_of_it() {
    let mut world = world(vec![]).await;
    let code = code(&world, "7").await;
    assert_eq!(world.engine.pair_offer(TELEGRAM, "7", "x").await.unwrap(), None, "answered a moment ago");
    for person in ["vic", "anna"] {
        let t = texts(&world, person, &format!("/pair accept {code} eve operator")).await;
        t.ended(TurnStatus::Refused).has("pairing is for admins");
        texts(&world, person, "/pair").await.ended(TurnStatus::Refused);
        texts(&world, person, "/pair revoke eve").await.ended(TurnStatus::Refused);
    }
    let t = texts(&world, "cleo", &format!("/pair accept {code} eve admin")).await;
    t.ended(TurnStatus::Refused).has("on the host only");
    let t = texts(&world, "cleo", "/pair list").await;
    t.has("called there");
    t.lacks(&code);
    let typed = code.to_lowercase().replace('-', "");
    let t = texts(&world, "cleo", &format!("/pair accept {typed} eve operator")).await;
    t.ended(TurnStatus::Answered).has("is eve now, with the role operator. /pair revoke eve undoes it");
    assert_eq!(known(&world, "7"), Some(("eve".into(), Role::Operator)));
    assert_eq!(world.engine.pair_offer(TELEGRAM, "7", "x").await.unwrap(), None, "no stranger any more");
    let chat = ConversationKey::from("telegram:7:0:eve");
    let left = world.engine.store().outbox_take(&chat).await.unwrap();
    let [(_, Block::Notice { text, .. }, _)] = left.as_slice() else { panic!("{left:?}") };
    assert_eq!(text, "You are paired as eve (operator). /help shows what I can do.");

    world.reopen().await;
    assert_eq!(known(&world, "7"), Some(("eve".into(), Role::Operator)));
    texts(&world, "cleo", "/pair").await.has("paired by cleo");
    texts(&world, "cleo", "/pair revoke EVE discord").await.ended(TurnStatus::Failed).has("on discord");
    texts(&world, "cleo", "/pair revoke EVE")
        .await
        .ended(TurnStatus::Answered)
        .has("telegram 7 is a stranger again");
    assert_eq!(known(&world, "7"), None);
    texts(&world, "cleo", "/pair revoke eve").await.ended(TurnStatus::Failed).has("No pairing of “eve”");
    assert!(world.engine.pair_offer(TELEGRAM, "7", "x").await.unwrap().is_some());
    let said = pairings(&world).await;
    assert_eq!(said.iter().filter(|s| s.contains("was refused")).count(), 7, "{said:#?}");
    assert!(said.iter().any(|s| s.contains("is eve now (operator), paired by cleo")), "{said:#?}");
    assert!(said.iter().any(|s| s.contains("is no longer eve: revoked by cleo")), "{said:#?}");
    assert!(!world.kept().contains(&code) && !world.kept().contains(&code.replace('-', "")));
}

#[tokio::test]
async fn no_more_than_three_strangers_have_codes_and_a_crowd_is_silent() {
    let world = world(vec![configured("anna", Role::Operator, "1")]).await;
    assert_eq!(world.engine.pair_offer(TELEGRAM, "1", "anna").await.unwrap(), None);
    let mut given = 0;
    for id in 100..130 {
        let id = id.to_string();
        given += usize::from(world.engine.pair_offer(TELEGRAM, &id, "x\nx").await.unwrap().is_some());
    }
    assert_eq!(given, 3);
    let said = pairings(&world).await;
    assert_eq!(said.len(), 4, "one row a minute for all who are turned away: {said:#?}");
    assert!(said[3].contains("telegram 103, called “x x” there was given no pairing code"), "{said:#?}");
}

#[tokio::test]
async fn a_pairing_with_a_configured_person_is_a_link_that_ends_with_them() {
    let people = vec![
        configured("Otto", Role::Operator, "1"),
        Configured { ids: vec![], ..configured("Vera", Role::Viewer, "") },
        Configured { ids: vec![], ..configured("Root", Role::Admin, "") },
    ];
    let mut world = world(people).await;
    let code = code(&world, "7").await;
    for (name, why) in [
        ("otto", "has the id 1 in config.toml"),
        ("root", "an admin is paired on the host only"),
        ("vera operator", "is viewer, not operator; leave the role out"),
        ("uid:0", "`:` may not be in a name"),
        ("\"\"", "is empty"),
    ] {
        let t = texts(&world, "cleo", &format!("/pair accept {code} {name}")).await;
        t.ended(TurnStatus::Refused).has(why);
    }
    assert_eq!(known(&world, "7"), None);
    texts(&world, "cleo", &format!("/pair accept {code} vera")).await.ended(TurnStatus::Answered);
    assert_eq!(known(&world, "7"), Some(("Vera".into(), Role::Viewer)));
    let t = texts(&world, "cleo", "/pair revoke otto").await;
    t.ended(TurnStatus::Failed).has("ids in config.toml hold until they are taken out there");

    // The configured role holds, whatever it was when they were paired.
    world.setup.people[1].role = Role::Operator;
    world.reopen().await;
    assert_eq!(known(&world, "7"), Some(("Vera".into(), Role::Operator)));
    let vera = world.setup.people.remove(1);
    world.reopen().await;
    assert_eq!(known(&world, "7"), None);
    // A namesake who comes later is somebody else.
    world.setup.people.push(vera);
    world.reopen().await;
    assert_eq!(known(&world, "7"), None);
    assert!(
        pairings(&world).await.iter().any(|s| s.contains("the configuration no longer names this person"))
    );
}

#[tokio::test]
async fn five_wrong_codes_lock_pairing_for_everybody() {
    let world = world(vec![]).await;
    let code = code(&world, "7").await;
    for left in ["4", "3", "2", "1"] {
        let t = texts(&world, "cleo", "/pair accept AAAA-AAAA eve").await;
        t.ended(TurnStatus::Failed).has(&format!("{left} more wrong ones"));
    }
    texts(&world, "cleo", "/pair accept AAAA-AAAA eve")
        .await
        .ended(TurnStatus::Refused)
        .has("one wrong code too many");
    let t = texts(&world, "dora", &format!("/pair accept {code} eve")).await;
    t.ended(TurnStatus::Refused).has("no code was looked at");
    texts(&world, "dora", "/pair").await.has("Pairing is locked for");
    assert_eq!(world.engine.pair_offer(TELEGRAM, "8", "x").await.unwrap(), None);
    assert_eq!(known(&world, "7"), None);
}

#[tokio::test]
async fn short_commands_reach_their_tools_and_help_names_them() {
    let world = World::plain().await;
    let long = world.say("vic", "/list_customers").await.shown();
    assert_eq!(world.say("vic", "/customers").await.shown(), long);
    let help = world.say("vic", "/help").await;
    help.has("(short: /customers)");
    help.has("/pair [list | accept CODE NAME [role] | revoke NAME]");
    world.say("vic", "/help customers").await.has("/list_customers");
    world.say("cleo", "/pair accept X").await.ended(TurnStatus::Failed).has("/pair accept CODE NAME");
    world.say("cleo", "/pair accept X eve boss").await.ended(TurnStatus::Failed).has("`boss` is none of");
}
