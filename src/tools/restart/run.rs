//! Running a restart: step by step, looking for a stop between two, with the evidence when something is not up.

use futures::future::join_all;
use jiff::Timestamp;
use tokio::time;

use super::{
    RestartContainer,
    watch::{Verdict, Watch, overdue},
};
use crate::{
    agent::port::RunContext,
    docker::{ContainerInfo, DockerError, Health, LogQuery},
    domain::{
        Block, ContainerRef, CustomerId, Finding, Level, Outcome, ResolvedCall, Severity, ToolError,
        ToolOutput,
    },
    tools::{logs, place::customer_of, status, trouble},
};

/// So many of its last log lines explain why a container is not up.
const LAST_LINES: u32 = 12;

/// How one step ended.
enum Step {
    Up(Box<ContainerInfo>, f64),
    NotUp(String, Option<Box<ContainerInfo>>),
}

/// What had been done when something went wrong.
struct Progress<'a> {
    customer: &'a CustomerId,
    done: Vec<(&'a ContainerRef, Box<ContainerInfo>, f64)>,
    rest: &'a [ContainerRef],
}

impl Progress<'_> {
    fn names<'r>(all: impl Iterator<Item = &'r ContainerRef>) -> String {
        all.map(|r| r.service.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// `restarted before: db, redis; not touched: web`.
    fn so_far(&self) -> String {
        let done = Self::names(self.done.iter().map(|(r, ..)| *r));
        let rest = Self::names(self.rest.iter());
        match (done.as_str(), rest.as_str()) {
            ("", "") => String::new(),
            ("", rest) => format!("not touched: {rest}"),
            (done, "") => format!("restarted before: {done}"),
            (done, rest) => format!("restarted before: {done}; not touched: {rest}"),
        }
    }

    fn failed(&self, what: &str) -> ToolError {
        match self.so_far().as_str() {
            "" => ToolError::Failed(what.to_owned()),
            so_far => ToolError::Failed(format!("{what}; {so_far}")),
        }
    }
}

impl RestartContainer {
    /// Does what the permit holds; only `Tool::call` may.
    pub(super) async fn run(
        &self,
        resolved: &ResolvedCall,
        cx: &RunContext,
    ) -> Result<ToolOutput, ToolError> {
        let customer = customer_of(resolved)?;
        let all = resolved.target.containers.as_slice();
        let before = self.before(all).await?;
        let mut progress = Progress { customer: &customer, done: vec![], rest: all };
        for (n, (r, before)) in all.iter().zip(&before).enumerate() {
            if cx.cancel.is_cancelled() {
                return Err(ToolError::Stopped(format!("nothing more is restarted; {}", progress.so_far())));
            }
            progress.rest = all.get(n + 1..).unwrap_or_default();
            let count = if all.len() > 1 { format!(" ({} of {})", n + 1, all.len()) } else { String::new() };
            (cx.progress)(format!("restarting {}{count}", r.service));
            match self.step(r, before, cx, &progress).await? {
                Step::Up(info, seconds) => {
                    (cx.progress)(format!("{} is {} after {seconds:.1} s", r.service, how(&info)));
                    progress.done.push((r, info, seconds));
                }
                Step::NotUp(why, info) => return Ok(self.not_up(r, &why, info, &progress, cx).await),
            }
        }
        Ok(up(&progress, (self.clock)()))
    }

    /// All containers must still be there before the first one is touched.
    async fn before(&self, all: &[ContainerRef]) -> Result<Vec<ContainerInfo>, ToolError> {
        let hosts = self.source.hosts();
        let mut infos = Vec::new();
        for info in join_all(all.iter().map(|r| hosts.inspect(r))).await {
            infos.push(info.map_err(|e| match e {
                DockerError::Gone { container, .. } => ToolError::Failed(format!(
                    "container {container} was removed or replaced since this was asked; nothing was restarted, ask again"
                )),
                other => other.into(),
            })?);
        }
        Ok(infos)
    }

    async fn step(
        &self,
        r: &ContainerRef,
        before: &ContainerInfo,
        cx: &RunContext,
        progress: &Progress<'_>,
    ) -> Result<Step, ToolError> {
        let begun = (self.clock)();
        match self.source.hosts().restart(r, self.limits.grace).await {
            Ok(()) => {}
            Err(DockerError::Refused { message, .. }) => {
                let info = self.source.hosts().inspect(r).await.ok().map(Box::new);
                return Ok(Step::NotUp(format!("the engine could not restart it: {message}"), info));
            }
            Err(DockerError::Gone { .. }) => {
                return Err(progress.failed(&format!("container {} is gone and was not restarted", r.name)));
            }
            Err(e @ DockerError::Down { .. }) => {
                let what = format!("{e}; whether {} was restarted is not known, look at it", r.service);
                return Err(progress.failed(&what));
            }
        }
        let mut last = None;
        let watched = tokio::select! {
            biased;
            () = cx.cancel.cancelled() => {
                let what = format!("{} was restarted, but nobody waited to see it up", r.service);
                return Err(ToolError::Stopped([what, progress.so_far()].join("; ").trim_end_matches("; ").to_owned()));
            }
            watched = time::timeout(self.limits.up_within, self.watch(r, before, &mut last)) => watched,
        };
        let seconds = ((self.clock)().duration_since(begun)).as_secs_f64().max(0.0);
        Ok(match (watched, last) {
            (Ok(None), Some(info)) => Step::Up(info, seconds),
            (Ok(Some(why)), info) => Step::NotUp(why, info),
            (Err(_), Some(info)) => Step::NotUp(
                format!("{} after {} s", overdue(&info), self.limits.up_within.as_secs_f32()),
                Some(info),
            ),
            (_, None) => Step::NotUp("it could not be looked at after the restart".into(), None),
        })
    }

    /// Looks until it is decided: none when it is up, else why not. A look that fails is tried again.
    async fn watch(
        &self,
        r: &ContainerRef,
        before: &ContainerInfo,
        last: &mut Option<Box<ContainerInfo>>,
    ) -> Option<String> {
        let looks = self.limits.settle.as_millis() / self.limits.poll.as_millis().max(1);
        let mut watch = Watch::new(before, u32::try_from(looks).unwrap_or(u32::MAX));
        loop {
            match self.source.hosts().inspect(r).await {
                Ok(info) => {
                    let verdict = watch.see(&info);
                    *last = Some(Box::new(info));
                    match verdict {
                        Verdict::Wait => {}
                        Verdict::Up => return None,
                        Verdict::Down(why) => return Some(why),
                    }
                }
                Err(DockerError::Gone { .. }) => return Some("it is gone".into()),
                Err(DockerError::Refused { .. } | DockerError::Down { .. }) => {}
            }
            time::sleep(self.limits.poll).await;
        }
    }

    async fn not_up(
        &self,
        r: &ContainerRef,
        why: &str,
        info: Option<Box<ContainerInfo>>,
        progress: &Progress<'_>,
        cx: &RunContext,
    ) -> ToolOutput {
        let now = (self.clock)();
        let summary =
            format!("{} of customer {} is not up after the restart: {why}", r.service, progress.customer);
        let read = self.source.hosts().logs(r, &LogQuery::tail(LAST_LINES)).await;
        let said = read.as_ref().map(|read| read.lines.as_slice()).unwrap_or_default();
        let worst = trouble::clusters(said).into_iter().next().map(|c| c.sample);
        let quote = info.as_ref().and_then(|i| Some(i.last_failed_probe()?.output.to_string()));
        let finding = Finding {
            severity: Severity::Critical,
            summary: summary.clone(),
            source: format!("docker inspect {}", r.name),
            at: Some(now),
            quote: worst.or(quote.filter(|q| !q.is_empty())),
        };
        let mut lines = vec![summary.clone()];
        let mut blocks = vec![Block::Findings { title: "not up".into(), items: vec![finding] }];
        if let Some(info) = &info {
            lines.push(status::line(info, now));
            blocks.push(status::table("container", vec![status::row(info, now)]));
        }
        match read {
            Ok(read) => {
                let shown: Vec<_> = read.lines.iter().map(|l| logs::show::docker_line(l, now)).collect();
                lines.push(format!("last log lines of {}:", r.service));
                lines.extend(shown.iter().cloned());
                blocks.push(Block::Log { source: r.name.clone(), lines: shown, omitted: 0 });
            }
            Err(e) => lines.push(format!("its log could not be read: {e}")),
        }
        let so_far = progress.so_far();
        if !so_far.is_empty() {
            lines.push(so_far.clone());
            blocks.push(Block::notice(Level::Warning, so_far));
        }
        (cx.progress)(format!("{} is not up", r.service));
        ToolOutput { outcome: Outcome::NotUp, summary, text: lines.join("\n"), blocks }
    }
}

fn how(info: &ContainerInfo) -> &'static str {
    if info.health == Health::Healthy { "healthy" } else { "running" }
}

fn up(progress: &Progress<'_>, now: Timestamp) -> ToolOutput {
    let customer = progress.customer;
    let names = Progress::names(progress.done.iter().map(|(r, ..)| *r));
    let seconds: f64 = progress.done.iter().map(|(.., s)| s).sum();
    let summary = match progress.done.as_slice() {
        [(r, info, seconds)] => {
            format!("restarted {} of customer {customer}: {} after {seconds:.1} s", r.service, how(info))
        }
        all => format!("restarted {names} of customer {customer}: all {} up after {seconds:.1} s", all.len()),
    };
    let mut lines = vec![summary.clone()];
    lines.extend(progress.done.iter().map(|(_, info, _)| status::line(info, now)));
    let rows = progress.done.iter().map(|(_, info, _)| status::row(info, now)).collect();
    let blocks = vec![Block::notice(Level::Info, summary.clone()), status::table("containers", rows)];
    ToolOutput { outcome: Outcome::Ok, summary, text: lines.join("\n"), blocks }
}
