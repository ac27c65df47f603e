//! Plain words without a model: names from the live inventory, the tools that the words speak of, and a verdict that
//! would rather ask than be wrong. Pure: words and names come in, calls come out; they pass the gate like any other.

mod aside;
mod clause;
mod explain;
mod german;
mod grounded;
mod lexicon;
mod names;
mod rank;
mod reading;
mod talk;
mod target;
mod text;
mod values;
mod verbs;
mod wished;
mod words;

#[cfg(test)]
mod alert_tests;
#[cfg(test)]
mod later_tests;
#[cfg(test)]
mod table_tests;

use aside::Aside;
use names::{Mention, Named, Names};
use reading::{Clause, Reading};
use target::{Last, Message};
use verbs::Mood;
use words::{Role, Word};

pub use explain::{Explained, explain};
pub use grounded::grounded;
pub use rank::Vocabulary;
pub use wished::{left_out, unwished};

use crate::{
    domain::{Args, Customer, CustomerId, Param, ParamKind, Risk, ServiceName, ToolCall},
    policy,
};

/// The most calls that one message leads to.
pub const MOST_CALLS: usize = 3;
/// More characters than this are a paste, of which nothing is read as a wish.
const LONGEST: usize = 4000;
/// Points from which a person's words add a tool to a conversation.
const SELECTS: f64 = 3.0;
/// How long the kept form of words may become, in characters.
const KEPT: usize = 200;

/// Who and what there is, for names in plain words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// The customers.
    pub customers: Vec<Customer>,
    /// The services that each has.
    pub services: Vec<(CustomerId, ServiceName)>,
}

/// What a person said, and what was said before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// The message as it was typed.
    pub text: &'a str,
    /// What came with it and is not said by the person.
    pub quoted: Option<&'a str>,
    /// The person's earlier messages in this conversation, oldest first.
    pub earlier: &'a [String],
    /// The person's last message, when the bot could only ask back about it.
    pub open: Option<&'a str>,
    /// The last call in this conversation.
    pub last: Option<&'a ToolCall>,
    /// The incident whose card the message answers.
    pub incident: Option<i64>,
}

/// What there is to ask for.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// All tools.
    pub tools: &'a Vocabulary,
    /// All names.
    pub directory: &'a Directory,
}

