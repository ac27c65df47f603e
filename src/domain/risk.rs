//! How dangerous a call is, ordered: the strictest of all that apply wins.

use serde::{Deserialize, Serialize};

use super::actor::words;

/// `Safe < Confirm < TwoPerson < Blocked`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Runs at once.
    Safe,
    /// Runs after one eligible person confirmed the card.
    Confirm,
    /// Runs after the requester and then another admin confirmed.
    TwoPerson,
    /// Never runs.
    Blocked,
}

words!(Risk {
    Safe = "safe",
    Confirm = "confirm",
    TwoPerson = "two_person",
    Blocked = "blocked",
});
