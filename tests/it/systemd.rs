//! The unit files, judged by systemd's own tools, and the scripts that put them in place.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A rating is the exposure times ten; a bare unit has 92.
const SERVICES: &[(&str, &str, u32)] = &[
    ("opsbot.service", env!("CARGO_BIN_EXE_opsbot"), 15),
    ("opsbot-docker-helper.service", env!("CARGO_BIN_EXE_opsbot-docker-helper"), 8),
];
const SOCKET: &str = "opsbot-docker-helper.socket";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn unit(name: &str) -> String {
    fs::read_to_string(root().join("systemd").join(name)).unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let dir = tempfile::tempdir().unwrap();
    let mut copies = vec![dir.path().join(SOCKET)];
    fs::write(&copies[0], unit(SOCKET)).unwrap();
    for (name, program, _) in SERVICES {
        let text = unit(name);
        let installed = format!("/usr/local/bin/{}", name.strip_suffix(".service").unwrap());
        assert_eq!(
            text.lines().filter(|l| l.starts_with(&format!("ExecStart={installed}"))).count(),
            1,
            "{text}"
        );
        let copy = dir.path().join(name);
        fs::write(&copy, text.replace(&installed, program)).unwrap();
        copies.push(copy);
    }
    let verify = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&copies).output();
    let verify = match verify {
        Ok(verify) => verify,
        Err(error) => return crate::prometheus::missing(&format!("systemd-analyze ({error})")),
    };
    // It succeeds even on an unknown key: any word is a fault.
    assert!(verify.status.success() && said(&verify).is_empty(), "{}", said(&verify));
    for (name, _, worst) in SERVICES {
        let security = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager", &format!("--threshold={worst}")])
            .arg(dir.path().join(name))
            .output()
            .unwrap();
        assert!(security.status.success(), "{}", said(&security));
    }
}

#[test]
fn only_the_helper_may_reach_dockers_socket() {
    let (daemon, helper, socket) = (unit("opsbot.service"), unit(SERVICES[1].0), unit(SOCKET));
    let has = |text: &str, line: &str| text.lines().any(|l| l == line);
    assert!(!daemon.lines().any(|l| l.starts_with("SupplementaryGroups")), "the daemon is in no other group");
    assert!(daemon.contains(&format!("Wants=network-online.target {SOCKET}")));
    for line in ["PrivateNetwork=yes", "RestrictAddressFamilies=AF_UNIX", "SupplementaryGroups=docker opsbot"]
    {
        assert!(has(&helper, line), "{line}");
    }
    // Behind a user namespace of its own every peer's uid would be nobody's.
    assert!(!daemon.contains("\nPrivateUsers=") && !helper.contains("\nPrivateUsers="));
    for line in ["ListenStream=/run/opsbot-docker/docker.sock", "SocketUser=opsbot", "SocketMode=0600"] {
        assert!(has(&socket, line), "{line}");
    }
    // An absent credential is an empty one, which only a configuration that names it refuses.
    assert!(has(&daemon, "LoadCredential=telegram-token:/etc/opsbot/credentials/telegram-token"));
    assert!(has(&daemon, "SetCredential=telegram-token:\\n"));
}

/// A staging folder, and programs to put into it.
struct Stage {
    dir: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let stage = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(stage.programs()).unwrap();
        for (name, _, _) in SERVICES {
            stage.program(name.strip_suffix(".service").unwrap(), "1");
        }
        stage
    }

    fn programs(&self) -> PathBuf {
        self.dir.path().join("programs")
    }

    fn dest(&self) -> PathBuf {
        self.dir.path().join("a root")
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.programs().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn run(&self, script: &str, args: &[&str]) -> Output {
        let mut command = Command::new(root().join("scripts").join(script));
        command.args(args).env("DESTDIR", self.dest()).stdin(std::process::Stdio::null());
        if script == "install" {
            command.arg("--from").arg(self.programs());
        }
        command.output().unwrap()
    }

    #[track_caller]
    fn succeeds(&self, script: &str, args: &[&str]) -> String {
        let output = self.run(script, args);
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    }

    /// Every file and its mode and text, and the folders of the configuration.
    fn files(&self) -> BTreeMap<String, (u32, String)> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.dest()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
                let (path, meta) = (entry.path(), entry.metadata().unwrap());
                let name = path.strip_prefix(self.dest()).unwrap().display().to_string();
                let mode = meta.permissions().mode() & 0o777;
                if meta.is_dir() {
                    if name.starts_with("etc/") {
                        found.insert(name, (mode, String::new()));
                    }
                    folders.push(path);
                } else {
                    found.insert(name, (mode, fs::read_to_string(path).unwrap()));
                }
            }
        }
        found
    }

    fn modes(&self) -> Vec<(String, u32)> {
        self.files().into_iter().map(|(name, (mode, _))| (name, mode)).collect()
    }
}

const CONFIG: &[(&str, u32)] = &[
    ("etc/opsbot", 0o750),
    ("etc/opsbot/config.toml", 0o640),
    ("etc/opsbot/credentials", 0o700),
    ("etc/opsbot/docker-helper.toml", 0o644),
    ("etc/opsbot/playbooks", 0o755),
    ("etc/opsbot/playbooks/recover-web.toml", 0o644),
];
const PROGRAMS: &[(&str, u32)] = &[
    ("usr/lib/sysusers.d/opsbot.conf", 0o644),
    ("usr/local/bin/opsbot", 0o755),
    ("usr/local/bin/opsbot-docker-helper", 0o755),
    ("usr/local/lib/systemd/system/opsbot-docker-helper.service", 0o644),
    ("usr/local/lib/systemd/system/opsbot-docker-helper.socket", 0o644),
    ("usr/local/lib/systemd/system/opsbot.service", 0o644),
];

