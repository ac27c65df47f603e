//! SIGHUP and `opsbot reload` on the real program: good and bad changes, under load, during a turn, and with a kill.

use std::{fs, time::Duration};

use nix::sys::signal::Signal;
use opsbot::{
    control::Op,
    domain::{CardState, Outbound, TurnStatus},
    policy::approval::Verb,
};
use serde_json::Value;

use super::house::{House, all, say, text};
use crate::{
    docker::boxes::{Make, until, with_boxes},
    fake::model::{FakeModel, Say, Setup},
};

const NO_ENGINE: &str = "unix:///nonexistent/docker.sock";
const RULE: &str = "[[policy.rule]]\nid = \"closed\"\neffect = \"blocked\"\ntools = [\"list_customers\"]\n\
                    reason = \"closed for today\"\n";

fn config(house: &House) -> String {
    fs::read_to_string(house.config()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_change_holds_at_once_and_a_bad_one_changes_nothing() {
    let house = House::new(NO_ENGINE, "");
    house.run(&["reload"]).await.exits(1).says(&["no daemon answers"]);
    let mut daemon = house.start().await;
    let client = house.client().await;
    let first = config(&house);
    house.run(&["reload"]).await.exits(0).says(&["nothing that holds changed"]);

    house.configure(&format!("{first}\n{RULE}\n[log]\nformat = \"text\"\nfilter = \"debug\"\n"));
    daemon.signal(Signal::SIGHUP);
    daemon.logs("policy.rule closed added").await;
    daemon.logs("log.filter: info → debug").await;
    let (events, status) = all(&client, say("main", "/list_customers")).await;
    assert!(status == TurnStatus::Refused && text(&events).contains("closed for today"), "{events:?}");

    // All that is wrong is told, with its lines; what held goes on.
    let bad = format!(
        "{first}\n[model]\nnum_ctx = 1\n[[policy.rule]]\nid = \"x\"\neffect = \"loud\"\nreason = \"y\"\n"
    );
    for bad in [
        bad,
        "state_dir = \"".into(),
        format!(
            "{first}\n{}",
            RULE.replace("list_customers\"]", "list_customers\"]\nmatch = \"list_customers() as boss\"")
        ),
    ] {
        house.configure(&bad);
        house.run(&["reload"]).await.exits(1).says(&["last good one holds", "config.toml:"]);
        let (_, status) = all(&client, say("main", "/list_customers")).await;
        assert_eq!(status, TurnStatus::Refused, "the last good one holds");
    }
    daemon.signal(Signal::SIGHUP);
    house.run(&["status"]).await.exits(0).says(&["not the file's", "config.toml:"]);

    // A file that is gone is no configuration either; when it is back, it counts.
    fs::remove_file(house.config()).unwrap();
    daemon.signal(Signal::SIGHUP);
    daemon.logs("does not exist").await;
    house.configure(&first);
    house.run(&["reload"]).await.exits(0).says(&["policy.rule closed removed"]);
    let (_, status) = all(&client, say("main", "/list_customers")).await;
    assert_ne!(status, TurnStatus::Refused);
    house.run(&["audit", "tail"]).await.exits(0).says(&[
        "reloaded by anna",
        "reload by anna refused",
        "a signal",
    ]);
    house.run(&["audit", "verify"]).await.exits(0);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_taken_away_decides_no_card() {
    with_boxes(|boxes| async move {
        boxes.make(Make { service: "web", script: "sleep 6000", ..Make::default() }).await;
        let house = House::new(&boxes.url, "");
        let daemon = house.start().await;
        let customer = &boxes.customer;
        until("the container", || async {
            house.run(&["ask", &format!("/get_container_status {customer}")]).await.code == 0
        })
        .await;
        // Connected as an admin before, and on the same connection after.
        let client = house.client().await;
        let card = house.card(&format!("/restart_container {customer} web")).await;
        house.configure(&config(&house).replace("role = \"admin\"", "role = \"viewer\""));
        house.run(&["reload"]).await.exits(0).says(&["person anna: role admin → viewer"]);
        let decide = Op::Decide { approval: card.id.to_string(), verb: Verb::Approve };
        let (events, status) = all(&client, decide).await;
        assert_eq!(status, TurnStatus::Refused, "{events:?}");
        house.run(&["approve", &card.id.to_string()]).await.exits(4);
        let (events, _) = all(&client, Op::Pending).await;
        let states = super::house::cards(&events);
        assert_eq!(states.first().map(|c| c.state), Some(CardState::Pending), "{events:?}");
        house.run(&["ask", &format!("/restart_container {customer} web")]).await.exits(4);
        daemon.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_ends_with_the_model_that_it_began_with() {
    let model = |name: &str, say: Say| {
        let setup = Setup { model: Some(name.into()), ..Setup::default() };
        FakeModel::with(setup, move |_, _| say.clone())
    };
    let slow = model("one", Say::Slow { text: "Slowly said by the first one.".into(), chunk_ms: 200 }).await;
    let quick = model("two", Say::Text("Said by the second one.".into())).await;
    let section = |url: &str, name: &str| format!("[model]\nurl = \"{url}\"\nname = \"{name}\"\n");
    let house = House::new(NO_ENGINE, &section(&slow.url, "one"));
    let mut daemon = house.start().await;
    let log = daemon.logs("one is loaded on main").await;
    assert!(log.find("opsbot runs").unwrap() < log.find("one is loaded").unwrap());
    let client = house.client().await;
    let running = tokio::spawn(async move { all(&client, say("main", "hello")).await });
    slow.until(|s| s.requests.len() == 1).await;
    house.configure(&config(&house).replace(&section(&slow.url, "one"), &section(&quick.url, "two")));
    house.run(&["reload"]).await.exits(0).says(&["model.name: one → two"]);
    daemon.logs("two is loaded on main").await;
    house.run(&["ask", "hello"]).await.exits(0).says(&["Said by the second one."]);
    let (events, status) = running.await.unwrap();
    let said: String = events
        .iter()
        .filter_map(|e| if let Outbound::Delta { text } = e { Some(text.as_str()) } else { None })
        .collect();
    assert_eq!((status, said.as_str()), (TurnStatus::Answered, "Slowly said by the first one."));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_reloads_under_load_lose_no_answer() {
    let model = FakeModel::answering(|_: &Value, _| Say::Text("All is well.".into())).await;
    let house =
        House::new(NO_ENGINE, &format!("[model]\nurl = \"{}\"\nname = \"fake\"\nparallel = 4\n", model.url));
    let first = config(&house);
    let daemon = house.start().await;
    let (done, _) = tokio::sync::watch::channel(false);
    let mut clients = vec![];
    for n in 0..4 {
        let (client, done) = (house.client().await, done.subscribe());
        clients.push(tokio::spawn(async move {
            let mut answered = 0;
            while !*done.borrow() {
                let text = if n % 2 == 0 { "hello" } else { "/whoami" };
                let (events, status) = all(&client, say(&format!("c{n}"), text)).await;
                assert_eq!(status, TurnStatus::Answered, "{events:?}");
                answered += 1;
            }
            answered
        }));
    }
    let reloading = house.client().await;
    for n in 0..50 {
        house.configure(&if n % 2 == 0 { format!("{first}\n{RULE}") } else { first.clone() });
        let (events, status) = all(&reloading, Op::Reload).await;
        assert_eq!(status, TurnStatus::Answered, "{events:?}");
        let want = if n % 2 == 0 { "closed added" } else { "closed removed" };
        assert!(text(&events).contains(want), "{n}: {events:?}");
    }
    done.send_replace(true);
    for client in clients {
        assert!(client.await.unwrap() > 0);
    }
    house.run(&["audit", "verify"]).await.exits(0);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_during_a_reload_leaves_a_daemon_that_starts() {
    let house = House::new(NO_ENGINE, "");
    let first = config(&house);
    for n in 0..6_u64 {
        let daemon = house.start().await;
        house.configure(&if n % 2 == 0 { format!("{first}\n{RULE}") } else { first.clone() });
        daemon.signal(Signal::SIGHUP);
        tokio::time::sleep(Duration::from_millis(n * 3)).await;
        daemon.kill().await;
    }
    let daemon = house.start().await;
    house.run(&["ask", "/whoami"]).await.exits(0);
    house.run(&["audit", "verify"]).await.exits(0);
    daemon.stop().await;
}
