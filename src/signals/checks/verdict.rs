//! What the checks found, and what is to be reported of it. No IO.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use super::{Check, certificate::Found, disk::Used};
use crate::{
    domain::{Labels, Severity, Signal, SignalSource},
    signals::{
        ledger::Ledger,
        text::{About, clean, firing},
    },
};

/// A disk must get emptier than the threshold by so many points until it is well again.
const EMPTIER: f64 = 2.0;
/// So many looks in a row fail until that is an alert itself.
const FAILURES: u32 = 3;
const DAY: u64 = 24 * 3600;

/// What a look gave.
pub(super) enum Looked {
    Disk(Result<Used, String>),
    Certificate(Found),
    /// It was not looked at.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Filling,
    Expiring,
    Broken,
}

impl Fault {
    const ALL: [Self; 3] = [Self::Filling, Self::Expiring, Self::Broken];

    fn alertname(self) -> &'static str {
        match self {
            Self::Filling => "DiskFilling",
            Self::Expiring => "CertificateExpiring",
            Self::Broken => "CertificateBroken",
        }
    }
}

/// What is wrong and how bad.
struct Wrong {
    severity: Severity,
    summary: String,
    value: Option<f64>,
    threshold: Option<String>,
}

/// The address or the path that is checked.
type Place = String;

/// What every check found last.
#[derive(Debug)]
pub(super) struct Verdicts {
    fires: Ledger<(Place, Fault)>,
    failures: BTreeMap<Place, u32>,
}

impl Verdicts {
    /// With what was reported before a restart.
    pub(super) fn new(known: Vec<Signal>) -> Self {
        let mut fires = Ledger::default();
        for signal in known {
            let label = |name: &str| signal.labels.get(name).cloned();
            let fault = Fault::ALL.into_iter().find(|f| label("alertname").as_deref() == Some(f.alertname()));
            if let (Some(fault), Some(place)) = (fault, label("instance")) {
                fires.adopt((place, fault), signal);
            }
        }
        Self { fires, failures: BTreeMap::new() }
    }

    /// What nobody checks any more is over.
    pub(super) fn forget_others(&mut self, checks: &[Check], now: Timestamp) -> Vec<Signal> {
        let places: Vec<_> = checks.iter().map(place).collect();
        let others = self.fires.keys().into_iter().filter(|(place, _)| !places.contains(place));
        others.collect::<Vec<_>>().iter().filter_map(|key| self.fires.over(key, now)).collect()
    }

    /// What is to be reported after a look.
    pub(super) fn on(&mut self, check: &Check, looked: Looked, now: Timestamp) -> Vec<Signal> {
        match (check, looked) {
            (Check::Disk { warn, critical, .. }, Looked::Disk(Ok(used))) => {
                let wrong = self.filling(check, used, (*warn, *critical));
                self.judge(check, Fault::Filling, wrong, now)
            }
            (Check::Disk { .. }, Looked::Disk(Err(why))) => {
                self.unknown(check, Fault::Filling, &format!("it is not known how full it is: {why}"), now)
            }
            (Check::Certificate { address, warn, critical, .. }, Looked::Certificate(found)) => match found {
                Found::Valid(until) => {
                    let expiring = expiring(address, until, (*warn, *critical), now);
                    let mut report = self.judge(check, Fault::Expiring, expiring, now);
                    report.extend(self.judge(check, Fault::Broken, None, now));
                    report
                }
                Found::Broken(why, _) => {
                    let summary = format!("the certificate of {address} is not accepted: {why}");
                    let wrong = Wrong { severity: Severity::Critical, summary, value: None, threshold: None };
                    let mut report = self.judge(check, Fault::Broken, Some(wrong), now);
                    // It says the same more plainly.
                    report.extend(self.judge(check, Fault::Expiring, None, now));
                    report
                }
                Found::Unreached(why) => {
                    let what = format!("the certificate of {address} cannot be checked: {why}");
                    self.unknown(check, Fault::Broken, &what, now)
                }
            },
            _ => Vec::new(),
        }
    }

