//! The server tools: each has a schema, a target, a floor and failures that are told apart.

pub mod blocked;
pub mod check_up;
pub mod customers;
pub mod evidence;
pub mod health;
pub mod logs;
mod place;
pub mod rank;
pub mod score;
pub mod search;
pub mod status;
pub mod trouble;
pub mod units;
