//! A model's call held against the person's words: names that nobody has give way to those that were said, and what was
//! said and left out is filled in.

use serde_json::Value;

use super::{
    Asked, Directory, Heard, Offer, Verdict,
    names::{Named, Names},
    understand, words,
};
use crate::domain::{Args, CustomerId, ParamKind, ServiceName, ToolCall, ToolSpec};

/// The calls that `call` stands for; it is the only one of its message when `alone`. One for a customer whom nobody has and
/// nobody named gives way to what the words say, where they say something.
pub fn grounded(
    asked: &Asked<'_>,
    call: &ToolCall,
    spec: &ToolSpec,
    alone: bool,
    offer: Offer<'_>,
) -> Vec<ToolCall> {
    let args = filled(asked, call, spec, alone, offer);
    let given = spec.params.iter().find(|p| p.kind == ParamKind::Customer).and_then(|p| args.text(p.name));
    let nobody = given.is_some_and(|given| is_nobody(offer.directory, &given));
    match understand(asked, offer) {
        Verdict::Run(calls) if alone && nobody => calls,
        Verdict::Choose(calls) if alone && nobody && calls.len() == 1 && is_whole_read(&calls, offer) => {
            calls
        }
        _ => vec![ToolCall { args, ..call.clone() }],
    }
}

fn is_whole_read(calls: &[ToolCall], offer: Offer<'_>) -> bool {
    calls.iter().all(|call| {
        let spec = offer.tools.specs().iter().find(|s| s.name == call.tool);
        spec.is_some_and(|s| {
            !s.is_write() && s.params.iter().all(|p| !p.required || call.args.0.contains_key(p.name))
        })
    })
}

/// The arguments as the words have them. Of two readings of the words none is taken.
fn filled(asked: &Asked<'_>, call: &ToolCall, spec: &ToolSpec, alone: bool, offer: Offer<'_>) -> Args {
    let said = Said::new(asked, offer);
    let mut args = call.args.clone();
    for param in &spec.params {
        let given = args.text(param.name);
        let value = match (&param.kind, given) {
            (ParamKind::Customer, Some(given)) if is_nobody(offer.directory, &given) => {
                if !param.required && said.customer.is_none() {
                    args.0.remove(param.name);
                }
                said.customer.as_ref().map(|c| Value::from(c.as_str()))
            }
            (ParamKind::Service, Some(given)) if !has_service(offer.directory, &args, spec, &given) => {
                if !param.required && said.service.is_none() {
                    args.0.remove(param.name);
                }
                said.service.as_ref().map(|s| Value::from(s.as_str()))
            }
            (ParamKind::Service, None) if alone => said.service.as_ref().map(|s| Value::from(s.as_str())),
            (ParamKind::Text, None) if alone && ["host", "project"].contains(&param.name) => said
                .places
                .iter()
                .find(|(what, _)| *what == param.name)
                .map(|(_, name)| Value::from(name.as_str())),
            (ParamKind::Duration, None) if alone && first(spec, param.name) => {
                said.span.as_deref().map(Value::from)
            }
            (ParamKind::Integer { min, max }, None) if alone && !["id", "incident"].contains(&param.name) => {
                said.count.map(|n| Value::from(n.clamp(*min, *max)))
            }
            _ => None,
        };
        args.0.extend(value.map(|value| (param.name.to_owned(), value)));
    }
    args
}

/// The one customer, service, span and count that a message says, and the host and project.
struct Said {
    places: Vec<(&'static str, String)>,
    customer: Option<CustomerId>,
    service: Option<ServiceName>,
    span: Option<String>,
    count: Option<i64>,
}

impl Said {
    fn new(asked: &Asked<'_>, offer: Offer<'_>) -> Self {
        let heard = Heard::new(asked, offer);
        let parts = heard.parts();
        let targets = || parts.iter().map(|p| &p.target);
        let unsure = targets().any(|t| !t.unsure.is_empty());
        let service = targets().filter(|t| t.service_named).flat_map(|t| t.services.iter().cloned());
        let place =
            |what: &'static str| only(parts.iter().filter_map(|p| p.place(what))).map(|name| (what, name));
        Self {
            places: ["host", "project"].into_iter().filter_map(place).collect(),
            customer: only(targets().flat_map(|t| t.customers.iter().cloned())).filter(|_| !unsure),
            service: only(service),
            span: only(parts.iter().filter_map(|p| p.values.span.clone())),
            count: only(parts.iter().filter_map(|p| p.values.count)),
        }
    }
}

fn only<T: PartialEq>(mut all: impl Iterator<Item = T>) -> Option<T> {
    let first = all.next()?;
    all.all(|other| other == first).then_some(first)
}

fn customer<'d>(directory: &'d Directory, given: &str) -> Option<&'d CustomerId> {
    let same = |name: &str| name.eq_ignore_ascii_case(given.trim());
    let called = directory.customers.iter().find(|c| {
        let names = c.name.as_deref().into_iter().chain(c.domain.as_deref());
        same(c.id.as_str()) || names.chain(c.aliases.iter().map(String::as_str)).any(same)
    });
    called.map(|c| &c.id)
}

