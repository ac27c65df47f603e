//! What the outside was told of the audit's end, so that a tail that was cut off is missed.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::PoisonError,
};

use jiff::{SignedDuration, Timestamp};

use super::{Store, StoreError};

/// A line per witnessed head: number, blank, MAC. It is only ever appended to: a head that the database lost is
/// evidence, and the next one must not wipe it out.
const HEAD_FILE: &str = "audit.head";
/// So many rows ask for a witness…
const ROWS: i64 = 64;
/// … and so does this time with any new row.
const AGE: SignedDuration = SignedDuration::from_mins(5);

/// The last head that was told.
#[derive(Debug, Default)]
pub(super) struct Witness {
    seq: i64,
    at: Option<Timestamp>,
}

impl Witness {
    pub(super) fn of(dir: &Path) -> Result<Self, StoreError> {
        let seq = heads(dir)?.last().map_or(0, |(seq, _)| *seq);
        Ok(Self { seq, at: None })
    }
}

impl Store {
    /// The audit's head if it is time to tell it to the journal: 64 rows or 5 minutes after the last one, and the
    /// first new one of a process at once. It is in `audit.head`, durably, when this returns.
    pub async fn witness_due(&self, now: Timestamp) -> Result<Option<(i64, String)>, StoreError> {
        let head = self.audit_head().await?;
        {
            let last = self.0.witness.lock().unwrap_or_else(PoisonError::into_inner);
            let old = last.at.is_none_or(|at| now.duration_since(at) >= AGE);
            // Fewer rows than were told: the tail is gone. That is told once a process, too.
            let due = if head.0 < last.seq { last.at.is_none() } else { head.0 > last.seq && old };
            if !due && head.0 - last.seq < ROWS {
                return Ok(None);
            }
        }
        self.witness(head.clone(), Some(now))?;
        Ok(Some(head))
    }

    /// Appends `head` to the file unless it was the last.
    pub(super) fn witness(&self, head: (i64, String), now: Option<Timestamp>) -> Result<(), StoreError> {
        let mut last = self.0.witness.lock().unwrap_or_else(PoisonError::into_inner);
        if head.0 != last.seq {
            if let Some(dir) = &self.0.dir {
                append(&dir.join(HEAD_FILE), &head)
                    .map_err(|e| StoreError::io(format!("write {HEAD_FILE}"), &e))?;
            }
            last.seq = head.0;
        }
        last.at = now.or(last.at);
        Ok(())
    }

    /// All heads in the file.
    pub(super) fn witnessed(&self) -> Result<Vec<(i64, String)>, StoreError> {
        self.0.dir.as_deref().map_or(Ok(Vec::new()), heads)
    }
}

fn heads(dir: &Path) -> Result<Vec<(i64, String)>, StoreError> {
    let text = match fs::read(dir.join(HEAD_FILE)) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(StoreError::io(format!("read {HEAD_FILE}"), &e)),
    };
    let line = |line: &str| {
        let (seq, mac) = line.split_once(' ')?;
        // A line that a power loss tore is none.
        (mac.len() == 64).then_some((seq.parse().ok()?, mac.to_owned()))
    };
    Ok(text.lines().filter_map(line).collect())
}

fn append(path: &Path, (seq, mac): &(i64, String)) -> io::Result<()> {
    let mut file = File::options().read(true).append(true).create(true).mode(0o600).open(path)?;
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    let begin = if last == [b'\n'] { "" } else { "\n" };
    file.write_all(format!("{begin}{seq} {mac}\n").as_bytes())?;
    file.sync_all()
}
