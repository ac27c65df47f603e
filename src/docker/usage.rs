//! What Docker keeps on a host's disk, and how much of it nobody needs, counted as `docker system df` counts.

use super::{info::State, wire};
use crate::domain::Untrusted;

/// What one kind of object takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// How many there are.
    pub count: usize,
    /// How many of them are in use.
    pub active: usize,
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes that would be free once everything unused was removed.
    pub reclaimable: u64,
}

/// What Docker keeps on the disk of one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// Images; layers that several share count once.
    pub images: Share,
    /// Containers' writable layers.
    pub containers: Share,
    /// Volumes that Docker can measure.
    pub volumes: Share,
    /// The build cache.
    pub build_cache: Share,
    /// Every container's writable layer, largest first: full id and bytes.
    pub layers: Vec<(String, u64)>,
    /// Every measured volume, largest first.
    pub each_volume: Vec<VolumeUsage>,
}

/// What one volume takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeUsage {
    /// Its name, cleaned and cut.
    pub name: String,
    /// The compose project that made it.
    pub project: Option<String>,
    /// Bytes on disk.
    pub bytes: u64,
    /// How many containers use it.
    pub users: u64,
}

const COMPOSE_PROJECT: &str = "com.docker.compose.project";

/// The engine says -1 for what it did not measure.
fn measured(bytes: i64) -> Option<u64> {
    u64::try_from(bytes).ok()
}

impl DiskUsage {
    /// All of it, in bytes.
    pub fn bytes(&self) -> u64 {
        self.shares().iter().map(|(_, s)| s.bytes).sum()
    }

    /// All that could be reclaimed, in bytes.
    pub fn reclaimable(&self) -> u64 {
        self.shares().iter().map(|(_, s)| s.reclaimable).sum()
    }

