//! Debian's amtool against our API, as a person at a terminal uses it.

use std::{fs, process::Command};

use tempfile::TempDir;

use super::rig::{Rig, TOKEN};
use crate::cache::have;

struct Amtool {
    url: String,
    dir: TempDir,
}

impl Amtool {
    fn new(url: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("http.yml"), format!("authorization:\n  credentials: {TOKEN}\n")).unwrap();
        Self { url: url.into(), dir }
    }

    /// What it says on success; what it complains about else.
    async fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let file = format!("--http.config.file={}", self.dir.path().join("http.yml").display());
        self.run_bare(&[arguments, &[file.as_str()]].concat()).await
    }

    /// The same without the file that holds the token.
    async fn run_bare(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new("amtool");
        command.env("HOME", self.dir.path()).args(arguments).arg(format!("--alertmanager.url={}", self.url));
        let ran = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if ran.status.success() { Ok(text(&ran.stdout)) } else { Err(text(&ran.stderr) + &text(&ran.stdout)) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_and_silences_are_handled_from_a_terminal() {
    if !have("amtool") {
        return;
    }
    let rig = Rig::start().await;
    let am = Amtool::new(&rig.at.url);
    for alert in ["alertname=Down", "alertname=Slow"] {
        let labels = ["alert", "add", alert, "customer=19", "service=web", "--annotation=summary=it is so"];
        assert_eq!(am.run(&labels).await, Ok(String::new()), "{alert}");
    }
    let listed = am.run(&["alert", "query", "--output=extended"]).await.unwrap();
    assert!(listed.contains("alertname=\"Down\"") && listed.contains("summary=\"it is so\""), "{listed}");
    let one = am.run(&["alert", "query", "alertname=~S.*", "--output=simple"]).await.unwrap();
    assert!(one.contains("Slow") && !one.contains("Down"), "{one}");

    let id = am
        .run(&["silence", "add", "alertname=Down", "--duration=1h", "--author=anna", "--comment=known"])
        .await
        .unwrap();
    assert_eq!(id.len(), 36, "{id}");
    let listed = am.run(&["silence", "query", "--output=extended"]).await.unwrap();
    assert!(listed.contains(&id) && listed.contains("anna") && listed.contains("known"), "{listed}");
    assert_eq!(am.run(&["silence", "query", "-q", "alertname=Down"]).await.as_deref(), Ok(id.as_str()));
    let active = am.run(&["alert", "query", "--active"]).await.unwrap();
    assert!(active.contains("Slow") && !active.contains("Down"), "{active}");
    let silenced = am.run(&["alert", "query", "--silenced"]).await.unwrap();
    assert!(silenced.contains("Down"), "{silenced}");
    let updated = am.run(&["silence", "update", "--duration=3h", &id, "--output=json"]).await;
    assert!(updated.is_ok(), "{updated:?}");
    let id = am.run(&["silence", "query", "-q"]).await.unwrap();
    assert_eq!(id.lines().count(), 1, "{id}");
    assert_eq!(am.run(&["silence", "expire", &id]).await, Ok(String::new()));
    assert_eq!(am.run(&["silence", "query", "-q"]).await, Ok(String::new()));
    rig.at.until_names("?silenced=false", &["Down", "Slow"]).await;

    let end = format!("--end={}", opsbot::runtime::clock::now());
    let over = ["alert", "add", "alertname=Slow", "customer=19", "service=web", end.as_str()];
    assert_eq!(am.run(&over).await, Ok(String::new()));
    rig.at.until_names("", &["Down"]).await;
    for (arguments, part) in [(["cluster", "show"], "disabled"), (["config", "show"], "receiver: opsbot")] {
        let shown = am.run(&arguments).await;
        assert!(shown.as_ref().is_ok_and(|text| text.contains(part)), "{arguments:?}: {shown:?}");
    }
    let stranger = Amtool { url: rig.at.url.clone(), ..Amtool::new(&rig.at.url) };
    fs::write(stranger.dir.path().join("http.yml"), "authorization:\n  credentials: wrong\n").unwrap();
    let refused = stranger.run(&["alert", "query"]).await.unwrap_err();
    assert!(refused.contains("401"), "{refused}");
    let by_address = Amtool::new(&rig.at.url.replace("http://", &format!("http://am:{TOKEN}@")));
    let listed = by_address.run_bare(&["alert", "query"]).await;
    assert!(listed.is_ok(), "the token may also stand in the address: {listed:?}");
}
