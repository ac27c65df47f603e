//! Shows incidents: for each chat the pager's next job goes over the wire, its beginning and its end become rows.

mod letters;
mod name;

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use self::{
    letters::Letters,
    name::{Form, Name},
};
use super::{
    Body, Place, Post,
    core::{CHANNEL, Core, place_in},
    courier::{Attempt, Lane, Undelivered},
    places::Places,
    press,
    render::{self, Look},
};
use crate::{
    alerts::Job,
    domain::{AlertCard, Block, IncidentId},
    engine::redact_block,
    pager::{JobEnd, Pager},
    runtime::clock,
};

pub(super) use name::names;

/// Follows the pager until `stop`; without one there is nothing to do.
pub(super) async fn run(core: Core, stop: CancellationToken) {
    let Some(pager) = core.pager.clone() else { return };
    let letters = Letters::default();
    let mut changes = pager.changes();
    let mut places = Places::new();
    while !stop.is_cancelled() {
        changes.mark_unchanged();
        let mut wakes = None;
        for text in pager.places(CHANNEL) {
            let Some(place) = place_in(&text).filter(|place| !places.is_busy(*place)) else { continue };
            let (job, later) = pager.next(&text);
            wakes = [wakes, later].into_iter().flatten().min();
            if job.is_some() {
                let chat = Chat {
                    core: core.clone(),
                    pager: pager.clone(),
                    letters: letters.clone(),
                    stop: stop.clone(),
                    place,
                    text,
                };
                places.begin(place, async move { chat.work().await });
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            changed = changes.changed() => if changed.is_err() { break },
            () = places.one_ends() => {}
            () = tokio::time::sleep(core.settings.look_every.min(until(wakes))) => {}
        }
    }
    places.all_end().await;
}

/// How long it is until `at`.
fn until(at: Option<Timestamp>) -> std::time::Duration {
    at.map_or(std::time::Duration::MAX, |at| at.duration_since(clock::now()).try_into().unwrap_or_default())
}

/// What is done in one chat, one job after another.
struct Chat {
    core: Core,
    pager: Pager,
    letters: Letters,
    stop: CancellationToken,
    place: Place,
    text: String,
}

/// Whether a chat's work goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    GoesOn,
    Waits,
}

impl Chat {
    async fn work(&self) {
        let mut last = None;
        while let (Some(job), _) = self.pager.next(&self.text)
            && !self.stop.is_cancelled()
        {
            if last.as_ref() == Some(&job) {
                // What was done did not count: nothing may be sent over and over for that.
                tracing::warn!(
                    place = self.text,
                    "a card is wanted that was shown just now; it waits a while"
                );
                tokio::select! {
                    () = tokio::time::sleep(self.core.settings.look_every) => {}
                    () = self.stop.cancelled() => return,
                }
            }
            if self.one(&job).await == Next::Waits {
                return;
            }
            last = Some(job);
        }
    }

    async fn one(&self, job: &Job) -> Next {
        match job {
            Job::Send { card, loud, again, critical, revision, incident } => {
                let lane = if *critical { Lane::Critical } else { Lane::Reply };
                let attempt = if *again { Attempt::MaybeRepeat } else { Attempt::First };
                let post = Post { quiet: !*loud, ..self.face(card, Form::Text, None).await };
                self.begins(job).await;
                match self.core.courier.send(self.place, lane, post, attempt).await {
                    Ok(sent) => {
                        let name = Name { id: sent.message, form: Form::Text }.to_string();
                        self.ended(job, JobEnd::Done(Some(&name))).await;
                        self.letters.arrived(self.place);
                        if chart(card).is_none() {
                            return Next::GoesOn;
                        }
                        // The text goes first; its picture comes by an edit.
                        let (incident, revision, card) = (*incident, *revision, card.clone());
                        self.edit(&Job::Edit { incident, message: name, card, revision }).await
                    }
                    Err(fault) => self.failed(job, fault).await,
                }
            }
            Job::Edit { .. } => self.edit(job).await,
            Job::Ring { incident, message, text, .. } => self.ring(job, *incident, message, text).await,
        }
    }

