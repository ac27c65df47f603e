//! The tool `explain_error`: what a pasted message means, what causes it, what to check, and who else has it right now.

mod catalog;
mod seen;

use std::time::Duration;

use async_trait::async_trait;

use super::{
    logs::LogSources,
    trouble::{self, Trouble},
};
use crate::{
    agent::port::{RunContext, Tool},
    domain::{
        Block, Level, Outcome, Param, ParamKind, ResolvedCall, Risk, Target, ToolCall, ToolError, ToolOutput,
        ToolSpec, Untrusted,
    },
    logs::mask,
    policy::Permit,
};
use catalog::{CATALOG, Match};
use seen::Seen;

/// So many lines of a pasted text are looked at.
const LINES: usize = 1_000;
/// So much of each of them, in bytes.
const LINE: usize = 2_000;
/// So many meanings are told.
const MEANINGS: usize = 3;
/// So many lines of a text are named as those that were looked at.
const PARTS: usize = 3;
/// A quoted line is cut to so many bytes.
const QUOTE: usize = 300;

/// `explain_error(text)`.
#[derive(Debug)]
pub struct ExplainError {
    spec: ToolSpec,
    sources: LogSources,
}

impl ExplainError {
    /// The tool.
    pub fn new(sources: LogSources) -> Self {
        let spec = ToolSpec {
            name: "explain_error",
            summary: "Explain an error message or log line.",
            params: vec![Param {
                name: "text",
                kind: ParamKind::Text,
                required: true,
                help: "the message, as it was pasted",
            }],
            floor: Risk::Safe,
            default: Risk::Safe,
            phrases: &[
                "what does this error mean",
                "explain this error",
                "explain this log line",
                "what does this message mean",
                "why do I get this error",
                "I see this error",
                "what is this stack trace about",
                "help me with this error message",
            ],
            untrusted: true,
            timeout: Duration::from_secs(30),
        };
        Self { spec, sources }
    }
}

#[async_trait]
impl Tool for ExplainError {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn resolve(&self, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        pasted(call)?;
        Ok(ResolvedCall { call: call.clone(), target: Target::default(), plan: vec![], steps: vec![] })
    }

    async fn call(&self, permit: Permit, cx: &RunContext) -> Result<ToolOutput, ToolError> {
        let text = pasted(&permit.call().call)?;
        let all: Vec<_> = text.as_str().lines().map(str::trim_end).filter(|l| !l.trim().is_empty()).collect();
        let lines: Vec<_> =
            all.iter().take(LINES).map(|l| l.get(..l.floor_char_boundary(LINE)).unwrap_or(l)).collect();
        let found = CATALOG.as_ref().map(|c| c.find(&lines)).unwrap_or_default();
        let parts = telling(&lines, &found);
        let seen = seen::look(&self.sources, &parts, cx.now).await;
        Ok(render(&lines, all.len() - lines.len(), (&found, &parts), &seen))
    }
}

fn pasted(call: &ToolCall) -> Result<Untrusted, ToolError> {
    let text = call.args.text("text").map(|t| Untrusted::new(&t)).filter(|t| !t.as_str().trim().is_empty());
    text.ok_or_else(|| ToolError::BadArgs("paste the message that is to be explained".into()))
}

/// A line that matters.
#[derive(Clone, Copy, Debug)]
struct Telling<'t> {
    line: &'t str,
    /// Where the catalogue knows it from, in bytes.
    known: Option<usize>,
}

