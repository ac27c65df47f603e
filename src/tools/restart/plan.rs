//! From a call to its steps: which containers, in which order, or why there is nothing to do.

use super::act::Act;
use crate::{
    docker::{Health, State},
    domain::{ContainerRef, PlanStep, ResolvedCall, ToolCall, ToolError},
    inventory::Member,
    tools::place::Place,
};

/// The call with one step a container: what others need comes first, for a stop last.
pub(in crate::tools) fn resolve(act: Act, place: Place, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
    // Half a stack is not what was asked for.
    if place.service.is_none()
        && let Some(gap) = place.inventory.first_gap()
    {
        return Err(gap.clone());
    }
    let mut containers = place.in_order()?;
    if containers.is_empty() {
        return Err(place.none());
    }
    if act == Act::Stop {
        containers.reverse();
    }
    if let Some(why) = nothing_to_do(act, &place, &containers) {
        return Err(ToolError::Failed(why));
    }
    let plan = containers.iter().map(|r| step(act, r)).collect();
    Ok(ResolvedCall { plan, ..place.resolved(call, containers) })
}

fn step(act: Act, r: &ContainerRef) -> PlanStep {
    let short: String = r.id.chars().take(12).collect();
    let text = format!("{} container {} ({short}, service {}) on {}", act.verb(), r.name, r.service, r.host);
    PlanStep { text, container: Some(r.clone()), now: None }
}

/// Nobody is asked to approve what changes nothing.
fn nothing_to_do(act: Act, place: &Place, containers: &[ContainerRef]) -> Option<String> {
    let members = place.inventory.members(&place.customer.id);
    let meant: Vec<_> = members.iter().filter(|m| containers.contains(&m.r)).collect();
    if !meant.iter().all(|m| act.is_done(m.listed.state)) {
        return None;
    }
    let customer = &place.customer.id;
    let who = match meant.as_slice() {
        [one] => format!("{} of customer {customer} is already {}", one.r.service, how(act, one)),
        many => format!("all {} containers of customer {customer} are already {}", many.len(), act.goal()),
    };
    let hint = if act == Act::Start { "; /restart restarts what runs" } else { "" };
    Some(format!("{who}: there is nothing to {}{hint}", act.verb()))
}

fn how(act: Act, m: &Member) -> String {
    match (m.listed.state, m.listed.health) {
        (State::Running, health) if health != Health::None => format!("running ({health})"),
        (State::Created, _) => "stopped (it never ran)".into(),
        _ => act.goal().into(),
    }
}
