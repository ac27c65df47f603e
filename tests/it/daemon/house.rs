//! A scratch house for the real program: configuration and state of its own, its commands and its daemon.

use std::{
    env, fs,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, User, geteuid},
};
use opsbot::{
    control::{Client, Op},
    domain::{Block, Card, Outbound, TurnStatus},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    sync::watch,
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A configuration and a state directory.
pub struct House {
    dir: TempDir,
}

impl House {
    /// The calling user as the admin anna, one Docker host at `docker`, a free port, and `more`.
    pub fn new(docker: &str, more: &str) -> Self {
        let me = User::from_uid(geteuid()).unwrap().unwrap().name;
        let people = format!("[[person]]\nname = \"anna\"\nrole = \"admin\"\nunix_user = \"{me}\"\n");
        Self::with(docker, &format!("{people}\n{more}"))
    }

    /// As [`House::new`], with nobody in it.
    pub fn with(docker: &str, more: &str) -> Self {
        let house = Self { dir: tempfile::tempdir().unwrap() };
        let base =
            format!("[[docker]]\nname = \"local\"\nurl = \"{docker}\"\n[http]\nlisten = \"127.0.0.1:0\"\n");
        house.configure(&format!("{base}\n{more}"));
        house
    }

    pub fn configure(&self, toml: &str) {
        fs::write(self.config(), toml).unwrap();
    }

    /// Adds to the configuration.
    #[cfg_attr(not(feature = "telegram"), allow(dead_code, reason = "only channels need it"))]
    pub fn add(&self, toml: &str) {
        let before = fs::read_to_string(self.config()).unwrap();
        self.configure(&format!("{before}\n{toml}"));
    }

    /// Keeps a secret in a file that only its owner reads, and gives what stands for it in the configuration.
    #[cfg_attr(not(feature = "telegram"), allow(dead_code, reason = "only channels need it"))]
    pub fn secret(&self, name: &str, value: &str) -> String {
        let path = self.dir().join(name);
        fs::write(&path, value).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        format!("{{ file = \"{}\" }}", path.display())
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("config.toml")
    }

    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub fn socket(&self) -> PathBuf {
        self.state().join("opsbot.sock")
    }

    /// The program with `args` in this house, and nothing of the caller's surroundings.
    pub fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_opsbot"));
        command.env_clear().env("PATH", env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.dir()).env("OPSBOT_STATE_DIR", self.state()).env("TERM", "xterm");
        command.arg("--config").arg(self.config()).args(args);
        command
    }

    /// Runs a command to its end.
    pub async fn run(&self, args: &[&str]) -> Ran {
        run(self.command(args)).await
    }

    /// Asks in a slash command for something that waits for a card, and gives the card.
    pub async fn card(&self, text: &str) -> Card {
        let ran = self.run(&["--json", "ask", text]).await.exits(3);
        let cards = ran.events().into_iter().filter_map(|e| match e {
            Outbound::Block { content: Block::Card(card) } => Some(card),
            _ => None,
        });
        cards.collect::<Vec<_>>().pop().expect("no card was shown")
    }

    /// Starts the daemon and waits until it answers.
    pub async fn start(&self) -> Daemon {
        let mut daemon = self.launch();
        daemon.logs("opsbot runs").await;
        daemon
    }

    /// Starts the daemon.
    pub fn launch(&self) -> Daemon {
        Daemon::of(self.command(&["run", "--log", "json"]))
    }

    pub async fn client(&self) -> Client {
        Client::connect(&self.socket()).await.unwrap()
    }
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Holds all of `parts`, in whichever stream.
    #[track_caller]
    pub fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.out.contains(part) || self.err.contains(part), "no {part:?} in {self:#?}");
        }
        self
    }

    /// Standard output as JSON lines.
    pub fn events(&self) -> Vec<Outbound> {
        self.out.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect()
    }
}

/// Runs `command` to its end.
pub async fn run(command: std::process::Command) -> Ran {
    let mut command = Command::from(command);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let ended = timeout(PATIENCE, command.output()).await.expect("the command hangs").unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let code = ended.status.code().unwrap_or_else(|| -ended.status.signal().unwrap_or(0));
    Ran { code, out: text(&ended.stdout), err: text(&ended.stderr) }
}

/// A daemon; killed when dropped.
pub struct Daemon {
    pub pid: Pid,
    child: Child,
    log: watch::Receiver<String>,
}

impl Daemon {
    /// Starts `command` as a daemon.
    pub fn of(command: std::process::Command) -> Self {
        let mut command = Command::from(command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (log, seen) = watch::channel(String::new());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                log.send_modify(|all| {
                    all.push_str(&line);
                    all.push('\n');
                });
            }
        });
        Self { pid: Pid::from_raw(child.id().unwrap().cast_signed()), child, log: seen }
    }

    /// Waits until the log holds `part`; gives the log so far.
    pub async fn logs(&mut self, part: &str) -> String {
        let found = timeout(PATIENCE, self.log.wait_for(|log| log.contains(part))).await;
        let ended = found.expect("the daemon does not say it in time").is_err();
        let log = self.log.borrow().clone();
        assert!(!ended, "the daemon ended without saying {part:?}: {log}");
        log
    }

    /// The address of `/healthz`.
    pub async fn address(&mut self) -> String {
        let log = self.logs("http listens").await;
        let line = log.lines().find(|l| l.contains("http listens")).unwrap();
        let (_, rest) = line.split_once("127.0.0.1:").unwrap();
        let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
        format!("127.0.0.1:{port}")
    }

    /// `GET path`: the status line and the body.
    pub async fn get(&mut self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.address().await).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid, signal).unwrap();
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        timeout(PATIENCE, self.child.wait()).await.expect("the daemon does not end").unwrap()
    }

    /// `kill -9`, and its end.
    pub async fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        assert_eq!(self.ended().await.signal(), Some(9));
    }

    /// Asks it to end, which it must do well.
    pub async fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        let status = self.ended().await;
        assert!(status.success(), "{status}: {}", *self.log.borrow());
    }
}

pub fn say(conversation: &str, text: &str) -> Op {
    Op::Say { conversation: conversation.into(), text: text.into(), quoted: vec![] }
}

/// All events of one request up to its end, and how it ended.
pub async fn all(client: &Client, op: Op) -> (Vec<Outbound>, TurnStatus) {
    let mut answer = client.request(op).await;
    let mut events = vec![];
    loop {
        let event = timeout(PATIENCE, answer.recv()).await.expect("no answer in time");
        match event.expect("the answer has no end") {
            Outbound::Done { status } => return (events, status),
            event => events.push(event),
        }
    }
}

/// The last state of every card among `events`.
pub fn cards(events: &[Outbound]) -> Vec<Card> {
    let mut cards: Vec<Card> = vec![];
    for event in events {
        if let Outbound::Block { content: Block::Card(card) } = event {
            cards.retain(|c| c.id != card.id);
            cards.push(card.clone());
        }
    }
    cards
}

/// All of `events` as JSON text.
pub fn text(events: &[Outbound]) -> String {
    events.iter().map(|e| serde_json::to_string(e).unwrap()).collect::<Vec<_>>().join("\n")
}
