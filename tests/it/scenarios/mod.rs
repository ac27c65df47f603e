//! Whole conversations over the real engine: real store, policy and model client; a scripted model and a small site.

mod approvals;
mod basics;
mod bytes;
mod fallback;
pub mod faults;
mod hostile;
mod pairing;
mod playbooks;
mod redaction;
pub mod site;
mod steering;
pub mod world;
