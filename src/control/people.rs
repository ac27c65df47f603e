//! Who is on the other side: the peer's uid, mapped by `[[person]] unix_user`.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
};

use crate::domain::{Actor, ChannelKind, Origin, PersonName, Role};

/// Who is on the other side, and with which rights over this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The principal.
    pub actor: Actor,
    /// Root, or the account that OpsBot runs as: whoever owns OpsBot's files, whatever the configuration says.
    pub owner: bool,
}

impl Peer {
    /// Whether the peer may do what only the host allows: as its owner, or as an admin at its console.
    pub fn has_host_rights(&self) -> bool {
        self.owner || self.actor.role == Role::Admin
    }
}

/// People by uid; anybody else on the host is a viewer named `uid:N`.
#[derive(Debug, Default)]
pub struct People(RwLock<BTreeMap<u32, (PersonName, Role)>>);

impl People {
    /// Looks each user name up on the host. A name that the host does not know maps nobody; it is given back.
    pub fn new<'a>(
        people: impl IntoIterator<Item = (&'a PersonName, Role, &'a str)>,
        uid_of: &dyn Fn(&str) -> Option<u32>,
    ) -> (Self, Vec<String>) {
        let mut map = BTreeMap::new();
        let mut unknown = Vec::new();
        for (name, role, user) in people {
            match uid_of(user) {
                Some(uid) => {
                    map.insert(uid, (name.clone(), role));
                }
                None => unknown.push(user.to_owned()),
            }
        }
        (Self(RwLock::new(map)), unknown)
    }

    /// Takes over whom `other` knows.
    pub fn renew(&self, other: Self) {
        let map = other.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = map;
    }

    /// Who connects as `uid` to a process that runs as `own`.
    pub fn peer(&self, uid: u32, own: u32) -> Peer {
        Peer { actor: self.actor(uid), owner: uid == 0 || uid == own }
    }

    /// The principal behind `uid`.
    pub fn actor(&self, uid: u32) -> Actor {
        let (person, role) = match self.0.read().unwrap_or_else(PoisonError::into_inner).get(&uid) {
            Some((person, role)) => (person.clone(), *role),
            None => (PersonName::new(format!("uid:{uid}")), Role::Viewer),
        };
        Actor { person, role, channel: ChannelKind::Console, origin: Origin::Typed }
    }
}

/// The uid that this process acts as.
pub fn own_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// The uid of a user on this host.
pub fn host_uid(user: &str) -> Option<u32> {
    nix::unistd::User::from_name(user).ok().flatten().map(|u| u.uid.as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host_of(uid: u32) -> impl Fn(&str) -> Option<u32> {
        move |_| Some(uid)
    }

    #[test]
    fn an_unmapped_uid_is_a_viewer_and_an_unknown_user_maps_nobody() {
        let (anna, ben) = (PersonName::from("anna"), PersonName::from("ben"));
        let host = |user: &str| (user == "a").then_some(1000);
        let (people, unknown) = People::new([(&anna, Role::Admin, "a"), (&ben, Role::Admin, "b")], &host);
        assert_eq!(unknown, ["b"]);
        assert_eq!((people.actor(1000).person.as_str(), people.actor(1000).role), ("anna", Role::Admin));
        assert_eq!((people.actor(0).person.as_str(), people.actor(0).role), ("uid:0", Role::Viewer));
        assert_eq!(host_uid("root"), Some(0));
        let table = [(0, true, true), (900, true, true), (1000, false, true), (1001, false, false)];
        for (uid, owner, host) in table {
            let peer = people.peer(uid, 900);
            assert_eq!((peer.owner, peer.has_host_rights()), (owner, host), "{uid}");
        }
        let (fewer, _) = People::new([(&ben, Role::Viewer, "a")], &host_of(1000));
        people.renew(fewer);
        assert_eq!((people.actor(1000).person.as_str(), people.actor(1000).role), ("ben", Role::Viewer));
    }
}
