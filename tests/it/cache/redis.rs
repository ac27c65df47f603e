//! A real Redis: whole databases, patterns, prefixes, a stop between two batches.

use std::sync::Arc;

use opsbot::domain::{Block, Outcome, ToolError};
use serde_json::json;

use super::rig::{Rig, have, redis, redis_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_deletes_its_keys_and_no_others() {
    if !have("redis-server") {
        return;
    }
    let server = redis(None, &[]);
    server.fill(0, "session", 2_500);
    server.fill(0, "page", 10);
    server.cli(0, None, &["SET", "sessionx", "1"]);
    let rig = Rig::new(vec![redis_of("7", &server.address(), |_| ())]);
    let args = json!({"customer_id": "müller", "kind": "Redis", "pattern": "session:*"});
    let call = rig.resolve(args.clone()).await.unwrap();
    assert_eq!(call.call.to_string(), "clear_cache(customer_id=7, kind=redis, pattern=session:*)");
    assert_eq!(call.target.labels["tier"], "gold");
    let step =
        format!("delete the keys matching session:* in redis {} db 0 (now: 2,500 keys)", server.address());
    assert_eq!(call.plan[0].to_string(), step);

    // A site that lives changes its keys between the card and the yes: that is no reason to ask again.
    server.cli(0, None, &["SET", "session:late", "1"]);
    let fresh = rig.resolve(args).await.unwrap();
    assert_eq!(fresh.plan[0].now.as_deref(), Some("2,501 keys"));
    let out = rig.run(call, fresh).await.unwrap();
    assert_eq!(out.outcome, Outcome::Ok);
    assert!(out.summary.contains("(2,501 keys before, 0 keys now)"), "{}", out.summary);
    assert!(matches!(&out.blocks[0], Block::Table { rows, .. } if rows[0][1..] == ["2,501 keys", "0 keys"]));
    assert_eq!(server.size(0), 11, "page:* and sessionx stay");
    let progress = rig.progress.lock().unwrap().clone();
    assert!(
        progress.len() >= 3 && progress.last().unwrap() == "2,501 keys of 2,501 keys deleted",
        "{progress:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_clear_takes_the_database_or_the_prefix_and_never_a_neighbour() {
    if !have("redis-server") {
        return;
    }
    let server = redis(None, &[]);
    for (db, name, count) in [(0, "a", 5), (2, "b", 7), (3, "c7:x", 1_200), (3, "c8:x", 3), (3, "xc7:", 2)] {
        server.fill(db, name, count);
    }
    let address = server.address();
    let rig = Rig::new(vec![
        redis_of("7", &address, |o| o.db = 2),
        redis_of("7", &address, |o| (o.db, o.prefix) = (3, Some("c7:".into()))),
        redis_of("8", &address, |o| (o.db, o.prefix) = (3, Some("c8:".into()))),
    ]);
    let call = rig.resolve(json!({"customer_id": "7"})).await.unwrap();
    let plan: Vec<_> = call.plan.iter().map(ToString::to_string).collect();
    assert_eq!(plan[0], format!("delete every key in redis {address} db 2 (now: 7 keys)"));
    assert_eq!(plan[1], format!("delete the keys matching c7:* in redis {address} db 3 (now: 1,200 keys)"));
    let out = rig.clear(json!({"customer_id": "7", "pattern": "*"})).await.unwrap();
    assert_eq!(out.outcome, Outcome::Ok, "{}", out.text);
    assert_eq!([server.size(0), server.size(2), server.size(3)], [5, 0, 5]);
    // Nothing there: nothing to clear, and no failure.
    let out = rig.clear(json!({"customer_id": "7"})).await.unwrap();
    assert!(
        out.outcome == Outcome::Ok && out.summary.contains("(0 keys before, 0 keys now)"),
        "{}",
        out.summary
    );
    // A neighbour's keys by their full name are keys of one's own prefix, which are none.
    rig.clear(json!({"customer_id": "7", "kind": "redis", "pattern": "c8:*"})).await.unwrap();
    assert_eq!(server.size(3), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_it_between_two_batches_and_says_how_far_it_came() {
    if !have("redis-server") {
        return;
    }
    let server = redis(None, &[]);
    server.fill(0, "k", 20_000);
    let mut rig = Rig::new(vec![redis_of("7", &server.address(), |_| ())]);
    let cancel = rig.cancel.clone();
    let lines = Arc::clone(&rig.progress);
    rig.on_progress = Arc::new(move || {
        if lines.lock().unwrap().iter().any(|line| line.ends_with("deleted")) {
            cancel.cancel();
        }
    });
    let error = rig.clear(json!({"customer_id": "7", "pattern": "k:*"})).await.unwrap_err();
    let left = server.size(0);
    let ToolError::Stopped(text) = &error else { panic!("{error:?}") };
    assert!(left > 0 && left < 20_000, "{left} keys left");
    let deleted = (20_000 - left).to_string();
    assert!(text.replace(',', "").contains(&format!("{deleted} keys of 20000 keys deleted")), "{text}");
}
