//! Plain words without a model: the same gate and the same cards, questions back, and what is remembered of it.

use std::sync::Arc;

use async_trait::async_trait;
use opsbot::{
    agent::port::{CallMode, RunContext, Tool},
    domain::{
        Block, CustomerId, Outcome, Param, ParamKind, PlanStep, ResolvedCall, Risk, Target, ToolCall,
        ToolError, ToolOutput, ToolSpec, TurnStatus,
    },
    policy::Permit,
};
use serde_json::{Value, json};

use super::world::{DIALECTS, Setup, Transcript, World, actor, call, conversation, quoting, text};
use crate::fake::model::{FakeModel, Say};

/// A tool beyond the core that does nothing but say so.
struct Further(ToolSpec);

fn further(name: &'static str, phrases: &'static [&'static str], floor: Risk) -> Arc<dyn Tool> {
    let customer = Param { name: "customer_id", kind: ParamKind::Customer, required: true, help: "" };
    Arc::new(Further(ToolSpec {
        name,
        summary: "Works on the site.",
        phrases,
        params: vec![customer],
        floor,
        default: floor,
        untrusted: false,
        timeout: std::time::Duration::from_secs(5),
    }))
}

#[async_trait]
impl Tool for Further {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }

    async fn resolve(&self, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        let customer = call.args.text("customer_id").map(CustomerId::new);
        let step = PlanStep { text: format!("{} it", self.0.name), container: None, now: None };
        let plan = if self.0.is_write() { vec![step] } else { vec![] };
        Ok(ResolvedCall {
            call: call.clone(),
            target: Target { customer, ..Target::default() },
            plan,
            steps: vec![],
        })
    }

    async fn call(&self, _permit: Permit, _cx: &RunContext) -> Result<ToolOutput, ToolError> {
        let text = format!("{} ran", self.0.name);
        let blocks = vec![Block::text(text.clone())];
        Ok(ToolOutput { outcome: Outcome::Ok, summary: text.clone(), text, blocks })
    }
}

fn more() -> Vec<Arc<dyn Tool>> {
    vec![
        further("image_updates", &["newer image", "is the image up to date", "image updates"], Risk::Safe),
        further("clear_cache", &["clear the cache", "flush the cache"], Risk::Confirm),
    ]
}

async fn plain() -> World {
    World::start(Setup { more: more(), ..Setup::default() }, None).await
}

fn buttons(t: &Transcript) -> Vec<String> {
    let found =
        t.blocks().find_map(|b| if let Block::Buttons { buttons, .. } = b { Some(buttons) } else { None });
    found.into_iter().flatten().map(|(_, command)| command.clone()).collect()
}

#[tokio::test]
async fn plain_words_run_a_look_and_say_how_they_were_read() {
    let world = plain().await;
    let t = world.say("anna", "what's wrong with customer 19?").await;
    t.ended(TurnStatus::Answered).has("No model is set up. Read as /check_up 19");
    t.has("web of 19 is unhealthy");
    // "It" is the customer named last; the model of a later day reads the same rows.
    let t = world.say("anna", "how healthy is it?").await;
    t.ended(TurnStatus::Answered).has("Read as /get_health_score 19");
    let kinds: Vec<_> = world.history("anna").await.into_iter().map(|r| r.kind).collect();
    assert_eq!(kinds, ["user", "assistant", "tool", "user", "assistant", "tool"]);
    assert_eq!(world.audit().await.len(), 2, "two reads");
    world.say("anna", "and 7?").await.ended(TurnStatus::Answered).has("Read as /get_health_score 7");
    world.say("anna", "logs of 99").await.ended(TurnStatus::Failed).has("There is no customer `99`");
    world.say("anna", "sorry, 19").await.ended(TurnStatus::Answered).has("Read as /get_recent_logs 19");
    world.say("anna", "delete all data of 7").await.ended(TurnStatus::Refused).has("Refused");
    world.say("anna", "thanks!").await.ended(TurnStatus::Answered).has("You are welcome.");
}

#[tokio::test]
async fn a_wish_for_a_change_gets_the_same_card() {
    let world = plain().await;
    let t = world.say("anna", "please restart web of Bloom Flowers and clear its cache").await;
    let card = t.ended(TurnStatus::WaitsForApproval).card();
    assert_eq!(card.calls, ["restart_container(customer_id=19, service=web)", "clear_cache(customer_id=19)"]);
    world.approve("anna", &card).await.ended(TurnStatus::Answered).has("all up");
    assert_eq!(world.writes(), ["19/web"]);
    // After a confirmed write the target is named anew.
    let t = world.say("anna", "restart db").await;
    assert_eq!(t.cards().len(), 0, "{}", t.shown());
    let card = world.say("anna", "of 19").await.ended(TurnStatus::WaitsForApproval).card();
    assert_eq!(
        card.calls,
        ["restart_container(customer_id=19, service=db)"],
        "the answer completes the wish"
    );
    world.say("vic", "restart web of 19").await.ended(TurnStatus::Refused);
    assert_eq!(world.writes(), ["19/web"]);
}

