//! The end of a growing file, read on at intervals, over rotation by renaming and by emptying.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::fcntl::OFlag;

/// A longer line is cut to so many bytes.
const LINE: usize = 64 << 10;

/// One file that is read on.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    open: Option<Opened>,
    /// A line that has no end yet; the rest of an overlong one is let go.
    rest: Vec<u8>,
}

#[derive(Debug)]
struct Opened {
    file: File,
    id: (u64, u64),
    offset: u64,
}

/// What one reading gave.
#[derive(Debug, Default)]
pub(super) struct Grown {
    pub lines: Vec<Vec<u8>>,
    /// So many bytes were left out because the file grows too fast.
    pub skipped: u64,
}

impl Tail {
    /// From the file's end on, or from its beginning for one that is new.
    pub(super) fn new(path: PathBuf, whole: bool) -> Self {
        let open = open(&path).ok().map(|(file, id, length)| Opened {
            file,
            id,
            offset: if whole { 0 } else { length },
        });
        Self { path, open, rest: Vec::new() }
    }

    /// Reads what was added, at most `most` bytes of each file; what is more than that is left out, but for its end.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub(super) fn read(&mut self, most: u64) -> io::Result<Grown> {
        let mut grown = Grown::default();
        let now = match open(&self.path) {
            Ok(now) => Some(now),
            // It is just being rotated, or gone.
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(e),
        };
        if let Some(opened) = &mut self.open {
            opened.read(most, &mut self.rest, &mut grown)?;
        }
        let Some((file, id, _)) = now else { return Ok(grown) };
        if self.open.as_ref().is_none_or(|opened| opened.id != id) {
            let opened = self.open.insert(Opened { file, id, offset: 0 });
            opened.read(most, &mut self.rest, &mut grown)?;
        }
        Ok(grown)
    }
}

impl Opened {
    fn read(&mut self, most: u64, rest: &mut Vec<u8>, grown: &mut Grown) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        if length < self.offset {
            // It was emptied and is written to from its beginning again.
            self.offset = 0;
            rest.clear();
        }
        let added = length - self.offset;
        if added > most {
            grown.skipped += added - most;
            self.offset = length - most;
            rest.clear();
        }
        let mut buffer = vec![0; usize::try_from(added.min(most)).unwrap_or(0)];
        self.file.read_exact_at(&mut buffer, self.offset)?;
        self.offset += buffer.len() as u64;
        for part in buffer.split_inclusive(|b| *b == b'\n') {
            let (text, ended) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            let room = LINE.saturating_sub(rest.len());
            rest.extend_from_slice(text.get(..room.min(text.len())).unwrap_or_default());
            if ended {
                grown.lines.push(std::mem::take(rest));
            }
        }
        Ok(())
    }
}

/// A link is not followed, and a pipe not waited for: whoever may write there must not choose what is read.
fn open(path: &Path) -> io::Result<(File, (u64, u64), u64)> {
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    Ok((file, (meta.dev(), meta.ino()), meta.len()))
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use super::*;

    fn add(path: &Path, text: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn lines(tail: &mut Tail) -> Vec<String> {
        let grown = tail.read(1 << 20).unwrap();
        grown.lines.iter().map(|l| String::from_utf8_lossy(l).into_owned()).collect()
    }

    #[test]
    fn growth_is_read_once_over_every_kind_of_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        add(&path, "old\n");
        let mut tail = Tail::new(path.clone(), false);
        assert_eq!(lines(&mut tail), [""; 0]);
        add(&path, "one\ntw");
        assert_eq!(lines(&mut tail), ["one"]);
        add(&path, "o\nlast");
        assert_eq!(lines(&mut tail), ["two"]);
        // Renamed: the old file gets its last lines, then the new one is read from its beginning.
        fs::rename(&path, dir.path().join("app.log.1")).unwrap();
        add(&dir.path().join("app.log.1"), " of the old\n");
        assert_eq!(lines(&mut tail), ["last of the old"]);
        add(&path, "first of the new\n");
        assert_eq!(lines(&mut tail), ["first of the new"]);
        // Emptied.
        fs::write(&path, "x\n").unwrap();
        assert_eq!(lines(&mut tail), ["x"]);
        assert_eq!(lines(&mut tail), [""; 0]);
        // Gone, and there again.
        fs::remove_file(&path).unwrap();
        assert_eq!(lines(&mut tail), [""; 0]);
        add(&path, "again\n");
        assert_eq!(lines(&mut tail), ["again"]);
    }

    #[test]
    fn too_much_is_left_out_and_counted_and_long_lines_are_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        add(&path, "");
        let mut tail = Tail::new(path.clone(), false);
        add(&path, &format!("{}\nend\n", "x".repeat(996)));
        let grown = tail.read(101).unwrap();
        assert_eq!((grown.skipped, grown.lines.len(), grown.lines[1].as_slice()), (900, 2, &b"end"[..]));
        add(&path, &format!("{}\n", "y".repeat(LINE + 10)));
        assert_eq!(tail.read(1 << 20).unwrap().lines[0].len(), LINE);
    }

    #[test]
    fn links_and_pipes_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (link, target) = (dir.path().join("link"), dir.path().join("secret"));
        add(&target, "secret\n");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(Tail::new(link, true).read(100).is_err());
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(Tail::new(pipe, true).read(100).is_err());
    }
}
