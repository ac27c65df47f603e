//! A process that is killed while it writes: what it was told is kept is kept, and nothing is half there.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use super::*;
use crate::{
    domain::{CardState, IncidentId},
    policy::approval::Ruling,
    store::{AlertRows, Finish},
};

const DIR: &str = "OPSBOT_TEST_KILL_DIR";
const ROUNDS: usize = 6;

/// The child: writes until it is killed, and says what is kept.
#[tokio::test]
#[ignore = "started by `what_was_acknowledged_survives_a_kill`"]
async fn child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let store = open(Path::new(&dir)).await;
    store.recover(at(0), &unknown).await.unwrap();
    let decided = |_: &Approval, _: &Ruling| {
        vec![entry(AuditKind::Decided, "yes"), entry(AuditKind::WriteBegins, "now")].into()
    };
    loop {
        let message = store.inbox_put(&inbound("go"), at(1)).await.unwrap();
        say(&format!("inbox {message}"));
        let id = ApprovalId::from_bits(rand::random());
        let new = Approval { id, ..approval(0) };
        store.approval_insert(&new, &|_| false, entry(AuditKind::Asked, "?")).await.unwrap();
        store.commit_turn(&conv(), &[user("go")], vec![], Some((message, at(2)))).await.unwrap();
        say(&format!("turn {message}"));
        store.approval_decide(id, &|_| Ruling::Execute, &actor("anna"), at(3), &decided).await.unwrap();
        say(&format!("executing {id}"));
        let audit = entry(AuditKind::WriteEnds, "up");
        let rows = [user("outcome")];
        let finish =
            Finish { state: CardState::Done, outcome: "up", rows: &rows, audit, outbox: &[], reply: None };
        store.approval_finish(id, finish, at(4)).await.unwrap();
        say(&format!("done {id}"));
    }
}

/// The child that keeps incidents.
#[tokio::test]
#[ignore = "started by `a_group_of_alerts_is_whole_after_a_kill`"]
async fn alerts_child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let store = open(Path::new(&dir)).await;
    for id in store.alerts_restore(at(0)).await.unwrap().last_incident + 1.. {
        let (incident, event, page) =
            (alerts::incident(id, Some("19")), alerts::event(id, "opened"), alerts::page(id, "1", 1));
        let fires: Vec<_> = (0..40).map(|n| alerts::alert(id, &format!("host-{n}"))).collect();
        let audit = entry(AuditKind::Alert, "took it");
        let rows = AlertRows {
            incidents: vec![&incident],
            alerts: fires.iter().collect(),
            silences: vec![],
            events: vec![&event],
            boards: vec![("a", &page)],
            audit: vec![&audit],
        };
        store.alerts_commit(&rows).await.unwrap();
        say(&format!("kept {id}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_alerts_is_whole_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..ROUNDS {
        let state = dir.path().to_owned();
        let count = 1 + (round * 5) % 11;
        let said =
            tokio::task::spawn_blocking(move || killed_after("alerts_child", &state, count)).await.unwrap();
        let last: i64 = said.last().unwrap().strip_prefix("kept ").unwrap().parse().unwrap();
        let store = open(dir.path()).await;
        let kept = store.alerts_restore(at(0)).await.unwrap();
        let there = kept.last_incident;
        assert!(there == last || there == last + 1, "{last} was kept, {there} is there");
        let count = usize::try_from(there).unwrap();
        assert_eq!((kept.incidents.len(), kept.alerts.len()), (count, 40 * count));
        assert_eq!(store.boards(at(0)).await.unwrap()["a"].pages.len(), count);
        for id in 1..=there {
            assert_eq!(store.incident_story(IncidentId(id)).await.unwrap().unwrap().1.len(), 1);
        }
        let audit = store.audit_verify(&[]).await.unwrap();
        assert!(audit.integrity && audit.rows == u64::try_from(there).unwrap(), "{audit:?}");
        store.close().await.unwrap();
    }
}

/// Writes past the test harness, at once.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n@{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Starts the child, kills it after so many acknowledgements, gives them all.
fn killed_after(child: &str, dir: &Path, count: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("store::tests::kill::{child}"), "--ignored", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut said = lines.filter_map(|l| l.strip_prefix('@').map(str::to_owned));
    let mut all: Vec<_> = said.by_ref().take(count).collect();
    child.kill().unwrap();
    all.extend(said);
    child.wait().unwrap();
    assert!(all.len() >= count, "the child ended by itself: {all:?}");
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut rows_before = 0;
    for round in 0..ROUNDS {
        let state = dir.path().to_owned();
        let count = 3 + (round * 7) % 13;
        let said = tokio::task::spawn_blocking(move || killed_after("child", &state, count)).await.unwrap();
        let store = open(dir.path()).await;
        let open_now: Vec<_> = store.inbox_open().await.unwrap().into_iter().map(|(id, ..)| id).collect();
        for line in &said {
            let (what, id) = line.split_once(' ').unwrap();
            let approval = async || store.approval_get(id.parse().unwrap()).await.unwrap().unwrap().state;
            match what {
                "turn" => assert!(!open_now.contains(&id.parse().unwrap()), "{line}: answered, yet open"),
                // The next step may be kept although nobody could say so any more.
                "inbox" if said.last() == Some(line) => {}
                "inbox" => {
                    assert!(said.contains(&format!("turn {id}")) || open_now.contains(&id.parse().unwrap()))
                }
                "executing" if said.last() == Some(line) => {
                    assert!([CardState::Executing, CardState::Done].contains(&approval().await), "{line}")
                }
                "executing" | "done" => assert_eq!(approval().await, CardState::Done, "{line}"),
                _ => panic!("{line}"),
            }
        }
        let kept = said.iter().filter(|l| l.starts_with("turn") || l.starts_with("done")).count();
        let rows = store.history(&conv()).await.unwrap().len() - rows_before;
        assert!(rows == kept || rows == kept + 1, "{rows} rows, {kept} of them acknowledged");
        rows_before += rows;
        assert!(store.audit_verify(&[]).await.unwrap().integrity);
        let unknown = store.recover(at(10), &unknown).await.unwrap();
        assert!(unknown.len() <= 1, "one write at a time was running: {unknown:?}");
        assert!(unknown.iter().all(|a| a.state == CardState::Unknown));
        store.close().await.unwrap();
    }
}
