//! Conditions on labels, compiled once: Alertmanager's matchers, which see a missing label as the empty text.

use regex::{Regex, RegexBuilder};

use crate::domain::{Labels, Matcher, Subject};

/// What compiles to more bytes matches nothing.
const SIZE: usize = 1 << 18;

/// Conditions that all have to hold.
#[derive(Clone, Debug, Default)]
pub struct Conditions(Vec<Condition>);

#[derive(Clone, Debug)]
struct Condition {
    name: String,
    test: Test,
    is_equal: bool,
}

#[derive(Clone, Debug)]
enum Test {
    Text(String),
    Regex(Regex),
    /// A regular expression that is none.
    Never,
}

impl Conditions {
    /// Compiles them; one whose regular expression is none never holds.
    pub fn new(matchers: &[Matcher]) -> Self {
        Self(matchers.iter().map(Condition::new).collect())
    }

    /// Whether there is none, so that everything would match.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a label set and its subject meet all of them.
    pub fn hold(&self, labels: &Labels, subject: &Subject) -> bool {
        self.0.iter().all(|condition| condition.holds(label(labels, subject, &condition.name)))
    }
}

impl Condition {
    fn new(matcher: &Matcher) -> Self {
        let test = if matcher.is_regex {
            // Anchored, as in Prometheus.
            let whole = format!("^(?:{})$", matcher.value);
            RegexBuilder::new(&whole).size_limit(SIZE).build().map_or(Test::Never, Test::Regex)
        } else {
            Test::Text(matcher.value.clone())
        };
        Self { name: matcher.name.clone(), test, is_equal: matcher.is_equal }
    }

    fn holds(&self, value: &str) -> bool {
        match &self.test {
            Test::Text(text) => (text == value) == self.is_equal,
            Test::Regex(regex) => regex.is_match(value) == self.is_equal,
            Test::Never => false,
        }
    }
}

/// The label's value; of `customer`, `service` and `host` the subject's where the label is missing; else empty.
pub(super) fn label<'a>(labels: &'a Labels, subject: &'a Subject, name: &str) -> &'a str {
    let of_subject = || match name {
        "customer" => subject.customer.as_ref().map(|c| c.as_str()),
        "service" => subject.service.as_ref().map(|s| s.as_str()),
        "host" => subject.host.as_ref().map(|h| h.as_str()),
        _ => None,
    };
    labels.get(name).map(String::as_str).or_else(of_subject).unwrap_or_default()
}

/// Checks a matcher as a person or a client wrote it.
///
/// # Errors
/// A sentence: its name is no label's, or its regular expression is none.
pub(super) fn check(matcher: &Matcher) -> Result<(), String> {
    let name = matcher.name.as_str();
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(good) {
        return Err(format!("`{name}` is no label's name; letters, digits and _ are"));
    }
    if matcher.is_regex
        && let Err(error) = RegexBuilder::new(&format!("^(?:{})$", matcher.value)).size_limit(SIZE).build()
    {
        return Err(format!("`{}` is no regular expression ({error})", matcher.value));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(name: &str, sign: &str, value: &str) -> Matcher {
        let (is_equal, is_regex) = (!sign.starts_with('!'), sign.ends_with('~'));
        Matcher { name: name.into(), value: value.into(), is_regex, is_equal }
    }

    #[test]
    fn conditions_hold_as_in_alertmanager() {
        let labels = Labels::from([("alertname".into(), "DiskFull".into()), ("job".into(), "node".into())]);
        let subject = Subject { customer: Some("7".into()), service: None, host: Some("alpha".into()) };
        for (name, sign, value, holds) in [
            ("alertname", "=", "DiskFull", true),
            ("alertname", "=", "Disk", false),
            ("alertname", "=~", "Disk", false),
            ("alertname", "=~", "Disk.*", true),
            ("alertname", "!~", "Disk.*", false),
            ("alertname", "!=", "Other", true),
            ("absent", "=", "", true),
            ("absent", "!=", "", false),
            ("absent", "=~", ".*", true),
            ("customer", "=", "7", true),
            ("host", "=~", "alpha|beta", true),
            ("service", "=", "web", false),
            ("job", "=~", "(", false),
            ("job", "!~", "(", false),
        ] {
            let m = matcher(name, sign, value);
            assert_eq!(Conditions::new(std::slice::from_ref(&m)).hold(&labels, &subject), holds, "{m:?}");
        }
        let both = [matcher("job", "=", "node"), matcher("customer", "=", "8")];
        assert!(!Conditions::new(&both).hold(&labels, &subject));
        assert!(check(&matcher("1a", "=", "x")).is_err() && check(&matcher("a", "=~", "(")).is_err());
        assert!(check(&matcher("a_1", "=~", "x|y")).is_ok());
    }
}
