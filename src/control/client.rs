//! The client side of the control socket: requests out, each one's events back on a channel of its own.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use futures::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncWrite, WriteHalf},
    net::UnixStream,
    sync::mpsc,
    task::AbortHandle,
};
use tokio_util::codec::{FramedRead, FramedWrite, LinesCodec};

use super::{Frame, Op, Request, protocol::LINE_LIMIT};
use crate::domain::{Block, Level, Outbound, TurnStatus};

type Waiting = Arc<Mutex<Option<BTreeMap<u64, mpsc::Sender<Outbound>>>>>;

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A connection to an engine.
pub struct Client {
    out: tokio::sync::Mutex<FramedWrite<WriteHalf<Box<dyn Wire>>, LinesCodec>>,
    waiting: Waiting,
    next: AtomicU64,
    dispatch: AbortHandle,
}

impl Drop for Client {
    fn drop(&mut self) {
        // The task holds the other half of the stream, which would keep the connection open for ever.
        self.dispatch.abort();
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// Connects to a daemon's socket.
    ///
    /// # Errors
    /// The socket's; `NotFound` and `ConnectionRefused` mean that no daemon runs.
    pub async fn connect(socket: &Path) -> io::Result<Self> {
        Ok(Self::over(UnixStream::connect(socket).await?))
    }

    /// Speaks over any stream.
    pub fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let (reading, writing) = tokio::io::split(Box::new(stream) as Box<dyn Wire>);
        let waiting: Waiting = Arc::new(Mutex::new(Some(BTreeMap::new())));
        let lines = FramedRead::new(reading, LinesCodec::new_with_max_length(16 * LINE_LIMIT));
        let dispatch = tokio::spawn(dispatch(lines, waiting.clone())).abort_handle();
        let out = tokio::sync::Mutex::new(FramedWrite::new(writing, LinesCodec::new()));
        Self { out, waiting, next: AtomicU64::new(1), dispatch }
    }

    /// Asks; the events end with `Done`, also when the connection breaks.
    pub async fn request(&self, op: Op) -> mpsc::Receiver<Outbound> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (events, receiver) = mpsc::channel(256);
        let connected = match lock(&self.waiting).as_mut() {
            Some(waiting) => {
                waiting.insert(id, events.clone());
                true
            }
            None => false,
        };
        let sent = match serde_json::to_string(&Request { id, op }) {
            Ok(line) if connected => self.out.lock().await.send(line).await.is_ok(),
            _ => false,
        };
        if !sent {
            if let Some(waiting) = lock(&self.waiting).as_mut() {
                waiting.remove(&id);
            }
            lost(&events).await;
        }
        receiver
    }
}

async fn dispatch<R: AsyncRead + Unpin>(mut lines: FramedRead<R, LinesCodec>, waiting: Waiting) {
    while let Some(Ok(line)) = lines.next().await {
        let Ok(Frame { id, event }) = serde_json::from_str::<Frame>(&line) else { continue };
        let last = matches!(event, Outbound::Done { .. });
        let to = match lock(&waiting).as_mut() {
            Some(waiting) if last => waiting.remove(&id),
            Some(waiting) => waiting.get(&id).cloned(),
            None => None,
        };
        if let Some(to) = to {
            let _gone = to.send(event).await;
        }
    }
    let left = lock(&waiting).take().unwrap_or_default();
    for events in left.into_values() {
        lost(&events).await;
    }
}

async fn lost(events: &mpsc::Sender<Outbound>) {
    let text = "The connection to OpsBot was lost. What was asked may still be running: `opsbot status` and `opsbot audit tail` tell.";
    for event in [Block::notice(Level::Error, text).into(), Outbound::Done { status: TurnStatus::Failed }] {
        let _gone = events.send(event).await;
    }
}

fn lock(waiting: &Waiting) -> std::sync::MutexGuard<'_, Option<BTreeMap<u64, mpsc::Sender<Outbound>>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}
