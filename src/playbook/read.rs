//! From a file's text to a playbook, or to everything that is wrong with it, each with its line.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use toml_edit::{Document, Item, TableLike};

use super::{CUSTOMER, Playbook, Problem, Step};
use crate::domain::{ParamKind, Risk, ToolSpec};

/// A run is watched by a person; what is longer is several playbooks.
const MOST_STEPS: usize = 30;
/// The keys of a whole playbook and of a step.
const KEYS: [&str; 5] = ["name", "description", "on_alert", "params", "step"];
const STEP_KEYS: [&str; 3] = ["id", "tool", "args"];

/// Reads a playbook and checks it against the tools of this build.
///
/// # Errors
/// All that is wrong with it.
pub fn read(file: &str, text: &str, specs: &[ToolSpec]) -> Result<Playbook, Vec<Problem>> {
    let mut page = Page { file, text, problems: vec![] };
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(error) => {
            page.bad(error.span(), error.message());
            return Err(page.problems);
        }
    };
    let table = document.as_table();
    page.only(table, &KEYS);
    let name = page.name(table, "name", None);
    let description = page.text(table, "description").unwrap_or_default();
    if description.contains('\n') || description.chars().count() > 200 {
        page.bad(span(table, "description"), "description is one sentence of at most 200 characters");
    }
    let for_customer = page.params(table);
    let on_alert = page.labels(table);
    let steps = page.steps(table, (specs, for_customer));
    let (Some(name), true) = (name, page.problems.is_empty()) else { return Err(page.problems) };
    Ok(Playbook { name, description, for_customer, steps, on_alert })
}

type Span = Option<std::ops::Range<usize>>;

/// The file, and what is wrong so far.
struct Page<'a> {
    file: &'a str,
    text: &'a str,
    problems: Vec<Problem>,
}

fn span(table: &dyn TableLike, key: &str) -> Span {
    table.get_key_value(key).and_then(|(key, item)| key.span().or_else(|| item.span()))
}

