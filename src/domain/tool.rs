//! Tools as data: what they are called, what they take, what they may break, what a call says.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Block, ContainerRef, Risk, Target};

/// What a parameter holds; decides its JSON schema, its repair and how a slash command reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// A customer's id, name or alias.
    Customer,
    /// A service of that customer.
    Service,
    /// Free text.
    Text,
    /// A whole number in these bounds.
    Integer {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// A span of time (`15m`, `2h`).
    Duration,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// One parameter of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// Its name in the call.
    pub name: &'static str,
    /// What it holds.
    pub kind: ParamKind,
    /// Whether a call without it is refused.
    pub required: bool,
    /// One short phrase for model and help.
    pub help: &'static str,
}

/// All that is known of a tool without running it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolSpec {
    /// The name (`get_recent_logs`).
    pub name: &'static str,
    /// One sentence for model and help.
    pub summary: &'static str,
    /// What else people say when they mean it (`reboot`, `is it up`): words without a model are matched with these, and
    /// they add a tool beyond the core to a conversation. No names of customers or services.
    pub phrases: &'static [&'static str],
    /// The parameters, in a slash command's order.
    pub params: Vec<Param>,
    /// The risk that nothing loosens.
    pub floor: Risk,
    /// The risk where no rule matches.
    pub default: Risk,
    /// Its output holds text from outside (logs, labels): it taints the conversation.
    pub untrusted: bool,
    /// How long a call may take.
    pub timeout: Duration,
}

impl ToolSpec {
    /// Whether the tool changes something.
    pub fn is_write(&self) -> bool {
        self.floor > Risk::Safe
    }

    /// The parameters as a JSON schema object.
    pub fn schema(&self) -> Value {
        let mut properties = Map::new();
        for p in &self.params {
            let mut s = match p.kind {
                ParamKind::Integer { min, max } => {
                    json!({"type": "integer", "minimum": min, "maximum": max})
                }
                ParamKind::Choice(words) => json!({"type": "string", "enum": words}),
                ParamKind::Customer | ParamKind::Service | ParamKind::Text | ParamKind::Duration => {
                    json!({"type": "string"})
                }
            };
            if !p.help.is_empty() {
                s["description"] = p.help.into();
            }
            properties.insert(p.name.into(), s);
        }
        let required: Vec<_> = self.params.iter().filter(|p| p.required).map(|p| p.name).collect();
        let mut schema = json!({"type": "object", "properties": properties});
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        schema
    }

    /// Repairs `raw` once by the parameters' kinds (numbers as text, text as numbers; nulls, blanks and `all` services
    /// dropped).
    ///
    /// # Errors
    /// A sentence for the caller: what is missing, unknown or out of bounds.
    pub fn read_args(&self, raw: &Value) -> Result<Args, String> {
        let unpacked;
        let map = match raw {
            Value::Object(map) => map,
            Value::Null => &Map::new(),
            Value::String(text) => {
                unpacked = serde_json::from_str::<Map<String, Value>>(text)
                    .map_err(|_| format!("{}: arguments must be an object", self.name))?;
                &unpacked
            }
            Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
                return Err(format!("{}: arguments must be an object", self.name));
            }
        };
        let mut args = Map::new();
        for (key, value) in map {
            let empty = value.is_null() || value.as_str().is_some_and(|t| t.trim().is_empty());
            let Some(param) = self.params.iter().find(|p| p.name == key) else {
                if empty {
                    continue;
                }
                let known: Vec<_> = self.params.iter().map(|p| p.name).collect();
                let known = if known.is_empty() { "no arguments".into() } else { known.join(", ") };
                return Err(format!("{}: unknown argument `{key}` (it takes {known})", self.name));
            };
            if !empty && !param.means_all(value) {
                args.insert(key.clone(), param.read(value).map_err(|e| format!("{}: {e}", self.name))?);
            }
        }
        for p in self.params.iter().filter(|p| p.required) {
            if !args.contains_key(p.name) {
                return Err(format!("{}: `{}` is missing ({})", self.name, p.name, p.help));
            }
        }
        Ok(Args(args))
    }
}

