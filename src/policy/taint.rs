//! Whether the person named the target of a write: in a tainted turn nothing else may.

use super::{name_match::Names, words::own_words};
use crate::domain::{Customer, CustomerId, ParamKind, ResolvedCall, ServiceName, ToolSpec};

/// What the inventory knows right now.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// All customers.
    pub customers: &'a [Customer],
    /// All services, with whose they are.
    pub services: &'a [(CustomerId, ServiceName)],
}

/// A person's own messages in a conversation, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spoken {
    /// Up to the last confirmed write: here "its" may find the one customer named last, and nothing else counts.
    pub earlier: Vec<String>,
    /// Since then.
    pub since: Vec<String>,
}

/// Whether the target was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Naming {
    /// It was.
    Named,
    /// It was not: no card, but this question.
    NotNamed {
        /// What to ask the person.
        ask: String,
    },
}

/// [`Spoken::names`] for the messages since the last confirmed write alone.
pub fn named(words: &[String], call: &ResolvedCall, known: &Known<'_>) -> Naming {
    Spoken { earlier: Vec::new(), since: words.to_vec() }.names(call, known)
}

/// What one message says.
#[derive(Debug)]
struct Said {
    /// Customers named outright.
    outright: Vec<CustomerId>,
    /// Those, or the one that "its" stands for.
    customers: Vec<CustomerId>,
    services: Vec<ServiceName>,
    /// "Its" stands for nobody, or for several.
    unclear: bool,
}

impl Spoken {
    /// Whether the person named the call's customer (id, name or alias) and, when the call has one, its service, as
    /// whole words in own words. "Its" counts through the one customer named last. A message with a service speaks of
    /// the customers that it names, else of those named last; a message with customers and no service speaks of the
    /// services named last. A call without a service is named only if no service was named since its customer was.
    pub fn names(&self, call: &ResolvedCall, known: &Known<'_>) -> Naming {
        let names = Names::new(known, call);
        let customer =
            call.target.customer.clone().or_else(|| call.call.args.text("customer_id").map(CustomerId::new));
        let service =
            call.target.service.clone().or_else(|| call.call.args.text("service").map(ServiceName::new));
        let said = self.said(&names);
        let Some(customer) = customer else { return unaimed(&self.since, call, &names) };
        let customer_named = said.iter().any(|m| m.customers.contains(&customer));
        let whole = match &service {
            Some(service) if pairs(&said).contains(&(customer.clone(), service.clone())) => {
                return Naming::Named;
            }
            Some(_) => false,
            None => true,
        };
        if whole && customer_named {
            let last = said.iter().rposition(|m| m.outright.contains(&customer));
            if last.is_some_and(|at| said.iter().skip(at).all(|m| m.services.is_empty() && !m.unclear)) {
                return Naming::Named;
            }
        }
        Naming::NotNamed { ask: question(call, &customer, service.as_ref(), customer_named) }
    }

    /// [`Spoken::names`] for a tool with this spec. One without a service parameter takes no service, so a service's
    /// name in the words (`clear the redis cache of 7`) is no other target: its customer alone must have been named.
    pub fn names_for(&self, spec: &ToolSpec, call: &ResolvedCall, known: &Known<'_>) -> Naming {
        if let Some(incident) = call.call.args.integer("incident") {
            return self.names_incident(incident, call);
        }
        let customer = call.target.customer.as_ref().filter(|_| call.target.service.is_none());
        let Some(customer) =
            customer.filter(|_| spec.params.iter().all(|param| param.kind != ParamKind::Service))
        else {
            return self.names(call, known);
        };
        let said = self.said(&Names::new(known, call));
        let last = said.iter().rposition(|message| message.customers.contains(customer));
        match last {
            // Whoever named somebody else since, or "it" of nobody, has moved on.
            Some(at) if said.iter().skip(at + 1).all(|m| m.customers.is_empty() && !m.unclear) => {
                Naming::Named
            }
            _ => Naming::NotNamed {
                ask: format!(
                    "I offer `{}` only for a customer whom you name yourself. Which customer do you mean?",
                    call.call.tool
                ),
            },
        }
    }

