//! Telegram's part of the wiring.

use std::{sync::Arc, time::Duration};

use super::{App, Channel, ChatAdmin, Failure};
use crate::{
    channels::telegram::{
        Settings, Telegram,
        api::{Api, Timeouts},
        courier::{self, Shapes, Waits},
        doctor::{self, Finding},
        governor::Limits,
        hook::Hook,
        mark_repeat, plain, shorten,
    },
    chart::Theme,
    config::{Config, TelegramConfig, TelegramTheme},
    domain::{ChannelKind, Role},
    voice::NotSetUp,
};

/// How often what is undelivered or out of date is looked for, should a notice of it have been missed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The channel, when `[telegram]` sets it up.
pub(super) fn channel(config: &Config, app: &App) -> Result<Option<Channel>, Failure> {
    let Some(telegram) = &config.telegram else { return Ok(None) };
    let settings = Settings {
        groups: telegram.groups.iter().copied().collect(),
        theme: match telegram.theme {
            TelegramTheme::Dark => Theme::Dark,
            TelegramTheme::Light => Theme::Light,
        },
        voices: (!telegram.keep_voice.is_zero())
            .then(|| (config.state_dir.join("voice"), telegram.keep_voice)),
        max_download: telegram.max_download,
        placeholder_after: telegram.placeholder_after,
        edit_every: telegram.edit_every,
        poll_timeout: telegram.poll_timeout,
        retry: (telegram.retry.first, telegram.retry.longest, telegram.retry.token),
        look_every: LOOK_EVERY,
    };
    let limits = Limits {
        chat_burst: telegram.limits.chat_burst,
        chat_refill_per_s: telegram.limits.chat_per_second,
        group_per_minute: telegram.limits.group_per_minute,
        overall_per_s: telegram.limits.overall_per_second,
        ..Limits::default()
    };
    let waits = Waits {
        backoff_min: telegram.retry.first,
        backoff_max: telegram.retry.longest,
        token: telegram.retry.token,
        ..Waits::default()
    };
    let shapes = Shapes { mark_repeat, plain, shorten };
    let telegram = Arc::new(Telegram {
        engine: app.engine.clone(),
        api: api(telegram)?,
        settings,
        courier: courier::Settings { limits, waits, ..courier::Settings::new(shapes) },
        pager: app.alerts.as_ref().map(|alerts| alerts.pager.clone()),
        transcriber: Arc::new(NotSetUp),
        counters: app.counters.clone(),
        vitals: Default::default(),
        resumed: Default::default(),
        webhook: telegram.webhook.as_ref().map(|hook| Hook {
            url: hook.url.clone(),
            listen: hook.listen,
            secret: hook.secret.expose().to_owned(),
            tls: hook.tls.as_ref().map(|tls| (tls.cert.clone(), tls.key.clone())),
        }),
    });
    let health = telegram.clone();
    Ok(Some(Channel {
        name: "telegram",
        run: Arc::new(move |stop| {
            let telegram = telegram.clone();
            Box::pin(async move { telegram.run(stop).await })
        }),
        health: Arc::new(move || health.health()),
    }))
}

fn api(telegram: &TelegramConfig) -> Result<Api, Failure> {
    Api::new(&telegram.api_url, telegram.token.expose(), Timeouts::default())
        .map_err(|e| Failure::config(format!("telegram: {e}")))
}

/// A round trip through Telegram, for `opsbot doctor`.
pub(super) async fn examine(config: &Config, daemon: bool, paired: &[ChatAdmin]) -> Vec<Finding> {
    let Some(telegram) = &config.telegram else { return vec![] };
    let api = match api(telegram) {
        Ok(api) => api,
        Err(failure) => return vec![("telegram".into(), Err(failure.text))],
    };
    let admins = config.people.iter().filter(|p| p.role == Role::Admin);
    let mut admins: Vec<_> = admins.filter_map(|p| Some((p.name.to_string(), p.telegram_id?))).collect();
    for admin in paired.iter().filter(|a| a.channel == ChannelKind::Telegram.word()) {
        if let Ok(id) = admin.id.parse()
            && admins.iter().all(|(_, known)| *known != id)
        {
            admins.push((admin.person.clone(), id));
        }
    }
    let mut found = doctor::examine(&api, &admins, daemon, telegram.webhook.is_some()).await;
    let paged = config.alerts.iter().flat_map(|alerts| super::alerts::paged(config, alerts));
    found.extend(doctor::paged(&api, &paged.collect::<Vec<_>>()).await);
    found
}
