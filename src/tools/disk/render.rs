//! Filesystems and Docker's share of them as tables, sentences and warnings.

use jiff::Timestamp;

use super::{
    filesystems::{Filesystem, Filesystems},
    measured::OfHost,
};
use crate::{
    docker::{DiskUsage, VolumeUsage},
    domain::{Block, HostName, Level, Outcome, ToolError, ToolOutput},
    tools::{
        scope::{Scope, Seen},
        units,
    },
};

/// From here on a filesystem is said to be nearly full, in percent of space or inodes.
const NEARLY_FULL: f64 = 90.0;
/// So many of the largest containers and volumes are shown.
const LARGEST: usize = 10;
/// So many filesystems are shown.
const MOST_FILESYSTEMS: usize = 30;

/// Lines for the model and blocks for the person, side by side.
#[derive(Default)]
struct Page {
    lines: Vec<String>,
    blocks: Vec<Block>,
}

impl Page {
    fn warn(&mut self, line: String) {
        self.blocks.push(Block::notice(Level::Warning, line.clone()));
        self.lines.push(line);
    }

    fn table(&mut self, title: &str, columns: &[&str], rows: Vec<Vec<String>>) {
        if rows.is_empty() {
            return;
        }
        self.lines.push(format!("{title} ({}):", columns.join(", ")));
        self.lines.extend(rows.iter().map(|row| format!("- {}", row.join(", "))));
        let columns = columns.iter().map(|c| (*c).to_owned()).collect();
        self.blocks.push(Block::Table { title: Some(title.to_owned()), columns, rows });
    }
}

fn size(bytes: u64) -> String {
    units::bytes(bytes as f64)
}

/// # Errors
/// The first host's failure, when nothing at all could be looked at.
pub(super) fn output(
    scope: &Scope,
    filesystems: Filesystems,
    measured: &[OfHost],
    now: Timestamp,
) -> Result<ToolOutput, ToolError> {
    let answered: Vec<_> = measured.iter().filter_map(|m| Some((&m.host, m.usage.as_ref().ok()?))).collect();
    if answered.is_empty() && filesystems.all.is_empty() {
        let failure = measured.iter().find_map(|m| m.usage.as_ref().err().cloned());
        return Err(failure.map_or_else(|| scope.nothing("no disk could be looked at"), ToolError::from));
    }
    let summary = summary(&filesystems.all, &answered);
    let mut page = Page { lines: vec![summary.clone()], blocks: vec![Block::text(summary.clone())] };
    for full in filesystems.all.iter().filter_map(nearly_full) {
        page.warn(full);
    }
    for m in measured {
        if let Err(e) = &m.usage {
            page.warn(format!("Incomplete: {e}"));
        }
    }
    // Without a customer each host that is down is a failed measurement already.
    for gap in scope.gaps().iter().filter(|_| scope.customer.is_some()) {
        page.warn(format!("Incomplete: {gap}"));
    }
    page.lines.extend(filesystems.notes.iter().cloned());
    page.blocks.extend(filesystems.notes.iter().map(|n| Block::notice(Level::Info, n.clone())));
    let shown = filesystems.all.iter().take(MOST_FILESYSTEMS).map(row).collect();
    page.table("filesystems", &["used", "free", "size", "inodes", "mount", "host"], shown);
    let omitted = filesystems.all.len().saturating_sub(MOST_FILESYSTEMS);
    if omitted > 0 {
        page.lines.push(format!("{omitted} less full ones are not shown"));
    }
    shares(&mut page, &answered, now);
    largest(&mut page, scope, &answered);
    let Page { lines, blocks } = page;
    Ok(ToolOutput { outcome: Outcome::Ok, summary, text: lines.join("\n"), blocks })
}

type Answered<'a> = (&'a HostName, &'a (Timestamp, DiskUsage));

