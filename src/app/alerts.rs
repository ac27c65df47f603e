//! Alerts' part of the wiring: the desk as the configuration wants it, whom it pages, and where sources report.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::{net::TcpStream, time::timeout};

use super::{Failure, subjects::Subjects};
use crate::{
    alerts::{CardRules, Inhibit, Reach, Settings},
    config::{AlertsConfig, Config},
    domain::{CustomerId, Labels, Role, Severity, Subject},
    http::{
        self,
        alerts::{BODY_TIME, Door, Surface},
    },
    pager::{Pager, Setup},
    playbook::Playbooks,
    runtime::Counters,
    store::Store,
    tools::playbooks::command,
};

/// Sources keep a connection each; browsers never come.
const CONNECTIONS: usize = 128;
/// How long `opsbot doctor` waits for a listener.
const PROBE: Duration = Duration::from_secs(3);

/// What alerting keeps, whatever the configuration becomes; clones share it.
#[derive(Clone, Debug)]
pub struct Alerts {
    /// The desk at work.
    pub pager: Pager,
    /// What sources report to.
    pub surface: Surface,
    /// Whom labels are about.
    pub subjects: Subjects,
    playbooks: Slot,
}

/// The playbooks of the generation that runs.
type Slot = Arc<RwLock<Option<Arc<Playbooks>>>>;

impl Alerts {
    /// What was kept, under these settings.
    pub(super) async fn open(
        config: &Config,
        alerts: &AlertsConfig,
        store: &Store,
        counters: &Counters,
    ) -> Result<Self, Failure> {
        let (subjects, playbooks) = (Subjects::new(config)?, Slot::default());
        let setup = setup(config, alerts, &subjects, &playbooks);
        let pager = Pager::open(store.clone(), setup, counters.clone()).await?;
        let times = (alerts.resolve_timeout, BODY_TIME);
        let surface = Surface::new(pager.clone(), Door::new(alerts.token.expose()), counters.clone(), times);
        Ok(Self { pager, surface, subjects, playbooks })
    }

    /// From now on cards suggest these playbooks.
    pub(super) fn suggest(&self, playbooks: Arc<Playbooks>) {
        *self.playbooks.write().unwrap_or_else(PoisonError::into_inner) = Some(playbooks);
    }

    /// Takes a changed configuration in; what is on the desk stays.
    pub(super) fn renew(&self, config: &Config, alerts: &AlertsConfig) -> Result<(), Failure> {
        self.subjects.set(config)?;
        self.pager.set(setup(config, alerts, &self.subjects, &self.playbooks));
        self.surface.set(alerts.token.expose(), alerts.resolve_timeout);
        Ok(())
    }

    /// Binds the listener; none when it is off.
    ///
    /// # Errors
    /// One sentence for whoever wrote the configuration.
    pub async fn listen(&self, alerts: &AlertsConfig) -> Result<Option<http::Server>, Failure> {
        let Some(address) = alerts.listen else { return Ok(None) };
        let tls = alerts.tls.as_ref().map(|tls| (tls.cert.as_path(), tls.key.as_path()));
        let limits = http::Limits { connections: CONNECTIONS, ..http::Limits::default() };
        let (address, router) = (address.to_string(), self.surface.router());
        let server = http::bind_router(&address, limits, router, tls).await;
        server.map(Some).map_err(|e| Failure::failed(format!("[alerts] listen: {e}")))
    }
}

/// The pager's setup as the configuration wants it.
fn setup(config: &Config, alerts: &AlertsConfig, subjects: &Subjects, playbooks: &Slot) -> Setup {
    let (ladder, places) = ladder(config, alerts);
    let inhibit = alerts.inhibit.iter().map(|i| Inhibit {
        source: i.source.clone(),
        target: i.target.clone(),
        equal: i.equal.clone(),
    });
    Setup {
        settings: Settings {
            group_by: alerts.group_by.clone(),
            group_wait: alerts.group_wait,
            hold_down: alerts.hold_down,
            flapping: (alerts.flap_changes, alerts.flap_within),
            ack_lifetime: alerts.ack_lifetime,
            ladder,
            quiet: alerts.quiet_hours.clone(),
            inhibit: inhibit.collect(),
            zone: alerts.timezone.clone(),
            cards: card_rules(config, alerts, playbooks),
        },
        places,
        storm_above: alerts.storm_above,
        subject: subjects.source(),
    }
}

