//! Every recording of a real Ollama, cut at every byte.

use std::{sync::Arc, time::Duration};

use super::*;
use crate::{
    domain::{Param, ParamKind, Risk},
    llm::{Dialect, LineReader, wire::error_text},
};

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!("../../../tests/it/golden/", $name))
    };
}

fn tools() -> Vec<ToolSpec> {
    let spec = |name, params| ToolSpec {
        name,
        summary: "Do it.",
        params,
        floor: Risk::Safe,
        default: Risk::Safe,
        phrases: &[],
        untrusted: false,
        timeout: Duration::from_secs(1),
    };
    let customer = Param { name: "customer_id", kind: ParamKind::Customer, required: true, help: "" };
    vec![spec("restart_container", vec![customer]), spec("list_active_alerts", vec![])]
}

#[derive(Debug, PartialEq)]
enum End {
    Reply(String, Reply),
    Failed(ModelError),
    Line(LineError),
    /// The stream ended before `done`.
    Cut,
}

fn lines(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut reader = LineReader::default();
    let mut lines = vec![];
    for piece in pieces {
        reader.push(piece).unwrap();
        lines.extend(std::iter::from_fn(|| reader.next_line()));
    }
    lines.extend(reader.finish());
    lines
}

fn read(bytes: &[u8], tools: &[ToolSpec]) -> End {
    let mut answer = Answer::new(CallMode::Native, tools);
    let mut shown = String::new();
    for line in lines(&[bytes]).iter().filter(|l| !l.is_empty()) {
        match take(&mut answer, line) {
            Err(error) => return End::Line(error),
            Ok(taken) => {
                shown += &taken.shown;
                if let Some(reason) = taken.done {
                    return match finish(answer, &reason) {
                        Ok((rest, reply)) => End::Reply(shown + &rest, reply),
                        Err(error) => End::Failed(error),
                    };
                }
            }
        }
    }
    End::Cut
}

