//! Each new incident that is shown is looked into once, two at a time; in a storm only the critical first of each customer.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{Found, action};
use crate::{
    domain::{Incident, IncidentId, Severity},
    engine::Engine,
    runtime::clock,
};

/// So many investigations run at once.
const AT_ONCE: usize = 2;
/// So many may wait; more are left to `/investigate`.
const WAITING: usize = 20;
/// More new incidents at once than this are a storm.
const STORM: usize = 10;
/// How often it is looked for incidents whose time to be shown came without a change.
const LOOK: Duration = Duration::from_secs(5);

/// The incidents that are to be looked into next, in their order, and those that are left out; all of them count as done.
pub(super) fn picked(
    fresh: &[&Incident],
    waiting: usize,
    customers_done: &BTreeSet<String>,
) -> (Vec<IncidentId>, usize) {
    let storm = fresh.len() + waiting > STORM;
    let mut seen = customers_done.clone();
    let mut picked = Vec::new();
    for incident in fresh {
        let whose =
            incident.subject.customer.as_ref().map_or_else(|| incident.key.clone(), ToString::to_string);
        let first = incident.severity == Severity::Critical && seen.insert(whose);
        if (!storm || first) && waiting + picked.len() < WAITING {
            picked.push(incident.id);
        }
    }
    let left = fresh.len() - picked.len();
    (picked, left)
}

/// Whether an incident is shown and nothing was found out about it yet.
fn is_fresh(incident: &Incident, done: &BTreeSet<IncidentId>, now: Timestamp) -> bool {
    incident.resolved_at.is_none()
        && incident.mute.is_none()
        && incident.findings.is_empty()
        && incident.due_at.is_some_and(|at| at <= now)
        && !done.contains(&incident.id)
}

impl Engine {
    /// Looks into each new incident, until `stop`.
    ///
    /// # Errors
    /// Never by itself; the type is the supervisor's.
    pub async fn watch_incidents(&self, stop: CancellationToken) -> Result<(), String> {
        let Some(pager) = self.current().alerting().map(|a| a.pager.clone()) else {
            stop.cancelled().await;
            return Ok(());
        };
        let mut changes = pager.changes();
        let (mut done, mut queue) = (BTreeSet::new(), VecDeque::new());
        let mut running = FuturesUnordered::new();
        loop {
            if self.current().alerting().is_some_and(|a| a.investigate) {
                self.queue_up(&mut done, &mut queue);
            }
            while running.len() < AT_ONCE
                && let Some(id) = queue.pop_front()
            {
                running.push(self.look_by_itself(id));
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                Some(()) = running.next(), if !running.is_empty() => {}
                changed = changes.changed() => if changed.is_err() { return Ok(()) },
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    fn queue_up(&self, done: &mut BTreeSet<IncidentId>, queue: &mut VecDeque<IncidentId>) {
        let engine = self.current();
        let Some(alerting) = engine.alerting() else { return };
        let now = clock::now();
        let left = alerting.pager.look(|desk| {
            let open = desk.open();
            let ids: BTreeSet<_> = open.iter().map(|i| i.id).collect();
            done.retain(|id| ids.contains(id));
            let fresh: Vec<_> = open.iter().copied().filter(|i| is_fresh(i, done, now)).collect();
            let customers = open
                .iter()
                .filter(|i| done.contains(&i.id))
                .filter_map(|i| i.subject.customer.as_ref().map(ToString::to_string))
                .collect();
            let (picked, left) = picked(&fresh, queue.len(), &customers);
            done.extend(fresh.iter().map(|i| i.id));
            queue.extend(picked);
            left
        });
        if left > 0 {
            tracing::info!(left, "too many incidents at once: some are not looked into by themselves");
            self.0.parts.counters.add("opsbot_investigations_left_total", &[], left as u64);
        }
    }

    /// One investigation: what was found goes to the incident's card, then the model's sentence, if it comes.
    async fn look_by_itself(&self, id: IncidentId) {
        let engine = self.current();
        let Some(alerting) = engine.alerting() else { return };
        let Some((incident, alerts)) = alerting.find(id).filter(|(i, _)| i.resolved_at.is_none()) else {
            return;
        };
        let found = engine.look_into(alerting, (&incident, &alerts), None, Arc::new(|_| {})).await;
        if found.findings.is_empty() && found.chart.is_none() {
            return;
        }
        self.0.parts.counters.add("opsbot_investigations_total", &[], 1);
        if let Err(error) = alerting.pager.act(action(id, &found), None).await {
            return tracing::warn!(%error, incident = id.0, "what was found out could not be kept");
        }
        let Some(said) = engine.cause(&incident, &alerts, &found.findings).await else { return };
        let all = Found { findings: [found.findings, vec![said]].concat(), chart: None };
        if let Err(error) = alerting.pager.act(action(id, &all), None).await {
            tracing::warn!(%error, incident = id.0, "the model's sentence could not be kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::testing::incident;

    #[test]
    fn a_storm_is_looked_into_by_the_critical_first_of_each_customer() {
        let make = |n: i64, customer: &str, severity| {
            let (mut one, _) = incident(n, (Some(customer), None), &[]);
            one.severity = severity;
            one
        };
        let few: Vec<_> = (0..5).map(|n| make(n, "19", Severity::Warning)).collect();
        let refs: Vec<_> = few.iter().collect();
        assert_eq!(picked(&refs, 0, &BTreeSet::new()).0.len(), 5);
        let many: Vec<_> = (0..100)
            .map(|n| {
                make(
                    n,
                    &(n % 10).to_string(),
                    if n % 2 == 0 { Severity::Critical } else { Severity::Warning },
                )
            })
            .collect();
        let refs: Vec<_> = many.iter().collect();
        let (ids, left) = picked(&refs, 0, &BTreeSet::new());
        assert_eq!((ids.iter().map(|i| i.0).collect::<Vec<_>>(), left), (vec![0, 2, 4, 6, 8], 95));
        let (ids, _) = picked(&refs, 0, &["0".to_owned(), "2".to_owned()].into());
        assert_eq!(ids.iter().map(|i| i.0).collect::<Vec<_>>(), [4, 6, 8]);
        assert!(picked(&refs, WAITING, &BTreeSet::new()).0.is_empty());
    }

    #[test]
    fn only_what_is_shown_and_not_known_yet_is_looked_into() {
        let (one, _) = incident(1, (Some("19"), None), &[]);
        let now = one.opened_at;
        let none = BTreeSet::new();
        assert!(is_fresh(&one, &none, now));
        assert!(!is_fresh(&one, &[one.id].into(), now));
        assert!(!is_fresh(&Incident { due_at: None, ..one.clone() }, &none, now));
        assert!(!is_fresh(&Incident { mute: Some(crate::domain::Mute::Quiet), ..one.clone() }, &none, now));
        assert!(!is_fresh(&Incident { resolved_at: Some(now), ..one.clone() }, &none, now));
        let early = now.checked_sub(jiff::SignedDuration::from_secs(1)).unwrap();
        assert!(!is_fresh(&one, &none, early), "within group_wait");
    }
}
