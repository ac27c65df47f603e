//! The one function that decides how risky a call is, and the only way in which a read gets its permit.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    book::Policy,
    matching::{Facts, Match},
    permit::Permit,
};
use crate::domain::{Actor, ResolvedCall, Risk, Role, ToolCall, ToolSpec};

/// All that a decision depends on, besides the policy.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What is known of the tool; none for a tool that does not exist.
    pub spec: Option<&'a ToolSpec>,
    /// The call with its target.
    pub call: &'a ResolvedCall,
    /// Who asks, from where.
    pub actor: &'a Actor,
    /// Untrusted text is in the context.
    pub tainted: bool,
    /// The freeze latch is set.
    pub frozen: bool,
    /// The time, for rules with a window.
    pub now: Timestamp,
}

/// What decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decider {
    /// The tool's floor.
    Floor,
    /// The tool's default, where no rule matches.
    Default,
    /// The rule with this id.
    Rule(String),
    /// Untrusted text in the context.
    Taint,
    /// The freeze latch.
    Frozen,
    /// The person's role.
    Role,
    /// The tool does not exist.
    UnknownTool,
}

impl fmt::Display for Decider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Floor => f.write_str("floor"),
            Self::Default => f.write_str("default"),
            Self::Rule(id) => write!(f, "rule {id}"),
            Self::Taint => f.write_str("taint"),
            Self::Frozen => f.write_str("freeze"),
            Self::Role => f.write_str("role"),
            Self::UnknownTool => f.write_str("unknown tool"),
        }
    }
}

/// A decision with its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// How risky the call is.
    pub risk: Risk,
    /// What made it so.
    pub decided_by: Decider,
    /// Why, in one sentence for a person.
    pub reason: String,
    /// Every rule: its id, its effect, and whether it matched.
    pub considered: Vec<(String, Risk, bool)>,
}

/// Decides: the maximum of the tool's floor, the taint and all matching rules (or the tool's default where none does).
pub fn judge(policy: &Policy, q: &Question<'_>) -> Verdict {
    let tool = &q.call.call.tool;
    let facts = Facts::of_call(q.call, q.actor, q.now);
    let held = |rule: &super::Rule| rule.when.hold(&facts, rule.loosens(q.spec)) == Match::Yes;
    let considered: Vec<_> = policy.rules().iter().map(|r| (r.id.clone(), r.effect, held(r))).collect();
    let verdict = |risk, decided_by, reason: String| Verdict {
        risk,
        decided_by,
        reason,
        considered: considered.clone(),
    };

    let Some(spec) = q.spec.filter(|spec| spec.name == tool) else {
        return verdict(Risk::Blocked, Decider::UnknownTool, format!("there is no tool `{tool}`"));
    };
    if spec.floor == Risk::Blocked {
        let reason = format!(
            "OpsBot never runs {tool}, for anybody or under any rule; do it by hand, outside of OpsBot"
        );
        return verdict(Risk::Blocked, Decider::Floor, reason);
    }
    let (risk, decided_by, reason) = strictest(policy, q, spec, &considered);
    if risk == Risk::Blocked {
        return verdict(risk, decided_by, reason);
    }
    if q.actor.role == Role::Viewer && (risk > Risk::Safe || changes(spec)) {
        let reason = "viewers may look, not change; ask an operator or an admin";
        return verdict(Risk::Blocked, Decider::Role, reason.into());
    }
    if q.frozen && changes(spec) {
        let reason = "changes are frozen; an admin lifts it with /unfreeze";
        return verdict(Risk::Blocked, Decider::Frozen, reason.into());
    }
    verdict(risk, decided_by, reason)
}

/// Whether a tool may change something: one whose effects this build does not know (a default above safe) counts.
fn changes(spec: &ToolSpec) -> bool {
    spec.is_write() || spec.default > Risk::Safe
}

