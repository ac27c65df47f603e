//! The one integration binary: one `mod` line a file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod config;
mod docker;
