//! Replies as an admin reads them on a phone, and every limit for arbitrary blocks.

use jiff::Timestamp;
use proptest::prelude::*;

use super::{
    Look, card,
    checks::{assert_rich, sendable, shown, sound},
    live::live,
    mending::{REPEAT, mark_repeat, plain, shorten},
    post::{Body, Post, Rich, Tap},
    render,
    text::units,
};
use crate::domain::{
    ApprovalId, Block, Card, CardState, Chart, Finding, Level, Risk, Severity, outbound::Series,
};

fn now() -> Timestamp {
    "2026-11-21T14:30:00Z".parse().unwrap()
}

fn draw(chart: &Chart) -> Option<Vec<u8>> {
    (chart.title != "undrawable").then(|| vec![0x89])
}

fn no_picture(_: &Chart) -> Option<Vec<u8>> {
    None
}

fn data(text: &str) -> String {
    if text.starts_with("/long") { "x".repeat(65) } else { format!("t:{:08x}", text.len()) }
}

fn look() -> Look<'static> {
    Look::new(now(), &draw, &data)
}

fn own(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|t| (*t).to_owned()).collect()
}

fn rich(post: &Post) -> &Rich {
    match &post.body {
        Body::Text(rich) | Body::Photo { caption: rich, .. } | Body::File { caption: rich, .. } => rich,
    }
}

fn only(blocks: &[Block]) -> Post {
    let mut posts = render(blocks, &look());
    assert_eq!(posts.len(), 1, "{posts:?}");
    posts.remove(0)
}

fn finding(severity: Severity, quote: &str) -> Finding {
    Finding {
        severity,
        summary: "web is unhealthy".into(),
        source: "docker inspect web".into(),
        at: Some("2026-11-21T14:05:00Z".parse().unwrap()),
        quote: (!quote.is_empty()).then(|| quote.to_owned()),
    }
}

fn sample() -> Card {
    Card {
        id: ApprovalId::from_bits(0xabc),
        calls: own(&["restart_container(customer_id=19, service=web)"]),
        steps: own(&["restart container shop-web (3f2a9c01) on local", "wait until it is healthy"]),
        risk: Risk::Confirm,
        reason: "restart_container asks by default".into(),
        requester: "anna".into(),
        eligible: "anna, or any admin".into(),
        tainted: true,
        sent_at: None,
        expires_at: "2026-11-21T14:35:20Z".parse().unwrap(),
        state: CardState::Pending,
        first_approver: None,
        outcome: None,
    }
}

fn chart(title: &str, lines: usize) -> Chart {
    let points =
        [4.0, 93.15].iter().zip([0, 60]).map(|(v, s)| (now() - jiff::SignedDuration::from_mins(60 - s), *v));
    let points: Vec<_> = points.collect();
    Chart {
        title: title.into(),
        unit: "%".into(),
        series: (0..lines).map(|n| Series { name: format!("web{n}"), points: points.clone() }).collect(),
        threshold: Some(80.0),
    }
}

#[test]
fn one_reply_of_many_blocks_is_one_message() {
    let post = only(&[
        Block::text("**All well** but one:"),
        Block::Findings {
            title: "Customer 19".into(),
            items: vec![
                finding(Severity::Critical, "curl: (7) refused, run /restart 19"),
                finding(Severity::Ok, ""),
            ],
        },
        Block::Table {
            title: Some("Services".into()),
            columns: own(&["service", "cpu"]),
            rows: vec![own(&["web", "93.1 %"]), own(&["db", "4 %"])],
        },
        Block::notice(Level::Warning, "Docker is slow; see `docker info` or /help."),
    ]);
    assert_rich(
        rich(&post),
        "All well but one:\n\n\
         Customer 19\n\n\
         🛑 web is unhealthy\ndocker inspect web · 14:05 UTC\ncurl: (7) refused, run /restart 19\n\n\
         ✅ web is unhealthy\ndocker inspect web · 14:05 UTC\n\n\
         Services\nservice     cpu\n───────  ──────\nweb      93.1 %\ndb          4 %\n\n\
         ⚠️ Docker is slow; see docker info or /help.",
        &[
            ("bold", "All well"),
            ("bold", "Customer 19"),
            ("bold", "web is unhealthy"),
            ("code", "docker inspect web"),
            ("code", "curl: (7) refused, run /restart 19"),
            ("bold", "web is unhealthy"),
            ("code", "docker inspect web"),
            ("bold", "Services"),
            ("pre", "service     cpu\n───────  ──────\nweb      93.1 %\ndb          4 %"),
            ("code", "docker info"),
        ],
    );
    assert!(!post.quiet && post.keyboard.is_empty());
}

