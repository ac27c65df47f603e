//! New parts under running turns and waiting cards: a turn ends as it began, and whatever begins then has the new rights.

use opsbot::{
    domain::{AuditKind, ChannelKind, ConversationKey, Role, TurnStatus},
    engine::people::Configured,
};
use serde_json::{Value, json};

use super::world::{Setup, World, call, inbound, text};
use crate::fake::model::FakeModel;

fn person(name: &str, role: Role, id: i64) -> Configured {
    Configured { name: name.into(), role, ids: vec![(ChannelKind::Telegram, id.to_string())] }
}

const NO_LOGS: &str = "[[policy.rule]]\nid = \"no-logs\"\neffect = \"blocked\"\ntools = [\"get_recent_logs\"]\n\
                       reason = \"logs are closed today\"\n";

#[tokio::test]
async fn a_running_turn_ends_under_the_rules_that_it_began_with() {
    let script = |body: &Value, _: usize| match body["messages"].as_array().unwrap().last().unwrap() {
        last if last["role"] == "tool" => {
            if body["messages"].as_array().unwrap().iter().filter(|m| m["role"] == "tool").count() % 2 == 1 {
                call("get_recent_logs", json!({"customer_id": "19"}))
            } else {
                text("Read.")
            }
        }
        _ => call("check_up", json!({"customer_id": "19"})),
    };
    let mut world = World::start(Setup::default(), Some(FakeModel::answering(script).await)).await;
    world.site.change(|s| s.held = true);
    let running = world.begin(inbound("anna", "what is wrong with 19?"));
    world.site.until(|s| s.entered == 1).await;
    // This one waits for its turn in the same conversation.
    let waiting = world.begin(inbound("anna", "/get_recent_logs 19"));
    world.setup.rules = NO_LOGS.into();
    world.reload().await;
    world.say("ben", "/get_recent_logs 19").await.ended(TurnStatus::Refused).has("logs are closed today");
    world.site.change(|s| s.held = false);
    let t = running.await.unwrap();
    t.ended(TurnStatus::Answered).has("Read.");
    t.lacks("closed today");
    waiting.await.unwrap().ended(TurnStatus::Refused).has("logs are closed today");
    world.say("cleo", "/status").await.has("configuration");
}

#[tokio::test]
async fn a_card_of_old_rules_or_old_rights_runs_nothing() {
    let mut world = World::plain().await;
    let card = world.say("anna", "/restart_container 19 web").await.card();
    world.setup.rules = NO_LOGS.into();
    world.reload().await;
    world.approve("anna", &card).await.ended(TurnStatus::Failed).has("the policy changed");

    // Only people change: the policy is the same, yet who asked may no longer write.
    world.setup.people = vec![person("anna", Role::Operator, 1), person("cleo", Role::Admin, 3)];
    world.reload().await;
    let card = world.say("anna", "/restart_container 19 web").await.card();
    world.setup.people = vec![person("anna", Role::Viewer, 1), person("cleo", Role::Admin, 3)];
    world.reload().await;
    let t = world.approve("cleo", &card).await;
    t.ended(TurnStatus::Failed).has("since the card was shown");
    assert!(world.writes().is_empty());
}

#[tokio::test]
async fn every_admin_is_told_and_the_audit_knows() {
    let mut world = World::plain().await;
    world.setup.people = vec![person("cleo", Role::Admin, 3), person("ben", Role::Operator, 4)];
    world.reload().await;
    let keep = vec!["config.toml:3: model.name: is empty".to_owned()];
    world.engine.keep(None, keep).await;
    let chat = ConversationKey::in_chat(ChannelKind::Telegram, 3, None, &"cleo".into());
    let told = world.engine.store().outbox_take(&chat).await.unwrap();
    let told: Vec<_> = told.iter().map(|(_, block, _)| serde_json::to_string(block).unwrap()).collect();
    assert!(told.len() == 2 && told[0].contains("something changed"), "{told:?}");
    assert!(told[1].contains("config.toml:3: model.name: is empty"), "{told:?}");
    assert_eq!(world.engine.store().replies_open("telegram:").await.unwrap().len(), 2, "only to admins");
    let kept: Vec<_> = world.audit().await.into_iter().filter(|e| e.kind == AuditKind::Daemon).collect();
    assert!(kept[0].summary.contains("reloaded by a signal: 1 changes"), "{kept:?}");
    assert!(kept[1].summary.contains("refused"), "{kept:?}");
    world.say("vic", "/status").await.has("config.toml:3: model.name: is empty");
    for person in ["vic", "ben"] {
        world.say(person, "/reload").await.ended(TurnStatus::Refused).has("only an admin");
    }
    world.say("cleo", "/reload").await.ended(TurnStatus::Failed).has("Nothing to reload");
}
