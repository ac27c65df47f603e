//! Webhook mode: registers the webhook, serves it, and asks Telegram now and then whether updates wait there.

use std::{fmt, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    api::Api,
    fault::Fault,
    intake::{self, Intake},
    webhook::{self, Incoming},
};
use crate::http;

/// Connections that Telegram may open at once.
const CONNECTIONS: u8 = 40;
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Where updates come to.
#[derive(Clone)]
pub struct Hook {
    /// The address that Telegram is told.
    pub url: String,
    /// Where it arrives here.
    pub listen: SocketAddr,
    /// What Telegram repeats in every request.
    pub secret: String,
    /// Certificate and key, PEM; none behind a proxy on this machine.
    pub tls: Option<(PathBuf, PathBuf)>,
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook").field("listen", &self.listen).finish_non_exhaustive()
    }
}

impl Hook {
    async fn register(&self, api: &Api) -> Result<(), Fault> {
        api.set_webhook(&self.url, &self.secret, CONNECTIONS, &intake::ALLOWED).await
    }

    /// Takes updates in until `stop`.
    pub(super) async fn serve(&self, intake: Arc<Intake>, stop: &CancellationToken) -> Result<(), String> {
        webhook::allowed(&self.listen.to_string(), self.tls.is_some())?;
        let core = intake.core().clone();
        let deliver: webhook::Deliver = {
            let intake = intake.clone();
            Arc::new(move |Incoming { id, update }| {
                let intake = intake.clone();
                Box::pin(async move { intake.take(vec![(id, update)]).await.map_err(|e| e.to_string()) })
            })
        };
        let router = webhook::router(&self.secret, deliver, core.counters.clone(), webhook::BODY_TIME)?;
        let tls = self.tls.as_ref().map(|(cert, key)| (cert.as_path(), key.as_path()));
        let server =
            http::bind_router(&self.listen.to_string(), http::Limits::default(), router, tls).await?;
        let watch = async {
            while let Err(fault) = self.register(&core.api).await {
                if core.vitals.trouble(&intake::cure(&fault)) {
                    tracing::warn!(%fault, "the webhook could not be registered; trying again");
                }
                tokio::time::sleep(core.settings.retry.1).await;
            }
            tracing::info!(address = %server.address(), "telegram's webhook listens");
            loop {
                intake.look_at_telegram().await;
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::select! {
            ended = server.run(stop.clone()) => ended,
            () = watch => Ok(()),
        }
    }
}
