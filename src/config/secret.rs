//! A secret, how it is brought in, and how it is kept from being shown.

use std::{
    cell::Cell,
    fmt,
    fs::File,
    hash::{BuildHasher, RandomState},
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use serde::{Serialize, Serializer};

use super::Env;

/// What stands in place of a secret wherever it would be shown.
pub const HIDDEN: &str = "[secret]";

/// The longest secret that is taken, in bytes: a token, not a file that was named by mistake.
const LONGEST: u64 = 64 * 1024;

/// A token or password. It shows itself as `[secret]` everywhere; only [`Secret::expose`] gives it away.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret that was brought in some other way than the config file.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The bare secret, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// Drawn anew in every process, so that a mark says nothing about its secret.
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        if MARKED.get() {
            return serializer.collect_str(&format_args!("{HIDDEN}{:x}", KEY.hash_one(&self.0)));
        }
        serializer.serialize_str(HIDDEN)
    }
}

thread_local! {
    static MARKED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `write` with different secrets written differently (`[secret]` and a mark), so that a change can be seen.
pub(super) fn marked<T>(write: impl FnOnce() -> T) -> T {
    MARKED.set(true);
    let written = write();
    MARKED.set(false);
    written
}

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A file that only its owner can read.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// A systemd credential.
    Credential(String),
}

impl Origin {
    /// Brings the secret in; the error says what to do and never holds any part of the secret.
    pub(super) fn fetch(&self, env: &Env) -> Result<Secret, String> {
        if env.secrets_stay() {
            return Ok(Secret::new(HIDDEN));
        }
        match self {
            Self::File(path) => {
                only_owner_reads(path)?;
                read(path)
            }
            Self::Env(name) => env.var(name).map(Secret::new).ok_or_else(|| {
                format!("the environment variable {name} is not set; set it before the start")
            }),
            Self::Credential(name) => {
                if name.contains('/') || name.starts_with('.') {
                    return Err(format!("`{name}` is not a credential's name; it has no path in it"));
                }
                let dir = env.var("CREDENTIALS_DIRECTORY").ok_or_else(|| {
                    format!(
                        "$CREDENTIALS_DIRECTORY is not set; run under systemd with LoadCredential={name}:/path, \
                         or use {{ file = \"…\" }}"
                    )
                })?;
                // No look at the mode: systemd guards the folder, and an ACL shows up as group bits.
                read(&Path::new(&dir).join(name))
            }
        }
    }
}

/// Refuses a file that the group or others may open.
pub(super) fn only_owner_reads(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let meta = std::fs::metadata(path).map_err(|e| format!("cannot read {shown}: {e}"))?;
    if !meta.is_file() {
        return Err(format!("{shown} is not a regular file"));
    }
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!("{shown} is open to others (mode {mode:03o}); chmod 600 {shown}"));
    }
    Ok(())
}

fn read(path: &Path) -> Result<Secret, String> {
    let shown = path.display();
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text))
        .map_err(|e| format!("cannot read {shown}: {e}"))?;
    if text.len() as u64 > LONGEST {
        return Err(format!("{shown} is larger than {LONGEST} bytes; that is no token"));
    }
    let text = text.trim();
    if text.is_empty() {
        return Err(format!("{shown} is empty; write the secret into it"));
    }
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_secret_never_shows_itself() {
        let secret = Secret::new("hunter2-token");
        for shown in [format!("{secret:?}"), format!("{secret}"), serde_json::to_string(&secret).unwrap()] {
            assert!(!shown.contains("hunter2") && shown.contains(HIDDEN), "{shown}");
        }
        assert_eq!(secret.expose(), "hunter2-token");
    }

    #[test]
    fn every_origin_works_and_every_fault_has_its_cure() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, mode: u32, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        let good = file("good", 0o600, "s3cret\n");
        file("cred", 0o440, "from-systemd");
        let env = Env::new([("TOKEN", "from-env"), ("CREDENTIALS_DIRECTORY", dir.path().to_str().unwrap())]);
        let table = [
            (Origin::File(good), &env, Ok("s3cret")),
            (Origin::Env("TOKEN".into()), &env, Ok("from-env")),
            (Origin::Credential("cred".into()), &env, Ok("from-systemd")),
            (Origin::File(file("group", 0o640, "s3cret")), &env, Err("chmod 600")),
            (Origin::File(file("others", 0o604, "s3cret")), &env, Err("mode 604")),
            (Origin::File(file("empty", 0o600, " \n")), &env, Err("is empty")),
            (Origin::File(file("big", 0o600, &"x".repeat(70_000))), &env, Err("that is no token")),
            (Origin::File(dir.path().join("missing")), &env, Err("cannot read")),
            (Origin::File(dir.path().to_owned()), &env, Err("not a regular file")),
            (Origin::Env("NOT_SET".into()), &env, Err("NOT_SET is not set")),
            (Origin::Credential("../good".into()), &env, Err("no path")),
            (Origin::Credential("cred".into()), &Env::default(), Err("LoadCredential=cred:")),
        ];
        let client = Env::default().without_secrets();
        let left_alone = Origin::Credential("cred".into()).fetch(&client).unwrap();
        assert_eq!(left_alone.expose(), HIDDEN);
        for (origin, env, want) in table {
            match (origin.fetch(env), want) {
                (Ok(secret), Ok(want)) => assert_eq!(secret.expose(), want),
                (Err(e), Err(part)) => assert!(e.contains(part) && !e.contains("s3cret"), "{origin:?}: {e}"),
                (got, want) => panic!("{origin:?}: {got:?} instead of {want:?}"),
            }
        }
    }
}
