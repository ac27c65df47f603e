//! How words are understood, step by step, for whoever tunes phrases: `opsbot intents try`.

use super::{Asked, Heard, Offer, Verdict, understand};
use crate::engine::intent::{reading::Clause, verbs::Mood};

/// How a message is understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// What was found in each clause: the words, whom it is about, the verb and the amounts.
    pub clauses: Vec<String>,
    /// The nearest tools: the number of the clause, the tool, its points, what it would be called with.
    pub scores: Vec<[String; 4]>,
    /// What would be done.
    pub verdict: Verdict,
}

/// Understands the words and says how, without doing anything.
pub fn explain(text: &str, offer: Offer<'_>) -> Explained {
    let asked = Asked { text, ..Asked::default() };
    let heard = Heard::new(&asked, offer);
    let parts = heard.parts();
    let mut scores = Vec::new();
    for (n, part) in parts.iter().enumerate() {
        for candidate in part.candidates(offer.tools).into_iter().filter(|c| c.points > 0.0).take(4) {
            let call = candidate.calls.first().map(ToString::to_string).unwrap_or_default();
            let mut missing = candidate.missing.clone();
            missing.extend(candidate.nobody.then_some("a customer"));
            let missing =
                if missing.is_empty() { String::new() } else { format!(" without {}", missing.join(", ")) };
            let points = format!("{:.2}", candidate.points);
            scores.push([
                (n + 1).to_string(),
                candidate.spec.name.to_owned(),
                points,
                format!("{call}{missing}"),
            ]);
        }
    }
    Explained { clauses: parts.iter().map(line).collect(), scores, verdict: understand(&asked, offer) }
}

fn line(part: &Clause<'_>) -> String {
    let words: Vec<_> = part.words.iter().map(|w| w.raw.as_str()).collect();
    let mut facts = Vec::new();
    let target = &part.target;
    let list = |ids: Vec<String>| ids.join(", ");
    if !target.customers.is_empty() {
        facts.push(format!("customer {}", list(target.customers.iter().map(ToString::to_string).collect())));
    }
    if !target.unsure.is_empty() {
        facts.push(format!("customer {}?", list(target.unsure.iter().map(ToString::to_string).collect())));
    }
    if !target.services.is_empty() {
        facts.push(format!("service {}", list(target.services.iter().map(ToString::to_string).collect())));
    }
    if !target.exact {
        facts.push("a name that is not written in full".to_owned());
    }
    facts.extend(part.values.count.map(|n| format!("count {n}")));
    facts.extend(part.values.span.iter().map(|s| format!("span {s}")));
    for verb in &part.verbs {
        let mood = match verb.mood {
            Mood::Asked => "asked for",
            Mood::Mentioned => "only mentioned",
            Mood::Question => "in a question",
            Mood::Advice => "in a question for advice",
            Mood::Denied => "denied",
        };
        facts.push(format!("{}: {mood}", verb.group));
    }
    let facts = if facts.is_empty() { "nobody and nothing named".to_owned() } else { facts.join("; ") };
    format!("\"{}\": {facts}", words.join(" "))
}
