//! Every event in every state that matters.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::domain::{Args, Param, ParamKind, Risk, Target};
use crate::policy::Decider;

const LIMIT: u32 = 3;

fn spec(name: &'static str) -> ToolSpec {
    let customer = Param { name: "customer_id", kind: ParamKind::Customer, required: true, help: "" };
    let (floor, timeout) = (Risk::Safe, Duration::from_secs(1));
    ToolSpec {
        name,
        summary: "",
        params: vec![customer],
        floor,
        default: floor,
        phrases: &[],
        untrusted: true,
        timeout,
    }
}

fn turn_of(mode: CallMode, prompt_tokens: usize) -> Turn {
    let specs = Arc::new(vec![spec("check_up"), spec("get_recent_logs"), spec("restart_container")]);
    let messages =
        vec![Message::System { text: "You are OpsBot.".into() }, Message::User { text: "how is 19?".into() }];
    Turn::new(Limits { calls: LIMIT, prompt_tokens }, specs, messages, mode)
}

/// A turn whose first question is out.
fn begun() -> Turn {
    let mut turn = turn_of(CallMode::Native, 10_000);
    assert_eq!(words(&turn.step(Event::Begin)), ["ask native 3"]);
    turn
}

fn call(name: &str, customer: &str) -> ModelCall {
    ModelCall { id: Some("c1".into()), name: name.into(), args: json!({"customer_id": customer}) }
}

fn reply(text: &str, calls: &[ModelCall]) -> Event {
    Event::Reply(Reply {
        text: text.into(),
        thinking: "hm".into(),
        calls: calls.to_vec(),
        ..Reply::default()
    })
}

fn output(text: &str) -> Event {
    Event::Results(vec![CallResult::Output(text.into())])
}

fn approval() -> CallResult {
    let args = Args(json!({"customer_id": "19"}).as_object().cloned().unwrap());
    let call = ToolCall { tool: "restart_container".into(), args };
    let verdict = Verdict {
        risk: Risk::Confirm,
        decided_by: Decider::Floor,
        reason: "it writes".into(),
        considered: vec![],
    };
    CallResult::NeedsApproval(Box::new((
        ResolvedCall { call, target: Target::default(), plan: vec![], steps: vec![] },
        verdict,
    )))
}

/// The effects in short.
fn words(effects: &[Effect]) -> Vec<String> {
    let word = |effect: &Effect| match effect {
        Effect::Ask(r) => format!("ask {} {}", json!(r.mode).as_str().unwrap(), r.tools.len()),
        Effect::Run(calls) => {
            format!("run {}", calls.iter().map(|c| c.call.to_string()).collect::<Vec<_>>().join(", "))
        }
        Effect::Offer(offers) => format!("offer {}", offers.len()),
        Effect::Say(Block::Notice { text, .. } | Block::Text { text }) => format!("say {text}"),
        Effect::Say(other) => format!("say {other:?}"),
        Effect::Retract => "retract".into(),
        Effect::WithoutModel(why) => format!("without {why}"),
        Effect::Finish(status) => format!("finish {}", json!(status).as_str().unwrap()),
    };
    effects.iter().map(word).collect()
}

/// The last thing that the model would read.
fn last(turn: &Turn) -> String {
    let added = turn.added();
    let Some(Message::Tool { text, .. }) = added.last() else { panic!("{added:?}") };
    text.clone()
}

#[test]
fn a_fresh_turn_answers_each_event() {
    let failed = |error| Event::ModelFailed(error);
    let table: Vec<(&str, Event, &[&str])> = vec![
        ("words", reply("All is well.", &[]), &["finish answered"]),
        ("nothing", reply(" \n", &[]), &["retract", "ask constrained 3"]),
        ("a call", reply("", &[call("check_up", "19")]), &["run check_up(customer_id=19)"]),
        (
            "two calls",
            reply("Let me see.", &[call("check_up", "19"), call("check_up", "7")]),
            &["run check_up(customer_id=19), check_up(customer_id=7)"],
        ),
        (
            "the same twice",
            reply("", &[call("check_up", "19"), call("check_up", "19")]),
            &["run check_up(customer_id=19)"],
        ),
        ("only invented ones", reply("", &[call("check", "19")]), &["ask native 3"]),
        ("only wrong ones", reply("", &[call("check_up", "")]), &["ask native 3"]),
        (
            "more than it may",
            reply("", &["1", "2", "3", "4", "5"].map(|c| call("check_up", c))),
            &["run check_up(customer_id=1), check_up(customer_id=2), check_up(customer_id=3)"],
        ),
        ("a swallowed call", failed(ModelError::Swallowed), &["retract", "ask constrained 3"]),
        ("no tools", failed(ModelError::NoTools("m".into())), &["retract", "ask constrained 3"]),
        ("too long", failed(ModelError::TooLong("9000".into())), &["retract", "ask native 3"]),
        (
            "down",
            failed(ModelError::Busy),
            &["retract", "without the model server is busy; try again in a moment"],
        ),
        ("a stop", Event::Stop, &["say Stopped.", "finish stopped"]),
    ];
    for (name, event, want) in table {
        assert_eq!(words(&begun().step(event)), want, "{name}");
    }
}

