//! One Docker host: connects late, reads within bounds, forgets a connection that failed.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bollard::{
    ClientVersion, Docker,
    errors::Error,
    query_parameters::{RestartContainerOptionsBuilder, StopContainerOptionsBuilder},
};
use futures::StreamExt;
use serde::de::DeserializeOwned;
use tokio::{runtime, select, sync::oneshot, task, time};

use super::{
    ContainerInfo, ContainerStats, DiskUsage, DockerError, HostConfig, Listed, LocalImage, LogQuery, LogRead,
    LogScan, PassingLine, Tag, decode::Decoder, image, info, log::Collected, tls, wire,
};
use crate::domain::{ContainerRef, HostName};

/// No answer but a log is larger; a server that sends more is not Docker.
const MAX_ANSWER: usize = 16 << 20;
/// The client's own limit; the calls here have shorter ones.
const CLIENT_TIMEOUT: u64 = 600;
/// Docker walks all volumes and layers to measure them.
const MEASURE_TIMEOUT: Duration = Duration::from_secs(120);
/// The last version of the API whose disk usage lists every object.
const MEASURE_VERSION: usize = 44;
/// The engine asks a registry, perhaps over a bad line.
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(25);
/// Between the two samples that make a rate.
const SAMPLE_GAP: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Host {
    config: HostConfig,
    client: Mutex<Option<Docker>>,
}

impl Host {
    pub(super) fn new(config: HostConfig) -> Self {
        Self { config, client: Mutex::new(None) }
    }

    pub(super) fn name(&self) -> &HostName {
        &self.config.name
    }

    pub(super) fn is_local(&self) -> bool {
        self.config.url.starts_with("unix://")
    }

    fn failed(&self, container: &str, error: &Error) -> DockerError {
        DockerError::from_client(self.name(), self.config.tls.is_some(), container, error)
    }

    async fn open(&self, version: &ClientVersion) -> Result<Docker, DockerError> {
        let url = &self.config.url;
        let client = match &self.config.tls {
            _ if url.starts_with("unix://") => Docker::connect_with_unix(url, CLIENT_TIMEOUT, version),
            _ if !url.starts_with("tcp://") => return Err(DockerError::bad_url(self.name())),
            Some(files) => return tls::open(self.name(), url, files, CLIENT_TIMEOUT, version).await,
            None => Docker::connect_with_http(url, CLIENT_TIMEOUT, version),
        };
        client.map_err(|e| self.failed("", &e))
    }

    fn slot(&self) -> MutexGuard<'_, Option<Docker>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connected client. Callers that come together may each agree on a version with the engine: none waits for
    /// another, whose deadline is not its own.
    async fn client(&self) -> Result<Docker, DockerError> {
        let known = self.slot().clone();
        if let Some(client) = known {
            return Ok(client);
        }
        let client = self.open(bollard::API_DEFAULT_VERSION).await?.negotiate_version().await;
        let client = client.map_err(|e| self.failed("", &e))?;
        *self.slot() = Some(client.clone());
        Ok(client)
    }

