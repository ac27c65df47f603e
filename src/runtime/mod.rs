pub mod clock;
pub mod notify;
pub mod signal;
pub mod supervise;
pub mod trace;

pub use clock::Stopwatch;
pub use supervise::{Policy, Supervisor};
