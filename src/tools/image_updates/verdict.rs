//! Whether an image is the newest of its tag, from what the engine has and what the registry says: pure.

use std::fmt;

use crate::docker::{ImageName, LocalImage, Tag};

/// What was found of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The registry has another image under this tag.
    Newer {
        /// The engine has that one already; the container only has to be made anew.
        pulled: bool,
    },
    /// It could not be told; the sentence says why.
    Unknown(String),
    /// No registry knows it; the sentence says how that is seen.
    Local(&'static str),
    /// It was asked for by its digest or id, which never means another image.
    Pinned,
    /// The registry has this very image under this tag.
    UpToDate,
}

impl Verdict {
    /// What wants a look comes first.
    pub fn rank(&self) -> u8 {
        match self {
            Self::Newer { .. } => 0,
            Self::Unknown(_) => 1,
            Self::Local(_) => 2,
            Self::Pinned => 3,
            Self::UpToDate => 4,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newer { pulled: true } => {
                f.write_str("newer image there, pulled already: make the container anew to use it")
            }
            Self::Newer { pulled: false } => f.write_str("newer image in the registry"),
            Self::Unknown(why) => write!(f, "not checked: {why}"),
            Self::Local(how) => f.write_str(how),
            Self::Pinned => f.write_str("pinned to a digest, never changes"),
            Self::UpToDate => f.write_str("up to date"),
        }
    }
}

const BUILT: &str = "built or loaded on the host, no registry has it";
const RENAMED: &str = "tagged on the host under this name, its registry calls it otherwise";

/// The tag that a registry must be asked for, or the verdict without asking.
pub(super) fn tag_to_ask(name: &str, image_id: &str, all: &[LocalImage]) -> Result<Tag, Verdict> {
    let tag = match ImageName::read(name) {
        ImageName::Tag(tag) => tag,
        ImageName::Pinned => return Err(Verdict::Pinned),
        ImageName::Nonsense => return Err(Verdict::Unknown("its name is no name of an image".into())),
    };
    match all.iter().find(|i| i.id == image_id) {
        None => Err(Verdict::Unknown("the host no longer lists its image".into())),
        Some(image) if image.digests.is_empty() => Err(Verdict::Local(BUILT)),
        Some(image) if !image.digests.iter().any(|(repository, _)| *repository == tag.repository) => {
            Err(Verdict::Local(RENAMED))
        }
        Some(_) => Ok(tag),
    }
}

/// Compares what runs with what the registry has.
pub(super) fn judge(tag: &Tag, image_id: &str, newest: &str, all: &[LocalImage]) -> Verdict {
    let has = |image: &LocalImage| {
        image.digests.iter().any(|(repository, digest)| *repository == tag.repository && digest == newest)
    };
    match all.iter().find(|i| has(i)) {
        Some(image) if image.id == image_id => Verdict::UpToDate,
        Some(_) => Verdict::Newer { pulled: true },
        None => Verdict::Newer { pulled: false },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(id: &str, digests: &[(&str, &str)]) -> LocalImage {
        let digests = digests.iter().map(|(r, d)| ((*r).to_owned(), (*d).to_owned())).collect();
        LocalImage { id: id.into(), digests }
    }

    #[test]
    fn what_runs_is_compared_with_its_tag() {
        let all = [
            image("old", &[("nginx", "d1")]),
            image("new", &[("nginx", "d2"), ("mirror/nginx", "d9")]),
            image("built", &[]),
        ];
        let digest = format!("nginx@sha256:{}", "a".repeat(64));
        let verdict = |name: &str, id: &str, newest: &str| match tag_to_ask(name, id, &all) {
            Ok(tag) => judge(&tag, id, newest, &all),
            Err(verdict) => verdict,
        };
        let table = [
            ("nginx", "new", "d2", Verdict::UpToDate),
            ("docker.io/library/nginx:latest", "new", "d2", Verdict::UpToDate),
            ("nginx:1.27", "old", "d2", Verdict::Newer { pulled: true }),
            ("nginx:1.27", "new", "d3", Verdict::Newer { pulled: false }),
            ("mirror/nginx", "new", "d2", Verdict::Newer { pulled: false }),
            ("shop:1", "built", "d2", Verdict::Local(BUILT)),
            ("shop:1", "new", "d2", Verdict::Local(RENAMED)),
            (&digest, "new", "d2", Verdict::Pinned),
        ];
        for (name, id, newest, want) in table {
            assert_eq!(verdict(name, id, newest), want, "{name} {id} {newest}");
        }
        assert!(matches!(verdict("nginx", "gone", "d2"), Verdict::Unknown(_)));
        assert!(matches!(verdict("../x", "new", "d2"), Verdict::Unknown(_)));
    }
}
