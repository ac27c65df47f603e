//! One connection's server side: reads requests, runs each in a task of its own, writes their events in one stream.

use std::{future::Future, sync::Arc, time::Duration};

use futures::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::UnixListener,
    sync::{Semaphore, mpsc},
};
use tokio_util::{
    codec::{FramedRead, FramedWrite, LinesCodec},
    sync::CancellationToken,
    task::TaskTracker,
};

use super::{Frame, Op, Peer, People, Request, people::own_uid, protocol};
use crate::{
    domain::{Actor, Block, ConversationKey, Inbound, Level, Outbound, Role, TurnStatus},
    engine::{Engine, PairAs, Scope, Sink, StoreError},
    runtime::clock,
};

const OPEN_REQUESTS: usize = 16;
const CONNECTIONS: usize = 64;
/// A client that does not read for this long is let go; its turn goes on.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);

/// Accepts connections until `stop` fires; the principal is the peer's uid.
pub async fn listen(listener: &UnixListener, engine: Engine, people: Arc<People>, stop: CancellationToken) {
    let tasks = TaskTracker::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the control socket could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            tracing::warn!("too many connections on the control socket; one was turned away");
            continue;
        };
        match stream.peer_cred() {
            Ok(peer) => {
                let serving = serve(stream, engine.clone(), (people.clone(), peer.uid()), stop.clone());
                tasks.spawn(async move {
                    serving.await;
                    drop(place);
                });
            }
            Err(error) => tracing::warn!(%error, "a connection without credentials was refused"),
        }
    }
    tasks.close();
    tasks.wait().await;
}

/// Serves one connection of somebody with this uid, with the rights that hold at each request, until the client leaves, or `stop` fires and nothing is open any more.
pub fn serve<S>(
    stream: S,
    engine: Engine,
    (people, uid): (Arc<People>, u32),
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (reading, writing) = tokio::io::split(stream);
    let mut lines = FramedRead::new(reading, LinesCodec::new_with_max_length(protocol::LINE_LIMIT));
    let (to_writer, frames) = mpsc::channel::<Frame>(256);
    async move {
        let writer = tokio::spawn(write(FramedWrite::new(writing, LinesCodec::new()), frames));
        let open = Arc::new(Semaphore::new(OPEN_REQUESTS));
        let left = CancellationToken::new();
        loop {
            let line = tokio::select! {
                line = lines.next() => line,
                () = stop.cancelled() => break,
            };
            let Some(line) = line else {
                // Nothing may be written for a long while, so a broken pipe would tell too late.
                left.cancel();
                break;
            };
            let request = match line.map_err(|e| e.to_string()).and_then(|l| read(&l)) {
                Ok(request) => request,
                Err(why) => {
                    refuse(&to_writer, 0, &format!("This is no request: {why}")).await;
                    break;
                }
            };
            let Ok(place) = open.clone().try_acquire_owned() else {
                refuse(&to_writer, request.id, "Too many requests are open on this connection.").await;
                continue;
            };
            let (engine, to_writer) = (engine.clone(), to_writer.clone());
            let peer = people.peer(uid, own_uid());
            let left = left.clone();
            tokio::spawn(async move {
                handle(request, engine, peer, (to_writer, left)).await;
                drop(place);
            });
        }
        drop(to_writer);
        if let Err(error) = writer.await {
            tracing::warn!(%error, "a connection's writer failed");
        }
    }
}

fn read(line: &str) -> Result<Request, String> {
    serde_json::from_str(line).map_err(|e| e.to_string())
}

