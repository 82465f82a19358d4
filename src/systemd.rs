//! What systemd tells a service in variables, and what the bot tells systemd. The variables are no settings: without
//! systemd none of them is set, and nothing is told.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Where and how often systemd wants to hear of the bot's state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Systemd {
    /// The socket of `Type=notify`, as sd_notify(3) writes it: a path, or a name after an `@`.
    pub notify_socket: Option<OsString>,
    /// `WatchdogSec=`: the bot must report that it is alive at least this often.
    pub watchdog: Option<Duration>,
}

impl Systemd {
    pub(crate) fn read(lookup: &dyn Fn(&str) -> Option<OsString>) -> Systemd {
        let number = |name| lookup(name)?.to_str()?.parse::<u64>().ok();
        let us = u64::from(std::process::id());
        let is_for_us = number("WATCHDOG_PID").is_none_or(|pid| pid == us);
        let microseconds = number("WATCHDOG_USEC").filter(|n| is_for_us && *n > 0);
        Systemd {
            notify_socket: lookup("NOTIFY_SOCKET").filter(|name| !name.is_empty()),
            watchdog: microseconds.map(Duration::from_micros),
        }
    }

    /// Tells systemd a state, `READY=1`, `STOPPING=1` or `WATCHDOG=1`, in a datagram (sd_notify(3)). A failure is only
    /// logged: systemd will notice it too.
    pub(crate) fn tell(&self, state: &str) {
        let send = |name| {
            let socket = UnixDatagram::unbound()?;
            // A manager that reads nothing must not keep the bot from stopping.
            socket.set_write_timeout(Some(Duration::from_secs(1)))?;
            socket.send_to_addr(state.as_bytes(), &address(name)?)
        };
        if let Some(Err(error)) = self.notify_socket.as_deref().map(send) {
            log::warn!("failed to report the bot's state to systemd: {error}");
        }
    }
}

/// A path, or a name after an `@`, which only Linux has.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_encoded_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Whether this output goes to the journal: it has the device and inode of `JOURNAL_STREAM` (systemd.exec(5)). A program
/// that a service starts with its output elsewhere has the variable too.
pub fn goes_to_journal(output: impl AsFd) -> bool {
    let output = output.as_fd().try_clone_to_owned().map(File::from);
    let metadata = output.and_then(|output| output.metadata());
    let stream = metadata.map(|it| format!("{}:{}", it.dev(), it.ino()));
    env::var("JOURNAL_STREAM").is_ok_and(|journal| stream.is_ok_and(|stream| stream == journal))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Systemd;

    fn watchdog(pid: Option<u32>, microseconds: &str) -> Option<Duration> {
        let systemd = Systemd::read(&|name| match name {
            "WATCHDOG_USEC" => Some(microseconds.into()),
            "WATCHDOG_PID" => pid.map(|pid| pid.to_string().into()),
            _ => None,
        });
        systemd.watchdog
    }

    #[test]
    fn nothing_is_told_where_nobody_asks() {
        assert_eq!(Systemd::read(&|_| None), Systemd::default());
        assert_eq!(Systemd::read(&|_| Some("".into())), Systemd::default());
    }

    #[test]
    fn a_watchdog_for_another_process_is_none_for_this_one() {
        let two_seconds = Some(Duration::from_secs(2));
        assert_eq!(watchdog(None, "2000000"), two_seconds);
        assert_eq!(watchdog(Some(std::process::id()), "2000000"), two_seconds);
        assert_eq!(watchdog(Some(std::process::id() + 1), "2000000"), None);
        for not_a_time in ["0", "soon", "-1"] {
            assert_eq!(watchdog(None, not_a_time), None, "{not_a_time}");
        }
    }
}