/// What plain words come to.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Make these calls, one to three.
    Run(Vec<ToolCall>),
    /// The tool is clear and its customer is not: ask which one. The call holds whatever else was said.
    Whose(ToolCall),
    /// "Did you mean": at most three calls, nearest first.
    Choose(Vec<ToolCall>),
    /// One friendly sentence.
    Talk(&'static str),
    /// A change was spoken of but not asked for, and nothing is done; reads that may help.
    Held(&'static str, Vec<ToolCall>),
    /// Nothing that any tool does.
    Nothing,
}

const DENIED: &str = "All right, nothing is changed.";
const ADVICE: &str = "I took that as a question and not as an order: nothing is changed. To have it done, say it as an \
                      order, such as \"restart web of customer 7\".";
const TOO_MANY: &str =
    "Those are more than three things at once: nothing was done. Ask for them in several messages.";

/// How a message begins that is to be kept as a note.
const NOTES: &[&str] = &[
    "remember that",
    "remember",
    "please remember that",
    "please remember",
    "note that",
    "note down",
    "note down that",
    "please note that",
    "write down",
    "write down that",
    "make a note that",
    "take a note that",
    "keep in mind",
    "keep in mind that",
    "take a note",
    "make a note",
    "don't forget that",
    "merk dir",
];

/// Says what the words mean.
pub fn understand(asked: &Asked<'_>, offer: Offer<'_>) -> Verdict {
    if let Some(note) = note(asked.text, offer) {
        return Verdict::Run(vec![note]);
    }
    let first = Heard::new(asked, offer);
    if let Some(open) = asked.open
        && first.only_names()
    {
        // The answer to "which customer?": the open wish again, with the name.
        let both = format!("{} , {open}", asked.text.trim_end_matches(['.', '!', '?']));
        let joined = Asked { text: &both, open: None, ..*asked };
        let verdict = Heard::new(&joined, offer).verdict(&joined);
        if !matches!(verdict, Verdict::Nothing | Verdict::Talk(_)) {
            return verdict;
        }
    }
    first.verdict(asked)
}

/// The calls of words that leave no doubt: a change, which is read from words without a rest only, or a look of which every
/// telling word is a called tool's own. Meant for what comes before a model that needs help with calls; whatever is only
/// likely is the model's.
pub fn clear(asked: &Asked<'_>, offer: Offer<'_>) -> Option<Vec<ToolCall>> {
    let Verdict::Run(calls) = understand(asked, offer) else { return None };
    let called: Vec<_> =
        offer.tools.specs().iter().filter(|s| calls.iter().any(|c| c.tool == s.name)).collect();
    let changes = called.iter().any(|s| s.is_write() && s.floor < Risk::Blocked);
    if changes || note(asked.text, offer).is_some() {
        return Some(calls);
    }
    let heard = Heard::new(asked, offer);
    let parts = heard.parts();
    let mut telling = parts.iter().flat_map(Clause::telling);
    let all = telling.all(|word| called.iter().any(|spec| offer.tools.uses(spec, word)));
    (all && heard.pasted.is_none()).then_some(calls)
}

/// A message that asks to be kept, word for word.
fn note(text: &str, offer: Offer<'_>) -> Option<ToolCall> {
    let spec = offer.tools.specs().iter().find(|s| s.name == "remember")?;
    let text = text.trim();
    let begins = |cue: &&&str| {
        text.get(..cue.len()).is_some_and(|head| head.to_lowercase() == **cue)
            && text.get(cue.len()..).is_some_and(|rest| rest.starts_with([' ', ':', ',']))
    };
    let cue = NOTES.iter().filter(begins).max_by_key(|cue| cue.len())?;
    let kept = text.get(cue.len()..)?.trim_start_matches([' ', ':', ',']).trim();
    let plain = kept.split_whitespace().count() > 1 && !kept.ends_with('?') && !kept.contains('\n');
    let args = [("text".to_owned(), kept.into())].into_iter().collect();
    plain.then(|| ToolCall { tool: spec.name.to_owned(), args: Args(args) })
}

/// The tools whose use the words ask for, out of those that are not in `offered` yet, nearest first.
pub fn select<'a>(text: &str, offer: Offer<'a>, offered: &[&str]) -> Vec<&'a str> {
    let heard = Heard::new(&Asked { text, ..Asked::default() }, offer);
    let mut best: Vec<(f64, &str)> = Vec::new();
    for &(from, to) in &heard.clauses {
        let scores = offer.tools.scores(heard.words.get(from..to).unwrap_or_default());
        let most = scores.iter().map(|s| s.points).fold(0.0, f64::max);
        best.extend(
            scores
                .into_iter()
                .filter(|s| s.points >= SELECTS && s.points >= most * 0.6)
                .filter(|s| !offered.contains(&s.spec.name) && s.spec.floor != Risk::Blocked)
                .map(|s| (s.points, s.spec.name)),
        );
    }
    best.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut names: Vec<&str> = Vec::new();
    for (_, name) in best {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The words as they are kept when they led nowhere: in lower case, names, numbers and quotes left out.
pub fn normalised(text: &str, directory: &Directory) -> String {
    let names = Names::new(directory);
    let (mut words, _) = read(text, &names);
    let mentions = names.find(&mut words, &|_| true);
    let mut out: Vec<&str> = Vec::new();
    for (n, word) in words.iter().enumerate() {
        let mention = mentions.iter().find(|m| m.at == n).map(|m| match m.named {
            Named::Customer(_) | Named::Nobody(_) => "<customer>",
            Named::Service(_) => "<service>",
        });
        match (mention, word.role) {
            (Some(name), _) => out.push(name),
            (None, Role::Name) => {}
            (None, Role::Text) => out.push("<text>"),
            (None, _) if word.folded.contains(|c: char| c.is_ascii_digit()) => out.push("<number>"),
            (None, Role::Plain | Role::Value | Role::Aside) => out.push(&word.folded),
        }
    }
    out.join(" ").chars().take(KEPT).collect()
}

/// A message with its names found and its clauses split.
#[derive(Debug)]
struct Heard<'a> {
    offer: Offer<'a>,
    words: Vec<Word>,
    mentions: Vec<Mention>,
    clauses: Vec<(usize, usize)>,
    corrected: Vec<usize>,
    last: Last,
    pasted: Option<String>,
    /// A part of the typed text looks pasted: what stands beside it may be too.
    mixed: bool,
    /// What it says about alerts beside its wish.
    aside: Aside,
    /// The incident whose card it answers.
    answers: Option<i64>,
}

