//! The store fails: nothing runs that could not be written down first, and what ran is told all the same.

use std::{io::Write as _, path::PathBuf, process::Command};

use opsbot::{
    domain::{CardState, TurnStatus},
    policy::approval::Verb,
};

use super::world::{Setup, World, actor, conversation, inbound};

const PLACE: &str = "OPSBOT_TEST_TINY_DISK";

#[test]
fn a_full_disk_is_told_runs_nothing_unwritten_and_passes() {
    on_a_small_disk("scenarios::faults::on_a_tiny_disk");
}

/// Runs the ignored `test` in this very binary, with a disk of 3 MB in a mount namespace of its own ([`small_disk`]).
pub fn on_a_small_disk(test: &str) {
    let dir = tempfile::tempdir().unwrap();
    let mount = r#"mount -t tmpfs -o size=3m tmpfs "$TINY""#;
    let apart = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]);
        command.arg(std::env::current_exe().unwrap()).env("TINY", dir.path()).env(PLACE, dir.path());
        command.output()
    };
    let can = apart(mount);
    if !can.as_ref().is_ok_and(|out| out.status.success()) {
        let required = ["CI", "OPSBOT_TEST_REQUIRE"].iter().any(|name| std::env::var_os(name).is_some());
        assert!(!required, "a mount namespace is needed for a small disk: {can:?}");
        eprintln!("skipped: no mount namespace for a small disk");
        return;
    }
    let run = format!("{mount} && exec \"$0\" --exact {test} --ignored --nocapture");
    let out = apart(&run).unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success() && said.contains("1 passed"), "{said}");
}

/// The small disk, and a directory on it; none outside of [`on_a_small_disk`].
pub fn small_disk() -> Option<(Disk, tempfile::TempDir)> {
    let place = std::env::var_os(PLACE).map(PathBuf::from)?;
    let dir = tempfile::tempdir_in(&place).unwrap();
    Some((Disk(place), dir))
}

pub struct Disk(PathBuf);

impl Disk {
    pub fn fill(&self) {
        let mut file = std::fs::File::create(self.0.join("ballast")).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    pub fn free(&self) {
        std::fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

#[tokio::test]
#[ignore = "runs inside the test above"]
async fn on_a_tiny_disk() {
    let Some((disk, dir)) = small_disk() else { return };
    let mut world = World::start_in(dir, Setup { on_disk: true, ..Setup::default() }, None).await;
    let full = "the disk of the state directory is full";

    // While a message comes in.
    disk.fill();
    for _ in 0..3 {
        world.say("anna", "/check_up 19").await.ended(TurnStatus::Failed).has(full);
        world.say("anna", "/restart_container 19 web").await.ended(TurnStatus::Failed).has(full);
        world.say("anna", "/freeze").await.ended(TurnStatus::Failed).has(full);
    }
    assert_eq!(world.site.read(|s| s.entered), 0, "nothing was looked at");
    world.say("anna", "/help").await.ended(TurnStatus::Answered);
    disk.free();
    world.say("anna", "/check_up 19").await.ended(TurnStatus::Answered).has("web of 19");

    // While a card is decided.
    let card = world.say("anna", "/restart_container 19 web").await.card();
    disk.fill();
    world.approve("anna", &card).await.ended(TurnStatus::Failed).has(full);
    world.deny("anna", &card).await.ended(TurnStatus::Failed).has(full);
    assert_eq!((world.writes().len(), world.state(&card).await), (0, CardState::Pending));
    disk.free();
    world.approve("anna", &card).await.ended(TurnStatus::Answered).has("all up");
    assert_eq!(world.writes(), ["19/web"]);

    // While a turn runs: what was found is shown, and the question is not lost.
    world.site.change(|s| s.held = true);
    let entered = world.site.read(|s| s.entered);
    let turn = world.begin(inbound("anna", "/check_up 19"));
    world.site.until(|s| s.entered > entered).await;
    disk.fill();
    world.site.change(|s| s.held = false);
    let t = turn.await.unwrap();
    t.ended(TurnStatus::Failed).has("web of 19 is unhealthy");
    t.has(full);
    disk.free();

    // While a write runs: it ended, and that is said although no row can say it.
    let card = world.say("anna", "/restart_container 19 db").await.card();
    world.site.change(|s| s.held = true);
    let entered = world.site.read(|s| s.entered);
    let running = world.begin_decision(actor("anna"), &card, Verb::Approve);
    world.site.until(|s| s.entered > entered).await;
    disk.fill();
    world.site.change(|s| s.held = false);
    let t = running.await.unwrap();
    t.ended(TurnStatus::Failed).has("db of 19 restarted, all up");
    t.has(full);
    world.approve("anna", &card).await.ended(TurnStatus::Failed);
    disk.free();
    world.approve("anna", &card).await.ended(TurnStatus::Refused).has("already approved by anna");
    assert_eq!(world.writes(), ["19/web", "19/db"]);

    // After a start all is in order, and nothing runs again.
    world.reopen().await;
    assert_eq!(world.state(&card).await, CardState::Unknown);
    let told = format!("{:?}", world.engine.store().outbox_take(&conversation("anna")).await.unwrap());
    assert!(told.contains("Ask again") && told.contains("state: Unknown"), "{told}");
    let report = world.engine.store().audit_verify(&[]).await.unwrap();
    assert!(report.integrity, "{report:?}");
    assert_eq!(world.writes(), ["19/web", "19/db"]);
    world.say("anna", "/check_up 19").await.ended(TurnStatus::Answered);
}

#[tokio::test]
async fn a_store_that_another_program_holds_is_named_and_nothing_runs() {
    use sqlx::Connection;
    let world = World::start(Setup { on_disk: true, ..Setup::default() }, None).await;
    let card = world.say("anna", "/restart_container 19 web").await.card();
    let url = format!("sqlite://{}", world.dir().join("opsbot.db").display());
    let mut other = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    world.approve("anna", &card).await.ended(TurnStatus::Failed).has("another program holds");
    assert!(world.writes().is_empty());
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    world.approve("anna", &card).await.ended(TurnStatus::Answered);
    assert_eq!(world.writes(), ["19/web"]);
}
