//! The Docker helper: what it refuses and lets through, on an engine that is watched, a real one, and ones that misbehave.

mod allowed;
mod faults;
mod program;
mod real;
mod refused;
pub mod rig;
