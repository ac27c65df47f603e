//! Real servers in a scratch folder, and the tool as the daemon has it: judged by the real policy, run with a real permit.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use opsbot::{
    agent::port::{NoNotes, RunContext, Tool},
    cache::{Cache, CustomerCache, Redis, RedisOptions, Varnish, VarnishOptions},
    docker::DockerHosts,
    domain::{
        Actor, ApprovalId, CardState, ChannelKind, Customer, Origin, ResolvedCall, Role, ToolCall, ToolError,
        ToolOutput,
    },
    inventory::{CustomerConfig, InventorySource, LabelNames, Rules},
    policy::{self, Approval, Policy, Question, Redeem},
    tools::clear_cache::ClearCache,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::prometheus::missing;

pub const TIMEOUT: Duration = Duration::from_secs(5);

/// A server of ours; it ends with the test.
pub struct Server {
    child: Child,
    pub port: u16,
    _dir: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Whether the Debian package's program is there; else says so, or fails where everything is required.
pub fn have(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let there = std::env::split_paths(&path).any(|dir| dir.join(program).exists());
    if !there {
        missing(program);
    }
    there
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until `ready`, at most 20 s.
pub fn wait_for(what: &str, mut ready: impl FnMut() -> bool) {
    for _ in 0..400 {
        if ready() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what} did not come");
}

fn start(program: &str, arguments: &[String], port: u16, dir: TempDir) -> Server {
    let mut command = Command::new(program);
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    command.args(arguments).env("PATH", path).stdin(Stdio::null());
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    Server { child, port, _dir: dir }
}

/// A Redis; with a password, if one is given.
pub fn redis(password: Option<&str>, more: &[&str]) -> Server {
    let (port, dir) = (free_port(), tempfile::tempdir().unwrap());
    let mut arguments: Vec<String> = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"]
        .into_iter()
        .map(String::from)
        .collect();
    arguments.extend([port.to_string(), "--dir".into(), dir.path().display().to_string()]);
    arguments.extend(more.iter().map(|word| (*word).to_owned()));
    if let Some(password) = password {
        arguments.extend(["--requirepass".into(), password.into()]);
    }
    let server = start("redis-server", &arguments, port, dir);
    wait_for("redis", || {
        String::from_utf8_lossy(&server.cli(0, password, &["PING"]).stdout).starts_with("PONG")
    });
    server
}

impl Server {
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn cli(&self, db: u32, password: Option<&str>, words: &[&str]) -> Output {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &self.port.to_string(), "-n", &db.to_string(), "--no-auth-warning"]);
        if let Some(password) = password {
            command.args(["-a", password]);
        }
        command.args(words).output().unwrap()
    }

    /// Makes keys `NAME:1` to `NAME:count`.
    pub fn fill(&self, db: u32, name: &str, count: u32) {
        let script = "for n = 1, ARGV[2] do redis.call('SET', ARGV[1] .. ':' .. n, 'x') end return ARGV[2]";
        let out = self.cli(db, None, &["EVAL", script, "0", name, &count.to_string()]);
        assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), count.to_string());
    }

    pub fn size(&self, db: u32) -> u32 {
        String::from_utf8_lossy(&self.cli(db, None, &["DBSIZE"]).stdout).trim().parse().unwrap()
    }
}

/// A Varnish before an origin on this port.
pub struct Cached {
    pub server: Server,
    pub admin: String,
    pub secret: PathBuf,
}

pub fn varnish(origin: u16) -> Cached {
    let dir = tempfile::tempdir().unwrap();
    let (port, admin) = (free_port(), format!("127.0.0.1:{}", free_port()));
    let (vcl, secret) = (dir.path().join("v.vcl"), dir.path().join("secret"));
    let text = format!(
        "vcl 4.1;\nbackend default {{ .host = \"127.0.0.1\"; .port = \"{origin}\"; }}\n\
         sub vcl_backend_response {{ set beresp.ttl = 1h; }}\n"
    );
    std::fs::write(&vcl, text).unwrap();
    std::fs::write(&secret, "correct horse\n").unwrap();
    let arg = |path: &Path| path.display().to_string();
    let words = ["-F", "-j", "none", "-s", "malloc,16m", "-n"];
    let mut arguments: Vec<String> = words.into_iter().map(String::from).collect();
    arguments.extend([arg(&dir.path().join("n")), "-a".into(), format!("127.0.0.1:{port}"), "-T".into()]);
    arguments.extend([admin.clone(), "-S".into(), arg(&secret), "-f".into(), arg(&vcl)]);
    let server = start("varnishd", &arguments, port, dir);
    let cached = Cached { server, admin, secret };
    wait_for("varnish", || String::from_utf8_lossy(&cached.adm("status").stdout).contains("running"));
    cached
}

