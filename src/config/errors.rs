//! What is wrong with a config file: all of it at once, each with key, line and cure.

use std::{fmt, path::PathBuf};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, counted from 1; none when no line is to blame.
    pub line: Option<usize>,
    /// The key's path (`model.num_ctx`); empty when the whole file is meant.
    pub key: String,
    /// What is wrong and what to do.
    pub text: String,
}

/// Why no config came of a file (or of none); never empty. Shows one problem a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    /// The file that was read; none when there is none to read.
    pub file: Option<PathBuf>,
    /// All that is wrong, in the file's order.
    pub problems: Vec<Problem>,
}

impl ConfigErrors {
    /// One problem with no key and no line.
    pub(super) fn whole(file: Option<PathBuf>, text: impl Into<String>) -> Self {
        Self { file, problems: vec![Problem { line: None, key: String::new(), text: text.into() }] }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.problems.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            if let Some(file) = &self.file {
                write!(f, "{}:", file.display())?;
                if let Some(line) = problem.line {
                    write!(f, "{line}:")?;
                }
                write!(f, " ")?;
            }
            if !problem.key.is_empty() {
                write!(f, "{}: ", problem.key)?;
            }
            write!(f, "{}", problem.text)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// The word of `known` that `given` was most likely meant to be, if any is near.
pub(super) fn nearest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    let given = given.to_lowercase().replace('-', "_");
    known
        .iter()
        .map(|word| (distance(&given, word), *word))
        .filter(|(d, word)| *d <= 1 + word.chars().count() / 4)
        .min_by_key(|(d, _)| *d)
        .map(|(_, word)| word)
}

/// Levenshtein's distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, cb) in b.iter().enumerate() {
            let at = |row: &[usize], k: usize| row.get(k).copied().unwrap_or(usize::MAX / 2);
            let swap = at(&row, j) + usize::from(ca != *cb);
            next.push(swap.min(at(&row, j + 1) + 1).min(at(&next, j) + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_key_and_a_stranger_none() {
        let known = ["num_ctx", "keep_alive", "load_timeout", "url", "name"];
        let table = [
            ("num_ctxt", Some("num_ctx")),
            ("num-ctx", Some("num_ctx")),
            ("keepalive", Some("keep_alive")),
            ("timeout_load", None),
            ("URL", Some("url")),
            ("nmae", Some("name")),
            ("colour", None),
        ];
        for (given, want) in table {
            assert_eq!(nearest(given, &known), want, "{given}");
        }
    }

    #[test]
    fn each_problem_is_one_line_with_file_line_and_key() {
        let problem = |line, key: &str, text: &str| Problem { line, key: key.into(), text: text.into() };
        let errors = ConfigErrors {
            file: Some("config.toml".into()),
            problems: vec![
                problem(Some(12), "model.num_ctx", "100 is too small; 2048 to 131072"),
                problem(None, "", "odd"),
            ],
        };
        assert_eq!(
            errors.to_string(),
            "config.toml:12: model.num_ctx: 100 is too small; 2048 to 131072\nconfig.toml: odd"
        );
        assert_eq!(ConfigErrors::whole(None, "no config").to_string(), "no config");
    }
}