    /// Runs `work` under a deadline. After a failure the next call negotiates anew: the engine may be another one.
    async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, DockerError>>,
    ) -> Result<T, DockerError> {
        let done = time::timeout(limit, work).await;
        self.forgetting(done.unwrap_or_else(|_| Err(DockerError::timeout(self.name(), limit))))
    }

    /// Forgets the connection after a failure.
    pub(super) fn forgetting<T>(&self, result: Result<T, DockerError>) -> Result<T, DockerError> {
        if matches!(&result, Err(DockerError::Down { .. } | DockerError::Refused { .. })) {
            *self.slot() = None;
        }
        result
    }

    /// Streams the body of a GET into `take`, which says whether it wants more. A path may name its own version.
    ///
    /// The client's own calls buffer a whole body, frame or line, however long; its `export` hands out raw pieces. So
    /// that request is sent with another path.
    pub(super) async fn get(
        &self,
        container: &str,
        path: &str,
        mut take: impl FnMut(&[u8]) -> Result<bool, DockerError>,
    ) -> Result<(), DockerError> {
        let client = self.client().await?;
        let path = path.to_owned();
        let client = client.with_request_modifier(move |mut request| {
            let uri = request.uri().to_string();
            let mut root = uri.rsplit_once("/containers/").map(|(root, _)| root).unwrap_or_default();
            // The client itself names none, as of 0.21.
            if path.starts_with("/v1.")
                && let Some((host, last)) = root.rsplit_once('/')
                && last.starts_with("v1.")
            {
                root = host;
            }
            if let Ok(uri) = format!("{root}{path}").parse() {
                *request.uri_mut() = uri;
            }
            request
        });
        let mut body = client.export_container("opsbot");
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|e| self.failed(container, &e))?;
            if !take(&piece)? {
                break;
            }
        }
        Ok(())
    }

    async fn get_json<T: DeserializeOwned>(&self, container: &str, path: &str) -> Result<T, DockerError> {
        let mut bytes = Vec::new();
        self.get(container, path, |piece| {
            if bytes.len() + piece.len() > MAX_ANSWER {
                return Err(DockerError::garbage(self.name(), "too long"));
            }
            bytes.extend_from_slice(piece);
            Ok(true)
        })
        .await?;
        serde_json::from_slice(&bytes).map_err(|_| DockerError::garbage(self.name(), "unreadable JSON"))
    }

    pub(super) async fn version(&self) -> Result<String, DockerError> {
        let answer = self.get_json::<wire::Version>("", "/version");
        Ok(self.within(self.config.timeout, answer).await?.version)
    }

    pub(super) async fn list(&self) -> Result<Vec<Listed>, DockerError> {
        let answer = self.get_json::<Vec<wire::Summary>>("", "/containers/json?all=true");
        let all = self.within(self.config.timeout, answer).await?;
        Ok(all.into_iter().filter_map(|s| Listed::read(self.name(), s)).collect())
    }

    pub(super) async fn inspect(&self, r: &ContainerRef) -> Result<ContainerInfo, DockerError> {
        let id = self.id(r)?;
        let path = format!("/containers/{id}/json");
        let answer: wire::Inspect = self.within(self.config.timeout, self.get_json(&r.name, &path)).await?;
        if answer.id != r.id {
            return Err(DockerError::garbage(self.name(), "another container"));
        }
        Ok(ContainerInfo::read(r, answer))
    }

    pub(super) async fn logs(&self, r: &ContainerRef, query: &LogQuery) -> Result<LogRead, DockerError> {
        let keep = query.tail.map_or(usize::MAX, |n| n as usize);
        let (kept, scan) = self.scan_log(r, query, Collected::new(keep), Collected::take).await?;
        Ok(kept.done(scan.seen, scan.broke))
    }

    /// The engine sends each line as a piece of its own, and to hand every piece from one thread to another takes
    /// longer than to read it. So connection, decoding and counting of one log share one thread.
    pub(super) async fn scan_log<T: Send + 'static>(
        &self,
        r: &ContainerRef,
        query: &LogQuery,
        mut kept: T,
        take: fn(&mut T, &PassingLine<'_>),
    ) -> Result<(T, LogScan), DockerError> {
        self.id(r)?;
        let version = self.within(self.config.timeout, self.client()).await?.client_version();
        let (config, r, query) = (self.config.clone(), r.clone(), query.clone());
        let (mut done, read) = oneshot::channel();
        task::spawn_blocking(move || {
            let work = async {
                let host = Self::new(config);
                *host.slot() = Some(host.open(&version).await?);
                let scan = host.read_log(&r, &query, |line| take(&mut kept, line)).await?;
                Ok((kept, scan))
            };
            let Ok(own) = runtime::Builder::new_current_thread().enable_all().build() else { return };
            let read = own.block_on(async {
                select! {
                    read = work => Some(read),
                    () = done.closed() => None,
                }
            });
            if let Some(read) = read {
                // Who asked may be gone by now.
                let _unheard = done.send(read);
            }
        });
        self.forgetting(read.await.unwrap_or_else(|_| Err(DockerError::no_reader(self.name()))))
    }

    async fn read_log(
        &self,
        r: &ContainerRef,
        query: &LogQuery,
        take: impl FnMut(&PassingLine<'_>),
    ) -> Result<LogScan, DockerError> {
        let id = self.id(r)?;
        let since = query.since.map_or_else(String::new, |t| {
            format!("&since={}.{:09}", t.as_second(), t.subsec_nanosecond().max(0))
        });
        let tail = query.tail.map_or_else(|| "all".to_owned(), |n| n.to_string());
        let path =
            format!("/containers/{id}/logs?stdout=true&stderr=true&timestamps=true&tail={tail}{since}");
        let mut decoder = Decoder::new(take);
        let mut bytes = 0;
        let read = self.get(&r.name, &path, |piece| {
            bytes += piece.len() as u64;
            decoder.push(piece).map_err(|g| DockerError::garbage(self.name(), g.0))?;
            Ok(bytes < query.max_bytes)
        });
        let ended = self.within(query.within.unwrap_or(self.config.timeout), read).await;
        let broke = match ended {
            Ok(()) if bytes >= query.max_bytes => {
                Some(format!("reading ended after {} MiB", query.max_bytes >> 20))
            }
            Ok(()) => None,
            // What came before the break is evidence all the same.
            Err(DockerError::Down { detail, .. }) if decoder.seen() > 0 => Some(detail),
            Err(e) => return Err(e),
        };
        let (seen, cut) = decoder.finish().map_err(|g| DockerError::garbage(self.name(), g.0))?;
        Ok(LogScan { seen, broke: broke.or(cut) })
    }

    pub(super) async fn stats(&self, r: &ContainerRef) -> Result<Option<ContainerStats>, DockerError> {
        let path = format!("/containers/{}/stats?stream=false&one-shot=true", self.id(r)?);
        let both = async {
            let first: wire::Sample = self.get_json(&r.name, &path).await?;
            if info::read_time(&first.read).is_none() {
                return Ok(None);
            }
            time::sleep(SAMPLE_GAP).await;
            let second: wire::Sample = self.get_json(&r.name, &path).await?;
            Ok(ContainerStats::between(&first, &second))
        };
        self.within(self.config.timeout + SAMPLE_GAP, both).await
    }

    pub(super) async fn disk_usage(&self) -> Result<DiskUsage, DockerError> {
        // Nobody waits minutes for a host that is down.
        self.version().await?;
        let measure = async {
            let minor = self.client().await?.client_version().minor_version.min(MEASURE_VERSION);
            self.get_json::<wire::DiskUsage>("", &format!("/v1.{minor}/system/df")).await
        };
        Ok(DiskUsage::read(self.within(MEASURE_TIMEOUT.max(self.config.timeout), measure).await?))
    }

    pub(super) async fn images(&self) -> Result<Vec<LocalImage>, DockerError> {
        let answer = self.get_json::<Vec<wire::Image>>("", "/images/json");
        let all = self.within(self.config.timeout, answer).await?;
        Ok(all.into_iter().map(LocalImage::read).collect())
    }

    pub(super) async fn registry_digest(&self, tag: &Tag) -> Result<String, DockerError> {
        let path = format!("/distribution/{tag}/json");
        let answer = self.get_json::<wire::Distribution>("", &path);
        let digest = self.within(REGISTRY_TIMEOUT.max(self.config.timeout), answer).await?.descriptor.digest;
        if image::is_digest(&digest) {
            Ok(digest)
        } else {
            Err(DockerError::garbage(self.name(), "no digest"))
        }
    }

    pub(super) async fn start(&self, r: &ContainerRef) -> Result<(), DockerError> {
        let id = self.id(r)?;
        self.write(r, Duration::ZERO, async |client| client.start_container(id, None).await).await
    }

    pub(super) async fn stop(&self, r: &ContainerRef, grace: Duration) -> Result<(), DockerError> {
        let id = self.id(r)?;
        let options = StopContainerOptionsBuilder::default().t(seconds(grace)).build();
        self.write(r, grace, async |client| client.stop_container(id, Some(options)).await).await
    }

    pub(super) async fn restart(&self, r: &ContainerRef, grace: Duration) -> Result<(), DockerError> {
        let id = self.id(r)?;
        let options = RestartContainerOptionsBuilder::default().t(seconds(grace)).build();
        self.write(r, grace, async |client| client.restart_container(id, Some(options)).await).await
    }

    /// The engine ends the old process (grace), kills it, and starts the new one.
    async fn write(
        &self,
        r: &ContainerRef,
        grace: Duration,
        act: impl AsyncFnOnce(Docker) -> Result<(), Error>,
    ) -> Result<(), DockerError> {
        let work = async {
            let client = self.client().await?;
            act(client).await.map_err(|e| self.failed(&r.name, &e))
        };
        self.within(grace + self.config.timeout * 2, work).await
    }

    pub(super) fn id<'r>(&self, r: &'r ContainerRef) -> Result<&'r str, DockerError> {
        if info::is_id(&r.id) {
            Ok(&r.id)
        } else {
            Err(DockerError::Gone { host: self.name().clone(), container: r.name.clone() })
        }
    }
}

fn seconds(grace: Duration) -> i32 {
    i32::try_from(grace.as_secs()).unwrap_or(i32::MAX)
}
