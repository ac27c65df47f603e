//! Matchers as people write them, in Alertmanager's notation: `name="value"`, `!=`, `=~`, `!~`.

use crate::domain::Matcher;

const CURE: &str = "write name=\"value\", or with !=, =~ or !~ in place of =";
/// No condition that a person means is longer, in bytes.
const LONGEST: usize = 4096;

/// Reads one matcher; the value may be quoted or bare.
///
/// # Errors
/// What is wrong with it and how one is written.
pub fn parse_matcher(text: &str) -> Result<Matcher, String> {
    if text.len() > LONGEST {
        return Err(format!("is longer than {LONGEST} bytes; {CURE}"));
    }
    let wrong = |what: &str| format!("`{}` {what}; {CURE}", text.trim());
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end).ok_or_else(|| wrong("is no matcher"))?;
    if !is_label_name(name) {
        return Err(wrong("does not begin with a label's name"));
    }
    let rest = rest.trim_start();
    let operators = [("=~", true, true), ("!~", true, false), ("!=", false, false), ("=", false, true)];
    let found = operators.iter().find_map(|(sign, regex, equal)| {
        rest.strip_prefix(sign).map(|value| (value.trim_start(), *regex, *equal))
    });
    let (value, is_regex, is_equal) = found.ok_or_else(|| wrong("has no =, !=, =~ or !~ after its name"))?;
    let value = unquoted(value).map_err(|what| wrong(&what))?;
    if is_regex {
        check_regex(&value).map_err(|what| wrong(&what))?;
    }
    Ok(Matcher { name: name.to_owned(), value, is_regex, is_equal })
}

/// The matcher as [`parse_matcher`] reads it.
pub fn written(matcher: &Matcher) -> String {
    let sign = match (matcher.is_equal, matcher.is_regex) {
        (true, false) => "=",
        (true, true) => "=~",
        (false, false) => "!=",
        (false, true) => "!~",
    };
    let value = matcher.value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{}{sign}\"{value}\"", matcher.name)
}

/// Whether the text is a regular expression of bounded size.
///
/// # Errors
/// What is wrong with it.
pub fn check_regex(text: &str) -> Result<(), String> {
    let built = regex::RegexBuilder::new(&format!("^(?:{text})$")).size_limit(1 << 20).build();
    built.map(|_| ()).map_err(|error| {
        let last = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
        format!("holds no regular expression ({last})")
    })
}

/// Whether this is a label's name (`[a-zA-Z_][a-zA-Z0-9_]*`; a colon is let through as Alertmanager does).
pub fn is_label_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
}

fn unquoted(text: &str) -> Result<String, String> {
    let (quoted, inner) = match text.strip_prefix('"') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut value = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => value.push('\n'),
                Some(c @ ('"' | '\\')) => value.push(c),
                // A regular expression's own backslash.
                Some(c) => value.extend(['\\', c]),
                None => return Err("ends with a backslash".into()),
            },
            '"' if quoted && chars.as_str().is_empty() => return Ok(value),
            '"' => return Err("has a quotation mark inside its value; write \\\"".into()),
            c => value.push(c),
        }
    }
    if quoted { Err("has no closing quotation mark".into()) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_are_read_as_alertmanager_reads_them() {
        let table = [
            (r#"alertname="Down""#, ("alertname", "Down", false, true)),
            ("alertname=Down", ("alertname", "Down", false, true)),
            (r#" a != "b c" "#, ("a", "b c", false, false)),
            (r#"a=~"x|y.*""#, ("a", "x|y.*", true, true)),
            (r#"a!~"\\d+""#, ("a", r"\d+", true, false)),
            (r#"a=~"\d+""#, ("a", r"\d+", true, true)),
            (r#"a="say \"hi\"\n""#, ("a", "say \"hi\"\n", false, true)),
            ("a=", ("a", "", false, true)),
            (r#"a="""#, ("a", "", false, true)),
            ("job:x=1", ("job:x", "1", false, true)),
            ("a==b", ("a", "=b", false, true)),
        ];
        for (text, (name, value, is_regex, is_equal)) in table {
            let want = Matcher { name: name.into(), value: value.into(), is_regex, is_equal };
            assert_eq!(parse_matcher(text), Ok(want.clone()), "{text}");
            assert_eq!(parse_matcher(&written(&want)), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_is_no_matcher_says_how_one_is_written() {
        let long = format!("a={}", "x".repeat(5000));
        let table = [
            ("", "does not begin"),
            ("=x", "does not begin"),
            ("1a=x", "does not begin"),
            ("alertname", "has no ="),
            ("a ~ b", "has no ="),
            (r#"a="b"#, "no closing"),
            (r#"a=b"c"#, "quotation mark inside"),
            (r#"a="b"c""#, "quotation mark inside"),
            (r#"a="b\"#, "ends with a backslash"),
            ("a=~(", "no regular expression"),
            ("a=~(x{1000}){1000}", "no regular expression"),
            (&long, "longer than"),
        ];
        for (text, part) in table {
            let error = parse_matcher(text).unwrap_err();
            assert!(error.contains(part) && error.contains("write name="), "{text}: {error}");
        }
    }
}
