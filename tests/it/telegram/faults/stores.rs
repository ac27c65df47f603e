//! The store fails or is full: nothing is confirmed that was not written down, and what was found is shown all the same.

use sqlx::Connection;

use super::*;
use crate::scenarios::faults::{on_a_small_disk, small_disk};

/// Makes the store's writes to one table fail.
struct Sabotage(sqlx::SqliteConnection);

impl Sabotage {
    async fn of(phone: &Phone) -> Self {
        let url = format!("sqlite://{}", phone.world.dir().join("opsbot.db").display());
        Self(sqlx::SqliteConnection::connect(&url).await.unwrap())
    }

    /// `what` is as in `INSERT ON inbox`.
    async fn begin(&mut self, what: &str) {
        let sql =
            format!("CREATE TRIGGER broken BEFORE {what} BEGIN SELECT RAISE(FAIL, 'the disk broke'); END");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut self.0).await.unwrap();
    }

    async fn end(&mut self) {
        sqlx::raw_sql("DROP TRIGGER broken").execute(&mut self.0).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_down_is_not_confirmed_and_taken_later() {
    let phone = line().plain().await;
    let mut store = Sabotage::of(&phone).await;
    // An old message that is edited in the same batch as a new one is said.
    let old = phone.telegram.say(ANNA, ANNA, "/get_health_score 7");
    phone.sees(ANNA, "7: 40").await;
    phone.quiet().await;
    store.begin("INSERT ON inbox").await;
    phone.telegram.hold(true);
    phone.telegram.edit(ANNA, ANNA, old, "/get_health_score 12");
    phone.telegram.say(ANNA, ANNA, "/check_up 19");
    phone.telegram.say(1009, 1009, "hello?");
    phone.telegram.hold(false);
    let said = phone.health_says(false, "could not be written down").await;
    assert!(said.contains("the disk broke"), "{said}");
    let failures = || phone.count("opsbot_telegram_poll_failures_total", &[]);
    phone.until(failures, |n| *n >= 4).await;
    assert_eq!(phone.telegram.pending_updates(), 3, "nothing is confirmed");
    assert_eq!(phone.copies(ANNA, FOUND), 0);
    store.end().await;
    phone.sees(ANNA, FOUND).await;
    phone.health_says(true, "updates arrive").await;
    phone.telegram.wait_for(|w| w.pending_updates() == 0, SOON).await;
    phone.quiet().await;
    assert_eq!(phone.both(FOUND), (1, 0));
    let about_edit = phone.shown(ANNA).iter().filter(|m| m.reply_to == Some(old)).count();
    assert_eq!((about_edit, phone.shown(1009).len()), (1, 1), "{}", phone.telegram.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_stored_is_shown_once_and_says_so() {
    let mut phone = live_line().plain().await;
    let mut store = Sabotage::of(&phone).await;
    phone.ask_and_wait().await;
    store.begin("INSERT ON outbox").await;
    phone.release();
    let shown = phone.sees(ANNA, "not stored").await;
    phone.sees(ANNA, FOUND).await;
    assert_eq!(phone.copies(ANNA, "the disk broke"), 1, "{}", shown.text);
    // The question counts as answered as soon as that can be written down.
    store.end().await;
    phone.quiet().await;
    assert_eq!((phone.both(FOUND), phone.copies(ANNA, "⏳")), ((1, 0), 0), "{}", phone.telegram.transcript());
    phone.restart().await;
    phone.telegram.say(ANNA, ANNA, "/list_customers");
    phone.sees(ANNA, "7, 12, 16, 19").await;
    phone.quiet().await;
    assert_eq!(phone.both(FOUND), (1, 0), "{}", phone.telegram.transcript());
    assert_eq!(phone.world.site.read(|s| s.entered), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_cannot_be_noted_makes_no_more_than_one_marked_copy() {
    let phone = line().plain().await;
    let mut store = Sabotage::of(&phone).await;
    // The message goes out between its two notes: before and after.
    store.begin("UPDATE OF done_at ON outbox WHEN NEW.done_at IS NOT NULL").await;
    phone.telegram.say(ANNA, ANNA, "/check_up 19");
    phone.sees(ANNA, FOUND).await;
    // Several looks at what is undelivered.
    let looked = std::time::Instant::now();
    phone.until(|| looked.elapsed(), |t| *t > Duration::from_secs(3)).await;
    let (plain, marked) = phone.both(FOUND);
    assert!(plain == 1 && marked <= 1, "{}", phone.telegram.transcript());
    store.end().await;
    phone.quiet().await;
    let (plain, marked) = phone.both(FOUND);
    assert!(plain == 1 && marked <= 1, "{}", phone.telegram.transcript());
}

#[test]
fn a_full_disk_takes_no_message_and_loses_none() {
    on_a_small_disk("telegram::faults::stores::on_a_tiny_disk");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs inside the test above"]
async fn on_a_tiny_disk() {
    let Some((disk, dir)) = small_disk() else { return };
    let phone = live_line().open_in(dir, None).await;
    phone.health_says(true, "updates arrive").await;

    // While messages come in.
    disk.fill();
    for _ in 0..3 {
        phone.telegram.say(ANNA, ANNA, "/get_health_score 7");
    }
    phone.telegram.say(ANNA, ANNA, "/restart_container 19 web");
    phone.health_says(false, "the disk of the state directory is full").await;
    assert_eq!(phone.world.site.read(|s| s.entered), 0, "nothing was looked at");
    disk.free();
    let card = phone.sees(ANNA, "restart").await;
    phone.quiet().await;
    assert_eq!(phone.both("7: 40"), (3, 0), "{}", phone.telegram.transcript());

    // While a card is pressed.
    disk.fill();
    phone.telegram.press(ANNA, ANNA, card.id, "✅ Confirm");
    phone.health_says(false, "is full").await;
    assert!(phone.world.writes().is_empty());
    disk.free();
    phone.until(|| phone.world.writes(), |w| *w == ["19/web"]).await;
    phone.quiet().await;

    // While a turn runs.
    phone.world.site.change(|s| s.entered = 0);
    phone.ask_and_wait().await;
    disk.fill();
    phone.release();
    phone.sees(ANNA, "not stored").await;
    phone.sees(ANNA, FOUND).await;
    disk.free();
    phone.quiet().await;
    assert_eq!(
        (phone.both(FOUND), phone.world.writes().len()),
        ((1, 0), 1),
        "{}",
        phone.telegram.transcript()
    );
    phone.telegram.say(ANNA, ANNA, "/list_customers");
    phone.sees(ANNA, "7, 12, 16, 19").await;
    phone.quiet().await;
    let report = phone.world.engine.store().audit_verify(&[]).await.unwrap();
    assert!(report.integrity, "{report:?}");
}
