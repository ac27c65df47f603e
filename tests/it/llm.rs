//! The model adapters against servers that speak the real protocols, and break them.

use std::{io::Write as _, sync::Arc, time::Duration};

use opsbot::{
    agent::port::{CallMode, Message, Model, ModelCall, ModelError, ModelRequest, Reply},
    domain::{Param, ParamKind, Risk, ToolSpec},
    llm::{self, Constrained, Dialect, Settings, Token},
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::fake::{
    model::{FakeModel, Say, Setup},
    shim,
};

const DIALECTS: [Dialect; 2] = [Dialect::Ollama, Dialect::OpenAi];

fn settings(dialect: Dialect, url: &str) -> Settings {
    rustls::crypto::ring::default_provider().install_default().ok();
    let wait = Duration::from_secs(10);
    Settings { first_token: wait, idle: wait, load_timeout: wait, ..Settings::new(dialect, url, "fake") }
}

fn connect(dialect: Dialect, url: &str) -> Arc<dyn Model> {
    llm::connect(settings(dialect, url)).unwrap()
}

fn impatient(dialect: Dialect, url: &str) -> Arc<dyn Model> {
    let wait = Duration::from_millis(100);
    llm::connect(Settings { first_token: wait, idle: wait, ..settings(dialect, url) }).unwrap()
}

fn spec(name: &'static str, summary: &'static str, params: Vec<Param>) -> ToolSpec {
    let timeout = Duration::from_secs(5);
    ToolSpec {
        name,
        summary,
        params,
        floor: Risk::Safe,
        default: Risk::Safe,
        phrases: &[],
        untrusted: false,
        timeout,
    }
}

fn param(name: &'static str, kind: ParamKind, required: bool, help: &'static str) -> Param {
    Param { name, kind, required, help }
}

fn tools() -> Vec<ToolSpec> {
    let customer = param("customer_id", ParamKind::Customer, true, "");
    vec![spec("restart_container", "Restart.", vec![customer]), spec("list_active_alerts", "List.", vec![])]
}

fn ask(text: &str) -> ModelRequest {
    let messages =
        vec![Message::System { text: "You are OpsBot.".into() }, Message::User { text: text.into() }];
    ModelRequest { messages, tools: Arc::new(tools()), mode: CallMode::Native }
}

/// The answer, and what was shown on the way.
async fn chat(model: &Arc<dyn Model>, request: &ModelRequest) -> (Result<Reply, ModelError>, String) {
    let mut shown = String::new();
    let result = model.chat(request, &mut |text| shown.push_str(text)).await;
    (result, shown)
}

fn restart(id: Option<&str>) -> ModelCall {
    ModelCall {
        id: id.map(str::to_owned),
        name: "restart_container".into(),
        args: json!({"customer_id": "7"}),
    }
}

fn error(status: u16, body: &str) -> Say {
    Say::Error { status, body: body.into() }
}

#[tokio::test]
async fn both_dialects_read_text_and_calls_of_every_kind() {
    let json_call = r#"{"name": "restart_container", "arguments": {"customer_id": "7"}}"#;
    let calls = vec![("restart_container".to_owned(), json!({"customer_id": "7"}))];
    let native = || vec![restart(Some("call_0"))];
    let table = [
        (Say::Text("All is well, käse ☃.".into()), "All is well, käse ☃.", vec![]),
        (Say::Calls(calls.clone()), "", native()),
        (Say::TextAndCalls("I do.".into(), calls), "I do.", native()),
        (Say::TextAsCall(json_call.into()), "", vec![restart(None)]),
        (Say::TextAsCall(format!("Sure.\n```json\n{json_call}\n```")), "Sure.", vec![restart(None)]),
        (Say::TextAsCall(format!("[TOOL_CALLS] [{json_call}]")), "", vec![restart(None)]),
        (Say::TextAsCall("{\"status\": \"ok\"}".into()), "{\"status\": \"ok\"}", vec![]),
    ];
    for dialect in DIALECTS {
        let server = FakeModel::start(table.iter().map(|(say, ..)| say.clone()).collect()).await;
        let model = connect(dialect, &server.url);
        for (say, text, calls) in &table {
            let (reply, shown) = chat(&model, &ask("?")).await;
            let want = Reply {
                text: (*text).into(),
                calls: calls.clone(),
                tokens_in: 100,
                tokens_out: 30,
                ..Reply::default()
            };
            assert_eq!(reply, Ok(want), "{dialect:?} {say:?}");
            assert_eq!(shown, *text, "{dialect:?} {say:?}");
        }
    }
}

#[tokio::test]
async fn every_failure_has_its_own_error() {
    let busy = r#"{"error":"server busy, please try again.  maximum pending requests exceeded"}"#;
    let page = "<html><body>502 Bad Gateway at http://10.0.0.1</body></html>";
    type Check = fn(&ModelError) -> bool;
    let table: Vec<(Say, Check)> = vec![
        (error(503, busy), |e| *e == ModelError::Busy),
        (error(500, r#"{"error":"error parsing tool call: raw='x'"}"#), |e| *e == ModelError::Swallowed),
        (error(502, page), |e| matches!(e, ModelError::Down(_))),
        (error(500, page), |e| matches!(e, ModelError::Refused(_))),
        (error(401, "{}"), |e| matches!(e, ModelError::Refused(t) if t.contains("token"))),
        (error(302, ""), |e| matches!(e, ModelError::Refused(t) if t.contains("redirect"))),
        (error(200, page), |e| matches!(e, ModelError::Broken(_))),
        (error(200, ""), |e| matches!(e, ModelError::Broken(_))),
        (Say::TextAsCall(r#"{"name": "reboot", "arguments": {}}"#.into()), |e| *e == ModelError::Swallowed),
        (Say::Swallowed, |e| *e == ModelError::Swallowed),
        (Say::Cut, |e| matches!(e, ModelError::Broken(_))),
        (
            Say::MidStreamError("unexpected EOF".into()),
            |e| matches!(e, ModelError::Broken(t) if t.contains("unexpected EOF")),
        ),
        (raw(vec![b"\xff\xfe\x00garbage\n".to_vec()], true), |e| matches!(e, ModelError::Broken(_))),
        (
            raw(vec![vec![b'x'; 10 << 20]], true),
            |e| matches!(e, ModelError::Broken(t) if t.contains("longer than 1 MiB")),
        ),
        (
            raw(vec![b"\n".repeat(17 << 20)], true),
            |e| matches!(e, ModelError::Broken(t) if t.contains("longer than 16 MiB")),
        ),
    ];
    for dialect in DIALECTS {
        let server = FakeModel::start(table.iter().map(|(say, _)| say.clone()).collect()).await;
        let model = connect(dialect, &server.url);
        for (n, (_, check)) in table.iter().enumerate() {
            let error = chat(&model, &ask("?")).await.0.unwrap_err();
            assert!(check(&error), "{dialect:?} step {n}: {error:?}");
            assert!(
                !error.to_string().contains("127.0.0.1") && !error.to_string().contains("://"),
                "{error}"
            );
        }
    }
}

fn raw(pieces: Vec<Vec<u8>>, whole: bool) -> Say {
    Say::Raw { head: "HTTP/1.1 200 OK".into(), pieces, whole }
}

#[tokio::test]
async fn silence_ends_at_the_deadline_and_the_connection_with_it() {
    for dialect in DIALECTS {
        let server = FakeModel::start(vec![Say::Silent, Say::Stalls("I began".into())]).await;
        let model = impatient(dialect, &server.url);
        for (n, begun) in ["", "I began"].into_iter().enumerate() {
            let (result, shown) = chat(&model, &ask("?")).await;
            assert_eq!(result, Err(ModelError::Silent(Duration::from_millis(100))));
            assert_eq!(shown, begun);
            server.until(|s| s.dropped > n).await;
        }
    }
}

#[tokio::test]
async fn text_shows_while_the_model_still_writes_and_slowness_is_no_silence() {
    for dialect in DIALECTS {
        let slow = Say::Slow { text: "one two three four".into(), chunk_ms: 60 };
        let server = FakeModel::start(vec![slow]).await;
        let wait = Duration::from_millis(250);
        let patient = Settings { first_token: wait, idle: wait, ..settings(dialect, &server.url) };
        let model = llm::connect(patient).unwrap();
        let mut pieces = vec![];
        let reply = model.chat(&ask("?"), &mut |text| pieces.push(text.to_owned())).await.unwrap();
        assert_eq!(reply.text, "one two three four", "it took longer than the deadline in all");
        assert!(pieces.len() >= 4, "{pieces:?}");
    }
}

#[tokio::test]
async fn dropping_a_question_cancels_it_on_the_server() {
    for dialect in DIALECTS {
        let server = FakeModel::start(vec![Say::Silent]).await;
        let model = connect(dialect, &server.url);
        let question = tokio::spawn(async move { chat(&model, &ask("?")).await });
        server.until(|s| s.requests.len() == 1).await;
        question.abort();
        server.until(|s| s.dropped == 1).await;
    }
}

#[tokio::test]
async fn nobody_there_is_down() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    for dialect in DIALECTS {
        let model = connect(dialect, &format!("http://127.0.0.1:{port}"));
        let down = ModelError::Down("connection refused".into());
        assert_eq!(chat(&model, &ask("?")).await.0, Err(down.clone()));
        assert_eq!(model.warm().await, Err(down));
    }
}

/// In front of `server`: closes a connection as soon as a second request comes on it, as servers do that have just ended
/// an idle one.
async fn forgetful(server: &FakeModel) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let upstream = server.url.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = tokio::net::TcpStream::connect(&upstream).await.unwrap();
            tokio::spawn(async move {
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
                let mut answered = false;
                loop {
                    tokio::select! {
                        read = from_client.read(&mut up) => match read {
                            Ok(n) if n > 0 && !answered => to_server.write_all(&up[..n]).await.unwrap(),
                            _ => return,
                        },
                        read = from_server.read(&mut down) => match read {
                            Ok(n) if n > 0 => {
                                answered = true;
                                if to_client.write_all(&down[..n]).await.is_err() {
                                    return;
                                }
                            }
                            _ => return,
                        },
                    }
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn no_question_is_lost_with_a_connection_that_the_server_has_closed() {
    for dialect in DIALECTS {
        let server = FakeModel::with(Setup::default(), |_, _| Say::Text("hi".into())).await;
        let model = connect(dialect, &forgetful(&server).await);
        for _ in 0..3 {
            assert_eq!(chat(&model, &ask("?")).await.0.map(|r| r.text), Ok("hi".into()), "{dialect:?}");
        }
    }
}

#[tokio::test]
async fn a_load_survives_whoever_waits_for_it() {
    let setup = Setup { load_ms: 300, ..Setup::default() };
    let server = FakeModel::with(setup, |_, _| Say::Text("hi".into())).await;
    let model = connect(Dialect::Ollama, &server.url);
    let (warming, asking) = (Arc::clone(&model), Arc::clone(&model));
    let warm = tokio::spawn(async move { warming.warm().await });
    let question = tokio::spawn(async move { chat(&asking, &ask("?")).await });
    server.until(|s| s.paths.iter().any(|p| p == "POST /api/chat")).await;
    warm.abort();
    question.abort();
    let seen = server.until(|s| s.loads == 1).await;
    assert_eq!((seen.dropped, seen.requests.len()), (0, 0));
    // The next question finds it loaded.
    assert!(chat(&model, &ask("?")).await.0.is_ok());
    assert_eq!(server.seen().loads, 1);
    // An eviction is noticed before the short deadline begins.
    server.evict();
    assert!(chat(&model, &ask("?")).await.0.is_ok());
    assert_eq!(server.seen().loads, 2);
}

#[tokio::test]
async fn warming_tells_what_the_model_is() {
    let setup = Setup { model: Some("fake".into()), unhealthy: 1, ..Setup::default() };
    let server = FakeModel::with(setup, |_, _| Say::Text("hi".into())).await;
    let info = connect(Dialect::Ollama, &server.url).warm().await.unwrap();
    assert_eq!((info.version.as_str(), info.context), ("0.33.0-fake", Some(8192)));
    assert_eq!(info.capabilities, ["completion", "tools"]);
    let info = connect(Dialect::OpenAi, &server.url).warm().await.unwrap();
    assert_eq!((info.version.as_str(), info.context), ("b1-fake", Some(8192)));
    assert!(
        server.seen().paths.iter().filter(|p| *p == "GET /health").count() == 2,
        "it waited while it loaded"
    );
    let other = Settings { name: "other".into(), ..settings(Dialect::Ollama, &server.url) };
    assert_eq!(llm::connect(other).unwrap().warm().await, Err(ModelError::Missing("other".into())));
}

#[tokio::test]
async fn think_is_sent_to_models_that_think_only() {
    for (capabilities, wanted) in [(vec!["tools"], None), (vec!["tools", "thinking"], Some(false))] {
        let capabilities = capabilities.into_iter().map(str::to_owned).collect();
        let setup = Setup { capabilities, ..Setup::default() };
        let server = FakeModel::with(setup, |_, _| Say::Thinks("hm".into(), "hi".into())).await;
        let model = connect(Dialect::Ollama, &server.url);
        for _ in 0..2 {
            assert_eq!(chat(&model, &ask("?")).await.0.unwrap().thinking, "hm");
        }
        assert_eq!(server.requests()[0].get("think").and_then(Value::as_bool), wanted);
        let shows = server.seen().paths.iter().filter(|p| *p == "POST /api/show").count();
        assert_eq!(shows, 1, "show is asked once");
    }
}

#[tokio::test]
async fn a_server_that_refuses_think_or_template_arguments_is_asked_without() {
    let refusing = |request: &Value, _: usize| {
        if request.get("think").is_some() {
            error(400, r#"{"error":"\"fake\" does not support thinking"}"#)
        } else if request.get("chat_template_kwargs").is_some() {
            error(400, r#"{"error":{"message":"unknown field chat_template_kwargs"}}"#)
        } else {
            Say::Text("hi".into())
        }
    };
    for dialect in DIALECTS {
        let setup = Setup { capabilities: vec!["thinking".into()], ..Setup::default() };
        let server = FakeModel::with(setup, refusing).await;
        let model = connect(dialect, &server.url);
        for _ in 0..2 {
            assert_eq!(chat(&model, &ask("?")).await.0.unwrap().text, "hi");
        }
        assert_eq!(server.requests().len(), 3, "{dialect:?}: it learns");
    }
}

#[tokio::test]
async fn constrained_answers_come_back_as_calls_or_text() {
    for dialect in DIALECTS {
        let calls = vec![("restart_container".to_owned(), json!({"customer_id": "7"}))];
        let server = FakeModel::start(vec![Say::Calls(calls), Say::Text("It is \"fine\".".into())]).await;
        let model =
            llm::connect(Settings { constrained: Constrained::Always, ..settings(dialect, &server.url) })
                .unwrap();
        let (reply, shown) = chat(&model, &ask("?")).await;
        assert_eq!((reply.unwrap().calls, shown), (vec![restart(None)], String::new()));
        let (reply, shown) = chat(&model, &ask("?")).await;
        assert_eq!((reply.unwrap().text, shown), ("It is \"fine\".".into(), "It is \"fine\".".into()));
        for request in server.requests() {
            assert!(request.get("tools").is_none());
            let system = request["messages"][0]["content"].as_str().unwrap();
            assert!(system.contains("restart_container(customer_id: id or name)"), "{system}");
        }
        let never = Settings { constrained: Constrained::Never, ..settings(dialect, &server.url) };
        let asked = ModelRequest { mode: CallMode::Constrained, ..ask("?") };
        chat(&llm::connect(never).unwrap(), &asked).await.0.unwrap_err();
        assert!(server.requests()[2].get("tools").is_some());
    }
}

#[tokio::test]
async fn a_length_limit_is_told_and_half_a_call_is_none() {
    for dialect in DIALECTS {
        let half = r#"{"name": "restart_container", "arguments": {"customer_id": "7"}"#;
        let server = FakeModel::start(vec![Say::Length("Once".into()), Say::Length(half.into())]).await;
        let model = connect(dialect, &server.url);
        for want in ["Once", ""] {
            let (reply, shown) = chat(&model, &ask("?")).await;
            let reply = reply.unwrap();
            assert_eq!((reply.cut, reply.text.as_str(), shown.as_str()), (true, want, want));
            assert!(reply.calls.is_empty());
        }
    }
}

#[tokio::test]
async fn the_token_goes_along_and_never_shows() {
    for dialect in DIALECTS {
        let server =
            FakeModel::answering(|_, _| error(400, r#"{"error":"bad token s3cr3t at http://h/x"}"#)).await;
        let settings = Settings { token: Some(Token::new("s3cr3t\n")), ..settings(dialect, &server.url) };
        assert!(!format!("{settings:?}").contains("s3cr3t"));
        let model = llm::connect(settings).unwrap();
        let error = chat(&model, &ask("?")).await.0.unwrap_err().to_string();
        assert!(
            error.contains("bad token … at <url>") && !format!("{model:?}").contains("s3cr3t"),
            "{error}"
        );
        let seen = server.seen();
        assert_eq!(seen.tokens.len(), seen.paths.len(), "every request is authorised: {:?}", seen.paths);
        assert!(seen.tokens.iter().all(|t| t == "Bearer s3cr3t"));
    }
}

#[tokio::test]
async fn another_server_is_recognised() {
    let server = FakeModel::answering(|_, _| error(404, "404 page not found")).await;
    for (dialect, hint) in [(Dialect::Ollama, "no Ollama"), (Dialect::OpenAi, "/v1/chat/completions")] {
        let error = chat(&connect(dialect, &server.url), &ask("?")).await.0.unwrap_err();
        assert!(matches!(&error, ModelError::Refused(t) if t.contains(hint)), "{error:?}");
    }
}

#[tokio::test]
async fn a_web_page_that_answers_200_is_recognised() {
    for dialect in DIALECTS {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html".into();
        let page = Say::Raw { head, pieces: vec![b"<html>\nwelcome\n".to_vec()], whole: true };
        let server = FakeModel::start(vec![page]).await;
        let error = chat(&connect(dialect, &server.url), &ask("?")).await.0.unwrap_err();
        assert!(matches!(&error, ModelError::Refused(t) if t.contains("[model] url")), "{error:?}");
    }
}

fn core_tools() -> Vec<ToolSpec> {
    let customer = || param("customer_id", ParamKind::Customer, true, "customer id or name");
    let service = || param("service", ParamKind::Service, false, "one service; all if absent");
    let reading =
        "Find out what is wrong with a customer: containers, health, logs, metrics and alerts at once.";
    vec![
        spec("check_up", reading, vec![customer()]),
        spec("list_customers", "List all customers with their services.", vec![]),
        spec(
            "get_container_status",
            "State and health of a customer's containers.",
            vec![customer(), service()],
        ),
        spec("get_health_score", "A score from 0 to 100 with its reasons.", vec![customer()]),
        spec(
            "get_recent_logs",
            "The latest log lines of a customer's containers.",
            vec![
                customer(),
                service(),
                param("lines", ParamKind::Integer { min: 1, max: 500 }, false, "default 50"),
                param("since", ParamKind::Duration, false, "how far back, like 15m"),
                param("filter", ParamKind::Text, false, "only lines that hold this"),
            ],
        ),
        spec(
            "get_metrics",
            "CPU, memory, disk and network of a customer.",
            vec![customer(), param("window", ParamKind::Duration, false, "default 15m")],
        ),
        spec("list_active_alerts", "All alerts that fire now.", vec![]),
        spec(
            "search_output",
            "Search the rest of an output that was cut.",
            vec![
                param("id", ParamKind::Text, true, "the output's id"),
                param("pattern", ParamKind::Text, true, "text to find"),
            ],
        ),
        spec(
            "restart_container",
            "Restart a service or a whole stack; a person must confirm.",
            vec![customer(), service()],
        ),
        spec("delete_customer_data", "Delete a customer's data (always refused).", vec![customer()]),
        spec("modify_billing", "Change a customer's billing (always refused).", vec![customer()]),
        spec("read_credentials", "Read a customer's credentials (always refused).", vec![customer()]),
    ]
}

#[tokio::test]
async fn the_first_request_with_twelve_tools_is_small() {
    let messages = vec![
        Message::System { text: "x".repeat(1500) },
        Message::User { text: "what's wrong with customer 19?".into() },
    ];
    let mut request = ModelRequest { messages, tools: Arc::new(core_tools()), mode: CallMode::Native };
    for dialect in DIALECTS {
        for mode in [CallMode::Native, CallMode::Constrained] {
            let server = FakeModel::start(vec![Say::Text("hi".into())]).await;
            request.mode = mode;
            chat(&connect(dialect, &server.url), &request).await.0.unwrap();
            let size = server.seen().sizes[0];
            assert!(size <= 6 * 1024, "{dialect:?} {mode:?}: {size} bytes");
        }
    }
}

/// The recordings of a real Ollama with their status, and what a client must make of each.
fn recordings() -> Vec<(&'static str, String, Vec<u8>)> {
    let read = |name: &'static str| {
        let path = format!("{}/tests/it/golden/{name}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap().replace("\r\n", "\n");
        let (head, body) = text.split_once("\n\n").unwrap_or(("HTTP/1.1 200 OK", &text));
        let head = if name.ends_with(".ndjson") { "HTTP/1.1 200 OK" } else { head };
        let body = if name.ends_with(".ndjson") { &text } else { body };
        (name, head.lines().next().unwrap().to_owned(), body.as_bytes().to_vec())
    };
    [
        "chat_stream_tool.response.http",
        "chat_nostream_tool.response.http",
        "chat_tool_result.response.http",
        "chat_stream_text.response.http",
        "chat_format_schema.response.http",
        "chat_length_limit.response.http",
        "chat_swallowed.response.http",
        "chat_truncate_false.response.http",
        "chat_midstream_error.body.ndjson",
        "err_404.response.http",
        "err_bad_json.response.http",
        "err_no_tools.response.http",
        "err_pull.response.http",
    ]
    .map(read)
    .into()
}

#[tokio::test]
async fn recordings_read_the_same_over_a_socket_however_they_are_cut() {
    for (name, head, body) in recordings() {
        let step = (body.len() / 40).max(1);
        let mut ways: Vec<Vec<Vec<u8>>> = vec![vec![body.clone()]];
        ways.push(body.chunks(1).map(<[u8]>::to_vec).collect());
        ways.extend((1..body.len()).step_by(step).map(|at| vec![body[..at].to_vec(), body[at..].to_vec()]));
        let count = ways.len();
        let head = head.clone();
        let server = FakeModel::answering(move |_, n| Say::Raw {
            head: head.clone(),
            pieces: ways[n].clone(),
            whole: true,
        })
        .await;
        let model = connect(Dialect::Ollama, &server.url);
        let want = chat(&model, &ask("?")).await;
        match name {
            "chat_stream_text.response.http" => assert_eq!(want.0.as_ref().unwrap().text, "# Hello, World!"),
            "chat_swallowed.response.http" => assert_eq!(want.0, Err(ModelError::Swallowed)),
            "err_404.response.http" => assert_eq!(want.0, Err(ModelError::Missing("fake".into()))),
            "err_no_tools.response.http" => assert_eq!(want.0, Err(ModelError::NoTools("fake".into()))),
            "chat_truncate_false.response.http" => assert!(matches!(want.0, Err(ModelError::TooLong(_)))),
            "err_bad_json.response.http" => assert!(matches!(want.0, Err(ModelError::Refused(_)))),
            "chat_midstream_error.body.ndjson" | "err_pull.response.http" => {
                assert!(matches!(want.0, Err(ModelError::Broken(_))));
            }
            "chat_length_limit.response.http" => assert!(want.0.as_ref().unwrap().cut),
            _ => assert_eq!(want.0.as_ref().unwrap().calls.len(), 1, "{name}"),
        }
        for n in 1..count {
            assert_eq!(chat(&model, &ask("?")).await, want, "{name}, way {n}");
        }
    }
}

#[tokio::test]
async fn a_stream_cut_anywhere_is_never_taken_as_whole() {
    for name in ["chat_stream_tool.response.http", "chat_stream_text.response.http"] {
        let (_, _, body) = recordings().into_iter().find(|(n, ..)| *n == name).unwrap();
        let whole = body.iter().rposition(|b| *b != b'\n').unwrap() + 1;
        let cuts: Vec<_> = (0..whole).step_by(11).chain([whole - 1]).collect();
        let count = cuts.len();
        let server = FakeModel::answering(move |_, n| raw(vec![body[..cuts[n]].to_vec()], false)).await;
        let model = connect(Dialect::Ollama, &server.url);
        for n in 0..count {
            let error = chat(&model, &ask("?")).await.0.unwrap_err();
            assert!(
                matches!(error, ModelError::Broken(_) | ModelError::Down(_)),
                "{name}, cut {n}: {error:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_real_server_answers_and_calls() {
    let Ok(url) = std::env::var("OPSBOT_TEST_MODEL_URL") else {
        // Not required even in CI: the small model is a personal upload, which may vanish.
        writeln!(std::io::stderr(), "skipped: OPSBOT_TEST_MODEL_URL is not set").unwrap();
        return;
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let shim_url = format!("http://{}", listener.local_addr().unwrap());
    let upstream = url.clone();
    let shim = tokio::spawn(async move { shim::serve(listener, &upstream, "fake").await });
    for (dialect, url) in [(Dialect::OpenAi, url), (Dialect::Ollama, shim_url)] {
        real_model(dialect, &url).await;
    }
    shim.abort();
}

async fn real_model(dialect: Dialect, url: &str) {
    let slow = Duration::from_secs(120);
    let model =
        llm::connect(Settings { first_token: slow, idle: slow, max_tokens: 64, ..settings(dialect, url) })
            .unwrap();
    assert_eq!(model.warm().await.unwrap().context, Some(8192));
    for mode in [CallMode::Native, CallMode::Constrained] {
        let mut request = ModelRequest { mode, ..ask("restart customer 7") };
        let (reply, shown) = chat(&model, &request).await;
        let reply = reply.unwrap();
        assert_eq!(reply.calls.len(), 1, "{dialect:?} {mode:?}: {reply:?}");
        assert_eq!(reply.calls[0].name, "restart_container");
        let args = tools()[0].read_args(&reply.calls[0].args).unwrap();
        assert_eq!(args.text("customer_id").as_deref(), Some("7"));
        assert_eq!(shown, reply.text, "no call is shown");
        assert!(reply.tokens_in > 50 && reply.tokens_out > 5, "{reply:?}");
        let (id, name) = (reply.calls[0].id.clone(), reply.calls[0].name.clone());
        request.messages.push(Message::Assistant {
            text: reply.text,
            thinking: String::new(),
            calls: reply.calls,
        });
        request.messages.push(Message::Tool { id, name, text: "ok: 3 containers restarted".into() });
        chat(&model, &request).await.0.expect("the result is taken");
    }
    let long = chat(&model, &ask(&"word ".repeat(12_000))).await.0;
    assert!(matches!(&long, Err(ModelError::TooLong(t)) if t.contains("8192")), "{dialect:?}: {long:?}");
}
