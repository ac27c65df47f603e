//! What outlives a crash: open messages, committed replies, cards and decisions; each once, and no write again.

use std::{os::unix::fs::PermissionsExt, time::Duration};

use jiff::{SignedDuration, Timestamp};
use opsbot::{
    domain::{
        Actor, Block, CardState, ChannelKind, ConversationKey, Inbound, Level, Origin, Role, TurnStatus,
    },
    policy::{self, approval::Verb},
    store::TurnEnd,
};

use sqlx::{Connection, SqliteConnection};

use super::rig::{ANNA, CLEO, DORA, Line, Phone, SOON, asks, data};
use crate::{
    daemon::house::House,
    fake::{
        model::{FakeModel, Say},
        telegram::{FakeTelegram, Fault, Options, Shown},
    },
    scenarios::world::{actor, restart, text},
};

const YES: &str = "✅ Confirm";
const STUB: &str = "shown again below";
const REPEAT: &str = "↻";

async fn asked(phone: &Phone, user: i64, args: &str) -> Shown {
    phone.telegram.say(user, user, &format!("/restart_container {args}"));
    let card = phone.card(user).await;
    phone.quiet().await;
    card
}

fn annas() -> ConversationKey {
    ConversationKey::in_chat(ChannelKind::Telegram, ANNA, None, &"anna".into())
}

/// What anna said by a button or in words, as the intake keeps it.
fn from_anna(origin: Origin, text: &str) -> Inbound {
    let actor = Actor { role: Role::Operator, channel: ChannelKind::Telegram, origin, person: "anna".into() };
    Inbound::new(annas(), actor, text)
}

/// Takes a message in as if the process had ended right after that commit.
async fn took(phone: &Phone, update: i64, inbound: Inbound) {
    let messages = [(format!("telegram:{update}"), inbound)];
    phone.world.engine.store().inbox_take(&messages, Timestamp::now()).await.unwrap();
}

/// Waits for a live message in anna's chat that holds `part`, and until its row knows it.
async fn live(phone: &Phone, part: &str) -> Shown {
    let live = phone.sees(ANNA, part).await;
    let url = format!("sqlite://{}", phone.world.dir().join("opsbot.db").display());
    let mut db = SqliteConnection::connect(&url).await.unwrap();
    let known = async {
        let query = "SELECT COUNT(*) FROM inbox WHERE live IS NOT NULL";
        while sqlx::query_scalar::<_, i64>(query).fetch_one(&mut db).await.unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, known).await.expect("the live message is not written down");
    live
}

