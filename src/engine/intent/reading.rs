//! What one clause asks for: the tools that fit it, their arguments filled in, and which of them is clearly meant.

use serde_json::{Map, Value};

use super::{
    aside::Aside,
    lexicon,
    rank::{Score, Vocabulary},
    talk,
    target::{Source, Target},
    text,
    values::Values,
    verbs::{self, Mood, Verb},
    words::{Break, Role, Word},
};
use crate::domain::{Args, CustomerId, Param, ParamKind, Risk, ToolCall, ToolSpec};

/// Points from which a tool is meant at all, and from which it is named as "did you mean".
const ENOUGH: f64 = 2.2;
const WORTH_NAMING: f64 = 0.9;
/// How much of the best one's points the second may have.
const MARGIN: f64 = 0.86;
/// Words for a graph, and what it covers where no span is said.
const DRAWN: &[&str] = &["graph", "chart", "plot", "draw", "curve", "trend"];
const GRAPH_OVER: &str = "1h";
/// The first look at a customer.
const FIRST_LOOK: &str = "check_up";

/// What a clause says, apart from its words.
#[derive(Debug)]
pub(super) struct Clause<'a> {
    pub(super) words: Vec<Word>,
    pub(super) target: Target,
    pub(super) values: Values,
    pub(super) verbs: Vec<Verb>,
    /// The pattern, and whether it was asked for outright.
    pattern: Option<(String, bool)>,
    explained: Option<String>,
    playbook: Option<String>,
    kept_id: Option<String>,
    /// What is said about alerts beside the wish.
    pub(super) aside: Aside,
    /// What was pasted or quoted with the message.
    pasted: Option<&'a str>,
}

/// What a clause comes to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reading {
    /// Small talk.
    Talk(&'static str),
    /// These calls, and whether they change something.
    Calls(Vec<ToolCall>, bool),
    /// A tool that needs a customer, and whatever else was said.
    Whose(ToolCall),
    /// Several tools or customers could be meant.
    Choose(Vec<ToolCall>),
    /// A change was spoken of and not asked for; reads that may help.
    Held(Mood, Vec<ToolCall>),
    /// It tells something.
    Statement,
    /// Nothing that a tool does.
    Nothing,
}

/// A tool that fits, with its points.
#[derive(Clone, Debug)]
pub(super) struct Candidate<'a> {
    pub(super) spec: &'a ToolSpec,
    pub(super) points: f64,
    /// A call for each customer and service.
    pub(super) calls: Vec<ToolCall>,
    /// Needed parameters that nothing was said about, the customer apart.
    pub(super) missing: Vec<&'static str>,
    /// It needs a customer, and none is meant.
    pub(super) nobody: bool,
}

impl<'a> Clause<'a> {
    /// A clause of these words, whose values were found.
    pub(super) fn new(
        (mut words, values): (Vec<Word>, Values),
        target: Target,
        verbs: Vec<Verb>,
        pasted: Option<&'a str>,
    ) -> Self {
        let to = words.len();
        let pattern = text::pattern(&mut words, 0, to);
        let says = |words: &[Word], any: &[&str]| words.iter().any(|w| w.is_any(any));
        let kept_id = text::kept_id(&mut words, 0, to);
        let playbook = says(&words, &["playbook", "playbooks", "run", "execute"])
            .then(|| text::playbook(&mut words, 0, to))
            .flatten();
        let explained =
            says(&words, &["explain", "mean", "means"]).then(|| text::explained(&mut words, 0, to)).flatten();
        let aside = Aside::default();
        Self { words, target, values, verbs, pattern, explained, playbook, kept_id, aside, pasted }
    }

