//! The incident that a message speaks of because it answers the incident's card.

use crate::{
    alerts::tell,
    domain::{Inbound, IncidentId, Untrusted},
    engine::Engine,
    policy,
};

/// What a reply to a card adds to the person's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Which incident.
    pub incident: IncidentId,
    /// What the reply counts as having named, as if a button had said it: `incident-12 customer 19 web`.
    pub named: String,
    /// What the model reads: facts by code, the alert's own words fenced.
    pub facts: String,
}

impl Engine {
    /// What the message is about, if it answers the card of an incident that is known still.
    pub(in crate::engine) async fn about(&self, inbound: &Inbound) -> Option<About> {
        let id = inbound.about?;
        let alerting = self.alerting()?;
        let (incident, alerts) = match alerting.find(id) {
            Some(found) => found,
            None => (alerting.pager.story(id).await.ok()??.0, vec![]),
        };
        let times = alerting.times();
        let directory = self.directory().await;
        // Labels are foreign: only who is in the inventory counts as named.
        let customer = incident.subject.customer.as_ref();
        let customer = customer.filter(|c| directory.customers.iter().any(|known| known.id == **c));
        let service = incident.subject.service.as_ref().zip(customer);
        let service =
            service.filter(|(s, c)| directory.services.iter().any(|(of, known)| of == *c && known == *s));
        let mut named = format!("incident-{id}");
        let mut whose = String::new();
        if let Some(customer) = customer {
            named.push_str(&format!(" customer {customer}"));
            whose.push_str(&format!(", customer {customer}"));
        }
        if let Some((service, _)) = service {
            named.push_str(&format!(" {service}"));
            whose.push_str(&format!(", service {service}"));
        }
        let alerts: Vec<_> = alerts.iter().collect();
        let nonce = format!("{:08x}", rand::random::<u32>());
        let title = self.redactor().redact(&tell::title(&alerts)).into_owned();
        let facts = format!(
            "[This message answers the card of incident {id}{whose}: {}, {}, since {}. \"It\" and \"this\" mean that \
             incident.]\n{}",
            incident.severity,
            incident.state,
            times.clock(incident.opened_at),
            policy::fence(&Untrusted::new(&title), &nonce, "the alert's own words"),
        );
        Some(About { incident: id, named, facts })
    }
}
