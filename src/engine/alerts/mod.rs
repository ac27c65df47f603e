//! Alerts as people steer them: taking and silencing incidents, looking at them, who is paged, the digest. None of it needs
//! a model or waits for a turn.

mod about;
pub mod command;
mod digest;
mod investigate;
mod silence;

use std::{fmt, sync::Arc};

use futures::future::BoxFuture;
use jiff::{Timestamp, tz::TimeZone};

pub use about::About;
pub use command::AlertWish;
pub use digest::DigestPlan;

use super::{Engine, Sink};
use crate::{
    alerts::{
        oncall::{self, Rung},
        tell::{self, Times},
    },
    domain::{
        Action, Actor, Alert, Block, Chart, Inbound, Incident, IncidentId, IncidentState, Level, Role,
        TurnStatus,
    },
    pager::{Pager, PagerError},
    runtime::clock,
    store::StoreError,
};

/// Draws an alert's expression over the time before this moment; none where there is nothing to draw.
pub type Draw = Arc<dyn Fn(Alert, Timestamp) -> BoxFuture<'static, Option<Chart>> + Send + Sync>;

/// What the other place that silences are written to last refused, in a sentence.
pub type Trouble = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// Alerting, as the engine reaches it.
#[derive(Clone)]
pub struct Alerting {
    /// The desk at work.
    pub pager: Pager,
    /// The zone of the times that people say and read.
    pub zone: TimeZone,
    /// Who is paged.
    pub ladder: Arc<Vec<Rung>>,
    /// Draws the charts of incidents, where there is a Prometheus.
    pub draw: Option<Draw>,
    /// Looks into each new incident by itself.
    pub investigate: bool,
    /// The daily digest, where there is one.
    pub digest: Option<DigestPlan>,
    /// Tells what is wrong with writing silences through, where that is set up.
    pub through: Option<Trouble>,
}

impl fmt::Debug for Alerting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alerting").field("ladder", &self.ladder).finish_non_exhaustive()
    }
}

impl Alerting {
    /// Times as people here read them.
    pub fn times(&self) -> Times {
        Times { now: clock::now(), zone: self.zone.clone() }
    }

    /// An incident of the desk with its alerts.
    pub fn find(&self, id: IncidentId) -> Option<(Incident, Vec<Alert>)> {
        self.pager.look(|desk| {
            let incident = desk.incident(id)?.clone();
            Some((incident, desk.alerts_of(id).into_iter().cloned().collect()))
        })
    }
}

const NOT_SET_UP: &str = "No alerts are set up: add an [alerts] section to config.toml (docs/alerts.md).";

impl Engine {
    /// Alerting, when it is set up in this value's generation.
    pub fn alerting(&self) -> Option<&Alerting> {
        self.0.parts.alerting.as_ref()
    }

    /// Does what a command about alerts asks for.
    pub(super) async fn steer_alerts(
        &self,
        wish: AlertWish,
        inbound: &Inbound,
        sink: &Sink,
    ) -> Result<TurnStatus, StoreError> {
        let Some(alerting) = self.alerting() else {
            sink.notice(Level::Warning, NOT_SET_UP).await;
            return Ok(TurnStatus::Failed);
        };
        let actor = &inbound.actor;
        let changes = matches!(wish, AlertWish::Ack(_) | AlertWish::Silence(_) | AlertWish::Unsilence(_));
        if changes && actor.role < Role::Operator {
            let text =
                "Refused: viewers may look at alerts, not ack or silence them; ask an operator or an admin.";
            sink.notice(Level::Error, text).await;
            return Ok(TurnStatus::Refused);
        }
        Ok(match wish {
            AlertWish::Ack(id) => self.ack(alerting, id, actor, sink).await,
            AlertWish::Silence(wish) => self.silence(alerting, wish, actor, sink).await,
            AlertWish::Unsilence(id) => self.unsilence(alerting, id, actor, sink).await,
            AlertWish::Silences => show_silences(alerting, sink).await,
            AlertWish::Incident(id) => show_incident(alerting, id, sink).await?,
            AlertWish::Investigate(id) => self.investigate_now(alerting, id, actor, sink).await,
            AlertWish::Digest => self.show_digest(alerting, sink).await?,
            AlertWish::OnCall => {
                let now = clock::now();
                sink.block(Block::text(oncall::sentence(&alerting.ladder, now))).await;
                if !alerting.ladder.is_empty() {
                    sink.block(oncall::table(&alerting.ladder, now)).await;
                }
                TurnStatus::Answered
            }
        })
    }

