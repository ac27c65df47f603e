//! What a search found: counts first, then what repeats, then the newest matches with their evidence.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Wanted;
use crate::{
    domain::{Block, CustomerId, Level, Outcome, ToolError, ToolOutput, Untrusted},
    logs::Line,
    tools::logs::{Part, show},
};

/// So many repeating messages are named.
const MESSAGES: usize = 8;
/// With so many shown matches or fewer, the lines around them help.
const FEW: usize = 6;

pub(super) fn render(
    customer: &CustomerId,
    wanted: &Wanted,
    (parts, hosts): (Vec<Part>, Vec<String>),
    now: Timestamp,
) -> Result<ToolOutput, ToolError> {
    if let Some(Some(e)) = parts.first().map(|p| p.failed.clone())
        && parts.iter().all(|p| p.failed.is_some())
    {
        return Err(e);
    }
    let gaps: Vec<_> = parts.iter().flat_map(|p| p.gaps.clone()).chain(hosts).collect();
    let seen: u64 = parts.iter().map(|p| p.tally.seen()).sum();
    let matched: u64 = parts.iter().map(|p| p.tally.matched()).sum();
    let what = if wanted.back.is_some() { " in that time" } else { "" };
    if matched == 0 && gaps.is_empty() {
        let of = show::lines(seen);
        let text =
            format!("no line of customer {customer}'s logs matches `{}`{what} ({of} read)", wanted.text);
        return Err(ToolError::NothingFound(text));
    }
    let summary = summary(customer, wanted, &parts, now);
    let mut text = vec![summary.clone()];
    let mut blocks = vec![Block::text(format!("{summary}."))];
    if wanted.pattern.is_literal() {
        let note = format!("`{}` is no regular expression; it was looked for as it is", wanted.text);
        text.push(note.clone());
        blocks.push(Block::notice(Level::Info, note));
    }
    for gap in gaps {
        text.push(format!("not searched: {gap}"));
        blocks.push(Block::notice(Level::Warning, gap));
    }
    text.extend(parts.iter().filter(|p| p.failed.is_none()).map(|p| counted(p, now)));
    if parts.len() > 1 && matched > 0 {
        blocks.push(counts(&parts, now));
    }
    let (said, table) = messages(&parts, matched, wanted.lines);
    text.extend(said);
    blocks.extend(table);
    let have: Vec<_> = parts.iter().map(|p| p.tally.kept().len()).collect();
    for (part, take) in parts.iter().zip(show::share(wanted.lines, &have)) {
        let kept = part.tally.kept();
        if kept.is_empty() {
            continue;
        }
        text.push(format!("== {}", part.label));
        text.extend(kept.iter().map(|line| show::line(line, now)));
        let newest: Vec<_> = kept.iter().skip(kept.len() - take).collect();
        let omitted = part.tally.matched().saturating_sub(take as u64);
        blocks.push(Block::Log { source: part.name.clone(), lines: excerpt(&newest, now), omitted });
    }
    Ok(ToolOutput { outcome: Outcome::Ok, summary, text: text.join("\n"), blocks })
}

fn summary(customer: &CustomerId, wanted: &Wanted, parts: &[Part], now: Timestamp) -> String {
    let matched: u64 = parts.iter().map(|p| p.tally.matched()).sum();
    let with = parts.iter().filter(|p| p.tally.matched() > 0).count();
    let first = parts.iter().filter_map(|p| p.tally.span()).map(|(first, _)| first).min();
    let last = parts.iter().filter_map(|p| p.tally.span()).map(|(_, last)| last).max();
    let time = match first.zip(last) {
        Some((first, last)) if first == last => format!(", at {} UTC", show::time(last, now)),
        Some((first, last)) => format!(", from {} to {} UTC", show::time(first, now), show::time(last, now)),
        None => String::new(),
    };
    let verb = if matched == 1 { "matches" } else { "match" };
    let many = format!("{} {verb} `{}`", show::lines(matched), wanted.text);
    match parts {
        [one] => format!("{many} in the log of {} of customer {customer}{time}", one.service),
        all => format!("{many} in {with} of {} logs of customer {customer}{time}", all.len()),
    }
}

fn counted(part: &Part, now: Timestamp) -> String {
    let tally = &part.tally;
    let span = tally.span().map_or_else(String::new, |(first, last)| {
        format!(", first {}, last {}", show::time(first, now), show::time(last, now))
    });
    format!("{}: {} of {} match{span}", part.label, tally.matched(), show::lines(tally.seen()))
}

fn counts(parts: &[Part], now: Timestamp) -> Block {
    let time = |at: Option<Timestamp>| at.map(|at| show::time(at, now)).unwrap_or_default();
    let row = |p: &Part| {
        let span = p.tally.span();
        let numbers = [p.tally.matched(), p.tally.seen()].map(|n| n.to_string());
        let [matched, seen] = if p.failed.is_some() { ["not read".into(), String::new()] } else { numbers };
        vec![p.name.clone(), matched, seen, time(span.map(|s| s.0)), time(span.map(|s| s.1))]
    };
    Block::Table {
        title: None,
        columns: ["log", "matches", "lines", "first (UTC)", "last (UTC)"].map(String::from).into(),
        rows: parts.iter().map(row).collect(),
    }
}

