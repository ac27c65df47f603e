//! Tests of reading playbooks.

use std::time::Duration;

use super::*;
use crate::domain::{Param, ParamKind, Risk};

const GOOD: &str = r#"
name = "recover-web"
description = "Restart web, then look."
on_alert = { alertname = "WebDown", service = "web" }

[params.customer_id]
type = "customer"

[[step]]
id = "restart"
tool = "restart_container"
args = { customer_id = "{customer_id}", service = "web" }

[[step]]
id = "look"
tool = "check_up"
args = { customer_id = "{customer_id}" }
"#;

fn specs() -> Vec<ToolSpec> {
    let customer = Param { name: "customer_id", kind: ParamKind::Customer, required: true, help: "" };
    let service = Param { name: "service", kind: ParamKind::Service, required: false, help: "" };
    let lines =
        Param { name: "lines", kind: ParamKind::Integer { min: 1, max: 9 }, required: false, help: "" };
    let spec = |name, params, floor| ToolSpec {
        name,
        summary: "",
        phrases: &[],
        params,
        floor,
        default: floor,
        untrusted: false,
        timeout: Duration::from_secs(1),
    };
    vec![
        spec("restart_container", vec![customer.clone(), service], Risk::Confirm),
        spec("check_up", vec![customer.clone(), lines], Risk::Safe),
        spec("delete_customer_data", vec![customer], Risk::Blocked),
    ]
}

#[test]
fn a_playbook_becomes_calls_for_the_customer_of_its_run() {
    let playbook = read("a.toml", GOOD, &specs()).unwrap();
    let calls: Vec<_> =
        playbook.calls(Some("19")).unwrap().iter().map(|(s, c)| format!("{}: {c}", s.id)).collect();
    assert_eq!(
        calls,
        ["restart: restart_container(customer_id=19, service=web)", "look: check_up(customer_id=19)"]
    );
    assert!(playbook.calls(None).unwrap_err().contains("name it"));
    let labels = |all: &[(&str, &str)]| all.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    assert!(playbook.answers(&labels(&[("alertname", "WebDown"), ("service", "web"), ("job", "x")])));
    assert!(!playbook.answers(&labels(&[("alertname", "WebDown")])));
}

#[test]
fn everything_that_is_wrong_is_told_with_its_line() {
    let table: &[(&str, &str, usize, &str)] = &[
        ("name = \"recover-web\"", "name = \"Recover Web\"", 2, "lower-case"),
        ("name = \"recover-web\"", "", 1, "`name` is missing"),
        ("description = \"Restart web, then look.\"", "description = 7", 3, "must be a text"),
        ("alertname = \"WebDown\"", "alertname = 1", 4, "label `alertname` must be a text"),
        ("type = \"customer\"", "type = \"host\"", 6, "one parameter"),
        ("tool = \"restart_container\"", "exec = [\"ls\"]", 11, "`exec` is not known here"),
        ("tool = \"restart_container\"", "tool = \"restart\"", 11, "no tool `restart`"),
        ("tool = \"restart_container\"", "tool = \"delete_customer_data\"", 11, "never runs"),
        ("}\", service = \"web\"", "}\", services = \"web\"", 12, "unknown argument `services`"),
        (
            "}\", service = \"web\"",
            "}\", service = \"{service}\"",
            12,
            "only {customer_id} may stand in braces",
        ),
        (
            "customer_id = \"{customer_id}\", service",
            "customer_id = \"7\", service",
            12,
            "customer of its run",
        ),
        ("id = \"look\"", "id = \"restart\"", 15, "another step has the id"),
        ("id = \"look\"", "", 14, "`id` is missing in this step"),
        ("[[step]]", "[[steps]]", 9, "`steps` is not known here"),
        (
            "args = { customer_id = \"{customer_id}\" }",
            "args = { customer_id = \"{customer_id}\", lines = 10 }",
            17,
            "1 to 9",
        ),
        ("name = ", "name = = ", 2, "="),
    ];
    for (old, new, line, part) in table {
        let text = GOOD.replacen(old, new, 1);
        let problems = read("a.toml", &text, &specs()).unwrap_err();
        let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert!(
            problems.iter().any(|p| p.line == *line && p.text.contains(part)),
            "{new}: no `{part}` in line {line}: {told:#?}"
        );
    }
    let many = GOOD.replace("tool = \"", "tool = \"x_");
    assert_eq!(read("a.toml", &many, &specs()).unwrap_err().len(), 2, "all at once");
}

#[test]
fn a_folder_gives_what_is_right_and_tells_what_is_not() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(Playbooks::load(&dir.path().join("none"), &specs()).unwrap(), Playbooks::default());
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("a.toml", GOOD);
    write("b.toml", GOOD);
    write("c.toml", "nonsense");
    write("d.toml", &"#".repeat(300 << 10));
    write("notes.md", "not a playbook");
    let all = Playbooks::load(dir.path(), &specs()).unwrap();
    assert_eq!(all.all().iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["recover-web"]);
    let told: Vec<_> = all.problems().iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].starts_with("b.toml:1: another file"), "{told:?}");
    assert!(told[1].starts_with("c.toml:1: ") && told[2].contains("256 KiB"), "{told:?}");
}
