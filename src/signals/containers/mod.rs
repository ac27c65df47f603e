//! Docker's events: containers that die, run out of memory, turn unhealthy or restart again and again.
//!
//! A stream for each host tells what happens; it is opened again with what happened since. A look at all containers
//! every few seconds tells what is broken already, what is well again and what is gone.

mod watch;

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Keep, Known, Outbox, text::About};
use crate::{
    docker::{ContainerEvent, Happening, Listed, State},
    domain::{ContainerRef, CustomerId, HostName, ServiceName, SignalSource},
    inventory::{Inventory, InventorySource},
    runtime::{Counters, clock},
};
use watch::{Bounds, End, Glance, Watch};

/// So many events wait; then the stream is opened again from there.
const WAITING: usize = 1_000;
/// The first stream also tells what happened so long before it.
const BEFORE: SignedDuration = SignedDuration::from_secs(60);
/// A stream is opened again after so long: a host that lost its power says nothing.
const STREAM: Duration = Duration::from_secs(600);
/// The pause after a stream broke; it doubles up to the longest.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(30);
/// All that fires is reported again every so many looks.
const REPEAT: u32 = 30;
/// So many containers that have ended are looked at closely at the start.
const INSPECTED: usize = 200;

/// How containers are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerSettings {
    /// How often all containers are looked at.
    pub look_every: Duration,
    /// A container has to run, healthy if it can tell, for so long until its fault is over.
    pub settle: Duration,
    /// So many ends within `loop_within` are a restart loop.
    pub loop_ends: usize,
    /// The span that `loop_ends` are counted in.
    pub loop_within: Duration,
}

impl Default for ContainerSettings {
    fn default() -> Self {
        Self {
            look_every: Duration::from_secs(10),
            settle: Duration::from_secs(30),
            loop_ends: 3,
            loop_within: Duration::from_secs(300),
        }
    }
}

/// Watches the containers of all Docker hosts.
pub struct Containers {
    settings: ContainerSettings,
    source: InventorySource,
    known: Known,
    outbox: Outbox,
}

impl std::fmt::Debug for Containers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Containers").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Whose each container is, by host and id.
type Owners = BTreeMap<(HostName, String), About>;

impl Containers {
    /// Watches what `source` knows; nothing is asked yet.
    pub fn new(
        settings: ContainerSettings,
        source: InventorySource,
        keep: Keep,
        known: Known,
        counters: Counters,
    ) -> Self {
        let outbox = Outbox::new(SignalSource::Docker, keep, counters);
        Self { settings, source, known, outbox }
    }

