//! One thing to deliver, and what follows from how a try went; pure.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{Attempt, Lane, Sent, Shapes, Undelivered, Waits};
use crate::channels::telegram::{
    fault::Fault,
    post::{Place, Post},
};

/// How often a first send may be answered with 5xx before it is given up.
const MAX_SERVER_FAULTS: u32 = 6;

pub(super) type Outcome = Result<Sent, Undelivered>;

/// What is done with a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// It becomes a message.
    Send { reply_to: Option<i32> },
    /// It becomes what a message says.
    Edit { message: i32, media: bool },
    /// As an edit, but only the newest counts, and nobody waits for it.
    Live { message: i32 },
    /// A message goes; there is no post.
    Delete { message: i32 },
}

/// How far a post had to be degraded because Telegram refused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Shape {
    Full,
    Plain,
    Short,
}

/// One thing to deliver.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) place: Place,
    pub(super) lane: Lane,
    pub(super) act: Act,
    pub(super) post: Option<Arc<Post>>,
    /// Not before this time.
    pub(super) not_before: Duration,
    /// Not before the server was seen to be well after this time.
    pub(super) well_after: Option<Duration>,
    /// What of a shortened post is still to be sent.
    rest: VecDeque<Post>,
    /// The first message of a shortened post.
    first: Option<Sent>,
    shape: Shape,
    marked: bool,
    unknowns: u32,
    servers: u32,
    pauses: u32,
    started: bool,
    done: Option<oneshot::Sender<Outcome>>,
    _room: Option<OwnedSemaphorePermit>,
}

/// What follows from a try.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    /// It is over.
    Done(Outcome),
    /// Once more, when the job's own waits are over.
    Again,
    /// Once more, when the chat may be called again after this time.
    Blocked(Duration),
    /// Once more, when the server was seen to be well.
    Probe,
    /// Once more, when the token is good.
    Token,
}

impl Job {
    pub(super) fn new(place: Place, lane: Lane, act: Act, post: Option<Post>) -> Self {
        Self {
            place,
            lane,
            act,
            post: post.map(Arc::new),
            not_before: Duration::ZERO,
            well_after: None,
            rest: VecDeque::new(),
            first: None,
            shape: Shape::Full,
            marked: false,
            unknowns: 0,
            servers: 0,
            pauses: 0,
            started: false,
            done: None,
            _room: None,
        }
    }

    /// A send that may be a repetition is marked from the start, and has used up its one unknown outcome.
    pub(super) fn attempt(mut self, attempt: Attempt, shapes: &Shapes) -> Self {
        if attempt == Attempt::MaybeRepeat {
            self.mark(shapes);
            self.unknowns = 1;
        }
        self
    }

    /// Who waits for it, and the place that it takes in its chat's queue.
    pub(super) fn awaited(mut self, done: oneshot::Sender<Outcome>, room: OwnedSemaphorePermit) -> Self {
        self.done = Some(done);
        self._room = Some(room);
        self
    }

    /// Whether whoever wanted it is gone before anything was tried.
    pub(super) fn is_abandoned(&self) -> bool {
        !self.started && self.done.as_ref().is_some_and(oneshot::Sender::is_closed)
    }

    /// The message whose final text this is.
    pub(super) fn finishes(&self) -> Option<i32> {
        match self.act {
            Act::Edit { message, .. } | Act::Delete { message } => Some(message),
            Act::Send { .. } | Act::Live { .. } => None,
        }
    }

    /// A try begins.
    pub(super) fn begin(&mut self) {
        self.started = true;
        self.well_after = None;
    }

    /// Tells whoever waits. When only the end of a shortened post fails, the reader has the beginning: that counts.
    pub(super) fn finish(mut self, outcome: Outcome) {
        let outcome = match (outcome, self.first) {
            (Err(Undelivered::Stopped { .. }), _) => Err(self.stopped()),
            (Err(_), Some(first)) => Ok(first),
            (outcome, _) => outcome,
        };
        if let Some(done) = self.done.take() {
            // Nobody may be waiting any more.
            done.send(outcome).ok();
        }
    }

    /// Whether a shortened post's beginning is sent and its end is not.
    pub(super) fn is_begun(&self) -> bool {
        self.first.is_some()
    }

    /// The outcome of a job that must not be tried again because the bot stops.
    pub(super) fn stopped(&self) -> Undelivered {
        let sends = matches!(self.act, Act::Send { .. }) || self.first.is_some();
        let maybe = self.first.is_some() || self.marked || self.unknowns > 0 || self.servers > 0;
        Undelivered::Stopped { attempted: sends && maybe }
    }

    /// It worked; `message` is the message's id.
    pub(super) fn landed(&mut self, message: i32) -> Next {
        let first = *self.first.get_or_insert(Sent { message, repeat: self.marked });
        let Some(part) = self.rest.pop_front() else { return Next::Done(Ok(first)) };
        self.post = Some(Arc::new(part));
        self.act = Act::Send { reply_to: None };
        self.shape = Shape::Short;
        (self.marked, self.unknowns, self.servers, self.pauses) = (false, 0, 0, 0);
        Next::Again
    }

