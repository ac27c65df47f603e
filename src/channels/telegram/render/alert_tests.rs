//! Incidents as a person reads them on a phone, and every limit for hostile ones.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::{
    CAPTION_ROOM, Look, alert, alert_caption, alert_photo,
    checks::{assert_rich, sendable, shown},
    mark_repeat, plain,
    post::{Body, CAPTION_LIMIT, Post, Rich, Tap},
    render, ring, shorten, storm,
    text::units,
};
use crate::domain::{AlertCard, Block, Excerpt, Finding, IncidentId, IncidentState, Severity, StormCard};

fn now() -> Timestamp {
    "2026-12-01T14:30:00Z".parse().unwrap()
}

fn ago(minutes: i64) -> Timestamp {
    now() - SignedDuration::from_mins(minutes)
}

fn look() -> Look<'static> {
    Look::new(now(), &|_| None, &|text| format!("t:{}", text.chars().take(40).collect::<String>()))
}

fn own(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

fn sample() -> AlertCard {
    AlertCard {
        incident: IncidentId(47),
        severity: Severity::Critical,
        state: IncidentState::Firing,
        title: "one request in three fails".into(),
        customer: Some("19 Bloom Flowers".into()),
        service: Some("web".into()),
        since: ago(12),
        over_at: None,
        value: Some("0.34, threshold 0.05".into()),
        labels: pairs(&[("instance", "web-1:9100"), ("job", "nginx")]),
        alerts: own(&["HighErrorRate web-1", "SlowRequests web-1"]),
        notes: own(&["explains incident 48"]),
        excerpt: Some(Excerpt { source: "shop-web".into(), lines: own(&["upstream timed out"]) }),
        findings: vec![Finding {
            severity: Severity::Critical,
            summary: "the database refuses connections".into(),
            source: "logs db".into(),
            at: Some(ago(11)),
            quote: Some("FATAL: too many clients".into()),
        }],
        chart: None,
        buttons: pairs(&[
            ("Ack", "/ack 47"),
            ("Silence…", "/silence 47"),
            ("Investigate", "/investigate 47"),
        ]),
        runbook: Some("https://wiki.example/runbooks/web".into()),
    }
}

fn rich(post: &Post) -> &Rich {
    match &post.body {
        Body::Text(rich) | Body::Photo { caption: rich, .. } | Body::File { caption: rich, .. } => rich,
    }
}

fn labels(post: &Post) -> Vec<&str> {
    post.keyboard.iter().flatten().map(|tap| tap.label.as_str()).collect()
}

#[test]
fn a_card_says_how_bad_whose_and_what_in_its_first_line() {
    let post = alert(&sample(), &look());
    assert_rich(
        rich(&post),
        "🛑 CRITICAL · 19 Bloom Flowers · web: one request in three fails\n\
         Incident 47 · since 14:18 UTC\n\
         Value: 0.34, threshold 0.05\n\
         ▸ explains incident 48\n\n\
         🛑 the database refuses connections\nFATAL: too many clients\nlogs db · 14:19 UTC\n\n\
         • HighErrorRate web-1\n• SlowRequests web-1\n\n\
         📄 shop-web\nupstream timed out\n\n\
         instance=web-1:9100  job=nginx",
        &[
            ("bold", "CRITICAL · 19 Bloom Flowers · web: one request in three fails"),
            ("code", "FATAL: too many clients"),
            ("code", "logs db"),
            ("code", "shop-web"),
            ("pre", "upstream timed out"),
            ("code", "instance=web-1:9100  job=nginx"),
        ],
    );
    let tap = |label: &str, text: &str| Tap::new(label, format!("t:{text}"));
    assert_eq!(
        post.keyboard,
        [
            vec![tap("Ack", "/ack 47"), tap("Silence…", "/silence 47")],
            vec![tap("Investigate", "/investigate 47")],
            vec![Tap::link("📖 Runbook", "https://wiki.example/runbooks/web")],
        ]
    );
    assert!(!post.quiet && post.card.is_none());
}

#[test]
fn state_and_severity_are_seen_at_a_glance() {
    use IncidentState::{Acked, Firing, Recovering, Resolved};
    let table = [
        (Severity::Critical, Firing, "🛑 CRITICAL · 19"),
        (Severity::Warning, Firing, "⚠️ WARNING · 19"),
        (Severity::Info, Firing, "ℹ️ INFO · 19"),
        (Severity::Critical, Acked, "👀 CRITICAL, acked · 19"),
        (Severity::Warning, Recovering, "🌤 WARNING, recovering · 19"),
        (Severity::Critical, Resolved, "✅ RESOLVED · 19"),
    ];
    for (severity, state, want) in table {
        let over_at = (state == Resolved).then(now);
        let card = AlertCard { severity, state, over_at, ..sample() };
        let post = alert(&card, &look());
        assert!(rich(&post).text.starts_with(want), "{post:?}");
        assert_eq!(post.keyboard.is_empty(), state == Resolved, "{state:?}");
        assert_eq!(
            rich(&post).text.contains("lasted 12 min, from 14:18 UTC to 14:30 UTC"),
            state == Resolved
        );
    }
    let bare = AlertCard { customer: None, service: None, title: " \u{200b}".into(), ..sample() };
    assert!(rich(&alert(&bare, &look())).text.starts_with("🛑 CRITICAL: incident 47\n"));
}

#[test]
fn what_does_not_fit_is_said_and_is_a_tap_away() {
    let many =
        |n: usize, what: &str| (0..n).map(|k| format!("{what} {k} {}", "x".repeat(90))).collect::<Vec<_>>();
    let card = AlertCard {
        alerts: many(40, "alert"),
        notes: many(12, "note"),
        excerpt: Some(Excerpt { source: "shop-web".into(), lines: many(50, "line") }),
        ..sample()
    };
    let post = alert(&card, &look());
    let text = &rich(&post).text;
    for said in ["… 30 alerts more", "… 4 notes more", "line 49", "All of it: /incident 47"] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert_eq!(labels(&post), ["Ack", "Silence…", "Investigate", "Details", "📖 Runbook"]);
    let caption = alert_caption(&card, &look());
    assert!(rich(&caption).units() <= CAPTION_ROOM, "{}", rich(&caption).units());
    assert!(rich(&caption).text.contains("/incident 47") && labels(&caption).contains(&"Details"));
    let offers = AlertCard { buttons: pairs(&[("Show", "/incident 47")]), ..card };
    assert_eq!(labels(&alert(&offers, &look())), ["Show", "📖 Runbook"]);
}

#[test]
fn a_caption_holds_what_matters_of_an_ordinary_card() {
    let post = alert_photo(&sample(), vec![0x89], &look());
    let Body::Photo { caption, .. } = &post.body else { panic!("{post:?}") };
    for part in ["🛑 CRITICAL", "the database refuses connections", "0.34", "SlowRequests web-1"] {
        assert!(caption.text.contains(part), "{part}: {}", caption.text);
    }
    sendable(&post).unwrap();
}

#[test]
fn only_a_sound_runbook_is_a_button() {
    for (url, want) in [
        ("https://wiki.example/x", true),
        ("http://wiki.example/x", true),
        ("javascript:alert(1)", false),
        ("tg://resolve?domain=evil", false),
        ("https://localhost/x", false),
        ("https://10.0.0.1/x", false),
        ("wiki.example/x", false),
        ("", false),
    ] {
        let card = AlertCard { runbook: Some(url.into()), ..sample() };
        assert_eq!(labels(&alert(&card, &look())).contains(&"📖 Runbook"), want, "{url}");
    }
    let simple = plain(alert(&sample(), &look()));
    assert!(!labels(&simple).contains(&"📖 Runbook") && labels(&simple).contains(&"Ack"));
}

#[test]
fn nothing_foreign_can_be_tapped_or_passes_for_our_own() {
    const EVIL: &str =
        "x https://evil.example/a evil.example /restart_container @evil #t **b** `c`\n✅ RESOLVED";
    let card = AlertCard {
        title: EVIL.into(),
        customer: Some(EVIL.into()),
        service: Some(EVIL.into()),
        value: Some(EVIL.into()),
        labels: pairs(&[(EVIL, EVIL)]),
        alerts: own(&[EVIL, EVIL]),
        notes: own(&[EVIL]),
        excerpt: Some(Excerpt { source: EVIL.into(), lines: own(&[EVIL]) }),
        findings: vec![Finding {
            severity: Severity::Info,
            summary: EVIL.into(),
            source: EVIL.into(),
            at: None,
            quote: Some(EVIL.into()),
        }],
        ..sample()
    };
    for post in
        [alert(&card, &look()), ring(IncidentId(1), EVIL, &look()), storm(&storm_of(EVIL, 3), &look())]
    {
        let rich = rich(&post);
        let wide: Vec<u16> = rich.text.encode_utf16().collect();
        let code = |at: usize| {
            rich.entities.iter().any(|e| {
                matches!(format!("{:?}", e.kind).as_str(), "Code" | "Pre { language: None }")
                    && (e.offset..e.offset + e.length).contains(&at)
            })
        };
        for part in ["https://evil.example/a", "/restart_container", "@evil", "#t"] {
            let part: Vec<u16> = part.encode_utf16().collect();
            for at in (0..wide.len()).filter(|at| wide[*at..].starts_with(&part)) {
                assert!(code(at), "{at} in {}", rich.text);
            }
        }
        assert!(
            rich.text.lines().all(|line| !line.starts_with('✅')) || rich.text.contains("📄"),
            "{}",
            rich.text
        );
    }
}

fn storm_of(text: &str, lines: usize) -> StormCard {
    StormCard {
        since: ago(5),
        over: false,
        incidents: (214, 180),
        severities: vec![(Severity::Critical, 40), (Severity::Warning, 140), (Severity::Info, 0)],
        customers: vec![(text.to_owned(), 34), ("others".into(), 146)],
        list: (0..lines).map(|n| format!("🛑 #{n} {text}")).collect(),
        buttons: pairs(&[("All as a file", "/alerts")]),
    }
}

#[test]
fn a_storm_counts_and_shows_the_first() {
    let card = storm_of("19 Bloom Flowers", 180);
    let post = storm(&card, &look());
    let text = &rich(&post).text;
    assert!(
        text.starts_with(
            "⛈ STORM · 180 of 214 incidents fire\nSince 14:25 UTC\n🛑 40 critical · ⚠️ 140 warning\n\n\
             Whose\n• 19 Bloom Flowers: 34\n• others: 146\n\nFirst of them\n• 🛑 #0 19 Bloom Flowers\n"
        ),
        "{text}"
    );
    assert!(text.ends_with("• 🛑 #11 19 Bloom Flowers\n… 168 more. All of them: /alerts"), "{text}");
    assert_eq!(labels(&post), ["All as a file"]);
    let posts = render(&[Block::Storm(Box::new(card))], &look());
    let Body::File { content, .. } = &posts[1].body else { panic!("{posts:?}") };
    assert_eq!(String::from_utf8_lossy(content).lines().count(), 180);
    let over = StormCard { over: true, list: vec![], ..storm_of("x", 0) };
    let post = storm(&over, &look());
    assert_rich(
        rich(&post),
        "✅ STORM OVER · all of 214 incidents are resolved\nSince 14:25 UTC",
        &[("bold", "STORM OVER · all of 214 incidents are resolved")],
    );
    assert!(post.keyboard.is_empty());
}

fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,60}",
        "[a-z/@#. \\n\\t\u{202e}\u{200b}😀]{0,200}",
        Just("🇩🇪👩🏽‍💻 https://a.example /x@y ".repeat(20)),
        Just(String::new()),
    ]
}

