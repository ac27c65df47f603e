//! The Telegram channel from the outside.

mod webhook;
