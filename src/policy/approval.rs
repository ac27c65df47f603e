//! An approval: what was asked, by whom, what it binds, and who may decide it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Policy, Verdict};
use crate::domain::{
    Actor, ApprovalId, Card, CardState, ConversationKey, Origin, PersonName, ResolvedCall, Risk, Role,
    ToolCall, Untrusted,
};

/// How long a card may be decided, unless configured otherwise.
pub const LIFETIME: SignedDuration = SignedDuration::from_mins(5);

/// A request to run one or more writes, as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    /// Random, 128 bits.
    pub id: ApprovalId,
    /// What would run, in this order.
    pub calls: Vec<ResolvedCall>,
    /// [`ResolvedCall::digest`] of `calls` and `policy_version` when it was asked.
    pub digest: String,
    /// The policy's version when it was asked.
    pub policy_version: String,
    /// `Confirm` or `TwoPerson`.
    pub risk: Risk,
    /// Which rule asks, and why.
    pub reason: String,
    /// Who asked.
    pub requester: Actor,
    /// Where it was asked.
    pub conversation: ConversationKey,
    /// Untrusted text was in the context.
    pub tainted: bool,
    /// When the message that asks was sent, if that was long before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
    /// When it was asked.
    pub created_at: Timestamp,
    /// When it lapses.
    pub expires_at: Timestamp,
    /// Where it stands.
    pub state: CardState,
    /// The first of two approvers.
    pub first_approver: Option<PersonName>,
    /// Who took the last decision.
    pub decided_by: Option<PersonName>,
    /// The true outcome.
    pub outcome: Option<String>,
}

/// What a person says to a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Run it.
    Approve,
    /// Do not.
    Deny,
}

/// What a decision leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// Take it: `pending → executing`, decided by this person.
    Execute,
    /// The first of two said yes; it stays pending.
    FirstOfTwo,
    /// `pending → denied`.
    Deny,
    /// Nothing changes; the sentence explains why.
    Refused(String),
}

/// All that an approval is made of.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// 128 random bits.
    pub id: ApprovalId,
    /// What would run, in this order.
    pub calls: Vec<ResolvedCall>,
    /// What was decided of each call.
    pub verdicts: &'a [Verdict],
    /// Who asks.
    pub requester: Actor,
    /// Where.
    pub conversation: ConversationKey,
    /// Untrusted text is in the context.
    pub tainted: bool,
    /// When the message that asks was sent, if that was long ago.
    pub sent_at: Option<Timestamp>,
    /// When.
    pub now: Timestamp,
    /// How long it may be decided, [`LIFETIME`] by default.
    pub lifetime: SignedDuration,
}

impl Approval {
    /// Binds the calls to the policy's version; the strictest verdict gives risk and reason. One that holds a blocked
    /// call can be stored and denied, never approved.
    pub fn ask(ask: Ask<'_>, policy: &Policy) -> Self {
        // The first of the strictest; `max_by_key` alone would give the last.
        let strictest = ask.verdicts.iter().rev().max_by_key(|v| v.risk);
        let reason = strictest.map(Verdict::why).unwrap_or_default();
        Self {
            id: ask.id,
            digest: ResolvedCall::digest(&ask.calls, policy.version()),
            calls: ask.calls,
            policy_version: policy.version().to_owned(),
            risk: strictest.map_or(Risk::Confirm, |v| v.risk.max(Risk::Confirm)),
            reason,
            requester: ask.requester,
            conversation: ask.conversation,
            tainted: ask.tainted,
            sent_at: ask.sent_at,
            created_at: ask.now,
            expires_at: ask.now.saturating_add(ask.lifetime).unwrap_or(ask.now),
            state: CardState::Pending,
            first_approver: None,
            decided_by: None,
            outcome: None,
        }
    }

    /// Whether `actor` is one of those who may decide: the requester, if operator or admin, and every admin.
    pub fn is_eligible(&self, actor: &Actor) -> bool {
        actor.role == Role::Admin || (actor.role >= Role::Operator && actor.person == self.requester.person)
    }

    /// Whether the stored calls are still those that were asked.
    pub(super) fn is_intact(&self) -> bool {
        self.digest == ResolvedCall::digest(&self.calls, &self.policy_version)
    }

    /// Who may decide, in words.
    pub fn eligible(&self) -> String {
        let requester = &self.requester.person;
        match self.risk {
            Risk::Blocked => "nobody".into(),
            Risk::TwoPerson => format!("{requester} first, then an admin other than {requester}"),
            Risk::Safe | Risk::Confirm if self.requester.role < Role::Operator => "any admin".into(),
            Risk::Safe | Risk::Confirm => format!("{requester} or any admin"),
        }
    }
}

