//! Answers without what nobody asked for: a field that is not named here does not leave. No IO.
//!
//! Named are the fields that the daemon's Docker client reads, and those that tell a container from another.
//! Environment, command lines and paths are where secrets stand, so they are not among them.

mod objects;

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::Config;
pub(super) use objects::{Covered, Image, disk, distribution, images, readable_images};

pub(super) type Labels = BTreeMap<String, String>;

/// One container of `GET /containers/json`, or of `GET /system/df`, which tells its size too.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Summary {
    pub id: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    #[serde(default)]
    image: String,
    #[serde(default, rename = "ImageID", skip_serializing_if = "String::is_empty")]
    pub image_id: String,
    #[serde(default)]
    pub labels: Option<Labels>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    state: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    ports: Option<Vec<Port>>,
    #[serde(default)]
    pub mounts: Option<Vec<Mount>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size_rw: Option<i64>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Port {
    #[serde(default, rename = "IP", skip_serializing_if = "Option::is_none")]
    ip: Option<String>,
    #[serde(default)]
    private_port: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_port: Option<u16>,
    #[serde(default)]
    r#type: String,
}

/// A volume has a name; of what else is mounted nothing leaves, and never a path.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Mount {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    pub name: Option<String>,
}

impl Summary {
    /// The container without labels that look like secrets, and without paths.
    pub(super) fn bare(self, config: &Config) -> Self {
        let mounts = self
            .mounts
            .map(|mounts| mounts.into_iter().filter(|m| m.r#type == "volume" && m.name.is_some()).collect());
        let mut ports = self.ports;
        for port in ports.iter_mut().flatten() {
            port.ip = port.ip.take().filter(|ip| ip.parse::<IpAddr>().is_ok());
        }
        Self { labels: self.labels.map(|l| without_secrets(l, config)), mounts, ports, ..self }
    }

    pub(super) fn is_covered(&self, config: &Config) -> bool {
        config.covers(self.labels.as_ref().and_then(|labels| labels.get(&config.label)))
    }
}

/// `GET /containers/{id}/json`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inspect {
    pub id: String,
    #[serde(default)]
    name: String,
    state: State,
    #[serde(default)]
    restart_count: i64,
    #[serde(default)]
    config: ContainerConfig,
    #[serde(default)]
    host_config: HostConfig,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    status: String,
    #[serde(default, rename = "OOMKilled")]
    oom_killed: bool,
    #[serde(default)]
    exit_code: i64,
    #[serde(default)]
    error: String,
    #[serde(default)]
    started_at: String,
    #[serde(default)]
    finished_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    health: Option<Health>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Health {
    #[serde(default)]
    status: String,
    #[serde(default)]
    failing_streak: i64,
    #[serde(default)]
    log: Option<Vec<Probe>>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Probe {
    #[serde(default)]
    end: String,
    #[serde(default)]
    exit_code: i64,
    #[serde(default)]
    output: String,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerConfig {
    #[serde(default)]
    image: String,
    #[serde(default)]
    labels: Option<Labels>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    restart_policy: Option<RestartPolicy>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct RestartPolicy {
    #[serde(default)]
    name: String,
}

/// One line of `GET /events`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    r#type: String,
    action: String,
    actor: EventActor,
    #[serde(rename = "time")]
    time: i64,
    #[serde(rename = "timeNano", default)]
    time_nano: i64,
}

#[derive(Debug, Deserialize, Serialize)]
struct EventActor {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Attributes", default)]
    attributes: Labels,
}

/// The engine's answer is not the one that belongs to the question.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotDocker;

impl Inspect {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, NotDocker> {
        let inspect: Self = serde_json::from_slice(bytes).map_err(|_| NotDocker)?;
        let is_id = inspect.id.len() == 64 && inspect.id.bytes().all(|b| b.is_ascii_hexdigit());
        if is_id { Ok(inspect) } else { Err(NotDocker) }
    }

    /// The container's name, without the leading slash.
    pub(super) fn name(&self) -> &str {
        self.name.trim_start_matches('/')
    }

    /// Whether it carries the label of containers that may be changed.
    pub(super) fn is_covered(&self, config: &Config) -> bool {
        config.covers(self.config.labels.as_ref().and_then(|labels| labels.get(&config.label)))
    }

    /// What may leave, as JSON.
    pub(super) fn stripped(mut self, config: &Config) -> Result<Vec<u8>, NotDocker> {
        self.config.labels = self.config.labels.map(|labels| without_secrets(labels, config));
        serde_json::to_vec(&self).map_err(|_| NotDocker)
    }
}

/// A list of containers with what may leave; `all` or only those with the label.
pub(super) fn list(bytes: &[u8], config: &Config, all: bool) -> Result<Vec<u8>, NotDocker> {
    let listed: Vec<Summary> = serde_json::from_slice(bytes).map_err(|_| NotDocker)?;
    let kept: Vec<_> =
        listed.into_iter().filter(|s| all || s.is_covered(config)).map(|s| s.bare(config)).collect();
    serde_json::to_vec(&kept).map_err(|_| NotDocker)
}

/// What of a container's life is told. Others tell command lines (`exec_create: sh -c …`) or are of no use to the daemon.
const EVENTS: [&str; 8] = ["start", "kill", "die", "stop", "restart", "oom", "health_status", "destroy"];

/// A line of events with what may leave; none where nothing may.
pub(super) fn event(line: &str, config: &Config, all: bool) -> Option<String> {
    let mut event: Event = serde_json::from_str(line).ok()?;
    let covered = all || config.covers(event.actor.attributes.get(&config.label));
    let kind = event.action.split(':').next().unwrap_or_default();
    if event.r#type != "container" || !covered || !EVENTS.contains(&kind) {
        return None;
    }
    event.actor.attributes = without_secrets(event.actor.attributes, config);
    serde_json::to_string(&event).ok().map(|line| line + "\n")
}

pub(super) fn without_secrets(mut labels: Labels, config: &Config) -> Labels {
    labels.retain(|name, value| *name == config.label || !(names_a_secret(name) || holds_a_secret(value)));
    labels
}

fn names_a_secret(name: &str) -> bool {
    const PARTS: &[&str] = &["password", "passwd", "passphrase", "secret", "token", "credential", "apikey"];
    const WORDS: &[&str] =
        &["auth", "basicauth", "digestauth", "dsn", "key", "keys", "pass", "private", "pwd"];
    let name = name.to_ascii_lowercase();
    PARTS.iter().any(|part| name.contains(part))
        || name.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| WORDS.contains(&word))
}

fn holds_a_secret(value: &str) -> bool {
    const HASHES: &[&str] = &["$apr1$", "$2a$", "$2b$", "$2y$", "$5$", "$6$", "$argon2", "{SHA}"];
    value.contains("-----BEGIN ")
        || HASHES.iter().any(|hash| value.contains(hash))
        || value.split("://").skip(1).any(has_userinfo)
}

/// Whether what follows `://` begins with `user:password@`.
fn has_userinfo(rest: &str) -> bool {
    let authority = rest.split(['/', '?', '#', ' ']).next().unwrap_or_default();
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn config() -> Config {
        Config::parse("users = [0]").unwrap()
    }

    fn full(labels: &Value) -> Value {
        json!({
            "Id": "a".repeat(64), "Name": "/web", "Path": "sh", "Args": ["-c", "SEEN"], "Mounts": [{"Source": "SEEN"}],
            "State": {"Status": "running", "Pid": 7, "OOMKilled": true, "ExitCode": 3, "Error": "e",
                "StartedAt": "s", "FinishedAt": "f", "Health": {"Status": "healthy", "FailingStreak": 1,
                "Log": [{"Start": "SEEN", "End": "t", "ExitCode": 1, "Output": "o"}]}},
            "RestartCount": 2, "HostConfig": {"Binds": ["SEEN"], "RestartPolicy": {"Name": "always"}},
            "Config": {"Env": ["A=SEEN"], "Cmd": ["SEEN"], "Entrypoint": ["SEEN"], "Image": "i", "Labels": labels,
                "Healthcheck": {"Test": ["CMD", "SEEN"]}},
            "GraphDriver": {"Data": {"UpperDir": "SEEN"}}, "NetworkSettings": {"SEEN": 1}, "LogPath": "SEEN",
        })
    }

    #[test]
    fn an_inspection_leaves_with_what_is_read_and_no_more() {
        let labels = json!({"opsbot.customer": "19", "db.password": "SEEN"});
        let inspect = Inspect::read(full(&labels).to_string().as_bytes()).unwrap();
        assert!(inspect.is_covered(&config()) && inspect.name() == "web");
        let out: Value = serde_json::from_slice(&inspect.stripped(&config()).unwrap()).unwrap();
        assert!(!out.to_string().contains("SEEN") && !out.to_string().contains("Pid"), "{out}");
        assert_eq!(out["State"]["Health"]["Log"][0], json!({"End": "t", "ExitCode": 1, "Output": "o"}));
        assert_eq!(out["HostConfig"], json!({"RestartPolicy": {"Name": "always"}}));
        assert_eq!(out["Config"], json!({"Image": "i", "Labels": {"opsbot.customer": "19"}}));
        assert_eq!((&out["State"]["OOMKilled"], &out["RestartCount"]), (&json!(true), &json!(2)));
    }

    #[test]
    fn what_is_no_inspection_is_refused() {
        let other = full(&json!(null)).to_string().replace(&"a".repeat(64), "../../images");
        for text in ["", "[]", "{}", "<html>", &other, &other.replace("../../images", "abcdef")] {
            assert_eq!(Inspect::read(text.as_bytes()).err(), Some(NotDocker), "{text}");
        }
        let bare = full(&json!(null)).to_string();
        assert!(!Inspect::read(bare.as_bytes()).unwrap().is_covered(&config()));
    }

    #[test]
    fn a_list_leaves_stripped_and_perhaps_shorter() {
        let one = |labels: Value| {
            json!({"Id": "x", "Names": ["/n"], "Command": "SEEN", "Mounts": [{"Source": "SEEN"}],
            "Ports": [{"IP": "SEEN"}], "Image": "i", "State": "running", "Status": "Up", "Labels": labels})
        };
        let text = json!([one(json!({"opsbot.customer": "19"})), one(json!(null))]).to_string();
        let ids = |all| {
            let out = list(text.as_bytes(), &config(), all).unwrap();
            assert!(!String::from_utf8_lossy(&out).contains("SEEN"));
            serde_json::from_slice::<Vec<Value>>(&out).unwrap().len()
        };
        assert_eq!((ids(true), ids(false)), (2, 1));
        assert_eq!(list(b"{}", &config(), true), Err(NotDocker));
    }

    #[test]
    fn events_are_of_containers_and_tell_no_command() {
        let line = |kind: &str, action: &str, labels: Value| {
            json!({"Type": kind, "Action": action, "status": action, "from": "SEEN", "id": "x",
                "Actor": {"ID": "x", "Attributes": labels}, "scope": "local", "time": 1, "timeNano": 2})
            .to_string()
        };
        let ours = json!({"opsbot.customer": "19", "name": "web", "x.token": "SEEN"});
        for action in ["exec_create: sh -c SEEN", "exec_die", "attach", "rename", "top", "archive-path", ""] {
            assert_eq!(event(&line("container", action, ours.clone()), &config(), true), None, "{action}");
        }
        let out =
            event(&line("container", "health_status: healthy", ours.clone()), &config(), false).unwrap();
        assert!(out.contains("health_status: healthy") && out.contains("\"name\":\"web\""), "{out}");
        assert!(out.ends_with('\n') && !out.contains("SEEN"), "{out}");
        assert_eq!(event(&line("image", "pull", ours), &config(), true), None);
        assert!(event(&line("container", "die", json!({})), &config(), true).is_some());
        assert_eq!(event(&line("container", "die", json!({})), &config(), false), None);
        assert_eq!(event("garbage", &config(), true), None);
    }

    #[test]
    fn labels_that_look_like_secrets_stay_behind() {
        let table = [
            ("opsbot.customer", "19", true),
            ("com.docker.compose.project", "shop", true),
            ("com.docker.compose.depends_on", "db:service_started:false", true),
            ("org.opencontainers.image.authors", "Anna <anna@shop.example>", true),
            ("org.opencontainers.image.url", "https://shop.example/a:b@c", true),
            ("traefik.http.routers.web.rule", "Host(`shop.example`)", true),
            ("traefik.http.middlewares.a.basicauth.users", "u:h", false),
            ("backup.API-KEY", "x", false),
            ("db_password", "x", false),
            ("GithubToken", "x", false),
            ("note", "u:$apr1$x$y", false),
            ("note", "postgres://u:p@db/x", false),
            ("note", "-----BEGIN PRIVATE KEY-----", false),
        ];
        for (name, value, stays) in table {
            let labels = Labels::from([(name.to_owned(), value.to_owned())]);
            assert_eq!(!without_secrets(labels, &config()).is_empty(), stays, "{name}={value}");
        }
        let named = Config::parse("users = [0]\nlabel = \"shop.key\"").unwrap();
        assert_eq!(without_secrets(Labels::from([("shop.key".into(), "7".into())]), &named).len(), 1);
    }
}
