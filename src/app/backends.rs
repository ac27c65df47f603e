//! From a checked configuration to the back ends and the tools over them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use jiff::tz::TimeZone;

use super::{Failure, alerting};
use crate::{
    agent::port::Tool,
    cache::{Cache, CustomerCache, Redis, RedisOptions, Varnish, VarnishOptions},
    config::{CacheBackend, CacheConfig, Config, LogSourceConfig},
    docker::{DockerHosts, HostConfig, TlsFiles},
    domain::{ContainerRef, Customer, CustomerId, ToolError, ToolSpec},
    engine::{Directory, DirectorySource, Registry, playbook},
    inventory::{self, InventorySource, Rules},
    logs::{Origin, PathGlob, Source, Sources},
    pager::Pager,
    playbook::Playbooks,
    prometheus::{Credentials, Options, Prometheus},
    runtime::clock,
    spill::{SpillError, SpillStore},
    tools::{
        self,
        alerts::ListActiveAlerts,
        clear_cache::ClearCache,
        disk::GetDiskUsage,
        evidence::{AlertSample, Looks, MetricSample},
        metrics::{GetMetrics, Templates},
        playbooks::ListPlaybooks,
        query_prometheus::QueryPrometheus,
        restart::RestartLimits,
        search::{Found, Wanted},
    },
};

/// A check-up looks at this much of the past.
const CHECK_UP_WINDOW: Duration = Duration::from_secs(15 * 60);

/// The back ends and the tools over them; opens no file and contacts nobody.
#[derive(Debug)]
pub struct Backends {
    /// Customers and containers.
    pub source: InventorySource,
    /// Logs besides Docker's.
    pub logs: Sources,
    /// Prometheus, if there is one.
    pub prometheus: Option<Prometheus>,
    /// The tools.
    pub registry: Registry,
    /// The playbooks, and what is wrong with those that were left out.
    pub playbooks: Arc<Playbooks>,
}

/// Builds the tools.
///
/// # Errors
/// A configuration that cannot be carried out.
pub fn backends(config: &Config, spill: Option<Arc<SpillStore>>) -> Result<Backends, Failure> {
    backends_over(config, inventory_source(config)?, spill)
}

/// The same with the tools over a desk, where there is one.
pub(super) fn watching(
    config: &Config,
    spill: Option<Arc<SpillStore>>,
    pager: Option<&Pager>,
) -> Result<Backends, Failure> {
    build(config, inventory_source(config)?, spill, pager)
}

/// The same over an inventory that is there already.
///
/// # Errors
/// A configuration that cannot be carried out.
pub fn backends_over(
    config: &Config,
    source: InventorySource,
    spill: Option<Arc<SpillStore>>,
) -> Result<Backends, Failure> {
    build(config, source, spill, None)
}

fn build(
    config: &Config,
    source: InventorySource,
    spill: Option<Arc<SpillStore>>,
    pager: Option<&Pager>,
) -> Result<Backends, Failure> {
    let logs = log_sources(config)?;
    let prometheus = prometheus(config)?;
    let templates = templates(config);
    let alert_labels = tools::alerts::LabelNames {
        customer: config.inventory.alert_customer_label.clone(),
        service: config.inventory.alert_service_label.clone(),
    };
    let parts = tools::Parts {
        source: source.clone(),
        logs: logs.clone(),
        looks: looks(&source, prometheus.as_ref(), &templates, &alert_labels),
        search: Arc::new(move |wanted| search(spill.as_deref(), wanted)),
        look_within: tools::Parts::LOOK_WITHIN,
        restart: RestartLimits::default(),
        clock: clock::now,
    };
    let mut all: Vec<Arc<dyn Tool>> = tools::all(parts);
    let resolving = source.clone();
    all.push(Arc::new(GetMetrics::new(
        prometheus.clone(),
        templates,
        Arc::new(move |text| {
            let source = resolving.clone();
            Box::pin(async move {
                let inventory = source.snapshot().await;
                let customer = inventory.find_customer(&text)?;
                let refs = inventory.members(&customer.id).iter().map(|m| m.r.clone()).collect();
                Ok((customer, refs))
            })
        }),
        docker_stats(source.hosts().clone()),
    )));
    all.extend(tools::notes::all(&source));
    all.push(Arc::new(GetDiskUsage::new(source.clone(), prometheus.clone())));
    all.push(Arc::new(QueryPrometheus::new(prometheus.clone())));
    all.push(Arc::new(ClearCache::new(source.clone(), caches(config))));
    let desk = pager.zip(config.alerts.as_ref());
    let desk = desk.map(|(pager, alerts)| alerting::desk_tools(config, alerts, pager, &source));
    all.extend(desk.iter().flat_map(tools::alerts::over_desk));
    let mut bodiless = tools::blocked_specs();
    let mut specs: Vec<_> = all.iter().map(|t| t.spec().clone()).chain(bodiless.iter().cloned()).collect();
    specs.push(ListActiveAlerts::known());
    let playbooks = Arc::new(load_playbooks(config, &specs)?);
    let active = ListActiveAlerts::new(prometheus.clone(), alert_labels, playbooks.clone()).over(desk);
    all.push(Arc::new(active));
    all.push(Arc::new(ListPlaybooks::new(playbooks.clone())));
    bodiless.push(playbook::spec());
    Ok(Backends { source, logs, prometheus, registry: Registry::new(all, bodiless), playbooks })
}