/// The person's own words of `text`, quotes taken for text, and what they pasted.
fn read(text: &str, names: &Names<'_>) -> (Vec<Word>, String) {
    let is_name = |span: &str| {
        let mut words = words::words(span);
        let found = names.find(&mut words, &|_| true);
        found.iter().any(|m| m.exact) && words.iter().all(|w| w.role == Role::Name)
    };
    let (taken, spans) = text::take_out(text, &is_name);
    let own = policy::own_words(&taken);
    let kept: Vec<&str> = own.lines().map(str::trim).collect();
    let lines = taken.lines().map(str::trim).filter(|l| !l.is_empty() && !kept.contains(l));
    let pasted = lines.collect::<Vec<_>>().join("\n");
    if own.chars().count() > LONGEST {
        return (vec![], text.to_owned());
    }
    let mut words = words::words(&own);
    text::put_back(&mut words, &spans);
    (words, pasted)
}

impl<'a> Heard<'a> {
    fn new(asked: &Asked<'_>, offer: Offer<'a>) -> Self {
        let names = Names::new(offer.directory);
        let (mut words, pasted) = read(asked.text, &names);
        let mut aside = aside::take(&mut words);
        let mentions = names.find(&mut words, &|w| offer.tools.knows(w));
        aside::take_kind(&mut aside, &mut words);
        let corrected = offer.tools.correct(&mut words);
        let clauses = clause::split(&words, offer.tools);
        let last = target::last_named(&names, asked.earlier);
        let mixed = !pasted.is_empty();
        let pasted = Some(pasted).filter(|p| p.lines().count() > 1 || p.chars().count() > 40);
        let pasted = asked.quoted.map(str::to_owned).or(pasted);
        let answers = asked.incident;
        Self { offer, words, mentions, clauses, corrected, last, pasted, mixed, aside, answers }
    }

    /// Whether the message names somebody or something and says nothing else.
    fn only_names(&self) -> bool {
        let beside = |w: &Word| {
            w.role == Role::Name
                || w.is_any(&[
                    "for",
                    "of",
                    "on",
                    "the",
                    "sorry",
                    "no",
                    "i",
                    "meant",
                    "mean",
                    "customer",
                    "and",
                    "its",
                    "it",
                    "is",
                    "please",
                    "in",
                    "a",
                    "service",
                    "container",
                ])
        };
        !self.mentions.is_empty() && self.words.iter().all(beside)
    }

    fn slice(&self, n: usize) -> &[Word] {
        self.clauses.get(n).and_then(|&(from, to)| self.words.get(from..to)).unwrap_or_default()
    }

    /// The clauses, each with whom it is about.
    fn parts<'h>(&'h self) -> Vec<Clause<'h>> {
        let valued: Vec<_> = (0..self.clauses.len())
            .map(|n| {
                let mut words = self.slice(n).to_vec();
                let to = words.len();
                let values = values::find(&mut words, 0, to);
                (words, values)
            })
            .collect();
        let verbs: Vec<_> = valued
            .iter()
            .zip(&self.clauses)
            .map(|((words, _), (from, _))| {
                let corrected: Vec<usize> =
                    self.corrected.iter().filter_map(|c| c.checked_sub(*from)).collect();
                verbs::find(words, self.offer.tools.specs(), &corrected)
            })
            .collect();
        let having = |mood: Mood| verbs.iter().map(|v| v.iter().any(|v| v.mood == mood)).collect::<Vec<_>>();
        let (denied, changes) = (having(Mood::Denied), having(Mood::Asked));
        let message = Message {
            words: &self.words,
            mentions: &self.mentions,
            clauses: &self.clauses,
            denied: &denied,
            changes: &changes,
            last: &self.last,
        };
        let parts = valued.into_iter().zip(verbs).enumerate();
        parts
            .map(|(n, (words, verbs))| {
                let target = message.target(n);
                // A card is meant unless somebody else is named.
                let answers = self.answers.filter(|_| target.source != target::Source::Named);
                let incident = self.aside.incident.or(answers);
                let aside = Aside { incident, ..self.aside.clone() };
                let mut clause = Clause::new(words, target, verbs, self.pasted.as_deref());
                clause.aside = aside;
                clause
            })
            .collect()
    }

    fn verdict(&self, asked: &Asked<'_>) -> Verdict {
        if self.words.is_empty() {
            return self.about_a_paste();
        }
        let mut parts = self.parts();
        self.restrain(&mut parts);
        let mut readings: Vec<Reading> = Vec::new();
        for (n, part) in parts.iter().enumerate() {
            readings.push(part.read(self.offer.tools, (n == 0, asked.last)));
        }
        let verdict = join(readings);
        match verdict {
            Verdict::Nothing if self.pasted.is_some() => self.about_a_paste(),
            verdict => verdict,
        }
    }

    /// Takes back what a request was made of, where the rest of the message speaks against it.
    fn restrain(&self, parts: &mut [Clause<'_>]) {
        let told = |part: &Clause<'_>| part.words.iter().any(|w| w.is_any(lexicon::REPORTED));
        let plain = |part: &Clause<'_>| {
            part.words.iter().filter(|w| w.role == Role::Plain).map(|w| w.en.clone()).collect::<Vec<_>>()
        };
        let cancels = parts.iter().any(|p| {
            let words = plain(p);
            verbs::cancels(&words.iter().map(String::as_str).collect::<Vec<_>>())
        });
        let mut reported = self.mixed;
        let denied: Vec<bool> = parts
            .iter()
            .map(|p| {
                let words = plain(p);
                verbs::denied(&words.iter().map(String::as_str).collect::<Vec<_>>())
            })
            .collect();
        for (n, part) in parts.iter_mut().enumerate() {
            let later = denied.iter().skip(n + 1).any(|d| *d);
            let before = denied.iter().take(n).any(|d| *d) && part.target.source != target::Source::Named;
            for verb in part.verbs.iter_mut().filter(|v| v.mood == Mood::Asked) {
                if cancels {
                    verb.mood = Mood::Denied;
                } else if later || before || reported {
                    verb.mood = Mood::Mentioned;
                }
            }
            reported |= told(part);
        }
    }

    /// A paste and no question: what it means, where a tool can tell.
    fn about_a_paste(&self) -> Verdict {
        let Some(pasted) = &self.pasted else { return Verdict::Nothing };
        let explains = self.offer.tools.specs().iter().find(|s| {
            let text = |p: &Param| p.required && p.kind == ParamKind::Text && p.name == "text";
            matches!(s.params.as_slice(), [only] if text(only)) && s.floor == Risk::Safe
        });
        let Some(spec) = explains else { return Verdict::Nothing };
        let mut args = serde_json::Map::new();
        args.insert("text".to_owned(), telling_line(pasted).into());
        Verdict::Choose(vec![ToolCall { tool: spec.name.to_owned(), args: Args(args) }])
    }
}

