//! Configuration as a whole: which file is read, what a bad one says, and that the example starts.

use std::{
    fs,
    path::{Path, PathBuf},
};

use opsbot::config::{Config, ConfigErrors, Env, load, parse};

fn home() -> Env {
    Env::new([("HOME", "/home/anna")])
}

fn read(text: &str) -> Result<Config, ConfigErrors> {
    parse(Path::new("config.toml"), text, &home())
}

#[test]
fn an_empty_file_is_a_valid_configuration() {
    let config = read("").unwrap();
    assert_eq!(config.state_dir, Path::new("/home/anna/.local/state/opsbot"));
    assert!(config.model.is_none() && config.prometheus.is_none() && config.people.is_empty());
    let [docker] = config.docker.as_slice() else { panic!("{:?}", config.docker) };
    assert_eq!((docker.name.as_str(), docker.url.as_str()), ("local", "unix:///var/run/docker.sock"));
    assert_eq!(config.http.listen.unwrap().to_string(), "127.0.0.1:7878");
    assert_eq!(config.policy.approval_lifetime.as_secs(), 300);
    assert_eq!(
        (config.limits.calls_per_turn, config.limits.turns_queued, config.limits.output_share),
        (10, 8, 8)
    );
}

const BAD: &str = r#"# line 1
state_dir = "var/opsbot"
colour = "blue"

[[person]]
name = "anna"
role = "root"

[[person]]
name = "Anna"
role = "viewer"
unix_user = 1000

[[person]]
role = "admin"
telegram_id = "@anna"

[model]
dialect = "olama"
url = "http://user:hunter2@gpu:11434"
num_ctxt = 4096
num_ctx = 100
keep_alive = "forever"
temperature = 9
deadline = 30
first_token = "soon"
token = "hunter2"

[[docker]]
name = "far"
url = "tcp://10.0.0.2:2376"

[[docker]]
name = "far"
url = "/var/run/docker.sock"

[prometheus]
token = { file = "/nonexistent/token" }

[metrics]
cpu = "up"
disk = "du{name=~'{container}'}"

[[customer]]
id = 19
name = "Bloom"
aliases = ["shop"]

[[customer]]
id = "20"
aliases = ["SHOP", ""]
containers = ["a[", "b-*"]
labels = { tier = ["gold"] }

[policy]
approval_lifetime = "0s"

[[policy.rule]]
id = "x"
tool = ["restart_container"]

[limits]
calls_per_turn = 11

[http]
listen = "0.0.0.0:7878"

[[log]]
format = "xml"

[redact]
extra = ["hunter2"]
patterns = ["(", "x*"]
"#;

#[test]
fn one_big_bad_file_gives_every_error_at_once_with_line_key_and_cure() {
    let errors = read(BAD).unwrap_err();
    let got = errors.to_string();
    let want = [
        (2, "state_dir: `var/opsbot` depends on where OpsBot starts; write an absolute path"),
        (3, "colour: there is no such key; known here: state_dir, person, model"),
        (7, "person.role: `root` is none of viewer, operator, admin"),
        (10, "person.name: `Anna` is taken by the entry in line 5"),
        (12, "person.unix_user: must be text in quotes, not a whole number"),
        (14, "person.name: is missing; write the name"),
        (16, "person.telegram_id: must be a whole number without quotes, not text"),
        (18, "model.name: is missing; write the model's name, such as \"mistral:7b\""),
        (19, "model.dialect: `olama` is none of ollama, openai"),
        (20, "model.url: holds a user or password; take it out"),
        (21, "model.num_ctxt: there is no such key; did you mean `num_ctx`?"),
        (22, "model.num_ctx: 100 is too small; 2048 to 131072"),
        (23, "model.keep_alive: `forever` is not a time; \"-1\" for ever"),
        (24, "model.temperature: 9 is out of range; 0 to 2"),
        (25, "model.deadline: needs a unit, in quotes: \"5s\""),
        (26, "model.first_token: `soon` is not a span of time; use a number with a unit"),
        (27, "model.token: a secret may not stand in this file; use { file = \"PATH\" } (chmod 600)"),
        (31, "docker.url: Docker over the network without TLS gives root to anybody"),
        (34, "docker.name: `far` is taken by the entry in line 29"),
        (35, "docker.url: is no Docker address; write unix:///var/run/docker.sock"),
        (37, "prometheus.url: is missing; write its address"),
        (38, "prometheus.token: cannot read /nonexistent/token"),
        (41, "metrics.cpu: would be the same for every customer"),
        (42, "metrics.disk: {container} is no placeholder; known: {customer}"),
        (51, "customer.aliases: `SHOP` is taken by the entry in line 44"),
        (51, "customer.aliases: is empty"),
        (52, "customer.containers: is no glob"),
        (53, "customer.labels.tier: must be text in quotes, not a list"),
        (56, "policy.approval_lifetime: 0s is too short; 10ms to 24h"),
        (60, "policy.rule.tool: there is no such key; did you mean `tools`?"),
        (63, "limits.calls_per_turn: 11 is too large; 1 to 10"),
        (66, "http.listen: other machines reach 0.0.0.0:7878; use 127.0.0.1, or say public = true"),
        (68, "log: there is only one; write [log], not [[log]]"),
        (72, "redact.extra: literal secrets are not allowed here; use patterns"),
        (73, "redact.patterns: is no regular expression"),
        (73, "redact.patterns: matches everywhere"),
    ];
    for (line, text) in want {
        let whole = format!("config.toml:{line}: {text}");
        assert!(got.lines().any(|l| l.starts_with(&whole)), "missing: {whole}\n--- got\n{got}");
    }
    assert_eq!(errors.problems.len(), want.len(), "{got}");
    assert!(!got.contains("hunter2"), "a secret is shown\n{got}");
    let lines: Vec<_> = errors.problems.iter().map(|p| p.line).collect();
    assert!(lines.is_sorted(), "{lines:?}");
}

