//! How full filesystems are: by the node exporter of each host, else of this host by asking the kernel.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::Duration,
};

use jiff::Timestamp;
use nix::sys::statvfs::{Statvfs, statvfs};
use tokio::{task, time};

use crate::{
    domain::{HostName, ToolError, Untrusted},
    prometheus::{Answer, InstantSeries, Labels, Prometheus},
};

/// Filesystems that hold nobody's data.
const PSEUDO: &str =
    "tmpfs|devtmpfs|overlay|squashfs|ramfs|rootfs|nsfs|proc|sysfs|cgroup2?|autofs|iso9660|erofs|fuse[.].*";
/// Labels that name a host better than the exporter's address does.
const HOST_LABELS: [&str; 4] = ["host", "hostname", "nodename", "node"];
/// More mounts than this are not looked at.
const MOST_MOUNTS: usize = 200;
/// A disk that does not answer by then is broken.
const LOOK_WITHIN: Duration = Duration::from_secs(5);

/// One filesystem, sizes in bytes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Filesystem {
    pub host: String,
    pub mount: String,
    pub size: f64,
    /// What programs may still write; the kernel keeps some for root.
    pub available: f64,
    /// As `df` counts: of what is used or available.
    pub used_percent: f64,
    /// Inodes in use; none where the filesystem makes them as needed.
    pub inodes_percent: Option<f64>,
}

/// The filesystems in scope, the fullest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Filesystems {
    pub all: Vec<Filesystem>,
    /// What the reader has to know: who was asked, what is missing.
    pub notes: Vec<String>,
}

impl Filesystems {
    /// `host` narrows to that host's; `local` tells whether this host is in scope.
    pub async fn look(
        prometheus: Option<&Prometheus>,
        host: Option<&HostName>,
        local: bool,
        now: Timestamp,
    ) -> Self {
        let mut notes = Vec::new();
        if let Some(prometheus) = prometheus {
            match of_exporters(prometheus, now).await {
                Ok(all) if !all.is_empty() => return Self { all, notes }.narrowed(host).sorted(),
                Ok(_) => notes.push("Prometheus has no filesystems of a node exporter".into()),
                Err(e) => notes.push(format!("Prometheus was asked for filesystems: {e}")),
            }
        }
        if !local {
            notes.push("the filesystems of another host need its node exporter in Prometheus".into());
            return Self { all: vec![], notes };
        }
        let looked = time::timeout(LOOK_WITHIN, task::spawn_blocking(of_this_host)).await;
        let all = match looked {
            Ok(Ok(Ok(all))) => all,
            Ok(Ok(Err(e))) => {
                notes.push(format!("the mounts of this host cannot be read ({e})"));
                vec![]
            }
            Ok(Err(_)) | Err(_) => {
                notes.push("a disk of this host does not answer".into());
                vec![]
            }
        };
        Self { all, notes }.sorted()
    }

    fn narrowed(mut self, host: Option<&HostName>) -> Self {
        let Some(host) = host else { return self };
        let is_its = |f: &Filesystem| {
            let name = f.host.rsplit_once(':').map_or(f.host.as_str(), |(name, _)| name);
            let short = name.split('.').next().unwrap_or(name);
            [f.host.as_str(), name, short].iter().any(|n| n.eq_ignore_ascii_case(host.as_str()))
        };
        if self.all.iter().any(is_its) {
            self.all.retain(is_its);
        } else {
            self.notes.push(format!("no node exporter is called {host}: filesystems of all hosts are shown"));
        }
        self
    }

    fn sorted(mut self) -> Self {
        let fullest = |f: &Filesystem| f.used_percent.max(f.inodes_percent.unwrap_or(0.0));
        self.all.sort_by(|a, b| {
            fullest(b).total_cmp(&fullest(a)).then_with(|| (&a.host, &a.mount).cmp(&(&b.host, &b.mount)))
        });
        self
    }
}

/// One device may be mounted in many places: the shortest path stands for it.
type Devices = BTreeMap<(String, String), Filesystem>;