    /// Each kind with its name on screen.
    pub fn shares(&self) -> [(&'static str, Share); 4] {
        [
            ("images", self.images),
            ("containers", self.containers),
            ("volumes", self.volumes),
            ("build cache", self.build_cache),
        ]
    }

    pub(super) fn read(wire: wire::DiskUsage) -> Self {
        let mut layers: Vec<_> = wire
            .containers
            .iter()
            .flatten()
            .map(|c| (c.id.clone(), c.size_rw.and_then(measured).unwrap_or(0)))
            .collect();
        layers.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        Self {
            images: images(wire.layers_size, &wire.images.unwrap_or_default()),
            containers: containers(&wire.containers.unwrap_or_default()),
            build_cache: build_cache(&wire.build_cache.unwrap_or_default()),
            layers,
            ..volumes(wire.volumes.unwrap_or_default())
        }
    }
}

fn images(layers: Option<i64>, all: &[wire::Image]) -> Share {
    let used = |i: &&wire::Image| i.containers != 0;
    let own = |i: &wire::Image| Some(measured(i.size)?.saturating_sub(measured(i.shared_size)?));
    let bytes = layers.and_then(measured).unwrap_or_else(|| all.iter().filter_map(own).sum());
    let needed: u64 = all.iter().filter(used).filter_map(own).sum();
    Share {
        count: all.len(),
        active: all.iter().filter(used).count(),
        bytes,
        reclaimable: bytes.saturating_sub(needed),
    }
}

fn containers(all: &[wire::Summary]) -> Share {
    let active = |c: &&wire::Summary| {
        matches!(State::read(&c.state), State::Running | State::Paused | State::Restarting)
    };
    let size = |c: &wire::Summary| c.size_rw.and_then(measured).unwrap_or(0);
    let bytes: u64 = all.iter().map(size).sum();
    let needed: u64 = all.iter().filter(active).map(size).sum();
    Share {
        count: all.len(),
        active: all.iter().filter(active).count(),
        bytes,
        reclaimable: bytes.saturating_sub(needed),
    }
}

fn build_cache(all: &[wire::BuildCache]) -> Share {
    let size = |c: &wire::BuildCache| measured(c.size).unwrap_or(0);
    let own: Vec<_> = all.iter().filter(|c| !c.shared).collect();
    Share {
        count: all.len(),
        active: all.iter().filter(|c| c.in_use).count(),
        bytes: own.iter().map(|c| size(c)).sum(),
        reclaimable: own.iter().filter(|c| !c.in_use).map(|c| size(c)).sum(),
    }
}

fn volumes(all: Vec<wire::Volume>) -> DiskUsage {
    let count = all.len();
    let mut each: Vec<_> = all.into_iter().filter_map(volume).collect();
    each.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    let share = Share {
        count,
        active: each.iter().filter(|v| v.users > 0).count(),
        bytes: each.iter().map(|v| v.bytes).sum(),
        reclaimable: each.iter().filter(|v| v.users == 0).map(|v| v.bytes).sum(),
    };
    DiskUsage { volumes: share, each_volume: each, ..DiskUsage::default() }
}

/// None for what Docker cannot measure: another driver keeps it elsewhere.
fn volume(wire: wire::Volume) -> Option<VolumeUsage> {
    let usage = wire.usage_data?;
    let project = wire.labels.and_then(|mut labels| labels.remove(COMPOSE_PROJECT));
    Some(VolumeUsage {
        name: Untrusted::new(&wire.name).cut(128).to_string(),
        project: project.map(|p| Untrusted::new(&p).cut(64).to_string()).filter(|p| !p.is_empty()),
        bytes: measured(usage.size)?,
        users: measured(usage.ref_count).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> DiskUsage {
        DiskUsage::read(serde_json::from_str(text).unwrap())
    }

    #[test]
    fn unused_things_can_be_reclaimed() {
        let (running, exited) = ("a".repeat(64), "b".repeat(64));
        let usage = read(&format!(
            r#"{{"LayersSize": 1000,
            "Images": [{{"Id":"i","Size":600,"SharedSize":100,"Containers":2}}, {{"Id":"j","Size":500,"SharedSize":100,"Containers":0}}],
            "Containers": [{{"Id":"{running}","State":"running","SizeRw":70}}, {{"Id":"{exited}","State":"exited","SizeRw":90}}],
            "Volumes": [{{"Name":"used","Labels":{{"com.docker.compose.project":"shop"}},"UsageData":{{"Size":10,"RefCount":1}}}},
                {{"Name":"left","Labels":null,"UsageData":{{"Size":40,"RefCount":0}}}},
                {{"Name":"nfs","UsageData":{{"Size":-1,"RefCount":1}}}}, {{"Name":"bare"}}],
            "BuildCache": [{{"Size":5,"InUse":false,"Shared":false}}, {{"Size":6,"InUse":true}}, {{"Size":7,"Shared":true}}]}}"#
        ));
        let share = |count, active, bytes, reclaimable| Share { count, active, bytes, reclaimable };
        assert_eq!(usage.images, share(2, 1, 1000, 500));
        assert_eq!(usage.containers, share(2, 1, 160, 90));
        assert_eq!(usage.volumes, share(4, 1, 50, 40));
        assert_eq!(usage.build_cache, share(3, 1, 11, 5));
        assert_eq!((usage.bytes(), usage.reclaimable()), (1221, 635));
        assert_eq!(usage.layers, [(exited, 90), (running, 70)]);
        let volumes: Vec<_> = usage.each_volume.iter().map(|v| (v.name.as_str(), v.bytes, v.users)).collect();
        assert_eq!(volumes, [("left", 40, 0), ("used", 10, 1)]);
        assert_eq!(usage.each_volume[1].project.as_deref(), Some("shop"));
    }

    #[test]
    fn an_empty_engine_keeps_nothing() {
        let nulls = r#"{"LayersSize":0,"Images":null,"Containers":null,"Volumes":null,"BuildCache":null}"#;
        for text in [nulls, "{}"] {
            assert_eq!(read(text), DiskUsage::default());
        }
    }
}
