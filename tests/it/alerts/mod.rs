//! Where alerts come from, on real parts.

mod checks;
mod deadman;
mod docker_events;
mod kept;
mod log_patterns;
mod poll;