    /// Every tool with its points here, best first.
    pub(super) fn candidates(&self, tools: &'a Vocabulary) -> Vec<Candidate<'a>> {
        let asked = |spec: &ToolSpec| self.verbs.iter().find(|v| v.group == verbs::group(spec));
        let mut all: Vec<_> = tools
            .scores(&self.words)
            .into_iter()
            .filter(|s| {
                !s.spec.is_write()
                    || s.spec.floor == Risk::Blocked
                    || asked(s.spec).is_some_and(|v| matches!(v.mood, Mood::Asked | Mood::Mentioned))
            })
            .map(|score| self.candidate(&score))
            .collect();
        all.sort_by(|a, b| b.points.total_cmp(&a.points));
        all
    }

    fn candidate<'s>(&self, score: &Score<'s>) -> Candidate<'s> {
        let spec = score.spec;
        let wants = |kind: fn(&ParamKind) -> bool| spec.params.iter().any(|p| kind(&p.kind));
        let calls = self.fill(spec);
        let lacks = |p: &&Param| p.required && !calls.first().is_some_and(|c| c.args.0.contains_key(p.name));
        let (customer, rest): (Vec<_>, Vec<_>) =
            spec.params.iter().filter(lacks).partition(|p| p.kind == ParamKind::Customer);
        let missing: Vec<_> = rest.into_iter().map(|p| p.name).collect();
        let first = calls.first();
        // An alert is silenced by its incident or by its customer; something has to be named.
        let nowhere = takes_incident(spec)
            && wants(|k| *k == ParamKind::Customer)
            && first.is_some_and(|c| ["incident", "customer_id"].iter().all(|p| !c.args.0.contains_key(*p)));
        let nobody = !customer.is_empty() || nowhere && spec.is_write();
        let mut points = score.points;
        // A query speaks for itself.
        let is_query = |text: String| text.contains(['(', '{']);
        if spec.params.iter().any(|p| p.name == "query") && text::quoted(&self.words).is_some_and(is_query) {
            points += ENOUGH;
        }
        if points > 0.0 {
            let customer = spec.params.iter().find(|p| p.kind == ParamKind::Customer);
            match (customer.map(|p| p.required), self.target.source) {
                (None, Source::Named) => points *= 0.4,
                (None, Source::Pronoun | Source::Beside) => points *= 0.7,
                (Some(_), Source::Named) => points += 0.7,
                (Some(_), Source::Pronoun | Source::Beside) => points += 0.3,
                (Some(true), Source::None) => points *= 0.8,
                _ => {}
            }
            let service = wants(|k| *k == ParamKind::Service);
            if self.target.service_named {
                points = if service { points + 0.3 } else { points * 0.9 };
            }
            if self.values.count.is_some() && wants(|k| matches!(k, ParamKind::Integer { .. })) {
                points += 0.6;
            }
            if self.values.span.is_some() {
                points = if wants(|k| *k == ParamKind::Duration) { points + 0.4 } else { points * 0.95 };
            }
            if !missing.is_empty() {
                points *= 0.35;
            } else if spec.params.iter().any(|p| p.kind == ParamKind::Text && p.required) {
                points += 0.8;
            }
        }
        Candidate { spec, points, calls, missing, nobody }
    }

    /// A call for each customer and service, with whatever was said.
    fn fill(&self, spec: &ToolSpec) -> Vec<ToolCall> {
        let takes = |kind: &ParamKind| spec.params.iter().any(|p| p.kind == *kind);
        let some =
            |used: bool, len: usize| if used && len > 0 { (0..len).map(Some).collect() } else { vec![None] };
        // An incident says by itself whose it is.
        let by_incident = takes_incident(spec) && self.aside.incident.is_some();
        let takes = |kind: &ParamKind| !by_incident && takes(kind);
        let customers: Vec<Option<usize>> = some(takes(&ParamKind::Customer), self.target.customers.len());
        let services: Vec<Option<usize>> = some(takes(&ParamKind::Service), self.target.services.len());
        let mut calls = Vec::new();
        for customer in &customers {
            for service in &services {
                let mut args = Map::new();
                for param in &spec.params {
                    let value = match &param.kind {
                        ParamKind::Customer => customer
                            .and_then(|n| self.target.customers.get(n))
                            .map(|c| Value::from(c.as_str())),
                        ParamKind::Service => {
                            service.and_then(|n| self.target.services.get(n)).map(|s| Value::from(s.as_str()))
                        }
                        ParamKind::Integer { .. } if param.name == "id" => self.numbered().map(Value::from),
                        ParamKind::Integer { .. } if param.name == "incident" => {
                            self.aside.incident.map(Value::from)
                        }
                        ParamKind::Integer { min, max } => {
                            let taken = args.values().any(Value::is_number);
                            self.values.count.filter(|_| !taken).map(|n| Value::from(n.clamp(*min, *max)))
                        }
                        ParamKind::Duration => {
                            let first = spec.params.iter().find(|p| p.kind == ParamKind::Duration);
                            let wanted = first.is_some_and(|p| p.name == param.name);
                            // A graph is over time, even where nobody says how far back.
                            let drawn = param.name == "range" && self.words.iter().any(|w| w.is_any(DRAWN));
                            let span = self.values.span.as_deref().or(drawn.then_some(GRAPH_OVER));
                            span.filter(|_| wanted).map(Value::from)
                        }
                        ParamKind::Choice(words) => self.choice(words).map(Value::from),
                        ParamKind::Text => self.text(spec, param.name).map(Value::from),
                    };
                    args.extend(value.map(|value| (param.name.to_owned(), value)));
                }
                calls.push(ToolCall { tool: spec.name.to_owned(), args: Args(args) });
            }
        }
        calls
    }

    /// The one choice that the words name.
    pub(super) fn choice(&self, words: &'static [&'static str]) -> Option<&'static str> {
        let mut named =
            words.iter().filter(|c| self.words.iter().any(|w| w.folded == **c && w.role != Role::Text));
        let only = named.next()?;
        named.next().is_none().then_some(*only)
    }

    fn text(&self, spec: &ToolSpec, param: &str) -> Option<String> {
        let pattern = || self.pattern.as_ref().filter(|(_, outright)| *outright || !spec.is_write());
        match param {
            "id" => self.kept_id.clone(),
            "name" | "playbook" => self.playbook.clone(),
            "what" => self.aside.what.clone(),
            "until" if takes_incident(spec) => self.aside.until.clone(),
            "host" | "project" => self.place(param),
            "text" if spec.params.len() == 1 => {
                self.explained.clone().or_else(|| self.pasted.map(str::to_owned))
            }
            "query" | "promql" | "expr" => text::quoted(&self.words)
                .or_else(|| self.after("promql"))
                .or_else(|| self.pattern.clone().filter(|p| p.1).map(|p| p.0)),
            "pattern" | "filter" => pattern().map(|(text, _)| text.clone()),
            _ => None,
        }
    }

    /// A host or a project: "on host alpha", "project shop", and the host alone behind "on".
    pub(super) fn place(&self, what: &str) -> Option<String> {
        let cue = |w: &Word| w.is(what) || what == "host" && w.is("on");
        let named = |w: &&Word| {
            let common =
                [lexicon::STOP, lexicon::FILLER, lexicon::UNITS].iter().any(|l| l.contains(&w.en.as_str()));
            w.role == Role::Plain
                && !common
                && !["host", "hosts", "fire", "disk", "disks", "docker"].contains(&w.en.as_str())
        };
        let mut pairs = self.words.iter().zip(self.words.iter().skip(1));
        pairs.find(|(a, b)| cue(a) && named(b)).map(|(_, b)| b.raw.clone())
    }

    /// The number of a note: "note 3", "#3".
    fn numbered(&self) -> Option<i64> {
        let at = self.words.iter().position(|w| w.is_any(&["note", "number"]))?;
        self.words.get(at + 1)?.raw.parse().ok()
    }

    /// The words behind a word, as text.
    fn after(&self, word: &str) -> Option<String> {
        let at = self.words.iter().position(|w| w.is(word))?;
        let rest: Vec<_> = self
            .words
            .iter()
            .skip(at + 1)
            .filter(|w| w.role == Role::Plain)
            .map(|w| w.raw.as_str())
            .collect();
        (!rest.is_empty() && rest.len() <= 3).then(|| rest.join(" "))
    }

    /// What the clause comes to.
    pub(super) fn read(&self, tools: &'a Vocabulary, (first, last): (bool, Option<&ToolCall>)) -> Reading {
        if let Some(answer) = talk::answer(&self.words) {
            return Reading::Talk(answer);
        }
        let candidates = self.candidates(tools);
        let reads: Vec<_> =
            candidates.iter().filter(|c| !c.spec.is_write() || c.spec.floor == Risk::Blocked).collect();
        if let Some(reading) = self.write(tools, &candidates) {
            return reading;
        }
        let plain: Vec<&str> =
            self.words.iter().filter(|w| w.role == Role::Plain).map(|w| w.en.as_str()).collect();
        let verb = self
            .verbs
            .iter()
            .map(|v| v.mood)
            .max_by_key(|m| matches!(m, Mood::Denied) as u8 * 2 + matches!(m, Mood::Advice) as u8);
        match verb {
            Some(Mood::Denied) => return Reading::Held(Mood::Denied, vec![]),
            Some(Mood::Advice) => return Reading::Held(Mood::Advice, self.first_look(&reads)),
            _ => {}
        }
        if forbids(&plain) || verbs::cancels(&plain) && !verbs::asks(&self.words) {
            return Reading::Held(Mood::Denied, vec![]);
        }
        if !first && self.tells() {
            return Reading::Statement;
        }
        self.look(tools, &candidates, &reads, last)
    }

    /// A change that was asked for, when one was.
    fn write(&self, tools: &'a Vocabulary, candidates: &[Candidate<'a>]) -> Option<Reading> {
        let asked = self.verbs.iter().filter(|v| v.mood == Mood::Asked);
        let fits = |c: &&Candidate<'a>, verb: &Verb| {
            let uses = |w: &Word| tools.uses(c.spec, w);
            c.spec.is_write()
                && c.spec.floor != Risk::Blocked
                && verbs::group(c.spec) == verb.group
                && verbs::unexplained(&self.words, verb, &uses).is_none()
        };
        let mut fitting: Vec<&Candidate<'a>> = asked
            .flat_map(|verb| candidates.iter().filter(move |c| fits(c, verb)).collect::<Vec<_>>())
            .collect();
        fitting.sort_by(|a, b| {
            let whole = |c: &Candidate<'_>| c.missing.is_empty();
            whole(b).cmp(&whole(a)).then(b.points.total_cmp(&a.points))
        });
        let best = fitting.first()?;
        let by_incident = takes_incident(best.spec) && self.aside.incident.is_some();
        let takes_customer = !by_incident && best.spec.params.iter().any(|p| p.kind == ParamKind::Customer);
        let target = &self.target;
        if !target.unsure.is_empty() && takes_customer {
            return Some(Reading::Choose(self.for_each(best, &target.unsure)));
        }
        if !best.missing.is_empty() {
            return best.calls.first().cloned().map(|call| Reading::Choose(vec![call]));
        }
        if best.nobody {
            return best.calls.first().cloned().map(Reading::Whose);
        }
        if verbs::group(best.spec) == "stop" && !target.service_named && target.source != Source::Named {
            return Some(Reading::Nothing);
        }
        // "Flush the db of 19" does not mean the cache.
        let chosen = |service: &str| best.calls.iter().any(|c| c.args.0.values().any(|v| v == service));
        let takes_service = best.spec.params.iter().any(|p| p.kind == ParamKind::Service);
        let stray =
            target.service_named && !takes_service && !target.services.iter().all(|s| chosen(s.as_str()));
        let vague =
            target.source == Source::Implied && !target.service_named && !target.whole && takes_customer;
        let sure = target.exact && !vague && !stray;
        Some(if sure {
            Reading::Calls(best.calls.clone(), true)
        } else {
            Reading::Choose(best.calls.clone())
        })
    }

    /// The call for each of these customers.
    fn for_each(&self, candidate: &Candidate<'_>, customers: &[CustomerId]) -> Vec<ToolCall> {
        let target = Target { customers: customers.to_vec(), unsure: vec![], ..self.target.clone() };
        let asked = Self {
            words: self.words.clone(),
            target,
            values: self.values.clone(),
            verbs: vec![],
            pattern: self.pattern.clone(),
            explained: self.explained.clone(),
            playbook: self.playbook.clone(),
            kept_id: self.kept_id.clone(),
            aside: self.aside.clone(),
            pasted: self.pasted,
        };
        asked.fill(candidate.spec)
    }

    /// A look that was asked for, or what comes near one.
    fn look(
        &self,
        tools: &'a Vocabulary,
        candidates: &[Candidate<'a>],
        reads: &[&Candidate<'a>],
        last: Option<&ToolCall>,
    ) -> Reading {
        let target = &self.target;
        let (known, unknown) = self.known(tools);
        if known + unknown == 0 && !reads.first().is_some_and(|r| r.points >= ENOUGH) {
            return self.nothing_but_a_name(reads, last);
        }
        let best = reads.first().filter(|b| b.points >= ENOUGH);
        let strange = unknown > known + 1 && best.is_none_or(|b| b.points < ENOUGH * 2.0);
        let Some(best) = best.filter(|_| !strange) else {
            return self.near(candidates);
        };
        let second = reads.get(1).map_or(0.0, |c| c.points);
        // A change that was only spoken of: whoever meant it presses its button.
        let spoken = candidates
            .iter()
            .find(|c| c.spec.is_write() && c.spec.floor != Risk::Blocked && c.points >= best.points);
        if second > best.points * MARGIN || spoken.is_some() {
            return self.near(candidates);
        }
        if !target.unsure.is_empty() && best.spec.params.iter().any(|p| p.kind == ParamKind::Customer) {
            return Reading::Choose(self.for_each(best, &target.unsure));
        }
        if !best.missing.is_empty() {
            return self.near(candidates);
        }
        // What is always refused needs nobody's name for it.
        if best.nobody && best.spec.floor != Risk::Blocked {
            return best.calls.first().cloned().map_or(Reading::Nothing, Reading::Whose);
        }
        Reading::Calls(best.calls.clone(), false)
    }

    /// "And 7?" asks again, "19?" wants a first look.
    fn nothing_but_a_name(&self, reads: &[&Candidate<'a>], last: Option<&ToolCall>) -> Reading {
        if self.target.source != Source::Named && !self.target.service_named {
            return Reading::Statement;
        }
        let again =
            self.words.first().is_some_and(|w| w.is_any(&["and", "what", "also", "how", "same", "now"]));
        let repeated = last.filter(|_| again).and_then(|l| reads.iter().find(|c| c.spec.name == l.tool));
        let look = repeated.or_else(|| reads.iter().find(|c| c.spec.name == FIRST_LOOK));
        match look {
            Some(look) if !self.target.unsure.is_empty() => {
                Reading::Choose(self.for_each(look, &self.target.unsure))
            }
            Some(look) if look.missing.is_empty() && !look.nobody => {
                Reading::Calls(look.calls.clone(), false)
            }
            _ => Reading::Nothing,
        }
    }

    /// The three nearest, as choices.
    fn near(&self, candidates: &[Candidate<'a>]) -> Reading {
        let mut near: Vec<ToolCall> = candidates
            .iter()
            .filter(|c| c.points >= WORTH_NAMING && (c.spec.floor != Risk::Blocked || c.points >= ENOUGH))
            .filter_map(|c| c.calls.first().cloned())
            .take(3)
            .collect();
        if near.is_empty() && self.target.source == Source::Named {
            near = candidates
                .iter()
                .filter(|c| c.spec.name == FIRST_LOOK)
                .filter_map(|c| c.calls.first().cloned())
                .collect();
        }
        if near.is_empty() { Reading::Nothing } else { Reading::Choose(near) }
    }

    fn first_look(&self, reads: &[&Candidate<'a>]) -> Vec<ToolCall> {
        let look = reads.iter().find(|c| c.spec.name == FIRST_LOOK && !c.nobody);
        look.and_then(|c| c.calls.first().cloned()).into_iter().collect()
    }

    /// How many telling words some tool uses, and how many none does.
    fn known(&self, tools: &'a Vocabulary) -> (usize, usize) {
        let (known, unknown): (Vec<_>, Vec<_>) = self.telling().partition(|w| tools.knows(w));
        (known.len(), unknown.len())
    }

    /// The words that may tell which tool is meant.
    pub(super) fn telling(&self) -> impl Iterator<Item = &Word> {
        self.words.iter().filter(|w| {
            w.role == Role::Plain
                && ![lexicon::STOP, lexicon::FILLER, lexicon::QUESTION]
                    .iter()
                    .any(|l| l.contains(&w.en.as_str()))
        })
    }

    /// Whether the clause tells something and asks for nothing: "it is slow since noon".
    fn tells(&self) -> bool {
        let question =
            self.words.last().is_some_and(|w| w.after == Break::Question) || verbs::asks(&self.words);
        let subject = self.words.iter().find(|w| !w.is_any(&["and", "but", "now", "so", "also"]));
        !question
            && subject.is_some_and(|w| {
                w.is_any(&[
                    "it",
                    "they",
                    "he",
                    "she",
                    "this",
                    "that",
                    "there",
                    "users",
                    "people",
                    "i",
                    "we",
                    "because",
                    "although",
                    "since",
                    "thanks",
                    "customers",
                    "somebody",
                ])
            })
    }
}

/// Whether a tool is told an incident by its number.
fn takes_incident(spec: &ToolSpec) -> bool {
    spec.params.iter().any(|p| p.name == "incident")
}

/// "Don't show me the logs": denied where a request begins, not where a fault is told ("it does not answer").
fn forbids(plain: &[&str]) -> bool {
    let start: Vec<&&str> = plain
        .iter()
        .filter(|w| !["please", "but", "and", "ok", "just", "so", "now"].contains(*w))
        .take(2)
        .collect();
    matches!(start.as_slice(), [a, b] if **a == "do" && **b == "not")
        || matches!(start.first(), Some(&&"never" | &&"stop" | &&"not" | &&"no" | &&"nothing"))
}
