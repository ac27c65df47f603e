//! The Telegram channel from the outside.

mod alerts;
mod approvals;
mod courier;
mod doctor;
mod durable;
mod emulator;
mod faults;
mod groups;
mod house;
mod inbound;
mod kill;
mod menus;
mod path;
mod people;
mod rig;
mod shows;
mod unreachable;
mod webhook;
