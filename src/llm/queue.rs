//! The line before a host: first come, first served, so many at once, and everybody knows how many are before.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

/// The longest line; who comes then is told that the host is busy.
const LONGEST: usize = 500;

/// A line.
#[derive(Debug)]
pub(super) struct Queue {
    parallel: usize,
    state: Mutex<State>,
    moved: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    waiting: VecDeque<u64>,
    next: u64,
}

/// A place in the line, and at its head a turn; dropping it leaves the line or ends the turn.
#[derive(Debug)]
pub(super) struct Place {
    queue: Arc<Queue>,
    id: u64,
    running: bool,
}

impl Queue {
    /// An empty line of which `parallel` (at least one) are served at once.
    pub(super) fn new(parallel: usize) -> Arc<Self> {
        Arc::new(Self { parallel: parallel.max(1), state: Mutex::default(), moved: watch::Sender::new(()) })
    }

    /// Takes the last place; none when the line is too long.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Place> {
        let mut state = self.lock();
        if state.waiting.len() >= LONGEST {
            return None;
        }
        let id = state.next;
        state.next += 1;
        state.waiting.push_back(id);
        Some(Place { queue: self.clone(), id, running: false })
    }

    /// How many are served or wait.
    pub(super) fn len(&self) -> usize {
        let state = self.lock();
        state.running + state.waiting.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits for its turn; tells how many are before it whenever that changes.
    pub(super) async fn wait(&mut self, tell: &(dyn Fn(usize) + Send + Sync)) {
        let mut moved = self.queue.moved.subscribe();
        let mut told = 0;
        loop {
            match self.try_turn() {
                0 => return,
                ahead if ahead != told => {
                    told = ahead;
                    tell(ahead);
                }
                _ => {}
            }
            if moved.changed().await.is_err() {
                return;
            }
        }
    }

    /// Takes the turn if it is this one's, else gives how many are before it.
    fn try_turn(&mut self) -> usize {
        let mut state = self.queue.lock();
        if self.running {
            return 0;
        }
        let position = state.waiting.iter().position(|id| *id == self.id).unwrap_or(0);
        if position > 0 || state.running >= self.queue.parallel {
            return state.running + position;
        }
        state.waiting.pop_front();
        state.running += 1;
        self.running = true;
        drop(state);
        self.queue.moved.send_replace(());
        0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        {
            let mut state = self.queue.lock();
            if self.running {
                state.running -= 1;
            } else {
                state.waiting.retain(|id| *id != self.id);
            }
        }
        self.queue.moved.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Mutex as StdMutex, time::Duration};

    use super::*;

    #[tokio::test]
    async fn places_are_served_in_order_and_told_how_many_are_before() {
        let queue = Queue::new(1);
        let mut first = queue.enter().unwrap();
        first.wait(&|_| panic!("nobody is before the first")).await;
        let served = Arc::new(StdMutex::new(vec![]));
        let told = Arc::new(StdMutex::new(vec![]));
        let mut rest = vec![];
        for n in 0..4 {
            let mut place = queue.enter().unwrap();
            let (served, told) = (served.clone(), told.clone());
            rest.push(tokio::spawn(async move {
                place.wait(&|ahead| told.lock().unwrap().push((n, ahead))).await;
                served.lock().unwrap().push(n);
            }));
        }
        while told.lock().unwrap().len() < 4 {
            tokio::task::yield_now().await;
        }
        assert_eq!(queue.len(), 5);
        // The second of them is stopped: it leaves, and those behind it move up.
        rest.remove(1).abort();
        while !told.lock().unwrap().contains(&(3, 3)) {
            tokio::task::yield_now().await;
        }
        drop(first);
        for place in rest {
            tokio::time::timeout(Duration::from_secs(10), place).await.unwrap().unwrap();
        }
        assert_eq!(*served.lock().unwrap(), [0, 2, 3]);
        assert_eq!(queue.len(), 0);
        let told = told.lock().unwrap();
        for n in [0, 2, 3] {
            let mine: Vec<_> = told.iter().filter(|(m, _)| *m == n).map(|(_, ahead)| *ahead).collect();
            assert!(mine.is_sorted_by(|a, b| a > b), "{n}: {mine:?} must go down");
        }
    }

    #[tokio::test]
    async fn so_many_at_once_and_no_endless_line() {
        let queue = Queue::new(2);
        let mut places: Vec<_> = (0..3).map(|_| queue.enter().unwrap()).collect();
        assert_eq!([places[2].try_turn(), places[1].try_turn(), places[0].try_turn()], [2, 1, 0]);
        assert_eq!([places[2].try_turn(), places[1].try_turn()], [2, 0]);
        let more: Vec<_> = (0..LONGEST).map_while(|_| queue.enter()).collect();
        assert_eq!(more.len(), LONGEST - 1);
        drop(more);
        places.clear();
        assert_eq!(queue.len(), 0);
    }
}
