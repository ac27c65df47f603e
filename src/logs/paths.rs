//! From a glob over paths to the files that it means, rotated siblings with their logs.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
    sync::LazyLock,
};

use globset::{Glob, GlobBuilder, GlobMatcher};
use regex::Regex;

/// So many entries of one folder are looked at.
const ENTRIES: usize = 20_000;
/// So many folders may fit one glob.
const FOLDERS: usize = 200;

/// A glob over absolute paths; `*`, `?`, `[…]` and `{a,b}` stand for parts of one name, never for several folders.
#[derive(Clone, Debug)]
pub struct PathGlob {
    text: String,
    /// The folder that no wildcard precedes.
    root: PathBuf,
    folders: Vec<GlobMatcher>,
    name: GlobMatcher,
}

impl PartialEq for PathGlob {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl PathGlob {
    /// Reads a glob.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        let path = Path::new(text);
        if !path.is_absolute() || text.ends_with('/') {
            return Err(format!("`{text}` is no absolute path of files, such as /var/log/nginx/shop-*.log"));
        }
        let mut names = Vec::new();
        for part in path.components() {
            match part {
                Component::Normal(name) => names.push(name.to_str().ok_or("is no UTF-8")?.to_owned()),
                Component::RootDir => {}
                Component::ParentDir | Component::CurDir | Component::Prefix(_) => {
                    return Err(format!("`{text}` holds `..`; write the path itself"));
                }
            }
        }
        if names.iter().any(|n| n.contains("**")) {
            return Err(format!("`{text}` holds `**`; write one `*` for each folder"));
        }
        let name = names.pop().ok_or_else(|| format!("`{text}` names no file"))?;
        let wild = names.iter().position(|n| n.contains(['*', '?', '[', '{'])).unwrap_or(names.len());
        let folders = names.split_off(wild);
        let root = names.iter().fold(PathBuf::from("/"), |path, name| path.join(name));
        let folders = folders.iter().map(|f| matcher(f)).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), root, folders, name: matcher(&name)? })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The files that are written to now, without their rotated siblings. Symbolic links are among them; whoever opens
    /// one should not follow it.
    ///
    /// # Errors
    /// When no folder of it can be listed.
    pub fn live(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for folder in self.folders()? {
            let files = self.list(&folder)?;
            let live =
                files.into_iter().filter(|(place, _)| !place.is_old() && place.packing == Packing::Plain);
            found.extend(live.map(|(_, name)| folder.join(name)));
        }
        Ok(found)
    }

    /// The folders that may hold its files. No symbolic link is followed where a wildcard stands.
    pub(super) fn folders(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = vec![self.root.clone()];
        for wanted in &self.folders {
            let mut next = Vec::new();
            for folder in found {
                // One folder that cannot be listed must not hide the others.
                let Ok(entries) = fs::read_dir(&folder) else { continue };
                for entry in entries.take(ENTRIES).flatten() {
                    let fits = entry.file_name().to_str().is_some_and(|name| wanted.is_match(name));
                    if fits && entry.file_type().is_ok_and(|t| t.is_dir()) && next.len() < FOLDERS {
                        next.push(entry.path());
                    }
                }
            }
            next.sort();
            found = next;
        }
        Ok(found)
    }

    /// The files of a folder that it means: each one's log, its place in that log, its name.
    pub(super) fn list(&self, folder: &Path) -> io::Result<Vec<(Place, String)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder)?.take(ENTRIES) {
            let Ok(name) = entry?.file_name().into_string() else { continue };
            let place = Place::of(&name);
            if self.name.is_match(&name) || self.name.is_match(&place.log) {
                found.push((place, name));
            }
        }
        found.sort();
        Ok(found)
    }
}

fn matcher(text: &str) -> Result<GlobMatcher, String> {
    let glob: Glob = GlobBuilder::new(text)
        .literal_separator(true)
        .build()
        .map_err(|e| format!("`{text}` is no glob ({})", e.kind()))?;
    Ok(glob.compile_matcher())
}