    fn filling(&self, check: &Check, used: Used, (warn, critical): (u8, u8)) -> Option<Wrong> {
        let held = self.fires.get(&(place(check), Fault::Filling));
        let held = held.and_then(|s| s.labels.get("severity")).map(String::as_str);
        let inodes = used.inodes.unwrap_or(0.0);
        let fullest = used.bytes.max(inodes);
        let at_least =
            |threshold: u8, holds: bool| fullest >= f64::from(threshold) - if holds { EMPTIER } else { 0.0 };
        let (severity, threshold) = if at_least(critical, held == Some("critical")) {
            (Severity::Critical, critical)
        } else if at_least(warn, held.is_some()) {
            (Severity::Warning, warn)
        } else {
            return None;
        };
        let what = if inodes > used.bytes { " of its inodes" } else { "" };
        let summary = format!("{} is {fullest:.0} %{what} full", place(check));
        Some(Wrong { severity, summary, value: Some(fullest), threshold: Some(format!("{threshold} %")) })
    }

    /// A look failed: what fires stays, and a third failure fires itself.
    fn unknown(&mut self, check: &Check, fault: Fault, summary: &str, now: Timestamp) -> Vec<Signal> {
        let failures = self.failures.entry(place(check)).or_default();
        *failures += 1;
        if *failures < FAILURES || self.fires.get(&(place(check), fault)).is_some() {
            return Vec::new();
        }
        let wrong =
            Wrong { severity: Severity::Warning, summary: summary.to_owned(), value: None, threshold: None };
        self.report(check, fault, wrong, now)
    }

    fn judge(&mut self, check: &Check, fault: Fault, wrong: Option<Wrong>, now: Timestamp) -> Vec<Signal> {
        self.failures.remove(&place(check));
        match wrong {
            Some(wrong) => self.report(check, fault, wrong, now),
            None => self.fires.over(&(place(check), fault), now).into_iter().collect(),
        }
    }

    fn report(&mut self, check: &Check, fault: Fault, wrong: Wrong, now: Timestamp) -> Vec<Signal> {
        let mut signal =
            firing(SignalSource::Check, labels(check, fault, wrong.severity), &wrong.summary, now);
        signal.value = wrong.value;
        if let Some(threshold) = wrong.threshold {
            signal.annotations.insert("threshold".into(), threshold);
        }
        self.fires.fires((place(check), fault), signal)
    }
}

fn expiring(
    address: &str,
    until: Timestamp,
    (warn, critical): (Duration, Duration),
    now: Timestamp,
) -> Option<Wrong> {
    let left = u64::try_from(until.duration_since(now).as_secs()).unwrap_or(0);
    let (severity, threshold) = if left < critical.as_secs() {
        (Severity::Critical, critical)
    } else if left < warn.as_secs() {
        (Severity::Warning, warn)
    } else {
        return None;
    };
    let days = |seconds: u64| {
        if seconds < 2 * DAY { format!("{} h", seconds / 3600) } else { format!("{} days", seconds / DAY) }
    };
    let date = until.strftime("%Y-%m-%d");
    let summary = format!("the certificate of {address} expires in {} ({date}); renew it", days(left));
    let threshold = Some(days(threshold.as_secs()));
    Some(Wrong { severity, summary, value: Some(left as f64 / DAY as f64), threshold })
}

fn labels(check: &Check, fault: Fault, severity: Severity) -> Labels {
    let (Check::Certificate { customer, .. } | Check::Disk { customer, .. }) = check;
    let about = About { customer: customer.clone(), ..About::default() };
    let mut labels = about.labels(fault.alertname(), severity);
    labels.insert("instance".into(), place(check));
    labels
}

