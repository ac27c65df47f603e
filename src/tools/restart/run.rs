//! Carrying out a plan: step by step, looking for a stop between two, with the evidence when a step misses its goal.

use futures::future::join_all;
use jiff::Timestamp;
use tokio::time;

use super::{
    RestartLimits,
    act::Act,
    report::{self, Miss, Progress},
    watch::{Verdict, Watch, overdue},
};
use crate::{
    agent::port::RunContext,
    docker::{ContainerInfo, DockerError, LogQuery},
    domain::{ContainerRef, ToolError, ToolOutput},
    inventory::InventorySource,
    policy::Permit,
    tools::place::customer_of,
};

/// So many of its last log lines explain why a container is not up.
const LAST_LINES: u32 = 12;

/// Changes containers one after the other and verifies each.
#[derive(Clone, Debug)]
pub(in crate::tools) struct Steps {
    source: InventorySource,
    limits: RestartLimits,
    clock: fn() -> Timestamp,
}

/// How one step ended.
enum Step {
    Done(Box<ContainerInfo>, f64),
    Missed(String, Option<Box<ContainerInfo>>),
}

impl Steps {
    /// `clock` tells how long things took.
    pub fn new(source: InventorySource, limits: RestartLimits, clock: fn() -> Timestamp) -> Self {
        Self { source, limits, clock }
    }

    /// Where containers are looked up.
    pub fn source(&self) -> &InventorySource {
        &self.source
    }

    /// Does what the permit holds.
    pub async fn run(&self, act: Act, permit: Permit, cx: &RunContext) -> Result<ToolOutput, ToolError> {
        let resolved = permit.call();
        let customer = customer_of(resolved)?;
        let all = resolved.target.containers.as_slice();
        let before = self.before(act, all).await?;
        let mut progress = Progress { act, customer: &customer, done: vec![], rest: all };
        for (n, (r, before)) in all.iter().zip(before).enumerate() {
            if cx.cancel.is_cancelled() {
                let so_far = progress.so_far();
                return Err(ToolError::Stopped(format!("nothing more is {}; {so_far}", act.past())));
            }
            progress.rest = all.get(n + 1..).unwrap_or_default();
            if act.is_done(before.state) {
                (cx.progress)(format!("{} is already {}", r.service, act.goal()));
                progress.done.push((r, Box::new(before), None));
                continue;
            }
            let count = if all.len() > 1 { format!(" ({} of {})", n + 1, all.len()) } else { String::new() };
            (cx.progress)(format!("{} {}{count}", act.doing(), r.service));
            match self.step(r, &before, cx, &progress).await? {
                Step::Done(info, seconds) => {
                    let how = report::how(act, &info);
                    (cx.progress)(format!("{} is {how} after {seconds:.1} s", r.service));
                    progress.done.push((r, info, Some(seconds)));
                }
                Step::Missed(why, info) => {
                    (cx.progress)(format!("{} is not {}", r.service, act.goal()));
                    let log = self.source.hosts().logs(r, &LogQuery::tail(LAST_LINES)).await;
                    return Ok(progress.missed(Miss { r, why, info, log }, (self.clock)()));
                }
            }
        }
        Ok(progress.reached((self.clock)()))
    }

    /// All containers must still be there before the first one is touched.
    async fn before(&self, act: Act, all: &[ContainerRef]) -> Result<Vec<ContainerInfo>, ToolError> {
        let hosts = self.source.hosts();
        let mut infos = Vec::new();
        for info in join_all(all.iter().map(|r| hosts.inspect(r))).await {
            infos.push(info.map_err(|e| match e {
                DockerError::Gone { container, .. } => ToolError::Failed(format!(
                    "container {container} was removed or replaced since this was asked; nothing was {}, ask again",
                    act.past()
                )),
                other => other.into(),
            })?);
        }
        Ok(infos)
    }

    async fn change(&self, act: Act, r: &ContainerRef) -> Result<(), DockerError> {
        let (hosts, grace) = (self.source.hosts(), self.limits.grace);
        match act {
            Act::Start => hosts.start_container(r).await,
            Act::Stop => hosts.stop_container(r, grace).await,
            Act::Restart => hosts.restart_container(r, grace).await,
        }
    }

    async fn step(
        &self,
        r: &ContainerRef,
        before: &ContainerInfo,
        cx: &RunContext,
        progress: &Progress<'_>,
    ) -> Result<Step, ToolError> {
        let (act, begun) = (progress.act, (self.clock)());
        match self.change(act, r).await {
            Ok(()) => {}
            Err(DockerError::Refused { message, .. }) => {
                let info = self.source.hosts().inspect(r).await.ok().map(Box::new);
                return Ok(Step::Missed(format!("the engine could not {} it: {message}", act.verb()), info));
            }
            Err(DockerError::Gone { .. }) => {
                let what = format!("container {} is gone and was not {}", r.name, act.past());
                return Err(progress.failed(&what));
            }
            Err(e @ DockerError::Down { .. }) => {
                let what = format!("{e}; whether {} was {} is not known, look at it", r.service, act.past());
                return Err(progress.failed(&what));
            }
        }
        let mut last = None;
        let watched = tokio::select! {
            biased;
            () = cx.cancel.cancelled() => return Err(progress.unwatched(r)),
            watched = time::timeout(self.limits.up_within, self.watch(act, r, before, &mut last)) => watched,
        };
        let seconds = ((self.clock)().duration_since(begun)).as_secs_f64().max(0.0);
        Ok(match (watched, last) {
            (Ok(None), Some(info)) => Step::Done(info, seconds),
            (Ok(Some(why)), info) => Step::Missed(why, info),
            (Err(_), Some(info)) => {
                let why =
                    if act == Act::Stop { format!("it is still {}", info.state) } else { overdue(&info) };
                Step::Missed(format!("{why} after {} s", self.limits.up_within.as_secs_f32()), Some(info))
            }
            (_, None) => Step::Missed(format!("it could not be looked at after the {}", act.verb()), None),
        })
    }

    /// Looks until it is decided: none when the goal is reached, else why not. A look that fails is tried again.
    async fn watch(
        &self,
        act: Act,
        r: &ContainerRef,
        before: &ContainerInfo,
        last: &mut Option<Box<ContainerInfo>>,
    ) -> Option<String> {
        let looks = self.limits.settle.as_millis() / self.limits.poll.as_millis().max(1);
        let looks = u32::try_from(looks).unwrap_or(u32::MAX);
        let mut watch = if act == Act::Stop { Watch::down(before) } else { Watch::up(before, looks) };
        loop {
            match self.source.hosts().inspect(r).await {
                Ok(info) => {
                    let verdict = watch.see(&info);
                    *last = Some(Box::new(info));
                    match verdict {
                        Verdict::Wait => {}
                        Verdict::Reached => return None,
                        Verdict::Missed(why) => return Some(why),
                    }
                }
                Err(DockerError::Gone { .. }) if act == Act::Stop => {
                    return Some("it ended and is gone, as it was made to be removed at its end".into());
                }
                Err(DockerError::Gone { .. }) => return Some("it is gone".into()),
                Err(DockerError::Refused { .. } | DockerError::Down { .. }) => {}
            }
            time::sleep(self.limits.poll).await;
        }
    }
}
