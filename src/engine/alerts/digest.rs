//! The digest: on demand, and once a day into the chats of the ladder's first step.

use std::time::Duration;

use jiff::{Timestamp, ToSpan, civil::Time, tz::TimeZone};
use tokio_util::sync::CancellationToken;

use super::Alerting;
use crate::{
    alerts::digest::{Facts, digest},
    domain::{Block, ConversationKey, TurnStatus},
    engine::{Engine, Sink, redact_block},
    pager::HistoryQuery,
    runtime::clock,
    store::StoreError,
};

/// The daily digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestPlan {
    /// When, in the zone of the times that people read.
    pub at: Time,
    /// The conversations that it goes to: those of the ladder's first places.
    pub to: Vec<ConversationKey>,
}

/// How often the clock is looked at.
const LOOK: Duration = Duration::from_secs(20);
/// A digest that is later than this is marked so.
const LATE: Duration = Duration::from_secs(600);
/// Without one before, a digest tells of this much.
const FIRST: i64 = 24;
/// So many incidents that were are counted at most.
const COUNTED: u32 = 5000;

/// The last time at or before `now` when a digest was due.
pub fn last_due(at: Time, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
    let today = now.to_zoned(zone.clone()).date();
    let due = |date: jiff::civil::Date| Some(date.to_datetime(at).to_zoned(zone.clone()).ok()?.timestamp());
    due(today).filter(|due| *due <= now).or_else(|| due(today.yesterday().ok()?))
}

impl Engine {
    pub(super) async fn show_digest(
        &self,
        alerting: &Alerting,
        sink: &Sink,
    ) -> Result<TurnStatus, StoreError> {
        let since = self.store().digest_last().await?;
        for block in self.digest_blocks(alerting, since, None).await? {
            sink.block(block).await;
        }
        Ok(TurnStatus::Answered)
    }

    async fn digest_blocks(
        &self,
        alerting: &Alerting,
        since: Option<Timestamp>,
        late: Option<Timestamp>,
    ) -> Result<Vec<Block>, StoreError> {
        let times = alerting.times();
        let since = since.or_else(|| times.now.checked_sub(FIRST.hours()).ok()).unwrap_or(times.now);
        let query = HistoryQuery { since: Some(since), most: COUNTED, ..HistoryQuery::default() };
        let past = alerting.pager.history(&query).await?;
        let blocks = alerting.pager.look(|desk| {
            let open = desk.open().into_iter().map(|i| (i, desk.alerts_of(i.id))).collect();
            digest(&Facts { since, late, open, past: &past, silences: desk.silences() }, &times)
        });
        Ok(blocks)
    }

    /// Sends the daily digest when it is due, until `stop`. One that was missed while the daemon was down is sent once and
    /// says so.
    ///
    /// # Errors
    /// The store's, as a sentence for the supervisor.
    pub async fn run_digests(&self, stop: CancellationToken) -> Result<(), String> {
        loop {
            self.current().digest_if_due(clock::now()).await.map_err(|e| e.to_string())?;
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    /// Sends the digest if one is due at `now` that was not sent; whether it was.
    ///
    /// # Errors
    /// The store's.
    pub async fn digest_if_due(&self, now: Timestamp) -> Result<bool, StoreError> {
        let Some(alerting) = self.alerting() else { return Ok(false) };
        let Some(plan) = &alerting.digest else { return Ok(false) };
        let Some(due) = last_due(plan.at, &alerting.zone, now) else { return Ok(false) };
        let last = self.store().digest_last().await?;
        match last {
            // The first start promises the next one only.
            None => {
                self.store().digest_keep(now, &[], &[]).await?;
                return Ok(false);
            }
            Some(last) if last >= due => return Ok(false),
            Some(_) => {}
        }
        let late = now.duration_since(due).unsigned_abs() > LATE;
        let blocks = self.digest_blocks(alerting, last, late.then_some(due)).await?;
        let redactor = self.redactor();
        let blocks: Vec<_> = blocks.into_iter().map(|b| redact_block(&redactor, b)).collect();
        self.store().digest_keep(now, &plan.to, &blocks).await?;
        self.changed();
        tracing::info!(chats = plan.to.len(), late, "the digest was sent");
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_due_once_a_day_by_the_wall_clock() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let at = Time::new(8, 0, 0, 0).unwrap();
        let table = [
            ("2026-12-01T06:59:59Z", "2026-11-30T07:00:00Z"),
            ("2026-12-01T07:00:00Z", "2026-12-01T07:00:00Z"),
            ("2026-12-01T23:30:00Z", "2026-12-01T07:00:00Z"),
            // Summer time.
            ("2026-07-01T06:00:00Z", "2026-07-01T06:00:00Z"),
        ];
        for (now, due) in table {
            let got = last_due(at, &zone, now.parse().unwrap()).unwrap();
            assert_eq!(got.to_string(), due, "{now}");
        }
    }
}
