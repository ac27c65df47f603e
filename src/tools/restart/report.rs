//! What a write of several steps came to, told so that nobody must look it up: what was done, what was not, and why.

use jiff::Timestamp;

use super::act::Act;
use crate::{
    docker::{ContainerInfo, DockerError, Health, LogRead},
    domain::{Block, ContainerRef, CustomerId, Finding, Level, Outcome, Severity, ToolError, ToolOutput},
    tools::{logs, status, trouble},
};

/// The exit code of what was killed: 128 and the signal's number.
const KILLED: i64 = 137;
/// The exit code of what ended by the signal that asks for it.
const TERMINATED: i64 = 143;

/// What had been done at some moment of a plan.
pub(super) struct Progress<'a> {
    pub act: Act,
    pub customer: &'a CustomerId,
    /// What is as it should be, and the seconds that it took; none for what was so already.
    pub done: Vec<(&'a ContainerRef, Box<ContainerInfo>, Option<f64>)>,
    /// What was not touched yet.
    pub rest: &'a [ContainerRef],
}

/// A step that did not reach its goal.
pub(super) struct Miss<'a> {
    pub r: &'a ContainerRef,
    pub why: String,
    pub info: Option<Box<ContainerInfo>>,
    /// The last lines of its log.
    pub log: Result<LogRead, DockerError>,
}

fn names<'r>(all: impl Iterator<Item = &'r ContainerRef>) -> String {
    all.map(|r| r.service.as_str()).collect::<Vec<_>>().join(", ")
}

impl Progress<'_> {
    fn changed(&self) -> impl Iterator<Item = &ContainerRef> {
        self.done.iter().filter(|(.., seconds)| seconds.is_some()).map(|(r, ..)| *r)
    }

    fn unchanged(&self) -> impl Iterator<Item = &ContainerRef> {
        self.done.iter().filter(|(.., seconds)| seconds.is_none()).map(|(r, ..)| *r)
    }

    /// `restarted before: db, redis; not touched: web`.
    pub fn so_far(&self) -> String {
        let done = names(self.changed());
        let rest = names(self.rest.iter());
        let past = self.act.past();
        match (done.as_str(), rest.as_str()) {
            ("", "") => String::new(),
            ("", rest) => format!("not touched: {rest}"),
            (done, "") => format!("{past} before: {done}"),
            (done, rest) => format!("{past} before: {done}; not touched: {rest}"),
        }
    }

    fn and_so_far(&self, what: &str) -> String {
        match self.so_far().as_str() {
            "" => what.to_owned(),
            so_far => format!("{what}; {so_far}"),
        }
    }

    /// What was seen is no outcome of a container, and the plan cannot go on.
    pub fn failed(&self, what: &str) -> ToolError {
        ToolError::Failed(self.and_so_far(what))
    }

    /// A person stopped the plan right after the engine did this step.
    pub fn unwatched(&self, r: &ContainerRef) -> ToolError {
        let (past, goal) = (self.act.past(), if self.act == Act::Stop { "down" } else { "up" });
        let what = format!("{} was {past}, but nobody waited to see it {goal}", r.service);
        ToolError::Stopped(self.and_so_far(&what))
    }

    /// All containers are as they should be.
    pub fn reached(&self, now: Timestamp) -> ToolOutput {
        let summary = self.summary();
        let mut lines = vec![summary.clone()];
        lines.extend(self.done.iter().map(|(_, info, _)| status::line(info, now)));
        let rows = self.done.iter().map(|(_, info, _)| status::row(info, now)).collect();
        let blocks = vec![Block::notice(Level::Info, summary.clone()), status::table("containers", rows)];
        ToolOutput { outcome: Outcome::Ok, summary, text: lines.join("\n"), blocks }
    }

    fn summary(&self) -> String {
        let (customer, past, goal) = (self.customer, self.act.past(), self.act.goal());
        let (changed, same) = (names(self.changed()), names(self.unchanged()));
        let seconds: f64 = self.done.iter().filter_map(|(.., s)| *s).sum();
        let mut one = self.done.iter().filter(|(.., s)| s.is_some());
        let summary = match (one.next(), self.changed().count()) {
            (None, _) => {
                return format!("{same} of customer {customer}: already {goal}, nothing was changed");
            }
            (Some((_, info, _)), 1) => {
                format!(
                    "{past} {changed} of customer {customer}: {} after {seconds:.1} s",
                    how(self.act, info)
                )
            }
            (Some(_), n) => {
                let goal = if self.act == Act::Stop { "down" } else { "up" };
                format!("{past} {changed} of customer {customer}: all {n} {goal} after {seconds:.1} s")
            }
        };
        if same.is_empty() { summary } else { format!("{summary}; already {goal}: {same}") }
    }

    /// One container is not as it should be; those after it were left alone.
    pub fn missed(&self, miss: Miss<'_>, now: Timestamp) -> ToolOutput {
        let Miss { r, why, info, log } = miss;
        let verb = self.act.verb();
        let summary = match self.act {
            Act::Stop => format!("{} of customer {} has not stopped: {why}", r.service, self.customer),
            Act::Start | Act::Restart => {
                format!("{} of customer {} is not up after the {verb}: {why}", r.service, self.customer)
            }
        };
        let said = log.as_ref().map(|log| log.lines.as_slice()).unwrap_or_default();
        let worst = trouble::clusters(said).into_iter().next().map(|c| c.sample);
        let quote = info.as_ref().and_then(|i| Some(i.last_failed_probe()?.output.to_string()));
        let finding = Finding {
            severity: Severity::Critical,
            summary: summary.clone(),
            source: format!("docker inspect {}", r.name),
            at: Some(now),
            quote: worst.or(quote.filter(|q| !q.is_empty())),
        };
        let title = if self.act == Act::Stop { "not stopped" } else { "not up" };
        let mut lines = vec![summary.clone()];
        let mut blocks = vec![Block::Findings { title: title.into(), items: vec![finding] }];
        if let Some(info) = &info {
            lines.push(status::line(info, now));
            blocks.push(status::table("container", vec![status::row(info, now)]));
        }
        match log {
            Ok(log) => {
                let shown: Vec<_> = log.lines.iter().map(|l| logs::show::docker_line(l, now)).collect();
                lines.push(format!("last log lines of {}:", r.service));
                lines.extend(shown.iter().cloned());
                blocks.push(Block::Log { source: r.name.clone(), lines: shown, omitted: 0 });
            }
            Err(e) => lines.push(format!("its log could not be read: {e}")),
        }
        let so_far = self.so_far();
        if !so_far.is_empty() {
            lines.push(so_far.clone());
            blocks.push(Block::notice(Level::Warning, so_far));
        }
        ToolOutput { outcome: Outcome::NotUp, summary, text: lines.join("\n"), blocks }
    }
}