    /// Watches until `stop`.
    ///
    /// # Errors
    /// Never by itself; the type is the supervisor's.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), String> {
        let (events, taken) = mpsc::channel(WAITING);
        let hosts = self.source.hosts().names();
        let streams = join_all(hosts.into_iter().map(|host| self.read(host, events.clone())));
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            _ = streams, if !self.source.hosts().names().is_empty() => Ok(()),
            () = self.watch(taken) => Ok(()),
            () = self.outbox.deliver() => Ok(()),
        }
    }

    /// Reads a host's events, for ever.
    async fn read(&self, host: HostName, events: mpsc::Sender<(HostName, ContainerEvent)>) {
        let mut since = clock::now().checked_sub(BEFORE).unwrap_or(Timestamp::UNIX_EPOCH);
        let mut pause = PAUSE;
        loop {
            let before = since;
            let take = |event: ContainerEvent| {
                let next = event.at.checked_add(SignedDuration::from_nanos(1)).unwrap_or(event.at);
                let taken = events.try_send((host.clone(), event)).is_ok();
                if taken {
                    // From now on by the engine's own clock, which may differ from ours.
                    since = next;
                }
                taken
            };
            let ended = timeout(STREAM, self.source.hosts().events(&host, Some(before), take)).await;
            match ended {
                // Long enough to say that it works.
                Err(_) => pause = PAUSE,
                Ok(Ok(())) => {}
                Ok(Err(error)) if pause == PAUSE => {
                    tracing::warn!(%host, %error, "the stream of Docker's events broke; it is opened again");
                }
                Ok(Err(error)) => tracing::debug!(%host, %error, "no stream of Docker's events"),
            }
            if since != before {
                pause = PAUSE;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST);
        }
    }

    async fn watch(&self, mut events: mpsc::Receiver<(HostName, ContainerEvent)>) {
        let ContainerSettings { settle, loop_ends, loop_within, look_every } = self.settings;
        let mut watch =
            Watch::new(Bounds { settle, loop_ends, loop_within }, (self.known)(SignalSource::Docker));
        let mut owners = Owners::new();
        let (mut ticks, mut looks) = (interval(look_every), 0_u32);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let report = tokio::select! {
                _ = ticks.tick() => {
                    let (inventory, down) = self.source.survey().await;
                    let now = clock::now();
                    owners = owners_of(&inventory, &owners, &down);
                    let glances = self.glances(&inventory, looks == 0).await;
                    let report = watch.look(&glances, &down, looks == 0, now);
                    looks = looks.wrapping_add(1);
                    if looks.is_multiple_of(REPEAT) { [report, watch.all()].concat() } else { report }
                }
                Some((host, event)) = events.recv() => {
                    let key = (host, event.id.clone());
                    if !owners.contains_key(&key) && event.happened != Happening::Destroy {
                        let (inventory, down) = self.source.survey().await;
                        owners = owners_of(&inventory, &owners, &down);
                    }
                    let about = owners.get(&key).cloned().unwrap_or_else(|| unowned(&key.0, &event.name));
                    owners.entry(key.clone()).or_insert_with(|| about.clone());
                    let end = self.end(&key.0, &event, &about).await;
                    watch.on(&(key.0, event.name.clone()), &event, &about, end)
                }
            };
            self.outbox.push(report);
        }
    }

    /// What an end means, by the engine's word; nothing of a container that is gone already.
    async fn end(&self, host: &HostName, event: &ContainerEvent, about: &About) -> End {
        if !matches!(event.happened, Happening::Die { .. }) {
            return End::default();
        }
        let service = about.service.clone().unwrap_or_else(|| ServiceName::from(event.name.as_str()));
        self.look_up(host, &event.id, &event.name, service).await
    }

    async fn look_up(&self, host: &HostName, id: &str, name: &str, service: ServiceName) -> End {
        let r = ContainerRef { host: host.clone(), id: id.to_owned(), name: name.to_owned(), service };
        match self.source.hosts().inspect(&r).await {
            Ok(info) => End {
                restarts: !matches!(info.restart_policy.as_str(), "" | "no"),
                // A container that runs again says nothing of its last end.
                oom_killed: info.oom_killed && info.state != State::Running,
            },
            Err(_) => End::default(),
        }
    }

    async fn glances(&self, inventory: &Inventory, first: bool) -> Vec<Glance> {
        let mut glances = Vec::new();
        let mut inspected = 0;
        for (about, listed) in all(inventory) {
            let mut end = End::default();
            if first && listed.state == State::Exited && about.customer.is_some() && inspected < INSPECTED {
                inspected += 1;
                let service =
                    about.service.clone().unwrap_or_else(|| ServiceName::from(listed.name.as_str()));
                end = self.look_up(&listed.host, &listed.id, &listed.name, service).await;
            }
            glances.push(Glance {
                place: (listed.host.clone(), listed.name.clone()),
                about,
                state: listed.state,
                health: listed.health,
                exit_code: exit_code(&listed.status),
                end,
            });
        }
        glances
    }
}

/// The code in `Exited (1) 3 days ago`.
fn exit_code(status: &str) -> Option<i64> {
    status.strip_prefix("Exited (")?.split_once(')')?.0.parse().ok()
}

fn all(inventory: &Inventory) -> impl Iterator<Item = (About, &Listed)> {
    let owned = inventory.customers().into_iter().flat_map(|customer| {
        let about = |m: &crate::inventory::Member| owned(&customer.id, &m.r);
        inventory.members(&customer.id).iter().map(move |m| (about(m), &m.listed)).collect::<Vec<_>>()
    });
    let strays = inventory.strays().iter().map(|listed| (unowned(&listed.host, &listed.name), listed));
    owned.chain(strays)
}

pub(super) fn owned(customer: &CustomerId, r: &ContainerRef) -> About {
    About {
        customer: Some(customer.clone()),
        service: Some(r.service.clone()),
        host: Some(r.host.clone()),
        container: Some(r.name.clone()),
    }
}

fn unowned(host: &HostName, name: &str) -> About {
    About { host: Some(host.clone()), container: Some(name.to_owned()), ..About::default() }
}

/// Those of hosts that are down stay as they were.
fn owners_of(inventory: &Inventory, before: &Owners, down: &[HostName]) -> Owners {
    let kept =
        before.iter().filter(|((host, _), _)| down.contains(host)).map(|(k, v)| (k.clone(), v.clone()));
    let now = all(inventory).map(|(about, listed)| ((listed.host.clone(), listed.id.clone()), about));
    kept.chain(now).collect()
}
