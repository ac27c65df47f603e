//! In which order a stack is started: what others need comes first.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::Inventory;
use crate::domain::{ContainerRef, CustomerId, ServiceName, ToolError};

/// Services that need each other in a circle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle {
    /// Whose.
    pub customer: CustomerId,
    /// The circle, its first service again at the end.
    pub services: Vec<ServiceName>,
}

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.services.iter().map(ServiceName::as_str).collect();
        let circle = names.join(" → ");
        write!(
            f,
            "the services of customer {} depend on each other in a circle ({circle}); ",
            self.customer
        )?;
        write!(f, "break it in the depends_on labels, or name one service")
    }
}

impl From<Cycle> for ToolError {
    fn from(cycle: Cycle) -> Self {
        Self::Failed(cycle.to_string())
    }
}

type Needs<'a> = BTreeMap<&'a ServiceName, BTreeSet<&'a ServiceName>>;

impl Inventory {
    /// The customer's containers, what others need first; a need that the customer does not have is left out.
    ///
    /// # Errors
    /// The cycle, if there is one.
    pub fn order(&self, customer: &CustomerId) -> Result<Vec<ContainerRef>, Cycle> {
        let members = self.members(customer);
        let mut needs = Needs::new();
        for m in members {
            needs.entry(&m.r.service).or_default();
        }
        for m in members {
            let known: Vec<_> = m.needs.iter().filter(|n| needs.contains_key(*n)).collect();
            needs.entry(&m.r.service).or_default().extend(known);
        }
        let mut order = Vec::new();
        while !needs.is_empty() {
            let ready = needs.iter().find(|(_, n)| n.is_empty()).map(|(service, _)| *service);
            let Some(service) = ready else {
                return Err(Cycle { customer: customer.clone(), services: circle(&needs) });
            };
            needs.remove(service);
            needs.values_mut().for_each(|n| {
                n.remove(service);
            });
            order.extend(members.iter().filter(|m| m.r.service == *service).map(|m| m.r.clone()));
        }
        Ok(order)
    }
}

/// Every service left needs another one left, so walking on must come back to a service seen before.
fn circle(needs: &Needs<'_>) -> Vec<ServiceName> {
    let mut path: Vec<&ServiceName> = Vec::new();
    let mut next = needs.keys().next().copied();
    while let Some(service) = next {
        if let Some(start) = path.iter().position(|s| *s == service) {
            path.push(service);
            return path.iter().skip(start).map(|s| (*s).clone()).collect();
        }
        path.push(service);
        next = needs.get(service).and_then(|n| n.iter().next().copied());
    }
    path.into_iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Rules, build::tests::listed};
    use super::*;

    /// Name, service and needs of each container.
    type Stack<'a> = &'a [(&'a str, &'a str, &'a str)];

    fn ordered(stack: Stack<'_>) -> Result<Vec<String>, String> {
        let container = |(name, service, needs): &(&str, &str, &str)| {
            listed(
                name,
                &[("opsbot.customer", "19"), ("opsbot.service", service), ("opsbot.depends_on", needs)],
            )
        };
        let made = Inventory::build(&Rules::default(), stack.iter().map(container).collect(), vec![]);
        let order = made.order(&"19".into()).map_err(|c| c.to_string())?;
        Ok(order.into_iter().map(|r| r.name).collect())
    }

    #[test]
    fn dependencies_come_first() {
        let stack = [
            ("c-web", "web", "db,redis,api"),
            ("c-db", "db", ""),
            ("c-api", "api", "db"),
            ("c-redis", "redis", ""),
        ];
        assert_eq!(ordered(&stack).unwrap(), ["c-db", "c-api", "c-redis", "c-web"]);
        let scaled = [("w2", "web", "db"), ("w1", "web", ""), ("d", "db", "nowhere")];
        assert_eq!(ordered(&scaled).unwrap(), ["d", "w1", "w2"]);
        assert_eq!(ordered(&[]).unwrap(), [""; 0]);
    }

    #[test]
    fn a_cycle_is_named() {
        let table: &[(Stack<'_>, &str)] = &[
            (&[("a", "a", "a")], "(a → a)"),
            (&[("a", "a", "b"), ("b", "b", "c"), ("c", "c", "b"), ("d", "d", "")], "(b → c → b)"),
            (&[("w", "web", "db"), ("d", "db", "web")], "(db → web → db)"),
        ];
        for (stack, circle) in table {
            let error = ordered(stack).unwrap_err();
            assert!(error.contains(circle) && error.contains("19"), "{error}");
        }
    }
}