/// How a container is, after a step that reached its goal: `healthy`, `running`, or its exit code.
pub(super) fn how(act: Act, info: &ContainerInfo) -> String {
    match (act, info.exit_code) {
        (Act::Start | Act::Restart, _) if info.health == Health::Healthy => "healthy".into(),
        (Act::Start | Act::Restart, _) => "running".into(),
        (Act::Stop, _) if info.oom_killed => {
            format!("exit code {} (killed for using too much memory)", info.exit_code)
        }
        (Act::Stop, KILLED) => format!("exit code {KILLED} (it did not end by itself and was killed)"),
        (Act::Stop, TERMINATED) => format!("exit code {TERMINATED} (ended by SIGTERM)"),
        (Act::Stop, code) => format!("exit code {code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::testing;

    /// Service, exit code and seconds of each step.
    type Told<'a> = &'a [(&'a str, i64, Option<f64>)];

    fn told(act: Act, steps: Told<'_>) -> String {
        let infos: Vec<_> = steps.iter().map(|(service, ..)| testing::info(service)).collect();
        let customer = CustomerId::from("19");
        let done = infos.iter().zip(steps).map(|(info, (_, exit_code, seconds))| {
            let info = ContainerInfo { exit_code: *exit_code, ..info.clone() };
            (Box::new(info), *seconds)
        });
        let done: Vec<_> = done.zip(&infos).map(|((info, s), i)| (&i.r, info, s)).collect();
        Progress { act, customer: &customer, done, rest: &[] }.reached(testing::now()).summary
    }

    #[test]
    fn what_was_done_is_told_in_one_sentence() {
        let table: &[(Act, Told<'_>, &str)] = &[
            (Act::Restart, &[("web", 0, Some(2.0))], "restarted web of customer 19: running after 2.0 s"),
            (
                Act::Restart,
                &[("db", 0, Some(2.0)), ("web", 0, Some(1.0))],
                "restarted db, web of customer 19: all 2 up after 3.0 s",
            ),
            (
                Act::Start,
                &[("db", 0, None), ("web", 0, Some(1.0))],
                "started web of customer 19: running after 1.0 s; already running: db",
            ),
            (Act::Start, &[("db", 0, None)], "db of customer 19: already running, nothing was changed"),
            (Act::Stop, &[("web", 0, Some(0.5))], "stopped web of customer 19: exit code 0 after 0.5 s"),
            (
                Act::Stop,
                &[("web", 137, Some(10.0))],
                "stopped web of customer 19: exit code 137 (it did not end by itself and was killed) after 10.0 s",
            ),
            (
                Act::Stop,
                &[("web", 143, Some(0.5)), ("db", 0, Some(0.5)), ("redis", 0, None)],
                "stopped web, db of customer 19: all 2 down after 1.0 s; already stopped: redis",
            ),
        ];
        for (act, steps, want) in table {
            assert_eq!(told(*act, steps), *want);
        }
    }
}
