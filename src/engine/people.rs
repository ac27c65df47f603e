//! Who is who on the chat platforms: the configuration's people, then those who were paired.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{PoisonError, RwLock, RwLockReadGuard},
};

use tokio::sync::{Mutex, MutexGuard};

use crate::{
    domain::{Actor, ChannelKind, ConversationKey, PersonName, Role},
    policy::pairing::{Paired, PairingCode, Standing, TurnedAway},
};

/// A place on a platform: which one, and the numeric id there as text.
pub(super) type Id = (ChannelKind, String);

/// A person of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configured {
    /// The name.
    pub name: PersonName,
    /// The role, whatever a pairing says.
    pub role: Role,
    /// The ids on chat platforms.
    pub ids: Vec<(ChannelKind, String)>,
}

/// Everybody who is known on a chat platform; cheap enough to be asked for every event.
#[derive(Debug, Default)]
pub struct KnownPeople {
    roster: RwLock<Roster>,
    paired: RwLock<BTreeMap<Id, Paired>>,
    desk: Mutex<Held>,
}

/// The configuration's people.
#[derive(Debug, Default)]
struct Roster {
    configured: Vec<Configured>,
    by_id: BTreeMap<Id, usize>,
    /// Whom the configuration named once in this process and no longer does, in small letters.
    former: BTreeSet<String>,
}

/// What pairing remembers between its steps and never stores.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// The letters of the open codes.
    pub(super) codes: BTreeMap<Id, PairingCode>,
    /// Strangers who are given nothing.
    pub(super) away: TurnedAway,
}

impl KnownPeople {
    /// Knows these; the engine adds who was paired when it recovers.
    pub fn new(configured: Vec<Configured>) -> Self {
        Self { roster: RwLock::new(Roster::new(configured)), ..Self::default() }
    }

    /// Takes the configuration's people anew; pairings stay.
    pub(super) fn renew(&self, configured: Vec<Configured>) {
        let mut roster = self.roster.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = Roster::new(configured);
        next.former = std::mem::take(&mut roster.former);
        next.former.extend(roster.configured.iter().map(|p| p.name.as_str().to_lowercase()));
        next.former.retain(|name| next.configured.iter().all(|p| p.name.as_str().to_lowercase() != *name));
        *roster = next;
    }

    /// The person behind the numeric `id` on `channel`, with the role that holds right now; none for a stranger.
    pub fn who(&self, channel: ChannelKind, id: &str) -> Option<(PersonName, Role)> {
        let id = (channel, id.to_owned());
        {
            let roster = self.roster();
            if let Some(person) = roster.by_id.get(&id).and_then(|n| roster.configured.get(*n)) {
                return Some((person.name.clone(), person.role));
            }
        }
        let paired = self.paired.read().unwrap_or_else(PoisonError::into_inner).get(&id)?.clone();
        self.rights(&paired)
    }

    /// The role that holds right now for somebody who was let in before: one who is no longer known is a viewer. A name
    /// that was never known here keeps its role, which its channel answers for.
    pub(super) fn role_now(&self, actor: &Actor) -> Role {
        if let Some(person) = self.named(&actor.person) {
            return person.role;
        }
        let paired = self.paired();
        let own = paired.iter().find(|p| p.channel == actor.channel && p.person.same(&actor.person));
        match own.and_then(|p| p.role) {
            Some(role) => role,
            None if self.roster().former.contains(&actor.person.as_str().to_lowercase()) => Role::Viewer,
            None => actor.role,
        }
    }

    /// Who a pairing makes of its id; none when it links to a person whom the configuration no longer names.
    pub(super) fn rights(&self, paired: &Paired) -> Option<(PersonName, Role)> {
        match self.named(&paired.person) {
            Some(person) => Some((person.name, person.role)),
            None => paired.role.map(|role| (paired.person.clone(), role)),
        }
    }

