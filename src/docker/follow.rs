//! A container's log as it grows, read no faster than is allowed.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    DockerError,
    decode::{Decoder, PassingLine},
    host::Host,
};
use crate::{domain::ContainerRef, runtime::clock::Stopwatch};

/// The span that bytes are counted in.
const SECOND: Duration = Duration::from_secs(1);

/// Where the following of a log begins, and how fast the log may grow.
#[derive(Clone, Copy, Debug)]
pub struct FollowFrom {
    /// Only lines from then on.
    pub since: Option<Timestamp>,
    /// So many of the lines that are there already. Docker finds a log's end at once, a time only by reading.
    pub tail: u32,
    /// A log that grows faster than so many bytes a second is let go.
    pub bytes_per_second: u64,
}

/// Why the following of a log ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowEnd {
    /// The container ended.
    Ended,
    /// The log grew too fast: what came after is not read.
    TooFast,
}

impl Host {
    pub(super) async fn follow(
        &self,
        r: &ContainerRef,
        from: FollowFrom,
        take: impl FnMut(&PassingLine<'_>),
    ) -> Result<FollowEnd, DockerError> {
        let id = self.id(r)?;
        let since = from
            .since
            .map_or_else(String::new, |t| format!("&since={}.{:09}", t.as_second(), t.subsec_nanosecond()));
        let path = format!(
            "/containers/{id}/logs?follow=true&stdout=true&stderr=true&timestamps=true&tail={}{since}",
            from.tail
        );
        let mut decoder = Decoder::new(take);
        let (mut watch, mut bytes, mut end) = (Stopwatch::start(), 0, FollowEnd::Ended);
        let read = self.get(&r.name, &path, |piece| {
            if watch.elapsed() >= SECOND {
                (watch, bytes) = (Stopwatch::start(), 0);
            }
            bytes += piece.len() as u64;
            decoder.push(piece).map_err(|g| DockerError::garbage(self.name(), g.0))?;
            if bytes > from.bytes_per_second {
                end = FollowEnd::TooFast;
            }
            Ok(end == FollowEnd::Ended)
        });
        self.forgetting(read.await)?;
        if end == FollowEnd::Ended {
            decoder.finish().map_err(|g| DockerError::garbage(self.name(), g.0))?;
        }
        Ok(end)
    }
}
