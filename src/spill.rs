//! Output that was too long for the prompt: kept for a day as a private file, searched on demand.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use rand::{TryRngCore, rngs::OsRng};
use regex::{Regex, RegexBuilder};

/// All files together, in bytes; the oldest go first.
const TOTAL: u64 = 64 << 20;
/// A pattern that compiles to more bytes is refused.
const PATTERN_SIZE: usize = 1 << 20;
/// A longer pattern, in bytes, is refused.
const PATTERN_TEXT: usize = 1000;
/// A found line longer than this, in characters, is shown around its match only.
const LINE: usize = 500;
/// At most so many lines around a match.
const CONTEXT: usize = 20;
const SUFFIX: &str = "txt";

/// A kept output's id: 8 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpillId(String);

impl SpillId {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for SpillId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for SpillId {
    type Err = SpillError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 8 && text.bytes().all(digit) {
            Ok(Self(text.to_owned()))
        } else {
            Err(SpillError::BadId(text.chars().take(40).collect()))
        }
    }
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpillHits {
    /// Line number (from 1) and text of the first matching lines and those around them, in order, none twice.
    pub lines: Vec<(usize, String)>,
    /// How many lines match in all.
    pub total: usize,
}

/// Why a kept output could not be written or searched. Addressed to the model and the person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpillError {
    /// Not an id.
    #[error("`{0}` is not an output id (8 hexadecimal digits, as the cut output named it)")]
    BadId(String),
    /// Never was, or is gone.
    #[error("no output `{0}` is kept any more; call the tool again")]
    Gone(String),
    /// The pattern does not compile, or is too large.
    #[error("the pattern cannot be used ({0}); give a short regular expression or plain words")]
    BadPattern(String),
    /// No room to keep it.
    #[error(
        "the disk is full, so the rest of the output was not kept; free some space in the state directory"
    )]
    Full,
    /// The operating system refused.
    #[error("the kept output cannot be used ({0}); check the state directory's owner and rights")]
    Io(String),
}

impl From<io::Error> for SpillError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io(error.to_string()),
        }
    }
}

/// The kept outputs of one directory. Calls block for as long as reading or writing up to 16 MB takes: from `async`
/// code, use a blocking thread. Text is redacted before it comes here.
#[derive(Debug)]
pub struct SpillStore {
    dir: PathBuf,
    lifetime: Duration,
    total: u64,
    /// Held while files come and go.
    changing: Mutex<()>,
}

/// A file of the directory.
struct Kept {
    at: SystemTime,
    bytes: u64,
    path: PathBuf,
}

impl SpillStore {
    /// Uses `dir` (made with mode 0700 where missing); [`SpillStore::sweep`] removes what is older than `lifetime`.
    pub fn open(dir: &Path, lifetime: Duration) -> Result<Self, SpillError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        Ok(Self { dir: dir.to_owned(), lifetime, total: TOTAL, changing: Mutex::new(()) })
    }

    /// Keeps `text` under a new id; all files together stay within 64 MB, one within 16 MB (the rest of a longer text
    /// is cut off, and its last line says so).
    pub fn put(&self, text: &str, now: Timestamp) -> Result<SpillId, SpillError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let most = usize::try_from(self.total / 4).unwrap_or(usize::MAX);
        let body = text.get(..text.floor_char_boundary(most)).unwrap_or(text);
        self.make_room(body.len() as u64)?;
        let id = self.unused_id()?;
        let (path, tmp) = (self.path(&id), self.dir.join(format!("{id}.tmp")));
        let write = || -> io::Result<()> {
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(&tmp)?;
            file.write_all(body.as_bytes())?;
            if body.len() < text.len() {
                write!(file, "\n[cut: {} more bytes were not kept]\n", text.len() - body.len())?;
            }
            file.set_modified(now.into())?;
            fs::rename(&tmp, &path)
        };
        write().inspect_err(|_| {
            fs::remove_file(&tmp).ok();
        })?;
        Ok(id)
    }

    /// Finds `pattern` (a regular expression, case-insensitive, in linear time) in the output `id`: the first
    /// `max_lines` matching lines, each with `context` lines before and after.
    pub fn search(
        &self,
        id: &str,
        pattern: &str,
        max_lines: usize,
        context: usize,
    ) -> Result<SpillHits, SpillError> {
        let id: SpillId = id.parse()?;
        let pattern = compile(pattern)?;
        let file = File::open(self.path(&id)).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => SpillError::Gone(id.to_string()),
            _ => e.into(),
        })?;
        let mut found = Search::new(max_lines, context.min(CONTEXT));
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            found.line(&pattern, String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']));
            line.clear();
        }
        Ok(found.hits)
    }

    /// Removes what is older than the lifetime, and what a kill left half written. Gives how many files went.
    pub fn sweep(&self, now: Timestamp) -> Result<usize, SpillError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let now = SystemTime::from(now);
        let mut gone = 0;
        for kept in self.kept()? {
            let half = kept.path.extension().is_none_or(|e| e != SUFFIX);
            if half || now.duration_since(kept.at).is_ok_and(|age| age >= self.lifetime) {
                remove(&kept.path)?;
                gone += 1;
            }
        }
        Ok(gone)
    }

    /// Removes the oldest until `bytes` more fit.
    fn make_room(&self, bytes: u64) -> Result<(), SpillError> {
        let mut kept = self.kept()?;
        kept.sort_by(|a, b| (a.at, &a.path).cmp(&(b.at, &b.path)));
        let mut sum = kept.iter().map(|k| k.bytes).sum::<u64>().saturating_add(bytes);
        for old in kept {
            if sum <= self.total {
                break;
            }
            remove(&old.path)?;
            sum = sum.saturating_sub(old.bytes);
        }
        Ok(())
    }

    /// The files that are ours; whatever else lies in the directory is left alone.
    fn kept(&self) -> Result<Vec<Kept>, SpillError> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let ours =
                path.file_stem().and_then(|s| s.to_str()).is_some_and(|s| s.parse::<SpillId>().is_ok())
                    && path.extension().is_some_and(|e| e == SUFFIX || e == "tmp");
            if !ours {
                continue;
            }
            match fs::symlink_metadata(&path) {
                Ok(meta) if meta.is_file() => {
                    kept.push(Kept { at: meta.modified()?, bytes: meta.len(), path })
                }
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(kept)
    }

    fn unused_id(&self) -> Result<SpillId, SpillError> {
        loop {
            let mut bits = [0_u8; 4];
            OsRng.try_fill_bytes(&mut bits).map_err(|e| SpillError::Io(e.to_string()))?;
            let id = SpillId(format!("{:08x}", u32::from_be_bytes(bits)));
            if !self.path(&id).try_exists()? {
                return Ok(id);
            }
        }
    }

    fn path(&self, id: &SpillId) -> PathBuf {
        self.dir.join(format!("{id}.{SUFFIX}"))
    }
}

