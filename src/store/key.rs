//! The key of the audit's chain: a systemd credential, else 32 random bytes made once.

use std::{
    fmt, fs,
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use hmac::{Hmac, Mac};
use rand::{TryRngCore, rngs::OsRng};
use sha2::Sha256;

use super::{DB_FILE, StoreError, files};

/// The key's file in the state directory.
const KEY_FILE: &str = "audit.key";
/// A shorter credential is refused.
const LEAST_BYTES: usize = 16;

/// The secret that the audit's rows are chained with; its `Debug` shows nothing of it.
#[derive(Clone)]
pub struct AuditKey(Hmac<Sha256>);

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditKey(…)")
    }
}

impl AuditKey {
    /// Takes `bytes` as they are; at least 16.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        if bytes.len() < LEAST_BYTES {
            let text =
                format!("it has {} bytes, {LEAST_BYTES} are the least; make a longer one", bytes.len());
            return Err(StoreError::Key(text));
        }
        Hmac::new_from_slice(bytes).map(Self).map_err(|e| StoreError::Key(e.to_string()))
    }

    /// Reads the key: from `credential` (the file of systemd's credential `audit-key`) when given, else from
    /// `audit.key` in `state_dir`, which is made on first use with mode 0600.
    ///
    /// A database without its key is an error: a new key would make every old row look forged.
    pub fn load(state_dir: &Path, credential: Option<PathBuf>) -> Result<Self, StoreError> {
        if let Some(path) = credential {
            return Self::read(&path);
        }
        let path = state_dir.join(KEY_FILE);
        if !files::exists(&path)? {
            if files::exists(&state_dir.join(DB_FILE))? {
                let text = format!(
                    "{} is missing but the audit exists; restore it (or pass the credential `audit-key`), or move \
                     {DB_FILE} and audit.head aside to begin a new audit",
                    path.display()
                );
                return Err(StoreError::Key(text));
            }
            files::make_dir(state_dir)?;
            make(&path)?;
        }
        let mode = fs::metadata(&path).map_err(|e| unreadable(&path, &e))?.permissions().mode();
        if mode & 0o077 != 0 {
            let text = format!("others may read {0}; run `chmod 600 {0}`", path.display());
            return Err(StoreError::Key(text));
        }
        Self::read(&path)
    }

    fn read(path: &Path) -> Result<Self, StoreError> {
        let bytes = fs::read(path).map_err(|e| unreadable(path, &e))?;
        // A credential made by `openssl rand -hex 32` ends in a line break that an editor may drop.
        Self::from_bytes(bytes.trim_ascii_end())
    }

    /// HMAC-SHA256 over the concatenated `parts`.
    pub(super) fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut hmac = self.0.clone();
        for part in parts {
            hmac.update(part);
        }
        hmac.finalize().into_bytes().into()
    }
}

fn unreadable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Key(format!("{} ({error}); check its owner and rights", path.display()))
}

/// Makes the file whole or not at all, and never over an existing one.
fn make(path: &Path) -> Result<(), StoreError> {
    let mut bytes = [0_u8; 32];
    OsRng.try_fill_bytes(&mut bytes).map_err(|e| StoreError::Key(format!("no randomness ({e}); repeat")))?;
    let hex = crate::domain::tool::hex(&bytes);
    let tmp = path.with_extension(format!("key.{}", std::process::id()));
    let written = (|| {
        let mut file = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&tmp)?;
        file.write_all(hex.as_bytes())?;
        file.sync_all()?;
        match fs::hard_link(&tmp, path) {
            // Somebody else made it in this moment; theirs counts.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    })();
    fs::remove_file(&tmp).ok();
    written.map_err(|e| StoreError::io(format!("write {}", path.display()), &e))?;
    path.parent().map_or(Ok(()), files::sync_dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &AuditKey) -> [u8; 32] {
        key.mac(&[b"x"])
    }

    #[test]
    fn is_made_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let first = AuditKey::load(&state, None).unwrap();
        let again = AuditKey::load(&state, None).unwrap();
        assert_eq!(tag(&first), tag(&again));
        let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&state), mode(&state.join(KEY_FILE))), (0o700, 0o600));
        let names: Vec<_> = fs::read_dir(&state).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, [KEY_FILE]);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(tag(&first), tag(&AuditKey::load(other.path(), None).unwrap()));
    }

    #[test]
    fn credential_wins_and_its_line_break_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit-key");
        fs::write(&path, "0123456789abcdef0123456789abcdef\n").unwrap();
        let key = AuditKey::load(dir.path(), Some(path)).unwrap();
        let same = AuditKey::from_bytes(b"0123456789abcdef0123456789abcdef").unwrap();
        assert_eq!(tag(&key), tag(&same));
        assert!(!dir.path().join(KEY_FILE).exists());
    }

    #[test]
    fn refuses_what_is_weak_open_or_lost() {
        let dir = tempfile::tempdir().unwrap();
        let key = |text: &str| match AuditKey::load(dir.path(), None) {
            Err(StoreError::Key(found)) => assert!(found.contains(text), "{found}"),
            other => panic!("{other:?}"),
        };
        fs::write(dir.path().join(DB_FILE), "").unwrap();
        key("restore it");
        fs::write(dir.path().join(KEY_FILE), "short").unwrap();
        fs::set_permissions(dir.path().join(KEY_FILE), fs::Permissions::from_mode(0o600)).unwrap();
        key("5 bytes");
        fs::set_permissions(dir.path().join(KEY_FILE), fs::Permissions::from_mode(0o640)).unwrap();
        key("chmod 600");
        assert_eq!(format!("{:?}", AuditKey::from_bytes(&[7; 32]).unwrap()), "AuditKey(…)");
    }
}
