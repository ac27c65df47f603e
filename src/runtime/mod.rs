//! What the process itself needs: clock, supervisor, signals, logs, counters, word to systemd, no core dumps.

pub mod clock;
pub mod counters;
pub mod dumps;
pub mod notify;
pub mod signal;
pub mod supervise;
pub mod trace;

pub use clock::Stopwatch;
pub use counters::Counters;
pub use supervise::{Policy, Supervisor};