impl Param {
    /// Small models write out what leaving a service away means.
    fn means_all(&self, value: &Value) -> bool {
        let all = |text: &str| text.trim().eq_ignore_ascii_case("all");
        self.kind == ParamKind::Service && !self.required && value.as_str().is_some_and(all)
    }

    fn read(&self, value: &Value) -> Result<Value, String> {
        match (&self.kind, value) {
            (ParamKind::Integer { min, max }, _) => {
                let n = value
                    .as_i64()
                    .or_else(|| value.as_f64().filter(|f| f.fract() == 0.0).map(|f| f as i64))
                    .or_else(|| value.as_str().and_then(|t| t.trim().parse().ok()))
                    .ok_or_else(|| format!("`{}` must be a whole number", self.name))?;
                if n < *min || n > *max {
                    return Err(format!("`{}` must be {min} to {max}, not {n}", self.name));
                }
                Ok(n.into())
            }
            (ParamKind::Choice(words), _) => {
                let given = value.as_str().unwrap_or_default().trim().to_lowercase();
                let known = words.iter().find(|w| **w == given);
                known
                    .map(|w| (*w).into())
                    .ok_or_else(|| format!("`{}` must be {}", self.name, words.join(" or ")))
            }
            (_, Value::String(text)) => Ok(text.trim().into()),
            (_, Value::Number(n)) => Ok(n.to_string().into()),
            (_, _) => Err(format!("`{}` must be text", self.name)),
        }
    }
}

/// Checked arguments of a call, in a canonical order when printed or hashed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Args(pub Map<String, Value>);

impl Args {
    /// The argument as text, whatever its JSON type; none when absent.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.0.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Null => None,
            other => Some(other.to_string()),
        }
    }

    /// The argument as a whole number.
    pub fn integer(&self, name: &str) -> Option<i64> {
        self.0.get(name)?.as_i64()
    }
}

/// A call of a tool with checked arguments: `restart_container(customer_id=19, service=web)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The tool's name.
    pub tool: String,
    /// Its arguments.
    pub args: Args,
}

impl fmt::Display for ToolCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.tool)?;
        for (n, (name, _)) in self.args.0.iter().enumerate() {
            let comma = if n > 0 { ", " } else { "" };
            write!(f, "{comma}{name}={}", self.args.text(name).unwrap_or_default())?;
        }
        write!(f, ")")
    }
}

/// One step of what a write would do. Two steps are equal when they do the same, whatever they meet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlanStep {
    /// The step in words (`restart container shop-web (3f2a9c…) on local`).
    pub text: String,
    /// The container that it touches.
    pub container: Option<ContainerRef>,
    /// What it meets at the time of the look (`1,234 keys`). It changes by itself, so a decision is not bound to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<String>,
}

impl PartialEq for PlanStep {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.container == other.container
    }
}

impl Eq for PlanStep {}

impl fmt::Display for PlanStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        self.now.as_ref().map_or(Ok(()), |now| write!(f, " (now: {now})"))
    }
}

/// A call together with what it would touch right now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResolvedCall {
    /// The call, its customer and service written in canonical form.
    pub call: ToolCall,
    /// What it would touch.
    pub target: Target,
    /// What a write would do, step by step; empty for reads.
    pub plan: Vec<PlanStep>,
    /// The calls that it consists of, in their order: a playbook's steps. Each of them is judged like a call of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<ResolvedCall>,
}

impl ResolvedCall {
    /// SHA-256 over canonical tool, arguments, target and plan, and the policy's version; hexadecimal. What a step
    /// meets at the moment ([`PlanStep::now`]) is left out.
    pub fn digest(calls: &[Self], policy_version: &str) -> String {
        let mut calls = calls.to_vec();
        calls.iter_mut().for_each(Self::forget_now);
        let value = json!({"calls": calls, "policy": policy_version});
        hex(&Sha256::digest(canonical(&value).as_bytes()))
    }

