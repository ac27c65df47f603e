//! Who comes next: lanes, turns, live edits, waits.

use super::*;
use crate::channels::telegram::{
    courier::{
        Waits,
        testing::{SHAPES, post, text},
    },
    fault::Fault,
    governor::Limits,
};

const S: Duration = Duration::from_secs(1);

/// A desk without limits but those of lanes and turns.
fn desk() -> Desk {
    let limits =
        Limits { chat_burst: 10_000, group_per_minute: 10_000, overall_per_s: 100_000, ..Limits::default() };
    Desk::new(&Settings { limits, per_chat: 5, ..Settings::new(SHAPES) })
}

fn send(chat: i64, lane: Lane, said: &str) -> Job {
    Job::new(Place::chat(chat), lane, Act::Send { reply_to: None }, Some(post(said)))
}

fn live(chat: i64, message: i32, said: &str) -> Job {
    Job::new(Place::chat(chat), Lane::Live, Act::Live { message }, Some(post(said)))
}

fn edit(chat: i64, message: i32) -> Job {
    Job::new(Place::chat(chat), Lane::Reply, Act::Edit { message, media: false }, Some(post("final")))
}

fn said(job: &Job) -> String {
    job.post.as_deref().map(text).unwrap_or_default()
}

/// What flies next, if anything.
fn fly(desk: &mut Desk, now: Duration) -> Option<Job> {
    match desk.next(now) {
        Step::Fly(job) => Some(job),
        Step::Probe | Step::Quick(_) | Step::Wait(_) => None,
    }
}

/// Lets everything fly and land, one at a time; gives `chat:text` in order.
fn drain(desk: &mut Desk) -> Vec<String> {
    let mut order = vec![];
    while let Some(job) = fly(desk, S) {
        order.push(format!("{}:{}", job.place.chat, said(&job)));
        desk.landed(job.place, None, S);
    }
    order
}

#[test]
fn critical_overtakes_everywhere_chats_take_turns_and_order_is_kept() {
    let mut desk = desk();
    for (chat, lane, said) in [
        (1, Lane::Reply, "a"),
        (1, Lane::Reply, "b"),
        (2, Lane::Reply, "c"),
        (2, Lane::Critical, "d"),
        (1, Lane::Reply, "e"),
        (3, Lane::Critical, "f"),
        (2, Lane::Critical, "g"),
    ] {
        desk.push(send(chat, lane, said)).unwrap();
    }
    desk.push_live(live(1, 9, "l"));
    assert_eq!(drain(&mut desk), ["2:d", "3:f", "2:g", "1:a", "2:c", "1:b", "1:e", "1:l"]);
    assert_eq!((desk.queued(), desk.chats.len(), desk.ring.len()), (0, 0, 0), "idle chats are forgotten");
}

#[test]
fn a_flood_of_critical_posts_starves_nobody() {
    let mut desk = desk();
    desk.push(send(1, Lane::Reply, "poor")).unwrap();
    for chat in 2..50 {
        desk.push(send(chat, Lane::Critical, "!")).unwrap();
    }
    let order = drain(&mut desk);
    assert!(order.iter().position(|o| o == "1:poor").unwrap() <= 5, "{order:?}");
}

#[test]
fn a_chat_has_one_call_under_way_and_so_many_chats_fly() {
    let mut desk = Desk::new(&Settings { parallel: 3, ..Settings::new(SHAPES) });
    for chat in [1, 1, 2, 3, 4] {
        desk.push(send(chat, Lane::Reply, "x")).unwrap();
    }
    let flying: Vec<_> = std::iter::from_fn(|| fly(&mut desk, S)).map(|job| job.place.chat).collect();
    assert_eq!(flying, [1, 2, 3]);
    desk.landed(Place::chat(1), None, S);
    assert_eq!(fly(&mut desk, S).unwrap().place.chat, 4, "1 had its turn");
    desk.reset(S);
    assert_eq!(fly(&mut desk, S).unwrap().place.chat, 1);
}