fn strictest(
    policy: &Policy,
    q: &Question<'_>,
    spec: &ToolSpec,
    considered: &[(String, Risk, bool)],
) -> (Risk, Decider, String) {
    let matched =
        policy.rules().iter().zip(considered).filter(|(_, (_, _, held))| *held).map(|(rule, _)| rule);
    // Of equal ones the first named explains; `max_by_key` keeps the last, so rules and candidates come in reverse.
    let rule = matched.rev().max_by_key(|rule| rule.effect);
    let base = match rule {
        Some(rule) => (rule.effect, Decider::Rule(rule.id.clone()), rule.reason.clone()),
        None => (spec.default, Decider::Default, default_reason(spec)),
    };
    let floor =
        (spec.floor, Decider::Floor, format!("{} changes something, so it is never run unasked", spec.name));
    let taint = if q.tainted && changes(spec) { Risk::Confirm } else { Risk::Safe };
    let taint = (taint, Decider::Taint, "untrusted text was read, so every change is asked for".to_owned());
    let order = if rule.is_some() || spec.default > spec.floor || spec.floor == Risk::Safe {
        [taint, floor, base.clone()]
    } else {
        [base.clone(), taint, floor]
    };
    order.into_iter().max_by_key(|(risk, _, _)| *risk).unwrap_or(base)
}

fn default_reason(spec: &ToolSpec) -> String {
    match spec.default {
        Risk::Safe => "it only looks".into(),
        Risk::Confirm | Risk::TwoPerson => {
            format!("no rule says otherwise, and {} asks by default", spec.name)
        }
        Risk::Blocked => format!("no rule allows {}", spec.name),
    }
}

impl Verdict {
    /// Why, in one sentence; a rule is named, so that whoever wrote it finds it.
    pub fn why(&self) -> String {
        match &self.decided_by {
            Decider::Rule(_) => format!("{}: {}", self.decided_by, self.reason),
            _ => self.reason.clone(),
        }
    }

    /// The decision over several lines, naming what decided and every rule; for `opsbot policy check`.
    pub fn explain(&self, call: &ToolCall) -> String {
        let what = match self.risk {
            Risk::Safe => "runs at once",
            Risk::Confirm => "runs after one eligible person confirmed",
            Risk::TwoPerson => "runs after the requester and then another admin confirmed",
            Risk::Blocked => "never runs",
        };
        let mut text =
            format!("{call}\n  {}: {what}\n  decided by {}: {}", self.risk, self.decided_by, self.reason);
        if self.considered.is_empty() {
            text.push_str("\n  no rules are configured");
        }
        for (id, effect, matched) in &self.considered {
            let verb = if *matched { "matches" } else { "does not match" };
            text.push_str(&format!("\n  rule {id} ({effect}) {verb}"));
        }
        text
    }
}

