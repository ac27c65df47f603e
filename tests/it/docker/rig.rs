//! The tools as the daemon has them: resolved, judged by the real policy, run with a real permit.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use opsbot::{
    agent::port::{NoNotes, RunContext, Tool},
    docker::DockerHosts,
    domain::{
        Actor, ApprovalId, CardState, ChannelKind, Origin, PersonName, ResolvedCall, Role, ToolCall,
        ToolError, ToolOutput, ToolSpec,
    },
    inventory::{InventorySource, Rules},
    policy::{self, Approval, Permit, Policy, Question, Redeem},
    prometheus::Prometheus,
    tools::{
        Parts,
        disk::GetDiskUsage,
        evidence::{AlertSample, Look, Looks, MetricSample},
        restart::RestartLimits,
        search::Found,
    },
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub struct Rig {
    tools: Vec<Arc<dyn Tool>>,
    specs: Vec<ToolSpec>,
    policy: Policy,
    pub cancel: CancellationToken,
    pub progress: Arc<Mutex<Vec<String>>>,
}

pub fn limits() -> RestartLimits {
    RestartLimits {
        grace: Duration::from_secs(1),
        up_within: Duration::from_secs(20),
        settle: Duration::from_millis(1_500),
        poll: Duration::from_millis(100),
    }
}

pub fn nothing<T: Send + 'static>() -> Look<T> {
    Arc::new(|_, _| async { Ok(vec![]) }.boxed())
}

pub fn down<T: Send + 'static>() -> Look<T> {
    Arc::new(|_, _| {
        let gone = ToolError::BackendDown {
            backend: "Prometheus".into(),
            detail: "refused".into(),
            cure: "Start it",
        };
        async { Err(gone) }.boxed()
    })
}

impl Rig {
    pub fn new(hosts: DockerHosts) -> Self {
        Self::with(hosts, nothing(), nothing(), limits())
    }

    pub fn with(
        hosts: DockerHosts,
        metrics: Look<MetricSample>,
        alerts: Look<AlertSample>,
        restart: RestartLimits,
    ) -> Self {
        Self::made(hosts, Looks { metrics, alerts }, restart, None)
    }

    /// With the filesystems that Prometheus knows.
    pub fn with_prometheus(hosts: DockerHosts, prometheus: Prometheus) -> Self {
        let looks = Looks { metrics: nothing(), alerts: nothing() };
        Self::made(hosts, looks, limits(), Some(prometheus))
    }

    fn made(
        hosts: DockerHosts,
        looks: Looks,
        restart: RestartLimits,
        prometheus: Option<Prometheus>,
    ) -> Self {
        let source = InventorySource::new(hosts, Rules::default());
        let disk = GetDiskUsage::new(source.clone(), prometheus);
        let mut tools = opsbot::tools::all(Parts {
            source,
            logs: Default::default(),
            looks,
            search: Arc::new(|_| Ok(Found::default())),
            look_within: Duration::from_secs(4),
            restart,
            clock: Timestamp::now,
        });
        tools.push(Arc::new(disk));
        let specs: Vec<_> = tools.iter().map(|t| t.spec().clone()).collect();
        let (policy, _) = Policy::new(vec![], &specs).unwrap();
        let (cancel, progress) = (CancellationToken::new(), Arc::default());
        Self { tools, specs, policy, cancel, progress }
    }

    pub fn specs(&self) -> Vec<ToolSpec> {
        self.specs.clone()
    }

    fn tool(&self, name: &str) -> &Arc<dyn Tool> {
        self.tools.iter().find(|t| t.spec().name == name).unwrap()
    }

    fn cx(&self) -> RunContext {
        let progress = Arc::clone(&self.progress);
        RunContext {
            now: Timestamp::now(),
            cancel: self.cancel.clone(),
            progress: Arc::new(move |line| progress.lock().unwrap().push(line)),
            notes: Arc::new(NoNotes),
            person: "anna".into(),
        }
    }

    pub async fn resolve(&self, name: &str, args: Value) -> Result<ResolvedCall, ToolError> {
        let tool = self.tool(name);
        let args = tool.spec().read_args(&args).unwrap();
        tool.resolve(&ToolCall { tool: name.into(), args }).await
    }

    pub async fn read(&self, name: &str, args: Value) -> Result<ToolOutput, ToolError> {
        let call = self.resolve(name, args).await?;
        let actor = admin();
        let question = self.question(&call, &actor);
        let permit = policy::permit_safe(&self.policy, &question).unwrap();
        self.tool(name).call(permit, &self.cx()).await
    }

    pub async fn write(&self, name: &str, args: Value) -> Result<ToolOutput, ToolError> {
        let call = self.resolve(name, args).await?;
        self.run(call).await
    }

    /// Runs a resolved write as after a confirmed card.
    pub async fn run(&self, call: ResolvedCall) -> Result<ToolOutput, ToolError> {
        let permit = self.permit(&call);
        self.tool(&call.call.tool).call(permit, &self.cx()).await
    }

    fn question<'a>(&'a self, call: &'a ResolvedCall, actor: &'a Actor) -> Question<'a> {
        Question {
            spec: self.specs.iter().find(|s| s.name == call.call.tool),
            call,
            actor,
            tainted: false,
            frozen: false,
            now: Timestamp::now(),
        }
    }

    fn permit(&self, call: &ResolvedCall) -> Permit {
        let actor = admin();
        let verdict = policy::judge(&self.policy, &self.question(call, &actor));
        let ask = policy::Ask {
            id: ApprovalId::from_bits(7),
            calls: vec![call.clone()],
            verdicts: &[verdict],
            requester: actor.clone(),
            conversation: "console:anna:1".into(),
            tainted: false,
            sent_at: None,
            now: Timestamp::now(),
            lifetime: SignedDuration::from_mins(5),
        };
        let mut approval = Approval::ask(ask, &self.policy);
        approval.state = CardState::Executing;
        approval.decided_by = Some(actor.person.clone());
        let again = Redeem {
            fresh: vec![call.clone()],
            policy: &self.policy,
            specs: &self.specs,
            approver: &actor,
            frozen: false,
            now: Timestamp::now(),
        };
        policy::redeem(&approval, again).unwrap().remove(0)
    }
}

fn admin() -> Actor {
    Actor {
        person: PersonName::from("anna"),
        role: Role::Admin,
        channel: ChannelKind::Console,
        origin: Origin::Typed,
    }
}
