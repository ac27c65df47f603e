//! Logs besides Docker's: files with their rotated siblings, and journals. Reads tail, since and search within bounds.
//!
//! The newest lines are read first, so whatever ends a reading early (time, bytes, enough found) leaves the oldest out,
//! and what was left out is said. [`Tally`] counts lines of any source; [`Pattern`] is what is looked for in them.

mod budget;
mod files;
mod journal;
mod lines;
mod mask;
mod opened;
mod paths;
mod pattern;
mod tally;
mod when;

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use jiff::{Timestamp, tz::TimeZone};

use crate::domain::{CustomerId, ServiceName};

pub use mask::mask;
pub use paths::PathGlob;
pub use pattern::Pattern;
pub use tally::{Line, Passing, Tally, Want};

use budget::Budget;

/// So many sources are read at once.
const AT_ONCE: usize = 6;
/// Trying one source takes no longer.
const PROBE: Duration = Duration::from_secs(5);

/// Where the lines of a source come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// Text files.
    Files(PathGlob),
    /// A systemd journal.
    Journal {
        /// The folder that holds its files; none means this system's journal.
        folder: Option<PathBuf>,
        /// Only this unit's entries.
        unit: Option<String>,
    },
}

/// One configured log of a customer.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Whose.
    pub customer: CustomerId,
    /// The name that it has beside the containers' services.
    pub service: ServiceName,
    /// Where it lies.
    pub origin: Origin,
}

/// What of a log is wanted, and what may be used for it.
#[derive(Clone, Debug)]
pub struct Query {
    /// Which lines are counted and kept.
    pub want: Want,
    /// Only lines from then on.
    pub since: Option<Timestamp>,
    /// Reading may end after so many of the newest lines; none means that all are read.
    pub lines: Option<u64>,
    /// The time of the question: a year that a line does not say is the last one before it.
    pub now: Timestamp,
    /// How long the reading of one source may take.
    pub within: Duration,
    /// How many bytes of one source may be read.
    pub bytes: u64,
}

/// What was read of one log; a source may have several.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// The log's name: the file's, or the journal's.
    pub name: String,
    /// Its lines.
    pub tally: Tally,
    /// What could not be read, in sentences with what to do.
    pub gaps: Vec<String>,
}

impl Read {
    fn gap(name: &str, text: String) -> Self {
        Self { name: name.to_owned(), tally: Tally::default(), gaps: vec![text] }
    }
}

/// All configured sources. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sources {
    all: Arc<[Source]>,
    zone: TimeZone,
}

impl Default for Sources {
    fn default() -> Self {
        Self::new(vec![], TimeZone::UTC)
    }
}

impl Sources {
    /// Lines that name no time zone are in `zone`.
    pub fn new(all: Vec<Source>, zone: TimeZone) -> Self {
        Self { all: all.into(), zone }
    }

    /// The customer's sources, in the order of the configuration.
    pub fn of(&self, customer: &CustomerId) -> Vec<Source> {
        self.all.iter().filter(|s| s.customer == *customer).cloned().collect()
    }

    /// All sources, in the order of the configuration.
    pub fn all(&self) -> &[Source] {
        &self.all
    }

    /// Every customer that has a source, each once.
    pub fn customers(&self) -> Vec<CustomerId> {
        let mut all: Vec<_> = self.all.iter().map(|s| s.customer.clone()).collect();
        all.sort();
        all.dedup();
        all
    }

    /// Reads these sources at the same time; each one's logs in order of their names. Never fails: what cannot be read
    /// is a gap of its source. Dropping the future ends the reading.
    pub async fn read(&self, sources: &[Source], query: &Query) -> Vec<(ServiceName, Vec<Read>)> {
        let one =
            |source: Source| async { (source.service.clone(), self.read_one(source, query.clone()).await) };
        stream::iter(sources.to_vec()).map(one).buffered(AT_ONCE).collect().await
    }

    /// Tries every source with its last line, one after the other; what cannot be read is a gap of it.
    pub async fn probe(&self, now: Timestamp) -> Vec<(Source, Vec<Read>)> {
        let want = Want { keep: 1, ..Want::default() };
        let query = Query { want, since: None, lines: Some(1), now, within: PROBE, bytes: 64 << 20 };
        let mut probed = Vec::new();
        for source in self.all.iter() {
            probed.push((source.clone(), self.read_one(source.clone(), query.clone()).await));
        }
        probed
    }

    async fn read_one(&self, source: Source, query: Query) -> Vec<Read> {
        let (budget, waiting) = Budget::start(query.within, query.bytes);
        let reads = match source.origin {
            Origin::Journal { folder, unit } => {
                vec![journal::read(folder.as_deref(), unit.as_deref(), &query, &budget).await]
            }
            Origin::Files(glob) => {
                let times = when::Reader::new(self.zone.clone(), query.now);
                let name = glob.as_str().to_owned();
                let reading = move || files::read(&glob, &query, &times, &budget);
                let done = tokio::task::spawn_blocking(reading).await;
                done.unwrap_or_else(|_| {
                    vec![Read::gap(&name, format!("{name}: the reading broke off; try again"))]
                })
            }
        };
        drop(waiting);
        reads
    }
}
