//! `opsbot pair` with the real program: codes that a channel gave out are accepted, with a daemon and without.

use std::{fs, os::unix::fs::PermissionsExt};

use nix::unistd::geteuid;
use opsbot::{
    app,
    config::{self, Env},
    domain::{Block, ChannelKind, Role},
};

use super::house::{House, run};

const NO_ENGINE: &str = "unix:///nonexistent/docker.sock";
const TELEGRAM: ChannelKind = ChannelKind::Telegram;

/// The engine of this house in this process, as a channel has it; no daemon may run.
async fn inside<T>(house: &House, work: impl AsyncFnOnce(&app::App) -> T) -> T {
    let env = Env::new(
        [("HOME", house.dir()), ("OPSBOT_STATE_DIR", &house.state())].map(|(k, v)| (k, v.to_str().unwrap())),
    );
    rustls::crypto::ring::default_provider().install_default().ok();
    let (config, source) = config::load(Some(&house.config()), &env).unwrap();
    let app = app::open(&config, &source.path, &env).await.unwrap();
    let done = work(&app).await;
    app.engine.store().close().await.unwrap();
    done
}

/// Strangers write to the bot; the codes that they are shown.
async fn codes<const N: usize>(house: &House, ids: [&str; N]) -> [String; N] {
    inside(house, async |app| {
        let mut codes = [const { String::new() }; N];
        for (code, id) in codes.iter_mut().zip(ids) {
            *code = app.engine.pair_offer(TELEGRAM, id, "Ben K.").await.unwrap().unwrap().to_string();
            assert_eq!(app.engine.pair_offer(TELEGRAM, id, "Ben K.").await.unwrap(), None, "once a minute");
        }
        codes
    })
    .await
}

