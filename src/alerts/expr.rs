//! An alert's expression as a series and its threshold: `a > 0.85` is the series `a` with a line at 0.85.

use crate::domain::Labels;

/// What of an expression can be drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawable {
    /// The expression without its comparison.
    pub series: String,
    /// What it is compared with, where that is a number.
    pub threshold: Option<f64>,
}

/// Splits at the last comparison outside of brackets and texts; several conditions joined by `and` are drawn by their first.
pub fn drawable(expr: &str) -> Drawable {
    let first = first_condition(expr.trim());
    let whole = || Drawable { series: first.to_owned(), threshold: None };
    let Some((left, right)) = comparison(first) else { return whole() };
    let right = right.trim().strip_prefix("bool ").unwrap_or(right.trim());
    match (number(left), number(right)) {
        (None, Some(threshold)) if !left.trim().is_empty() => {
            Drawable { series: left.trim().to_owned(), threshold: Some(threshold) }
        }
        (Some(threshold), None) if !right.is_empty() => {
            Drawable { series: right.trim().to_owned(), threshold: Some(threshold) }
        }
        // Two series that are compared: the left one is what is judged.
        (None, None) if !left.trim().is_empty() => {
            Drawable { series: left.trim().to_owned(), threshold: None }
        }
        _ => whole(),
    }
}

/// The query out of a link to Prometheus' graph page (`…/graph?g0.expr=up+%3D%3D+0&g0.tab=1`).
pub fn of_generator(url: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    let text = query.split('&').find_map(|pair| pair.strip_prefix("g0.expr="))?;
    let text = decoded(text.split('#').next().unwrap_or_default())?;
    (!text.trim().is_empty()).then_some(text)
}

/// Whether a series may be the one that the alert is about: no label that both have differs.
pub fn belongs<'a>(mut series: impl Iterator<Item = (&'a str, &'a str)>, alert: &Labels) -> bool {
    series.all(|(name, value)| name == "__name__" || alert.get(name).is_none_or(|own| own == value))
}

fn first_condition(expr: &str) -> &str {
    let parts = top_level(expr);
    let word = parts.iter().find(|(at, _)| {
        ["and", "unless"].iter().any(|w| {
            expr.get(*at..).is_some_and(|rest| {
                rest.get(..w.len()).is_some_and(|head| head.eq_ignore_ascii_case(w))
                    && rest.get(w.len()..).is_some_and(|tail| tail.starts_with([' ', '\n', '\t', '(']))
            }) && expr.get(..*at).is_some_and(|before| before.ends_with([' ', '\n', '\t', ')']))
        })
    });
    let first = word.and_then(|(at, _)| expr.get(..*at)).unwrap_or(expr).trim();
    unwrapped(first)
}

/// The expression without brackets around all of it.
fn unwrapped(expr: &str) -> &str {
    let inner = expr.strip_prefix('(').and_then(|e| e.strip_suffix(')'));
    match inner {
        Some(inner) if top_level(expr).len() == 2 => unwrapped(inner.trim()),
        _ => expr,
    }
}

fn comparison(expr: &str) -> Option<(&str, &str)> {
    let outside = top_level(expr);
    let (at, len) = outside.iter().rev().find_map(|(at, c)| {
        let two = expr.get(*at..at + 2);
        match c {
            '>' | '<' if two.is_some_and(|t| t.ends_with('=')) => Some((*at, 2)),
            '>' | '<' => Some((*at, 1)),
            '=' | '!' if matches!(two, Some("==" | "!=")) => Some((*at, 2)),
            _ => None,
        }
    })?;
    Some((expr.get(..at)?, expr.get(at + len..)?))
}

/// The characters outside of brackets and texts, with their places; a bracket itself counts as outside.
fn top_level(expr: &str) -> Vec<(usize, char)> {
    let (mut depth, mut quote, mut escaped) = (0_u32, None, false);
    let mut out = Vec::new();
    for (at, c) in expr.char_indices() {
        if let Some(q) = quote {
            if c == q && !escaped {
                quote = None;
            }
            escaped = c == '\\' && !escaped && q != '`';
            continue;
        }
        match c {
            '"' | '\'' | '`' => quote = Some(c),
            '(' | '{' | '[' => {
                if depth == 0 {
                    out.push((at, c));
                }
                depth += 1;
            }
            ')' | '}' | ']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    out.push((at, c));
                }
            }
            c if depth == 0 => out.push((at, c)),
            _ => {}
        }
    }
    out
}

