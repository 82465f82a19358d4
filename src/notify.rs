//! Reports the bot's state to systemd, over its notify protocol, sd_notify(3): each report is a
//! datagram with lines of text. Without a socket to report to, nothing is sent.

use std::ffi::OsStr;
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::config::Systemd;

/// The service manager's socket, if there is one.
pub struct Notifier(Option<(UnixDatagram, SocketAddr)>);

impl Notifier {
    /// Connects to the service manager that has started this process. A failure is only logged: the
    /// service manager will notice it too.
    pub fn new(systemd: &Systemd) -> Notifier {
        let connect = |name: &OsStr| Ok((UnixDatagram::unbound()?, address(name)?));
        let connected = systemd.notify_socket.as_deref().map(connect);
        Notifier(connected.and_then(|result| result.inspect_err(log_failure).ok()))
    }

    /// The bot is ready to serve.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// The bot is stopping, which has deadlines of its own, so the watchdog's time begins again.
    pub fn stopping(&self) {
        self.send("STOPPING=1\nWATCHDOG=1");
    }

    /// The bot is alive.
    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    fn send(&self, state: &str) {
        if let Some((socket, address)) = &self.0 {
            let sent = socket.send_to_addr(state.as_bytes(), address);
            let _ = sent.inspect_err(log_failure);
        }
    }
}

fn log_failure(error: &io::Error) {
    log::warn!("failed to tell the service manager how the bot fares: {error}");
}

fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_encoded_bytes() {
        [b'@', abstract_name @ ..] => address_of_abstract(abstract_name),
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

#[cfg(target_os = "linux")]
fn address_of_abstract(name: &[u8]) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn address_of_abstract(_name: &[u8]) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}
