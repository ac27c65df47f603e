//! Slash commands: one for every tool, made from the registry, and the few that steer the bot itself.

use serde_json::{Map, Value};

use super::{
    alerts::{AlertWish, command},
    memory::{Forget, TURNS},
};
use crate::domain::{ChannelKind, Param, ParamKind, Risk, Role, ToolCall, ToolSpec};

/// What a slash command asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// A tool.
    Tool(ToolCall),
    /// The list of commands, or one of them in full.
    Help(Option<String>),
    /// Stop the running turn of this conversation.
    Stop,
    /// No more writes by anyone.
    Freeze,
    /// Writes again.
    Unfreeze,
    /// Yes to a card.
    Approve(String),
    /// No to a card.
    Deny(String),
    /// The cards that wait.
    Pending,
    /// Forget something.
    Forget(Forget),
    /// So many turns of this conversation in short.
    History(usize),
    /// How the bot itself is.
    Status,
    /// Who the bot takes the person for.
    WhoAmI,
    /// Which build this is.
    Version,
    /// Who is known on chat platforms.
    Pair(Pair),
    /// Read the configuration again.
    Reload,
    /// Which models there are, and which one this conversation uses.
    Model(ModelWish),
    /// Something about alerts.
    Alerts(AlertWish),
}

/// What `/model` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelWish {
    /// The list.
    List,
    /// This model for this conversation.
    Use(String),
    /// The configured model for this conversation.
    Default,
    /// Bring a model.
    Pull {
        /// Its name.
        name: String,
        /// To this host; the first that can without.
        host: Option<String>,
    },
}

/// What `/pair` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pair {
    /// Who is known, and who waits with a code.
    List,
    /// Accept a stranger's code.
    Accept {
        /// As it was typed.
        code: String,
        /// The person's name.
        person: String,
        /// The role, if one was named.
        role: Option<Role>,
    },
    /// Take a person's pairings back.
    Revoke {
        /// The person's name.
        person: String,
        /// On this platform only.
        channel: Option<ChannelKind>,
    },
}

/// Short names of tools that people type on a phone.
const ALIASES: &[(&str, &str)] =
    &[("alerts", "list_active_alerts"), ("customers", "list_customers"), ("notes", "list_notes")];
/// Their optional arguments are told apart by name only.
const NAMED: &[&str] = &["silence_alert"];

const STEERING: &[(&str, &str)] = &[
    ("/help [command]", "this list, or one command in full"),
    ("/stop", "stop what runs in this conversation, at once"),
    ("/pending", "cards that wait for a decision"),
    ("/approve ID", "yes to a card"),
    ("/deny ID", "no to a card"),
    ("/freeze", "no writes by anyone, over restarts, until /unfreeze"),
    ("/unfreeze", "writes again (admins)"),
    ("/history [turns]", "what this conversation remembers"),
    ("/forget [notes]", "forgets this conversation; with `notes` your notes"),
    ("/status", "how OpsBot itself is"),
    ("/whoami", "who OpsBot takes you for"),
    ("/pair [list | accept CODE NAME [role] | revoke NAME]", "who is known on chat platforms (admins)"),
    ("/model [NAME | default | pull NAME [HOST]]", "which models there are, and which one answers here"),
    ("/reload", "read config.toml again (admins)"),
    ("/version", "which build this is"),
];