fn place(check: &Check) -> Place {
    match check {
        Check::Certificate { address, .. } => clean(address),
        Check::Disk { path, .. } => clean(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_257_000 + second).unwrap()
    }

    fn disk() -> Check {
        Check::Disk { path: "/var".into(), warn: 85, critical: 95, customer: None }
    }

    fn certificate() -> Check {
        Check::Certificate {
            address: "bloom.example:443".into(),
            warn: Duration::from_secs(14 * DAY),
            critical: Duration::from_secs(3 * DAY),
            customer: Some("19".into()),
        }
    }

    fn told(signals: &[Signal]) -> String {
        let one = |s: &Signal| {
            let sign = if s.firing { "+" } else { "-" };
            format!("{sign}{}/{}", s.labels["alertname"], s.labels["severity"])
        };
        signals.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn disks_fill_and_empty() {
        let mut verdicts = Verdicts::new(vec![]);
        let ok = |bytes: f64, inodes: Option<f64>| Looked::Disk(Ok(Used { bytes, inodes }));
        let gone = || Looked::Disk(Err("it is gone".into()));
        let table = [
            (ok(84.9, None), ""),
            (ok(85.0, None), "+DiskFilling/warning"),
            (ok(85.1, None), ""),
            (ok(83.5, None), "+DiskFilling/warning"),
            (ok(83.5, None), ""),
            (ok(82.9, None), "-DiskFilling/warning"),
            (ok(83.5, None), ""),
            (ok(10.0, Some(96.0)), "+DiskFilling/critical"),
            (gone(), ""),
            (gone(), ""),
            (gone(), ""),
            (ok(10.0, Some(90.0)), "-DiskFilling/critical +DiskFilling/warning"),
            (ok(10.0, Some(10.0)), "-DiskFilling/warning"),
            (gone(), ""),
            (gone(), ""),
            (gone(), "+DiskFilling/warning"),
            (ok(10.0, None), "-DiskFilling/warning"),
        ];
        for (n, (looked, want)) in table.into_iter().enumerate() {
            assert_eq!(told(&verdicts.on(&disk(), looked, at(n as i64))), want, "look {n}");
        }
        let signal = verdicts.on(&disk(), ok(97.2, Some(1.0)), at(99)).remove(0);
        assert_eq!(signal.value, Some(97.2));
        assert_eq!(signal.annotations["threshold"], "95 %");
        assert_eq!(signal.annotations["summary"], "/var is 97 % full");
    }

    #[test]
    fn certificates_expire_and_break() {
        let mut verdicts = Verdicts::new(vec![]);
        let valid = |days: i64| Looked::Certificate(Found::Valid(at(days * DAY as i64 + 100)));
        let broken = || Looked::Certificate(Found::Broken("it has expired; renew it".into(), None));
        let away = || Looked::Certificate(Found::Unreached("connection refused".into()));
        let table = [
            (valid(14), ""),
            (valid(13), "+CertificateExpiring/warning"),
            (away(), ""),
            (away(), ""),
            (away(), "+CertificateBroken/warning"),
            (
                valid(2),
                "-CertificateExpiring/warning +CertificateExpiring/critical -CertificateBroken/warning",
            ),
            (broken(), "+CertificateBroken/critical -CertificateExpiring/critical"),
            (broken(), ""),
            (valid(90), "-CertificateBroken/critical"),
            (away(), ""),
            (valid(90), ""),
            (away(), ""),
            (away(), ""),
        ];
        for (n, (looked, want)) in table.into_iter().enumerate() {
            assert_eq!(told(&verdicts.on(&certificate(), looked, at(n as i64))), want, "look {n}");
        }
    }

    #[test]
    fn what_fired_before_a_restart_goes_when_it_is_well_or_not_checked_any_more() {
        let looked = || Looked::Disk(Ok(Used { bytes: 90.0, inodes: None }));
        let fired = Verdicts::new(vec![]).on(&disk(), looked(), at(0));
        let mut verdicts = Verdicts::new(fired);
        assert_eq!(told(&verdicts.forget_others(&[disk()], at(1))), "");
        assert_eq!(told(&verdicts.on(&disk(), looked(), at(2))), "");
        assert_eq!(told(&verdicts.forget_others(&[certificate()], at(3))), "-DiskFilling/warning");
    }
}