    /// It failed at `now`.
    pub(super) fn failed(&mut self, fault: &Fault, now: Duration, waits: &Waits, shapes: &Shapes) -> Next {
        match self.act {
            Act::Send { .. } => self.failed_send(fault, now, waits, shapes),
            Act::Edit { .. } => self.failed_edit(fault, now, waits, shapes),
            Act::Live { .. } => failed_live(fault),
            Act::Delete { message } => match fault {
                Fault::MessageGone => Next::Done(Ok(Sent { message, repeat: false })),
                other => self.failed_edit(other, now, waits, shapes),
            },
        }
    }

    fn failed_send(&mut self, fault: &Fault, now: Duration, waits: &Waits, shapes: &Shapes) -> Next {
        match fault {
            // What only shows that work goes on is not worth a second copy.
            Fault::Server(_) | Fault::Unknown(_) if self.lane == Lane::Live => {
                Next::Done(Err(Undelivered::Unsure))
            }
            Fault::Server(_) => {
                self.servers += 1;
                if self.servers >= MAX_SERVER_FAULTS {
                    return Next::Done(Err(Undelivered::Unsure));
                }
                self.not_before = now + waits.backoff(self.servers, 3);
                self.again_marked(now, shapes)
            }
            Fault::Unknown(_) => {
                self.unknowns += 1;
                if self.unknowns > 1 {
                    return Next::Done(Err(Undelivered::Unsure));
                }
                self.again_marked(now, shapes)
            }
            Fault::MessageGone => {
                let Act::Send { reply_to: Some(_) } = self.act else { return refused(fault) };
                self.act = Act::Send { reply_to: None };
                Next::Again
            }
            other => self.failed_either(other, now, waits, shapes),
        }
    }

    /// An edit is idempotent: whatever may or may not have happened, it is simply made again.
    fn failed_edit(&mut self, fault: &Fault, now: Duration, waits: &Waits, shapes: &Shapes) -> Next {
        match (fault, self.act) {
            (Fault::NotModified, Act::Edit { message, .. }) => self.landed(message),
            (Fault::MessageGone, _) => Next::Done(Err(Undelivered::MessageGone)),
            (Fault::Server(_) | Fault::Unknown(_), _) => self.pause(now, waits),
            _ => self.failed_either(fault, now, waits, shapes),
        }
    }

    fn failed_either(&mut self, fault: &Fault, now: Duration, waits: &Waits, shapes: &Shapes) -> Next {
        match fault {
            Fault::RetryAfter(wait) => Next::Blocked(*wait),
            Fault::NotSent(_) | Fault::Conflict(_) => self.pause(now, waits),
            Fault::Token => Next::Token,
            Fault::Blocked(_) | Fault::ChatGone { .. } => {
                Next::Done(Err(Undelivered::Gone(fault.to_string())))
            }
            Fault::BadEntities | Fault::TooLong | Fault::Other { .. } if self.degrade(fault, shapes) => {
                Next::Again
            }
            _ => refused(fault),
        }
    }

    fn pause(&mut self, now: Duration, waits: &Waits) -> Next {
        self.pauses = self.pauses.saturating_add(1);
        self.not_before = now + waits.backoff(self.pauses, 2);
        Next::Again
    }

    fn again_marked(&mut self, now: Duration, shapes: &Shapes) -> Next {
        self.mark(shapes);
        self.well_after = Some(now);
        Next::Probe
    }

    fn mark(&mut self, shapes: &Shapes) {
        if !self.marked {
            self.marked = true;
            self.change(shapes.mark_repeat);
        }
    }

    fn change(&mut self, change: impl FnOnce(Post) -> Post) {
        self.post = self.post.take().map(|post| Arc::new(change(Arc::unwrap_or_clone(post))));
    }

    /// Takes the next simpler shape that differs; false when there is none.
    fn degrade(&mut self, fault: &Fault, shapes: &Shapes) -> bool {
        let Some(before) = self.post.clone() else { return false };
        if self.shape < Shape::Plain && *fault != Fault::TooLong {
            self.shape = Shape::Plain;
            self.change(shapes.plain);
            if self.post.as_ref() != Some(&before) {
                return true;
            }
        }
        if self.shape < Shape::Short {
            self.shape = Shape::Short;
            let mut parts = VecDeque::from((shapes.shorten)(Post::clone(&before)));
            if let Some(first) = parts.pop_front()
                && (first != *before || !parts.is_empty())
            {
                self.post = Some(Arc::new(first));
                self.rest = parts;
                return true;
            }
        }
        false
    }
}

fn failed_live(fault: &Fault) -> Next {
    match fault {
        Fault::RetryAfter(wait) => Next::Blocked(*wait),
        Fault::NotModified => Next::Done(Ok(Sent { message: 0, repeat: false })),
        Fault::Token => Next::Token,
        // The final text follows.
        _ => refused(fault),
    }
}

fn refused(fault: &Fault) -> Next {
    Next::Done(Err(Undelivered::Refused(fault.to_string())))
}

#[cfg(test)]
mod tests;
