//! Cards: one yes runs what was shown, once; everything else explains itself and runs nothing.

use jiff::SignedDuration;
use opsbot::{
    domain::{Actor, AuditKind, Card, CardState, Origin, Role, TurnStatus},
    engine::Scope,
    policy::approval::Verb,
};
use serde_json::json;
use sqlx::{Connection, SqliteConnection};

use super::world::{Setup, Transcript, World, actor, calls, restart, text};
use crate::fake::model::FakeModel;

const GOLD: &str = r#"
[[policy.rule]]
id = "gold-needs-two"
effect = "two_person"
tools = ["restart_container"]
targets = ["label:tier=gold"]
reason = "gold customers need a second pair of eyes"
"#;
const SERVICE_BLOCKED: &str = r#"
[[policy.rule]]
id = "no-web"
effect = "blocked"
tools = ["restart_container"]
args = { service = "web" }
reason = "the web team deploys today"
"#;

/// Without a model: a card for `/restart_container {args}` that `person` asked for.
async fn asked(world: &World, person: &str, args: &str) -> Card {
    let t = world.say(person, &format!("/restart_container {args}")).await;
    t.ended(TurnStatus::WaitsForApproval).card()
}

#[tokio::test]
async fn one_yes_runs_it_once_and_the_rows_tell_the_story() {
    let world = World::scripted(vec![restart("19", "web"), text("It is up again.")]).await;
    let t = world.say("anna", "restart the web container of customer 19").await;
    let card = t.ended(TurnStatus::WaitsForApproval).card();
    assert_eq!(card.calls, ["restart_container(customer_id=19, service=web)"]);
    assert_eq!(card.steps, ["restart container c19-web on local"]);
    assert_eq!(card.eligible, "anna or any admin");
    assert!(!card.tainted && world.writes().is_empty());
    assert_eq!(world.audit_of(&card).await, [AuditKind::Asked]);

    let t = world.approve("anna", &card).await;
    assert_eq!(t.states(), [CardState::Executing, CardState::Done]);
    t.ended(TurnStatus::Answered).has("web of 19 restarted, all up");
    assert_eq!(world.writes(), ["19/web"]);
    use AuditKind::{Asked, Decided, WriteBegins, WriteEnds};
    assert_eq!(world.audit_of(&card).await, [Asked, Decided, WriteBegins, WriteEnds]);
    let rows = world.audit().await;
    let ends = rows.iter().find(|e| e.kind == WriteEnds).unwrap();
    assert_eq!(ends.actor, Some(actor("anna")));
    assert_eq!(ends.detail["outcome"], "web of 19 restarted, all up");
    assert_eq!(
        ends.detail["calls"][0]["target"]["containers"][0]["id"],
        world.site.container("19", "web").id
    );
    let report = world.engine.store().audit_verify(&[]).await.unwrap();
    assert!(report.integrity, "{report:?}");

    let again = world.approve("anna", &card).await;
    again.ended(TurnStatus::Refused).has("already approved by anna and is done");
    world.deny("cleo", &card).await.ended(TurnStatus::Refused).has("already approved by anna");
    assert_eq!(world.writes(), ["19/web"]);
}

#[tokio::test]
async fn a_no_is_final() {
    let world = World::plain().await;
    let card = asked(&world, "anna", "19 web").await;
    let t = world.deny("anna", &card).await;
    assert_eq!(t.ended(TurnStatus::Answered).states(), [CardState::Denied]);
    world.approve("cleo", &card).await.ended(TurnStatus::Refused).has("already denied by anna");
    assert_eq!((world.writes().len(), world.state(&card).await), (0, CardState::Denied));
}

