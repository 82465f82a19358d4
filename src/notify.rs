//! Tells the service manager how the bot fares: systemd's notify protocol, sd_notify(3). It is a
//! datagram with lines of text. Where nobody asks for it, nothing is told.

use std::ffi::OsStr;
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::config::Systemd;

/// Where the service manager listens, if there is one.
pub struct Notifier(Option<(UnixDatagram, SocketAddr)>);

impl Notifier {
    /// The service manager that has started this process. One that cannot be reached is a line in
    /// the log and no more: it will notice by itself.
    pub fn new(systemd: &Systemd) -> Notifier {
        let connect = |name: &OsStr| Ok((UnixDatagram::unbound()?, address(name)?));
        let connected = systemd.notify_socket.as_deref().map(connect);
        Notifier(connected.and_then(|result| result.inspect_err(complain).ok()))
    }

    /// The bot serves.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// The bot is on its way down, which has deadlines of its own: the watchdog begins anew.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nWATCHDOG=1");
    }

    /// The bot is alive.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    fn tell(&self, what: &str) {
        if let Some((socket, address)) = &self.0 {
            let told = socket.send_to_addr(what.as_bytes(), address);
            let _ = told.inspect_err(complain);
        }
    }
}

fn complain(error: &io::Error) {
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