    fn forget_now(&mut self) {
        self.plan.iter_mut().for_each(|step| step.now = None);
        self.steps.iter_mut().for_each(Self::forget_now);
    }
}

/// The JSON text of `value` with all object keys sorted.
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.iter().collect();
            keys.sort_by_key(|(k, _)| *k);
            let inner: Vec<_> =
                keys.iter().map(|(k, v)| format!("{}:{}", Value::from(k.as_str()), canonical(v))).collect();
            format!("{{{}}}", inner.join(","))
        }
        Value::Array(items) => {
            let inner: Vec<_> = items.iter().map(canonical).collect();
            format!("[{}]", inner.join(","))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

/// Lower-case hexadecimal digits of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Whether what a tool did worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It worked; a write was verified.
    Ok,
    /// It ran, and what should stand afterwards does not stand; the blocks hold the evidence.
    NotUp,
}

/// What a tool brought back.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolOutput {
    /// Whether it worked.
    pub outcome: Outcome,
    /// One sentence by code, free of foreign text, for cards, audit and speech.
    pub summary: String,
    /// All of it for the model, cleaned; foreign text where the tool's spec says `untrusted`.
    pub text: String,
    /// All of it for a person.
    pub blocks: Vec<Block>,
}

/// Why a tool brought nothing back. Each kind is told apart in what the person reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// No such customer, service, spill id …
    #[error("there is no {what} `{given}`{}", known_list(known))]
    UnknownId {
        /// What kind of thing.
        what: &'static str,
        /// What was given.
        given: String,
        /// What there is, nearest first.
        known: Vec<String>,
    },
    /// The name fits several.
    #[error("`{given}` could be {}: say which", candidates.join(" or "))]
    Ambiguous {
        /// What was given.
        given: String,
        /// What it could mean.
        candidates: Vec<String>,
    },
    /// The place exists and was asked; there is nothing.
    #[error("nothing found: {0}")]
    NothingFound(String),
    /// Docker, Prometheus … does not answer, or answers garbage.
    #[error("{backend} is not answering: {detail}. {cure}")]
    BackendDown {
        /// Which one, with its name.
        backend: String,
        /// What was seen; no URL, no secret.
        detail: String,
        /// What to do.
        cure: &'static str,
    },
    /// The arguments make no sense to this tool.
    #[error("{0}")]
    BadArgs(String),
    /// It took longer than the tool's timeout.
    #[error("{tool} took longer than {seconds} s and was given up")]
    Timeout {
        /// Which tool.
        tool: String,
        /// The limit.
        seconds: u64,
    },
    /// A person stopped it; the text says what had been done by then.
    #[error("stopped: {0}")]
    Stopped(String),
    /// It ran and failed.
    #[error("{0}")]
    Failed(String),
    /// It broke while it ran: a bug. What it did by then is not known.
    #[error("{tool} broke while it ran; please report it with the log")]
    Broke {
        /// Which tool.
        tool: String,
    },
}

