//! Alerts: where they come from, over HTTP and besides, on real parts.

mod amtool;
mod api;
mod checks;
mod deadman;
mod differential;
mod docker_events;
mod kept;
mod log_patterns;
mod poll;
mod rig;
mod webhook;
