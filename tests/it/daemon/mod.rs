//! The real program on real containers: its exit codes, its daemon, its terminal, its faults, and what a kill leaves.

mod ask;
mod chat;
mod dumps;
mod faults;
pub mod house;
mod kill;
mod pair;
mod reload;
mod sandbox;
mod socket;
mod stop;
