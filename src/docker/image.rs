//! Images by what registries call them: repository, tag and digest.

use super::wire;
use crate::domain::Untrusted;

/// An image that an engine has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalImage {
    /// Its id (`sha256:…`).
    pub id: String,
    /// What registries call it: repository and digest. Empty for what was built here.
    pub digests: Vec<(String, String)>,
}

impl LocalImage {
    pub(super) fn read(wire: wire::Image) -> Self {
        let named = wire.repo_digests.unwrap_or_default();
        let digests = named.iter().filter_map(|name| {
            let (repository, digest) = name.split_once('@')?;
            // Older engines write `<none>@<none>` for an image without a name.
            (is_repository(repository) && is_digest(digest))
                .then(|| (repository.to_owned(), digest.to_owned()))
        });
        let digests = digests.collect();
        Self { id: Untrusted::new(&wire.id).cut(80).to_string(), digests }
    }
}

/// A tag in a repository, as the engine writes it: `nginx:1.27`, `ghcr.io/acme/shop:latest`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag {
    /// The repository, without Docker Hub's prefixes.
    pub repository: String,
    /// The tag.
    pub tag: String,
}

impl std::fmt::Display for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

/// What the image name of a container means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageName {
    /// A tag, which may come to mean another image.
    Tag(Tag),
    /// A digest or an id, which always means the same image.
    Pinned,
    /// No name that a registry could know.
    Nonsense,
}

impl ImageName {
    /// Reads a container's image name: `nginx`, `docker.io/library/nginx:1`, `host:5000/a/b:c`, `a@sha256:…`.
    pub fn read(text: &str) -> Self {
        let is_id = text.len() >= 12 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if is_digest(text) || is_id {
            return Self::Pinned;
        }
        if let Some((name, digest)) = text.split_once('@') {
            let fine = is_digest(digest) && is_repository(split_tag(name).0);
            return if fine { Self::Pinned } else { Self::Nonsense };
        }
        let (repository, tag) = split_tag(text);
        let repository = ["docker.io/", "index.docker.io/"]
            .iter()
            .find_map(|hub| repository.strip_prefix(hub))
            .unwrap_or(repository);
        let repository = repository.strip_prefix("library/").unwrap_or(repository);
        let tag = tag.unwrap_or("latest");
        if is_repository(repository) && is_tag(tag) {
            Self::Tag(Tag { repository: repository.to_owned(), tag: tag.to_owned() })
        } else {
            Self::Nonsense
        }
    }
}

/// A colon after the last slash begins a tag; before it, a registry's port.
fn split_tag(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (name, None),
    }
}

fn is_tag(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    (1..=128).contains(&text.len()) && text.bytes().all(fine) && !text.starts_with(['.', '-'])
}

/// Parts between slashes that go into a request's path: none is empty or made of dots.
fn is_repository(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b':');
    let part = |p: &str| p.starts_with(|c: char| c.is_ascii_alphanumeric()) && p.bytes().all(fine);
    text.len() <= 255 && text.split('/').all(part)
}

pub(super) fn is_digest(text: &str) -> bool {
    let hex = |h: &str| h.len() == 64 && h.bytes().all(|b| b.is_ascii_hexdigit());
    text.strip_prefix("sha256:").is_some_and(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_engines_mean_them() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let table = [
            ("nginx", "nginx:latest"),
            ("nginx:1.27", "nginx:1.27"),
            ("library/nginx", "nginx:latest"),
            ("docker.io/library/nginx:1", "nginx:1"),
            ("index.docker.io/acme/shop", "acme/shop:latest"),
            ("ghcr.io/acme/shop:v1.0-rc_1", "ghcr.io/acme/shop:v1.0-rc_1"),
            ("127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b:latest"),
            ("host:5000/b:c", "host:5000/b:c"),
            (&digest, "pinned"),
            ("d4e34bfacd1b", "pinned"),
            (&format!("nginx:1@{digest}"), "pinned"),
            (&format!("../x@{digest}"), "nonsense"),
            ("nginx@latest", "nonsense"),
            ("", "nonsense"),
            ("a//b", "nonsense"),
            ("../etc", "nonsense"),
            ("a/../b", "nonsense"),
            ("a b", "nonsense"),
            ("a?b=c", "nonsense"),
            ("nginx:", "nonsense"),
            ("nginx:.x", "nonsense"),
        ];
        for (name, want) in table {
            let got = match ImageName::read(name) {
                ImageName::Tag(tag) => tag.to_string(),
                ImageName::Pinned => "pinned".into(),
                ImageName::Nonsense => "nonsense".into(),
            };
            assert_eq!(got, want, "{name}");
        }
    }

    #[test]
    fn only_digests_of_registries_count() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let text = format!(
            r#"{{"Id":"sha256:1","RepoDigests":["nginx@{digest}","<none>@<none>","x@sha256:1","../x@{digest}"]}}"#
        );
        let image = LocalImage::read(serde_json::from_str(&text).unwrap());
        assert_eq!(image.digests, [("nginx".to_owned(), digest)]);
        let built =
            LocalImage::read(serde_json::from_str(r#"{"Id":"sha256:1","RepoDigests":null}"#).unwrap());
        assert!(built.digests.is_empty());
    }
}
