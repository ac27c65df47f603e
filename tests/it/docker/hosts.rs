//! Reads over several Docker hosts, one of them down: the others answer, and the gap is said.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use opsbot::{
    docker::DockerHosts,
    domain::{Block, ToolError},
    prometheus::{Options, Prometheus},
};
use serde_json::{Value, json};

use super::{
    boxes::{Make, until, with_boxes},
    fake::{Act, Engine},
    rig::Rig,
};
use crate::prometheus::missing;

const SOON: Duration = Duration::from_millis(400);

fn container(id: char, name: &str, state: &str, status: &str, labels: &Value) -> Value {
    json!({"Id": id.to_string().repeat(64), "Names": [format!("/{name}")], "Image": "shop:1", "State": state,
        "Status": status, "Labels": labels, "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}],
        "Mounts": [{"Type": "volume", "Name": format!("{name}_data")}]})
}

fn of_shop(service: &str) -> Value {
    json!({"com.docker.compose.project": "shop", "com.docker.compose.service": service,
        "opsbot.customer": "19", "opsbot.service": service})
}

fn first() -> String {
    json!([
        container('a', "shop-web-1", "running", "Up 2 hours (healthy)", &of_shop("web")),
        container('b', "shop-db-1", "exited", "Exited (137) 5 minutes ago", &of_shop("db")),
        container('c', "backup", "running", "Up 3 days", &json!({})),
    ])
    .to_string()
}

fn second() -> String {
    json!([container(
        'd',
        "c7-web",
        "running",
        "Up 1 hour",
        &json!({"opsbot.customer": "7", "opsbot.service": "web"})
    )])
    .to_string()
}

fn disk() -> String {
    json!({"LayersSize": 3_000_000, "Images": [{"Id": "i", "Size": 3_000_000, "SharedSize": 0, "Containers": 0}],
        "Containers": [{"Id": "a".repeat(64), "State": "running", "SizeRw": 5_000_000}, {"Id": "c".repeat(64), "State": "running", "SizeRw": 10}],
        "Volumes": [{"Name": "shop-db-1_data", "UsageData": {"Size": 9_000_000, "RefCount": 1}},
            {"Name": "left", "Labels": {"com.docker.compose.project": "old"}, "UsageData": {"Size": 4_000_000, "RefCount": 0}}],
        "BuildCache": null})
    .to_string()
}

