//! The tools that change the desk, each behind a card: `ack_alert` and `silence_alert`. Nothing on a server changes with them.

use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use super::desk::{DeskTools, failed, incident_of, incident_param};
use crate::{
    agent::port::{RunContext, Tool},
    alerts::{
        silencing::{besides, covering, equal, one_of, said, same},
        tell,
    },
    domain::{
        Action, Block, IncidentId, Level, Matcher, Outcome, Param, ParamKind, PlanStep, ResolvedCall, Risk,
        Target, ToolCall, ToolError, ToolOutput, ToolSpec, until,
    },
    policy::Permit,
    tools::scope,
};

/// A longer silence is a mistake.
const LONGEST: SignedDuration = SignedDuration::from_hours(24 * 31);
/// So many of the incidents that a silence mutes are named.
const NAMED: usize = 5;

fn spec(
    name: &'static str,
    summary: &'static str,
    params: Vec<Param>,
    phrases: &'static [&'static str],
) -> ToolSpec {
    ToolSpec {
        name,
        summary,
        phrases,
        params,
        floor: Risk::Confirm,
        default: Risk::Confirm,
        untrusted: false,
        timeout: Duration::from_secs(10),
    }
}

/// `ack_alert(incident)`.
#[derive(Debug)]
pub struct AckAlert {
    spec: ToolSpec,
    desk: DeskTools,
}

impl AckAlert {
    /// The tool.
    pub fn new(desk: DeskTools) -> Self {
        let phrases = &["ack", "acknowledge", "ack the alert", "ack the incident"];
        let params = vec![incident_param(true)];
        Self {
            spec: spec(
                "ack_alert",
                "Take an incident, so that nobody else is paged for it.",
                params,
                phrases,
            ),
            desk,
        }
    }
}

#[async_trait]
impl Tool for AckAlert {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn resolve(&self, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        let (incident, _) = self.desk.find_open(incident_of(&call.args)?)?;
        let text = format!("ack incident {}", incident.id);
        let now = Some(format!("{}, {}", tell::whose(&incident), tell::state(&incident)));
        let plan = vec![PlanStep { text, container: None, now }];
        Ok(ResolvedCall { plan, ..self.desk.about(call.clone(), &incident).await })
    }

    async fn call(&self, permit: Permit, cx: &RunContext) -> Result<ToolOutput, ToolError> {
        let id = incident_of(&permit.call().call.args)?;
        let action = Action::Ack { incident: id, by: cx.person.clone() };
        self.desk.pager.act(action, None).await.map_err(failed)?;
        let until = self.desk.find(id).and_then(|(i, _)| i.ack?.until);
        let until = until
            .map(|at| format!("; it pages again at {} if it still fires", self.desk.times(cx.now).clock(at)));
        Ok(done(format!("Incident {id} is acked by {}{}.", cx.person, until.unwrap_or_default())))
    }
}

/// `silence_alert(customer_id?, service?, what?, incident?, until, comment?)`.
#[derive(Debug)]
pub struct SilenceAlert {
    spec: ToolSpec,
    desk: DeskTools,
}

/// What a silence would be.
struct Wanted {
    matchers: Vec<Matcher>,
    ends_at: Timestamp,
    incident: Option<IncidentId>,
    target: ResolvedCall,
}

impl SilenceAlert {
    /// The tool.
    pub fn new(desk: DeskTools) -> Self {
        let param = |name, required, help| Param { name, kind: ParamKind::Text, required, help };
        let service = Param {
            name: "service",
            kind: ParamKind::Service,
            required: false,
            help: "of that customer; default: all",
        };
        let params = vec![
            incident_param(false),
            scope::customer_param(),
            service,
            param("what", false, "words of the alert's name, as disk; default: all alerts"),
            param("until", true, "as said: 2h, until 08:00, until tomorrow 8"),
            param("comment", false, "why"),
        ];
        let phrases = &[
            "silence the alert",
            "silence alerts",
            "mute the alert",
            "mute alerts",
            "snooze the alert",
            "keep it quiet",
            "no alerts until",
        ];
        Self {
            spec: spec(
                "silence_alert",
                "Keep an incident or a customer's alerts quiet for a time.",
                params,
                phrases,
            ),
            desk,
        }
    }