/// The chats that the ladder pages.
#[cfg(feature = "telegram")]
pub(super) fn paged(config: &Config, alerts: &AlertsConfig) -> Vec<String> {
    ladder(config, alerts).1.into_keys().collect()
}

/// The ladder's waits, and the chats with the steps that page them. Entries with the same `after` are one step; without
/// any entry the admins are paged at once.
fn ladder(config: &Config, alerts: &AlertsConfig) -> (Vec<Duration>, BTreeMap<String, Vec<Reach>>) {
    let (mut waits, mut places) = (Vec::<Duration>::new(), BTreeMap::<String, Vec<Reach>>::new());
    for entry in &alerts.steps {
        if waits.last() != Some(&entry.after) {
            waits.push(entry.after);
        }
        let step = u32::try_from(waits.len() - 1).unwrap_or(u32::MAX);
        let chats = entry.people.iter().filter_map(|name| private_chat(config, name.as_str()));
        for place in chats.chain(entry.places.iter().cloned()) {
            let reach = Reach { step, at_least: entry.at_least, during: entry.during.clone() };
            places.entry(place).or_default().push(reach);
        }
    }
    if alerts.steps.is_empty() {
        waits.push(Duration::ZERO);
        let admins = config.people.iter().filter(|person| person.role == Role::Admin);
        for place in admins.filter_map(|admin| private_chat(config, admin.name.as_str())) {
            places.insert(place, vec![Reach { step: 0, at_least: Severity::Info, during: None }]);
        }
    }
    (waits, places)
}

/// A person's private chat has the person's own id.
fn private_chat(config: &Config, name: &str) -> Option<String> {
    let person = config.people.iter().find(|person| person.name.as_str() == name)?;
    Some(format!("telegram:{}:0", person.telegram_id?))
}

fn card_rules(config: &Config, alerts: &AlertsConfig, playbooks: &Slot) -> CardRules {
    let names: BTreeMap<CustomerId, String> = config
        .customers
        .iter()
        .filter_map(|c| Some((c.customer.id.clone(), c.customer.name.clone()?)))
        .collect();
    let playbooks = playbooks.clone();
    CardRules {
        runbook_hosts: alerts.runbook_hosts.clone(),
        customer: Arc::new(move |id| match names.get(id) {
            Some(name) => format!("{id} {name}"),
            None => id.to_string(),
        }),
        suggest: Arc::new(move |labels, subject| suggested(&playbooks, labels, subject)),
    }
}

fn suggested(playbooks: &Slot, labels: &Labels, subject: &Subject) -> Vec<(String, String)> {
    let playbooks = playbooks.read().unwrap_or_else(PoisonError::into_inner).clone();
    let Some(playbooks) = playbooks else { return vec![] };
    let customer = subject.customer.as_ref().map(CustomerId::as_str);
    let all = playbooks.suggested(labels);
    all.filter_map(|playbook| Some((format!("▶ {}", playbook.name), command(playbook, customer)?))).collect()
}

