//! Alerts over HTTP: the webhook, the API, and what Debian's Alertmanager, amtool and Prometheus make of them.

mod amtool;
mod api;
mod differential;
mod rig;
mod webhook;
