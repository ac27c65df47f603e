//! Pairing as people do it: a stranger is given a code, an admin accepts it under a name, and takes it back.

use jiff::Timestamp;
use serde_json::json;

use super::{Engine, KnownPeople, Scope, Sink};
use crate::{
    domain::{Actor, AuditEntry, AuditKind, Block, ChannelKind, Level, Origin, PersonName, Role, TurnStatus},
    policy::pairing::{self, Offer, OpenCode, Paired, PairingCode, Standing, Stranger},
    runtime::clock,
    store::{Accepted, Settled, StoreError},
};

/// Whom a code shall make of its stranger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairAs {
    /// The person's name, as it was typed.
    pub person: String,
    /// The role; without one, the role that the person has already, else viewer.
    pub role: Option<Role>,
}

impl Engine {
    /// Who is known on the chat platforms.
    pub fn people(&self) -> &KnownPeople {
        &self.0.parts.people
    }

    /// A stranger wrote: the code to answer with, or none for silence. Nothing else may be said to a stranger.
    ///
    /// # Errors
    /// The store's.
    pub async fn pair_offer(
        &self,
        channel: ChannelKind,
        platform_id: &str,
        shown_name: &str,
    ) -> Result<Option<PairingCode>, StoreError> {
        let people = self.people();
        let mut held = people.desk().await;
        if people.who(channel, platform_id).is_some() {
            return Ok(None);
        }
        let now = clock::now();
        let stranger = Stranger::new(channel, platform_id, &self.redactor().redact(shown_name));
        let key = (channel, platform_id.to_owned());
        let fresh = PairingCode::from_bits(rand::random());
        let offer = self.store().pairing_offer(&stranger, &fresh, held.codes.get(&key), now).await?;
        match offer {
            Offer::New | Offer::Replaced => {
                self.forget_codes(&mut held.codes, now).await?;
                held.codes.insert(key, fresh.clone());
                tracing::info!(%stranger, "a stranger was given a pairing code; `opsbot pair list` shows who waits");
                Ok(Some(fresh))
            }
            Offer::Same => Ok(held.codes.get(&key).cloned()),
            Offer::JustTold => Ok(None),
            Offer::Full | Offer::Locked => {
                if let Some(count) = held.away.note(now) {
                    self.store().audit(turned_away(&stranger, offer, count, now)).await?;
                }
                Ok(None)
            }
        }
    }

    /// Accepts a code; `host` is whoever may do so by owning this host or OpsBot's files, or as an admin at its
    /// console. Only there admins are made.
    ///
    /// # Errors
    /// The store's.
    pub async fn pair_accept(
        &self,
        (actor, host): (&Actor, bool),
        typed: &str,
        pair_as: &PairAs,
        sink: &Sink,
    ) -> Result<TurnStatus, StoreError> {
        let checked = pairing::may_pair(actor.role, host).and_then(|()| known_name(&pair_as.person));
        let name = match checked {
            Ok(name) => name,
            Err(why) => return self.pairing_refused(actor, why, sink).await,
        };
        let now = clock::now();
        let accepted = self.accept_now((actor, host), typed, (&name, pair_as.role), now).await?;
        let minutes = |until: Timestamp| until.duration_since(now).as_mins().max(1);
        let (status, text) = match accepted {
            Accepted::Paired(paired, stranger) => {
                let person = &paired.person;
                let role = self.people().rights(&paired).map_or(Role::Viewer, |(_, role)| role);
                let text = format!(
                    "{stranger}, is {person} now, with the role {role}. {} undoes it.",
                    undo(person, host)
                );
                self.changed();
                sink.notice(Level::Info, text).await;
                return Ok(TurnStatus::Answered);
            }
            Accepted::Refused(why) => (TurnStatus::Refused, why),
            Accepted::Wrong { left } => {
                let held = pairing::LIFETIME.as_mins();
                let text = format!(
                    "No open code is like that. A code holds for {held} min from when it was first shown. {left} more \
                     wrong ones may follow before pairing is locked."
                );
                (TurnStatus::Failed, text)
            }
            Accepted::Locked { until, fresh: true } => {
                let text = format!(
                    "That was one wrong code too many: all open codes are closed, and pairing is locked for {} min. Let \
                     the person write to the bot again after that.",
                    minutes(until)
                );
                (TurnStatus::Refused, text)
            }
            Accepted::Locked { until, fresh: false } => {
                let text = format!(
                    "Pairing is locked for {} more min, after too many wrong codes; no code was looked at.",
                    minutes(until)
                );
                (TurnStatus::Refused, text)
            }
        };
        sink.notice(Level::Error, text).await;
        Ok(status)
    }

