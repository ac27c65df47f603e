//! Conversations at work: one turn at a time each, a bounded queue before it, and a stop that never waits in it.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::{FutureExt, future::BoxFuture};
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

use crate::domain::{Actor, ConversationKey, PersonName, Role};

/// All conversations that have something running or waiting, and all writes that execute.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    gates: BTreeMap<ConversationKey, Gate>,
    running: BTreeMap<u64, Running>,
    next: u64,
}

#[derive(Debug, Default)]
struct Gate {
    turn: Arc<tokio::sync::Mutex<()>>,
    inside: usize,
}

#[derive(Debug)]
struct Running {
    conversation: ConversationKey,
    person: PersonName,
    cancel: CancellationToken,
    interrupted: Arc<AtomicBool>,
}

/// What a stop reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One conversation, in a chat everybody's there.
    Conversation(ConversationKey),
    /// Everything of the person who stops.
    Mine,
    /// Everything of everybody; admins only.
    All,
}

/// A place in a conversation's queue, held in the order of [`Sessions::enter`].
pub struct Place {
    sessions: Arc<Sessions>,
    conversation: ConversationKey,
    turn: BoxFuture<'static, OwnedMutexGuard<()>>,
    first: Option<OwnedMutexGuard<()>>,
    /// How many are before this one.
    pub ahead: usize,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("ahead", &self.ahead).finish_non_exhaustive()
    }
}

impl Place {
    /// Waits until it is this one's turn; the guard ends it. To be awaited once.
    pub async fn wait(&mut self) -> OwnedMutexGuard<()> {
        match self.first.take() {
            Some(guard) => guard,
            None => (&mut self.turn).await,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.sessions.lock();
        if let Some(gate) = state.gates.get_mut(&self.conversation) {
            gate.inside -= 1;
            if gate.inside == 0 {
                state.gates.remove(&self.conversation);
            }
        }
    }
}

/// Something that runs and can be stopped; unregisters itself when dropped.
#[derive(Debug)]
pub struct Registered {
    sessions: Arc<Sessions>,
    id: u64,
    /// Fires on a stop.
    pub cancel: CancellationToken,
    interrupted: Arc<AtomicBool>,
}

impl Registered {
    /// Whether it was the daemon's end that stopped it, not a person.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.sessions.lock().running.remove(&self.id);
    }
}

impl Sessions {
    /// Queues in `conversation`; none when `limit` are already inside.
    pub fn enter(self: &Arc<Self>, conversation: &ConversationKey, limit: usize) -> Option<Place> {
        let mut state = self.lock();
        let gate = state.gates.entry(conversation.clone()).or_default();
        if gate.inside >= limit {
            return None;
        }
        let ahead = gate.inside;
        gate.inside += 1;
        // A first look takes the place in the lock's own queue, which is first come, first served.
        let mut turn = gate.turn.clone().lock_owned().boxed();
        let first = (&mut turn).now_or_never();
        Some(Place { sessions: self.clone(), conversation: conversation.clone(), turn, first, ahead })
    }

    /// Registers something of `actor` that a stop must reach.
    pub fn register(self: &Arc<Self>, conversation: &ConversationKey, actor: &Actor) -> Registered {
        let mut state = self.lock();
        let id = state.next;
        state.next += 1;
        let cancel = CancellationToken::new();
        let running = Running {
            conversation: conversation.clone(),
            person: actor.person.clone(),
            cancel: cancel.clone(),
            interrupted: Arc::default(),
        };
        let interrupted = running.interrupted.clone();
        state.running.insert(id, running);
        Registered { sessions: self.clone(), id, cancel, interrupted }
    }

    /// Stops what `actor` may stop in `scope`: own things, and as an admin anybody's. How many were stopped, and how
    /// many were not theirs to stop.
    pub fn stop(&self, actor: &Actor, scope: &Scope) -> (usize, usize) {
        let state = self.lock();
        let (mut stopped, mut foreign) = (0, 0);
        for r in state.running.values() {
            let own = r.person == actor.person;
            let meant = match scope {
                Scope::Conversation(key) => r.conversation.place() == key.place(),
                Scope::Mine => own,
                Scope::All => true,
            };
            if !meant {
            } else if own || actor.role == Role::Admin {
                r.cancel.cancel();
                stopped += 1;
            } else {
                foreign += 1;
            }
        }
        (stopped, foreign)
    }

    /// Stops everything, for the daemon's own end.
    pub fn stop_all(&self) {
        for r in self.lock().running.values() {
            r.interrupted.store(!r.cancel.is_cancelled(), Ordering::Relaxed);
            r.cancel.cancel();
        }
    }

    /// How many turns and writes run.
    pub fn running(&self) -> usize {
        self.lock().running.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ChannelKind, Origin};

    fn actor(person: &str, role: Role) -> Actor {
        Actor { person: person.into(), role, channel: ChannelKind::Console, origin: Origin::Typed }
    }

    #[tokio::test]
    async fn a_conversation_takes_turns_and_refuses_past_its_limit() {
        let sessions = Arc::new(Sessions::default());
        let key = ConversationKey::from("c");
        let mut first = sessions.enter(&key, 2).unwrap();
        let guard = first.wait().await;
        let mut second = sessions.enter(&key, 2).unwrap();
        assert_eq!((first.ahead, second.ahead), (0, 1));
        assert!(sessions.enter(&key, 2).is_none());
        assert!(sessions.enter(&"other".into(), 2).is_some());
        drop(guard);
        drop(first);
        drop(second.wait().await);
        drop(second);
        assert_eq!(sessions.lock().gates.len(), 0);
    }

    #[test]
    fn stops_reach_own_things_and_an_admin_everybodys() {
        let sessions = Arc::new(Sessions::default());
        let (anna, ben) = (actor("anna", Role::Viewer), actor("ben", Role::Viewer));
        let a = sessions.register(&"a".into(), &anna);
        let b = sessions.register(&"b".into(), &ben);
        assert_eq!(sessions.stop(&anna, &Scope::All), (1, 1));
        assert!(a.cancel.is_cancelled() && !b.cancel.is_cancelled());
        assert_eq!(sessions.stop(&anna, &Scope::Conversation("b".into())), (0, 1));
        drop(a);
        let admin = actor("carl", Role::Admin);
        assert_eq!(sessions.stop(&admin, &Scope::Mine), (0, 0));
        assert_eq!(sessions.stop(&admin, &Scope::Conversation("b".into())), (1, 0));
        assert!(b.cancel.is_cancelled());
        drop(b);
        assert_eq!(sessions.running(), 0);
    }
}