#[test]
fn only_the_first_message_and_cards_ring() {
    let posts = render(
        &[
            Block::text("a ".repeat(3000)),
            Block::Chart(chart("CPU", 1)),
            Block::Card(sample()),
            Block::text("after"),
        ],
        &look(),
    );
    let kinds: Vec<_> = posts.iter().map(|p| (p.quiet, p.card.is_some())).collect();
    assert_eq!(kinds, [(false, false), (true, false), (true, false), (false, true), (true, false)]);
    assert!(render(&[Block::text(" \n\u{200b}"), Block::notice(Level::Info, "")], &look()).is_empty());
}

#[test]
fn a_chart_is_a_picture_or_says_its_figures() {
    let text = "📈 CPU\nweb0: last 93.2 % · min 4 % · max 93.2 %\nThreshold 80 %: crossed\n\
                13:30 UTC to 14:30 UTC";
    let post = only(&[Block::Chart(chart("CPU", 1))]);
    assert!(matches!(post.body, Body::Photo { .. }));
    let below = "📈 CPU\nweb0 93.2 %\nThreshold 80 %: crossed\n13:30 UTC to 14:30 UTC";
    assert_rich(rich(&post), below, &[("bold", "CPU")]);
    let words = Look { draw: &no_picture, ..look() };
    let posts = render(&[Block::text("see"), Block::Chart(chart("CPU", 1))], &words);
    assert_rich(rich(&posts[0]), &format!("see\n\n{text}"), &[("bold", "CPU")]);
    assert!(rich(&only(&[Block::Chart(chart("many", 300))])).text.contains("… 292 more"));
}

#[test]
fn buttons_stand_below_the_words_they_belong_to() {
    let pairs =
        |all: &[(&str, &str)]| all.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect::<Vec<_>>();
    let choice = Block::Buttons {
        title: "Which one?".into(),
        buttons: pairs(&[("web", "/logs web"), ("db", "/logs db"), ("", "/help"), ("far", "/longer")]),
    };
    let post = only(&[Block::text("Two are down."), choice]);
    assert_rich(
        rich(&post),
        "Two are down.\n\nWhich one?\n/longer",
        &[("bold", "Which one?"), ("code", "/longer")],
    );
    let tap = |label: &str, n: usize| Tap::new(label, format!("t:{n:08x}"));
    assert_eq!(post.keyboard, [vec![tap("web", 9), tap("db", 8)], vec![tap("/help", 5)]]);
    let gap = pairs(&[("/logs <customer> [lines]", "/logs <customer> [lines]"), ("a < b", "is a <b>?")]);
    let gaps = only(&[Block::Buttons { title: "?".into(), buttons: gap }]);
    assert_eq!(gaps.keyboard, [vec![tap("/logs …", 5), tap("a < b", 9)]]);
    let wide = pairs(&[("a label that is rather long", "/a"), ("b", "/b")]);
    assert_eq!(only(&[Block::Buttons { title: " ".into(), buttons: wide }]).keyboard.len(), 2);
    let many = (0..95).map(|n| (format!("c{n}"), format!("/c {n}"))).collect();
    let posts = render(&[Block::Buttons { title: "All".into(), buttons: many }], &look());
    let sizes: Vec<usize> = posts.iter().map(|p| p.keyboard.iter().map(Vec::len).sum()).collect();
    assert_eq!(sizes, [40, 40, 15]);
}

