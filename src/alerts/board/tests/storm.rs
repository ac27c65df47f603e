//! Storms: many incidents on one card, from the first to the last of them, over restarts and lost messages.

use super::*;

const MANY: i64 = 10_000;

/// Ten thousand at once: one critical in ten, of fifty customers.
fn many(chat: &mut Chat) {
    for id in 1..=MANY {
        let severity = if id % 10 == 0 { Severity::Critical } else { Severity::Warning };
        let mut new = incident(id, severity, chat.now);
        new.subject.customer = Some(CustomerId::new((id / 10 % 50).to_string()));
        chat.put(new);
    }
}

/// Lets seconds pass and does what is to be done in each.
fn run(chat: &mut Chat, seconds: i64) -> Vec<Job> {
    let mut jobs = Vec::new();
    for _ in 0..seconds {
        jobs.extend(chat.drain());
        chat.pass(1);
    }
    jobs
}

fn busiest_minute(wire: &[Timestamp]) -> usize {
    let within = |from: &Timestamp| {
        wire.iter().filter(|at| **at >= *from && at.duration_since(*from).as_secs() < 60).count()
    };
    wire.iter().map(within).max().unwrap_or_default()
}

#[test]
fn ten_thousand_at_once_are_one_card_and_the_critical_first_of_each_customer() {
    let mut chat = Chat::plain();
    many(&mut chat);
    let jobs = run(&mut chat, 300);
    assert!(busiest_minute(&chat.wire) <= 20, "{}", busiest_minute(&chat.wire));
    assert_eq!(short(&jobs[0]), "send storm loud critical");
    let card = storm_of(&jobs[0]);
    assert_eq!(card.incidents, (9_950, 9_950), "all but the fifty that get cards");
    assert_eq!(card.severities, [(Severity::Critical, 950), (Severity::Warning, 9_000)]);
    assert_eq!(card.list.len(), 9_950);
    assert_eq!(card.customers.len(), 9);
    assert_eq!(card.customers.iter().map(|(_, count)| count).sum::<u64>(), 9_950);
    let sends: Vec<_> = jobs.iter().filter(|job| matches!(job, Job::Send { .. })).map(short).collect();
    assert_eq!(sends.len(), 51);
    assert!(sends.iter().all(|send| send.ends_with("loud critical")), "{sends:?}");
    let of: std::collections::BTreeSet<_> = jobs
        .iter()
        .filter(|job| matches!(job, Job::Send { incident: Some(_), .. }))
        .map(|job| card_of(job).customer.clone())
        .collect();
    assert_eq!(of.len(), 50, "one of each customer");
    // Everything has a place: a card, or the storm's.
    let lasting = chat.board.lasting().unwrap();
    assert_eq!((lasting.first, lasting.message.is_some()), (IncidentId(1), true));
    assert_eq!(chat.board.index.covered() + chat.pages.len(), usize::try_from(MANY).unwrap());
}

#[test]
fn a_storm_ends_when_all_is_over_and_says_so_once() {
    let mut chat = Chat::plain();
    many(&mut chat);
    run(&mut chat, 300);
    let before = chat.wire.len();
    for id in 1..=MANY {
        chat.change(id, |i| i.state = IncidentState::Recovering);
    }
    run(&mut chat, 60);
    assert!(chat.board.lasting().is_some(), "what recovers may fire again");
    for id in 1..=MANY {
        chat.resolve(id);
    }
    let jobs = run(&mut chat, 600);
    assert!(busiest_minute(&chat.wire) <= 20);
    assert!(chat.wire.len() > before);
    assert!(jobs.iter().all(|job| matches!(job, Job::Edit { .. })), "no sound, no further card");
    let last = jobs.iter().rfind(|job| matches!(job, Job::Edit { incident: None, .. })).unwrap();
    let card = storm_of(last);
    assert!(card.over && card.list.is_empty() && card.buttons.is_empty());
    assert_eq!(card.incidents, (9_950, 0));
    assert!(chat.storm.as_ref().unwrap().over);
    assert_eq!(chat.next(), None);
    assert_eq!(chat.wakes_at(), None);
    chat.restart();
    assert_eq!(chat.next(), None, "over a restart too");
}