/// The line of a paste that tells most: the last that speaks of a fault, else the last.
fn telling_line(pasted: &str) -> String {
    let faults = ["fatal", "panic", "error", "exception", "fail", "refused", "denied", "timed out"];
    let lower = |line: &&str| line.to_lowercase();
    let fault = pasted.lines().rfind(|l| faults.iter().any(|f| lower(l).contains(f)));
    let line = fault.or_else(|| pasted.lines().rfind(|l| !l.trim().is_empty())).unwrap_or_default();
    line.trim().chars().filter(|c| *c != '"').take(KEPT).collect()
}

/// One verdict out of what the clauses say. A change runs only when every clause is clear.
fn join(readings: Vec<Reading>) -> Verdict {
    let unclear =
        readings.iter().any(|r| matches!(r, Reading::Choose(_) | Reading::Whose(_) | Reading::Nothing));
    let mut calls: Vec<ToolCall> = Vec::new();
    let mut writes = false;
    let (mut choose, mut whose, mut held, mut talk) = (Vec::new(), None, None, None);
    for reading in readings {
        match reading {
            Reading::Calls(more, write) => {
                writes |= write;
                for call in more {
                    if !calls.contains(&call) {
                        calls.push(call);
                    }
                }
            }
            Reading::Choose(more) => choose.extend(more),
            Reading::Whose(call) => whose = whose.or(Some(call)),
            Reading::Held(mood, reads) => held = Some((mood, reads)),
            Reading::Talk(answer) => talk = Some(answer),
            Reading::Statement | Reading::Nothing => {}
        }
    }
    let held_back = writes && unclear;
    if !calls.is_empty() && !held_back {
        return if calls.len() > MOST_CALLS { Verdict::Held(TOO_MANY, vec![]) } else { Verdict::Run(calls) };
    }
    calls.extend(choose);
    if let (Some(call), true) = (&whose, calls.is_empty()) {
        return Verdict::Whose(call.clone());
    }
    if !calls.is_empty() {
        calls.truncate(MOST_CALLS);
        return Verdict::Choose(calls);
    }
    match (held, talk) {
        (Some((Mood::Advice, reads)), _) => Verdict::Held(ADVICE, reads),
        (Some(_), _) => Verdict::Held(DENIED, vec![]),
        (None, Some(answer)) => Verdict::Talk(answer),
        (None, None) => Verdict::Nothing,
    }
}
