//! What counts as a call in text, what does not, and that cutting the stream changes nothing.

use serde_json::json;

use super::*;

const KNOWN: [&str; 3] = ["restart_container", "list_active_alerts", "get_recent_logs"];
const CALL: &str = r#"{"name": "restart_container", "arguments": {"customer_id": 7}}"#;

fn call(name: &str, args: Value) -> ModelCall {
    ModelCall { id: None, name: name.into(), args }
}

fn restart() -> ModelCall {
    call("restart_container", json!({"customer_id": 7}))
}

/// (text, prose, calls, lost)
fn table() -> Vec<(String, &'static str, Vec<ModelCall>, bool)> {
    let alerts = call("list_active_alerts", json!({}));
    let mut table = vec![
        (CALL.into(), "", vec![restart()], false),
        (format!("  \n{CALL}\n"), "", vec![restart()], false),
        (format!("```json\n{CALL}\n```"), "", vec![restart()], false),
        (format!("```\n{CALL}\n```\nDone, ä☃."), "Done, ä☃.", vec![restart()], false),
        (format!("```json\n{CALL}"), "", vec![restart()], false),
        (format!("Sure, I do.\n\n```json\n{CALL}\n```"), "Sure, I do.", vec![restart()], false),
        (format!("Sure.\n{CALL}\nThat was it."), "Sure.\nThat was it.", vec![restart()], false),
        (format!("<tool_call>\n{CALL}\n</tool_call>"), "", vec![restart()], false),
        (format!("Now: <tool_call>{CALL}</tool_call> ok"), "Now: ok", vec![restart()], false),
        (format!("<tool_call>{CALL}"), "", vec![restart()], false),
        (format!("[TOOL_CALLS] [{CALL}]"), "", vec![restart()], false),
        (r#"[TOOL_CALLS]restart_container{"customer_id": 7}"#.into(), "", vec![restart()], false),
        (
            r#"[TOOL_CALLS]restart_container[ARGS]{"customer_id": 7}[TOOL_CALLS]list_active_alerts{}"#.into(),
            "",
            vec![restart(), alerts.clone()],
            false,
        ),
        (
            r#"[TOOL_CALLS]restart_container[CALL_ID]abc[ARGS]{"customer_id": 7}"#.into(),
            "",
            vec![ModelCall { id: Some("abc".into()), ..restart() }],
            false,
        ),
        (format!("<|python_tag|>{CALL}"), "", vec![restart()], false),
        (
            format!("<|python_tag|>{CALL}; {{\"name\": \"list_active_alerts\", \"parameters\": {{}}}}"),
            "",
            vec![restart(), alerts.clone()],
            false,
        ),
        (format!("{CALL}\n{{\"name\": \"list_active_alerts\"}}"), "", vec![restart(), alerts.clone()], false),
        (format!("[{CALL}, {{\"name\": \"list_active_alerts\"}}]"), "", vec![restart(), alerts], false),
        (format!("```json\n{CALL}\n{CALL}\n```"), "", vec![restart(), restart()], false),
        // A bracket short, as small models write it.
        (
            r#"{"name": "restart_container", "arguments": {"customer_id": 7}"#.into(),
            "",
            vec![restart()],
            false,
        ),
        // Marked, so an invented name goes to the loop, which names the nearest.
        (
            r#"<tool_call>{"name": "reboot", "arguments": {}}</tool_call>"#.into(),
            "",
            vec![call("reboot", json!({}))],
            false,
        ),
        // Meant as a call of a tool that is not there: nothing to show, and better asked again under a schema.
        (r#"{"name": "reboot", "arguments": {}}"#.into(), "", vec![], true),
        ("```json\n{\"name\": \"reboot\", \"arguments\": {}}\n```".into(), "", vec![], true),
        // Marked and unreadable: lost.
        ("<tool_call>{name: restart}</tool_call>".into(), "", vec![], true),
        ("<tool_call>restart it</tool_call> so".into(), "so", vec![], true),
        ("[TOOL_CALLS]".into(), "", vec![], true),
    ];
    table.extend(prose().into_iter().map(|text| (text.to_owned(), text, vec![], false)));
    table
}

/// Texts that hold no call and stay as they are.
fn prose() -> Vec<&'static str> {
    vec![
        "Customer 19's web is unhealthy: `GET /` answers 500.",
        "käse ☃ 日本 👍",
        r#"{"name": "web", "image": "nginx"}"#,
        r#"{"status": "ok", "restarts": 3}"#,
        "{\n  \"status\": \"ok\"\n}\nis what it says",
        "{{ template }}",
        "[1] see the log\n[link](x)",
        "[",
        "{",
        "a < b and <b> or <tool",
        "[TOOL",
        "```bash\ndocker ps\n```\nand then\n```\n{\n```",
        "```json\n{\"status\": \"ok\"}\n```\nis the health",
        "```json\n{\"status\": oops}\n```\nis the health",
        "``` \n",
        "```",
        "say ```json inline```",
        "- a\n  - b {x}\n    [y]",
        "```json\n{\"a\": 1} and more\n```",
        "<think",
        "",
    ]
}

#[test]
fn calls_are_told_from_prose() {
    for (text, prose, calls, lost) in table() {
        let found = read(&text, &KNOWN);
        assert_eq!(found.calls, calls, "{text}");
        assert_eq!(found.text, prose.trim(), "{text}");
        assert_eq!(found.lost, lost, "{text}");
    }
}

#[test]
fn every_split_gives_the_same_and_what_is_shown_is_the_prose() {
    for (text, ..) in table() {
        let want = read(&text, &KNOWN);
        let cuts: Vec<_> = (0..=text.len()).filter(|at| text.is_char_boundary(*at)).collect();
        let singles: Vec<String> = text.chars().map(String::from).collect();
        let pairs = cuts.iter().map(|at| {
            let (a, b) = text.split_at(*at);
            vec![a.to_owned(), b.to_owned()]
        });
        for pieces in pairs.chain([singles]) {
            let mut reader = Reader::new(KNOWN.iter().map(|n| (*n).to_owned()).collect());
            let mut shown = String::new();
            for piece in &pieces {
                shown += &reader.push(piece);
            }
            let (rest, found) = reader.finish(false);
            shown += &rest;
            assert_eq!(found, want, "{pieces:?}");
            assert_eq!(shown, found.text, "{pieces:?}");
        }
    }
}

#[test]
fn prose_streams_at_once_and_a_call_never_shows() {
    let mut reader = Reader::new(KNOWN.iter().map(|n| (*n).to_owned()).collect());
    assert_eq!(reader.push("I look"), "I look");
    assert_eq!(reader.push(" at it. "), " at it.");
    assert_eq!(reader.push("\n``"), "");
    assert_eq!(reader.push("`json\n{\"name\": \"restart_container\""), "");
    assert_eq!(reader.push(", \"arguments\": {\"customer_id\": 7}}\n```"), "");
    assert_eq!(reader.push("Done"), " \nDone");
    let (rest, found) = reader.finish(false);
    assert_eq!((rest.as_str(), found.calls), ("", vec![restart()]));

    let mut reader = Reader::new(vec!["x".into()]);
    assert_eq!(reader.push("{\"a\": 1"), "");
    assert_eq!(reader.push("} is not a call"), "{\"a\": 1} is not a call");
    let mut reader = Reader::new(vec!["x".into()]);
    assert_eq!(reader.push("```sh\nls"), "```sh\nls");
}

#[test]
fn a_call_that_a_limit_cut_is_neither_mended_nor_shown() {
    for text in [
        r#"{"name": "restart_container", "arguments": {"customer_id": 7}"#,
        "```json\n{\"name\": \"restart_container\", \"argu",
        "<tool_call>{\"na",
    ] {
        let mut reader = Reader::new(vec!["restart_container".into()]);
        let shown = reader.push(text);
        let (rest, found) = reader.finish(true);
        assert_eq!((shown + &rest, found.calls, found.lost), (String::new(), vec![], true), "{text}");
    }
}

#[test]
fn thinking_goes_apart_and_a_plain_answer_may_look_like_a_call() {
    let found = read("<think>\nhm, 19?\n</think>\n\nIt is fine.", &KNOWN);
    assert_eq!((found.thinking.as_str(), found.text.as_str()), ("hm, 19?", "It is fine."));
    let mut reader = Reader::plain();
    assert_eq!(reader.push(CALL), CALL);
}

#[test]
fn huge_and_hostile_texts_end_soon() {
    for text in [
        "{\"a\":\n".repeat(20_000),
        "[{".repeat(50_000),
        "<tool_call>".repeat(10_000),
        "[TOOL_CALLS]x".repeat(10_000),
        format!("{{\"a\": \"{}", "x".repeat(1 << 20)),
        "```json\n{".repeat(10_000),
    ] {
        let mut reader = Reader::new(vec!["x".into()]);
        for piece in text.as_bytes().chunks(4096) {
            reader.push(std::str::from_utf8(piece).unwrap());
        }
        assert!(reader.finish(false).1.calls.is_empty());
    }
}