/// A number as PromQL writes it, with simple sums and products of numbers (`100 * 1024`).
fn number(text: &str) -> Option<f64> {
    let text = unwrapped(text.trim());
    if let Ok(n) = text.replace('_', "").parse::<f64>() {
        return (!text.is_empty() && n.is_finite()).then_some(n);
    }
    for (sign, work) in
        [('+', (|a, b| a + b) as fn(f64, f64) -> f64), ('*', |a, b| a * b), ('/', |a, b| a / b)]
    {
        if let Some((at, _)) = top_level(text).iter().rev().find(|(at, c)| *c == sign && *at > 0) {
            let (left, right) = (text.get(..*at)?, text.get(at + 1..)?);
            let value = work(number(left)?, number(right)?);
            return value.is_finite().then_some(value);
        }
    }
    None
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (high, low) = (rest.next()?, rest.next()?);
                let digit = |b: u8| char::from(b).to_digit(16);
                u8::try_from(digit(high)? * 16 + digit(low)?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_split_at_its_threshold() {
        let table: [(&str, &str, Option<f64>); 26] = [
            ("up == 0", "up", Some(0.0)),
            ("up", "up", None),
            ("a / b > 0.85", "a / b", Some(0.85)),
            ("(a / b) > 0.85", "(a / b)", Some(0.85)),
            ("(a / b > 0.85)", "a / b", Some(0.85)),
            ("((a > 1))", "a", Some(1.0)),
            ("a >= 1e3", "a", Some(1000.0)),
            ("a <= -0.5", "a", Some(-0.5)),
            ("a != 1", "a", Some(1.0)),
            ("0.1 > a", "a", Some(0.1)),
            ("a > bool 5", "a", Some(5.0)),
            ("a > b", "a", None),
            ("a > on(instance) b", "a", None),
            ("a > 100 * 1024 * 1024", "a", Some(104_857_600.0)),
            ("a > (1 / 4)", "a", Some(0.25)),
            (
                r#"rate(x{code=~"5..",path!="/a>b"}[5m]) > 2"#,
                r#"rate(x{code=~"5..",path!="/a>b"}[5m])"#,
                Some(2.0),
            ),
            ("sum by (job) (rate(x[5m] offset 1h)) > 3", "sum by (job) (rate(x[5m] offset 1h))", Some(3.0)),
            ("a > 1 and b < 2", "a", Some(1.0)),
            ("(a > 1) and on(x) (b < 2)", "a", Some(1.0)),
            ("a > 1 unless b", "a", Some(1.0)),
            ("count(up == 0) > 2", "count(up == 0)", Some(2.0)),
            ("absent(up)", "absent(up)", None),
            ("predict_linear(free[1h], 4*3600) < 0", "predict_linear(free[1h], 4*3600)", Some(0.0)),
            ("vector(1)", "vector(1)", None),
            ("", "", None),
            ("> 3", "> 3", None),
        ];
        for (expr, series, threshold) in table {
            assert_eq!(drawable(expr), Drawable { series: series.into(), threshold }, "{expr}");
        }
    }

    #[test]
    fn a_generator_url_tells_its_expression() {
        let table = [
            ("http://p:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1", Some("up == 0")),
            ("http://p/graph?g0.tab=1&g0.expr=a%3E%C3%A4", Some("a>ä")),
            ("http://p/graph?g0.expr=", None),
            ("http://p/graph?g0.expr=%zz", None),
            ("http://p/graph", None),
            ("", None),
        ];
        for (url, want) in table {
            assert_eq!(of_generator(url).as_deref(), want, "{url}");
        }
    }

    #[test]
    fn a_series_of_somebody_else_is_told_apart() {
        let alert: Labels = [("alertname", "Down"), ("customer", "19"), ("instance", "a")]
            .map(|(n, v)| (n.into(), v.into()))
            .into();
        let table: [(&[(&str, &str)], bool); 4] = [
            (&[("__name__", "up"), ("instance", "a"), ("job", "x")], true),
            (&[("instance", "b")], false),
            (&[("customer", "7"), ("instance", "a")], false),
            (&[], true),
        ];
        for (series, want) in table {
            assert_eq!(belongs(series.iter().copied(), &alert), want, "{series:?}");
        }
    }
}
