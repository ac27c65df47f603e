//! What is in the table goes on exactly as checked, and comes back stripped.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::rig::{Engine, Helper, id_of, inspect, ours, summary};
use crate::docker::fake::Act;

#[tokio::test]
async fn every_route_of_the_table_goes_on_by_the_full_id() {
    let id = id_of("web");
    let none = [
        "GET /_ping",
        "GET /version",
        "GET /containers/json?all=true",
        "GET /events?since=1",
        "GET /system/df",
        "GET /images/json",
        "GET /distribution/127.0.0.1:5000/web:1/json",
    ];
    let one = ["GET logs?stdout=1&tail=5", "GET stats?one-shot=true&stream=false"];
    let writes = ["POST start", "POST stop?t=1", "POST restart?t=600"];
    let engine = Engine::of_web(ours());
    let helper = Helper::before(&engine.socket(), "write = [\"start\", \"stop\", \"restart\"]");
    for version in ["", "/v1.41"] {
        for line in none {
            let line = line.replacen(" /", &format!(" {version}/"), 1);
            let answer = helper.ask(&line).await;
            assert_eq!((answer.status(), engine.asked().pop()), (200, Some(line)), "{answer:?}");
        }
        assert_eq!(helper.ask(&format!("HEAD {version}/_ping")).await.status(), 200);
        for line in one.iter().chain(&writes) {
            let (method, rest) = line.split_once(' ').unwrap();
            let before = engine.asked().len();
            let answer = helper.ask(&format!("{method} {version}/containers/web/{rest}")).await;
            assert_eq!(answer.status(), if method == "GET" { 200 } else { 204 }, "{line}: {answer:?}");
            let want = [
                format!("GET {version}/containers/web/json"),
                format!("{method} {version}/containers/{id}/{rest}"),
            ];
            assert_eq!(engine.asked().split_off(before), want);
        }
    }
    let head = engine.heads().pop().unwrap();
    assert!(head.ends_with("HTTP/1.1\r\nhost: docker\r\n\r\n"), "{head}");
}

#[tokio::test]
async fn answers_come_back_without_what_nobody_asked_for() {
    let engine = Engine::of_web(json!({"opsbot.customer": "19", "api-token": "SEEN"}));
    let helper = Helper::before(&engine.socket(), "");
    for (line, want) in [
        ("GET /containers/json", "\"opsbot.customer\""),
        ("GET /containers/web/json", "\"opsbot.customer\""),
        ("GET /system/df", "\"opsbot.customer\""),
        ("GET /images/json", "127.0.0.1:5000/web@sha256:1"),
        ("GET /distribution/127.0.0.1:5000/web:2/json", "sha256:1"),
    ] {
        let answer = helper.ask(line).await;
        assert_eq!(answer.status(), 200);
        let json: Value = serde_json::from_str(answer.body()).unwrap();
        assert!(!json.to_string().contains("SEEN") && json.to_string().contains(want), "{line}: {json}");
    }
}

/// Through an engine any host could be called: only those are that an image came from.
#[tokio::test]
async fn a_registry_is_asked_only_for_what_an_image_came_from() {
    let engine = Engine::of_web(ours());
    let all = Helper::before(&engine.socket(), "");
    let labelled = Helper::before(&engine.socket(), "read = \"labelled\"");
    let table = [
        ("127.0.0.1:5000/web:1", true, true),
        ("127.0.0.1:5000/web:2", true, true),
        ("127.0.0.1:5000/vault:1", true, false),
        ("127.0.0.1:5000/web/x:1", false, false),
        ("127.0.0.1:5001/web:1", false, false),
        ("web:1", false, false),
        ("evil.example/web:1", false, false),
    ];
    for (name, of_all, of_labelled) in table {
        for (helper, allowed) in [(&all, of_all), (&labelled, of_labelled)] {
            let before = engine.asked().len();
            let answer = helper.ask(&format!("GET /v1.41/distribution/{name}/json")).await;
            assert_eq!(answer.status(), if allowed { 200 } else { 403 }, "{name}: {answer:?}");
            let called = engine.asked().split_off(before).iter().any(|a| a.contains("/distribution/"));
            assert_eq!(called, allowed, "{name}");
        }
    }
    for line in ["GET /images/json", "GET /system/df"] {
        assert!(all.ask(line).await.body().contains("vault"));
        let closed = labelled.ask(line).await;
        assert!(closed.body().contains("web") && !closed.body().contains("vault"), "{closed:?}");
    }
}

