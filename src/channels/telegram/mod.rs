//! Telegram: updates become rows before they are confirmed, replies leave through one governor, cards follow their approval.

pub mod api;
pub mod courier;
pub mod fault;
pub mod governor;
pub mod post;

pub use post::{Body, Place, Post, Rich, Tap};
