//! The server tools.

pub mod alerts;
pub mod evidence;
pub mod metrics;
