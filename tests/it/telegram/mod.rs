//! The Telegram channel from the outside.

mod approvals;
mod courier;
mod doctor;
mod durable;
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