    /// Takes an incident. A frozen bot does so too: nothing on a server changes, and the page has to stop.
    async fn ack(&self, alerting: &Alerting, id: IncidentId, actor: &Actor, sink: &Sink) -> TurnStatus {
        let times = alerting.times();
        let Some((incident, _)) = alerting.find(id) else { return no_such(alerting, id, sink).await };
        if let (IncidentState::Acked, Some(ack)) = (incident.state, &incident.ack) {
            let until =
                ack.until.map(|at| format!("; it pages again at {}", times.clock(at))).unwrap_or_default();
            let text =
                format!("Incident {id} was acked by {} at {} already{until}.", ack.by, times.clock(ack.at));
            sink.notice(Level::Info, text).await;
            return TurnStatus::Answered;
        }
        if let Some(at) = incident.resolved_at {
            let text = format!("Incident {id} is over since {}: there is nothing to ack.", times.clock(at));
            sink.notice(Level::Info, text).await;
            return TurnStatus::Answered;
        }
        let action = Action::Ack { incident: id, by: actor.person.clone() };
        if let Err(error) = alerting.pager.act(action, Some(actor)).await {
            return told(&error, sink).await;
        }
        let text = match alerting.find(id) {
            Some((incident, alerts)) => {
                let alerts: Vec<_> = alerts.iter().collect();
                let until = incident.ack.as_ref().and_then(|a| a.until);
                let until = until
                    .map(|at| format!(" It pages again at {} if it still fires.", times.clock(at)))
                    .unwrap_or_default();
                format!("Acked: {}.{until}", tell::summary(&incident, &alerts, &times))
            }
            None => format!("Acked: incident {id}."),
        };
        sink.notice(Level::Info, text).await;
        TurnStatus::Answered
    }
}

async fn show_silences(alerting: &Alerting, sink: &Sink) -> TurnStatus {
    let times = alerting.times();
    let table = alerting.pager.look(|desk| {
        let all = desk.silences();
        (!all.is_empty()).then(|| tell::silences(&all, &times))
    });
    match table {
        Some(table) => sink.block(table).await,
        None => sink.notice(Level::Info, "Nothing is silenced.").await,
    }
    if let Some(trouble) = alerting.through.as_ref().and_then(|t| t()) {
        sink.notice(Level::Warning, trouble).await;
    }
    TurnStatus::Answered
}

async fn show_incident(alerting: &Alerting, id: IncidentId, sink: &Sink) -> Result<TurnStatus, StoreError> {
    let found = alerting.find(id);
    let (incident, events) = match (alerting.pager.story(id).await?, &found) {
        (Some(story), _) => story,
        (None, Some((incident, _))) => (incident.clone(), vec![]),
        (None, None) => return Ok(no_such(alerting, id, sink).await),
    };
    let alerts = found.map(|(_, alerts)| alerts).unwrap_or_default();
    for block in tell::whole(&incident, &alerts.iter().collect::<Vec<_>>(), &events, &alerting.times()) {
        sink.block(block).await;
    }
    if let Some(chart) = alerting.pager.look(|desk| desk.chart_of(id).cloned()) {
        sink.block(Block::Chart(chart)).await;
    }
    if incident.resolved_at.is_none() {
        let button = |label: &str, command: &str| (label.to_owned(), format!("/{command} {id}"));
        let mut buttons = vec![button("Silence…", "silence"), button("Investigate", "investigate")];
        if incident.state == IncidentState::Firing {
            buttons.insert(0, button("Ack", "ack"));
        }
        sink.block(Block::Buttons { title: format!("Incident {id}"), buttons }).await;
    }
    Ok(TurnStatus::Answered)
}

/// Says that there is no such open incident, and which there are.
async fn no_such(alerting: &Alerting, id: IncidentId, sink: &Sink) -> TurnStatus {
    let over = matches!(alerting.pager.story(id).await, Ok(Some(_)));
    let text = if over {
        format!("Incident {id} is over; /incident {id} tells what happened.")
    } else {
        format!("There is no incident {id}; /alerts lists those that are open.")
    };
    sink.notice(Level::Warning, text).await;
    if over { TurnStatus::Answered } else { TurnStatus::Failed }
}

/// Says why something was not done.
async fn told(error: &PagerError, sink: &Sink) -> TurnStatus {
    match error {
        PagerError::Refused(text) => sink.notice(Level::Warning, text.clone()).await,
        PagerError::NotStored(error) => {
            tracing::error!(%error, "what a person did to an alert could not be kept");
            let text = format!(
                "The store failed ({error}): that would be lost with a restart. Try again once it works."
            );
            sink.notice(Level::Error, text).await;
        }
        PagerError::Busy => {
            sink.notice(Level::Warning, "Too many alerts are coming in just now; do it again in a moment.")
                .await;
        }
        PagerError::Stopping => {
            sink.notice(Level::Warning, "OpsBot is stopping; do it again once it is back.").await;
        }
    }
    TurnStatus::Failed
}