#[test]
fn single_faults_are_told_apart() {
    let table = [
        (
            "[model]\nname = \"m\"\nmax_tokens = 5000",
            "model.max_tokens: 5000 leaves too little of num_ctx (8192)",
        ),
        ("[model]\nname = \"m\"\ndialect = \"openai\"", "model.url: is missing"),
        ("[model]\nname = \"m\"\nkeep_alive = \"1h30m\"", "model.keep_alive: `1h30m` is not a time"),
        ("[model]\nname = \"m\"\nurl = \"ftp://x\"", "model.url: is no web address"),
        ("[model]\nname = \"m\"\ntoken = { path = \"x\" }", "model.token: is no secret's place"),
        ("[model]\nname = \"m\"\ntoken = { env = \"NOPE\" }", "the environment variable NOPE is not set"),
        ("[person]\nname = \"a\"", "person: there may be several; write [[person]], not a table"),
        ("person = 3", "person: there may be several; write [[person]], not a whole number"),
        (
            "[[docker]]\nname = \"a\"\nurl = \"unix:///s\"\n[[docker]]\nname = \"a\"\nurl = \"unix:///t\"",
            "config.toml:5: docker.name: `a` is taken by the entry in line 1",
        ),
        (
            "[[docker]]\nname = \"a\"\nurl = \"unix:///s\"\ntls = {}",
            "docker.tls: means nothing for a unix socket",
        ),
        ("[[docker]]\nname = \"a:b\"\nurl = \"unix:///s\"", "docker.name: `:` may not be in a name"),
        (
            "[[docker]]\nname = \"a\"\nurl = \"tcp://10.0.0.2\"",
            "docker.url: needs a host, a port and nothing else",
        ),
        ("[http]\nlisten = \"7878\"", "http.listen: `7878` is no address"),
        ("[log]\nfilter = \"a=b=c\"", "log.filter: `a=b=c` is no filter"),
        ("a = 1\na = 2", "config.toml:2: is not valid TOML: duplicate key"),
        ("x = ", "config.toml:1: is not valid TOML"),
        (
            "[[customer]]\nid = \"7\"\n[[customer]]\nid = 7",
            "customer.id: `7` is taken by the entry in line 1",
        ),
        ("[[customer]]\nname = \"x\"", "config.toml:1: customer.id: is missing"),
    ];
    for (text, want) in table {
        let got = read(text).unwrap_err().to_string();
        assert!(got.contains(want), "{text}\nwanted: {want}\ngot: {got}");
    }
}

#[test]
fn good_values_arrive_as_they_were_meant() {
    let text = r#"
[[customer]]
id = 19
aliases = ["Bloom", "bloom"]
containers = ["c19-*"]
[[policy.rule]]
id = "a"
effect = "blocked"
args = { name = { not = ["x"] } }
[[docker]]
name = "near"
url = "tcp://127.0.0.1:2375/"
timeout = "1500ms"
[model]
name = "m"
keep_alive = -1
deadline = "1h"
[http]
listen = "off"
"#;
    let config = read(text).unwrap();
    assert_eq!(config.customers[0].customer.id.as_str(), "19");
    assert_eq!(config.policy.rules[0].line, 6);
    assert_eq!(config.policy.rules[0].table["args"]["name"]["not"][0].as_str(), Some("x"));
    assert_eq!(config.docker[0].url, "tcp://127.0.0.1:2375");
    assert_eq!(config.docker[0].timeout.as_millis(), 1500);
    let model = config.model.unwrap();
    assert_eq!((model.keep_alive.as_str(), model.url.as_str()), ("-1", "http://127.0.0.1:11434"));
    assert_eq!(config.http.listen, None);

    let table = [
        ("300", "300s"),
        ("\"-1m\"", "-1"),
        ("\"0\"", "0"),
        ("0", "0"),
        ("\"24h\"", "24h"),
        ("\"90\"", "90s"),
    ];
    for (written, want) in table {
        let config = read(&format!("[model]\nname = \"m\"\nkeep_alive = {written}")).unwrap();
        assert_eq!(config.model.unwrap().keep_alive, want, "{written}");
    }
}