/// What `opsbot doctor` sees of alerts: the part, and what was seen or is wrong.
pub async fn examine(config: &Config, daemon: bool) -> Vec<(String, Result<String, String>)> {
    let Some(alerts) = &config.alerts else { return vec![] };
    let mut seen = vec![("alerts: pages".to_owned(), whom(config, alerts))];
    if let Some(address) = alerts.listen {
        let listens = if daemon {
            reach(&address.to_string()).await.map(|()| format!("answers on {address}")).map_err(|why| {
                format!("{address} {why}: the daemon runs with another configuration; restart it")
            })
        } else {
            Ok(format!("would listen on {address}"))
        };
        seen.push(("alerts: listener".into(), listens));
    }
    if let Some(url) = &alerts.write_silences {
        let place = reqwest::Url::parse(url)
            .ok()
            .and_then(|u| Some(format!("{}:{}", u.host_str()?, u.port_or_known_default()?)));
        let reached = match place {
            Some(place) => reach(&place)
                .await
                .map_err(|why| format!("{url} {why}: start that Alertmanager or correct write_silences")),
            None => Err(format!("{url} is no address; correct write_silences")),
        };
        seen.push(("alerts: silences".into(), reached.map(|()| format!("{url} can be reached"))));
    }
    seen
}

fn whom(config: &Config, alerts: &AlertsConfig) -> Result<String, String> {
    let (waits, places) = ladder(config, alerts);
    let first = places.values().flatten().any(|reach| reach.step == 0);
    if !first {
        return Err(
            "nobody is paged at once: give an admin a telegram_id, or write [[alerts.step]] with people or \
                    places"
                .into(),
        );
    }
    if config.telegram.is_none() {
        return Err("nobody is paged: there is no [telegram] to page through; add that section".into());
    }
    let steps = if waits.len() == 1 { "1 step".to_owned() } else { format!("{} steps", waits.len()) };
    Ok(format!("{steps}, {} chats", places.len()))
}

/// Whether somebody listens there; the error ends a sentence that begins with the address.
async fn reach(place: &str) -> Result<(), String> {
    match timeout(PROBE, TcpStream::connect(place)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("does not answer ({})", error.kind())),
        Err(_) => Err("does not answer in time".into()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Env, parse};

    fn config(more: &str) -> Config {
        let text = format!(
            "[[person]]\nname = \"anna\"\nrole = \"admin\"\ntelegram_id = 1\n[[person]]\nname = \"ben\"\nrole = \"viewer\"\n\
             telegram_id = 2\n[[person]]\nname = \"cleo\"\nrole = \"admin\"\n[telegram]\ntoken = {{ env = \"T\" }}\n\
             [alerts]\ntoken = {{ env = \"T\" }}\n{more}"
        );
        let env = Env::new([("HOME", "/home/anna")]).without_secrets();
        parse(Path::new("config.toml"), &text, &env).unwrap_or_else(|e| panic!("{e}"))
    }

    fn rungs(more: &str) -> (Vec<u64>, Vec<(String, Vec<u32>)>) {
        let config = config(more);
        let (waits, places) = ladder(&config, config.alerts.as_ref().unwrap());
        let places = places.into_iter().map(|(place, all)| (place, all.iter().map(|r| r.step).collect()));
        (waits.iter().map(Duration::as_secs).collect(), places.collect())
    }

    #[test]
    fn without_a_ladder_all_admins_with_a_chat_are_paged_at_once() {
        assert_eq!(rungs(""), (vec![0], vec![("telegram:1:0".to_owned(), vec![0])]));
    }

    #[test]
    fn entries_with_the_same_wait_are_one_step() {
        let ladder = "[[alerts.step]]\npeople = [\"anna\"]\n[[alerts.step]]\nafter = \"0s\"\nplaces = [\"telegram:-5:7\"]\n\
                      at_least = \"critical\"\n[[alerts.step]]\nafter = \"10m\"\npeople = [\"Ben\", \"anna\"]\nplaces = [\"telegram:-5\"]";
        let place = |text: &str, steps: &[u32]| (text.to_owned(), steps.to_vec());
        let want = vec![
            place("telegram:-5:0", &[1]),
            place("telegram:-5:7", &[0]),
            place("telegram:1:0", &[0, 1]),
            place("telegram:2:0", &[1]),
        ];
        assert_eq!(rungs(ladder), (vec![0, 600], want));
    }
}
