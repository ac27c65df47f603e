//! Docker, the inventory and the tools on them: on real containers, and on engines that misbehave.

pub mod boxes;
pub mod fake;
mod faults;
mod real;
mod rig;
mod tls;
