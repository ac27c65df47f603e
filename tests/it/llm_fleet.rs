//! Several model hosts: who is asked when one fails, the line before each, and what servers say of their models.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use opsbot::{
    agent::{
        models::{ModelEntry, Wait},
        port::{CallMode, Message, Model, ModelError, ModelRequest, Reply},
    },
    llm::{self, Dialect, HostSettings, Settings},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::fake::model::{FakeModel, Say, Setup};

const PATIENCE: Duration = Duration::from_secs(20);

fn fleet(dialect: Dialect, urls: &[&str], parallel: usize) -> Arc<dyn Model> {
    rustls::crypto::ring::default_provider().install_default().ok();
    let wait = Duration::from_millis(300);
    let hosts = urls.iter().enumerate().map(|(n, url)| {
        let settings = Settings { first_token: wait, idle: wait, ..Settings::new(dialect, url, "fake") };
        HostSettings { name: format!("h{n}"), settings, parallel }
    });
    llm::fleet(hosts.collect()).unwrap()
}

fn question() -> ModelRequest {
    let messages = vec![Message::User { text: "How is 19?".into() }];
    ModelRequest { messages, tools: Arc::new(vec![]), mode: CallMode::Native }
}

/// The answer, what was shown of it at the end, and what was told on the way.
async fn ask(model: &Arc<dyn Model>) -> (Result<Reply, ModelError>, String, Vec<Wait>) {
    let told = Mutex::new(vec![]);
    let shown = Mutex::new(String::new());
    let on_wait = |wait: Wait| {
        if matches!(wait, Wait::FailedOver { .. }) {
            shown.lock().unwrap().clear();
        }
        told.lock().unwrap().push(wait);
    };
    let mut on_text = |text: &str| shown.lock().unwrap().push_str(text);
    let question = question();
    let answer = model.chat_telling(&question, &mut on_text, &on_wait);
    let answer = tokio::time::timeout(PATIENCE, answer).await.expect("no answer in time");
    (answer, shown.into_inner().unwrap(), told.into_inner().unwrap())
}

fn text(answer: Result<Reply, ModelError>) -> String {
    answer.map(|r| r.text).unwrap_or_else(|e| format!("error: {e}"))
}

fn over() -> Wait {
    Wait::FailedOver { from: "h0".into(), to: "h1".into() }
}

#[tokio::test]
async fn the_next_host_answers_when_one_fails_and_the_failed_one_rests() {
    for dialect in [Dialect::Ollama, Dialect::OpenAi] {
        let busy = Say::Error { status: 503, body: json!({"error": "server busy"}).to_string() };
        for fails in [busy, Say::Silent, Say::Cut] {
            let bad = FakeModel::answering(move |_, _| fails.clone()).await;
            let good = FakeModel::answering(|_, _| Say::Text("All is well.".into())).await;
            let model = fleet(dialect, &[&bad.url, &good.url], 1);
            let (answer, shown, told) = ask(&model).await;
            assert_eq!((text(answer).as_str(), shown.as_str()), ("All is well.", "All is well."));
            assert!(told.contains(&over()), "{told:?}");
        }
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let good = FakeModel::answering(|_, _| Say::Text("All is well.".into())).await;
        let model = fleet(dialect, &[&format!("http://{nobody}"), &good.url], 1);
        assert_eq!(text(ask(&model).await.0), "All is well.");
        let hosts = model.models().unwrap().hosts();
        assert!(!hosts[0].up && hosts[0].detail.contains("connection refused") && hosts[1].up, "{hosts:?}");
        let (answer, _, told) = ask(&model).await;
        assert_eq!((text(answer).as_str(), told), ("All is well.", vec![Wait::Asked]), "h0 rests");
    }
}