#[test]
fn a_storm_grows_by_edits_at_most_every_five_seconds() {
    let mut chat = Chat::plain();
    for id in 1..=11 {
        chat.open(id, Severity::Warning);
    }
    assert_eq!(shorts(&chat.drain()), ["send storm loud"]);
    let mut edits = Vec::new();
    for id in 12..=71 {
        chat.open(id, Severity::Warning);
        let jobs = chat.drain();
        edits.extend(jobs.iter().map(|job| (chat.now, short(job), storm_of(job).incidents.0)));
        chat.pass(1);
    }
    assert!(edits.iter().all(|(_, job, _)| job == "edit storm"), "{edits:?}");
    assert!(edits.windows(2).all(|pair| pair[1].0.duration_since(pair[0].0).as_secs() >= 5), "{edits:?}");
    assert!(edits.len() >= 11, "{edits:?}");
    let jobs = chat.drain();
    assert_eq!(storm_of(&jobs[0]).incidents, (71, 71));
    assert_eq!(chat.storm.as_ref().unwrap().last, IncidentId(71));
    chat.open(72, Severity::Warning);
    assert_eq!(chat.next(), None);
    assert_eq!(chat.wakes_at(), Some(chat.now + 5.seconds()));
}

#[test]
fn ten_are_ten_cards() {
    let mut chat = Chat::plain();
    for id in 1..=10 {
        chat.open(id, Severity::Warning);
    }
    assert_eq!(chat.drain().len(), 10);
    assert!(chat.storm.is_none());
}

#[test]
fn what_a_storm_leaves_gets_silent_cards_once_nothing_more_comes() {
    let mut chat = Chat::plain();
    for id in 1..=20 {
        chat.open(id, Severity::Warning);
    }
    chat.drain();
    chat.pass(60);
    for id in 1..=17 {
        chat.resolve(id);
    }
    assert_eq!(shorts(&chat.drain()), ["edit storm"]);
    assert_eq!(chat.wakes_at(), Some(start() + 3.minutes()));
    chat.restart();
    assert_eq!(chat.next(), None);
    chat.now = start() + 3.minutes();
    assert_eq!(shorts(&chat.drain()), ["send 18", "send 19", "send 20", "edit storm"]);
    assert!(chat.storm.as_ref().unwrap().over);
    chat.pass(10);
    chat.open(21, Severity::Warning);
    assert_eq!(shorts(&chat.drain()), ["send 21 loud"], "afterwards all is as it was");
}

#[test]
fn within_a_storm_only_a_customers_first_critical_is_heard_also_after_it_is_over() {
    let mut chat = Chat::plain();
    for id in 1..=30 {
        let mut new = incident(id, Severity::Warning, chat.now);
        new.subject.customer = Some("one".into());
        chat.put(new);
    }
    chat.drain();
    chat.pass(10);
    chat.change(5, |i| (i.severity, i.rings) = (Severity::Critical, 2));
    chat.change(6, |i| (i.severity, i.rings) = (Severity::Critical, 2));
    assert_eq!(shorts(&chat.drain()), ["send 5 loud critical", "edit storm"]);
    chat.pass(10);
    chat.resolve(5);
    assert_eq!(shorts(&chat.drain()), ["edit 5"], "the next one is on the storm's card already");
    chat.board.show(IncidentId(9));
    chat.pass(10);
    assert_eq!(shorts(&chat.drain()), ["send 9", "edit storm"], "a person asked for one");
}

#[test]
fn a_storms_card_that_may_not_have_arrived_is_sent_twice_at_most() {
    for kill in [false, true] {
        let mut chat = Chat::plain();
        for id in 1..=20 {
            chat.open(id, Severity::Warning);
        }
        for want in ["send storm loud", "send storm loud again"] {
            let job = chat.next().unwrap();
            assert_eq!(short(&job), want);
            chat.begins(&job);
            assert_eq!(chat.next(), None, "it is on its way");
            chat.pass(61);
            if kill {
                chat.restart();
            }
        }
        assert_eq!(chat.next(), None);
        chat.pass(30);
        for id in 21..=40 {
            chat.open(id, Severity::Warning);
        }
        chat.pass(300);
        let jobs = chat.drain();
        assert_eq!(shorts(&jobs), ["send storm loud"], "more came: it is another message");
        assert_eq!(storm_of(&jobs[0]).incidents.0, 40);
    }
}

