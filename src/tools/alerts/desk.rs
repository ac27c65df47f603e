//! What the tools over the desk share: the desk itself, times as people read them, whose an incident is.

use std::sync::Arc;

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    alerts::{oncall::Rung, tell::Times},
    domain::{
        Alert, Args, Incident, IncidentId, Param, ParamKind, ResolvedCall, Target, ToolCall, ToolError,
    },
    inventory::InventorySource,
    pager::{Pager, PagerError},
};

/// The desk, for the tools.
#[derive(Clone, Debug)]
pub struct DeskTools {
    /// The desk at work.
    pub pager: Pager,
    /// The zone of the times that people say and read.
    pub zone: TimeZone,
    /// Who is paged.
    pub ladder: Arc<Vec<Rung>>,
    /// Who there is.
    pub source: InventorySource,
}

impl DeskTools {
    pub(super) fn times(&self, now: Timestamp) -> Times {
        Times { now, zone: self.zone.clone() }
    }

    /// An incident of the desk with its alerts.
    pub(super) fn find(&self, id: IncidentId) -> Option<(Incident, Vec<Alert>)> {
        self.pager.look(|desk| {
            let incident = desk.incident(id)?.clone();
            Some((incident, desk.alerts_of(id).into_iter().cloned().collect()))
        })
    }

    /// An incident that is open.
    pub(super) fn find_open(&self, id: IncidentId) -> Result<(Incident, Vec<Alert>), ToolError> {
        let found = self.find(id).filter(|(incident, _)| incident.resolved_at.is_none());
        found.ok_or_else(|| self.unknown(id))
    }

    /// That there is no such incident, and which are open.
    pub(super) fn unknown(&self, id: IncidentId) -> ToolError {
        let known = self.pager.look(|desk| desk.open().iter().map(|i| i.id.to_string()).collect());
        ToolError::UnknownId { what: "open incident", given: id.to_string(), known }
    }

    /// The call with the customer and service of its incident as its target; the labels are the inventory's.
    pub(super) async fn about(&self, call: ToolCall, incident: &Incident) -> ResolvedCall {
        let customer = incident.subject.customer.clone();
        let known = match &customer {
            Some(id) => self.source.snapshot().await.find_customer(id.as_str()).ok(),
            None => None,
        };
        let labels = known.map(|c| c.labels).unwrap_or_default();
        let service = incident.subject.service.clone();
        let target = Target { customer, service, labels, ..Target::default() };
        ResolvedCall { call, target, plan: vec![], steps: vec![] }
    }
}

/// The parameter that names an incident.
pub(super) fn incident_param(required: bool) -> Param {
    let kind = ParamKind::Integer { min: 1, max: 999_999_999_999 };
    Param { name: "incident", kind, required, help: "the incident's number" }
}

/// The incident that a call names.
pub(super) fn incident_of(args: &Args) -> Result<IncidentId, ToolError> {
    let id = args.integer("incident").map(IncidentId);
    id.ok_or_else(|| {
        ToolError::BadArgs("name the incident by its number; list_active_alerts lists them".into())
    })
}

/// Why the pager did not do it.
pub(super) fn failed(error: PagerError) -> ToolError {
    match error {
        PagerError::Refused(text) => ToolError::BadArgs(text),
        PagerError::NotStored(_) | PagerError::Busy | PagerError::Stopping => {
            ToolError::Failed(error.to_string())
        }
    }
}