fn owned(table: &[&[(&str, u32)]]) -> Vec<(String, u32)> {
    table.iter().flat_map(|t| t.iter()).map(|(name, mode)| ((*name).to_owned(), *mode)).collect()
}

#[test]
fn installing_twice_changes_nothing_and_keeps_what_was_edited() {
    let stage = Stage::new();
    let told = stage.succeeds("install", &[]);
    assert!(told.contains("opsbot config check") && told.contains("credentials/telegram-token"), "{told}");
    assert_eq!(stage.modes(), owned(&[CONFIG, PROGRAMS]));
    let first = stage.files();
    let config = &first["etc/opsbot/config.toml"].1;
    for line in ["state_dir = \"/var/lib/opsbot\"", "url = \"unix:///run/opsbot-docker/docker.sock\""] {
        assert_eq!(config.lines().filter(|l| *l == line).count(), 1, "{line}");
    }
    let checked = Command::new(env!("CARGO_BIN_EXE_opsbot"))
        .arg("--config")
        .arg(stage.dest().join("etc/opsbot/config.toml"))
        .args(["config", "check"])
        .output()
        .unwrap();
    assert!(checked.status.success() && said(&checked).contains("1 Docker host"), "{}", said(&checked));

    assert!(stage.succeeds("install", &[]).contains("stays as it is"));
    assert_eq!(stage.files(), first);
    for name in ["config.toml", "docker-helper.toml"] {
        fs::write(stage.dest().join("etc/opsbot").join(name), "# mine").unwrap();
    }
    fs::write(stage.dest().join("etc/opsbot/credentials/telegram-token"), "1:x").unwrap();
    stage.program("opsbot", "2");
    stage.succeeds("install", &[]);
    let second = stage.files();
    assert_eq!(second["usr/local/bin/opsbot"], (0o755, "2".into()));
    assert_eq!(second["etc/opsbot/config.toml"], (0o640, "# mine".into()));
    assert_eq!(second["etc/opsbot/docker-helper.toml"].1, "# mine");
    assert_eq!(second["etc/opsbot/credentials/telegram-token"].1, "1:x");
}

#[test]
fn uninstalling_leaves_configuration_and_state_until_it_is_told_to_purge() {
    let stage = Stage::new();
    stage.succeeds("install", &[]);
    let state = stage.dest().join("var/lib/opsbot");
    fs::create_dir_all(&state).unwrap();
    fs::write(state.join("opsbot.db"), "rows").unwrap();
    fs::write(stage.dest().join("usr/local/bin/other"), "not ours").unwrap();
    let before = stage.files();
    let dry = stage.succeeds("uninstall", &["--purge", "--dry-run"]);
    assert!(dry.contains("rm -rf") && stage.files() == before, "{dry}");
    for _ in 0..2 {
        stage.succeeds("uninstall", &[]);
        let left: Vec<_> = stage.files().into_keys().collect();
        let mut want: Vec<_> = CONFIG.iter().map(|(name, _)| (*name).to_owned()).collect();
        want.extend(["usr/local/bin/other".to_owned(), "var/lib/opsbot/opsbot.db".to_owned()]);
        assert_eq!(left, want);
    }
    // Nobody answers the question.
    let asked = stage.run("uninstall", &["--purge"]);
    assert!(
        asked.status.code() == Some(3) && said(&asked).contains("nothing was removed"),
        "{}",
        said(&asked)
    );
    assert!(state.join("opsbot.db").exists());
    for _ in 0..2 {
        stage.succeeds("uninstall", &["--purge", "--yes"]);
        assert_eq!(stage.files().into_keys().collect::<Vec<_>>(), ["usr/local/bin/other"]);
    }
}

#[test]
fn scripts_say_what_they_would_do_and_what_is_wrong() {
    let stage = Stage::new();
    let dry = stage.succeeds("install", &["--dry-run"]);
    for (name, _) in PROGRAMS {
        assert!(dry.contains(name), "{name}: {dry}");
    }
    assert!(!stage.dest().exists(), "{dry}");
    for (script, args, code, want) in [
        ("install", &["--sing"][..], 2, "usage: scripts/install"),
        ("install", &["--destdir", ""], 2, "needs a folder"),
        ("install", &["--dry-run", "--destdir", "/"], 2, "leave it out"),
        ("uninstall", &["--sing"], 2, "usage: scripts/uninstall"),
        ("uninstall", &["--dry-run", "--destdir", "//tmp/.."], 2, "leave it out"),
    ] {
        let output = stage.run(script, args);
        assert!(
            output.status.code() == Some(code) && said(&output).contains(want),
            "{script} {args:?}: {}",
            said(&output)
        );
    }
    fs::remove_file(stage.programs().join("opsbot")).unwrap();
    let output = stage.run("install", &[]);
    assert!(
        output.status.code() == Some(3) && said(&output).contains("cargo build --release"),
        "{}",
        said(&output)
    );
}
