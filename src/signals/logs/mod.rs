//! Patterns in logs as they grow: of containers, by rules and by labels, and of configured files.

mod follower;
mod matching;
mod tail;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{
    Keep, Known, Outbox,
    containers::owned,
    text::{About, over},
};
use crate::{
    docker::{Listed, State},
    domain::{ContainerRef, CustomerId, Fingerprint, HostName, ServiceName, Severity, Signal, SignalSource},
    inventory::{Inventory, InventorySource},
    logs::{Origin, Pattern, Sources},
    runtime::{Counters, clock},
};
use follower::{Follower, Start};
use matching::{Matching, Rule};
use tail::Tail;

/// A label that switches a pattern on for one container, and how bad a match is.
const PATTERN_LABEL: &str = "opsbot.alert.pattern";
const SEVERITY_LABEL: &str = "opsbot.alert.severity";
/// The alert's name and quiet time where a label made the rule.
const LABEL_ALERT: &str = "LogPattern";
const LABEL_QUIET: Duration = Duration::from_secs(300);
/// So many logs of containers are followed at once, and so many files read on.
const MOST: usize = 200;
/// How often what is awaited is looked at, and files are read on.
const TICK: Duration = Duration::from_millis(250);
const FILES_EVERY: u32 = 4;

/// Takes secrets out of a line before it is shown.
pub type Redact = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// A pattern that is looked for in logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRule {
    /// The alert's name.
    pub name: String,
    /// Words or a regular expression.
    pub pattern: String,
    /// A line that matches this belongs to the one before it.
    pub multiline: Option<String>,
    /// Only in this customer's logs.
    pub customer: Option<CustomerId>,
    /// Only in this service's logs.
    pub service: Option<ServiceName>,
    /// How bad a match is.
    pub severity: Severity,
    /// At most one signal in this time for each log; over when nothing matched for so long.
    pub quiet_for: Duration,
}

/// How logs are watched.
#[derive(Clone)]
pub struct LogSettings {
    /// What is looked for.
    pub rules: Vec<LogRule>,
    /// A log that grows faster than so many bytes a second is not read as a whole.
    pub bytes_per_second: u64,
    /// How often new and gone logs are looked for.
    pub look_every: Duration,
    /// Takes secrets out of what is shown.
    pub redact: Redact,
}

impl LogSettings {
    /// These rules within the usual bounds.
    pub fn new(rules: Vec<LogRule>, redact: Redact) -> Self {
        Self { rules, bytes_per_second: 4 << 20, look_every: Duration::from_secs(5), redact }
    }
}

impl std::fmt::Debug for LogSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogSettings").field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// Watches logs.
pub struct LogWatcher {
    settings: LogSettings,
    rules: Vec<(LogRule, Arc<Rule>)>,
    source: InventorySource,
    files: Sources,
    known: Known,
    outbox: Outbox,
    counters: Counters,
}

impl std::fmt::Debug for LogWatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogWatcher").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What runs while logs are watched.
#[derive(Default)]
struct Running {
    containers: BTreeMap<(HostName, String), Follower>,
    files: BTreeMap<PathBuf, (Tail, Matching)>,
    /// What fired before a restart, and when it is over unless it fires again.
    before: BTreeMap<Fingerprint, (Signal, Timestamp)>,
    looked: Option<Timestamp>,
    told: BTreeSet<String>,
}

impl LogWatcher {
    /// Watches the containers that `source` knows and `files`; nothing is read yet.
    ///
    /// # Errors
    /// A sentence for whoever wrote a pattern that is too large.
    pub fn new(
        settings: LogSettings,
        (source, files): (InventorySource, Sources),
        keep: Keep,
        known: Known,
        counters: Counters,
    ) -> Result<Self, String> {
        let rules = settings.rules.iter().map(|rule| Ok((rule.clone(), compiled(rule)?)));
        let rules = rules.collect::<Result<_, String>>()?;
        counters.describe("opsbot_logs_unread_total", "How often a log grew too fast to be read as a whole.");
        let outbox = Outbox::new(SignalSource::Log, keep, counters.clone());
        Ok(Self { settings, rules, source, files, known, outbox, counters })
    }

