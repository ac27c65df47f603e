//! Whether the change that a model calls for is the one that the person's words ask for.

use super::{
    ADVICE, Asked, DENIED, Heard, Offer,
    verbs::{self, Mood},
};
use crate::domain::{ParamKind, ToolCall, ToolSpec};

/// What to say in place of `call`, where `text` asks for another change, asks about this one, or forbids it. Words that
/// speak of no change at all say nothing against it: people have many words, and the card asks anyway.
pub fn unwished(text: &str, call: &ToolCall, spec: &ToolSpec, offer: Offer<'_>) -> Option<String> {
    if !spec.is_write() {
        return None;
    }
    let asked = Asked { text, ..Asked::default() };
    let heard = Heard::new(&asked, offer);
    let mut parts = heard.parts();
    heard.restrain(&mut parts);
    let all: Vec<_> = parts.iter().flat_map(|p| &p.verbs).collect();
    let group = verbs::group(spec);
    let said = |mood: Mood| all.iter().any(|v| v.group == group && v.mood == mood);
    if said(Mood::Asked) {
        return None;
    }
    if said(Mood::Denied) {
        return Some(DENIED.to_owned());
    }
    if said(Mood::Advice) || said(Mood::Question) {
        return Some(ADVICE.to_owned());
    }
    let other = all.iter().find(|v| v.mood == Mood::Asked)?;
    Some(format!(
        "You asked to {}, and the model came up with {call}: nothing is changed. Say once more what you want done.",
        other.group
    ))
}

/// The choices that `text` names where it asks for this change and that `call` leaves out, as parameter and value: without
/// them it would do more than was asked for.
pub fn left_out(
    text: &str,
    call: &ToolCall,
    spec: &ToolSpec,
    offer: Offer<'_>,
) -> Vec<(&'static str, &'static str)> {
    let asked = Asked { text, ..Asked::default() };
    let heard = Heard::new(&asked, offer);
    let group = verbs::group(spec);
    let parts = heard.parts();
    let asking =
        |p: &&super::reading::Clause<'_>| p.verbs.iter().any(|v| v.group == group && v.mood == Mood::Asked);
    let Some(part) = parts.iter().find(asking) else { return vec![] };
    let free = spec.params.iter().filter(|p| !p.required && !call.args.0.contains_key(p.name));
    free.filter_map(|p| match p.kind {
        ParamKind::Choice(words) => part.choice(words).map(|value| (p.name, value)),
        _ => None,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{
        super::{
            Vocabulary,
            table_tests::{directory, specs},
        },
        *,
    };
    use crate::domain::Args;

    #[test]
    fn a_change_that_the_words_speak_against_is_held() {
        let (tools, directory) = (Vocabulary::new(Arc::new(specs())), directory());
        let offer = Offer { tools: &tools, directory: &directory };
        let table = [
            ("Restart web of customer 19", "restart_container", true),
            ("please bounce web of 19", "restart_container", true),
            ("give web of customer 19 a kick", "restart_container", true),
            ("its web hangs", "restart_container", true),
            ("customer 19", "restart_container", true),
            ("Clear the cache of customer 19", "clear_cache", true),
            ("Clear the cache of customer 19", "restart_container", false),
            ("Restart web of 19 and clear its cache", "restart_container", true),
            ("Restart web of 19 and clear its cache", "clear_cache", true),
            ("Stop web of customer 19", "restart_container", false),
            ("turn the db of customer 7 off and on again", "restart_container", true),
            ("turn the db of customer 7 off and on again", "stop_container", false),
            ("Do not restart web of customer 19", "restart_container", false),
            ("should I restart web of customer 19?", "restart_container", false),
            ("Do not restart web of customer 19", "get_recent_logs", true),
        ];
        for (text, tool, free) in table {
            let spec = specs().into_iter().find(|s| s.name == tool).unwrap();
            let call = ToolCall { tool: tool.into(), args: Args::default() };
            let held = unwished(text, &call, &spec, offer);
            assert_eq!(held.is_none(), free, "{text} {tool}: {held:?}");
        }
    }

    #[test]
    fn a_choice_that_was_said_is_filled_in_where_the_change_is_asked_for() {
        let (tools, directory) = (Vocabulary::new(Arc::new(specs())), directory());
        let offer = Offer { tools: &tools, directory: &directory };
        let spec = specs().into_iter().find(|s| s.name == "clear_cache").unwrap();
        let call = ToolCall { tool: "clear_cache".into(), args: Args::default() };
        let table = [
            ("Clear the redis cache of customer 19", Some("redis")),
            ("flush varnish for 7", Some("varnish")),
            ("clear the cache of customer 19", None),
            ("clear the redis and the varnish cache of 19", None),
            ("restart redis of 19 and clear its cache", None),
            ("clear the varnish cache of 19, and how is redis?", Some("varnish")),
        ];
        for (text, wanted) in table {
            let wanted: Vec<_> = wanted.iter().map(|value| ("kind", *value)).collect();
            assert_eq!(left_out(text, &call, &spec, offer), wanted, "{text}");
        }
    }
}
