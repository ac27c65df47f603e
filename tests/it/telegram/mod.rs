//! The Telegram channel from the outside.

mod approvals;
mod durable;
mod emulator;
mod path;
mod rig;
mod webhook;
