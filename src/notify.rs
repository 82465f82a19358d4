//! Reports the bot's state to systemd, over its notify protocol, sd_notify(3): each report is a
//! datagram with lines of text. Without a socket to report to, nothing is sent.

use std::ffi::{OsStr, OsString};
use std::io;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::config::Systemd;

/// The name of the service manager's socket, if there is one.
pub(crate) struct Notifier(Option<OsString>);

impl Notifier {
    pub(crate) fn new(systemd: &Systemd) -> Notifier {
        Notifier(systemd.notify_socket.clone())
    }

    /// Sends a state: `READY=1`, `STOPPING=1`, `WATCHDOG=1`. A failure is only logged: the service manager will notice
    /// it too.
    pub(crate) fn tell(&self, state: &str) {
        let send = |name| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address(name)?);
        if let Some(Err(error)) = self.0.as_deref().map(send) {
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