fn keep(devices: &mut Devices, device: String, new: Filesystem) {
    let key = (new.host.clone(), device);
    match devices.get(&key) {
        Some(old) if old.mount.len() <= new.mount.len() => {}
        _ => {
            devices.insert(key, new);
        }
    }
}

/// Bytes or inodes: all, free, and available to programs.
fn used_percent(size: f64, free: f64, available: f64) -> Option<f64> {
    let used = (size - free).max(0.0);
    let percent = used / (used + available.max(0.0)) * 100.0;
    (size > 0.0 && percent.is_finite()).then_some(percent)
}

async fn of_exporters(prometheus: &Prometheus, now: Timestamp) -> Result<Vec<Filesystem>, ToolError> {
    let ask = |name: &'static str| {
        let query = format!("node_filesystem_{name}{{fstype!~\"{PSEUDO}\"}}");
        async move { prometheus.query(&query, now).await }
    };
    let (size, free, available, files, files_free) = tokio::try_join!(
        ask("size_bytes"),
        ask("free_bytes"),
        ask("avail_bytes"),
        ask("files"),
        ask("files_free")
    )?;
    let [free, available, files, files_free] = [free, available, files, files_free].map(by_labels);
    let mut devices = Devices::new();
    for one in size.series {
        let key = key(&one.labels);
        let value = |of: &BTreeMap<Key, f64>| of.get(&key).copied();
        let (Some(free), Some(available)) = (value(&free), value(&available)) else { continue };
        let Some(used) = used_percent(one.value, free, available) else { continue };
        let inodes =
            value(&files).zip(value(&files_free)).and_then(|(all, free)| used_percent(all, free, free));
        let (_, device, mount) = &key;
        let filesystem = Filesystem {
            host: host(&one.labels),
            mount: mount.clone(),
            size: one.value,
            available,
            used_percent: used,
            inodes_percent: inodes,
        };
        keep(&mut devices, device.clone(), filesystem);
    }
    Ok(devices.into_values().collect())
}

/// Instance, device and mount point.
type Key = (String, String, String);

fn label(labels: &Labels, name: &str) -> String {
    labels.get(name).map(|v| v.cut(120).to_string()).unwrap_or_default()
}

fn key(labels: &Labels) -> Key {
    (label(labels, "instance"), label(labels, "device"), label(labels, "mountpoint"))
}

fn host(labels: &Labels) -> String {
    let named = HOST_LABELS.iter().map(|name| label(labels, name)).find(|h| !h.is_empty());
    named.unwrap_or_else(|| label(labels, "instance"))
}

fn by_labels(answer: Answer<InstantSeries>) -> BTreeMap<Key, f64> {
    answer.series.iter().map(|one| (key(&one.labels), one.value)).collect()
}

fn of_this_host() -> std::io::Result<Vec<Filesystem>> {
    let mut devices = Devices::new();
    for (device, mount) in mounts(&fs::read_to_string("/proc/self/mounts")?) {
        // One that cannot be looked at is not ours to look at.
        if let Some(filesystem) = statvfs(mount.as_str()).ok().and_then(|s| read(&mount, &s)) {
            keep(&mut devices, device, filesystem);
        }
    }
    Ok(devices.into_values().collect())
}

fn read(mount: &str, s: &Statvfs) -> Option<Filesystem> {
    let block = s.fragment_size() as f64;
    let bytes = |blocks: u64| blocks as f64 * block;
    let (size, free, available) = (bytes(s.blocks()), bytes(s.blocks_free()), bytes(s.blocks_available()));
    let inodes = used_percent(s.files() as f64, s.files_free() as f64, s.files_free() as f64);
    Some(Filesystem {
        host: "this host".into(),
        mount: Untrusted::new(mount).cut(120).to_string(),
        size,
        available,
        used_percent: used_percent(size, free, available)?,
        inodes_percent: inodes,
    })
}