    /// The configured people, in the file's order.
    pub(super) fn configured(&self) -> Vec<Configured> {
        self.roster().configured.clone()
    }

    /// Everybody who was paired.
    pub(super) fn paired(&self) -> Vec<Paired> {
        self.paired.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The name as it is written here, and what it stands for.
    pub(super) fn standing(&self, name: &PersonName) -> (PersonName, Standing) {
        if let Some(person) = self.named(name) {
            return (person.name, Standing::Configured(person.role));
        }
        let paired = self.paired();
        let known =
            paired.iter().find_map(|p| Some((p.person.clone(), p.role.filter(|_| p.person.same(name))?)));
        known.map_or((name.clone(), Standing::New), |(name, role)| (name, Standing::Paired(role)))
    }

    /// The id that `name` has on `channel` already, and whether the configuration says so.
    pub(super) fn id_of(&self, name: &PersonName, channel: ChannelKind) -> Option<(String, bool)> {
        let written = self.named(name).and_then(|p| p.ids.into_iter().find(|(c, _)| *c == channel));
        if let Some((_, id)) = written {
            return Some((id, true));
        }
        let paired = self.paired();
        let own =
            paired.iter().find(|p| p.channel == channel && p.person.same(name) && self.rights(p).is_some());
        own.map(|p| (p.platform_id.clone(), false))
    }

    /// The role that `name` has on `channel` right now; none when nobody there is called so any more.
    pub fn role(&self, channel: ChannelKind, name: &PersonName) -> Option<Role> {
        let (id, _) = self.id_of(name, channel)?;
        self.who(channel, &id).map(|(_, role)| role)
    }

    /// Every admin with a private chat, and that chat: on Telegram it has the person's own number.
    pub fn admins(&self) -> Vec<(PersonName, ConversationKey)> {
        let configured = self.configured().into_iter().flat_map(|p| p.ids);
        let paired = self.paired().into_iter().map(|p| (p.channel, p.platform_id));
        let ids = configured.chain(paired).filter(|(channel, _)| *channel == ChannelKind::Telegram);
        ids.filter_map(|(channel, id)| {
            let (name, _) = self.who(channel, &id).filter(|(_, role)| *role == Role::Admin)?;
            let chat = ConversationKey::in_chat(channel, id.parse().ok()?, None, &name);
            Some((name, chat))
        })
        .collect()
    }

    /// Takes in who is paired now.
    pub(super) fn refresh(&self, paired: Vec<Paired>) {
        let paired = paired.into_iter().map(|p| ((p.channel, p.platform_id.clone()), p)).collect();
        *self.paired.write().unwrap_or_else(PoisonError::into_inner) = paired;
    }

    /// Held over every change of pairings and codes, so that what is known never runs behind what is stored.
    pub(super) async fn desk(&self) -> MutexGuard<'_, Held> {
        self.desk.lock().await
    }

    fn named(&self, name: &PersonName) -> Option<Configured> {
        self.roster().configured.iter().find(|p| p.name.same(name)).cloned()
    }