#[tokio::test]
async fn labelled_reads_hide_the_others() {
    let engine = Engine::start(|asked| match asked {
        a if a.contains("/containers/json") => {
            Act::json(json!([summary("web", &ours()), summary("vault", &json!({}))]).to_string())
        }
        a if a.contains("/containers/web/json") => Act::json(inspect("web", &ours()).to_string()),
        a if a.contains("/containers/vault/json") => Act::json(inspect("vault", &json!({})).to_string()),
        a if a.contains("/events") => Act::json(
            [("web", ours()), ("vault", json!({}))]
                .map(|(name, labels)| {
                    let actor = json!({"ID": id_of(name), "Attributes": labels});
                    json!({"Type": "container", "Action": "die", "Actor": actor, "time": 1}).to_string()
                        + "\n"
                })
                .concat(),
        ),
        _ => Act::Answer(200, b"a log".into()),
    });
    let all = Helper::before(&engine.socket(), "");
    let labelled = Helper::before(&engine.socket(), "read = \"labelled\"");
    for line in ["GET /containers/json", "GET /events"] {
        let (open, closed) = (all.ask(line).await, labelled.ask(line).await);
        assert!(open.body().contains(&id_of("vault")) && open.body().contains(&id_of("web")), "{open:?}");
        assert!(
            !closed.body().contains(&id_of("vault")) && closed.body().contains(&id_of("web")),
            "{closed:?}"
        );
    }
    for rest in ["json", "logs?stdout=1", "stats"] {
        let line = |name: &str| format!("GET /containers/{name}/{rest}");
        assert_eq!(all.ask(&line("vault")).await.status(), 200);
        assert_eq!(labelled.ask(&line("web")).await.status(), 200);
        let refused = labelled.ask(&line("vault")).await;
        assert_eq!(refused.status(), 403);
        assert!(refused.message().contains("lacks the label opsbot.customer"), "{refused:?}");
    }
}

/// Between the look at the label and the write the name comes to mean another container: the write must not follow it.
#[tokio::test]
async fn a_name_that_changes_hands_is_written_to_by_the_id_that_was_checked() {
    let looks = AtomicUsize::new(0);
    let engine = Engine::start(move |asked| match asked {
        a if a.contains("/containers/web/json") => match looks.fetch_add(1, Ordering::SeqCst) {
            0 => Act::json(inspect("web", &ours()).to_string()),
            _ => Act::json(inspect("vault", &json!({})).to_string()),
        },
        a if a.starts_with("POST ") => Act::Answer(204, vec![]),
        _ => Act::Answer(404, b"{}".into()),
    });
    let helper = Helper::before(&engine.socket(), "");
    assert_eq!(helper.ask("POST /containers/web/restart").await.status(), 204);
    assert_eq!(helper.ask("POST /containers/web/restart").await.status(), 403);
    let looked = "GET /containers/web/json".to_owned();
    assert_eq!(
        engine.asked(),
        [looked.clone(), format!("POST /containers/{}/restart", id_of("web")), looked]
    );
}

#[tokio::test]
async fn the_engines_own_words_come_back() {
    let engine = Engine::start(|asked| match asked {
        a if a.contains("/gone/json") => {
            Act::Answer(404, br#"{"message":"No such\ncontainer: gone","trace":"SEEN"}"#.into())
        }
        a if a.contains("/web/json") => Act::json(inspect("web", &ours()).to_string()),
        a if a.ends_with("/stop") => Act::Answer(304, vec![]),
        a if a.starts_with("POST ") => Act::Answer(500, br#"{"message":"cannot start"}"#.into()),
        _ => Act::Answer(400, b"<html>SEEN".into()),
    });
    let helper = Helper::before(&engine.socket(), "write = [\"stop\", \"restart\"]");
    let table = [
        ("GET /containers/gone/json", 404, "No such container: gone"),
        ("POST /containers/gone/restart", 404, "No such container: gone"),
        ("POST /containers/web/restart", 500, "cannot start"),
        ("GET /containers/json", 400, "the engine refused this without a reason"),
    ];
    for (line, status, want) in table {
        let answer = helper.ask(line).await;
        assert_eq!((answer.status(), answer.message().as_str()), (status, want), "{line}");
    }
    assert_eq!(helper.ask("POST /containers/web/stop").await.status(), 304);
}
