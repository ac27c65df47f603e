//! The governor against Telegram's limits, checked at the moment at which Telegram would see each call.

use proptest::prelude::*;

use super::*;

const S: Duration = Duration::from_secs(1);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Calls as often as it may; gives when each call was let through, in steps of 10 ms.
fn greedy(governor: &mut Governor, chat: i64, until: Duration) -> Vec<Duration> {
    let mut at = Duration::ZERO;
    let mut calls = vec![];
    while at < until {
        while governor.ready(chat, at).is_ok() {
            governor.took(chat, at);
            governor.landed(chat, at);
            calls.push(at);
        }
        at += ms(10);
    }
    calls
}

#[test]
fn a_chat_bursts_then_trickles_and_a_group_stops_at_twenty() {
    let calls = greedy(&mut Governor::new(Limits::default()), 7, S * 10);
    assert_eq!(calls[..5], [ms(0), ms(0), ms(0), S, S * 2]);
    assert_eq!(calls.len(), 12);
    let calls = greedy(&mut Governor::new(Limits::default()), -7, S * 70);
    let first_minute = calls.iter().filter(|at| **at < S * 60).count();
    assert_eq!(first_minute, 20);
    assert!(calls.len() > 20, "{calls:?}");
}

#[test]
fn thirty_in_all_and_waiting_exactly_as_long_as_told_is_enough() {
    let mut governor = Governor::new(Limits::default());
    for chat in 1..=30 {
        assert_eq!(governor.ready(chat, S), Ok(()));
        governor.took(chat, S);
    }
    assert!(governor.ready(31, S).is_err() && governor.ready_overall(S).is_err());
    for chat in 1..=30 {
        governor.landed(chat, S + ms(300));
    }
    assert_eq!(governor.ready(31, S * 2), Err(ms(300)), "a call counts from its end");
    assert_eq!(governor.ready(31, S * 2 + ms(300)), Ok(()));
}

#[test]
fn a_refusal_blocks_its_chat_and_three_block_all() {
    let mut governor = Governor::new(Limits::default());
    governor.blocked(1, S * 3, S);
    assert_eq!(governor.ready(1, S), Err(S * 3 + ms(250)), "with a margin");
    assert_eq!(governor.ready(2, S), Ok(()));
    assert!(governor.is_blocked(1, S * 4) && !governor.is_blocked(1, S * 5));
    governor.blocked(1, S, S * 2);
    governor.blocked(1, S, S * 2);
    governor.blocked(2, S, S * 2);
    assert_eq!(governor.ready(9, S * 2), Ok(()), "the same chat three times is one chat");
    governor.blocked(3, S * 2, S * 3);
    assert_eq!(governor.ready(9, S * 3), Err(S * 2 + ms(250)));
    assert_eq!((governor.blocked_chats(S * 3), governor.blocked_chats(S * 60)), (3, 0));
    assert_eq!(governor.ready(9, S * 6), Ok(()));
    for chat in [11, 12, 13] {
        governor.blocked(chat, S, S * (10 * u32::try_from(chat).unwrap()));
    }
    assert_eq!(governor.ready(9, S * 131), Ok(()), "far apart they are three chats' own matters");
}

#[test]
fn calls_that_are_never_reported_count_from_when_they_are_given_up() {
    let mut governor = Governor::new(Limits { overall_per_s: 1, ..Limits::default() });
    governor.took(-1, S);
    assert!(governor.ready(2, S * 99).is_err(), "it is under way");
    governor.give_up(S * 99);
    assert_eq!((governor.ready(2, S * 99), governor.ready(2, S * 100)), (Err(S), Ok(())));
}

#[test]
fn quiet_chats_are_forgotten() {
    let mut governor = Governor::new(Limits { overall_per_s: 100_000, ..Limits::default() });
    for chat in 0..5000 {
        governor.took(chat, S);
        governor.landed(chat, S);
    }
    governor.took(9, S * 120);
    assert_eq!(governor.chats.len(), 1);
}

#[test]
fn nonsense_in_the_limits_neither_stops_nor_frees_everything() {
    let nonsense = [
        Limits { chat_burst: 0, group_per_minute: 0, overall_per_s: 0, ..Limits::default() },
        Limits { chat_refill_per_s: 0.0, speed: 0.0, ..Limits::default() },
        Limits { chat_refill_per_s: f64::NAN, speed: f64::NAN, ..Limits::default() },
        Limits { chat_refill_per_s: -1.0, speed: f64::INFINITY, ..Limits::default() },
    ];
    for limits in nonsense {
        let mut governor = Governor::new(limits);
        assert_eq!(governor.ready(-1, S), Ok(()), "{limits:?}");
        for _ in 0..5 {
            governor.took(-1, S);
        }
        assert!(governor.ready(-1, S).is_err(), "{limits:?}");
    }
}

