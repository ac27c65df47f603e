//! A real journal in a folder of its own, written by systemd-journal-remote and read by journalctl.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use opsbot::logs::{Origin, Query, Source};

use super::{query, read, search, source, texts};

const WRITER: &str = "/lib/systemd/systemd-journal-remote";

/// Writes entries (second after 16:00, unit, message) in systemd's export format; none where the writer is missing.
fn journal(entries: &[(u64, &str, &[u8])]) -> Option<tempfile::TempDir> {
    if !Path::new(WRITER).exists() {
        let must = ["CI", "OPSBOT_TEST_REQUIRE"].iter().any(|v| std::env::var_os(v).is_some());
        assert!(!must, "systemd-journal-remote is not installed (scripts/test installs it)");
        eprintln!("skipped: systemd-journal-remote is not installed");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("system.journal");
    let mut writer = Command::new(WRITER)
        .args(["--output", file.to_str().unwrap(), "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = writer.stdin.take().unwrap();
    for (n, (second, unit, message)) in entries.iter().enumerate() {
        let at = (1_795_276_800 + second) * 1_000_000;
        let id = "5d8c5ab07b5b4f3b9c6f1f0a0b0c0d0e";
        write!(
            input,
            "__REALTIME_TIMESTAMP={at}\n__MONOTONIC_TIMESTAMP={}\n_BOOT_ID={id}\n_MACHINE_ID={id}\n_PID=7\n\
             _SYSTEMD_UNIT={unit}\nSYSLOG_IDENTIFIER=app\n",
            1_000_000 + n
        )
        .unwrap();
        input.write_all(b"MESSAGE\n").unwrap();
        input.write_all(&(message.len() as u64).to_le_bytes()).unwrap();
        input.write_all(message).unwrap();
        input.write_all(b"\n\n").unwrap();
    }
    drop(input);
    assert!(writer.wait().unwrap().success());
    Some(dir)
}

fn of(folder: &Path, unit: Option<&str>) -> Source {
    source(Origin::Journal { folder: Some(PathBuf::from(folder)), unit: unit.map(str::to_owned) })
}

#[tokio::test]
async fn a_journal_is_read_by_tail_time_unit_and_pattern() {
    let entries: Vec<(u64, &str, &[u8])> = vec![
        (0, "nginx.service", b"first"),
        (60, "php.service", b"error: one\nin two lines"),
        (120, "nginx.service", b"bytes \xff and \x1b[31mcolour\x1b[0m"),
        (180, "php.service", b"error: last"),
    ];
    let Some(dir) = journal(&entries) else { return };
    let all = read(of(dir.path(), None), &query()).await.remove(0);
    assert!(all.gaps.is_empty(), "{:?}", all.gaps);
    let want = [
        "app[7]: first",
        "app[7]: error: one\nin two lines",
        "app[7]: bytes \u{fffd} and colour",
        "app[7]: error: last",
    ];
    assert_eq!(texts(&all), want);
    assert_eq!(all.tally.kept()[0].at, "2026-11-21T16:00:00Z".parse().ok());
    let two = read(of(dir.path(), None), &Query { lines: Some(2), ..query() }).await.remove(0);
    assert_eq!(texts(&two), want[2..]);
    let since = "2026-11-21T16:02:00Z".parse().ok();
    let late = read(of(dir.path(), None), &Query { since, ..query() }).await.remove(0);
    assert_eq!(texts(&late), want[2..]);
    let unit = read(of(dir.path(), Some("nginx.service")), &query()).await.remove(0);
    assert_eq!((texts(&unit).len(), unit.name.as_str()), (2, "journal of nginx.service"));
    let found = read(of(dir.path(), None), &search("ERROR")).await.remove(0);
    assert_eq!((found.tally.matched(), found.tally.seen()), (2, 4));
    let kept = found.tally.kept();
    assert_eq!(kept[1].before.as_ref().unwrap().as_str(), "app[7]: bytes \u{fffd} and colour");
    let none = read(of(dir.path(), Some("other.service")), &query()).await.remove(0);
    assert_eq!((none.tally.seen(), none.gaps.len()), (0, 0), "{:?}", none.gaps);
}

#[tokio::test]
async fn a_journal_that_is_not_there_or_damaged_is_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let gone = read(of(&dir.path().join("no-such-folder"), None), &query()).await.remove(0);
    assert!(
        gone.gaps[0].contains("is not read") && gone.gaps[0].contains("[[log_source]]"),
        "{:?}",
        gone.gaps
    );
    std::fs::write(dir.path().join("system.journal"), b"this is no journal").unwrap();
    let damaged = read(of(dir.path(), None), &query()).await.remove(0);
    assert_eq!(damaged.tally.seen(), 0);
}

#[tokio::test]
async fn a_journal_of_many_entries_ends_in_time_with_its_newest() {
    let text: Vec<String> = (0..3_000).map(|n| format!("entry {n} {}", "x".repeat(500))).collect();
    let entries: Vec<_> =
        text.iter().enumerate().map(|(n, t)| (n as u64, "a.service", t.as_bytes())).collect();
    let Some(dir) = journal(&entries) else { return };
    let whole = read(of(dir.path(), None), &search("entry")).await.remove(0);
    assert_eq!((whole.tally.matched(), whole.gaps.len()), (3_000, 0));
    assert!(
        texts(&whole)[0].starts_with("app[7]: entry 0 ")
            && texts(&whole)[2_999].starts_with("app[7]: entry 2999 ")
    );
    let some = read(of(dir.path(), None), &Query { bytes: 200_000, ..search("entry") }).await.remove(0);
    assert!(
        some.tally.seen() < 3_000 && some.gaps[0].contains("older entries were not read"),
        "{:?}",
        some.gaps
    );
    assert!(texts(&some).last().unwrap().starts_with("app[7]: entry 2999 "));
}
