//! What the helper allows, from a file that only root can change.

use std::{
    collections::BTreeSet,
    fs::{File, Metadata, OpenOptions},
    io::Read,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::{fcntl::OFlag, unistd::User};
use serde::Deserialize;

/// A larger file is no configuration of ours.
const LONGEST: u64 = 64 << 10;

/// A change of a container's state that may be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Start a stopped container.
    Start,
    /// End a running container.
    Stop,
    /// End and start again.
    Restart,
}

impl Verb {
    /// The last part of its route.
    pub fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }
}

/// Whose state, logs and figures may be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reads {
    /// Every container's. The daemon knows customers by compose's labels and by name too, and a check-up looks at the
    /// neighbours.
    #[default]
    All,
    /// Only those that carry the label; the others seem not to be there.
    Labelled,
}

/// What the helper allows, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Docker's own socket.
    pub socket: PathBuf,
    /// The uids that may connect.
    pub uids: BTreeSet<u32>,
    /// The label that a container must carry to be changed; it is never taken out of answers.
    pub label: String,
    /// Its value, where one is asked for.
    pub label_value: Option<String>,
    /// What may be done to a labelled container.
    pub write: BTreeSet<Verb>,
    /// What may be read.
    pub read: Reads,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wire {
    socket: PathBuf,
    users: Vec<Account>,
    label: String,
    label_value: Option<String>,
    write: BTreeSet<Verb>,
    read: Reads,
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            socket: "/var/run/docker.sock".into(),
            users: vec![Account::Name("opsbot".into()), Account::Uid(0)],
            label: "opsbot.customer".into(),
            label_value: None,
            write: [Verb::Start, Verb::Stop, Verb::Restart].into(),
            read: Reads::All,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Account {
    Uid(u32),
    Name(String),
}

impl Config {
    /// Reads the file, which must belong to the uid `owner` (in service: root), as its folder must.
    ///
    /// # Errors
    /// One sentence for whoever installed the helper.
    pub fn load(path: &Path, owner: u32) -> Result<Self, String> {
        let shown = path.display();
        let unreadable = |e: std::io::Error| format!("cannot read {shown}: {e}");
        // No link is followed and no pipe waited for; what was checked is what is read.
        let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
        let meta = file.metadata().map_err(unreadable)?;
        if !meta.is_file() {
            return Err(format!("{shown} is not a regular file"));
        }
        trusted(path, &meta, owner)?;
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        trusted(folder, &std::fs::metadata(folder).map_err(unreadable)?, owner)?;
        Self::parse(&text(file).map_err(unreadable)?).map_err(|e| format!("{shown}: {e}"))
    }

    /// Reads the text of a configuration; accounts are looked up on this host.
    ///
    /// # Errors
    /// What is wrong with it and how it should be.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wire: Wire = toml::from_str(text).map_err(|e| e.to_string())?;
        if !wire.socket.is_absolute() {
            return Err("`socket` must be a path from the root, such as /var/run/docker.sock".into());
        }
        if wire.label.is_empty() {
            return Err("`label` is empty; name the label of containers that may be changed".into());
        }
        if wire.users.is_empty() {
            return Err("`users` is empty; name the daemon's account, usually \"opsbot\"".into());
        }
        let uids = wire.users.into_iter().map(Account::uid).collect::<Result<_, _>>()?;
        let Wire { socket, label, label_value, write, read, .. } = wire;
        Ok(Self { socket, uids, label, label_value, write, read })
    }

    /// Whether a container with that value of [`Config::label`] is one of ours.
    pub(super) fn covers(&self, value: Option<&String>) -> bool {
        value.is_some_and(|v| self.label_value.as_ref().is_none_or(|wanted| wanted == v))
    }

    /// The label as a person would write it.
    pub(super) fn label_shown(&self) -> String {
        self.label_value.as_ref().map_or_else(|| self.label.clone(), |v| format!("{}={v}", self.label))
    }
}

impl Account {
    fn uid(self) -> Result<u32, String> {
        match self {
            Self::Uid(uid) => Ok(uid),
            Self::Name(name) => match User::from_name(&name) {
                Ok(Some(user)) => Ok(user.uid.as_raw()),
                Ok(None) => Err(format!("`users` names `{name}`, and there is no such account on this host")),
                Err(error) => Err(format!("the account `{name}` of `users` cannot be looked up: {error}")),
            },
        }
    }
}

