//! Reads logs in files within bounds: the newest first, so that whatever ends the reading early leaves the oldest out.

use std::{io, path::Path};

use jiff::Timestamp;

use super::{
    Passing, Query, Read, Tally,
    budget::Budget,
    lines::{Backwards, Unpacked, line_end, lines},
    opened::{self, Log, Opened, unreadable},
    paths::{Packing, PathGlob},
    when,
};

/// How often a log is read again that was rotated by truncation while it was read.
const TRIES: usize = 20;
/// So many logs of one source are read, the most recently written first.
const LOGS: usize = 24;
/// A record's first line, which says its time, is looked for in so many bytes of a block.
const OPENING: usize = 64 << 10;
/// A continued line's time is looked for in so many lines before it.
const RECORD: usize = 60;
/// So many lines of a log without times are shown for a question about a time.
const UNDATED: u64 = 1_000;

/// Why the reading of one file ended.
enum End {
    /// At its beginning.
    Whole,
    /// All that is wanted was read.
    Enough,
    /// The time or the bytes are used up; the text says so.
    Spent(String),
    /// Its lines say no time, so `since` does not find its place.
    Undated,
}

/// Reads every log of a source.
pub(super) fn read(glob: &PathGlob, query: &Query, times: &when::Reader, budget: &Budget) -> Vec<Read> {
    let folders = match glob.folders() {
        Ok(folders) if !folders.is_empty() => folders,
        Ok(_) => {
            return vec![Read::gap(
                glob.as_str(),
                "no folder fits that path; check path in [[log_source]]".into(),
            )];
        }
        Err(e) => return vec![Read::gap(glob.as_str(), unreadable(Path::new(glob.as_str()), &e))],
    };
    let mut reads = Vec::new();
    for folder in &folders {
        reads.extend(read_folder(glob, folder, query, times, budget));
    }
    if reads.is_empty() {
        let text = format!("no file fits {}; check path in [[log_source]]", glob.as_str());
        reads.push(Read::gap(glob.as_str(), text));
    }
    reads
}

fn read_folder(
    glob: &PathGlob,
    folder: &Path,
    query: &Query,
    times: &when::Reader,
    budget: &Budget,
) -> Vec<Read> {
    let mut logs = match opened::open(glob, folder) {
        Ok(logs) => logs,
        Err(e) => return vec![Read::gap(glob.as_str(), unreadable(folder, &e))],
    };
    let newest = |log: &Log| log.files.iter().filter_map(|f| f.changed).max();
    logs.sort_by(|a, b| newest(b).cmp(&newest(a)).then_with(|| a.name.cmp(&b.name)));
    let more = logs.len().saturating_sub(LOGS);
    logs.truncate(LOGS);
    logs.sort_by(|a, b| a.name.cmp(&b.name));
    let mut reads: Vec<_> =
        logs.into_iter().map(|log| read_log(glob, folder, log, (query, times, budget))).collect();
    if more > 0 {
        let text = format!(
            "{more} further logs fit {} and were not read; narrow path in [[log_source]]",
            glob.as_str()
        );
        reads.push(Read::gap(glob.as_str(), text));
    }
    reads
}

type Bounds<'a> = (&'a Query, &'a when::Reader, &'a Budget);

/// Reads one log; if it was emptied meanwhile, opens and reads it again.
fn read_log(glob: &PathGlob, folder: &Path, log: Log, bounds: Bounds<'_>) -> Read {
    let name = log.name.clone();
    let mut log = log;
    let mut tries = 1;
    loop {
        let (mut read, whole) = read_files(&log, bounds);
        if whole {
            return read;
        }
        if tries >= TRIES || bounds.2.spent().is_some() {
            read.gaps
                .push(format!("{name} was emptied again and again while it was read; lines may be missing"));
            return read;
        }
        tries += 1;
        let again = opened::open(glob, folder).ok();
        match again.and_then(|logs| logs.into_iter().find(|l| l.name == name)) {
            Some(found) => log = found,
            None => return Read::gap(&name, format!("{name} went away while it was read")),
        }
    }
}

/// The log's files from the newest on; false if one was emptied meanwhile.
fn read_files(log: &Log, (query, times, budget): Bounds<'_>) -> (Read, bool) {
    let mut tally = Tally::new(query.want.clone());
    let mut gaps = log.gaps.clone();
    for file in &log.files {
        let too_old = query.since.is_some_and(|since| file.changed.is_some_and(|changed| changed < since));
        if too_old {
            // Nothing was written to it in that time, and the older ones are older.
            break;
        }
        let mut reading = Reading { query, times, budget, tally: &mut tally };
        let end = match file.place.packing {
            Packing::Plain => reading.backwards(file),
            Packing::Gzip | Packing::Foreign => reading.unpacked(file),
        };
        match end {
            Ok(End::Whole) => {}
            Ok(End::Enough) => break,
            Ok(End::Spent(why)) => {
                gaps.push(format!("{}: {why}; older lines were not read", file.name));
                break;
            }
            Ok(End::Undated) => {
                gaps.push(format!(
                    "{}: its lines say no time, so its last lines are taken whatever `since` says",
                    file.name
                ));
                break;
            }
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof && file.place.packing == Packing::Plain => {
                return (Read { name: log.name.clone(), tally, gaps }, false);
            }
            Err(e) => gaps.push(format!(
                "{} is damaged or cannot be read on ({e}); what was read of it counts",
                file.name
            )),
        }
        if !file.is_whole().unwrap_or(true) {
            return (Read { name: log.name.clone(), tally, gaps }, false);
        }
    }
    (Read { name: log.name.clone(), tally, gaps }, true)
}

