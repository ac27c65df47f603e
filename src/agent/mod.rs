//! The tool-calling loop: pure steps, and the seams through which it reaches models, tools and people.

pub mod history;
pub mod models;
pub mod port;
pub mod prompt;
pub mod step;

pub use history::{Remembered, RowKind};
pub use step::{CallResult, Effect, Event, Limits, PlannedCall, Turn};