/// Whoever may write the file decides what a holder of Docker's socket does.
fn trusted(path: &Path, meta: &Metadata, owner: u32) -> Result<(), String> {
    let (shown, mode) = (path.display(), meta.mode() & 0o7777);
    if meta.uid() != owner {
        let uid = meta.uid();
        return Err(format!(
            "{shown} belongs to uid {uid} and must belong to uid {owner}: chown {owner} {shown}"
        ));
    }
    if mode & 0o022 != 0 {
        return Err(format!("{shown} may be written by others (mode {mode:03o}): chmod go-w {shown}"));
    }
    Ok(())
}

fn text(file: File) -> std::io::Result<String> {
    let mut text = String::new();
    file.take(LONGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(std::io::Error::other("it is too large for a configuration"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::{PermissionsExt, symlink},
    };

    use super::*;

    #[test]
    fn the_installed_file_says_the_defaults() {
        let shipped = include_str!("../../systemd/docker-helper.toml");
        let here = shipped.replace("\"opsbot\", ", "");
        let bare = "users = [\"root\"]";
        assert_eq!(Config::parse(&here), Config::parse(bare), "{here}");
        let config = Config::parse(bare).unwrap();
        assert_eq!((config.uids, config.read), ([0].into(), Reads::All));
        assert_eq!(config.write, [Verb::Start, Verb::Stop, Verb::Restart].into());
        assert!(shipped.contains("users = [\"opsbot\", \"root\"]"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let table = [
            ("socket = \"docker.sock\"", "from the root"),
            ("users = []", "`users` is empty"),
            ("users = [\"no-such-account\"]", "no such account"),
            ("users = [-1]", "users"),
            ("users = [0]\nlabel = \"\"", "`label` is empty"),
            ("users = [0]\nwrite = [\"kill\"]", "unknown variant `kill`"),
            ("users = [0]\nread = \"some\"", "unknown variant `some`"),
            ("users = [0]\nwrites = []", "unknown field `writes`"),
        ];
        for (text, want) in table {
            let error = Config::parse(text).unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
        }
    }

    #[test]
    fn only_a_file_that_nobody_else_can_change_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("docker-helper.toml");
        fs::write(&path, "users = [0]").unwrap();
        let owner = fs::metadata(&path).unwrap().uid();
        let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        mode(&path, 0o644);
        assert!(Config::load(&path, owner).is_ok());
        assert!(Config::load(&path, owner + 1).unwrap_err().contains("must belong to uid"));
        for open in [0o664, 0o646, 0o622] {
            mode(&path, open);
            assert!(Config::load(&path, owner).unwrap_err().contains("chmod go-w"), "{open:o}");
        }
        mode(&path, 0o600);
        mode(dir.path(), 0o777);
        assert!(Config::load(&path, owner).unwrap_err().contains("chmod go-w"));
        mode(dir.path(), 0o700);
        let link = dir.path().join("link.toml");
        symlink(&path, &link).unwrap();
        assert!(Config::load(&link, owner).unwrap_err().contains("cannot read"));
        assert!(Config::load(dir.path(), owner).unwrap_err().contains("not a regular file"));
        fs::write(&path, "#".repeat(70 << 10)).unwrap();
        assert!(Config::load(&path, owner).unwrap_err().contains("too large"));
    }

    #[test]
    fn a_label_counts_by_its_presence_or_by_its_value() {
        let any = Config::parse("users = [0]").unwrap();
        let one = Config::parse("users = [0]\nlabel_value = \"19\"").unwrap();
        let (nineteen, other) = ("19".to_owned(), "20".to_owned());
        for (value, of_any, of_one) in
            [(Some(&nineteen), true, true), (Some(&other), true, false), (None, false, false)]
        {
            assert_eq!((any.covers(value), one.covers(value)), (of_any, of_one), "{value:?}");
        }
        assert_eq!(
            (any.label_shown().as_str(), one.label_shown().as_str()),
            ("opsbot.customer", "opsbot.customer=19")
        );
    }
}