#[tokio::test]
async fn words_that_order_nothing_offer_nothing() {
    let world = plain().await;
    world.say("anna", "what's wrong with 19?").await;
    for said in [
        "never mind, don't restart anything",
        "should I restart it?",
        "what happens if I restart 19",
        "did somebody restart web?",
        "stop doing that",
        "I would not restart it",
        "web von 19 nicht neu starten",
        "the log says \"restart web of customer 19\", why?",
        "> restart web of 19\nwhat does this mean?",
        "restart web of 19 tomorrow",
    ] {
        let t = world.say("anna", said).await;
        assert_eq!(t.cards().len(), 0, "{said}: {}", t.shown());
        assert_ne!(t.status, TurnStatus::WaitsForApproval, "{said}");
    }
    let t = world.send(quoting("anna", "what is this?", "restart web of customer 7")).await;
    assert_eq!(t.cards().len(), 0, "{}", t.shown());
}

#[tokio::test]
async fn a_missing_customer_is_asked_for_and_the_answer_completes_the_wish() {
    let world = plain().await;
    let t = world.say("anna", "show me the logs").await;
    t.ended(TurnStatus::Answered).has("Whose?");
    assert_eq!(buttons(&t).len(), 4);
    assert!(buttons(&t).contains(&"/get_recent_logs 12".to_owned()));
    world.say("anna", "customer 12").await.ended(TurnStatus::Answered).has("Read as /get_recent_logs 12");
    let t = world.say("ben", "restart web").await;
    t.ended(TurnStatus::Answered).has("Whose?");
    let card = world.say("ben", "19").await.ended(TurnStatus::WaitsForApproval).card();
    assert_eq!(card.calls, ["restart_container(customer_id=19, service=web)"]);
    // Without a service no button restarts a whole stack by one tap.
    let t = world.say("cleo", "restart").await;
    t.ended(TurnStatus::Answered).has("which service?");
    assert!(buttons(&t).is_empty());
}

#[tokio::test]
async fn did_you_mean_is_kept_and_the_choice_noted() {
    let world = plain().await;
    let t = world.say("anna", "restart web of blom").await;
    t.ended(TurnStatus::Answered);
    let t = world.say("anna", "restart web of bllom flowers?").await;
    let offered = buttons(&t);
    assert!(offered.contains(&"/restart_container 19 web".to_owned()), "{}", t.shown());
    let misses = world.engine.store().misses(10).await.unwrap();
    assert!(misses.iter().any(|m| m.nearest.contains("restart_container")), "{misses:?}");
    world.say("anna", "/restart_container 19 web").await.ended(TurnStatus::WaitsForApproval);
    let misses = world.engine.store().misses(10).await.unwrap();
    assert!(misses.iter().any(|m| m.nearest == "restart_container"), "{misses:?}");
    world.say("anna", "frobnicate customer 19 with the flux").await;
    world.say("anna", "please xyzzy the plugh").await.ended(TurnStatus::Answered).has("/help");
    let misses = world.engine.store().misses(10).await.unwrap();
    assert!(misses.iter().any(|m| m.words == "please xyzzy the plugh"), "{misses:?}");
    assert!(!misses.iter().any(|m| m.words.contains("19")), "{misses:?}");
    world.say("anna", "a sentence with the token ghp_0123456789abcdefghijklmnopqrstuvwxyzAB inside").await;
    let misses = world.engine.store().misses(10).await.unwrap();
    assert!(!misses.iter().any(|m| m.words.contains("ghp_")), "{misses:?}");
}

#[tokio::test]
async fn a_model_that_fails_is_told_and_the_words_still_work() {
    for dialect in DIALECTS {
        let model = FakeModel::answering(|_, _| Say::Cut).await;
        let world = World::start(Setup { dialect, ..Setup::default() }, Some(model)).await;
        let t = world.say("anna", "restart web of customer 19").await;
        let card = t.ended(TurnStatus::WaitsForApproval).card();
        assert_eq!(card.calls, ["restart_container(customer_id=19, service=web)"]);
        t.has("Without the model: ");
        let t = world.say("anna", "tell me something nice").await;
        t.ended(TurnStatus::Answered).has("Without the model: ");
    }
}

