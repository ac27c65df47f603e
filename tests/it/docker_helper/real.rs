//! The helper before a real engine: a plain client, the daemon's own, and the whole daemon.

use std::{path::PathBuf, time::Duration};

use bollard::{
    Docker,
    errors::Error,
    exec::CreateExecOptions,
    models::ContainerCreateBody,
    query_parameters::{
        EventsOptions, ListContainersOptionsBuilder, LogsOptionsBuilder, RestartContainerOptionsBuilder,
        StatsOptionsBuilder,
    },
};
use futures::StreamExt;
use opsbot::{
    docker::{DockerHosts, HostConfig, LogQuery, State},
    domain::HostName,
};
use tokio::time::timeout;

use super::rig::{Helper, PATIENCE};
use crate::{
    daemon::house::House,
    docker::boxes::{Boxes, Make, until, with_boxes},
};

const SCRIPT: &str = "echo started; echo '[error] oops' >&2; : SEEN; exec sleep 600";

fn web() -> Make<'static> {
    Make { service: "web", script: SCRIPT, ..Make::default() }
}

fn helper(boxes: &Boxes, more: &str) -> Helper {
    let engine = PathBuf::from(boxes.url.strip_prefix("unix://").expect("an engine on a Unix socket"));
    Helper::before(&engine, more)
}