    /// An incident is named by its number behind a word that says so ("ack 12", "incident 12").
    fn names_incident(&self, incident: i64, call: &ResolvedCall) -> Naming {
        if self.since.iter().any(|text| says_incident(&own_words(text), incident)) {
            return Naming::Named;
        }
        let tool = &call.call.tool;
        let ask = format!(
            "I offer `{tool}` only for an incident that you name yourself. Which number does it have?"
        );
        Naming::NotNamed { ask }
    }

    fn said(&self, names: &Names) -> Vec<Said> {
        let mut last = self.last_before(names);
        let read = |text: &String| {
            let heard = names.hear(&own_words(text));
            let customers = match (heard.customers.as_slice(), last.as_slice()) {
                ([], [one]) if heard.pronoun => vec![one.clone()],
                (named, _) => named.to_vec(),
            };
            let unclear = heard.pronoun && customers.is_empty();
            if !heard.customers.is_empty() {
                last.clone_from(&heard.customers);
            }
            Said { outright: heard.customers, customers, services: heard.services, unclear }
        };
        self.since.iter().map(read).collect()
    }

    /// The customers of the last earlier message that named any.
    fn last_before(&self, names: &Names) -> Vec<CustomerId> {
        let mut heard = self.earlier.iter().rev().map(|text| names.hear(&own_words(text)).customers);
        heard.find(|customers| !customers.is_empty()).unwrap_or_default()
    }
}

/// Words before an incident's number.
const INCIDENT: [&str; 9] =
    ["incident", "alert", "ack", "acknowledge", "silence", "mute", "snooze", "quittiere", "number"];

fn says_incident(text: &str, incident: i64) -> bool {
    let number = incident.to_string();
    let lower = text.to_lowercase();
    let tokens: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|t| !t.is_empty()).collect();
    tokens.windows(2).any(|pair| matches!(pair, [before, n] if *n == number && INCIDENT.contains(before)))
}

/// Which services of which customers were spoken of.
fn pairs(said: &[Said]) -> Vec<(CustomerId, ServiceName)> {
    let mut pairs = Vec::new();
    let mut services: Vec<ServiceName> = Vec::new();
    let mut customers: Vec<CustomerId> = Vec::new();
    for message in said {
        let fresh = !message.services.is_empty();
        if fresh {
            services.clone_from(&message.services);
        }
        if !message.customers.is_empty() {
            customers.clone_from(&message.customers);
        }
        if !message.unclear && (fresh || !message.outright.is_empty()) {
            pairs.extend(customers.iter().flat_map(|c| services.iter().map(|s| (c.clone(), s.clone()))));
        }
    }
    pairs
}

/// A call without a customer aims at what its arguments say, or at containers: all of them must have been named.
fn unaimed(since: &[String], call: &ResolvedCall, names: &Names) -> Naming {
    let mut aims: Vec<String> = call.target.containers.iter().map(|c| c.name.clone()).collect();
    if aims.is_empty() {
        aims = call.call.args.0.keys().filter_map(|key| call.call.args.text(key)).collect();
    }
    let texts: Vec<_> = since.iter().map(|text| own_words(text)).collect();
    let missing = aims.iter().find(|aim| !texts.iter().any(|text| names.has_word(text, aim)));
    match missing {
        None => Naming::Named,
        Some(_) => Naming::NotNamed {
            ask: format!(
                "I offer `{}` only for what you name yourself. What exactly do you mean?",
                call.call.tool
            ),
        },
    }
}

