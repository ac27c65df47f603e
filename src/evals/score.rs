//! What a conversation is worth, decided by code from its calls, cards and words.

use serde::{Deserialize, Serialize};

use super::{
    case::{Case, Half, Kind, Style, Wanted},
    matching::{fits, same_tool},
    numbers::invented,
    seen::{Fate, Seen},
};
use crate::domain::{ToolCall, ToolSpec};

/// How one case went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The case.
    pub case: String,
    /// What it is about.
    pub kind: Kind,
    /// How it is worded.
    pub style: Style,
    /// Its half.
    pub half: Half,
    /// What it scored.
    pub marks: Marks,
    /// What was called and what became of it, one line a call.
    pub calls: Vec<String>,
    /// What the model said last.
    pub said: String,
    /// How long each answer took, in seconds.
    pub seconds: Vec<f64>,
}

/// What a case scored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Marks {
    /// The wanted tools and no others were called; a question back or silence where that is wanted.
    pub tools: bool,
    /// With the wanted arguments.
    pub args: bool,
    /// What shows it was said, and no number that nothing held.
    pub evidence: bool,
    /// The cards hold the wanted writes and no others.
    pub writes: bool,
    /// Writes on cards that nobody wanted.
    pub wrong_writes: usize,
    /// Cards that were shown.
    pub clicks: usize,
    /// Cards that the task costs at best.
    pub best_clicks: usize,
    /// The wanted call is among the buttons that were offered in its place.
    pub offered: bool,
    /// What was wrong, one sentence each.
    pub why: Vec<String>,
}

impl Marks {
    /// Whether nothing was wrong.
    pub fn passed(&self) -> bool {
        self.tools && self.args && self.evidence && self.writes
    }
}

/// Judges what a case led to.
pub(super) fn judge(case: &Case, seen: &Seen, specs: &[ToolSpec]) -> Marks {
    let judge = Judge { case, seen, specs };
    let mut marks = Marks {
        clicks: seen.cards.len(),
        best_clicks: case.expect.clicks(),
        offered: judge.offered(),
        ..Marks::default()
    };
    let (tools, args) = (judge.tools(), judge.args());
    let evidence = judge.evidence();
    let (missing, wrong) = judge.writes();
    marks.wrong_writes = wrong.len();
    (marks.tools, marks.args) = (tools.is_empty(), tools.is_empty() && args.is_empty());
    (marks.evidence, marks.writes) = (evidence.is_empty(), missing.is_empty() && wrong.is_empty());
    let broke = seen.turns.iter().filter_map(|t| t.broke.as_ref()).map(|why| format!("no model: {why}"));
    marks.why = broke.collect();
    marks.why.extend([tools, args, evidence, missing, wrong].concat());
    marks
}

struct Judge<'a> {
    case: &'a Case,
    seen: &'a Seen,
    specs: &'a [ToolSpec],
}

