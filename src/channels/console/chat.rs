//! The conversation at a terminal or through a pipe, and the single question.

use std::{fmt, io, path::PathBuf};

use jiff::Timestamp;
use tokio::{
    io::{AsyncBufRead, BufReader},
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use super::{
    input::{Key, Prompter, next_line, write_out, write_to},
    render::Renderer,
    screen::Screen,
    state::{ChatState, Typed},
    style::Style,
};
use crate::domain::{ApprovalId, Block, Level, Outbound, TurnStatus};

/// What the person wants of the engine. `Say` and `Decide` are each answered by events up to one `Done`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A message or slash command.
    Say(String),
    /// A yes or no to a card.
    Decide {
        /// The card's approval.
        id: ApprovalId,
        /// Yes.
        approve: bool,
    },
    /// Cancel the running turn, at once.
    Stop,
}

/// The two ends of the line to the engine.
#[derive(Debug)]
pub struct Link {
    /// What the person wants.
    pub send: mpsc::Sender<Ask>,
    /// What comes back.
    pub events: mpsc::Receiver<Outbound>,
}

/// How a conversation is held.
#[derive(Clone)]
pub struct ChatOptions {
    /// Where typed lines are kept (0600).
    pub history: PathBuf,
    /// What the output can show.
    pub style: Style,
    /// Standard input and output are a terminal: lines are edited, and a typed `yes` may decide.
    pub interactive: bool,
    /// What is said at the start of an interactive conversation.
    pub greeting: String,
    /// Reads the clock, for a card's expiry.
    pub clock: fn() -> Timestamp,
}

impl fmt::Debug for ChatOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatOptions").field("history", &self.history).finish_non_exhaustive()
    }
}

const GONE: &str = "the engine went away; see `opsbot doctor`, then start the chat again";

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, GONE)
}

/// Holds a conversation until the person leaves or the input ends; tells how the last turn ended.
///
/// # Errors
/// The terminal or pipe broke, or the engine went away (`ConnectionAborted`).
pub async fn run(link: Link, options: ChatOptions) -> io::Result<TurnStatus> {
    if options.interactive {
        return Talk::start(link, options)?.hold().await;
    }
    let mut input = BufReader::new(tokio::io::stdin());
    piped(link, &options, &mut input, &mut io::stdout()).await
}

/// Shows one answer; the engine going away is shown as an error and counts as failed.
///
/// # Errors
/// The output broke.
pub async fn once(events: mpsc::Receiver<Outbound>, style: Style) -> io::Result<TurnStatus> {
    let mut events = events;
    let mut screen = Screen::new(Renderer::new(style));
    match follow(&mut events, &mut screen, &mut io::stdout(), |_| {}).await {
        Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {
            write_out(&screen.on(&Block::notice(Level::Error, GONE).into()))?;
            Ok(TurnStatus::Failed)
        }
        other => other,
    }
}

/// Writes events up to the turn's end.
async fn follow(
    events: &mut mpsc::Receiver<Outbound>,
    screen: &mut Screen,
    out: &mut (dyn io::Write + Send),
    mut seen: impl FnMut(&Outbound),
) -> io::Result<TurnStatus> {
    while let Some(event) = events.recv().await {
        seen(&event);
        write_to(out, &screen.on(&event))?;
        if let Outbound::Done { status } = event {
            return Ok(status);
        }
    }
    write_to(out, &screen.settle())?;
    Err(gone())
}

/// A conversation through a pipe: each line is a message, and none is ever a decision.
async fn piped(
    mut link: Link,
    options: &ChatOptions,
    input: &mut (impl AsyncBufRead + Unpin),
    out: &mut (dyn io::Write + Send),
) -> io::Result<TurnStatus> {
    let mut state = ChatState::new(false);
    let mut screen = Screen::new(Renderer::new(options.style.clone()));
    let mut last = TurnStatus::Answered;
    while let Some(line) = next_line(input).await? {
        match state.on_line(&line, (options.clock)()) {
            Typed::Send(ask) => {
                link.send.send(ask).await.map_err(|_| gone())?;
                last = follow(&mut link.events, &mut screen, out, |event| state.on_event(event)).await?;
            }
            Typed::Hint(text) => {
                write_to(out, &screen.on(&Block::notice(Level::Error, text).into()))?;
                last = TurnStatus::Failed;
            }
            Typed::Nothing => {}
            Typed::Leave => break,
        }
    }
    Ok(last)
}

/// An interactive conversation.
struct Talk {
    link: Link,
    state: ChatState,
    /// Writes while a turn runs.
    live: Screen,
    /// Writes what comes while the prompt is open, whole pieces only.
    above: Screen,
    prompter: Prompter,
    clock: fn() -> Timestamp,
    last: TurnStatus,
    mode: Mode,
}

/// What the conversation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Nothing: the prompt may open.
    Idle,
    /// A line: the prompt is open.
    Prompt,
    /// A turn's end; whether it was asked to stop.
    Turn { stopping: bool },
}

impl Talk {
    fn start(link: Link, options: ChatOptions) -> io::Result<Self> {
        let style = options.style;
        let prompt = style.either("› ", "> ").to_owned();
        let prompter = Prompter::start(prompt, options.history)?;
        let above = Style { live: false, ..style.clone() };
        if !style.json && !options.greeting.is_empty() {
            write_out(&Renderer::new(style.clone()).block(&Block::text(options.greeting)))?;
        }
        Ok(Self {
            link,
            state: ChatState::new(true),
            live: Screen::new(Renderer::new(style).answering(true)),
            above: Screen::new(Renderer::new(above).answering(true)),
            prompter,
            clock: options.clock,
            last: TurnStatus::Answered,
            mode: Mode::Idle,
        })
    }

