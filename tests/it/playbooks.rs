//! The playbooks that are shipped fit the tools of this build.

use std::path::Path;

use opsbot::{
    app::{self, Backends},
    config::{self, Env},
};

#[test]
fn every_shipped_playbook_is_right_and_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = format!("[playbooks]\ndir = \"{}\"\n", root.join("playbooks").display());
    rustls::crypto::ring::default_provider().install_default().ok();
    let config = config::parse(Path::new("config.toml"), &text, &Env::new([("HOME", "/home/anna")])).unwrap();
    let Backends { playbooks, .. } = app::backends(&config, None).unwrap();
    assert!(playbooks.problems().is_empty(), "{:?}", playbooks.problems());
    assert!(!playbooks.all().is_empty());
    let docs = std::fs::read_to_string(root.join("docs/playbooks.md")).unwrap();
    for playbook in playbooks.all() {
        assert!(
            docs.contains(&format!("`{}`", playbook.name)),
            "{} is not in docs/playbooks.md",
            playbook.name
        );
    }
}