/// A crash and the next start.
async fn start_anew(phone: &mut Phone) {
    phone.crash().await;
    phone.connect().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_that_waits_is_shown_again_and_can_be_decided_from_both() {
    for from_the_old in [true, false] {
        let mut phone = Line::default().plain().await;
        let old = asked(&phone, ANNA, "19 web").await;
        start_anew(&mut phone).await;
        let stub = phone.becomes(ANNA, old.id, STUB).await;
        assert!(stub.keyboard.is_empty());
        let new = phone.card(ANNA).await;
        assert!(new.id > old.id && !new.silent && new.text == old.text, "{}", new.text);
        phone.quiet().await;
        assert_eq!(phone.shown(ANNA).len(), 2, "{}", phone.telegram.transcript());
        let (pressed, button) = if from_the_old { (old.id, data(&old, "✅")) } else { (new.id, YES.into()) };
        let heard = phone.press(ANNA, ANNA, pressed, &button).await;
        assert!(heard.text.starts_with("Confirmed"), "{heard:?}");
        let done = phone.becomes(ANNA, new.id, "all up").await;
        assert!(done.keyboard.is_empty());
        phone.quiet().await;
        assert_eq!(phone.world.writes(), ["19/web"]);
        // Settled: the next start leaves everything as it is.
        let before = phone.shown(ANNA).len();
        start_anew(&mut phone).await;
        phone.telegram.say(ANNA, ANNA, "/whoami");
        phone.sees(ANNA, "You are anna").await;
        assert_eq!(phone.shown(ANNA).len(), before + 1, "{}", phone.telegram.transcript());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stub_that_could_not_be_made_is_made_by_a_later_start_and_nothing_is_shown_a_third_time() {
    let mut phone = Line::default().plain().await;
    let old = asked(&phone, ANNA, "19 web").await;
    // Whichever comes first, the stub or the new card, is cut off by the next crash.
    phone.crash().await;
    phone.telegram.fault_in(ANNA, "", 1, Fault::LandThenHang);
    let before = phone.telegram.calls().len();
    phone.connect().await;
    let hung = |c: &crate::fake::telegram::Call| c.chat == Some(ANNA) && c.landed;
    phone.telegram.wait_for(|w| w.calls[before..].iter().any(hung), SOON).await;
    start_anew(&mut phone).await;
    phone.becomes(ANNA, old.id, STUB).await;
    phone.quiet().await;
    assert_eq!(phone.copies(ANNA, STUB), 1);
    let cards: Vec<_> = phone.shown(ANNA).into_iter().filter(asks).collect();
    assert!((1..=2).contains(&cards.len()), "{}", phone.telegram.transcript());
    assert!(cards[1..].iter().all(|c| c.text.starts_with(REPEAT)), "{cards:#?}");
    phone.press(ANNA, ANNA, cards[0].id, YES).await;
    for card in &cards {
        phone.becomes(ANNA, card.id, "all up").await;
    }
    assert_eq!(phone.world.writes(), ["19/web"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_that_lapsed_meanwhile_says_so_and_is_not_shown_again() {
    let mut line = Line::default();
    line.setup.bounds.approval = SignedDuration::from_secs(2);
    let mut phone = line.plain().await;
    let card = asked(&phone, ANNA, "19 web").await;
    phone.disconnect().await;
    let lapses = Timestamp::now() + SignedDuration::from_secs(2);
    while Timestamp::now() < lapses {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    phone.world.reopen().await;
    phone.connect().await;
    phone.becomes(ANNA, card.id, "Expired, nothing was run").await;
    phone.quiet().await;
    assert_eq!(phone.shown(ANNA).len(), 1, "{}", phone.telegram.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_a_crash_cut_off_is_unknown_and_never_runs_again() {
    let mut phone = Line::default().plain().await;
    let card = asked(&phone, ANNA, "19 web").await;
    phone.world.site.change(|s| s.held = true);
    phone.press(ANNA, ANNA, card.id, YES).await;
    phone.world.site.until(|s| s.entered == 1).await;
    phone.crash().await;
    phone.world.site.change(|s| s.held = false);
    phone.connect().await;
    let unknown = phone.becomes(ANNA, card.id, "Outcome unknown: verify by hand").await;
    assert!(unknown.keyboard.is_empty());
    // An edit makes no sound: a line below does.
    let found =
        |w: &crate::fake::telegram::World| w.from_bot(ANNA).find(|m| m.reply_to == Some(card.id)).cloned();
    let told = phone.telegram.wait_some(found, SOON).await;
    assert!(told.text.contains("unknown") && !told.silent, "{}", told.text);
    let heard = phone.press(ANNA, ANNA, card.id, &data(&card, "✅")).await;
    assert!(heard.alert && heard.text.contains("verify by hand"), "{heard:?}");
    phone.quiet().await;
    assert_eq!(phone.shown(ANNA).len(), 2, "{}", phone.telegram.transcript());
    assert_eq!(phone.world.site.read(|s| (s.writes.len(), s.entered)), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_message_is_answered_once_in_the_live_message_that_stood() {
    let line = Line { placeholder_after: Duration::from_millis(20), ..Line::default() };
    let mut phone = line.plain().await;
    phone.world.site.change(|s| s.held = true);
    phone.telegram.say(ANNA, ANNA, "/check_up 19");
    let live = live(&phone, "check_up(customer_id=19) …").await;
    for _ in 0..3 {
        start_anew(&mut phone).await;
    }
    phone.world.site.change(|s| s.held = false);
    let answer = phone.becomes(ANNA, live.id, "upstream timed out").await;
    assert!(answer.keyboard.is_empty());
    phone.quiet().await;
    assert_eq!(phone.shown(ANNA).len(), 1, "{}", phone.telegram.transcript());
    start_anew(&mut phone).await;
    phone.telegram.say(ANNA, ANNA, "/whoami");
    phone.sees(ANNA, "You are anna").await;
    assert_eq!(phone.shown(ANNA).len(), 2, "{}", phone.telegram.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_to_the_model_survives_and_its_card_is_shown_once() {
    // Silent until the crash, then a card.
    let model = FakeModel::answering(|_, n| if n == 0 { Say::Silent } else { restart("19", "web") }).await;
    let mut phone = Line::default().open(Some(model)).await;
    phone.telegram.say(ANNA, ANNA, "restart the web of customer 19");
    phone.world.model().until(|s| s.requests.len() == 1).await;
    start_anew(&mut phone).await;
    phone.card(ANNA).await;
    phone.quiet().await;
    let store = phone.world.engine.store();
    assert_eq!(store.approvals_recent(9).await.unwrap().len(), 1);
    assert_eq!((phone.shown(ANNA).len(), phone.copies(ANNA, "Approval needed")), (1, 1));
    let said = store.history(&annas()).await.unwrap().into_iter().filter(|r| r.kind == "user").count();
    assert_eq!(said, 1, "the message stands once in the history");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_that_was_asked_but_never_shown_is_replaced_without_a_word() {
    let mut phone = Line::default().plain().await;
    phone.disconnect().await;
    // The card's row was committed, the end of its turn was not.
    let unseen = phone.world.send(from_anna(Origin::Typed, "/restart_container 19 web")).await.card();
    took(&phone, 77, from_anna(Origin::Typed, "/restart_container 19 web")).await;
    phone.world.reopen().await;
    phone.connect().await;
    let card = phone.card(ANNA).await;
    phone.quiet().await;
    assert_eq!(phone.shown(ANNA).len(), 1, "{}", phone.telegram.transcript());
    assert!(!data(&card, "✅").contains(&unseen.id.to_string()));
    assert_eq!(phone.world.state(&unseen).await, CardState::Superseded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_press_that_was_taken_counts_after_the_crash_with_the_rights_of_then() {
    // (her role after the restart, what becomes of the card)
    for (role, runs) in [(Some(Role::Operator), true), (Some(Role::Viewer), false), (None, false)] {
        let mut phone = Line::default().plain().await;
        let card = asked(&phone, ANNA, "19 web").await;
        let approve = data(&card, "✅").replace("a:", "/approve ");
        phone.disconnect().await;
        took(&phone, 77, from_anna(Origin::Button, &approve)).await;
        phone.world.setup.people.retain_mut(|p| {
            let anna = p.name.as_str() == "anna";
            if let Some(role) = role.filter(|_| anna) {
                p.role = role;
            }
            !anna || role.is_some()
        });
        phone.world.reopen().await;
        phone.connect().await;
        phone.quiet().await;
        assert_eq!(phone.world.writes().len(), usize::from(runs), "{role:?}");
        let part = if runs { "all up" } else { "Approval needed" };
        phone.sees(ANNA, part).await;
        start_anew(&mut phone).await;
        phone.quiet().await;
        assert_eq!(phone.world.writes().len(), usize::from(runs), "{role:?}: once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_of_two_outlives_a_crash_on_every_copy() {
    let mut line = Line::default();
    line.setup.rules = "[[policy.rule]]\nid = \"two\"\neffect = \"two_person\"\n\
                        tools = [\"restart_container\"]\nreason = \"two\"\n"
        .into();
    let mut phone = line.plain().await;
    let card = asked(&phone, ANNA, "19 web").await;
    // The first yes was kept, and then the power went.
    phone.disconnect().await;
    let approve = data(&card, "✅").replace("a:", "/approve ");
    took(&phone, 77, from_anna(Origin::Button, &approve)).await;
    phone.world.reopen().await;
    phone.connect().await;
    let (cleo, dora) = (phone.card(CLEO).await, phone.card(DORA).await);
    phone.quiet().await;
    start_anew(&mut phone).await;
    phone.becomes(CLEO, cleo.id, STUB).await;
    phone.becomes(DORA, dora.id, STUB).await;
    phone.quiet().await;
    let cleo = phone.card(CLEO).await;
    phone.press(CLEO, CLEO, cleo.id, "✅ Confirm (2 of 2)").await;
    for chat in [ANNA, CLEO, DORA] {
        phone.sees(chat, "web of 19 restarted, all up").await;
        phone.telegram.wait_for(|w| !w.from_bot(chat).any(asks), SOON).await;
    }
    assert_eq!(phone.world.writes(), ["19/web"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_policy_after_the_restart_voids_the_card_and_it_says_so() {
    let mut phone = Line::default().plain().await;
    let old = asked(&phone, ANNA, "19 web").await;
    phone.world.setup.rules =
        "[[policy.rule]]\nid = \"no\"\neffect = \"blocked\"\ntools = [\"restart_container\"]\nreason = \"no\"\n".into();
    phone.disconnect().await;
    phone.world.reopen().await;
    phone.connect().await;
    phone.becomes(ANNA, old.id, STUB).await;
    phone.quiet().await;
    let card = phone.card(ANNA).await;
    let heard = phone.press(ANNA, ANNA, card.id, YES).await;
    assert!(heard.alert && heard.text.contains("the policy changed"), "{heard:?}");
    phone.becomes(ANNA, card.id, "the policy changed").await;
    assert!(phone.world.writes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_that_were_only_committed_are_sent_unmarked_once_and_in_order() {
    let mut phone = Line::default().plain().await;
    let card = asked(&phone, ANNA, "19 web").await;
    phone.disconnect().await;
    let id = data(&card, "✅").trim_start_matches("a:").parse().unwrap();
    let approval = phone.world.engine.store().approval_get(id).await.unwrap().unwrap();
    phone
        .world
        .decide(actor("cleo"), &policy::card(&approval), Verb::Approve)
        .await
        .ended(TurnStatus::Answered);
    for n in 0..5 {
        let reply = [Block::notice(Level::Info, format!("row {n}"))];
        let end = TurnEnd { reply: &reply, ..TurnEnd::default() };
        phone.world.engine.store().end_turn(&annas(), end, Timestamp::now()).await.unwrap();
    }
    phone.world.reopen().await;
    phone.connect().await;
    phone.sees(ANNA, "row 4").await;
    phone.becomes(ANNA, card.id, "all up").await;
    phone.quiet().await;
    start_anew(&mut phone).await;
    phone.quiet().await;
    let texts: Vec<_> = phone.shown(ANNA).into_iter().map(|m| m.text).collect();
    assert_eq!(texts.len(), 7, "{texts:#?}");
    assert!(texts[1].contains("cleo approved"), "{texts:#?}");
    for (n, text) in texts[2..].iter().enumerate() {
        assert!(text.contains(&format!("row {n}")) && !text.contains(REPEAT), "{texts:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_whose_sending_was_cut_off_comes_once_more_with_a_mark() {
    for (fault, before) in [(Fault::LandThenHang, 1), (Fault::Hang, 0)] {
        let mut phone = Line::default().plain().await;
        phone.telegram.fault_in(ANNA, "sendMessage", 1, fault.clone());
        phone.telegram.say(ANNA, ANNA, "/check_up 19");
        let sends =
            |w: &crate::fake::telegram::World| w.calls.iter().filter(|c| c.method == "sendMessage").count();
        phone.telegram.wait_for(|w| sends(w) == 1, SOON).await;
        phone.crash().await;
        phone.connect().await;
        let repeat = phone.sees(ANNA, REPEAT).await;
        assert!(repeat.text.contains("upstream timed out"));
        phone.quiet().await;
        assert_eq!(phone.copies(ANNA, "upstream timed out"), before + 1, "{fault:?}");
        start_anew(&mut phone).await;
        phone.quiet().await;
        assert_eq!(phone.shown(ANNA).len(), before + 1, "{fault:?}: {}", phone.telegram.transcript());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_landed_before_the_crash_is_not_sent_again() {
    let line = Line { placeholder_after: Duration::from_millis(20), ..Line::default() };
    let mut phone = line.plain().await;
    phone.world.site.change(|s| s.held = true);
    phone.telegram.say(ANNA, ANNA, "/check_up 19");
    let live = live(&phone, "check_up(customer_id=19) …").await;
    phone.telegram.fault_in(ANNA, "editMessageText", 1, Fault::LandThenHang);
    phone.world.site.change(|s| s.held = false);
    phone.becomes(ANNA, live.id, "upstream timed out").await;
    start_anew(&mut phone).await;
    phone.quiet().await;
    assert_eq!(phone.shown(ANNA).len(), 1, "{}", phone.telegram.transcript());
    assert!(!phone.shown(ANNA)[0].text.contains(REPEAT));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_open_at_six_starts_is_given_up_with_a_sentence() {
    let line = Line { placeholder_after: Duration::from_millis(20), ..Line::default() };
    let mut phone = line.plain().await;
    phone.world.site.change(|s| s.held = true);
    phone.telegram.say(ANNA, ANNA, "/check_up 19");
    let live = live(&phone, "check_up").await;
    phone.world.site.until(|s| s.entered == 1).await;
    for start in 1..=5 {
        start_anew(&mut phone).await;
        phone.world.site.until(|s| s.entered == start + 1).await;
    }
    assert_eq!(phone.copies(ANNA, "ended several times"), 0);
    start_anew(&mut phone).await;
    phone.becomes(ANNA, live.id, "ended several times").await;
    phone.quiet().await;
    assert_eq!(phone.shown(ANNA).len(), 1, "{}", phone.telegram.transcript());
    assert_eq!(phone.world.site.read(|s| s.entered), 6);
    phone.world.site.change(|s| s.held = false);
    phone.telegram.say(ANNA, ANNA, "/check_up 7");
    phone.sees(ANNA, "upstream timed out for 7").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_runs_again_in_the_same_process_takes_nothing_up_twice() {
    let mut phone = Line::default().scripted(vec![text("All is well.")]).await;
    let card = asked(&phone, ANNA, "19 web").await;
    phone.world.site.change(|s| s.held = true);
    phone.telegram.say(ANNA, ANNA, "/check_up 19");
    phone.world.site.until(|s| s.entered == 1).await;
    for _ in 0..7 {
        phone.run_again().await;
    }
    phone.world.site.change(|s| s.held = false);
    phone.sees(ANNA, "upstream timed out").await;
    phone.quiet().await;
    assert_eq!(phone.world.site.read(|s| s.entered), 1, "it was answered once");
    assert_eq!(phone.shown(ANNA).len(), 2, "{}", phone.telegram.transcript());
    assert!(asks(&phone.telegram.message(ANNA, card.id).unwrap()), "no restart, no stub");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_daemon_killed_while_it_sends_says_it_once_more_with_a_mark() {
    let telegram = FakeTelegram::start(Options::default()).await;
    telegram.private(ANNA, "anna");
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, telegram.token()).unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let more = format!(
        "[[person]]\nname = \"anna\"\nrole = \"admin\"\ntelegram_id = {ANNA}\n[telegram]\ntoken = {{ file = \"{}\" }}\napi_url = \"{}\"\n",
        token.display(),
        telegram.url()
    );
    let house = House::with("tcp://127.0.0.1:9", &more);
    let daemon = house.start().await;
    telegram.fault_in(ANNA, "sendMessage", 1, Fault::LandThenHang);
    telegram.say(ANNA, ANNA, "/whoami");
    telegram.wait_message(ANNA, |m| m.text.contains("You are anna"), SOON).await;
    daemon.kill().await;
    let daemon = house.start().await;
    telegram.wait_message(ANNA, |m| m.text.contains(REPEAT) && m.text.contains("You are anna"), SOON).await;
    telegram.say(ANNA, ANNA, "/version");
    telegram.wait_message(ANNA, |m| m.text.contains("OpsBot 0"), SOON).await;
    let shown = telegram.look(|w| w.from_bot(ANNA).count());
    assert_eq!(shown, 3, "{}", telegram.transcript());
    daemon.stop().await;
}
