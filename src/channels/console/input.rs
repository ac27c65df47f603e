//! Where lines come from: an editor on a thread of its own, or a pipe read line by line.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, mpsc as blocking},
    thread,
};

use nix::sys::termios::{self, FlushArg, SetArg, Termios};
use rustyline::{
    Config, Editor, ExternalPrinter,
    error::ReadlineError,
    history::{FileHistory, History},
};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt},
    sync::mpsc,
};

use super::state::{LONGEST_MESSAGE, verdict};

type LineEditor = Editor<(), FileHistory>;

/// What came of one prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// A line, and the screen's columns and rows.
    Line(String, Option<(usize, usize)>),
    /// Ctrl-C: the line is thrown away.
    Interrupted,
    /// Ctrl-D on an empty line, or the terminal is gone.
    End,
}

/// The editor's thread: one prompt at a time, and text printed above an open one.
pub(super) struct Prompter {
    prompts: blocking::Sender<bool>,
    keys: mpsc::Receiver<Key>,
    printer: Arc<Mutex<Option<Box<dyn ExternalPrinter + Send>>>>,
    before: Option<Termios>,
}

impl Prompter {
    /// Starts the thread; earlier lines come from `history`.
    pub(super) fn start(prompt: String, history: PathBuf) -> io::Result<Self> {
        let (prompts, asked) = blocking::channel();
        let (send, keys) = mpsc::channel(1);
        let printer = Arc::new(Mutex::new(None));
        let hand = Arc::clone(&printer);
        let before = termios::tcgetattr(io::stdin()).ok();
        let mut desk = Desk { editor: open_editor(&history)?, history, prompt };
        let work = move || {
            while let Ok(discard) = asked.recv() {
                if discard {
                    desk.forget_type_ahead();
                }
                if let Ok(mut slot) = hand.lock() {
                    *slot = desk.editor.create_external_printer().ok().map(|p| Box::new(p) as _);
                }
                let key = desk.read();
                if let Ok(mut slot) = hand.lock() {
                    *slot = None;
                }
                if send.blocking_send(key).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("console-input".into()).spawn(work)?;
        Ok(Self { prompts, keys, printer, before })
    }

    /// Opens the prompt; `discard` throws away what was typed before it could be read.
    pub(super) fn open(&self, discard: bool) -> io::Result<()> {
        self.prompts.send(discard).map_err(|_| io::Error::other("the line editor is gone"))
    }

    /// What came of the open prompt.
    pub(super) async fn key(&mut self) -> Key {
        self.keys.recv().await.unwrap_or(Key::End)
    }

    /// Writes `text` above the open prompt.
    pub(super) fn print_above(&self, text: String) -> io::Result<()> {
        let mut slot = self.printer.lock().map_err(|_| io::Error::other("the line editor is gone"))?;
        match slot.as_mut() {
            Some(printer) => printer.print(text).map_err(io::Error::other),
            None => write_out(&text),
        }
    }
}

impl Drop for Prompter {
    fn drop(&mut self) {
        // An editor that still waits for a key has the terminal in raw mode; the shell must get it back as it was.
        if let Some(before) = &self.before {
            let restored = termios::tcsetattr(io::stdin(), SetArg::TCSANOW, before);
            tracing::trace!(?restored, "terminal restored");
        }
    }
}

impl fmt::Debug for Prompter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prompter").finish_non_exhaustive()
    }
}

struct Desk {
    editor: LineEditor,
    history: PathBuf,
    prompt: String,
}

impl Desk {
    fn read(&mut self) -> Key {
        loop {
            return match self.editor.readline(&self.prompt) {
                Ok(line) => {
                    self.remember(&line);
                    Key::Line(line, size_of(&mut self.editor))
                }
                Err(ReadlineError::Interrupted) => Key::Interrupted,
                Err(ReadlineError::Signal(_)) => continue,
                Err(_) => Key::End,
            };
        }
    }

    /// History is a comfort: a full disk must not end the conversation.
    fn remember(&mut self, line: &str) {
        if line.trim().is_empty() || line.len() > LONGEST_MESSAGE || verdict(line).is_some() {
            return;
        }
        let kept =
            self.editor.add_history_entry(line).and_then(|_| self.editor.append_history(&self.history));
        if let Err(error) = kept {
            tracing::debug!(%error, "the line was not kept in the history");
        }
    }

    /// Drops the kernel's and the editor's own unread bytes: a `yes` pressed blindly must not meet a card.
    fn forget_type_ahead(&mut self) {
        if let Ok(mut fresh) = open_editor(&self.history) {
            if fresh.history().is_empty() {
                for line in self.editor.history() {
                    if let Err(error) = fresh.add_history_entry(line.as_str()) {
                        tracing::debug!(%error, "a history line was lost");
                    }
                }
            }
            self.editor = fresh;
        }
        if let Err(error) = termios::tcflush(io::stdin(), FlushArg::TCIFLUSH) {
            tracing::debug!(%error, "typed-ahead keys were not dropped");
        }
    }
}

fn open_editor(history: &Path) -> io::Result<LineEditor> {
    let config = Config::builder()
        .max_history_size(1000)
        .map_err(io::Error::other)?
        .history_ignore_space(true)
        .auto_add_history(false)
        .bracketed_paste(true)
        .build();
    let mut editor = LineEditor::with_config(config).map_err(io::Error::other)?;
    if history.exists()
        && let Err(error) = editor.load_history(history)
    {
        tracing::debug!(%error, "the history was not read");
    }
    Ok(editor)
}

fn size_of(editor: &mut LineEditor) -> Option<(usize, usize)> {
    let (columns, rows) = editor.dimensions()?;
    let size = (usize::from(columns), usize::from(rows));
    (size.0 > 0 && size.1 > 0).then_some(size)
}

/// The terminal's columns and rows, if standard output is one that knows.
pub fn terminal_size() -> Option<(usize, usize)> {
    size_of(&mut LineEditor::new().ok()?)
}

/// Writes all of `text` to standard output at once.
pub(super) fn write_out(text: &str) -> io::Result<()> {
    write_to(&mut io::stdout().lock(), text)
}

/// Writes all of `text` at once.
pub(super) fn write_to(out: &mut dyn io::Write, text: &str) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// The next line of a pipe without its end; none at the end. Invalid UTF-8 is shown as U+FFFD. Of a longer line than
/// `LONGEST_MESSAGE` one byte more is kept, so that it is noticed, and the rest is read over.
pub(super) async fn next_line(input: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let mut any = false;
    loop {
        let chunk = input.fill_buf().await?;
        if chunk.is_empty() {
            return Ok(any.then(|| String::from_utf8_lossy(&line).into_owned()));
        }
        any = true;
        let end = chunk.iter().position(|b| *b == b'\n');
        let body = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
        let room = (LONGEST_MESSAGE + 1).saturating_sub(line.len());
        line.extend(body.iter().take(room));
        let used = end.map_or(chunk.len(), |e| e + 1);
        input.consume(used);
        if end.is_some() {
            return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_of_a_pipe_are_bounded_and_readable() {
        let long = "x".repeat(3 * LONGEST_MESSAGE);
        let text = [b"one\n\n".as_slice(), long.as_bytes(), b"\nb\xffd\nlast"].concat();
        let mut input = tokio::io::BufReader::with_capacity(1000, text.as_slice());
        let mut got = Vec::new();
        while let Some(line) = next_line(&mut input).await.unwrap() {
            got.push(line);
        }
        assert_eq!(got[2].len(), LONGEST_MESSAGE + 1);
        got.remove(2);
        assert_eq!(got, ["one", "", "b\u{fffd}d", "last"]);
    }
}
