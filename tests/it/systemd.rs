//! The unit file, judged by systemd's own tools.

use std::{fs, path::Path, process::Command};

/// A rating is the exposure times ten; a bare unit has 92.
const WORST_RATING: u32 = 20;

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/opsbot.service");
    let text = fs::read_to_string(&unit).unwrap();
    let installed = "/usr/local/bin/opsbot";
    assert_eq!(text.matches(&format!("ExecStart={installed} ")).count(), 1, "{text}");
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("opsbot.service");
    fs::write(&copy, text.replace(installed, env!("CARGO_BIN_EXE_opsbot"))).unwrap();
    let verify = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&copy).output();
    let verify = match verify {
        Ok(verify) => verify,
        Err(error) => return crate::prometheus::missing(&format!("systemd-analyze ({error})")),
    };
    // It succeeds even on an unknown key: any word is a fault.
    let said = [verify.stdout, verify.stderr].concat();
    assert!(verify.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
    let security = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", &format!("--threshold={WORST_RATING}")])
        .arg(&copy)
        .output()
        .unwrap();
    assert!(security.status.success(), "{}", String::from_utf8_lossy(&security.stdout));
}
