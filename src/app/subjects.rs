//! Whom an alert is about: its labels first, then the container or machine that they name, looked up in the inventory.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{Failure, backends::inventory_source};
use crate::{
    config::Config,
    domain::{CustomerId, HostName, Labels, ServiceName, Subject},
    inventory::{Inventory, InventorySource},
    pager::SubjectSource,
};

/// How often the inventory is read anew: a new container is known by then.
const REFRESH: Duration = Duration::from_secs(30);
/// The labels that name a container, as cAdvisor, Docker and Kubernetes call it.
const CONTAINER: [&str; 3] = ["name", "container", "container_name"];
/// The labels that name a machine.
const MACHINE: [&str; 4] = ["host", "node", "nodename", "hostname"];

/// Says whom labels are about, from what was last seen of the inventory; clones share it.
#[derive(Clone)]
pub struct Subjects(Arc<RwLock<Known>>);

struct Known {
    source: InventorySource,
    customer_labels: Vec<String>,
    service_labels: Vec<String>,
    /// Docker hosts by the addresses and names that an `instance` may have.
    machines: BTreeMap<String, HostName>,
    places: Places,
}

/// Where everything runs.
#[derive(Default)]
struct Places {
    containers: BTreeMap<String, (CustomerId, ServiceName, HostName)>,
    services: BTreeMap<(CustomerId, ServiceName), BTreeSet<HostName>>,
}

impl fmt::Debug for Subjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subjects").finish_non_exhaustive()
    }
}

impl Subjects {
    /// By this configuration; the inventory is not read yet.
    pub(super) fn new(config: &Config) -> Result<Self, Failure> {
        Ok(Self(Arc::new(RwLock::new(Known::new(config)?))))
    }

    /// By another configuration, with what was seen of the inventory so far.
    pub(super) fn set(&self, config: &Config) -> Result<(), Failure> {
        let new = Known::new(config)?;
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let places = std::mem::take(&mut known.places);
        *known = Known { places, ..new };
        Ok(())
    }

    /// As the pager asks.
    pub(super) fn source(&self) -> SubjectSource {
        let subjects = self.clone();
        Arc::new(move |labels| subjects.0.read().unwrap_or_else(PoisonError::into_inner).of(labels))
    }

    /// Reads the inventory; where nothing answers, what was known before stays.
    pub async fn refresh(&self) {
        let source = self.0.read().unwrap_or_else(PoisonError::into_inner).source.clone();
        let inventory = source.snapshot().await;
        let places = Places::of(&inventory);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if inventory.gaps().is_empty() {
            known.places = places;
        } else {
            known.places.containers.extend(places.containers);
            known.places.services.extend(places.services);
        }
    }

    /// Reads the inventory again and again until `stop`.
    ///
    /// # Errors
    /// Never by itself; the type is the supervisor's.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), String> {
        loop {
            tokio::select! {
                () = tokio::time::sleep(REFRESH) => self.refresh().await,
                () = stop.cancelled() => return Ok(()),
            }
        }
    }
}

impl Known {
    fn new(config: &Config) -> Result<Self, Failure> {
        let labels = &config.inventory;
        // What Docker calls `opsbot.customer` is `container_label_opsbot_customer` to cAdvisor.
        let exported = |label: &str| {
            let plain = label.replace(|c: char| !c.is_ascii_alphanumeric() && c != '_', "_");
            format!("container_label_{plain}")
        };
        Ok(Self {
            source: inventory_source(config)?,
            customer_labels: vec![labels.alert_customer_label.clone(), exported(&labels.customer_label)],
            service_labels: vec![labels.alert_service_label.clone(), exported(&labels.service_label)],
            machines: machines(config),
            places: Places::default(),
        })
    }

    fn of(&self, labels: &Labels) -> Subject {
        let first = |names: &[String]| names.iter().find_map(|name| labels.get(name)).cloned();
        let container = CONTAINER.iter().find_map(|name| self.places.containers.get(labels.get(*name)?));
        let customer = first(&self.customer_labels).map(CustomerId::new);
        let customer = customer.or_else(|| container.map(|(customer, ..)| customer.clone()));
        let service = first(&self.service_labels).map(ServiceName::new);
        let service = service.or_else(|| container.map(|(_, service, _)| service.clone()));
        let only = || {
            let hosts = self.places.services.get(&(customer.clone()?, service.clone()?))?;
            hosts.first().filter(|_| hosts.len() == 1).cloned()
        };
        let host = container.map(|(.., host)| host.clone()).or_else(|| self.machine(labels)).or_else(only);
        Subject { customer, service, host }
    }

