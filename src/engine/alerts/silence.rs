//! Silences, step by step: what one would cover, for how long, and what else it mutes.

use jiff::{SignedDuration, Timestamp};

use super::{Alerting, command::SilenceWish, no_such, told};
use crate::{
    alerts::{
        parse_matcher,
        silencing::{besides, covering, said, same},
        tell,
    },
    domain::{Action, Actor, Block, IncidentId, Level, Matcher, SilenceId, TurnStatus, until},
    engine::{Engine, Sink},
};

/// A longer silence is a mistake; what is to be quiet for ever is an alert to remove.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(24 * 31);
/// So many of the others that a silence mutes are named.
const NAMED: usize = 5;

impl Engine {
    pub(super) async fn silence(
        &self,
        alerting: &Alerting,
        wish: SilenceWish,
        actor: &Actor,
        sink: &Sink,
    ) -> TurnStatus {
        let (incident, matchers, time) = match wish {
            SilenceWish::Ask(id) => return ask(alerting, id, sink).await,
            SilenceWish::Incident(id, time) => match covered(alerting, id) {
                Some(matchers) => (Some(id), matchers, time),
                None => return no_such(alerting, id, sink).await,
            },
            SilenceWish::Matchers(texts, time) => {
                let read: Result<Vec<_>, _> = texts.iter().map(|text| parse_matcher(text)).collect();
                match read {
                    Ok(matchers) => (None, matchers, time),
                    Err(why) => {
                        sink.notice(Level::Warning, why).await;
                        return TurnStatus::Failed;
                    }
                }
            }
        };
        let ends_at = match ends_at(alerting, &time) {
            Ok(at) => at,
            Err(why) => {
                sink.notice(Level::Warning, why).await;
                return TurnStatus::Failed;
            }
        };
        make(alerting, (incident, matchers), ends_at, actor, sink).await
    }

    pub(super) async fn unsilence(
        &self,
        alerting: &Alerting,
        id: SilenceId,
        actor: &Actor,
        sink: &Sink,
    ) -> TurnStatus {
        let known = alerting.pager.look(|desk| {
            let all = desk.silences();
            all.into_iter().find(|s| s.id == id).map(|s| said(&s.matchers))
        });
        let Some(covers) = known else {
            let text = format!("There is no silence {id}, or it has ended; /silences lists those that hold.");
            sink.notice(Level::Info, text).await;
            return TurnStatus::Answered;
        };
        let action = Action::Unsilence { silence: id, by: actor.person.to_string() };
        match alerting.pager.act(action, Some(actor)).await {
            Ok(_) => {
                let text = format!(
                    "Silence {id} ({}) is ended: what still fires of it pages again.",
                    tell::line(&covers)
                );
                sink.notice(Level::Info, text).await;
                TurnStatus::Answered
            }
            Err(error) => told(&error, sink).await,
        }
    }
}

/// Until when the words say, within what a silence may last.
pub fn ends_at(alerting: &Alerting, words: &str) -> Result<Timestamp, String> {
    let now = alerting.times().now;
    let at = until::until(words, &now.to_zoned(alerting.zone.clone())).map_err(|_| {
        format!("`{words}` is no time that I understand; write 30m, 2h, until 08:00 or until tomorrow 8")
    })?;
    if at.duration_since(now) > LONGEST {
        return Err(format!("a silence lasts {} at most; `{words}` is longer", tell::span(LONGEST)));
    }
    Ok(at)
}

fn covered(alerting: &Alerting, id: IncidentId) -> Option<Vec<Matcher>> {
    alerting.pager.look(|desk| {
        let incident = desk.incident(id).filter(|i| i.resolved_at.is_none())?;
        Some(covering(incident, &desk.alerts_of(id)))
    })
}

/// What else these conditions mute right now, in a sentence.
fn others(alerting: &Alerting, matchers: &[Matcher], incident: Option<IncidentId>, verb: &str) -> String {
    let times = alerting.times();
    alerting.pager.look(|desk| {
        let ids = besides(desk, matchers, incident);
        if ids.is_empty() {
            return format!("{verb} nothing else that is open now.");
        }
        let named = ids.iter().take(NAMED).filter_map(|id| {
            let incident = desk.incident(*id)?;
            Some(tell::summary(incident, &desk.alerts_of(*id), &times))
        });
        let named = named.collect::<Vec<_>>().join("; ");
        let more = ids.len().saturating_sub(NAMED);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        format!("{verb} {}: {named}{more}.", ids.len())
    })
}

/// Shows what a silence of the incident would cover, and asks for how long.
async fn ask(alerting: &Alerting, id: IncidentId, sink: &Sink) -> TurnStatus {
    let Some(matchers) = covered(alerting, id) else { return no_such(alerting, id, sink).await };
    let held = alerting
        .pager
        .look(|desk| same(&desk.silences(), &matchers).map(|s| (s.id, s.ends_at, s.by.clone())));
    if let Some((silence, ends_at, by)) = held {
        let until = alerting.times().clock(ends_at);
        let text = format!(
            "Silence {silence} by {} covers it until {until} already; another time moves its end.",
            tell::line(&by)
        );
        sink.notice(Level::Info, text).await;
    }
    let covers = tell::line(&said(&matchers));
    let others = others(alerting, &matchers, Some(id), "It also mutes");
    let button = |label: &str, time: &str| (label.to_owned(), format!("/silence {id} {time}"));
    let buttons = vec![button("30 min", "30m"), button("2 h", "2h"), button("until 08:00", "until 08:00")];
    let title = format!("Silence {covers}? {others} For how long?");
    sink.block(Block::Buttons { title, buttons }).await;
    TurnStatus::Answered
}

async fn make(
    alerting: &Alerting,
    (incident, matchers): (Option<IncidentId>, Vec<Matcher>),
    ends_at: Timestamp,
    actor: &Actor,
    sink: &Sink,
) -> TurnStatus {
    let times = alerting.times();
    let held = alerting.pager.look(|desk| same(&desk.silences(), &matchers).map(|s| (s.id, s.starts_at)));
    // What it mutes is looked at before it does.
    let others = others(alerting, &matchers, incident, "It also mutes");
    let action = Action::Silence {
        matchers: matchers.clone(),
        starts_at: held.map_or(times.now, |(_, starts_at)| starts_at),
        ends_at,
        by: actor.person.to_string(),
        comment: incident.map_or_else(|| "by command".to_owned(), |id| format!("incident {id}")),
        id: held.map(|(id, _)| id),
    };
    let changes = match alerting.pager.act(action, Some(actor)).await {
        Ok(changes) => changes,
        Err(error) => return told(&error, sink).await,
    };
    let verb = if held.is_some() { "The silence is changed: quiet" } else { "Silenced" };
    let covers = tell::line(&said(&matchers));
    let (until, span) = (times.clock(ends_at), times.span(times.now, ends_at));
    sink.notice(Level::Info, format!("{verb} until {until} (in {span}): {covers}. {others}")).await;
    if let Some(silence) = changes.silences.last() {
        let buttons = vec![("End it".to_owned(), format!("/unsilence {}", silence.id))];
        sink.block(Block::Buttons { title: format!("Silence {}", silence.id), buttons }).await;
    }
    TurnStatus::Answered
}