fn known_list(known: &[String]) -> String {
    if known.is_empty() {
        return String::new();
    }
    let shown: Vec<_> = known.iter().take(8).map(String::as_str).collect();
    let more = known.len().saturating_sub(shown.len());
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    let verb = if known.len() == 1 { "is" } else { "are" };
    format!("; there {verb} {}{tail}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> ToolSpec {
        ToolSpec {
            name: "get_recent_logs",
            summary: "",
            params: vec![
                Param { name: "customer_id", kind: ParamKind::Customer, required: true, help: "customer" },
                Param { name: "service", kind: ParamKind::Service, required: false, help: "" },
                Param {
                    name: "lines",
                    kind: ParamKind::Integer { min: 1, max: 500 },
                    required: false,
                    help: "",
                },
            ],
            floor: Risk::Safe,
            default: Risk::Safe,
            phrases: &[],
            untrusted: true,
            timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn arguments_are_repaired_once_by_kind() {
        let table = [
            (json!({"customer_id": 19, "lines": "50"}), Ok(json!({"customer_id": "19", "lines": 50}))),
            (json!({"customer_id": " 19 ", "lines": null}), Ok(json!({"customer_id": "19"}))),
            (json!({"customer_id": "19", "service": "All"}), Ok(json!({"customer_id": "19"}))),
            (
                json!({"customer_id": "19", "service": "web"}),
                Ok(json!({"customer_id": "19", "service": "web"})),
            ),
            (json!("{\"customer_id\": 19}"), Ok(json!({"customer_id": "19"}))),
            (json!({"customer_id": "19", "lines": 20.0}), Ok(json!({"customer_id": "19", "lines": 20}))),
            (json!({"lines": 5}), Err("`customer_id` is missing")),
            (json!({"customer_id": "19", "lines": 900}), Err("must be 1 to 500")),
            (json!({"customer_id": "19", "force": true}), Err("unknown argument `force`")),
            (json!({"customer_id": ["19"]}), Err("must be text")),
            (json!([1]), Err("must be an object")),
        ];
        for (raw, want) in table {
            match (spec().read_args(&raw), want) {
                (Ok(args), Ok(want)) => assert_eq!(Value::Object(args.0), want),
                (Err(e), Err(part)) => assert!(e.contains(part), "{e}"),
                (got, want) => panic!("{raw}: {got:?} instead of {want:?}"),
            }
        }
    }

    #[test]
    fn what_a_step_meets_is_shown_and_binds_nobody() {
        let call = |text: &str, now: Option<&str>| ResolvedCall {
            call: ToolCall { tool: "t".into(), args: Args::default() },
            target: Target::default(),
            plan: vec![PlanStep { text: text.into(), container: None, now: now.map(Into::into) }],
            steps: vec![],
        };
        let (few, many) = (call("clear", Some("3 keys")), call("clear", Some("4 keys")));
        assert_eq!(few, many);
        assert_eq!(ResolvedCall::digest(std::slice::from_ref(&few), "v"), ResolvedCall::digest(&[many], "v"));
        assert_ne!(
            ResolvedCall::digest(std::slice::from_ref(&few), "v"),
            ResolvedCall::digest(&[call("x", None)], "v")
        );
        assert_eq!(few.plan[0].to_string(), "clear (now: 3 keys)");
        let kept: ResolvedCall = serde_json::from_value(json!(few)).unwrap();
        assert_eq!(kept.plan[0].now.as_deref(), Some("3 keys"), "a card is drawn again from its row");
    }

    #[test]
    fn a_digest_sees_every_part_and_no_key_order() {
        let call = |id: &str| ResolvedCall {
            call: ToolCall {
                tool: "t".into(),
                args: Args(json!({"a": id, "b": 1}).as_object().unwrap().clone()),
            },
            target: Target::default(),
            plan: vec![],
            steps: vec![],
        };
        let swapped = ResolvedCall {
            call: ToolCall {
                tool: "t".into(),
                args: Args(json!({"b": 1, "a": "1"}).as_object().unwrap().clone()),
            },
            ..call("1")
        };
        let base = ResolvedCall::digest(&[call("1")], "v1");
        assert_eq!(base, ResolvedCall::digest(&[swapped], "v1"));
        assert_ne!(base, ResolvedCall::digest(&[call("2")], "v1"));
        assert_ne!(base, ResolvedCall::digest(&[call("1")], "v2"));
        let stepped = ResolvedCall { steps: vec![call("1")], ..call("1") };
        assert_ne!(base, ResolvedCall::digest(&[stepped], "v1"));
        assert_ne!(base, ResolvedCall::digest(&[call("1"), call("1")], "v1"));
    }
}
