//! Whether a rule's conditions hold for a call: a live one, of which all is known, or an example, of which only what it states.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    example::{Example, Moment},
    pattern::{ArgCond, TargetPattern},
    rule::Conditions,
    window::Window,
};
use crate::domain::{Actor, Args, ChannelKind, ContainerRef, Origin, PersonName, ResolvedCall, Role};

/// What conditions look at; what is absent was not said.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    tool: &'a str,
    args: &'a Args,
    customer: Option<String>,
    service: Option<String>,
    labels: &'a BTreeMap<String, String>,
    touched: Option<Vec<&'a ContainerRef>>,
    role: Option<Role>,
    person: Option<&'a PersonName>,
    channel: Option<ChannelKind>,
    origin: Option<Origin>,
    at: Option<Moment>,
}

/// Whether conditions hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// All hold.
    Yes,
    /// At least one does not.
    No,
    /// None fails, but an example does not say enough; how to say it.
    Unsaid(Vec<&'static str>),
}

impl<'a> Facts<'a> {
    pub(super) fn of_call(call: &'a ResolvedCall, actor: &'a Actor, now: Timestamp) -> Self {
        let ResolvedCall { call, target, plan, steps: _ } = call;
        let mut touched: Vec<_> = target.containers.iter().collect();
        for container in plan.iter().filter_map(|step| step.container.as_ref()) {
            if !touched.contains(&container) {
                touched.push(container);
            }
        }
        let said = |key| call.args.text(key);
        Self {
            tool: &call.tool,
            args: &call.args,
            customer: target.customer.as_ref().map(|c| c.to_string()).or_else(|| said("customer_id")),
            service: target.service.as_ref().map(|s| s.to_string()).or_else(|| said("service")),
            labels: &target.labels,
            touched: Some(touched),
            role: Some(actor.role),
            person: Some(&actor.person),
            channel: Some(actor.channel),
            origin: Some(actor.origin),
            at: Some(Moment::Exact(now)),
        }
    }

    pub(super) fn of_example(example: &'a Example) -> Self {
        Self {
            tool: &example.call.tool,
            args: &example.call.args,
            customer: example.call.args.text("customer_id"),
            service: example.call.args.text("service"),
            labels: &example.labels,
            touched: example.touching.as_ref().map(|list| list.iter().collect()),
            role: example.role,
            person: example.person.as_ref(),
            channel: example.channel,
            origin: example.origin,
            at: example.at,
        }
    }
}

impl Conditions {
    /// Whether all conditions hold. A rule that `loosens` must fit all that a call touches, and what a call leaves
    /// open does not fit; for any other rule a part is enough.
    pub(super) fn hold(&self, facts: &Facts<'_>, loosens: bool) -> Match {
        let mut unsaid = Vec::new();
        let mut note = |held: Option<bool>, how: &'static str| match held {
            None => {
                unsaid.push(how);
                true
            }
            Some(held) => held,
        };
        let tools = self.tools.as_ref().is_none_or(|list| list.iter().any(|p| p.matches(facts.tool)));
        let args = self.args.iter().all(|(name, cond)| arg_holds(cond, facts.args.text(name), loosens));
        let holds = tools
            && args
            && note(targets_hold(self.targets.as_deref(), facts, loosens), "`touching HOST/CONTAINER`")
            && note(one_of(self.roles.as_deref(), facts.role.as_ref()), "`as ROLE`")
            && note(one_of(self.people.as_deref(), facts.person), "`by PERSON`")
            && note(one_of(self.channels.as_deref(), facts.channel.as_ref()), "`on CHANNEL`")
            && note(one_of(self.origin.as_deref(), facts.origin.as_ref()), "`via ORIGIN`")
            && note(self.in_window(facts.at), "`at TIME`");
        match (holds, unsaid.is_empty()) {
            (false, _) => Match::No,
            (true, true) => Match::Yes,
            (true, false) => Match::Unsaid(unsaid),
        }
    }

    fn in_window(&self, at: Option<Moment>) -> Option<bool> {
        let Some(window) = &self.during else { return Some(true) };
        at.map(|at| window.holds(at))
    }
}

impl Window {
    fn holds(&self, at: Moment) -> bool {
        match at {
            Moment::Exact(now) => self.contains(now),
            Moment::Civil(civil) => self.contains_civil(civil),
        }
    }
}

fn one_of<T: PartialEq>(wanted: Option<&[T]>, fact: Option<&T>) -> Option<bool> {
    let Some(wanted) = wanted else { return Some(true) };
    fact.map(|fact| wanted.contains(fact))
}

fn arg_holds(cond: &ArgCond, value: Option<String>, loosens: bool) -> bool {
    match (cond, value) {
        (ArgCond::OneOf(list), Some(value)) => list.iter().any(|p| p.matches(&value)),
        (ArgCond::Not(list), Some(value)) => !list.iter().any(|p| p.matches(&value)),
        (ArgCond::OneOf(_), None) => false,
        // An absent `service` means all of them: too much for a rule that loosens.
        (ArgCond::Not(_), None) => !loosens,
    }
}

fn targets_hold(wanted: Option<&[TargetPattern]>, facts: &Facts<'_>, loosens: bool) -> Option<bool> {
    let Some(wanted) = wanted else { return Some(true) };
    let whole_call = wanted.iter().any(|pattern| match pattern {
        TargetPattern::Customer(p) => facts.customer.as_deref().is_some_and(|c| p.matches(c)),
        TargetPattern::Label(key, p) => facts.labels.get(key).is_some_and(|v| p.matches(v)),
        TargetPattern::Service(p) => facts.service.as_deref().is_some_and(|s| p.matches(s)),
        TargetPattern::Container(_) | TargetPattern::Host(_) => false,
    });
    let fits = |container: &&ContainerRef| {
        wanted.iter().any(|pattern| match pattern {
            TargetPattern::Service(p) => p.matches(container.service.as_str()),
            TargetPattern::Container(p) => p.matches(&container.name),
            TargetPattern::Host(p) => p.matches(container.host.as_str()),
            TargetPattern::Customer(_) | TargetPattern::Label(..) => false,
        })
    };
    let needs_touched =
        wanted.iter().any(|p| matches!(p, TargetPattern::Container(_) | TargetPattern::Host(_)));
    match &facts.touched {
        _ if whole_call => Some(true),
        None if needs_touched => None,
        None => Some(false),
        Some(touched) if loosens => Some(!touched.is_empty() && touched.iter().all(fits)),
        Some(touched) => Some(touched.iter().any(fits)),
    }
}