/// Reads a slash command; none when `text` is not one.
///
/// # Errors
/// A sentence that says what is wrong and how the command is written.
pub fn parse(text: &str, specs: &[ToolSpec]) -> Option<Result<Command, String>> {
    let rest = text.trim().strip_prefix('/')?;
    let (name, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let rest = rest.trim();
    // "/check_up@opsbot" is how a platform writes a command in a group.
    let name = name.split('@').next().unwrap_or_default().to_ascii_lowercase().replace('-', "_");
    let id = |make: fn(String) -> Command, verb: &str| {
        if rest.is_empty() {
            Err(format!("say which card: /{verb} ID (/pending lists them)"))
        } else {
            Ok(make(rest.to_owned()))
        }
    };
    Some(match name.as_str() {
        "help" | "start" | "" => {
            Ok(Command::Help((!rest.is_empty()).then(|| rest.trim_start_matches('/').to_owned())))
        }
        "stop" | "cancel" => Ok(Command::Stop),
        "freeze" => Ok(Command::Freeze),
        "unfreeze" => Ok(Command::Unfreeze),
        "approve" => id(Command::Approve, "approve"),
        "deny" => id(Command::Deny, "deny"),
        "pending" => Ok(Command::Pending),
        "status" => Ok(Command::Status),
        "whoami" => Ok(Command::WhoAmI),
        "version" => Ok(Command::Version),
        "reload" => Ok(Command::Reload),
        "model" | "models" => model(rest).map(Command::Model),
        "pair" => pair(rest).map(Command::Pair),
        "history" => turns(rest).map(Command::History),
        "forget" => forget(rest).map(Command::Forget),
        // A note is written as it is spoken, without quotation marks.
        "remember" if let Some(call) = note(rest, specs) => Ok(Command::Tool(call)),
        name if let Some(wish) = command::parse(name, rest) => wish.map(Command::Alerts),
        name => match tool(name, specs) {
            Some(spec) => arguments(spec, rest).map(Command::Tool),
            None => Err(unknown(name, specs)),
        },
    })
}

/// The tool that is called `name`, or has it as its short name.
pub fn tool<'a>(name: &str, specs: &'a [ToolSpec]) -> Option<&'a ToolSpec> {
    let long = ALIASES.iter().find(|(short, _)| *short == name).map(|(_, long)| *long);
    specs.iter().find(|s| s.name == name).or_else(|| specs.iter().find(|s| Some(s.name) == long))
}

/// The short name of the tool `name`, if it has one; else its name.
pub fn short(name: &str) -> &str {
    ALIASES.iter().find(|(_, long)| *long == name).map_or(name, |(short, _)| short)
}

fn pair(text: &str) -> Result<Pair, String> {
    let words = split(text)?;
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["list"] => Ok(Pair::List),
        ["accept", code, person] => {
            Ok(Pair::Accept { code: (*code).to_owned(), person: (*person).to_owned(), role: None })
        }
        ["accept", code, person, role] => Ok(Pair::Accept {
            code: (*code).to_owned(),
            person: (*person).to_owned(),
            role: Some(role.parse()?),
        }),
        ["revoke", person] => Ok(Pair::Revoke { person: (*person).to_owned(), channel: None }),
        ["revoke", person, channel] => {
            Ok(Pair::Revoke { person: (*person).to_owned(), channel: Some(channel.parse()?) })
        }
        _ => Err("it is written /pair list, /pair accept CODE NAME [viewer|operator] or /pair revoke NAME; a name with \
                  a blank stands in quotes"
            .into()),
    }
}

fn model(text: &str) -> Result<ModelWish, String> {
    let words: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
    match words.as_slice() {
        [] => Ok(ModelWish::List),
        [word] if word == "list" => Ok(ModelWish::List),
        [word] if word == "default" => Ok(ModelWish::Default),
        [word, name] if word == "pull" => Ok(ModelWish::Pull { name: name.clone(), host: None }),
        [word, name, host] if word == "pull" => {
            Ok(ModelWish::Pull { name: name.clone(), host: Some(host.clone()) })
        }
        [name] if name != "pull" => Ok(ModelWish::Use(name.clone())),
        _ => Err("it is written /model, /model NAME, /model default or /model pull NAME [HOST]".into()),
    }
}

fn turns(text: &str) -> Result<usize, String> {
    let (usual, most) = TURNS;
    match text.parse() {
        Ok(turns) if (1..=most).contains(&turns) => Ok(turns),
        _ if text.is_empty() => Ok(usual),
        _ => Err(format!("it is written /history [turns], 1 to {most} turns")),
    }
}

fn forget(text: &str) -> Result<Forget, String> {
    match text.split_once("of ").map_or((text, ""), |(what, name)| (what.trim(), name.trim())) {
        ("", "") => Ok(Forget::Conversation),
        ("notes", "") => Ok(Forget::Notes),
        ("notes", name) => Ok(Forget::NotesOf(name.to_owned())),
        _ => Err("it is written /forget for this conversation, /forget notes for your notes, /forget_note ID for one"
            .into()),
    }
}

/// The note that `text` is, unless it names its arguments.
fn note(text: &str, specs: &[ToolSpec]) -> Option<ToolCall> {
    let spec = tool("remember", specs)?;
    let keyed =
        |word: &str| word.split_once('=').is_some_and(|(key, _)| spec.params.iter().any(|p| p.name == key));
    if text.is_empty() || text.split_whitespace().any(keyed) {
        return None;
    }
    let args = Map::from_iter([("text".to_owned(), Value::from(text))]);
    Some(ToolCall { tool: spec.name.to_owned(), args: spec.read_args(&Value::Object(args)).ok()? })
}

