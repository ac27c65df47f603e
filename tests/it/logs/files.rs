//! Files as servers leave them: rotated, packed, cut off, huge, broken, not ours to read.

use std::{fs, os::unix::fs::PermissionsExt, time::SystemTime};

use opsbot::logs::Query;

use super::{access, all, append, files, now, pack, query, read, search, texts};

#[tokio::test]
async fn rotated_siblings_are_read_in_time_order_and_each_log_apart() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    pack(&at("shop-a.log.2.gz"), access(1, "first"));
    append(&at("shop-a.log.1"), access(2, "second"));
    append(&at("shop-a.log"), access(3, "third") + access(4, "no end").trim_end());
    append(&at("shop-b.log"), access(9, "other"));
    append(&at("error.log"), "not asked for\n");
    let reads = read(files(&at("shop-*.log")), &query()).await;
    let names: Vec<_> = reads.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["shop-a.log", "shop-b.log"]);
    let ends: Vec<_> = texts(&reads[0]).iter().map(|t| t.split("] ").nth(1).unwrap().to_owned()).collect();
    assert_eq!(ends, ["first", "second", "third", "no end"]);
    assert!(reads.iter().all(|r| r.gaps.is_empty()), "{reads:?}");
    let two = Query { lines: Some(2), ..query() };
    let read = read(files(&at("shop-a.log")), &two).await.remove(0);
    assert_eq!(read.tally.seen(), 2, "the older files need not be opened for two lines");
}

#[tokio::test]
async fn since_finds_its_place_in_every_file_and_stack_traces_go_with_their_line() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("x.log");
    pack(&dir.path().join("x.log.2.gz"), (0..600).map(|s| access(s, "packed")).collect::<String>());
    let traced = |s: u32| access(s, "oops") + "    at a.b.C(C.java:7)\n    at a.b.D(D.java:9)\n";
    append(&dir.path().join("x.log.1"), (600..1200).map(traced).collect::<String>());
    append(&log, (1200..1800).map(|s| access(s, "live")).collect::<String>());
    let table = [
        ("16:00:00", 600 + 1800 + 600),
        ("16:05:00", 300 + 1800 + 600),
        ("16:15:00", 900 + 600),
        ("16:29:59", 1),
        ("16:30:00", 0),
    ];
    for (since, want) in table {
        let since = format!("2026-11-21T{since}Z").parse().ok();
        let read = read(files(&log), &Query { since, ..all() }).await.remove(0);
        assert_eq!((read.tally.seen(), read.gaps.as_slice()), (want, [].as_slice()), "{since:?}");
    }
    // In a large file as well, where it begins in the middle of a block.
    let large = dir.path().join("large.log");
    append(&large, (0..3600).map(|s| access(s, &"x".repeat(1_000))).collect::<String>());
    let since = "2026-11-21T16:20:00Z".parse().ok();
    let read = read(files(&large), &Query { since, ..all() }).await.remove(0);
    assert_eq!(read.tally.seen(), 2_400);
    assert_eq!(read.tally.span().unwrap().0, since.unwrap());
}

#[tokio::test]
async fn what_was_not_written_to_in_that_time_is_not_read_and_lines_without_times_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let old = dir.path().join("old.log");
    append(&old, "no time in here\n");
    let query = Query { since: now().checked_sub(jiff::Span::new().hours(1)).ok(), ..query() };
    let before = SystemTime::from(now()) - std::time::Duration::from_secs(7_200);
    fs::File::open(&old).unwrap().set_modified(before).unwrap();
    let quiet = read(files(&old), &query).await.remove(0);
    assert_eq!((quiet.tally.seen(), quiet.gaps.len()), (0, 0));
    fs::File::open(&old).unwrap().set_modified(now().into()).unwrap();
    let said = read(files(&old), &query).await.remove(0);
    assert_eq!(texts(&said), ["no time in here"]);
    assert!(said.gaps[0].contains("say no time"), "{:?}", said.gaps);
}

