//! Playbooks: one card for all steps, each judged; what changed since, or fails, ends the run and is told.

use opsbot::{
    domain::{AuditKind, CardState, TurnStatus},
    policy::approval::Verb,
};
use serde_json::json;

use super::world::{Setup, Transcript, World, actor, call, text};
use crate::fake::model::FakeModel;

const RECOVER: &str = r#"
name = "recover-web"
description = "Restart web and db, then look."
[params.customer_id]
type = "customer"
[[step]]
id = "web"
tool = "restart_container"
args = { customer_id = "{customer_id}", service = "web" }
[[step]]
id = "db"
tool = "restart_container"
args = { customer_id = "{customer_id}", service = "db" }
[[step]]
id = "look"
tool = "check_up"
args = { customer_id = "{customer_id}" }
"#;
const NO_DB: &str = r#"
[[policy.rule]]
id = "no-db"
effect = "blocked"
tools = ["restart_container"]
args = { service = "db" }
reason = "databases are restarted by hand"
"#;
const NO_RUN: &str = r#"
[[policy.rule]]
id = "no-run"
effect = "blocked"
tools = ["run_playbook"]
args = { name = "recover-web" }
reason = "change freeze"
"#;
const GOLD: &str = r#"
[[policy.rule]]
id = "gold-needs-two"
effect = "two_person"
tools = ["restart_container"]
targets = ["label:tier=gold"]
reason = "gold customers need a second pair of eyes"
"#;

async fn world(rules: &str) -> World {
    let setup = Setup { rules: rules.into(), playbooks: vec![RECOVER], ..Setup::default() };
    World::start(setup, None).await
}

async fn asked(world: &World, args: &str) -> Transcript {
    world.say("anna", &format!("/run_playbook {args}")).await
}

#[tokio::test]
async fn a_run_is_one_card_and_every_step_is_told() {
    let world = world("").await;
    let t = asked(&world, "recover_web 19").await;
    let card = t.ended(TurnStatus::WaitsForApproval).card();
    assert_eq!(card.calls, ["run_playbook(name=recover-web, customer_id=19)"]);
    assert_eq!(
        card.steps,
        [
            "step 1: restart container c19-web on local",
            "step 2: restart container c19-db on local",
            "step 3: check_up(customer_id=19)"
        ]
    );
    assert!(world.writes().is_empty());
    let t = world.approve("anna", &card).await;
    assert_eq!(t.states(), [CardState::Executing, CardState::Done]);
    t.has("1. web of 19 restarted, all up; 2. db of 19 restarted, all up; 3. looked");
    t.has("web of 19 is unhealthy");
    assert_eq!(world.writes(), ["19/web", "19/db"]);
    use AuditKind::{Asked, Decided, WriteBegins, WriteEnds};
    assert_eq!(world.audit_of(&card).await, [Asked, Decided, WriteBegins, WriteEnds]);
}

#[tokio::test]
async fn a_rule_on_a_step_or_on_the_playbook_holds_for_the_whole() {
    for (rules, part) in [(NO_DB, "databases are restarted by hand"), (NO_RUN, "change freeze")] {
        let world = world(rules).await;
        let t = asked(&world, "recover-web 19").await;
        t.ended(TurnStatus::Refused).has(part);
        assert!(t.cards().is_empty());
    }
    let world = world(GOLD).await;
    let card = asked(&world, "recover-web 16").await.card();
    assert_eq!(card.eligible, "anna first, then an admin other than anna");
    world.approve("anna", &card).await;
    assert!(world.writes().is_empty());
    world.approve("cleo", &card).await.has("3. looked");
    assert_eq!(world.writes(), ["16/web", "16/db"]);
}

#[tokio::test]
async fn what_was_replaced_since_the_card_stops_the_run() {
    let world = world("").await;
    let card = asked(&world, "recover-web 19").await.card();
    world.site.change(|s| s.generation += 1);
    let t = world.approve("anna", &card).await;
    t.has("container c19-web was replaced");
    assert_eq!((world.writes().len(), world.state(&card).await), (0, CardState::Failed));
}

#[tokio::test]
async fn the_first_step_that_fails_is_the_last() {
    let world = world("").await;
    let card = asked(&world, "recover-web 19").await.card();
    world.site.change(|s| s.broken = true);
    let t = world.approve("anna", &card).await;
    t.has("step 1 of 3, restart_container(customer_id=19, service=web): web of 19 restarted but not up");
    t.has("panic: cannot bind");
    assert_eq!((world.writes(), world.state(&card).await), (vec!["19/web".to_owned()], CardState::Failed));
}

#[tokio::test]
async fn a_freeze_between_two_steps_stops_the_rest() {
    let world = world("").await;
    let card = asked(&world, "recover-web 19").await.card();
    world.site.change(|s| s.held = true);
    let run = world.begin_decision(actor("anna"), &card, Verb::Approve);
    world.site.until(|s| s.entered == 1).await;
    world.say("ben", "/freeze").await;
    world.site.change(|s| s.held = false);
    let t = run.await.unwrap();
    t.has("step 2 of 3, restart_container(customer_id=19, service=db): not run");
    t.has("frozen");
    assert_eq!(world.writes(), ["19/web"]);
}

#[tokio::test]
async fn a_wrong_name_or_customer_says_what_there_is() {
    let world = world("").await;
    for (args, part) in
        [("rotate 19", "recover-web"), ("recover-web", "name it"), ("recover-web 99", "Bloom Flowers")]
    {
        let t = asked(&world, args).await;
        t.ended(TurnStatus::Failed);
        assert!(t.shown().contains(part) || t.shown().contains("19"), "{args}: {}", t.shown());
        assert!(t.cards().is_empty());
    }
}

#[tokio::test]
async fn a_model_runs_none_for_a_customer_that_nobody_named() {
    let run = |customer: &str| call("run_playbook", json!({"name": "recover-web", "customer_id": customer}));
    let setup = || Setup { playbooks: vec![RECOVER], ..Setup::default() };
    let model = FakeModel::start(vec![run("7"), text("done")]).await;
    let world = World::start(setup(), Some(model)).await;
    let t = world.say("anna", "recover the web of Bloom Flowers").await;
    t.ended(TurnStatus::Answered);
    assert!(t.cards().is_empty(), "{t:#?}");

    let model = FakeModel::start(vec![run("19"), text("done")]).await;
    let world = World::start(setup(), Some(model)).await;
    let card = world.say("anna", "run the playbook recover-web for Bloom Flowers").await.card();
    assert_eq!(card.calls, ["run_playbook(name=recover-web, customer_id=19)"]);
}