#[tokio::test]
async fn what_is_the_questions_own_fault_goes_to_no_other_host() {
    let refuse = |body: &str| Say::Error { status: 400, body: json!({"error": body}).to_string() };
    for (say, want) in [
        (refuse("request (9000 tokens) exceeds the available context size"), "does not fit"),
        (refuse("nonsense"), "nonsense"),
    ] {
        let bad = FakeModel::answering(move |_, _| say.clone()).await;
        let good = FakeModel::answering(|_, _| Say::Text("All is well.".into())).await;
        let model = fleet(Dialect::Ollama, &[&bad.url, &good.url], 1);
        let said = text(ask(&model).await.0);
        assert!(said.contains(want), "{said}");
        assert!(good.requests().is_empty() && model.models().unwrap().hosts()[0].up);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_taken_back_and_tried_once_more_only() {
    let cut = || FakeModel::answering(|_, _| Say::Cut);
    let (first, second, third) = (cut().await, cut().await, cut().await);
    let model = fleet(Dialect::Ollama, &[&first.url, &second.url, &third.url], 1);
    let (answer, _, told) = ask(&model).await;
    assert!(matches!(answer, Err(ModelError::Broken(_))), "{answer:?}");
    assert_eq!(told.iter().filter(|w| matches!(w, Wait::FailedOver { .. })).count(), 1);
    assert!(third.requests().is_empty());
}

#[tokio::test]
async fn a_model_is_found_on_the_host_that_has_it() {
    let has = |name: &str| Setup { model: Some(name.into()), ..Setup::default() };
    let other = FakeModel::with(has("other"), |_, _| Say::Text("other".into())).await;
    let fake = FakeModel::with(has("fake"), |_, _| Say::Text("fake".into())).await;
    let model = fleet(Dialect::Ollama, &[&other.url, &fake.url], 1);
    assert_eq!(text(ask(&model).await.0), "fake");
    assert!(model.models().unwrap().hosts()[0].up, "lacking a model is no failure");
    assert_eq!(text(ask(&model.models().unwrap().named("other")).await.0), "other");
    let gone = ask(&model.models().unwrap().named("gone")).await.0;
    assert_eq!(gone, Err(ModelError::Missing("gone".into())));
}

#[tokio::test]
async fn a_host_that_comes_back_is_loaded_again_and_goes_first() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap();
    drop(listener);
    let spare = FakeModel::answering(|_, _| Say::Text("spare".into())).await;
    let model = fleet(Dialect::Ollama, &[&format!("http://{place}"), &spare.url], 1);
    let tended = model.clone();
    let tending = tokio::spawn(async move { tended.models().unwrap().tend().await });
    spare.until(|s| s.loads == 1).await;
    assert_eq!(text(ask(&model).await.0), "spare");
    let listener = TcpListener::bind(place).await.unwrap();
    let first = FakeModel::on(listener, Setup::default(), |_, _| Say::Text("first".into()));
    first.until(|s| s.loads == 1).await;
    tokio::time::timeout(PATIENCE, async {
        while !model.models().unwrap().hosts()[0].up {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(text(ask(&model).await.0), "first");
    tending.abort();
}

#[tokio::test]
async fn a_host_is_asked_one_question_at_a_time_and_who_waits_knows_its_place() {
    let server = FakeModel::answering(|_, _| Say::Slow { text: "well then!".into(), chunk_ms: 60 }).await;
    let model = fleet(Dialect::Ollama, &[&server.url], 1);
    model.warm().await.unwrap();
    let asked: Vec<_> = (0..4)
        .map(|_| {
            let model = model.clone();
            tokio::spawn(async move { ask(&model).await })
        })
        .collect();
    let mut seen_line = vec![];
    for (n, one) in asked.into_iter().enumerate() {
        let (answer, _, told) = one.await.unwrap();
        assert_eq!(text(answer), "well then!");
        let ahead: Vec<_> =
            told.iter().filter_map(|w| if let Wait::InLine(n) = w { Some(*n) } else { None }).collect();
        assert!(ahead.is_sorted_by(|a, b| a > b), "{n}: {told:?}");
        assert_eq!(told.last(), Some(&Wait::Asked));
        seen_line.extend(ahead.first().copied());
    }
    seen_line.sort_unstable();
    assert_eq!(seen_line, [1, 2, 3]);
}

/// A server that gives what a real Ollama gave.
async fn recorded() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = vec![0; 65536];
                let n = stream.read(&mut buffer).await.unwrap_or(0);
                let head = String::from_utf8_lossy(&buffer[..n]).into_owned();
                let name = match head.split_whitespace().nth(1).unwrap_or_default() {
                    "/api/tags" => "tags",
                    "/api/ps" => "ps",
                    "/api/show" => "show",
                    "/api/pull" => "err_pull",
                    other => panic!("nobody recorded {other}"),
                };
                let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/golden");
                let golden = std::fs::read_to_string(format!("{dir}/{name}.response.http")).unwrap();
                let golden = golden.replace("\r\n", "\n");
                let (_, body) = golden.split_once("\n\n").unwrap();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).await.ok();
            });
        }
    });
    url
}

#[tokio::test]
async fn a_real_ollamas_listing_and_failed_pull_are_read() {
    let model = fleet(Dialect::Ollama, &[&recorded().await], 1);
    let models = model.models().unwrap();
    let [(host, listed)] = <[_; 1]>::try_from(models.list().await).unwrap();
    let listed = listed.unwrap();
    assert_eq!(host, "h0");
    let first = ModelEntry {
        name: "qwen-0.5b-fence:latest".into(),
        size: Some(491_401_324),
        tools: Some(true),
        loaded: Some(true),
    };
    assert_eq!(listed[0], first);
    assert!(listed.len() >= 4 && listed[1..].iter().all(|m| m.loaded == Some(false)), "{listed:?}");
    let told = Mutex::new(vec![]);
    let pulled = models.pull("qwen3:0.6b", None, &|p| told.lock().unwrap().push(p.status)).await;
    match pulled {
        Err(ModelError::Refused(why)) => assert!(why.starts_with("pull model manifest"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(*told.lock().unwrap(), ["pulling manifest"]);
}

#[tokio::test]
async fn a_pull_ends_with_success_or_not_at_all() {
    let line = |status: &str, done: u64| json!({"status": status, "completed": done, "total": 9});
    let table: [(Vec<Value>, Option<&str>); 4] = [
        (vec![line("pulling", 3), json!({"status": "success"})], None),
        (vec![line("pulling", 3)], Some("ended early")),
        (vec![line("pulling", 3), json!({"error": "no space left on device"})], Some("no space")),
        (vec![json!("x")], Some("ended early")),
    ];
    for (lines, want) in table {
        let setup = Setup { pull: (lines.clone(), 0), ..Setup::default() };
        let server = FakeModel::with(setup, |_, _| Say::Silent).await;
        let model = fleet(Dialect::Ollama, &[&server.url], 1);
        let pulled = model.models().unwrap().pull("m:1", None, &|_| {}).await;
        match (pulled, want) {
            (Ok(host), None) => assert_eq!(host, "h0"),
            (Err(e), Some(part)) => assert!(e.to_string().contains(part), "{lines:?}: {e}"),
            other => panic!("{lines:?}: {other:?}"),
        }
    }
    let other = fleet(Dialect::OpenAi, &["http://127.0.0.1:9"], 1);
    for (name, host, part) in
        [("m", None, "only Ollama"), ("m", Some("eu"), "there is no host"), ("../m", None, "no model's name")]
    {
        let error = other.models().unwrap().pull(name, host, &|_| {}).await.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}