fn remove(path: &Path) -> Result<(), SpillError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e.into()),
        _ => Ok(()),
    }
}

fn compile(pattern: &str) -> Result<Regex, SpillError> {
    if pattern.len() > PATTERN_TEXT {
        return Err(SpillError::BadPattern(format!("longer than {PATTERN_TEXT} bytes")));
    }
    RegexBuilder::new(pattern)
        .case_insensitive(true)
        .size_limit(PATTERN_SIZE)
        .dfa_size_limit(PATTERN_SIZE)
        .build()
        .map_err(|e| match e {
            regex::Error::CompiledTooBig(_) => SpillError::BadPattern("too large".to_owned()),
            // The last line of regex's drawing says what is wrong.
            e => SpillError::BadPattern(e.to_string().lines().last().unwrap_or_default().to_owned()),
        })
}

/// A walk over the lines that holds no more than it shows.
struct Search {
    hits: SpillHits,
    max_lines: usize,
    context: usize,
    number: usize,
    /// The last `context` lines that were not shown.
    before: std::collections::VecDeque<(usize, String)>,
    /// So many lines after the last shown match are still to show.
    after: usize,
}

impl Search {
    fn new(max_lines: usize, context: usize) -> Self {
        let before = std::collections::VecDeque::with_capacity(context);
        Self { hits: SpillHits::default(), max_lines, context, number: 0, before, after: 0 }
    }

    fn line(&mut self, pattern: &Regex, line: &str) {
        self.number += 1;
        let found = pattern.find(line);
        if let Some(found) = found {
            self.hits.total += 1;
            if self.hits.total <= self.max_lines {
                self.hits.lines.extend(self.before.drain(..));
                self.hits.lines.push((self.number, cut(line, found.start())));
                self.after = self.context;
                return;
            }
        }
        if self.after > 0 {
            self.after -= 1;
            self.hits.lines.push((self.number, cut(line, 0)));
        } else if self.context > 0 && self.hits.total < self.max_lines {
            if self.before.len() == self.context {
                self.before.pop_front();
            }
            self.before.push_back((self.number, cut(line, 0)));
        }
    }
}

