//! The Telegram channel from the outside.

mod courier;
mod emulator;
mod faults;
mod groups;
mod inbound;
mod menus;
mod path;
mod people;
mod rig;
mod shows;
mod webhook;
