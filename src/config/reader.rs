//! Reads a TOML table key by key, notes every fault with its line, and refuses what nobody asked for.

use std::{cell::RefCell, collections::BTreeSet, path::PathBuf, time::Duration};

use toml_edit::{Item, TableLike, Value};

use super::{
    Env, Secret,
    errors::{Problem, nearest},
    secret::Origin,
};

/// The file that is read, and all that was found wrong with it.
pub(super) struct Page<'a> {
    /// The file's text.
    pub text: &'a str,
    /// The folder that relative paths start from.
    pub base: PathBuf,
    /// Where secrets and the home folder come from.
    pub env: &'a Env,
    /// What is wrong so far.
    pub problems: RefCell<Vec<Problem>>,
    /// Every key path that was asked for: the keys that exist.
    pub known: RefCell<BTreeSet<String>>,
}

impl Page<'_> {
    /// The line of a byte offset, counted from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        1 + self.text.bytes().take(offset).filter(|b| *b == b'\n').count()
    }

    fn bad(&self, line: usize, key: &str, text: String) {
        self.problems.borrow_mut().push(Problem { line: Some(line), key: key.to_owned(), text });
    }

    /// A path of the file, relative ones made absolute, `~/` being the home folder.
    pub(super) fn path(&self, text: &str) -> PathBuf {
        match (text.strip_prefix("~/"), self.env.home()) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => self.base.join(text),
        }
    }
}

/// One table that is being read.
pub(super) struct Reader<'a> {
    page: &'a Page<'a>,
    table: &'a dyn TableLike,
    path: String,
    line: usize,
    known: Vec<&'static str>,
    forbidden: Vec<&'static str>,
}

/// One value, with the place that it stands in.
struct Spot<'a> {
    item: &'a Item,
    line: usize,
    path: String,
}

impl<'a> Reader<'a> {
    /// Reads a whole file; keys that `read` does not ask for are noted as unknown.
    pub(super) fn whole<T>(
        page: &'a Page<'a>,
        table: &'a dyn TableLike,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        Self::section(page, table, (String::new(), 1), read)
    }

    fn section<T>(
        page: &'a Page<'a>,
        table: &'a dyn TableLike,
        (path, line): (String, usize),
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let mut reader = Self { page, table, path, line, known: Vec::new(), forbidden: Vec::new() };
        let value = read(&mut reader);
        reader.refuse_the_rest();
        value
    }

    fn refuse_the_rest(&self) {
        for (key, _) in
            self.table.iter().filter(|(key, _)| !self.known.contains(key) && !self.forbidden.contains(key))
        {
            let text = match nearest(key, &self.known) {
                Some(word) => format!("there is no such key; did you mean `{word}`?"),
                None => format!("there is no such key; known here: {}", self.known.join(", ")),
            };
            self.bad(key, text);
        }
    }

    fn key_path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn line_of(&self, key: &str) -> usize {
        let spans = self.table.get_key_value(key).map(|(k, item)| k.span().or_else(|| item.span()));
        spans.flatten().map_or(self.line, |span| self.page.line(span.start))
    }

    fn spot(&mut self, key: &'static str) -> Option<Spot<'a>> {
        let path = self.key_path(key);
        self.page.known.borrow_mut().insert(path.clone());
        self.known.push(key);
        let item = self.table.get(key)?;
        Some(Spot { item, line: self.line_of(key), path })
    }

    fn fault<T>(&self, spot: &Spot<'_>, text: String) -> Option<T> {
        self.page.bad(spot.line, &spot.path, text);
        None
    }

    /// The file's surroundings.
    pub(super) fn page(&self) -> &'a Page<'a> {
        self.page
    }

    /// The line that this table begins in.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    /// Whether the key stands there, rightly or wrongly filled.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Notes a fault of `key` (at the table's first line when the key is absent).
    pub(super) fn bad(&self, key: &str, text: impl Into<String>) {
        self.page.bad(self.line_of(key), &self.key_path(key), text.into());
    }

    /// Notes that a key is needed, unless it is there (a wrong value was noted already).
    pub(super) fn need<T>(&self, key: &str, got: Option<T>, cure: &str) -> Option<T> {
        if got.is_none() && !self.has(key) {
            self.bad(key, format!("is missing; {cure}"));
        }
        got
    }

    /// A text, read by `read`, whose error says what would be right.
    pub(super) fn parsed<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let spot = self.spot(key)?;
        let Some(text) = spot.item.as_str() else {
            return self.fault(&spot, format!("must be text in quotes, not {}", kind(spot.item)));
        };
        read(text).map_or_else(|e| self.fault(&spot, e), Some)
    }

    /// A text that is not blank.
    pub(super) fn string(&mut self, key: &'static str) -> Option<String> {
        self.parsed(key, filled)
    }