    async fn wanted(&self, call: &ToolCall, now: Timestamp) -> Result<Wanted, ToolError> {
        let words = call.args.text("until").unwrap_or_default();
        let ends_at =
            until::until(&words, &now.to_zoned(self.desk.zone.clone())).map_err(ToolError::BadArgs)?;
        if ends_at.duration_since(now) > LONGEST {
            let text = format!("a silence lasts {} at most; `{words}` is longer", tell::span(LONGEST));
            return Err(ToolError::BadArgs(text));
        }
        if call.args.0.contains_key("incident") {
            let (incident, alerts) = self.desk.find_open(incident_of(&call.args)?)?;
            let matchers = covering(&incident, &alerts.iter().collect::<Vec<_>>());
            let target = self.desk.about(call.clone(), &incident).await;
            return Ok(Wanted { matchers, ends_at, incident: Some(incident.id), target });
        }
        let Some(given) = call.args.text("customer_id") else {
            return Err(ToolError::BadArgs("say which incident, or whose alerts, is to be silenced".into()));
        };
        let inventory = self.desk.source.snapshot().await;
        let customer = inventory.find_customer(&given)?;
        let service =
            call.args.text("service").map(|s| inventory.find_service(&customer.id, &s)).transpose()?;
        let mut matchers = vec![equal("customer", customer.id.as_str())];
        matchers.extend(service.as_ref().map(|s| equal("service", s.as_str())));
        matchers.extend(call.args.text("what").map(|what| self.named(&what, &matchers)));
        let mut call = call.clone();
        call.args.0.insert("customer_id".into(), customer.id.as_str().into());
        let (id, labels) = (Some(customer.id), customer.labels);
        let target = Target { customer: id, service, labels, ..Target::default() };
        let target = ResolvedCall { call, target, plan: vec![], steps: vec![] };
        Ok(Wanted { matchers, ends_at, incident: None, target })
    }

    /// The alerts that the words mean: those that fire and are called so, else whatever will be called so.
    fn named(&self, what: &str, of: &[Matcher]) -> Matcher {
        let words: Vec<String> = what.split_whitespace().map(str::to_lowercase).collect();
        let firing: BTreeSet<String> = self.desk.pager.look(|desk| {
            let ids = desk.would_mute(of);
            let alerts = ids.into_iter().flat_map(|id| desk.alerts_of(id));
            let names = alerts.filter_map(|a| a.signal.labels.get("alertname").cloned());
            let fits =
                |name: &String| words.iter().all(|w| name.to_lowercase().contains(w.trim_end_matches('s')));
            names.filter(fits).collect()
        });
        let any = || {
            let parts: Vec<_> = words.iter().map(|w| regex::escape(w)).collect();
            let value = format!("(?i).*{}.*", parts.join(".*"));
            Matcher { name: "alertname".into(), value, is_regex: true, is_equal: true }
        };
        one_of("alertname", &firing).unwrap_or_else(any)
    }

    /// What these conditions mute now, in words.
    fn mutes(&self, matchers: &[Matcher], now: Timestamp) -> String {
        let times = self.desk.times(now);
        self.desk.pager.look(|desk| {
            let ids = besides(desk, matchers, None);
            let named = ids.iter().take(NAMED).filter_map(|id| {
                let incident = desk.incident(*id)?;
                Some(format!("{id} {} ({})", tell::whose(incident), times.clock(incident.opened_at)))
            });
            let named = named.collect::<Vec<_>>().join("; ");
            match ids.len() {
                0 => "mutes nothing that is open now".to_owned(),
                n if n > NAMED => format!("mutes {n} now: {named}; and {} more", n - NAMED),
                n => format!("mutes {n} now: {named}"),
            }
        })
    }
}

#[async_trait]
impl Tool for SilenceAlert {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn resolve(&self, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        let now = crate::runtime::clock::now();
        let wanted = self.wanted(call, now).await?;
        let words = call.args.text("until").unwrap_or_default();
        let words = tell::line(words.trim_start_matches("for ").trim_start_matches("until "));
        // A span begins with the decision: the words bind, the time of day is what they come to now.
        let text = format!("silence {} until: {words}", tell::line(&said(&wanted.matchers)));
        let ends = self.desk.times(now).clock(wanted.ends_at);
        let now = Some(format!("until {ends}; {}", self.mutes(&wanted.matchers, now)));
        Ok(ResolvedCall { plan: vec![PlanStep { text, container: None, now }], ..wanted.target })
    }

    async fn call(&self, permit: Permit, cx: &RunContext) -> Result<ToolOutput, ToolError> {
        let call = &permit.call().call;
        let wanted = self.wanted(call, cx.now).await?;
        let held = self
            .desk
            .pager
            .look(|desk| same(&desk.silences(), &wanted.matchers).map(|s| (s.id, s.starts_at)));
        let comment = call.args.text("comment").map(|c| tell::line(&c));
        let action = Action::Silence {
            matchers: wanted.matchers.clone(),
            starts_at: held.map_or(cx.now, |(_, at)| at),
            ends_at: wanted.ends_at,
            by: cx.person.to_string(),
            comment: comment
                .unwrap_or_else(|| wanted.incident.map_or_else(String::new, |id| format!("incident {id}"))),
            id: held.map(|(id, _)| id),
        };
        let mutes = self.mutes(&wanted.matchers, cx.now);
        let changes = self.desk.pager.act(action, None).await.map_err(failed)?;
        let id = changes.silences.last().map(|s| format!(" {}", s.id)).unwrap_or_default();
        let ends = self.desk.times(cx.now).clock(wanted.ends_at);
        let covers = tell::line(&said(&wanted.matchers));
        Ok(done(format!("Silence{id} holds until {ends}: {covers}; it {mutes}.")))
    }
}

fn done(summary: String) -> ToolOutput {
    let blocks = vec![Block::notice(Level::Info, summary.clone())];
    ToolOutput { outcome: Outcome::Ok, text: summary.clone(), summary, blocks }
}
