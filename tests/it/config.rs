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

[telegram]
token = "hunter2"
api_url = "http://bots.example:8081"
groups = [-100123, 456, "x"]
theme = "blue"
max_download = "21MiB"
poll_timeout = "500ms"

[telegram.limits]
chat_burst = 0
chat_per_minute = 20

[telegram.retry]
first = "1m"

[telegram.webhook]
url = "http://bot.example"
listen = "0.0.0.0:8443"
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
        (76, "telegram.token: a secret may not stand in this file; use { file = \"PATH\" } (chmod 600)"),
        (77, "telegram.api_url: would send the token over the network in plain text; use https://"),
        (78, "telegram.groups: 456 is no group's id: those are negative"),
        (78, "telegram.groups: must hold only whole numbers without quotes"),
        (79, "telegram.theme: `blue` is none of dark, light"),
        (80, "telegram.max_download: `21MiB`: write a size from \"1KiB\" to \"20MiB\""),
        (81, "telegram.poll_timeout: 500ms is too short; 1s to 1m30s"),
        (84, "telegram.limits.chat_burst: 0 is too small; 1 to 1000"),
        (85, "telegram.limits.chat_per_minute: there is no such key"),
        (88, "telegram.retry.first: `longest` must be at least `first`"),
        (90, "telegram.webhook.secret: is missing; write secret ="),
        (91, "telegram.webhook.url: must be https://"),
        (
            92,
            "telegram.webhook.listen: other machines reach 0.0.0.0:8443 and would speak to it in plain text",
        ),
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

/// `[telegram]` with a good token and `more`.
fn telegram(more: &str) -> Result<Config, ConfigErrors> {
    let env = Env::new([
        ("HOME", "/home/anna"),
        ("TOKEN", "123456:AAF-x_9"),
        ("SHORT", "AAF-x_9"),
        ("SPACED", "123456:AAF x"),
        ("HOOK", "s3cret_-1_of_more"),
        ("DOTTED", "s3cret.1"),
    ]);
    let more = if more.contains("token") {
        more.to_owned()
    } else {
        format!("token = {{ env = \"TOKEN\" }}\n{more}")
    };
    parse(Path::new("config.toml"), &format!("[telegram]\n{more}"), &env)
}

fn webhook(more: &str) -> String {
    format!("[telegram.webhook]\nurl = \"https://b.example/tg\"\nsecret = {{ env = \"HOOK\" }}\n{more}")
}

#[test]
fn a_telegram_section_holds_what_it_says_and_hides_its_secrets() {
    assert_eq!(read("[[person]]\nname = \"a\"\nrole = \"admin\"\ntelegram_id = 5").unwrap().telegram, None);
    let text = "api_url = \"http://localhost:8081/\"\ngroups = [-5, -1001234567890]\ntheme = \"light\"\n\
                keep_voice = \"0s\"\nmax_download = \"64KiB\"\npoll_timeout = \"1s\"\n\
                limits = { chat_per_second = 500, overall_per_second = 5000 }\nretry = { longest = \"1s\" }\n";
    let config = telegram(&format!("{text}{}", webhook("listen = \"localhost:8443\""))).unwrap();
    let shown = opsbot::config::show(&config);
    assert!(!shown.contains("AAF") && !shown.contains("s3cret") && !format!("{config:?}").contains("AAF"));
    assert_eq!(config.secrets(), ["123456:AAF-x_9", "s3cret_-1_of_more"]);
    let telegram = config.telegram.unwrap();
    assert_eq!(telegram.api_url, "http://localhost:8081");
    assert_eq!(telegram.groups, [-5, -1_001_234_567_890]);
    assert_eq!((telegram.max_download, telegram.keep_voice.as_secs()), (64 << 10, 0));
    assert_eq!((telegram.limits.chat_burst, telegram.limits.chat_per_second), (3, 500.0));
    assert_eq!((telegram.limits.group_per_minute, telegram.limits.overall_per_second), (20, 5000));
    assert_eq!((telegram.retry.first.as_millis(), telegram.retry.longest.as_secs()), (200, 1));
    let webhook = telegram.webhook.unwrap();
    assert_eq!(
        (webhook.url.as_str(), webhook.listen.to_string()),
        ("https://b.example/tg", "127.0.0.1:8443".into())
    );
    assert!(
        shown.contains("max_download = \"64KiB\"") && shown.contains("listen = \"127.0.0.1:8443\""),
        "{shown}"
    );
}

#[test]
fn faults_of_a_telegram_section_are_told_apart() {
    let table = [
        (
            "token = { env = \"SHORT\" }".to_owned(),
            "telegram.token: is no bot token; BotFather gives one like",
        ),
        ("token = { env = \"SPACED\" }".to_owned(), "telegram.token: is no bot token"),
        ("groups = -5".to_owned(), "telegram.groups: must be a list of whole numbers, not a whole number"),
        ("groups = [0]".to_owned(), "0 is no group's id"),
        ("api_url = \"https://u:p@bots.example\"".to_owned(), "holds a user or password"),
        ("max_download = \"20MB\"".to_owned(), "write a size from"),
        ("max_download = \"99999999999999999999MiB\"".to_owned(), "write a size from"),
        ("max_download = \"0KiB\"".to_owned(), "write a size from"),
        ("retry = { longest = \"100ms\" }".to_owned(), "telegram.retry.longest: `longest` must be at least"),
        (webhook("listen = \"8443\""), "telegram.webhook.listen: `8443` is no address"),
        (webhook(""), "telegram.webhook.listen: is missing"),
        (
            webhook("listen = \"127.0.0.1:1\"\ntls = { cert = \"/nonexistent\" }"),
            "tls.key: is missing; name a PEM",
        ),
        (
            webhook("listen = \"[::]:8443\"\ntls = { cert = \"/nonexistent\", key = \"/nonexistent\" }"),
            "telegram.webhook.tls.cert: cannot read /nonexistent",
        ),
        (
            webhook("listen = \"127.0.0.1:1\"").replace("HOOK", "DOTTED"),
            "telegram.webhook.secret: is no webhook secret; use 16 to 256",
        ),
        (
            webhook("listen = \"127.0.0.1:1\"").replace("b.example", "b.example:9443"),
            "telegram.webhook.url: Telegram sends to no port 9443",
        ),
    ];
    for (text, want) in table {
        let got = telegram(&text).unwrap_err();
        assert!(got.to_string().contains(want), "{text}\nwanted: {want}\ngot: {got}");
        assert!(!got.to_string().contains("s3cret") && !got.to_string().contains("AAF-x"), "{got}");
    }
    let missing = read("[telegram]").unwrap_err().to_string();
    assert!(missing.contains("config.toml:1: telegram.token: is missing; write token = {"), "{missing}");
    // One's own server delivers to any port.
    let own = webhook("listen = \"127.0.0.1:1\"").replace("b.example", "b.example:9443");
    telegram(&format!("api_url = \"http://127.0.0.1:8081\"\n{own}")).unwrap();
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