    async fn ring(&self, job: &Job, incident: IncidentId, message: &str, text: &str) -> Next {
        let post = self.posted(|look| render::ring(incident, text, look)).await;
        self.begins(job).await;
        let courier = &self.core.courier;
        let sent = match message.parse::<Name>() {
            Ok(name) => courier.reply(self.place, name.id, Lane::Critical, post, Attempt::First).await,
            Err(_) => courier.send(self.place, Lane::Critical, post, Attempt::First).await,
        };
        match sent {
            Ok(sent) => {
                self.core.stands_beside(self.place.chat, sent.message, incident);
                self.ended(job, JobEnd::Done(None)).await;
                Next::GoesOn
            }
            // It was sent twice; a third time would only be noise.
            Err(Undelivered::Unsure) => {
                self.ended(job, JobEnd::Done(None)).await;
                Next::GoesOn
            }
            Err(Undelivered::Refused(why)) => {
                tracing::error!(
                    place = self.text,
                    why,
                    "a ring is refused; the card is sent anew in its place"
                );
                self.ended(job, JobEnd::Gone).await;
                Next::GoesOn
            }
            Err(fault) => self.failed(job, fault).await,
        }
    }

    /// Makes a message say what its card says. What has to be heard does not wait for it.
    async fn edit(&self, job: &Job) -> Next {
        let Job::Edit { message, card, incident, .. } = job else { return Next::GoesOn };
        let Ok(name) = message.parse::<Name>() else {
            self.ended(job, JobEnd::Gone).await;
            return Next::GoesOn;
        };
        self.begins(job).await;
        let edited = tokio::select! {
            biased;
            edited = self.edit_as(name, card, *incident) => edited,
            () = self.more_urgent() => {
                self.ended(job, JobEnd::NotBegun).await;
                return Next::GoesOn;
            }
        };
        match edited {
            Ok(name) => {
                self.ended(job, JobEnd::Done(Some(&name.to_string()))).await;
                self.letters.arrived(self.place);
                Next::GoesOn
            }
            Err(Undelivered::Refused(why)) => {
                tracing::warn!(
                    place = self.text,
                    why,
                    "a card cannot be edited; its next ring sends it anew"
                );
                self.ended(job, JobEnd::Gone).await;
                Next::GoesOn
            }
            Err(fault) => self.failed(job, fault).await,
        }
    }

