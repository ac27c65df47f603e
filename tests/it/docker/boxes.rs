//! Throwaway containers on a real engine; exactly these are removed again.

use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use bollard::{
    Docker,
    models::{
        ContainerConfig, ContainerCreateBody, HealthConfig, HostConfig as Limits, RestartPolicy,
        RestartPolicyNameEnum,
    },
    query_parameters::{
        CommitContainerOptionsBuilder, CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder,
        RemoveImageOptionsBuilder, RemoveVolumeOptions,
    },
};
use opsbot::{
    docker::{DockerHosts, HostConfig},
    domain::{ContainerRef, HostName},
};

const IMAGE: &str = "opsbot-sandbox:1";

/// How a throwaway container is made.
#[derive(Clone, Debug, Default)]
pub struct Make<'a> {
    pub service: &'a str,
    pub script: &'a str,
    pub needs: &'a str,
    pub check: Option<&'a str>,
    pub restarts: bool,
    pub tty: bool,
    /// Another image than the sandbox's.
    pub image: Option<&'a str>,
    /// A volume at `/data`.
    pub volume: Option<&'a str>,
}

/// Containers of one customer with a random id.
pub struct Boxes {
    pub docker: Docker,
    pub url: String,
    pub customer: String,
    made: tokio::sync::Mutex<Vec<ContainerRef>>,
    images: tokio::sync::Mutex<Vec<String>>,
    volumes: tokio::sync::Mutex<Vec<String>>,
}

/// Runs `test` with throwaway containers, which go whether it passes or not. Without an engine it is skipped, in CI it fails.
pub async fn with_boxes<F: Future<Output = ()> + Send + 'static>(test: impl FnOnce(Arc<Boxes>) -> F) {
    let Ok(url) = std::env::var("OPSBOT_TEST_DOCKER") else {
        let must = ["CI", "OPSBOT_TEST_REQUIRE"].iter().any(|v| std::env::var_os(v).is_some());
        assert!(!must, "OPSBOT_TEST_DOCKER is not set (scripts/sandbox engine prints it)");
        skipped();
        return;
    };
    let docker = Docker::connect_with_host(&url).unwrap().negotiate_version().await.unwrap();
    let customer = format!("t-{:08x}", rand::random::<u32>());
    let boxes = Arc::new(Boxes {
        docker,
        url,
        customer,
        made: Default::default(),
        images: Default::default(),
        volumes: Default::default(),
    });
    let ended = tokio::spawn(test(Arc::clone(&boxes))).await;
    for r in boxes.made.lock().await.iter() {
        boxes.remove(r).await;
    }
    for image in boxes.images.lock().await.iter() {
        let options = RemoveImageOptionsBuilder::default().force(true).build();
        // The test may have moved its name to another.
        let _gone = boxes.docker.remove_image(image, Some(options), None).await;
    }
    for volume in boxes.volumes.lock().await.iter() {
        let _gone = boxes.docker.remove_volume(volume, None::<RemoveVolumeOptions>).await;
    }
    ended.unwrap();
}

#[allow(clippy::print_stdout, reason = "a skip must be seen")]
fn skipped() {
    println!("skipped: OPSBOT_TEST_DOCKER is not set");
}

impl Boxes {
    pub fn hosts(&self) -> DockerHosts {
        DockerHosts::connect(vec![HostConfig {
            name: HostName::from("local"),
            url: self.url.clone(),
            tls: None,
            timeout: Duration::from_secs(10),
        }])
    }

    /// Makes and starts a container.
    pub async fn make(&self, make: Make<'_>) -> ContainerRef {
        let name = format!("opsbot-test-{}-{}", self.customer, make.service);
        let labels = [
            ("opsbot.sandbox", "1"),
            ("opsbot.customer", self.customer.as_str()),
            ("opsbot.service", make.service),
            ("opsbot.depends_on", make.needs),
        ];
        let second = 1_000_000_000;
        let body = ContainerCreateBody {
            image: Some(make.image.unwrap_or(IMAGE).into()),
            cmd: Some(["sh", "-c", make.script].map(String::from).into()),
            tty: Some(make.tty),
            labels: Some(labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect::<HashMap<_, _>>()),
            healthcheck: make.check.map(|check| HealthConfig {
                test: Some(vec!["CMD-SHELL".into(), check.into()]),
                interval: Some(second),
                timeout: Some(second),
                retries: Some(2),
                ..Default::default()
            }),
            host_config: Some(Limits {
                memory: Some(32 << 20),
                init: Some(true),
                binds: make.volume.map(|volume| vec![format!("{volume}:/data")]),
                network_mode: Some("none".into()),
                restart_policy: make.restarts.then_some(RestartPolicy {
                    name: Some(RestartPolicyNameEnum::ON_FAILURE),
                    maximum_retry_count: None,
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        self.volumes.lock().await.extend(make.volume.map(str::to_owned));
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let id = self.docker.create_container(Some(options), body).await.unwrap().id;
        let r = ContainerRef { host: "local".into(), id, name, service: make.service.into() };
        self.made.lock().await.push(r.clone());
        self.docker.start_container(&r.id, None).await.unwrap();
        r
    }

    /// Makes an image of a container under that name; it goes at the end.
    pub async fn commit(&self, r: &ContainerRef, repository: &str, tag: &str) -> String {
        let options =
            CommitContainerOptionsBuilder::default().container(&r.id).repo(repository).tag(tag).build();
        let id = self.docker.commit_container(options, ContainerConfig::default()).await.unwrap().id;
        self.images.lock().await.extend([format!("{repository}:{tag}"), id.clone()]);
        id
    }

    pub async fn remove(&self, r: &ContainerRef) {
        let options = RemoveContainerOptionsBuilder::default().force(true).build();
        // A test may have removed it already.
        let _gone = self.docker.remove_container(&r.id, Some(options)).await;
    }
}

/// Waits until `ready` says so, at most 20 s.
pub async fn until<F: Future<Output = bool>>(what: &str, mut ready: impl FnMut() -> F) {
    let waiting = async {
        while !ready().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), waiting).await.is_ok(), "{what} did not come");
}
