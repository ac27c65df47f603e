//! One kept message from its place in the queue to its reply's row.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{
    Place,
    attach::{self, Document},
    core::{Core, place_of},
    follow::Live,
    menu, postman, press,
};
use crate::{
    domain::{Attachment, ConversationKey, Inbound, Origin, Untrusted},
    engine::{Choose, Fetch, Sink, StoreError},
    runtime::clock,
    store::TurnEnd,
    voice::Transcript,
};

/// Room for events; a slow live message never holds a turn up, because it is followed without waiting for it.
const EVENTS: usize = 64;

/// What a message is answered with, besides its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// Words or a button that stands for words.
    Words,
    /// A button that decides or stops, whose press wants an answer.
    Press,
}

/// Begins the turn of the kept message `row`. The place in the conversation's queue is taken before this returns.
pub(super) fn begin(
    core: &Core,
    row: i64,
    inbound: Inbound,
    live: Option<&str>,
    press: Option<(By, String)>,
) {
    let Some(place) = place_of(&inbound.conversation) else {
        return tracing::error!(row, "a message is of no chat");
    };
    let reply_to = inbound.message.filter(|_| place.is_group()).and_then(|m| i32::try_from(m).ok());
    // One that a start takes up again has lost its press, but is told by its card all the same.
    let decides = press.as_ref().map_or_else(|| press::decides(&inbound), |(by, _)| *by == By::Press);
    if !decides {
        core.courier.action(place);
    }
    let live = Live::new(place, row, reply_to, live);
    if let Some(page) =
        menu::page_for(&inbound.text, inbound.actor.role, core.engine.current().registry().specs())
        && inbound.attached.is_none()
    {
        let core = core.clone();
        tokio::spawn(async move {
            press::open_menu(&core, place, inbound.actor.role, &page, reply_to).await;
            end(&core, row, &inbound).await;
        });
        return;
    }
    let query = press.filter(|(by, _)| *by == By::Press).map(|(_, query)| query);
    let choose: Choose = if decides { press::without_toasts } else { |_, blocks| blocks };
    answer(core, (place, row), inbound, live, (choose, query));
}

fn answer(
    core: &Core,
    (place, row): (Place, i64),
    inbound: Inbound,
    live: Arc<Live>,
    (choose, query): (Choose, Option<String>),
) {
    let conversation = inbound.conversation.clone();
    let (to, events) = mpsc::channel(EVENTS);
    let sink = Sink::new(to, core.engine.redactor()).keeping(inbound.conversation.clone(), row, choose);
    let fetch = inbound.attached.is_some().then(|| fetch(core, place));
    let turn = core.engine.say_fetched(inbound, fetch, sink.clone());
    core.live_begins(row, live.clone());
    let core = core.clone();
    tokio::spawn(async move {
        let watch = async {
            match &query {
                None => live.follow(&core, events).await,
                Some(query) => {
                    let (on, rest) = mpsc::channel(EVENTS);
                    tokio::join!(press::toast(&core, query, events, on), live.follow(&core, rest));
                }
            }
        };
        let (status, ()) = tokio::join!(turn, watch);
        let left = sink.left_over();
        let stored = left.is_empty();
        if !stored {
            postman::push(&core, place, left).await;
        }
        if !sink.has_kept() {
            if let Some(message) = live.settle().await {
                core.delete(place, message).await;
            }
            core.live_ends(row);
        }
        if !stored {
            end_later(&core, row, &conversation).await;
        }
        tracing::debug!(row, ?status, "a message was answered");
    });
}

/// Ends the row of a message whose answer was shown without being stored, as soon as the store works again.
async fn end_later(core: &Core, row: i64, conversation: &ConversationKey) {
    let end = || TurnEnd { inbox: Some(row), ..TurnEnd::default() };
    while let Err(error) = core.engine.store().end_turn(conversation, end(), clock::now()).await {
        if error == StoreError::Closed {
            return tracing::error!(row, "a message that was answered counts as open, and is answered again");
        }
        tokio::time::sleep(core.settings.look_every).await;
    }
}

/// Brings what is attached into the message; what cannot be fetched or read is said.
fn fetch(core: &Core, place: Place) -> Fetch {
    let core = core.clone();
    Box::new(move |mut inbound| {
        Box::pin(async move {
            let Some(attached) = inbound.attached.take() else { return Ok(inbound) };
            if let Some(why) = attached.refused {
                return Err(why);
            }
            if attached.voice {
                inbound.text = spoken(&core, place, &inbound, &attached).await?;
                inbound.actor.origin = Origin::Voice;
                return Ok(inbound);
            }
            let Document { name, text } = document(&core, &attached).await?;
            inbound.quoted.push(Untrusted::new(&format!("{name}\n{}", text.as_str())));
            if inbound.text.trim().is_empty() {
                inbound.text = format!("What stands out in the attached file {name}?");
            }
            Ok(inbound)
        })
    })
}

/// Ends a message that was answered by a menu.
async fn end(core: &Core, row: i64, inbound: &Inbound) {
    let end = TurnEnd { inbox: Some(row), ..TurnEnd::default() };
    if let Err(error) = core.engine.store().end_turn(&inbound.conversation, end, clock::now()).await {
        tracing::error!(%error, row, "a message's end could not be written down");
    }
}

/// A file's bytes, or a sentence.
async fn download(core: &Core, attached: &Attachment) -> Result<Vec<u8>, String> {
    let most = core.settings.max_download;
    let mib = most >> 20;
    let too_big = || format!("That file is larger than {mib} MiB; send the part that matters, or paste it.");
    if attached.bytes.is_some_and(|bytes| bytes > most) {
        return Err(too_big());
    }
    let failed = |fault: super::fault::Fault| match fault {
        super::fault::Fault::TooLong => too_big(),
        fault => format!("The file could not be fetched ({fault}). Send it again."),
    };
    let file = core.api.get_file(&attached.file).await.map_err(failed)?;
    core.api.download(&file.path, usize::try_from(most).unwrap_or(usize::MAX)).await.map_err(failed)
}

async fn document(core: &Core, attached: &Attachment) -> Result<Document, String> {
    let bytes = download(core, attached).await?;
    let name = attached.name.clone();
    let read = tokio::task::spawn_blocking(move || attach::read(name.as_deref(), &bytes)).await;
    read.unwrap_or_else(|_| Err("That file could not be read. Send the part that matters as text.".into()))
}

/// What a voice note says.
async fn spoken(core: &Core, place: Place, inbound: &Inbound, note: &Attachment) -> Result<String, String> {
    let bytes = download(core, note).await?;
    let message = inbound.message.and_then(|m| i32::try_from(m).ok()).unwrap_or_default();
    let Some((dir, _)) = &core.settings.voices else {
        return Err("Voice notes are switched off (telegram.keep_voice = \"0s\"); write it instead.".into());
    };
    let path = attach::keep_voice(dir, place, message, &bytes)
        .map_err(|e| format!("The voice note could not be kept ({e}). Write it instead."))?;
    match core.transcriber.transcribe(&path, None).await {
        Ok(Transcript { text, .. }) => Ok(text),
        Err(error) => Err(format!("Your voice note was not understood: {error}.")),
    }
}
