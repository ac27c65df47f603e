//! One-shot commands without a daemon: the same engine in the command's own process, one process after the other.

use std::time::Duration;

use opsbot::{
    domain::{CardState, Outbound, TurnStatus},
    runtime::Stopwatch,
};
use serde_json::json;
use sqlx::{Connection, SqliteConnection};

use super::house::{House, cards};
use crate::{
    docker::boxes::{Make, with_boxes},
    fake::model::{FakeModel, Say},
};

const NO_ENGINE: &str = "unix:///nonexistent/docker.sock";
const IDLE: &str = "echo started; exec sleep 600";

fn web() -> Make<'static> {
    Make { service: "web", script: IDLE, ..Make::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_end_has_its_exit_code() {
    with_boxes(|boxes| async move {
        boxes.make(web()).await;
        let house = House::new(&boxes.url, "");
        let customer = boxes.customer.as_str();
        let table: [(&[&str], i32, &[&str]); 17] = [
            (&["ask", "/version"], 0, &["OpsBot 0."]),
            (&["ask", "/whoami"], 0, &["anna, admin on console"]),
            (&["ask", "/get_container_status", customer], 0, &["web", "running"]),
            (&["ask", "/check_up", customer], 0, &[customer]),
            (&["ask", "how is", customer], 0, &["No model is set up. Read as /check_up"]),
            (&["ask", "restart", customer, "web"], 3, &["Approval needed", "opsbot approve "]),
            (
                &["intents", "try", "restart", customer],
                0,
                &["restart: asked for", "This would run /restart_container"],
            ),
            (&["ask", "frobnicate", "it"], 0, &["/help"]),
            (&["intents", "misses"], 0, &["frobnicate it"]),
            (&["ask", "/get_container_status", "no-such"], 1, &["no customer `no-such`"]),
            (&["ask", "/get_container_status"], 1, &["`customer_id` is missing"]),
            (&["approve", "00ff00ff"], 1, &["no card `00ff00ff`"]),
            (&["ask"], 2, &["Usage"]),
            (&["sing"], 2, &["unrecognized subcommand"]),
            (&["ask", "/restart_container", customer, "web"], 3, &["Approval needed", "opsbot approve "]),
            (&["ask", "/delete_customer_data", customer], 4, &["Refused", "never runs"]),
            (&["status"], 0, &["cards waiting  2"]),
        ];
        for (args, code, parts) in table {
            let ran = house.run(args).await.exits(code).says(parts);
            assert!(!ran.out.contains('\u{1b}') && !ran.err.contains('\u{1b}'), "{args:?}: {ran:#?}");
        }
        house.configure("[modell]\nurl = 7\n[[person]]\nname = \"a\"\n");
        for args in [["ask", "/version"], ["config", "check"]] {
            house.run(&args).await.exits(78).says(&["modell", "role"]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_one_event_a_line_and_the_last_is_done() {
    with_boxes(|boxes| async move {
        boxes.make(web()).await;
        let house = House::new(&boxes.url, "");
        let ask = |tool: &str| format!("/{tool} {}", boxes.customer);
        let table = [
            (ask("check_up"), 0, TurnStatus::Answered),
            (ask("restart_container"), 3, TurnStatus::WaitsForApproval),
            (ask("delete_customer_data"), 4, TurnStatus::Refused),
            ("/get_metrics no-such".into(), 1, TurnStatus::Failed),
        ];
        for (text, code, status) in table {
            let ran = house.run(&["ask", &text, "--json"]).await.exits(code);
            assert!(ran.err.is_empty(), "{ran:#?}");
            assert_eq!(ran.events().last(), Some(&Outbound::Done { status }), "{text}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_process_decides_a_card_exactly_once() {
    with_boxes(|boxes| async move {
        let web = boxes.make(web()).await;
        let started = || async { boxes.hosts().inspect(&web).await.unwrap().started_at };
        let house = House::new(&boxes.url, "");
        let restart = format!("/restart_container {} web", boxes.customer);
        let before = started().await;

        let denied = house.card(&restart).await.id.to_string();
        house.run(&["deny", &denied]).await.exits(0).says(&["nothing was run"]);
        house.run(&["approve", &denied]).await.exits(4).says(&["already denied by anna; nothing ran"]);
        // A second process never approves by talking: `yes` is a message.
        let card = house.card(&restart).await;
        house.run(&["ask", "yes"]).await;
        let approve = format!("/Approve@opsbot {}", card.id);
        house.run(&["ask", &approve]).await.exits(2).says(&["never approve", "opsbot approve ID"]);
        assert_eq!(started().await, before);

        let id = card.id.to_string();
        house.run(&["approve", id.get(..3).unwrap()]).await.exits(1).says(&["There is no card"]);
        let ran = house.run(&["--json", "approve", id.get(..8).unwrap()]).await.exits(0);
        let shown = cards(&ran.events());
        assert_eq!(shown.iter().map(|c| (c.id, c.state)).collect::<Vec<_>>(), [(card.id, CardState::Done)]);
        let after = started().await;
        assert!(after > before);
        house.run(&["approve", &id]).await.exits(4).says(&["already approved by anna and is done"]);
        house.run(&["pending"]).await.exits(0).says(&["No card waits"]);
        assert_eq!(started().await, after);
        let tail = house.run(&["audit", "tail"]).await.exits(0);
        let table = [(": asked", 2), ("denied", 2), ("approve: taken", 1), (": begins", 1), (": done", 1)];
        for (part, times) in table {
            assert_eq!(tail.out.matches(part).count(), times, "{part}: {}", tail.out);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_looks_asks_and_is_refused() {
    with_boxes(|boxes| async move {
        boxes.make(web()).await;
        let args = json!({"customer_id": boxes.customer, "service": "web"});
        let data = json!({"customer_id": boxes.customer});
        let model = FakeModel::answering(move |body, _| {
            let messages = body["messages"].as_array().unwrap();
            let last = messages.last().unwrap();
            let asked = messages.iter().rfind(|m| m["role"] == "user").unwrap()["content"].to_string();
            let call = |name: &str, args: &serde_json::Value| Say::Calls(vec![(name.into(), args.clone())]);
            match (last["role"].as_str(), asked.as_str()) {
                (Some("tool"), asked) if asked.contains("delete") => Say::Text("That is refused.".into()),
                (Some("tool"), _) => Say::Text("All is well with it.".into()),
                (_, asked) if asked.contains("delete") => call("delete_customer_data", &data),
                (_, asked) if asked.contains("restart") => call("restart_container", &args),
                _ => call("check_up", &data),
            }
        })
        .await;
        let url = &model.url;
        let house = House::new(&boxes.url, &format!("[model]\nurl = \"{url}\"\nname = \"fake\"\n"));
        let c = &boxes.customer;
        house.run(&["ask", &format!("how is {c}?")]).await.exits(0).says(&["All is well with it."]);
        house.run(&["ask", &format!("restart web of {c}")]).await.exits(3).says(&["opsbot approve "]);
        house.run(&["ask", &format!("delete all of {c}")]).await.exits(4).says(&["efused"]);
        drop(model);
        // Without it: said, and the words are understood by code.
        house.run(&["ask", &format!("check {c}")]).await.exits(0).says(&["Without the model", "/check_up"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_explains_itself_and_a_loosened_floor_is_refused_at_load() {
    let house = House::new(NO_ENGINE, "");
    let call = "restart_container(customer_id=19, service=web)";
    let watch = Stopwatch::start();
    let check = ["policy", "check", call, "--as", "viewer", "--channel", "telegram"];
    house.run(&check).await.exits(0).says(&["blocked", "decided by role: viewers may look"]);
    let check = ["policy", "check", call, "--as", "operator", "--tainted"];
    house.run(&check).await.exits(0).says(&["confirm", "floor", "could not be asked"]);
    house
        .run(&["policy", "check", "restart_container(customer_id=19"])
        .await
        .exits(2)
        .says(&["`)` is missing"]);
    house.run(&["policy", "check", call, "--as", "king"]).await.exits(2);
    assert!(watch.elapsed() < Duration::from_secs(20), "a dead engine makes it hang");
    let rule = "[[policy.rule]]\nid = \"quick\"\neffect = \"safe\"\ntools = [\"restart_container\"]\nreason = \"faster\"\n";
    let house = House::new(NO_ENGINE, rule);
    for args in [&["config", "check"][..], &["run"], &["ask", "/version"]] {
        house.run(args).await.exits(78).says(&["floor", "quick"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_audit_is_found() {
    let house = House::new(NO_ENGINE, "");
    for _ in 0..3 {
        house.run(&["ask", "/list_customers"]).await;
        house.run(&["freeze"]).await.exits(0);
        house.run(&["unfreeze"]).await.exits(0);
    }
    house.run(&["audit", "tail", "-n", "2"]).await.exits(0).says(&["unfreeze by anna"]);
    house.run(&["audit", "verify"]).await.exits(0).says(&["each chained as it was written", "is there"]);
    let alter = |statement: &'static str| {
        let url = format!("sqlite://{}", house.state().join("opsbot.db").display());
        async move {
            let mut db = SqliteConnection::connect(&url).await.unwrap();
            let done = sqlx::raw_sql(statement).execute(&mut db).await.unwrap();
            db.close().await.unwrap();
            done.rows_affected()
        }
    };
    alter("DROP TRIGGER audit_keeps_text; DROP TRIGGER audit_keeps_rows").await;
    let forged = "UPDATE audit SET body = replace(body, 'by anna', 'by ben') WHERE seq = 2";
    assert_eq!(alter(forged).await, 1);
    house.run(&["audit", "verify"]).await.exits(1).says(&["broken at row 2"]);
    alter("UPDATE audit SET body = replace(body, 'by ben', 'by anna') WHERE seq = 2").await;
    house.run(&["audit", "verify"]).await.exits(0);
    alter("DELETE FROM audit WHERE seq > 2").await;
    house.run(&["audit", "verify"]).await.exits(1).says(&["are gone"]);
}
