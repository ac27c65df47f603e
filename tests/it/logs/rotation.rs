//! A log that is written to and rotated while it is read: nothing doubled, nothing lost, no error.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::mpsc::{Sender, channel},
    thread::JoinHandle,
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};

use super::{all, files, read, texts};

/// How a log is rotated.
#[derive(Clone, Copy, Debug)]
enum Rotation {
    /// The file gets another name, the program opens a new one.
    Rename,
    /// The file is copied and emptied.
    Truncate,
    /// As `Rename`, and what was renamed is packed by and by.
    Pack,
}

/// So many lines stand in a file before it is rotated.
const LINES: u64 = 60;
/// So many are written while the log is read once.
const ROUND: u64 = 150;
const ROUNDS: u64 = 24;

/// Writes numbered lines, as many as it is allowed to, and rotates; nothing is removed, so every line is still there.
struct Writer {
    allow: Sender<u64>,
    thread: JoinHandle<()>,
}

impl Writer {
    fn start(log: PathBuf, rotation: Rotation) -> Self {
        let (allow, allowed) = channel();
        let thread = std::thread::spawn(move || {
            let open = || OpenOptions::new().create(true).append(true).open(&log).unwrap();
            let (mut file, mut n) = (open(), 0);
            while let Ok(more) = allowed.recv() {
                for _ in 0..more {
                    writeln!(file, "line {n}").unwrap();
                    n += 1;
                    if n % LINES == 0 {
                        rotate(&log, rotation);
                        file = open();
                    }
                }
            }
        });
        Self { allow, thread }
    }
}

fn numbered(log: &Path, n: usize, end: &str) -> PathBuf {
    PathBuf::from(format!("{}.{n}{end}", log.display()))
}

/// As logrotate does it: the oldest first, each one number up.
fn rotate(log: &Path, rotation: Rotation) {
    for n in (1..=(ROUNDS * ROUND / LINES) as usize).rev() {
        for end in ["", ".gz"] {
            if numbered(log, n, end).exists() {
                fs::rename(numbered(log, n, end), numbered(log, n + 1, end)).unwrap();
            }
        }
    }
    let first = numbered(log, 1, "");
    match rotation {
        Rotation::Rename => fs::rename(log, &first).unwrap(),
        Rotation::Truncate => {
            fs::copy(log, &first).unwrap();
            OpenOptions::new().write(true).open(log).unwrap().set_len(0).unwrap();
        }
        Rotation::Pack => {
            fs::rename(log, &first).unwrap();
            let second = numbered(log, 2, "");
            if second.exists() {
                let packed = File::create(numbered(log, 2, ".gz")).unwrap();
                let mut packer = GzEncoder::new(packed, Compression::fast());
                packer.write_all(&fs::read(&second).unwrap()).unwrap();
                packer.finish().unwrap();
                fs::remove_file(&second).unwrap();
            }
        }
    }
}

async fn nothing_doubled_nothing_lost(rotation: Rotation) {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("x.log");
    let writer = Writer::start(log.clone(), rotation);
    let mut last = 0;
    for round in 0..ROUNDS {
        writer.allow.send(ROUND).unwrap();
        let begun = tokio::time::Instant::now();
        while round == 0 && !log.exists() {
            assert!(begun.elapsed() < Duration::from_secs(10), "nothing is written");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let read = read(files(&log), &all()).await.remove(0);
        assert!(read.gaps.is_empty(), "{rotation:?}, round {round}: {:?}", read.gaps);
        let mut lines = texts(&read);
        // The newest line may be just being written.
        let end = lines.pop().unwrap_or_default();
        for (n, line) in lines.iter().enumerate() {
            assert_eq!(*line, format!("line {n}"), "{rotation:?}, round {round}, of {}", lines.len());
        }
        assert!(format!("line {}", lines.len()).starts_with(end), "{rotation:?}, round {round}: {end}");
        assert!(lines.len() >= last, "{rotation:?}, round {round}: {} after {last}", lines.len());
        last = lines.len();
    }
    drop(writer.allow);
    writer.thread.join().unwrap();
    let read = read(files(&log), &all()).await.remove(0);
    assert_eq!(read.tally.seen(), ROUND * ROUNDS, "{rotation:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn by_another_name() {
    nothing_doubled_nothing_lost(Rotation::Rename).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_a_copy_and_truncation() {
    nothing_doubled_nothing_lost(Rotation::Truncate).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_another_name_and_packing() {
    nothing_doubled_nothing_lost(Rotation::Pack).await;
}
