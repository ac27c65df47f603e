//! The Docker helper: holds Docker's socket, which is as good as root, and lets through what the daemon needs.
//!
//! It speaks a part of Docker's own API on a socket of its own, so a Docker client is unchanged. An exact table of
//! routes goes through ([`route`]), each container by its full id and, for writes, only with a label ([`gate`]); answers
//! leave without environment, command lines and mounts ([`strip`]); everything else is 403.

mod config;
mod engine;
mod gate;
mod listen;
mod refusal;
mod route;
mod run;
mod strip;

pub use config::{Config, Reads, Verb};
pub use gate::Patience;
pub use listen::{Limits, serve};
pub use run::main;
