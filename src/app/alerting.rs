//! What people and tools see of alerting, as the configuration wants it: the ladder, the digest, charts, silences elsewhere.

use std::sync::Arc;

use super::Failure;
use crate::{
    alertmanager::Alertmanager,
    alerts::oncall::Rung,
    config::{AlertsConfig, Config},
    domain::{ChannelKind, ConversationKey, PersonName, Role, Severity},
    engine::{Alerting, DigestPlan, alerts::Draw},
    inventory::InventorySource,
    pager::Pager,
    prometheus::Prometheus,
    tools::alerts::{DeskTools, chart},
};

/// Alerting for the engine.
pub(super) fn alerting(
    config: &Config,
    alerts: &AlertsConfig,
    (pager, silences): (&Pager, Option<&Alertmanager>),
    prometheus: Option<Prometheus>,
) -> Alerting {
    let draw = prometheus.filter(|_| alerts.chart).map(|prometheus| {
        let draw: Draw = Arc::new(move |alert, now| {
            let prometheus = prometheus.clone();
            Box::pin(async move { chart::draw(&prometheus, &alert, now).await })
        });
        draw
    });
    let digest = alerts.digest_at.map(|at| DigestPlan { at, to: digest_places(config, alerts) });
    let through = silences.cloned().map(|silences| {
        let trouble: crate::engine::alerts::Trouble = Arc::new(move || silences.trouble());
        trouble
    });
    Alerting {
        pager: pager.clone(),
        zone: alerts.timezone.clone(),
        ladder: Arc::new(rungs(config, alerts)),
        draw,
        investigate: alerts.investigate,
        digest,
        through,
    }
}

/// Alerting for the tools.
pub(super) fn desk_tools(
    config: &Config,
    alerts: &AlertsConfig,
    pager: &Pager,
    source: &InventorySource,
) -> DeskTools {
    DeskTools {
        pager: pager.clone(),
        zone: alerts.timezone.clone(),
        ladder: Arc::new(rungs(config, alerts)),
        source: source.clone(),
    }
}

/// The Alertmanager that silences are written through to, where there is one.
pub(super) fn silences(alerts: &AlertsConfig) -> Result<Option<Alertmanager>, Failure> {
    let made = alerts.write_silences.as_deref().map(Alertmanager::new).transpose();
    made.map_err(|e| Failure::config(format!("alerts.write_silences: {e}")))
}

/// The ladder in people's words; without one, the admins are paged at once.
fn rungs(config: &Config, alerts: &AlertsConfig) -> Vec<Rung> {
    if alerts.steps.is_empty() {
        let admins = config.people.iter().filter(|p| p.role == Role::Admin && p.telegram_id.is_some());
        return vec![Rung {
            after: std::time::Duration::ZERO,
            people: admins.map(|p| p.name.to_string()).collect(),
            places: vec![],
            at_least: Severity::Info,
            during: None,
        }];
    }
    let rung = |step: &crate::config::StepConfig| Rung {
        after: step.after,
        people: step.people.iter().map(ToString::to_string).collect(),
        places: step.places.clone(),
        at_least: step.at_least,
        during: step.during.clone().map(|window| (window.to_string(), window)),
    };
    alerts.steps.iter().map(rung).collect()
}

/// The chats of those who are paged at once.
fn digest_places(config: &Config, alerts: &AlertsConfig) -> Vec<ConversationKey> {
    let bot = PersonName::new("opsbot");
    let private = |id: i64| ConversationKey::in_chat(ChannelKind::Telegram, id, None, &bot);
    if alerts.steps.is_empty() {
        let admins = config.people.iter().filter(|p| p.role == Role::Admin);
        return admins.filter_map(|p| p.telegram_id.map(private)).collect();
    }
    let mut all = Vec::new();
    for step in alerts.steps.iter().filter(|s| s.after.is_zero()) {
        let people = config.people.iter().filter(|p| step.people.contains(&p.name));
        all.extend(people.filter_map(|p| p.telegram_id.map(private)));
        all.extend(step.places.iter().map(|place| ConversationKey::new(format!("{place}:{bot}"))));
    }
    all.sort();
    all.dedup();
    all
}
