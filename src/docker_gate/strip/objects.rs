//! Images, volumes and sizes with what may leave; where not all containers may be read, only what is of those that may.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Config, Labels, NotDocker, Summary, without_secrets};

/// What the containers that may be read are made of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::docker_gate) struct Covered {
    images: BTreeSet<String>,
    volumes: BTreeSet<String>,
}

impl Covered {
    /// Takes a list of all containers.
    pub(in crate::docker_gate) fn read(bytes: &[u8], config: &Config) -> Result<Self, NotDocker> {
        let listed: Vec<Summary> = serde_json::from_slice(bytes).map_err(|_| NotDocker)?;
        let mut covered = Self::default();
        for summary in listed.into_iter().filter(|s| s.is_covered(config)) {
            covered.images.insert(summary.image_id);
            let mounts = summary.mounts.unwrap_or_default();
            covered.volumes.extend(mounts.into_iter().filter_map(|m| m.name));
        }
        Ok(covered)
    }
}

/// One image of `GET /images/json`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::docker_gate) struct Image {
    id: String,
    #[serde(default)]
    repo_digests: Option<Vec<String>>,
    #[serde(default)]
    size: i64,
    #[serde(default)]
    shared_size: i64,
    #[serde(default)]
    containers: i64,
}

impl Image {
    /// Whether the engine got it from, or gave it to, that repository of a registry.
    pub(in crate::docker_gate) fn came_from(&self, repository: &str) -> bool {
        let digests = self.repo_digests.iter().flatten();
        digests.filter_map(|name| name.split_once('@')).any(|(from, _)| from == repository)
    }
}

/// The images that may be read.
pub(in crate::docker_gate) fn readable_images(
    bytes: &[u8],
    covered: Option<&Covered>,
) -> Result<Vec<Image>, NotDocker> {
    let mut all: Vec<Image> = serde_json::from_slice(bytes).map_err(|_| NotDocker)?;
    all.retain(|image| covered.is_none_or(|c| c.images.contains(&image.id)));
    Ok(all)
}

