//! Hostile bytes through the real tools: bounded and clean in what the model reads and a person sees, and nothing lost.

use std::time::{Duration, Instant};

use opsbot::domain::{Block, TurnStatus};
use serde_json::{Value, json};

use super::world::{DIALECTS, Setup, Transcript, World, call, inbound, quoting, text};
use crate::{
    docker::fake::{Act, Engine, frame},
    fake::model::{FakeModel, Say},
};

const T: &str = "2026-11-21T10:30:24.928851151Z";
/// What no text may hold that a model or a person reads.
const EVIL: [char; 9] =
    ['\u{1b}', '\u{7}', '\u{8}', '\r', '\u{9b}', '\u{202e}', '\u{200b}', '\u{2066}', '\u{feff}'];

/// A Docker Engine with customer 19's web, whose log is `log`.
async fn docker(log: Vec<u8>) -> Engine {
    let id = "f".repeat(64);
    let list = json!([{"Id": id, "Names": ["/c19-web"], "State": "running",
        "Labels": {"opsbot.customer": "19", "opsbot.service": "web"}}]);
    let one = json!({"Id": id, "State": {"Status": "running", "StartedAt": T,
        "Health": {"Status": "unhealthy", "FailingStreak": 3,
            "Log": [{"End": T, "ExitCode": 1, "Output": "503 \u{1b}[2J\u{202e}evil"}]}}});
    Engine::start(move |path| match path {
        p if p.contains("/containers/json") => Some(Act::json(list.to_string())),
        p if p.contains("/logs") => Some(Act::Answer(200, log.clone())),
        p if p.ends_with("/json") => Some(Act::json(one.to_string())),
        _ => None,
    })
    .await
}

async fn world(docker: &Engine, setup: Setup, model: Option<FakeModel>) -> World {
    let url = docker.config("local", Duration::ZERO).url;
    let config = format!("[[docker]]\nname = \"local\"\nurl = \"{url}\"\ntimeout = \"20s\"\n");
    World::start(Setup { real: Some(config), ..setup }, model).await
}

fn lines(lines: &[&[u8]]) -> Vec<u8> {
    lines.iter().flat_map(|line| frame(1, &[T.as_bytes(), b" ", line, b"\n"].concat())).collect()
}

