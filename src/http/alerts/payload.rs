//! What sources post, read into signals: Alertmanager's webhook (version 4), and the alerts of its API v2.

use std::{borrow::Cow, fmt, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::kept::{Annotations, LabelSet, Text, cleaned};
use crate::domain::{Signal, SignalSource};

/// The most alerts of one request.
const MOST: usize = 20_000;
/// The longest link to an expression, in bytes.
const LONGEST_LINK: usize = 2048;
/// So many faults are told; more are counted.
const TOLD: usize = 5;

/// The alerts of one request.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Batch {
    /// Those that can be kept.
    pub(super) signals: Vec<Signal>,
    /// What is wrong with the others, one sentence for each of the first few.
    pub(super) faults: Vec<String>,
    /// How many others there are.
    pub(super) refused: usize,
    /// How many the source left out by itself.
    pub(super) truncated: u64,
}

/// How alerts are read.
#[derive(Clone, Copy)]
struct Reading {
    source: SignalSource,
    now: Timestamp,
    /// When an alert of the API without an end is over.
    lapses: Timestamp,
}

/// Reads a webhook's body.
///
/// # Errors
/// What is wrong with it, naming the alert where one is to blame; then nothing of it is kept.
pub(super) fn webhook(body: &[u8], now: Timestamp) -> Result<Batch, String> {
    read(body, Webhook(Reading { source: SignalSource::Webhook, now, lapses: now }))
}

/// Reads the body of `POST /api/v2/alerts`; an alert without an end is over after `resolve_timeout`.
///
/// # Errors
/// As [`webhook`].
pub(super) fn posted(body: &[u8], now: Timestamp, resolve_timeout: Duration) -> Result<Batch, String> {
    let later = SignedDuration::try_from(resolve_timeout).ok().and_then(|span| now.checked_add(span).ok());
    read(body, Alerts(Reading { source: SignalSource::Api, now, lapses: later.unwrap_or(Timestamp::MAX) }))
}

fn read<S>(body: &[u8], seed: S) -> Result<Batch, String>
where
    S: for<'de> DeserializeSeed<'de, Value = Batch>,
{
    // As Go reads JSON: what is no UTF-8 becomes U+FFFD.
    let text = String::from_utf8_lossy(body);
    let mut json = serde_json::Deserializer::from_str(&text);
    let batch = seed.deserialize(&mut json).and_then(|batch| json.end().map(|()| batch));
    batch.map_err(|error| error.to_string())
}

/// A fault as a log line holds it: it may quote what came.
pub(super) fn shown(fault: &str) -> String {
    cleaned(fault, 300)
}

/// An alert as both ways write it.
#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow, default)]
    status: Option<Text<'a>>,
    #[serde(default)]
    labels: LabelSet,
    #[serde(default)]
    annotations: Annotations,
    #[serde(rename = "startsAt", default)]
    starts_at: Moment,
    #[serde(rename = "endsAt", default)]
    ends_at: Moment,
    #[serde(rename = "generatorURL", borrow, default)]
    generator_url: Option<Text<'a>>,
}

impl Raw<'_> {
    fn into_signal(self, reading: Reading) -> Result<Signal, String> {
        let Reading { source, now, lapses } = reading;
        let labels = self.labels.0;
        if labels.is_empty() {
            return Err("has no labels; give it an alertname at least".into());
        }
        if labels.contains_key("") {
            return Err("has a label without a name".into());
        }
        let told = self.ends_at.0;
        // Alertmanager lets one that only has a later end begin there, so that an earlier resolve would be too old for it.
        let starts_at = self.starts_at.0.unwrap_or_else(|| told.unwrap_or(now).min(now));
        let status = self.status.as_ref().map(|status| &*status.0);
        let (firing, ends_at) = match source {
            SignalSource::Webhook if status == Some("resolved") => (false, Some(told.unwrap_or(now))),
            SignalSource::Webhook => (true, told),
            _ => {
                let ends_at = told.unwrap_or(lapses);
                (ends_at > now, Some(ends_at))
            }
        };
        if let Some(ends_at) = ends_at.filter(|end| *end < starts_at) {
            return Err(format!("ends at {ends_at}, before it starts at {starts_at}"));
        }
        let link = self.generator_url.map(|link| cleaned(&link.0, LONGEST_LINK));
        Ok(Signal {
            source,
            labels,
            annotations: self.annotations.0,
            firing,
            starts_at,
            ends_at,
            generator_url: link.filter(|link| !link.is_empty()),
            value: None,
            excerpt: None,
        })
    }
}

/// A time; Go's zero, nothing and `null` are none.
#[derive(Default)]
struct Moment(Option<Timestamp>);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Some(text) = Option::<Text<'de>>::deserialize(deserializer)? else { return Ok(Self(None)) };
        let text: Cow<'_, str> = text.0;
        if text.is_empty() || text.starts_with("0001-01-01T00:00:00") {
            return Ok(Self(None));
        }
        let wrong = || {
            let shown = cleaned(&text, 40);
            D::Error::custom(format!("`{shown}` is no time; write one such as 2026-11-21T08:25:17Z"))
        };
        text.parse().map(|at| Self(Some(at))).map_err(|_| wrong())
    }
}

/// Reads a list of alerts.
struct Alerts(Reading);

impl<'de> DeserializeSeed<'de> for Alerts {
    type Value = Batch;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Batch, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Alerts {
    type Value = Batch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of alerts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Batch, A::Error> {
        let mut batch = Batch::default();
        for index in 0_usize.. {
            let raw = list.next_element::<Raw<'de>>();
            let Some(raw) = raw.map_err(|error| A::Error::custom(format!("alert {index}: {error}")))? else {
                break;
            };
            if index >= MOST {
                return Err(A::Error::custom(format!("holds more than {MOST} alerts; send them in parts")));
            }
            match raw.into_signal(self.0) {
                Ok(signal) => batch.signals.push(signal),
                Err(fault) => {
                    batch.refused += 1;
                    if batch.faults.len() < TOLD {
                        batch.faults.push(format!("alert {index} {fault}"));
                    }
                }
            }
        }
        Ok(batch)
    }
}

/// Reads what is around the alerts of a webhook.
struct Webhook(Reading);

impl<'de> DeserializeSeed<'de> for Webhook {
    type Value = Batch;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Batch, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Webhook {
    type Value = Batch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what Alertmanager's webhook_configs post")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Batch, A::Error> {
        let (mut found, mut truncated) = (None, 0);
        while let Some(key) = map.next_key::<Text<'de>>()? {
            match &*key.0 {
                "alerts" => found = Some(map.next_value_seed(Alerts(self.0))?),
                "version" => {
                    let version = map.next_value::<Text<'de>>()?.0;
                    if version != "4" {
                        let version = cleaned(&version, 20);
                        return Err(A::Error::custom(format!(
                            "is version `{version}` of the webhook; 4 is read"
                        )));
                    }
                }
                "truncatedAlerts" => truncated = map.next_value::<Option<u64>>()?.unwrap_or(0),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let batch = found.ok_or_else(|| A::Error::missing_field("alerts"))?;
        Ok(Batch { truncated, ..batch })
    }
}