fn load_playbooks(config: &Config, specs: &[ToolSpec]) -> Result<Playbooks, Failure> {
    let dir = &config.playbooks.dir;
    Playbooks::load(dir, specs)
        .map_err(|e| Failure::config(format!("playbooks.dir: {} cannot be read ({e})", dir.display())))
}

/// The customers and containers of the configured Docker hosts; contacts nobody.
///
/// # Errors
/// A configuration that cannot be carried out.
pub fn inventory_source(config: &Config) -> Result<InventorySource, Failure> {
    let hosts = config.docker.iter().map(|d| HostConfig {
        name: d.name.clone(),
        url: d.url.clone(),
        tls: d.tls.as_ref().map(|t| TlsFiles { ca: t.ca.clone(), cert: t.cert.clone(), key: t.key.clone() }),
        timeout: d.timeout,
    });
    let labels = inventory::LabelNames {
        customer: config.inventory.customer_label.clone(),
        service: config.inventory.service_label.clone(),
        depends_on: config.inventory.depends_on_label.clone(),
    };
    let customers = config.customers.iter().map(|c| inventory::CustomerConfig {
        customer: c.customer.clone(),
        containers: c.containers.clone(),
        hosts: vec![],
    });
    // Whoever has a log only is a customer as well.
    let described = |id: &CustomerId| config.customers.iter().any(|c| c.customer.id == *id);
    let mut logged: Vec<_> = config.log_sources.iter().map(|l| l.customer.clone()).collect();
    logged.sort();
    logged.dedup();
    let logged = logged.into_iter().filter(|id| !described(id)).map(|id| inventory::CustomerConfig {
        customer: Customer { id, name: None, aliases: vec![], domain: None, labels: BTreeMap::new() },
        containers: vec![],
        hosts: vec![],
    });
    let rules = Rules::new(labels, customers.chain(logged).collect()).map_err(Failure::config)?;
    Ok(InventorySource::new(DockerHosts::connect(hosts.collect()), rules))
}

fn log_sources(config: &Config) -> Result<Sources, Failure> {
    let source = |l: &LogSourceConfig| {
        let origin = match &l.path {
            Some(path) => Origin::Files(PathGlob::new(path).map_err(Failure::config)?),
            None => Origin::Journal { folder: l.journal_folder(), unit: l.unit.clone() },
        };
        Ok(Source { customer: l.customer.clone(), service: l.service.clone(), origin })
    };
    let all = config.log_sources.iter().map(source).collect::<Result<_, Failure>>()?;
    Ok(Sources::new(all, TimeZone::system()))
}

fn prometheus(config: &Config) -> Result<Option<Prometheus>, Failure> {
    let Some(p) = &config.prometheus else { return Ok(None) };
    let credentials =
        p.token.as_ref().map_or(Credentials::None, |t| Credentials::Bearer(t.expose().to_owned()));
    let options = Options { credentials, timeout: p.timeout, ..Options::new(&p.url) };
    Prometheus::new(&options).map(Some).map_err(|e| Failure::config(format!("prometheus: {e}")))
}

/// The customers' caches; contacts nobody.
pub(crate) fn caches(config: &Config) -> Vec<CustomerCache> {
    let cache = |c: &CacheConfig| {
        let (address, timeout) = (c.address.clone(), c.timeout);
        let cache = match c.backend.clone() {
            CacheBackend::Redis(r) => {
                let password = r.password.map(|p| p.expose().to_owned());
                let (db, username, prefix) = (r.db, r.username, r.prefix);
                Cache::Redis(Redis::new(RedisOptions { address, db, username, password, prefix, timeout }))
            }
            CacheBackend::Varnish(v) => {
                let secret = v.secret.map(|s| s.expose().to_owned());
                Cache::Varnish(Varnish::new(VarnishOptions { address, secret, host: v.host, timeout }))
            }
        };
        CustomerCache { customer: c.customer.clone(), cache }
    };
    config.caches.iter().map(cache).collect()
}

