//! `opsbot chat` on a real pseudo-terminal: editing, cancelling, pasting, and that blind keys decide nothing.

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc as blocking,
    thread,
    time::{Duration, Instant},
};

use jiff::{Timestamp, tz::TimeZone};
use nix::pty::{Winsize, openpty};
use opsbot::{
    channels::console::{Ask, ChatOptions, Link, Style, run},
    domain::{ApprovalId, Block, Card, CardState, Outbound, Risk, TurnStatus},
};
use tokio::sync::mpsc;

/// Names the folder in which child and test meet; set only for the child.
const MEETING: &str = "OPSBOT_TEST_PTY_CHILD";
const PROMPT: &str = "› ";

fn card() -> Card {
    Card {
        id: ApprovalId::from_bits(7),
        calls: vec!["restart_container(customer_id=19, service=web)".into()],
        steps: vec!["restart container shop-web on local".into()],
        risk: Risk::Confirm,
        reason: "asks by default".into(),
        requester: "anna".into(),
        eligible: "anna".into(),
        tainted: false,
        sent_at: None,
        expires_at: Timestamp::MAX,
        state: CardState::Pending,
        first_approver: None,
        outcome: None,
    }
}

/// An engine that echoes, and knows the words `card` (waits for a file, then asks) and `slow` (waits to be stopped).
async fn engine(mut asked: mpsc::Receiver<Ask>, events: mpsc::Sender<Outbound>, meeting: std::path::PathBuf) {
    let progress = |text: &str| Outbound::Progress { text: text.into() };
    while let Some(ask) = asked.recv().await {
        let mut status = TurnStatus::Answered;
        match &ask {
            Ask::Say(text) if text == "card" => {
                events.send(progress("about to ask")).await.unwrap();
                while !meeting.join("go").exists() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                events.send(Block::Card(card()).into()).await.unwrap();
                status = TurnStatus::WaitsForApproval;
            }
            Ask::Say(text) if text == "later" => {
                events.send(Outbound::Done { status }).await.unwrap();
                while !meeting.join("later").exists() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                events.send(Block::text("somebody decided elsewhere").into()).await.unwrap();
                continue;
            }
            Ask::Say(text) if text == "slow" => {
                events.send(progress("working slowly")).await.unwrap();
                assert_eq!(asked.recv().await, Some(Ask::Stop));
                events.send(Block::text("stopped it").into()).await.unwrap();
                status = TurnStatus::Stopped;
            }
            Ask::Say(text) => {
                for piece in ["{\"name\": ", "\"withdrawn\"}"] {
                    events.send(Outbound::Delta { text: piece.into() }).await.unwrap();
                }
                events.send(Outbound::Retract).await.unwrap();
                events.send(Outbound::Delta { text: format!("heard {text:?} ") }).await.unwrap();
            }
            Ask::Decide { approve, .. } => {
                events.send(Block::text(format!("decided {approve}")).into()).await.unwrap();
            }
            Ask::Stop => continue,
        }
        events.send(Outbound::Done { status }).await.unwrap();
    }
}

/// The child's side: not a test of its own.
#[test]
#[ignore = "started on a pseudo-terminal by the_chat_works_on_a_real_terminal"]
fn child_on_the_terminal() {
    let Some(meeting) = std::env::var_os(MEETING).map(std::path::PathBuf::from) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (send, asked) = mpsc::channel(4);
    let (answer, events) = mpsc::channel(4);
    runtime.spawn(engine(asked, answer, meeting.clone()));
    let style = Style { live: true, width: 80, height: 24, ..Style::plain(TimeZone::UTC) };
    let options = ChatOptions {
        history: meeting.join("history"),
        style,
        interactive: true,
        greeting: "Good day.".into(),
        clock: || Timestamp::UNIX_EPOCH,
    };
    let status = runtime.block_on(run(Link { send, events }, options)).unwrap();
    fs::write(meeting.join("status"), format!("{status:?}")).unwrap();
}

/// The test's end of the terminal.
pub struct Screen {
    keys: fs::File,
    output: blocking::Receiver<Vec<u8>>,
    seen: Vec<u8>,
    pub child: Child,
}

