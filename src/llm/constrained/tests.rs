//! The schema, the instructions and the way back from an answer.

use std::time::Duration;

use super::*;
use crate::domain::Risk;

fn tool(name: &'static str, summary: &'static str, params: Vec<Param>) -> ToolSpec {
    let timeout = Duration::from_secs(1);
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

fn tools() -> Vec<ToolSpec> {
    let param = |name, kind, required| Param { name, kind, required, help: "some help" };
    let customer = || param("customer_id", ParamKind::Customer, true);
    let service = || param("service", ParamKind::Service, false);
    let lines = param("lines", ParamKind::Integer { min: 1, max: 500 }, false);
    let logs = tool("get_recent_logs", "Show recent log lines.", vec![customer(), service(), lines]);
    let restart = tool("restart_container", "Restart it.", vec![customer(), service()]);
    vec![
        tool("list_active_alerts", "List the alerts that fire.", vec![]),
        ToolSpec { phrases: &["tail"], ..logs },
        ToolSpec { floor: Risk::Confirm, ..restart },
        tool("check_up", "What is wrong?", vec![customer()]),
    ]
}

const KNOWN: [&str; 4] = ["list_active_alerts", "get_recent_logs", "restart_container", "check_up"];

fn finish(pieces: &[&str], cut: bool) -> (String, Found) {
    let mut reader = Reader::default();
    let mut shown: String = pieces.iter().map(|p| reader.push(p)).collect();
    let (rest, found) = reader.finish(&KNOWN, cut);
    shown += &rest;
    (shown, found)
}

#[test]
fn the_schema_has_every_tool_and_a_variant_for_text() {
    let mut tools = tools();
    tools.push(tool("list_customers", "List them.", vec![]));
    let schema = schema(&tools, "the last 20 lines");
    let [calls, text] = schema["anyOf"].as_array().unwrap().as_slice() else { panic!("{schema}") };
    let text = &text["items"];
    assert_eq!((&calls["minItems"], &text["properties"]["name"]["enum"]), (&json!(1), &json!(["none"])));
    let variants = calls["items"]["anyOf"].as_array().unwrap();
    let names: Vec<_> = variants.iter().map(|v| v["properties"]["name"]["enum"].clone()).collect();
    let wanted = [
        json!(["list_active_alerts", "list_customers"]),
        json!(["get_recent_logs"]),
        json!(["restart_container"]),
        json!(["check_up"]),
    ];
    assert_eq!(names, wanted);
    assert_eq!(variants[1]["properties"]["params"]["required"], json!(["customer_id"]));
    assert!(!schema.to_string().contains("some help"), "help only costs bytes here");
    for variant in variants.iter().chain([text]) {
        let keys: Vec<_> = variant["properties"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["name", "params"]);
        assert!(keys.is_sorted());
    }
}

#[test]
fn the_instructions_show_signatures_and_examples_that_parse() {
    let text = instructions(&tools());
    let signature = "get_recent_logs(customer_id: id or name, service?, lines?: 1..500): Show recent log lines. Also: tail.";
    assert!(text.contains(signature), "{text}");
    let examples: Vec<_> = text.lines().filter_map(|l| l.split_once(" -> ")).collect();
    let said: Vec<_> = examples.iter().map(|(said, _)| *said).collect();
    assert_eq!(
        said,
        [
            "thanks",
            "show me get recent logs",
            "restart container it",
            "do not restart container queue of Initech",
            "list active alerts",
            "get recent logs mailer of Acme",
            "restart container of customer 9065",
            "check up of Globex",
            "get recent logs and check up of customer 9099",
        ]
    );
    for (_, answer) in &examples {
        let (_, found) = finish(&[answer], false);
        assert!(!found.calls.is_empty() || !found.text.is_empty(), "{answer}");
        for call in &found.calls {
            let spec = tools().into_iter().find(|t| t.name == call.name).unwrap();
            spec.read_args(&call.args).unwrap();
        }
    }
    let many: Vec<_> = ["a", "b", "c", "d", "e", "f"].map(|n| tool(n, "Do it.", vec![])).into();
    assert_eq!(instructions(&many).lines().filter(|l| l.contains(" -> ")).count(), EXAMPLES + 1);
}

#[test]
fn answers_are_read_back() {
    let logs = |args: Value| ModelCall { id: None, name: "get_recent_logs".into(), args };
    let table = [
        (
            r#"{"name": "get_recent_logs", "params": {"customer_id": "19"}}"#,
            "",
            vec![logs(json!({"customer_id": "19"}))],
        ),
        (
            r#"{"name":"none","params":{"text":"It is \"fine\" ☃ \ud83d\ude00\n."}}"#,
            "It is \"fine\" ☃ 😀\n.",
            vec![],
        ),
        (r#"[{"name": "none", "params": {"text": "In a list."}}]"#, "In a list.", vec![]),
        (r#"{"params":{"text":"turned round"},"name":"none"}"#, "turned round", vec![]),
        (
            r#"{"name":"reboot","params":{}}"#,
            "",
            vec![ModelCall { id: None, name: "reboot".into(), args: json!({}) }],
        ),
        (
            r#"[{"name":"get_recent_logs","params":{"customer_id":"7"}},{"name":"list_active_alerts","params":{}}]"#,
            "",
            vec![
                logs(json!({"customer_id": "7"})),
                ModelCall { id: None, name: "list_active_alerts".into(), args: json!({}) },
            ],
        ),
        ("The server ignored the schema.", "The server ignored the schema.", vec![]),
    ];
    for (answer, text, calls) in table {
        let singles: Vec<_> = answer.split_inclusive(|_| true).collect();
        for pieces in [vec![answer], singles] {
            let (shown, found) = finish(&pieces, false);
            assert_eq!((found.text.as_str(), &found.calls), (text, &calls), "{answer}");
            assert_eq!(shown, text, "{answer}");
        }
    }
    assert!(finish(&[r#"{"status": 1}"#], false).1.lost);
}

#[test]
fn the_text_of_none_streams_and_a_cut_answer_is_not_a_call() {
    let mut reader = Reader::default();
    assert_eq!(reader.push("{\"name\": \"none\", \"params\": {\"te"), "");
    assert_eq!(reader.push("xt\": \"It is"), "It is");
    assert_eq!(reader.push(" fine\\"), " fine");
    assert_eq!(reader.push("nnow"), "\nnow");
    let (_, found) = reader.finish(&KNOWN, true);
    assert_eq!(found.text, "It is fine\nnow");
    let (shown, found) = finish(&[r#"{"name": "get_recent_logs", "params": {"customer_id": "19"}"#], true);
    assert_eq!((shown, found), (String::new(), Found::default()));
}

#[test]
fn the_prompt_loses_its_tool_roles() {
    let given = [
        Message::System { text: "You are OpsBot.".into() },
        Message::User { text: "logs of 19".into() },
        Message::Assistant {
            text: String::new(),
            thinking: "hm".into(),
            calls: vec![ModelCall {
                id: None,
                name: "get_recent_logs".into(),
                args: json!({"customer_id": "19"}),
            }],
        },
        Message::Tool { id: None, name: "get_recent_logs".into(), text: "500".into() },
        Message::User { text: "and?".into() },
        Message::Assistant { text: "Broken.".into(), thinking: String::new(), calls: vec![] },
    ];
    let got = messages(&given, &tools());
    assert_eq!(got.len(), 5);
    assert!(
        matches!(&got[0], Message::System { text } if text.starts_with("You are OpsBot.\n\nAnswer with"))
    );
    let assistant =
        |text: &str| Message::Assistant { text: text.into(), thinking: String::new(), calls: vec![] };
    assert_eq!(got[2], assistant(r#"[{"name":"get_recent_logs","params":{"customer_id":"19"}}]"#));
    assert_eq!(got[3], Message::User { text: "Result of get_recent_logs:\n500\n\nand?".into() });
    assert_eq!(got[4], assistant(r#"[{"name":"none","params":{"text":"Broken."}}]"#));
    assert!(matches!(&messages(&given[1..2], &tools())[0], Message::System { .. }));
}