fn templates(config: &Config) -> Templates {
    let (own, m) = (Templates::default(), config.metrics.clone());
    Templates {
        cpu: m.cpu.unwrap_or(own.cpu),
        memory: m.memory.unwrap_or(own.memory),
        memory_limit: m.memory_limit.unwrap_or(own.memory_limit),
        disk: m.disk.unwrap_or(own.disk),
        network_rx: m.network_rx.unwrap_or(own.network_rx),
        network_tx: m.network_tx.unwrap_or(own.network_tx),
    }
}

type Stats =
    Arc<dyn Fn(Vec<ContainerRef>) -> BoxFuture<'static, Result<Vec<MetricSample>, ToolError>> + Send + Sync>;

fn docker_stats(hosts: DockerHosts) -> Stats {
    Arc::new(move |refs| {
        let hosts = hosts.clone();
        Box::pin(async move {
            let all = futures::future::join_all(refs.iter().map(|r| hosts.stats(r))).await;
            let mut samples = Vec::new();
            for (r, stats) in refs.iter().zip(all) {
                let Some(stats) = stats.map_err(ToolError::from)? else { continue };
                let mut push = |name, unit, now: Option<f64>, limit| {
                    if let Some(now) = now {
                        let service = r.service.clone();
                        samples.push(MetricSample {
                            service,
                            name,
                            unit,
                            now,
                            limit,
                            source: "docker stats",
                        });
                    }
                };
                push("cpu", "%", stats.cpu_percent, None);
                push("memory", "B", stats.memory.map(|n| n as f64), stats.memory_limit.map(|n| n as f64));
                push("network_rx", "B/s", stats.rx_per_second, None);
                push("network_tx", "B/s", stats.tx_per_second, None);
            }
            Ok(samples)
        })
    })
}

fn looks(
    source: &InventorySource,
    prometheus: Option<&Prometheus>,
    templates: &Templates,
    labels: &tools::alerts::LabelNames,
) -> Looks {
    let stats = docker_stats(source.hosts().clone());
    let (prom, templates) = (prometheus.cloned(), templates.clone());
    let metrics = move |customer: CustomerId,
                        refs: Vec<ContainerRef>|
          -> BoxFuture<'static, Result<Vec<MetricSample>, ToolError>> {
        let (prom, templates, stats) = (prom.clone(), templates.clone(), stats.clone());
        Box::pin(async move {
            if let Some(prom) = prom {
                let samples = tools::metrics::collect(
                    &prom,
                    &templates,
                    &customer,
                    &refs,
                    CHECK_UP_WINDOW,
                    clock::now(),
                )
                .await;
                match samples {
                    Ok(samples) if !samples.is_empty() => return Ok(samples),
                    Ok(_) => {}
                    Err(error) => tracing::debug!(%error, "no metrics from Prometheus; asking Docker"),
                }
            }
            stats(refs).await
        })
    };
    let (prom, labels) = (prometheus.cloned(), labels.clone());
    let alerts = move |customer: CustomerId,
                       _: Vec<ContainerRef>|
          -> BoxFuture<'static, Result<Vec<AlertSample>, ToolError>> {
        let (prom, labels) = (prom.clone(), labels.clone());
        Box::pin(async move {
            match prom {
                Some(prom) => tools::alerts::collect(&prom, &labels, Some(&customer)).await,
                None => Err(ToolError::NothingFound("no Prometheus is configured ([prometheus] url)".into())),
            }
        })
    };
    Looks { metrics: Arc::new(metrics), alerts: Arc::new(alerts) }
}

fn search(spill: Option<&SpillStore>, wanted: &Wanted) -> Result<Found, ToolError> {
    let Some(spill) = spill else {
        return Err(ToolError::NothingFound("nothing is kept here".into()));
    };
    match spill.search(&wanted.id, &wanted.pattern, wanted.max_lines, wanted.context) {
        Ok(hits) => Ok(Found { lines: hits.lines, total: hits.total }),
        Err(SpillError::BadId(_) | SpillError::Gone(_)) => {
            Err(ToolError::UnknownId { what: "kept output", given: wanted.id.clone(), known: vec![] })
        }
        Err(error @ SpillError::BadPattern(_)) => Err(ToolError::BadArgs(error.to_string())),
        Err(error) => Err(ToolError::Failed(error.to_string())),
    }
}

/// Who and what there is in `source` and has `logs`, for names in plain words.
pub fn directory(source: InventorySource, logs: Sources) -> DirectorySource {
    Arc::new(move || {
        let (source, logs) = (source.clone(), logs.clone());
        Box::pin(async move {
            let inventory = source.snapshot().await;
            let customers: Vec<_> = inventory.customers().into_iter().cloned().collect();
            let services = customers
                .iter()
                .flat_map(|c| {
                    let mut names = inventory.services(&c.id);
                    names.extend(logs.of(&c.id).into_iter().map(|l| l.service));
                    names.sort();
                    names.dedup();
                    names.into_iter().map(|s| (c.id.clone(), s))
                })
                .collect();
            Directory { customers, services }
        })
    })
}