pub(in crate::docker_gate) fn images(all: &[Image]) -> Result<Vec<u8>, NotDocker> {
    serde_json::to_vec(all).map_err(|_| NotDocker)
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct DiskUsage {
    #[serde(default)]
    layers_size: i64,
    #[serde(default)]
    images: Option<Vec<Image>>,
    #[serde(default)]
    containers: Option<Vec<Summary>>,
    #[serde(default)]
    volumes: Option<Vec<Volume>>,
    #[serde(default)]
    build_cache: Option<Vec<BuildCache>>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Volume {
    #[serde(default)]
    name: String,
    #[serde(default)]
    labels: Option<Labels>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    usage_data: Option<VolumeUsage>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct VolumeUsage {
    #[serde(default)]
    size: i64,
    #[serde(default)]
    ref_count: i64,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct BuildCache {
    #[serde(default)]
    size: i64,
    #[serde(default)]
    in_use: bool,
    #[serde(default)]
    shared: bool,
}

/// What is on the disk, of all or of what may be read. Sizes of shared layers and of the build cache are nobody's.
pub(in crate::docker_gate) fn disk(
    bytes: &[u8],
    config: &Config,
    covered: Option<&Covered>,
) -> Result<Vec<u8>, NotDocker> {
    let mut usage: DiskUsage = serde_json::from_slice(bytes).map_err(|_| NotDocker)?;
    if let Some(covered) = covered {
        usage.images.iter_mut().for_each(|all| all.retain(|i| covered.images.contains(&i.id)));
        usage.containers.iter_mut().for_each(|all| all.retain(|c| c.is_covered(config)));
        usage.volumes.iter_mut().for_each(|all| all.retain(|v| covered.volumes.contains(&v.name)));
    }
    let bare = |all: Vec<Summary>| all.into_iter().map(|c| c.bare(config)).collect();
    usage.containers = usage.containers.map(bare);
    for volume in usage.volumes.iter_mut().flatten() {
        volume.labels = volume.labels.take().map(|labels| without_secrets(labels, config));
    }
    serde_json::to_vec(&usage).map_err(|_| NotDocker)
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Distribution {
    descriptor: Descriptor,
}

#[derive(Debug, Deserialize, Serialize)]
struct Descriptor {
    digest: String,
}

/// A registry's answer, of which only the digest leaves.
pub(in crate::docker_gate) fn distribution(bytes: &[u8]) -> Result<Vec<u8>, NotDocker> {
    let answer: Distribution = serde_json::from_slice(bytes).map_err(|_| NotDocker)?;
    serde_json::to_vec(&answer).map_err(|_| NotDocker)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn config() -> Config {
        Config::parse("users = [0]").unwrap()
    }

    fn container(id: &str, ours: bool) -> Value {
        let labels = if ours { json!({"opsbot.customer": "19", "x.token": "SEEN"}) } else { json!({}) };
        json!({"Id": id, "Names": [format!("/{id}")], "Image": "i", "ImageID": format!("image-{id}"), "State": "running",
            "Command": "SEEN", "SizeRw": 7, "SizeRootFs": 9, "Labels": labels, "NetworkSettings": {"SEEN": 1},
            "Mounts": [{"Type": "volume", "Name": format!("volume-{id}"), "Source": "SEEN", "Destination": "SEEN"},
                {"Type": "bind", "Source": "SEEN"}]})
    }

    fn image(id: &str) -> Value {
        json!({"Id": format!("image-{id}"), "RepoTags": ["SEEN"], "RepoDigests": [format!("{id}@sha256:1")],
            "Labels": {"SEEN": "SEEN"}, "Size": 5, "SharedSize": 1, "Containers": 1, "ParentId": "SEEN"})
    }

    fn volume(id: &str) -> Value {
        json!({"Name": format!("volume-{id}"), "Mountpoint": "SEEN", "Options": {"o": "password=SEEN"},
            "Labels": {"com.docker.compose.project": "shop", "db.password": "SEEN"},
            "UsageData": {"Size": 3, "RefCount": 1}})
    }

    fn usage() -> Vec<u8> {
        json!({"LayersSize": 11, "Images": [image("web"), image("vault")],
            "Containers": [container("web", true), container("vault", false)],
            "Volumes": [volume("web"), volume("vault")],
            "BuildCache": [{"Description": "SEEN", "Size": 1, "InUse": false, "Shared": false}], "BuilderSize": 1})
        .to_string()
        .into_bytes()
    }

    fn covered() -> Covered {
        let list = json!([container("web", true), container("vault", false)]).to_string();
        Covered::read(list.as_bytes(), &config()).unwrap()
    }

    #[test]
    fn the_disk_is_told_without_paths_commands_and_secrets() {
        let read = |covered: Option<&Covered>| {
            let out = disk(&usage(), &config(), covered).unwrap();
            let text = String::from_utf8(out).unwrap();
            assert!(!text.contains("SEEN"), "{text}");
            serde_json::from_str::<Value>(&text).unwrap()
        };
        let all = read(None);
        for kind in ["Images", "Containers", "Volumes"] {
            assert_eq!(all[kind].as_array().unwrap().len(), 2, "{kind}");
        }
        assert_eq!((&all["LayersSize"], &all["BuildCache"][0]["Size"]), (&json!(11), &json!(1)));
        assert_eq!(all["Containers"][0]["Mounts"], json!([{"Type": "volume", "Name": "volume-web"}]));
        assert_eq!(all["Volumes"][0]["UsageData"], json!({"Size": 3, "RefCount": 1}));
        let some = read(Some(&covered())).to_string();
        assert!(some.contains("volume-web") && !some.contains("vault"), "{some}");
        assert_eq!(disk(br#"{"Images":7}"#, &config(), None), Err(NotDocker));
    }

    #[test]
    fn images_are_told_by_name_and_size() {
        let text = json!([image("web"), image("vault")]).to_string();
        let all = readable_images(text.as_bytes(), None).unwrap();
        assert!(all[1].came_from("vault") && !all[1].came_from("web") && !all[1].came_from("vault@sha256"));
        let out = String::from_utf8(images(&all).unwrap()).unwrap();
        assert!(!out.contains("SEEN") && out.contains("vault@sha256:1"), "{out}");
        let some = readable_images(text.as_bytes(), Some(&covered())).unwrap();
        assert!(some.len() == 1 && some[0].came_from("web"));
    }

    #[test]
    fn of_a_registry_only_the_digest_comes_back() {
        let text =
            r#"{"Descriptor":{"mediaType":"SEEN","digest":"sha256:1","size":3},"Platforms":[{"os":"SEEN"}]}"#;
        let out = distribution(text.as_bytes()).unwrap();
        assert_eq!(out, br#"{"Descriptor":{"digest":"sha256:1"}}"#);
        assert_eq!(distribution(b"{}"), Err(NotDocker));
    }
}
