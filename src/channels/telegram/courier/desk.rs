//! What waits to be delivered: a queue of three lanes per chat, and who comes next; pure.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::{Semaphore, oneshot};

use super::{
    CourierHealth, Lane, Settings, Undelivered,
    job::{Act, Job},
    probe::Probe,
};
use crate::channels::telegram::{governor::Governor, post::Place};

const LANES: usize = 3;
/// The most live edits that wait for one chat; more are dropped.
const MAX_LIVE: usize = 50;
/// The most quick things that wait.
const MAX_QUICK: usize = 1000;
/// How often in a row a critical message of any chat overtakes all other chats.
const MAX_STREAK: u32 = 4;

/// What belongs to no chat's queue.
#[derive(Debug)]
pub(super) enum Quick {
    Action(Place),
    Answer { id: String, text: String, alert: bool, done: oneshot::Sender<Result<(), Undelivered>> },
}

/// What the task does next.
#[derive(Debug)]
pub(super) enum Step {
    Fly(Job),
    Probe,
    Quick(Quick),
    /// Nothing until this time has passed, or something changes.
    Wait(Option<Duration>),
}

#[derive(Debug)]
pub(super) struct Desk {
    pub(super) governor: Governor,
    pub(super) probe: Probe,
    pub(super) last_ok: Option<Timestamp>,
    chats: BTreeMap<i64, Chat>,
    /// The chats with something to do, the next one first.
    ring: VecDeque<i64>,
    quick: VecDeque<Quick>,
    flying: usize,
    streak: u32,
    stopped: bool,
    parallel: usize,
    per_chat: usize,
}

#[derive(Debug)]
struct Chat {
    lanes: [VecDeque<Job>; LANES],
    busy: bool,
    /// The message whose final edit is under way.
    finishing: Option<i32>,
    room: Arc<Semaphore>,
}

impl Chat {
    fn len(&self) -> usize {
        self.lanes.iter().map(VecDeque::len).sum()
    }

    fn live(&mut self) -> &mut VecDeque<Job> {
        let [_, _, live] = &mut self.lanes;
        live
    }

    fn is_idle(&self) -> bool {
        !self.busy && self.len() == 0 && Arc::strong_count(&self.room) == 1
    }

    /// Whether the final text of `message` waits or is under way.
    fn is_final(&self, message: i32) -> bool {
        self.finishing == Some(message)
            || self.lanes.iter().flatten().any(|job| job.finishes() == Some(message))
    }
}

