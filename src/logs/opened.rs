//! All files of one log, opened so that together they are one moment: rotation before, between and after changes nothing.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use nix::fcntl::OFlag;

use super::paths::{Packing, PathGlob, Place};

/// So many bytes at a file's beginning, and at an end, tell it from others.
const MARK: usize = 4_096;
/// How often files are listed again when they change in between.
const TRIES: usize = 40;

/// One file of a log.
#[derive(Debug)]
pub(super) struct Opened {
    pub place: Place,
    /// Its name without its folder.
    pub name: String,
    pub file: File,
    /// Its length when it was opened: what comes later is not of this moment.
    pub length: u64,
    /// When it was last written to.
    pub changed: Option<Timestamp>,
    id: (u64, u64),
    head: Vec<u8>,
}

/// The files of one log, the newest first.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub name: String,
    pub files: Vec<Opened>,
    /// What of it could not be read, and what to do.
    pub gaps: Vec<String>,
}

impl Opened {
    fn open(folder: &Path, place: Place, name: String) -> io::Result<Self> {
        let path = resolved(folder, &name)?;
        // Without waiting: a pipe of that name must not hold us up.
        let flags = (OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY).bits();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let mut head = vec![0; MARK.min(usize::try_from(meta.len()).unwrap_or(MARK))];
        let read = file.read_at(&mut head, 0)?;
        head.truncate(read);
        let changed = meta.modified().ok().and_then(|t| Timestamp::try_from(t).ok());
        let (length, id) = (meta.len(), (meta.dev(), meta.ino()));
        Ok(Self { place, name, file, length, changed, id, head })
    }

    /// Whether the bytes that were there when it was opened still are.
    pub(super) fn is_whole(&self) -> io::Result<bool> {
        let mut head = vec![0; self.head.len()];
        let read = self.file.read_at(&mut head, 0)?;
        Ok(self.file.metadata()?.len() >= self.length && read == head.len() && head == self.head)
    }

    /// Whether it is a copy of `live`'s beginning: a copy in progress, after which `live` is going to be emptied.
    fn is_copy_of(&self, live: &Self) -> io::Result<bool> {
        let common = self.head.len().min(live.head.len());
        if self.length == 0 || self.length > live.length || self.head.get(..common) != live.head.get(..common)
        {
            return Ok(false);
        }
        let from = self.length.saturating_sub(MARK as u64);
        let end = |file: &File| -> io::Result<Vec<u8>> {
            let mut bytes = vec![0; usize::try_from(self.length - from).unwrap_or(MARK)];
            file.read_exact_at(&mut bytes, from)?;
            Ok(bytes)
        };
        Ok(end(&self.file)? == end(&live.file)?)
    }
}

/// The file itself; a link is followed to a file of the same folder only, for whoever may write here must not choose
/// what is read.
fn resolved(folder: &Path, name: &str) -> io::Result<PathBuf> {
    let path = folder.join(name);
    if !fs::symlink_metadata(&path)?.is_symlink() {
        return Ok(path);
    }
    let target = fs::canonicalize(&path)?;
    if target.parent() == Some(fs::canonicalize(folder)?.as_path()) {
        Ok(target)
    } else {
        Err(io::Error::other(
            "it is a link to another folder, which is not followed; name that folder's files instead",
        ))
    }
}

/// Name and identity of every file, to see whether something moved.
fn census(folder: &Path, listed: &[(Place, String)]) -> Vec<(String, Option<(u64, u64)>)> {
    let id = |name: &String| fs::metadata(folder.join(name)).ok().map(|m| (m.dev(), m.ino()));
    listed.iter().map(|(_, name)| (name.clone(), id(name))).collect()
}

/// Opens the logs that `glob` means in one folder.
pub(super) fn open(glob: &PathGlob, folder: &Path) -> io::Result<Vec<Log>> {
    let mut tries = 0;
    loop {
        let listed = glob.list(folder)?;
        let before = census(folder, &listed);
        let mut logs: Vec<Log> = Vec::new();
        for (place, name) in listed {
            if logs.last().is_none_or(|log| log.name != place.log) {
                logs.push(Log { name: place.log.clone(), ..Log::default() });
            }
            if let Some(log) = logs.last_mut() {
                log.add(folder, place, name);
            }
        }
        let same = census(folder, &glob.list(folder)?) == before
            && logs.iter().flat_map(|l| &l.files).all(|f| before.contains(&(f.name.clone(), Some(f.id))));
        tries += 1;
        if same || tries >= TRIES {
            logs.iter_mut().for_each(Log::once_each);
            return Ok(logs);
        }
    }
}

impl Log {
    fn add(&mut self, folder: &Path, place: Place, name: String) {
        if place.packing == Packing::Foreign {
            self.gaps.push(format!("{name} is packed in a way that is not read here; gzip is"));
            return;
        }
        match Opened::open(folder, place, name.clone()) {
            Ok(file) => self.files.push(file),
            // It was renamed or removed since it was listed; the list is made again.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => self.gaps.push(unreadable(&folder.join(name), &e)),
        }
    }

    /// Leaves each part of the log once: a file that is just being packed or copied is there twice.
    fn once_each(&mut self) {
        let mut left: Vec<Opened> = Vec::new();
        for file in std::mem::take(&mut self.files) {
            let packed_twin = file.place.packing == Packing::Gzip
                && left.iter().any(|other| other.place.same_file(&file.place));
            let same = left.iter().any(|other| other.id == file.id);
            let copy = file.place.is_old()
                && left
                    .first()
                    .is_some_and(|live| !live.place.is_old() && file.is_copy_of(live).unwrap_or(false));
            if !packed_twin && !same && !copy {
                left.push(file);
            }
        }
        self.files = left;
    }
}

/// Says what cannot be read, why, and what to do.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> String {
    let why = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "permission denied; let OpsBot's user read it (most logs belong to the group adm)".to_owned()
        }
        io::ErrorKind::NotFound => "it is not there; check path in [[log_source]]".to_owned(),
        _ => error.to_string(),
    };
    format!("{} is not read: {why}", path.display())
}
