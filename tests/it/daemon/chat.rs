//! `opsbot chat` on a real terminal and in a pipe: who decides, and how an answer is stopped.

use std::{io::Write, process::Stdio, sync::Arc};

use opsbot::control::Op;
use serde_json::json;

use super::house::{House, all, say, text};
use crate::{
    console::Screen,
    docker::boxes::{Boxes, Make, with_boxes},
    fake::model::{FakeModel, Say, Seen},
};

const NO_ENGINE: &str = "unix:///nonexistent/docker.sock";
const PROMPT: &str = "› ";
const IDLE: &str = "echo started; exec sleep 600";

/// A conversation on a terminal, up to its first prompt; the keys' side blocks and so runs apart.
async fn on_terminal(house: &House, args: &[&str], keys: impl FnOnce(&mut Screen) + Send + 'static) {
    let mut command = house.command(args);
    command.env("LANG", "C.UTF-8");
    tokio::task::spawn_blocking(move || {
        let mut screen = Screen::on(&command);
        screen.wait("Ask in plain words");
        screen.wait(PROMPT);
        keys(&mut screen);
        screen.press("\u{4}");
        assert!(screen.child.wait().unwrap().code().is_some());
    })
    .await
    .unwrap();
}

async fn a_typed_yes(boxes: &Arc<Boxes>, house: &House) {
    let web = boxes.make(Make { service: "web", script: IDLE, ..Make::default() }).await;
    let before = boxes.hosts().inspect(&web).await.unwrap().started_at;
    let restart = format!("/restart_container {} web\r", boxes.customer);
    on_terminal(house, &["chat"], move |screen| {
        // Before there is a card `yes` is just a word; after another line came between it decides nothing, and says so.
        screen.say("yes", "waits for a yes or no");
        screen.press(&restart);
        screen.wait("Approval needed");
        screen.wait(PROMPT);
        screen.say("/whoami", "anna, admin");
        screen.say("yes", "nothing was decided");
        screen.press(&restart);
        screen.wait("Approval needed");
        screen.wait(PROMPT);
        screen.press("yes\r");
        screen.wait("Done");
        screen.wait(PROMPT);
    })
    .await;
    assert!(boxes.hosts().inspect(&web).await.unwrap().started_at > before);
    let tail = house.run(&["audit", "tail"]).await.exits(0);
    assert_eq!(tail.out.matches("approve: taken").count(), 1, "{}", tail.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typed_yes_on_a_terminal_decides_the_card_that_stands_there() {
    with_boxes(|boxes| async move {
        let house = House::new(&boxes.url, "");
        a_typed_yes(&boxes, &house).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn and_over_the_daemons_socket() {
    with_boxes(|boxes| async move {
        let house = House::new(&boxes.url, "");
        let daemon = house.start().await;
        a_typed_yes(&boxes, &house).await;
        daemon.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_piped_yes_decides_nothing() {
    with_boxes(|boxes| async move {
        let web = boxes.make(Make { service: "web", script: IDLE, ..Make::default() }).await;
        let before = boxes.hosts().inspect(&web).await.unwrap().started_at;
        let house = House::new(&boxes.url, "");
        let mut command = house.command(&["chat"]);
        let id = house.card(&format!("/restart_container {} web", boxes.customer)).await.id;
        let lines = format!("/restart_container {} web\nyes\n/approve {id}\n/pending\n", boxes.customer);
        let out = tokio::task::spawn_blocking(move || {
            let mut chat = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            chat.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
            String::from_utf8(chat.wait_with_output().unwrap().stdout).unwrap()
        })
        .await
        .unwrap();
        assert!(
            out.matches("Approval needed").count() == 3
                && out.contains("never approve")
                && !out.contains('\u{1b}'),
            "{out}"
        );
        assert_eq!(boxes.hosts().inspect(&web).await.unwrap().started_at, before);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_stops_a_slow_answer_and_its_request() {
    let slow = Say::Slow { text: "I will now tell you all that I know. ".repeat(500), chunk_ms: 20 };
    let model = Arc::new(FakeModel::answering(move |_, _| slow.clone()).await);
    let house = House::new(NO_ENGINE, &format!("[model]\nurl = \"{}\"\nname = \"fake\"\n", model.url));
    let daemon = house.start().await;
    let (watched, runtime) = (Arc::clone(&model), tokio::runtime::Handle::current());
    on_terminal(&house, &["chat"], move |screen| {
        screen.press("tell me something\r");
        screen.wait("I will now");
        screen.press("\u{3}");
        screen.wait("Stopped");
        screen.wait(PROMPT);
        // The model's server sees its client leave, so that it stops computing.
        runtime.block_on(watched.until(|seen: &Seen| seen.dropped == 1));
        screen.say("/whoami", "anna, admin");
    })
    .await;
    let client = house.client().await;
    let (status, _) = all(&client, Op::Status).await;
    assert!(text(&status).contains(&json!(["running", "0"]).to_string()), "{status:?}");
    let (known, _) = all(&client, say("main", "/help")).await;
    assert!(!known.is_empty());
    daemon.stop().await;
}