    /// Watches until `stop`. Lines from before the start are not looked at.
    ///
    /// # Errors
    /// Never by itself; the type is the supervisor's.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), String> {
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            () = self.watch() => Ok(()),
            () = self.outbox.deliver() => Ok(()),
        }
    }

    async fn watch(&self) {
        let mut running = Running { before: self.before(), ..Running::default() };
        let (mut looks, mut ticks, mut n) = (interval(self.settings.look_every), interval(TICK), 0_u32);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => self.look(&mut running).await,
                _ = ticks.tick() => {
                    n = n.wrapping_add(1);
                    let mut report = if n.is_multiple_of(FILES_EVERY) { self.read_files(&mut running).await } else { Vec::new() };
                    report.extend(running.tick(clock::now()));
                    for signal in &report {
                        running.before.remove(&Fingerprint::of(&signal.labels));
                    }
                    report.extend(running.over_from_before(clock::now()));
                    self.outbox.push(report);
                }
            }
        }
    }

    /// What fired before a restart is over after its rule's quiet time.
    fn before(&self) -> BTreeMap<Fingerprint, (Signal, Timestamp)> {
        let now = clock::now();
        let quiet = |signal: &Signal| {
            let name = signal.labels.get("alertname");
            self.rules
                .iter()
                .find(|(rule, _)| Some(&rule.name) == name)
                .map_or(LABEL_QUIET, |(r, _)| r.quiet_for)
        };
        let one = |signal: Signal| {
            let until = now.checked_add(quiet(&signal)).unwrap_or(now);
            (Fingerprint::of(&signal.labels), (signal, until))
        };
        (self.known)(SignalSource::Log).into_iter().map(one).collect()
    }

    /// Takes up new logs and lets gone ones go.
    async fn look(&self, running: &mut Running) {
        let looked = clock::now();
        let (inventory, down) = self.source.survey().await;
        let wanted = self.wanted(&inventory);
        // A stream to a host that went without a word would never end.
        running.containers.retain(|key, follower| {
            if down.contains(&key.0) {
                follower.pause();
                return true;
            }
            wanted.contains_key(key) || !follower.is_idle()
        });
        for (key, (r, about, listed, rules)) in wanted {
            if let Some(follower) = running.containers.get_mut(&key) {
                follower.go_on(listed.state == State::Running);
            } else if running.containers.len() >= MOST {
                running.say_once(format!("more than {MOST} containers' logs have patterns; those of {} and others are not followed", r.name));
            } else {
                // What is there at the start of all is old. A container that came since is read from its beginning.
                let start = match running.looked {
                    None if listed.state == State::Running => Start::End,
                    None => continue,
                    Some(before) => Start::Since(before),
                };
                let matching =
                    Matching::new(about, r.name.clone(), &rules, Arc::clone(&self.settings.redact));
                let place = (self.source.hosts().clone(), r);
                let follower = Follower::start(
                    place,
                    matching,
                    start,
                    self.settings.bytes_per_second,
                    self.counters.clone(),
                );
                running.containers.insert(key, follower);
            }
        }
        self.look_for_files(running);
        running.looked = Some(looked);
    }

    /// The containers that a rule concerns, each with whom it is about and the rules.
    #[allow(clippy::type_complexity, reason = "named once, used once")]
    fn wanted<'i>(
        &self,
        inventory: &'i Inventory,
    ) -> BTreeMap<(HostName, String), (ContainerRef, About, &'i Listed, Vec<Arc<Rule>>)> {
        let mut wanted = BTreeMap::new();
        for customer in inventory.customers() {
            for member in inventory.members(&customer.id) {
                let mut rules = self.rules_for(&customer.id, &member.r.service);
                rules.extend(labelled(&member.listed));
                if !rules.is_empty() {
                    let about = owned(&customer.id, &member.r);
                    let key = (member.r.host.clone(), member.r.id.clone());
                    wanted.insert(key, (member.r.clone(), about, &member.listed, rules));
                }
            }
        }
        for listed in inventory.strays() {
            let rules: Vec<_> = labelled(listed).into_iter().collect();
            if !rules.is_empty() {
                let r = ContainerRef {
                    host: listed.host.clone(),
                    id: listed.id.clone(),
                    name: listed.name.clone(),
                    service: ServiceName::from(listed.name.as_str()),
                };
                let about =
                    About { host: Some(r.host.clone()), container: Some(r.name.clone()), ..About::default() };
                wanted.insert((r.host.clone(), r.id.clone()), (r, about, listed, rules));
            }
        }
        wanted
    }

    fn rules_for(&self, customer: &CustomerId, service: &ServiceName) -> Vec<Arc<Rule>> {
        let concerns = |rule: &LogRule| {
            rule.customer.as_ref().is_none_or(|c| c == customer)
                && rule.service.as_ref().is_none_or(|s| s == service)
        };
        self.rules.iter().filter(|(rule, _)| concerns(rule)).map(|(_, rule)| Arc::clone(rule)).collect()
    }

    fn look_for_files(&self, running: &mut Running) {
        let first = running.looked.is_none();
        let mut present = BTreeSet::new();
        for source in self.files.all() {
            let rules = self.rules_for(&source.customer, &source.service);
            let Origin::Files(glob) = &source.origin else { continue };
            if rules.is_empty() {
                continue;
            }
            for path in glob.live().unwrap_or_default() {
                present.insert(path.clone());
                if running.files.contains_key(&path) {
                    continue;
                }
                if running.files.len() >= MOST {
                    running
                        .say_once(format!("more than {MOST} files have patterns; the others are not read"));
                    break;
                }
                let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                let about = About {
                    customer: Some(source.customer.clone()),
                    service: Some(source.service.clone()),
                    ..About::default()
                };
                let matching = Matching::new(
                    about,
                    super::text::clean(&name),
                    &rules,
                    Arc::clone(&self.settings.redact),
                );
                running.files.insert(path.clone(), (Tail::new(path, !first), matching));
            }
        }
        // A file that is just being rotated is not there for a moment; it stays while something of it is awaited.
        running.files.retain(|path, (_, matching)| present.contains(path) || !matching.is_idle());
    }

    async fn read_files(&self, running: &mut Running) -> Vec<Signal> {
        if running.files.is_empty() {
            return Vec::new();
        }
        let mut files = std::mem::take(&mut running.files);
        let most = self.settings.bytes_per_second;
        let now = clock::now();
        let reading = tokio::task::spawn_blocking(move || {
            let (mut report, mut told, mut unread) = (Vec::new(), Vec::new(), 0);
            for (path, (tail, matching)) in &mut files {
                match tail.read(most) {
                    Ok(grown) => {
                        if grown.skipped > 0 {
                            unread += 1;
                            matching.unread(0, grown.skipped);
                        }
                        report.extend(grown.lines.iter().flat_map(|line| matching.line(line, now)));
                    }
                    Err(error) => told.push(format!(
                        "{} is not watched: {error}; let OpsBot's user read it, and name the file itself",
                        path.display()
                    )),
                }
            }
            (files, report, told, unread)
        });
        let Ok((files, report, told, unread)) = reading.await else { return Vec::new() };
        running.files = files;
        self.counters.add("opsbot_logs_unread_total", &[("kind", "file")], unread);
        told.into_iter().for_each(|sentence| running.say_once(sentence));
        report
    }
}