fn question(
    call: &ResolvedCall,
    customer: &CustomerId,
    service: Option<&ServiceName>,
    customer_named: bool,
) -> String {
    let why = format!("I offer `{}` only for what you name yourself", call.call.tool);
    match (customer_named, service) {
        (false, _) => {
            format!("{why}. Which customer do you mean, and which service? Name both in your own words.")
        }
        (true, Some(_)) => format!("{why}. Which service of customer {customer} do you mean?"),
        (true, None) => format!(
            "{why}. You spoke of a service: do you mean that one, or the whole stack of customer {customer}? For the \
             whole stack name the customer once more, without a service."
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::testing::{call, spec};
    use super::*;
    use crate::domain::{Param, Risk, Target};

    fn customers() -> Vec<Customer> {
        let one = |id: &str, name: Option<&str>, aliases: &[&str]| Customer {
            id: id.into(),
            name: name.map(Into::into),
            aliases: aliases.iter().map(|a| (*a).into()).collect(),
            domain: None,
            labels: BTreeMap::new(),
        };
        vec![
            one("7", Some("Müller GmbH"), &["müller", "shop"]),
            one("12", Some("Acme"), &["acme-corp"]),
            one("16", Some("Acme Labs"), &["shop"]),
            one("19", None, &["blumen.de", "Rosen"]),
            one("web", Some("Web"), &["it"]),
        ]
    }

    fn ask(spoken: &Spoken, text: &str) -> Naming {
        let customers = customers();
        let services: Vec<(CustomerId, ServiceName)> = ["web", "db", "redis", "web-admin"]
            .into_iter()
            .flat_map(|s| customers.iter().map(move |c| (c.id.clone(), ServiceName::from(s))))
            .collect();
        spoken.names(&call(text), &Known { customers: &customers, services: &services })
    }

    fn is_named(earlier: &[&str], since: &[&str], text: &str) -> bool {
        let own = |list: &[&str]| list.iter().map(|t| (*t).to_owned()).collect();
        ask(&Spoken { earlier: own(earlier), since: own(since) }, text) == Naming::Named
    }

    const WEB: &str = "restart_container(customer_id=19, service=web)";
    const ALL: &str = "restart_container(customer_id=19)";

    #[test]
    fn a_customer_and_a_service_must_have_been_named() {
        let table: &[(&[&str], &str, bool)] = &[
            (&[], WEB, false),
            (&["restart web of 19"], WEB, true),
            (&["Restart WEB of customer #19!"], WEB, true),
            (&["restart 19's web"], WEB, true),
            (&["restart 19/web"], WEB, true),
            (&["restart customer=19, service=web"], WEB, true),
            (&["/restart_container 19 web"], WEB, true),
            (&["what's wrong with customer 19?", "restart its web container"], WEB, true),
            (&["what's wrong with customer 19?", "restart the web container"], WEB, true),
            (&["what's wrong with customer 19?", "yes, restart"], WEB, false),
            (&["the web is slow", "customer 19"], WEB, true),
            (&["restart web"], WEB, false),
            (&["restart 19"], WEB, false),
            (&["restart the db of 19"], WEB, false),
            (&["restart web-admin of 19"], WEB, false),
            (&["restart web-admin of 19"], "restart_container(customer_id=19, service=web-admin)", true),
            (&["Starte den Web-Container von Kunde 19 neu"], WEB, true),
            (&["Was ist mit Kunde 19?", "Starte seinen Web-Dienst neu"], WEB, true),
            (&["Was ist mit den Rosen los?", "web neu starten bitte"], WEB, true),
            (&["web of blumen.de is down"], WEB, true),
            (&["see www.blumen.de, web is down"], WEB, false),
            (&["restart web of customers 7 and 19"], WEB, true),
            (&["restart web of 190"], WEB, false),
            (&["restart web on 192.168.19.1"], WEB, false),
            (&["web is down since 19:30"], WEB, false),
            (&["web is down since 2026-11-19"], WEB, false),
            (&["web is down since 19.11.2026"], WEB, false),
            (&["web is at 19%"], WEB, false),
            (&["web has been slow for 19 minutes"], WEB, false),
            (&["web seit 19 Minuten langsam"], WEB, false),
            (&["web of customer 19 times out"], WEB, true),
            (&["restart web, see ticket #19"], WEB, false),
            (&["/forget_note 19", "restart web"], WEB, false),
            (&["web was slow on day 19"], WEB, false),
            (&["restart the website of 19"], WEB, false),
            (&["restart webs of 19"], WEB, false),
            (&["look at /var/www/web of 19"], WEB, false),
            (&["https://19/web"], WEB, false),
            (&["mail web@example.com about 19"], WEB, false),
            (&["19_web"], WEB, false),
            (&["restart \"web\" of \"19\""], WEB, true),
            (&["> restart web of 19\nwhat does this mean?"], WEB, false),
            (&["the log says \"restart web of customer 19\", what now?"], WEB, false),
            (&["how is 7's web?", "and how is customer 19's db?"], WEB, false),
            (&["how is 19?", "how is 7?", "restart web"], WEB, false),
            (&["how is 19?", "how is 7?", "restart its web"], WEB, false),
            (&["compare 7 and 19", "restart its web"], WEB, false),
            (&["compare 7 and 19", "restart web on both"], WEB, true),
            (&["restart web on 7", "sorry, 19"], WEB, true),
            (&["restart web of müller"], "restart_container(customer_id=7, service=web)", true),
            (&["restart web of MÜLLER   GMBH"], "restart_container(customer_id=7, service=web)", true),
            // A name of two customers names none, a longer name hides a shorter.
            (&["restart web of shop"], "restart_container(customer_id=7, service=web)", false),
            (&["restart web of Acme Labs"], "restart_container(customer_id=12, service=web)", false),
            (&["restart web of Acme Labs"], "restart_container(customer_id=16, service=web)", true),
            (&["restart web of acme-corp"], "restart_container(customer_id=12, service=web)", true),
            // A customer called like a service, or like a pronoun, must be called a customer.
            (&["restart 19's web"], "restart_container(customer_id=web, service=web)", false),
            (&["restart web of customer web"], "restart_container(customer_id=web, service=web)", true),
            (&["restart db of customer web"], WEB, false),
            (&["is it down? restart db"], "restart_container(customer_id=web, service=db)", false),
        ];
        for (since, call, want) in table {
            assert_eq!(is_named(&[], since, call), *want, "{since:?} for {call}");
        }
    }

    #[test]
    fn a_whole_stack_is_named_only_without_a_service() {
        let table: &[(&[&str], bool)] = &[
            (&["restart customer 19"], true),
            (&["restart 19"], true),
            (&["what's wrong with 19?", "restart it"], true),
            (&["what's wrong with 19?", "restart everything"], true),
            (&["what's wrong with 19?", "restart its web container"], false),
            (&["what's wrong with 19's web?", "restart it"], false),
            (&["what's wrong with 19's web?", "restart all of 19"], true),
            (&["restart everything"], false),
            (&["compare 7 and 19", "restart it"], false),
            (&["restart 7"], false),
        ];
        for (since, want) in table {
            assert_eq!(is_named(&[], since, ALL), *want, "{since:?}");
        }
    }

    #[test]
    fn before_the_last_write_only_its_reaches_back() {
        let db = "restart_container(customer_id=19, service=db)";
        let table: &[(&[&str], &[&str], &str, bool)] = &[
            (&["restart 19's web"], &["now its db"], db, true),
            (&["restart 19's web"], &["jetzt noch dessen db"], db, true),
            (&["restart 19's web"], &["now the db"], db, false),
            (&["restart 19's web"], &["thanks, it works"], WEB, false),
            (&["restart 19's web"], &["thanks, it works"], ALL, false),
            (&["how is 19?", "restart 7's web"], &["now its db"], db, false),
            (&["compare 7 and 19"], &["now its db"], db, false),
        ];
        for (earlier, since, call, want) in table {
            assert_eq!(is_named(earlier, since, call), *want, "{earlier:?} then {since:?} for {call}");
        }
    }

    #[test]
    fn a_tool_without_a_service_needs_its_customer_named_and_nothing_else() {
        let clear = ToolSpec {
            params: vec![
                Param { name: "customer_id", kind: ParamKind::Customer, required: true, help: "" },
                Param { name: "kind", kind: ParamKind::Choice(&["redis"]), required: false, help: "" },
            ],
            ..spec("clear_cache", Risk::Confirm, Risk::Confirm)
        };
        let table: &[(&[&str], &[&str], bool)] = &[
            (&[], &["clear the redis cache of customer 7"], true),
            (&[], &["clear customer 7's redis"], true),
            (&[], &["what is wrong with müller's web?", "clear its redis cache"], true),
            (&[], &["what is wrong with 7?", "clear the redis cache"], true),
            (&["restart 7's web"], &["now clear its cache"], true),
            (&["restart 7's web"], &["now clear the cache"], false),
            (&[], &["clear the redis cache"], false),
            (&[], &["clear the redis cache of customer 19"], false),
            (&[], &["compare 7 and 19", "clear its cache"], false),
            (&[], &["how is 7?", "how is 19?", "clear the cache"], false),
            (&[], &["> clear the cache of customer 7\nwhat does this mean?"], false),
        ];
        let (customers, services) = (customers(), [("7".into(), "redis".into()), ("7".into(), "web".into())]);
        let known = Known { customers: &customers, services: &services };
        let call = |text| ResolvedCall {
            target: Target { customer: Some("7".into()), ..Target::default() },
            ..call(text)
        };
        let own = |list: &[&str]| list.iter().map(|t| (*t).to_owned()).collect();
        for (earlier, since, want) in table {
            let spoken = Spoken { earlier: own(earlier), since: own(since) };
            let naming = spoken.names_for(&clear, &call("clear_cache(customer_id=7, kind=redis)"), &known);
            assert_eq!(naming == Naming::Named, *want, "{earlier:?} then {since:?}: {naming:?}");
        }
        let restart = spec("restart_container", Risk::Confirm, Risk::Confirm);
        let spoken = Spoken { earlier: vec![], since: vec!["restart redis of customer 7".into()] };
        let whole = call("restart_container(customer_id=7)");
        assert_ne!(
            spoken.names_for(&restart, &whole, &known),
            Naming::Named,
            "a tool with a service is as before"
        );
    }

    #[test]
    fn a_call_without_a_customer_aims_at_its_arguments() {
        assert!(is_named(&[], &["run rotate-logs please"], "run_playbook(name=rotate-logs)"));
        assert!(!is_named(&[], &["run something"], "run_playbook(name=rotate-logs)"));
        assert!(!is_named(&[], &["run rotate-logs2"], "run_playbook(name=rotate-logs)"));
        assert!(is_named(&[], &[], "reload()"));
    }

    #[test]
    fn an_incident_is_named_by_its_number_and_by_nothing_else() {
        let (customers, services) = (customers(), [("19".into(), "web".into())]);
        let known = Known { customers: &customers, services: &services };
        let mut ack = call("ack_alert(incident=12)");
        ack.call.args.0.insert("incident".into(), 12.into());
        ack.target.customer = Some("19".into());
        let spec = spec("ack_alert", Risk::Confirm, Risk::Confirm);
        let table = [
            ("ack 12", true),
            ("please acknowledge #12", true),
            ("silence incident 12 for 2h", true),
            ("incident-12 customer 19 web", true),
            ("ack 112", false),
            ("how is customer 12?", false),
            ("customer 19", false),
            ("> ack 12\nwhat does this mean?", false),
            ("", false),
        ];
        for (text, want) in table {
            let spoken = Spoken { earlier: vec![], since: vec![text.to_owned()] };
            let naming = spoken.names_for(&spec, &ack, &known);
            assert_eq!(naming == Naming::Named, want, "{text}: {naming:?}");
        }
    }

    #[test]
    fn the_question_names_the_choice() {
        let spoken = |text: &str| Spoken { earlier: vec![], since: vec![text.to_owned()] };
        let table = [
            ("hm", WEB, "Which customer do you mean"),
            ("how is 19?", WEB, "Which service of customer 19"),
            ("how is 19's db?", ALL, "the whole stack of customer 19"),
        ];
        for (text, call, part) in table {
            match ask(&spoken(text), call) {
                Naming::NotNamed { ask } => assert!(ask.contains(part) && ask.contains('?'), "{ask}"),
                Naming::Named => panic!("{text} names {call}"),
            }
        }
    }
}