impl Screen {
    fn open(meeting: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["console::child_on_the_terminal", "--exact", "--ignored", "--nocapture"]);
        command.env(MEETING, meeting).env("TERM", "xterm");
        Self::on(&command)
    }

    /// Starts `command`, with what it sets in its environment, on a terminal of 80 columns.
    pub fn on(command: &Command) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).unwrap();
        let stdio = || Stdio::from(pty.slave.try_clone().unwrap());
        // A session of its own, so that the terminal's Ctrl-C reaches the child and nobody else.
        let child = Command::new("setsid")
            .arg("--ctty")
            .arg(command.get_program())
            .args(command.get_args())
            .envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))))
            .stdin(stdio())
            .stdout(stdio())
            .stderr(stdio())
            .spawn()
            .unwrap();
        drop(pty.slave);
        let keys = fs::File::from(pty.master);
        let mut screen = keys.try_clone().unwrap();
        let (send, output) = blocking::channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = screen.read(&mut bytes) {
                if send.send(bytes[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { keys, output, seen: Vec::new(), child }
    }

    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for `text` in what was written since the last wait, and forgets all up to it.
    #[allow(clippy::disallowed_methods, reason = "a test waits for a condition under a deadline")]
    pub fn wait(&mut self, text: &str) -> String {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let at = self.seen.windows(text.len()).position(|w| w == text.as_bytes());
            if let Some(at) = at {
                let rest = self.seen.split_off(at + text.len());
                let before = std::mem::replace(&mut self.seen, rest);
                return String::from_utf8_lossy(&before).into_owned();
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.seen.extend(bytes),
                Err(e) => panic!("no {text:?} came ({e}); seen: {}", String::from_utf8_lossy(&self.seen)),
            }
        }
    }

    /// Says a line at the prompt and waits for the answer.
    pub fn say(&mut self, line: &str, answer: &str) -> String {
        self.press(&format!("{line}\r"));
        let before = self.wait(answer);
        format!("{before}{}", self.wait(PROMPT))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn the_chat_works_on_a_real_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let mut screen = Screen::open(dir.path());
    screen.wait("Good day.");
    screen.wait(PROMPT);
    let shown = screen.say("hello", "heard \"hello\"");
    assert!(shown.contains("\u{1b}[J"), "the withdrawn text was not erased: {shown:?}");

    // Keys pressed blindly while the turn runs, before its card is there, decide nothing.
    screen.press("card\r");
    screen.wait("about to ask");
    screen.press("yes\n");
    screen.wait("yes");
    fs::write(dir.path().join("go"), "").unwrap();
    screen.wait("Approval needed");
    screen.wait(PROMPT);
    screen.say("no", "decided false");

    // Ctrl-C ends the turn, then a line, never the program.
    screen.press("slow\r");
    screen.wait("working slowly");
    screen.press("\u{3}");
    screen.wait("stopped it");
    screen.wait(PROMPT);
    screen.press("never mind\u{3}");
    screen.wait("never mind");
    screen.wait(PROMPT);

    screen.press("\u{1b}[200~line one\nline two\u{1b}[201~");
    screen.wait("line two");
    screen.say("", "heard \"line one\\nline two\"");
    screen.say("yes", "heard \"yes\"");

    // What comes while a line is being typed stands above it, and the line goes on.
    screen.press("later\r");
    screen.wait(PROMPT);
    screen.press("half a");
    screen.wait("half a");
    fs::write(dir.path().join("later"), "").unwrap();
    screen.wait("somebody decided elsewhere");
    screen.wait("half a");
    screen.say(" line", "heard \"half a line\"");

    screen.press("\u{4}");
    assert!(screen.child.wait().unwrap().success());
    assert_eq!(fs::read_to_string(dir.path().join("status")).unwrap(), "Answered");
    let history = dir.path().join("history");
    assert_eq!(fs::metadata(&history).unwrap().permissions().mode() & 0o777, 0o600);
    let kept = fs::read_to_string(&history).unwrap();
    let lines: Vec<_> = kept.lines().skip(1).collect();
    assert_eq!(lines, ["hello", "card", "slow", "line one\\nline two", "later", "half a line"]);
}