    async fn accept_now(
        &self,
        (actor, host): (&Actor, bool),
        typed: &str,
        (name, asked): (&PersonName, Option<Role>),
        now: Timestamp,
    ) -> Result<Accepted, StoreError> {
        let people = self.people();
        let mut held = people.desk().await;
        let settle = |stranger: &Stranger| {
            let (person, standing) = people.standing(name);
            let role = pairing::grant(asked, standing, host)?;
            self.vacant(stranger, &person)?;
            let text = format!("You are paired as {person} ({role}). /help shows what I can do.");
            let row = Paired {
                person,
                role: (!matches!(standing, Standing::Configured(_))).then_some(role),
                channel: stranger.channel,
                platform_id: stranger.platform_id.clone(),
                paired_by: actor.person.clone(),
                at: now,
            };
            Ok(Settled { row, notice: Block::notice(Level::Info, text) })
        };
        let accepted = self.store().pairing_accept(actor, typed, &settle, now).await?;
        people.refresh(self.store().paired().await?);
        self.forget_codes(&mut held.codes, now).await?;
        Ok(accepted)
    }

    /// Who is known on chat platforms, and who waits with a code; the codes themselves are nowhere.
    ///
    /// # Errors
    /// The store's.
    pub async fn pair_list(
        &self,
        (actor, host): (&Actor, bool),
        sink: &Sink,
    ) -> Result<TurnStatus, StoreError> {
        if let Err(why) = pairing::may_pair(actor.role, host) {
            return self.pairing_refused(actor, why, sink).await;
        }
        let people = self.people();
        let mut rows = Vec::new();
        for person in people.configured() {
            for (channel, id) in &person.ids {
                let row = [person.name.as_str(), person.role.word(), channel.word(), id, "config.toml"];
                rows.push(row.map(str::to_owned).to_vec());
            }
        }
        for paired in people.paired() {
            let (name, role) = match people.rights(&paired) {
                Some((name, role)) => (name, role.word()),
                None => (paired.person.clone(), "none: not in config.toml"),
            };
            let since =
                format!("paired by {}, {}", paired.paired_by, paired.at.strftime("%Y-%m-%d %H:%M UTC"));
            let row = [name.as_str(), role, paired.channel.word(), &paired.platform_id, &since];
            rows.push(row.map(str::to_owned).to_vec());
        }
        let columns = ["person", "role", "channel", "id", "since"].map(String::from).to_vec();
        let title =
            if rows.is_empty() { "Nobody is known on a chat platform" } else { "Known on chat platforms" };
        sink.block(Block::Table { title: Some(title.into()), columns, rows }).await;
        let (desk, now) = (self.store().pairing_desk().await?, clock::now());
        let open: Vec<_> = desk.open(now).map(|code| waits(code, now)).collect();
        if !open.is_empty() {
            let columns = ["channel", "id", "called there", "code lapses in"].map(String::from).to_vec();
            let title = "Strangers with a code; what they are called proves nothing";
            sink.block(Block::Table { title: Some(title.into()), columns, rows: open }).await;
        }
        if let Some(until) = desk.locked(now) {
            let minutes = until.duration_since(now).as_mins().max(1);
            let text = format!("Pairing is locked for {minutes} more min, after too many wrong codes.");
            sink.notice(Level::Warning, text).await;
        }
        Ok(TurnStatus::Answered)
    }

    /// Takes a person's pairings back, on one platform or on all; what runs for them is stopped.
    ///
    /// # Errors
    /// The store's.
    pub async fn pair_revoke(
        &self,
        (actor, host): (&Actor, bool),
        name: &str,
        channel: Option<ChannelKind>,
        sink: &Sink,
    ) -> Result<TurnStatus, StoreError> {
        if let Err(why) = pairing::may_pair(actor.role, host) {
            return self.pairing_refused(actor, why, sink).await;
        }
        let people = self.people();
        let person = PersonName::new(name.trim());
        let why = format!("revoked by {}", actor.person);
        let gone = {
            let _desk = people.desk().await;
            let gone =
                self.store().pairing_revoke(Some(actor), (&person, channel), &why, clock::now()).await?;
            people.refresh(self.store().paired().await?);
            gone
        };
        for paired in &gone {
            let revoked = Actor {
                person: people.standing(&paired.person).0,
                role: Role::Viewer,
                channel: paired.channel,
                origin: Origin::Typed,
            };
            self.0.sessions.stop(&revoked, &Scope::Mine);
        }
        let written = people.configured().into_iter().find(|p| p.name.same(&person));
        let written = written.filter(|p| p.ids.iter().any(|(c, _)| channel.is_none_or(|only| only == *c)));
        let stays = written.map(|p| {
            format!(
                " {}'s ids in config.toml hold until they are taken out there (then `opsbot reload`).",
                p.name
            )
        });
        let stays = stays.unwrap_or_default();
        if gone.is_empty() {
            let place = channel.map_or(String::new(), |c| format!(" on {c}"));
            let text = format!("No pairing of “{person}”{place} is there to revoke.{stays}");
            sink.notice(Level::Error, text).await;
            return Ok(TurnStatus::Failed);
        }
        let ids: Vec<_> = gone.iter().map(|p| format!("{} {}", p.channel, p.platform_id)).collect();
        let verb = if ids.len() == 1 { "is a stranger" } else { "are strangers" };
        sink.notice(Level::Info, format!("{} {verb} again.{stays}", ids.join(" and "))).await;
        Ok(TurnStatus::Answered)
    }

