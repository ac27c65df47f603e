//! Which file is read, where state lives, and the environment as a value.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt,
    fs::File,
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
};

use toml_edit::Document;

use super::{
    Config, ConfigErrors, Problem, check,
    reader::{Page, Reader},
};

/// The largest config file that is read, in bytes.
const LARGEST: u64 = 4 * 1024 * 1024;

/// The surroundings of the process as a value, so that a test can bring its own.
#[derive(Clone, Default)]
pub struct Env {
    vars: BTreeMap<String, String>,
    system: Option<PathBuf>,
    secrets_stay: bool,
}

impl Env {
    /// These variables and no system-wide file.
    pub fn new<K: Into<String>, V: Into<String>>(vars: impl IntoIterator<Item = (K, V)>) -> Self {
        Self { vars: vars.into_iter().map(|(k, v)| (k.into(), v.into())).collect(), ..Self::default() }
    }

    /// What this process was started with; `/etc/opsbot/config.toml` is the system-wide file.
    pub fn of_process() -> Self {
        let vars =
            std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        Self { vars: vars.collect(), ..Self::default() }.with_system("/etc/opsbot/config.toml")
    }

    /// Names the system-wide file.
    #[must_use]
    pub fn with_system(mut self, path: impl Into<PathBuf>) -> Self {
        self.system = Some(path.into());
        self
    }

    /// Leaves secrets and key files where they are: for a client of the daemon, whose user may not read them.
    #[must_use]
    pub fn without_secrets(mut self) -> Self {
        self.secrets_stay = true;
        self
    }

    /// Whether secrets and key files are left alone.
    pub(super) fn secrets_stay(&self) -> bool {
        self.secrets_stay
    }

    /// A variable; an empty one counts as not set.
    pub fn var(&self, name: &str) -> Option<String> {
        self.vars.get(name).filter(|v| !v.is_empty()).cloned()
    }

    /// The home folder (`$HOME`).
    pub fn home(&self) -> Option<PathBuf> {
        self.var("HOME").map(PathBuf::from)
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names only: the values are where secrets come from.
        f.debug_struct("Env").field("vars", &self.vars.keys()).field("system", &self.system).finish()
    }
}

/// Which file was read, and why that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// What named it (`--config`, `$OPSBOT_CONFIG`, `system-wide`, `home`).
    pub named_by: &'static str,
}

/// Finds and reads the configuration: `explicit` (`--config`), else `$OPSBOT_CONFIG`, else the system-wide file if it
/// exists, else `~/.config/opsbot/config.toml`.
///
/// # Errors
/// All that is wrong with it at once; the app ends with exit code 78.
pub fn load(explicit: Option<&Path>, env: &Env) -> Result<(Config, Source), ConfigErrors> {
    let source = find(explicit, env)?;
    let text = read(&source)?;
    Ok((parse(&source.path, &text, env)?, source))
}

/// Where state lives according to a file that may have faults in other places.
///
/// # Errors
/// All that is wrong with the file, when that hides the folder.
pub fn state_dir(explicit: Option<&Path>, env: &Env) -> Result<PathBuf, ConfigErrors> {
    let errors = match load(explicit, env) {
        Ok((config, _)) => return Ok(config.state_dir),
        Err(errors) => errors,
    };
    // The very key, read by the same rules as a file that says nothing else.
    let source = find(explicit, env)?;
    let whole: Option<toml::Table> = read(&source).ok().and_then(|text| toml::from_str(&text).ok());
    let only: toml::Table =
        whole.into_iter().flatten().filter(|(key, _)| key.as_str() == "state_dir").collect();
    let text = toml::to_string(&only).unwrap_or_default();
    parse(&source.path, &text, env).map(|config| config.state_dir).map_err(|_| errors)
}

/// Reads `text` as the file at `path`, whose folder relative paths start from.
///
/// # Errors
/// All that is wrong with it at once, in the file's order.
pub fn parse(path: &Path, text: &str, env: &Env) -> Result<Config, ConfigErrors> {
    parse_noting_keys(path, text, env).map(|(config, _)| config)
}

