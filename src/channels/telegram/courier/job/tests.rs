//! What follows from each fault, as tables: act, faults one after the other, and what is done and shown then.

use super::*;
use crate::channels::telegram::courier::testing::{SHAPES, post, text};

const NOW: Duration = Duration::from_secs(100);

fn job(act: Act, said: &str) -> Job {
    let post = (!matches!(act, Act::Delete { .. })).then(|| post(said));
    Job::new(Place::chat(1), Lane::Reply, act, post)
}

fn unknown() -> Fault {
    Fault::Unknown("x".into())
}

fn not_sent() -> Fault {
    Fault::NotSent("x".into())
}

fn other() -> Fault {
    Fault::Other { code: 400, description: "no".into() }
}

/// A step: what is decided, in how many ms at the earliest, and the text then.
fn step(job: &mut Job, fault: &Fault) -> String {
    let before = job.not_before;
    let next = job.failed(fault, NOW, &Waits::default(), &SHAPES);
    let wait = if job.not_before == before { 0 } else { (job.not_before - NOW).as_millis() };
    job.not_before = Duration::ZERO;
    let said = job.post.as_deref().map(text).unwrap_or_default();
    match next {
        Next::Done(Ok(sent)) => format!("done {}", sent.message),
        Next::Done(Err(Undelivered::Gone(_))) => "gone".into(),
        Next::Done(Err(Undelivered::Refused(_))) => "refused".into(),
        Next::Done(Err(end)) => format!("{end:?}"),
        Next::Blocked(wait) => format!("blocked {} {said}", wait.as_secs()),
        other => format!("{other:?} {wait} {said}"),
    }
}

#[test]
fn what_follows_from_each_fault() {
    let send = Act::Send { reply_to: None };
    let edit = Act::Edit { message: 7, media: false };
    let live = Act::Live { message: 7 };
    let delete = Act::Delete { message: 7 };
    let wait = || Fault::RetryAfter(Duration::from_secs(3));
    let gone = || Fault::ChatGone { migrated_to: None };
    let blocked = || Fault::Blocked("x".into());
    #[rustfmt::skip]
    let table: Vec<(Act, &str, Vec<Fault>, &[&str])> = vec![
        (send, "a", vec![wait(), wait(), wait()], &["blocked 3 a", "blocked 3 a", "blocked 3 a"]),
        (send, "a", vec![not_sent(), not_sent(), not_sent()], &["Again 200 a", "Again 400 a", "Again 800 a"]),
        (send, "a", vec![unknown(), unknown()], &["Probe 0 ~a", "Unsure"]),
        (send, "a", vec![Fault::Server(502); 6], &["Probe 200 ~a", "Probe 600 ~a", "Probe 1800 ~a", "Probe 5400 ~a", "Probe 16200 ~a", "Unsure"]),
        (send, "a", vec![Fault::Server(502), unknown(), unknown()], &["Probe 200 ~a", "Probe 0 ~a", "Unsure"]),
        (send, "a", vec![not_sent(), unknown(), wait(), not_sent(), unknown()], &["Again 200 a", "Probe 0 ~a", "blocked 3 ~a", "Again 400 ~a", "Unsure"]),
        (send, "a*", vec![Fault::BadEntities, Fault::BadEntities], &["Again 0 a-", "refused"]),
        (send, "a", vec![Fault::BadEntities], &["refused"]),
        (send, "abcd*", vec![Fault::TooLong, Fault::TooLong], &["Again 0 abc", "refused"]),
        (send, "abcd*", vec![other(), other(), other()], &["Again 0 abcd-", "Again 0 abc", "refused"]),
        (send, "a", vec![other()], &["refused"]),
        (send, "a*", vec![unknown(), Fault::BadEntities], &["Probe 0 ~a*", "Again 0 ~a-"]),
        (Act::Send { reply_to: Some(5) }, "a", vec![Fault::MessageGone, Fault::MessageGone], &["Again 0 a", "refused"]),
        (send, "a", vec![blocked()], &["gone"]),
        (send, "a", vec![gone()], &["gone"]),
        (send, "a", vec![Fault::Token, Fault::Token], &["Token 0 a", "Token 0 a"]),
        (send, "a", vec![Fault::Conflict("x".into())], &["Again 200 a"]),
        (edit, "a", vec![wait()], &["blocked 3 a"]),
        (edit, "a", vec![unknown(), Fault::Server(500), not_sent(), unknown()], &["Again 200 a", "Again 400 a", "Again 800 a", "Again 1600 a"]),
        (edit, "a", vec![Fault::NotModified], &["done 7"]),
        (edit, "a", vec![Fault::MessageGone], &["MessageGone"]),
        (edit, "a*", vec![Fault::BadEntities], &["Again 0 a-"]),
        (edit, "a", vec![blocked()], &["gone"]),
        (edit, "a", vec![Fault::Token], &["Token 0 a"]),
        (live, "a", vec![wait()], &["blocked 3 a"]),
        (live, "a", vec![Fault::NotModified], &["done 0"]),
        (live, "a", vec![unknown()], &["refused"]),
        (live, "a*", vec![Fault::BadEntities], &["refused"]),
        (live, "a", vec![Fault::MessageGone], &["refused"]),
        (delete, "", vec![Fault::MessageGone], &["done 7"]),
        (delete, "", vec![unknown(), wait()], &["Again 200 ", "blocked 3 "]),
        (delete, "", vec![other()], &["refused"]),
    ];
    for (act, said, faults, want) in table {
        let mut job = job(act, said);
        let got: Vec<_> = faults.iter().map(|fault| step(&mut job, fault)).collect();
        assert_eq!(got, want, "{act:?} {faults:?}");
    }
}

