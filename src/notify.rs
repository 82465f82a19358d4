//! Reports the bot's state to systemd, over its notify protocol, sd_notify(3): each report is a
//! datagram with lines of text. Without a socket to report to, nothing is sent.

use std::ffi::OsStr;
use std::io;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::config::Systemd;

/// The service manager's socket, if there is one.
pub(crate) struct Notifier(Option<(UnixDatagram, SocketAddr)>);

impl Notifier {
    /// Connects to the service manager that has started this process. A failure is only logged: the
    /// service manager will notice it too.
    pub(crate) fn new(systemd: &Systemd) -> Notifier {
        let connect = |name: &OsStr| Ok((UnixDatagram::unbound()?, address(name)?));
        let connected = systemd.notify_socket.as_deref().map(connect);
        Notifier(connected.and_then(|result| result.inspect_err(log_failure).ok()))
    }

    /// Sends a state: `READY=1`, `STOPPING=1`, `WATCHDOG=1`.
    pub(crate) fn tell(&self, state: &str) {
        if let Some((socket, address)) = &self.0 {
            let sent = socket.send_to_addr(state.as_bytes(), address);
            let _ = sent.inspect_err(log_failure);
        }
    }
}

fn log_failure(error: &io::Error) {
    log::warn!("failed to tell the service manager how the bot fares: {error}");
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