impl Page<'_> {
    fn bad(&mut self, at: Span, text: impl Into<String>) {
        let offset = at.map_or(0, |span| span.start);
        let line = 1 + self.text.bytes().take(offset).filter(|b| *b == b'\n').count();
        self.problems.push(Problem { file: self.file.to_owned(), line, text: text.into() });
    }

    fn only(&mut self, table: &dyn TableLike, known: &[&str]) {
        for (key, item) in table.iter().filter(|(key, _)| !known.contains(key)) {
            let at = span(table, key).or_else(|| item.span());
            self.bad(at, format!("`{key}` is not known here; a playbook has {}", known.join(", ")));
        }
    }

    fn text(&mut self, table: &dyn TableLike, key: &str) -> Option<String> {
        match table.get(key).map(|item| (item.as_str(), item.span())) {
            Some((Some(text), _)) if !text.trim().is_empty() => Some(text.trim().to_owned()),
            Some((_, at)) => {
                self.bad(at, format!("`{key}` must be a text that is not empty"));
                None
            }
            None => {
                self.bad(None, format!("`{key}` is missing"));
                None
            }
        }
    }

    /// A name of the playbook, or of a step that begins `at`.
    fn name(&mut self, table: &dyn TableLike, key: &str, at: Option<Span>) -> Option<String> {
        if let (Some(at), None) = (&at, table.get(key)) {
            self.bad(at.clone(), format!("`{key}` is missing in this step"));
            return None;
        }
        let name = self.text(table, key)?;
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if name.len() > 60 || !name.chars().all(good) {
            self.bad(
                span(table, key),
                format!("`{key}` must be lower-case letters, digits, - and _, at most 60, not {name:?}"),
            );
            return None;
        }
        Some(name)
    }

    /// Whether it takes a customer; no other parameter is known.
    fn params(&mut self, table: &dyn TableLike) -> bool {
        let Some(item) = table.get("params") else { return false };
        let Some(params) = item.as_table_like() else {
            self.bad(item.span(), "`params` must be tables: [params.customer_id]");
            return false;
        };
        let mut takes_customer = false;
        for (name, param) in params.iter() {
            let kind = param.as_table_like().and_then(|p| p.get("type")).and_then(Item::as_str);
            if (name, kind) == ("customer_id", Some("customer")) {
                takes_customer = true;
                if let Some(table) = param.as_table_like() {
                    self.only(table, &["type"]);
                }
            } else {
                let at = span(params, name).or_else(|| param.span());
                self.bad(at, "the one parameter that a playbook may have is [params.customer_id] with type = \"customer\"");
            }
        }
        takes_customer
    }

    fn labels(&mut self, table: &dyn TableLike) -> BTreeMap<String, String> {
        let Some(item) = table.get("on_alert") else { return BTreeMap::new() };
        let Some(labels) = item.as_table_like().filter(|t| !t.is_empty()) else {
            self.bad(item.span(), "`on_alert` holds the labels of an alert: { alertname = \"WebDown\" }");
            return BTreeMap::new();
        };
        let mut read = BTreeMap::new();
        for (name, value) in labels.iter() {
            match value.as_str() {
                Some(text) => drop(read.insert(name.to_owned(), text.to_owned())),
                None => self.bad(value.span(), format!("the label `{name}` must be a text")),
            }
        }
        read
    }

    fn steps(&mut self, table: &dyn TableLike, against: (&[ToolSpec], bool)) -> Vec<Step> {
        let Some(array) = table.get("step").and_then(Item::as_array_of_tables) else {
            self.bad(span(table, "step"), "there is no step; write at least one [[step]]");
            return vec![];
        };
        if array.len() > MOST_STEPS {
            self.bad(array.span(), format!("a playbook has at most {MOST_STEPS} steps"));
        }
        let mut steps: Vec<Step> = vec![];
        for table in array.iter().take(MOST_STEPS) {
            let Some(step) = self.step(table, table.span(), against) else { continue };
            if steps.iter().any(|s| s.id == step.id) {
                self.bad(span(table, "id"), format!("another step has the id `{}` already", step.id));
            }
            steps.push(step);
        }
        steps
    }

    fn step(
        &mut self,
        table: &dyn TableLike,
        at: Span,
        (specs, for_customer): (&[ToolSpec], bool),
    ) -> Option<Step> {
        self.only(table, &STEP_KEYS);
        let id = self.name(table, "id", Some(at.clone()));
        let Some(tool) = table.get("tool").and_then(Item::as_str) else {
            self.bad(at, "`tool` is missing in this step: the name of a tool");
            return None;
        };
        let args = self.args(table, for_customer);
        match specs.iter().find(|s| s.name == tool) {
            Some(spec) if spec.floor == Risk::Blocked => {
                self.bad(span(table, "tool"), format!("OpsBot never runs `{tool}`, in a playbook neither"));
            }
            Some(spec) => self.fits(spec, &args, table),
            None => {
                let text =
                    format!("there is no tool `{tool}` that a playbook may call; /help lists the tools");
                self.bad(span(table, "tool"), text);
            }
        }
        Some(Step { id: id?, tool: tool.to_owned(), args })
    }

    fn args(&mut self, table: &dyn TableLike, for_customer: bool) -> Map<String, Value> {
        let Some(item) = table.get("args") else { return Map::new() };
        let Some(args) = item.as_table_like() else {
            self.bad(item.span(), "`args` must be a table: { service = \"web\" }");
            return Map::new();
        };
        let mut read = Map::new();
        for (name, item) in args.iter() {
            let value = match (item.as_str(), item.as_integer()) {
                (Some(text), _) => {
                    let rest = text.replace(CUSTOMER, "");
                    if rest.contains(['{', '}']) || (rest.len() < text.len() && !for_customer) {
                        let text = format!(
                            "in {text:?} only {CUSTOMER} may stand in braces, and only with [params.customer_id]"
                        );
                        self.bad(item.span(), text);
                    }
                    Value::from(text)
                }
                (None, Some(number)) => Value::from(number),
                (None, None) => {
                    self.bad(item.span(), format!("the argument `{name}` must be a text or a whole number"));
                    continue;
                }
            };
            read.insert(name.to_owned(), value);
        }
        read
    }

    /// Whether the tool takes these arguments; what stands for the customer fits where a customer or a text goes.
    fn fits(&mut self, spec: &ToolSpec, args: &Map<String, Value>, table: &dyn TableLike) {
        if let Err(error) = spec.read_args(&Value::Object(args.clone())) {
            self.bad(span(table, "args").or_else(|| span(table, "tool")), error);
        }
        for param in &spec.params {
            let given = args.get(param.name).and_then(Value::as_str);
            if param.kind == ParamKind::Customer && given.is_some_and(|text| text != CUSTOMER) {
                let text = format!(
                    "`{}` must be \"{CUSTOMER}\": a playbook works for the customer of its run",
                    param.name
                );
                self.bad(span(table, "args"), text);
            }
        }
    }
}
