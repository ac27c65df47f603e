//! Tells the service manager how the daemon is: ready, alive, stopping (systemd's `sd_notify` protocol).

use std::{
    env,
    ffi::{OsStr, OsString},
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

/// The way to the service manager; without one, every message goes nowhere.
#[derive(Clone, Debug, Default)]
pub struct Notifier {
    address: Option<SocketAddr>,
}

impl Notifier {
    /// Reads `$NOTIFY_SOCKET`; unset, or a socket of another kind (vsock), means nobody listens.
    pub fn from_env() -> Self {
        env::var_os("NOTIFY_SOCKET").map_or_else(Self::default, |name| Self::to(&name))
    }

    /// Talks to this socket: a path, or `@name` for an abstract one.
    pub fn to(name: &OsStr) -> Self {
        let bytes = name.as_bytes();
        let address = match bytes.split_first() {
            Some((b'@', rest)) => SocketAddr::from_abstract_name(rest),
            Some((b'/', _)) => SocketAddr::from_pathname(name),
            Some(_) | None => return Self::default(),
        };
        match address {
            Ok(address) => Self { address: Some(address) },
            Err(error) => {
                tracing::warn!(%error, "$NOTIFY_SOCKET is not usable; the service manager is not told anything");
                Self::default()
            }
        }
    }

    /// Whether anybody listens.
    pub fn is_on(&self) -> bool {
        self.address.is_some()
    }

    /// Start-up is over.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// The drain has begun.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// Still alive; due at least once per [`watchdog_interval`].
    pub fn watchdog(&self) {
        self.send("WATCHDOG=1");
    }

    /// One line for `systemctl status`.
    pub fn status(&self, line: &str) {
        let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
        self.send(&format!("STATUS={line}"));
    }

    /// Feeds the watchdog as often as the service manager wants, until `stop`; does nothing when it wants nothing.
    pub async fn feed_watchdog(&self, stop: CancellationToken) {
        let Some(every) = watchdog_interval().filter(|_| self.is_on()) else { return stop.cancelled().await };
        let mut ticks = tokio::time::interval(every);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = ticks.tick() => self.watchdog(),
            }
        }
    }

    fn send(&self, message: &str) {
        if let Err(error) = self.try_send(message) {
            tracing::debug!(%error, message, "the service manager was not told");
        }
    }

    fn try_send(&self, message: &str) -> io::Result<()> {
        let Some(address) = &self.address else { return Ok(()) };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.send_to_addr(message.as_bytes(), address)?;
        Ok(())
    }
}

/// How often the service manager wants a sign of life: half of `$WATCHDOG_USEC`, when it is meant for this process.
pub fn watchdog_interval() -> Option<Duration> {
    interval(env::var_os("WATCHDOG_USEC"), env::var_os("WATCHDOG_PID"), std::process::id())
}

fn interval(usec: Option<OsString>, pid: Option<OsString>, own: u32) -> Option<Duration> {
    if let Some(pid) = pid
        && pid.to_str()?.parse::<u32>().ok()? != own
    {
        return None;
    }
    let usec: u64 = usec?.to_str()?.parse().ok()?;
    (usec > 0).then(|| Duration::from_micros(usec / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(socket: &UnixDatagram) -> String {
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut buffer = [0; 512];
        let n = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(buffer.get(..n).unwrap()).into_owned()
    }

    #[test]
    fn messages_reach_a_path_and_an_abstract_socket() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("opsbot-notify-test-{}", std::process::id());
        let abstract_address = SocketAddr::from_abstract_name(&name).unwrap();
        let by_name = UnixDatagram::bind_addr(&abstract_address).unwrap();
        for (socket, to) in [(by_path, path.into_os_string()), (by_name, format!("@{name}").into())] {
            let notifier = Notifier::to(&to);
            assert!(notifier.is_on());
            notifier.ready();
            notifier.status("serving\nREADY=0");
            notifier.watchdog();
            notifier.stopping();
            let got: Vec<_> = (0..4).map(|_| receive(&socket)).collect();
            assert_eq!(got, ["READY=1", "STATUS=serving READY=0", "WATCHDOG=1", "STOPPING=1"]);
        }
    }

    #[test]
    fn nobody_listening_is_no_error() {
        for name in ["", "vsock:2:1234", "/nonexistent/socket", "@"] {
            let notifier = Notifier::to(OsStr::new(name));
            notifier.ready();
            assert_eq!(notifier.is_on(), name.starts_with(['/', '@']), "{name}");
        }
    }

    #[test]
    fn the_watchdog_is_fed_at_half_time_and_only_by_the_right_process() {
        let table = [
            (Some("30000000"), None, Some(15)),
            (Some("30000000"), Some("7"), Some(15)),
            (Some("30000000"), Some("8"), None),
            (Some("0"), None, None),
            (Some("x"), None, None),
            (None, Some("7"), None),
        ];
        for (usec, pid, want) in table {
            let got = interval(usec.map(Into::into), pid.map(Into::into), 7);
            assert_eq!(got, want.map(Duration::from_secs), "{usec:?} {pid:?}");
        }
    }
}
