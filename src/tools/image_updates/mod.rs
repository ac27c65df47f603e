//! The tool `image_updates`: whether registries have newer images for the tags that containers run. It never pulls.

mod registry;
mod verdict;

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use futures::{StreamExt, future::join_all, stream};

use super::scope::{Scope, Seen, customer_param, host_param};
use crate::{
    agent::port::{RunContext, Tool},
    docker::{ImageName, LocalImage},
    domain::{
        Block, HostName, Level, Outcome, ResolvedCall, Risk, ToolCall, ToolError, ToolOutput, ToolSpec,
    },
    inventory::InventorySource,
    policy::Permit,
};
use registry::Registry;
use verdict::{Verdict, judge};

/// How many containers are looked at, or registries asked, at once.
const AT_ONCE: usize = 6;

/// `image_updates(customer_id?, host?)`.
#[derive(Debug)]
pub struct ImageUpdates {
    spec: ToolSpec,
    source: InventorySource,
    registry: Registry,
}

/// An image under the name that containers run it by, on one host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Run {
    host: HostName,
    name: String,
    image_id: String,
}

/// What was found of one [`Run`], and who runs it.
struct Checked {
    run: Run,
    users: Vec<String>,
    verdict: Verdict,
}

type Images = BTreeMap<HostName, Result<Vec<LocalImage>, String>>;

impl ImageUpdates {
    /// The tool.
    pub fn new(source: InventorySource) -> Self {
        let spec = ToolSpec {
            name: "image_updates",
            summary: "Is there a newer image for what containers run? Pulls nothing.",
            params: vec![customer_param(), host_param()],
            floor: Risk::Safe,
            default: Risk::Safe,
            phrases: &[
                "newer image",
                "new version",
                "outdated images",
                "out of date",
                "up to date",
                "image update",
                "updates available",
                "needs updating",
                "latest image",
                "new release",
            ],
            untrusted: true,
            timeout: Duration::from_secs(120),
        };
        let registry = Registry::new(source.hosts().clone());
        Self { spec, source, registry }
    }

    /// The names and images that containers run. A list shows an image's id once its name means another one: then the
    /// container itself knows the name.
    async fn runs(&self, seen: &[Seen<'_>]) -> BTreeMap<Run, Vec<String>> {
        let hosts = self.source.hosts();
        let owned: Vec<_> = seen.iter().map(|s| (s.r(), s.listed.clone(), s.whose())).collect();
        let named = stream::iter(owned).map(|(r, listed, whose)| async move {
            let mut name = listed.image;
            if ImageName::read(&name) == ImageName::Pinned
                && let Ok(info) = hosts.inspect(&r).await
            {
                name = info.image;
            }
            (Run { host: r.host, name, image_id: listed.image_id }, whose)
        });
        let named: Vec<_> = named.buffered(AT_ONCE).collect().await;
        let mut runs = BTreeMap::<Run, Vec<String>>::new();
        for (run, who) in named {
            runs.entry(run).or_default().push(who);
        }
        runs
    }

    async fn images(&self, runs: &BTreeMap<Run, Vec<String>>) -> Images {
        let mut hosts: Vec<_> = runs.keys().map(|run| run.host.clone()).collect();
        hosts.dedup();
        let looks = hosts.into_iter().map(|host| async {
            let images = self.source.hosts().images(&host).await.map_err(|e| e.to_string());
            (host, images)
        });
        join_all(looks).await.into_iter().collect()
    }

    async fn check(&self, run: &Run, images: &Images, cx: &RunContext) -> Verdict {
        let all = match images.get(&run.host) {
            Some(Ok(all)) => all,
            Some(Err(e)) => return Verdict::Unknown(e.clone()),
            None => return Verdict::Unknown("its host was not asked".into()),
        };
        let tag = match verdict::tag_to_ask(&run.name, &run.image_id, all) {
            Ok(tag) => tag,
            Err(verdict) => return verdict,
        };
        match self.registry.digest(&run.host, &tag, cx.now).await {
            Ok(digest) => judge(&tag, &run.image_id, &digest, all),
            Err(why) => Verdict::Unknown(why),
        }
    }
}

#[async_trait]
impl Tool for ImageUpdates {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn resolve(&self, call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        Ok(Scope::find(&self.source, call).await?.resolved(call))
    }

    async fn call(&self, permit: Permit, cx: &RunContext) -> Result<ToolOutput, ToolError> {
        let scope = Scope::find(&self.source, &permit.call().call).await?;
        let seen = scope.containers();
        if seen.is_empty() {
            return Err(scope.nothing("there is no container there"));
        }
        let runs = self.runs(&seen).await;
        let images = self.images(&runs).await;
        let (total, mut checked) = (runs.len(), Vec::new());
        let look = |(run, users): (Run, Vec<String>)| {
            let images = &images;
            async move {
                let verdict = self.check(&run, images, cx).await;
                Checked { run, users, verdict }
            }
        };
        let mut answers = stream::iter(runs).map(look).buffer_unordered(AT_ONCE);
        while let Some(one) = answers.next().await {
            checked.push(one);
            (cx.progress)(format!("{} of {total} images checked", checked.len()));
        }
        checked.sort_by(|a, b| (a.verdict.rank(), &a.run).cmp(&(b.verdict.rank(), &b.run)));
        Ok(render(&scope, &checked))
    }
}

fn render(scope: &Scope, checked: &[Checked]) -> ToolOutput {
    let gaps = scope.gaps();
    let with_host = scope.hosts().len() > 1;
    let mut summary = summary(checked);
    if !gaps.is_empty() {
        summary += &format!(
            "; {} not seen",
            if gaps.len() == 1 { "1 host".into() } else { format!("{} hosts", gaps.len()) }
        );
    }
    let mut lines = vec![summary.clone()];
    let mut blocks = vec![Block::text(summary.clone())];
    for gap in &gaps {
        lines.push(format!("Incomplete: {gap}"));
        blocks.push(Block::notice(Level::Warning, format!("Not all images were seen: {gap}")));
    }
    let mut columns = vec!["image", "what", "run by"];
    if with_host {
        columns.push("host");
    }
    let mut rows = Vec::new();
    for Checked { run, users, verdict } in checked {
        let users = users.join(", ");
        let on = if with_host { format!(" on {}", run.host) } else { String::new() };
        lines.push(format!("- {}{on}: {verdict}; run by {users}", run.name));
        let mut row = vec![run.name.clone(), verdict.to_string(), users];
        if with_host {
            row.push(run.host.to_string());
        }
        rows.push(row);
    }
    let columns = columns.into_iter().map(String::from).collect();
    blocks.push(Block::Table { title: Some("images".into()), columns, rows });
    ToolOutput { outcome: Outcome::Ok, summary, text: lines.join("\n"), blocks }
}

fn summary(checked: &[Checked]) -> String {
    let count = |is: fn(&Verdict) -> bool| checked.iter().filter(|c| is(&c.verdict)).count();
    let kinds = [
        (count(|v| matches!(v, Verdict::Newer { .. })), "with a newer one in the registry"),
        (count(|v| matches!(v, Verdict::Unknown(_))), "could not be checked"),
        (count(|v| matches!(v, Verdict::Local(_))), "without a registry"),
        (count(|v| matches!(v, Verdict::Pinned)), "pinned"),
        (count(|v| matches!(v, Verdict::UpToDate)), "up to date"),
    ];
    let told: Vec<_> = kinds.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let images = if checked.len() == 1 { "1 image".to_owned() } else { format!("{} images", checked.len()) };
    format!("{images}: {}", told.join(", "))
}
