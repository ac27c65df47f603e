//! Who works on a kept message: one at a time, also when a channel breaks and is started again while its turns go on.

use std::sync::PoisonError;

use super::Engine;

/// The right to work on a kept message; given back when dropped.
#[derive(Debug)]
pub struct Claim {
    engine: Engine,
    message: i64,
}

impl Engine {
    /// Claims the kept `message`; none while somebody has it.
    pub fn claim(&self, message: i64) -> Option<Claim> {
        let new = self.0.claimed.lock().unwrap_or_else(PoisonError::into_inner).insert(message);
        new.then(|| Claim { engine: self.clone(), message })
    }

    /// Whether somebody works on the kept `message`.
    pub fn is_claimed(&self, message: i64) -> bool {
        self.0.claimed.lock().unwrap_or_else(PoisonError::into_inner).contains(&message)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.engine.0.claimed.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.message);
    }
}
