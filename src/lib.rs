//! OpsBot: a self-hosted ops bot that looks, answers with evidence, and asks before it acts.

pub mod agent;
pub mod channels;
pub mod config;
pub mod domain;
pub mod policy;