#[test]
fn only_the_newest_live_edit_waits_and_none_after_the_final_one() {
    let mut desk = desk();
    assert!(!desk.push_live(live(1, 7, "old")));
    assert!(!desk.push_live(live(1, 8, "other")));
    assert!(desk.push_live(live(1, 7, "new")));
    let flying = fly(&mut desk, S).unwrap();
    assert_eq!(said(&flying), "new");
    assert!(!desk.push_live(live(1, 7, "newer")));
    desk.landed(flying.place, Some(flying), S);
    assert_eq!(desk.queued(), 2, "the one that must be repeated gave way to the newer one");
    assert_eq!(desk.push(edit(1, 7)), Some(1));
    assert!(desk.push_live(live(1, 7, "late")), "the final text waits already");
    let flying = fly(&mut desk, S).unwrap();
    assert_eq!(said(&flying), "final");
    assert!(desk.push_live(live(1, 7, "late")), "the final text is under way");
    desk.landed(flying.place, None, S);
    assert_eq!(drain(&mut desk), ["1:other"]);
}

#[test]
fn live_edits_are_the_first_to_be_dropped_and_never_fill_a_queue() {
    let mut desk = desk();
    for n in 0..5 {
        desk.push(send(1, Lane::Reply, &n.to_string())).unwrap();
    }
    assert!(desk.push_live(live(1, 7, "x")), "the chat's queue is full");
    assert!(!desk.push_live(live(2, 7, "x")));
}

#[test]
fn what_must_wait_says_for_how_long() {
    let waits = Waits::default();
    let mut desk = Desk::new(&Settings::new(SHAPES));
    assert!(matches!(desk.next(S), Step::Wait(None)));
    for _ in 0..4 {
        desk.push(send(1, Lane::Reply, "x")).unwrap();
    }
    for _ in 0..3 {
        let job = fly(&mut desk, S).unwrap();
        desk.landed(job.place, None, S);
    }
    assert!(matches!(desk.next(S), Step::Wait(Some(wait)) if wait == S), "the bucket is empty");
    let mut job = fly(&mut desk, S * 2).unwrap();
    job.not_before = S * 9;
    desk.landed(job.place, Some(job), S * 2);
    assert!(matches!(desk.next(S * 3), Step::Wait(Some(wait)) if wait == S * 6), "it backs off");

    // A doubt waits for a probe, and what others send does not, until the probe fails.
    let mut job = fly(&mut desk, S * 9).unwrap();
    job.well_after = Some(S * 9);
    desk.probe.want(S * 9, &waits);
    desk.landed(job.place, Some(job), S * 9);
    desk.push(send(2, Lane::Reply, "free")).unwrap();
    assert_eq!(said(&fly(&mut desk, S * 9).unwrap()), "free");
    assert!(matches!(desk.next(S * 9), Step::Wait(Some(wait)) if wait == waits.backoff_min));
    assert!(matches!(desk.next(S * 10), Step::Probe));
    assert!(matches!(desk.next(S * 10), Step::Wait(None)), "it is under way");
    desk.probe.end(&Err(Fault::Server(502)), S * 10, &waits);
    desk.push(send(3, Lane::Reply, "held")).unwrap();
    assert!(matches!(desk.next(S * 10), Step::Wait(Some(_))), "everything waits");
    assert!(!desk.health(S * 10).reachable);
    assert!(matches!(desk.next(S * 11), Step::Probe));
    desk.probe.end(&Ok(()), S * 11, &waits);
    assert_eq!(said(&fly(&mut desk, S * 11).unwrap()), "x");
    assert_eq!(said(&fly(&mut desk, S * 11).unwrap()), "held");
}

#[test]
fn a_stopped_desk_gives_everything_out_and_takes_nothing_more() {
    let mut desk = desk();
    desk.push(send(1, Lane::Reply, "a")).unwrap();
    desk.push(send(2, Lane::Critical, "b")).unwrap();
    desk.push_live(live(1, 7, "c"));
    desk.push_quick(Quick::Action(Place::chat(1))).unwrap();
    let room = desk.room(1).unwrap();
    let (jobs, quick) = desk.stop();
    assert_eq!((jobs.len(), quick.len()), (3, 1));
    assert!(room.is_closed() && desk.is_stopped() && desk.room(1).is_none());
    assert!(desk.push(send(1, Lane::Reply, "d")).is_none() && desk.push_live(live(1, 7, "e")));
    assert!(desk.push_quick(Quick::Action(Place::chat(1))).is_err());
    assert!(matches!(desk.next(S), Step::Wait(None)));
}
