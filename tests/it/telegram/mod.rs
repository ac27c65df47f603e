//! The Telegram channel from the outside.

mod emulator;
mod faults;
mod path;
mod rig;
mod webhook;