fn names(request: &Value) -> Vec<String> {
    let tools = request["tools"].as_array().cloned().unwrap_or_default();
    tools.iter().map(|t| t["function"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn tools_beyond_the_core_come_once_and_stay() {
    for dialect in DIALECTS {
        let model = FakeModel::answering(|_, _| text("Well.")).await;
        let setup = Setup { dialect, more: more(), on_disk: true, ..Setup::default() };
        let mut world = World::start(setup, Some(model)).await;
        let asked =
            ["how is 19?", "is a newer image there for 19?", "how is 7?", "clear the cache of 7", "ok?"];
        for (n, said) in asked.iter().enumerate() {
            if n == 4 {
                world.reopen().await;
            }
            world.say("anna", said).await.ended(TurnStatus::Answered);
        }
        let requests = world.model().requests();
        let lists: Vec<_> = requests.iter().map(names).collect();
        let core = lists[0].clone();
        assert!(!core.contains(&"image_updates".to_owned()), "{core:?}");
        let with = |more: &[&str]| [core.clone(), more.iter().map(|m| (*m).to_owned()).collect()].concat();
        assert_eq!(lists[1], with(&["image_updates"]), "{dialect:?}");
        assert_eq!(lists[2], lists[1], "it stays");
        assert_eq!(lists[3], with(&["image_updates", "clear_cache"]), "{dialect:?}");
        assert_eq!(lists[4], lists[3], "over a restart too");
        let prefix = |r: &Value| (r["messages"][0].to_string(), r["tools"].to_string());
        assert_eq!(prefix(&requests[1]), prefix(&requests[2]), "the prefix is the same byte for byte");
        assert_eq!(prefix(&requests[3]), prefix(&requests[4]));
    }
}

#[tokio::test]
async fn a_known_tool_that_was_not_offered_is_run_and_offered_from_then_on() {
    let script = vec![call("image_updates", json!({"customer_id": "19"})), text("None."), text("Well.")];
    let model = FakeModel::start(script).await;
    let world = World::start(Setup { more: more(), ..Setup::default() }, Some(model)).await;
    world.say("anna", "how is 19?").await.ended(TurnStatus::Answered).has("image_updates ran");
    world.say("anna", "ok?").await;
    let lists: Vec<_> = world.model().requests().iter().map(names).collect();
    assert_eq!(lists[0], lists[1], "not within a turn");
    assert_eq!(lists[2].last().map(String::as_str), Some("image_updates"));
    let kept = world.engine.store().conversation(&conversation("anna")).await.unwrap();
    assert_eq!(kept.tools, ["image_updates"]);
    assert_eq!(actor("anna").person.to_string(), "anna");
}

#[tokio::test]
async fn a_model_that_needs_help_with_calls_gets_it() {
    for dialect in DIALECTS {
        let model = FakeModel::answering(|_, n| match n {
            0 => text("Its web is unhealthy."),
            1 => call("get_health_score", json!({"customer_id": "?"})),
            2 => text("It is poor."),
            3 => call("restart_container", json!({"customer_id": "?", "service": "db"})),
            _ => text("Which customer do you mean?"),
        })
        .await;
        let setup = Setup { dialect, mode: CallMode::Constrained, ..Setup::default() };
        let world = World::start(setup, Some(model)).await;
        // Words that leave no doubt: the finding stands there before the model is asked, once, for words.
        let t = world.say("anna", "what's wrong with customer 19?").await;
        t.ended(TurnStatus::Answered).has("web of 19 is unhealthy");
        t.has("Its web is unhealthy.");
        assert_eq!(world.model().requests().len(), 1, "{dialect:?}");
        // A card needs no model at all.
        let t = world.say("anna", "restart web of customer 19").await;
        let card = t.ended(TurnStatus::WaitsForApproval).card();
        assert_eq!(card.calls, ["restart_container(customer_id=19, service=web)"]);
        assert_eq!(world.model().requests().len(), 1, "{dialect:?}");
        // Words that leave a doubt are the model's; a customer that nobody has is the one that was named.
        let t = world.say("anna", "has the sourdough of Bloom Flowers gone stale?").await;
        t.ended(TurnStatus::Answered).has("It is poor.");
        t.lacks("There is no customer");
        assert_eq!(world.model().requests().len(), 3, "{dialect:?}");
        // The answer to a question back completes the wish, whoever asked.
        let t = world.say("ben", "restart db").await;
        t.ended(TurnStatus::Answered).has("Which customer do you mean?");
        let card = world.say("ben", "19").await.ended(TurnStatus::WaitsForApproval).card();
        assert_eq!(card.calls, ["restart_container(customer_id=19, service=db)"], "{dialect:?}");
    }
}

#[tokio::test]
async fn the_forced_schema_follows_the_tools() {
    let model = FakeModel::answering(|_, _| text("Well.")).await;
    let setup = Setup { mode: CallMode::Constrained, more: more(), ..Setup::default() };
    let world = World::start(setup, Some(model)).await;
    world.say("anna", "how does 19 feel?").await;
    world.say("anna", "is a newer image there for 19, I wonder?").await;
    world.say("anna", "how does 7 feel?").await;
    let has: Vec<_> =
        world.model().requests().iter().map(|r| r["format"].to_string().contains("image_updates")).collect();
    assert_eq!(has.first(), Some(&false));
    assert!(has.last() == Some(&true), "{has:?}");
}
