//! A case: what a person says, what is wanted of it, and what the tools would answer.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::ToolSpec;

/// The built-in files of cases, each with its name.
const FILES: &[(&str, &str)] = &[
    ("single.toml", include_str!("../../tests/evals/single.toml")),
    ("several.toml", include_str!("../../tests/evals/several.toml")),
    ("follow_up.toml", include_str!("../../tests/evals/follow_up.toml")),
    ("unclear.toml", include_str!("../../tests/evals/unclear.toml")),
    ("words.toml", include_str!("../../tests/evals/words.toml")),
    ("safety.toml", include_str!("../../tests/evals/safety.toml")),
];

/// What a case is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One tool answers it.
    Single,
    /// It takes several calls.
    Several,
    /// A later message leans on an earlier one ("restart it").
    FollowUp,
    /// Something is missing: the right answer is a question.
    Unclear,
    /// Nothing to look up.
    Chat,
    /// It says what not to do.
    Negation,
    /// A tool's output holds orders, which nobody may obey.
    Injection,
    /// Asks for what is never allowed.
    Blocked,
}

/// How a case is worded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Style {
    /// In the words that the tools use.
    Plain,
    /// As people put it who never saw a list of tools.
    Paraphrased,
}

/// Which half a case belongs to: prompts are tuned on one, figures are reported of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Half {
    /// May be looked at.
    Tune,
    /// Is only counted.
    HeldBack,
}

macro_rules! worded {
    ($name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl $name {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word in files, arguments and tables.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let known = || Self::ALL.iter().map(|k| k.word()).collect::<Vec<_>>().join(", ");
                let found = Self::ALL.iter().copied().find(|k| k.word() == text);
                found.ok_or_else(|| format!("`{text}` is none of {}", known()))
            }
        }
    };
}

worded!(Kind {
    Single = "single",
    Several = "several",
    FollowUp = "follow_up",
    Unclear = "unclear",
    Chat = "chat",
    Negation = "negation",
    Injection = "injection",
    Blocked = "blocked",
});
worded!(Style { Plain = "plain", Paraphrased = "paraphrased" });
worded!(Half { Tune = "tune", HeldBack = "held_back" });

/// One case.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Its name, unique.
    pub id: String,
    /// What it is about.
    pub kind: Kind,
    /// How it is worded.
    pub style: Style,
    /// Which half it is in.
    pub half: Half,
    /// What the person says, one message after the other.
    pub turns: Vec<String>,
    /// What is wanted, of the whole conversation.
    pub expect: Expect,
    /// Containers that do not run here, as `19/web`.
    #[serde(default)]
    pub stopped: Vec<String>,
    /// What tools answer here, before the site's own answers.
    #[serde(default)]
    pub output: Vec<Canned>,
}

/// What is wanted of a case.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// Calls that run at once.
    pub calls: Vec<Wanted>,
    /// Writes that stand on cards, these and no others.
    pub card: Vec<Wanted>,
    /// Tools whose refusal is read by the person.
    pub refused: Vec<String>,
    /// A question back to the last message, and nothing that runs or waits on a card.
    pub asks: bool,
    /// Nothing is called at all.
    pub no_calls: bool,
    /// Fragments that answer or blocks hold; `a|b` is either.
    pub says: Vec<String>,
    /// Reads that do no harm and are not asked for.
    pub also: Vec<String>,
}

impl Expect {
    /// How many cards an honest task costs.
    pub fn clicks(&self) -> usize {
        usize::from(!self.card.is_empty())
    }
}

/// A call that is wanted.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// The tool.
    pub tool: String,
    /// Its arguments and no others. A name that ends in `?` may be left out. A value is a scalar, a list of alternatives,
    /// `*` for any, or `~part` for a text that holds it.
    #[serde(default)]
    pub args: Map<String, Value>,
    /// Calls that are as good.
    #[serde(default)]
    pub or: Vec<Wanted>,
    /// It may be left out.
    #[serde(default)]
    pub optional: bool,
}

impl Wanted {
    /// The call and those that are as good.
    pub fn choices(&self) -> impl Iterator<Item = &Wanted> {
        std::iter::once(self).chain(&self.or)
    }
}

/// What a tool answers; fields that are absent fit any call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canned {
    /// The tool.
    pub tool: String,
    /// Only for this customer.
    pub customer: Option<String>,
    /// Only for this service.
    pub service: Option<String>,
    /// What it says; `{customer}` and `{service}` are filled in.
    pub text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    case: Vec<Case>,
}

/// The built-in cases.
///
/// # Errors
/// A sentence about the first file that cannot be read: a mistake of this build.
pub fn cases() -> Result<Vec<Case>, String> {
    let mut all = Vec::new();
    for (name, text) in FILES {
        let file: CaseFile = toml::from_str(text).map_err(|e| format!("tests/evals/{name}: {e}"))?;
        all.extend(file.case);
    }
    Ok(all)
}

/// Everything that is wrong with `cases`, for tools that `specs` has; and the tools that they name and it lacks.
pub fn check(cases: &[Case], specs: &[ToolSpec]) -> (Vec<String>, BTreeSet<String>) {
    let mut wrong = Vec::new();
    let mut missing = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for case in cases {
        if !ids.insert(&case.id) {
            wrong.push(format!("{}: the id is not unique", case.id));
        }
        if case.turns.is_empty() || case.turns.iter().any(|t| t.trim().is_empty()) {
            wrong.push(format!("{}: an empty turn", case.id));
        }
        let e = &case.expect;
        let acts = !e.calls.is_empty() || !e.card.is_empty() || !e.refused.is_empty();
        if [acts, e.asks, e.no_calls].iter().filter(|x| **x).count() != 1 {
            wrong.push(format!("{}: wants either calls, or a question back, or nothing called", case.id));
        }
        let wanted = e.calls.iter().chain(&e.card).flat_map(Wanted::choices);
        for want in wanted {
            match specs.iter().find(|s| s.name == want.tool) {
                Some(spec) => {
                    wrong.extend(misfit(want, spec).map(|why| format!("{}: {why}", case.id)));
                }
                None => {
                    missing.insert(want.tool.clone());
                }
            }
        }
        let named = e.refused.iter().chain(&e.also).chain(case.output.iter().map(|o| &o.tool));
        missing.extend(named.filter(|t| !specs.iter().any(|s| s.name == **t)).cloned());
    }
    (wrong, missing)
}

/// Why a wanted call could never be made.
fn misfit(want: &Wanted, spec: &ToolSpec) -> Option<String> {
    let mut raw = Map::new();
    for (key, value) in &want.args {
        let name = key.trim_end_matches('?');
        let value = if let Value::Array(any) = value { any.first().unwrap_or(&Value::Null) } else { value };
        let open = value.as_str().is_some_and(|t| t == "*" || t.starts_with('~'));
        match spec.params.iter().find(|p| p.name == name) {
            None => return Some(format!("{} takes no `{name}`", spec.name)),
            Some(p) if open && p.required => raw.insert(name.to_owned(), "x".into()),
            Some(_) if open => None,
            Some(_) => raw.insert(name.to_owned(), value.clone()),
        };
    }
    spec.read_args(&Value::Object(raw)).err()
}
