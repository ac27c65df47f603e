//! `opsbot reload`: asks the daemon to read its configuration again, and tells what came of it.

use std::path::Path;

use super::outcome;
use crate::{
    app::Failure,
    channels::console::{Style, once},
    config::{self, Env},
    control::{Client, Op},
};

/// Exits with 0 when the daemon took the file's configuration, with 1 when it kept the last good one or none runs.
pub(super) async fn run(file: Option<&Path>, env: &Env, style: Style) -> Result<u8, Failure> {
    // The file may be the very one that is broken: only the way to the daemon is taken from it.
    let dir = config::state_dir(file, &env.clone().without_secrets()).map_err(|e| {
        Failure::config(format!("the daemon was not asked, since its folder is not known: {e}"))
    })?;
    let socket = dir.join("opsbot.sock");
    let client = Client::connect(&socket).await.map_err(|error| {
        let path = socket.display();
        Failure::failed(format!(
            "no daemon answers on {path} ({error}); nothing to reload: the configuration is read at each start"
        ))
    })?;
    outcome(once(client.request(Op::Reload).await, style).await)
}