#[tokio::test]
async fn huge_lines_and_bytes_that_are_no_text_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("x.log");
    append(&log, access(1, "before"));
    append(&log, vec![b'y'; 10 << 20]);
    append(&log, b" needle in it\n");
    append(&log, b"\x1b[31mcolou\x1b[0mred \xff\xfe\0 bytes\r\n");
    append(&log, access(2, "after"));
    let read_all = read(files(&log), &query()).await.remove(0);
    let kept = read_all.tally.kept();
    assert_eq!((kept.len(), kept[1].cut_from), (4, Some((10 << 20) + 13)));
    assert!(kept[1].text.as_str().len() <= 2_000);
    assert_eq!(kept[2].text.as_str(), "coloured \u{fffd}\u{fffd} bytes");
    let found = read(files(&log), &search("needle")).await.remove(0);
    assert!(texts(&found)[0].ends_with("needle in it"), "shown around its match");
    let colour = read(files(&log), &search("coloured")).await.remove(0);
    assert_eq!(colour.tally.matched(), 1);
}

/// What packs badly.
fn noise(n: u32) -> String {
    (1..20_u64)
        .map(|k| format!("{:x}", (u64::from(n) + 1).wrapping_mul(k).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .collect()
}

#[tokio::test]
async fn what_cannot_be_read_is_said_and_the_others_answer() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    append(&at("a.log"), access(1, "fine"));
    let whole: String = (0..6_000).map(|n| access(n % 3_600, &noise(n))).collect();
    pack(&at("b.log.1.gz"), &whole);
    let packed = fs::read(at("b.log.1.gz")).unwrap();
    fs::write(at("b.log.1.gz"), &packed[..packed.len() * 3 / 4]).unwrap();
    append(&at("b.log"), access(9, "live"));
    append(&at("c.log.1.xz"), "x");
    nix::unistd::mkfifo(&at("d.log"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    append(&at("e.log"), "secret\n");
    fs::set_permissions(at("e.log"), fs::Permissions::from_mode(0o0)).unwrap();
    let outside = tempfile::tempdir().unwrap();
    append(&outside.path().join("shadow"), "root:x\n");
    std::os::unix::fs::symlink(outside.path().join("shadow"), at("f.log")).unwrap();
    std::os::unix::fs::symlink("a.log", at("g.log")).unwrap();
    let reads = read(files(&at("*.log")), &all()).await;
    let gaps = |name: &str| reads.iter().find(|r| r.name == name).unwrap().gaps.join("; ");
    let seen = |name: &str| reads.iter().find(|r| r.name == name).unwrap().tally.seen();
    assert_eq!((seen("a.log"), gaps("a.log")), (1, String::new()));
    assert!(seen("b.log") > 100 && gaps("b.log").contains("damaged"), "{} {}", seen("b.log"), gaps("b.log"));
    assert!(gaps("c.log").contains("gzip is"), "{}", gaps("c.log"));
    assert!(gaps("d.log").contains("no regular file"), "{}", gaps("d.log"));
    assert!(seen("f.log") == 0 && gaps("f.log").contains("another folder"), "{}", gaps("f.log"));
    assert_eq!(seen("g.log"), 1);
    // root reads everything.
    if !nix::unistd::geteuid().is_root() {
        assert!(seen("e.log") == 0 && gaps("e.log").contains("group adm"), "{}", gaps("e.log"));
    }
    let none = read(files(&at("nothing-*.log")), &query()).await.remove(0);
    assert!(
        none.gaps[0].contains("no file fits") && none.gaps[0].contains("[[log_source]]"),
        "{:?}",
        none.gaps
    );
}

#[tokio::test]
async fn folders_may_stand_for_many_and_links_to_folders_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    for site in ["one", "two"] {
        fs::create_dir_all(dir.path().join(site).join("log")).unwrap();
        append(&dir.path().join(site).join("log/x.log"), access(1, site));
    }
    std::os::unix::fs::symlink("/", dir.path().join("three")).unwrap();
    let reads = read(files(&dir.path().join("*/log/x.log")), &query()).await;
    assert_eq!(reads.iter().map(|r| r.tally.seen()).collect::<Vec<_>>(), [1, 1]);
}

#[tokio::test]
async fn time_and_bytes_are_bounded_and_the_newest_lines_are_those_that_count() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("x.log");
    append(
        &log,
        (0..20_000)
            .map(|n| format!("line {n} of a log that is long{}\n", " and wide".repeat(30)))
            .collect::<String>(),
    );
    let some = Query { bytes: 2 << 20, ..search("line") };
    let read = read(files(&log), &some).await.remove(0);
    assert!(
        read.tally.seen() < 20_000 && read.gaps[0].contains("older lines were not read"),
        "{:?}",
        read.gaps
    );
    assert_eq!(
        read.tally.kept().back().unwrap().text.as_str(),
        format!("line 19999 of a log that is long{}", " and wide".repeat(30))
    );
}