    /// A whole number in these bounds.
    pub(super) fn integer(&mut self, key: &'static str, min: i64, max: i64) -> Option<i64> {
        let spot = self.spot(key)?;
        let Some(n) = spot.item.as_integer() else {
            return self
                .fault(&spot, format!("must be a whole number without quotes, not {}", kind(spot.item)));
        };
        match within(n, min, max) {
            Ok(n) => Some(n),
            Err(text) if max == i64::MAX => {
                self.fault(&spot, text.replace(&format!(" to {max}"), " or more"))
            }
            Err(text) => self.fault(&spot, text),
        }
    }

    /// A number in these bounds.
    pub(super) fn number(&mut self, key: &'static str, min: f64, max: f64) -> Option<f64> {
        let spot = self.spot(key)?;
        let got = spot.item.as_float().or_else(|| spot.item.as_integer().map(|n| n as f64));
        match got {
            Some(n) if n >= min && n <= max => Some(n),
            Some(n) => self.fault(&spot, format!("{n} is out of range; {min} to {max}")),
            None => self.fault(&spot, format!("must be a number, not {}", kind(spot.item))),
        }
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let spot = self.spot(key)?;
        let got = spot.item.as_bool();
        if got.is_none() {
            return self.fault(&spot, format!("must be true or false, not {}", kind(spot.item)));
        }
        got
    }

    /// A span of time (`"90s"`, `"5m"`, `"1h30m"`) in these bounds.
    pub(super) fn duration(&mut self, key: &'static str, min: Duration, max: Duration) -> Option<Duration> {
        if self.table.get(key).is_some_and(Item::is_integer) {
            self.spot(key);
            self.bad(key, "needs a unit, in quotes: \"5s\", \"2m\", \"1h30m\"");
            return None;
        }
        self.parsed(key, |text| {
            let shape = "use a number with a unit: \"5s\", \"2m\", \"1h30m\"";
            let span: jiff::SignedDuration =
                text.trim().parse().map_err(|_| format!("`{text}` is not a span of time; {shape}"))?;
            let span = Duration::try_from(span).map_err(|_| format!("`{text}` is negative; {shape}"))?;
            within(span.as_millis(), min.as_millis(), max.as_millis()).map(|_| span).map_err(|_| {
                let size = if span < min { "short" } else { "long" };
                format!("{} is too {size}; {} to {}", shown(span), shown(min), shown(max))
            })
        })
    }

    /// A list of texts, each read by `read`.
    pub(super) fn list<T>(&mut self, key: &'static str, read: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let Some(spot) = self.spot(key) else { return Vec::new() };
        let Some(array) = spot.item.as_array() else {
            self.bad(key, format!("must be a list of texts, not {}", kind(spot.item)));
            return Vec::new();
        };
        let mut good = Vec::new();
        for value in array {
            let line = value.span().map_or(spot.line, |span| self.page.line(span.start));
            match value.as_str().map(&read) {
                Some(Ok(item)) => good.push(item),
                Some(Err(text)) => self.page.bad(line, &spot.path, text),
                None => self.page.bad(line, &spot.path, "must hold only texts in quotes".into()),
            }
        }
        good
    }

