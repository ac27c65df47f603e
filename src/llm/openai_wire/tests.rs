//! Events in, a reply out; messages in, a body out.

use std::{sync::Arc, time::Duration};

use super::*;
use crate::{domain::Risk, llm::Dialect};

fn tools() -> Vec<ToolSpec> {
    vec![ToolSpec {
        name: "restart",
        summary: "Restart it.",
        params: vec![],
        floor: Risk::Confirm,
        default: Risk::Confirm,
        phrases: &[],
        untrusted: false,
        timeout: Duration::from_secs(1),
    }]
}

fn read(lines: &[&str]) -> Result<(String, Reply), ModelError> {
    let mut events = Events::new(CallMode::Native, &tools());
    let mut shown = String::new();
    for line in lines {
        shown += &events.take(line.as_bytes()).map_err(|e| ModelError::Broken(format!("{e:?}")))?;
    }
    let (rest, reply) = events.finish()?;
    Ok((shown + &rest, reply))
}

fn call(id: Option<&str>, args: Value) -> ModelCall {
    ModelCall { id: id.map(str::to_owned), name: "restart".into(), args }
}

#[test]
fn call_fragments_are_joined_by_index() {
    let (shown, reply) = read(&[
        r#"data: {"choices":[{"delta":{"role":"assistant","content":null}}]}"#,
        r#"data: {"choices":[{"delta":{"content":"I do."}}]}"#,
        ": keep-alive",
        r#"data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"restart","arguments":""}}]}}]}"#,
        r#"data: {"choices":[{"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"restart","arguments":"{\"x\""}}]}}]}"#,
        r#"data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"customer_id\": \"7\"}"}}]}}]}"#,
        r#"data: {"choices":[{"delta":{"tool_calls":[{"index":1,"function":{"arguments":": 1}"}}]}}]}"#,
        r#"data: {"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#,
        r#"data: {"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":20}}"#,
        "data: [DONE]",
    ])
    .unwrap();
    assert_eq!(shown, "I do.");
    assert_eq!(reply.calls, [call(Some("a"), json!({"customer_id": "7"})), call(Some("b"), json!({"x": 1}))]);
    assert_eq!((reply.tokens_in, reply.tokens_out, reply.cut), (10, 20, false));
}

#[test]
fn a_call_in_the_text_is_read_and_a_cut_one_is_dropped() {
    let text = |t: &str| format!("data: {}", json!({"choices": [{"delta": {"content": t}}]}));
    let stop = r#"data: {"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
    let length = r#"data: {"choices":[{"delta":{},"finish_reason":"length"}]}"#;
    let (shown, reply) = read(&[&text("```json\n{\"name\": \"rest"), &text("art\"}\n```"), stop]).unwrap();
    assert_eq!((shown.as_str(), reply.calls), ("", vec![call(None, json!({}))]));
    let half = r#"data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"restart","arguments":"{\"x"}}]}}]}"#;
    let (_, reply) = read(&[half, length]).unwrap();
    assert_eq!((reply.calls, reply.cut), (vec![], true));
    let (_, reply) = read(&[half, stop]).unwrap();
    assert_eq!(reply.calls, [call(Some("a"), json!("{\"x"))]);
    let whole =
        r#"{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}"#;
    assert_eq!(read(&[whole]).unwrap().0, "hi");
}

#[test]
fn broken_streams_are_errors() {
    let text = r#"data: {"choices":[{"delta":{"content":"half"}}]}"#;
    assert!(matches!(read(&[text]), Err(ModelError::Broken(_))));
    for bad in ["data: {\"choices\":", "<html>", "data: 5", "data: {\"x\":1}"] {
        assert!(matches!(read(&[text, bad]), Err(ModelError::Broken(e)) if e == "Garbage"), "{bad}");
    }
    for bad in [r#"data: {"error":{"message":"oops"}}"#, r#"error: {"message":"oops","code":500}"#] {
        assert!(matches!(read(&[text, bad]), Err(ModelError::Broken(e)) if e.contains("oops")), "{bad}");
    }
}

#[test]
fn a_body_numbers_calls_and_matches_results() {
    let request = ModelRequest {
        messages: vec![
            Message::System { text: "s".into() },
            Message::Assistant {
                text: String::new(),
                thinking: String::new(),
                calls: vec![call(None, json!({"x": 1})), call(Some("given"), json!({}))],
            },
            Message::Tool { id: Some("given".into()), name: "restart".into(), text: "2".into() },
            Message::Tool { id: None, name: "restart".into(), text: "1".into() },
        ],
        tools: Arc::new(tools()),
        mode: CallMode::Native,
    };
    let settings = Settings::new(Dialect::OpenAi, "http://h", "m");
    let native = body(&settings, &request, true);
    let messages = &native["messages"];
    assert_eq!(messages[1]["tool_calls"][0]["id"], "call_1");
    assert_eq!(messages[1]["tool_calls"][0]["function"]["arguments"], "{\"x\":1}");
    assert_eq!(messages[2]["tool_call_id"], "given");
    assert_eq!(messages[3]["tool_call_id"], "call_1");
    assert_eq!(native["chat_template_kwargs"]["enable_thinking"], false);
    let spoken = body(&settings, &ModelRequest { mode: CallMode::Words, ..request.clone() }, false);
    let forced = body(&settings, &ModelRequest { mode: CallMode::Constrained, ..request }, false);
    assert!(forced.get("tools").is_none() && forced.get("chat_template_kwargs").is_none());
    assert_eq!(forced["response_format"]["json_schema"]["schema"]["anyOf"].as_array().unwrap().len(), 2);
    assert_eq!(spoken["messages"], forced["messages"], "the server's prompt cache holds");
    let left = &spoken["response_format"]["json_schema"]["schema"]["items"];
    assert_eq!(left["properties"]["name"]["enum"], json!(["none"]));
}

#[test]
fn refusals_are_told_apart() {
    let refused = |code, json, text: &str| refusal(&Refusal { code, json, text: text.into() }, "m");
    let table = [
        (503, true, "slots are busy", ModelError::Busy),
        (500, true, "tools param requires --jinja flag", ModelError::NoTools("m".into())),
        (
            400,
            true,
            "request (9 tokens) exceeds the available context size",
            ModelError::TooLong("request (9 tokens) exceeds the available context size".into()),
        ),
        (500, true, "Failed to parse input at pos 3", ModelError::Swallowed),
        (502, false, "a web page", ModelError::Down("a gateway answers 502".into())),
        (
            400,
            true,
            "context deadline exceeded",
            ModelError::Refused("400: context deadline exceeded".into()),
        ),
    ];
    for (code, json, text, want) in table {
        assert_eq!(refused(code, json, text), want);
    }
}