    fn roster(&self) -> RwLockReadGuard<'_, Roster> {
        self.roster.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Roster {
    fn new(configured: Vec<Configured>) -> Self {
        let ids =
            configured.iter().enumerate().flat_map(|(n, p)| p.ids.iter().map(move |id| (id.clone(), n)));
        Self { by_id: ids.collect(), configured, former: BTreeSet::new() }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn paired(person: &str, role: Option<Role>, id: &str) -> Paired {
        Paired {
            person: person.into(),
            role,
            channel: ChannelKind::Telegram,
            platform_id: id.into(),
            paired_by: "anna".into(),
            at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_configuration_goes_before_pairings_and_voids_links_to_nobody() {
        let anna = Configured {
            name: "Anna".into(),
            role: Role::Operator,
            ids: vec![(ChannelKind::Telegram, "1".into()), (ChannelKind::Discord, "9".into())],
        };
        let people = KnownPeople::new(vec![anna]);
        people.refresh(vec![
            paired("mallory", Some(Role::Admin), "1"),
            paired("anna", None, "2"),
            paired("anna", Some(Role::Admin), "3"),
            paired("gone", None, "4"),
            paired("ben", Some(Role::Viewer), "5"),
        ]);
        let table = [
            (ChannelKind::Telegram, "1", Some(("Anna", Role::Operator))),
            (ChannelKind::Telegram, "2", Some(("Anna", Role::Operator))),
            (ChannelKind::Telegram, "3", Some(("Anna", Role::Operator))),
            (ChannelKind::Telegram, "4", None),
            (ChannelKind::Telegram, "5", Some(("ben", Role::Viewer))),
            (ChannelKind::Discord, "9", Some(("Anna", Role::Operator))),
            (ChannelKind::Discord, "1", None),
            (ChannelKind::Discord, "5", None),
            (ChannelKind::Telegram, "9", None),
            (ChannelKind::Telegram, "05", None),
            (ChannelKind::Telegram, "", None),
        ];
        for (channel, id, want) in table {
            let want = want.map(|(name, role)| (PersonName::from(name), role));
            assert_eq!(people.who(channel, id), want, "{channel} {id}");
        }
        let standing = |name: &str| people.standing(&name.into());
        assert_eq!(standing("ANNA"), ("Anna".into(), Standing::Configured(Role::Operator)));
        assert_eq!(standing("Ben"), ("ben".into(), Standing::Paired(Role::Viewer)));
        assert_eq!(standing("gone"), ("gone".into(), Standing::New));
        assert_eq!(people.id_of(&"anna".into(), ChannelKind::Telegram), Some(("1".into(), true)));
        assert_eq!(people.id_of(&"BEN".into(), ChannelKind::Telegram), Some(("5".into(), false)));
        assert_eq!(people.id_of(&"gone".into(), ChannelKind::Telegram), None);
        let role = |channel, name: &str| people.role(channel, &name.into());
        assert_eq!(role(ChannelKind::Telegram, "anna"), Some(Role::Operator));
        assert_eq!(role(ChannelKind::Telegram, "ben"), Some(Role::Viewer));
        assert_eq!(role(ChannelKind::Telegram, "gone"), None);
        assert_eq!(role(ChannelKind::Discord, "ben"), None);
        people.refresh(vec![]);
        assert_eq!(people.who(ChannelKind::Telegram, "5"), None);
    }

    #[test]
    fn new_people_take_rights_away_from_those_who_had_them() {
        let person = |name: &str, role, id: &str| Configured {
            name: name.into(),
            role,
            ids: vec![(ChannelKind::Telegram, id.into())],
        };
        let people =
            KnownPeople::new(vec![person("Anna", Role::Admin, "1"), person("Ben", Role::Admin, "2")]);
        people.refresh(vec![paired("dora", Some(Role::Operator), "4")]);
        let now = |name: &str| {
            let actor = Actor {
                person: name.into(),
                role: Role::Admin,
                channel: ChannelKind::Telegram,
                origin: crate::domain::Origin::Typed,
            };
            people.role_now(&actor)
        };
        people.renew(vec![person("anna", Role::Viewer, "1"), person("Cleo", Role::Operator, "2")]);
        assert_eq!(people.who(ChannelKind::Telegram, "1"), Some(("anna".into(), Role::Viewer)));
        assert_eq!(people.who(ChannelKind::Telegram, "2"), Some(("Cleo".into(), Role::Operator)));
        let roles = ["ANNA", "ben", "Cleo", "dora", "uid:7"].map(now);
        assert_eq!(roles, [Role::Viewer, Role::Viewer, Role::Operator, Role::Operator, Role::Admin]);
        people.renew(vec![person("Ben", Role::Admin, "2")]);
        assert_eq!((now("ben"), now("anna"), now("Cleo")), (Role::Admin, Role::Viewer, Role::Viewer));
    }
}