impl Cached {
    pub fn adm(&self, command: &str) -> Output {
        let secret = self.secret.display().to_string();
        let mut varnishadm = Command::new("varnishadm");
        varnishadm.args(["-T", &self.admin, "-S", &secret]).args(command.split(' ')).output().unwrap()
    }
}

pub fn redis_of(customer: &str, address: &str, change: impl FnOnce(&mut RedisOptions)) -> CustomerCache {
    let mut options = RedisOptions {
        address: address.into(),
        db: 0,
        username: None,
        password: None,
        prefix: None,
        timeout: TIMEOUT,
    };
    change(&mut options);
    CustomerCache { customer: customer.into(), cache: Cache::Redis(Redis::new(options)) }
}

pub fn varnish_of(customer: &str, address: &str, secret: Option<&str>, host: Option<&str>) -> CustomerCache {
    let options = VarnishOptions {
        address: address.into(),
        secret: secret.map(Into::into),
        host: host.map(Into::into),
        timeout: TIMEOUT,
    };
    CustomerCache { customer: customer.into(), cache: Cache::Varnish(Varnish::new(options)) }
}

pub struct Rig {
    tool: ClearCache,
    policy: Policy,
    pub cancel: CancellationToken,
    pub progress: Arc<Mutex<Vec<String>>>,
    /// Called with every line of progress.
    pub on_progress: Arc<dyn Fn() + Send + Sync>,
}

impl Rig {
    /// Customers 7 (called müller) and 8, with these caches.
    pub fn new(caches: Vec<CustomerCache>) -> Self {
        let customer = |id: &str, name: &str| CustomerConfig {
            customer: Customer {
                id: id.into(),
                name: Some(name.into()),
                aliases: vec![],
                domain: None,
                labels: [("tier".to_owned(), "gold".to_owned())].into(),
            },
            containers: vec![],
            hosts: vec![],
        };
        let rules = Rules::new(LabelNames::default(), vec![customer("7", "Müller"), customer("8", "Acme")]);
        let source = InventorySource::new(DockerHosts::connect(vec![]), rules.unwrap());
        let tool = ClearCache::new(source, caches);
        let (policy, _) = Policy::new(vec![], &[tool.spec().clone()]).unwrap();
        Self {
            tool,
            policy,
            cancel: CancellationToken::new(),
            progress: Arc::default(),
            on_progress: Arc::new(|| ()),
        }
    }

    pub async fn resolve(&self, args: Value) -> Result<ResolvedCall, ToolError> {
        let args = self.tool.spec().read_args(&args).map_err(ToolError::BadArgs)?;
        self.tool.resolve(&ToolCall { tool: "clear_cache".into(), args }).await
    }

    pub async fn clear(&self, args: Value) -> Result<ToolOutput, ToolError> {
        let shown = self.resolve(args.clone()).await?;
        let fresh = self.resolve(args).await?;
        self.run(shown, fresh).await
    }

    /// Runs `fresh` as after a yes to the card that showed `shown`.
    pub async fn run(&self, shown: ResolvedCall, fresh: ResolvedCall) -> Result<ToolOutput, ToolError> {
        let anna = Actor {
            person: "anna".into(),
            role: Role::Admin,
            channel: ChannelKind::Console,
            origin: Origin::Typed,
        };
        let now = Timestamp::now();
        let spec = self.tool.spec();
        let question =
            Question { spec: Some(spec), call: &shown, actor: &anna, tainted: false, frozen: false, now };
        assert!(policy::permit_safe(&self.policy, &question).is_err(), "a write is never run unasked");
        let verdict = policy::judge(&self.policy, &question);
        let ask = policy::Ask {
            id: ApprovalId::from_bits(7),
            calls: vec![shown.clone()],
            verdicts: &[verdict],
            requester: anna.clone(),
            conversation: "console:anna:1".into(),
            tainted: false,
            sent_at: None,
            now,
            lifetime: SignedDuration::from_mins(5),
        };
        let mut approval = Approval::ask(ask, &self.policy);
        approval.state = CardState::Executing;
        approval.decided_by = Some(anna.person.clone());
        let again = Redeem {
            fresh: vec![fresh],
            policy: &self.policy,
            specs: std::slice::from_ref(spec),
            approver: &anna,
            frozen: false,
            now,
        };
        let permit = policy::redeem(&approval, again).map_err(ToolError::Failed)?.remove(0);
        let (lines, hook) = (Arc::clone(&self.progress), Arc::clone(&self.on_progress));
        let progress = move |line| {
            lines.lock().unwrap().push(line);
            hook();
        };
        let cx = RunContext {
            now,
            cancel: self.cancel.clone(),
            progress: Arc::new(progress),
            notes: Arc::new(NoNotes),
            person: "anna".into(),
        };
        self.tool.call(permit, &cx).await
    }
}