/// Decides what a press does. Whoever stores the result does so only where the row is still pending.
pub fn rule_on(approval: &Approval, actor: &Actor, verb: Verb, now: Timestamp) -> Ruling {
    if !approval.is_eligible(actor) {
        return Ruling::Refused(format!("this is not yours to decide; it waits for {}", approval.eligible()));
    }
    if let Some(why) = settled(approval, now) {
        return Ruling::Refused(why);
    }
    match verb {
        Verb::Deny => Ruling::Deny,
        Verb::Approve => approve(approval, actor).unwrap_or_else(Ruling::Refused),
    }
}

fn approve(approval: &Approval, actor: &Actor) -> Result<Ruling, String> {
    may_approve(actor)?;
    if !approval.is_intact() {
        return Err("what is stored is not what was asked; nothing runs: ask again".into());
    }
    let requester = &approval.requester.person;
    match (approval.risk, &approval.first_approver) {
        (Risk::Blocked, _) => Err("this is blocked and cannot be approved by anyone".into()),
        (Risk::Safe | Risk::Confirm, _) => Ok(Ruling::Execute),
        (Risk::TwoPerson, None) if actor.person == *requester => Ok(Ruling::FirstOfTwo),
        (Risk::TwoPerson, None) => Err(format!(
            "this takes two: {requester}, who asked, must press first, then an admin other than {requester}"
        )),
        (Risk::TwoPerson, Some(first)) => {
            second_of_two(approval, first, actor)?;
            Ok(Ruling::Execute)
        }
    }
}

/// Whether this kind of event may say yes at all.
pub(super) fn may_approve(actor: &Actor) -> Result<(), String> {
    match actor.origin {
        Origin::Typed | Origin::Button => Ok(()),
        Origin::Voice => Err("a spoken yes does not count; press the button or type it".into()),
        Origin::Schedule => Err("a schedule approves nothing; a person has to".into()),
    }
}

/// Whether `actor` may be the second where `first` was the first.
pub(super) fn second_of_two(approval: &Approval, first: &PersonName, actor: &Actor) -> Result<(), String> {
    let requester = &approval.requester.person;
    if first != requester {
        return Err(format!(
            "the first of two must be {requester}, who asked, not {first}; nothing runs: ask again"
        ));
    }
    if actor.person == *requester {
        return Err(format!("you already said yes; now it takes an admin other than {requester}"));
    }
    if actor.role < Role::Admin {
        return Err("the second of two must be an admin".into());
    }
    Ok(())
}

/// Why nothing can be decided any more; none while it is pending and in time.
fn settled(approval: &Approval, now: Timestamp) -> Option<String> {
    let by = approval.decided_by.as_ref().map(|p| format!(" by {p}")).unwrap_or_default();
    let outcome = approval.outcome.as_ref().map(|o| format!(": {o}")).unwrap_or_default();
    let expired = format!("this expired at {}; nothing ran: ask again", clock(approval.expires_at));
    match approval.state {
        CardState::Pending if now < approval.expires_at => None,
        CardState::Pending | CardState::Expired => Some(expired),
        CardState::Executing => Some(format!("this was already approved{by} and runs now")),
        CardState::Done => Some(format!("this was already approved{by} and is done{outcome}")),
        CardState::Failed => {
            Some(format!("this was already approved{by} and failed{outcome}; to try once more, ask again"))
        }
        CardState::Unknown => Some(format!(
            "this was approved{by}, and OpsBot stopped while it ran: verify by hand what was done, then ask again if needed"
        )),
        CardState::Denied => Some(format!("this was already denied{by}; nothing ran")),
        CardState::Superseded => Some("a newer card replaced this one; decide that one".into()),
    }
}

