//! Whole conversations over the real engine: real store, policy and model client; a scripted model and a small site.

mod alerting;
mod approvals;
mod basics;
mod bytes;
mod fallback;
pub mod faults;
mod hostile;
mod intents;
mod memory;
mod models;
mod pairing;
mod playbooks;
mod redaction;
mod reload;
pub mod site;
mod steering;
pub mod world;
