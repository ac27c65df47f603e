//! The program itself: its configuration must be root's, its socket comes from systemd or by hand, and it ends well.

use std::{
    fs::{self, Permissions},
    os::{
        fd::OwnedFd,
        unix::{
            fs::{MetadataExt, PermissionsExt},
            net::{UnixDatagram, UnixListener},
        },
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use nix::{sys::signal::Signal, unistd::geteuid};
use tempfile::TempDir;

use super::rig::{Answer, Engine, ours, raw};
use crate::{
    daemon::house::{Daemon, run},
    prometheus::missing,
};

const PING: &[u8] = b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n";

struct Place {
    dir: TempDir,
}

impl Place {
    /// A configuration before `engine`; None where this process is not root, which the program wants to own the file.
    fn new(engine: &Path) -> Option<Self> {
        if !geteuid().is_root() {
            missing("root (the helper's configuration must belong to it)");
            return None;
        }
        let place = Self { dir: tempfile::tempdir().unwrap() };
        let text = format!("socket = \"{}\"\nusers = [0]\n", engine.display());
        fs::write(place.config(), text).unwrap();
        Some(place)
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("docker-helper.toml")
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("helper.sock")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_opsbot-docker-helper"));
        command.env_clear().arg("--config").arg(self.config()).args(args);
        command
    }

    fn listening(&self) -> Command {
        self.command(&["--listen", self.socket().to_str().unwrap()])
    }
}

#[tokio::test]
async fn a_configuration_that_others_can_change_is_refused() {
    let engine = Engine::of_web(ours());
    let Some(place) = Place::new(&engine.socket()) else { return };
    let mode = |mode| fs::set_permissions(place.config(), Permissions::from_mode(mode)).unwrap();
    mode(0o664);
    run(place.listening()).await.exits(78).says(&["may be written by others", "chmod go-w"]);
    mode(0o646);
    run(place.listening()).await.exits(78).says(&["may be written by others"]);
    mode(0o644);
    std::os::unix::fs::chown(place.config(), Some(65_534), None).unwrap();
    run(place.listening()).await.exits(78).says(&["belongs to uid 65534"]);
    std::os::unix::fs::chown(place.config(), Some(0), None).unwrap();
    fs::write(place.config(), "users = [0]\nwrite = [\"exec\"]").unwrap();
    run(place.listening()).await.exits(78).says(&["unknown variant `exec`"]);
    fs::remove_file(place.config()).unwrap();
    run(place.listening()).await.exits(78).says(&["cannot read"]);
    assert!(!place.socket().exists());
    run(place.command(&["--sing"])).await.exits(2);
}

#[tokio::test]
async fn a_socket_by_hand_is_its_owners_and_goes_with_the_helper() {
    let engine = Engine::of_web(ours());
    let Some(place) = Place::new(&engine.socket()) else { return };
    let notify = UnixDatagram::bind(place.dir.path().join("notify")).unwrap();
    notify.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut command = place.listening();
    command.env("NOTIFY_SOCKET", place.dir.path().join("notify"));
    let mut helper = Daemon::of(command);
    helper.logs("the helper listens").await;
    let mut told = [0; 64];
    let n = notify.recv(&mut told).unwrap();
    assert_eq!(&told[..n], b"READY=1");
    assert_eq!(fs::metadata(place.socket()).unwrap().mode() & 0o777, 0o600);
    assert_eq!(Answer(raw(&place.socket(), PING).await).status(), 200);
    let refused = raw(&place.socket(), b"POST /containers/create HTTP/1.1\r\nHost: d\r\n\r\n").await;
    assert_eq!(Answer(refused).status(), 403);
    let restart = b"POST /containers/web/restart HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(Answer(raw(&place.socket(), restart).await).status(), 204);
    let log = helper.logs("write ended").await;
    for part in
        ["refused uid=0", "POST /containers/create", "write begins uid=0", "name=\"web\"", "status=204"]
    {
        assert!(log.contains(part), "{part}: {log}");
    }
    run(place.listening()).await.exits(2).says(&["somebody listens"]);
    // A killed one leaves its socket, and the next one takes the place.
    helper.kill().await;
    assert!(place.socket().exists());
    let mut helper = Daemon::of(place.listening());
    helper.logs("the helper listens").await;
    assert_eq!(Answer(raw(&place.socket(), PING).await).status(), 200);
    helper.stop().await;
    assert!(!place.socket().exists());
}

/// As systemd does it: the listening socket is standard input, and the helper ends when nobody needs it.
#[tokio::test]
async fn a_socket_from_systemd_is_served_and_the_helper_ends_when_idle() {
    let engine = Engine::of_web(ours());
    let Some(place) = Place::new(&engine.socket()) else { return };
    let listener = UnixListener::bind(place.socket()).unwrap();
    let mut command = tokio::process::Command::from(place.command(&["--idle", "1"]));
    command.stdin(Stdio::from(OwnedFd::from(listener.try_clone().unwrap()))).stderr(Stdio::piped());
    let child = command.kill_on_drop(true).spawn().unwrap();
    assert_eq!(Answer(raw(&place.socket(), PING).await).status(), 200);
    let ended =
        tokio::time::timeout(Duration::from_secs(20), child.wait_with_output()).await.unwrap().unwrap();
    let log = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success() && log.contains("ending until somebody is"), "{log}");
    assert!(place.socket().exists(), "the socket is systemd's");

    for stdin in [
        Stdio::null(),
        Stdio::piped(),
        std::net::TcpListener::bind("127.0.0.1:0").map(|l| OwnedFd::from(l).into()).unwrap(),
    ] {
        let ended = place.command(&[]).stdin(stdin).output().unwrap();
        let log = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.code() == Some(2) && log.contains("opsbot-docker-helper.socket"), "{log}");
    }
}

#[tokio::test]
async fn it_ends_soon_when_asked_though_a_client_follows() {
    let engine = Engine::start(|asked| match asked {
        a if a.contains("/events") => crate::docker::fake::Act::Endless,
        _ => crate::docker::fake::Act::version(),
    });
    let Some(place) = Place::new(&engine.socket()) else { return };
    let mut helper = Daemon::of(place.listening());
    helper.logs("the helper listens").await;
    let socket = place.socket();
    let following =
        tokio::spawn(async move { raw(&socket, b"GET /events HTTP/1.1\r\nHost: d\r\n\r\n").await });
    crate::docker::boxes::until("the client", || async { engine.asked().len() == 1 }).await;
    helper.signal(Signal::SIGTERM);
    assert!(helper.ended().await.success());
    following.abort();
}