#[tokio::test]
async fn who_may_say_yes() {
    let by = |person: &str, origin| Actor { origin, ..actor(person) };
    // (requester, who presses, their words, whether it runs)
    let table = [
        ("anna", by("anna", Origin::Typed), "all up", true),
        ("anna", by("anna", Origin::Button), "all up", true),
        ("anna", by("cleo", Origin::Typed), "all up", true),
        ("anna", by("ben", Origin::Typed), "not yours", false),
        ("anna", by("vic", Origin::Button), "not yours", false),
        ("anna", by("anna", Origin::Voice), "spoken yes", false),
        ("anna", by("cleo", Origin::Voice), "spoken yes", false),
        ("anna", by("cleo", Origin::Schedule), "schedule approves nothing", false),
        ("anna", Actor { role: Role::Viewer, ..actor("anna") }, "not yours", false),
        ("cleo", by("dora", Origin::Typed), "all up", true),
        ("cleo", by("anna", Origin::Typed), "not yours", false),
    ];
    for (requester, presser, part, runs) in table {
        let world = World::plain().await;
        let card = asked(&world, requester, "19 web").await;
        let name = format!("{requester}'s card, {} by {}", presser.person, presser.origin);
        let t = world.decide(presser, &card, Verb::Approve).await;
        assert!(t.shown().contains(part), "{name}: {}", t.shown());
        assert_eq!(world.writes().len(), usize::from(runs), "{name}");
        let state = if runs { CardState::Done } else { CardState::Pending };
        assert_eq!(world.state(&card).await, state, "{name}");
        assert_eq!(
            world.audit_of(&card).await[1],
            AuditKind::Decided,
            "{name}: a refused press is written down too"
        );
    }
}

