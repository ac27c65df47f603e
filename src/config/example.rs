//! The example file against the reader: it starts as it is, and no key is missing from it.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, path::Path};

use super::{Env, parse, show, source::parse_noting_keys};

const EXAMPLE: &str = include_str!("../../config.toml.example");

/// The example with every setting uncommented, its files where `dir` has them.
fn full_example(dir: &Path) -> String {
    let mut seen = BTreeSet::new();
    let mut section = String::new();
    let mut out = Vec::new();
    for line in EXAMPLE.lines() {
        let bare = line.strip_prefix('#').filter(|l| !l.starts_with(' ')).unwrap_or(line);
        if bare.starts_with('[') {
            section = format!("{bare}{}", if bare.starts_with("[[") { out.len() } else { 0 });
        }
        let key = bare.split_once(" = ").filter(|_| !bare.starts_with('#')).map(|(k, _)| k);
        // The example names some keys twice, to show a second value: the first one counts.
        if key.is_some_and(|key| !seen.insert(format!("{section}.{key}"))) {
            continue;
        }
        out.push(bare.replace("/etc/opsbot", dir.to_str().unwrap()));
    }
    out.join("\n")
}

fn keys(table: &toml::Table, path: &str, found: &mut BTreeSet<String>) {
    for (key, value) in table {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        found.insert(path.clone());
        match value {
            toml::Value::Table(inner) => keys(inner, &path, found),
            toml::Value::Array(items) => {
                for inner in items.iter().filter_map(toml::Value::as_table) {
                    keys(inner, &path, found);
                }
            }
            _ => {}
        }
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "every key that the example has")]
fn the_example_starts_as_it_is_and_with_every_setting_uncommented() {
    let read = |text| parse(Path::new("config.toml"), text, &Env::new([("HOME", "/home/anna")]));
    let config = read(EXAMPLE).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(config, read("").unwrap(), "the example changes a default");
    for model in ["mistral:7b", "qwen3.6:35b-a3b"] {
        assert!(EXAMPLE.contains(model), "{model} is not named");
    }

    let dir = tempfile::tempdir().unwrap();
    for (name, content) in [
        ("shop-2/ca.pem", "pem"),
        ("shop-2/cert.pem", "pem"),
        ("shop-2/key.pem", "pem"),
        ("telegram/cert.pem", "pem"),
        ("telegram/key.pem", "pem"),
        ("prometheus-token", "prom-s3cret"),
        ("telegram-token", "42:tele-s3cret"),
        ("telegram-webhook", "hook-s3cret-of-16"),
        ("redis-password", "redis-s3cret"),
        ("varnish-secret", "varnish-s3cret"),
        ("alerts/cert.pem", "pem"),
        ("alerts/key.pem", "pem"),
        ("alerts-token", "alerts-s3cret-of-16"),
        ("heartbeat-url", "https://beat.example/s3cret"),
    ] {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let env = Env::new([
        ("HOME", "/home/anna"),
        ("CREDENTIALS_DIRECTORY", dir.path().to_str().unwrap()),
        ("OPSBOT_MODEL_TOKEN", "model-s3cret"),
    ]);
    let text = full_example(dir.path());
    let read = parse_noting_keys(Path::new("config.toml"), &text, &env);
    let (config, known) = read.unwrap_or_else(|e| panic!("{e}\n{text}"));
    let secrets = [
        "model-s3cret",
        "model-s3cret",
        "prom-s3cret",
        "42:tele-s3cret",
        "hook-s3cret-of-16",
        "redis-s3cret",
        "varnish-s3cret",
        "alerts-s3cret-of-16",
        "https://beat.example/s3cret",
    ];
    assert_eq!(config.secrets(), secrets);
    assert_eq!(config.caches.len(), 2);
    assert_eq!((config.docker.len(), config.policy.rules.len(), config.customers.len()), (2, 2, 1));

    // What is written beside a setting as its default is its default.
    let mut telegram = config.telegram.clone().unwrap();
    assert!(telegram.webhook.take().is_some());
    telegram.groups.clear();
    let bare =
        parse(Path::new("config.toml"), "[telegram]\ntoken = { credential = \"telegram-token\" }", &env);
    assert_eq!(Some(telegram), bare.unwrap().telegram);

    let mut alerts = config.alerts.clone().unwrap();
    assert!(
        alerts.tls.take().is_some() && alerts.watchdog.take().is_some() && alerts.heartbeat.take().is_some()
    );
    assert!(alerts.quiet_hours.take().is_some() && alerts.write_silences.take().is_some());
    assert!(alerts.poll_prometheus.take().is_some());
    alerts.runbook_hosts.clear();
    assert_eq!((alerts.inhibit.drain(..).count(), alerts.logs.drain(..).count()), (1, 1));
    assert_eq!((alerts.steps.drain(..).count(), alerts.checks.drain(..).count()), (1, 2));
    let bare = parse(Path::new("config.toml"), "[alerts]\ntoken = { credential = \"alerts-token\" }", &env);
    assert_eq!(Some(alerts), bare.unwrap().alerts);

    let shown = show(&config);
    assert!(!shown.contains("s3cret") && shown.contains("[secret]"), "{shown}");
    let (mut in_example, mut in_show) = Default::default();
    keys(&toml::from_str(&text).unwrap(), "", &mut in_example);
    keys(&toml::from_str(&shown).unwrap_or_else(|e| panic!("{e}\n{shown}")), "", &mut in_show);
    // Free keys below these are no keys of ours.
    let ours = |k: &String| {
        !["token.", "secret.", "password.", "heartbeat.url.", "labels.", "args."]
            .iter()
            .any(|free| k.contains(free))
    };
    in_example.retain(ours);
    in_show.retain(ours);
    assert_eq!(in_example, known, "the example lacks a key that is read, or has one that is not");
    assert_eq!(in_example, in_show, "`config show` and the example differ in their keys");
}
