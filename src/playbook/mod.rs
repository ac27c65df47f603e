//! Playbooks: TOML files with steps that are calls of tools, read as data and checked before anything may run.

mod read;

use std::{collections::BTreeMap, fmt, fs, io, path::Path};

use serde_json::{Map, Value};

use crate::domain::{Args, ToolCall, ToolSpec};

pub use read::read;

/// A larger file is no playbook.
const MOST_BYTES: u64 = 256 << 10;
/// More files than this in one folder are a mistake.
const MOST_FILES: usize = 200;

/// A task that comes back, as a list of steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Playbook {
    /// What it is called (`recover-web`): lower case, digits, `-`.
    pub name: String,
    /// What it does, in one sentence.
    pub description: String,
    /// Whether it is run for one customer.
    pub for_customer: bool,
    /// What it does, in this order.
    pub steps: Vec<Step>,
    /// The labels of an alert that it is suggested for; empty means for none.
    pub on_alert: BTreeMap<String, String>,
}

/// One step: a call of a tool.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its name within the playbook.
    pub id: String,
    /// The tool.
    pub tool: String,
    /// The arguments; `{customer_id}` in a text stands for the customer of the run.
    pub args: Map<String, Value>,
}

/// One thing that is wrong with a playbook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file's name.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.text)
    }
}

impl Playbook {
    /// The calls of a run for `customer`, by step.
    ///
    /// # Errors
    /// A sentence when the customer is missing, or given where none is taken.
    pub fn calls(&self, customer: Option<&str>) -> Result<Vec<(&Step, ToolCall)>, String> {
        match (self.for_customer, customer) {
            (true, None) => return Err(format!("{} is run for one customer: name it", self.name)),
            (false, Some(_)) => return Err(format!("{} is not run for a customer: leave it out", self.name)),
            (true, Some(_)) | (false, None) => {}
        }
        let filled = |value: &Value| match (value, customer) {
            (Value::String(text), Some(id)) => Value::from(text.replace(CUSTOMER, id)),
            (value, _) => value.clone(),
        };
        let call = |step: &Step| {
            let args = step.args.iter().map(|(name, value)| (name.clone(), filled(value))).collect();
            ToolCall { tool: step.tool.clone(), args: Args(args) }
        };
        Ok(self.steps.iter().map(|step| (step, call(step))).collect())
    }

    /// Whether it is suggested for an alert with these labels.
    pub fn answers(&self, labels: &BTreeMap<String, String>) -> bool {
        !self.on_alert.is_empty() && self.on_alert.iter().all(|(name, value)| labels.get(name) == Some(value))
    }
}

/// What stands for the customer of a run.
const CUSTOMER: &str = "{customer_id}";

/// All playbooks of a folder, and what is wrong with those that are left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Playbooks {
    all: Vec<Playbook>,
    problems: Vec<Problem>,
}

impl Playbooks {
    /// Reads all `*.toml` of `dir`, checked against the tools `specs`; one that is wrong is left out and told. A folder
    /// that does not exist has none.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn load(dir: &Path, specs: &[ToolSpec]) -> io::Result<Self> {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut files: Vec<_> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
        files.retain(|path| path.extension().is_some_and(|e| e == "toml"));
        files.sort();
        let mut playbooks = Self::default();
        for (n, path) in files.iter().enumerate() {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let text = match fs::metadata(path) {
                _ if n >= MOST_FILES => {
                    Err(format!("only the first {MOST_FILES} playbooks of a folder are read"))
                }
                Ok(meta) if meta.len() > MOST_BYTES => {
                    Err(format!("it is larger than {} KiB", MOST_BYTES >> 10))
                }
                _ => fs::read_to_string(path).map_err(|e| format!("it cannot be read ({e})")),
            };
            match text {
                Ok(text) => playbooks.add(&file, &text, specs),
                Err(text) => playbooks.problems.push(Problem { file, line: 1, text }),
            }
        }
        Ok(playbooks)
    }

    /// Adds the playbook that `text` holds, or what is wrong with it.
    pub fn add(&mut self, file: &str, text: &str, specs: &[ToolSpec]) {
        match read(file, text, specs) {
            Ok(new) if self.get(&new.name).is_some() => {
                let text = format!("another file has a playbook called `{}` already", new.name);
                self.problems.push(Problem { file: file.to_owned(), line: 1, text });
            }
            Ok(new) => self.all.push(new),
            Err(problems) => self.problems.extend(problems),
        }
    }

    /// All of them, by the names of their files.
    pub fn all(&self) -> &[Playbook] {
        &self.all
    }

    /// What is wrong with those that are left out.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The playbook called `name`.
    pub fn get(&self, name: &str) -> Option<&Playbook> {
        self.all.iter().find(|p| p.name == name)
    }

    /// The playbooks that are suggested for an alert with these labels.
    pub fn suggested<'a>(
        &'a self,
        labels: &'a BTreeMap<String, String>,
    ) -> impl Iterator<Item = &'a Playbook> + 'a {
        self.all.iter().filter(|p| p.answers(labels))
    }
}

#[cfg(test)]
mod tests;
