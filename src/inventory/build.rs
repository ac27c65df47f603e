//! From a list of containers to whose they are: a pure function.

use std::collections::BTreeMap;

use super::{Conflict, CustomerRule, Entry, Inventory, Member, Rules};
use crate::{
    docker::Listed,
    domain::{ContainerRef, Customer, CustomerId, ServiceName, ToolError},
};

const COMPOSE_CUSTOMER: &str = "com.docker.compose.project";
const COMPOSE_SERVICE: &str = "com.docker.compose.service";
const COMPOSE_NEEDS: &str = "com.docker.compose.depends_on";

impl Inventory {
    /// Sorts `listed` into customers; `gaps` are the hosts that did not answer.
    pub fn build(rules: &Rules, listed: Vec<Listed>, gaps: Vec<ToolError>) -> Self {
        let mut made = Self { gaps, ..Self::default() };
        for rule in &rules.customers {
            let entry = Entry { customer: rule.customer.clone(), members: vec![] };
            made.customers.insert(rule.customer.id.clone(), entry);
        }
        for container in listed {
            made.place(rules, container);
        }
        for entry in made.customers.values_mut() {
            entry.members.sort_by(|a, b| (&a.r.service, &a.r.name).cmp(&(&b.r.service, &b.r.name)));
        }
        made.conflicts.sort_by(|a, b| (&a.container, &a.sentence).cmp(&(&b.container, &b.sentence)));
        made.strays.sort_by(|a, b| (&a.name, &a.host).cmp(&(&b.name, &b.host)));
        made
    }

    fn place(&mut self, rules: &Rules, listed: Listed) {
        let mut sight = Sight { rules, listed: &listed, conflicts: vec![] };
        let customer = sight.customer();
        let service = sight.service();
        let needs = sight.needs();
        self.conflicts.append(&mut sight.conflicts);
        let Some(id) = customer else {
            self.strays.push(listed);
            return;
        };
        let entry = self.customers.entry(id.clone()).or_insert_with(|| Entry {
            customer: Customer { id, name: None, aliases: vec![], domain: None, labels: BTreeMap::new() },
            members: vec![],
        });
        let r = ContainerRef {
            host: listed.host.clone(),
            id: listed.id.clone(),
            name: listed.name.clone(),
            service,
        };
        entry.members.push(Member { r, listed, needs });
    }
}

/// One container seen through all sources.
struct Sight<'a> {
    rules: &'a Rules,
    listed: &'a Listed,
    conflicts: Vec<Conflict>,
}

impl Sight<'_> {
    fn conflict(&mut self, sentence: String) {
        self.conflicts.push(Conflict { container: self.listed.name.clone(), sentence });
    }

    /// A label's value, if it is a plain name: it comes from whoever made the container.
    fn label(&mut self, name: &str) -> Option<String> {
        let value = self.listed.labels.get(name)?.trim();
        if is_plain(value) {
            return Some(value.to_owned());
        }
        if !value.is_empty() {
            self.conflict(format!("label {name} is ignored: its value is not a plain name"));
        }
        None
    }

    fn customer(&mut self) -> Option<CustomerId> {
        let globs: Vec<&CustomerRule> =
            self.rules.customers.iter().filter(|r| r.claims(self.listed)).collect();
        let configured = globs.first().map(|r| r.customer.id.clone());
        if let [first, .., last] = globs.as_slice() {
            let (a, b) = (&first.customer.id, &last.customer.id);
            self.conflict(format!(
                "[[customer]] {a} and {b} both claim it by name; {a} comes first and wins"
            ));
        }
        let name = self.rules.labels.customer.clone();
        let labelled = self.label(&name).map(|v| self.rules.canonical(&v));
        let composed = self.label(COMPOSE_CUSTOMER).map(|v| self.rules.canonical(&v));
        let sources = [
            (configured, "[[customer]] containers".to_owned()),
            (labelled, format!("label {name}")),
            (composed, "the compose project".to_owned()),
        ];
        self.first_of(sources, "customer")
    }

    fn service(&mut self) -> ServiceName {
        let name = self.rules.labels.service.clone();
        let labelled = self.label(&name);
        let composed = self.label(COMPOSE_SERVICE);
        let sources = [(labelled, format!("label {name}")), (composed, "the compose service".to_owned())];
        let said = self.first_of(sources, "service");
        ServiceName::new(said.unwrap_or_else(|| self.service_by_name()))
    }

    /// What the star of a glob stands for, else the container's whole name.
    fn service_by_name(&self) -> String {
        let name = self.listed.name.as_str();
        let rule = self.rules.customers.iter().find(|r| r.claims(self.listed));
        let glob = rule.and_then(|r| r.globs.iter().find(|g| g.is_match(name)));
        let star = glob.and_then(|g| {
            let (before, after) = g.glob().glob().split_once('*')?;
            let rest = name.strip_prefix(before)?.strip_suffix(after)?;
            Some(rest.trim_matches(['-', '_', '.'])).filter(|s| is_plain(s))
        });
        star.unwrap_or(name).to_owned()
    }

    fn first_of<T: PartialEq + ToString, const N: usize>(
        &mut self,
        sources: [(Option<T>, String); N],
        what: &str,
    ) -> Option<T> {
        let mut said = sources.into_iter().filter_map(|(value, source)| Some((value?, source)));
        let (winner, by) = said.next()?;
        for (other, source) in said {
            if other != winner {
                let (winner, other) = (winner.to_string(), other.to_string());
                self.conflict(format!("{by} says {what} {winner}, {source} says {other}; {by} wins"));
            }
        }
        Some(winner)
    }

    fn needs(&mut self) -> Vec<ServiceName> {
        let labels = &self.listed.labels;
        let own = labels.get(&self.rules.labels.depends_on);
        let text = own.or_else(|| labels.get(COMPOSE_NEEDS)).map(String::as_str).unwrap_or_default();
        let mut needs: Vec<_> = text
            .split([',', ' ', '\n'])
            .map(|item| item.split(':').next().unwrap_or_default().trim())
            .filter(|name| is_plain(name))
            .map(ServiceName::new)
            .collect();
        needs.sort();
        needs.dedup();
        needs
    }
}

