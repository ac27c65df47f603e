//! What people do to incidents and silences, and what investigations add.

use std::cmp::Reverse;

use jiff::Timestamp;

use super::{Desk, Refusal, timers::after, work::Work};
use crate::{
    alerts::matching,
    domain::{
        Ack, Action, Chart, EventKind, Finding, IncidentEvent, IncidentId, IncidentState, Matcher,
        PersonName, Severity, Silence, SilenceId,
    },
};

/// So many silences at most.
const MOST_SILENCES: usize = 1000;
/// So many conditions of one.
const MOST_MATCHERS: usize = 50;
/// A condition's name and value together are at most so long.
const MATCHER: usize = 2000;
/// So many findings of one incident.
const MOST_FINDINGS: usize = 30;

impl Desk {
    /// Whether an action makes sense.
    pub(super) fn may(&self, action: &Action, now: Timestamp) -> Result<(), Refusal> {
        match action {
            Action::Ack { incident, .. } | Action::Found { incident, .. } => {
                let found = self.cases.get(incident);
                let case = found.ok_or_else(|| {
                    Refusal(format!("there is no open incident {incident}; /alerts lists those that are"))
                })?;
                if matches!(action, Action::Ack { .. }) && !case.is_open() {
                    return Err(Refusal(format!(
                        "incident {incident} is over already; nothing has to be done"
                    )));
                }
                Ok(())
            }
            Action::Silence { matchers, starts_at, ends_at, id, .. } => {
                self.may_silence(matchers, (*starts_at, *ends_at), *id, now)
            }
            Action::Unsilence { silence, .. } => self.has_silence(*silence),
        }
    }

    fn has_silence(&self, id: SilenceId) -> Result<(), Refusal> {
        if self.hushes.contains_key(&id) {
            return Ok(());
        }
        Err(Refusal(format!("there is no silence {id}, or it has ended; /silences lists those that hold")))
    }

    fn may_silence(
        &self,
        matchers: &[Matcher],
        (starts_at, ends_at): (Timestamp, Timestamp),
        id: Option<SilenceId>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let refuse = |why: String| Err(Refusal(why));
        if ends_at <= now || ends_at <= starts_at {
            return refuse("the silence would be over before it begins; give an end in the future".into());
        }
        if matchers.len() > MOST_MATCHERS {
            return refuse(format!("a silence has at most {MOST_MATCHERS} conditions; make it wider"));
        }
        if matchers.iter().any(|m| m.name.len() + m.value.len() > MATCHER) {
            return refuse(format!("a condition is longer than {MATCHER} characters; make it shorter"));
        }
        if let Some(error) = matchers.iter().find_map(|m| matching::check(m).err()) {
            return refuse(error);
        }
        // As in Alertmanager: what is true of alerts without any label would keep everything quiet.
        if matching::Conditions::new(matchers).hold(&Default::default(), &Default::default()) {
            return refuse("the silence would keep everything quiet; name at least one label's value".into());
        }
        match id {
            Some(id) => self.has_silence(id),
            None if self.hushes.len() >= MOST_SILENCES => {
                refuse(format!("there are {MOST_SILENCES} silences already; end one with /unsilence first"))
            }
            None => Ok(()),
        }
    }

    /// Does what was allowed.
    pub(super) fn carry_out(&mut self, action: Action, now: Timestamp, work: &mut Work) {
        match action {
            Action::Ack { incident, by } => self.ack(incident, by, now, work),
            Action::Found { incident, findings, chart } => self.found(incident, findings, chart, now, work),
            Action::Silence { matchers, starts_at, ends_at, by, comment, id } => {
                let id = id.unwrap_or_else(|| {
                    self.last_silence += 1;
                    SilenceId(self.last_silence)
                });
                let silence = Silence { id, matchers, starts_at, ends_at, by, comment };
                if self.hushes.get(&id).is_none_or(|hush| hush.silence != silence) {
                    self.put_silence(silence, now, work);
                }
            }
            Action::Unsilence { silence, .. } => {
                if let Some(mut silence) = self.lift_silence(silence, work) {
                    silence.ends_at = now;
                    silence.starts_at = silence.starts_at.min(now);
                    work.silences.push(silence);
                }
            }
        }
    }

    fn ack(&mut self, id: IncidentId, by: PersonName, now: Timestamp, work: &mut Work) {
        let Some(case) = self.cases.get_mut(&id).filter(|case| case.is_open()) else { return };
        let incident = &mut case.incident;
        let critical = incident.severity == Severity::Critical;
        let until = critical.then(|| after(now, self.settings.ack_lifetime));
        let text = format!("{by} took it");
        incident.ack = Some(Ack { by, at: now, until });
        if incident.state == IncidentState::Firing {
            (incident.state, incident.changed_at) = (IncidentState::Acked, now);
        }
        work.events.push(IncidentEvent { incident: id, at: now, kind: EventKind::Acked, text });
        work.touch(id).changed = true;
    }

    fn found(
        &mut self,
        id: IncidentId,
        mut findings: Vec<Finding>,
        chart: Option<Chart>,
        now: Timestamp,
        work: &mut Work,
    ) {
        let Some(case) = self.cases.get_mut(&id) else { return };
        findings.sort_by_key(|finding| Reverse(finding.severity));
        findings.truncate(MOST_FINDINGS);
        let news = !findings.is_empty() && findings != case.incident.findings;
        let drawn = chart.is_some() && chart.as_ref() != case.chart.as_deref();
        if drawn {
            case.chart = chart.map(Box::new);
        }
        if news {
            let text = match findings.len() {
                1 => "1 finding".to_owned(),
                many => format!("{many} findings"),
            };
            case.incident.findings = findings;
            work.events.push(IncidentEvent { incident: id, at: now, kind: EventKind::Found, text });
        }
        if news || drawn {
            work.touch(id).changed = true;
        }
    }
}
