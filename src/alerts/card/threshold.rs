//! What was measured beside what it is held against: the threshold is read from the end of the alert's expression.

use reqwest::Url;

use crate::domain::Signal;

/// Annotations in which people keep the expression.
const ANNOTATIONS: [&str; 3] = ["expr", "expression", "query"];
/// What takes an expression's end away from the value: the number belongs to its last part only.
const JOINTS: [&str; 3] = ["and", "or", "unless"];

/// The signal's value and its threshold, in words.
pub(super) fn measured(signal: &Signal) -> Option<String> {
    let threshold = expression(signal).and_then(|expression| threshold(&expression)).map(number);
    match (signal.value.map(number), threshold) {
        (Some(value), Some(threshold)) => Some(format!("{value}, threshold {threshold}")),
        (Some(value), None) => Some(value),
        (None, Some(threshold)) => Some(format!("threshold {threshold}")),
        (None, None) => None,
    }
}

fn expression(signal: &Signal) -> Option<String> {
    let linked = signal.generator_url.as_deref().and_then(|url| {
        let url = Url::parse(url).ok()?;
        let (_, expression) = url.query_pairs().find(|(name, _)| name == "g0.expr" || name == "expr")?;
        Some(expression.into_owned())
    });
    let noted = || ANNOTATIONS.iter().find_map(|name| signal.annotations.get(*name)).cloned();
    linked.or_else(noted)
}

/// The number with which a PromQL expression compares at its end, where it is a limit to be above or below.
fn threshold(expression: &str) -> Option<f64> {
    let expression = unwrapped(expression.trim());
    let at = expression.rfind(['<', '>', '='])?;
    let (head, tail) = (expression.get(..at)?, expression.get(at + 1..)?);
    let limit = match expression.as_bytes().get(at)? {
        b'=' => head.ends_with(['<', '>']),
        _ => true,
    };
    let words = head.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    if !limit || words.into_iter().any(|word| JOINTS.iter().any(|joint| word.eq_ignore_ascii_case(joint))) {
        return None;
    }
    let tail = tail.trim();
    let tail = tail.strip_prefix("bool ").unwrap_or(tail).trim();
    let numeric = tail.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    tail.parse::<f64>().ok().filter(|number| numeric && number.is_finite())
}

/// Without parentheses that go around the whole.
fn unwrapped(mut text: &str) -> &str {
    while let Some(inner) = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')) {
        let mut depth = 0_i64;
        let closes_early = inner.chars().any(|c| {
            depth += i64::from(c == '(') - i64::from(c == ')');
            depth < 0
        });
        if closes_early {
            break;
        }
        text = inner.trim();
    }
    text
}

/// A number as a person reads it: four digits that count.
fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        }
        .to_owned();
    }
    if size >= 1e15 || (size > 0.0 && size < 1e-4) {
        return format!("{value:.3e}");
    }
    let decimals = match size {
        s if s >= 1_000.0 => 0,
        s if s >= 100.0 => 1,
        s if s >= 10.0 => 2,
        s if s >= 1.0 => 3,
        s if s >= 0.1 => 4,
        s if s >= 0.01 => 5,
        _ => 7,
    };
    let text = format!("{value:.decimals$}");
    if !text.contains('.') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_the_number_at_the_end() {
        let table = [
            ("up == 0", None),
            ("errors / requests > 0.05", Some(0.05)),
            ("free_bytes{mountpoint=\"/\"} / size_bytes < 0.1", Some(0.1)),
            ("rate(x[5m])>=1e3", Some(1_000.0)),
            ("temperature < -5", Some(-5.0)),
            ("(x > 3)", Some(3.0)),
            ("((x) > (3))", None),
            ("(a) > 3 ", Some(3.0)),
            ("x > bool 1", Some(1.0)),
            ("x <= 10", Some(10.0)),
            ("x > 5 and y < 3", None),
            ("x > 5 unless on(job) y > 1", None),
            ("a > 3 or b > 4", None),
            ("x > 10 * 1024", None),
            ("x > y", None),
            ("x > +Inf", None),
            ("x > nan", None),
            ("x > inf", None),
            ("absent(up{job=\"a\"})", None),
            ("x{le=\"5\"}", None),
            ("x != 3", None),
            ("x =~ 3", None),
            ("5 < x", None),
            ("ignore all instructions > 1; drop", None),
            ("", None),
            (">", None),
            ("ü > 4", Some(4.0)),
        ];
        for (expression, want) in table {
            assert_eq!(threshold(expression), want, "{expression}");
        }
    }

    #[test]
    fn numbers_are_short() {
        let table = [
            (0.0, "0"),
            (-0.05, "-0.05"),
            (0.931_25, "0.9313"),
            (1.0, "1"),
            (93.456, "93.46"),
            (12_345.678, "12346"),
            (100.0, "100"),
            (0.001_234_5, "0.0012345"),
            (1e-9, "1.000e-9"),
            (1e18, "1.000e18"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Inf"),
        ];
        for (value, want) in table {
            assert_eq!(number(value), want, "{value}");
        }
    }
}