#[test]
fn a_storms_card_that_was_deleted_comes_back_with_what_comes() {
    let mut chat = Chat::plain();
    for id in 1..=20 {
        chat.open(id, Severity::Warning);
    }
    chat.drain();
    chat.pass(10);
    chat.resolve(1);
    let job = chat.next().unwrap();
    let row = chat.board.gone(&job);
    chat.write(row);
    chat.pass(400);
    assert_eq!(chat.next(), None);
    chat.open(21, Severity::Warning);
    assert_eq!(shorts(&chat.drain()), ["send storm"]);
}

#[test]
fn a_storm_whose_card_cannot_be_sent_tries_again_rarely() {
    let mut chat = Chat::plain();
    let mut tries = 0;
    for id in 1..=900 {
        chat.open(id, Severity::Warning);
        while let Some(job) = chat.next() {
            chat.begins(&job);
            let row = chat.board.failed(&job, "the chat is gone");
            chat.write(row);
            tries += usize::from(matches!(job, Job::Send { incident: None, .. }));
        }
        chat.pass(2);
    }
    // The first eleven come one by one and fail one by one, so no storm begins; then nothing else does either.
    assert!(tries <= 7, "{tries}");
}

#[test]
fn nothing_of_a_storm_began() {
    let mut chat = Chat::plain();
    for id in 1..=20 {
        chat.open(id, Severity::Warning);
    }
    for _ in 0..3 {
        let job = chat.next().unwrap();
        assert_eq!(short(&job), "send storm loud");
        chat.begins(&job);
        let row = chat.board.not_begun(&job);
        chat.write(row);
        chat.restart();
    }
    for id in 1..=15 {
        chat.resolve(id);
    }
    assert_eq!(chat.drain().len(), 5, "so few are cards of their own");
}

#[test]
fn a_restart_at_any_point_decides_the_same() {
    let script = |chat: &mut Chat, second: i64| match second {
        0 => (1..=25).for_each(|id| {
            let severity = if id % 5 == 0 { Severity::Critical } else { Severity::Warning };
            chat.open(id, severity);
        }),
        7 => (26..=40).for_each(|id| chat.open(id, Severity::Warning)),
        12 => (1..=10).for_each(|id| chat.change(id, |i| i.state = IncidentState::Acked)),
        20 => (1..=20).for_each(|id| chat.change(id, |i| i.state = IncidentState::Recovering)),
        25 => chat.change(22, |i| (i.severity, i.rings) = (Severity::Critical, 2)),
        120 => (1..=36).for_each(|id| chat.resolve(id)),
        500 => (37..=40).for_each(|id| chat.resolve(id)),
        _ => {}
    };
    let play = |killed: Option<usize>| {
        let (mut chat, mut jobs) = (Chat::plain(), Vec::new());
        for second in 0..520 {
            script(&mut chat, second);
            while let Some(mut job) = chat.next() {
                if killed == Some(jobs.len()) {
                    chat.restart();
                    job = chat.next().expect("the same job");
                }
                chat.begins(&job);
                chat.done(&job);
                jobs.push(job);
            }
            chat.pass(1);
        }
        let timed = chat
            .wire
            .iter()
            .zip(&jobs)
            .map(|(at, job)| format!("{} {}", at.duration_since(start()).as_secs(), short(job)));
        (timed.collect::<Vec<_>>(), chat.pages, chat.storm)
    };
    let (jobs, pages, storm) = play(None);
    assert!(jobs.len() > 20 && jobs.iter().any(|job| job.ends_with("edit storm")), "{jobs:?}");
    assert!(storm.as_ref().unwrap().over);
    for kill in 0..jobs.len() {
        let (other, other_pages, other_storm) = play(Some(kill));
        assert_eq!(other, jobs, "killed before job {kill}");
        assert_eq!(other_pages, pages);
        assert!(other_storm.is_some_and(|storm| storm.over));
    }
}