fn unknown(name: &str, specs: &[ToolSpec]) -> String {
    let near: Vec<_> =
        specs.iter().map(|s| s.name).filter(|n| n.contains(name) || name.contains(n)).collect();
    if near.is_empty() {
        format!("there is no command /{name}; /help lists them")
    } else {
        format!("there is no command /{name}; did you mean /{}?", near.join(" or /"))
    }
}

fn arguments(spec: &ToolSpec, text: &str) -> Result<ToolCall, String> {
    let mut args = Map::new();
    if let [Param { name, kind: ParamKind::Text, .. }] = spec.params.as_slice() {
        // Pasted text is taken as it is, with its lines and quotation marks.
        let text = text.strip_prefix(&format!("{name}=")).unwrap_or(text);
        let quoted = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).filter(|t| !t.contains('"'));
        args.insert((*name).to_owned(), quoted.unwrap_or(text).into());
        let args = spec
            .read_args(&Value::Object(args))
            .map_err(|e| format!("{e}. It is written {}", usage(spec)))?;
        return Ok(ToolCall { tool: spec.name.to_owned(), args });
    }
    let mut open = spec.params.iter().peekable();
    let tokens = match whole_text(spec, text) {
        Some(tokens) => tokens,
        None => split(text)?,
    };
    for (n, token) in tokens.iter().enumerate() {
        if let Some((key, value)) = token.split_once('=')
            && spec.params.iter().any(|p| p.name == key)
        {
            args.insert(key.to_owned(), value.into());
            continue;
        }
        let number = token.parse::<i64>().is_ok();
        while let Some(p) = open.peek() {
            let filled = args.contains_key(p.name);
            let skips = !p.required
                && match p.kind {
                    ParamKind::Integer { .. } => !number,
                    ParamKind::Service | ParamKind::Duration => {
                        number && spec.params.iter().any(|p| matches!(p.kind, ParamKind::Integer { .. }))
                    }
                    ParamKind::Choice(words) => !words.contains(&token.to_lowercase().as_str()),
                    ParamKind::Customer | ParamKind::Text => false,
                };
            if !filled && !skips {
                break;
            }
            open.next();
        }
        let Some(param) = open.next() else {
            return Err(format!("`{token}` is one argument too many: {}", usage(spec)));
        };
        let last_text = param.kind == ParamKind::Text && open.peek().is_none();
        let value = if last_text { tokens.get(n..).unwrap_or_default().join(" ") } else { token.clone() };
        args.insert(param.name.to_owned(), value.into());
        if last_text {
            break;
        }
    }
    let args =
        spec.read_args(&Value::Object(args)).map_err(|e| format!("{e}. It is written {}", usage(spec)))?;
    Ok(ToolCall { tool: spec.name.to_owned(), args })
}

/// Where a text comes first and only spans of time may follow (`/query_prometheus sum by (job) (up) 1h`), the text needs
/// no quotes: it ends where the spans begin.
fn whole_text(spec: &ToolSpec, text: &str) -> Option<Vec<String>> {
    let (first, rest) = spec.params.split_first()?;
    let fits = first.kind == ParamKind::Text
        && !rest.is_empty()
        && rest.iter().all(|param| param.kind == ParamKind::Duration);
    if !fits
        || text.is_empty()
        || text.starts_with(['"', '\''])
        || text.starts_with(&format!("{}=", first.name))
    {
        return None;
    }
    let mut words: Vec<&str> = text.split_whitespace().collect();
    let mut spans = Vec::new();
    while let [.., before, last] = words.as_slice() {
        let given = last.split_once('=').is_some_and(|(name, _)| rest.iter().any(|param| param.name == name));
        let plain = last.starts_with(|c: char| c.is_ascii_digit())
            && last.ends_with(['s', 'm', 'h', 'd'])
            && last.chars().all(|c| c.is_ascii_digit() || "smhd".contains(c))
            && !before.eq_ignore_ascii_case("offset");
        if spans.len() == rest.len() || !(given || plain) {
            break;
        }
        spans.push((*last).to_owned());
        words.pop();
    }
    spans.push(words.join(" "));
    spans.reverse();
    Some(spans)
}

