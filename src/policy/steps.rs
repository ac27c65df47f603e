//! Calls that consist of other calls (a playbook's run): every step is judged like a call of its own, for the card and
//! again right before it runs.

use super::{Permit, Policy, Question, Verdict, approval::written_out, judge};
use crate::domain::{ResolvedCall, Risk, ToolSpec};

/// The strictest verdict on the call and on each of its steps; one on a step says so.
pub fn judge_whole(policy: &Policy, specs: &[ToolSpec], q: &Question<'_>) -> Verdict {
    let whole = judge(policy, q);
    let steps = q.call.steps.iter().enumerate().map(|(n, step)| {
        let spec = specs.iter().find(|s| s.name == step.call.tool);
        let verdict = judge(policy, &Question { spec, call: step, ..*q });
        let reason = format!("step {}, {}: {}", n + 1, written_out(&step.call), verdict.reason);
        Verdict { reason, ..verdict }
    });
    // Of equal ones the first explains.
    steps.fold(whole, |strictest, step| if step.risk > strictest.risk { step } else { strictest })
}

/// The permit for step `n` of the call that `whole` permits; `q.call` is that step as it would run now.
///
/// # Errors
/// A sentence: it is not the step that was approved, or it is riskier now than `approved`.
pub fn permit_step(
    policy: &Policy,
    (whole, n): (&Permit, usize),
    approved: Risk,
    q: &Question<'_>,
) -> Result<Permit, String> {
    let Some(shown) = whole.call().steps.get(n) else {
        return Err(format!("there is no step {}", n + 1));
    };
    if shown.call != q.call.call || shown.target != q.call.target || !q.call.steps.is_empty() {
        return Err("what it would touch changed since it was approved".into());
    }
    let verdict = judge(policy, q);
    if verdict.risk > approved || verdict.risk == Risk::Blocked {
        return Err(format!("it is {} now ({})", verdict.risk, verdict.why()));
    }
    Ok(Permit::mint(ResolvedCall { plan: shown.plan.clone(), ..q.call.clone() }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{actor, call, now, policy, specs};
    use super::*;
    use crate::domain::Role;

    const NO_DB: &str = "[[rule]]\nid='no-db'\neffect='blocked'\nreason='by hand'\ntargets=['service:db']";

    fn question<'a>(
        call: &'a ResolvedCall,
        specs: &'a [ToolSpec],
        who: &'a crate::domain::Actor,
    ) -> Question<'a> {
        let spec = specs.iter().find(|s| s.name == call.call.tool);
        Question { spec, call, actor: who, tainted: false, frozen: false, now: now() }
    }

    #[test]
    fn a_step_makes_the_whole_as_risky_as_itself() {
        let (specs, anna) = (specs(), actor("anna", Role::Operator));
        let whole = |step: &str| ResolvedCall {
            steps: vec![call("get_metrics(customer_id=19)"), call(step)],
            ..call("get_metrics(customer_id=19)")
        };
        let table = [
            ("get_metrics(customer_id=19)", "", Risk::Safe, ""),
            (
                "restart_container(customer_id=19, service=web)",
                "",
                Risk::Confirm,
                "step 2, restart_container",
            ),
            ("restart_container(customer_id=19, service=db)", NO_DB, Risk::Blocked, "by hand"),
            ("no_such_tool()", "", Risk::Blocked, "step 2, no_such_tool"),
        ];
        for (step, rules, risk, part) in table {
            let (policy, whole) = (policy(rules), whole(step));
            let verdict = judge_whole(&policy, &specs, &question(&whole, &specs, &anna));
            assert_eq!(verdict.risk, risk, "{step}");
            assert!(verdict.reason.contains(part), "{}", verdict.reason);
        }
    }

    #[test]
    fn a_step_runs_only_as_it_was_approved() {
        let (specs, anna) = (specs(), actor("anna", Role::Operator));
        let (free, strict) = (policy(""), policy(NO_DB));
        let web = call("restart_container(customer_id=19, service=web)");
        let db = call("restart_container(customer_id=19, service=db)");
        let whole = Permit::mint(ResolvedCall { steps: vec![web.clone(), db.clone()], ..web.clone() });
        let permit = |policy, n, fresh: &ResolvedCall, approved, frozen| {
            let q = Question { frozen, ..question(fresh, &specs, &anna) };
            permit_step(policy, (&whole, n), approved, &q).map(|p| p.call().call.to_string())
        };
        assert_eq!(permit(&free, 0, &web, Risk::Confirm, false).unwrap(), web.call.to_string());
        assert!(permit(&free, 0, &db, Risk::Confirm, false).unwrap_err().contains("changed"));
        assert!(permit(&free, 2, &web, Risk::Confirm, false).unwrap_err().contains("no step 3"));
        assert!(permit(&free, 0, &web, Risk::Safe, false).unwrap_err().contains("confirm"));
        assert!(permit(&free, 0, &web, Risk::Confirm, true).unwrap_err().contains("frozen"));
        assert!(permit(&strict, 1, &db, Risk::Confirm, false).unwrap_err().contains("no-db"));
        let mut replaced = web;
        replaced.target.containers[0].id = "9c1b".repeat(16);
        assert!(permit(&free, 0, &replaced, Risk::Confirm, false).unwrap_err().contains("changed"));
    }
}