async fn write<W: AsyncWrite + Unpin>(
    mut out: FramedWrite<W, LinesCodec>,
    mut frames: mpsc::Receiver<Frame>,
) {
    while let Some(frame) = frames.recv().await {
        let Ok(line) = serde_json::to_string(&frame) else { continue };
        match tokio::time::timeout(WRITE_PATIENCE, out.send(line)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

async fn refuse(to: &mpsc::Sender<Frame>, id: u64, text: &str) {
    for event in [Block::notice(Level::Error, text).into(), Outbound::Done { status: TurnStatus::Failed }] {
        let _gone = to.send(Frame { id, event }).await;
    }
}

async fn handle(
    request: Request,
    engine: Engine,
    peer: Peer,
    (to_writer, left): (mpsc::Sender<Frame>, CancellationToken),
) {
    // Whatever is asked now begins with what holds now.
    let engine = engine.current();
    let (to_client, mut events) = mpsc::channel(64);
    let sink = Sink::new(to_client, engine.redactor()).until(left);
    let id = request.id;
    let forward = async move {
        while let Some(event) = events.recv().await {
            if to_writer.send(Frame { id, event }).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(act(request.op, engine, peer, sink), forward);
}

async fn act(op: Op, engine: Engine, peer: Peer, sink: Sink) {
    let actor = peer.actor.clone();
    match op {
        Op::Say { conversation, text, quoted } => {
            if text.len() > protocol::TEXT_LIMIT {
                sink.notice(
                    Level::Error,
                    format!("That message is longer than {} KiB.", protocol::TEXT_LIMIT >> 10),
                )
                .await;
                return sink.done(TurnStatus::Failed).await;
            }
            let conversation = key(&actor, &conversation);
            engine.say(Inbound { quoted, ..Inbound::new(conversation, actor, text) }, sink).await;
        }
        Op::Decide { approval, verb } => {
            engine.decide(actor, approval, verb, sink).await;
        }
        op => {
            let status = match simple(op, &engine, &peer, &sink).await {
                Ok(status) => status,
                Err(error) => {
                    sink.notice(Level::Error, format!("The store failed: {error}")).await;
                    TurnStatus::Failed
                }
            };
            sink.done(status).await;
        }
    }
}

async fn simple(op: Op, engine: &Engine, peer: &Peer, sink: &Sink) -> Result<TurnStatus, StoreError> {
    let actor = &peer.actor;
    let by = (actor, peer.has_host_rights());
    match op {
        Op::Hello { conversation } => {
            let conversation = key(actor, &conversation);
            for (id, block, _) in engine.store().outbox_take(&conversation).await? {
                sink.block(block).await;
                if sink.is_gone() {
                    break;
                }
                engine.store().outbox_done(id, clock::now()).await?;
            }
            Ok(TurnStatus::Answered)
        }
        Op::Stop { conversation, all } => {
            let scope = match conversation {
                _ if all => Scope::All,
                Some(name) => Scope::Conversation(key(actor, &name)),
                None => Scope::Mine,
            };
            Ok(engine.stop(actor, &scope, sink).await)
        }
        Op::Freeze => engine.freeze(actor, sink).await,
        Op::Unfreeze => engine.unfreeze(actor, sink).await,
        Op::Pending => engine.pending(sink).await,
        Op::Status => engine.status(sink).await,
        Op::Reload => Ok(engine.reload(by, sink).await),
        Op::AuditTail { .. } | Op::AuditVerify if actor.role < Role::Operator => {
            sink.notice(Level::Error, "Refused: the audit is for operators and admins.").await;
            Ok(TurnStatus::Refused)
        }
        Op::IntentMisses { .. } if actor.role < Role::Operator => {
            sink.notice(Level::Error, "Refused: what people said is for operators and admins.").await;
            Ok(TurnStatus::Refused)
        }
        Op::IntentMisses { limit } => engine.intent_misses(limit, sink).await,
        Op::IntentTry { text } => Ok(engine.intent_try(&text, sink).await),
        Op::AuditTail { rows } => engine.audit_tail(rows, sink).await,
        Op::AuditVerify => engine.audit_verify(sink).await,
        Op::PairList => engine.pair_list(by, sink).await,
        Op::PairAccept { code, person, role } => {
            engine.pair_accept(by, &code, &PairAs { person, role }, sink).await
        }
        Op::PairRevoke { person, channel } => engine.pair_revoke(by, &person, channel, sink).await,
        Op::Say { .. } | Op::Decide { .. } => Ok(TurnStatus::Failed),
    }
}

fn key(actor: &Actor, name: &str) -> ConversationKey {
    ConversationKey::new(format!("console:{}:{name}", actor.person))
}