/// The messages that repeat, when there are more matches than are shown.
fn messages(parts: &[Part], matched: u64, shown: usize) -> (Vec<String>, Option<Block>) {
    if matched <= shown as u64 {
        return (vec![], None);
    }
    let mut all: BTreeMap<String, u64> = BTreeMap::new();
    for (message, count) in parts.iter().flat_map(|p| p.tally.messages()) {
        *all.entry(message.to_string()).or_default() += count;
    }
    let mut top: Vec<_> = all.into_iter().filter(|(_, count)| *count > 1).collect();
    top.sort_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
    top.truncate(MESSAGES);
    if top.is_empty() {
        return (vec![], None);
    }
    let cut = |message: &str| Untrusted::new(message).cut(160).to_string();
    let mut text = vec!["most frequent (numbers are #):".to_owned()];
    text.extend(top.iter().map(|(message, count)| format!("{count} × {}", cut(message))));
    let table = Block::Table {
        title: Some("Most frequent (numbers are #)".into()),
        columns: ["times", "message"].map(String::from).into(),
        rows: top.iter().map(|(message, count)| vec![count.to_string(), cut(message)]).collect(),
    };
    (text, Some(table))
}

/// The lines, few ones with their neighbours; no line stands there twice.
fn excerpt(newest: &[&Line], now: Timestamp) -> Vec<String> {
    if newest.len() > FEW {
        return newest.iter().map(|line| show::line(line, now)).collect();
    }
    let is = |line: Option<&&Line>, text: &Untrusted| {
        line.is_some_and(|l| l.text.as_str().starts_with(text.as_str()))
    };
    let mut out = Vec::new();
    for (n, line) in newest.iter().enumerate() {
        let previous = n.checked_sub(1).and_then(|n| newest.get(n));
        let shown = |text: &&Untrusted| {
            is(previous, text) || previous.is_some_and(|p| p.after.as_ref() == Some(*text))
        };
        out.extend(line.before.iter().filter(|b| !shown(b)).map(|before| format!("  {before}")));
        out.push(format!("> {}", show::line(line, now)));
        let next = newest.get(n + 1);
        out.extend(line.after.iter().filter(|a| !is(next, a)).map(|after| format!("  {after}")));
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        domain::Args,
        logs::{Passing, Tally},
    };

    fn wanted(args: serde_json::Value) -> Wanted {
        Wanted::read(&Args(args.as_object().unwrap().clone())).unwrap()
    }

    fn now() -> Timestamp {
        "2026-11-21T10:40:00Z".parse().unwrap()
    }

    fn part(wanted: &Wanted, name: &str, lines: &[&str]) -> Part {
        let mut tally = Tally::new(wanted.ask(now()).want);
        for (n, line) in lines.iter().enumerate() {
            let at = Timestamp::from_second(1_795_257_000 + n as i64).ok();
            tally.line(Passing::whole(line.as_bytes()), || at);
        }
        Part {
            service: name.into(),
            label: name.into(),
            name: name.into(),
            tally,
            gaps: vec![],
            failed: None,
        }
    }

    #[test]
    fn counts_times_messages_and_the_newest_are_told() {
        let w = wanted(json!({"pattern": "timeout", "max_lines": 3}));
        let many: Vec<_> = (0..40).map(|n| format!("timeout of upstream {n}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let parts =
            vec![part(&w, "db", &["fine"]), part(&w, "web", &many), part(&w, "app", &["a TIMEOUT here"])];
        let out =
            render(&"19".into(), &w, (parts, vec!["Docker host b is not answering".into()]), now()).unwrap();
        assert_eq!(
            out.summary,
            "41 lines match `timeout` in 2 of 3 logs of customer 19, from 10:30:00 to 10:30:39 UTC"
        );
        assert!(out.text.contains("not searched: Docker host b is not answering"), "{}", out.text);
        assert!(
            out.text.contains("web: 40 of 40 lines match, first 10:30:00, last 10:30:39"),
            "{}",
            out.text
        );
        assert!(out.text.contains("40 × timeout of upstream #"), "{}", out.text);
        assert!(out.text.contains("10:30:00 timeout of upstream 0\n"), "all matches are in the kept text");
        let shown: Vec<_> = out
            .blocks
            .iter()
            .filter_map(|b| match b {
                Block::Log { source, lines, omitted } => Some((source.as_str(), lines.len(), *omitted)),
                _ => None,
            })
            .collect();
        assert_eq!(shown, [("web", 3, 38), ("app", 1, 0)]);
    }

    #[test]
    fn few_matches_come_with_their_neighbours_and_none_twice() {
        let w = wanted(json!({"pattern": "err"}));
        let parts = vec![part(&w, "web", &["a", "err 1", "err 2", "b", "c", "err 3", "d"])];
        let out = render(&"19".into(), &w, (parts, vec![]), now()).unwrap();
        let Some(Block::Log { lines, .. }) = out.blocks.last() else { panic!("{:?}", out.blocks) };
        let bare: Vec<_> = lines.iter().map(|l| l.replace("10:30:0", "")).collect();
        assert_eq!(bare, ["  a", "> 1 err 1", "> 2 err 2", "  b", "  c", "> 5 err 3", "  d"]);
    }

    #[test]
    fn nothing_is_only_said_when_all_was_read() {
        let w = wanted(json!({"pattern": "x(", "since": "1h"}));
        let none = render(&"19".into(), &w, (vec![part(&w, "web", &["a"])], vec![]), now()).unwrap_err();
        assert_eq!(
            none.to_string(),
            "nothing found: no line of customer 19's logs matches `x(` in that time (1 line read)"
        );
        let gap = render(&"19".into(), &w, (vec![part(&w, "web", &["a"])], vec!["b is down".into()]), now())
            .unwrap();
        assert!(
            gap.summary.starts_with("0 lines match") && gap.text.contains("no regular expression"),
            "{}",
            gap.text
        );
    }
}
