//! What becomes of everything when the bot stops, and of what nobody waits for any more.

use super::*;
use crate::fake::telegram::Fault;

#[tokio::test]
async fn a_stop_finishes_what_is_under_way_and_gives_back_the_rest() {
    let mut desk = desk().await;
    desk.fake.fault("sendMessage", 1, Fault::Late(Duration::from_millis(100)));
    let under_way = desk.post(Lane::Reply, "under way");
    desk.fake.wait_for(|w| w.calls.iter().any(|c| c.method == "sendMessage"), SOON).await;
    let waiting = desk.post(Lane::Reply, "waiting");
    desk.queued(1).await;
    desk.stop.cancel();
    assert!(under_way.await.unwrap().is_ok());
    let stopped = Err(Undelivered::Stopped { attempted: false });
    assert_eq!(waiting.await.unwrap(), stopped);
    assert!((&mut desk.task).await.unwrap().is_ok());
    assert_eq!(desk.send(Lane::Reply, "later").await, stopped);
    assert!(desk.courier.answer("1", "", false).await.is_err());
    desk.courier.action(Place::chat(ANNA));
    desk.courier.edit_live(Place::chat(ANNA), 1, post("x"));
    assert_eq!(desk.shown(), ["under way"]);
}

#[tokio::test]
async fn a_stop_tells_what_may_have_been_sent_already() {
    for (fault, shown, attempted) in [
        (Fault::LandThenDrop, true, true),
        (Fault::LandThenHang, true, true),
        (Fault::Hang, false, true),
        (Fault::BadGateway, false, true),
        (Fault::TooManyRequests { retry_after: 9 }, false, false),
        (Fault::Unauthorized, false, false),
    ] {
        let mut desk = desk().await;
        // Nothing settles the doubt before the stop.
        desk.fake.fault("getMe", 999, Fault::Hang);
        desk.fake.fault("sendMessage", 1, fault.clone());
        let sending = desk.post(Lane::Reply, "x");
        desk.fake.wait_for(|w| w.calls.iter().any(|c| c.method == "sendMessage"), SOON).await;
        desk.stop.cancel();
        assert_eq!(sending.await.unwrap(), Err(Undelivered::Stopped { attempted }), "{fault:?}");
        let ended = tokio::time::timeout(waits().stop * 10, &mut desk.task).await;
        assert!(ended.is_ok(), "{fault:?}: it must not hang");
        assert_eq!(!desk.shown().is_empty(), shown, "{fault:?}");
    }
}

#[tokio::test]
async fn what_nobody_waits_for_is_not_sent_unless_it_was_tried() {
    let desk = desk().await;
    desk.fake.fault("sendMessage", 1, Fault::TooManyRequests { retry_after: 1 });
    let tried = desk.post(Lane::Reply, "tried");
    desk.queued(1).await;
    desk.fake.wait_for(|w| w.calls.iter().any(|c| c.code == 429), SOON).await;
    desk.queued(1).await;
    let waiting = desk.post(Lane::Reply, "given up");
    desk.queued(2).await;
    waiting.abort();
    tried.abort();
    assert!(desk.send(Lane::Reply, "next").await.is_ok());
    assert_eq!(desk.shown(), ["tried", "next"]);
}

#[tokio::test]
async fn a_courier_that_is_run_again_goes_on_where_it_was() {
    let desk = desk().await;
    desk.fake.fault("sendMessage", 1, Fault::Hang);
    let lost = desk.post(Lane::Reply, "lost");
    desk.fake.wait_for(|w| w.calls.iter().any(|c| c.method == "sendMessage"), SOON).await;
    let waiting = desk.post(Lane::Reply, "waiting");
    desk.queued(1).await;
    desk.task.abort();
    assert_eq!(lost.await.unwrap(), Err(Undelivered::Stopped { attempted: true }));
    let again = tokio::spawn(desk.courier.clone().run(desk.stop.clone()));
    assert!(waiting.await.unwrap().is_ok());
    assert_eq!(desk.shown(), ["waiting"]);
    again.abort();
}