struct Reading<'a> {
    query: &'a Query,
    times: &'a when::Reader,
    budget: &'a Budget,
    tally: &'a mut Tally,
}

impl Reading<'_> {
    fn backwards(&mut self, file: &Opened) -> io::Result<End> {
        let mut blocks = Backwards::new(&file.file, file.length);
        let mut dated = false;
        while let Some(block) = blocks.next(|bytes| self.opening(bytes))? {
            let first = self.query.since.and_then(|_| self.first_time(&block));
            let before = self.query.since.filter(|since| first.is_none_or(|first| first < *since));
            dated |= first.is_some();
            let mut part = self.tally.another();
            match before {
                Some(since) if dated => self.count(&block, Some(since), &mut part),
                Some(_) | None => self.count(&block, None, &mut part),
            }
            self.tally.put_before(part);
            if before.is_some() && dated && first.is_some() {
                return Ok(End::Enough);
            }
            if before.is_some() && !dated && self.tally.seen() >= UNDATED {
                return Ok(End::Undated);
            }
            if self.query.lines.is_some_and(|most| self.tally.seen() >= most) {
                return Ok(End::Enough);
            }
            self.budget.took(block.len());
            if let Some(why) = self.budget.spent() {
                return Ok(End::Spent(why));
            }
        }
        Ok(if self.query.since.is_some() && !dated && self.tally.seen() > 0 {
            End::Undated
        } else {
            End::Whole
        })
    }

    fn unpacked(&mut self, file: &Opened) -> io::Result<End> {
        let mut blocks = Unpacked::new(&file.file);
        let mut part = self.tally.another();
        let mut inside = self.query.since.is_none();
        let end = loop {
            let block = match blocks.next() {
                Ok(Some(block)) => block,
                Ok(None) => break Ok(End::Whole),
                Err(e) => break Err(e),
            };
            if inside {
                self.count(&block, None, &mut part);
            } else {
                inside = self.count_from(&block, &mut part);
            }
            self.budget.took(block.len());
            if let Some(why) = self.budget.spent() {
                break Ok(End::Spent(format!("{why}, from its beginning")));
            }
        };
        self.tally.put_before(part);
        match end? {
            End::Whole if self.query.lines.is_some_and(|most| self.tally.seen() >= most) => Ok(End::Enough),
            end => Ok(end),
        }
    }

    /// Counts the lines of a block; with `since` only those from then on, a line without a time going with the one before.
    fn count(&self, block: &[u8], since: Option<Timestamp>, part: &mut Tally) {
        let mut inside = since.is_none();
        let mut record = Record { times: self.times, block, known: None, looked_at: 0 };
        for line in lines(block) {
            if let Some(since) = since
                && let Some(at) = record.at(line)
            {
                inside = at >= since;
            }
            if inside {
                part.line(Passing::whole(line), || record.at(line));
            }
        }
    }

    /// Counts from the first line on that lies in the time; tells whether there was one.
    fn count_from(&self, block: &[u8], part: &mut Tally) -> bool {
        self.count(block, self.query.since, part);
        part.seen() > 0
    }

    fn first_time(&self, block: &[u8]) -> Option<Timestamp> {
        let mut looked = 0;
        lines(block)
            .take_while(|line| {
                let within = looked < OPENING;
                looked += line.len() + 1;
                within
            })
            .find_map(|line| self.times.time(line))
    }

    /// Where the first record begins: at a line that says its time; where none does, at any line.
    fn opening(&self, bytes: &[u8]) -> Option<usize> {
        let first = line_end(bytes)? + 1;
        let mut at = first;
        while at < bytes.len().min(first + OPENING) {
            let rest = bytes.get(at..)?;
            let end = line_end(rest);
            if self.times.time(rest.get(..end.unwrap_or(rest.len()))?).is_some() {
                return Some(at);
            }
            match end {
                Some(end) => at += end + 1,
                None => break,
            }
        }
        Some(first)
    }
}

/// The times of a block's lines as they are asked for, the earlier ones first; no line is looked at twice.
struct Record<'b> {
    times: &'b when::Reader,
    block: &'b [u8],
    known: Option<Timestamp>,
    /// So much of the block was looked at.
    looked_at: usize,
}

impl Record<'_> {
    /// The line's time, or that of the line which it continues. `line` is a part of the block.
    fn at(&mut self, line: &[u8]) -> Option<Timestamp> {
        let begin = (line.as_ptr() as usize).saturating_sub(self.block.as_ptr() as usize);
        if begin < self.looked_at {
            return self.known;
        }
        let before = self.block.get(self.looked_at..begin).unwrap_or_default();
        self.looked_at = begin + line.len() + 1;
        let found = self.times.time(line).or_else(|| {
            let before = before.strip_suffix(b"\n")?;
            before.rsplit(|b| *b == b'\n').take(RECORD).find_map(|line| self.times.time(line))
        });
        self.known = found.or(self.known);
        self.known
    }
}
