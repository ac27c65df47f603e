//! A person's pattern (`*` stands for anything, all else for itself) in the languages of the caches: pure.

/// The longest pattern, in characters.
const LONGEST: usize = 256;

/// The glob for Redis: its other signs escaped, confined to keys that begin with `prefix`.
///
/// # Errors
/// One sentence: the pattern is too long or holds control characters.
pub(super) fn redis_glob(prefix: &str, pattern: &str) -> Result<String, String> {
    if pattern.chars().count() > LONGEST {
        return Err(format!("the pattern is longer than {LONGEST} characters"));
    }
    if pattern.chars().any(char::is_control) {
        return Err("the pattern holds control characters".into());
    }
    let rest = pattern.strip_prefix(prefix).unwrap_or(pattern);
    let mut glob = String::new();
    for c in prefix.chars() {
        escaped(c, &mut glob);
    }
    for c in rest.chars() {
        if c == '*' { glob.push(c) } else { escaped(c, &mut glob) }
    }
    Ok(glob)
}

fn escaped(c: char, out: &mut String) {
    if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') {
        out.push('\\');
    }
    out.push(c);
}

/// The anchored expression for an address' path: `/news/*` becomes `^/news/.*$`. It needs no backslash and no quotes,
/// which Varnish's command line would read again.
///
/// # Errors
/// One sentence: the pattern is too long, or holds what no address holds as it is sent.
pub(super) fn path_regex(pattern: &str) -> Result<String, String> {
    if pattern.chars().count() > LONGEST {
        return Err(format!("the pattern is longer than {LONGEST} characters"));
    }
    let sent = |c: char| c.is_ascii_alphanumeric() || "-._~/:?@!$&'()*+,;=%".contains(c);
    if let Some(odd) = pattern.chars().find(|c| !sent(*c)) {
        return Err(format!(
            "`{}` is in no address as a browser sends it; write it as it is sent (a blank is %20)",
            odd.escape_debug()
        ));
    }
    let slash = if pattern.starts_with(['/', '*']) { "" } else { "/" };
    Ok(format!("^{slash}{}$", expression(pattern)))
}

/// The expression for a host: in any case, with or without a port.
pub(super) fn host_regex(host: &str) -> String {
    format!("(?i)^{}(:[0-9]+)?$", expression(host))
}

/// `*` becomes `.*`; a sign of the regular expressions' own becomes a class of itself.
fn expression(glob: &str) -> String {
    let mut out = String::new();
    for c in glob.chars() {
        match c {
            '*' => out.push_str(".*"),
            '.' | '?' | '+' | '$' | '(' | ')' | '[' | ']' | '{' | '}' | '|' => {
                out.push('[');
                out.push(c);
                out.push(']');
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redis_pattern_never_leaves_its_prefix() {
        let table = [
            ("", "session:*", "session:*"),
            ("c7:", "session:*", "c7:session:*"),
            ("c7:", "c7:session:*", "c7:session:*"),
            ("c7:", "*", "c7:*"),
            ("c7:", "c8:*", "c7:c8:*"),
            ("c[7]*", "a?b[c]\\", "c\\[7\\]\\*a\\?b\\[c\\]\\\\"),
            ("", "ä *", "ä *"),
        ];
        for (prefix, pattern, want) in table {
            assert_eq!(redis_glob(prefix, pattern).as_deref(), Ok(want), "{prefix} {pattern}");
        }
        assert!(redis_glob("", "a\nb").is_err() && redis_glob("", &"a".repeat(300)).is_err());
    }

    #[test]
    fn a_path_pattern_is_anchored_and_fits_what_it_says() {
        let table = [
            ("/news/*", "^/news/.*$", "/news/a?b=1", "/old/news/a"),
            ("news/*", "^/news/.*$", "/news/a", "news/a"),
            ("*.css", "^.*[.]css$", "/x/app.css", "/x/appxcss"),
            ("/a(b)+c?d=$1", "^/a[(]b[)][+]c[?]d=[$]1$", "/a(b)+c?d=$1", "/abbd=1"),
            ("/a%20b", "^/a%20b$", "/a%20b", "/a b"),
        ];
        for (pattern, want, fits, not) in table {
            let regex = path_regex(pattern).unwrap();
            assert_eq!(regex, want);
            let regex = regex::Regex::new(&regex).unwrap();
            assert!(regex.is_match(fits) && !regex.is_match(not), "{pattern}");
        }
        for bad in ["/a b", "/\"x", "/a\\b", "/x\ny", "/ä", "/a#b", "/x|y", "/[a]"] {
            assert!(path_regex(bad).unwrap_err().contains("%20"), "{bad}");
        }
        assert!(path_regex(&"a".repeat(300)).is_err());
    }

    #[test]
    fn a_host_fits_itself_only() {
        let regex = regex::Regex::new(&host_regex("shop.example")).unwrap();
        for (host, want) in [
            ("shop.example", true),
            ("Shop.Example:8080", true),
            ("shopxexample", false),
            ("www.shop.example", false),
            ("shop.example.evil", false),
            ("shop.example:x", false),
        ] {
            assert_eq!(regex.is_match(host), want, "{host}");
        }
    }
}