#[test]
fn backing_off_ends_at_its_longest_pause() {
    let mut job = job(Act::Edit { message: 1, media: false }, "a");
    let last = (0..60).map(|_| step(&mut job, &not_sent())).last();
    assert_eq!(last.as_deref(), Some("Again 30000 a"));
}

#[test]
fn what_may_be_a_repetition_is_marked_once_and_never_sent_a_third_time() {
    let send = || job(Act::Send { reply_to: None }, "a");
    let mut repeat = send().attempt(Attempt::MaybeRepeat, &SHAPES);
    assert_eq!(repeat.post.as_deref().map(text).as_deref(), Some("~a"));
    assert_eq!(repeat.stopped(), Undelivered::Stopped { attempted: true });
    assert_eq!(repeat.landed(9), Next::Done(Ok(Sent { message: 9, repeat: true })));
    let mut repeat = send().attempt(Attempt::MaybeRepeat, &SHAPES);
    assert_eq!(step(&mut repeat, &Fault::Server(502)), "Probe 200 ~a");
    assert_eq!(step(&mut repeat, &unknown()), "Unsure");
    let mut first = send().attempt(Attempt::First, &SHAPES);
    assert_eq!(first.landed(9), Next::Done(Ok(Sent { message: 9, repeat: false })));
}

#[test]
fn a_shortened_post_ends_with_its_last_part_and_is_known_by_its_first() {
    let mut job = job(Act::Edit { message: 4, media: false }, "abcdefg");
    assert_eq!(step(&mut job, &Fault::TooLong), "Again 0 abc");
    assert_eq!(job.landed(4), Next::Again);
    assert_eq!(job.act, Act::Send { reply_to: None });
    assert_eq!(step(&mut job, &unknown()), "Probe 0 ~def", "each part has doubts of its own");
    assert_eq!(job.landed(5), Next::Again);
    assert_eq!(job.post.as_deref().map(text).as_deref(), Some("g"));
    assert_eq!(job.stopped(), Undelivered::Stopped { attempted: true });
    assert_eq!(job.landed(6), Next::Done(Ok(Sent { message: 4, repeat: false })));
}

#[test]
fn when_only_the_end_fails_the_beginning_counts_and_a_stop_tells_what_may_have_happened() {
    let awaited = |job: Job| {
        let (done, outcome) = oneshot::channel();
        let room = std::sync::Arc::new(tokio::sync::Semaphore::new(1));
        (job.awaited(done, room.try_acquire_owned().unwrap()), outcome)
    };
    let (mut begun, mut outcome) = awaited(job(Act::Send { reply_to: None }, "abcdef"));
    step(&mut begun, &Fault::TooLong);
    begun.landed(3);
    begun.finish(Err(Undelivered::Unsure));
    assert_eq!(outcome.try_recv().unwrap(), Ok(Sent { message: 3, repeat: false }));

    let stops = || Err(Undelivered::Stopped { attempted: false });
    for (faults, attempted) in [
        (vec![], false),
        (vec![not_sent(), Fault::RetryAfter(NOW)], false),
        (vec![unknown()], true),
        (vec![Fault::Server(502), not_sent()], true),
    ] {
        let (mut stopped, mut outcome) = awaited(job(Act::Send { reply_to: None }, "a"));
        for fault in &faults {
            step(&mut stopped, fault);
        }
        stopped.finish(stops());
        assert_eq!(outcome.try_recv().unwrap(), Err(Undelivered::Stopped { attempted }), "{faults:?}");
    }
    let (stopped, mut outcome) = awaited(job(Act::Delete { message: 1 }, ""));
    assert!(!stopped.is_abandoned());
    stopped.finish(stops());
    assert_eq!(outcome.try_recv().unwrap(), stops());

    let (mut unwanted, outcome) = awaited(job(Act::Send { reply_to: None }, "a"));
    drop(outcome);
    assert!(unwanted.is_abandoned());
    unwanted.begin();
    assert!(!unwanted.is_abandoned(), "what was tried once is brought to its end");
}