#[tokio::test]
async fn a_viewer_gets_no_card_and_a_schedule_none_without_a_person() {
    let world = World::scripted(vec![restart("19", "web"), text("You may not.")]).await;
    let t = world.say("vic", "restart the web of customer 19").await;
    t.ended(TurnStatus::Refused).has("Viewers may look, not change");
    world.say("vic", "/restart_container 19 web").await.ended(TurnStatus::Refused).has("Viewers may look");
    assert!(world.engine.store().approvals_recent(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_late_yes_runs_nothing() {
    let mut setup = Setup::default();
    setup.bounds.approval = SignedDuration::from_millis(30);
    let world = World::start(setup, None).await;
    let card = asked(&world, "anna", "19 web").await;
    while jiff::Timestamp::now() < card.expires_at {
        tokio::task::yield_now().await;
    }
    world.approve("anna", &card).await.ended(TurnStatus::Refused).has("expired");
    world.engine.sweep().await.unwrap();
    assert_eq!(world.state(&card).await, CardState::Expired);
    world.approve("anna", &card).await.ended(TurnStatus::Refused).has("ask again");
    assert!(world.writes().is_empty());
}

#[tokio::test]
async fn a_newer_card_for_the_same_target_replaces_the_older_one() {
    let world = World::plain().await;
    let old = asked(&world, "anna", "19 web").await;
    let other = asked(&world, "anna", "19 db").await;
    let foreign = asked(&world, "ben", "19 web").await;
    let t = world.say("anna", "/restart_container 19 web").await;
    assert_eq!(t.states(), [CardState::Superseded, CardState::Pending]);
    let new = t.card();
    world.approve("anna", &old).await.ended(TurnStatus::Refused).has("newer card replaced");
    assert!(world.writes().is_empty());
    world.approve("anna", &new).await.ended(TurnStatus::Answered);
    world.approve("anna", &other).await.ended(TurnStatus::Answered);
    world.approve("ben", &foreign).await.ended(TurnStatus::Answered);
    assert_eq!(world.writes(), ["19/web", "19/db", "19/web"]);
}

#[tokio::test]
async fn a_row_that_somebody_altered_runs_nothing() {
    let table = [
        ("the argument", r#""service":"web""#, r#""service":"db""#, "not what was asked"),
        ("the customer", r#""customer":"19""#, r#""customer":"7""#, "not what was asked"),
        ("a container", r#""name":"c19-web""#, r#""name":"c7-web""#, "not what was asked"),
        (
            "the tool",
            r#""tool":"restart_container""#,
            r#""tool":"delete_customer_data""#,
            "not what was asked",
        ),
        ("the requester", r#""person":"anna""#, r#""person":"ben""#, "not yours"),
        ("the id", r#"{"id":"#, r#"{"id":"00000000000000000000000000000000","was":"#, "cannot be read"),
        ("rubbish", r#""digest""#, r#"digest"#, "cannot be read"),
    ];
    for (name, from, to, part) in table {
        let world = World::start(Setup { on_disk: true, ..Setup::default() }, None).await;
        let card = asked(&world, "anna", "19 web").await;
        let url = format!("sqlite://{}", world.dir().join("opsbot.db").display());
        let mut other = SqliteConnection::connect(&url).await.unwrap();
        let done = sqlx::query("UPDATE approvals SET body = replace(body, $1, $2)")
            .bind(from)
            .bind(to)
            .execute(&mut other)
            .await
            .unwrap();
        let body: String =
            sqlx::query_scalar("SELECT body FROM approvals").fetch_one(&mut other).await.unwrap();
        assert!(done.rows_affected() == 1 && body.contains(to), "{name}: {body}");
        other.close().await.unwrap();
        let t = world.approve("anna", &card).await;
        assert!(t.shown().contains(part), "{name}: {}", t.shown());
        assert!(matches!(t.status, TurnStatus::Refused | TurnStatus::Failed), "{name}");
        assert!(world.writes().is_empty(), "{name}");
    }
}

#[tokio::test]
async fn what_changed_since_the_card_was_shown_is_named_and_runs_nothing() {
    // A container came back as another.
    let world = World::plain().await;
    let card = asked(&world, "anna", "19 web").await;
    world.site.change(|s| s.generation += 1);
    let t = world.approve("anna", &card).await;
    t.ended(TurnStatus::Failed).has("container c19-web was replaced");
    assert_eq!(t.states(), [CardState::Failed], "it never ran");
    use AuditKind::{Asked, Decided, WriteBegins, WriteEnds};
    assert_eq!(world.audit_of(&card).await, [Asked, Decided, WriteBegins, WriteEnds]);
    assert!(world.writes().is_empty());

    // The policy: stricter for this call, or merely another text.
    for rules in [SERVICE_BLOCKED, GOLD] {
        let mut world = World::plain().await;
        let card = asked(&world, "anna", "19 web").await;
        world.setup.rules = rules.into();
        world.reopen().await;
        world.approve("anna", &card).await.ended(TurnStatus::Failed).has("the policy changed");
        assert!(world.writes().is_empty());
    }

    // The latch.
    let world = World::plain().await;
    let card = asked(&world, "anna", "19 web").await;
    world.say("ben", "/freeze").await.ended(TurnStatus::Answered);
    world.approve("anna", &card).await.ended(TurnStatus::Failed).has("frozen");
    world.say("cleo", "/unfreeze").await.ended(TurnStatus::Answered);
    world.approve("anna", &card).await.ended(TurnStatus::Refused).has("ask again");
    assert!(world.writes().is_empty());
}

#[tokio::test]
async fn a_rule_can_take_two_people() {
    let setup = || Setup { rules: GOLD.into(), ..Setup::default() };
    // Presses on customer 16's card, which anna asked for; what each leads to; and how often it runs.
    type Press = (&'static str, Verb, &'static str);
    let table: [(&str, &[Press], usize); 7] = [
        ("in order", &[("anna", Verb::Approve, "First yes recorded"), ("cleo", Verb::Approve, "all up")], 1),
        (
            "the requester twice",
            &[("anna", Verb::Approve, "First yes"), ("anna", Verb::Approve, "already said yes")],
            0,
        ),
        ("the admin first", &[("cleo", Verb::Approve, "must press first")], 0),
        ("two operators", &[("anna", Verb::Approve, "First yes"), ("ben", Verb::Approve, "not yours")], 0),
        (
            "any no wins",
            &[
                ("anna", Verb::Approve, "First yes"),
                ("dora", Verb::Deny, "denied"),
                ("cleo", Verb::Approve, "already denied by dora"),
            ],
            0,
        ),
        (
            "the requester's own no",
            &[
                ("anna", Verb::Approve, "First yes"),
                ("anna", Verb::Deny, "denied"),
                ("cleo", Verb::Approve, "already denied"),
            ],
            0,
        ),
        (
            "a third comes late",
            &[
                ("anna", Verb::Approve, "First yes"),
                ("cleo", Verb::Approve, "all up"),
                ("dora", Verb::Approve, "already approved by cleo"),
            ],
            1,
        ),
    ];
    for (name, presses, runs) in table {
        let world = World::start(setup(), None).await;
        let card = asked(&world, "anna", "16 web").await;
        assert_eq!(card.eligible, "anna first, then an admin other than anna");
        assert!(card.reason.contains("gold-needs-two"), "{}", card.reason);
        for (person, verb, part) in presses {
            let t = world.decide(actor(person), &card, *verb).await;
            assert!(t.shown().contains(part), "{name}: {person}: {}", t.shown());
        }
        assert_eq!(world.writes().len(), runs, "{name}");
    }
    let world = World::start(setup(), None).await;
    let card = asked(&world, "anna", "19 web").await;
    world.approve("anna", &card).await.ended(TurnStatus::Answered);
    assert_eq!(world.writes(), ["19/web"], "silver needs one");
    // An admin's own card takes another admin.
    let card = asked(&world, "cleo", "16 web").await;
    world.approve("cleo", &card).await.ended(TurnStatus::WaitsForApproval).has("First yes");
    world.approve("cleo", &card).await.ended(TurnStatus::Refused);
    world.approve("dora", &card).await.ended(TurnStatus::Answered);
    assert_eq!(world.writes(), ["19/web", "16/web"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_racing_presses_exactly_one_runs() {
    for on_disk in [false, true] {
        let world = World::start(Setup { on_disk, ..Setup::default() }, None).await;
        let card = asked(&world, "anna", "19 web").await;
        let presses: Vec<_> = (0..20)
            .map(|n| {
                let who = ["anna", "cleo", "dora"][n % 3];
                world.begin_decision(actor(who), &card, Verb::Approve)
            })
            .collect();
        let mut ran = 0;
        for press in presses {
            let t: Transcript = press.await.unwrap();
            ran += usize::from(t.status == TurnStatus::Answered);
            assert!(
                t.status == TurnStatus::Answered || t.shown().contains("already approved"),
                "{}",
                t.shown()
            );
        }
        assert_eq!((ran, world.writes().len()), (1, 1));
        let begun = world.audit().await.iter().filter(|e| e.kind == AuditKind::WriteBegins).count();
        assert_eq!(begun, 1);
    }
}

#[tokio::test]
async fn what_is_not_up_afterwards_failed_and_the_evidence_is_shown() {
    let world =
        World::scripted(vec![restart("12", "web"), text("It crashes again: cannot bind 0.0.0.0:80.")]).await;
    world.site.change(|s| s.broken = true);
    let card = world.say("anna", "restart the web of customer 12").await.card();
    let t = world.approve("anna", &card).await;
    t.ended(TurnStatus::Failed).has("panic: cannot bind 0.0.0.0:80");
    t.has("restarted but not up");
    assert_eq!(t.states(), [CardState::Executing, CardState::Failed]);
    assert_eq!(world.writes(), ["12/web"]);
    let told = world.model().requests()[1].to_string();
    assert!(told.contains("restarted but not up") && told.contains("failed"), "{told}");
}

#[tokio::test]
async fn several_writes_of_one_turn_are_one_card_and_one_yes() {
    let all = calls([
        ("restart_container", json!({"customer_id": "19", "service": "web"})),
        ("restart_container", json!({"customer_id": "19", "service": "db"})),
        ("get_health_score", json!({"customer_id": "19"})),
    ]);
    let world = World::scripted(vec![all, text("Both are up.")]).await;
    let t = world.say("anna", "restart web and db of customer 19").await;
    let card = t.card();
    assert_eq!((card.calls.len(), card.steps.len(), world.writes().len()), (2, 2, 0));
    world.approve("anna", &card).await.ended(TurnStatus::Answered);
    assert_eq!(world.writes(), ["19/web", "19/db"], "in the order of the card");
    // The whole stack is one call with a plan.
    let world = World::plain().await;
    let card = asked(&world, "anna", "19").await;
    assert_eq!((card.calls.len(), card.steps.len()), (1, 3));
    world.approve("anna", &card).await.ended(TurnStatus::Answered);
    assert_eq!(world.writes(), ["19/db", "19/redis", "19/web"]);
}

#[tokio::test]
async fn a_stop_between_two_steps_tells_what_was_done() {
    let world = World::plain().await;
    let card = asked(&world, "anna", "19").await;
    world.site.change(|s| s.held = true);
    let running = world.begin_decision(actor("anna"), &card, Verb::Approve);
    world.site.until(|s| s.entered == 1).await;
    world.say("anna", "/stop").await.ended(TurnStatus::Answered).has("Stopping 1");
    world.site.change(|s| s.held = false);
    let t = running.await.unwrap();
    t.ended(TurnStatus::Failed).has("restarted db, the rest not");
    assert_eq!(world.writes(), ["19/db"]);
    assert_eq!(world.state(&card).await, CardState::Failed);
    let rows = world.audit().await;
    let ends = rows.iter().find(|e| e.kind == AuditKind::WriteEnds).unwrap();
    assert!(ends.detail["outcome"].as_str().unwrap().contains("restarted db"), "{}", ends.detail);
}

#[tokio::test]
async fn a_stop_between_two_calls_of_a_card_leaves_the_later_ones() {
    let all = calls([
        ("restart_container", json!({"customer_id": "19", "service": "web"})),
        ("restart_container", json!({"customer_id": "19", "service": "db"})),
    ]);
    let world = World::scripted(vec![all, text("Stopped half way.")]).await;
    let card = world.say("anna", "restart web and db of customer 19").await.card();
    world.site.change(|s| s.held = true);
    let running = world.begin_decision(actor("cleo"), &card, Verb::Approve);
    world.site.until(|s| s.entered == 1).await;
    // The requester stops what an admin approved.
    world.say("anna", "/stop").await;
    world.site.change(|s| s.held = false);
    running
        .await
        .unwrap()
        .ended(TurnStatus::Failed)
        .has("stopped before restart_container(customer_id=19, service=db)");
    assert_eq!(world.writes(), ["19/web"]);
}

#[tokio::test]
async fn a_typed_yes_is_never_a_decision_of_the_engine() {
    let world =
        World::start(Setup::default(), Some(FakeModel::answering(|_, _| text("Press the button.")).await))
            .await;
    let card = asked(&world, "anna", "19 web").await;
    for words in
        ["yes", "y", "ja", "approve", "YES!", &format!("yes {}", card.id), &format!("approve {}", card.id)]
    {
        world.say("anna", words).await.ended(TurnStatus::Answered).has("Press the button.");
    }
    assert_eq!((world.writes().len(), world.state(&card).await), (0, CardState::Pending));
}

#[tokio::test]
async fn cards_are_found_by_their_first_digits_and_listed() {
    let world = World::plain().await;
    let (one, two) = (asked(&world, "anna", "19 web").await, asked(&world, "anna", "19 db").await);
    let pending = world.say("vic", "/pending").await;
    assert_eq!(pending.cards().len(), 2);
    let short = &one.id.to_string()[..8];
    world.say("anna", &format!("/approve {short}")).await.ended(TurnStatus::Answered).has("all up");
    for id in ["abc", "zzzzzz", "%", "________", &"0".repeat(32)] {
        world.say("anna", &format!("/approve {id}")).await.ended(TurnStatus::Failed).has("There is no card");
    }
    world.say("anna", &format!("/deny {}", two.id)).await.ended(TurnStatus::Answered);
    assert_eq!(world.writes(), ["19/web"]);
    assert!(world.say("anna", "/pending").await.cards().is_empty());
}

#[tokio::test]
async fn what_a_crash_left_executing_is_unknown_and_never_runs_again() {
    let mut world = World::start(Setup { on_disk: true, ..Setup::default() }, None).await;
    let card = asked(&world, "anna", "19").await;
    world.site.change(|s| s.held = true);
    let running = world.begin_decision(actor("anna"), &card, Verb::Approve);
    world.site.until(|s| s.entered == 1).await;
    assert_eq!(world.state(&card).await, CardState::Executing);
    // The store closes under the running write, as a kill would.
    world.reopen().await;
    assert_eq!(world.state(&card).await, CardState::Unknown);
    world.site.change(|s| s.held = false);
    running.await.unwrap().ended(TurnStatus::Failed);
    assert_eq!(world.state(&card).await, CardState::Unknown);
    let before = world.writes().len();
    world.approve("anna", &card).await.ended(TurnStatus::Refused).has("verify by hand");
    assert_eq!(world.writes().len(), before);
    let outbox = world.engine.store().outbox_take(&super::world::conversation("anna")).await.unwrap();
    assert_eq!(outbox.len(), 1, "the conversation is told");
}

#[tokio::test]
async fn a_tool_that_breaks_leaves_no_card_that_runs_for_ever() {
    let world = World::plain().await;
    let card = asked(&world, "anna", "19 web").await;
    world.site.change(|s| s.panics = true);
    let t = world.approve("anna", &card).await;
    assert_eq!(t.status, TurnStatus::Failed, "{}", t.shown());
    let state = world.state(&card).await;
    assert!(matches!(state, CardState::Unknown | CardState::Failed), "{state}");
    assert!(world.audit_of(&card).await.contains(&AuditKind::WriteEnds));
    world.site.change(|s| s.panics = false);
    world.approve("anna", &card).await.ended(TurnStatus::Refused);
    assert!(world.writes().is_empty());
}

#[tokio::test]
async fn a_person_who_leaves_finds_the_outcome_later() {
    let world = World::plain().await;
    let card = asked(&world, "anna", "19 web").await;
    world.site.change(|s| s.held = true);
    let (to, from) = tokio::sync::mpsc::channel(1);
    let sink = opsbot::engine::Sink::new(to, world.engine.redactor());
    let (engine, id) = (world.engine.clone(), card.id.to_string());
    let running = tokio::spawn(async move { engine.decide(actor("anna"), id, Verb::Approve, sink).await });
    world.site.until(|s| s.entered == 1).await;
    drop(from);
    running.abort();
    world.site.change(|s| s.held = false);
    world.site.until(|s| s.writes.len() == 1).await;
    assert!(world.engine.drain(std::time::Duration::from_secs(10)).await);
    assert_eq!(world.state(&card).await, CardState::Done);
    let outbox = world.engine.store().outbox_take(&super::world::conversation("anna")).await.unwrap();
    let [(_, opsbot::domain::Block::Card(card), _)] = outbox.as_slice() else { panic!("{outbox:?}") };
    assert_eq!(card.outcome.as_deref(), Some("web of 19 restarted, all up"));
}

#[tokio::test]
async fn a_stop_for_all_needs_an_admin() {
    let world = World::plain().await;
    let card = asked(&world, "anna", "19").await;
    world.site.change(|s| s.held = true);
    let running = world.begin_decision(actor("anna"), &card, Verb::Approve);
    world.site.until(|s| s.entered == 1).await;
    let stop = |who: &'static str| {
        let engine = world.engine.clone();
        async move {
            let (to, mut from) = tokio::sync::mpsc::channel(8);
            engine.stop(&actor(who), &Scope::All, &opsbot::engine::Sink::new(to, engine.redactor())).await;
            format!("{:?}", from.recv().await)
        }
    };
    assert!(stop("ben").await.contains("not yours"));
    assert!(stop("cleo").await.contains("Stopping 1"));
    world.site.change(|s| s.held = false);
    running.await.unwrap().ended(TurnStatus::Failed);
    assert_eq!(world.writes(), ["19/db"]);
}
