//! Labels and annotations as they come in: cleaned, and cut so that no source can fill memory or a card.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

use crate::domain::{Labels, Untrusted};

/// The most labels that are kept of one alert; beside them stands what says that there were more.
const MOST_LABELS: usize = 64;
const LONGEST_NAME: usize = 200;
const LONGEST_VALUE: usize = 1024;
const MOST_ANNOTATIONS: usize = 16;
const LONGEST_ANNOTATION: usize = 4096;
/// Labels that are kept however many there are, since rules and cards read them.
const FIRST_LABELS: [&str; 8] =
    ["alertname", "customer", "host", "instance", "job", "name", "service", "severity"];
const FIRST_ANNOTATIONS: [&str; 5] = ["description", "message", "runbook_url", "summary", "title"];
/// Says how many were left out, and holds a digest of them, so that different alerts stay different.
const LEFT_OUT: &str = "opsbot_left_out";

/// The labels of an alert.
#[derive(Debug, Default)]
pub(super) struct LabelSet(pub(super) Labels);

/// The annotations of an alert.
#[derive(Debug, Default)]
pub(super) struct Annotations(pub(super) Labels);

impl<'de> Deserialize<'de> for LabelSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut kept = Kept::new(MOST_LABELS, &FIRST_LABELS);
        deserializer.deserialize_any(Pairs(|name: &str, value: &str| {
            // A label without a value is one that is not there, as Prometheus has it.
            if !value.is_empty() {
                kept.add(told_apart(name, LONGEST_NAME), told_apart(value, LONGEST_VALUE));
            }
        }))?;
        let mut labels = kept.done();
        labels.retain(|_, value| !value.is_empty());
        Ok(Self(labels))
    }
}

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut kept = Kept::new(MOST_ANNOTATIONS, &FIRST_ANNOTATIONS);
        deserializer.deserialize_any(Pairs(|name: &str, value: &str| {
            kept.add(told_apart(name, LONGEST_NAME), cleaned(value, LONGEST_ANNOTATION));
        }))?;
        Ok(Self(kept.done()))
    }
}

/// A text of the body, borrowed where it holds no escapes.
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text in quotes")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Read)
    }
}

/// Hands each pair of a JSON object to a function.
struct Pairs<F>(F);

impl<'de, F: FnMut(&str, &str)> Visitor<'de> for Pairs<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of names and texts")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, value)) = map.next_entry::<Text<'de>, Text<'de>>()? {
            (self.0)(&name.0, &value.0);
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Pairs up to a number; which ones are kept does not depend on the order in which they came.
struct Kept {
    most: usize,
    first: &'static [&'static str],
    pairs: Labels,
    left_out: (u64, u64),
}

impl Kept {
    fn new(most: usize, first: &'static [&'static str]) -> Self {
        Self { most, first, pairs: Labels::new(), left_out: (0, 0) }
    }

    fn add(&mut self, name: String, value: String) {
        self.pairs.insert(name, value);
        if self.pairs.len() <= self.most {
            return;
        }
        let last = self.pairs.keys().rev().find(|name| !self.first.contains(&name.as_str())).cloned();
        if let Some((name, value)) = last.and_then(|name| self.pairs.remove_entry(&name)) {
            let one = hash(&[name.as_bytes(), &[255], value.as_bytes()]);
            self.left_out = (self.left_out.0 + 1, self.left_out.1.wrapping_add(one));
        }
    }

    fn done(mut self) -> Labels {
        if let (count @ 1.., digest) = self.left_out {
            self.pairs.insert(LEFT_OUT.into(), format!("{count} ({digest:016x})"));
        }
        self.pairs
    }
}

/// Cleaned, and cut with a mark.
pub(super) fn cleaned(text: &str, most: usize) -> String {
    // Nearly all texts are plain ASCII: nothing in those has to be looked for character by character.
    if text.len() <= most && text.bytes().all(|b| matches!(b, b' '..=b'~' | b'\n' | b'\t')) {
        return text.to_owned();
    }
    Untrusted::new(text).cut(most).to_string()
}

/// As [`cleaned`], but what is cut off leaves its digest, so that different texts stay different.
fn told_apart(text: &str, most: usize) -> String {
    if text.len() <= most {
        return cleaned(text, most);
    }
    let digest = format!("{:016x}", hash(&[text.as_bytes()]));
    cleaned(text, most - digest.len()) + &digest
}

/// FNV-1a, 64 bit.
fn hash(parts: &[&[u8]]) -> u64 {
    parts.iter().copied().flatten().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(json: &str) -> Labels {
        serde_json::from_str::<LabelSet>(json).unwrap().0
    }

    #[test]
    fn foreign_labels_are_cleaned_and_those_without_a_value_are_none() {
        let table = [
            (r#"{"a":"b"}"#, vec![("a", "b")]),
            (r#"{"a":"", "b":"\u200b", "c":"1"}"#, vec![("c", "1")]),
            ("{\"a\":\"x\\u202ey\\u001b[31mz\"}", vec![("a", "xyz")]),
            (r#"{"service.name":"käse","a\u202eb":"1"}"#, vec![("ab", "1"), ("service.name", "käse")]),
            ("null", vec![]),
        ];
        for (json, want) in table {
            let got = labels(json);
            let got: Vec<_> = got.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            assert_eq!(got, want, "{json}");
        }
    }

    #[test]
    fn ten_thousand_labels_become_a_few_and_different_ones_stay_different() {
        let many = |order: &dyn Fn(usize) -> usize, odd: usize| {
            let pair =
                |n: usize| format!(r#""l{n:05}":"{}""#, if n == odd { "odd".into() } else { n.to_string() });
            let all: Vec<_> = (0..10_000).map(|n| pair(order(n))).collect();
            labels(&format!(r#"{{{},"severity":"critical","alertname":"Many"}}"#, all.join(",")))
        };
        let usual = many(&|n| n, 10_001);
        assert_eq!(usual.len(), MOST_LABELS + 1);
        assert_eq!((usual["alertname"].as_str(), usual["severity"].as_str()), ("Many", "critical"));
        assert!(usual[LEFT_OUT].starts_with("9938 ("), "{}", usual[LEFT_OUT]);
        assert_eq!(usual, many(&|n| 9_999 - n, 10_001), "their order means nothing");
        assert_ne!(usual, many(&|n| n, 9_000), "what is left out counts");
    }

    #[test]
    fn a_cut_is_marked_and_different_texts_stay_different() {
        let long = |last: &str| {
            let set = labels(&format!(r#"{{"a":"{}{last}","{}":"1"}}"#, "ä".repeat(2000), "n".repeat(300)));
            let name = set.keys().find(|name| name.starts_with("nnn")).unwrap();
            assert!(name.len() <= LONGEST_NAME && name.contains('…'), "{name}");
            set["a"].clone()
        };
        assert!(long("x").len() <= LONGEST_VALUE && long("x").contains("ä…"));
        assert_ne!(long("x"), long("y"));
        let many: Vec<_> = (0..30).map(|n| format!(r#""a{n:02}":"{}""#, "x".repeat(5000))).collect();
        let json = format!(r#"{{{},"summary":"s"}}"#, many.join(","));
        let kept = serde_json::from_str::<Annotations>(&json).unwrap().0;
        assert_eq!(kept.len(), MOST_ANNOTATIONS + 1);
        assert!(
            kept["summary"] == "s" && kept["a00"].len() <= LONGEST_ANNOTATION && kept["a00"].ends_with('…')
        );
    }
}