fn summary(filesystems: &[Filesystem], answered: &[Answered<'_>]) -> String {
    let disks = match filesystems {
        [] => "no filesystem was seen".to_owned(),
        [one] => format!("1 filesystem, {} used", percent(one.used_percent)),
        [first, ..] => {
            let most = filesystems.iter().map(|f| f.used_percent).fold(first.used_percent, f64::max);
            format!("{} filesystems, the fullest {} used", filesystems.len(), percent(most))
        }
    };
    let bytes = answered.iter().map(|(_, (_, usage))| usage.bytes()).sum();
    let free = answered.iter().map(|(_, (_, usage))| usage.reclaimable()).sum();
    let hosts = if answered.len() == 1 { "1 host".to_owned() } else { format!("{} hosts", answered.len()) };
    format!("{disks}; Docker keeps {} on {hosts}, {} of it unused", size(bytes), size(free))
}

fn percent(value: f64) -> String {
    units::with_unit(value, "%")
}

fn nearly_full(f: &Filesystem) -> Option<String> {
    let place = format!("{} on {}", f.mount, f.host);
    if f.used_percent >= NEARLY_FULL {
        let free = units::bytes(f.available);
        return Some(format!("{place} is nearly full: {} used, {free} free", percent(f.used_percent)));
    }
    let inodes = f.inodes_percent.filter(|i| *i >= NEARLY_FULL)?;
    Some(format!("{place} is nearly out of inodes: {} used; many small files do that", percent(inodes)))
}

fn row(f: &Filesystem) -> Vec<String> {
    vec![
        percent(f.used_percent),
        units::bytes(f.available),
        units::bytes(f.size),
        f.inodes_percent.map(percent).unwrap_or_default(),
        f.mount.clone(),
        f.host.clone(),
    ]
}

fn shares(page: &mut Page, answered: &[Answered<'_>], now: Timestamp) {
    let mut rows = Vec::new();
    for (host, (at, usage)) in answered {
        for (kind, share) in usage.shares() {
            let in_use = format!("{} of {}", share.active, share.count);
            rows.push(vec![
                kind.into(),
                in_use,
                size(share.bytes),
                size(share.reclaimable),
                host.to_string(),
            ]);
        }
        let age = units::since(*at, now);
        if age.as_secs() > 0 {
            page.lines.push(format!("Docker on {host} was measured {} ago", units::span(age)));
        }
    }
    page.table("Docker", &["what", "in use", "size", "unused", "host"], rows);
}

/// Whose the largest containers and volumes are.
fn largest(page: &mut Page, scope: &Scope, answered: &[Answered<'_>]) {
    let all = scope.containers();
    let mut layers = Vec::new();
    let mut volumes = Vec::new();
    for (host, (_, usage)) in answered {
        let here: Vec<_> = all.iter().filter(|s| s.listed.host == **host).collect();
        for (id, bytes) in usage.layers.iter().filter(|(_, bytes)| *bytes > 0) {
            if let Some(seen) = here.iter().find(|s| s.listed.id == *id) {
                let row = vec![seen.listed.name.clone(), seen.whose(), size(*bytes), host.to_string()];
                layers.push((*bytes, row));
            }
        }
        for volume in &usage.each_volume {
            let users: Vec<_> =
                here.iter().filter(|s| s.listed.volumes.contains(&volume.name)).copied().collect();
            if scope.customer.is_some() && users.is_empty() {
                continue;
            }
            let row = vec![volume.name.clone(), owner(volume, &users), size(volume.bytes), host.to_string()];
            volumes.push((volume.bytes, row));
        }
    }
    let columns = |first: &'static str| [first, "whose", "size", "host"];
    page.table("largest containers (what they wrote outside volumes)", &columns("container"), top(layers));
    page.table("largest volumes", &columns("volume"), top(volumes));
}

fn top(mut rows: Vec<(u64, Vec<String>)>) -> Vec<Vec<String>> {
    rows.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    rows.into_iter().take(LARGEST).map(|(_, row)| row).collect()
}

fn owner(volume: &VolumeUsage, users: &[&Seen<'_>]) -> String {
    match (users, &volume.project, volume.users) {
        ([], Some(project), 0) => format!("unused, of compose project {project}"),
        ([], None, 0) => "unused".into(),
        ([], Some(project), _) => format!("compose project {project}"),
        ([], None, n) => format!("{n} containers"),
        (users, ..) => {
            let mut names: Vec<_> = users.iter().map(|s| s.whose()).collect();
            names.sort();
            names.dedup();
            names.join(", ")
        }
    }
}
