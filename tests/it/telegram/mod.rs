//! The Telegram channel from the outside.

mod courier;
mod emulator;
mod path;
mod rig;
