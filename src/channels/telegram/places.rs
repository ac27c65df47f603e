//! One piece of work at a time for each place; places never wait for each other.

use std::collections::BTreeSet;

use tokio::{sync::mpsc, task::JoinSet};

use super::Place;

/// The places that are being worked on.
pub(super) struct Places {
    busy: BTreeSet<Place>,
    ended: mpsc::UnboundedSender<Place>,
    ends: mpsc::UnboundedReceiver<Place>,
    tasks: JoinSet<()>,
}

impl Places {
    pub(super) fn new() -> Self {
        let (ended, ends) = mpsc::unbounded_channel();
        Self { busy: BTreeSet::new(), ended, ends, tasks: JoinSet::new() }
    }

    /// Whether something is being done there.
    pub(super) fn is_busy(&self, place: Place) -> bool {
        self.busy.contains(&place)
    }

    /// Begins `work` for `place`, unless something is being done there.
    pub(super) fn begin(&mut self, place: Place, work: impl Future<Output = ()> + Send + 'static) {
        if self.busy.insert(place) {
            let ended = Ended(place, self.ended.clone());
            self.tasks.spawn(async move {
                let _tells_in_any_case = ended;
                work.await;
            });
        }
    }

    /// Waits until the work of some place has ended; there may be more to do for it.
    pub(super) async fn one_ends(&mut self) {
        if let Some(place) = self.ends.recv().await {
            self.busy.remove(&place);
        }
        while self.tasks.try_join_next().is_some() {}
    }

    /// Waits until all work has ended.
    pub(super) async fn all_end(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Says that a place's work has ended, also when it panicked.
struct Ended(Place, mpsc::UnboundedSender<Place>);

impl Drop for Ended {
    fn drop(&mut self) {
        let _nobody_listens_any_more = self.1.send(self.0);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_place_is_worked_on_once_at_a_time_even_after_a_panic() {
        let mut places = Places::new();
        let (go, wait) = oneshot::channel::<()>();
        places.begin(Place::chat(1), async move { wait.await.unwrap() });
        places.begin(Place::chat(1), async { unreachable!("it is busy") });
        let (said, heard) = oneshot::channel();
        places.begin(Place::chat(2), async move { said.send(()).unwrap() });
        heard.await.unwrap();
        places.one_ends().await;
        go.send(()).unwrap();
        places.one_ends().await;
        places.begin(Place::chat(1), async { panic!("broken") });
        places.one_ends().await;
        let (said, heard) = oneshot::channel();
        places.begin(Place::chat(1), async move { said.send(()).unwrap() });
        heard.await.unwrap();
        places.all_end().await;
    }
}
