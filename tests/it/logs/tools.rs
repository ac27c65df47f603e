//! The log tools as a person meets them: several Docker hosts, one of them down, files beside them, long pastes.

use std::{fmt::Write, path::Path, time::Duration};

use opsbot::domain::{Block, TurnStatus};
use serde_json::json;

use super::{access, append};
use crate::{
    docker::fake::{Act, Engine, frame},
    scenarios::world::{Setup, Transcript, World},
};

/// Customer 19's web and db on an engine, with logs of their own.
async fn engine(web: String, db: String) -> Engine {
    let id = |c: char| c.to_string().repeat(64);
    let one = |service: &str, c: char| {
        json!({"Id": id(c), "Names": [format!("/c19-{service}")], "State": "running",
            "Labels": {"opsbot.customer": "19", "opsbot.service": service}})
    };
    let list = json!([one("web", 'a'), one("db", 'b')]).to_string();
    let log = |text: &str| -> Vec<u8> {
        text.lines().flat_map(|l| frame(1, format!("{l}\n").as_bytes())).collect()
    };
    let (web, db, of_web) = (log(&web), log(&db), id('a'));
    Engine::start(move |path| match path {
        p if p.contains("/containers/json") => Some(Act::json(list.clone())),
        p if p.contains("/logs") && p.contains(&of_web) => Some(Act::Answer(200, web.clone())),
        p if p.contains("/logs") => Some(Act::Answer(200, db.clone())),
        _ => None,
    })
    .await
}

/// Lines with the engine's times, one a second from 16:00.
fn lines(texts: impl IntoIterator<Item = String>) -> String {
    let mut all = String::new();
    for (n, text) in texts.into_iter().enumerate() {
        writeln!(all, "2026-11-21T16:{:02}:{:02}.5Z {text}", n / 60 % 60, n % 60).unwrap();
    }
    all
}

async fn world(engine: &Engine, files: &Path) -> World {
    let url = engine.config("one", Duration::ZERO).url;
    let config = format!(
        "[[docker]]\nname = \"one\"\nurl = \"{url}\"\ntimeout = \"20s\"\n\
         [[docker]]\nname = \"two\"\nurl = \"tcp://127.0.0.1:1\"\n\
         [[log_source]]\ncustomer = \"19\"\nservice = \"nginx\"\npath = \"{}/*.log\"\n\
         [[log_source]]\ncustomer = 77\nservice = \"legacy\"\npath = \"{0}/*.txt\"\n",
        files.display()
    );
    World::start(Setup { real: Some(config), ..Setup::default() }, None).await
}

fn logs(t: &Transcript) -> Vec<(String, usize, u64)> {
    let of = |b: &Block| match b {
        Block::Log { source, lines, omitted } => Some((source.clone(), lines.len(), *omitted)),
        _ => None,
    };
    t.blocks().filter_map(of).collect()
}

#[track_caller]
fn shows(t: &Transcript, parts: &[&str]) {
    for part in parts {
        t.has(part);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_goes_over_all_sources_and_says_which_host_is_down() {
    let web = (0..90).map(|n| format!("upstream timed out (110) request {n}"));
    let engine =
        engine(lines(web), lines(["fine".into(), "statement Timed Out".into(), "fine again".into()])).await;
    let dir = tempfile::tempdir().unwrap();
    append(&dir.path().join("shop.log.1"), access(5, "\"GET /timed out HTTP/1.1\" 504"));
    append(&dir.path().join("shop.log"), access(9, "\"GET / HTTP/1.1\" 200"));
    let world = world(&engine, dir.path()).await;
    let t = world.say("anna", "/search_logs 19 \"timed out\"").await;
    t.ended(TurnStatus::Answered);
    t.has("Docker host two is not answering");
    let want = [("c19-db", 3, 0), ("c19-web", 18, 72), ("nginx (shop.log)", 1, 0)];
    assert_eq!(logs(&t), want.map(|(source, n, omitted)| (source.to_owned(), n, omitted)));
    shows(
        &t,
        &[
            "92 lines match `timed out` in 3 of 3 logs of customer 19",
            "upstream timed out (#) request #",
            "c19-web",
            "16:01:29",
            "16:00:01 statement Timed Out",
            "  fine again",
        ],
    );
    let one = world.say("anna", "/search_logs 19 \"timed out\" nginx").await;
    one.has("/timed out HTTP/1.1");
    one.lacks("statement");
    let bad = world.say("anna", "/search_logs 19 \"timed out (\" db").await;
    shows(&bad, &["Docker host two", "no regular expression"]);
    let unknown = world.say("anna", "/search_logs 19 x redis").await;
    unknown.has("Docker host two");
}

#[tokio::test(flavor = "multi_thread")]
async fn recent_logs_come_from_files_too_and_a_customer_may_have_nothing_else() {
    let engine = engine(lines(["from web".into()]), lines(["from db".into()])).await;
    let dir = tempfile::tempdir().unwrap();
    append(&dir.path().join("shop.log"), access(9, "\"GET / HTTP/1.1\" 200"));
    append(&dir.path().join("old.txt"), "2026-11-21 16:00:00 legacy says hello\n");
    let world = world(&engine, dir.path()).await;
    let all = world.say("anna", "/get_recent_logs 19").await;
    all.ended(TurnStatus::Answered);
    shows(&all, &["from web", "from db", "GET / HTTP", "Docker host two"]);
    let one = world.say("anna", "/get_recent_logs 19 NGINX").await;
    one.has("GET / HTTP");
    one.lacks("from web");
    world.say("anna", "/get_recent_logs 77").await.has("legacy says hello");
    world.say("anna", "/search_logs 77 hello legacy").await.has("legacy says hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paste_of_200_lines_is_explained_and_found_with_its_customer() {
    let own = "2026/11/21 16:00:00 [error] 7#7: *99 connect() failed (111: Connection refused) while connecting to upstream, client: 9.9.9.9";
    let now = jiff::Timestamp::now();
    let engine = engine(format!("{now} {own}\n"), format!("{now} all is well\n")).await;
    let dir = tempfile::tempdir().unwrap();
    let world = world(&engine, dir.path()).await;
    let mut paste: String = (0..199).fold(String::new(), |mut all, n| {
        writeln!(all, "10.0.0.{n} - - [21/Nov/2026:16:20:01 +0000] \"GET /{n} HTTP/1.1\" 200 \"it's")
            .unwrap();
        all
    });
    paste.push_str("2026/11/21 16:20:01 [error] 12#12: *4 connect() failed (111: Connection refused) while connecting to upstream, client: 1.2.3.4 \u{1b}[31m");
    let t = world.say("anna", &format!("/explain_error {paste}")).await;
    t.ended(TurnStatus::Answered);
    shows(
        &t,
        &[
            "nginx: nobody listens behind it",
            "Seen in line 200",
            "Likely causes, in order",
            "get_container_status",
            "customer 19 (web, once)",
            "Docker host two",
        ],
    );
    t.lacks("\u{1b}");
    let unknown = world.say("anna", "/explain_error ERROR the flux capacitor is misaligned").await;
    shows(&unknown, &["Nothing in the catalogue fits", "flux capacitor", "Nobody's logs hold this message"]);
}
