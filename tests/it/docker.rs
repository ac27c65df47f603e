//! Docker, the inventory and the tools on them: on real containers, and on engines that misbehave.

pub mod boxes;
pub mod fake;
mod faults;
mod hosts;
mod image_updates;
mod real;
mod registry;
mod rig;
mod start_stop;
mod tls;