#[test]
fn tables_take_the_shape_that_fits_a_phone() {
    let long = "connection refused by upstream";
    let table = |columns: &[&str], rows: Vec<Vec<String>>| Block::Table {
        title: Some("T".into()),
        columns: own(columns),
        rows,
    };
    let pairs =
        only(&[table(&["key", "value"], vec![own(&["state", long]), own(&["run", "/x then /help"])])]);
    assert_rich(
        rich(&pairs),
        "T\nstate: connection refused by upstream\nrun: /x then /help",
        &[("bold", "T"), ("bold", "state"), ("bold", "run"), ("code", "/x")],
    );
    let list =
        only(&[table(&["service", "cpu", "seen"], vec![own(&["web", "4 %", long]), own(&["db", "", "ok"])])]);
    assert_rich(
        rich(&list),
        "T\n\nweb\ncpu: 4 %\nseen: connection refused by upstream\n\ndb\nseen: ok",
        &[("bold", "T"), ("bold", "web"), ("bold", "db")],
    );
    let same = [own(&["db", "cpu", "4 %", "9 %", long]), own(&["db", "memory", "", "", ""])];
    let told_apart = only(&[table(&["service", "metric", "now", "max", "seen"], same.to_vec())]);
    assert_rich(
        rich(&told_apart),
        "T\n\ndb · cpu\nnow: 4 % · max: 9 %\nseen: connection refused by upstream\n\ndb · memory",
        &[("bold", "T"), ("bold", "db · cpu"), ("bold", "db · memory")],
    );
    let rows: Vec<_> =
        (0..40).map(|n| own(&[&format!("web{n}"), "=1+1", &format!("{long}, \"x\"")])).collect();
    let file = only(&[table(&["service", "a", "seen"], rows)]);
    let Body::File { name, content, caption } = &file.body else { panic!("{file:?}") };
    assert_eq!(name, "T.csv");
    let csv = std::str::from_utf8(content).unwrap();
    assert!(csv.starts_with(
        "\u{feff}service,a,seen\r\nweb0,'=1+1,\"connection refused by upstream, \"\"x\"\"\"\r\n"
    ));
    assert_eq!(csv.lines().count(), 41);
    assert!(
        caption.text.starts_with("T\n40 rows, 3 columns; the first:\n\nweb0\na: =1+1\nseen: "),
        "{caption:?}"
    );
    assert_eq!(rich(&only(&[table(&["a"], vec![])])).text, "T\n(no rows)");
    assert_eq!(rich(&only(&[table(&["a"], vec![own(&["1", "x"])])])).text, "T\na\n─  ─\n1  x");
}

#[test]
fn a_long_log_is_a_file_below_which_its_telling_lines_stand() {
    let log = |lines: Vec<String>, omitted| Block::Log { source: "shop-web".into(), lines, omitted };
    let short = only(&[log(own(&["GET /", "", "\u{1b}[31m@all /stop"]), 3)]);
    assert_rich(
        rich(&short),
        "📄 shop-web (3 earlier lines not shown)\nGET /\n\n@all /stop",
        &[("bold", "shop-web"), ("pre", "GET /\n\n@all /stop")],
    );
    let mut lines: Vec<String> = (0..500).map(|n| format!("line {n}")).collect();
    lines[7] = "FATAL: out of disk".into();
    let long = only(&[log(lines, 0)]);
    let Body::File { name, content, caption } = &long.body else { panic!("{long:?}") };
    assert_eq!(name, "shop-web.log.txt");
    assert_eq!(std::str::from_utf8(content).unwrap().lines().count(), 500);
    assert!(
        caption.text.starts_with(
            "📄 shop-web\nThe last and most telling of 500 lines:\nFATAL: out of disk\n⋯\nline 4"
        ),
        "{caption:?}"
    );
    assert!(
        caption.text.contains("line 499\n… ") && caption.text.ends_with(" more in the file"),
        "{caption:?}"
    );
    assert_eq!(rich(&only(&[log(vec![], 0)])).text, "📄 shop-web\n(no lines)");
    let huge = only(&[log(vec!["x".repeat(10_000_000)], 0)]);
    sendable(&huge).unwrap();
}

#[test]
fn what_would_flood_the_chat_is_a_file() {
    let post = only(&[Block::text("word ".repeat(10_000))]);
    let Body::File { name, content, .. } = &post.body else { panic!("{post:?}") };
    assert_eq!((name.as_str(), content.len()), ("answer.txt", 49_999));
    sendable(&post).unwrap();
}

