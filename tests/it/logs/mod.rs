//! Logs besides Docker's, and the tools over all logs: real files, real rotation, a real journal.

mod files;
mod journal;
mod rotation;
mod tools;

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use jiff::{Timestamp, tz::TimeZone};
use opsbot::{
    domain::ServiceName,
    logs::{Origin, PathGlob, Pattern, Query, Read, Source, Sources, Want},
};

pub fn now() -> Timestamp {
    "2026-11-21T17:00:00Z".parse().unwrap()
}

/// The last 50 lines of all, unless it is changed.
pub fn query() -> Query {
    Query {
        want: Want { keep: 50, ..Want::default() },
        since: None,
        lines: Some(50),
        now: now(),
        within: Duration::from_secs(30),
        bytes: 1 << 40,
    }
}

/// All lines.
pub fn all() -> Query {
    Query { want: Want { keep: 100_000, ..Want::default() }, lines: None, ..query() }
}

/// All lines that match.
pub fn search(pattern: &str) -> Query {
    let pattern = Some(Pattern::new(pattern).unwrap());
    Query { want: Want { pattern, keep: 100_000, context: true, messages: true }, lines: None, ..query() }
}

pub fn files(glob: &Path) -> Source {
    source(Origin::Files(PathGlob::new(glob.to_str().unwrap()).unwrap()))
}

pub fn source(origin: Origin) -> Source {
    Source { customer: "19".into(), service: ServiceName::from("nginx"), origin }
}

/// Reads one source.
pub async fn read(source: Source, query: &Query) -> Vec<Read> {
    let sources = Sources::new(vec![source], TimeZone::UTC);
    let all = sources.of(&"19".into());
    sources.read(&all, query).await.remove(0).1
}

pub fn texts(read: &Read) -> Vec<&str> {
    read.tally.kept().iter().map(|l| l.text.as_str()).collect()
}

pub fn append(path: &Path, bytes: impl AsRef<[u8]>) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(bytes.as_ref()).unwrap();
}

pub fn pack(path: &Path, bytes: impl AsRef<[u8]>) {
    let mut packer = GzEncoder::new(File::create(path).unwrap(), Compression::fast());
    packer.write_all(bytes.as_ref()).unwrap();
    packer.finish().unwrap();
}

/// An access log's line of 21 November, so many seconds after 16:00.
pub fn access(second: u32, rest: &str) -> String {
    let (minute, second) = (second / 60 % 60, second % 60);
    format!("10.0.0.7 - - [21/Nov/2026:16:{minute:02}:{second:02} +0000] {rest}\n")
}
