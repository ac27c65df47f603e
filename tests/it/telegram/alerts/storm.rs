//! Many incidents at once: few messages, the critical ones first, nothing lost.

use super::{Line, group_line, signal, watch};
use crate::telegram::rig::{ANNA, GROUP, SOON};

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_incidents_at_once_are_few_messages_that_cover_all() {
    let watch = watch(group_line(), &[GROUP]).await;
    let all = (0..200).map(|n| signal(n, if n == 150 { "critical" } else { "warning" }, true));
    watch.pager.take(all.collect()).await.unwrap();
    let storm = watch.phone.sees(GROUP, "⛈ STORM").await;
    watch.phone.sees(GROUP, "🛑 CRITICAL · 150 Bloom Flowers").await;
    watch.phone.becomes(GROUP, storm.id, "199 of 199 incidents fire").await;
    let sent = watch.phone.telegram.calls_of("sendMessage").len();
    assert!(sent <= 20, "{sent} messages");
    assert!(watch.phone.telegram.violations().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handful_has_a_card_each() {
    let watch = watch(Line::default(), &[ANNA]).await;
    watch.pager.take((0..8).map(|n| signal(n, "warning", true)).collect()).await.unwrap();
    for n in 0..8 {
        watch.phone.sees(ANNA, &format!("⚠️ WARNING · {n} Bloom Flowers")).await;
    }
    let eight = |w: &crate::fake::telegram::World| w.from_bot(ANNA).count() == 8;
    watch.phone.telegram.wait_for(eight, SOON).await;
}
