//! The one integration binary: one `mod` line a file.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests fail by panicking, and say on standard error what they skip"
)]

mod architecture;
mod config;
mod console;
mod daemon;
mod docker;
mod fake;
mod http;
mod llm;
mod prometheus;
mod systemd;
