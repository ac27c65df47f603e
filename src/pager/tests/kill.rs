//! A pager that is killed while it receives, pages and records: nothing that it said is lost, no card lacks its incident.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use super::*;

const DIR: &str = "OPSBOT_TEST_PAGER_KILL_DIR";
const ROUNDS: usize = 8;

/// The child: takes signals and does what the chat needs until it is killed; says what is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by `nothing_is_lost_by_a_kill`"]
async fn child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let store = file(Path::new(&dir)).await;
    let setup = Setup { storm_above: usize::MAX, ..setup() };
    let pager = Pager::open(store, setup, Counters::new(clock::now())).await.unwrap();
    let _running = Running::of(&pager);
    let first = pager.look(|desk| desk.alerts().count());
    let receiving = pager.clone();
    tokio::spawn(async move {
        for customer in first.. {
            receiving.take(fires(customer..customer + 1)).await.unwrap();
            say(&format!("taken {customer}"));
        }
    });
    let mut changes = pager.changes();
    loop {
        let (Some(job), _) = pager.next(PLACE) else {
            changes.changed().await.unwrap();
            continue;
        };
        pager.begins(PLACE, &job).await.unwrap();
        if let Job::Send { incident: Some(id), again, .. } = &job {
            say(&format!("sent {id} {again}"));
        }
        let message = format!("m{}", rand::random::<u64>());
        let end = JobEnd::Done(matches!(job, Job::Send { .. }).then_some(message.as_str()));
        pager.ended(PLACE, &job, end).await.unwrap();
    }
}

/// Writes past the test harness, at once.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n@{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Starts the child, kills it after so many lines, gives them all.
fn killed_after(dir: &Path, count: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "pager::tests::kill::child", "--ignored", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut said = lines.filter_map(|line| line.strip_prefix('@').map(str::to_owned));
    let mut all: Vec<_> = said.by_ref().take(count).collect();
    child.kill().unwrap();
    all.extend(said);
    child.wait().unwrap();
    assert!(all.len() >= count, "the child ended by itself: {all:?}");
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_by_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let (mut taken, mut plain, mut marked) = (0, BTreeSet::new(), BTreeSet::new());
    for round in 0..ROUNDS {
        let state = dir.path().to_owned();
        let count = 2 + (round * 11) % 29;
        let said = tokio::task::spawn_blocking(move || killed_after(&state, count)).await.unwrap();
        for line in &said {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["taken", _] => taken += 1,
                ["sent", id, "false"] => {
                    assert!(plain.insert(id.to_owned()), "{id} was sent twice, unmarked")
                }
                ["sent", id, "true"] => assert!(marked.insert(id.to_owned()), "{id} was marked twice"),
                _ => panic!("{line}"),
            }
        }
        let store = file(dir.path()).await;
        let pager = over(&store).await;
        let kept = open(&pager);
        // A kill may come between the commit and the word of it, once each round.
        assert!((taken..=taken + round + 1).contains(&kept.len()), "{taken} taken, {} kept", kept.len());
        let numbers: BTreeSet<_> = kept.iter().map(|incident| incident.id.to_string()).collect();
        assert!(plain.is_subset(&numbers), "a card of an incident that is not kept");
        let since = Timestamp::UNIX_EPOCH;
        let begun = store.boards(since).await.unwrap().remove(PLACE).unwrap_or_default().pages;
        let begun: BTreeSet<_> = begun.iter().map(|page| page.incident.to_string()).collect();
        assert!(plain.is_subset(&begun), "sent without a row");
        store.close().await.unwrap();
    }
    assert!(marked.len() <= ROUNDS, "one card at a time is under way: {marked:?}");
}
