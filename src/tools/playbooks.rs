//! The tool `list_playbooks`, and which playbook an alert suggests.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{
    agent::port::{RunContext, Tool},
    domain::{
        Args, Block, Level, Outcome, ResolvedCall, Risk, Target, ToolCall, ToolError, ToolOutput, ToolSpec,
    },
    playbook::{Playbook, Playbooks},
    policy::Permit,
};

/// `list_playbooks()`.
#[derive(Debug)]
pub struct ListPlaybooks {
    spec: ToolSpec,
    playbooks: Arc<Playbooks>,
}

impl ListPlaybooks {
    /// The tool.
    pub fn new(playbooks: Arc<Playbooks>) -> Self {
        let spec = ToolSpec {
            name: "list_playbooks",
            summary: "All playbooks that can be run, with their steps.",
            params: vec![],
            floor: Risk::Safe,
            default: Risk::Safe,
            phrases: &["which playbooks are there", "show the runbooks", "what procedures do you have"],
            untrusted: false,
            timeout: Duration::from_secs(5),
        };
        Self { spec, playbooks }
    }
}

#[async_trait]
impl Tool for ListPlaybooks {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn resolve(&self, _call: &ToolCall) -> Result<ResolvedCall, ToolError> {
        let call = ToolCall { tool: self.spec.name.into(), args: Args::default() };
        Ok(ResolvedCall { call, target: Target::default(), plan: vec![], steps: vec![] })
    }

    async fn call(&self, _permit: Permit, _cx: &RunContext) -> Result<ToolOutput, ToolError> {
        Ok(render(&self.playbooks))
    }
}

/// The command that runs `playbook` for `customer`; none where that is no plain id.
pub fn command(playbook: &Playbook, customer: Option<&str>) -> Option<String> {
    let plain = |id: &&str| {
        !id.is_empty() && id.len() <= 64 && id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    match (playbook.for_customer, customer.filter(plain)) {
        (true, Some(id)) => Some(format!("/run_playbook {} {id}", playbook.name)),
        (true, None) => None,
        (false, _) => Some(format!("/run_playbook {}", playbook.name)),
    }
}

/// The commands that alerts with these labels suggest; `customer` is the label that names the customer.
pub fn suggestions(
    playbooks: &Playbooks,
    alerts: &[BTreeMap<String, String>],
    customer: &str,
) -> Vec<String> {
    let mut commands = Vec::new();
    for labels in alerts {
        for playbook in playbooks.suggested(labels) {
            let run = command(playbook, labels.get(customer).map(String::as_str));
            commands.extend(run.filter(|run| !commands.contains(run)));
        }
    }
    commands
}

fn render(playbooks: &Playbooks) -> ToolOutput {
    let (all, problems) = (playbooks.all(), playbooks.problems());
    let summary = match all.len() {
        0 => "There is no playbook: put one into the folder [playbooks] dir.".to_owned(),
        1 => "1 playbook.".to_owned(),
        n => format!("{n} playbooks."),
    };
    let steps = |p: &Playbook| p.steps.iter().map(|s| s.tool.as_str()).collect::<Vec<_>>().join(" → ");
    let alerts =
        |p: &Playbook| p.on_alert.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(", ");
    let whom = |p: &Playbook| if p.for_customer { "a customer" } else { "–" }.to_owned();
    let rows: Vec<_> = all
        .iter()
        .map(|p| vec![p.name.clone(), whom(p), p.description.clone(), steps(p), alerts(p)])
        .collect();
    let mut lines = vec![summary.clone()];
    for (p, row) in all.iter().zip(&rows) {
        lines.push(format!("{} (for {}): {} Steps: {}", p.name, whom(p), p.description, steps(p)));
        if row.last().is_some_and(|labels| !labels.is_empty()) {
            lines.push(format!("  suggested for alerts with {}", alerts(p)));
        }
    }
    let mut blocks = vec![Block::text(&summary)];
    if !rows.is_empty() {
        let columns = ["playbook", "for", "what it does", "steps", "suggested for alerts with"];
        blocks.push(Block::Table { title: None, columns: columns.map(str::to_owned).to_vec(), rows });
    }
    for problem in problems {
        lines.push(format!("left out: {problem}"));
        blocks.push(Block::notice(Level::Warning, format!("Left out: {problem}")));
    }
    ToolOutput { outcome: Outcome::Ok, summary, text: lines.join("\n"), blocks }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn playbooks() -> Playbooks {
        let mut all = Playbooks::default();
        let text = r#"
            name = "look-at-web"
            description = "Look at the web."
            on_alert = { alertname = "WebDown" }
            [params.customer_id]
            type = "customer"
            [[step]]
            id = "look"
            tool = "list_playbooks"
        "#;
        let specs = [ListPlaybooks::new(Arc::default()).spec];
        all.add("a.toml", text, &specs);
        all.add("b.toml", "name = 7", &specs);
        all
    }

    #[test]
    fn a_list_tells_steps_alerts_and_what_is_left_out() {
        let out = render(&playbooks());
        assert_eq!(out.summary, "1 playbook.");
        assert!(
            out.text.contains("look-at-web (for a customer): Look at the web. Steps: list_playbooks"),
            "{}",
            out.text
        );
        assert!(out.text.contains("suggested for alerts with alertname=WebDown"), "{}", out.text);
        assert!(out.text.contains("left out: b.toml:1: `name` must be a text"), "{}", out.text);
        assert!(render(&Playbooks::default()).text.contains("[playbooks] dir"));
    }

    #[test]
    fn an_alert_suggests_a_run_for_its_customer_once() {
        let labels = |all: &[(&str, &str)]| all.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let alerts = [
            labels(&[("alertname", "WebDown"), ("customer", "19")]),
            labels(&[("alertname", "WebDown"), ("customer", "19"), ("job", "x")]),
            labels(&[("alertname", "WebDown"), ("customer", "7 /approve")]),
            labels(&[("alertname", "WebDown")]),
            labels(&[("alertname", "DiskFull"), ("customer", "7")]),
        ];
        assert_eq!(suggestions(&playbooks(), &alerts, "customer"), ["/run_playbook look-at-web 19"]);
    }
}
