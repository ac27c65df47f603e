//! From what a person or a model wrote to the one customer or service that it means, or a question back.

use super::{Entry, Inventory};
use crate::domain::{Customer, CustomerId, ServiceName, ToolError};

/// What people call a service, and what it is called where it runs.
const CALLED: [(&str, &[&str]); 4] = [
    ("database", &["db", "mysql", "mariadb", "postgres", "postgresql"]),
    ("website", &["web", "nginx", "apache"]),
    ("webserver", &["web", "nginx", "apache"]),
    ("cache", &["redis", "varnish", "memcached"]),
];
/// A shorter beginning of a name fits too much.
const LEAST_PREFIX: usize = 3;

impl Inventory {
    /// The customer that `text` names: by id, name, alias or domain, else by a whole word or a beginning that only one has.
    ///
    /// # Errors
    /// [`ToolError::Ambiguous`], [`ToolError::UnknownId`] with the nearest first, or the failure of a host that did not
    /// answer and may have that customer.
    pub fn find_customer(&self, text: &str) -> Result<Customer, ToolError> {
        let wanted = bare(text, &["customer", "client"]);
        let exact_id = self.customers.values().filter(|e| same(e.customer.id.as_str(), wanted));
        if let Some(found) = self.only(text, exact_id)? {
            return Ok(found);
        }
        let named = self.customers.values().filter(|e| names(&e.customer).any(|n| same(n, wanted)));
        if let Some(found) = self.only(text, named)? {
            return Ok(found);
        }
        // A number that is no id must not become another customer's by its first digits.
        if wanted.chars().any(char::is_alphabetic) {
            let as_one_word = squeezed(wanted);
            let written =
                self.customers.values().filter(|e| names(&e.customer).any(|n| squeezed(n) == as_one_word));
            if let Some(found) = self.only(text, written)? {
                return Ok(found);
            }
            let word = self.customers.values().filter(|e| names(&e.customer).any(|n| has_word(n, wanted)));
            if let Some(found) = self.only(text, word)? {
                return Ok(found);
            }
            let begun = self.customers.values().filter(|e| {
                wanted.chars().count() >= LEAST_PREFIX
                    && names(&e.customer).any(|n| lower(n).starts_with(&lower(wanted)))
            });
            if let Some(found) = self.only(text, begun)? {
                return Ok(found);
            }
        }
        if let Some(gap) = self.first_gap() {
            return Err(gap.clone());
        }
        let shown = self.customers().into_iter().map(|c| (nearness(wanted, c), label(c)));
        Err(ToolError::UnknownId { what: "customer", given: text.into(), known: nearest_first(shown) })
    }

    fn only<'a>(
        &self,
        given: &str,
        found: impl Iterator<Item = &'a Entry>,
    ) -> Result<Option<Customer>, ToolError> {
        let found: Vec<_> = found.map(|e| &e.customer).collect();
        match found.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some((*one).clone())),
            many => Err(ToolError::Ambiguous {
                given: given.into(),
                candidates: many.iter().map(|c| label(c)).collect(),
            }),
        }
    }

    /// The customer's service that `text` names: by its name or its container's, else by a beginning that only one has.
    ///
    /// # Errors
    /// As [`Inventory::find_customer`]; [`ToolError::NothingFound`] for a customer without containers.
    pub fn find_service(&self, customer: &CustomerId, text: &str) -> Result<ServiceName, ToolError> {
        let wanted = bare(text, &["service", "container"]);
        let services = self.services(customer);
        let members = self.members(customer);
        if let Some(found) = services.iter().find(|s| same(s.as_str(), wanted)) {
            return Ok(found.clone());
        }
        if let Some(found) = members.iter().find(|m| same(&m.r.name, wanted)) {
            return Ok(found.r.service.clone());
        }
        let fits = |s: &&ServiceName| {
            let service = lower(s.as_str());
            let wanted = lower(wanted);
            let called = CALLED.iter().any(|(by, names)| *by == wanted && names.contains(&service.as_str()));
            called
                || has_word(&service, &wanted)
                || (wanted.chars().count() >= LEAST_PREFIX && service.starts_with(&wanted))
        };
        let begun: Vec<_> = services.iter().filter(fits).collect();
        match begun.as_slice() {
            [one] => return Ok((*one).clone()),
            [] => {}
            many => {
                let candidates = many.iter().map(ToString::to_string).collect();
                return Err(ToolError::Ambiguous { given: text.into(), candidates });
            }
        }
        if let Some(gap) = self.first_gap() {
            return Err(gap.clone());
        }
        if services.is_empty() {
            return Err(ToolError::NothingFound(format!("customer {customer} has no containers")));
        }
        let shown = services.iter().map(|s| (distance(&lower(wanted), &lower(s.as_str())), s.to_string()));
        Err(ToolError::UnknownId { what: "service", given: text.into(), known: nearest_first(shown) })
    }
}

/// `customer 19`, `#19` and `the web container` mean 19 and web.
fn bare<'t>(text: &'t str, nouns: &[&str]) -> &'t str {
    let mut rest = text.trim().trim_start_matches('#');
    for noun in ["the"].iter().chain(nouns) {
        if let Some((head, tail)) = rest.split_once([' ', '_', ':', '#'])
            && same(head, noun)
            && !tail.trim().is_empty()
        {
            rest = tail.trim().trim_start_matches('#');
        }
        if let Some((head, tail)) = rest.rsplit_once(' ')
            && same(tail, noun)
            && !head.trim().is_empty()
        {
            rest = head.trim();
        }
    }
    rest
}

fn lower(text: &str) -> String {
    text.to_lowercase()
}

