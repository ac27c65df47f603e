//! The one integration binary: one `mod` line a file.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, say on standard error what they skip, and read clocks"
)]

mod alerts;
mod architecture;
mod cache;
mod config;
mod console;
mod daemon;
mod docker;
mod docker_helper;
mod evals;
mod fake;
mod http;
mod llm;
mod llm_fleet;
mod logs;
mod playbooks;
mod prometheus;
mod promql;
mod scenarios;
mod systemd;
#[cfg(feature = "telegram")]
mod telegram;
