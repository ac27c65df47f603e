//! Telegram: updates become rows before they are confirmed, replies leave through one governor, cards follow their approval.

pub mod attach;
pub mod decode;
pub mod menu;
pub mod post;
pub mod webhook;

pub use post::{Body, Place, Post, Rich, Tap};
