//! `[model]` and `[[model.host]]`: the model and where it is served.

use std::time::Duration;

use serde::Serialize;

use super::{
    CallStyle, Dialect, ModelConfig, Secret,
    check::{HOUR, LEAST, choice, http_url},
    people,
    reader::Reader,
};

/// What `[model]` itself is called among several hosts.
const MAIN: &str = "main";
const DIALECTS: [(&str, Dialect); 2] = [("ollama", Dialect::Ollama), ("openai", Dialect::Openai)];
/// Questions that a host may be asked at once.
const MOST_PARALLEL: i64 = 64;

/// `[[model.host]]`: a further host, asked when those before it fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelHost {
    /// Its name in answers and figures.
    pub name: String,
    /// The server's protocol.
    pub dialect: Dialect,
    /// The server's address, no slash at the end.
    pub url: String,
    /// The server's bearer token.
    pub token: Option<Secret>,
    /// How many questions it is asked at once.
    pub parallel: usize,
}

impl ModelConfig {
    /// All hosts in the order in which they are asked; `[model]` itself is the first.
    pub fn all_hosts(&self) -> Vec<ModelHost> {
        let main = ModelHost {
            name: MAIN.to_owned(),
            dialect: self.dialect,
            url: self.url.clone(),
            token: self.token.clone(),
            parallel: self.parallel,
        };
        std::iter::once(main).chain(self.hosts.iter().cloned()).collect()
    }
}

/// `[model]`.
pub(super) fn model(r: &mut Reader<'_>) -> Option<ModelConfig> {
    let dialect = r.parsed("dialect", |t| choice(t, &DIALECTS)).unwrap_or(Dialect::Ollama);
    let url = r.parsed("url", http_url);
    let url = match dialect {
        Dialect::Ollama if !r.has("url") => Some("http://127.0.0.1:11434".to_owned()),
        _ => r.need("url", url, "write the server's address, such as \"http://127.0.0.1:8080\""),
    };
    let name = r.string("name");
    let name = r.need("name", name, "write the model's name, such as \"mistral:7b\"");
    let num_ctx = r.integer("num_ctx", 2048, 131_072).unwrap_or(8192);
    let styles =
        [("auto", CallStyle::Auto), ("native", CallStyle::Native), ("constrained", CallStyle::Constrained)];
    let max_tokens = r.integer("max_tokens", 16, 65_536).unwrap_or(1024);
    if max_tokens * 2 > num_ctx {
        let text = format!("{max_tokens} leaves too little of num_ctx ({num_ctx}); at most half of it");
        r.bad(if r.has("max_tokens") { "max_tokens" } else { "num_ctx" }, text);
    }
    let seconds = Duration::from_secs;
    let model = ModelConfig {
        dialect,
        url: url.unwrap_or_default(),
        name: name.clone().unwrap_or_default(),
        num_ctx: num_ctx.unsigned_abs(),
        keep_alive: keep_alive(r).unwrap_or_else(|| "-1".to_owned()),
        think: r.flag("think").unwrap_or(false),
        mode: r.parsed("mode", |t| choice(t, &styles)).unwrap_or(CallStyle::Auto),
        deadline: r.duration("deadline", LEAST, HOUR).unwrap_or(seconds(120)),
        first_token: r.duration("first_token", LEAST, HOUR).unwrap_or(seconds(60)),
        load_timeout: r.duration("load_timeout", LEAST, 6 * HOUR).unwrap_or(seconds(600)),
        idle: r.duration("idle", LEAST, HOUR).unwrap_or(seconds(30)),
        max_tokens: max_tokens.unsigned_abs(),
        temperature: r.number("temperature", 0.0, 2.0).unwrap_or(0.0),
        token: r.secret("token"),
        parallel: parallel(r),
        hosts: hosts(r, dialect),
    };
    name.map(|_| model)
}

/// Ollama's notation in one spelling: `-1` for ever (whatever is negative), `0`, else a number with its unit.
fn keep_alive(r: &mut Reader<'_>) -> Option<String> {
    let text = r.word_or_number("keep_alive")?;
    let unsigned = text.strip_prefix('-').unwrap_or(&text);
    let digits = unsigned.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = unsigned.strip_prefix(digits).unwrap_or_default();
    match (digits.parse::<u32>(), unit) {
        (Ok(0), "" | "s" | "m" | "h") => Some("0".to_owned()),
        (Ok(_), "" | "s" | "m" | "h") if text.starts_with('-') => Some("-1".to_owned()),
        (Ok(n), "" | "s") => Some(format!("{n}s")),
        (Ok(n), "m" | "h") => Some(format!("{n}{unit}")),
        _ => {
            let cure = "\"-1\" for ever, \"0\" unload at once, or a time such as \"30m\"";
            r.bad("keep_alive", format!("`{text}` is not a time; {cure}"));
            None
        }
    }
}

fn parallel(r: &mut Reader<'_>) -> usize {
    r.integer("parallel", 1, MOST_PARALLEL).and_then(|n| usize::try_from(n).ok()).unwrap_or(1)
}

fn hosts(r: &mut Reader<'_>, dialect: Dialect) -> Vec<ModelHost> {
    let mut taken = people::Taken::default();
    let hosts = r.tables("host", |r| {
        let name = r.parsed("name", |text| match people::plain_name(text)? {
            name if name.eq_ignore_ascii_case(MAIN) => {
                Err(format!("`{MAIN}` is what [model] itself is called"))
            }
            name => Ok(name),
        });
        let name = r.need("name", name, "name the host as answers shall call it");
        taken.claim(r, "name", name.as_deref());
        let dialect = r.parsed("dialect", |t| choice(t, &DIALECTS)).unwrap_or(dialect);
        let url = r.parsed("url", http_url);
        let url = r.need("url", url, "write the server's address, such as \"http://10.0.0.2:11434\"");
        let (token, parallel) = (r.secret("token"), parallel(r));
        Some(ModelHost { name: name?, dialect, url: url?, token, parallel })
    });
    hosts.into_iter().flatten().collect()
}