#[test]
fn the_file_is_searched_in_order_and_its_absence_has_a_cure() {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("state_dir = \"/from/{}\"", name.replace('/', "-"))).unwrap();
        path
    };
    let missing = dir.path().join("missing");
    let env = |vars: &[(&str, &Path)], system: &Path| {
        Env::new(vars.iter().map(|(k, v)| (*k, v.to_str().unwrap()))).with_system(system)
    };
    let home = dir.path().join("home");
    let bare = env(&[("HOME", &home)], &missing);
    let none = load(None, &bare).unwrap_err().to_string();
    assert!(none.contains("config.toml.example") && none.contains("--config"), "{none}");
    let gone = load(Some(&missing), &bare).unwrap_err().to_string();
    assert!(gone.contains("does not exist (named by --config)"), "{gone}");

    let (flag, var, system) = (put("flag"), put("var"), put("system"));
    let in_home = put("home/.config/opsbot/config.toml");
    let table: [(Option<&Path>, Env, &PathBuf, &str); 4] = [
        (Some(&flag), env(&[("HOME", &home), ("OPSBOT_CONFIG", &var)], &system), &flag, "--config"),
        (None, env(&[("HOME", &home), ("OPSBOT_CONFIG", &var)], &system), &var, "$OPSBOT_CONFIG"),
        (None, env(&[("HOME", &home)], &system), &system, "system-wide"),
        (None, env(&[("HOME", &home)], &missing), &in_home, "home"),
    ];
    for (explicit, env, path, named_by) in table {
        let (_, source) = load(explicit, &env).unwrap();
        assert_eq!((&source.path, source.named_by), (path, named_by));
    }

    fs::write(&flag, b"[log]\nfilter = \"\xff\"").unwrap();
    let torn = load(Some(&flag), &bare).unwrap_err().to_string();
    assert!(torn.contains("flag:2: is not valid UTF-8"), "{torn}");
}

#[test]
fn the_state_folder_is_searched_in_order() {
    type Vars = &'static [(&'static str, &'static str)];
    let table: [(Vars, &str, &str); 6] = [
        (
            &[("OPSBOT_STATE_DIR", "/a"), ("STATE_DIRECTORY", "/c"), ("HOME", "/h")],
            "state_dir = \"/b\"",
            "/a",
        ),
        (&[("STATE_DIRECTORY", "/c"), ("HOME", "/h")], "state_dir = \"/b\"", "/b"),
        (&[("STATE_DIRECTORY", "/c:/d"), ("HOME", "/h")], "", "/c"),
        (&[("HOME", "/h")], "", "/h/.local/state/opsbot"),
        (&[("HOME", "/h")], "state_dir = \"~/bot\"", "/h/bot"),
        (&[("OPSBOT_STATE_DIR", ""), ("HOME", "/h")], "", "/h/.local/state/opsbot"),
    ];
    for (vars, text, want) in table {
        let config = parse(Path::new("c"), text, &Env::new(vars.iter().copied())).unwrap();
        assert_eq!(config.state_dir, Path::new(want), "{vars:?} {text}");
    }
    let none = parse(Path::new("c"), "", &Env::default()).unwrap_err().to_string();
    assert!(none.contains("state_dir: is missing; $HOME is not set"), "{none}");
}

#[test]
fn the_examples_rules_hold_against_the_tools_of_this_build() {
    let example =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config.toml.example")).unwrap();
    let (_, rules) = example.split_once("#[[policy.rule]]").unwrap();
    let (rules, _) = rules.split_once("# --- The daemon").unwrap();
    let bare: Vec<_> = rules.lines().map(|line| line.strip_prefix('#').unwrap_or(line)).collect();
    let config = read(&format!("[[policy.rule]]\n{}", bare.join("\n"))).unwrap();
    assert_eq!(config.policy.rules.len(), 2);
    let registry = opsbot::app::backends(&config, None).unwrap().registry;
    let file = Path::new("config.toml");
    let (policy, warnings) =
        opsbot::app::policy(&config, file, registry.specs()).unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(warnings, Vec::<String>::new());
    let ids: Vec<_> = policy.rules().iter().map(|r| r.id.as_str()).collect();
    assert_eq!(ids, ["gold-needs-two", "weekend-freeze"]);
    // They have teeth: a false example stops the start.
    let wrong = bare.join("\n").replace("with tier=gold", "with tier=tin");
    let config = read(&format!("[[policy.rule]]\n{wrong}")).unwrap();
    let error = opsbot::app::policy(&config, file, registry.specs()).unwrap_err();
    assert!(format!("{error:?}").contains("does not match the rule"), "{error:?}");
}