async fn client(helper: &Helper) -> Docker {
    let client = Docker::connect_with_unix(&helper.url(), 20, bollard::API_DEFAULT_VERSION).unwrap();
    client.negotiate_version().await.unwrap()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Error>, want: &str) {
    match result {
        Err(Error::DockerResponseServerError { status_code: 403, message }) if message.contains(want) => {}
        other => panic!("no refusal with {want:?}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_client_reads_and_restarts_through_it() {
    with_boxes(|boxes| async move {
        let web = boxes.make(web()).await;
        let helper = helper(&boxes, "");
        let docker = client(&helper).await;
        assert_eq!(docker.ping().await.unwrap(), "OK");
        let options = ListContainersOptionsBuilder::default().all(true).build();
        let listed = docker.list_containers(Some(options)).await.unwrap();
        let one = listed.iter().find(|c| c.id.as_deref() == Some(&web.id)).unwrap();
        assert_eq!(one.labels.as_ref().unwrap()["opsbot.customer"], boxes.customer);
        assert!(one.command.is_none() && one.mounts.iter().flatten().next().is_none(), "{one:?}");

        let direct = boxes.docker.inspect_container(&web.id, None).await.unwrap();
        assert!(format!("{direct:?}").contains("SEEN"));
        for name in [web.name.as_str(), web.id.as_str(), web.id.get(..12).unwrap()] {
            let seen = docker.inspect_container(name, None).await.unwrap();
            assert_eq!(seen.id.as_ref(), Some(&web.id));
            assert!(!format!("{seen:?}").contains("SEEN") && seen.mounts.is_none() && seen.args.is_none());
            assert!(seen.config.unwrap().env.is_none());
        }

        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail("5").build();
        until("the log", || async {
            let lines: Vec<_> = docker.logs(&web.name, Some(options.clone())).collect().await;
            lines.iter().filter(|l| l.as_ref().unwrap().to_string().contains(['s', 'o'])).count() == 2
        })
        .await;
        let options = StatsOptionsBuilder::default().stream(true).build();
        let mut stats = docker.stats(&web.name, Some(options));
        for _ in 0..2 {
            let sample = timeout(PATIENCE, stats.next()).await.unwrap().unwrap().unwrap();
            assert_eq!(sample.id.as_ref(), Some(&web.id));
        }

        let mut events = docker.events(None::<EventsOptions>);
        let options = RestartContainerOptionsBuilder::default().t(0).build();
        let restart = docker.restart_container(&web.name, Some(options));
        let seen = async {
            while let Some(event) = events.next().await {
                let event = event.unwrap();
                let actor = event.actor.unwrap();
                if event.action.as_deref() == Some("restart") && actor.id.as_ref() == Some(&web.id) {
                    return actor.attributes.unwrap()["opsbot.customer"].clone();
                }
            }
            panic!("the events end")
        };
        let (done, customer) = tokio::join!(restart, timeout(PATIENCE, seen));
        done.unwrap();
        assert_eq!(customer.unwrap(), boxes.customer);
        let after = boxes.docker.inspect_container(&web.id, None).await.unwrap();
        assert!(after.state.unwrap().started_at > direct.state.unwrap().started_at);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_as_good_as_root_is_refused() {
    with_boxes(|boxes| async move {
        let web = boxes.make(web()).await;
        let gate = helper(&boxes, "write = [\"start\", \"stop\", \"restart\"]");
        let docker = client(&gate).await;
        let body = ContainerCreateBody { image: Some("opsbot-sandbox:1".into()), ..Default::default() };
        refused(docker.create_container(None, body).await, "not in its table");
        let exec = CreateExecOptions { cmd: Some(vec!["sh"]), ..Default::default() };
        refused(docker.create_exec(&web.name, exec).await, "not in its table");
        refused(docker.kill_container(&web.name, None).await, "not in its table");
        refused(docker.remove_container(&web.name, None).await, "not in its table");
        refused(docker.info().await, "not in its table");
        refused(docker.top_processes(&web.name, None).await, "not in its table");
        docker.stop_container(&web.name, None).await.unwrap();
        docker.start_container(&web.name, None).await.unwrap();

        let started = || async { boxes.hosts().inspect(&web).await.unwrap().started_at };
        let before = started().await;
        let unlabelled = helper(&boxes, "label = \"no.such.label\"");
        let docker = client(&unlabelled).await;
        refused(docker.restart_container(&web.id, None).await, "must carry the label no.such.label");
        let foreign = helper(&boxes, "label_value = \"somebody-else\"");
        let docker = client(&foreign).await;
        refused(docker.restart_container(&web.id, None).await, "opsbot.customer=somebody-else");
        assert_eq!(started().await, before);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemons_client_misses_nothing() {
    with_boxes(|boxes| async move {
        let check = Make { check: Some("echo no upstream; exit 1"), restarts: true, ..web() };
        let web = boxes.make(check).await;
        let helper = helper(&boxes, "");
        let config = |url: String| HostConfig {
            name: HostName::from("local"),
            url,
            tls: None,
            timeout: Duration::from_secs(10),
        };
        let hosts = DockerHosts::connect(vec![config(helper.url())]);
        assert!(!hosts.probe().await.remove(0).1.unwrap().is_empty());
        until("a failed check", || async {
            hosts.inspect(&web).await.unwrap().last_failed_probe().is_some()
        })
        .await;
        let (seen, direct) = loop {
            // A health check may run between the two.
            let before = boxes.hosts().inspect(&web).await.unwrap();
            let seen = hosts.inspect(&web).await.unwrap();
            if boxes.hosts().inspect(&web).await.unwrap() == before {
                break (seen, before);
            }
        };
        assert_eq!(seen, direct);
        assert_eq!((seen.state, seen.restart_policy.as_str()), (State::Running, "on-failure"));
        let list = |hosts: DockerHosts| async move { hosts.list().await.remove(0).1.unwrap() };
        let ours = |all: Vec<opsbot::docker::Listed>| all.into_iter().find(|l| l.id == web.id).unwrap();
        let (seen, direct_list) = (ours(list(hosts.clone()).await), ours(list(boxes.hosts()).await));
        assert_eq!(
            (&seen.labels, &seen.ports, &seen.volumes),
            (&direct_list.labels, &direct_list.ports, &direct_list.volumes)
        );
        assert!(seen.image_id == direct_list.image_id && seen.image_id.starts_with("sha256:"), "{seen:?}");
        let image = |all: Vec<opsbot::docker::LocalImage>| all.into_iter().find(|i| i.id == seen.image_id);
        assert_eq!(
            image(hosts.images(&seen.host).await.unwrap()),
            image(boxes.hosts().images(&seen.host).await.unwrap())
        );
        let usage = hosts.disk_usage(&seen.host).await.unwrap();
        assert!(usage.layers.iter().any(|(id, _)| *id == web.id) && usage.images.bytes > 0, "{usage:?}");
        until("the log", || async { hosts.logs(&web, &LogQuery::tail(9)).await.unwrap().seen == 2 }).await;
        assert!(hosts.stats(&web).await.unwrap().unwrap().memory.is_some());
        hosts.stop_container(&web, Duration::from_secs(1)).await.unwrap();
        hosts.stop_container(&web, Duration::from_secs(1)).await.expect("it is so already");
        assert_eq!(hosts.inspect(&web).await.unwrap().state, State::Exited);
        hosts.start_container(&web).await.unwrap();
        hosts.restart_container(&web, Duration::from_secs(1)).await.unwrap();
        assert!(hosts.inspect(&web).await.unwrap().started_at > direct.started_at);
        boxes.remove(&web).await;
        let gone = hosts.inspect(&web).await.unwrap_err().to_string();
        assert!(gone.contains("removed or replaced"), "{gone}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_daemon_works_through_it() {
    with_boxes(|boxes| async move {
        let web = boxes.make(web()).await;
        let gate = helper(&boxes, "");
        let house = House::new(&gate.url(), "");
        let customer = boxes.customer.as_str();
        let check_up = format!("/check_up {customer}");
        house.run(&["ask", &check_up]).await.exits(0).says(&[customer]);
        house.run(&["ask", "/get_recent_logs", customer, "web"]).await.exits(0).says(&["[error] oops"]);
        house.run(&["ask", "/get_metrics", customer]).await.exits(0);
        let started = || async { boxes.hosts().inspect(&web).await.unwrap().started_at };
        let before = started().await;
        let card = house.card(&format!("/restart_container {customer} web")).await.id.to_string();
        house.run(&["approve", &card]).await.exits(0);
        let after = started().await;
        assert!(after > before);

        let closed = helper(&boxes, "write = []");
        let house = House::new(&closed.url(), "");
        let card = house.card(&format!("/restart_container {customer} web")).await.id.to_string();
        house.run(&["approve", &card]).await.exits(1).says(&["opsbot-docker-helper refuses this"]);
        assert_eq!(started().await, after);
    })
    .await;
}
