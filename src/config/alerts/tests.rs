//! `[alerts]` in tables: what each value becomes, and what is said about those that are no use.

use std::{path::Path, time::Duration};

use crate::{
    config::{Config, ConfigErrors, Env, changes, parse, show},
    domain::Severity,
};

/// `[alerts]` with a good token and `more`, beside people, a customer, Telegram and Prometheus.
fn read(more: &str) -> Result<Config, ConfigErrors> {
    let env = Env::new([
        ("HOME", "/home/anna"),
        ("TOKEN", "s3cret-of-16-signs"),
        ("SHORT", "s3cret"),
        ("BLANK", "s3cret with blanks"),
        ("BEAT", "https://beat.example/s3cret"),
        ("TELEGRAM", "42:tele"),
    ]);
    let token = if more.contains("token = ") { "" } else { "token = { env = \"TOKEN\" }\n" };
    let text = format!(
        "telegram = {{ token = {{ env = \"TELEGRAM\" }} }}\nprometheus = {{ url = \"http://127.0.0.1:9\" }}\n\
         person = [{{ name = \"anna\", role = \"admin\", telegram_id = 7 }}, {{ name = \"ben\", role = \"viewer\" }}]\n\
         customer = [{{ id = 19, name = \"Bloom\" }}]\n[alerts]\n{token}{more}"
    );
    parse(Path::new("config.toml"), &text, &env)
}

#[test]
fn a_token_is_all_that_is_needed() {
    let alerts = read("").unwrap_or_else(|e| panic!("{e}")).alerts.unwrap();
    assert_eq!(alerts.listen.unwrap().to_string(), "127.0.0.1:9094");
    assert_eq!(alerts.group_by, ["customer", "service"]);
    assert_eq!((alerts.group_wait.as_secs(), alerts.hold_down.as_secs()), (10, 60));
    assert_eq!((alerts.flap_changes, alerts.flap_within.as_secs()), (5, 900));
    assert_eq!((alerts.ack_lifetime.as_secs(), alerts.resolve_timeout.as_secs()), (3600, 300));
    assert_eq!((alerts.storm_above, alerts.keep_days), (10, 90));
    assert_eq!((alerts.investigate, alerts.chart, alerts.docker_events), (true, true, true));
    assert!(alerts.quiet_hours.is_none() && alerts.poll_prometheus.is_none() && alerts.watchdog.is_none());
    assert_eq!(alerts.digest_at.unwrap().to_string(), "08:00:00");
    let none = parse(Path::new("config.toml"), "", &Env::new([("HOME", "/h")])).unwrap();
    assert!(none.alerts.is_none());
}

const ALL: &str = r#"
    listen = "off"
    digest_at = "off"
    poll_prometheus = "15s"
    timezone = "Europe/Berlin"
    runbook_hosts = ["Wiki.Example"]
    [alerts.watchdog]
    [alerts.heartbeat]
    url = { env = "BEAT" }
    [[alerts.step]]
    people = ["Anna"]
    places = ["telegram:-100123", "telegram:-100123:7"]
    [[alerts.step]]
    after = "10m"
    places = ["telegram:5:0"]
    at_least = "critical"
    during = "Mon-Fri 08:00-18:00 Europe/Berlin"
    [[alerts.inhibit]]
    source = ['alertname="RackDown"', 'severity=~"critical|page"']
    target = ["severity=warning"]
    equal = ["rack"]
    [[alerts.log]]
    name = "OutOfMemory"
    pattern = "out of memory"
    customer = "bloom"
    [[alerts.check]]
    kind = "certificate"
    address = "bloom.example:443"
    warn = "36h"
    critical = "1d"
    [[alerts.check]]
    kind = "disk"
    path = "/var"
    customer = 19
"#;