/// The part of a long line around the byte `at`.
fn cut(line: &str, at: usize) -> String {
    if line.len() <= LINE {
        return line.to_owned();
    }
    let begin = line.floor_char_boundary(at.saturating_sub(LINE / 4));
    let rest = line.get(begin..).unwrap_or_default();
    let mut chars = rest.chars();
    let shown: String = chars.by_ref().take(LINE).collect();
    let dots = |cut: bool| if cut { "…" } else { "" };
    format!("{}{shown}{}", dots(begin > 0), dots(chars.next().is_some()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + seconds).unwrap()
    }

    fn store() -> (tempfile::TempDir, SpillStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = SpillStore::open(&dir.path().join("spill"), DAY).unwrap();
        (dir, store)
    }

    #[test]
    fn finds_lines_with_context_and_counts_all() {
        let (_dir, store) = store();
        let text = "a\nb\nERROR one\nc\nerror two\nd\ne\nf\nError three\ng\n";
        let id = store.put(text, at(0)).unwrap();
        let hits = |max, context| store.search(id.as_str(), "error", max, context).unwrap();
        let numbers = |hits: &SpillHits| hits.lines.iter().map(|l| l.0).collect::<Vec<_>>();
        assert_eq!(numbers(&hits(10, 0)), [3, 5, 9]);
        assert_eq!(numbers(&hits(10, 1)), [2, 3, 4, 5, 6, 8, 9, 10]);
        assert_eq!(numbers(&hits(10, 2)), (1..=10).collect::<Vec<_>>());
        assert_eq!(numbers(&hits(1, 1)), [2, 3, 4]);
        assert_eq!(numbers(&hits(1, 2)), [1, 2, 3, 4, 5]);
        assert_eq!(hits(1, 1).total, 3);
        assert_eq!(hits(0, 3), SpillHits { lines: vec![], total: 3 });
        assert_eq!(hits(1, 0).lines, [(3, "ERROR one".to_owned())]);
        assert_eq!(store.search(id.as_str(), "nothing", 9, 9).unwrap(), SpillHits::default());
    }

    #[test]
    fn refuses_paths_and_strange_patterns() {
        let (dir, store) = store();
        fs::write(dir.path().join("secret.txt"), "password").unwrap();
        for id in
            ["../secret", "/etc/passwd", "", "ABCDEF01", "1234567", "123456789", "1234/678", "12345678\0"]
        {
            let found = store.search(id, "password", 9, 0);
            assert!(matches!(found, Err(SpillError::BadId(_))), "{id:?}: {found:?}");
        }
        assert_eq!(store.search("00000000", "x", 9, 0), Err(SpillError::Gone("00000000".to_owned())));
        let id = store.put("aaaa", at(0)).unwrap();
        for pattern in ["(", "a{1000}{1000}", r"\w{5000}", &"a".repeat(1001)] {
            let found = store.search(id.as_str(), pattern, 9, 0);
            assert!(matches!(found, Err(SpillError::BadPattern(_))), "{pattern}: {found:?}");
        }
    }

    #[test]
    fn files_are_private_and_last_their_lifetime() {
        let (dir, store) = store();
        let old = store.put("old", at(0)).unwrap();
        let new = store.put("new", at(60)).unwrap();
        let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&store.dir), mode(&store.path(&old))), (0o700, 0o600));
        let foreign = dir.path().join("spill/notes.txt");
        fs::write(&foreign, "mine").unwrap();
        fs::write(dir.path().join("spill/0badcafe.tmp"), "half").unwrap();
        assert_eq!(store.sweep(at(0)).unwrap(), 1, "the half-written one");
        assert_eq!(store.sweep(at(24 * 3600 - 1)).unwrap(), 0);
        assert_eq!(store.sweep(at(24 * 3600)).unwrap(), 1);
        assert!(matches!(store.search(old.as_str(), "old", 9, 0), Err(SpillError::Gone(_))));
        assert_eq!(store.search(new.as_str(), "new", 9, 0).unwrap().total, 1);
        assert!(foreign.exists());
    }

    #[test]
    fn stays_within_its_total_and_drops_the_oldest() {
        let (_dir, mut store) = store();
        store.total = 1000;
        let ids: Vec<_> = (0..8).map(|i| store.put(&"x".repeat(200), at(i)).unwrap()).collect();
        let alive: Vec<_> = ids.iter().map(|id| store.path(id).exists()).collect();
        assert_eq!(alive, [false, false, false, true, true, true, true, true]);
        let id = store.put(&"ä\n".repeat(1000), at(9)).unwrap();
        let hits = store.search(id.as_str(), "ä|cut", 1, 0).unwrap();
        assert_eq!(hits.total, 83 + 1, "250 bytes whole characters, and the line that tells");
        assert!(store.search(id.as_str(), "more bytes were not kept", 9, 0).unwrap().total == 1);
    }

    #[test]
    fn a_huge_line_is_shown_around_its_match() {
        let (_dir, store) = store();
        let text = format!("{}needle{}", "é".repeat(1_000_000), "ü".repeat(1_000_000));
        let id = store.put(&text, at(0)).unwrap();
        let hits = store.search(id.as_str(), "needle", 9, 3).unwrap();
        let (number, line) = &hits.lines[0];
        assert!(*number == 1 && line.contains("éneedleü") && line.chars().count() == LINE + 2, "{line}");
        assert!(line.starts_with('…') && line.ends_with('…'));
    }

    #[test]
    fn a_pattern_takes_linear_time() {
        let (_dir, store) = store();
        let id = store.put(&"a".repeat(100_000), at(0)).unwrap();
        assert_eq!(store.search(id.as_str(), "(a*)*b", 9, 0).unwrap().total, 0);
    }
}