    /// Something is to be sent in this chat.
    async fn more_urgent(&self) {
        let mut changes = self.pager.changes();
        loop {
            changes.mark_unchanged();
            if let (Some(Job::Send { .. } | Job::Ring { .. }), _) = self.pager.next(&self.text) {
                return;
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Edits a message; gives what it is afterwards.
    async fn edit_as(
        &self,
        name: Name,
        card: &Block,
        incident: Option<IncidentId>,
    ) -> Result<Name, Undelivered> {
        let png = match chart(card).filter(|_| name.form == Form::Text) {
            Some(chart) => {
                self.core.draw(&[Block::Chart(chart.clone())]).await.pop().and_then(|(_, png)| png)
            }
            None => None,
        };
        let Some(png) = png else { return self.edit_words(name, card).await };
        let photo = self.face(card, Form::Photo, Some(png.clone())).await;
        match self.put(name, photo).await {
            Ok(()) => Ok(Name { form: Form::Photo, ..name }),
            // Whatever Telegram has against the picture, it may take the words; and the picture by itself.
            Err(Undelivered::Refused(_) | Undelivered::MessageGone) => {
                let name = self.edit_words(name, card).await?;
                if name.form == Form::Text {
                    self.chart_beside(name, png, incident).await;
                    return Ok(Name { form: Form::Apart, ..name });
                }
                Ok(name)
            }
            Err(fault) => Err(fault),
        }
    }

    /// Edits what a message says: its text, or its caption when it is a picture, also when no row says so yet.
    async fn edit_words(&self, name: Name, card: &Block) -> Result<Name, Undelivered> {
        let words = self.face(card, name.form, None).await;
        match self.put(name, words).await {
            Err(Undelivered::MessageGone) if name.form == Form::Text => {
                let name = Name { form: Form::Photo, ..name };
                let caption = self.face(card, name.form, None).await;
                self.put(name, caption).await.map(|()| name)
            }
            put => put.map(|()| name),
        }
    }

    async fn put(&self, name: Name, post: Post) -> Result<(), Undelivered> {
        let media = name.form == Form::Photo;
        self.core.courier.edit(self.place, name.id, media, Lane::Live, post).await
    }

    /// Sends a chart as a quiet reply to its card, once: it is not worth a second try.
    async fn chart_beside(&self, name: Name, png: Vec<u8>, incident: Option<IncidentId>) {
        let caption = render::chart_beside(incident);
        let post = Post {
            quiet: true,
            body: Body::Photo { png: png.into(), caption },
            ..Post::text(super::Rich::default())
        };
        match self.core.courier.reply(self.place, name.id, Lane::Live, post, Attempt::First).await {
            Ok(sent) => {
                if let Some(incident) = incident {
                    self.core.stands_beside(self.place.chat, sent.message, incident);
                }
            }
            Err(fault) => tracing::info!(place = self.text, %fault, "a card's chart could not be shown"),
        }
    }

    /// The card as a message in this form.
    async fn face(&self, card: &Block, form: Form, png: Option<Vec<u8>>) -> Post {
        let card = redact_block(&self.core.engine.redactor(), card.clone());
        self.posted(|look| match &card {
            Block::Alert(alert) => match (form, png) {
                (Form::Photo, Some(png)) => render::alert_photo(alert, png, look),
                (Form::Photo, None) => render::alert_caption(alert, look),
                (Form::Text | Form::Apart, _) => render::alert(alert, look),
            },
            Block::Storm(storm) => render::storm(storm, look),
            other => render::render(std::slice::from_ref(other), look)
                .into_iter()
                .next()
                .unwrap_or_else(|| Post::text(super::Rich::plain("…"))),
        })
        .await
    }

    /// A message, with what its buttons bring back kept where it did not fit them.
    async fn posted(&self, render: impl FnOnce(&Look<'_>) -> Post) -> Post {
        let long = Mutex::default();
        let post = {
            let draw = |_: &_| None;
            let data =
                |text: &str| press::data(text, &mut long.lock().unwrap_or_else(PoisonError::into_inner));
            render(&self.core.look(&draw, &data))
        };
        press::keep(&self.core, long).await;
        post
    }

    async fn failed(&self, job: &Job, fault: Undelivered) -> Next {
        match fault {
            Undelivered::Gone(why) | Undelivered::Refused(why) => {
                self.ended(job, JobEnd::Failed(&why)).await;
                self.letters.dead(self, job, &why).await;
            }
            Undelivered::MessageGone => self.ended(job, JobEnd::Gone).await,
            Undelivered::Unsure => {
                tracing::warn!(place = self.text, "a card may not have arrived; it is not sent a third time");
                // The courier's own repetition counts as a beginning, so that the row says that two were made.
                self.begins(job).await;
            }
            Undelivered::Stopped { attempted: false } => {
                self.ended(job, JobEnd::NotBegun).await;
                return Next::Waits;
            }
            Undelivered::Stopped { attempted: true } | Undelivered::Token => return Next::Waits,
        }
        Next::GoesOn
    }

    async fn begins(&self, job: &Job) {
        if let Err(error) = self.pager.begins(&self.text, job).await {
            tracing::error!(%error, place = self.text, "a card is sent though that could not be written down");
        }
    }

    async fn ended(&self, job: &Job, end: JobEnd<'_>) {
        if let Err(error) = self.pager.ended(&self.text, job, end).await {
            tracing::error!(%error, place = self.text, "what became of a card could not be written down");
        }
    }
}

fn chart(card: &Block) -> Option<&crate::domain::Chart> {
    if let Block::Alert(card) = card { card.chart.as_ref() } else { None }
}

/// The card's incident and first words, for a log or a letter.
fn about(job: &Job) -> String {
    let said = |card: &AlertCard| {
        let whose = card.customer.as_deref().map(|c| format!("{c}: ")).unwrap_or_default();
        format!("incident {} ({}, {whose}{})", card.incident, card.severity.word(), card.title)
    };
    match job {
        Job::Send { card, .. } | Job::Edit { card, .. } => match &**card {
            Block::Alert(card) => said(card),
            _ => "the card of a storm of alerts".to_owned(),
        },
        Job::Ring { incident, .. } => format!("incident {incident}"),
    }
}
