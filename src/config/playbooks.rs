//! `[playbooks]`: where the playbooks are.

use std::path::PathBuf;

use super::{
    PlaybooksConfig,
    reader::{Reader, filled},
};

/// Beside the configuration, unless the file says otherwise.
const DIR: &str = "playbooks";

/// Reads the section; without it the default holds.
pub(super) fn playbooks(r: &mut Reader<'_>) -> PlaybooksConfig {
    let page = r.page();
    let dir = |text: &str| filled(text).map(|text| page.path(&text));
    let written: Option<PathBuf> = r.table("playbooks", |r| r.parsed("dir", dir)).flatten();
    PlaybooksConfig { dir: written.unwrap_or_else(|| page.path(DIR)) }
}
