//! The daemon and its clients: the socket, who is who on it, one daemon a store, and results for those who left.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use nix::unistd::geteuid;
use opsbot::{
    control::Op,
    domain::{CardState, Outbound, TurnStatus},
    policy::approval::Verb,
    runtime::Stopwatch,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::house::{Daemon, House, all, cards, run, say, text};
use crate::docker::boxes::{Make, until, with_boxes};

const NO_ENGINE: &str = "unix:///nonexistent/docker.sock";
/// Takes a moment to end, as a real service does.
const LINGERS: &str = "echo started; trap 'sleep 1; exit 0' TERM; while :; do sleep 0.1; done";

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_serves_clients_health_and_metrics() {
    let house = House::new(NO_ENGINE, "");
    let mut daemon = house.start().await;
    assert_eq!(fs::metadata(house.socket()).unwrap().permissions().mode() & 0o777, 0o660);
    assert_eq!(fs::metadata(house.state()).unwrap().permissions().mode() & 0o777, 0o700);
    house.run(&["ask", "/whoami"]).await.exits(0).says(&["anna, admin on console"]);
    house.run(&["ask", "/delete_customer_data", "19"]).await.exits(4);
    house.run(&["ask", "/list_customers"]).await.exits(1).says(&["Docker"]);
    house.run(&["status"]).await.exits(0).says(&["cards waiting  0"]);
    let (status, body) = daemon.get("/healthz").await;
    assert!(status.contains(" 200 "), "{status}: {body}");
    let (status, body) = daemon.get("/metrics").await;
    assert!(status.contains(" 200 "), "{status}");
    let body: String = body.lines().filter(|l| !l.is_empty()).map(|l| format!("{l}\n")).collect();
    assert!(body.contains("opsbot_turns_total{status=\"refused\"} 1"), "{body}");
    for line in body.lines().filter(|l| !l.starts_with("# ") && l.contains(' ')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with(char::is_lowercase) && value.parse::<f64>().is_ok(), "{line}");
    }
    daemon.stop().await;
    assert!(!house.socket().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_says_why_not_and_harms_nobody() {
    let house = House::new(NO_ENGINE, "");
    let first = house.start().await;
    let client = house.client().await;
    let pid = first.pid.to_string();
    house.run(&["run"]).await.exits(1).says(&["another", &pid, "state"]);
    // Old connections and new ones go on.
    assert_eq!(all(&client, Op::Status).await.1, TurnStatus::Answered);
    house.run(&["status"]).await.exits(0);

    // What a kill leaves is no obstacle, for a single question nor for the next daemon.
    first.kill().await;
    assert!(house.socket().exists());
    let (lost, status) = all(&client, Op::Status).await;
    assert!(
        status == TurnStatus::Failed && text(&lost).contains("connection to OpsBot was lost"),
        "{lost:?}"
    );
    house.run(&["ask", "/whoami"]).await.exits(0).says(&["anna"]);
    let next = house.start().await;
    house.run(&["status"]).await.exits(0);
    next.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_account_is_a_viewer_if_it_may_connect_at_all() {
    if !geteuid().is_root() {
        return crate::prometheus::missing("root, to be somebody else");
    }
    let house = House::new(NO_ENGINE, "");
    let daemon = house.start().await;
    fs::set_permissions(house.dir(), fs::Permissions::from_mode(0o755)).unwrap();
    // The program, where everybody may run it.
    let program = house.dir().join("opsbot");
    fs::copy(env!("CARGO_BIN_EXE_opsbot"), &program).unwrap();
    let nobody = |group: &str, args: &[&str]| {
        let mut command = std::process::Command::new("setpriv");
        let own = house.command(args);
        command.env_clear().envs(own.get_envs().filter_map(|(k, v)| Some((k, v?))));
        command.args(["--reuid=65534", "--clear-groups"]).arg(format!("--regid={group}"));
        command.arg(&program).args(own.get_args());
        run(command)
    };
    // As the program makes the directory: nobody else gets in, whatever the group.
    for group in ["65534", "0"] {
        nobody(group, &["status"]).await.exits(1).says(&["join its group"]);
    }
    // As the unit makes it: members of the group get in, and are viewers unless a [[person]] names them.
    fs::set_permissions(house.state(), fs::Permissions::from_mode(0o750)).unwrap();
    nobody("65534", &["status"]).await.exits(1).says(&["join its group"]);
    nobody("0", &["ask", "/whoami"]).await.exits(0).says(&["uid:65534, viewer on console"]);
    let table: [(&[&str], i32); 5] = [
        (&["status"], 0),
        (&["freeze"], 4),
        (&["unfreeze"], 4),
        (&["audit", "tail"], 4),
        (&["ask", "/delete_customer_data", "19"], 4),
    ];
    for (args, code) in table {
        nobody("0", args).await.exits(code);
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_needs_no_secret_of_the_daemons() {
    let house = House::new(
        NO_ENGINE,
        "[prometheus]\nurl = \"http://127.0.0.1:9\"\ntoken = { credential = \"prometheus\" }\n",
    );
    for args in [&["ask", "/whoami"][..], &["run"], &["config", "check"]] {
        house.run(args).await.exits(78).says(&["prometheus.token", "LoadCredential"]);
    }
    house.run(&["config", "show"]).await.exits(0).says(&["[secret]"]);
    let credentials = tempfile::tempdir().unwrap();
    fs::write(credentials.path().join("prometheus"), "s3cret-t0ken").unwrap();
    let mut command = house.command(&["run", "--log", "json"]);
    command.env("CREDENTIALS_DIRECTORY", credentials.path());
    let mut daemon = Daemon::of(command);
    daemon.logs("opsbot runs").await;
    house.run(&["ask", "/whoami"]).await.exits(0).says(&["anna, admin"]);
    house.run(&["status"]).await.exits(0);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_during_a_write_finds_its_result_on_return() {
    with_boxes(|boxes| async move {
        let web = boxes.make(Make { service: "web", script: LINGERS, ..Make::default() }).await;
        let before = boxes.hosts().inspect(&web).await.unwrap().started_at;
        let house = House::new(&boxes.url, "");
        let daemon = house.start().await;
        let client = house.client().await;
        let (asked, status) =
            all(&client, say("main", &format!("/restart_container {} web", boxes.customer))).await;
        assert_eq!(status, TurnStatus::WaitsForApproval);
        let id = cards(&asked)[0].id.to_string();
        let mut answer = client.request(Op::Decide { approval: id.clone(), verb: Verb::Approve }).await;
        let first = answer.recv().await.unwrap();
        assert_eq!(cards(&[first])[0].state, CardState::Executing);
        // The terminal is closed.
        drop(answer);
        drop(client);

        let watcher = house.client().await;
        until("the end of the write", || async {
            let tail = text(&all(&watcher, Op::AuditTail { rows: 5 }).await.0);
            tail.contains("write_ends") || tail.contains(": done")
        })
        .await;
        assert!(boxes.hosts().inspect(&web).await.unwrap().started_at > before);
        let hello = || Op::Hello { conversation: "main".into() };
        let left = all(&watcher, hello()).await.0;
        assert_eq!(cards(&left).iter().map(|c| c.state).collect::<Vec<_>>(), [CardState::Done], "{left:?}");
        assert_eq!(all(&watcher, hello()).await.0, Vec::<Outbound>::new());
        daemon.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_talk_nonsense_or_never_read_hurt_nobody() {
    let house = House::new(NO_ENGINE, "");
    let daemon = house.start().await;
    let mut held = vec![];
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"{\"id\":1}\n", b"\xff\xfe\n", b"{\"id\":1,\"op\":\"say\""]
    {
        let mut stream = tokio::net::UnixStream::connect(house.socket()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        held.push(stream);
    }
    let mut long = tokio::net::UnixStream::connect(house.socket()).await.unwrap();
    let mut written = 0usize;
    // It is cut off at its limit, long before the end.
    while written < 64 << 20 && long.write_all(&[b'x'; 65536]).await.is_ok() {
        written += 65536;
    }
    assert!(written < 64 << 20, "a line without an end was read");
    let mut refused = String::new();
    held[0].read_to_string(&mut refused).await.unwrap();
    assert!(refused.contains("This is no request") && refused.contains("failed"), "{refused}");
    let watch = Stopwatch::start();
    house.run(&["status"]).await.exits(0);
    assert!(watch.elapsed() < Duration::from_secs(10));
    daemon.stop().await;
}
