//! The shapes in which models write a call as JSON.

use serde_json::{Map, Value};

use crate::agent::port::ModelCall;

const NAME_KEYS: [&str; 4] = ["name", "tool", "tool_name", "function_name"];
const ARGS_KEYS: [&str; 5] = ["arguments", "parameters", "params", "args", "input"];
const OTHER_KEYS: [&str; 3] = ["id", "type", "index"];

/// The calls that `value` is, or none where it is anything else. Unless `marked` as a call, names must be `known`.
pub(super) fn calls_in(value: &Value, known: &[String], marked: bool) -> Option<Vec<ModelCall>> {
    match value {
        Value::Array(items) if !items.is_empty() => {
            let nested: Option<Vec<_>> = items.iter().map(|v| calls_in(v, known, marked)).collect();
            Some(nested?.into_iter().flatten().collect())
        }
        Value::Object(map) => match map.get("tool_calls") {
            Some(list @ Value::Array(_)) => calls_in(list, known, marked),
            _ => Some(vec![call_of(map, known, marked)?]),
        },
        _ => None,
    }
}

fn call_of(map: &Map<String, Value>, known: &[String], marked: bool) -> Option<ModelCall> {
    let id = map.get("id").and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned);
    let (name, args) = match map.get("function") {
        Some(Value::Object(inner)) => named(inner)?,
        Some(Value::String(name)) => (name.as_str(), args_of(map, "function")),
        _ => match named(map) {
            Some(found) => found,
            None => keyed(map, known)?,
        },
    };
    let name = name.trim().trim_start_matches("functions.");
    let accepted = known.iter().any(|k| k == name) || (marked && !name.is_empty());
    accepted.then(|| ModelCall { id, name: name.to_owned(), args })
}

fn named(map: &Map<String, Value>) -> Option<(&str, Value)> {
    let key = NAME_KEYS.into_iter().find(|k| map.get(*k).is_some_and(Value::is_string))?;
    Some((map.get(key)?.as_str()?, args_of(map, key)))
}

/// `{"restart_container": {"customer_id": 7}}`
fn keyed<'a>(map: &'a Map<String, Value>, known: &[String]) -> Option<(&'a str, Value)> {
    let (name, args) = map.iter().next().filter(|_| map.len() == 1)?;
    (args.is_object() && known.contains(name)).then(|| (name.as_str(), args.clone()))
}

/// The arguments under their own key, else all keys but the name's and the wrapper's.
fn args_of(map: &Map<String, Value>, name_key: &str) -> Value {
    if let Some(args) = ARGS_KEYS.into_iter().find_map(|k| map.get(k)) {
        return unpacked(args);
    }
    let flat = map.iter().filter(|(k, _)| *k != name_key && !OTHER_KEYS.contains(&k.as_str()));
    Value::Object(flat.map(|(k, v)| (k.clone(), v.clone())).collect())
}

/// `args`, read once more where they came as JSON text; no arguments are an empty object.
pub(super) fn unpacked(args: &Value) -> Value {
    match args {
        Value::Null => Value::Object(Map::new()),
        Value::String(text) if text.trim().is_empty() => Value::Object(Map::new()),
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(inner @ Value::Object(_)) => inner,
            _ => args.clone(),
        },
        _ => args.clone(),
    }
}

/// Whether `value` is surely meant as a call, though its tool may not exist: a name with its arguments, no more.
pub(super) fn is_meant(value: &Value) -> bool {
    match value {
        Value::Array(items) => !items.is_empty() && items.iter().all(is_meant),
        Value::Object(map) => match map.get("function") {
            Some(inner @ Value::Object(_)) => is_meant(inner),
            _ => {
                map.get("name").is_some_and(Value::is_string)
                    && ["arguments", "parameters"].iter().any(|k| map.get(*k).is_some_and(Value::is_object))
                    && map.keys().all(|k| {
                        let wrapper = OTHER_KEYS.contains(&k.as_str());
                        wrapper || matches!(k.as_str(), "name" | "arguments" | "parameters")
                    })
            }
        },
        _ => false,
    }
}

/// Whether a JSON string in `json` is the name of a known tool.
pub(super) fn mentions(json: &str, known: &[String]) -> bool {
    known.iter().any(|name| json.contains(&format!("\"{name}\"")))
}

/// `json` with the brackets that it lacks at its end; none when it lacks more than brackets.
pub(super) fn close_json(json: &str) -> Option<String> {
    let mut open = vec![];
    let (mut in_string, mut escaped) = (false, false);
    for c in json.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            _ if in_string => {}
            '{' => open.push('}'),
            '[' => open.push(']'),
            '}' | ']' if open.pop() != Some(c) => return None,
            _ => {}
        }
    }
    if in_string || open.is_empty() || open.len() > 4 {
        return None;
    }
    let mut closed = json.trim_end().to_owned();
    closed.extend(open.iter().rev());
    Some(closed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_known_shapes_are_one_call_and_others_are_none() {
        let known = ["restart".to_owned(), "list".to_owned()];
        let args = json!({"customer_id": 7});
        for value in [
            json!({"name": "restart", "arguments": {"customer_id": 7}}),
            json!({"name": "restart", "parameters": {"customer_id": 7}}),
            json!({"name": "functions.restart", "params": {"customer_id": 7}}),
            json!({"name": "restart", "arguments": "{\"customer_id\": 7}"}),
            json!({"type": "function", "function": {"name": "restart", "arguments": {"customer_id": 7}}}),
            json!({"type": "function", "function": "restart", "arguments": {"customer_id": 7}}),
            json!({"tool": "restart", "customer_id": 7}),
            json!({"restart": {"customer_id": 7}}),
            json!([{"name": "restart", "arguments": {"customer_id": 7}}]),
            json!({"tool_calls": [{"function": {"name": "restart", "arguments": {"customer_id": 7}}}]}),
        ] {
            let want = ModelCall { id: None, name: "restart".into(), args: args.clone() };
            assert_eq!(calls_in(&value, &known, false), Some(vec![want]), "{value}");
        }
        for value in [
            json!({"name": "reboot", "arguments": {}}),
            json!({"reboot": {"customer_id": 7}}),
            json!({"customer_id": 7}),
            json!([]),
            json!([{"name": "restart"}, 5]),
            json!("restart"),
            json!({"name": 5}),
        ] {
            assert_eq!(calls_in(&value, &known, false), None, "{value}");
        }
        assert!(is_meant(&json!([{"name": "reboot", "arguments": {}}])));
        assert!(is_meant(&json!({"id": "c", "function": {"name": "reboot", "parameters": {}}})));
        assert!(!is_meant(&json!({"name": "web", "arguments": {}, "image": "nginx"})));
        assert!(!is_meant(&json!({"name": "web", "arguments": "-v"})) && !is_meant(&json!([])));
        let marked = calls_in(&json!({"id": "c1", "name": "reboot"}), &known, true).unwrap();
        assert_eq!(marked, [ModelCall { id: Some("c1".into()), name: "reboot".into(), args: json!({}) }]);
    }

    #[test]
    fn only_lacking_brackets_are_mended() {
        let table = [
            (r#"{"a": {"b": [1"#, Some(r#"{"a": {"b": [1]}}"#)),
            (r#"{"a": "}"  "#, Some(r#"{"a": "}"}"#)),
            (r#"{"a": "b"#, None),
            (r#"{"a": 1}"#, None),
            (r#"{"a": ]"#, None),
        ];
        for (given, want) in table {
            assert_eq!(close_json(given).as_deref(), want, "{given}");
        }
    }
}
