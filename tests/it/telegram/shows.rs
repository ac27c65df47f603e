//! What stands in the chat in the end: one message that grew, or a file, a picture, a card; never leftovers.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use opsbot::{
    agent::port::{RunContext, Tool},
    domain::{
        Block, Chart, Outcome, ResolvedCall, Risk, Target, ToolCall, ToolError, ToolOutput, ToolSpec,
        outbound,
    },
    policy::Permit,
};

use super::rig::{ANNA, Line, Phone, SOON};
use crate::{
    fake::{
        model::Say,
        telegram::{MediaKind, World},
    },
    scenarios::world::{Setup, restart},
};

/// A tool that shows these blocks.
pub struct Shows {
    spec: ToolSpec,
    blocks: Vec<Block>,
}

impl Shows {
    pub fn tool(name: &'static str, blocks: Vec<Block>) -> Arc<dyn Tool> {
        let spec = ToolSpec {
            name,
            summary: "Shows something.",
            params: vec![],
            floor: Risk::Safe,
            default: Risk::Safe,
            phrases: &[],
            untrusted: false,
            timeout: Duration::from_secs(5),
        };
        Arc::new(Self { spec, blocks })
    }
}

#[async_trait]
impl Tool for Shows {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn resolve(&self, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        Ok(ResolvedCall { call: call.clone(), target: Target::default(), plan: vec![], steps: vec![] })
    }

    async fn call(&self, _: Permit, _: &RunContext) -> Result<ToolOutput, ToolError> {
        let (summary, text) = ("shown".to_owned(), "shown".to_owned());
        Ok(ToolOutput { outcome: Outcome::Ok, summary, text, blocks: self.blocks.clone() })
    }
}

async fn showing(blocks: Vec<Block>) -> Phone {
    let line = Line::default();
    let setup = Setup { more: vec![Shows::tool("get_metrics", blocks)], ..line.setup };
    Line { setup, ..line }.plain().await
}

fn hasty() -> Line {
    Line { placeholder_after: Duration::from_millis(150), ..Line::default() }
}