#[test]
fn a_pending_card_shows_everything_that_is_decided_about() {
    let post = card::card(&sample(), &look());
    assert_rich(
        rich(&post),
        "⏳ Approval needed\n\
         restart_container(customer_id=19, service=web)\n\
         \n\
         What would run\n1. restart container shop-web (3f2a9c01) on local\n2. wait until it is healthy\n\
         \n\
         Takes: one person\nWhy: restart_container asks by default\nAsked by: anna\n\
         May decide: anna, or any admin\nExpires: 14:35 UTC\n\
         ⚠️ Untrusted text was read before this was asked: check the target.\n\
         \n\
         Approval: 00000000000000000000000000000abc",
        &[
            ("bold", "Approval needed"),
            ("code", "restart_container(customer_id=19, service=web)"),
            ("bold", "What would run"),
            ("italic", "Takes"),
            ("italic", "Why"),
            ("italic", "Asked by"),
            ("italic", "May decide"),
            ("italic", "Expires"),
            ("bold", "Untrusted text was read before this was asked: check the target."),
            ("code", "00000000000000000000000000000abc"),
        ],
    );
    let tap = |label: &str, data: &str| Tap::new(label, data);
    let id = "00000000000000000000000000000abc";
    assert_eq!(
        post.keyboard,
        [vec![tap("✅ Confirm", &format!("a:{id}")), tap("✖ Deny", &format!("d:{id}"))]]
    );
    assert_eq!((post.card, post.quiet), (Some(sample().id), false));
}

#[test]
fn every_state_of_a_card_says_what_became_of_it() {
    let table = [
        (CardState::Executing, None, "▶ Approved, running now"),
        (CardState::Done, Some("web is up again after 4 s"), "✅ Done"),
        (CardState::Failed, Some("not up"), "❌ Failed"),
        (CardState::Unknown, None, "❓ Outcome unknown: verify by hand"),
        (CardState::Denied, None, "🚫 Denied, nothing was run"),
        (CardState::Expired, None, "⌛ Expired, nothing was run"),
        (CardState::Superseded, None, "↩ Replaced by a newer card, nothing was run"),
    ];
    for (state, outcome, want) in table {
        let one = Card { state, outcome: outcome.map(str::to_owned), ..sample() };
        let post = card::card(&one, &look());
        let text = &rich(&post).text;
        assert!(text.starts_with(want) && text.contains("customer_id=19") && text.contains("anna"), "{text}");
        assert!(text.contains(outcome.unwrap_or_default()) && !text.contains("Expires"), "{text}");
        assert!(post.keyboard.is_empty());
        sendable(&post).unwrap();
    }
    let label = |first: Option<&str>| {
        let two = Card { risk: Risk::TwoPerson, first_approver: first.map(Into::into), ..sample() };
        let post = card::card(&two, &look());
        (post.keyboard[0][0].label.clone(), rich(&post).text.clone())
    };
    assert_eq!(label(None).0, "✅ Confirm (1 of 2)");
    let (second, text) = label(Some("ben"));
    assert_eq!(second, "✅ Confirm (2 of 2)");
    assert!(text.starts_with("⏳ A second yes is needed") && text.contains("First yes: ben"), "{text}");
}

#[test]
fn a_card_that_does_not_fit_is_never_approved_by_a_tap() {
    let calls: Vec<String> =
        (0..90).map(|n| format!("restart_container(customer_id={n}, note={})", "y".repeat(90))).collect();
    let big = Card { calls: calls.clone(), steps: vec!["s".repeat(9000); 9], ..sample() };
    let posts = render(&[Block::Card(big.clone())], &look());
    let [file, shown] = posts.as_slice() else { panic!("{posts:?}") };
    let Body::File { content, name, .. } = &file.body else { panic!("{file:?}") };
    let all = std::str::from_utf8(content).unwrap();
    assert!(calls.iter().all(|call| all.contains(call)) && name == "card-00000000.txt");
    let text = &rich(shown).text;
    assert!(text.contains("Not everything fits here: 90 calls, 9 steps in all; the file above"), "{text}");
    assert!(text.contains("… 82 calls more") && text.contains("… 4 steps more"), "{text}");
    assert!(text.contains("send /approve 00000000000000000000000000000abc"), "{text}");
    let taps: Vec<_> = shown.keyboard.iter().flatten().map(|t| t.data.as_str()).collect();
    assert_eq!(taps, ["d:00000000000000000000000000000abc"]);
    posts.iter().for_each(|p| sendable(p).unwrap());
    let done = Card { state: CardState::Done, outcome: Some("o".repeat(9000)), ..big };
    let posts = render(&[Block::Card(done)], &look());
    assert!(posts.len() == 1 && sendable(&posts[0]).is_ok(), "{posts:?}");
}