async fn known(house: &House, id: &str) -> Option<(String, Role)> {
    inside(house, async |app| app.engine.people().who(TELEGRAM, id)).await.map(|(n, r)| (n.to_string(), r))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_accepted_listed_and_revoked_with_a_daemon_and_without() {
    let house = House::new(NO_ENGINE, "");
    let [ben, eve, boss] = codes(&house, ["7", "8", "9"]).await;
    let fourth =
        inside(&house, async |app| app.engine.pair_offer(TELEGRAM, "10", "Late").await.unwrap()).await;
    assert_eq!(fourth, None, "never more than three");

    let daemon = house.start().await;
    let list = house.run(&["pair", "list"]).await.exits(0).says(&["Nobody is known", "Ben K.", "9:"]);
    assert!(!list.out.contains(&ben) && !list.out.contains(&ben.replace('-', "")), "{list:?}");
    let accept = |code: &str, person: &str, more: &[&str]| {
        let mut args = vec!["pair", "accept", code, "--person", person];
        args.extend(more);
        run(house.command(&args))
    };
    accept(&ben.to_lowercase(), "ben", &[]).await.exits(0).says(&[
        "telegram 7, called",
        "is ben now, with the role viewer",
        "opsbot pair revoke ben",
    ]);
    accept(&ben, "ben", &[]).await.exits(1).says(&["No open code is like that", "4 more"]);
    accept(&eve, "BEN", &[]).await.exits(4).says(&["ben is 7 there; revoke that first"]);
    accept(&eve, "e:ve", &[]).await.exits(4).says(&["`:` may not be in a name"]);
    accept(&eve, "eve", &["--role", "boss"]).await.exits(2).says(&["viewer, operator, admin"]);
    accept(&boss, "the boss", &["--role", "admin"])
        .await
        .exits(0)
        .says(&["with the role admin", "revoke \"the boss\""]);
    daemon.stop().await;

    let typed = eve.replace('-', " ");
    accept(&typed, "eve", &["--role", "operator"]).await.exits(0).says(&["with the role operator"]);
    for (id, want) in
        [("7", ("ben", Role::Viewer)), ("8", ("eve", Role::Operator)), ("9", ("the boss", Role::Admin))]
    {
        assert_eq!(known(&house, id).await, Some((want.0.into(), want.1)));
    }
    let waits =
        inside(&house, async |app| app.engine.store().outbox_take(&"telegram:8:0:eve".into()).await.unwrap());
    let waits = waits.await;
    let [(_, Block::Notice { text, .. }, _)] = waits.as_slice() else { panic!("{waits:?}") };
    assert_eq!(text, "You are paired as eve (operator). /help shows what I can do.");

    house.run(&["pair", "list"]).await.exits(0).says(&["eve", "operator", "paired by anna"]);
    house.run(&["pair", "revoke", "eve", "--channel", "discord"]).await.exits(1).says(&["on discord"]);
    house.run(&["pair", "revoke", "Eve"]).await.exits(0).says(&["telegram 8 is a stranger again"]);
    house.run(&["pair", "revoke", "eve"]).await.exits(1).says(&["No pairing"]);
    assert_eq!(known(&house, "8").await, None);
    house.run(&["audit", "verify"]).await.exits(0);
    let audit = house
        .run(&["audit", "tail", "-n", "50"])
        .await
        .exits(0)
        .says(&["was given a pairing code", "revoked by anna"]);
    assert!(!audit.out.contains(&ben) && audit.out.contains("was given no pairing code"), "{audit:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn five_wrong_codes_lock_pairing_over_restarts() {
    let house = House::new(NO_ENGINE, "");
    let [code] = codes(&house, ["7"]).await;
    let wrong = ["pair", "accept", "AAAA-AAAA", "--person", "ben"];
    for left in ["4", "3"] {
        house.run(&wrong).await.exits(1).says(&[left]);
    }
    let daemon = house.start().await;
    for left in ["2", "1"] {
        house.run(&wrong).await.exits(1).says(&[left]);
    }
    house.run(&wrong).await.exits(4).says(&["one wrong code too many", "10 min"]);
    daemon.kill().await;
    for code in [code.as_str(), "AAAA-AAAA"] {
        house.run(&["pair", "accept", code, "--person", "ben"]).await.exits(4).says(&["Pairing is locked"]);
    }
    house.run(&["pair", "list"]).await.exits(0).says(&["Nobody is known", "locked"]);
    assert_eq!(known(&house, "7").await, None);
    let silent = inside(&house, async |app| app.engine.pair_offer(TELEGRAM, "8", "Eve").await.unwrap()).await;
    assert_eq!(silent, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_of_the_host_pairs_the_first_admin_where_nobody_is_configured() {
    let house = House::with(NO_ENGINE, "");
    let [code] = codes(&house, ["7"]).await;
    let daemon = house.start().await;
    house.run(&["ask", "/pair"]).await.exits(4).says(&["pairing is for admins"]);
    let accept = ["pair", "accept", &code, "--person", "anna", "--role", "admin"];
    house.run(&accept).await.exits(0).says(&["with the role admin"]);
    daemon.stop().await;
    assert_eq!(known(&house, "7").await, Some(("anna".into(), Role::Admin)));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_account_pairs_nobody() {
    if !geteuid().is_root() {
        return crate::prometheus::missing("root, to be somebody else");
    }
    let house = House::new(NO_ENGINE, "");
    let [code] = codes(&house, ["7"]).await;
    let daemon = house.start().await;
    for place in [house.dir().to_owned(), house.state()] {
        fs::set_permissions(place, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(house.socket(), fs::Permissions::from_mode(0o666)).unwrap();
    let program = house.dir().join("opsbot");
    fs::copy(env!("CARGO_BIN_EXE_opsbot"), &program).unwrap();
    let nobody = |args: &[&str]| {
        let own = house.command(args);
        let mut command = std::process::Command::new("setpriv");
        command.env_clear().envs(own.get_envs().filter_map(|(k, v)| Some((k, v?))));
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program).args(own.get_args());
        run(command)
    };
    nobody(&["ask", "/whoami"]).await.exits(0).says(&["uid:65534, viewer"]);
    let accept = ["pair", "accept", &code, "--person", "mallory"];
    for args in [&accept[..], &["pair", "list"], &["pair", "revoke", "anna"]] {
        nobody(args).await.exits(4).says(&["pairing is for admins", "sudo opsbot pair"]);
    }
    house.run(&accept).await.exits(0);
    daemon.stop().await;
}
