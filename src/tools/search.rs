//! The tool `search_output`: finds lines in an output that was too long to show and was kept.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{
    agent::port::{RunContext, Tool},
    domain::{
        Block, Outcome, Param, ParamKind, ResolvedCall, Risk, Target, ToolCall, ToolError, ToolOutput,
        ToolSpec, Untrusted,
    },
    policy::Permit,
};

/// So many matching lines are shown at most.
const MOST: usize = 40;
/// So many lines around each one.
const CONTEXT: usize = 1;

/// What a search of a kept output found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Line number (from 1) and text, in order.
    pub lines: Vec<(usize, String)>,
    /// How many lines match in all.
    pub total: usize,
}

/// A search over the kept outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The output's id, as the cut output named it.
    pub id: String,
    /// A regular expression.
    pub pattern: String,
    /// How many matching lines are wanted at most.
    pub max_lines: usize,
    /// How many lines around each.
    pub context: usize,
}

/// Searches the kept outputs; may block on the disk.
pub type Search = Arc<dyn Fn(&Wanted) -> Result<Found, ToolError> + Send + Sync>;

/// `search_output(id, pattern)`.
pub struct SearchOutput {
    spec: ToolSpec,
    search: Search,
}

impl fmt::Debug for SearchOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SearchOutput").finish_non_exhaustive()
    }
}

impl SearchOutput {
    /// The tool over this search.
    pub fn new(search: Search) -> Self {
        let param = |name, help| Param { name, kind: ParamKind::Text, required: true, help };
        let spec = ToolSpec {
            name: "search_output",
            summary: "Search an output that was cut.",
            params: vec![param("id", "its id"), param("pattern", "regex")],
            floor: Risk::Safe,
            default: Risk::Safe,
            phrases: &[],
            untrusted: true,
            timeout: Duration::from_secs(10),
        };
        Self { spec, search }
    }
}

#[async_trait]
impl Tool for SearchOutput {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn resolve(&self, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        Ok(ResolvedCall { call: call.clone(), target: Target::default(), plan: vec![], steps: vec![] })
    }

    async fn call(&self, permit: Permit, _cx: &RunContext) -> Result<ToolOutput, ToolError> {
        let args = &permit.call().call.args;
        let text =
            |name: &str| args.text(name).ok_or_else(|| ToolError::BadArgs(format!("`{name}` is missing")));
        let wanted = Wanted { id: text("id")?, pattern: text("pattern")?, max_lines: MOST, context: CONTEXT };
        let search = Arc::clone(&self.search);
        let asked = wanted.clone();
        let found = tokio::task::spawn_blocking(move || search(&asked)).await;
        let found = found.map_err(|_| ToolError::Failed("the search broke off; try again".into()))??;
        render(&wanted, found)
    }
}

fn render(wanted: &Wanted, found: Found) -> Result<ToolOutput, ToolError> {
    if found.total == 0 {
        return Err(ToolError::NothingFound(format!("no line of output {} matches", wanted.id)));
    }
    let summary = match found.total {
        1 => format!("1 line of output {} matches", wanted.id),
        n if n > wanted.max_lines => {
            format!("{n} lines of output {} match, the first {MOST} are shown", wanted.id)
        }
        n => format!("{n} lines of output {} match", wanted.id),
    };
    let lines: Vec<_> =
        found.lines.iter().map(|(n, text)| format!("{n}: {}", Untrusted::new(text))).collect();
    let text = format!("{summary}\n{}", lines.join("\n"));
    let omitted = found.total.saturating_sub(wanted.max_lines) as u64;
    let blocks = vec![Block::Log { source: format!("output {}", wanted.id), lines, omitted }];
    Ok(ToolOutput { outcome: Outcome::Ok, summary, text, blocks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_lines_are_numbered_and_nothing_is_told_apart() {
        let wanted = Wanted { id: "3f2a9c01".into(), pattern: "x".into(), max_lines: MOST, context: 1 };
        let found = Found { lines: vec![(7, "a \u{1b}[31mx".into())], total: 60 };
        let out = render(&wanted, found).unwrap();
        assert_eq!(out.summary, "60 lines of output 3f2a9c01 match, the first 40 are shown");
        assert!(out.text.ends_with("\n7: a x"), "{:?}", out.text);
        assert!(matches!(render(&wanted, Found::default()), Err(ToolError::NothingFound(_))));
    }
}
