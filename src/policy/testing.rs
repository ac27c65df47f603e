//! Tools, people and calls for this room's tests.

use std::time::Duration;

use jiff::Timestamp;

use super::{Approval, Decider, Policy, Verdict, approval::Ask, example::parse_call, rule::RawRule};
use crate::domain::{
    Actor, ApprovalId, ChannelKind, ContainerRef, Origin, Param, ParamKind, PlanStep, ResolvedCall, Risk,
    Role, ServiceName, Target, ToolSpec,
};

pub(super) fn spec(name: &'static str, floor: Risk, default: Risk) -> ToolSpec {
    let params = match name {
        "list_customers" => vec![],
        "outside_search" => vec![Param { name: "scope", kind: ParamKind::Text, required: false, help: "" }],
        _ => vec![
            Param { name: "customer_id", kind: ParamKind::Customer, required: true, help: "" },
            Param { name: "service", kind: ParamKind::Service, required: false, help: "" },
        ],
    };
    ToolSpec {
        name,
        summary: "",
        params,
        floor,
        default,
        phrases: &[],
        untrusted: false,
        timeout: Duration::from_secs(1),
    }
}

pub(super) fn specs() -> Vec<ToolSpec> {
    use Risk::{Blocked, Confirm, Safe, TwoPerson};
    vec![
        spec("list_customers", Safe, Safe),
        spec("get_metrics", Safe, Safe),
        spec("get_recent_logs", Safe, Safe),
        spec("restart_container", Confirm, Confirm),
        spec("drain_container", Confirm, TwoPerson),
        spec("delete_customer_data", Blocked, Blocked),
        spec("outside_search", Safe, Confirm),
    ]
}

pub(super) fn now() -> Timestamp {
    Timestamp::from_second(1_790_000_000).unwrap()
}

pub(super) fn actor(name: &str, role: Role) -> Actor {
    Actor { person: name.into(), role, channel: ChannelKind::Console, origin: Origin::Typed }
}

pub(super) fn policy(rules: &str) -> Policy {
    #[derive(serde::Deserialize)]
    struct File {
        #[serde(default)]
        rule: Vec<RawRule>,
    }
    let file: File = toml::from_str(rules).unwrap();
    Policy::new(file.rule.into_iter().map(|r| r.read().unwrap()).collect(), &specs()).unwrap().0
}

/// A call as the inventory would resolve it: a customer has web, db and redis; writes have a plan.
pub(super) fn call(text: &str) -> ResolvedCall {
    let call = parse_call(text).unwrap();
    let customer = call.args.text("customer_id");
    let service = call.args.text("service");
    let containers: Vec<_> = ["redis", "db", "web"]
        .into_iter()
        .filter(|s| service.as_deref().is_none_or(|wanted| wanted == *s))
        .filter_map(|s| customer.as_ref().map(|c| container(c, s)))
        .collect();
    let write = specs().iter().any(|s| s.name == call.tool && s.is_write());
    let steps = containers.iter().filter(|_| write).map(|c| PlanStep {
        text: format!("restart container {} on {}", c.name, c.host),
        container: Some(c.clone()),
        now: None,
    });
    let plan = steps.collect();
    let target = Target {
        customer: customer.as_deref().map(Into::into),
        service: service.as_deref().map(Into::into),
        containers,
        ..Target::default()
    };
    ResolvedCall { call, target, plan, steps: vec![] }
}

fn container(customer: &str, service: &str) -> ContainerRef {
    let name = format!("c{customer}-{service}");
    let id = format!("{:0<64}", crate::domain::tool::hex(name.as_bytes()));
    ContainerRef { host: "local".into(), id, name, service: ServiceName::from(service) }
}

/// A pending card for a restart of customer 19's web, asked by the operator anna.
pub(super) fn approval(risk: Risk) -> Approval {
    let verdict = Verdict {
        risk,
        decided_by: Decider::Floor,
        reason: "it changes something".into(),
        considered: vec![],
    };
    let ask = Ask {
        id: ApprovalId::from_bits(1),
        calls: vec![call("restart_container(customer_id=19, service=web)")],
        verdicts: &[verdict],
        requester: actor("anna", Role::Operator),
        conversation: "console:anna:1".into(),
        tainted: false,
        sent_at: None,
        now: now(),
        lifetime: super::approval::LIFETIME,
    };
    Approval::ask(ask, &policy(""))
}
