//! OpsBot: a self-hosted ops bot that looks, answers with evidence, and asks before it acts.

pub mod agent;
pub mod docker;
pub mod domain;
pub mod inventory;
pub mod policy;
pub mod tools;
