//! What a rule's condition compares with: exact words or globs, for tools, arguments and targets.

use std::{fmt, str::FromStr};

use globset::{GlobBuilder, GlobMatcher};
use serde::{Serialize, Serializer};

/// A word, or a glob (`*`, `?`, `[ab]`, `{a,b}`) over the whole of one.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    /// Absent for a plain word.
    glob: Option<GlobMatcher>,
}

impl Pattern {
    /// The text as configured.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it stands for itself only.
    pub fn is_word(&self) -> bool {
        self.glob.is_none()
    }

    /// Whether all of `text` fits.
    pub fn matches(&self, text: &str) -> bool {
        self.glob.as_ref().map_or(self.text == text, |g| g.is_match(text))
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim().is_empty() {
            return Err("an empty text matches nothing; remove it".into());
        }
        let glob = if text.contains(['*', '?', '[', '{']) {
            let glob = GlobBuilder::new(text).backslash_escape(true).build();
            Some(glob.map_err(|e| format!("`{text}` is not a glob: {}", e.kind()))?.compile_matcher())
        } else {
            None
        };
        Ok(Self { text: text.to_owned(), glob })
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&self.text)
    }
}

/// What a rule's `targets` may name.
#[derive(Clone, Debug, PartialEq)]
pub enum TargetPattern {
    /// `customer:19`
    Customer(Pattern),
    /// `service:db`
    Service(Pattern),
    /// `label:tier=gold`
    Label(String, Pattern),
    /// `container:shop-*`
    Container(Pattern),
    /// `host:local`
    Host(Pattern),
}

impl FromStr for TargetPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let cure = "write customer:ID, service:NAME, label:KEY=VALUE, container:GLOB or host:NAME";
        let (kind, rest) = text.split_once(':').ok_or_else(|| format!("target `{text}`: {cure}"))?;
        let pattern =
            |text: &str| text.parse::<Pattern>().map_err(|e| format!("target `{kind}:{rest}`: {e}"));
        match kind {
            "customer" => pattern(rest).map(Self::Customer),
            "service" => pattern(rest).map(Self::Service),
            "container" => pattern(rest).map(Self::Container),
            "host" => pattern(rest).map(Self::Host),
            "label" => match rest.split_once('=') {
                Some((key, value)) if !key.trim().is_empty() => {
                    pattern(value).map(|value| Self::Label(key.to_owned(), value))
                }
                _ => Err(format!("target `{text}`: write label:KEY=VALUE (label:KEY=* for any value)")),
            },
            _ => Err(format!("target `{text}`: {cure}")),
        }
    }
}

impl fmt::Display for TargetPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Customer(p) => write!(f, "customer:{p}"),
            Self::Service(p) => write!(f, "service:{p}"),
            Self::Label(key, p) => write!(f, "label:{key}={p}"),
            Self::Container(p) => write!(f, "container:{p}"),
            Self::Host(p) => write!(f, "host:{p}"),
        }
    }
}

impl Serialize for TargetPattern {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

/// What a rule asks of one argument.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ArgCond {
    /// The argument is one of these.
    OneOf(Vec<Pattern>),
    /// The argument is none of these.
    Not(Vec<Pattern>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_globs_match_the_whole_text() {
        let table = [
            ("restart_container", "restart_container", true),
            ("restart_container", "restart_container2", false),
            ("restart_*", "restart_container", true),
            ("*", "a/b c", true),
            ("{web,db}", "db", true),
            ("w?b", "web", true),
            ("Web", "web", false),
        ];
        for (pattern, text, want) in table {
            assert_eq!(pattern.parse::<Pattern>().unwrap().matches(text), want, "{pattern} on {text}");
        }
        for bad in ["", " ", "[a", "{a"] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn targets_are_read_and_printed_alike() {
        for text in ["customer:19", "service:db", "label:tier=gold", "container:shop-*", "host:local"] {
            assert_eq!(text.parse::<TargetPattern>().unwrap().to_string(), text);
        }
        for bad in ["19", "label:tier", "label:=x", "pod:x", "customer:", "container:[x"] {
            assert!(bad.parse::<TargetPattern>().is_err(), "{bad}");
        }
    }
}