    async fn hold(mut self) -> io::Result<TurnStatus> {
        let mut interrupts = signal(SignalKind::interrupt())?;
        loop {
            if self.mode == Mode::Idle {
                let discard = self.state.is_asking();
                self.state.on_prompt();
                self.prompter.open(discard)?;
                self.mode = Mode::Prompt;
            }
            tokio::select! {
                event = self.link.events.recv() => match event {
                    Some(event) => self.show(&event)?,
                    None => return self.lost(),
                },
                key = self.prompter.key(), if self.mode == Mode::Prompt => {
                    self.mode = Mode::Idle;
                    match key {
                        Key::Line(line, size) => {
                            if let Some((columns, rows)) = size {
                                self.live.resize(columns, rows);
                                self.above.resize(columns, rows);
                            }
                            if !self.line(&line).await? {
                                return Ok(self.last);
                            }
                        }
                        Key::Interrupted => {}
                        Key::End => return Ok(self.last),
                    }
                }
                _ = interrupts.recv() => self.interrupt()?,
            }
        }
    }

    fn show(&mut self, event: &Outbound) -> io::Result<()> {
        self.state.on_event(event);
        if self.mode == Mode::Prompt {
            let text = self.above.on(event);
            return if text.is_empty() { Ok(()) } else { self.prompter.print_above(text) };
        }
        write_out(&self.live.on(event))?;
        if let Outbound::Done { status } = event {
            self.last = *status;
            self.mode = Mode::Idle;
        }
        Ok(())
    }

    /// Handles a typed line; false when the person leaves.
    async fn line(&mut self, line: &str) -> io::Result<bool> {
        match self.state.on_line(line, (self.clock)()) {
            Typed::Send(ask) => {
                // What was half shown above the prompt is finished before the turn's own output begins.
                write_out(&self.above.settle())?;
                self.live.begin();
                if self.link.send.send(ask).await.is_err() {
                    return self.lost().map(|_| false);
                }
                self.mode = Mode::Turn { stopping: false };
            }
            Typed::Hint(text) => write_out(&self.live.on(&Block::notice(Level::Warning, text).into()))?,
            Typed::Nothing => {}
            Typed::Leave => return Ok(false),
        }
        Ok(true)
    }

    /// Ctrl-C while a turn runs: the first stops the turn, a second one gives the prompt back whatever the engine does.
    fn interrupt(&mut self) -> io::Result<()> {
        match self.mode {
            Mode::Turn { stopping: false } => {
                // A full queue means that the engine is stuck; the second Ctrl-C is the way out then.
                let sent = self.link.send.try_send(Ask::Stop).is_ok();
                self.mode = Mode::Turn { stopping: true };
                let text =
                    if sent { "stopping" } else { "the engine does not listen; Ctrl-C again for the prompt" };
                write_out(&self.live.on(&Outbound::Progress { text: text.into() }))
            }
            Mode::Turn { stopping: true } => {
                self.mode = Mode::Idle;
                write_out(&self.live.settle())
            }
            Mode::Idle | Mode::Prompt => Ok(()),
        }
    }

    fn lost(&mut self) -> io::Result<TurnStatus> {
        write_out(&self.live.settle())?;
        Err(gone())
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::channels::console::card::tests::sample;

    /// An engine that shows a card to every message and remembers what it was asked.
    fn engine() -> (Link, tokio::task::JoinHandle<Vec<Ask>>) {
        let (send, mut asked) = mpsc::channel(4);
        let (answer, events) = mpsc::channel(4);
        let work = tokio::spawn(async move {
            let mut seen = Vec::new();
            while let Some(ask) = asked.recv().await {
                seen.push(ask);
                let card = Outbound::from(Block::Card(sample(7)));
                let done = Outbound::Done { status: TurnStatus::WaitsForApproval };
                for event in [card, done] {
                    answer.send(event).await.unwrap();
                }
            }
            seen
        });
        (Link { send, events }, work)
    }

    fn options() -> ChatOptions {
        ChatOptions {
            history: PathBuf::from("/nonexistent/history"),
            style: Style::plain(TimeZone::UTC),
            interactive: false,
            greeting: String::new(),
            clock: || Timestamp::UNIX_EPOCH,
        }
    }

    #[tokio::test]
    async fn in_a_pipe_every_line_is_a_message_and_yes_decides_nothing() {
        let (link, work) = engine();
        let mut out = Vec::new();
        let status =
            piped(link, &options(), &mut b"restart web of 19\n\nyes\n".as_slice(), &mut out).await.unwrap();
        assert_eq!(status, TurnStatus::WaitsForApproval);
        let say = |text: &str| Ask::Say(text.into());
        assert_eq!(work.await.unwrap(), [say("restart web of 19"), say("yes")]);
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains("opsbot approve") && !out.contains("Type yes"), "{out}");
    }

    #[tokio::test]
    async fn a_lost_engine_is_an_error_and_what_was_said_is_shown() {
        let (send, asked) = mpsc::channel(1);
        let (answer, events) = mpsc::channel(1);
        answer.send(Outbound::Delta { text: "half an".into() }).await.unwrap();
        drop(answer);
        let mut out = Vec::new();
        let error =
            piped(Link { send, events }, &options(), &mut b"hi\n".as_slice(), &mut out).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(String::from_utf8(out).unwrap(), "half an\n");
        drop(asked);
    }
}
