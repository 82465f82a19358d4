//! Feeds the service manager's watchdog while the bot really answers: it is asked over its own
//! port, through door and pool, as anybody would ask.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::worker::UNWELL;
use crate::door::Door;
use crate::notify::Notifier;

/// After a question in vain, how long it takes to the next one at most.
const PAUSE: Duration = Duration::from_secs(1);

/// Longer than the answer to a question about health.
const MAX_ANSWER: u64 = 4096;

/// Feeds the watchdog twice within its time, until the door is closed.
pub(super) fn start(within: Duration, door: Arc<Door>, notifier: Arc<Notifier>) -> io::Result<()> {
    let every = within / 2;
    let address = reachable(door.address());
    let feed = move || {
        while !door.is_closed() {
            match ask(address, every / 2) {
                Ok(true) => {
                    notifier.alive();
                    thread::sleep(every);
                }
                _ if door.is_closed() => {}
                _ => {
                    log::error!("the bot does not answer on its own port: the watchdog is not fed");
                    thread::sleep(PAUSE.min(every));
                }
            }
        }
    };
    thread::Builder::new().name("watchdog".into()).spawn(feed)?;
    Ok(())
}

/// Whether a thread of the pool answers. One that says that the outbox takes no more is alive:
/// to start again would not help it.
fn ask(address: SocketAddr, at_most: Duration) -> io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, at_most)?;
    stream.set_read_timeout(Some(at_most))?;
    stream.set_write_timeout(Some(at_most))?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200 ") || answer.ends_with(UNWELL))
}

/// Who listens on every address is reached on loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}
