//! What people do: take an incident, keep alerts quiet, end a silence; and what was found out is put down.

use jiff::{Timestamp, tz::TimeZone};

use super::{
    Desk, Kept, Refusal,
    settle::{later, span},
    timers::Timer,
    work::Work,
};
use crate::{
    alerts::{
        Changes,
        matching::{Conditions, check},
    },
    domain::{
        Ack, Action, Chart, EventKind, Finding, IncidentId, IncidentState, Labels, Matcher, PersonName,
        Severity, Silence, SilenceId, Subject,
    },
};

/// The most silences that may hold at once.
const SILENCES: usize = 1_000;
/// The longest comment, in bytes.
const COMMENT: usize = 1_000;

impl Desk {
    /// Does what a person wants.
    ///
    /// # Errors
    /// [`Refusal`]: there is no such incident or silence, it is over already, a silence without conditions or in the past.
    pub fn act(&mut self, action: Action, now: Timestamp) -> Result<Changes, Refusal> {
        let mut work = Work::new(now);
        self.wake(&mut work);
        match action {
            Action::Ack { incident, by } => self.ack(incident, by, &mut work)?,
            Action::Silence { matchers, starts_at, ends_at, by, comment, id } => {
                let silence = Silence { id: SilenceId(0), matchers, starts_at, ends_at, by, comment };
                self.silence(silence, id, &mut work)?;
            }
            Action::Unsilence { silence, by } => self.unsilence(silence, &by, &mut work)?,
            Action::Found { incident, findings, chart } => {
                self.found(incident, findings, chart, &mut work)?
            }
        }
        self.pass_time(&mut work);
        Ok(self.finish(work))
    }

    fn ack(&mut self, id: IncidentId, by: PersonName, work: &mut Work) -> Result<(), Refusal> {
        let (zone, lifetime) = (self.settings.zone.clone(), span(self.settings.ack_lifetime));
        let Some(open) = self.incidents.get_mut(&id) else { return Err(unknown(id)) };
        let incident = &mut open.incident;
        if incident.state == IncidentState::Resolved {
            return Err(Refusal(format!(
                "incident {id} is over since {}",
                clock(incident.changed_at, &zone)
            )));
        }
        if let Some(ack) = &incident.ack {
            return Err(Refusal(format!("{} has taken incident {id} at {}", ack.by, clock(ack.at, &zone))));
        }
        let until = (incident.severity == Severity::Critical).then(|| later(work.now, lifetime));
        if incident.state == IncidentState::Firing {
            incident.state = IncidentState::Acked;
        }
        work.event(id, EventKind::Acked, format!("{by} has taken it"));
        incident.ack = Some(Ack { by, at: work.now, until });
        if let Some(until) = until {
            self.timers.set(until, Timer::Lapses(id));
        }
        self.touch(id, work);
        Ok(())
    }

    fn silence(&mut self, silence: Silence, id: Option<SilenceId>, work: &mut Work) -> Result<(), Refusal> {
        if silence.matchers.is_empty() {
            return Err(Refusal("a silence needs at least one condition, such as customer=\"7\"".into()));
        }
        silence.matchers.iter().try_for_each(check).map_err(Refusal)?;
        let none = (Labels::new(), Subject::default());
        // As in Alertmanager: what an alert without any labels meets would keep everything quiet.
        if Conditions::new(&silence.matchers).hold(&none.0, &none.1) {
            return Err(Refusal(
                "a silence must not match everything: name a customer, a service or an alert".into(),
            ));
        }
        if silence.ends_at <= work.now || silence.ends_at <= silence.starts_at {
            return Err(Refusal("a silence must end after it begins, and not in the past".into()));
        }
        if let Some(id) = id
            && !self.silences.contains_key(&id)
        {
            return Err(Refusal(format!(
                "there is no silence {id} that could be changed; /silences lists them"
            )));
        }
        if id.is_none() && self.silences.len() >= SILENCES {
            return Err(Refusal(format!("{SILENCES} silences hold already; end some of them first")));
        }
        let id = id.unwrap_or_else(|| {
            self.last_silence += 1;
            SilenceId(self.last_silence)
        });
        let comment = silence
            .comment
            .get(..silence.comment.floor_char_boundary(COMMENT))
            .unwrap_or_default()
            .to_owned();
        let silence = Silence { id, comment, ..silence };
        self.timers.set(silence.starts_at, Timer::Silence(id));
        self.timers.set(silence.ends_at, Timer::Silence(id));
        let conditions = Conditions::new(&silence.matchers);
        self.silences.insert(id, Kept { silence, conditions });
        work.silence(id);
        self.judge_all(work);
        Ok(())
    }

    fn unsilence(&mut self, id: SilenceId, by: &str, work: &mut Work) -> Result<(), Refusal> {
        let Some(kept) = self.silences.get_mut(&id) else {
            return Err(Refusal(format!("there is no silence {id} that holds; /silences lists them")));
        };
        kept.silence.ends_at = work.now;
        kept.silence.starts_at = kept.silence.starts_at.min(work.now);
        let of_it = |mute: &Option<crate::domain::Mute>| matches!(mute, Some(crate::domain::Mute::Silenced { silence }) if *silence == id);
        let muted: Vec<_> =
            self.incidents.values().filter(|o| of_it(&o.incident.mute)).map(|o| o.incident.id).collect();
        for incident in muted {
            work.event(incident, EventKind::Silenced, format!("{by} ended silence {id}"));
        }
        work.silence(id);
        // It leaves the desk with its timer, which comes at once; until then its row can be read.
        self.timers.set(work.now, Timer::Silence(id));
        self.judge_all(work);
        Ok(())
    }

    fn found(
        &mut self,
        id: IncidentId,
        findings: Vec<Finding>,
        chart: Option<Chart>,
        work: &mut Work,
    ) -> Result<(), Refusal> {
        let Some(open) = self.incidents.get_mut(&id) else { return Err(unknown(id)) };
        if let Some(worst) = findings.first() {
            work.event(id, EventKind::Found, worst.summary.clone());
            open.incident.findings = findings;
        } else if chart.is_none() {
            return Ok(());
        }
        if chart.is_some() {
            open.chart = chart.map(Box::new);
        }
        self.touch(id, work);
        Ok(())
    }

    /// The open incidents that these conditions would keep quiet: all that fires of them would match.
    pub fn would_mute(&self, matchers: &[Matcher]) -> Vec<IncidentId> {
        let conditions = Conditions::new(matchers);
        let muted = self.incidents.values().filter(|open| open.fires() > 0).filter(|open| {
            let alerts =
                open.alerts.iter().filter_map(|f| self.alerts.get(f)).filter(|k| k.alert.signal.firing);
            alerts.into_iter().all(|k| conditions.hold(&k.alert.signal.labels, &open.incident.subject))
        });
        muted.map(|open| open.incident.id).collect()
    }
}

fn unknown(id: IncidentId) -> Refusal {
    Refusal(format!("there is no open incident {id}; /alerts lists them"))
}

fn clock(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%H:%M").to_string()
}