/// Judges, and mints a permit only when the call is Safe: the only way for reads.
///
/// # Errors
/// The verdict, when it is anything but Safe.
pub fn permit_safe(policy: &Policy, q: &Question<'_>) -> Result<Permit, Verdict> {
    let verdict = judge(policy, q);
    if verdict.risk == Risk::Safe { Ok(Permit::mint(q.call.clone())) } else { Err(verdict) }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{actor, call, now, policy, specs};
    use super::*;
    use crate::domain::{ChannelKind, Origin};

    const RULES: &str = r#"
        [[rule]]
        id = "gold-needs-two"
        effect = "two_person"
        reason = "gold customers need a second pair of eyes"
        tools = ["restart_container"]
        targets = ["label:tier=gold"]
        [[rule]]
        id = "no-db"
        effect = "blocked"
        reason = "databases are restarted by hand"
        tools = ["restart_*"]
        targets = ["service:db"]
        [[rule]]
        id = "web-is-easy"
        effect = "confirm"
        reason = "the web service restarts within a second"
        tools = ["drain_*"]
        targets = ["service:web"]
        [[rule]]
        id = "outside-reads"
        effect = "safe"
        reason = "it only searches"
        tools = ["outside_search"]
        args = { scope = { not = ["all"] } }
        [[rule]]
        id = "logs-at-night"
        effect = "confirm"
        reason = "nobody reads logs at night"
        tools = ["get_recent_logs"]
        during = "daily 22:00-06:00 UTC"
        channels = ["telegram"]
    "#;

    struct Case {
        call: ResolvedCall,
        role: Role,
        tainted: bool,
        frozen: bool,
        want: Risk,
        by: &'static str,
    }

    fn case(text: &str, want: Risk, by: &'static str) -> Case {
        Case { call: call(text), role: Role::Operator, tainted: false, frozen: false, want, by }
    }

    impl Case {
        fn role(self, role: Role) -> Self {
            Self { role, ..self }
        }
        fn tainted(self) -> Self {
            Self { tainted: true, ..self }
        }
        fn frozen(self) -> Self {
            Self { frozen: true, ..self }
        }
        fn gold(mut self) -> Self {
            self.call.target.labels.insert("tier".into(), "gold".into());
            self
        }
    }

    #[test]
    fn the_strictest_wins_and_is_named() {
        use Risk::{Blocked, Confirm, Safe, TwoPerson};
        let policy = policy(RULES);
        let table = [
            case("get_metrics(customer_id=19)", Safe, "default"),
            case("get_metrics(customer_id=19)", Safe, "default").role(Role::Viewer).tainted().frozen(),
            case("restart_container(customer_id=19, service=web)", Confirm, "floor"),
            case("restart_container(customer_id=19, service=web)", Confirm, "floor").tainted(),
            case("restart_container(customer_id=19, service=web)", Confirm, "floor").role(Role::Admin),
            case("restart_container(customer_id=19, service=web)", TwoPerson, "rule gold-needs-two").gold(),
            case("restart_container(customer_id=19, service=db)", Blocked, "rule no-db").gold(),
            // The whole stack touches the database too.
            case("restart_container(customer_id=19)", Blocked, "rule no-db"),
            case("restart_container(customer_id=19, service=web)", Blocked, "role").role(Role::Viewer),
            case("restart_container(customer_id=19, service=web)", Blocked, "freeze").frozen(),
            case("restart_container(customer_id=19, service=web)", Blocked, "freeze")
                .role(Role::Admin)
                .frozen(),
            case("delete_customer_data(customer_id=19)", Blocked, "floor").role(Role::Admin),
            case("invented(x=1)", Blocked, "unknown tool").role(Role::Admin),
            // A rule loosens a default, and only for all that is touched.
            case("drain_container(customer_id=19, service=web)", Confirm, "rule web-is-easy"),
            case("drain_container(customer_id=19, service=redis)", TwoPerson, "default"),
            case("drain_container(customer_id=19)", TwoPerson, "default"),
            // Tools from outside.
            case("outside_search(scope=docs)", Safe, "rule outside-reads"),
            case("outside_search(scope=all)", Confirm, "default"),
            case("outside_search()", Confirm, "default"),
            case("outside_search(scope=docs)", Confirm, "taint").tainted(),
            case("outside_search(scope=docs)", Blocked, "freeze").frozen(),
        ];
        for case in table {
            let specs = specs();
            let actor = actor("anna", case.role);
            let q = Question {
                spec: specs.iter().find(|s| s.name == case.call.call.tool),
                call: &case.call,
                actor: &actor,
                tainted: case.tainted,
                frozen: case.frozen,
                now: now(),
            };
            let got = judge(&policy, &q);
            let text = got.explain(&case.call.call);
            assert_eq!((got.risk, got.decided_by.to_string().as_str()), (case.want, case.by), "{text}");
            assert!(text.contains(&format!("decided by {}", case.by)) && text.lines().count() > 3, "{text}");
            assert_eq!(permit_safe(&policy, &q).is_ok(), case.want == Safe, "{text}");
        }
    }

    #[test]
    fn time_and_channel_and_origin_count() {
        let policy = policy(RULES);
        let specs = specs();
        let logs = call("get_recent_logs(customer_id=19)");
        let mut who = actor("anna", Role::Operator);
        let ask = |who: &Actor, now: &str| {
            let spec = specs.iter().find(|s| s.name == "get_recent_logs");
            let now = now.parse().unwrap();
            judge(&policy, &Question { spec, call: &logs, actor: who, tainted: false, frozen: false, now })
                .risk
        };
        who.channel = ChannelKind::Telegram;
        assert_eq!(ask(&who, "2026-01-01T23:00:00Z"), Risk::Confirm);
        assert_eq!(ask(&who, "2026-01-01T21:00:00Z"), Risk::Safe);
        who.channel = ChannelKind::Console;
        assert_eq!(ask(&who, "2026-01-01T23:00:00Z"), Risk::Safe);
        who.origin = Origin::Voice;
        assert_eq!(ask(&who, "2026-01-01T23:00:00Z"), Risk::Safe);
    }

    #[test]
    fn a_call_is_judged_by_its_own_tools_spec_only() {
        let specs = specs();
        let restart = call("restart_container(customer_id=19)");
        let who = actor("anna", Role::Admin);
        let q = Question {
            spec: specs.iter().find(|s| s.name == "get_metrics"),
            call: &restart,
            actor: &who,
            tainted: false,
            frozen: false,
            now: now(),
        };
        assert_eq!(permit_safe(&policy(""), &q).unwrap_err().decided_by, Decider::UnknownTool);
    }
}
