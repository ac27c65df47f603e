//! From an approval that was taken to permits: everything is looked at again, and what changed since is named.

use jiff::Timestamp;

use super::{
    Approval, Permit, Policy, Question,
    approval::{may_approve, second_of_two, written_out},
    steps::judge_whole,
};
use crate::domain::{Actor, CardState, ContainerRef, PersonName, ResolvedCall, Risk, ToolSpec};

/// The world as it is when the approved calls are about to run.
#[derive(Clone, Debug)]
pub struct Redeem<'a> {
    /// The approval's calls, resolved again just now, in the same order.
    pub fresh: Vec<ResolvedCall>,
    /// The policy in force.
    pub policy: &'a Policy,
    /// The tools of this build.
    pub specs: &'a [ToolSpec],
    /// Who took the last decision, with the rights held now.
    pub approver: &'a Actor,
    /// The freeze latch is set.
    pub frozen: bool,
    /// The time.
    pub now: Timestamp,
}

/// Turns an approval that is executing into one permit a call, in order: the only way for writes.
///
/// # Errors
/// What changed since the card was shown, in one sentence for the people in the conversation; nothing may run then.
pub fn redeem(approval: &Approval, again: Redeem<'_>) -> Result<Vec<Permit>, String> {
    if approval.state != CardState::Executing {
        return Err(format!("this approval is {}, so nothing runs", approval.state));
    }
    if !approval.is_intact() {
        return Err("what is stored is not what was asked; nothing runs: ask again".into());
    }
    check_approver(approval, again.approver)?;
    if again.frozen {
        return Err(
            "changes were frozen since the card was shown; an admin lifts it with /unfreeze, then ask again"
                .into(),
        );
    }
    if again.policy.version() != approval.policy_version {
        return Err("the policy changed since the card was shown; ask again".into());
    }
    if ResolvedCall::digest(&again.fresh, again.policy.version()) != approval.digest {
        return Err(format!(
            "{} since the card was shown; ask again",
            difference(&approval.calls, &again.fresh)
        ));
    }
    for call in &again.fresh {
        let question = Question {
            spec: again.specs.iter().find(|spec| spec.name == call.call.tool),
            call,
            actor: &approval.requester,
            tainted: approval.tainted,
            frozen: again.frozen,
            now: again.now,
        };
        let verdict = judge_whole(again.policy, again.specs, &question);
        if verdict.risk > approval.risk || verdict.risk == Risk::Blocked {
            return Err(format!(
                "{} became {} since the card was shown ({}: {}); ask again",
                written_out(&call.call),
                verdict.risk,
                verdict.decided_by,
                verdict.reason
            ));
        }
    }
    Ok(again.fresh.into_iter().map(Permit::mint).collect())
}

/// The row says who decided; it must be this actor, and the actor must still have the right.
fn check_approver(approval: &Approval, approver: &Actor) -> Result<(), String> {
    may_approve(approver)?;
    if approval.decided_by.as_ref() != Some(&approver.person) {
        let by = approval.decided_by.as_ref().map_or("nobody", PersonName::as_str);
        return Err(format!("this was approved by {by}, not by {}; nothing runs", approver.person));
    }
    if !approval.is_eligible(approver) {
        return Err(format!("{} may no longer decide this; nothing runs", approver.person));
    }
    match (approval.risk, &approval.first_approver) {
        (Risk::Blocked, _) => Err("this is blocked and cannot be approved by anyone".into()),
        (Risk::Safe | Risk::Confirm, _) => Ok(()),
        (Risk::TwoPerson, None) => Err("this takes two people, and only one said yes; nothing runs".into()),
        (Risk::TwoPerson, Some(first)) => second_of_two(approval, first, approver),
    }
}