fn same(a: &str, b: &str) -> bool {
    lower(a) == lower(b)
}

/// Without what models leave out when they write a name as one word (`SommerCycles`).
fn squeezed(text: &str) -> String {
    lower(text).replace([' ', '-', '_'], "")
}

fn names(c: &Customer) -> impl Iterator<Item = &str> {
    let id = std::iter::once(c.id.as_str());
    id.chain(c.name.iter().chain(&c.aliases).chain(&c.domain).map(String::as_str))
}

fn has_word(name: &str, wanted: &str) -> bool {
    name.split(|c: char| !c.is_alphanumeric()).any(|word| !word.is_empty() && same(word, wanted))
}

/// A customer on screen: `19 (Nordwind Bakery)`.
fn label(c: &Customer) -> String {
    c.name.as_ref().map_or_else(|| c.id.to_string(), |name| format!("{} ({name})", c.id))
}

fn nearness(wanted: &str, c: &Customer) -> usize {
    names(c).map(|n| distance(&lower(wanted), &lower(n))).min().unwrap_or(usize::MAX)
}

fn nearest_first(shown: impl Iterator<Item = (usize, String)>) -> Vec<String> {
    let mut shown: Vec<_> = shown.collect();
    // Stable: equally near ones keep a person's order.
    shown.sort_by_key(|(distance, _)| *distance);
    shown.into_iter().map(|(_, name)| name).collect()
}

/// Levenshtein's distance; long texts are compared by their beginnings.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut above_left = i;
        let mut left = i + 1;
        for (y, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let best = (above_left + usize::from(x != y)).min(*cell + 1).min(left + 1);
            above_left = *cell;
            *cell = best;
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::build::tests::{customer, listed, rules};
    use super::*;

    fn inventory() -> Inventory {
        let rules = rules(vec![
            (customer("7", "Alpenblick Hotel", &["alpenblick", "hotel"], "alpenblick.example"), &[]),
            (customer("12", "Kranich Books", &["books"], "kranich.example"), &[]),
            (customer("16", "Sommer Cycles", &["cycles"], "sommer-cycles.example"), &[]),
            (customer("19", "Nordwind Bakery", &["nordwind", "books2"], "nordwind.example"), &[]),
            (customer("Nordost", "Nord Ost", &[], ""), &[]),
        ]);
        let stack = ["web", "web-admin", "db", "redis"]
            .map(|s| listed(&format!("c19-{s}"), &[("opsbot.customer", "19"), ("opsbot.service", s)]));
        Inventory::build(&rules, stack.into(), vec![])
    }

    #[test]
    fn a_customer_is_found_by_whatever_names_only_it() {
        let table = [
            ("19", "19"),
            (" #19", "19"),
            ("customer 19", "19"),
            ("Customer_19", "19"),
            ("NORDWIND", "19"),
            ("nordwind.example", "19"),
            ("bakery", "19"),
            ("Kranich", "12"),
            ("kran", "12"),
            ("nordost", "Nordost"),
            ("alpen", "7"),
            ("books", "12"),
            ("sommer-cycles", "16"),
            ("SommerCycles", "16"),
            ("nord", "Nordost"),
            ("1", "?unknown"),
            ("190", "?unknown"),
            ("example", "?ambiguous"),
            ("nor", "?ambiguous"),
            ("xy", "?unknown"),
            ("", "?unknown"),
        ];
        for (text, want) in table {
            let got = match inventory().find_customer(text) {
                Ok(c) => c.id.to_string(),
                Err(ToolError::Ambiguous { .. }) => "?ambiguous".into(),
                Err(ToolError::UnknownId { .. }) => "?unknown".into(),
                Err(e) => panic!("{text}: {e}"),
            };
            assert_eq!(got, want, "{text:?}");
        }
    }

    #[test]
    fn the_unknown_is_told_with_the_nearest_first() {
        let error = inventory().find_customer("nordwint").unwrap_err().to_string();
        assert!(
            error.starts_with("there is no customer `nordwint`; there are 19 (Nordwind Bakery)"),
            "{error}"
        );
        let error = inventory().find_service(&"19".into(), "redsi").unwrap_err().to_string();
        assert!(error.starts_with("there is no service `redsi`; there are redis"), "{error}");
    }

    #[test]
    fn a_service_is_found_too() {
        let table = [
            ("web", "web"),
            ("the WEB container", "web"),
            ("c19-db", "db"),
            ("red", "redis"),
            ("admin", "web-admin"),
            ("the database", "db"),
            ("cache", "redis"),
            ("w", "?"),
        ];
        for (text, want) in table {
            let got = inventory().find_service(&"19".into(), text);
            assert_eq!(got.map_or("?".into(), |s| s.to_string()), want, "{text}");
        }
        let empty = inventory().find_service(&"7".into(), "web").unwrap_err();
        assert!(matches!(empty, ToolError::NothingFound(_)), "{empty}");
    }

    #[test]
    fn with_a_host_down_an_unknown_name_is_no_verdict() {
        let gap = ToolError::BackendDown {
            backend: "Docker host b".into(),
            detail: "refused".into(),
            cure: "Look",
        };
        let made = Inventory { gaps: vec![gap.clone()], ..inventory() };
        assert_eq!(made.find_customer("acme").unwrap_err(), gap);
        assert_eq!(made.find_service(&"19".into(), "mail").unwrap_err(), gap);
        assert!(made.find_customer("19").is_ok());
    }

    #[test]
    fn distances() {
        for (a, b, want) in [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("redis", "redsi", 2)] {
            assert_eq!(distance(a, b), want, "{a} {b}");
        }
    }
}