/// Two engines that answer and one that hangs; how often the first one measured its disk.
async fn three() -> ([Engine; 3], DockerHosts, Arc<AtomicUsize>) {
    let measured = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&measured);
    let a = Engine::start(move |path| match path {
        p if p.contains("/containers/json") => Some(Act::json(first())),
        p if p.contains("/system/df") => {
            counter.fetch_add(1, Ordering::SeqCst);
            Some(Act::json(disk()))
        }
        _ => None,
    })
    .await;
    let b = Engine::start(|path| match path {
        p if p.contains("/containers/json") => Some(Act::json(second())),
        p if p.contains("/system/df") => Some(Act::Answer(500, br#"{"message":"already running"}"#.into())),
        _ => None,
    })
    .await;
    let c = Engine::start(|_| Some(Act::Hang)).await;
    let hosts = DockerHosts::connect(vec![a.config("a", SOON), b.config("b", SOON), c.config("c", SOON)]);
    ([a, b, c], hosts, measured)
}

fn titles(blocks: &[Block]) -> Vec<&str> {
    let mut titles = Vec::new();
    for block in blocks {
        if let Block::Table { title, .. } = block {
            titles.extend(title.as_deref());
        }
    }
    titles
}

#[tokio::test]
async fn all_containers_are_listed_by_project_with_trouble_first() {
    let (_engines, hosts, _) = three().await;
    let rig = Rig::new(hosts);
    let out = rig.read("list_containers", json!({})).await.unwrap();
    assert_eq!(out.summary, "4 containers on 2 hosts, 1 not well; 1 host not seen");
    assert!(out.text.contains("Incomplete: Docker host c is not answering"), "{}", out.text);
    let want =
        ["shop (customer 19): 2 containers, 1 not well", "customer 7: 1 container", "other: 1 container"];
    assert_eq!(titles(&out.blocks), want);
    let Some(Block::Table { columns, rows, .. }) =
        out.blocks.iter().find(|b| matches!(b, Block::Table { .. }))
    else {
        panic!("{:?}", out.blocks)
    };
    assert_eq!(columns.join(" "), "container state health uptime image ports host");
    assert_eq!(rows[0].join("|"), "shop-db-1|exited||Exited (137) 5 minutes ago|shop:1|8080->80/tcp|a");
    assert_eq!(rows[1].join("|"), "shop-web-1|running|healthy|Up 2 hours|shop:1|8080->80/tcp|a");
}

#[tokio::test]
async fn a_list_is_narrowed_by_customer_host_and_project() {
    let (_engines, hosts, _) = three().await;
    let rig = Rig::new(hosts);
    let read = |args: Value| rig.read("list_containers", args);
    assert_eq!(
        read(json!({"customer_id": 7})).await.unwrap().summary,
        "customer 7: 1 container on 1 host, all well; 1 host not seen"
    );
    assert_eq!(read(json!({"host": "A"})).await.unwrap().summary, "3 containers on 1 host, 1 not well");
    let shop = read(json!({"project": "SHOP"})).await.unwrap();
    assert_eq!(shop.summary, "2 containers on 1 host, 1 not well; 1 host not seen");
    let down = read(json!({"host": "c"})).await.unwrap_err();
    assert!(matches!(&down, ToolError::BackendDown { backend, .. } if backend == "Docker host c"), "{down}");
    // The one that is down may have it.
    let unseen = read(json!({"project": "blog"})).await.unwrap_err();
    assert!(matches!(unseen, ToolError::BackendDown { .. }), "{unseen}");
    let unknown = rig.resolve("list_containers", json!({"host": "d"})).await.unwrap_err();
    assert!(unknown.to_string().contains("there is no Docker host `d`; there are a, b, c"), "{unknown}");
}

#[tokio::test]
async fn the_disk_is_measured_once_a_minute_and_whose_it_is_is_told() {
    let (_engines, hosts, measured) = three().await;
    let rig = Rig::new(hosts);
    let out = rig.read("get_disk_usage", json!({})).await.unwrap();
    assert!(out.summary.contains("Docker keeps 20.0 MiB on 1 host, 6.7 MiB of it unused"), "{}", out.summary);
    for part in [
        "Incomplete: Docker host b answered 500: already running",
        "Incomplete: Docker host c is not answering",
        "need its node exporter in Prometheus",
        "- images, 0 of 1, 2.9 MiB, 2.9 MiB, a",
        "- shop-web-1, 19 web, 4.8 MiB, a",
        "- shop-db-1_data, 19 db, 8.6 MiB, a",
        "- left, unused, of compose project old, 3.8 MiB, a",
    ] {
        assert!(out.text.contains(part), "{part}: {}", out.text);
    }
    let own = rig.read("get_disk_usage", json!({"customer_id": 19})).await.unwrap();
    assert!(
        own.text.contains("shop-db-1_data") && !own.text.contains("- left") && !own.text.contains("- backup"),
        "{}",
        own.text
    );
    assert!(
        !own.text.contains("Docker host b") && own.text.contains("Incomplete: Docker host c"),
        "{}",
        own.text
    );
    assert_eq!(measured.load(Ordering::SeqCst), 1);
    let down = rig.read("get_disk_usage", json!({"host": "c"})).await.unwrap_err();
    assert!(matches!(&down, ToolError::BackendDown { backend, .. } if backend == "Docker host c"), "{down}");
}

#[tokio::test]
async fn images_are_judged_one_by_one_where_registries_fail() {
    let (old, new) = (format!("sha256:{}", "1".repeat(64)), format!("sha256:{}", "2".repeat(64)));
    let image =
        |id: &str, repository: &str| json!({"Id": id, "RepoDigests": [format!("{repository}@{old}")]});
    let images = json!([image("i1", "fresh"), image("i2", "stale"), image("i3", "ghcr.io/acme/private"),
        image("i4", "limited"), {"Id": "i5", "RepoDigests": null}, image("i6", "offline")]);
    let run = |n: usize, name: &str| {
        json!({"Id": n.to_string().repeat(64), "Names": [format!("/c{n}")], "State": "running", "Image": name,
            "ImageID": format!("i{n}"), "Labels": {"opsbot.customer": "19", "opsbot.service": format!("s{n}")}})
    };
    let names = [
        "fresh:1",
        "docker.io/library/stale",
        "ghcr.io/acme/private:v2",
        "limited:1",
        "built:1",
        "offline:1",
    ];
    let list: Vec<_> = names.iter().enumerate().map(|(n, name)| run(n + 1, name)).collect();
    let (list, images) = (Value::from(list).to_string(), images.to_string());
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let engine = Engine::start(move |path| {
        let digest =
            |d: &str| Some(Act::json(json!({"Descriptor": {"digest": d}, "Platforms": []}).to_string()));
        let refuse =
            |status, message: &str| Some(Act::Answer(status, json!({"message": message}).to_string().into()));
        counter.fetch_add(usize::from(path.contains("/distribution/")), Ordering::SeqCst);
        match path {
            p if p.contains("/containers/json") => Some(Act::json(list.clone())),
            p if p.contains("/images/json") => Some(Act::json(images.clone())),
            "GET /distribution/fresh:1/json" => digest(&old),
            "GET /distribution/stale:latest/json" => digest(&new),
            "GET /distribution/ghcr.io/acme/private:v2/json" => refuse(403, "denied: no access"),
            "GET /distribution/limited:1/json" => {
                refuse(500, "toomanyrequests: You have reached your pull rate limit")
            }
            "GET /distribution/offline:1/json" => {
                refuse(500, "Get https://x/v2/: dial tcp: lookup x: no such host")
            }
            _ => None,
        }
    })
    .await;
    let rig = Rig::new(engine.hosts(SOON));
    for _ in 0..2 {
        let out = rig.read("image_updates", json!({})).await.unwrap();
        assert_eq!(
            out.summary,
            "6 images: 1 with a newer one in the registry, 3 could not be checked, 1 without a registry, 1 up to date"
        );
        let lines: Vec<_> = out.text.lines().collect();
        assert_eq!(lines[1], "- docker.io/library/stale: newer image in the registry; run by 19 s2");
        for part in [
            "- ghcr.io/acme/private:v2: not checked: the registry wants a login",
            "- limited:1: not checked: the registry limits how often",
            "- offline:1: not checked: the engine cannot reach the registry",
            "- built:1: built or loaded on the host, no registry has it; run by 19 s5",
            "- fresh:1: up to date; run by 19 s1",
        ] {
            assert!(out.text.contains(part), "{part}: {}", out.text);
        }
    }
    assert_eq!(asked.load(Ordering::SeqCst), 5, "one request an image, the second time none");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_engine_and_a_real_disk_are_measured() {
    with_boxes(|boxes| async move {
        let volume = format!("opsbot-test-{}-data", boxes.customer);
        let script = "dd if=/dev/zero of=/written bs=1024 count=2048; dd if=/dev/zero of=/data/x bs=1024 count=4096; echo done; exec sleep 600";
        let web = boxes.make(Make { service: "web", script, volume: Some(&volume), ..Make::default() }).await;
        let hosts = boxes.hosts();
        let query = opsbot::docker::LogQuery::tail(20);
        until("the files", || async { hosts.logs(&web, &query).await.unwrap().lines.iter().any(|l| l.text.as_str() == "done") }).await;
        let rig = Rig::new(boxes.hosts());
        let out = rig.read("get_disk_usage", json!({"customer_id": boxes.customer})).await.unwrap();
        let line = |name: &str| out.text.lines().find(|l| l.starts_with(&format!("- {name}, "))).unwrap_or_default().to_owned();
        assert_eq!(line(&web.name), format!("- {}, {} web, 2.0 MiB, local", web.name, boxes.customer), "{}", out.text);
        assert_eq!(line(&volume), format!("- {volume}, {} web, 4.0 MiB, local", boxes.customer), "{}", out.text);
        assert!(out.text.contains(", /, this host"), "{}", out.text);
        let usage = hosts.disk_usage(&"local".into()).await.unwrap();
        assert!(usage.images.bytes > 0 && usage.containers.active >= 1 && usage.volumes.active >= 1, "{usage:?}");
        let all = rig.read("list_containers", json!({"customer_id": boxes.customer})).await.unwrap();
        assert!(all.text.contains(&format!("- {}: running, Up ", web.name)), "{}", all.text);
        let Ok(url) = std::env::var("OPSBOT_TEST_PROMETHEUS") else { return missing("OPSBOT_TEST_PROMETHEUS") };
        rustls::crypto::ring::default_provider().install_default().ok();
        let rig = Rig::with_prometheus(boxes.hosts(), Prometheus::new(&Options::new(url)).unwrap());
        let out = rig.read("get_disk_usage", json!({})).await.unwrap();
        let root = out.text.lines().find(|l| l.contains(", /, ")).unwrap_or_else(|| panic!("{}", out.text));
        assert!(root.contains(" %, ") && root.contains("127.0.0.1:") && !root.contains("this host"), "{root}");
    })
    .await;
}
