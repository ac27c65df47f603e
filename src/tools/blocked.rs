//! Acts that this program never does; they are known so that the refusal is explained, and have no body.

use std::time::Duration;

use super::place::customer_param;
use crate::domain::{Risk, ToolSpec};

/// The specs of the acts that never run.
pub fn blocked_specs() -> Vec<ToolSpec> {
    let spec = |name, phrases| ToolSpec {
        name,
        summary: "Never allowed.",
        params: vec![customer_param()],
        floor: Risk::Blocked,
        default: Risk::Blocked,
        phrases,
        untrusted: false,
        timeout: Duration::from_secs(1),
    };
    vec![
        spec(
            "delete_customer_data",
            &[
                "delete data",
                "erase data",
                "wipe data",
                "drop the database",
                "remove the customer",
                "delete everything",
                "destroy",
                "delete volumes",
            ],
        ),
        spec(
            "modify_billing",
            &[
                "change the invoice",
                "billing",
                "change the price",
                "refund",
                "discount",
                "charge",
                "subscription",
                "payment",
            ],
        ),
        spec(
            "read_credentials",
            &[
                "show the password",
                "password",
                "credentials",
                "api key",
                "secret",
                "access token",
                "private key",
                "login data",
            ],
        ),
    ]
}