/// Where a file stands among the files of one log; the newest is the smallest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The log's name: the file's without date, number and compression.
    pub log: String,
    /// The file's date, newest first; a file without one is still written to.
    date: Option<std::cmp::Reverse<String>>,
    /// logrotate's number.
    number: Option<u32>,
    /// How the file is packed.
    pub packing: Packing,
}

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Packing {
    Plain,
    Gzip,
    /// In a way that is not read here.
    Foreign,
}

/// The tests prove that they compile.
static DATE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"[-._]?((?:19|20)\d\d-?[01]\d-?[0-3]\d(?:[-_T.]?\d{2,12}(?:\D|$))?)").ok());
static NUMBER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\.(\d{1,4})$").ok());

impl Place {
    pub(super) fn of(name: &str) -> Self {
        let packings = [
            (".gz", Packing::Gzip),
            (".bz2", Packing::Foreign),
            (".xz", Packing::Foreign),
            (".zst", Packing::Foreign),
        ];
        let packed = packings.iter().find_map(|(end, packing)| Some((name.strip_suffix(end)?, *packing)));
        let (mut rest, packing) = packed.unwrap_or((name, Packing::Plain));
        let mut number = None;
        if let Some(found) = NUMBER.as_ref().and_then(|p| p.captures(rest)) {
            number = found.get(1).and_then(|m| m.as_str().parse().ok());
            rest = found.get(0).and_then(|m| rest.get(..m.start())).unwrap_or(rest);
        }
        let dated = DATE.as_ref().and_then(|p| p.captures(rest)).and_then(|c| {
            let (all, date) = (c.get(0)?, c.get(1)?.as_str());
            let digits: String = date.chars().filter(char::is_ascii_digit).collect();
            // A separator behind the time belongs to the name's rest.
            let end = all.start() + all.as_str().trim_end_matches(|c: char| !c.is_ascii_digit()).len();
            let log = format!("{}{}", rest.get(..all.start())?, rest.get(end..)?);
            (!log.is_empty()).then_some((log, digits))
        });
        match dated {
            Some((log, date)) => Self { log, date: Some(std::cmp::Reverse(date)), number, packing },
            None => Self { log: rest.to_owned(), date: None, number, packing },
        }
    }

    /// The same file, packed or not.
    pub(super) fn same_file(&self, other: &Self) -> bool {
        (&self.log, &self.date, self.number) == (&other.log, &other.date, other.number)
    }

    /// A file that nobody writes to any more.
    pub(super) fn is_old(&self) -> bool {
        self.date.is_some() || self.number.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_files_are_told_in_time_order() {
        let mut names = [
            "x.log.10.gz",
            "x.log.2.gz",
            "x.log",
            "x.log.1",
            "y-2026-11-20.log",
            "y-2026-11-21.log",
            "z.log-20261120.gz",
            "z.log",
            "z.log-20261121",
            "z.log-20261121-1795278001",
            "plain",
            "20261121.log",
        ]
        .map(|n| (Place::of(n), n));
        names.sort();
        let got: Vec<_> = names.iter().map(|(place, name)| format!("{}={name}", place.log)).collect();
        assert_eq!(
            got,
            [
                ".log=20261121.log",
                "plain=plain",
                "x.log=x.log",
                "x.log=x.log.1",
                "x.log=x.log.2.gz",
                "x.log=x.log.10.gz",
                "y.log=y-2026-11-21.log",
                "y.log=y-2026-11-20.log",
                "z.log=z.log",
                "z.log=z.log-20261121-1795278001",
                "z.log=z.log-20261121",
                "z.log=z.log-20261120.gz",
            ]
        );
        assert!(Place::of("x.log.1").same_file(&Place::of("x.log.1.gz")));
        assert_eq!(Place::of("a.log.xz").packing, Packing::Foreign);
        assert_eq!(Place::of("app-1.2.3.log").log, "app-1.2.3.log");
    }

    #[test]
    fn globs_are_read_or_refused() {
        for good in ["/var/log/nginx/shop-*.log", "/srv/*/log/a?.log", "/x.log"] {
            assert!(PathGlob::new(good).is_ok(), "{good}");
        }
        for bad in ["shop.log", "/var/log/", "/var/**/x.log", "/var/../x.log", "/var/log/[", "/"] {
            assert!(PathGlob::new(bad).is_err(), "{bad}");
        }
    }
}