/// One call as it was made.
#[derive(Debug)]
struct Call {
    chat: i64,
    arrived: Duration,
    seen: Duration,
}

/// One message to send: to whom, when it comes up, how long its call takes, and when within it Telegram sees it.
type Message = (i64, u64, u64, u64);

/// Sends everything as fast as the governor allows, one call at a time per chat, chats in turn.
fn simulate(limits: Limits, messages: &[Message]) -> Vec<Call> {
    let mut governor = Governor::new(limits);
    let mut waiting: BTreeMap<i64, VecDeque<Message>> = BTreeMap::new();
    let mut sorted = messages.to_vec();
    sorted.sort_by_key(|m| m.1);
    for message in sorted {
        waiting.entry(message.0).or_default().push_back(message);
    }
    let mut flights: BTreeMap<i64, Duration> = BTreeMap::new();
    let mut turn: VecDeque<i64> = waiting.keys().copied().collect();
    let (mut now, mut calls) = (Duration::ZERO, Vec::new());
    while calls.len() < messages.len() || !flights.is_empty() {
        let done: Vec<i64> = flights.iter().filter(|(_, end)| **end <= now).map(|(chat, _)| *chat).collect();
        for chat in done {
            governor.landed(chat, flights.remove(&chat).unwrap());
        }
        let mut next = flights.values().min().copied().unwrap_or(Duration::MAX);
        for _ in 0..turn.len() {
            turn.rotate_left(1);
            let chat = *turn.back().unwrap();
            let Some(&(_, at, takes, seen)) = waiting[&chat].front() else { continue };
            if flights.contains_key(&chat) {
                continue;
            }
            if ms(at) > now {
                next = next.min(ms(at));
                continue;
            }
            match governor.ready(chat, now) {
                Ok(()) => {
                    governor.took(chat, now);
                    flights.insert(chat, now + ms(takes));
                    calls.push(Call { chat, arrived: ms(at), seen: now + ms(seen.min(takes)) });
                    waiting.get_mut(&chat).unwrap().pop_front();
                    next = next.min(now + ms(takes));
                }
                Err(wait) => {
                    assert!(!wait.is_zero());
                    next = next.min(now + wait);
                }
            }
        }
        now = next.max(now);
    }
    calls
}

/// Whether no stretch of `length` holds more than `most` calls.
fn within(mut seen: Vec<Duration>, most: u32, length: Duration) -> bool {
    seen.sort();
    seen.windows(most as usize + 1).all(|some| some[most as usize] - some[0] >= length)
}

/// Whether a bucket of `burst` that refills once in `token` never runs dry.
fn bucket_holds(mut seen: Vec<Duration>, burst: u32, token: Duration) -> bool {
    seen.sort();
    let (mut tokens, mut last) = (f64::from(burst), Duration::ZERO);
    seen.into_iter().all(|at| {
        tokens = (tokens + (at - last).as_secs_f64() / token.as_secs_f64()).min(f64::from(burst)) - 1.0;
        last = at;
        tokens > -1e-3
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_limit_is_ever_broken_and_nobody_starves(
        messages in prop::collection::vec((-3_i64..12, 0_u64..20_000, 0_u64..3_000, 0_u64..3_000), 1..250),
        overall in 2_u32..31,
    ) {
        let messages: Vec<_> = messages.into_iter().map(|(c, a, t, s)| (c - i64::from(c >= 0) + 1, a, t, s)).collect();
        let limits = Limits { overall_per_s: overall, ..Limits::default() };
        let calls = simulate(limits, &messages);
        prop_assert_eq!(calls.len(), messages.len());
        prop_assert!(within(calls.iter().map(|c| c.seen).collect(), overall, S));
        for chat in calls.iter().map(|c| c.chat) {
            let seen = || calls.iter().filter(|c| c.chat == chat).map(|c| c.seen).collect::<Vec<_>>();
            prop_assert!(bucket_holds(seen(), 3, S), "bucket of {}: {:?}", chat, seen());
            prop_assert!(chat >= 0 || within(seen(), 20, S * 60), "minute of {}", chat);
        }
        // Nobody waits longer than its own chat's backlog and everybody's turn allow.
        for call in &calls {
            let backlog = calls.iter().filter(|c| c.chat == call.chat && c.seen <= call.seen).count() as u32;
            let groups = if call.chat < 0 { S * 64 * (backlog / 20) } else { Duration::ZERO };
            let turns = S * 4 * (messages.len() as u32 / overall + 1);
            let bound = call.arrived + S * 4 * (backlog + 1) + groups + turns;
            prop_assert!(call.seen <= bound, "{:?} after {:?}", call, bound);
        }
    }
}