#[track_caller]
fn decent(what: &str, value: &Value) {
    match value {
        Value::String(text) => {
            if let Some(bad) = text.chars().find(|c| EVIL.contains(c)) {
                panic!("{bad:?} is in {what}: {}", &text[..text.floor_char_boundary(300)]);
            }
        }
        Value::Array(all) => all.iter().for_each(|v| decent(what, v)),
        Value::Object(map) => map.values().for_each(|v| decent(what, v)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[track_caller]
fn decent_events(t: &Transcript, most: usize) {
    let events = serde_json::to_value(&t.events).unwrap();
    decent("an event", &events);
    let bytes = events.to_string().len();
    assert!(bytes < most, "{bytes} bytes of events");
}

#[tokio::test]
async fn a_huge_line_and_broken_text_stay_bounded_and_clean() {
    let huge = vec![b'x'; 10 << 20];
    let log = lines(&[
        &huge,
        b"bad \xff\xfe\x80 utf-8",
        b"\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\ \x9b2J",
        "bidi \u{202e}txt.exe\u{2066} zero\u{200b}width \u{feff}bom".as_bytes(),
        b"carriage\rreturn \x08\x08back \x00nul",
        b"ERROR the end",
    ]);
    let docker = docker(log).await;
    for dialect in DIALECTS {
        let script = vec![
            call("get_recent_logs", json!({"customer_id": "19", "service": "web"})),
            call("check_up", json!({"customer_id": "19"})),
            text("Its log is strange."),
        ];
        let model = FakeModel::start(script).await;
        let world = world(&docker, Setup { dialect, ..Setup::default() }, Some(model)).await;
        let begin = Instant::now();
        let t = world.say("anna", "what's wrong with customer 19?").await;
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
        t.ended(TurnStatus::Answered).has("ERROR the end");
        t.has("bad \u{fffd}\u{fffd}\u{fffd} utf-8");
        decent_events(&t, 64 << 10);
        for (request, size) in world.model().requests().iter().zip(world.model().seen().sizes) {
            decent("a request", request);
            assert!(size < 24 << 10, "{size} bytes");
        }
        let t = world.say("anna", "/get_recent_logs 19 web").await;
        t.ended(TurnStatus::Answered).has("red");
        decent_events(&t, 64 << 10);
        decent(
            "the history",
            &json!(world.history("anna").await.iter().map(|r| &r.content).collect::<Vec<_>>()),
        );
        decent("the audit", &serde_json::to_value(world.audit().await).unwrap());
    }
}

#[tokio::test]
async fn what_is_cut_is_kept_and_found_again() {
    let many: Vec<_> =
        (0..500).map(|n| format!("INFO request {n} took {} ms, all is well there", n % 37)).collect();
    let mut all: Vec<&[u8]> = many.iter().map(|l| l.as_bytes()).collect();
    all[250] = b"ERROR needle 4711 found by nobody yet";
    let docker = docker(lines(&all)).await;
    let script = |body: &Value, n: usize| {
        let messages = body["messages"].to_string();
        match n {
            0 => call("get_recent_logs", json!({"customer_id": "19", "service": "web", "lines": 500})),
            1 => {
                let (_, rest) = messages.split_once("search_output(id=").unwrap();
                call(
                    "search_output",
                    json!({"id": rest.split(',').next().unwrap(), "pattern": "needle [0-9]+"}),
                )
            }
            _ => text("One line says needle."),
        }
    };
    let model = FakeModel::answering(script).await;
    let world = world(&docker, Setup::default(), Some(model)).await;
    let t = world.say("anna", "look for the needle in customer 19's log").await;
    t.ended(TurnStatus::Answered).has("One line says needle.");
    let requests = world.model().requests();
    let tool = |n: usize| {
        let messages = requests[n]["messages"].as_array().unwrap();
        messages.last().unwrap()["content"].as_str().unwrap().to_owned()
    };
    let (logs, found) = (tool(1), tool(2));
    assert!(
        !logs.contains("needle") && logs.contains("request 0 ") && logs.contains("request 499"),
        "{logs}"
    );
    assert!(logs.len() < 8192 / 8 * 3 + 400, "an eighth of the context: {}", logs.len());
    assert!(found.contains("ERROR needle 4711 found by nobody yet"), "{found}");
    assert!(logs.starts_with("<<<DATA ") && found.starts_with("<<<DATA "), "both are foreign text");
    let file = t
        .blocks()
        .find_map(|b| if let Block::File { name, bytes, .. } = b { Some((name, bytes)) } else { None });
    let (id, bytes) = file.unwrap();
    assert!(*bytes > 20_000, "{bytes}");
    // A person reads it in the same way; who made the output does not matter, an invented id does.
    let t = world.say("ben", &format!("/search_output {id} needle")).await;
    t.ended(TurnStatus::Answered).has("needle 4711");
    for (id, part) in [("00000000", "there is no"), ("../../etc/passwd", "there is no")] {
        let t = world.say("ben", &format!("/search_output {id} root")).await;
        assert!(t.shown().to_lowercase().contains(part), "{}", t.shown());
    }
    let t = world.say("ben", &format!("/search_output {id} \"(\"")).await;
    t.lacks("panicked");
    assert!(matches!(t.status, TurnStatus::Failed | TurnStatus::Answered), "{}", t.shown());
}

/// A log whose only interesting line is in its middle, where a cut takes it.
fn upload() -> String {
    let mut lines: Vec<_> = (0..2000).map(|n| format!("2026-11-21 INFO request {n} is well")).collect();
    lines[1000] = "2026-11-21 ERROR needle 4711 token=hunter2hunter2".into();
    lines.join("\n")
}

fn leaky() -> Setup {
    Setup { secrets: vec!["hunter2hunter2".into()], ..Setup::default() }
}

#[tokio::test]
async fn a_long_quote_is_kept_and_the_model_searches_it() {
    for words in ["what is wrong there?", ""] {
        let script = |body: &Value, n: usize| match n {
            0 => {
                let messages = body["messages"].to_string();
                let (_, rest) = messages.split_once("search_output(id=").expect("the cut says how to search");
                let id = rest.split(',').next().unwrap();
                call("search_output", json!({"id": id, "pattern": "needle [0-9]+"}))
            }
            _ => text("One line says needle."),
        };
        let model = FakeModel::answering(script).await;
        let docker = docker(vec![]).await;
        let world = world(&docker, leaky(), Some(model)).await;
        let t = world.send(quoting("anna", words, &upload())).await;
        t.ended(TurnStatus::Answered).has("One line says needle.");
        let requests = world.model().requests();
        assert!(!requests[0].to_string().contains("4711"), "it was cut out of the quote");
        assert!(requests[1].to_string().contains("ERROR needle 4711"), "{}", requests[1]);
        assert!(!world.kept().contains("hunter2hunter2"), "what is kept is redacted");
    }
}

#[tokio::test]
async fn without_a_model_a_long_quote_is_searched_by_hand() {
    let docker = docker(vec![]).await;
    let world = world(&docker, leaky(), None).await;
    for words in ["is customer 19 ok?", ""] {
        let t = world.send(quoting("anna", words, &upload())).await;
        let file = t.blocks().find_map(|b| {
            if let Block::File { name, summary, .. } = b { Some((name, summary)) } else { None }
        });
        let (id, summary) = file.unwrap_or_else(|| panic!("no file in {}", t.shown()));
        assert!(summary.contains(&format!("/search_output {id} PATTERN")), "{summary}");
        let t = world.say("anna", &format!("/search_output {id} needle")).await;
        t.ended(TurnStatus::Answered).has("ERROR needle 4711");
        t.lacks("hunter2hunter2");
    }
    let short = world.send(quoting("anna", "is customer 19 ok?", "ERROR short")).await;
    assert!(!short.blocks().any(|b| matches!(b, Block::File { .. })), "{}", short.shown());
}

#[tokio::test]
async fn a_huge_output_takes_its_share_of_the_prompt() {
    for num_ctx in [2048, 8192] {
        let script = vec![call("get_recent_logs", json!({"customer_id": "19"})), text("Long.")];
        let setup = Setup { num_ctx, ..Setup::default() };
        let world = World::start(setup, Some(FakeModel::start(script).await)).await;
        world.site.log("19", "x".repeat(1 << 18));
        world.say("anna", "logs of customer 19").await.ended(TurnStatus::Answered);
        let sizes = world.model().seen().sizes;
        let most = num_ctx as usize / 8 * 3 + 1200;
        assert!(sizes[1] - sizes[0] < most, "{num_ctx}: {sizes:?}");
    }
}

#[tokio::test]
async fn what_a_person_pastes_fits_the_prompt() {
    let paste = "2026-11-21 10:30:24 ERROR upstream timed out while reading\n".repeat(400);
    for (name, message) in [
        ("pasted", inbound("anna", &format!("what is this?\n{paste}"))),
        ("quoted", quoting("anna", "what is this?", &paste)),
        (
            "quoted often",
            opsbot::domain::Inbound {
                quoted: vec![opsbot::domain::Untrusted::new(&paste); 12],
                ..inbound("anna", "and this?")
            },
        ),
    ] {
        let model = FakeModel::answering(|_, _| Say::Text("A log.".into())).await;
        let world = World::start(Setup { num_ctx: 4096, ..Setup::default() }, Some(model)).await;
        world.send(message).await.ended(TurnStatus::Answered).has("A log.");
        world.say("anna", "thanks").await.ended(TurnStatus::Answered);
        for size in world.model().seen().sizes {
            assert!(size < 4096 * 3, "{name}: {size} bytes for 4096 tokens");
        }
        let first = world.model().requests()[0]["messages"].to_string();
        assert!(first.contains("this?") && first.contains("left out"), "{name}");
    }
}
