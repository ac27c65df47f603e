//! The real program with the emulated Telegram before it.

use nix::unistd::{User, geteuid};

use crate::{daemon::house::House, fake::telegram::FakeTelegram};

pub const ANNA: i64 = 1001;
pub const BEN: i64 = 1002;
pub const GROUP: i64 = -100_300;

/// A house whose daemon speaks to `telegram`; anna is the calling user. No limit slows it down.
pub fn house(docker: &str, telegram: &FakeTelegram, more: &str) -> House {
    telegram.private(ANNA, "anna");
    telegram.private(BEN, "ben");
    telegram.supergroup(GROUP, "Ops", false);
    house_at(docker, &telegram.url(), telegram.token(), more)
}

/// The same, for whatever is at `url`.
pub fn house_at(docker: &str, url: &str, token: &str, more: &str) -> House {
    let me = User::from_uid(geteuid()).unwrap().unwrap().name;
    let house = House::with(docker, "");
    let token = house.secret("telegram-token", token);
    house.add(&format!(
        r#"
        [[person]]
        name = "anna"
        role = "admin"
        unix_user = "{me}"
        telegram_id = {ANNA}
        [[person]]
        name = "ben"
        role = "operator"
        telegram_id = {BEN}
        [telegram]
        token = {token}
        api_url = "{url}"
        groups = [{GROUP}]
        poll_timeout = "5s"
        placeholder_after = "60ms"
        edit_every = "60ms"
        limits = {{ chat_burst = 1000, chat_per_second = 10000, group_per_minute = 600000, overall_per_second = 10000 }}
        retry = {{ first = "20ms", longest = "200ms" }}
        {more}"#
    ));
    house
}
