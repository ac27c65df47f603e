//! The control socket: how `opsbot chat`, `ask` and the other clients reach the engine, in a daemon or in-process.

pub mod client;
pub mod people;
pub mod protocol;
pub mod server;

pub use client::Client;
pub use people::{Peer, People};
pub use protocol::{Frame, Op, Request};
pub use server::serve;
