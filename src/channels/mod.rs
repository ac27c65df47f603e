//! The places where people talk to OpsBot; each decodes what comes in and renders blocks in its own best way.

pub mod console;
#[cfg(feature = "telegram")]
pub mod telegram;
