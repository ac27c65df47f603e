//! What a daemon that crashes leaves on the disk: no core dump, whatever its surroundings allow.

use std::{
    os::unix::process::ExitStatusExt,
    process::{Command, ExitStatus},
};

use nix::sys::signal::Signal;

use super::house::{Daemon, House};

/// `command` in the house's folder, allowed to dump as much as the system lets it.
fn may_dump(house: &House, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"ulimit -S -c "$(ulimit -H -c)" && exec "$@""#, "sh"]);
    shell.arg(command.get_program()).args(command.get_args()).current_dir(house.dir()).env_clear();
    shell.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    shell
}

fn aborts(status: ExitStatus) -> bool {
    assert_eq!(status.signal(), Some(Signal::SIGABRT as i32), "{status}");
    status.core_dumped()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_crashes_dumps_no_core_and_still_knows_its_figures() {
    let house = House::new("unix:///nonexistent/docker.sock", "");
    let mut daemon = Daemon::of(may_dump(&house, &house.command(&["run", "--log", "json"])));
    daemon.logs("opsbot runs").await;
    let (_, metrics) = daemon.get("/metrics").await;
    for figure in ["process_resident_memory_bytes ", "process_open_fds ", "process_threads "] {
        let value = metrics.lines().find_map(|l| l.strip_prefix(figure)?.parse::<f64>().ok());
        assert!(value.is_some_and(|v| v > 1.0), "{figure}: {metrics}");
    }
    daemon.signal(Signal::SIGABRT);
    assert!(!aborts(daemon.ended().await), "the daemon dumped its core");

    let mut control = Command::new("sh");
    control.args(["-c", "kill -ABRT $$"]);
    if !aborts(may_dump(&house, &control).status().unwrap()) {
        eprintln!("this system dumps no core of any program: the check above could not fail");
    }
}
