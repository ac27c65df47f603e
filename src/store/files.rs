//! The state directory's files: private, locked by one process, durable once renamed.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::StoreError;

/// The file that says which process owns the state directory.
const LOCK_FILE: &str = "opsbot.lock";

/// Makes `dir` and its parents; what it makes is 0700, what exists is left as it is.
pub(super) fn make_dir(dir: &Path) -> Result<(), StoreError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|e| StoreError::io(format!("make {}", dir.display()), &e))
}

/// Whether something is at `path`; an error other than "not there" is one.
pub(super) fn exists(path: &Path) -> Result<bool, StoreError> {
    path.try_exists().map_err(|e| StoreError::io(format!("look at {}", path.display()), &e))
}

/// The size in bytes; 0 if there is no such file.
pub(super) fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |m| m.len())
}

/// `path` with `suffix` appended to its name (`opsbot.db` → `opsbot.db-wal`).
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Makes renames and new names in `dir` survive a power loss.
pub(super) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir)
        .and_then(|d| d.sync_all())
        .map_err(|e| StoreError::io(format!("sync {}", dir.display()), &e))
}

/// Takes away what group and others may do with the file at `path`.
pub(super) fn make_private(path: &Path) -> Result<(), StoreError> {
    let change = || -> io::Result<()> {
        let mode = fs::metadata(path)?.permissions().mode();
        if mode & 0o077 != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o700))?;
        }
        Ok(())
    };
    change().map_err(|e| StoreError::io(format!("make {} private", path.display()), &e))
}

/// Makes an empty private file, in place of what was left there by a start that was killed.
pub(super) fn fresh(path: &Path) -> Result<(), StoreError> {
    File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map(|_| ())
        .map_err(|e| StoreError::io(format!("make {}", path.display()), &e))
}

/// Removes the file at `path` if there is one.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io(format!("remove {}", path.display()), &e))
        }
        _ => Ok(()),
    }
}

/// Takes the state directory for this process; the lock lasts until the file is dropped, kill included.
pub(super) fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join(LOCK_FILE);
    let io = |e: io::Error| StoreError::io(format!("lock {}", path.display()), &e);
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // The owner may be about to write it; then the pid is not known.
            file.take(32).read_to_string(&mut text).ok();
            return Err(StoreError::Locked { pid: text.trim().parse().ok(), dir: dir.to_owned() });
        }
        Err(TryLockError::Error(e)) => return Err(io(e)),
    }
    // The pid is for people only: a full disk must not keep the daemon from starting.
    file.set_len(0).and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes())).ok();
    Ok(file)
}

/// Bytes that this user may still write on the disk of `dir`.
pub(super) fn free_bytes(dir: &Path) -> Option<u64> {
    let stat = nix::sys::statvfs::statvfs(dir).ok()?;
    Some(stat.blocks_available().saturating_mul(stat.fragment_size()))
}
