//! The few fields that are read of the engine's JSON; anything may be missing.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(super) struct Version {
    #[serde(rename = "Version")]
    pub version: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Summary {
    pub id: String,
    #[serde(default)]
    pub names: Option<Vec<String>>,
    #[serde(default)]
    pub image: String,
    #[serde(default)]
    pub labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub state: String,
    #[serde(default)]
    pub status: String,
    #[serde(default, rename = "ImageID")]
    pub image_id: String,
    #[serde(default)]
    pub ports: Option<Vec<Port>>,
    #[serde(default)]
    pub mounts: Option<Vec<Mount>>,
    #[serde(default)]
    pub size_rw: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Port {
    #[serde(default, rename = "IP")]
    pub ip: Option<String>,
    #[serde(default)]
    pub private_port: u16,
    #[serde(default)]
    pub public_port: Option<u16>,
    #[serde(default)]
    pub r#type: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Mount {
    #[serde(default)]
    pub r#type: String,
    #[serde(default)]
    pub name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Image {
    pub id: String,
    #[serde(default)]
    pub repo_digests: Option<Vec<String>>,
    #[serde(default)]
    pub size: i64,
    #[serde(default)]
    pub shared_size: i64,
    #[serde(default)]
    pub containers: i64,
}

/// What a registry has under a name, as the engine asked it.
#[derive(Debug, Deserialize)]
pub(super) struct Distribution {
    #[serde(rename = "Descriptor")]
    pub descriptor: Descriptor,
}

#[derive(Debug, Deserialize)]
pub(super) struct Descriptor {
    #[serde(alias = "Digest")]
    pub digest: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DiskUsage {
    #[serde(default)]
    pub layers_size: Option<i64>,
    #[serde(default)]
    pub images: Option<Vec<Image>>,
    #[serde(default)]
    pub containers: Option<Vec<Summary>>,
    #[serde(default)]
    pub volumes: Option<Vec<Volume>>,
    #[serde(default)]
    pub build_cache: Option<Vec<BuildCache>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Volume {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub usage_data: Option<VolumeUsage>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct VolumeUsage {
    #[serde(default)]
    pub size: i64,
    #[serde(default)]
    pub ref_count: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct BuildCache {
    #[serde(default)]
    pub size: i64,
    #[serde(default)]
    pub in_use: bool,
    #[serde(default)]
    pub shared: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inspect {
    pub id: String,
    pub state: StateWire,
    #[serde(default)]
    pub restart_count: i64,
    #[serde(default)]
    pub config: ConfigWire,
    #[serde(default)]
    pub host_config: HostConfigWire,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StateWire {
    #[serde(default)]
    pub status: String,
    #[serde(default, rename = "OOMKilled")]
    pub oom_killed: bool,
    #[serde(default)]
    pub exit_code: i64,
    #[serde(default)]
    pub error: String,
    #[serde(default)]
    pub started_at: String,
    #[serde(default)]
    pub finished_at: String,
    #[serde(default)]
    pub health: Option<HealthWire>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HealthWire {
    #[serde(default)]
    pub status: String,
    #[serde(default)]
    pub failing_streak: i64,
    #[serde(default)]
    pub log: Option<Vec<ProbeWire>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ProbeWire {
    #[serde(default)]
    pub end: String,
    #[serde(default)]
    pub exit_code: i64,
    #[serde(default)]
    pub output: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ConfigWire {
    #[serde(default)]
    pub image: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HostConfigWire {
    #[serde(default)]
    pub restart_policy: Option<PolicyWire>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PolicyWire {
    #[serde(default)]
    pub name: String,
}

/// One line of the stream of events.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    #[serde(default, rename = "Action")]
    pub action: String,
    #[serde(default, rename = "Actor")]
    pub actor: EventActor,
    #[serde(default)]
    pub time: i64,
    #[serde(default, rename = "timeNano")]
    pub time_nano: i64,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct EventActor {
    #[serde(default, rename = "ID")]
    pub id: String,
    #[serde(default, rename = "Attributes")]
    pub attributes: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Sample {
    #[serde(default)]
    pub read: String,
    #[serde(default)]
    pub cpu_stats: Cpu,
    #[serde(default)]
    pub memory_stats: Memory,
    #[serde(default)]
    pub networks: Option<BTreeMap<String, Network>>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Cpu {
    #[serde(default)]
    pub cpu_usage: CpuUsage,
    #[serde(default)]
    pub system_cpu_usage: Option<u64>,
    #[serde(default)]
    pub online_cpus: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct CpuUsage {
    #[serde(default)]
    pub total_usage: u64,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Memory {
    #[serde(default)]
    pub usage: Option<u64>,
    #[serde(default)]
    pub limit: Option<u64>,
    #[serde(default)]
    pub stats: Option<BTreeMap<String, u64>>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Network {
    #[serde(default)]
    pub rx_bytes: u64,
    #[serde(default)]
    pub tx_bytes: u64,
}
