//! Takes secrets out of text before it reaches model, chat, log or audit: the exact ones that the configuration holds,
//! then well-known shapes, favouring recall.

use std::{borrow::Cow, collections::BTreeSet, fmt, sync::LazyLock};

use regex::{Captures, Regex, RegexBuilder};

/// What stands where a secret was.
pub const MARK: &str = "[redacted]";
/// Shorter ones would take ordinary words with them.
const LEAST: usize = 6;
/// How many spellings one expression holds, so that none grows past its size limit.
const CHUNK: usize = 64;

/// Knows the configured secrets; one for the whole program.
#[derive(Clone, Default)]
pub struct Redactor {
    exact: Vec<Regex>,
    /// Spellings too long for an expression.
    long: Vec<String>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").finish_non_exhaustive()
    }
}

impl Redactor {
    /// Takes the secrets' plain text; each is found as it is, percent-encoded, in JSON, in base64 at any offset and in
    /// hexadecimal. Those under 6 characters are left to the well-known shapes.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut spellings = BTreeSet::new();
        for secret in secrets {
            let secret = secret.trim();
            spell(secret, &mut spellings);
            // A key file's lines may show up one by one.
            if secret.contains('\n') {
                secret.lines().map(str::trim).filter(|l| !l.starts_with("-----")).for_each(|line| {
                    if line.len() >= 16 {
                        spell(line, &mut spellings);
                    }
                });
            }
        }
        let mut spellings: Vec<_> = spellings.into_iter().collect();
        // The longest first: an expression takes the first that fits.
        spellings.sort_by_key(|s| std::cmp::Reverse(s.len()));
        let mut redactor = Self::default();
        for chunk in spellings.chunks(CHUNK) {
            let pattern = chunk.iter().map(|s| regex::escape(s)).collect::<Vec<_>>().join("|");
            match RegexBuilder::new(&pattern).size_limit(64 << 20).build() {
                Ok(regex) => redactor.exact.push(regex),
                Err(_) => redactor.long.extend(chunk.iter().cloned()),
            }
        }
        redactor
    }

    /// Also takes out whatever these regular expressions match.
    ///
    /// # Errors
    /// The first one that does not compile, or is too large.
    pub fn with_patterns(mut self, patterns: &[String]) -> Result<Self, String> {
        for pattern in patterns {
            let regex = RegexBuilder::new(pattern).size_limit(1 << 20).build().map_err(|e| e.to_string())?;
            self.exact.push(regex);
        }
        Ok(self)
    }

    /// The text without secrets; borrowed when nothing in it looks like one. Takes time linear in the text.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut out = Cow::Borrowed(text);
        for secret in &self.long {
            if out.contains(secret) {
                out = Cow::Owned(out.replace(secret, MARK));
            }
        }
        for regex in &self.exact {
            out = then(out, |text| regex.replace_all(text, MARK));
        }
        for shape in SHAPES.iter() {
            out = then(out, |text| shape.apply(text));
        }
        out
    }
}

fn then<'a>(text: Cow<'a, str>, change: impl for<'b> Fn(&'b str) -> Cow<'b, str>) -> Cow<'a, str> {
    match text {
        Cow::Borrowed(text) => change(text),
        Cow::Owned(text) => match change(&text) {
            Cow::Borrowed(_) => Cow::Owned(text),
            Cow::Owned(changed) => Cow::Owned(changed),
        },
    }
}

/// All spellings of one secret.
fn spell(secret: &str, into: &mut BTreeSet<String>) {
    if secret.len() < LEAST {
        return;
    }
    let bytes = secret.as_bytes();
    let percent = |keep: &dyn Fn(u8) -> bool, upper: bool| -> String {
        let one = |b: &u8| match *b {
            b if keep(b) => char::from(b).to_string(),
            b if upper => format!("%{b:02X}"),
            b => format!("%{b:02x}"),
        };
        bytes.iter().map(one).collect()
    };
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let in_userinfo = |b: u8| unreserved(b) || b"!$&'()*+,;=".contains(&b);
    let mut all = vec![secret.to_owned(), secret.escape_debug().to_string(), crate::domain::tool::hex(bytes)];
    for upper in [true, false] {
        all.extend([percent(&unreserved, upper), percent(&in_userinfo, upper)]);
        all.push(percent(&unreserved, upper).replace("%20", "+"));
    }
    let json = serde_json::Value::from(secret).to_string();
    let json = json.trim_start_matches('"').strip_suffix('"').unwrap_or_default().to_owned();
    // JSON inside JSON, and the optional escape of a slash.
    let twice = serde_json::Value::from(json.as_str()).to_string();
    all.push(twice.trim_start_matches('"').strip_suffix('"').unwrap_or_default().to_owned());
    all.extend([json.replace('/', "\\/"), json]);
    for offset in 0..3 {
        let standard = base64_inside(bytes, offset);
        all.extend([standard.replace('+', "-").replace('/', "_"), standard]);
    }
    into.extend(all.into_iter().filter(|s| s.len() >= LEAST));
}

