//! Telegram: updates become rows before they are confirmed, replies leave through one governor, cards follow their approval.

pub mod api;
pub mod attach;
mod card;
#[cfg(test)]
mod checks;
pub mod courier;
pub mod decode;
mod excerpt;
pub mod fault;
pub mod governor;
mod live;
mod markdown;
#[cfg(test)]
mod markdown_tests;
mod mending;
pub mod menu;
mod plot;
pub mod post;
mod render;
#[cfg(test)]
mod render_tests;
mod rich;
mod split;
#[cfg(test)]
mod split_tests;
mod table;
mod text;

pub use card::card;
pub use live::live;
pub use mending::{REPEAT, mark_repeat, plain, shorten};
pub use post::{Body, Place, Post, Rich, Tap};
pub use render::{Look, ROOM, render};
pub use split::split;