/// What differs, in the words of a person; called only when something does.
fn difference(shown: &[ResolvedCall], fresh: &[ResolvedCall]) -> String {
    if shown.len() != fresh.len() {
        return format!("the number of calls changed from {} to {}", shown.len(), fresh.len());
    }
    let Some((old, new)) = shown.iter().zip(fresh).find(|(old, new)| old != new) else {
        return "the calls changed".into();
    };
    if old.call != new.call {
        return format!("the call changed from {} to {}", written_out(&old.call), written_out(&new.call));
    }
    let (old_list, new_list) = (&old.target.containers, &new.target.containers);
    if let Some(container) = old_list.iter().find(|c| !new_list.contains(c)) {
        let same_place = |c: &&ContainerRef| c.host == container.host && c.name == container.name;
        let name = &container.name;
        return match new_list.iter().find(same_place) {
            Some(now) if now.id != container.id => {
                format!("container {name} was replaced: {} is now {}", short(&container.id), short(&now.id))
            }
            Some(now) => {
                format!("container {name} changed its service from {} to {}", container.service, now.service)
            }
            None => format!("container {name} ({}) is gone from {}", short(&container.id), container.host),
        };
    }
    if let Some(container) = new_list.iter().find(|c| !old_list.contains(c)) {
        return format!("container {} ({}) was added", container.name, short(&container.id));
    }
    if old_list != new_list {
        return "the order of the containers changed".into();
    }
    if old.plan != new.plan {
        return "the plan changed".into();
    }
    "the target's labels or place changed".into()
}