/// The base64 digits that depend on nothing but `bytes`, where they stand `offset` bytes into a group of three.
fn base64_inside(bytes: &[u8], offset: usize) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bit = |n: usize| bytes.get(n / 8).map_or(0, |b| usize::from(b >> (7 - n % 8)) & 1);
    // The first digit that starts at or after the secret's first bit.
    let skip = (offset * 8).div_ceil(6) * 6 - offset * 8;
    let digits = (bytes.len() * 8).saturating_sub(skip) / 6;
    let digit = |n: usize| (0..6).fold(0, |value, k| value << 1 | bit(skip + n * 6 + k));
    (0..digits).filter_map(|n| DIGITS.get(digit(n)).map(|d| char::from(*d))).collect()
}

/// A well-known shape: groups 1 and 3 stay, group 2 between them goes.
struct Shape {
    regex: Regex,
    /// Whether group 2 must look random, so that prose stays.
    random: bool,
}

impl Shape {
    fn apply<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.regex.replace_all(text, |found: &Captures<'_>| {
            let group = |n| found.get(n).map_or("", |m| m.as_str());
            if self.random && !looks_random(group(2)) {
                return group(0).to_owned();
            }
            let open = quote(group(2));
            format!("{}{open}{MARK}{}{}", group(1), closing(open, group(2)), group(3))
        })
    }
}

/// The opening quote of `value` with the backslashes before it.
fn quote(value: &str) -> &str {
    let end = value.find(|c| c != '\\').unwrap_or(0);
    match value.as_bytes().get(end) {
        Some(b'"' | b'\'') => value.get(..=end).unwrap_or_default(),
        _ => "",
    }
}

/// The same quote again if `value` was closed with it.
fn closing<'a>(open: &'a str, value: &str) -> &'a str {
    if !open.is_empty() && value.len() >= 2 * open.len() && value.ends_with(open) { open } else { "" }
}

/// Digits, `=` or a capital inside: no English or German word.
fn looks_random(text: &str) -> bool {
    text.chars().any(|c| c.is_ascii_digit() || matches!(c, '=' | '_' | '+'))
        || text.chars().skip(1).any(|c| c.is_ascii_uppercase())
            && text.chars().any(|c| c.is_ascii_lowercase())
}

static SHAPES: LazyLock<Vec<Shape>> = LazyLock::new(|| {
    let shape = |(pattern, random): &(String, bool)| {
        // ASCII word boundaries: with Unicode ones a single umlaut would throw the engine onto its slow path.
        let pattern = pattern.replace(r"\b", r"(?-u:\b)");
        let regex = RegexBuilder::new(&pattern).size_limit(64 << 20).build().ok()?;
        Some(Shape { regex, random: *random })
    };
    patterns().iter().filter_map(shape).collect()
});

