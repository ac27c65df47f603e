//! Servers that speak the real protocols and misbehave on command.

pub mod model;
pub mod shim;
#[cfg(feature = "telegram")]
pub mod telegram;