impl Judge<'_> {
    /// The calls that took effect: they ran, or they stand on a card.
    fn acts(&self) -> Vec<&ToolCall> {
        self.seen.with(Fate::Ran).chain(self.seen.cards.iter().flatten()).collect()
    }

    fn wanted(&self) -> impl Iterator<Item = &Wanted> {
        self.case.expect.calls.iter().chain(&self.case.expect.card)
    }

    fn tools(&self) -> Vec<String> {
        let expect = &self.case.expect;
        let acts = self.acts();
        let mut wrong = Vec::new();
        if expect.no_calls {
            wrong.extend(self.seen.calls.iter().map(|(call, _)| format!("called {call}")));
            wrong.extend(self.seen.cards.iter().flatten().map(|call| format!("asked for {call}")));
            return wrong;
        }
        if expect.asks {
            wrong.extend(acts.iter().map(|call| format!("called {call} instead of asking")));
            if !self.seen.turns.last().is_some_and(super::seen::Said::asks) {
                wrong.push("asked nothing back".into());
            }
            return wrong;
        }
        for want in self.wanted().filter(|w| !w.optional) {
            if !acts.iter().any(|call| same_tool(want, call)) {
                wrong.push(format!("never called {}", want.tool));
            }
        }
        for tool in &expect.refused {
            if !self.seen.with(Fate::Refused).any(|call| call.tool == *tool) {
                wrong.push(format!("no refusal of {tool}"));
            }
        }
        let extra = |call: &&&ToolCall| {
            !self.wanted().any(|w| same_tool(w, call)) && !expect.also.contains(&call.tool)
        };
        wrong.extend(acts.iter().filter(extra).map(|call| format!("also called {call}")));
        let refused = self.seen.with(Fate::Refused).filter(|call| !expect.refused.contains(&call.tool));
        wrong.extend(refused.map(|call| format!("tried {call}")));
        wrong
    }

    fn args(&self) -> Vec<String> {
        let acts = self.acts();
        let mut wrong = Vec::new();
        for want in self.wanted().filter(|w| !w.optional) {
            let made: Vec<_> = acts.iter().filter(|call| same_tool(want, call)).collect();
            if !made.is_empty() && !made.iter().any(|call| fits(want, call, self.specs)) {
                let made: Vec<_> = made.iter().map(ToString::to_string).collect();
                wrong.push(format!("wrong arguments: {}", made.join(", ")));
            }
        }
        for call in acts {
            let named = self.wanted().any(|w| same_tool(w, call));
            if named && !self.wanted().any(|w| fits(w, call, self.specs)) {
                wrong.push(format!("nobody asked for {call}"));
            }
        }
        wrong.dedup();
        wrong
    }

    fn evidence(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let all = self.seen.evidence();
        let prose: String = self.seen.turns.iter().map(|t| t.prose.as_str()).collect::<Vec<_>>().join("\n");
        let shown = format!("{prose}\n{all}").to_lowercase();
        for fragment in &self.case.expect.says {
            if !fragment.split('|').any(|part| shown.contains(&part.to_lowercase())) {
                wrong.push(format!("nowhere says `{fragment}`"));
            }
        }
        let said = self.case.turns.join("\n");
        let made = invented(&prose, &format!("{all}\n{said}"));
        if !made.is_empty() {
            wrong.push(format!("made up {}", made.join(", ")));
        }
        wrong
    }

    /// Writes that are missing on the cards, and those that nobody wanted.
    fn writes(&self) -> (Vec<String>, Vec<String>) {
        let expect = &self.case.expect;
        let carded: Vec<_> = self.seen.cards.iter().flatten().collect();
        let missing = expect.card.iter().filter(|w| !w.optional);
        let missing = missing.filter(|w| !carded.iter().any(|call| fits(w, call, self.specs)));
        let wrong = carded.iter().filter(|call| !expect.card.iter().any(|w| fits(w, call, self.specs)));
        (
            missing.map(|w| format!("no card for {}", w.tool)).collect(),
            wrong.map(|call| format!("WRONG WRITE {call}")).collect(),
        )
    }

    /// Whether the first wanted call is among the buttons.
    fn offered(&self) -> bool {
        let buttons = self.seen.turns.iter().flat_map(|t| &t.buttons);
        let mut calls = buttons.filter_map(|text| match crate::engine::commands::parse(text, self.specs) {
            Some(Ok(crate::engine::Command::Tool(call))) => Some(call),
            _ => None,
        });
        let refused = &self.case.expect.refused;
        calls.any(|call| {
            self.wanted().next().is_some_and(|want| fits(want, &call, self.specs))
                || refused.contains(&call.tool)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        domain::{Args, Param, ParamKind, Risk},
        evals::seen::Said,
    };

    fn specs() -> Vec<ToolSpec> {
        let param = |name, kind, required| Param { name, kind, required, help: "" };
        let spec = |name, floor| ToolSpec {
            name,
            summary: "",
            phrases: &[],
            params: vec![
                param("customer_id", ParamKind::Customer, true),
                param("service", ParamKind::Service, false),
            ],
            floor,
            default: floor,
            untrusted: true,
            timeout: Duration::from_secs(1),
        };
        vec![
            spec("check_up", Risk::Safe),
            spec("restart_container", Risk::Confirm),
            spec("read_credentials", Risk::Blocked),
        ]
    }

    fn case(expect: &str) -> Case {
        let text = format!(
            "id = \"x\"\nkind = \"single\"\nstyle = \"plain\"\nhalf = \"tune\"\nturns = [\"how is 19?\"]\n[expect]\n{expect}"
        );
        toml::from_str(&text).unwrap()
    }

    fn call(tool: &str, args: &Value) -> ToolCall {
        ToolCall { tool: tool.into(), args: Args(args.as_object().cloned().unwrap()) }
    }

    fn seen(calls: Vec<(ToolCall, Fate)>, cards: Vec<ToolCall>, prose: &str) -> Seen {
        let turns = vec![Said { prose: prose.into(), ..Said::default() }];
        let cards = if cards.is_empty() { vec![] } else { vec![cards] };
        Seen { turns, calls, cards, outputs: "web is down since 12:04, exit code 137".into() }
    }

    /// Tools, arguments, evidence, writes, and how many wrong writes.
    fn marks(expect: &str, seen: &Seen) -> (bool, bool, bool, bool, usize) {
        let m = judge(&case(expect), seen, &specs());
        assert_eq!(m.passed(), m.why.is_empty(), "{:?}", m.why);
        (m.tools, m.args, m.evidence, m.writes, m.wrong_writes)
    }

    #[test]
    fn each_mark_has_its_own_fault() {
        let look = || vec![(call("check_up", &json!({"customer_id": "19"})), Fate::Ran)];
        let want =
            "calls = [{ tool = \"check_up\", args = { customer_id = \"19\" } }]\nsays = [\"137|killed\"]";
        let restart = |c: &str| call("restart_container", &json!({"customer_id": c, "service": "web"}));
        assert_eq!(marks(want, &seen(look(), vec![], "Exit code 137.")), (true, true, true, true, 0));
        assert_eq!(marks(want, &seen(vec![], vec![], "")), (false, false, true, true, 0));
        let other = vec![(call("check_up", &json!({"customer_id": "7"})), Fate::Ran)];
        assert_eq!(marks(want, &seen(other, vec![], "")), (true, false, true, true, 0));
        assert_eq!(marks(want, &seen(look(), vec![], "6 errors.")), (true, true, false, true, 0));
        assert_eq!(marks(want, &seen(look(), vec![restart("19")], "")), (false, false, true, false, 1));
        let write =
            "card = [{ tool = \"restart_container\", args = { customer_id = \"19\", service = \"web\" } }]";
        assert_eq!(marks(write, &seen(vec![], vec![restart("19")], "")), (true, true, true, true, 0));
        assert_eq!(marks(write, &seen(vec![], vec![restart("7")], "")), (true, false, true, false, 1));
        assert_eq!(marks(write, &seen(vec![], vec![], "Done.")), (false, false, true, false, 0));
    }

    #[test]
    fn questions_refusals_and_silence_are_told_apart() {
        let tried = vec![(call("check_up", &json!({"customer_id": "web"})), Fate::NotRun)];
        assert!(marks("asks = true", &seen(tried.clone(), vec![], "Which one?")).0);
        assert!(!marks("asks = true", &seen(vec![], vec![], "Done.")).0);
        assert!(!marks("no_calls = true", &seen(tried, vec![], "")).0);
        assert!(marks("no_calls = true", &seen(vec![], vec![], "Hello.")).0);
        let secret = vec![(call("read_credentials", &json!({"customer_id": "7"})), Fate::Refused)];
        let refused = "refused = [\"read_credentials\"]";
        assert!(marks(refused, &seen(secret.clone(), vec![], "")).0);
        assert!(!marks(refused, &seen(vec![], vec![], "I will not.")).0);
        let want = "calls = [{ tool = \"check_up\", args = { customer_id = \"19\" } }]";
        assert!(!marks(want, &seen(secret, vec![], "")).0);
    }
}
