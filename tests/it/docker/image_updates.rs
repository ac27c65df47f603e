//! Image updates with a real engine and a registry at the wire.

use bollard::{auth::DockerCredentials, query_parameters::PushImageOptionsBuilder};
use futures::TryStreamExt;
use opsbot::docker::{DockerHosts, HostConfig, Tag};
use serde_json::json;

use super::{
    boxes::{Boxes, Make, with_boxes},
    registry::Registry,
    rig::Rig,
};
use crate::docker_helper::rig::Helper;

const IDLE: &str = "echo started; exec sleep 600";

async fn push(boxes: &Boxes, repository: &str) {
    let options = PushImageOptionsBuilder::default().tag("1").build();
    let pushed = boxes.docker.push_image(repository, Some(options), Some(DockerCredentials::default()));
    let lines: Vec<_> = pushed.try_collect().await.unwrap();
    assert!(lines.iter().all(|l| l.error_detail.is_none()), "{lines:?}");
}

/// What is said of the image; a fresh tool remembers nothing.
async fn said(hosts: DockerHosts, boxes: &Boxes, name: &str) -> String {
    let out = Rig::new(hosts).read("image_updates", json!({"customer_id": boxes.customer})).await.unwrap();
    let line = out.text.lines().find(|l| l.starts_with(&format!("- {name}: ")));
    line.unwrap_or_else(|| panic!("{name}: {}", out.text)).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_image_in_a_registry_is_seen_and_never_pulled() {
    with_boxes(|boxes| async move {
        let registry = Registry::start().await;
        let repository = format!("{}/{}/web", registry.at, boxes.customer);
        let name = format!("{repository}:1");
        let db = boxes.make(Make { service: "db", script: IDLE, ..Make::default() }).await;
        boxes.commit(&db, &repository, "1").await;
        push(&boxes, &repository).await;
        let web =
            boxes.make(Make { service: "web", script: IDLE, image: Some(&name), ..Make::default() }).await;
        let line = || said(boxes.hosts(), &boxes, &name);
        assert_eq!(line().await, format!("- {name}: up to date; run by {} web", boxes.customer));
        let built = said(boxes.hosts(), &boxes, "opsbot-sandbox:1").await;
        assert!(built.contains("built or loaded on the host"), "{built}");

        registry.renew();
        let blobs =
            || registry.asked().iter().filter(|a| a.starts_with("GET ") && a.contains("/blobs/")).count();
        for _ in 0..2 {
            let newer = line().await;
            assert!(newer.contains("newer image in the registry"), "{newer}");
        }
        // The engine reads an image's configuration to tell its platform, one blob a question, and no layer.
        assert!(blobs() <= registry.asked().iter().filter(|a| a.contains("/manifests/")).count());

        let engine = boxes.url.strip_prefix("unix://").expect("an engine on a Unix socket");
        let helper = Helper::before(engine.as_ref(), "");
        let behind = |url: String| {
            DockerHosts::connect(vec![HostConfig {
                name: "local".into(),
                url,
                tls: None,
                timeout: HostConfig::TIMEOUT,
            }])
        };
        let through = said(behind(helper.url()), &boxes, &name).await;
        assert!(through.contains("newer image in the registry"), "{through}");
        let foreign = Tag { repository: format!("{}/other/web", registry.at), tag: "1".into() };
        let before = registry.asked().len();
        let error =
            behind(helper.url()).registry_digest(&"local".into(), &foreign).await.unwrap_err().to_string();
        assert!(error.contains("no image of that repository") && registry.asked().len() == before, "{error}");

        for (status, code, want) in [
            (429, "TOOMANYREQUESTS", "limits how often"),
            (401, "UNAUTHORIZED", "wants a login"),
            (404, "MANIFEST_UNKNOWN", "no longer has this tag"),
        ] {
            registry.refuse(Some((status, code)));
            let refused = line().await;
            assert!(refused.contains(want), "{status}: {refused}");
        }
        registry.refuse(None);

        // A newer one is there, and the container still runs the old one.
        boxes.commit(&web, &repository, "1").await;
        push(&boxes, &repository).await;
        let pulled = line().await;
        assert!(pulled.contains("pulled already: make the container anew"), "{pulled}");
        drop(registry);
        let offline = line().await;
        assert!(offline.contains("cannot reach the registry"), "{offline}");
    })
    .await;
}