/// A time as people read it, in UTC with seconds.
fn clock(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Whether `new` replaces `old`: both from one conversation, and a tool of one has the same target in the other.
pub fn supersedes(new: &Approval, old: &Approval) -> bool {
    let same = |a: &ResolvedCall, b: &ResolvedCall| {
        let aimed = a.target.customer.is_some() || a.target.service.is_some();
        a.call.tool == b.call.tool
            && a.target.customer == b.target.customer
            && a.target.service == b.target.service
            && (aimed || a.call.args == b.call.args)
    };
    new.id != old.id
        && old.state == CardState::Pending
        && new.conversation == old.conversation
        && new.calls.iter().any(|a| old.calls.iter().any(|b| same(a, b)))
}

/// The card, written by code from the typed calls: every argument, every step.
pub fn card(approval: &Approval) -> Card {
    let steps = approval.calls.iter().flat_map(|c| &c.plan).map(|step| one_line(&step.to_string()));
    Card {
        id: approval.id,
        calls: approval.calls.iter().map(|c| written_out(&c.call)).collect(),
        steps: steps.collect(),
        risk: approval.risk,
        reason: approval.reason.clone(),
        requester: approval.requester.person.clone(),
        eligible: approval.eligible(),
        tainted: approval.tainted,
        sent_at: approval.sent_at,
        expires_at: approval.expires_at,
        state: approval.state,
        first_approver: approval.first_approver.clone(),
        outcome: approval.outcome.clone().or_else(|| match (approval.state, &approval.decided_by) {
            (CardState::Denied, Some(by)) => Some(format!("{by} said no; nothing ran")),
            _ => None,
        }),
    }
}

/// The call with all its arguments; a value that could be mistaken for something else is quoted and escaped.
pub(super) fn written_out(call: &ToolCall) -> String {
    let args = call.args.0.keys().map(|name| {
        let value = call.args.text(name).unwrap_or_default();
        let plain = !value.is_empty()
            && value.chars().all(|c| {
                c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/' | '@' | '%' | '+' | '*')
            });
        if plain { format!("{name}={value}") } else { format!("{name}={value:?}") }
    });
    format!("{}({})", call.tool, args.collect::<Vec<_>>().join(", "))
}

fn one_line(text: &str) -> String {
    Untrusted::new(text).as_str().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{actor, approval, call, now, policy};
    use super::*;

    fn refused(ruling: &Ruling) -> &str {
        match ruling {
            Ruling::Refused(why) => why,
            Ruling::Execute | Ruling::FirstOfTwo | Ruling::Deny => "",
        }
    }

    #[test]
    fn who_may_decide_a_card_of_an_operator() {
        use Origin::{Button, Schedule, Typed, Voice};
        use Role::{Admin, Operator, Viewer};
        use Verb::{Approve, Deny};
        // (person, role, origin, verb, two-person: none pressed / requester pressed)
        let table = [
            ("anna", Operator, Typed, Approve, ["execute", "first", "takes an admin other than anna"]),
            ("anna", Operator, Button, Approve, ["execute", "first", "takes an admin other than anna"]),
            ("anna", Admin, Typed, Approve, ["execute", "first", "takes an admin other than anna"]),
            ("anna", Operator, Typed, Deny, ["deny", "deny", "deny"]),
            ("anna", Operator, Voice, Approve, ["spoken", "spoken", "spoken"]),
            ("anna", Operator, Voice, Deny, ["deny", "deny", "deny"]),
            ("anna", Operator, Schedule, Approve, ["schedule", "schedule", "schedule"]),
            ("anna", Viewer, Typed, Approve, ["not yours", "not yours", "not yours"]),
            ("ben", Operator, Typed, Approve, ["not yours", "not yours", "not yours"]),
            ("ben", Operator, Typed, Deny, ["not yours", "not yours", "not yours"]),
            ("cleo", Admin, Button, Approve, ["execute", "anna, who asked, must press first", "execute"]),
            ("cleo", Admin, Button, Deny, ["deny", "deny", "deny"]),
            ("cleo", Admin, Voice, Approve, ["spoken", "spoken", "spoken"]),
        ];
        for (person, role, origin, verb, want) in table {
            let actor = Actor { origin, ..actor(person, role) };
            let confirm = approval(Risk::Confirm);
            let two = approval(Risk::TwoPerson);
            let half = Approval { first_approver: Some("anna".into()), ..two.clone() };
            for (approval, want) in [confirm, two, half].iter().zip(want) {
                let got = rule_on(approval, &actor, verb, now());
                let word = match &got {
                    Ruling::Execute => "execute",
                    Ruling::FirstOfTwo => "first",
                    Ruling::Deny => "deny",
                    Ruling::Refused(why) => why,
                };
                assert!(word.contains(want), "{person} {role} {origin} {verb:?}: {word} instead of {want}");
            }
        }
    }

    #[test]
    fn stale_late_altered_and_blocked_decisions_explain_themselves() {
        let base = approval(Risk::Confirm);
        let anna = actor("anna", Role::Operator);
        let state = |state| Approval {
            state,
            decided_by: Some("cleo".into()),
            outcome: Some("web is up".into()),
            ..base.clone()
        };
        let mut altered = base.clone();
        altered.calls[0].target.customer = Some("7".into());
        let table = [
            (state(CardState::Executing), "approved by cleo and runs now"),
            (state(CardState::Done), "approved by cleo and is done: web is up"),
            (state(CardState::Failed), "failed: web is up"),
            (state(CardState::Unknown), "verify by hand"),
            (state(CardState::Denied), "denied by cleo"),
            (state(CardState::Expired), "expired at 2026-09-21 14:18:20 UTC; nothing ran: ask again"),
            (state(CardState::Superseded), "newer card"),
            (Approval { expires_at: now(), ..base.clone() }, "expired"),
            (altered, "not what was asked"),
            (Approval { risk: Risk::Blocked, ..base.clone() }, "cannot be approved"),
        ];
        for (approval, part) in table {
            let got = rule_on(&approval, &anna, Verb::Approve, now());
            assert!(refused(&got).contains(part), "{got:?} lacks {part}");
        }
        let late = rule_on(&base, &anna, Verb::Approve, base.expires_at);
        assert!(refused(&late).contains("expired"), "{late:?}");
        let forged = Approval { first_approver: Some("ben".into()), ..approval(Risk::TwoPerson) };
        assert!(
            refused(&rule_on(&forged, &actor("cleo", Role::Admin), Verb::Approve, now()))
                .contains("must be anna")
        );
    }

    #[test]
    fn a_newer_card_for_the_same_thing_replaces_the_pending_one() {
        let policy = policy("");
        let old = approval(Risk::Confirm);
        let new = |text: &str| {
            let calls = vec![call(text)];
            let digest = ResolvedCall::digest(&calls, policy.version());
            Approval { id: ApprovalId::from_bits(2), calls, digest, ..old.clone() }
        };
        let same = "restart_container(customer_id=19, service=web)";
        assert!(supersedes(&new(same), &old));
        assert!(!supersedes(&new("restart_container(customer_id=19, service=db)"), &old));
        assert!(!supersedes(&new("restart_container(customer_id=7, service=web)"), &old));
        assert!(!supersedes(&new("drain_container(customer_id=19, service=web)"), &old));
        assert!(!supersedes(&Approval { conversation: "console:ben:1".into(), ..new(same) }, &old));
        assert!(!supersedes(&new(same), &Approval { state: CardState::Executing, ..old.clone() }));
        assert!(!supersedes(&old, &old));
        let aimless = |text: &str| Approval { state: CardState::Pending, ..new(text) };
        let first = Approval { id: ApprovalId::from_bits(3), ..aimless("run_playbook(name=a)") };
        assert!(supersedes(&aimless("run_playbook(name=a)"), &first));
        assert!(!supersedes(&aimless("run_playbook(name=b)"), &first));
    }

    #[test]
    fn a_card_shows_every_argument_and_step_and_cannot_be_spoofed() {
        let mut sly = approval(Risk::TwoPerson);
        let note = "x\", customer_id=7)\n\u{202e}evil";
        sly.calls[0].call.args.0.insert("note".into(), note.into());
        sly.calls[0].plan[0].text = "restart\u{1b}[2K web\nnow".into();
        sly.tainted = true;
        let card = card(&sly);
        assert_eq!(
            card.calls,
            [r#"restart_container(customer_id=19, service=web, note="x\", customer_id=7)\n\u{202e}evil")"#]
        );
        assert_eq!(card.steps, ["restart web now"]);
        assert_eq!(card.eligible, "anna first, then an admin other than anna");
        assert!(card.tainted && card.requester.as_str() == "anna");
        assert_eq!(card.expires_at, now() + LIFETIME);
    }

    #[test]
    fn the_strictest_verdict_gives_risk_and_reason() {
        use super::super::Decider;
        let verdict = |risk, rule: &str| Verdict {
            risk,
            decided_by: Decider::Rule(rule.into()),
            reason: format!("because {rule}"),
            considered: vec![],
        };
        let ask = |verdicts: &[Verdict]| {
            let ask = Ask {
                id: ApprovalId::from_bits(1),
                calls: vec![call("restart_container(customer_id=19)")],
                verdicts,
                requester: actor("anna", Role::Operator),
                conversation: "c".into(),
                tainted: false,
                sent_at: None,
                now: now(),
                lifetime: LIFETIME,
            };
            Approval::ask(ask, &policy(""))
        };
        let got =
            ask(&[verdict(Risk::Confirm, "a"), verdict(Risk::TwoPerson, "b"), verdict(Risk::TwoPerson, "c")]);
        assert_eq!((got.risk, got.reason.as_str()), (Risk::TwoPerson, "rule b: because b"));
        assert_eq!(ask(&[]).risk, Risk::Confirm);
        assert_eq!(ask(&[verdict(Risk::Safe, "a")]).risk, Risk::Confirm);
        assert!(got.is_intact());
    }
}