    /// The machine that the labels name; a Docker host by its configured name.
    fn machine(&self, labels: &Labels) -> Option<HostName> {
        let named = MACHINE.iter().find_map(|name| labels.get(*name)).map(String::as_str);
        let named = named.or_else(|| labels.get("instance").and_then(|instance| without_port(instance)))?;
        let known = self.machines.get(&named.to_lowercase()).cloned();
        known.or_else(|| (!named.is_empty() && named.len() <= 200).then(|| HostName::new(named)))
    }
}

impl Places {
    fn of(inventory: &Inventory) -> Self {
        let mut places = Self::default();
        for customer in inventory.customers() {
            for member in inventory.members(&customer.id) {
                let (service, host) = (member.r.service.clone(), member.listed.host.clone());
                let service_of = (customer.id.clone(), service.clone());
                places.services.entry(service_of).or_default().insert(host.clone());
                places.containers.insert(member.listed.name.clone(), (customer.id.clone(), service, host));
            }
        }
        places
    }
}

fn machines(config: &Config) -> BTreeMap<String, HostName> {
    let mut machines = BTreeMap::new();
    for docker in &config.docker {
        machines.insert(docker.name.as_str().to_lowercase(), docker.name.clone());
        match docker.url.strip_prefix("tcp://").and_then(without_port) {
            Some(address) => {
                machines.insert(address.to_lowercase(), docker.name.clone());
            }
            None => machines
                .extend(["localhost", "127.0.0.1", "::1"].map(|near| (near.to_owned(), docker.name.clone()))),
        }
    }
    machines
}

/// The host of `HOST` or `HOST:PORT`; none for anything that is no machine, such as a URL.
fn without_port(instance: &str) -> Option<&str> {
    if instance.contains(['/', ' ', '@']) {
        return None;
    }
    let host = match instance.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => instance,
    };
    Some(host.trim_matches(['[', ']'])).filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Env, parse};

    #[test]
    fn labels_come_first_and_the_inventory_fills_in() {
        let text = "[[docker]]\nname = \"eu1\"\nurl = \"unix:///a.sock\"\n\
                    [[docker]]\nname = \"eu2\"\nurl = \"tcp://10.0.0.2:2376\"\n\
                    tls = { ca = \"a\", cert = \"b\", key = \"c\" }";
        let env = Env::new([("HOME", "/home/anna")]).without_secrets();
        let config = parse(Path::new("config.toml"), text, &env).unwrap_or_else(|e| panic!("{e}"));
        let mut known = Known::new(&config).unwrap_or_else(|e| panic!("{}", e.text));
        let place = ("19".into(), "web".into(), "eu2".into());
        known.places.containers.insert("bloom-web".into(), place);
        known.places.services.insert(("19".into(), "web".into()), ["eu2".into()].into());
        known.places.services.insert(("19".into(), "db".into()), ["eu1".into(), "eu2".into()].into());
        let table = [
            ("customer=19 service=web", (Some("19"), Some("web"), Some("eu2"))),
            ("customer=19 service=db", (Some("19"), Some("db"), None)),
            ("customer=20 service=web instance=10.0.0.2:9100", (Some("20"), Some("web"), Some("eu2"))),
            ("name=bloom-web", (Some("19"), Some("web"), Some("eu2"))),
            ("name=bloom-web customer=7", (Some("7"), Some("web"), Some("eu2"))),
            ("name=other", (None, None, None)),
            (
                "container_label_opsbot_customer=19 container_label_opsbot_service=x",
                (Some("19"), Some("x"), None),
            ),
            ("instance=localhost:9100", (None, None, Some("eu1"))),
            ("instance=EU1:9100", (None, None, Some("eu1"))),
            ("instance=10.0.0.7:9100", (None, None, Some("10.0.0.7"))),
            ("instance=[::1]:9100", (None, None, Some("eu1"))),
            ("instance=https://bloom.example/", (None, None, None)),
            ("host=eu2 instance=x:1", (None, None, Some("eu2"))),
            ("", (None, None, None)),
        ];
        for (text, want) in table {
            let labels: Labels = text
                .split_whitespace()
                .filter_map(|pair| pair.split_once('='))
                .map(|(name, value)| (name.into(), value.into()))
                .collect();
            let Subject { customer, service, host } = known.of(&labels);
            let got = (
                customer.as_ref().map(CustomerId::as_str),
                service.as_ref().map(ServiceName::as_str),
                host.as_ref().map(HostName::as_str),
            );
            assert_eq!(got, want, "{text}");
        }
    }
}