/// Every pattern has the kept part as group 1 and the secret as group 2, perhaps quoted.
fn patterns() -> Vec<(String, bool)> {
    // Quoted (also inside a JSON text), cut off in the middle, or up to a blank.
    let value =
        r#"(\\+"(?:[^"\\\n]|\\[^"\n])*(?:\\+")?|"(?:[^"\\\n]|\\.)*"?|'(?:[^'\\\n]|\\.)*'?|[^\s"'&<>]+)"#;
    let word = r#"("(?:[^"\\\n]|\\.)*"?|'(?:[^'\\\n]|\\.)*'?|[^\s"'|;]+)"#;
    let name = "passw(?:or)?ds?|passwort|kennwort|passphrase|pwd|pass|secrets?|token|credentials?|requirepass|masterauth\
                |api[_. -]?key|(?:access|auth|private|secret|signing|encryption|license|ssh|master|account|storage|session)[_. -]?key\
                |auth[_-]?(?:code|hash)|session[_-]?id|phpsessid|jsessionid|connect\\.sid|otp|totp|pin[_-]?code|x-amz-signature";
    let plain = |pattern: &str| (format!("(){pattern}"), false);
    vec![
        // Whole keys first: what follows would cut them up.
        plain(r"(-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?s:.*?)(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z))"),
        (r#"(?i)((?:proxy-)?authorization\\*["']?\s*[:=]\s*\\*["']?(?:digest|aws4-hmac-sha256|hawk|signature)\s+)([^\r\n]+)"#.into(), false),
        (r#"(?i)((?:proxy-)?authorization\\*["']?\s*[:=]\s*\\*["']?(?:(?:bearer|basic|digest|aws4-hmac-sha256|hawk|signature|token|negotiate|ntlm|apikey|key|bot)\s+)?)([^\s"'\\]+)"#.into(), false),
        (r"(?i)(\b(?:bearer|basic)\s+)([A-Za-z0-9._~+/=-]{8,})".into(), true),
        (r#"(?i)(\b(?:set-)?cookie\\*["']?\s*[:=]\s*)(\\+"[^"\n]*"|"[^"\n]*"?|'[^'\n]*'?|[^\r\n"']+)"#.into(), false),
        (r#"(?i)([a-z][a-z0-9+.-]*://[^\s:/?#@"'<>]*:)([^\s"'<>]*)(@)"#.into(), false),
        (r#"(?i)([a-z][a-z0-9+.-]*://)([^\s:/?#@"'<>]{16,})(@)"#.into(), false),
        plain(r"((?:AKIA|ASIA|AGPA|AROA|AIDA|ANPA|ANVA|ABIA|ACCA)[A-Z0-9]{16}(?:[\s:,;|]+[A-Za-z0-9/+=]{40}\b)?)"),
        plain(r"(gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,}|gl(?:pat|dt|rt|ptt|agent)-[A-Za-z0-9_-]{16,})"),
        plain(r"(xox[a-z]-[A-Za-z0-9-]{8,}|xapp-[A-Za-z0-9-]{8,}|xoxe\.[A-Za-z0-9.-]{8,})"),
        (r"(?i)(hooks\.slack\.com/(?:services|workflows)/|discord(?:app)?\.com/api/webhooks/|webhook\.office\.com/)([^\s\x22']+)".into(), false),
        (r"((?i:\bbot)?)([0-9]{8,10}:[A-Za-z0-9_-]{34,})".into(), false),
        plain(r"((?:mfa\.[A-Za-z0-9_-]{20,})|[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6,7}\.[A-Za-z0-9_-]{27,})"),
        plain(r"(eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*){0,3})"),
        plain(r"(\bsk-[A-Za-z0-9_-]{16,}|\b[srp]k_(?:live|test)_[A-Za-z0-9]{10,}|\bwhsec_[A-Za-z0-9+/=]{16,}|AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,}|\bhf_[A-Za-z0-9]{20,}|\bnpm_[A-Za-z0-9]{20,}|\bpypi-[A-Za-z0-9_-]{16,}|\bdckr_[a-z]+_[A-Za-z0-9_-]{16,}|\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|\bhv[sb]\.[A-Za-z0-9_-]{20,}|\bdop_v1_[a-f0-9]{32,}|AGE-SECRET-KEY-1[A-Z0-9]{20,})"),
        (format!(r#"(?i)((?:{name})(?:\b|[_.-][a-z0-9_.-]{{0,40}}|[0-9]{{1,3}})\\*["']?\s*(?::=|=>|=|:)\s*){value}"#), false),
        (format!(r"(?i)([?&](?:key|sig|signature|code|auth|pw|p)=){value}"), false),
        (format!(r#"(?i)(\s--?(?:password|passwd|pass|token|secret|api-?key|requirepass|auth|client-secret)\s+){word}"#), false),
        (format!(r"(?i)(\b(?:requirepass|masterauth)\s+){word}"), false),
        (format!(r#"(?i)(\b(?:mysql[a-z]*|mariadb[a-z-]*|sshpass|mongo[a-z]*|docker\s+login)\b[^\r\n|;]*?\s-p\s*){word}"#), false),
        (format!(r#"(?i)(\b(?:redis-cli)\b[^\r\n|;]*?\s-a\s*){word}"#), false),
        (format!(r#"(?i)(\b(?:curl|wget)\b[^\r\n|;]*?\s(?:-u|--user|--proxy-user)[\s=]*[^\s:"'|;]*:){word}"#), false),
        (r#"(?i)(\b(?:identified\s+(?:with\s+\S+\s+)?by|password)\s+)('[^'\n]*'?|"[^"\n]*"?)"#.into(), false),
        (format!(r"(?i)(\blogin\s+\S+\s+password\s+){word}"), false),
        (format!(r"(?i)(\b(?:password|passwort|kennwort|passphrase|passwd)\s+(?:is|was|ist|war|lautet)\s+:?\s*){word}"), false),
        (r#"("AUTH"(?:\s+"[^"\n]*")?\s+)("[^"\n]*"?)"#.into(), false),
        (r"(\bAUTH\s+)([^\s\x22']{6,})".into(), true),
    ]
}

#[cfg(test)]
pub(super) fn counts() -> (usize, usize) {
    (patterns().len(), SHAPES.len())
}