#[test]
fn results_lead_on_or_end_the_turn() {
    let question = || CallResult::NotNamed("Which one?".into());
    let table: Vec<(&str, Vec<CallResult>, &[&str], &str)> = vec![
        ("output", vec![CallResult::Output("web is down".into())], &["ask native 3"], "web is down"),
        (
            "failed",
            vec![CallResult::Failed("there is no customer `20`".into())],
            &["say There is no customer `20`.", "ask native 3"],
            "failed: there is no customer `20`",
        ),
        (
            "refused",
            vec![CallResult::Refused("never".into())],
            &["say Refused: check_up(customer_id=1). Never.", "ask native 3"],
            "refused by policy: never",
        ),
        ("asks", vec![approval()], &["offer 1", "finish waits_for_approval"], "waits for a decision"),
        ("not named", vec![question()], &["say Which one?", "finish answered"], "has not named this target"),
        (
            "twice not named",
            vec![question(), question()],
            &["say Which one?", "finish answered"],
            "has not named this target",
        ),
        (
            "two cards are one",
            vec![approval(), approval()],
            &["offer 2", "finish waits_for_approval"],
            "waits for a decision",
        ),
        (
            "a card and a question",
            vec![approval(), question()],
            &["say Which one?", "offer 1", "finish waits_for_approval"],
            "has not named",
        ),
        (
            "a look and a card",
            vec![CallResult::Output("up".into()), approval()],
            &["offer 1", "finish waits_for_approval"],
            "waits",
        ),
    ];
    for (name, results, want, told) in table {
        let mut turn = begun();
        let calls: Vec<_> = (1..=results.len()).map(|n| call("check_up", &n.to_string())).collect();
        turn.step(reply("", &calls));
        let looked = results.iter().any(|r| matches!(r, CallResult::Output(_)));
        assert_eq!(words(&turn.step(Event::Results(results))), want, "{name}");
        assert!(last(&turn).contains(told), "{name}: {}", last(&turn));
        assert_eq!(turn.looked(), looked, "{name}");
    }
}

#[test]
fn a_refusal_colours_the_end() {
    let mut turn = begun();
    turn.step(reply("", &[call("check_up", "19")]));
    turn.step(Event::Results(vec![CallResult::Refused("never".into())]));
    assert_eq!(words(&turn.step(reply("That is not possible.", &[]))), ["finish refused"]);
}

#[test]
fn wrong_calls_are_told_to_the_model() {
    let bare = |name: &str, args: Value| ModelCall { id: None, name: name.into(), args };
    let table = [
        (call("get_logs", "19"), "there is no tool `get_logs`; the nearest are get_recent_logs"),
        (bare("check_up", json!({})), "`customer_id` is missing"),
        (bare("check_up", json!([1])), "must be an object"),
        (bare("check_up", json!({"customer_id": "19", "x": 1})), "unknown argument `x`"),
    ];
    for (wrong, part) in table {
        let mut turn = begun();
        assert_eq!(words(&turn.step(reply("", std::slice::from_ref(&wrong)))), ["ask native 3"]);
        assert!(last(&turn).contains(part), "{wrong:?}: {}", last(&turn));
    }
}

#[test]
fn a_repeated_call_is_answered_from_memory_and_ends_the_calling() {
    let mut turn = begun();
    turn.step(reply("", &[call("check_up", "19")]));
    turn.step(output("web is down"));
    let number = ModelCall { args: json!({"customer_id": 19}), ..call("check_up", "") };
    assert_eq!(words(&turn.step(reply("", &[number]))), ["ask native 0"]);
    assert!(last(&turn).contains("Its result was: web is down"), "{}", last(&turn));
    // Calls are not looked at any more; words end the turn.
    assert_eq!(words(&turn.step(reply("It is web.", &[call("check_up", "7")]))), ["finish answered"]);
}

#[test]
fn the_limit_counts_wrong_calls_too_and_then_asks_for_words() {
    let mut turn = begun();
    turn.step(reply("", &[call("nonsense", "1"), call("nonsense", "2")]));
    turn.step(reply("", &[call("check_up", "1"), call("check_up", "2")]));
    assert!(last(&turn).contains("a turn may make 3 calls"), "{}", last(&turn));
    assert_eq!(words(&turn.step(output("up"))), ["ask native 0"]);
    // Whoever goes on calling is asked once more in another way, and then not at all.
    assert_eq!(words(&turn.step(reply("", &[call("check_up", "3")])))[0], "retract");
    assert_eq!(
        words(&turn.step(reply("", &[call("check_up", "3")]))),
        ["retract", "without the model gave an empty answer"]
    );
}