fn any_card() -> impl Strategy<Value = AlertCard> {
    let list = || prop::collection::vec(words(), 0..24);
    (
        (words(), prop::option::of(words()), list(), list(), list()),
        (prop::collection::vec((words(), words()), 0..30), prop::sample::select(STATES.to_vec())),
        prop::collection::vec((words(), words(), prop::option::of(words())), 0..12),
    )
        .prop_map(|((title, name, alerts, notes, lines), (labels, state), findings)| {
            let finding = |(summary, source, quote)| Finding {
                severity: Severity::Warning,
                summary,
                source,
                at: Some(ago(1)),
                quote,
            };
            AlertCard {
                title,
                customer: name.clone(),
                service: name.clone(),
                value: name,
                state,
                over_at: (state == IncidentState::Resolved).then(now),
                alerts,
                notes,
                buttons: labels.clone(),
                labels,
                excerpt: Some(Excerpt { source: "log".into(), lines }),
                findings: findings.into_iter().map(finding).collect(),
                ..sample()
            }
        })
}

const STATES: [IncidentState; 4] =
    [IncidentState::Firing, IncidentState::Acked, IncidentState::Recovering, IncidentState::Resolved];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_card_is_within_the_limits_in_every_shape(card in any_card()) {
        for post in [alert(&card, &look()), alert_photo(&card, vec![1], &look())] {
            prop_assert!(shown(rich(&post)).len() <= 100);
            for post in [post.clone(), mark_repeat(post.clone()), plain(post.clone())].into_iter().chain(shorten(post)) {
                sendable(&post).map_err(TestCaseError::fail)?;
            }
        }
        let caption = alert_caption(&card, &look());
        prop_assert!(rich(&caption).units() + units(super::mending::REPEAT) <= CAPTION_LIMIT);
    }

    #[test]
    fn any_storm_is_within_the_limits(lines in prop::collection::vec(words(), 0..300), name in words()) {
        let card = StormCard { list: lines, customers: vec![(name, 3); 40], ..storm_of("x", 0) };
        for post in render(&[Block::Storm(Box::new(card))], &look()) {
            sendable(&post).map_err(TestCaseError::fail)?;
        }
    }
}
