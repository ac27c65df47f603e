//! Stands where a build has no Telegram: says so to whoever sets it up.

use super::{App, Channel, ChatAdmin, Failure};
use crate::config::Config;

const MISSING: &str = "[telegram] is set, but this build has no Telegram: build with --features telegram";

#[expect(clippy::unnecessary_wraps, reason = "the same shape as with Telegram")]
pub(super) fn channel(config: &Config, _: &App) -> Result<Option<Channel>, Failure> {
    if config.telegram.is_some() {
        tracing::warn!("{MISSING}");
    }
    Ok(None)
}

#[expect(clippy::unused_async, reason = "the same shape as with Telegram")]
pub(super) async fn examine(
    config: &Config,
    _: bool,
    _: &[ChatAdmin],
) -> Vec<(String, Result<String, String>)> {
    config.telegram.iter().map(|_| ("telegram".to_owned(), Err(MISSING.to_owned()))).collect()
}
