//! Whether a call that was made is one that is wanted.

use serde_json::Value;

use super::case::Wanted;
use crate::{
    domain::{Args, ParamKind, ToolCall, ToolSpec},
    tools::units,
};

/// Whether `call` is `want` or one that is as good, by tool and arguments.
pub(super) fn fits(want: &Wanted, call: &ToolCall, specs: &[ToolSpec]) -> bool {
    want.choices().any(|choice| {
        let spec = specs.iter().find(|s| s.name == choice.tool);
        choice.tool == call.tool && spec.is_some_and(|spec| args_fit(choice, &call.args, spec))
    })
}

/// Whether `call` is of a tool that `want` names.
pub(super) fn same_tool(want: &Wanted, call: &ToolCall) -> bool {
    want.choices().any(|choice| choice.tool == call.tool)
}

fn args_fit(want: &Wanted, args: &Args, spec: &ToolSpec) -> bool {
    let wanted = |name: &str| want.args.iter().find(|(key, _)| key.trim_end_matches('?') == name);
    let expected = want.args.iter().all(|(key, value)| {
        let name = key.trim_end_matches('?');
        let kind = spec.params.iter().find(|p| p.name == name).map(|p| &p.kind);
        match args.text(name) {
            Some(given) => value_fits(value, &given, kind),
            None => key.ends_with('?'),
        }
    });
    expected && args.0.keys().all(|name| wanted(name).is_some())
}

fn value_fits(want: &Value, given: &str, kind: Option<&ParamKind>) -> bool {
    let text = match want {
        Value::Array(any) => return any.iter().any(|one| value_fits(one, given, kind)),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text == "*" {
        return true;
    }
    let (text, given) = (text.trim().to_lowercase(), given.trim().to_lowercase());
    if let Some(part) = text.strip_prefix('~') {
        return given.contains(part);
    }
    if kind == Some(&ParamKind::Duration)
        && let (Ok(a), Ok(b)) = (units::read_span(&text), units::read_span(&given))
    {
        return a == b;
    }
    text == given
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::{Param, Risk};

    fn spec() -> ToolSpec {
        let param = |name, kind, required| Param { name, kind, required, help: "" };
        ToolSpec {
            name: "get_recent_logs",
            summary: "",
            phrases: &[],
            params: vec![
                param("customer_id", ParamKind::Customer, true),
                param("lines", ParamKind::Integer { min: 1, max: 500 }, false),
                param("since", ParamKind::Duration, false),
                param("filter", ParamKind::Text, false),
            ],
            floor: Risk::Safe,
            default: Risk::Safe,
            untrusted: true,
            timeout: std::time::Duration::from_secs(1),
        }
    }

    #[test]
    fn arguments_are_compared_by_what_they_mean() {
        let table = [
            (json!({"customer_id": "19"}), json!({"customer_id": "19"}), true),
            (json!({"customer_id": "19"}), json!({"customer_id": "7"}), false),
            (json!({"customer_id": "19"}), json!({"customer_id": "19", "lines": 20}), false),
            (json!({"customer_id": "19", "lines?": 20}), json!({"customer_id": "19", "lines": 20}), true),
            (json!({"customer_id": "19", "lines?": 20}), json!({"customer_id": "19"}), true),
            (json!({"customer_id": "19", "lines?": 20}), json!({"customer_id": "19", "lines": 30}), false),
            (
                json!({"customer_id": "19", "lines": [20, 30]}),
                json!({"customer_id": "19", "lines": 30}),
                true,
            ),
            (json!({"customer_id": "*", "since": "1h"}), json!({"customer_id": "7", "since": "60m"}), true),
            (json!({"customer_id": "*", "since": "1h"}), json!({"customer_id": "7", "since": "6m"}), false),
            (
                json!({"customer_id": "*", "filter": "~time"}),
                json!({"customer_id": "7", "filter": "Timed out"}),
                true,
            ),
            (
                json!({"customer_id": "*", "filter": "~502"}),
                json!({"customer_id": "7", "filter": "50"}),
                false,
            ),
        ];
        for (want, given, fit) in table {
            let object = |v: &Value| v.as_object().cloned().unwrap();
            let want = Wanted { tool: spec().name.into(), args: object(&want), or: vec![], optional: false };
            let call = ToolCall { tool: spec().name.into(), args: Args(object(&given)) };
            assert_eq!(fits(&want, &call, &[spec()]), fit, "{:?} {given}", want.args);
        }
    }
}