/// The lines that matter: those that fit the catalogue, else those that tell of trouble, else the first one.
fn telling<'t>(lines: &[&'t str], found: &[Match<'_>]) -> Vec<Telling<'t>> {
    let mut numbers: Vec<usize> = found.iter().map(|m| m.line).collect();
    let mut bad: Vec<(Trouble, usize)> =
        lines.iter().enumerate().filter_map(|(n, line)| Some((trouble::judge(line)?, n))).collect();
    bad.sort_by_key(|(trouble, n)| (std::cmp::Reverse(*trouble), *n));
    numbers.extend(bad.into_iter().map(|(_, n)| n));
    if numbers.is_empty() {
        numbers.push(0);
    }
    let mut parts: Vec<Telling<'_>> = Vec::new();
    for n in numbers {
        let Some(line) = lines.get(n).copied() else { continue };
        let same = |other: &Telling<'_>| mask(other.line) == mask(line);
        if parts.len() < PARTS && !parts.iter().any(same) {
            let here = found.iter().filter(|m| m.line == n && !m.entry.generic);
            parts.push(Telling { line, known: here.map(|m| m.span.start).min() });
        }
    }
    parts
}

fn quote(line: &str) -> String {
    Untrusted::new(line.trim()).cut(QUOTE).to_string()
}

fn render(
    lines: &[&str],
    left_out: usize,
    (found, parts): (&[Match<'_>], &[Telling<'_>]),
    seen: &Seen,
) -> ToolOutput {
    let shown: Vec<_> = found.iter().take(MEANINGS).collect();
    let summary = match (shown.first(), found.len()) {
        (None, _) => "my catalogue of errors knows nothing of this text".to_owned(),
        (Some(m), 1) => m.entry.title.clone(),
        (Some(m), n) => format!("{} (and {} more, see below)", m.entry.title, n - 1),
    };
    let mut paragraphs = Vec::new();
    let numbered = lines.len() > 1;
    for m in &shown {
        let line = lines.get(m.line).copied().unwrap_or_default();
        paragraphs.push(meaning(m, line, numbered));
    }
    if found.len() > shown.len() {
        let rest: Vec<_> = found.iter().skip(MEANINGS).map(|m| m.entry.title.as_str()).collect();
        paragraphs.push(format!("Also in this text: {}.", rest.join("; ")));
    }
    if found.is_empty() {
        let quoted: Vec<_> = parts.iter().map(|part| format!("  {}", quote(part.line))).collect();
        paragraphs.push(format!(
            "Nothing in the catalogue fits, so this is no explanation. Of the {} I looked at these as the most telling:\n{}\n\
             With search_logs you find when it began and what stands around it.",
            super::logs::show::lines(lines.len() as u64),
            quoted.join("\n")
        ));
    }
    if left_out > 0 {
        paragraphs.push(format!(
            "The text is long: its last {} were not looked at.",
            super::logs::show::lines(left_out as u64)
        ));
    }
    paragraphs.push(seen.sentence());
    let text = format!("{summary}\n\n{}", paragraphs.join("\n\n"));
    let mut blocks = vec![Block::text(paragraphs.join("\n\n"))];
    blocks.extend(seen.gaps().map(|gap| Block::notice(Level::Warning, gap)));
    ToolOutput { outcome: Outcome::Ok, summary, text, blocks }
}

fn meaning(m: &Match<'_>, line: &str, numbered: bool) -> String {
    let at = if numbered { format!("line {}", m.line + 1) } else { "the line".to_owned() };
    let times = if m.count > 1 { format!(", {} lines like it", m.count) } else { String::new() };
    let list = |items: &[String]| {
        let rows = items.iter().enumerate().map(|(n, item)| format!("  {}. {item}", n + 1));
        rows.collect::<Vec<_>>().join("\n")
    };
    // Around the match, so that a long line shows what was recognised.
    let from = line.floor_char_boundary(m.span.start.saturating_sub(120));
    let shown = quote(line.get(from..).unwrap_or(line));
    format!(
        "{} (catalogue: {})\n{}\nSeen in {at}{times}: {shown}\nLikely causes, in order:\n{}\nCheck:\n{}",
        m.entry.title,
        m.entry.id,
        m.entry.means,
        list(&m.entry.causes),
        list(&m.entry.check)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(text: &str) -> ToolOutput {
        let lines: Vec<_> = text.lines().collect();
        let found = CATALOG.as_ref().unwrap().find(&lines);
        let parts = telling(&lines, &found);
        render(&lines, 0, (&found, &parts), &Seen::default())
    }

    #[test]
    fn the_best_match_leads_and_others_follow() {
        let out = explained(
            "INFO start\n[error] 7#7: *1 connect() failed (111: Connection refused) while connecting to upstream\n\
             1.2.3.4 - - [x] \"GET / HTTP/1.1\" 502 157\n1.2.3.4 - - [x] \"GET /a HTTP/1.1\" 502 157",
        );
        assert_eq!(out.summary, "nginx: nobody listens behind it (and 1 more, see below)");
        let nginx = out.text.find("visitors get a 502").unwrap();
        let http = out.text.find("502 Bad Gateway").unwrap();
        assert!(nginx < http && out.text.contains("Seen in line 2: [error]"), "{}", out.text);
        assert!(out.text.contains("Seen in line 3, 2 lines like it"), "{}", out.text);
    }

    #[test]
    fn what_is_not_known_is_said_with_the_parts_that_were_looked_at() {
        let out = explained("INFO start\nERROR flux capacitor 7 misaligned\nINFO end");
        assert!(out.summary.contains("knows nothing"), "{}", out.summary);
        assert!(
            out.text.contains("  ERROR flux capacitor 7 misaligned") && out.text.contains("no explanation"),
            "{}",
            out.text
        );
    }

    #[test]
    fn a_long_paste_is_read_to_its_end() {
        let mut text: String =
            (0..199).map(|n| format!("2026-11-21T16:20:01Z INFO request {n} took 7 ms\n")).collect();
        text.push_str("write /var/lib/data: no space left on device");
        let out = explained(&text);
        assert!(
            out.summary.starts_with("The disk is full") && out.text.contains("Seen in line 200"),
            "{}",
            out.text
        );
    }
}
