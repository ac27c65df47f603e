//! How sources word their signals: labels and annotations cleaned and cut, the fields that are alike in all.

use jiff::Timestamp;

use crate::domain::{CustomerId, HostName, Labels, ServiceName, Severity, Signal, SignalSource, Untrusted};

/// A label's or annotation's value is cut to so many bytes.
const VALUE: usize = 1_000;
/// So many labels or annotations are kept of what others made.
const MOST: usize = 64;

/// Whom a signal of our own is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct About {
    pub customer: Option<CustomerId>,
    pub service: Option<ServiceName>,
    pub host: Option<HostName>,
    pub container: Option<String>,
}

impl About {
    /// The labels of an alert of that name about it; an alert about no known customer gets an instance to be told by.
    pub(super) fn labels(&self, alertname: &str, severity: Severity) -> Labels {
        let texts = [
            ("alertname", Some(alertname)),
            ("severity", Some(word(severity))),
            ("customer", self.customer.as_ref().map(CustomerId::as_str)),
            ("service", self.service.as_ref().map(ServiceName::as_str)),
            ("host", self.host.as_ref().map(HostName::as_str)),
            ("container", self.container.as_deref()),
            ("instance", self.container.as_deref().filter(|_| self.customer.is_none())),
        ];
        texts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), clean(value?)))).collect()
    }
}

/// The word of the label `severity`.
fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
        Severity::Info | Severity::Ok => "info",
    }
}

/// Foreign text as a value.
pub(super) fn clean(text: &str) -> String {
    Untrusted::new(text.trim()).cut(VALUE).to_string()
}

/// Foreign labels or annotations.
pub(super) fn cleaned<'a>(all: impl Iterator<Item = (&'a String, &'a Untrusted)>) -> Labels {
    all.take(MOST).map(|(name, value)| (clean(name), clean(value.as_str()))).collect()
}

/// Something fires since `at`.
pub(super) fn firing(source: SignalSource, labels: Labels, summary: &str, at: Timestamp) -> Signal {
    Signal {
        source,
        labels,
        annotations: Labels::from([("summary".to_owned(), clean(summary))]),
        firing: true,
        starts_at: at,
        ends_at: None,
        generator_url: None,
        value: None,
        excerpt: None,
    }
}

/// What fired is over since `at`.
pub(super) fn over(signal: Signal, at: Timestamp) -> Signal {
    let ends_at = Some(at.max(signal.starts_at));
    Signal { firing: false, ends_at, excerpt: None, ..signal }
}