/// Device and place of what holds data here, from the kernel's table. A network filesystem is another host's, and one
/// whose server is gone would not answer.
fn mounts(table: &str) -> Vec<(String, String)> {
    let aside = |path: &str| ["/proc", "/sys", "/dev", "/run"].iter().any(|p| path.starts_with(p));
    let mut seen = BTreeSet::new();
    table
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').map(unescaped);
            let (device, place, kind) = (words.next()?, words.next()?, words.next()?);
            let kept = device.starts_with("/dev/") || kind == "zfs" || place == "/";
            (kept && !aside(&place)).then_some((device, place))
        })
        .filter(|mount| seen.insert(mount.clone()))
        .take(MOST_MOUNTS)
        .collect()
}

/// Blanks and backslashes stand in the table as `\040`.
fn unescaped(word: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(word.to_owned(), |text, (code, c)| text.replace(code, c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_that_hold_data_are_told_from_the_others() {
        let table = "/dev/vda1 / ext4 rw 0 0\nproc /proc proc rw 0 0\ntmpfs /run tmpfs rw 0 0\n\
                     /dev/vdb /srv/my\\040data xfs rw 0 0\nserver:/x /mnt/nfs nfs4 rw 0 0\n\
                     /dev/vda1 /etc/hosts ext4 rw 0 0\ntank/a /tank zfs rw 0 0\n/dev/loop0 /dev/x ext4 rw 0 0\nbroken\n";
        let want = [
            ("/dev/vda1", "/"),
            ("/dev/vdb", "/srv/my data"),
            ("/dev/vda1", "/etc/hosts"),
            ("tank/a", "/tank"),
        ];
        assert_eq!(mounts(table), want.map(|(d, m)| (d.to_owned(), m.to_owned())));
        assert_eq!(mounts("overlay / overlay rw 0 0\n").len(), 1, "the root of a container");
    }

    fn filesystem(host: &str, mount: &str, used: f64, inodes: Option<f64>) -> Filesystem {
        Filesystem {
            host: host.into(),
            mount: mount.into(),
            size: 100.0,
            available: 100.0 - used,
            used_percent: used,
            inodes_percent: inodes,
        }
    }

    #[test]
    fn the_fullest_comes_first_by_space_or_by_inodes() {
        let all = vec![
            filesystem("a:9100", "/", 50.0, Some(1.0)),
            filesystem("a:9100", "/var", 10.0, Some(99.0)),
            filesystem("b.example:9100", "/", 80.0, None),
        ];
        let sorted = Filesystems { all, notes: vec![] }.sorted();
        let mounts =
            |f: &Filesystems| f.all.iter().map(|f| format!("{} {}", f.host, f.mount)).collect::<Vec<_>>();
        assert_eq!(mounts(&sorted), ["a:9100 /var", "b.example:9100 /", "a:9100 /"]);
        let of_b = sorted.clone().narrowed(Some(&"B".into()));
        assert_eq!((mounts(&of_b), of_b.notes.len()), (vec!["b.example:9100 /".to_owned()], 0));
        let of_c = sorted.narrowed(Some(&"c".into()));
        assert_eq!((of_c.all.len(), of_c.notes.len()), (3, 1));
    }

    #[test]
    fn percentages_are_those_of_df() {
        for (size, free, available, want) in [
            (100.0, 50.0, 50.0, Some(50.0)),
            (100.0, 10.0, 0.0, Some(100.0)),
            (100.0, 20.0, 15.0, Some(80.0 / 95.0 * 100.0)),
            (0.0, 0.0, 0.0, None),
            (f64::NAN, 0.0, 0.0, None),
        ] {
            assert_eq!(used_percent(size, free, available), want, "{size} {free} {available}");
        }
    }

    #[test]
    fn a_device_stands_once_by_its_shortest_place() {
        let mut devices = Devices::new();
        for mount in ["/etc/hosts", "/", "/srv"] {
            keep(&mut devices, "/dev/vda".into(), filesystem("h", mount, 1.0, None));
        }
        assert_eq!(devices.into_values().map(|f| f.mount).collect::<Vec<_>>(), ["/"]);
    }

    #[test]
    fn this_host_has_a_root() {
        let all = of_this_host().unwrap();
        let root = all.iter().find(|f| f.mount == "/").unwrap();
        assert!(root.size > 0.0 && (0.0..=100.0).contains(&root.used_percent), "{root:?}");
    }
}