impl Desk {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            governor: Governor::new(settings.limits),
            probe: Probe::new(),
            last_ok: None,
            chats: BTreeMap::new(),
            ring: VecDeque::new(),
            quick: VecDeque::new(),
            flying: 0,
            streak: 0,
            stopped: false,
            parallel: settings.parallel.max(1),
            per_chat: settings.per_chat.clamp(1, Semaphore::MAX_PERMITS),
        }
    }

    /// What a job must hold to wait for this chat; none when the bot stops.
    pub(super) fn room(&mut self, chat: i64) -> Option<Arc<Semaphore>> {
        (!self.stopped).then(|| Arc::clone(&self.chat(chat).room))
    }

    /// Puts a job into its lane; a final edit drops the live ones of its message. Gives how many it dropped, or
    /// nothing when the bot stops.
    pub(super) fn push(&mut self, job: Job) -> Option<usize> {
        if self.stopped {
            return None;
        }
        let chat = self.chat(job.place.chat);
        let before = chat.len();
        if let Some(message) = job.finishes() {
            chat.live().retain(|live| live.act != Act::Live { message });
        }
        let dropped = before - chat.len();
        let id = job.place.chat;
        lane(chat, job.lane).push_back(job);
        self.enqueue(id);
        Some(dropped)
    }

    /// Puts a live edit into its lane, in the place of an older one of the same message. Gives whether one of the two
    /// was dropped.
    pub(super) fn push_live(&mut self, job: Job) -> bool {
        let Act::Live { message } = job.act else { return true };
        let (id, per_chat) = (job.place.chat, self.per_chat);
        if self.stopped {
            return true;
        }
        let chat = self.chat(id);
        let full = chat.len() >= per_chat;
        if chat.is_final(message) {
            return true;
        }
        let live = chat.live();
        if let Some(older) = live.iter_mut().find(|older| older.act == job.act) {
            older.post = job.post;
            return true;
        }
        if full || live.len() >= MAX_LIVE {
            return true;
        }
        live.push_back(job);
        self.enqueue(id);
        false
    }

    /// Takes something quick; gives it back when there is no room or the bot stops.
    pub(super) fn push_quick(&mut self, quick: Quick) -> Result<(), Quick> {
        if self.stopped || self.quick.len() >= MAX_QUICK {
            return Err(quick);
        }
        self.quick.push_back(quick);
        Ok(())
    }

    /// What comes next; whatever is given out counts as under way.
    pub(super) fn next(&mut self, now: Duration) -> Step {
        if let Some(quick) = self.quick.pop_front() {
            return Step::Quick(quick);
        }
        let mut wait = None;
        if let Some(due) = self.probe.due_in(now) {
            let due = due.max(self.governor.ready_overall(now).err().unwrap_or_default());
            if due.is_zero() {
                self.probe.begin(now);
                self.governor.took_overall(now);
                return Step::Probe;
            }
            wait = Some(due);
        }
        if self.probe.holds_all() || self.flying >= self.parallel {
            return Step::Wait(wait);
        }
        match self.pick(now) {
            Ok(job) => Step::Fly(job),
            Err(later) => Step::Wait(sooner(wait, later)),
        }
    }

    /// A job's try is over; `back` is the job when it must be tried again.
    pub(super) fn landed(&mut self, place: Place, back: Option<Job>, now: Duration) {
        self.governor.landed(place.chat, now);
        self.flying = self.flying.saturating_sub(1);
        if let Some(chat) = self.chats.get_mut(&place.chat) {
            chat.busy = false;
            chat.finishing = None;
            if let Some(job) = back {
                let outdated = match job.act {
                    Act::Live { message } => {
                        chat.is_final(message) || chat.live().iter().any(|newer| newer.act == job.act)
                    }
                    _ => false,
                };
                if !outdated {
                    lane(chat, job.lane).push_front(job);
                    self.enqueue(place.chat);
                }
            }
        }
        self.chats.retain(|id, chat| *id != place.chat || !chat.is_idle());
    }

    /// Nothing is under way any more: the task was started again.
    pub(super) fn reset(&mut self, now: Duration) {
        self.flying = 0;
        self.governor.give_up(now);
        self.probe.reset();
        for chat in self.chats.values_mut() {
            (chat.busy, chat.finishing) = (false, None);
        }
    }

    /// Takes nothing more, and gives out all that waits.
    pub(super) fn stop(&mut self) -> (Vec<Job>, Vec<Quick>) {
        self.stopped = true;
        let mut jobs = Vec::new();
        for chat in self.chats.values_mut() {
            chat.room.close();
            jobs.extend(chat.lanes.iter_mut().flat_map(std::mem::take));
        }
        self.ring.clear();
        (jobs, self.quick.drain(..).collect())
    }

    /// How many jobs are under way.
    pub(super) fn flying(&self) -> usize {
        self.flying
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped
    }

    pub(super) fn queued(&self) -> usize {
        self.ring.iter().filter_map(|id| self.chats.get(id)).map(Chat::len).sum()
    }

    pub(super) fn health(&self, now: Duration) -> CourierHealth {
        CourierHealth {
            token_ok: self.probe.token_ok(),
            reachable: !self.probe.holds_all(),
            last_ok: self.last_ok,
            blocked_chats: self.governor.blocked_chats(now),
            queued: self.queued(),
        }
    }

    fn chat(&mut self, id: i64) -> &mut Chat {
        let per_chat = self.per_chat;
        self.chats.entry(id).or_insert_with(|| Chat {
            lanes: Default::default(),
            busy: false,
            finishing: None,
            room: Arc::new(Semaphore::new(per_chat)),
        })
    }

    fn enqueue(&mut self, id: i64) {
        if !self.ring.contains(&id) {
            self.ring.push_back(id);
        }
    }

    /// The next job of the chat whose turn it is: critical ones of any chat first, but not for ever.
    fn pick(&mut self, now: Duration) -> Result<Job, Option<Duration>> {
        self.tidy();
        let mut wait = None;
        if self.streak < MAX_STREAK {
            match self.pick_from(now, 1) {
                Ok(job) => {
                    self.streak += 1;
                    return Ok(job);
                }
                Err(later) => wait = later,
            }
        }
        self.streak = 0;
        self.pick_from(now, LANES).map_err(|later| sooner(wait, later))
    }

    /// Drops what nobody wants any more, and the chats that have nothing to do.
    fn tidy(&mut self) {
        let chats = &mut self.chats;
        self.ring.retain(|id| {
            let Some(chat) = chats.get_mut(id) else { return false };
            for lane in &mut chat.lanes {
                while lane.front().is_some_and(Job::is_abandoned) {
                    lane.pop_front();
                }
            }
            let waits = chat.len() > 0;
            if chat.is_idle() {
                chats.remove(id);
            }
            waits
        });
    }

    /// As [`Desk::pick`], from the first `lanes` lanes of each chat.
    fn pick_from(&mut self, now: Duration, lanes: usize) -> Result<Job, Option<Duration>> {
        let mut wait = None;
        for at in 0..self.ring.len() {
            let Some(id) = self.ring.get(at).copied() else { break };
            let Some(chat) = self.chats.get_mut(&id).filter(|chat| !chat.busy) else { continue };
            for lane in chat.lanes.iter_mut().take(lanes) {
                match lane.front().map(|job| readiness(job, &self.probe, now)) {
                    Some(Ok(())) => {}
                    Some(Err(later)) => {
                        wait = sooner(wait, later);
                        continue;
                    }
                    None => continue,
                }
                if let Err(later) = self.governor.ready(id, now) {
                    wait = sooner(wait, Some(later));
                    break;
                }
                if let Some(mut job) = lane.pop_front() {
                    job.begin();
                    chat.busy = true;
                    chat.finishing = job.finishes();
                    let more = chat.len() > 0;
                    self.governor.took(id, now);
                    self.flying += 1;
                    self.ring.remove(at);
                    if more {
                        self.ring.push_back(id);
                    }
                    return Ok(job);
                }
            }
        }
        Err(wait)
    }
}

/// Whether a job's own waits are over; else how long they last, if that is known.
fn readiness(job: &Job, probe: &Probe, now: Duration) -> Result<(), Option<Duration>> {
    if job.well_after.is_some_and(|at| !probe.well_after(at)) {
        return Err(None);
    }
    let wait = job.not_before.saturating_sub(now);
    if wait.is_zero() { Ok(()) } else { Err(Some(wait)) }
}

fn lane(chat: &mut Chat, lane: Lane) -> &mut VecDeque<Job> {
    let [critical, reply, live] = &mut chat.lanes;
    match lane {
        Lane::Critical => critical,
        Lane::Reply => reply,
        Lane::Live => live,
    }
}

fn sooner(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests;