#[test]
fn a_repeat_is_marked_once_and_keeps_its_formatting() {
    let post = only(&[Block::text("**bold** words")]);
    let marked = mark_repeat(post.clone());
    assert_rich(rich(&marked), &format!("{REPEAT}bold words"), &[("bold", "bold")]);
    assert_eq!(mark_repeat(marked.clone()), marked);
    for body in [Rich::plain("x".repeat(4096)), Rich::plain(format!("{}😀", "x".repeat(4094)))] {
        let full = mark_repeat(Post::text(body));
        assert!(rich(&full).text.ends_with('…'));
        sendable(&full).unwrap();
    }
    let full = "x".repeat(4000);
    assert!(rich(&mark_repeat(Post::text(Rich::plain(full.clone())))).text.ends_with(&full));
    let photo = Body::Photo { png: vec![1].into(), caption: Rich::default() };
    let photo = mark_repeat(Post { body: photo, ..post });
    assert_eq!(rich(&photo).text, REPEAT.trim_end());
    sendable(&photo).unwrap();
}

#[test]
fn a_refused_message_goes_plain_or_short() {
    let post = only(&[Block::text(format!("**bold** {}", "word ".repeat(400)))]);
    let bare = plain(post.clone());
    assert_eq!((rich(&bare).text.as_str(), rich(&bare).entities.len()), (rich(&post).text.as_str(), 0));
    let parts = shorten(post.clone());
    assert_eq!(parts.len(), 2);
    assert!(units(&rich(&parts[0]).text) < 1100 && shown(rich(&parts[0]))[0].1 == "bold");
    let Body::File { content, .. } = &parts[1].body else { panic!("{parts:?}") };
    assert_eq!(std::str::from_utf8(content).unwrap(), rich(&post).text);
    let card = shorten(card::card(&sample(), &look()));
    let taps: Vec<_> = card[0].keyboard.iter().flatten().map(|t| t.label.as_str()).collect();
    assert_eq!(taps, ["✖ Deny"]);
    assert!(rich(&card[0]).text.ends_with("then send /approve 00000000000000000000000000000abc"));
    card.iter().chain(&parts).for_each(|p| sendable(p).unwrap());
}

#[test]
fn the_preview_shows_what_is_known_the_last_words_and_what_goes_on() {
    let table =
        Block::Table { title: Some("Services".into()), columns: own(&["a"]), rows: vec![own(&["1"])] };
    let seen = Block::Findings { title: "t".into(), items: vec![finding(Severity::Critical, "q")] };
    let got = live(&[table, seen], "**web** is\n```sh\ncurl", Some("looking at logs"), &look());
    assert_rich(
        &got,
        "▦ Services (1 row)\n🛑 web is unhealthy\n\nweb is\ncurl\n\n⏳ looking at logs",
        &[("bold", "Services"), ("bold", "web is unhealthy"), ("bold", "web"), ("pre sh", "curl")],
    );
    assert_eq!(live(&[], "", None, &look()).text, "⏳ working");
    assert_eq!(live(&[], " \u{200b}", Some("\u{1b}"), &look()).text, "⏳ working");
    assert_eq!(live(&[], "words", None, &look()).text, "words");
    let long = live(&[], &"line of text\n".repeat(9000), Some("still"), &look());
    assert!(long.text.starts_with("…\nline of text\n") && long.text.ends_with("line of text\n\n⏳ still"));
    sound(&long, 4000).unwrap();
}

