//! Logs as they come, and what is reported of them.

use super::*;

/// Milliseconds after the beginning.
fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_795_257_000_000 + ms).unwrap()
}

fn rule(pattern: &str, multiline: Option<&str>) -> Arc<Rule> {
    Arc::new(Rule {
        name: "Oops".into(),
        pattern: Pattern::new(pattern).unwrap(),
        multiline: multiline.map(|m| Pattern::new(m).unwrap()),
        severity: Severity::Critical,
        quiet_for: Duration::from_secs(60),
    })
}

fn matching(rules: &[Arc<Rule>]) -> Matching {
    let about = About {
        customer: Some("19".into()),
        service: Some("web".into()),
        container: Some("c19-web".into()),
        host: None,
    };
    let redact: Redact = Arc::new(|text: &str| text.replace("hunter2", "[redacted]"));
    Matching::new(about, "c19-web".into(), rules, redact)
}

fn feed(m: &mut Matching, from: i64, lines: &[&str]) -> Vec<Signal> {
    lines.iter().zip(from..).flat_map(|(line, ms)| m.line(line.as_bytes(), at(ms))).collect()
}

fn lines(signal: &Signal) -> Vec<&str> {
    signal.excerpt.as_ref().unwrap().lines.iter().map(String::as_str).collect()
}

#[test]
fn a_match_is_shown_with_what_stands_around_it() {
    let mut m = matching(&[rule("out of memory", None)]);
    let log = ["1", "2", "3", "4", "\u{1b}[31mOut of memory\u{1b}[0m hunter2", "a", "b", "c", "d", "e", "f"];
    let report = feed(&mut m, 0, &log);
    assert_eq!(report.len(), 1);
    assert_eq!(lines(&report[0]), ["2", "3", "4", "Out of memory [redacted]", "a", "b", "c", "d", "e"]);
    assert_eq!((report[0].labels["alertname"].as_str(), report[0].starts_at), ("Oops", at(4)));
}

#[test]
fn what_follows_is_awaited_for_a_second_only() {
    let mut m = matching(&[rule("oops", None)]);
    assert!(feed(&mut m, 0, &["x", "oops", "y"]).is_empty());
    assert!(m.tick(at(1_000)).is_empty());
    let report = m.tick(at(1_001));
    assert_eq!(lines(&report[0]), ["x", "oops", "y"]);
}

#[test]
fn at_most_one_signal_in_the_quiet_time_with_its_number_and_over_when_none_came_for_it() {
    let mut m = matching(&[rule("oops", None)]);
    feed(&mut m, 0, &["oops", "oops", "oops"]);
    let first = m.tick(at(1_100)).remove(0);
    assert_eq!(first.annotations["matches"], "3");
    for n in 0..100 {
        assert!(feed(&mut m, 2_000 + n, &["oops"]).is_empty() && m.tick(at(2_000 + n)).is_empty());
    }
    feed(&mut m, 50_000, &["oops"]);
    let again = m.tick(at(61_200));
    assert_eq!((again.len(), again[0].firing, again[0].annotations["matches"].as_str()), (1, true, "101"));
    assert_eq!(again[0].labels, first.labels);
    assert!(m.tick(at(61_300)).is_empty() && !m.is_idle());
    let over = m.tick(at(110_000));
    assert!(over.len() == 1 && !over[0].firing && over[0].labels == first.labels, "{over:?}");
    assert!(m.tick(at(200_000)).is_empty() && m.is_idle());
    feed(&mut m, 300_000, &["oops"]);
    assert!(m.tick(at(301_000))[0].firing, "it fires anew");
}

#[test]
fn lines_that_belong_together_are_one() {
    let stack = rule("panic.*(?s:.*)main", Some("^\\s"));
    let mut m = matching(&[Arc::clone(&stack)]);
    let log = ["before", "panic: index", "  at run", "  at main", "next", "more"];
    assert!(feed(&mut m, 0, &log).is_empty());
    let report = m.tick(at(1_100));
    assert_eq!(lines(&report[0]), ["before", "panic: index", "  at run", "  at main", "next", "more"]);
    // The last entry ends by time.
    let mut m = matching(&[Arc::clone(&stack)]);
    feed(&mut m, 0, &["panic: x", "  at main"]);
    assert!(m.tick(at(900)).is_empty() && m.tick(at(1_000)).is_empty());
    assert_eq!(lines(&m.tick(at(2_000))[0]), ["panic: x", "  at main"]);
    // Neither line alone matches.
    let mut m = matching(&[stack]);
    feed(&mut m, 0, &["panic: x", "main", "other"]);
    assert!(m.tick(at(1_000)).is_empty() && m.tick(at(3_000)).is_empty());
}

#[test]
fn an_entry_without_end_is_bounded() {
    let mut m = matching(&[rule("panic", Some("^ "))]);
    feed(&mut m, 0, &["panic"]);
    for n in 0..10_000 {
        assert!(feed(&mut m, n / 20, &[" deeper and deeper and deeper"]).is_empty());
    }
    m.tick(at(1_000));
    let report = m.tick(at(2_000));
    assert_eq!((report.len(), lines(&report[0]).len()), (1, JOINED));
}

#[test]
fn what_was_not_read_is_said_once() {
    let mut m = matching(&[rule("oops", None)]);
    feed(&mut m, 0, &["a", "b"]);
    m.unread(2, 0);
    m.unread(1, 0);
    feed(&mut m, 10, &["oops"]);
    let report = m.tick(at(1_010));
    assert_eq!(
        lines(&report[0]),
        ["oops", "[about 3 s of this log were not read before this: it grows too fast]"]
    );
    m.tick(at(100_000));
    feed(&mut m, 100_001, &["oops"]);
    assert_eq!(lines(&m.tick(at(101_001))[0]), ["oops", "oops"]);
}

#[test]
fn rules_do_not_disturb_each_other() {
    let other = Arc::new(Rule { name: "Other".into(), ..Arc::into_inner(rule("b", None)).unwrap() });
    let mut m = matching(&[rule("a", None), other]);
    feed(&mut m, 0, &["a", "b"]);
    let report = m.tick(at(1_100));
    assert_eq!(report.iter().map(|s| s.labels["alertname"].as_str()).collect::<Vec<_>>(), ["Oops", "Other"]);
    assert_eq!((lines(&report[0]), lines(&report[1])), (vec!["a", "b"], vec!["a", "b"]));
}