fn split(text: &str) -> Result<Vec<String>, String> {
    let mut tokens = Vec::new();
    let mut token = String::new();
    let mut quote = None;
    let mut begun = false;
    for c in text.chars() {
        match (quote, c) {
            (None, '"' | '\'') if token.is_empty() || token.ends_with('=') => {
                quote = Some(c);
                begun = true;
            }
            (Some(q), c) if c == q => quote = None,
            (None, c) if c.is_whitespace() => {
                if begun {
                    tokens.push(std::mem::take(&mut token));
                }
                begun = false;
            }
            (_, c) => {
                token.push(c);
                begun = true;
            }
        }
    }
    if quote.is_some() {
        return Err("a quotation mark is not closed".into());
    }
    if begun {
        tokens.push(token);
    }
    Ok(tokens)
}

/// How a tool's command is written: `/get_recent_logs <customer_id> [service] [lines]`.
pub fn usage(spec: &ToolSpec) -> String {
    let mut text = format!("/{}", spec.name);
    for Param { name, required, .. } in &spec.params {
        let (open, close) = if *required { ('<', '>') } else { ('[', ']') };
        text.push_str(&format!(" {open}{name}{close}"));
    }
    text
}

/// The command that makes this very call.
pub fn command_for(call: &ToolCall) -> String {
    let mut text = format!("/{}", call.tool);
    for (name, _) in &call.args.0 {
        let value = call.args.text(name).unwrap_or_default();
        let bare = !NAMED.contains(&call.tool.as_str())
            && !value.is_empty()
            && !value.contains(|c: char| c.is_whitespace() || c == '"' || c == '=');
        text.push_str(&if bare { format!(" {value}") } else { format!(" {name}=\"{value}\"") });
    }
    text
}

/// Rows for `/help`: the command and what it does.
pub fn help(specs: &[ToolSpec]) -> Vec<Vec<String>> {
    let tools = specs.iter().map(|s| {
        let mark = match s.floor.max(s.default) {
            Risk::Safe => "",
            Risk::Confirm | Risk::TwoPerson => " (asks first)",
            Risk::Blocked => " (always refused)",
        };
        let short = ALIASES.iter().find(|(_, long)| *long == s.name);
        let short = short.map_or(String::new(), |(short, _)| format!(" (short: /{short})"));
        vec![usage(s), format!("{}{mark}{short}", s.summary)]
    });
    tools.chain(written().map(|(c, what)| vec![c.to_owned(), what.to_owned()])).collect()
}

fn written() -> impl Iterator<Item = (&'static str, &'static str)> {
    STEERING.iter().chain(&command::USAGE).copied()
}

/// The commands that steer the bot: name, how it is written and what it does, in the order of `/help`.
pub fn steering() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    written()
        .filter_map(|(usage, what)| Some((usage.split_whitespace().next()?.strip_prefix('/')?, usage, what)))
}

