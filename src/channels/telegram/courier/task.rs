//! The courier's task: starts calls as the desk allows, and carries out what follows from how they went.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Courier, Shared, Undelivered,
    desk::{Quick, Step},
    job::{Act, Job, Next, Outcome},
    quick,
};
use crate::{channels::telegram::fault::Fault, runtime::clock};

/// A call that is over.
enum Landed {
    Job(Box<Job>, Result<i32, Fault>),
    Probe(Result<(), Fault>),
    Quick,
}

impl Courier {
    /// Delivers until `stop`; then calls under way are given a moment, and the rest is told that the bot stops. May be
    /// run again after it failed; the queues stay.
    ///
    /// # Errors
    /// None so far; the signature is the supervisor's.
    pub async fn run(self, stop: CancellationToken) -> Result<(), String> {
        let shared = Arc::clone(&self.0);
        shared.desk().reset(shared.now());
        let mut flights = JoinSet::new();
        loop {
            let wait = launch(&shared, &mut flights);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(landed) = flights.join_next() => shared.land(landed.ok(), false),
                () = shared.wake.notified() => {}
                () = sleep(wait.unwrap_or_default()), if wait.is_some() => {}
            }
        }
        self.close();
        let landing = async {
            while shared.desk().flying() > 0
                && let Some(landed) = flights.join_next().await
            {
                shared.land(landed.ok(), true);
            }
        };
        if timeout(shared.settings.waits.stop, landing).await.is_err() {
            tracing::warn!("calls to Telegram are given up because the bot stops");
        }
        Ok(())
    }
}

/// Starts all that may start now; gives how long nothing more may.
fn launch(shared: &Arc<Shared>, flights: &mut JoinSet<Landed>) -> Option<Duration> {
    loop {
        let now = shared.now();
        let step = shared.desk().next(now);
        let shared = Arc::clone(shared);
        match step {
            Step::Wait(wait) => return wait,
            Step::Fly(job) => {
                flights.spawn(async move {
                    let result = guarded(call(&shared, &job)).await;
                    Landed::Job(Box::new(job), result)
                });
            }
            Step::Probe => {
                flights.spawn(async move { Landed::Probe(guarded(shared.api.ping()).await) });
            }
            Step::Quick(what) => {
                flights.spawn(async move {
                    attend(&shared, what).await;
                    Landed::Quick
                });
            }
        }
    }
}

/// A bug in a call must cost neither the job nor its chat: whether it went out is unknown.
async fn guarded<T>(call: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let caught = AssertUnwindSafe(call).catch_unwind().await;
    caught.unwrap_or_else(|_| Err(Fault::Unknown("a bug in the caller; see the log".into())))
}

async fn attend(shared: &Shared, what: Quick) {
    match what {
        Quick::Action(place) => quick::act(shared, place).await,
        Quick::Answer { id, text, alert, done } => {
            let answer = quick::answer(shared, &id, &text, alert).await;
            // Whoever asked may be gone.
            done.send(answer).ok();
        }
    }
}

async fn call(shared: &Shared, job: &Job) -> Result<i32, Fault> {
    let (api, place) = (&shared.api, job.place);
    match (job.act, job.post.as_deref()) {
        (Act::Send { reply_to }, Some(post)) => api.send(place, post, reply_to).await,
        (Act::Edit { message, media }, Some(post)) => {
            api.edit(place, message, post, media).await.map(|()| message)
        }
        (Act::Live { message }, Some(post)) => api.edit(place, message, post, false).await.map(|()| message),
        (Act::Delete { message }, _) => api.delete_message(place, message).await.map(|()| message),
        (_, None) => Err(Fault::Other { code: 400, description: "there is nothing to send".into() }),
    }
}

impl Shared {
    /// Carries out what follows from a call; when `stopping`, nothing is tried again.
    fn land(&self, landed: Option<Landed>, stopping: bool) {
        let now = self.now();
        match landed {
            Some(Landed::Job(job, result)) => self.land_job(*job, result, now, stopping),
            Some(Landed::Probe(result)) => {
                let mut desk = self.desk();
                let held = desk.probe.holds_all();
                desk.governor.landed_overall(now);
                if let Err(Fault::RetryAfter(wait)) = result {
                    desk.governor.blocked_overall(wait, now);
                }
                desk.probe.end(&result, now, &self.settings.waits);
                match &result {
                    Ok(()) => {
                        desk.last_ok = Some(clock::now());
                        if held {
                            tracing::info!("Telegram answers again");
                        }
                    }
                    Err(fault) => tracing::warn!("everything to Telegram waits: {fault}"),
                }
            }
            Some(Landed::Quick) | None => {}
        }
    }

    fn land_job(&self, mut job: Job, result: Result<i32, Fault>, now: Duration, stopping: bool) {
        let place = job.place;
        let next = match &result {
            Ok(message) => job.landed(*message),
            Err(fault) => job.failed(fault, now, &self.settings.waits, &self.settings.shapes),
        };
        let mut desk = self.desk();
        match &next {
            Next::Blocked(wait) => desk.governor.blocked(place.chat, *wait, now),
            Next::Probe => desk.probe.want(now, &self.settings.waits),
            Next::Token => {
                if desk.probe.token_ok() {
                    tracing::error!("{}", Fault::Token);
                }
                desk.probe.refuse_token(now, &self.settings.waits);
            }
            Next::Done(_) | Next::Again => {}
        }
        if result.is_ok() {
            desk.last_ok = Some(clock::now());
        }
        let (back, done) = match next {
            Next::Done(outcome) => (None, Some((job, outcome))),
            _ if stopping => (None, Some((job, Err(Undelivered::Stopped { attempted: false })))),
            Next::Again | Next::Blocked(_) | Next::Probe | Next::Token => (Some(job), None),
        };
        let again = back.is_some();
        desk.landed(place, back, now);
        self.show_queue(&desk);
        drop(desk);
        if let Err(fault) = &result
            && again
        {
            self.counters.add("opsbot_telegram_retries_total", &[("reason", fault.name())], 1);
            tracing::debug!(chat = place.chat, "to be repeated: {fault}");
        }
        if let Some((job, outcome)) = done {
            self.finish(job, outcome);
        }
    }

    /// Counts how a job ended, and tells whoever waits.
    pub(super) fn finish(&self, job: Job, outcome: Outcome) {
        let act = job.act;
        if let (Act::Live { .. }, Err(_)) = (act, &outcome) {
            self.dropped("live_edit", 1);
        } else {
            let result = match (&outcome, act) {
                (Ok(sent), Act::Send { .. }) if sent.repeat => "repeat",
                (Ok(_), Act::Send { .. }) => "sent",
                (Ok(_), Act::Delete { .. }) => "deleted",
                (Ok(_), Act::Edit { .. } | Act::Live { .. }) => "edited",
                (Err(undelivered), _) => name(undelivered),
            };
            self.counters.add("opsbot_telegram_sends_total", &[("result", result)], 1);
            if let Err(Undelivered::Gone(_) | Undelivered::Refused(_) | Undelivered::Unsure) = outcome {
                self.dropped("part", usize::from(job.is_begun()));
                tracing::warn!(chat = job.place.chat, result, "not delivered to Telegram");
            }
        }
        job.finish(outcome);
    }
}

fn name(undelivered: &Undelivered) -> &'static str {
    match undelivered {
        Undelivered::Gone(_) => "gone",
        Undelivered::MessageGone => "message_gone",
        Undelivered::Refused(_) => "refused",
        Undelivered::Unsure => "unsure",
        Undelivered::Token => "token",
        Undelivered::Stopped { .. } => "stopped",
    }
}