impl CustomerRule {
    fn claims(&self, listed: &Listed) -> bool {
        (self.hosts.is_empty() || self.hosts.contains(&listed.host))
            && self.globs.iter().any(|g| g.is_match(&listed.name))
    }
}

impl Rules {
    /// A label may name a configured customer by an alias; compose projects mostly do.
    fn canonical(&self, value: &str) -> CustomerId {
        let known = |c: &&CustomerRule| {
            let c = &c.customer;
            c.id.as_str().eq_ignore_ascii_case(value)
        };
        let named = |c: &&CustomerRule| {
            let c = &c.customer;
            c.name.iter().chain(&c.aliases).chain(&c.domain).any(|n| n.eq_ignore_ascii_case(value))
        };
        let rule = self.customers.iter().find(known).or_else(|| self.customers.iter().find(named));
        rule.map_or_else(|| CustomerId::new(value), |r| r.customer.id.clone())
    }
}

/// Letters, digits and `._-`, at most 64: what names of services and customers are made of.
pub(super) fn is_plain(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        docker::{Health, State},
        domain::HostName,
        inventory::{CustomerConfig, LabelNames},
    };

    pub(in crate::inventory) fn listed(name: &str, labels: &[(&str, &str)]) -> Listed {
        Listed {
            host: HostName::from("local"),
            id: format!("{name:a<64}").replace(|c: char| !c.is_ascii_alphanumeric(), "0"),
            name: name.into(),
            labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            image: "i".into(),
            image_id: String::new(),
            state: State::Running,
            health: Health::None,
            status: String::new(),
            ports: vec![],
            volumes: vec![],
        }
    }

    pub(in crate::inventory) fn customer(id: &str, name: &str, aliases: &[&str], domain: &str) -> Customer {
        Customer {
            id: id.into(),
            name: (!name.is_empty()).then(|| name.to_owned()),
            aliases: aliases.iter().map(|a| (*a).to_owned()).collect(),
            domain: (!domain.is_empty()).then(|| domain.to_owned()),
            labels: BTreeMap::new(),
        }
    }

    pub(in crate::inventory) fn rules(customers: Vec<(Customer, &[&str])>) -> Rules {
        let config = |(customer, globs): (Customer, &[&str])| CustomerConfig {
            customer,
            containers: globs.iter().map(|g| (*g).to_owned()).collect(),
            hosts: vec![],
        };
        Rules::new(LabelNames::default(), customers.into_iter().map(config).collect()).unwrap()
    }

    #[test]
    fn config_wins_over_labels_and_labels_over_compose() {
        let rules = rules(vec![
            (customer("19", "Nordwind", &["nordwind"], ""), &["shop19-*", "old_web"]),
            (customer("7", "", &[], ""), &["*-shared"]),
            (customer("8", "", &[], ""), &["db-*"]),
        ]);
        let (o, c, s, p) = ("opsbot.customer", COMPOSE_CUSTOMER, "opsbot.service", COMPOSE_SERVICE);
        // (container, labels, customer/service, number of conflicts)
        type Labels<'a> = &'a [(&'a str, &'a str)];
        let table: &[(&str, Labels<'_>, &str, usize)] = &[
            ("x", &[(o, "12"), (s, "web")], "12/web", 0),
            ("x", &[(c, "acme"), (p, "db")], "acme/db", 0),
            ("x", &[(o, "12"), (c, "acme"), (s, "web"), (p, "front")], "12/web", 2),
            ("x", &[(o, "12"), (c, "acme"), (p, "front")], "12/front", 1),
            ("x", &[(c, "nordwind"), (o, "19"), (s, "web")], "19/web", 0),
            ("shop19-web", &[], "19/web", 0),
            ("shop19-web", &[(o, "7")], "19/web", 1),
            ("shop19-web", &[(o, "7"), (c, "8"), (s, "app")], "19/app", 2),
            ("old_web", &[], "19/old_web", 0),
            ("db-shared", &[], "7/db", 1),
            ("x", &[(o, "")], "-/x", 0),
            ("x", &[(o, "a b; rm -rf"), (c, "acme")], "acme/x", 1),
            ("stray", &[], "-/stray", 0),
        ];
        for (name, labels, want, conflicts) in table {
            let made = Inventory::build(&rules, vec![listed(name, labels)], vec![]);
            let got = made.customers.iter().find_map(|(id, e)| Some((id, e.members.first()?)));
            let got = got.map_or(
                format!("-/{}", made.strays.iter().map(|l| l.name.as_str()).collect::<String>()),
                |(id, m)| format!("{id}/{}", m.r.service),
            );
            assert_eq!((got.as_str(), made.conflicts.len()), (*want, *conflicts), "{name} {labels:?}");
        }
    }

    #[test]
    fn a_conflict_names_both_sides_and_the_winner() {
        let rules = rules(vec![(customer("19", "", &[], ""), &["shop-*"])]);
        let made = Inventory::build(&rules, vec![listed("shop-web", &[("opsbot.customer", "7")])], vec![]);
        assert_eq!(
            made.conflicts()[0].sentence,
            "[[customer]] containers says customer 19, label opsbot.customer says 7; [[customer]] containers wins"
        );
    }

    #[test]
    fn needs_are_read_in_both_spellings() {
        let table: &[(&str, &str, &[&str])] = &[
            ("opsbot.depends_on", "redis, db", &["db", "redis"]),
            (COMPOSE_NEEDS, "db:service_started:false,redis:service_healthy:true", &["db", "redis"]),
            (COMPOSE_NEEDS, "", &[]),
            ("opsbot.depends_on", "db,,db, bad;name", &["db"]),
        ];
        for (label, text, want) in table {
            let all = vec![listed("w", &[("opsbot.customer", "1"), (label, text)])];
            let made = Inventory::build(&Rules::default(), all, vec![]);
            let needs: Vec<_> = made.members(&"1".into())[0].needs.iter().map(ServiceName::as_str).collect();
            assert_eq!(needs, *want, "{text}");
        }
    }

    #[test]
    fn globs_hold_only_on_their_hosts_and_a_bad_one_is_named() {
        let config = |glob: &str| CustomerConfig {
            customer: customer("19", "", &[], ""),
            containers: vec![glob.into()],
            hosts: vec!["other".into()],
        };
        let rules = Rules::new(LabelNames::default(), vec![config("shop-*")]).unwrap();
        let made = Inventory::build(&rules, vec![listed("shop-web", &[])], vec![]);
        assert_eq!(made.strays().iter().map(|l| l.name.as_str()).collect::<Vec<_>>(), ["shop-web"]);
        let error = Rules::new(LabelNames::default(), vec![config("shop-[")]).unwrap_err();
        assert!(error.contains("19") && error.contains("shop-["), "{error}");
    }

    #[test]
    fn customers_come_in_a_persons_order() {
        let all = ["12", "7", "acme", "19"].map(|id| listed(id, &[("opsbot.customer", id)]));
        let made = Inventory::build(&Rules::default(), all.into(), vec![]);
        let ids: Vec<_> = made.customers().iter().map(|c| c.id.as_str()).collect();
        assert_eq!(ids, ["7", "12", "19", "acme"]);
    }
}