/// As [`parse`], also with every key path that was looked for.
pub(super) fn parse_noting_keys(
    path: &Path,
    text: &str,
    env: &Env,
) -> Result<(Config, BTreeSet<String>), ConfigErrors> {
    let page = Page {
        text,
        base: path.parent().map(Path::to_owned).unwrap_or_default(),
        env,
        problems: RefCell::default(),
        known: RefCell::default(),
    };
    let syntax = |span: Option<std::ops::Range<usize>>, message: &str| ConfigErrors {
        file: Some(path.to_owned()),
        problems: vec![Problem {
            line: span.map(|s| page.line(s.start)),
            key: String::new(),
            text: format!("is not valid TOML: {}", message.trim().replace('\n', "; ")),
        }],
    };
    let document = Document::parse(text).map_err(|e| syntax(e.span(), e.message()))?;
    let plain: toml::Table = toml::from_str(text).map_err(|e| syntax(e.span(), e.message()))?;
    let config = Reader::whole(&page, document.as_table(), |root| check::config(root, &plain));
    let mut problems = page.problems.into_inner();
    problems.sort_by_key(|p| p.line);
    match config {
        Some(config) if problems.is_empty() => Ok((config, page.known.into_inner())),
        _ => Err(ConfigErrors { file: Some(path.to_owned()), problems }),
    }
}

fn find(explicit: Option<&Path>, env: &Env) -> Result<Source, ConfigErrors> {
    if let Some(path) = explicit {
        return Ok(Source { path: path.to_owned(), named_by: "--config" });
    }
    if let Some(path) = env.var("OPSBOT_CONFIG") {
        return Ok(Source { path: path.into(), named_by: "$OPSBOT_CONFIG" });
    }
    // A file that exists and cannot be looked at must not be passed over in silence: only `not found` is.
    if let Some(path) = env.system.clone().filter(|p| exists(p)) {
        return Ok(Source { path, named_by: "system-wide" });
    }
    let home = env.home().map(|home| home.join(".config/opsbot/config.toml"));
    let looked: Vec<_> = env.system.iter().chain(&home).map(|p| p.display().to_string()).collect();
    match home.filter(|p| exists(p)) {
        Some(path) => Ok(Source { path, named_by: "home" }),
        None => Err(ConfigErrors::whole(
            None,
            format!(
                "there is no config file (looked for {}); copy config.toml.example there, run scripts/quickstart, \
                 or name one with --config FILE or $OPSBOT_CONFIG",
                if looked.is_empty() { "none: $HOME is not set".to_owned() } else { looked.join(" and ") }
            ),
        )),
    }
}

fn exists(path: &Path) -> bool {
    !matches!(path.metadata(), Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
}

fn read(source: &Source) -> Result<String, ConfigErrors> {
    let path = &source.path;
    let fail = |text: String| ConfigErrors::whole(Some(path.clone()), text);
    let meta = path.metadata().map_err(|e| match e.kind() {
        ErrorKind::NotFound => fail(format!(
            "does not exist (named by {}); copy config.toml.example there, or name another file",
            source.named_by
        )),
        _ => fail(format!("cannot be read: {e}")),
    })?;
    if meta.is_dir() {
        return Err(fail("is a folder; name the file in it".into()));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(|e| fail(format!("cannot be read: {e}")))?;
    if bytes.len() as u64 > LARGEST {
        return Err(fail(format!("is larger than {LARGEST} bytes; that is no config file")));
    }
    String::from_utf8(bytes).map_err(|e| {
        let good = e.utf8_error().valid_up_to();
        let line = 1 + e.as_bytes().iter().take(good).filter(|b| **b == b'\n').count();
        let text = "is not valid UTF-8; save the file as UTF-8".to_owned();
        ConfigErrors {
            file: Some(path.clone()),
            problems: vec![Problem { line: Some(line), key: String::new(), text }],
        }
    })
}
