//! Secrets stay out of model, screen, rows and audit, whichever way they come in.

use opsbot::{domain::TurnStatus, engine::Sink};
use serde_json::json;

use super::world::{DIALECTS, Setup, World, call, inbound, quoting, restart, text};
use crate::fake::model::FakeModel;

const CONFIGURED: &str = "correct-horse-battery-staple";
const PASSWORD: &str = "Tr0ub4dor-and-3";
const TOKEN: &str = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";
const IN_URL: &str = "s3cretInUrl99";

#[track_caller]
fn clean(what: &str, text: &str) {
    for secret in [CONFIGURED, PASSWORD, TOKEN, IN_URL] {
        if let Some(at) = text.find(secret) {
            let from = text.floor_char_boundary(at.saturating_sub(200));
            panic!("{secret} is in {what}: …{}", &text[from..at + secret.len()]);
        }
    }
}

fn leaky() -> String {
    format!(
        "ERROR auth failed, token {CONFIGURED}\nDB_PASSWORD={PASSWORD}\n{{\"api_key\": \"{TOKEN}\"}}\n\
         connecting to postgres://app:{IN_URL}@db:5432/shop\n"
    )
}

#[tokio::test]
async fn no_secret_passes_whichever_way_it_comes() {
    for dialect in DIALECTS {
        let script = vec![
            call("get_recent_logs", json!({"customer_id": "19"})),
            call("check_up", json!({"customer_id": "19"})),
            text("Authentication fails."),
            call("get_recent_logs", json!({"customer_id": "[redacted]"})),
            text("There is no such customer."),
            restart("19", "web"),
            text("Up again."),
            text("I see."),
        ];
        let secrets = vec![CONFIGURED.to_owned()];
        let setup = Setup { dialect, secrets, on_disk: true, ..Setup::default() };
        let world = World::start(setup, Some(FakeModel::start(script).await)).await;
        // Long enough to be kept in a file too.
        world.site.log("19", leaky().repeat(50));
        world.site.change(|s| s.broken = true);
        let mut all = vec![
            world.say("anna", "what's wrong with customer 19?").await,
            world.say("anna", &format!("and for {CONFIGURED}, with password={PASSWORD}?")).await,
            world.say("anna", "restart the web of customer 19").await,
        ];
        let card = all[2].card();
        all.push(world.approve("anna", &card).await);
        all.push(world.send(quoting("anna", "what is this?", &leaky())).await);
        all.push(world.say("anna", &format!("/get_recent_logs 19 {CONFIGURED}")).await);
        all.push(world.say("anna", &format!("/check_up {TOKEN}")).await);
        all.push(world.say("anna", &format!("/approve {CONFIGURED}")).await);
        all.push(world.say("anna", &format!("/{CONFIGURED}")).await);
        assert_eq!(all[0].status, TurnStatus::Answered, "{}", all[0].shown());
        all[0].has("[redacted]");
        for t in &all {
            clean("an event", &format!("{:?}", t.events));
        }
        for request in world.model().requests() {
            clean("a request", &request.to_string());
        }
        let last = world.model().requests()[1].to_string();
        assert!(last.contains("auth failed, token [redacted]"), "{last}");
        clean("the audit", &format!("{:?}", world.audit().await));
        clean("the history", &format!("{:?}", world.history("anna").await));
        clean("the state directory", &world.kept());
        assert!(world.kept().contains("auth failed"), "the files were really read");
    }
}

#[tokio::test]
async fn what_was_asked_before_a_crash_is_told_without_its_secrets() {
    let setup = Setup { secrets: vec![CONFIGURED.into()], on_disk: true, ..Setup::default() };
    let mut world = World::start(setup, None).await;
    world.site.change(|s| s.held = true);
    let _lost = world.begin(inbound("anna", &format!("/check_up 19 customer_id={CONFIGURED}")));
    let _lost = world.begin(inbound("ben", "/check_up 7"));
    world.site.until(|s| s.entered == 1).await;
    world.reopen().await;
    let outbox = world.engine.store().outbox_take(&super::world::conversation("ben")).await.unwrap();
    let told = format!("{outbox:?}");
    assert!(told.contains("Ask again") && told.contains("/check_up 7"), "{told}");
    clean("the state directory", &world.kept());
}

#[tokio::test]
async fn progress_and_errors_are_cleaned_like_everything_else() {
    let setup = Setup { secrets: vec![CONFIGURED.into()], ..Setup::default() };
    let script = vec![call("get_recent_logs", json!({"customer_id": "19"})), text("It failed.")];
    let world = World::start(setup, Some(FakeModel::start(script).await)).await;
    world.site.change(|s| s.fails = Some(format!("login as root with {CONFIGURED} was refused")));
    let t = world.say("anna", "logs of 19?").await;
    t.has("[redacted] was refused");
    clean("an event", &format!("{:?}", t.events));
    clean("a request", &world.model().requests()[1].to_string());
    clean("the audit", &format!("{:?}", world.audit().await));
    clean("the history", &format!("{:?}", world.history("anna").await));

    let (to, mut from) = tokio::sync::mpsc::channel(4);
    let sink = Sink::new(to, world.engine.redactor());
    sink.try_send(opsbot::domain::Outbound::Progress { text: format!("trying {CONFIGURED}") });
    clean("progress", &format!("{:?}", from.recv().await));
}