    /// A list of whole numbers, each read by `read`.
    pub(super) fn integers<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(i64) -> Result<T, String>,
    ) -> Vec<T> {
        let Some(spot) = self.spot(key) else { return Vec::new() };
        let Some(array) = spot.item.as_array() else {
            self.bad(key, format!("must be a list of whole numbers, not {}", kind(spot.item)));
            return Vec::new();
        };
        let mut good = Vec::new();
        for value in array {
            let line = value.span().map_or(spot.line, |span| self.page.line(span.start));
            match value.as_integer().map(&read) {
                Some(Ok(item)) => good.push(item),
                Some(Err(text)) => self.page.bad(line, &spot.path, text),
                None => self.page.bad(line, &spot.path, "must hold only whole numbers without quotes".into()),
            }
        }
        good
    }

    /// A name that people also write as a bare number (`19` or `"19"`).
    pub(super) fn word_or_number(&mut self, key: &'static str) -> Option<String> {
        match self.table.get(key).and_then(Item::as_integer) {
            Some(n) => {
                self.spot(key);
                Some(n.to_string())
            }
            None => self.string(key),
        }
    }

    /// A secret: never in this file, only where it is to be found.
    pub(super) fn secret(&mut self, key: &'static str) -> Option<Secret> {
        let spot = self.spot(key)?;
        let cure = "use { file = \"PATH\" } (chmod 600), { env = \"NAME\" } or { credential = \"NAME\" }";
        let pairs: Vec<(&str, Option<&str>)> = match spot.item.as_table_like() {
            Some(table) => table.iter().map(|(k, v)| (k, v.as_str())).collect(),
            None => return self.fault(&spot, format!("a secret may not stand in this file; {cure}")),
        };
        let origin = match pairs.as_slice() {
            [("file", Some(path))] => Origin::File(self.page.path(path)),
            [("env", Some(name))] => Origin::Env((*name).to_owned()),
            [("credential", Some(name))] => Origin::Credential((*name).to_owned()),
            _ => return self.fault(&spot, format!("is no secret's place; {cure}")),
        };
        origin.fetch(self.page.env).map_or_else(|e| self.fault(&spot, e), Some)
    }

    /// A table of free keys with short texts (`tier = "gold"`).
    pub(super) fn texts(&mut self, key: &'static str) -> Vec<(String, String)> {
        let Some(spot) = self.spot(key) else { return Vec::new() };
        let Some(table) = spot.item.as_table_like() else {
            self.bad(key, format!("must be a table, not {}", kind(spot.item)));
            return Vec::new();
        };
        let mut good = Vec::new();
        for (name, item) in table.iter() {
            let text = item.as_str().map(str::to_owned).or_else(|| item.as_integer().map(|n| n.to_string()));
            match text {
                Some(text) => good.push((name.to_owned(), text)),
                None => self.page.bad(
                    spot.line,
                    &format!("{}.{name}", spot.path),
                    format!("must be text in quotes, not {}", kind(item)),
                ),
            }
        }
        good
    }

    /// A table of its own (`[model]`).
    pub(super) fn table<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let spot = self.spot(key)?;
        match spot.item.as_table_like() {
            Some(table) => Some(Self::section(self.page, table, (spot.path, spot.line), read)),
            None if spot.item.is_array_of_tables() => {
                self.fault(&spot, format!("there is only one; write [{}], not [[{0}]]", spot.path))
            }
            None => self.fault(&spot, format!("must be a table, not {}", kind(spot.item))),
        }
    }

    /// A list of tables (`[[customer]]`), in the file's order.
    pub(super) fn tables<T>(&mut self, key: &'static str, mut read: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let Some(spot) = self.spot(key) else { return Vec::new() };
        let mut found: Vec<(&'a dyn TableLike, Option<usize>)> = Vec::new();
        match spot.item {
            Item::ArrayOfTables(tables) => {
                found.extend(tables.iter().map(|t| (t as _, t.span().map(|s| s.start))));
            }
            Item::Value(Value::Array(array)) if array.iter().all(Value::is_inline_table) => {
                let tables = array.iter().filter_map(Value::as_inline_table);
                found.extend(tables.map(|t| (t as _, t.span().map(|s| s.start))));
            }
            other => {
                let text = format!("there may be several; write [[{}]], not {}", spot.path, kind(other));
                self.bad(key, text);
            }
        }
        let place = |start: Option<usize>| start.map_or(spot.line, |s| self.page.line(s));
        found
            .into_iter()
            .map(|(t, start)| Self::section(self.page, t, (spot.path.clone(), place(start)), &mut read))
            .collect()
    }

    /// Refuses a key that people may expect here, with the reason.
    pub(super) fn forbid(&mut self, key: &'static str, why: &str) {
        self.forbidden.push(key);
        if self.has(key) {
            self.bad(key, why);
        }
    }

    /// Marks keys as known that somebody else reads.
    pub(super) fn allow(&mut self, keys: &[&'static str]) {
        for key in keys {
            self.spot(key);
        }
    }
}

/// A text that is not blank and holds no control characters, without the blanks around it.
pub(super) fn filled(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("is empty; fill it in or leave the key out".into());
    }
    if text.chars().any(char::is_control) {
        return Err("holds a control character".into());
    }
    Ok(text.to_owned())
}

/// A span of time as a config file writes it (`1m 30s` without the blank).
pub(super) fn shown(span: Duration) -> String {
    jiff::SignedDuration::try_from(span)
        .map_or_else(|_| format!("{span:?}"), |s| format!("{s:#}").replace(' ', ""))
}

fn within<N: PartialOrd + std::fmt::Display>(n: N, min: N, max: N) -> Result<N, String> {
    if n < min {
        return Err(format!("{n} is too small; {min} to {max}"));
    }
    if n > max {
        return Err(format!("{n} is too large; {min} to {max}"));
    }
    Ok(n)
}

fn kind(item: &Item) -> &'static str {
    match item {
        Item::None => "nothing",
        Item::Value(Value::String(_)) => "text",
        Item::Value(Value::Integer(_)) => "a whole number",
        Item::Value(Value::Float(_)) => "a number",
        Item::Value(Value::Boolean(_)) => "true or false",
        Item::Value(Value::Datetime(_)) => "a date",
        Item::Value(Value::Array(_)) => "a list",
        Item::Value(Value::InlineTable(_)) | Item::Table(_) => "a table",
        Item::ArrayOfTables(_) => "a list of tables",
    }
}