fn words() -> impl Strategy<Value = String> {
    let nasty = proptest::sample::select(vec![
        "",
        " ",
        "\n",
        "**b**",
        "`c`",
        "👨‍👩‍👧",
        "e\u{301}",
        "שלום",
        "\u{202e}x",
        "/restart 19",
        "@evil",
        "\u{1b}[31m",
        "\u{0}",
        "```\nx\n```",
        "# h",
        "| a |\n|---|\n| b |",
        "> q",
        "[t](https://e.example)",
        "=cmd",
        "日本語",
        "\r\n",
        "\u{2800}",
    ]);
    let piece = prop_oneof![
        6 => nasty.prop_map(str::to_owned),
        3 => "[a-z ]{0,30}",
        1 => any::<String>(),
        1 => (0usize..3000).prop_map(|n| "long word ".repeat(n / 10)),
        1 => (0usize..3000).prop_map(|n| "/a ".repeat(n / 30)),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn cards() -> impl Strategy<Value = Card> {
    let state = proptest::sample::select(vec![
        CardState::Pending,
        CardState::Executing,
        CardState::Done,
        CardState::Unknown,
        CardState::Superseded,
    ]);
    let texts = || proptest::collection::vec(words(), 0..6);
    (texts(), texts(), words(), proptest::option::of(words()), state, any::<bool>()).prop_map(
        |(calls, steps, reason, outcome, state, two)| Card {
            calls,
            steps,
            risk: if two { Risk::TwoPerson } else { Risk::Confirm },
            eligible: reason.clone(),
            reason,
            outcome,
            state,
            ..sample()
        },
    )
}

fn blocks() -> impl Strategy<Value = Vec<Block>> {
    let cells = || proptest::collection::vec(words(), 0..5);
    let rows = proptest::collection::vec(cells(), 0..12);
    let found = (words(), words(), proptest::option::of(words())).prop_map(|(summary, source, quote)| {
        Finding { summary, source, quote, ..finding(Severity::Warning, "") }
    });
    let block = prop_oneof![
        words().prop_map(|text| Block::Text { text }),
        words().prop_map(|text| Block::notice(Level::Error, text)),
        (proptest::option::of(words()), cells(), rows).prop_map(|(title, columns, rows)| Block::Table {
            title,
            columns,
            rows
        }),
        (words(), proptest::collection::vec(words(), 0..60), any::<u64>())
            .prop_map(|(source, lines, omitted)| Block::Log { source, lines, omitted }),
        (words(), proptest::collection::vec(found, 0..40))
            .prop_map(|(title, items)| Block::Findings { title, items }),
        (words(), 0usize..20, any::<f64>()).prop_map(|(title, lines, limit)| Block::Chart(Chart {
            threshold: Some(limit),
            unit: title.clone(),
            ..chart(&title, lines)
        })),
        Just(Block::Chart(chart("undrawable", 30))),
        (words(), any::<u64>(), words()).prop_map(|(name, bytes, summary)| Block::File {
            name,
            bytes,
            summary
        }),
        (words(), proptest::collection::vec((words(), words()), 0..60))
            .prop_map(|(title, buttons)| Block::Buttons { title, buttons }),
        cards().prop_map(Block::Card),
    ];
    proptest::collection::vec(block, 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whatever_is_shown_telegram_takes_it(blocks in blocks(), text in words(), room in 600usize..4000) {
        let look = Look { room, ..look() };
        for post in render(&blocks, &look) {
            sendable(&post).map_err(TestCaseError::fail)?;
            prop_assert!(!matches!(&post.body, Body::Text(rich) if rich.units() > room));
            for next in shorten(post.clone()).into_iter().chain([plain(post.clone()), mark_repeat(post.clone())]) {
                sendable(&next).map_err(TestCaseError::fail)?;
            }
            if let Body::Text(_) = post.body {
                let before = rich(&post).text.clone();
                prop_assert!(rich(&mark_repeat(post)).text.ends_with(&before), "the room left no room for the mark");
            }
        }
        for progress in [None, Some(text.as_str())] {
            sound(&live(&blocks, &text, progress, &look), room).map_err(TestCaseError::fail)?;
        }
    }
}