/// A turn that hangs, and the live message that shows it.
async fn hanging(said: &str) -> (Phone, i32) {
    let phone = hasty().plain().await;
    phone.world.site.change(|s| s.held = true);
    phone.telegram.say(ANNA, ANNA, said);
    phone.world.site.until(|s| s.entered == 1).await;
    let live = phone.button(ANNA, "■ Stop").await;
    assert!(live.text.contains('⏳'), "{}", live.text);
    (phone, live.id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_of_life_comes_first_and_a_placeholder_only_when_it_takes_long() {
    let phone = Line { placeholder_after: Duration::from_millis(600), ..Line::default() }.plain().await;
    phone.world.site.change(|s| s.held = true);
    let asked = phone.telegram.say(ANNA, ANNA, "/check_up 19");
    let live = phone.button(ANNA, "■ Stop").await;
    let question = phone.telegram.message(ANNA, asked).unwrap();
    assert!(live.at - question.at >= Duration::from_millis(600), "{:?}", live.at - question.at);
    let action = phone.telegram.actions(ANNA)[0].clone();
    assert!(action.at < live.at, "{:?}", action.at - question.at);
    phone.world.site.change(|s| s.held = false);
    let answer = phone.sees(ANNA, "timed out for 19").await;
    phone.quiet().await;
    assert_eq!((answer.id, answer.keyboard.len()), (live.id, 0));
    assert_eq!(phone.shown(ANNA).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_answer_grows_in_one_message() {
    let words: Vec<String> = (0..60).map(|n| format!("word{n}")).collect();
    let said = words.join(" ");
    let phone = hasty().scripted(vec![Say::Slow { text: said.clone(), chunk_ms: 15 }]).await;
    phone.telegram.say(ANNA, ANNA, "tell me");
    let answer = phone.sees(ANNA, &said).await;
    phone.quiet().await;
    let answer = phone.telegram.message(ANNA, answer.id).unwrap();
    assert_eq!((answer.text.as_str(), answer.keyboard.len()), (said.as_str(), 0));
    let grew: Vec<_> = answer.past.iter().filter(|p| p.contains("word")).collect();
    assert!(grew.len() >= 2 && grew.is_sorted_by_key(|p| p.len()), "{:?}", answer.past);
    assert_eq!(phone.telegram.look(|w| w.from_bot(ANNA).count()), 1, "{}", phone.telegram.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_by_button_or_word_ends_a_turn_that_hangs() {
    for typed in [false, true] {
        let (phone, live) = hanging("/check_up 19").await;
        if typed {
            phone.telegram.say(ANNA, ANNA, "/stop");
            phone.sees(ANNA, "Stopping 1.").await;
        } else {
            let (message, told) = phone.tap(ANNA, ANNA, "■ Stop").await;
            assert_eq!((message, told.text.as_str()), (live, "Stopping 1."));
        }
        let stopped = |w: &World| {
            w.message(ANNA, live).is_some_and(|m| m.text.contains("Stopped.") && m.keyboard.is_empty())
        };
        phone.telegram.wait_for(stopped, SOON).await;
        phone.quiet().await;
        assert_eq!(phone.world.site.read(|s| s.dropped), 1);
        assert_eq!(phone.shown(ANNA).len(), 1 + usize::from(typed), "{}", phone.telegram.transcript());
        phone.world.site.change(|s| s.held = false);
        phone.telegram.say(ANNA, ANNA, "/check_up 7");
        phone.sees(ANNA, "timed out for 7").await;
        let press = phone.telegram.press_data(ANNA, ANNA, live, "s");
        assert_eq!(phone.answer(&press).await.text, "Nothing is running.");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_also_ends_what_waits() {
    let (phone, _) = hanging("/check_up 19").await;
    phone.telegram.say(ANNA, ANNA, "/check_up 7");
    phone.heard().await;
    phone.telegram.say(ANNA, ANNA, "/stop");
    phone.sees(ANNA, "Stopping 2.").await;
    phone
        .telegram
        .wait_for(|w| w.from_bot(ANNA).filter(|m| m.text.contains("Stopped.")).count() == 2, SOON)
        .await;
    phone.quiet().await;
    assert_eq!((phone.copies(ANNA, "⏳"), phone.world.site.read(|s| s.entered)), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_message_goes_when_the_answer_is_no_text() {
    let long: String = (0..500).map(|n| format!("line {n}\n")).collect();
    let (phone, live) = hanging("/get_recent_logs 19 web").await;
    phone.world.site.log("19", long);
    phone.world.site.change(|s| s.held = false);
    let file = phone.sees(ANNA, "The last and most telling of 500 lines").await;
    phone.quiet().await;
    assert!(phone.telegram.message(ANNA, live).unwrap().deleted && file.id != live);
    assert_eq!(phone.copies(ANNA, "⏳"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_takes_the_place_of_its_live_message() {
    let text = "I will ask for that now, so that you can decide about it. ".repeat(4);
    let phone = hasty().scripted(vec![restart("19", "web"), Say::Slow { text, chunk_ms: 20 }]).await;
    phone.telegram.say(ANNA, ANNA, "restart web of customer 19");
    let card = phone.button(ANNA, "✅ Confirm").await;
    phone.quiet().await;
    assert_eq!(phone.copies(ANNA, "■"), 0);
    assert_eq!(phone.copies(ANNA, "⏳ Approval needed"), 1, "{}", phone.telegram.transcript());
    assert!(phone.shown(ANNA).iter().all(|m| m.keyboard.is_empty() || m.id == card.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_log_is_a_file_with_its_telling_lines() {
    let phone = Line::default().plain().await;
    let line = |n: usize| format!("2026-11-21 10:00:00 GET /{n} 200\n");
    let mut lines: Vec<_> = (0..600).map(line).collect();
    lines[100] = "2026-11-21 10:00:00 ERROR disk is full\n".into();
    let log = lines.concat();
    phone.world.site.log("19", &log);
    phone.telegram.say(ANNA, ANNA, "/get_recent_logs 19 web");
    let shown = phone.sees(ANNA, "of 600 lines").await;
    let file = shown.media.unwrap();
    assert_eq!(file.kind, MediaKind::Document);
    assert_eq!(std::str::from_utf8(&file.bytes).unwrap().trim_end(), log.trim_end());
    assert!(shown.text.contains("disk is full") && shown.text.contains("GET /599"), "{}", shown.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wide_table_is_a_spreadsheet_with_its_first_rows() {
    let columns: Vec<_> = (0..9).map(|n| format!("a long column {n}")).collect();
    let rows = (0..40).map(|r| (0..9).map(|c| format!("value {r} of {c}")).collect()).collect();
    let phone = showing(vec![Block::Table { title: Some("Usage".into()), columns, rows }]).await;
    phone.telegram.say(ANNA, ANNA, "/get_metrics");
    let shown = phone.sees(ANNA, "40 rows, 9 columns").await;
    let file = shown.media.unwrap();
    assert!(file.name.ends_with(".csv"), "{}", file.name);
    let csv = std::str::from_utf8(&file.bytes).unwrap();
    assert!(csv.lines().count() == 41 && csv.contains("value 39 of 8"));
    assert!(shown.text.contains("value 0 of 8"), "{}", shown.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_is_a_picture_that_a_phone_shows_sharply() {
    let at = |n: i64| Timestamp::from_second(1_790_000_000 + 60 * n).unwrap();
    let points = (0..60).map(|n| (at(n), 40.0 + f64::from(n as i32 % 7))).collect();
    let series = vec![outbound::Series { name: "web".into(), points }];
    let chart = Chart { title: "CPU of 19".into(), unit: "%".into(), series, threshold: Some(80.0) };
    let phone = showing(vec![Block::Chart(chart)]).await;
    phone.telegram.say(ANNA, ANNA, "/get_metrics");
    let shown = phone.sees(ANNA, "CPU of 19").await;
    let photo = shown.media.unwrap();
    assert_eq!(photo.kind, MediaKind::Photo);
    let picture = tiny_skia::Pixmap::decode_png(&photo.bytes).unwrap();
    assert!(picture.width() >= 1000 && picture.height() >= 500, "{}×{}", picture.width(), picture.height());
    let first = picture.pixels()[0];
    assert!(picture.pixels().iter().any(|p| *p != first), "something is drawn");
}

#[tokio::test(flavor = "multi_thread")]
async fn long_text_of_any_script_is_whole_over_several_messages() {
    let family = "👨\u{200d}👩\u{200d}👧\u{200d}👦";
    let words = [family, "שלום", "مرحبا", "e\u{301}a\u{308}o\u{327}", "🇩🇪", "naïve", "日本語", "👍🏽"];
    let paragraph = |n: usize| {
        // No two are alike: a model that repeats itself is cut off.
        let words: Vec<_> =
            (0..40).map(|w| format!("{}{}", words[(n + w) % words.len()], n * 40 + w)).collect();
        format!("{n} {}.", words.join(" "))
    };
    let said = (0..45).map(paragraph).collect::<Vec<_>>().join("\n\n");
    let phone = Line::default().scripted(vec![Say::Text(said.clone())]).await;
    phone.telegram.say(ANNA, ANNA, "tell me all");
    phone.sees(ANNA, &paragraph(44)).await;
    phone.quiet().await;
    let shown = phone.shown(ANNA);
    assert!(shown.len() >= 3, "{} messages", shown.len());
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let all: Vec<_> = shown.iter().flat_map(|m| words(&m.text)).collect();
    assert_eq!(all, words(&said));
    assert!(shown[1..].iter().all(|m| m.silent) && !shown[0].silent);
}