fn short(id: &str) -> String {
    let start: String = id.chars().take(12).collect();
    format!("{start}…")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{actor, approval, now, policy, specs};
    use super::*;
    use crate::domain::{Origin, Role};

    fn taken(risk: Risk) -> Approval {
        let two = risk == Risk::TwoPerson;
        Approval {
            state: CardState::Executing,
            first_approver: two.then(|| "anna".into()),
            decided_by: Some(if two { "cleo" } else { "anna" }.into()),
            ..approval(risk)
        }
    }

    fn with<'a>(approval: &Approval, change: impl FnOnce(&mut Redeem<'a>)) -> Result<Vec<Permit>, String> {
        let policy = Box::leak(Box::new(policy("")));
        let specs = specs().leak();
        let name = approval.decided_by.clone().unwrap();
        let role = if name.as_str() == "cleo" { Role::Admin } else { Role::Operator };
        let mut again = Redeem {
            fresh: approval.calls.clone(),
            policy,
            specs,
            approver: Box::leak(Box::new(actor(name.as_str(), role))),
            frozen: false,
            now: now(),
        };
        change(&mut again);
        redeem(approval, again)
    }

    #[test]
    fn an_unchanged_world_gives_one_permit_a_call() {
        for risk in [Risk::Confirm, Risk::TwoPerson] {
            let approval = taken(risk);
            let permits = with(&approval, |_| ()).unwrap();
            assert_eq!(permits.len(), 1);
            assert_eq!(permits[0].call(), &approval.calls[0]);
        }
    }

    #[test]
    fn what_changed_in_the_world_is_named() {
        type Change = fn(&mut Redeem<'_>);
        let table: [(Change, &str); 10] = [
            (|r| r.frozen = true, "frozen"),
            (
                |r| r.fresh[0].target.containers[0].id = "9c1b".repeat(16),
                "replaced: 6331392d7765… is now 9c1b9c1b9c1b…",
            ),
            (
                |r| r.fresh[0].target.containers.clear(),
                "container c19-web (6331392d7765…) is gone from local",
            ),
            (
                |r| {
                    let mut extra = r.fresh[0].target.containers[0].clone();
                    extra.name = "c19-web-2".into();
                    r.fresh[0].target.containers.push(extra);
                },
                "c19-web-2 (6331392d7765…) was added",
            ),
            (|r| r.fresh[0].plan.clear(), "the plan changed"),
            (
                |r| {
                    r.fresh[0].call.args.0.insert("customer_id".into(), "7".into());
                },
                "from restart_container(customer_id=19, service=web) to restart_container(customer_id=7, service=web)",
            ),
            (|r| r.fresh.clear(), "number of calls changed from 1 to 0"),
            (|r| r.fresh.push(r.fresh[0].clone()), "number of calls changed from 1 to 2"),
            (
                |r| {
                    r.fresh[0].target.labels.insert("tier".into(), "gold".into());
                },
                "labels",
            ),
            (|r| r.specs = &[], "became blocked"),
        ];
        for (change, part) in table {
            let error = with(&taken(Risk::Confirm), change).unwrap_err();
            assert!(
                error.contains(part) && error.contains("since the card was shown"),
                "{error} lacks {part}"
            );
        }
    }

    #[test]
    fn a_changed_policy_or_a_rule_whose_time_came_stops_it() {
        let other = policy("[[rule]]\nid='x'\neffect='confirm'\nreason='x'");
        let error = with(&taken(Risk::Confirm), |r| r.policy = &other).unwrap_err();
        assert!(error.contains("the policy changed"), "{error}");

        let night =
            policy("[[rule]]\nid='night'\neffect='blocked'\nreason='sleep'\nduring='daily 22:00-06:00 UTC'");
        let mut approval = taken(Risk::Confirm);
        approval.policy_version = night.version().to_owned();
        approval.digest = ResolvedCall::digest(&approval.calls, night.version());
        assert!(with(&approval, |r| r.policy = &night).is_ok());
        let error = with(&approval, |r| {
            r.policy = &night;
            r.now = "2026-09-21T22:00:00Z".parse().unwrap();
        })
        .unwrap_err();
        assert!(error.contains("became blocked") && error.contains("rule night: sleep"), "{error}");
    }

    #[test]
    fn the_row_must_be_taken_whole_and_by_this_person() {
        type Change = fn(&mut Approval);
        let table: [(Risk, Change, &str); 9] = [
            (Risk::Confirm, |a| a.state = CardState::Pending, "is pending"),
            (Risk::Confirm, |a| a.state = CardState::Done, "is done"),
            (Risk::Confirm, |a| a.state = CardState::Unknown, "is unknown"),
            (Risk::Confirm, |a| a.digest.clear(), "not what was asked"),
            (Risk::Confirm, |a| a.policy_version.push('x'), "not what was asked"),
            (Risk::Confirm, |a| a.risk = Risk::Blocked, "blocked"),
            (Risk::TwoPerson, |a| a.first_approver = None, "only one said yes"),
            (Risk::TwoPerson, |a| a.first_approver = Some("cleo".into()), "must be anna"),
            (Risk::TwoPerson, |a| a.requester.person = "cleo".into(), "must be cleo"),
        ];
        for (risk, change, part) in table {
            let mut approval = taken(risk);
            change(&mut approval);
            let error = with(&approval, |_| ()).unwrap_err();
            assert!(error.contains(part), "{error} lacks {part}");
        }
        let stranger = actor("ben", Role::Admin);
        let demoted = actor("anna", Role::Viewer);
        let spoken = Actor { origin: Origin::Voice, ..actor("anna", Role::Admin) };
        for (approver, part) in [(&stranger, "not by ben"), (&demoted, "no longer"), (&spoken, "spoken")] {
            let error = with(&taken(Risk::Confirm), |r| r.approver = approver).unwrap_err();
            assert!(error.contains(part), "{error} lacks {part}");
        }
        let undecided = Approval { decided_by: None, ..taken(Risk::Confirm) };
        let (policy, specs, anna) = (policy(""), specs(), actor("anna", Role::Operator));
        let fresh = undecided.calls.clone();
        let again =
            Redeem { fresh, policy: &policy, specs: &specs, approver: &anna, frozen: false, now: now() };
        assert!(redeem(&undecided, again).unwrap_err().contains("approved by nobody"));
    }
}
