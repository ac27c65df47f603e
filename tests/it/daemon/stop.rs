//! How the daemon ends: what runs is finished and written down, and a second signal does not wait for it.

use std::time::Duration;

use nix::sys::signal::Signal;
use opsbot::{
    control::{Client, Op},
    domain::{Card, CardState, Outbound, TurnStatus},
    policy::approval::Verb,
    runtime::Stopwatch,
};
use tokio::sync::mpsc::Receiver;

use super::house::{House, all, cards, say, text};
use crate::docker::boxes::{Boxes, Make, until, with_boxes};

const LINGERS: &str = "echo started; trap 'sleep 1; exit 0' TERM; while :; do sleep 0.1; done";
/// Ends only when it is killed, ten seconds after it was asked.
const STUBBORN: &str = "echo started; trap '' TERM; while :; do sleep 0.1; done";

/// A restart that was approved and runs.
async fn executing(client: &Client, boxes: &Boxes) -> (Card, Receiver<Outbound>) {
    let (asked, _) = all(client, say("main", &format!("/restart_container {} web", boxes.customer))).await;
    let card = cards(&asked).remove(0);
    let mut answer = client.request(Op::Decide { approval: card.id.to_string(), verb: Verb::Approve }).await;
    let begun = answer.recv().await.unwrap();
    assert_eq!(cards(&[begun])[0].state, CardState::Executing);
    (card, answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_flight_is_finished_and_written_down() {
    with_boxes(|boxes| async move {
        let web = boxes.make(Make { service: "web", script: LINGERS, ..Make::default() }).await;
        let started = || async { boxes.hosts().inspect(&web).await.unwrap().started_at };
        let before = started().await;
        let house = House::new(&boxes.url, "");
        let mut daemon = house.start().await;
        let client = house.client().await;
        let (card, mut answer) = executing(&client, &boxes).await;
        daemon.signal(Signal::SIGTERM);
        daemon.logs("draining").await;
        // Very soon nothing new begins.
        until("a refusal", || async {
            let (said, _) = all(&client, say("main", "/get_metrics no-such-customer")).await;
            text(&said).contains("OpsBot is stopping")
        })
        .await;
        let mut events = vec![];
        while let Some(event) = answer.recv().await {
            events.push(event);
        }
        assert_eq!(cards(&events)[0].state, CardState::Done, "{events:?}");
        assert_eq!(events.last(), Some(&Outbound::Done { status: TurnStatus::Answered }));
        assert!(daemon.ended().await.success());
        let after = started().await;
        assert!(after > before);
        let id = card.id.to_string();
        house.run(&["approve", &id]).await.exits(4).says(&["is done"]);
        assert_eq!(started().await, after);
        house.run(&["audit", "verify"]).await.exits(0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_sooner_and_what_ran_is_unknown() {
    with_boxes(|boxes| async move {
        boxes.make(Make { service: "web", script: STUBBORN, ..Make::default() }).await;
        let house = House::new(&boxes.url, "");
        let mut daemon = house.start().await;
        let client = house.client().await;
        let (card, _answer) = executing(&client, &boxes).await;
        let watch = Stopwatch::start();
        daemon.signal(Signal::SIGTERM);
        daemon.logs("draining").await;
        daemon.signal(Signal::SIGTERM);
        let status = daemon.ended().await;
        assert!(
            status.success() && watch.elapsed() < Duration::from_secs(8),
            "{status} {:?}",
            watch.elapsed()
        );
        let daemon = house.start().await;
        let client = house.client().await;
        let (left, _) = all(&client, Op::Hello { conversation: "main".into() }).await;
        assert_eq!(
            cards(&left).iter().map(|c| (c.id, c.state)).collect::<Vec<_>>(),
            [(card.id, CardState::Unknown)]
        );
        let id = card.id.to_string();
        house.run(&["approve", &id]).await.exits(4).says(&["verify by hand"]);
        daemon.stop().await;
    })
    .await;
}
