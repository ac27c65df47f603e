//! A container as a list shows it: enough to tell whose it is, how it is, and what it offers.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use super::{
    info::{Health, State, is_id},
    wire,
};
use crate::domain::{HostName, Untrusted};

/// A container as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The host that has it.
    pub host: HostName,
    /// The full id.
    pub id: String,
    /// Its name, without a leading slash.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The image's name; its id once the name means another image.
    pub image: String,
    /// The image's id (`sha256:…`); empty where the engine does not say.
    pub image_id: String,
    /// What it does.
    pub state: State,
    /// What its health check says.
    pub health: Health,
    /// Since when, in the engine's words: `Up 2 minutes`, `Exited (1) 3 days ago`.
    pub status: String,
    /// The ports that it offers, sorted.
    pub ports: Vec<Port>,
    /// The names of the volumes that it mounts.
    pub volumes: Vec<String>,
}

/// A port of a container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// The port inside.
    pub inside: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// The host's address and port that lead to it; without an address all of the host's do.
    pub published: Option<(Option<IpAddr>, u16)>,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.published {
            None => {}
            Some((None, port)) => write!(f, "{port}->")?,
            Some((Some(IpAddr::V6(ip)), port)) => write!(f, "[{ip}]:{port}->")?,
            Some((Some(ip), port)) => write!(f, "{ip}:{port}->")?,
        }
        write!(f, "{}/{}", self.inside, self.protocol)
    }
}

impl Port {
    fn read(wire: wire::Port) -> Self {
        let ip = wire.ip.and_then(|ip| ip.parse::<IpAddr>().ok()).filter(|ip| !ip.is_unspecified());
        let protocol = Untrusted::new(&wire.r#type).cut(8).to_string();
        Self {
            inside: wire.private_port,
            protocol,
            published: wire.public_port.filter(|p| *p != 0).map(|port| (ip, port)),
        }
    }
}

impl Listed {
    /// None for an entry whose id is not one: it would go into request paths.
    pub(super) fn read(host: &HostName, wire: wire::Summary) -> Option<Self> {
        if !is_id(&wire.id) {
            return None;
        }
        let name = wire.names.unwrap_or_default().into_iter().min_by_key(|n| n.matches('/').count());
        let name = Untrusted::new(name.unwrap_or_default().trim_start_matches('/')).cut(128).to_string();
        let name = if name.is_empty() { wire.id.chars().take(12).collect() } else { name };
        // Of IPv4 and IPv6 there are two entries for one port.
        let mut ports: Vec<_> = wire.ports.unwrap_or_default().into_iter().map(Port::read).collect();
        ports.sort();
        ports.dedup();
        let volumes = wire.mounts.unwrap_or_default().into_iter().filter(|m| m.r#type == "volume");
        Some(Self {
            host: host.clone(),
            name,
            labels: wire.labels.unwrap_or_default(),
            image: Untrusted::new(&wire.image).cut(200).to_string(),
            image_id: Untrusted::new(&wire.image_id).cut(80).to_string(),
            state: State::read(&wire.state),
            health: Health::read_status(&wire.status),
            status: since(&wire.status),
            ports,
            volumes: volumes.filter_map(|m| m.name).collect(),
            id: wire.id,
        })
    }
}

/// The engine's words without its health, which is told apart.
fn since(status: &str) -> String {
    let words = status.split(" (health").next().unwrap_or_default();
    let words = words.strip_suffix(" (unhealthy)").unwrap_or(words);
    Untrusted::new(words.trim()).cut(60).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Listed> {
        Listed::read(&HostName::from("local"), serde_json::from_str(text).unwrap())
    }

    #[test]
    fn a_sparse_answer_is_still_read() {
        let id = "a".repeat(64);
        let bare = read(&format!(r#"{{"Id":"{id}","Names":null,"Labels":null}}"#)).unwrap();
        assert_eq!((bare.name.as_str(), bare.state), ("aaaaaaaaaaaa", State::Unknown));
        let linked =
            read(&format!(r#"{{"Id":"{id}","Names":["/web/alias","/db"],"State":"running"}}"#)).unwrap();
        assert_eq!((linked.name.as_str(), linked.state), ("db", State::Running));
        assert_eq!(read(r#"{"Id":"../x"}"#), None);
    }

    #[test]
    fn ports_and_volumes_are_read_and_told_once() {
        let text = format!(
            r#"{{"Id":"{}","Status":"Up 3 hours (healthy)","Ports":[
            {{"IP":"0.0.0.0","PrivatePort":80,"PublicPort":8080,"Type":"tcp"}},
            {{"IP":"::","PrivatePort":80,"PublicPort":8080,"Type":"tcp"}},
            {{"IP":"127.0.0.1","PrivatePort":443,"PublicPort":8443,"Type":"tcp"}},
            {{"IP":"::1","PrivatePort":53,"PublicPort":53,"Type":"udp"}},
            {{"PrivatePort":9000,"Type":"tcp"}}],
            "Mounts":[{{"Type":"bind","Source":"/etc"}},{{"Type":"volume","Name":"shop_data"}}]}}"#,
            "b".repeat(64)
        );
        let listed = read(&text).unwrap();
        let ports: Vec<_> = listed.ports.iter().map(ToString::to_string).collect();
        assert_eq!(ports, ["[::1]:53->53/udp", "8080->80/tcp", "127.0.0.1:8443->443/tcp", "9000/tcp"]);
        assert_eq!((listed.status.as_str(), listed.volumes), ("Up 3 hours", vec!["shop_data".to_owned()]));
    }

    #[test]
    fn the_engines_words_lose_their_health() {
        let table = [
            ("Up 2 minutes (healthy)", "Up 2 minutes"),
            ("Up 2 minutes (unhealthy)", "Up 2 minutes"),
            ("Up 1 second (health: starting)", "Up 1 second"),
            ("Up 2 hours (Paused)", "Up 2 hours (Paused)"),
            ("Exited (137) 5 days ago", "Exited (137) 5 days ago"),
        ];
        for (status, want) in table {
            assert_eq!(since(status), want);
        }
    }
}