    /// Takes in who was paired before; links to people whom the configuration no longer names are void for good, so
    /// that a later namesake gets nobody's rights.
    pub(super) async fn recover_people(&self) -> Result<(), StoreError> {
        let people = self.people();
        let _desk = people.desk().await;
        for paired in self.store().paired().await? {
            if people.rights(&paired).is_none() {
                let why = "the configuration no longer names this person";
                let which = (&paired.person, Some(paired.channel));
                self.store().pairing_revoke(None, which, why, clock::now()).await?;
                tracing::warn!(person = %paired.person, id = paired.platform_id, "a pairing is void: {why}");
            }
        }
        people.refresh(self.store().paired().await?);
        Ok(())
    }

    /// Whether neither the stranger nor the person's place on that platform is taken.
    fn vacant(&self, stranger: &Stranger, person: &PersonName) -> Result<(), String> {
        if let Some((name, _)) = self.people().who(stranger.channel, &stranger.platform_id) {
            return Err(format!("Refused: {} {} is {name} already.", stranger.channel, stranger.platform_id));
        }
        let cure = match self.people().id_of(person, stranger.channel) {
            None => return Ok(()),
            Some((id, true)) => format!("has the id {id} in config.toml; change it there"),
            Some((id, false)) => {
                format!("is {id} there; revoke that first (`opsbot pair revoke`), or take another name")
            }
        };
        Err(format!("Refused: each person has one account on {}, and {person} {cure}.", stranger.channel))
    }

    async fn pairing_refused(
        &self,
        actor: &Actor,
        why: String,
        sink: &Sink,
    ) -> Result<TurnStatus, StoreError> {
        let summary = format!("pairing by {} was refused: {why}", actor.person);
        let detail = json!({"role": actor.role});
        let summary = self.redactor().redact(&summary).into_owned();
        self.store().audit(entry(clock::now(), Some(actor), summary, detail)).await?;
        sink.notice(Level::Error, why).await;
        Ok(TurnStatus::Refused)
    }

    /// Keeps only the letters of codes that are open.
    async fn forget_codes(
        &self,
        codes: &mut std::collections::BTreeMap<super::people::Id, PairingCode>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let desk = self.store().pairing_desk().await?;
        codes.retain(|_, code| desk.open(now).any(|open| open.digest == code.digest()));
        Ok(())
    }
}

fn known_name(text: &str) -> Result<PersonName, String> {
    PersonName::parse(text).map_err(|e| format!("Refused: the person's name {e}."))
}

fn undo(person: &PersonName, host: bool) -> String {
    let name = if person.as_str().contains(' ') { format!("\"{person}\"") } else { person.to_string() };
    if host { format!("`opsbot pair revoke {name}`") } else { format!("/pair revoke {name}") }
}

fn waits(code: &OpenCode, now: Timestamp) -> Vec<String> {
    let left = code.expires_at.duration_since(now).as_secs();
    let stranger = &code.stranger;
    vec![
        stranger.channel.to_string(),
        stranger.platform_id.clone(),
        stranger.shown_name.to_string(),
        format!("{}:{:02} min", left / 60, left % 60),
    ]
}

fn turned_away(stranger: &Stranger, offer: Offer, count: u64, now: Timestamp) -> AuditEntry {
    let why = if offer == Offer::Locked { "pairing is locked" } else { "enough codes are open" };
    let more = if count > 1 { format!(", the last of {count} messages") } else { String::new() };
    let summary = format!("{stranger} was given no pairing code ({why}){more}");
    entry(
        now,
        None,
        summary,
        json!({"channel": stranger.channel, "id": stranger.platform_id, "count": count}),
    )
}

fn entry(at: Timestamp, actor: Option<&Actor>, summary: String, detail: serde_json::Value) -> AuditEntry {
    AuditEntry {
        at,
        kind: AuditKind::Pairing,
        actor: actor.cloned(),
        conversation: None,
        approval: None,
        summary,
        detail,
    }
}