fn body(recording: &'static str) -> &'static str {
    recording.split_once("\r\n\r\n").or_else(|| recording.split_once("\n\n")).unwrap().1
}

fn restart(id: &str) -> Vec<ModelCall> {
    vec![ModelCall { id: Some(id.into()), name: "restart_container".into(), args: json!({"customer_id": 7}) }]
}

fn recordings() -> Vec<(&'static str, End)> {
    let reply = |text: &str, calls, cut, tokens_in, tokens_out| {
        let reply = Reply { text: text.into(), thinking: String::new(), calls, cut, tokens_in, tokens_out };
        End::Reply(text.into(), reply)
    };
    let broke = "an error was encountered while running the model: unexpected EOF";
    vec![
        (
            body(golden!("chat_stream_tool.response.http")),
            reply("", restart("call_2j5jnc2b"), false, 147, 22),
        ),
        (
            body(golden!("chat_nostream_tool.response.http")),
            reply("", restart("call_sf7je55l"), false, 147, 22),
        ),
        (
            body(golden!("chat_tool_result.response.http")),
            reply("", restart("call_xhkk79an"), false, 192, 21),
        ),
        (body(golden!("chat_stream_text.response.http")), reply("# Hello, World!", vec![], false, 10, 6)),
        (
            body(golden!("chat_length_limit.response.http")),
            reply("# The Great Adventure", vec![], true, 11, 5),
        ),
        (
            body(golden!("chat_format_schema.response.http")),
            reply(
                "",
                vec![ModelCall {
                    id: None,
                    name: "restart_container".into(),
                    args: json!({"customer_id": 7}),
                }],
                false,
                25,
                17,
            ),
        ),
        (body(golden!("chat_swallowed.response.http")), End::Failed(ModelError::Swallowed)),
        (body(golden!("chat_preload.response.http")), End::Failed(ModelError::Broken("it was empty".into()))),
        (body(golden!("chat_unload.response.http")), End::Failed(ModelError::Broken("it was empty".into()))),
        (golden!("chat_midstream_error.body.ndjson"), End::Line(LineError::Server(broke.into()))),
        (body(golden!("err_pull.response.http")), End::Line(LineError::NotJson)),
    ]
}

#[test]
fn every_recording_reads_the_same_at_every_split() {
    let tools = tools();
    for (body, want) in recordings() {
        let bytes = body.as_bytes();
        assert_eq!(read(bytes, &tools), want);
        // The same lines are the same answer.
        let whole = lines(&[bytes]);
        for at in 0..=bytes.len() {
            assert_eq!(lines(&[&bytes[..at], &bytes[at..]]), whole, "split at {at}");
        }
        assert_eq!(lines(&bytes.chunks(1).collect::<Vec<_>>()), whole);
    }
}

#[test]
fn a_recording_that_is_cut_is_never_taken_as_whole() {
    let tools = tools();
    for (body, want) in recordings() {
        let End::Reply(_, want) = want else { continue };
        let whole = body.trim_end().len();
        for at in 0..whole {
            let got = read(&body.as_bytes()[..at], &tools);
            assert!(
                matches!(got, End::Cut | End::Line(LineError::NotJson)),
                "cut at {at}: {got:?}, not {want:?}"
            );
        }
    }
}

#[test]
fn calls_come_on_any_chunk_with_and_without_ids_and_append() {
    let lines = [
        r#"{"message":{"role":"assistant","content":"I do. ","thinking":"hm"},"done":false}"#,
        r#"{"message":{"tool_calls":[{"function":{"name":"list_active_alerts","arguments":null}}]},"done":false}"#,
        r#"{"message":{"thinking":" ok","tool_calls":[{"id":"b","function":{"name":"x","arguments":"{\"a\": 1}"}}]},"done":true,"done_reason":"stop"}"#,
    ];
    let End::Reply(shown, reply) = read(lines.join("\n").as_bytes(), &tools()) else { panic!() };
    assert_eq!((shown.as_str(), reply.text.as_str(), reply.thinking.as_str()), ("I do.", "I do.", "hm ok"));
    assert_eq!(
        reply.calls,
        [
            ModelCall { id: None, name: "list_active_alerts".into(), args: json!({}) },
            ModelCall { id: Some("b".into()), name: "x".into(), args: json!({"a": 1}) },
        ]
    );
}

#[test]
fn garbage_lines_are_errors() {
    for (line, want) in [
        (&b"<html>"[..], LineError::NotJson),
        (b"5", LineError::NotJson),
        (b"{}", LineError::NotJson),
        (b"{\"message\":5,\"done\":true}", LineError::NotJson),
        (b"{\"message\":{\"content\":\"\xff\"}}", LineError::Utf8),
        (b"{\"error\":\"busy\"}", LineError::Server("busy".into())),
    ] {
        assert_eq!(take(&mut Answer::new(CallMode::Native, &[]), line).unwrap_err(), want);
    }
}

#[test]
fn refusals_are_told_apart() {
    let of = |code, body: &str| {
        let (text, json) = error_text(body.as_bytes());
        refusal(&Refusal { code, json, text }, "m")
    };
    let too_long =
        "request (7209 tokens) exceeds the available context size (4096 tokens), try increasing it";
    let table = [
        (404, body(golden!("err_404.response.http")), ModelError::Missing("m".into())),
        (400, body(golden!("err_no_tools.response.http")), ModelError::NoTools("m".into())),
        (400, body(golden!("chat_truncate_false.response.http")), ModelError::TooLong(too_long.into())),
        (400, body(golden!("err_bad_json.response.http")), ModelError::Refused("400: unexpected EOF".into())),
        (
            400,
            body(golden!("err_no_think.response.http")),
            ModelError::Refused("400: \"smol-135m\" does not support thinking".into()),
        ),
        (
            503,
            r#"{"error":"server busy, please try again.  maximum pending requests exceeded"}"#,
            ModelError::Busy,
        ),
        (500, r#"{"error":"error parsing tool call: raw='{' err=unexpected end"}"#, ModelError::Swallowed),
        (
            500,
            r#"{"error":"model requires more system memory (9 GiB)"}"#,
            ModelError::Refused("500: model requires more system memory (9 GiB)".into()),
        ),
    ];
    for (code, body, want) in table {
        assert_eq!(of(code, body), want);
    }
    assert!(matches!(of(404, "404 page not found"), ModelError::Refused(hint) if hint.contains("no Ollama")));
}

#[test]
fn a_body_is_what_ollama_wants() {
    let request = ModelRequest {
        messages: vec![
            Message::System { text: "s".into() },
            Message::Assistant {
                text: String::new(),
                thinking: "t".into(),
                calls: vec![ModelCall { id: Some("c".into()), name: "x".into(), args: json!("{\"a\": 1}") }],
            },
            Message::Tool { id: Some("c".into()), name: "x".into(), text: "r".into() },
        ],
        tools: Arc::new(tools()),
        mode: CallMode::Native,
    };
    let settings = Settings::new(Dialect::Ollama, "http://h", "m");
    let json = |mode, think| {
        let request = ModelRequest { mode, ..request.clone() };
        serde_json::to_value(Body::chat(&settings, keep_alive("-1").unwrap(), think, &request)).unwrap()
    };
    let body = json(CallMode::Native, Some(ThinkType::False));
    assert_eq!(body["truncate"], false);
    assert_eq!(body["shift"], false);
    assert_eq!(body["think"], false);
    assert_eq!(body["keep_alive"], -1);
    assert_eq!(body["options"], json!({"num_ctx": 8192, "temperature": 0.0, "num_predict": 1024}));
    let call = json!({"function": {"name": "x", "arguments": {"a": 1}}, "id": "c"});
    assert_eq!(
        body["messages"][1],
        json!({"role": "assistant", "content": "", "thinking": "t", "tool_calls": [call]})
    );
    assert_eq!(
        body["messages"][2],
        json!({"role": "tool", "content": "r", "tool_name": "x", "tool_call_id": "c"})
    );
    assert_eq!(body["tools"][0]["function"]["parameters"], tools()[0].schema());
    let forced = json(CallMode::Constrained, None);
    assert!(forced.get("tools").is_none() && forced.get("think").is_none());
    assert!(
        forced["format"]
            .to_string()
            .contains(r#""properties":{"name":{"enum":["restart_container"]},"params""#)
    );
    for bad in ["", "soon", "-2", "5 m"] {
        assert!(keep_alive(bad).is_err(), "{bad}");
    }
}
