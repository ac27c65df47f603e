//! Commands and buttons: what needs no typing, and what steers the bot itself.

use std::collections::BTreeMap;

use opsbot::{
    domain::{Block, Customer, CustomerId, ServiceName},
    engine::Directory,
};
use serde_json::json;

use super::{
    rig::{ANNA, CLEO, DORA, GROUP, Line, Phone, SOON, VIC},
    shows::Shows,
};
use crate::{
    fake::telegram::Shown,
    scenarios::world::{Setup, call, text},
};

fn labels(shown: &Shown) -> Vec<&str> {
    shown.keyboard.iter().flatten().map(|b| b.label.as_str()).collect()
}

/// Presses a button of this message and waits until the message shows `part`.
async fn go(phone: &Phone, user: i64, at: &Shown, label: &str, part: &str) -> Shown {
    let press = phone.telegram.press(at.chat, user, at.id, label);
    let find = |w: &crate::fake::telegram::World| {
        w.message(at.chat, at.id).filter(|m| m.text.contains(part)).cloned()
    };
    let shown = phone.telegram.wait_some(find, SOON).await;
    assert_eq!(phone.answer(&press).await.text, "");
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn a_menu_leads_to_a_command_without_typing() {
    let phone = Line::default().plain().await;
    for opened in ["/menu", "/start"] {
        phone.telegram.say(ANNA, ANNA, opened);
    }
    phone.telegram.wait_for(|w| w.from_bot(ANNA).count() == 2, SOON).await;
    let menu = phone.sees(ANNA, "Tap a customer").await;
    assert_eq!(
        labels(&menu),
        ["7 · Nordwind Bakery", "12 · Kestrel Books", "16 · Alder Dental", "19 · Bloom Flowers"]
    );
    let menu = go(&phone, ANNA, &menu, "19 · Bloom Flowers", "19 · Bloom Flowers").await;
    assert_eq!(labels(&menu), ["Check-up", "Health score", "Containers (3)", "« Customers"]);
    let menu = go(&phone, ANNA, &menu, "Containers (3)", "Containers of 19").await;
    let menu = go(&phone, ANNA, &menu, "web", "web of 19").await;
    assert_eq!(labels(&menu), ["Logs", "Restart…", "« Containers"]);
    phone.tap(ANNA, ANNA, "Restart…").await;
    let card = phone.button(ANNA, "✅ Confirm").await;
    assert!(card.text.contains("Asked by: anna") && card.text.contains("c19-web"), "{}", card.text);
    phone.tap(ANNA, ANNA, "Logs").await;
    phone.sees(ANNA, "timed out for 19").await;
    go(&phone, ANNA, &menu, "« Containers", "Containers of 19").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_menu_in_a_group_obeys_whoever_presses() {
    let phone = Line::default().plain().await;
    let asked = phone.telegram.say(GROUP, ANNA, "/menu");
    let menu = phone.sees(GROUP, "Tap a customer").await;
    assert_eq!(menu.reply_to, Some(asked));
    let menu = go(&phone, ANNA, &menu, "7 · Nordwind Bakery", "Nordwind").await;
    let menu = go(&phone, ANNA, &menu, "Containers (3)", "Containers of").await;
    let menu = go(&phone, ANNA, &menu, "db", "db of").await;
    let press = phone.telegram.press(GROUP, VIC, menu.id, "Restart…");
    phone.answer(&press).await;
    phone.sees(GROUP, "Refused").await;
    assert!(phone.world.engine.store().approvals_pending().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_menu_and_an_unknown_button_are_explained() {
    let phone = Line::default().plain().await;
    phone.telegram.say(ANNA, ANNA, "/menu");
    let menu = phone.sees(ANNA, "Tap a customer").await;
    for (data, part) in [
        ("m:c:99", "send /menu"),
        ("m:s:2:19cache", "send /menu"),
        ("k:00", "older version"),
        ("zz", "older version"),
    ] {
        let press = phone.telegram.press_data(ANNA, ANNA, menu.id, data);
        let answer = phone.answer(&press).await;
        assert!(answer.alert && answer.text.contains(part), "{data}: {answer:?}");
    }
    phone.quiet().await;
    assert_eq!(phone.shown(ANNA).len(), 1);
}

fn many(customers: usize) -> Directory {
    let id = |n: usize| CustomerId::new(format!("customer-{n:02}-{}", "x".repeat(60)));
    let customer =
        |n: usize| Customer { id: id(n), name: None, aliases: vec![], domain: None, labels: BTreeMap::new() };
    let service = |n: usize| (id(n), ServiceName::new(format!("web-{}", "y".repeat(60))));
    Directory {
        customers: (0..customers).map(customer).collect(),
        services: (0..customers).map(service).collect(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_customers_with_long_ids_are_paged_and_lead_on_even_after_a_restart() {
    let line = Line::default();
    let setup = Setup { directory: Some(many(30)), ..line.setup };
    let mut phone = Line { setup, ..line }.plain().await;
    phone.telegram.say(ANNA, ANNA, "/menu");
    let mut menu = phone.sees(ANNA, "Tap a customer").await;
    for page in 2..=4 {
        assert_eq!(menu.keyboard.len(), 9, "eight customers and a row to turn pages");
        let press = phone.telegram.press(ANNA, ANNA, menu.id, "▶");
        let turned = |w: &crate::fake::telegram::World| {
            let page = format!("{page}/4");
            w.message(ANNA, menu.id).filter(|m| labels(m).contains(&page.as_str())).cloned()
        };
        let next = phone.telegram.wait_some(turned, SOON).await;
        phone.answer(&press).await;
        menu = next;
    }
    assert_eq!(labels(&menu).len(), 6 + 2, "{menu:?}");
    phone.restart().await;
    let customer = labels(&menu)[5].to_owned();
    assert!(customer.starts_with("customer-29-"), "{customer}");
    let menu = go(&phone, ANNA, &menu, &customer, "customer-29-").await;
    let press = phone.telegram.press(ANNA, ANNA, menu.id, "Check-up");
    phone.answer(&press).await;
    // The site itself knows no such customer, and says so with its whole id.
    phone.sees(ANNA, &format!("customer-29-{}", "x".repeat(60))).await;
    let menu = go(&phone, ANNA, &menu, "Containers (1)", "Containers of").await;
    let service = labels(&menu)[0].to_owned();
    go(&phone, ANNA, &menu, &service, "web-yyy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_without_its_customer_asks_whose() {
    let phone = Line::default().plain().await;
    phone.telegram.say(ANNA, ANNA, "/check_up");
    let asks = phone.sees(ANNA, "Whose? Check up").await;
    phone.telegram.press(ANNA, ANNA, asks.id, "16 · Alder Dental");
    phone.sees(ANNA, "timed out for 16").await;
    phone.telegram.say(VIC, VIC, "/restart_container");
    phone.sees(VIC, "customer_id is missing").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn help_is_one_message_of_groups_to_tap() {
    let phone = Line::default().plain().await;
    phone.telegram.say(ANNA, ANNA, "/help");
    let help = phone.sees(ANNA, "Ask in plain words").await;
    assert!(help.media.is_none());
    for part in [
        "Look\n",
        "/check_up –",
        "/customers –",
        "Change, after a yes\n/restart_container –",
        "OpsBot itself\n",
        "/status –",
        "modify billing",
    ] {
        assert!(help.text.contains(part), "{part}: {}", help.text);
    }
    assert!(!help.text.contains("/unfreeze –"), "admins only");
    let coded = |e: &&serde_json::Value| e["type"] == "code";
    // What takes more than a customer is not tapped: a playbook's run, two that steer, five about incidents.
    assert_eq!(help.entities.iter().filter(coded).count(), 8, "{:?}", help.entities);
    go(&phone, ANNA, &help, "Customers", "Tap a customer").await;
    phone.telegram.say(ANNA, ANNA, "/help check_up");
    phone.sees(ANNA, "/check_up").await;
    phone.quiet().await;
    phone.sees(ANNA, "customer's id, name or alias").await;
    phone.telegram.say(CLEO, CLEO, "/help");
    assert!(phone.sees(CLEO, "Ask in plain words").await.text.contains("/unfreeze –"));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_steer_answer_in_the_chat() {
    let rows = vec![vec!["19".into(), "web is down".into()]];
    let alerts =
        Block::Table { title: Some("Alerts".into()), columns: vec!["customer".into(), "what".into()], rows };
    let line = Line::default();
    let setup = Setup { more: vec![Shows::tool("list_active_alerts", vec![alerts])], ..line.setup };
    let phone = Line { setup, ..line }.plain().await;
    for (user, said, part) in [
        (ANNA, "/version", "OpsBot 0."),
        (ANNA, "/whoami", "You are anna, operator on telegram."),
        (ANNA, "/status", "frozen"),
        (ANNA, "/alerts", "web is down"),
        (ANNA, "/pending", "No card waits for a decision."),
        (ANNA, "/stop", "Nothing is running."),
        (ANNA, "/nonsense", "/help lists them"),
        (VIC, "/freeze", "viewers may not freeze"),
        (ANNA, "/freeze", "Frozen: no writes by anyone"),
        (ANNA, "/restart_container 19 web", "frozen"),
        (ANNA, "/unfreeze", "only an admin may unfreeze"),
        (DORA, "/unfreeze", "Writes are possible again"),
    ] {
        let before = phone.shown(user).len();
        phone.telegram.say(user, user, said);
        let find =
            |w: &crate::fake::telegram::World| w.from_bot(user).filter(|m| !m.deleted).nth(before).cloned();
        let answer = phone.telegram.wait_some(find, SOON).await;
        assert!(answer.text.contains(part), "{said}: {}", answer.text);
        phone.quiet().await;
    }
    assert_eq!(phone.world.writes(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pending_never_answers_with_silence() {
    let phone = Line::default().plain().await;
    phone.telegram.say(ANNA, ANNA, "/restart_container 19 web");
    let card = phone.button(ANNA, "✅ Confirm").await.id;
    phone.quiet().await;
    phone.telegram.say(ANNA, ANNA, "/pending");
    let points = phone.sees(ANNA, "It waits in the message that this replies to").await;
    assert_eq!((points.reply_to, points.keyboard.len()), (Some(card), 0), "a card is shown once in a chat");
    phone.telegram.say(CLEO, CLEO, "/pending");
    phone.button(CLEO, "✅ Confirm").await;
    phone.tap(CLEO, CLEO, "✅ Confirm").await;
    phone.world.site.until(|s| s.writes.len() == 1).await;
    phone.sees(ANNA, "cleo approved").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_button_says_its_words_after_a_restart() {
    let words = "what of customer 19, whose shop has been slow since this morning, and what of its database?";
    assert!(words.len() > 64);
    let block = Block::Buttons { title: "Go on".into(), buttons: vec![("Ask on".into(), words.into())] };
    let line = Line::default();
    let setup = Setup { more: vec![Shows::tool("list_active_alerts", vec![block])], ..line.setup };
    let steps = vec![call("list_active_alerts", json!({})), text("See the button."), text("It is the disk.")];
    let mut phone = Line { setup, ..line }.scripted(steps).await;
    phone.telegram.say(ANNA, ANNA, "any alerts?");
    phone.sees(ANNA, "See the button.").await;
    phone.quiet().await;
    phone.restart().await;
    phone.tap(ANNA, ANNA, "Ask on").await;
    phone.sees(ANNA, "It is the disk.").await;
    let asked = phone.world.model().requests()[2]["messages"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(asked["content"], words);
}
