//! Acts that this program never does; they are known so that the refusal is explained, and have no body.

use std::time::Duration;

use super::place::customer_param;
use crate::domain::{Risk, ToolSpec};

/// The specs of the acts that never run.
pub fn blocked_specs() -> Vec<ToolSpec> {
    let spec = |name, summary| ToolSpec {
        name,
        summary,
        params: vec![customer_param()],
        floor: Risk::Blocked,
        default: Risk::Blocked,
        phrases: &[],
        untrusted: false,
        timeout: Duration::from_secs(1),
    };
    vec![
        spec("delete_customer_data", "Never allowed."),
        spec("modify_billing", "Never allowed."),
        spec("read_credentials", "Never allowed."),
    ]
}
