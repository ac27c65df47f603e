//! Conversations that go well, and calls that do not: every way in which a model calls, and what it is told back.

use opsbot::{
    agent::port::CallMode,
    domain::{Block, Outbound, TurnStatus},
    llm::Dialect,
};
use serde_json::{Value, json};

use super::world::{DIALECTS, Setup, World, call, calls, text};
use crate::fake::model::{FakeModel, Say};

/// The last tool message that the n-th request held.
fn tool_answer(world: &World, n: usize) -> String {
    let request = &world.model().requests()[n];
    let messages = request["messages"].as_array().unwrap();
    let last = messages.iter().rfind(|m| m["role"] == "tool");
    last.map(|m| m["content"].as_str().unwrap().to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn every_way_of_calling_leads_to_the_same_answer() {
    let args = json!({"customer_id": "19"});
    let object = json!({"name": "check_up", "arguments": args}).to_string();
    let native = Say::Calls(vec![("check_up".into(), args.clone())]);
    let table = [
        ("native", vec![native.clone()]),
        (
            "native with prose",
            vec![Say::TextAndCalls("Let me look.".into(), vec![("check_up".into(), args.clone())])],
        ),
        ("json", vec![Say::TextAsCall(object.clone())]),
        ("fence", vec![Say::TextAsCall(format!("```json\n{object}\n```"))]),
        ("mistral", vec![Say::TextAsCall(format!("[TOOL_CALLS][{object}]"))]),
        ("tag", vec![Say::TextAsCall(format!("<tool_call>\n{object}\n</tool_call>"))]),
        ("swallowed", vec![Say::Swallowed, native.clone()]),
        (
            "parser failed",
            vec![
                Say::Error {
                    status: 500,
                    body: json!({"error": "error parsing tool call: raw='{'"}).to_string(),
                },
                native,
            ],
        ),
    ];
    for dialect in DIALECTS {
        for (name, first) in &table {
            let retried = first.len() > 1;
            let mut script = first.clone();
            script.push(text("Its web answers with errors."));
            let model = FakeModel::start(script).await;
            let world = World::start(Setup { dialect, ..Setup::default() }, Some(model)).await;
            let t = world.say("anna", "what's wrong with customer 19?").await;
            let name = format!("{name} in {dialect:?}");
            assert_eq!(t.status, TurnStatus::Answered, "{name}: {}", t.shown());
            t.has("web of 19 is unhealthy");
            t.has("Its web answers with errors.");
            t.lacks("arguments");
            t.lacks("TOOL_CALLS");
            assert_eq!(world.site.read(|s| s.entered), 1, "{name}");
            let requests = world.model().requests();
            assert_eq!(requests.len(), first.len() + 1, "{name}");
            let forced = |r: &Value| r.get("format").is_some() || r.get("response_format").is_some();
            let forms: Vec<_> = requests.iter().map(forced).collect();
            assert!(!forms[0], "{name}");
            assert_eq!(forms[1], retried, "{name}: a lost call is asked for again under a schema");
            assert_eq!(world.audit().await.len(), 1, "{name}: one read");
        }
    }
}

#[tokio::test]
async fn a_model_without_tools_is_asked_under_a_schema() {
    for (dialect, body) in [
        (Dialect::Ollama, json!({"error": "registry.ollama.ai/library/fake does not support tools"})),
        (Dialect::OpenAi, json!({"error": {"message": "tools param requires --jinja flag"}})),
    ] {
        let script = vec![
            Say::Error { status: if dialect == Dialect::Ollama { 400 } else { 500 }, body: body.to_string() },
            call("check_up", json!({"customer_id": "19"})),
            text("Its web answers with errors."),
        ];
        let model = FakeModel::start(script).await;
        let world = World::start(Setup { dialect, ..Setup::default() }, Some(model)).await;
        let t = world.say("anna", "what's wrong with 19?").await;
        t.ended(TurnStatus::Answered).has("Its web answers with errors.");
        let requests = world.model().requests();
        assert!(requests[1].get("tools").is_none(), "{dialect:?}");
    }
}

#[tokio::test]
async fn safe_calls_run_side_by_side_and_keep_their_order() {
    let all = calls([
        ("get_health_score", json!({"customer_id": "19"})),
        ("get_health_score", json!({"customer_id": "7"})),
        ("check_up", json!({"customer_id": "12"})),
        ("list_customers", json!({})),
    ]);
    let world = World::scripted(vec![all, text("All seen.")]).await;
    // Nobody gets on before all four are inside.
    world.site.change(|s| s.together = 4);
    world.say("anna", "how are they?").await.ended(TurnStatus::Answered).has("All seen.");
    let requests = world.model().requests();
    let messages = requests[1]["messages"].as_array().unwrap();
    let answers: Vec<_> =
        messages.iter().filter(|m| m["role"] == "tool").map(|m| m["content"].as_str().unwrap()).collect();
    assert_eq!(answers.len(), 4);
    for (answer, part) in answers.iter().zip(["score of 19", "score of 7", "web of 12", "7, 12, 16, 19"]) {
        assert!(answer.contains(part), "{answer}");
    }
}

#[tokio::test]
async fn a_turn_makes_ten_calls_and_then_has_to_answer() {
    let many = |from: i64, n: i64| {
        let one = |lines: i64| ("get_recent_logs".to_owned(), json!({"customer_id": "19", "lines": lines}));
        Say::Calls((from..from + n).map(one).collect())
    };
    let table = [
        ("fourteen at once", vec![many(1, 14), text("Done.")], 10),
        ("one by one", (1..20).map(|n| many(n, 1)).collect(), 10),
        ("seven and seven", vec![many(1, 7), many(20, 7), text("Done.")], 10),
    ];
    for (name, script, want) in table {
        let world = World::scripted(script).await;
        let t = world.say("anna", "logs of 19").await;
        assert_eq!(world.site.read(|s| s.entered), want, "{name}");
        let last = world.model().requests().pop().unwrap();
        assert!(
            last.get("tools").is_none_or(|t| t.as_array().is_some_and(Vec::is_empty)),
            "{name}: no tools any more"
        );
        assert!(matches!(t.status, TurnStatus::Answered), "{name}: {}", t.shown());
        assert!(world.model().requests().len() <= 12, "{name}: and no endless asking");
    }
}

#[tokio::test]
async fn a_call_made_twice_gets_its_earlier_result_and_then_an_answer() {
    let one = || call("check_up", json!({"customer_id": "19"}));
    let world =
        World::scripted(vec![one(), call("check_up", json!({"customer_id": 19})), text("web is broken.")])
            .await;
    world.say("anna", "check 19").await.ended(TurnStatus::Answered).has("web is broken.");
    assert_eq!(world.site.read(|s| s.entered), 1);
    let answer = tool_answer(&world, 2);
    assert!(
        answer.contains("you already made this call") && answer.contains("web of 19 is unhealthy"),
        "{answer}"
    );

    let world = World::scripted(vec![
        calls([("check_up", json!({"customer_id": "19"})), ("check_up", json!({"customer_id": 19}))]),
        text("web is broken."),
    ])
    .await;
    world.say("anna", "check 19").await.ended(TurnStatus::Answered);
    assert_eq!(world.site.read(|s| s.entered), 1);
}

#[tokio::test]
async fn wrong_calls_are_mended_or_explained_to_the_model() {
    let table = [
        (
            "invented",
            "restart_service",
            json!({"customer_id": "19"}),
            "there is no tool `restart_service`; the nearest are restart_container",
        ),
        ("number as id", "check_up", json!({"customer_id": 19}), "web of 19 is unhealthy"),
        (
            "text as number",
            "get_recent_logs",
            json!({"customer_id": "19", "lines": "50"}),
            "upstream timed out for 19",
        ),
        (
            "nulls",
            "get_recent_logs",
            json!({"customer_id": "19", "service": null, "lines": ""}),
            "upstream timed out for 19",
        ),
        ("arguments as text", "check_up", json!("{\"customer_id\": 19}"), "web of 19 is unhealthy"),
        ("missing", "check_up", json!({}), "`customer_id` is missing"),
        (
            "unknown argument",
            "check_up",
            json!({"customer_id": "19", "force": true}),
            "unknown argument `force`",
        ),
        ("out of bounds", "get_recent_logs", json!({"customer_id": "19", "lines": 9000}), "must be 1 to 500"),
        ("a list", "check_up", json!({"customer_id": ["19", "7"]}), "must be text"),
        (
            "unknown customer",
            "check_up",
            json!({"customer_id": "20"}),
            "there is no customer `20`; there are 7, 12, 16, 19",
        ),
        (
            "unknown service",
            "get_recent_logs",
            json!({"customer_id": "19", "service": "mail"}),
            "there is no service `mail`",
        ),
    ];
    for (name, tool, args, want) in table {
        let world = World::scripted(vec![call(tool, args), text("So it is.")]).await;
        world.say("anna", "look at 19").await.ended(TurnStatus::Answered).has("So it is.");
        let answer = tool_answer(&world, 1);
        assert!(answer.contains(want), "{name}: {answer}");
    }
}

#[tokio::test]
async fn blocked_tools_are_refused_with_the_reason() {
    let table = [
        ("delete_customer_data", json!({"customer_id": "19"})),
        ("modify_billing", json!({"customer_id": "19"})),
        ("read_credentials", json!({"customer_id": "19"})),
    ];
    for (tool, args) in table {
        for person in ["anna", "cleo", "vic"] {
            let world = World::scripted(vec![call(tool, args.clone()), text("That is not possible.")]).await;
            let t = world.say(person, "do it to customer 19").await;
            t.ended(TurnStatus::Refused).has("Refused: ");
            t.has("OpsBot never runs");
            assert!(t.cards().is_empty());
            let answer = tool_answer(&world, 1);
            assert!(
                answer.contains("refused by policy") && answer.contains("has read this already"),
                "{answer}"
            );
        }
        let world = World::plain().await;
        let t = world.say("cleo", &format!("/{tool} 19")).await;
        t.ended(TurnStatus::Refused).has("OpsBot never runs");
    }
}

#[tokio::test]
async fn a_prompt_that_does_not_fit_is_made_shorter_once() {
    let too_long = || {
        Say::Error {
        status: 400,
        body: json!({"error": {"message": "request (9000 tokens) exceeds the available context size (8192 tokens)"}})
            .to_string(),
    }
    };
    for dialect in DIALECTS {
        let script =
            vec![call("get_recent_logs", json!({"customer_id": "19"})), too_long(), text("Errors all over.")];
        let model = FakeModel::start(script).await;
        let world = World::start(Setup { dialect, num_ctx: 4096, ..Setup::default() }, Some(model)).await;
        world.site.log("19", "ERROR upstream timed out\n".repeat(400));
        world.say("anna", "logs of 19?").await.ended(TurnStatus::Answered).has("Errors all over.");
        let sizes = world.model().seen().sizes;
        assert!(sizes[2] <= sizes[1], "{dialect:?}: {sizes:?}");

        let model = FakeModel::start(vec![too_long(), too_long()]).await;
        let world = World::start(Setup { dialect, ..Setup::default() }, Some(model)).await;
        let t = world.say("anna", "check up on 19").await;
        t.ended(TurnStatus::Answered).has("does not fit the model's context");
        t.has("/check_up");
        assert_eq!(world.model().requests().len(), 2, "{dialect:?}: not again and again");
    }
}

#[tokio::test]
async fn the_first_request_of_a_fresh_conversation_is_small() {
    for (dialect, mode) in [
        (Dialect::Ollama, CallMode::Native),
        (Dialect::OpenAi, CallMode::Native),
        (Dialect::Ollama, CallMode::Constrained),
    ] {
        let model = FakeModel::start(vec![text("Hello.")]).await;
        let setup = Setup {
            dialect,
            mode,
            model: "qwen3.6:35b-a3b-instruct-q4_K_M".into(),
            real: Some(String::new()),
            ..Setup::default()
        };
        let world = World::start(setup, Some(model)).await;
        let question =
            "what's wrong with customer 19? It answers slowly since this morning, I think its web container";
        world.say("anna", question).await.ended(TurnStatus::Answered);
        let size = world.model().seen().sizes[0];
        assert!(size <= 6144, "{dialect:?} {mode:?}: {size} bytes");
        let request = &world.model().requests()[0];
        if mode == CallMode::Native {
            let tools = request["tools"].as_array().unwrap();
            assert!((9..=12).contains(&tools.len()), "{} tools", tools.len());
        }
        eprintln!("first request, {dialect:?} {mode:?}: {size} bytes");
    }
}

#[tokio::test]
async fn the_prefix_and_the_context_length_never_change() {
    let script = |_: &Value, n: usize| match n % 3 {
        0 => call("check_up", json!({"customer_id": "19"})),
        1 => call("get_recent_logs", json!({"customer_id": "19"})),
        _ => text("It is as before."),
    };
    let model = FakeModel::answering(script).await;
    let world = World::start(Setup { num_ctx: 4096, ..Setup::default() }, Some(model)).await;
    world.site.log("19", "2026-09-21 14:00:00 ERROR upstream timed out\n".repeat(30));
    for n in 0..8 {
        world.say("anna", &format!("question {n} about 19")).await.ended(TurnStatus::Answered);
    }
    world.say("anna", "/get_health_score 7").await.ended(TurnStatus::Answered);
    world.say("anna", "and now?").await.ended(TurnStatus::Answered);
    let requests = world.model().requests();
    assert!(requests.len() >= 27);
    let prefix = |r: &Value| {
        (
            r["messages"][0].to_string(),
            r["tools"].to_string(),
            r["options"].to_string(),
            r["keep_alive"].to_string(),
        )
    };
    let first = prefix(&requests[0]);
    assert!(first.2.contains("\"num_ctx\":4096"), "{}", first.2);
    for request in &requests {
        assert_eq!(prefix(request), first);
    }
    assert_eq!(world.model().seen().loads, 1);
    assert!(world.history("anna").await.iter().any(|r| r.kind == "summary"), "it was condensed on the way");
}

#[tokio::test]
async fn a_later_turn_knows_the_earlier_one_and_no_thinking_of_it() {
    let world = World::scripted(vec![
        Say::Thinks("secret thoughts".into(), "Hello Anna.".into()),
        text("You said hello."),
    ])
    .await;
    world.say("anna", "hello").await.ended(TurnStatus::Answered).has("Hello Anna.");
    world.say("anna", "what did I say?").await.ended(TurnStatus::Answered);
    let second = world.model().requests()[1].to_string();
    assert!(
        second.contains("\"hello\"") && second.contains("Hello Anna.") && !second.contains("thoughts"),
        "{second}"
    );
}

#[tokio::test]
async fn people_have_conversations_of_their_own() {
    let world = World::scripted(vec![text("Yes."), text("No.")]).await;
    world.say("anna", "is the blue house on fire?").await.ended(TurnStatus::Answered);
    world.say("ben", "what did anna ask?").await.ended(TurnStatus::Answered);
    let second = world.model().requests()[1].to_string();
    assert!(!second.contains("blue house"), "{second}");
}

#[tokio::test]
async fn a_streamed_answer_arrives_in_pieces_and_whole() {
    let world = World::scripted(vec![text("web is broken since 14:00, see the log.")]).await;
    let t = world.say("anna", "hm?").await;
    let pieces: Vec<_> = t
        .events
        .iter()
        .filter_map(|e| if let Outbound::Delta { text } = e { Some(text.as_str()) } else { None })
        .collect();
    assert_eq!(pieces.concat(), "web is broken since 14:00, see the log.");
}

#[tokio::test]
async fn an_answer_that_hit_its_length_says_so() {
    let world = World::scripted(vec![Say::Length("The web container".into())]).await;
    let t = world.say("anna", "hm?").await;
    t.ended(TurnStatus::Answered).has("cut at its length limit");
}

#[tokio::test]
async fn without_a_model_every_tool_is_a_command() {
    let world = World::plain().await;
    let t = world.say("anna", "/check_up 19").await;
    t.ended(TurnStatus::Answered).has("web of 19 is unhealthy");
    let help = world.say("vic", "/help").await;
    for name in
        ["/check_up <customer_id>", "/restart_container <customer_id> [service]", "/stop", "(always refused)"]
    {
        help.has(name);
    }
    let t = world.say("anna", "what is wrong with customer 19?").await;
    t.ended(TurnStatus::Answered).has("No model is set up. Read as /check_up 19");
    assert!(t.blocks().any(|b| matches!(b, Block::Findings { .. })), "{}", t.shown());
    world.say("anna", "/check_up 20").await.ended(TurnStatus::Failed).has("There is no customer `20`");
    world.say("anna", "/chek 20").await.ended(TurnStatus::Failed).has("There is no command /chek");
    world.say("anna", "   ").await.ended(TurnStatus::Answered).has("/help");
    let t = world.say("anna", "/restart_container 19 web").await;
    let card = t.ended(TurnStatus::WaitsForApproval).card();
    assert_eq!(card.calls, ["restart_container(customer_id=19, service=web)"]);
    assert!(card.steps[0].contains("c19-web"), "{card:?}");
    world.approve("anna", &card).await.ended(TurnStatus::Answered).has("all up");
    assert_eq!(world.writes(), ["19/web"]);
}

#[tokio::test]
async fn a_card_ends_the_turn_and_the_model_reads_the_outcome() {
    let world = World::scripted(vec![
        Say::TextAndCalls(
            "I would restart it.".into(),
            vec![("restart_container".into(), json!({"customer_id": "19", "service": "web"}))],
        ),
        text("web is up again."),
    ])
    .await;
    let card = world.say("anna", "restart the web of customer 19").await.card();
    let t = world.approve("anna", &card).await;
    t.ended(TurnStatus::Answered).has("web is up again.");
    let second = world.model().requests()[1].clone();
    let last = second["messages"].as_array().unwrap().last().unwrap().to_string();
    assert!(last.contains("OpsBot reports") && last.contains("done"), "{last}");
}

#[tokio::test]
async fn a_write_without_a_service_is_narrowed_to_the_one_that_was_named() {
    let whole = || call("restart_container", json!({"customer_id": "19"}));
    // What is said, and the call that the card then shows; none where the bot asks instead.
    let table = [
        ("restart the web of customer 19", Some("restart_container(customer_id=19, service=web)")),
        ("restart customer 19", Some("restart_container(customer_id=19)")),
        ("restart web and db of customer 19", None),
        ("restart the web of customer 7", None),
    ];
    for (said, want) in table {
        let world = World::start(Setup::default(), Some(FakeModel::start(vec![whole()]).await)).await;
        let t = world.say("anna", said).await;
        let cards: Vec<_> = t.cards().into_iter().flat_map(|c| c.calls).collect();
        assert_eq!(cards, want.map(String::from).into_iter().collect::<Vec<_>>(), "{said}: {}", t.shown());
        assert_eq!(t.status == TurnStatus::WaitsForApproval, want.is_some(), "{said}");
    }
}

#[tokio::test]
async fn a_turn_that_breaks_ends_its_stream_and_the_next_one_works() {
    let world = World::plain().await;
    world.site.change(|s| s.lost = true);
    let t = world.say("anna", "/check_up 19").await;
    t.ended(TurnStatus::Failed).has("OpsBot broke while it worked on this");
    world.site.change(|s| s.lost = false);
    world.say("anna", "/check_up 19").await.ended(TurnStatus::Answered);
}
