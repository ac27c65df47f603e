//! OpsBot: a self-hosted ops bot that looks, answers with evidence, and asks before it acts.

pub mod agent;
pub mod domain;
pub mod http;
pub mod policy;
pub mod prometheus;
pub mod runtime;
pub mod tools;
