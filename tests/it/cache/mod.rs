//! `clear_cache` on a real Redis and a real Varnish, each on loopback and ended by its pid, and on servers that misbehave.

mod faults;
mod redis;
mod rig;
mod varnish;
pub use rig::{free_port, have};