#[test]
fn every_table_arrives_as_it_was_meant_and_is_shown_without_secrets() {
    let config = read(ALL).unwrap_or_else(|e| panic!("{e}"));
    let alerts = config.alerts.as_ref().unwrap();
    assert!(alerts.listen.is_none() && alerts.digest_at.is_none());
    assert_eq!(
        (alerts.poll_prometheus, alerts.runbook_hosts.as_slice()),
        (Some(Duration::from_secs(15)), ["wiki.example".to_owned()].as_slice())
    );
    assert_eq!(alerts.watchdog.as_ref().unwrap().alertname, "Watchdog");
    let [first, second] = alerts.steps.as_slice() else { panic!("{:?}", alerts.steps) };
    assert_eq!((first.people[0].as_str(), first.at_least), ("anna", Severity::Info));
    assert_eq!(first.places, ["telegram:-100123:0", "telegram:-100123:7"]);
    assert_eq!(
        (second.after.as_secs(), second.at_least, second.during.is_some()),
        (600, Severity::Critical, true)
    );
    assert!(alerts.inhibit[0].source[1].is_regex && alerts.inhibit[0].target[0].value == "warning");
    assert_eq!(alerts.logs[0].customer.as_ref().unwrap().as_str(), "19");
    assert_eq!(config.secrets(), ["42:tele", "s3cret-of-16-signs", "https://beat.example/s3cret"]);
    let shown = show(&config);
    for part in [
        "listen = \"off\"",
        "poll_prometheus = \"15s\"",
        "timezone = \"Europe/Berlin\"",
        "warn = \"36h\"",
        "critical = \"1d\"",
        "warn = \"85%\"",
        "'severity=~\"critical|page\"'",
    ] {
        assert!(shown.contains(part), "{part} is missing in\n{shown}");
    }
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table of all that can be wrong")]
fn faults_are_told_apart_and_say_what_to_write() {
    let step = |text: &str| format!("[[alerts.step]]\n{text}");
    let log = |text: &str| format!("[[alerts.log]]\nname = \"A\"\npattern = \"x\"\n{text}");
    let check = |text: &str| format!("[[alerts.check]]\n{text}");
    let table = [
        ("token = \"s3cret-of-16-signs\"".to_owned(), "alerts.token: a secret may not stand in this file"),
        ("token = { env = \"SHORT\" }".to_owned(), "alerts.token: is no token for sources; use 16 to 256"),
        ("token = { env = \"BLANK\" }".to_owned(), "alerts.token: is no token for sources"),
        (
            "listen = \"9094\"".to_owned(),
            "alerts.listen: `9094` is no address; write ADDRESS:PORT such as \"127.0.0.1:9094\"",
        ),
        ("listen = \"0.0.0.0:9094\"".to_owned(), "alerts.listen: other machines reach 0.0.0.0:9094"),
        (
            "listen = \"off\"\ntls = { cert = \"/nonexistent\", key = \"/nonexistent\" }".to_owned(),
            "alerts.tls: means nothing with listen = \"off\"",
        ),
        ("group_by = []".to_owned(), "alerts.group_by: is empty"),
        ("group_by = [\"a b\"]".to_owned(), "`a b` is no label's name"),
        (
            "group_waits = \"1s\"".to_owned(),
            "alerts.group_waits: there is no such key; did you mean `group_wait`?",
        ),
        ("hold_down = 60".to_owned(), "alerts.hold_down: needs a unit"),
        ("flap_changes = 0".to_owned(), "alerts.flap_changes: 0 is too small; 1 to 1000"),
        (
            "quiet_hours = \"22:00-08:00\"".to_owned(),
            "alerts.quiet_hours: `22:00-08:00`: the time zone is missing",
        ),
        (
            "digest_at = \"8\"".to_owned(),
            "alerts.digest_at: `8` is no time of day; write one such as \"08:00\"",
        ),
        ("timezone = \"Mars/Base\"".to_owned(), "alerts.timezone: `Mars/Base` is not a time zone"),
        ("runbook_hosts = [\"https://wiki.example\"]".to_owned(), "is no host; write its name alone"),
        ("poll_prometheus = \"often\"".to_owned(), "alerts.poll_prometheus: `often` is not a span of time"),
        ("write_silences = \"127.0.0.1:9093\"".to_owned(), "alerts.write_silences: "),
        ("[alerts.heartbeat]".to_owned(), "alerts.heartbeat.url: is missing"),
        (
            "[alerts.heartbeat]\nurl = { env = \"BLANK\" }".to_owned(),
            "alerts.heartbeat.url: holds no address",
        ),
        (step("after = \"5m\"\npeople = [\"anna\"]"), "alerts.step.after: the first step pages at once"),
        (step(""), "alerts.step.people: is missing; write whom this step pages"),
        (step("people = [\"nobody\"]"), "alerts.step.people: `nobody` is no [[person]]; known: anna, ben"),
        (step("people = [\"ben\"]"), "`ben` has no chat to be paged in; add telegram_id"),
        (step("places = [\"-100123\"]"), "`-100123` is no chat; write telegram:CHAT"),
        (step("places = [\"telegram:0\"]"), "is no chat"),
        (step("places = [\"telegram:5:x\"]"), "is no chat"),
        (
            step("people = [\"anna\"]\nat_least = \"ok\""),
            "alerts.step.at_least: `ok` is none of info, warning, critical",
        ),
        (
            format!(
                "{}\n{}\n{}",
                step("people = [\"anna\"]"),
                step("people = [\"anna\"]\nafter = \"10m\""),
                step("people = [\"anna\"]\nafter = \"5m\"")
            ),
            "comes before the step above (10m)",
        ),
        ("[[alerts.inhibit]]\nsource = [\"x\"]".to_owned(), "alerts.inhibit.source: `x` has no ="),
        ("[[alerts.inhibit]]\nsource = [\"a=b\"]".to_owned(), "alerts.inhibit.target: is missing"),
        (log("multiline = \"(\""), "alerts.log.multiline: holds no regular expression"),
        (log("").replace("\"x\"", "\"x*\""), "alerts.log.pattern: matches every line"),
        (format!("{}\n{}", log(""), log("")), "alerts.log.name: `A` is taken"),
        (check("kind = \"ping\""), "alerts.check.kind: `ping` is none of certificate, disk"),
        (
            check("kind = \"certificate\"\naddress = \"https://bloom.example\""),
            "is no server; write HOST:PORT",
        ),
        (
            check("kind = \"certificate\"\naddress = \"x:1\"\nwarn = \"2d\""),
            "`critical` must be shorter than `warn`",
        ),
        (check("kind = \"certificate\"\naddress = \"x:1\"\npath = \"/var\""), "belongs to kind = \"disk\""),
        (check("kind = \"disk\"\npath = \"var\""), "must be an absolute path"),
        (check("kind = \"disk\"\npath = \"/var\"\nwarn = \"96%\""), "`critical` must be more than `warn`"),
        (check("kind = \"disk\"\npath = \"/var\"\nwarn = \"14d\""), "write how much may be in use"),
    ];
    for (more, want) in table {
        let got = read(&more).map(|_| ()).unwrap_err().to_string();
        assert!(got.contains(want), "{more}\nwanted: {want}\ngot: {got}");
        assert!(!got.contains("s3cret"), "{got}");
    }
    let alone = "[alerts]\npoll_prometheus = \"1s\"\n[[alerts.step]]\nplaces = [\"telegram:5\"]";
    let got = parse(Path::new("config.toml"), alone, &Env::new([("HOME", "/h")])).unwrap_err().to_string();
    for part in [
        "alerts.token: is missing; every source must show it",
        "needs to know where Prometheus is",
        "there is no [telegram] to page through",
    ] {
        assert!(got.contains(part), "{part}\n{got}");
    }
}

#[test]
fn a_reload_knows_what_takes_effect_at_once() {
    let new = ALL
        .replace("15s", "20s")
        .replace("\"10m\"", "\"20m\"")
        .replace("listen = \"off\"", "listen = \"127.0.0.1:1\"");
    let (now, later) = changes(&read(ALL).unwrap(), &read(&format!("hold_down = \"2m\"\n{new}")).unwrap());
    let begin = |all: &[String]| {
        all.iter().map(|text| text.split(':').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (mut now, mut later) = (begin(&now), begin(&later));
    now.sort();
    later.sort();
    assert_eq!(now, ["alerts.hold_down", "alerts.step"]);
    assert_eq!(later, ["alerts.listen", "alerts.poll_prometheus"]);
}