/// One tool's parameters for `/help NAME`.
pub fn help_for(spec: &ToolSpec) -> Vec<Vec<String>> {
    spec.params
        .iter()
        .map(|p| {
            let kind = match &p.kind {
                ParamKind::Customer => "customer's id, name or alias".to_owned(),
                ParamKind::Service => "service".to_owned(),
                ParamKind::Text => "text".to_owned(),
                ParamKind::Integer { min, max } => format!("{min} to {max}"),
                ParamKind::Duration => "time span, as 15m or 2h".to_owned(),
                ParamKind::Choice(words) => words.join(" or "),
            };
            let need = if p.required { "needed" } else { "optional" };
            vec![p.name.to_owned(), kind, need.to_owned(), p.help.to_owned()]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn specs() -> Vec<ToolSpec> {
        let param = |name, kind, required| Param { name, kind, required, help: "" };
        vec![ToolSpec {
            name: "get_recent_logs",
            summary: "Logs",
            params: vec![
                param("customer_id", ParamKind::Customer, true),
                param("service", ParamKind::Service, false),
                param("lines", ParamKind::Integer { min: 1, max: 500 }, false),
                param("since", ParamKind::Duration, false),
                param("filter", ParamKind::Text, false),
            ],
            floor: Risk::Safe,
            default: Risk::Safe,
            phrases: &[],
            untrusted: true,
            timeout: Duration::from_secs(1),
        }]
    }

    #[test]
    fn a_text_before_spans_needs_no_quotes() {
        let param = |name, kind, required| Param { name, kind, required, help: "" };
        let span = ParamKind::Duration;
        let params = vec![
            param("query", ParamKind::Text, true),
            param("range", span.clone(), false),
            param("step", span, false),
        ];
        let query = ToolSpec { name: "query", params, ..specs().remove(0) };
        let table = [
            ("up", json!({"query": "up"})),
            (
                "sum by (job) (up{a=\"b c\"}) 1h",
                json!({"query": "sum by (job) (up{a=\"b c\"})", "range": "1h"}),
            ),
            ("rate(up[5m]) 1h30m 1m", json!({"query": "rate(up[5m])", "range": "1h30m", "step": "1m"})),
            ("up == 0 range=2h", json!({"query": "up == 0", "range": "2h"})),
            ("up offset 5m", json!({"query": "up offset 5m"})),
            ("up > 5", json!({"query": "up > 5"})),
            ("'up == 0' 1h", json!({"query": "up == 0", "range": "1h"})),
        ];
        for (text, want) in table {
            let Some(Ok(Command::Tool(call))) =
                parse(&format!("/query {text}"), std::slice::from_ref(&query))
            else {
                panic!("{text} is no call")
            };
            assert_eq!(Value::Object(call.args.0), want, "{text}");
        }
    }

    #[test]
    fn arguments_go_by_place_by_name_and_by_kind() {
        let table = [
            ("/get_recent_logs 19", json!({"customer_id": "19"})),
            (
                "/get-recent-logs@opsbot 19 web 100",
                json!({"customer_id": "19", "service": "web", "lines": 100}),
            ),
            ("/get_recent_logs 19 100", json!({"customer_id": "19", "lines": 100})),
            (
                "/get_recent_logs 19 filter=\"two words\" web",
                json!({"customer_id": "19", "filter": "two words", "service": "web"}),
            ),
            (
                "/get_recent_logs 'Nordwind Bakery' web 5 1h connection refused",
                json!({"customer_id": "Nordwind Bakery", "service": "web", "lines": 5, "since": "1h", "filter": "connection refused"}),
            ),
        ];
        for (text, want) in table {
            match parse(text, &specs()) {
                Some(Ok(Command::Tool(call))) => assert_eq!(Value::Object(call.args.0), want, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_tool_of_one_text_takes_what_was_pasted_as_it_is() {
        let text = Param { name: "text", kind: ParamKind::Text, required: true, help: "" };
        let spec = ToolSpec { name: "explain_error", params: vec![text], ..specs().remove(0) };
        let paste = "[error] \"GET /\n  it's line=2";
        let table = [(paste, paste), ("\"two words\"", "two words"), ("text=\"two words\"", "two words")];
        for (typed, want) in table {
            let read = parse(&format!("/explain_error {typed}"), std::slice::from_ref(&spec));
            let Some(Ok(Command::Tool(call))) = read else { panic!("{typed}: {read:?}") };
            assert_eq!(call.args.text("text").as_deref(), Some(want));
        }
        assert!(matches!(parse("/explain_error", std::slice::from_ref(&spec)), Some(Err(_))));
    }

    #[test]
    fn wrong_commands_say_what_to_write() {
        let table = [
            ("/get_recent_logs", "`customer_id` is missing"),
            ("/get_recent_logs 19 web 900", "1 to 500"),
            ("/logs 19", "did you mean /get_recent_logs"),
            ("/nonsense", "/help lists them"),
            ("/approve", "/pending"),
            ("/get_recent_logs \"19", "not closed"),
        ];
        for (text, part) in table {
            match parse(text, &specs()) {
                Some(Err(error)) => assert!(error.contains(part), "{text}: {error}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert_eq!(parse("what is /up?", &specs()), None);
        assert_eq!(parse("/STOP", &specs()), Some(Ok(Command::Stop)));
        let pull =
            |host: Option<&str>| ModelWish::Pull { name: "qwen3:4b".into(), host: host.map(str::to_owned) };
        for (text, want) in [
            ("/model", Some(ModelWish::List)),
            ("/models ", Some(ModelWish::List)),
            ("/model default", Some(ModelWish::Default)),
            ("/model qwen3:4b", Some(ModelWish::Use("qwen3:4b".into()))),
            ("/model pull qwen3:4b", Some(pull(None))),
            ("/model pull qwen3:4b eu1", Some(pull(Some("eu1")))),
            ("/model pull", None),
            ("/model a b", None),
        ] {
            let got = parse(text, &specs()).unwrap().ok();
            assert_eq!(got, want.map(Command::Model), "{text}");
        }
    }

    #[test]
    fn a_suggested_command_reads_back_as_the_same_call() {
        let Some(Ok(Command::Tool(call))) = parse("/get_recent_logs \"a b\" web 5", &specs()) else {
            panic!()
        };
        assert_eq!(parse(&command_for(&call), &specs()), Some(Ok(Command::Tool(call))));
    }
}
