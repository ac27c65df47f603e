//! `opsbot doctor` with the real program: a round trip through Telegram, and the cure for what hinders it.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use crate::{
    daemon::house::House,
    fake::telegram::{FakeTelegram, Fault, Options},
};

const ANNA: i64 = 1001;
const SOON: Duration = Duration::from_secs(20);

/// A house whose bot lives at `fake`, and `more`.
fn house(fake: &FakeTelegram, more: &str) -> House {
    let house = House::new("unix:///nonexistent/docker.sock", "");
    let token = house.dir().join("token");
    fs::write(&token, fake.token()).unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let config = fs::read_to_string(house.config()).unwrap();
    let telegram = format!("[telegram]\ntoken = {{ file = {token:?} }}\napi_url = \"{}\"\n", fake.url());
    house.configure(&format!("{config}\n{telegram}\n{more}"));
    house
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_sends_to_every_admin_paired_or_configured_and_takes_it_back() {
    let fake = FakeTelegram::start(Options::default()).await;
    fake.private(ANNA, "Anna");
    fake.private(1002, "Ben");
    let house = house(&fake, "[[person]]\nname = \"ben\"\nrole = \"admin\"\ntelegram_id = 1002\n");
    house.run(&["doctor"]).await.says(&["telegram ben", "a message was sent and deleted"]);

    let daemon = house.start().await;
    fake.say(ANNA, ANNA, "hello");
    let told = fake.wait_some(|w| w.from_bot(ANNA).next().map(|m| m.text.clone()), SOON).await;
    let code = told.split_whitespace().find(|w| w.len() >= 9 && w.contains('-')).unwrap();
    let code = code.trim_end_matches(';');
    house.run(&["pair", "accept", code, "--person", "anna"]).await.exits(0);
    let with_daemon =
        house.run(&["doctor"]).await.says(&["telegram anna", "telegram ben", "the daemon polls"]);
    assert_eq!(with_daemon.out.matches("a message was sent and deleted").count(), 2, "{with_daemon:?}");
    daemon.stop().await;
    let without = house.run(&["doctor"]).await.says(&["a poll answers"]);
    assert_eq!(without.out.matches("a message was sent and deleted").count(), 2, "{without:?}");
    let left = fake.messages(ANNA).into_iter().filter(|m| m.text.contains("doctor") && !m.deleted);
    assert_eq!(left.count(), 0);
    assert!(fake.violations().is_empty(), "{:?}", fake.violations());
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_names_what_hinders_and_its_cure() {
    let fake = FakeTelegram::start(Options::default()).await;
    fake.private(ANNA, "Anna");
    let house = house(&fake, "");
    house.run(&["doctor"]).await.exits(1).says(&["no admin is known on Telegram", "opsbot pair accept CODE"]);
    let table = [
        ("getMe", Fault::Unauthorized, "Telegram refuses the token (401)"),
        ("getUpdates", Fault::Conflict, "another program polls with this bot's token (409)"),
    ];
    for (method, fault, cure) in table {
        fake.fault(method, 1, fault);
        let ran = house.run(&["doctor"]).await.exits(1).says(&[cure]);
        assert!(!ran.out.contains(fake.token()) && !ran.err.contains(fake.token()), "{ran:?}");
    }
}