#[test]
fn another_way_is_tried_once_only() {
    let mut turn = begun();
    turn.step(Event::ModelFailed(ModelError::Swallowed));
    let end = turn.step(Event::ModelFailed(ModelError::Swallowed));
    assert_eq!(words(&end), ["retract", "without the model server lost the call"]);
    // Who begins constrained falls back to native.
    let mut turn = turn_of(CallMode::Constrained, 10_000);
    assert_eq!(words(&turn.step(Event::Begin)), ["ask constrained 3"]);
    assert_eq!(words(&turn.step(reply("", &[]))), ["retract", "ask native 3"]);
}

#[test]
fn after_a_forced_call_only_words_are_asked_for() {
    let mut turn = turn_of(CallMode::Constrained, 10_000);
    turn.step(Event::Begin);
    turn.step(reply("", &[call("check_up", "19")]));
    let effects = turn.step(output("web is down"));
    assert_eq!(words(&effects), ["ask words 3"], "the tools stay in the prefix");
    let [Effect::Ask(request)] = effects.as_slice() else { panic!() };
    assert_eq!(request.messages.last(), Some(&Message::User { text: prompt::WORDS_ONLY.into() }));
    assert!(!format!("{:?}", turn.added()).contains(prompt::WORDS_ONLY), "and that is not remembered");
    assert_eq!(words(&turn.step(reply("web is down.", &[]))), ["finish answered"]);
}

#[test]
fn what_is_too_long_is_shortened_once() {
    let mut turn = turn_of(CallMode::Native, 1500);
    turn.step(Event::Begin);
    turn.step(reply("", &[call("get_recent_logs", "19")]));
    let before = turn.step(output(&"log line\n".repeat(300)));
    let [Effect::Ask(first)] = before.as_slice() else { panic!("{:?}", words(&before)) };
    let effects = turn.step(Event::ModelFailed(ModelError::TooLong("9000".into())));
    let [Effect::Retract, Effect::Ask(second)] = effects.as_slice() else { panic!("{:?}", words(&effects)) };
    let size = |r: &ModelRequest| r.messages.iter().map(prompt::message_tokens).sum::<usize>();
    assert!(size(second) < size(first), "{} and {}", size(first), size(second));
    let end = words(&turn.step(Event::ModelFailed(ModelError::TooLong("9000".into()))));
    assert!(end[1].starts_with("without the request does not fit"), "{end:?}");
}

#[test]
fn an_answer_that_was_cut_says_so_and_no_thinking_is_remembered() {
    let mut turn = begun();
    let cut =
        Event::Reply(Reply { text: "web is".into(), thinking: "hm".into(), cut: true, ..Reply::default() });
    assert_eq!(words(&turn.step(cut)), ["say (The answer was cut at its length limit.)", "finish answered"]);
    let added = turn.added();
    let [Message::Assistant { text, thinking, .. }] = added.as_slice() else { panic!("{added:?}") };
    assert_eq!((text.as_str(), thinking.as_str()), ("web is", ""));
}

#[test]
fn circles_are_seen_and_lists_are_not() {
    let table = [
        ("The web container is down. ".repeat(4), true),
        ("The web container is down. ".repeat(3), false),
        ("ab".repeat(100), true),
        ((0..40).map(|n| format!("- container {n} is up and healthy\n")).collect(), false),
        (format!("So. {}", "käse ist gut, käse ist da. ".repeat(5)), true),
        (String::new(), false),
    ];
    for (text, want) in table {
        assert_eq!(repeats(&text), want, "{text}");
    }
}

#[test]
fn sentences_begin_large_and_end() {
    for (text, want) in
        [("web is down", "Web is down."), (" really? ", "Really?"), ("(so)", "(so)"), ("", ".")]
    {
        assert_eq!(sentence(text), want);
    }
}

#[test]
fn a_model_whose_calls_are_forced_gets_words_only_after_its_first_results() {
    let mut turn = turn_of(CallMode::Constrained, 10_000);
    assert_eq!(words(&turn.step(Event::Begin)), ["ask constrained 3"]);
    assert_eq!(words(&turn.step(reply("", &[call("check_up", "19")]))), ["run check_up(customer_id=19)"]);
    let asked = turn.step(output("web is unhealthy"));
    // The tools stay, so that the prefix does.
    assert_eq!(words(&asked), ["ask words 3"]);
    let [Effect::Ask(request)] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(request.messages.last(), Some(&Message::User { text: prompt::WORDS_ONLY.into() }));
    assert!(
        !turn.added().contains(&Message::User { text: prompt::WORDS_ONLY.into() }),
        "it is not remembered"
    );
    assert_eq!(words(&turn.step(reply("Its web is ill.", &[call("check_up", "7")]))), ["finish answered"]);
}
