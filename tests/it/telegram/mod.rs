//! The Telegram channel from the outside.

mod emulator;
mod path;
mod rig;
mod webhook;
