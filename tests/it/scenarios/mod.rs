//! Whole conversations over the real engine: real store, policy and model client; a scripted model and a small site.

mod approvals;
mod basics;
mod bytes;
mod fallback;
mod faults;
mod hostile;
mod pairing;
mod redaction;
mod site;
mod steering;
mod world;