impl Running {
    fn tick(&mut self, now: Timestamp) -> Vec<Signal> {
        let containers = self.containers.values_mut().flat_map(|follower| follower.tick(now));
        let files = self.files.values_mut().flat_map(|(_, matching)| matching.tick(now));
        containers.chain(files).collect()
    }

    fn over_from_before(&mut self, now: Timestamp) -> Vec<Signal> {
        let past = self.before.extract_if(.., |_, (_, until)| *until <= now);
        past.map(|(_, (signal, _))| over(signal, now)).collect()
    }

    fn say_once(&mut self, sentence: String) {
        if self.told.len() < MOST && self.told.insert(sentence.clone()) {
            tracing::warn!("{sentence}");
        }
    }
}

fn compiled(rule: &LogRule) -> Result<Arc<Rule>, String> {
    let pattern =
        |text: &str| Pattern::new(text).map_err(|e| format!("[[alerts.log]] {}: `pattern` {e}", rule.name));
    Ok(Arc::new(Rule {
        name: rule.name.clone(),
        pattern: pattern(&rule.pattern)?,
        multiline: rule.multiline.as_deref().map(pattern).transpose()?,
        severity: rule.severity,
        quiet_for: rule.quiet_for,
    }))
}

/// The rule that a container's labels make.
fn labelled(listed: &Listed) -> Option<Arc<Rule>> {
    let text = listed.labels.get(PATTERN_LABEL).filter(|text| !text.trim().is_empty())?;
    // It comes from whoever made the container: one that matches everything or is too large counts as none.
    let pattern = Pattern::new(text).ok().filter(|pattern| pattern.find(b"").is_none())?;
    let severity = match listed.labels.get(SEVERITY_LABEL).map(String::as_str) {
        Some("critical") => Severity::Critical,
        Some("info") => Severity::Info,
        _ => Severity::Warning,
    };
    Some(Arc::new(Rule {
        name: LABEL_ALERT.into(),
        pattern,
        multiline: None,
        severity,
        quiet_for: LABEL_QUIET,
    }))
}
