//! How the API describes itself: status, receivers, and whether it is there at all.

use axum::{extract::State, response::Response};
use jiff::Timestamp;
use serde::Serialize;

use super::{RECEIVER, Surface, answer, show};

#[derive(Serialize)]
struct Cluster {
    status: &'static str,
    peers: [(); 0],
}

#[derive(Serialize)]
struct Original {
    original: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VersionInfo {
    branch: &'static str,
    build_date: &'static str,
    build_user: &'static str,
    go_version: &'static str,
    revision: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    cluster: Cluster,
    config: Original,
    uptime: Timestamp,
    version_info: VersionInfo,
}

/// `GET /api/v2/status`.
pub(super) async fn status(State(surface): State<Surface>) -> Response {
    let original = format!("route:\n  receiver: {RECEIVER}\nreceivers:\n- name: {RECEIVER}\n");
    answer::json(&Status {
        cluster: Cluster { status: "disabled", peers: [] },
        config: Original { original },
        uptime: surface.counters().started(),
        version_info: VersionInfo {
            branch: "",
            build_date: "",
            build_user: "",
            go_version: "",
            revision: "",
            version: env!("CARGO_PKG_VERSION"),
        },
    })
}

/// `GET /api/v2/receivers`.
pub(super) async fn receivers() -> Response {
    answer::json(&show::RECEIVERS)
}

/// `GET /-/healthy` and `/-/ready`; they tell nothing, so that nothing has to be shown for them.
pub(super) async fn fine() -> &'static str {
    "OK\n"
}
