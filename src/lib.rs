//! OpsBot: a self-hosted ops bot that looks, answers with evidence, and asks before it acts.

pub mod agent;
pub mod app;
pub mod cache;
pub mod channels;
pub mod chart;
pub mod cli;
pub mod config;
pub mod control;
pub mod docker;
pub mod docker_gate;
pub mod domain;
pub mod engine;
pub mod evals;
pub mod http;
pub mod inventory;
pub mod llm;
pub mod logs;
pub mod playbook;
pub mod policy;
pub mod prometheus;
pub mod runtime;
pub mod spill;
pub mod store;
pub mod tools;
pub mod voice;