/// Whether nobody is called so, not even in part.
fn is_nobody(directory: &Directory, given: &str) -> bool {
    let found = Names::new(directory).find(&mut words::words(given), &|_| true);
    !found.iter().any(|m| matches!(m.named, Named::Customer(_)))
}

fn has_service(directory: &Directory, args: &Args, spec: &ToolSpec, given: &str) -> bool {
    let whose = spec.params.iter().find(|p| p.kind == ParamKind::Customer).and_then(|p| args.text(p.name));
    let whose = whose.and_then(|given| customer(directory, &given));
    directory.services.iter().any(|(id, name)| {
        whose.is_none_or(|whose| id == whose) && name.as_str().eq_ignore_ascii_case(given.trim())
    })
}

fn first(spec: &ToolSpec, name: &str) -> bool {
    spec.params.iter().find(|p| p.kind == ParamKind::Duration).is_some_and(|p| p.name == name)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::{
        super::{
            Vocabulary,
            table_tests::{directory, specs},
        },
        *,
    };

    #[test]
    fn what_was_said_stands_where_the_model_made_something_up() {
        let (tools, directory) = (Vocabulary::new(Arc::new(specs())), directory());
        let offer = Offer { tools: &tools, directory: &directory };
        let table = [
            (
                "logs of customer 19",
                "get_recent_logs",
                json!({"customer_id": "?", "service": "shop"}),
                json!({"customer_id": "19"}),
            ),
            (
                "what does web of 19 write?",
                "get_recent_logs",
                json!({"customer_id": "19", "service": "website log"}),
                json!({"customer_id": "19", "service": "web"}),
            ),
            (
                "the last 20 lines of db of 7 from the past 2 hours",
                "get_recent_logs",
                json!({"customer_id": "7"}),
                json!({"customer_id": "7", "service": "db", "lines": 20, "since": "2h"}),
            ),
            (
                "compare web and db of customer 19",
                "get_recent_logs",
                json!({"customer_id": "19"}),
                json!({"customer_id": "19"}),
            ),
            (
                "is customer 7 slower than customer 19?",
                "get_metrics",
                json!({"customer_id": "shop"}),
                json!({"customer_id": "shop"}),
            ),
            (
                "how full is the disk on host beta?",
                "get_disk_usage",
                json!({"customer_id": "?"}),
                json!({"host": "beta"}),
            ),
            ("how is 7?", "get_metrics", json!({"customer_id": "19"}), json!({"customer_id": "19"})),
        ];
        for (text, tool, given, wanted) in table {
            let spec = specs().into_iter().find(|s| s.name == tool).unwrap();
            let args = |value: Value| Args(value.as_object().cloned().unwrap());
            let call = ToolCall { tool: tool.into(), args: args(given) };
            let asked = Asked { text, ..Asked::default() };
            assert_eq!(filled(&asked, &call, &spec, true, offer), args(wanted), "{text}");
        }
        let call = ToolCall { tool: "get_recent_logs".into(), args: Args::default() };
        let spec = specs().into_iter().find(|s| s.name == "get_recent_logs").unwrap();
        let asked = Asked { text: "logs of web of 19", ..Asked::default() };
        assert_eq!(filled(&asked, &call, &spec, false, offer), Args::default(), "not beside other calls");
    }

    #[test]
    fn a_call_for_nobody_gives_way_to_what_was_said() {
        let (tools, directory) = (Vocabulary::new(Arc::new(specs())), directory());
        let offer = Offer { tools: &tools, directory: &directory };
        let spec = specs().into_iter().find(|s| s.name == "get_metrics").unwrap();
        let args = Args(json!({"customer_id": "prod"}).as_object().cloned().unwrap());
        let call = ToolCall { tool: spec.name.into(), args };
        let table = [
            ("which alerts are firing?", "list_active_alerts()"),
            ("how much memory does the bakery take?", "get_metrics(customer_id=19)"),
            ("something about the moon", "get_metrics(customer_id=prod)"),
        ];
        for (text, wanted) in table {
            let asked = Asked { text, ..Asked::default() };
            let calls = grounded(&asked, &call, &spec, true, offer);
            let shown: Vec<_> = calls.iter().map(ToString::to_string).collect();
            assert_eq!(shown, [wanted], "{text}");
            assert_eq!(grounded(&asked, &call, &spec, false, offer).len(), 1);
        }
    }
}
