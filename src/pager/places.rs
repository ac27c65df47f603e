//! What stands in the chats: one board for each, its rows written like everything else.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::{JobEnd, Pager, PagerError, Setup, lock, work::Wish};
use crate::{
    alerts::{Board, BoardRow, Job},
    domain::{Block, IncidentId},
    runtime::clock,
    store::{KeptBoard, StoreError},
};

/// Stands on the card of an incident that a restart would forget.
const NOT_STORED: &str =
    "Not stored: the store cannot be written, so a restart would forget this. Look at /status.";

/// The boards of the setup's places, and of those that hold cards from before.
pub(super) fn restored(setup: &Setup, mut kept: BTreeMap<String, KeptBoard>) -> BTreeMap<String, Board> {
    for place in setup.places.keys() {
        kept.entry(place.clone()).or_default();
    }
    let boards = kept.into_iter().map(|(place, KeptBoard { pages, storms })| {
        let reach = setup.places.get(&place).cloned().unwrap_or_default();
        (place, Board::new(reach, setup.storm_above, pages, storms))
    });
    boards.collect()
}

/// Gives every board its part of a changed setup. A place that is no longer paged keeps its board: what stands there is
/// still brought up to date.
pub(super) fn set(boards: &mut BTreeMap<String, Board>, setup: &Setup) {
    for place in setup.places.keys() {
        boards.entry(place.clone()).or_default();
    }
    for (place, board) in boards {
        board.set(setup.places.get(place).cloned().unwrap_or_default(), setup.storm_above);
    }
}

impl Pager {
    /// The places that begin with `channel` (`telegram:`) and have a board: those of the setup, and those that still hold cards.
    pub fn places(&self, channel: &str) -> Vec<String> {
        lock(&self.0.boards).keys().filter(|place| place.starts_with(channel)).cloned().collect()
    }

    /// What a place needs next; and otherwise when it may need something without a change.
    pub fn next(&self, place: &str) -> (Option<Job>, Option<Timestamp>) {
        let now = clock::now();
        let mut boards = lock(&self.0.boards);
        let Some(board) = boards.get_mut(place) else { return (None, None) };
        let desk = lock(&self.0.desk);
        match board.next(&desk, now) {
            Some(job) => (Some(self.marked(job)), None),
            None => (None, board.wakes_at(&desk, now)),
        }
    }

    /// The job's sending begins: durable when it gives `Ok`. With a broken store the job goes on all the same.
    ///
    /// # Errors
    /// The store's.
    pub async fn begins(&self, place: &str, job: &Job) -> Result<(), StoreError> {
        let row = lock(&self.0.boards).get_mut(place).and_then(|board| board.begins(job));
        self.keep(place, row).await
    }

    /// The job ended; see the like-named methods of [`Board`].
    ///
    /// # Errors
    /// The store's; the board in memory knows all the same.
    pub async fn ended(&self, place: &str, job: &Job, end: JobEnd<'_>) -> Result<(), StoreError> {
        let row = lock(&self.0.boards).get_mut(place).and_then(|board| match end {
            JobEnd::Done(message) => board.done(job, message, clock::now()),
            JobEnd::NotBegun => board.not_begun(job),
            JobEnd::Gone => board.gone(job),
            JobEnd::Failed(why) => board.failed(job, why),
        });
        self.0.changed();
        self.keep(place, row).await
    }

    /// The incident whose card a message is.
    pub fn incident_at(&self, place: &str, message: &str) -> Option<IncidentId> {
        lock(&self.0.boards).get(place)?.incident_at(message)
    }

    /// Writes a row of a board with the next commit, which also holds all that its job was made from.
    async fn keep(&self, place: &str, row: Option<BoardRow>) -> Result<(), StoreError> {
        let Some(row) = row else { return Ok(()) };
        let (answer, answered) = oneshot::channel();
        match self.0.wish(Wish::Board { place: place.to_owned(), row: Box::new(row), answer }).await {
            Ok(()) => answered.await.unwrap_or(Err(StoreError::Closed)),
            Err(PagerError::NotStored(error)) => Err(error),
            Err(PagerError::Busy) => Err(StoreError::Busy),
            Err(PagerError::Refused(_) | PagerError::Stopping) => Err(StoreError::Closed),
        }
    }

    /// Says on a card that its incident is not written down.
    fn marked(&self, mut job: Job) -> Job {
        if let Job::Send { incident: Some(id), card, .. } | Job::Edit { incident: Some(id), card, .. } =
            &mut job
            && lock(&self.0.unsaved).contains(id)
            && let Block::Alert(card) = card.as_mut()
        {
            card.notes.push(NOT_STORED.to_owned());
        }
        job
    }
}
