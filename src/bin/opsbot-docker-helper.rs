//! The `opsbot-docker-helper` program: holds Docker's socket, so that the daemon need not.

use std::process::ExitCode;

fn main() -> ExitCode {
    opsbot::docker_gate::main()
}
